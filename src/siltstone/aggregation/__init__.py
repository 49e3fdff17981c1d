"""Tables of aggregates: computed from readings, rolled up, by foreign conventions."""
