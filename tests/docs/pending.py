"""Pages that are still to be written. Remove this module, and what imports it, once docs/python.md is there."""

PAGES = {"docs/python.md"}  # links to it are no dead ones
