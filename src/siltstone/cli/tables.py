"""The commands that look at one table or take care of it: show, settle, verify, vacuum, quarantine."""

import argparse

from siltstone.cli.arguments import config_of
from siltstone.cli.progress import Reporter
from siltstone.cli.run import engine_of, prepare_engine


def run_survey(args: argparse.Namespace) -> int:
    from siltstone.cli.printing import print_keyed_surveys, print_survey
    from siltstone.ingest.survey import survey_input

    config = config_of(args)
    files = None if args.all else args.files or config.survey.files
    found = survey_input(args.source, args.input, config, files)
    if isinstance(found, list):
        print_keyed_surveys(found, as_json=args.json)
    else:
        print_survey(found, as_json=args.json)
    return 0


def run_show(args: argparse.Namespace) -> int:
    from siltstone.cli.printing import print_lake
    from siltstone.maintenance.describe import describe_lake

    config = config_of(args)
    print_lake(describe_lake(args.lake, args.table, config), as_json=args.json)
    return 0


def run_settle(args: argparse.Namespace) -> int:
    from siltstone.cli.printing import print_settled
    from siltstone.maintenance.describe import no_aggregates, open_table
    from siltstone.maintenance.optimize import settle

    config = config_of(args)
    with Reporter() as progress:
        table = no_aggregates(open_table(args.lake, args.table, config.storage), "each run writes whole dates anew")
        summary = settle(table, config, engine_of(args.engine, config), progress, dry_run=args.dry_run)
    print_settled(summary, as_json=args.json)
    return 0


def run_verify(args: argparse.Namespace) -> int:
    config = config_of(args)
    prepare_engine(args.engine)
    from siltstone.cli.printing import print_verified
    from siltstone.maintenance.describe import no_aggregates, open_table
    from siltstone.maintenance.verify import verify

    with Reporter() as progress:
        table = open_table(args.lake, args.table, config.storage)
        no_aggregates(table, "siltstone aggregate with --full computes it again from its input")
        summary = verify(table, config, engine_of(args.engine, config), progress)
    print_verified(summary, as_json=args.json)
    return 7 if summary["problems"] else 0


def run_vacuum(args: argparse.Namespace) -> int:
    from siltstone.cli.printing import print_vacuumed
    from siltstone.maintenance.describe import open_table
    from siltstone.maintenance.vacuum import vacuum

    config = config_of(args)
    with Reporter() as progress:
        summary = vacuum(open_table(args.lake, args.table, config.storage), config, progress, dry_run=args.dry_run)
    print_vacuumed(summary, as_json=args.json)
    return 0


def run_quarantine(args: argparse.Namespace) -> int:
    from siltstone.cli.printing import print_quarantine
    from siltstone.maintenance.describe import quarantined

    config = config_of(args)
    print_quarantine(quarantined(args.lake, args.table, config.storage), limit=args.limit, as_json=args.json)
    return 0


def run_doctor(args: argparse.Namespace) -> int:
    from siltstone.cli.doctor import examine, print_findings

    config = config_of(args)
    return print_findings(examine(args.lake, config.storage), as_json=args.json)
