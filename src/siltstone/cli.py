"""`siltstone <job>`: arguments in, one report out, errors as a sentence and an exit code."""

import argparse
import gc
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from siltstone import __version__
from siltstone.aggregate_command import (
    aggregate_arguments,
    print_conventions,
    rollup_arguments,
    run_aggregate,
    run_rollup,
)
from siltstone.arguments import config_of, setting_arguments
from siltstone.config import Config
from siltstone.engine import OBJECTS_BETWEEN_LOOKS, Engine, LocalEngine, SparkEngine, start_server
from siltstone.errors import SiltstoneError
from siltstone.plot_command import plot_arguments, run_plot
from siltstone.progress import Reporter
from siltstone.publish_command import publish_arguments, run_publish
from siltstone.series_command import asof_arguments, resample_arguments, run_asof, run_resample
from siltstone.session import is_inside_spark, spark_session

_EXIT_CODES = """\
exit codes:
  0  done, also when some input was quarantined
  1  a defect, or a worker that died: nothing was committed
  2  wrong usage or configuration
  3  done, but something was quarantined and --strict was given
  4  other runs committed first, again and again; nothing was committed
  5  the outcome of the commit is unknown; run again, it will find out
  6  storage can't be listed, read or written; nothing was committed
  7  verify found the table not to be what its manifests say
  130, 143  stopped by Ctrl-C or SIGTERM; the next run goes on from what was committed
"""


_SOURCES = "what the input is: datalog, haltian, mortar, sitewise, or records.NAME for a block of the configuration"


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run as Ctrl-C does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parser().parse_args(argv)
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
    return guarded(lambda: int(args.run(args)), debug=args.debug)


