# Databricks notebook source
# MAGIC %md
# MAGIC # Compact the fleet's datalogs
# MAGIC Brings every new file below `input` into the Delta table `lake/datalog`. Run it as often as you like: files
# MAGIC that are in the table already are skipped. Install siltstone on the cluster first (Libraries, the wheel).

# COMMAND ----------

dbutils.widgets.text("input", "/Volumes/main/fleet/raw", "folder of {site}/{device}/{YYYYMMDDHH}/*.txt.gz")
dbutils.widgets.text("lake", "s3://BUCKET/lake", "tables: s3://, no Volume")

# COMMAND ----------

from siltstone import SparkEngine, compact

summary = compact(
    "datalog", dbutils.widgets.get("input"), dbutils.widgets.get("lake"), engine=SparkEngine(spark)
)
summary

# COMMAND ----------

# MAGIC %md
# MAGIC Rows by day and site, from the table itself.

# COMMAND ----------

table = spark.read.format("delta").load(summary.tables[0].table)
by_day = table.groupBy("hiveperiod", "dstrct_code").count().orderBy("hiveperiod", "dstrct_code")
by_day.show()
