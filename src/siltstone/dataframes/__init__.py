"""Aggregates and as-of joins of any Spark DataFrame."""
