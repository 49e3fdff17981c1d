"""Tables whose rows have a key: readings and aggregates, and histories of entities."""
