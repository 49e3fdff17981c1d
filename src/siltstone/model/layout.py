"""Names of what siltstone keeps below a table's folder, beside the data files."""

FOLDER = "_siltstone"

OWN_EDGES = ".edges"
"""How the names of edges end that a rollup of a period writes, in files that no other run writes."""
