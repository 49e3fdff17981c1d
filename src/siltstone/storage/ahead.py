"""Many slow calls at once, their results in order and within bounds."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_HELD_BYTES = 32 << 20


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], sizes: Iterable[int], calls_at_once: int
) -> Iterator[Result]:
    """`work(item)` for each item, in their order; while one is in use, the next ones are under way.

    At most `calls_at_once` calls are under way, and as many results wait to be taken; of more than two together not
    more than 32 MiB by the given sizes. An error comes at its item's turn; nothing is begun after it.
    """
    under_way: deque[tuple[Future[Result], int]] = deque()
    held = 0
    pool = ThreadPoolExecutor(calls_at_once)
    try:
        for item, size in zip(items, sizes, strict=False):
            while len(under_way) >= 2 * calls_at_once or (len(under_way) > 1 and held + size > _HELD_BYTES):
                future, taken = under_way.popleft()
                held -= taken
                yield future.result()
            under_way.append((pool.submit(work, item), size))
            held += size
        while under_way:
            yield under_way.popleft()[0].result()
    finally:
        pool.shutdown(cancel_futures=True)
