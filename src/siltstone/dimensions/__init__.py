"""Lookups to join with readings: assets, spaces, hierarchies."""
