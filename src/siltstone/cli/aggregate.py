"""`siltstone aggregate` and `siltstone rollup`: their arguments, and what people read of them on stdout."""

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from siltstone.cli.arguments import (
    columns_of,
    config_of,
    filter_arguments,
    filters_of,
    origin_argument,
    period_arguments,
    period_of,
    reading_arguments,
    table_arguments,
    tell_if_nothing,
)
from siltstone.cli.progress import Reporter
from siltstone.engine.tasks import Engine
from siltstone.errors import UsageError

_EVERY = "length of a bucket: 1m 5m 15m 1h 1d 1w 1mo, any such length, or shifts@06:00,18:00"
_MEASURE = (
    "a measure, repeatable: time_weighted_average, integral, transitions, first, last, start_value, end_value, min, "
    "min_ts, max, max_ts, count, sum, mean, stddev, time_weighted_stddev, increase; also time_in_state, and quantiles "
    "such as p50 or p99"
)
_TASKS = ("siltstone.aggregation.state_tasks", "siltstone.aggregation.finish_tasks")


def aggregate_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The arguments of the aggregate job, shared with jobs/aggregate.py."""
    parser.add_argument("input", help="a table: LAKE/readings, or a wide one such as LAKE/datalog with --columns")
    parser.add_argument("output", help="folder or s3:// URI of the table of aggregates; created if missing")
    parser.add_argument("--every", metavar="LENGTH", help=f"{_EVERY}; default: by the range of --from and --to")
    _bucket_arguments(parser, zone="UTC", measure="all of these numbers", empty="skip")
    period_arguments(
        parser,
        "buckets that start at or after",
        "buckets that start before; values hold until then (default: to the table's latest instant)",
    )
    filter_arguments(parser)
    reading_arguments(parser)
    parser.add_argument(
        "--min-pct-good",
        type=float,
        default=0.0,
        metavar="PCT",
        help="values of buckets with less good time are null (default: 0)",
    )
    parser.add_argument(
        "--integral-unit",
        choices=("s", "m", "h", "d"),
        default="s",
        help="what integrals are over: value x seconds (default), minutes, hours (kWh of kW) or days",
    )
    parser.add_argument(
        "--convention",
        choices=("default", "opcua", "toolkit", "flux", "sitewise"),
        default="default",
        help="whose definitions: siltstone's own (default), or another system's, to compare with",
    )
    parser.add_argument(
        "--full", action="store_true", help="compute every bucket again, not only those that changed files touch"
    )
    table_arguments(parser)
    return parser


def rollup_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The arguments of the rollup job."""
    parser.add_argument("base", help="a table that siltstone aggregate has made")
    parser.add_argument("output", help="folder or s3:// URI of the coarser table; created if missing")
    parser.add_argument("--every", metavar="LENGTH", required=True, help=_EVERY)
    _bucket_arguments(parser, zone="the base's", measure="the base's", empty="the base's")
    table_arguments(parser)
    return parser


def _bucket_arguments(parser: argparse.ArgumentParser, *, zone: str, measure: str, empty: str) -> None:
    """How buckets are cut and what is told of them; `zone`, `measure`, `empty`: what is so by default."""
    parser.add_argument(
        "--zone",
        metavar="ZONE",
        help=f"IANA zone of days, weeks, months, shifts and dates (default: {zone})",
    )
    origin_argument(parser, "at which a bucket starts")
    parser.add_argument(
        "--measure", action="append", default=[], metavar="NAME", help=f"{_MEASURE} (default: {measure})"
    )
    parser.add_argument(
        "--empty",
        choices=("skip", "carry"),
        help=f"buckets without points: skip: no row; carry: one with the value carried in (default: {empty})",
    )


