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
    held_bytes = 0
    pool = ThreadPoolExecutor(calls_at_once)
    is_open = True
    try:
        for item, size in zip(items, sizes, strict=False):
            while len(under_way) >= 2 * calls_at_once or (len(under_way) > 1 and held_bytes + size > _HELD_BYTES):
                future, taken = under_way.popleft()
                held_bytes -= taken
                yield future.result()
            under_way.append((pool.submit(work, item), size))
            held_bytes += size
        pool.shutdown(wait=False)  # what was begun is still done
        is_open = False
        while under_way:
            yield under_way.popleft()[0].result()
    finally:
        if is_open:
            # Never wait here: a generator that nobody takes to its end is closed by the garbage collector, in any
            # thread and at any place, also where that thread holds the lock that a join needs.
            pool.shutdown(wait=False, cancel_futures=True)
