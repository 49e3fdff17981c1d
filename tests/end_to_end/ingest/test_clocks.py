"""The clock of the machine that runs siltstone is wrong: what counts is the order of the commits."""

import time
from datetime import datetime, tzinfo

import pytest

from siltstone.ingest import table_run
from support.fleet import NOON, World, record

_TEN_DAYS = 10 * 86_400


class SetBack(datetime):
    """A clock ten days behind."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "SetBack":
        return cls.fromtimestamp(time.time(), tz)


def test_a_clock_that_was_set_back_changes_no_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    place, real = "BRCB/DEV1/2025121012", time.time
    world.deliver({place: [record(NOON, n=1), record(NOON + 1, n=2)]})
    world.compact()
    monkeypatch.setattr(time, "time", lambda: real() - _TEN_DAYS)
    monkeypatch.setattr(table_run, "datetime", SetBack)
    world.deliver({place: [record(NOON, n=3)]})
    world.compact()
    newest, first = world.headers()
    assert newest["committed"] < first["committed"]
    assert world.rows("n") == [(3.0,)]
    assert world.compact()["files_skipped"] == 1
    assert world.verify()["problems"] == []
