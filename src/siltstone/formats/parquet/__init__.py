"""Parquet: foreign files, page checks, and the Thrift of footers."""
