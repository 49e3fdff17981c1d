"""A task's source files, asked for before they are needed where the store is slow."""

from collections import deque
from collections.abc import Iterator, Sequence

from siltstone.ingest.task_spec import SourceFile
from siltstone.storage import Fetched, Storage

_HEAD_BYTES = 16 << 10
_KEPT_FILE_BYTES = 256 << 10
_KEPT_BYTES = 32 << 20


class Prefetch:
    """The files of one task, named by their index."""

    def __init__(self, storage: Storage, files: Sequence[SourceFile]) -> None:
        self._storage, self._files = storage, files
        self._kept: dict[int, Fetched | None] = {}
        self._expected: deque[int] = deque()
        self._coming: Iterator[Fetched | None] = iter(())

    def heads(self, indices: Sequence[int]) -> Iterator[bytes]:
        """The first 16 KiB of each file, none of one that is gone.

        Of a store where a call costs more than its bytes small files are read whole and kept for `take`.
        """
        whole = self._worth_keeping(indices)
        sizes = [self._files[i].size if i in whole else _HEAD_BYTES for i in indices]

        def head(index: int) -> bytes:
            if index not in whole:
                return self._storage.read_head(self._files[index].path, _HEAD_BYTES)
            fetched = self._kept[index] = self._storage.read(self._files[index].path)
            return fetched.data[:_HEAD_BYTES] if fetched else b""

        return self._storage.ahead(head, indices, sizes)

    def _worth_keeping(self, indices: Sequence[int]) -> set[int]:
        """The smallest files, as many as fit in memory."""
        whole: set[int] = set()
        total = 0
        if not self._storage.is_local:
            for index in sorted(indices, key=lambda i: self._files[i].size):
                total += self._files[index].size
                if total > _KEPT_BYTES or self._files[index].size > _KEPT_FILE_BYTES:
                    break
                whole.add(index)
        return whole

    def expect(self, indices: Sequence[int]) -> None:
        """Say in which order the files will be taken."""
        files = {i: self._files[i] for i in indices if i not in self._kept}
        self._expected = deque(files)
        sizes = [f.size for f in files.values()]
        self._coming = self._storage.ahead(self._storage.read, [f.path for f in files.values()], sizes)

    def take(self, index: int) -> Fetched | None:
        """A whole file, None if it is gone; the first time from what was asked for ahead."""
        if index in self._kept:
            return self._kept.pop(index)
        if self._expected and self._expected[0] == index:
            self._expected.popleft()
            return next(self._coming)
        return self._storage.read(self._files[index].path)
