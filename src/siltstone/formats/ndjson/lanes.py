"""NDJSON documents to rows: the fastest lane that can prove its result, document by document if need be."""

from collections.abc import Sequence

from siltstone.formats.compression import inflate
from siltstone.formats.documents import Document, Item, Opened, Parsed, ParseRules
from siltstone.formats.ndjson.careful import parse_careful
from siltstone.formats.ndjson.fast import TooManyCells, parse_fast
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
    document is cut into pieces of lines, so that one odd line does not send all others to the careful lane, and keys
    that few lines have don't make columns for all; a document then has several results, in the order of its lines.
    """
    try:
        fast = parse_fast(documents, schema, rules)
        is_short = documents[0].data.count(b"\n") <= _FEW_LINES or documents[0].data.isspace()
    except TooManyCells:
        fast, is_short = None, False
    if fast is not None:
        return [fast[0]], fast[1]
    parts = _parts(documents, is_short=is_short)
    if len(parts) == 1:
        careful, schema = parse_careful(documents[0], schema, rules)
        return [careful], schema
    parsed: list[Parsed] = []
    for part in parts:
        more, schema = parse(part, schema, rules)
        parsed += more
    return parsed, schema


def _parts(documents: Sequence[Document], *, is_short: bool) -> list[list[Document]]:
    """Halves of several documents; of one its pieces, and one that is short as it is."""
    if len(documents) > 1:
        half = len(documents) // 2
        return [list(documents[:half]), list(documents[half:])]
    return [list(documents)] if is_short else [[piece] for piece in documents[0].pieces(_PIECES)]
