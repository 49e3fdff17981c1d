"""Where tasks run: a Spark session."""

from siltstone.engine.spark import SparkEngine

__all__ = ["SparkEngine"]
