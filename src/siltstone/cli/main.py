"""`siltstone <job>`: arguments in, one report out, errors as a sentence and an exit code."""

import argparse
import gc
import sys
from collections.abc import Callable, Sequence

from siltstone.cli.aggregate import aggregate_arguments, print_conventions, rollup_arguments, run_aggregate, run_rollup
from siltstone.cli.arguments import setting_arguments
from siltstone.cli.compact import compact_arguments, run_compact
from siltstone.cli.plot import plot_arguments, run_plot
from siltstone.cli.publish import publish_arguments, run_publish
from siltstone.cli.run import EXIT_CODES, SOURCES, engine_of, guarded
from siltstone.cli.series import asof_arguments, resample_arguments, run_asof, run_resample
from siltstone.cli.tables import run_doctor, run_quarantine, run_settle, run_show, run_survey, run_vacuum, run_verify
from siltstone.engine.local import OBJECTS_BETWEEN_LOOKS
from siltstone.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parser().parse_args(argv)
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
    return guarded(lambda: int(args.run(args)), debug=args.debug)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="siltstone",
        description="Floods of small telemetry files become few well-sized Parquet/Delta files; nothing is lost.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"siltstone {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], what: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=what, description=what, epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        sub.set_defaults(run=run)
        return sub

    compact_arguments(command("compact", run_compact, "bring everything new at INPUT into a table of LAKE"))

    survey = command("survey", run_survey, "fields, types met, fill rate, conflicts and suggested hints of an input")
    survey.add_argument("source", help=SOURCES)
    survey.add_argument("input", help="folder or s3:// URI with the source's files")
    survey.add_argument(
        "--files", type=_positive, metavar="N", help="read N files, evenly spread (default: survey.files)"
    )
    survey.add_argument("--all", action="store_true", help="read every file")
    setting_arguments(survey)

    aggregate = "time-weighted aggregates of a table's series, in buckets; only what changed is computed again"
    aggregate_arguments(command("aggregate", lambda args: run_aggregate(args, engine_of), aggregate))
    rollup = "coarser buckets from a table of aggregates, by its states; readings are not read again"
    rollup_arguments(command("rollup", lambda args: run_rollup(args, engine_of), rollup))

    conventions = command(
        "conventions",
        lambda args: print_conventions(as_json=args.json),
        "whose definitions --convention knows: rules and measures",
    )
    setting_arguments(conventions)

    plot = "draw series of a table of aggregates: values, min to max, coverage; a PNG or a page for the browser"
    plot_arguments(command("plot", run_plot, plot))

    resample = "values of a table's series at the instants of a regular grid, gaps filled"
    resample_arguments(command("resample", lambda args: run_resample(args, engine_of), resample))
    asof = "to each row of a table the row of another that was in force at its time, or comes next, or is nearest"
    asof_arguments(command("asof", lambda args: run_asof(args, engine_of), asof))

    publish_arguments(command("publish", run_publish, "write readings as files for others: Mortar's Parquet layout"))

    show = command("show", run_show, "rows, files, sizes, partitions, runs, drift and quarantine of a lake's tables")
    show.add_argument("lake", help="folder or s3:// URI of tables")
    show.add_argument("table", nargs="?", help="one table; default: all")
    setting_arguments(show)

    settle = command("settle", run_settle, "merge undersized files of a table; no row changes")
    settle.add_argument("lake", help="folder or s3:// URI of tables")
    settle.add_argument("table", help="table name, such as datalog")
    settle.add_argument("--engine", choices=("spark", "local"), help="default: spark inside Spark, else local")
    settle.add_argument("--dry-run", action="store_true", help="print the plan and change nothing")
    setting_arguments(settle)

    verify = command("verify", run_verify, "read sources and table again and prove every account against the manifests")
    verify.add_argument("lake", help="folder or s3:// URI of tables")
    verify.add_argument("table", help="table name, such as datalog")
    verify.add_argument("--engine", choices=("spark", "local"), help="default: spark inside Spark, else local")
    setting_arguments(verify)

    vacuum = command("vacuum", run_vacuum, "delete files that no run needs, older than vacuum.grace_hours")
    vacuum.add_argument("lake", help="folder or s3:// URI of tables")
    vacuum.add_argument("table", help="table name, such as datalog")
    vacuum.add_argument("--dry-run", action="store_true", help="list what would be deleted and delete nothing")
    setting_arguments(vacuum)

    quarantine = command("quarantine", run_quarantine, "each refused record or file: where, why, and its bytes")
    quarantine.add_argument("lake", help="folder or s3:// URI of tables")
    quarantine.add_argument("table", help="table name, such as datalog")
    quarantine.add_argument("--limit", type=_positive, default=100, metavar="N", help="entries to print (default: 100)")
    setting_arguments(quarantine)

    doctor = command("doctor", run_doctor, "Java, Python, Spark and Delta, memory, write access: found, needed, fix")
    doctor.add_argument("lake", nargs="?", default=".", help="where tables will be written (default: this folder)")
    setting_arguments(doctor)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
