"""Avro: containers become columns, by two lanes."""
