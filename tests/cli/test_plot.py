"""`siltstone plot` as a user types it: the pictures it makes of a small house, and what it says when it can't."""

import json
import re
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from siltstone.aggregation.aggregate import aggregate_table
from siltstone.aggregation.read_plan import Period
from siltstone.aggregation.spec import AggregateSpec, rows_of
from siltstone.cli.main import main
from siltstone.config.series_rules import load_interpretations
from support.fleet import quiet
from support.places import ROOT
from support.plant import Plant

OPENXC = str(ROOT / "conf/examples/openxc.yaml")
SIX = 1_764_568_800  # 2025-12-01T06:00:00Z, 07:00 in Zurich
MEASURES = ("time_weighted_average", "min", "min_ts", "max", "increase", "transitions", "time_in_state")
READINGS: dict[str, list[tuple[int, Any]]] = {  # minutes after six, value
    "valve": [(0, 10.0), (30, 20.0), (60, 30.0), (180, 40.0)],
    "air temperature": [(0, 20.0), (60, 22.0), (120, 24.0), (180, 24.0)],
    "door count": [(0, 5), (30, 9), (60, 2), (180, 3)],
    "room use": [(0, "empty"), (45, "<b>busy & loud</b>"), (60, "empty"), (180, "empty")],
}
RULES = """
measurements:
- match: {measurement: "* count"}
  kind: counter
- match: {measurement: "* temperature"}
  kind: linear
"""


@pytest.fixture(scope="module")
def hourly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hours of four series of one house; no bucket has points from 08:00 to 09:00 UTC but the temperature's."""
    plant = Plant(tmp_path_factory.mktemp("house"))
    lines = [
        json.dumps({"timestamp": SIX + 60 * minute, "name": name, "value": value})
        for name, points in READINGS.items()
        for minute, value in points
    ]
    plant.deliver("records", {"house.json": "\n".join(lines).encode()})
    plant.compact("records.openxc", conf=[OPENXC])
    rules = plant.root / "rules.yaml"
    rules.write_text(RULES)
    terms = AggregateSpec("1h", "Europe/Zurich", measures=MEASURES, rules=rows_of(load_interpretations(str(rules))))
    out = plant.lake / "hourly"
    aggregate_table(str(plant.lake / "readings"), str(out), terms, Period(), plant.config(), plant.engine, quiet)
    return out


