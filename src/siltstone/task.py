"""One task: the files of one bin become sorted Parquet files, and a report of every record."""

from collections.abc import Iterator
from functools import partial

from siltstone import sources
from siltstone.accounts import FileAccount
from siltstone.bins import Bin, Report
from siltstone.contracts import Contract
from siltstone.errors import AccountsError
from siltstone.home_rows import HomeReader
from siltstone.merging import Run, SortedMerge
from siltstone.quarantine import QuarantineWriter
from siltstone.writing import PartitionWriter, folder_of

_ALL_AT_ONCE_BYTES = 4 << 20
_SEGMENT_BYTES = 512 << 10


def run_bin(task: Bin) -> Report:
    """Read, conform, sort and write one bin. Raises AccountsError if a file's account does not close."""
    contract = sources.dataset(task.dataset, task.options).contract
    if contract.is_history:
        from siltstone.keyed.history import run_history

        return run_history(task)
    if contract.key:
        from siltstone.keyed.task import run_keyed

        return run_keyed(task)
    return _run_home(task, contract)


def import_keyed() -> None:
    """Import what bins of keyed datasets need beside the rest, before the first one comes."""
    import siltstone.keyed.task
    import siltstone.rewriting  # noqa: F401


def _run_home(task: Bin, contract: Contract) -> Report:
    """One bin of a wide dataset, to one partition."""
    table, settings, partition = task.table, task.settings, task.partition
    assert partition is not None
    quarantine = QuarantineWriter(table, settings.raw_bytes)
    reader = HomeReader(task, quarantine)
    merge = SortedMerge(
        list(_runs(task, reader)),
        sort_by=contract.sort_by,
        chunk_bytes=settings.group_bytes,
        memory_bytes=settings.memory_bytes,
    )
    writer = PartitionWriter(
        table,
        contract,
        partition,
        [f.identity for f in task.files],
        sizes=settings.sizes,
        group_bytes=settings.group_bytes,
        schema=lambda: reader.schema,
        expected=lambda: reader.unread_share * task.expected_bytes,
        is_staged=task.is_staged,
    )
    while (chunk := merge.next_chunk(fresh_file=writer.at_start)) is not None:
        writer.write(chunk.table, breaks=chunk.breaks)
    writer.close()
    return Report(
        files=list(_closed(task, reader, writer, folder_of(contract, partition))),
        outputs=writer.outputs,
        new_columns=list(reader.schema.columns[len(task.schema.columns) :]),
        deferred=reader.deferred,
        quarantine=quarantine.close(),
    )


def _closed(task: Bin, reader: HomeReader, writer: PartitionWriter, folder: str) -> Iterator[FileAccount]:
    for index, (file, account) in enumerate(zip(task.files, reader.accounts(), strict=True)):
        if file.role == "reference" and account.state != "deferred":
            continue
        if problems := account.account.problems():
            raise AccountsError(file.identity, problems)
        account.outputs = sorted(writer.outputs_of.get(index, ()))
        if account.account.duplicates_dropped:
            account.folders = [folder]
        yield account


def _runs(task: Bin, reader: HomeReader) -> Iterator[Run]:
    """The bin's files in segments, each opened when the merge reaches the first unit of its files."""
    references = [i for i, f in enumerate(task.files) if f.role == "reference"]
    files = [i for i, f in enumerate(task.files) if f.role != "reference"]
    yield Run("", partial(reader.read, references))
    if sum(task.files[i].size for i in files) <= _ALL_AT_ONCE_BYTES:
        reader.fetching.expect([*references, *files])
        yield Run("", partial(reader.read, files))
        return
    peeked = sorted(zip(reader.first_units(files), files, strict=True))
    reader.fetching.expect([*references, *(i for _, i in peeked)])
    segment: list[tuple[str, int]] = []
    for place, unit_and_file in enumerate(peeked, 1):
        segment.append(unit_and_file)
        if sum(task.files[i].size for _, i in segment) >= _SEGMENT_BYTES or place == len(peeked):
            yield Run(segment[0][0], partial(reader.read, [i for _, i in segment]))
            segment = []
