"""The main job: each table of a source takes in what is new at the input, in as many runs as that needs."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from siltstone import sources
from siltstone.config.model import Config
from siltstone.config.task_settings import options_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import UsageError
from siltstone.ingest.each_table import EachTable
from siltstone.ingest.listing import Listing, list_input
from siltstone.ingest.strategy import Strategy, strategy_of
from siltstone.ingest.summary import minute
from siltstone.ingest.table_run import FEW_TASKS, RunContext, TableRun
from siltstone.model.run_summary import CompactSummary, TableSummary
from siltstone.storage import Storage, open_input, open_root
from siltstone.table.delta_table import Table
from siltstone.table.open import refuse_table, table_at


def compact(
    source_name: str,
    input_uri: str,
    lake_uri: str,
    config: Config,
    engine: Engine,
    progress: Progress,
    *,
    retry_quarantined: bool = False,
    since: datetime | None = None,
) -> CompactSummary:
    """Bring everything new at the input into the lake's table, and return the run's summary.

    A source with several tables has a run for each that finds files or is there already. A file that comes again with
    other content replaces its former rows. With `retry_quarantined` files with refused records are read again, for new
    limits or another window. With `since` (by the clock of the folders) files in folders of an earlier hour are not
    looked at; a later run takes them. Undersized files are merged afterwards.
    A table that fails leaves the others their turn. Raises PartlyError, with the summary, where a part is committed,
    another SiltstoneError when nothing is; quarantined input is no error.
    """
    engine.start()
    options = options_of(config, source_name)
    datasets = sources.datasets(source_name, options)
    (store, only), lake = open_input(input_uri, config.storage), open_root(lake_uri, config.storage)
    _refuse_places(store, lake)
    progress(f"listing {store.root}", 0, 0, 0)
    listings = list_input(store, datasets, config.compaction.source_root, since, only)
    tables = [table_at(lake.child(d.contract.table), d.contract, config.compaction.format) for d in datasets]
    tables = [table.for_writing() for table in tables]
    done = EachTable(source_name, is_of_one_table=len(datasets) == 1)
    are_new = [done.is_new(t, has_files=bool(found.files.height)) for t, found in zip(tables, listings, strict=True)]
    if all(are_new):
        refuse_table(lake)
    context = RunContext(config, engine, progress, retry_quarantined)
    for dataset, listing, table, is_new in zip(datasets, listings, tables, are_new, strict=True):
        if is_new is None or (not listing.files.height and (len(datasets) > 1 or is_new)) or done.is_over:
            continue
        strategy = strategy_of(dataset)
        with done.turn(table.storage.root) as turn:
            if is_new:
                engine.warm_up(FEW_TASKS, strategy.modules)  # there is work for sure
                table.create()
            for batch in _batches(strategy, options, store, table, context, listing):
                turn.batches.append(batch)
            if strategy.is_optimized:
                turn.settle(table, config, engine, progress)
    summary = done.summary()
    if summary is None:
        limit = f" in folders since {minute(since)}" if since else ""
        expected = " or ".join(d.layout for d in datasets)
        raise UsageError(f"no {source_name} files below {store.root}{limit}", f"Expected {expected}.")
    return summary


def _refuse_places(store: Storage, lake: Storage) -> None:
    if not store.exists():
        raise UsageError(f"there is no input at {store.root}", "Give an existing folder.")
    if "%" in lake.root:
        raise UsageError(
            f"the lake {lake.root} has a % in its path, which Delta readers take for an escape", "Rename it."
        )
    if f"{lake.root}/".startswith(f"{store.root}/"):
        raise UsageError(f"the lake {lake.root} lies inside the input {store.root}", "Give a lake outside of it.")


def _batches(
    strategy: Strategy,
    options: Mapping[str, Any],
    store: Storage,
    table: Table,
    context: RunContext,
    listing: Listing,
) -> Iterator[TableSummary]:
    """Bring a listing into its table, with a commit for each batch of files; the summary of each."""
    has_more = True
    while has_more:
        run = TableRun(strategy, options, store, table, context)
        summary = run.until_committed(listing)
        yield summary
        has_more = bool(summary.files_later)
        listing = listing.without(run.deferred)
