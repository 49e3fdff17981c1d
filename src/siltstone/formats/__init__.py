"""Bytes to Arrow, without I/O: decompression, then one module per format."""
