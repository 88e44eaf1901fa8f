"""Work in processes, outcomes in order, and a bound on what is held at once."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2
"""Items a process that are taken before the first of them is done: one in work, one waiting."""


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    *,
    killed: Callable[[Item], Result],
) -> Iterator[Result]:
    """Outcomes of `work` in the order of the items, of which a few a process are held at once.

    Where a process dies, the others' work goes on in new ones. Which item killed it is not known
    then: `killed` answers for the first that has no outcome, and may try it `alone`.

    Args:
        work: a function of a module, for another process to import.
        items: taken one by one, as they are needed.
        workers: processes.
        killed: the outcome of an item whose process may have been killed by it.
    """
    source, waiting = iter(items), deque[Item]()
    while True:
        try:
            with _processes(workers) as pool:
                try:
                    yield from _flow(pool, work, source, waiting, _AHEAD * workers)
                finally:
                    pool.shutdown(cancel_futures=True)
            return
        except BrokenProcessPool:
            yield killed(waiting.popleft())


def alone(work: Callable[[Item], Result], item: Item) -> Result:
    """The outcome of one item in a process of its own. Raises: BrokenProcessPool: it was killed."""
    with _processes(1) as pool:
        return pool.submit(work, item).result()


def _flow(
    pool: ProcessPoolExecutor,
    work: Callable[[Item], Result],
    source: Iterator[Item],
    waiting: deque[Item],
    most: int,
) -> Iterator[Result]:
    """Outcomes while the pool lives; `waiting` holds the items that have none."""
    futures: deque[Future[Result]] = deque(pool.submit(work, item) for item in waiting)
    while True:
        while len(waiting) < most:
            try:
                waiting.append(next(source))
            except StopIteration:
                break
            futures.append(pool.submit(work, waiting[-1]))
        if not futures:
            return
        outcome = futures.popleft().result()
        waiting.popleft()
        yield outcome


def _processes(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_end_with_parent
    )


def _end_with_parent() -> None:
    """Where the parent is killed, its processes end too: else they wait for ever, with text."""

    def wait(parent: BaseProcess) -> None:
        parent.join()
        os._exit(1)

    parent = parent_process()
    if parent is not None:
        threading.Thread(target=wait, args=(parent,), daemon=True).start()
