"""The public face for Spark: aggregates and as-of joins of DataFrames, and a session; docs/python.md explains them.

Importing it starts nothing, and needs no pyspark before a function is called.
"""

from siltstone.dataframes.aggregate import aggregate
from siltstone.dataframes.asof import asof
from siltstone.engine.session import spark_session

__all__ = ["aggregate", "asof", "spark_session"]