def guarded(run: Callable[[], int], *, debug: bool) -> int:
    """Run a job; a SiltstoneError becomes its message on stderr and its exit code, the trace only with `debug`."""
    try:
        with _stopped_by_sigterm():
            return run()
    except SiltstoneError as error:
        if debug:
            raise
        print(f"siltstone: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt as stop:
        print("siltstone: stopped. Run it again: it goes on from what was committed.", file=sys.stderr)  # noqa: T201
        return 143 if isinstance(stop, _Terminated) else 130
    except Exception as error:
        if debug:
            raise
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        print(f"siltstone: unexpected {what}. --debug shows the trace; please report it.", file=sys.stderr)  # noqa: T201
        return 1


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """A first SIGTERM stops what runs inside; a second one kills, and a handler of somebody else's stays."""
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise _Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def compact_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The arguments of the compact job, shared with jobs/compact.py."""
    parser.add_argument("source", help=_SOURCES)
    parser.add_argument("input", help="folder or s3:// URI with the source's files, at any depth; or one file")
    parser.add_argument("lake", help="folder or s3:// URI of tables; the source's are created in it if missing")
    parser.add_argument("--engine", choices=("spark", "local"), help="default: spark inside Spark, else local")
    parser.add_argument(
        "--strict", action="store_true", help="exit 3 if anything was quarantined (the rest is committed)"
    )
    parser.add_argument(
        "--retry-quarantined", action="store_true", help="read files with refused records again, with today's settings"
    )
    parser.add_argument(
        "--format",
        choices=("delta", "parquet"),
        help="of a new table: Delta (default), or plain Parquet for readers without Delta",
    )
    parser.add_argument("--collection", metavar="NAME", help="of mortar: the building or dataset that the files are of")
    parser.add_argument(
        "--since",
        type=_folder_hour,
        metavar="DATE",
        help="look only at folders of this hour and later, by their own clock: YYYY-MM-DD or YYYYMMDDHH (default: all)",
    )
    setting_arguments(parser)
    return parser


def run_compact(args: argparse.Namespace) -> int:
    """Compact as the arguments say, print the summary; 3 if --strict and something was quarantined."""
    given = [] if args.collection is None else [f"sources.mortar.collection={args.collection}"]
    config = config_of(args, *given)
    _prepare(args.engine)
    from siltstone.compaction import compact
    from siltstone.show import print_summary

    with Reporter() as progress:
        engine = engine_of(args.engine, config)
        chosen = {"retry_quarantined": args.retry_quarantined, "since": args.since}
        summary = compact(args.source, args.input, args.lake, config, engine, progress, **chosen)
    print_summary(summary, as_json=args.json)
    counts = ("files_quarantined", "files_salvaged", "records_quarantined")
    refused = sum(table[count] for table in summary.get("tables", [summary]) for count in counts)
    return 3 if args.strict and refused else 0


def _prepare(engine: str | None) -> None:
    """Let what workers import be imported while this process imports the rest."""
    if not _is_spark(engine):
        start_server()


def _is_spark(engine: str | None) -> bool:
    return engine == "spark" or (engine is None and is_inside_spark())


def engine_of(name: str | None, config: Config) -> Engine:
    """The engine of that name: the Spark session that there is, or a pool of processes."""
    if _is_spark(name):
        return SparkEngine(spark_session("siltstone"))
    return LocalEngine(config.engine.workers)


def _survey(args: argparse.Namespace) -> int:
    from siltstone.show import print_keyed_surveys, print_survey
    from siltstone.survey import survey_input

    config = config_of(args)
    files = None if args.all else args.files or config.survey.files
    found = survey_input(args.source, args.input, config, files)
    if isinstance(found, list):
        print_keyed_surveys(found, as_json=args.json)
    else:
        print_survey(found, as_json=args.json)
    return 0


def _show(args: argparse.Namespace) -> int:
    from siltstone.describe import describe_lake
    from siltstone.show import print_lake

    config = config_of(args)
    print_lake(describe_lake(args.lake, args.table, config), as_json=args.json)
    return 0


def _settle(args: argparse.Namespace) -> int:
    from siltstone.describe import no_aggregates, open_table
    from siltstone.settling import settle
    from siltstone.show import print_settled

    config = config_of(args)
    with Reporter() as progress:
        table = no_aggregates(open_table(args.lake, args.table, config.storage), "each run writes whole dates anew")
        summary = settle(table, config, engine_of(args.engine, config), progress, dry_run=args.dry_run)
    print_settled(summary, as_json=args.json)
    return 0


def _verify(args: argparse.Namespace) -> int:
    config = config_of(args)
    _prepare(args.engine)
    from siltstone.describe import no_aggregates, open_table
    from siltstone.show import print_verified
    from siltstone.verification import verify

    with Reporter() as progress:
        table = open_table(args.lake, args.table, config.storage)
        no_aggregates(table, "siltstone aggregate with --full computes it again from its input")
        summary = verify(table, config, engine_of(args.engine, config), progress)
    print_verified(summary, as_json=args.json)
    return 7 if summary["problems"] else 0


def _vacuum(args: argparse.Namespace) -> int:
    from siltstone.describe import open_table
    from siltstone.show import print_vacuumed
    from siltstone.vacuuming import vacuum

    config = config_of(args)
    with Reporter() as progress:
        summary = vacuum(open_table(args.lake, args.table, config.storage), config, progress, dry_run=args.dry_run)
    print_vacuumed(summary, as_json=args.json)
    return 0


def _quarantine(args: argparse.Namespace) -> int:
    from siltstone.describe import quarantined
    from siltstone.show import print_quarantine

    config = config_of(args)
    print_quarantine(quarantined(args.lake, args.table, config.storage), limit=args.limit, as_json=args.json)
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from siltstone.doctor import examine, print_findings

    config = config_of(args)
    return print_findings(examine(args.lake, config.storage), as_json=args.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="siltstone",
        description="Floods of small telemetry files become few well-sized Parquet/Delta files; nothing is lost.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"siltstone {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], what: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=what, description=what, epilog=_EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        sub.set_defaults(run=run)
        return sub

    compact_arguments(command("compact", run_compact, "bring everything new at INPUT into a table of LAKE"))

    survey = command("survey", _survey, "fields, types met, fill rate, conflicts and suggested hints of an input")
    survey.add_argument("source", help=_SOURCES)
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

    show = command("show", _show, "rows, files, sizes, partitions, runs, drift and quarantine of a lake's tables")
    show.add_argument("lake", help="folder or s3:// URI of tables")
    show.add_argument("table", nargs="?", help="one table; default: all")
    setting_arguments(show)

    settle = command("settle", _settle, "merge undersized files of a table; no row changes")
    settle.add_argument("lake", help="folder or s3:// URI of tables")
    settle.add_argument("table", help="table name, such as datalog")
    settle.add_argument("--engine", choices=("spark", "local"), help="default: spark inside Spark, else local")
    settle.add_argument("--dry-run", action="store_true", help="print the plan and change nothing")
    setting_arguments(settle)

    verify = command("verify", _verify, "read sources and table again and prove every account against the manifests")
    verify.add_argument("lake", help="folder or s3:// URI of tables")
    verify.add_argument("table", help="table name, such as datalog")
    verify.add_argument("--engine", choices=("spark", "local"), help="default: spark inside Spark, else local")
    setting_arguments(verify)

    vacuum = command("vacuum", _vacuum, "delete files that no run needs, once they are older than vacuum.grace_hours")
    vacuum.add_argument("lake", help="folder or s3:// URI of tables")
    vacuum.add_argument("table", help="table name, such as datalog")
    vacuum.add_argument("--dry-run", action="store_true", help="list what would be deleted and delete nothing")
    setting_arguments(vacuum)

    quarantine = command("quarantine", _quarantine, "each refused record or file: where, why, and its bytes")
    quarantine.add_argument("lake", help="folder or s3:// URI of tables")
    quarantine.add_argument("table", help="table name, such as datalog")
    quarantine.add_argument("--limit", type=_positive, default=100, metavar="N", help="entries to print (default: 100)")
    setting_arguments(quarantine)

    doctor = command("doctor", _doctor, "Java, Python, Spark and Delta, memory, write access: found, needed, the fix")
    doctor.add_argument("lake", nargs="?", default=".", help="where tables will be written (default: this folder)")
    setting_arguments(doctor)
    return parser


def _folder_hour(text: str) -> datetime:
    for shape, form in ((r"\d{4}-\d\d-\d\d", "%Y-%m-%d"), (r"\d{10}", "%Y%m%d%H")):
        if re.fullmatch(shape, text, re.ASCII):
            try:
                return datetime.strptime(text, form)
            except ValueError:
                break
    raise argparse.ArgumentTypeError(f"{text!r} is no date: give YYYY-MM-DD or YYYYMMDDHH, such as 2025-12-10")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
