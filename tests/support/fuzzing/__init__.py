"""Odd files for every reader, and what must be true of each: see `readers` for the files, `checks` for the truths and
`batches` for the limits of memory and time."""
