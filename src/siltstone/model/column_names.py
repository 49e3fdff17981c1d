"""Names of columns that polars takes for patterns: `*` stands for all columns, `^v.*$` for those that match."""


def is_pattern(name: str) -> bool:
    """Whether polars looks for other columns than the one of this name."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))
