"""Readings of any other system, NDJSON, CSV, Avro or Parquet, as a block of the configuration describes them.

See `records_options` for the block. Nothing that a record holds is lost: what the block doesn't name goes to
`_rescued` of the record's first reading, and a record whose content gives no reading is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from siltstone.formats.avro.lanes import open_avro, read_avro
from siltstone.formats.csv import open_text, read_csv
from siltstone.formats.documents import Item, Opened, ParseRules, Records
from siltstone.formats.ndjson.lanes import open_ndjson
from siltstone.formats.ndjson.members import objects_of, read_members
from siltstone.formats.ndjson.shapes import read_shapes
from siltstone.formats.parquet.reader import open_parquet, read_parquet
from siltstone.mapping.dataset import Dataset, Keyed, Place
from siltstone.mapping.path_patterns import fits_glob
from siltstone.mapping.readings import keyed_readings
from siltstone.mapping.records_options import PATH, RecordsOptions
from siltstone.mapping.rules import Rules
from siltstone.mapping.shapes import columns_of, of_path, readings
from siltstone.mapping.sheets import ColumnSheet, MemberSheet, Sheet
from siltstone.model.schema import Schema

HAS_BLOCKS = True
Options = RecordsOptions


def datasets(options: RecordsOptions, block: str) -> tuple["RecordsDataset", ...]:
    """The one dataset of a block."""
    return (RecordsDataset(f"records.{block}", options),)


class RecordsDataset(Dataset):
    """The files of one block, as readings."""

    def __init__(self, name: str, options: RecordsOptions) -> None:
        self.name, self.options = name, options
        self.layout = options.pattern or "**/*"
        self.policy = options.duplicates

    @property
    def source(self) -> str:
        """The whole name: each block is a source of its own."""
        return self.name

    def locate(self, path: str) -> Place | None:
        """The place of a file that the pattern takes. Files may have equal keys only if their paths say the same of
        the series; if paths say nothing of it, any two files may."""
        if not self._is_taken(path):
            return None
        site = of_path(self.options.site, path) or ""
        if self.options.duplicates == "all":
            return Place(site, path)
        parts = self.options.series or (self.options.device, self.options.measurement)
        return Place(site, "/".join(of_path(part, path) or "" for part in parts if part.startswith(PATH)))

    def open(self, item: Item, rules: ParseRules) -> Opened:
        """The document of a file by its format."""
        match self.options.format:
            case "csv":
                return open_text(item, rules, delimiter=self.options.delimiter)
            case "avro":
                return open_avro(item, rules)
            case "parquet":
                return open_parquet(item, rules)
            case "ndjson":
                return open_ndjson(item, rules)

    def rows(self, documents: Sequence[Any], schema: Schema, rules: Rules) -> tuple[Sequence[Keyed], Schema]:
        """Every reading of the documents; a reading has only columns of the contract."""
        rules = replace(rules, earliest_us=self.options.earliest_us, future_us=self.options.future_us)
        return list(self._keyed(documents, rules)), schema

    def _keyed(self, documents: Sequence[Any], rules: Rules) -> Iterator[Keyed]:
        options = self.options
        objects = objects_of([*columns_of(options), *options.wide])
        if options.format == "ndjson":
            others = documents
            if options.value or options.skip_empty:
                records, others = read_shapes(documents, rules)
                if records is not None:
                    yield self._readings(ColumnSheet(records, "tokens"), documents, rules)
            if others:
                members = read_members(others, rules, objects)
                keyed = self._readings(MemberSheet(members), documents, rules)
                yield from _by_lane(keyed, members.careful)
            return
        for records in _read(options.format, documents):
            sheet = ColumnSheet(records, "texts" if options.format == "csv" else "types", objects, options.decimal)
            yield self._readings(sheet, documents, rules)

    def _readings(self, sheet: Sheet, documents: Sequence[Any], rules: Rules) -> Keyed:
        frame = readings(sheet, self.name, self.options, {document.index: document.path for document in documents})
        return keyed_readings(frame, sheet, documents, rules)

    def _is_taken(self, path: str) -> bool:
        if self.options.pattern:
            return fits_glob(self.options.pattern, path)
        return not path.rpartition("/")[2].startswith((".", "_"))


def _read(form: str, documents: Sequence[Any]) -> Sequence[Records]:
    match form:
        case "csv":
            return read_csv(documents)
        case "avro":
            return read_avro(documents)
    return read_parquet(documents)


def _by_lane(keyed: Keyed, careful: Any) -> Iterator[Keyed]:
    """The rows of documents that the fast lane read, then the rows of the others."""
    if not careful:
        yield keyed
        return
    is_careful = keyed.frame["document"].is_in(list(careful))
    for lane, mask, in_lane in (("typed", ~is_careful, False), ("careful", is_careful, True)):
        records = {index: count for index, count in keyed.records.items() if (index in careful) == in_lane}
        bad = [b for b in keyed.bad if (b.document in careful) == in_lane]
        if records or bad:
            yield replace(keyed, lane=lane, frame=keyed.frame.filter(mask), bad=bad, records=records)  # type: ignore[arg-type]
