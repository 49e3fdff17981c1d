"""`siltstone compact`: the files of a source become rows of a table."""
