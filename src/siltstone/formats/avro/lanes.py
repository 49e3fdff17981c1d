"""Avro container files to rows: all files of one schema at once; files without a proof record by record."""

from collections.abc import Sequence

from siltstone.formats.avro.careful import read_careful
from siltstone.formats.avro.container import AvroDocument, open_avro
from siltstone.formats.avro.fast import read_fast
from siltstone.formats.documents import Records

__all__ = ["AvroDocument", "open_avro", "read_avro"]


def read_avro(documents: Sequence[AvroDocument]) -> list[Records]:
    """Every record of the documents, by writer schema and lane, in order of document and line.

    Columns and types come from the schema in the file: see `avro.schema`. A block that can't be decoded is one
    bad record: see `avro.careful`.
    """
    groups: dict[bytes, list[AvroDocument]] = {}
    for document in documents:
        groups.setdefault(document.writer, []).append(document)
    parts: list[Records] = []
    for group in groups.values():
        records, unproven = read_fast(group)
        parts += [] if records is None else [records]
        if unproven:
            careful = {id(document) for document in unproven}
            parts.append(read_careful([d for d in group if id(d) in careful]))
    return parts
