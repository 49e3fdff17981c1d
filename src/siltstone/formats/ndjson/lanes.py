"""NDJSON documents to rows: the fastest lane that can prove its result, document by document if need be."""

from collections.abc import Sequence

from siltstone.formats.compression import inflate
from siltstone.formats.documents import Document, Item, Opened, Parsed, ParseRules
from siltstone.formats.ndjson.careful import parse_careful
from siltstone.formats.ndjson.fast import parse_fast
from siltstone.model.schema import Schema

_PIECES = 8
_FEW_LINES = 512  # by the careful lane in 0.1 s


def open_ndjson(item: Item, rules: ParseRules) -> Opened:
    """The document of an NDJSON file: gzip, zstd or plain text, recognized by its content.

    Raises Unreadable with the reason when the file gives nothing.
    """
    inflated = inflate(item.data, max_bytes=rules.max_text_bytes, max_ratio=rules.max_ratio, salvage=rules.salvage)
    document = Document(item.index, inflated.data, inflated.truncated, path=item.path, modified_us=item.modified_us)
    if not inflated.damage:
        return Opened(document)
    return Opened(document, inflated.damage, document.cut_record if inflated.data else item.data)


def parse(documents: Sequence[Document], schema: Schema, rules: ParseRules) -> tuple[list[Parsed], Schema]:
    """Rows and bad records of all documents, and the schema with the columns they brought.

    Many documents are tried as one text, first with the known schema, then with inferred types; where no proof is
    found they are halved, so one odd file among a thousand small ones costs a few more parses, not a thousand. A long
    document is cut into pieces of lines, so that one odd line does not send all others to the careful lane; a
    document then has several results, in the order of its lines.
    """
    fast = parse_fast(documents, schema, rules)
    if fast is not None:
        return [fast[0]], fast[1]
    if len(documents) == 1:
        parts = [[piece] for piece in _pieces(documents[0])]
        if len(parts) == 1:
            careful, schema = parse_careful(documents[0], schema, rules)
            return [careful], schema
    else:
        half = len(documents) // 2
        parts = [list(documents[:half]), list(documents[half:])]
    parts_parsed: list[Parsed] = []
    for part in parts:
        parsed, schema = parse(part, schema, rules)
        parts_parsed += parsed
    return parts_parsed, schema


def _pieces(document: Document) -> list[Document]:
    """A document of many lines in pieces, one of few as it is."""
    is_short = document.data.count(b"\n") <= _FEW_LINES
    return [document] if is_short else document.pieces(_PIECES)
