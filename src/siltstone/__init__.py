"""siltstone turns floods of small telemetry files into few well-sized Parquet/Delta files, losslessly."""

__version__ = "0.1.0"
