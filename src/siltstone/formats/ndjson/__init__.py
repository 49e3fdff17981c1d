"""NDJSON: bytes of lines become columns, by four lanes."""
