"""Which format a table has, and who may read and write it: the rule alone, no storage.

The header of every run says it, under `format`, as Delta's protocol action does: a version, and the least versions that
a reader and a writer must know. A siltstone that knows less stops before it reads or writes the table. Runs of before
said nothing: that is format 1.

Whoever may read may also finish a commit that a killed run left half done; a format that changes how that is done
raises both versions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from siltstone.errors import TableFormatError
from siltstone.version import __version__

KEY = "format"
KNOWN = 2
"""The newest version that this siltstone knows, as a reader and as a writer."""


@dataclass(frozen=True)
class TableFormat:
    """A format: its version, the least version that a reader and a writer must know, and the first releases that do,
    for people. A writer also reads."""

    version: int
    min_reader_version: int
    min_writer_version: int
    min_reader_release: str
    min_writer_release: str


FIRST = TableFormat(1, 1, 1, "0.1.0", "0.1.0")
FOLDED = TableFormat(2, 2, 2, "0.1.0", "0.1.0")
"""Old runs of the table may be folded: of many manifests there is one file, which says the same. Accounts of source
files may have rows that were adopted."""
_FIELDS = asdict(FIRST)
_TOGETHER = (("version",), ("min_reader_version", "min_reader_release"), ("min_writer_version", "min_writer_release"))


def format_of(header: Mapping[str, Any], root: str) -> TableFormat:
    """What a run's header says; format 1 where it says nothing. Fields that are not known are left aside.

    Raises TableFormatError where what it says is no format; `root` is the table's, for the message.
    """
    if KEY not in header:
        return FIRST
    given = header[KEY]
    if not isinstance(given, Mapping) or not all(_is_valid(given.get(name), first) for name, first in _FIELDS.items()):
        raise TableFormatError(
            f"{root} says of its format {given!r}, which siltstone {__version__} does not understand",
            "Upgrade siltstone here if a newer one wrote the table; else restore its newest manifest from a backup.",
        )
    return TableFormat(**{name: given[name] for name in _FIELDS})


def _is_valid(value: Any, first: int | str) -> bool:
    """Whether a value can stand where format 1 has `first`: a version counts from 1, a release has a name."""
    return type(value) is type(first) and (bool(value) if isinstance(value, str) else value >= 1)


def check_format(fmt: TableFormat, root: str, *, writes: bool) -> None:
    """Raise TableFormatError where this siltstone may not read a table, or with `writes` not write it."""
    needs = [("reading", fmt.min_reader_version, fmt.min_reader_release)]
    if writes:
        needs.append(("writing", fmt.min_writer_version, fmt.min_writer_release))
    if unmet := [(use, release) for use, version, release in needs if version > KNOWN]:
        use, release = unmet[-1]
        raise TableFormatError(
            f"{root} has format {fmt.version}, and {use} it needs siltstone {release} or newer; this is {__version__}",
            "Upgrade siltstone here, then run it again (docs/upgrading.md).",
        )


def next_format(headers: Iterable[Mapping[str, Any]], root: str, needed: TableFormat = FIRST) -> dict[str, Any]:
    """What the next run's header says: the highest of what runs before it said and of what it needs itself, never
    less. `headers` are theirs, newest first; fields of theirs that are not known are kept."""
    row: dict[str, Any] = asdict(needed)
    for header in headers:
        fmt = asdict(format_of(header, root))
        for names in _TOGETHER:
            if fmt[names[0]] > row[names[0]]:
                row |= {name: fmt[name] for name in names}
        row = {**header.get(KEY, {}), **row}
    return row