def run_aggregate(args: argparse.Namespace, engine_of: Any) -> int:
    """Aggregate as the arguments say, print the summary; 0."""
    config = config_of(args)
    engine: Engine = engine_of(args.engine, config)
    engine.start()
    from siltstone.aggregation.spec import AggregateSpec, checked_convention, checked_measures, rows_of
    from siltstone.config.series_rules import load_interpretations
    from siltstone.timeseries.buckets import auto_resolution

    zone = args.zone or "UTC"
    period = period_of(args, zone)
    if not 0 <= args.min_pct_good <= 100:
        raise UsageError(f"--min-pct-good {args.min_pct_good:g} is no percentage", "Give one from 0 to 100.")
    if args.convention != "default" and (args.empty or args.min_pct_good):
        raise UsageError(
            "--empty and --min-pct-good are siltstone's own",
            f"Leave them out: {args.convention} has its own rules, which siltstone conventions tells.",
        )
    every = args.every
    if every is None:
        if args.start is None or args.end is None:
            raise UsageError(
                "no --every", "Give one, such as --every 1h, or --from and --to for a resolution by range."
            )
        every = auto_resolution(period.end_us - period.start_us)
        if every == "raw":
            raise UsageError("a range below 2 hours is best read as it is", "Read the table itself, or give --every.")
    terms = AggregateSpec(
        every=every,
        zone=zone,
        origin=args.origin,
        measures=checked_measures(tuple(args.measure))
        if args.convention == "default"
        else checked_convention(args.convention, tuple(args.measure)),
        convention=args.convention,
        integral_unit=args.integral_unit,
        columns=columns_of(args),
        **filters_of(args),
        empty=args.empty or "skip",
        min_pct_good=args.min_pct_good,
        rules=rows_of(load_interpretations(args.measurements)),
    )
    engine.warm_up(2, _TASKS)  # they import the rest while this process does
    with Reporter() as progress:
        if args.convention == "default":
            from siltstone.aggregation.aggregate import aggregate_table

            summary = aggregate_table(args.input, args.output, terms, period, config, engine, progress, full=args.full)
        else:
            from siltstone.aggregation.convention import aggregate_by_convention

            summary = aggregate_by_convention(args.input, args.output, terms, period, config, engine, progress)
    tell_if_nothing(summary, args.input)
    print_aggregated(summary, as_json=args.json)
    return 0


def run_rollup(args: argparse.Namespace, engine_of: Any) -> int:
    """Roll up as the arguments say, print the summary; 0."""
    config = config_of(args)
    from siltstone.aggregation.rollup import rollup_table
    from siltstone.aggregation.spec import RollupSpec, checked_measures

    measures = checked_measures(tuple(args.measure)) if args.measure else ()
    spec = RollupSpec(args.every, args.zone, args.origin, measures, args.empty)
    with Reporter() as progress:
        engine: Engine = engine_of(args.engine, config)
        summary = rollup_table(args.base, args.output, spec, config, engine, progress)
    print_aggregated(summary, as_json=args.json)
    return 0


def print_aggregated(summary: Mapping[str, Any], *, as_json: bool) -> None:
    """What was computed, for people, and with `as_json` one JSON object on the last line."""
    s, console = summary, Console(soft_wrap=True, highlight=False, markup=False)
    if not s["run"]:
        lines = [f"nothing to do: {s['table']} is what its {s['files_known']:,} data files say ({s['seconds']:.1f} s)"]
    else:
        watermark = datetime.fromtimestamp(s["watermark_us"] / 1e6, UTC).isoformat(timespec="seconds")
        provisional = f", {s['provisional']:,} provisional (they end after {watermark})" if s["provisional"] else ""
        read = [
            f"read         {s['rows_in']:,} rows: {s['points']:,} points + {s['repeated']:,} repeated + "
            f"{s['rows_left_out']:,} left out"
            if "repeated" in s
            else f"read         {s['rows_in']:,} rows, by the convention {s['convention']}"
            if "convention" in s
            else f"read         {s['rows_in']:,} rows of {s['base']} with {s['points']:,} points; no readings"
        ]
        touched = s.get("buckets_touched")
        lines = [
            *read,
            *([f"touched      {touched:,} buckets by new, changed or gone files"] if touched is not None else []),
            f"buckets      {s['rows_out']:,} rows of {s['every']} for {s['series']:,} series{provisional}",
            f"written      {s['files_written']:,} files, {s['bytes_written'] / 1e6:,.1f} MB"
            + (f"; {s['files_removed']:,} replaced" if s["files_removed"] else ""),
            f"table        {s['table']} (run {s['run']}, {s['engine']}, {s['seconds']:.1f} s)",
        ]
    console.print(*lines, sep="\n", soft_wrap=True)
    if as_json:
        print(json.dumps(s, default=str), flush=True)  # noqa: T201


def print_conventions(*, as_json: bool) -> int:
    """The rules and measures of every convention; 0."""
    from siltstone.timeseries.conventions import MEASURES, RULES

    console = Console(highlight=False, markup=False)
    for name, rules in RULES.items():
        console.print(f"{name}\n  {rules}\n  measures: {', '.join(MEASURES[name])}\n")
    if as_json:
        print(json.dumps({name: {"rules": RULES[name], "measures": MEASURES[name]} for name in RULES}))  # noqa: T201
    return 0
