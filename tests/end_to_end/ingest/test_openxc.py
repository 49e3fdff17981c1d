"""A real car's trace, whose `value` is a number, a boolean or a string: nothing is lost in one column of one type."""

import json
from collections import Counter

import polars as pl

from support.fleet import World, gz, ndjson
from support.places import SAMPLES

TRACE = SAMPLES / "openxc" / "austator-driving.json"
NAME = "austator-driving"


def test_every_message_arrives_and_every_value_that_is_no_number_is_rescued(world: World) -> None:
    messages = [json.loads(line) for line in TRACE.read_text().splitlines() if line.strip()]
    records = [
        {
            "heartbeat": round(message.pop("timestamp") * 1_000_000),
            "unitno": NAME,
            "deviceid": NAME,
            **message,
        }
        for message in messages
    ]
    for start in range(0, len(records), 500):
        # 1351181576 is 2012-10-25T16:12:56Z, so the whole trace lies in one hour.
        path = world.input / f"OXC/{NAME}/2012102516/{start:05d}.txt.gz"
        world.put(path, gz(ndjson(records[start : start + 500])))

    summary = world.compact("sources.datalog.earliest='2012-01-01'")

    kinds = Counter(type(r["value"]).__name__ for r in records)
    assert kinds == {"float": 11_583, "bool": 5_269, "str": 2_586}
    assert sum("event" in r for r in records) == 572
    rows = world.frame()
    assert (summary["records_in"], summary["rows_out"], rows.height) == (19_438, 19_438, 19_438)
    assert rows.schema["value"] == pl.Float64
    assert (rows["value"].count(), rows["event"].count()) == (11_583, 572)
    assert rows["_rescued"].count() == summary["values_rescued"] == 7_855  # 5,269 booleans and 2,586 texts
    # Each message, number or not, is found again: its value from the column or from the rescued text.
    found = Counter(
        (heartbeat, name, json.dumps(value) if rescued is None or value is not None else json.loads(rescued)["value"])
        for heartbeat, name, value, rescued in rows.select("heartbeat", "name", "value", "_rescued").rows()
    )
    assert found == Counter((r["heartbeat"], r["name"], json.dumps(r["value"])) for r in records)
