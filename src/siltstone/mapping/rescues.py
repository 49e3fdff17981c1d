"""What `_rescued` says of many rows at once."""

import orjson
import polars as pl

RESCUES = pl.Schema({"row": pl.Int64(), "key": pl.String(), "own": pl.String()})
"""Values without a column: the row that keeps each one, its key, and its own text."""


def rescue_texts(rescues: pl.DataFrame, rows: int) -> pl.Series:
    """For each of `rows` rows the JSON object key -> own text of its rescues, in their order; null for none.

    A key that a row has several times stands once, with a list of the texts.
    """
    texts = pl.repeat(None, rows, dtype=pl.String(), eager=True)
    if not rescues.height:
        return texts
    is_plain = not rescues.select(
        pl.any_horizontal(pl.col("key", "own").str.contains(r"[\x00-\x1f]")).any()
        | pl.struct("row", "key").is_duplicated().any()
    ).item()
    objects = _objects_of(rescues) if is_plain else _objects_one_by_one(rescues)
    return texts.scatter(objects["row"], objects["text"])


def _objects_of(rescues: pl.DataFrame) -> pl.DataFrame:
    member = pl.concat_str(_quoted("key"), pl.lit(":"), _quoted("own"))
    objects = pl.concat_str(pl.lit("{"), pl.col("text").str.join(","), pl.lit("}")).alias("text")
    return rescues.select("row", member.alias("text")).group_by("row", maintain_order=True).agg(objects)


def _quoted(name: str) -> pl.Expr:
    escaped = pl.col(name).str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    return pl.concat_str(pl.lit('"'), escaped, pl.lit('"'))


def _objects_one_by_one(rescues: pl.DataFrame) -> pl.DataFrame:
    objects: dict[int, dict[str, str | list[str]]] = {}
    for row, key, own in rescues.iter_rows():
        members = objects.setdefault(row, {})
        earlier = members.get(key)
        if earlier is None:
            members[key] = own
        elif isinstance(earlier, list):
            earlier.append(own)
        else:
            members[key] = [earlier, own]
    texts = [orjson.dumps(members).decode() for members in objects.values()]
    return pl.DataFrame({"row": list(objects), "text": texts}, {"row": pl.Int64(), "text": pl.String()})