@pytest.fixture
def plot(hourly: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Plots the house's table; gives the exit code, and the page, or what was said."""

    def run(*words: str, table: Path = hourly, out: str = "picture.html") -> tuple[int, str]:
        file = tmp_path / out
        code = main(["plot", str(table), "--out", str(file), *words])
        said = capsys.readouterr()
        return code, file.read_text() if code == 0 and out.endswith(".html") else said.out + said.err

    return run


Plot = Callable[..., tuple[int, str]]


def tips(page: str) -> list[str]:
    """The tooltips, in order."""
    return [unescape(text) for text in re.findall(r"<rect[^>]*><title>(.*?)</title>", page, re.DOTALL)]


def texts(page: str) -> list[str]:
    return [unescape(text) for text in re.findall(r"<text[^>]*>(.*?)</text>", page)]


def test_a_page_tells_each_bucket_its_numbers(plot: Plot) -> None:
    code, page = plot("--series", "valve")
    assert code == 0
    # 10 for half an hour and 20 for the other; 30 from seven on; nothing was delivered from eight to nine.
    assert tips(page) == [
        "1 Dec 2025 07:00 to 08:00\ntime_weighted_average 15\nmin 10, max 20\n2 points, good 100 % of the time",
        "1 Dec 2025 08:00 to 09:00\ntime_weighted_average 30\nmin 30, max 30\n1 point, good 100 % of the time",
        "1 Dec 2025 10:00 to 11:00\ntime_weighted_average unknown\n"
        "1 point, good 0 % of the time\nprovisional: later readings can change it",
        "1 Dec 2025 09:00 to 10:00\nno points, so no buckets\n30 holds",
    ]
    said = {"valve", "time_weighted_average, step", "time, Europe/Zurich", "07:00", "provisional", "no points: holds"}
    assert said <= {*texts(page)}


def test_each_series_is_drawn_as_the_tables_rules_read_it(plot: Plot) -> None:
    code, said = plot("--series", "*", "--json", out="picture.PNG")
    drawn = json.loads(said.splitlines()[0])
    assert (code, drawn["zone"], drawn["buckets"]) == (0, "Europe/Zurich", 13)
    assert [(s["series_id"], s["measure"], s["shape"]) for s in drawn["series"]] == [
        ("air temperature", "time_weighted_average", "linear"),
        ("door count", "increase", "bars"),
        ("room use", "time_in_state", "states"),
        ("valve", "time_weighted_average", "step"),
    ]
    assert Path(drawn["out"]).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_times_in_states_are_told_with_the_texts_of_the_data_escaped(plot: Plot) -> None:
    _, page = plot("--measurement", "room*", "--measure", "time_in_state", "--to", "2025-12-01T08:00:00")
    assert tips(page) == [
        "1 Dec 2025 07:00 to 08:00\nempty: 2,700 s\n<b>busy & loud</b>: 900 s\n2 points, good 100 % of the time"
    ]
    assert "<b>" not in page
    assert "&lt;b&gt;busy &amp; loud&lt;/b&gt;" in page


def test_a_number_of_texts_is_not_drawn_but_what_to_ask_for_is_said(plot: Plot) -> None:
    _, page = plot("--series", "room use", "--measure", "time_weighted_average")
    assert any("--measure time_in_state" in text for text in texts(page))
    assert "no points: holds" not in texts(page)
    assert [tip for tip in tips(page) if "no points" in tip] == [
        "1 Dec 2025 09:00 to 10:00\nno points, so no buckets\nempty holds"
    ]


def test_a_page_needs_no_network_and_times_are_of_the_zone_asked_for(plot: Plot) -> None:
    _, page = plot("--series", "valve", "--zone", "UTC")
    assert tips(page)[0].startswith("1 Dec 2025 06:00 to 07:00")
    assert re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!#)", page) == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--series", "vlave"], "no series of .*/hourly has series 'vlave'. Near: valve. Patterns"),
        (["--measurement", "*TEMP"], "has measurement '\\*TEMP'. Near: air temperature"),
        (["--site", "x"], "has site 'x'. Of its 1 sites: _none"),
        (["--device", "x"], "has device 'x'. Its series have no devices: name them by another filter"),
        (["--measure", "median"], "no measure 'median'. There are time_weighted_average"),
        (["--measure", "max,min"], "--measure 'max,min': plot draws one measure. Give one, and another picture for"),
        (["--measure", "p99"], "hourly has no measure 'p99'. It has time_weighted_average, .*siltstone aggregate"),
        (["--measure", "min_ts"], "min_ts is an instant, not a value to draw. It has"),
        (["--zone", "Mars/Gale"], "--zone Mars/Gale: no time zone, expected an IANA name"),
        (
            ["--from", "2027-01-01"],
            "hourly has no buckets in that time. Its buckets start from 2025-12-01T06:00:00Z",
        ),
        (["--from", "2025-12-02", "--to", "2025-12-01"], "--to 2025-12-01 is not after --from 2025-12-02"),
    ],
)
def test_a_wrong_wish_is_answered_with_the_next_move(plot: Plot, words: list[str], said: str) -> None:
    code, text = plot(*words)
    assert code == 2
    assert re.search(said, text), text


def test_a_wrong_file_or_table_is_answered_with_the_next_move(plot: Plot, hourly: Path) -> None:
    code, text = plot(out="picture.pdf")
    assert code == 2
    assert "ends in neither .png nor .html. Give picture.png or .html" in text
    assert "mkdir -p" in plot(out="nowhere/picture.html")[1]
    for other in ("readings", "nothing"):
        code, text = plot(table=hourly.with_name(other))
        assert code == 2
        assert f"{other} is no table of aggregates. Make one: siltstone aggregate" in text


def test_more_series_or_buckets_than_a_picture_shows_are_refused(plot: Plot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siltstone.plotting.series_rows.MOST_BUCKETS", 2)
    assert "has 3 buckets, and a picture shows at most 2. Give --from and --to" in plot("--series", "valve")[1]
    monkeypatch.setattr("siltstone.plotting.series_rows.MOST_SERIES", 3)
    code, text = plot()
    assert code == 2
    assert "4 series fit, and a picture shows at most 3: air temperature, door count" in text
    assert "Name fewer: --series" in text


def test_without_matplotlib_a_png_says_how_to_get_one_and_a_page_is_made(
    plot: Plot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, text = plot(out="picture.png")
    assert code == 2
    assert "pip install 'matplotlib>=3.9'" in text
    assert "--out NAME.html" in text
    assert plot("--series", "valve")[0] == 0
