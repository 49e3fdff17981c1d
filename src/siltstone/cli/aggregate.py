"""`siltstone aggregate`: what is asked for is checked first, then it runs."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from siltstone.cli.arguments import (
    EVERY_HELP,
    bucket_arguments,
    columns_of,
    config_of,
    filter_arguments,
    filters_of,
    measures_of,
    output_arguments,
    period_arguments,
    period_of,
    reading_arguments,
    rules_file,
)
from siltstone.cli.progress import Reporter
from siltstone.cli.remarks import remark_if_nothing, remark_on_capitals
from siltstone.cli.run import engine_of
from siltstone.errors import UsageError

if TYPE_CHECKING:
    from siltstone.aggregation.read_plan import Period
    from siltstone.aggregation.spec import AggregateSpec
    from siltstone.config.model import Config
    from siltstone.engine.tasks import Engine, Progress
    from siltstone.model.contracts import Contract

EXAMPLE = "siltstone aggregate LAKE/readings LAKE/hourly --every 1h --measure time_weighted_average,min,max"
_TASKS = ("siltstone.aggregation.state_tasks", "siltstone.aggregation.finish_tasks")


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of aggregate."""
    parser.add_argument(
        "input", metavar="INPUT", help="a table: LAKE/readings, or a wide one such as LAKE/datalog with --columns"
    )
    parser.add_argument(
        "output", metavar="OUTPUT", help="folder or s3:// URI of the table of aggregates; created if missing"
    )
    parser.add_argument("--every", metavar="LENGTH", help=f"{EVERY_HELP}; default: by the range of --from and --to")
    bucket_arguments(parser, zone="UTC", measure="all of these numbers", empty="skip")
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
    output_arguments(parser)


@dataclass(frozen=True)
class AggregateRequest:
    """What the command is asked for, checked as far as that goes without looking at a table."""

    input: str
    output: str
    spec: "AggregateSpec"
    period: "Period"
    full: bool

    @property
    def contract(self) -> "Contract":
        """That of the table that is made."""
        if self.spec.convention != "default":
            from siltstone.aggregation.convention_tasks import contract_of_convention

            return contract_of_convention(self.spec)
        from siltstone.aggregation.output_rows import contract_of

        return contract_of(self.spec)

    def run(self, config: "Config", engine: "Engine", progress: "Progress") -> Mapping[str, Any]:
        """Aggregate by siltstone's definitions or the convention's; the summary."""
        given = self.input, self.output, self.spec, self.period, config, engine, progress
        if self.spec.convention != "default":
            from siltstone.aggregation.convention import aggregate_by_convention

            return aggregate_by_convention(*given)
        from siltstone.aggregation.aggregate import aggregate_table

        return aggregate_table(*given, full=self.full)


def request_of(args: argparse.Namespace) -> AggregateRequest:
    """The request that the arguments make; UsageError or ConfigError where they contradict each other or say nothing
    that there is."""
    from siltstone.aggregation.spec import AggregateSpec, rows_of
    from siltstone.config.series_rules import load_interpretations

    _check_options(args)
    zone = args.zone or "UTC"
    period = period_of(args, zone)
    spec = AggregateSpec(
        every=args.every or _every_of(args, period),
        zone=zone,
        origin=args.origin,
        measures=_measures(args),
        convention=args.convention,
        integral_unit=args.integral_unit,
        columns=columns_of(args),
        **filters_of(args),
        empty=args.empty or "skip",
        min_pct_good=args.min_pct_good,
        rules=rows_of(load_interpretations(rules_file(args))),
    )
    return AggregateRequest(args.input, args.output, spec, period, args.full)


def _check_options(args: argparse.Namespace) -> None:
    if not 0 <= args.min_pct_good <= 100:
        raise UsageError(f"--min-pct-good {args.min_pct_good:g} is no percentage", "Give one from 0 to 100.")
    if args.convention != "default" and (args.empty or args.min_pct_good):
        raise UsageError(
            "--empty and --min-pct-good are siltstone's own",
            f"Leave them out: {args.convention} has its own rules, which siltstone conventions tells.",
        )


def _measures(args: argparse.Namespace) -> tuple[str, ...]:
    from siltstone.aggregation.spec import checked_convention, checked_measures

    if args.convention == "default":
        return checked_measures(measures_of(args))
    return checked_convention(args.convention, measures_of(args))


def _every_of(args: argparse.Namespace, period: "Period") -> str:
    """The length of a bucket that suits the range."""
    from siltstone.timeseries.buckets import auto_resolution

    if args.start is None or args.end is None:
        raise UsageError("no --every", "Give one, such as --every 1h, or --from and --to for a resolution by range.")
    every = auto_resolution(period.end_us - period.start_us)
    if every == "raw":
        raise UsageError("a range below 2 hours is best read as it is", "Read the table itself, or give --every.")
    return every


def run(args: argparse.Namespace) -> int:
    """Aggregate as the arguments say, print the summary; 0."""
    config = config_of(args)
    engine = engine_of(args.engine, config)
    engine.start()
    from siltstone.cli.printing_tables import print_aggregated

    request = request_of(args)
    engine.warm_up(2, _TASKS)  # they import the rest while this process does
    with Reporter() as progress:
        summary = request.run(config, engine, progress)
    remark_if_nothing(summary, args.input)
    remark_on_capitals(summary, request.contract, config, rules_file(args))
    print_aggregated(summary, as_json=args.json)
    return 0
