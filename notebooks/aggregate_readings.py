# Databricks notebook source
# MAGIC %md
# MAGIC # Hourly aggregates of readings
# MAGIC Time-weighted averages of every series of `lake/readings`, as a table that a later run brings up to date, and the
# MAGIC same numbers from any DataFrame. Install siltstone on the cluster first (Libraries, the wheel).

# COMMAND ----------

dbutils.widgets.text("lake", "s3://BUCKET/lake", "tables: s3://, no Volume")
dbutils.widgets.text("every", "1h", "length of a bucket")

# COMMAND ----------

import siltstone.spark
from siltstone import SparkEngine, aggregate

lake, every = dbutils.widgets.get("lake"), dbutils.widgets.get("every")
summary = aggregate(f"{lake}/readings", f"{lake}/aggregates_{every}", every=every, engine=SparkEngine(spark))
summary

# COMMAND ----------

# MAGIC %md
# MAGIC Without a table, of whatever is in a DataFrame.

# COMMAND ----------

readings = spark.read.format("delta").load(f"{lake}/readings")
by_frame = siltstone.spark.aggregate(readings, every=every, measures=["time_weighted_average"])
by_frame.orderBy("series_id", "bucket_start").show()
