"""The colours, by Okabe and Ito (2008, Color Universal Design): people with colour blindness can tell them apart."""

INK, FAINT, GRID = "#1f2937", "#5b6472", "#e5e7eb"
VALUE = "#0072B2"
GOOD, MISSING = "#8a97a8", "#E69F00"
"""The colours of the strip of coverage: good time, and the rest."""
STATES = ("#0072B2", "#F0E442", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#30343b")
REST = "#9ca3af"
"""The colour of all other states."""
