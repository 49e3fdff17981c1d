"""The jobs around the kernels of the aggregates: what tables are read, which tasks do it, what is written."""
