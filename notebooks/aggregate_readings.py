# Databricks notebook source
# MAGIC %md
# MAGIC # Hourly aggregates of readings
# MAGIC Time-weighted averages of every series of `lake/readings`, as a table that a later run brings up to date, and the
# MAGIC same numbers from any DataFrame. Install siltstone on the cluster first (Libraries, the wheel).

# COMMAND ----------

dbutils.widgets.text("lake", "/Volumes/main/buildings/lake", "folder of tables")
dbutils.widgets.text("every", "1h", "length of a bucket")

# COMMAND ----------

from siltstone.dataframes.aggregate import aggregate
from siltstone.aggregation.aggregate import aggregate_table
from siltstone.aggregation.read_plan import Period
from siltstone.aggregation.spec import AggregateSpec, rows_of
from siltstone.config.load import load_config
from siltstone.engine.spark import SparkEngine
from siltstone.config.series_rules import load_interpretations
from siltstone.cli.progress import Reporter

lake, every = dbutils.widgets.get("lake"), dbutils.widgets.get("every")
rules = load_interpretations()
terms = AggregateSpec(every=every, rules=rows_of(rules))
with Reporter() as progress:
    summary = aggregate_table(
        f"{lake}/readings", f"{lake}/aggregates_{every}", terms, Period(), load_config(), SparkEngine(spark), progress
    )
summary

# COMMAND ----------

# MAGIC %md
# MAGIC Without a table, of whatever is in a DataFrame.

# COMMAND ----------

readings = spark.read.format("delta").load(f"{lake}/readings")
by_frame = aggregate(readings, every=every, measures=["time_weighted_average"], interpretations=rules)
by_frame.orderBy("series_id", "bucket_start").show()
