"""Odd files for every reader: each record in exactly one place, lanes equal bit by bit, no foreign exception, no end of
the process, 2 GB and 10 s at most. `make test` draws a few, the part `fuzz` of `make test-slow` many more."""

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import polars as pl
import pytest

from siltstone.formats.documents import Item
from siltstone.mapping.dataset import Keyed
from siltstone.mapping.rules import Rules
from siltstone.sources import dataset
from siltstone.sources.records import RecordsDataset
from support.fuzzing import batches
from support.fuzzing.checks import Wrong, check
from support.fuzzing.readers import READERS, UPLOADED_US, Case
from support.rounds import SEED, rounds

CASES = 100


@pytest.mark.parametrize("reader", READERS)
def test_odd_files(reader: str) -> None:
    assert [f"{name}: {wrong}" for name, wrong in batches.wrong_of(reader, SEED, 3) if wrong] == []


@pytest.mark.slow("fuzz")
@pytest.mark.parametrize("seed", rounds(1))
@pytest.mark.parametrize("reader", READERS)
def test_many_odd_files(reader: str, seed: int) -> None:
    assert batches.run(reader, seed, CASES) == []


def test_a_case_is_drawn_again_by_its_name() -> None:
    for draw in READERS.values():
        assert draw(Random("x:1:2")).items == draw(Random("x:1:2")).items


LINES = b'{"t":1765332618,"v":1,"a":1,"b":-0.0}\n{"t":1765332618,"v":"x"}\n'
BAD_LINE = b'{"t":1\n'


def _case(text: bytes) -> Case:
    block = dataset("records.x", {"format": "ndjson", "time": ["t"], "wide": ["v", "b"]})
    return Case(block, [Item(n, str(n), UPLOADED_US, data) for n, data in enumerate((text, text))], Rules())


def test_what_a_case_gives_is_told() -> None:
    found = check(_case(LINES + BAD_LINE))
    assert (len(found.rows), len(found.bad), dict(found.records)) == (4, 2, {0: 2, 1: 2})


def _without_a_row(part: Keyed) -> Keyed:
    return replace(part, frame=part.frame.head(-1), records={**part.records, 0: part.records.get(0, 1) - 1})


def _with(*columns: Any) -> Callable[[Keyed], Keyed]:
    return lambda part: replace(part, frame=part.frame.with_columns(*columns))


_UNSIGNED = pl.when(pl.col("value") == 0).then(0.0).otherwise("value").alias("value")

LIES: dict[str, tuple[Callable[[Keyed], Keyed], str]] = {
    "a row is lost": (_without_a_row, r"2 records in file 0, 1 read and 0 refused"),
    "a type is another": (_with(pl.col("value").cast(pl.Float32())), "columns of odd types"),
    "zero has lost its sign": (
        _with(pl.when(pl.col("value") != 0).then("value").otherwise(0.0).alias("value")),
        "by the careful lane",
    ),
    "_rescued has another order": (_with(pl.col("_rescued").str.reverse()), "by the careful lane"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_found(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lying, wrong = LIES[lie]
    real = RecordsDataset.rows

    def rows(self: RecordsDataset, documents: Any, schema: Any, rules: Any) -> Any:
        parts, schema = real(self, documents, schema, rules)
        return [lying(part) if part.lane == "typed" else part for part in parts], schema  # the careful lane is honest

    monkeypatch.setattr(RecordsDataset, "rows", rows)
    with pytest.raises(Wrong, match=wrong):
        check(_case(LINES))


def test_a_record_that_is_refused_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = RecordsDataset.rows

    def rows(self: RecordsDataset, *given: Any) -> Any:
        parts, schema = real(self, *given)
        return [replace(part, bad=[*part.bad, *part.bad]) for part in parts], schema

    monkeypatch.setattr(RecordsDataset, "rows", rows)
    with pytest.raises(Wrong, match=r"refused twice: \[\(0, 2\)\]"):
        check(_case(LINES + BAD_LINE))


def test_a_foreign_exception_is_told_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise pl.exceptions.PanicException("so it is")

    monkeypatch.setattr(RecordsDataset, "rows", fails)
    [(name, wrong)] = [found for found in batches.wrong_of("records of CSV", 0, 20) if found[1]][:1]
    assert name.startswith("records of CSV:0:")
    assert wrong.startswith("PanicException: 'so it is' at test_fuzzing.py:")


PROGRAMS = {
    "takes too long": ("import time; time.sleep(60)", r"^x:1:0: it takes more than 0\.2 s$"),
    "ends": ("import os; os.abort()", r"^x:1:0: it ends the process with code -6: "),
    "takes too much": (
        "from support.fuzzing.batches import limit_memory; limit_memory(); bytes(3 << 30)",
        r"^x:1:0: it ends the process with code 1: (?s:.)*MemoryError",
    ),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_case_that_ends_the_process_or_takes_too_much_is_told(program: str) -> None:
    does, wrong = PROGRAMS[program]
    case_s = 0.2 if program == "takes too long" else batches.CASE_S
    [told] = batches.watched(["-c", f"print('case x:1:0', flush=True); {does}"], case_s=case_s)
    assert re.search(wrong, told), told
