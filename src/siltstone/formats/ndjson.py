"""NDJSON documents to rows: the fastest lane that can prove its result, document by document if need be."""

from collections.abc import Sequence

from siltstone.conform import Schema
from siltstone.formats.documents import Document, Parsed, Rules
from siltstone.formats.ndjson_careful import parse_careful
from siltstone.formats.ndjson_fast import parse_inferred, parse_typed


def parse(documents: Sequence[Document], schema: Schema, rules: Rules) -> tuple[list[Parsed], Schema]:
    """Rows and bad records of all documents, and the schema with the columns they brought.

    Many documents are tried as one text, first with the known schema, then with inferred types; where no proof is
    found they are halved, so one odd file among a thousand small ones costs a few more parses, not a thousand.
    """
    parsed = parse_typed(documents, schema, rules)
    if parsed is not None:
        return [parsed], schema
    inferred = parse_inferred(documents, schema, rules)
    if inferred is not None:
        return [inferred[0]], inferred[1]
    if len(documents) == 1:
        careful, schema = parse_careful(documents[0], schema, rules)
        return [careful], schema
    half = len(documents) // 2
    left, schema = parse(documents[:half], schema, rules)
    right, schema = parse(documents[half:], schema, rules)
    return [*left, *right], schema
