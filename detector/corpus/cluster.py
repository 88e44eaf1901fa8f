"""A Dask cluster that scores chunks: any scheduler, on this machine or on many.

A worker that dies costs only time: the scheduler gives its chunks to others. Sessions travel to
the workers as bytes, so that no folder need be shared; between machines use a tls:// address.
"""

import functools
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from detector.corpus.errors import ClusterAbsent
from detector.corpus.scoring import KILLED, Scored, Work, joined, packed, problem_row
from detector.corpus.sessions import Chunk

PATIENCE_S = 5.0
"""Seconds in which a scheduler must answer: one that is there does so in milliseconds."""

_AHEAD = 3
"""Chunks a thread of the cluster that are taken before the first of them is done."""


def in_order(work: Work, chunks: Iterator[Chunk], address: str) -> Iterator[Scored]:
    """Outcomes in order of the chunks.

    Raises: ClusterAbsent: no scheduler answers, or it went away. WorkerFailed.
    """
    from distributed.client import ClosedClientError, FutureCancelledError
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker

    with _client(address) as client:
        waiting: deque[tuple[Chunk, Any]] = deque()
        submit = functools.partial(client.submit, work, pure=False, retries=2)
        try:
            while True:
                while len(waiting) < _window(client) and (chunk := next(chunks, None)):
                    waiting.append((chunk, submit(chunk)))
                if not waiting:
                    return
                chunk, future = waiting.popleft()
                try:
                    outcome = future.result()
                except KilledWorker:
                    outcome = _alone(work, chunk, client)
                future.release()
                yield outcome
        except (FutureCancelledError, ClosedClientError, CommClosedError, OSError):
            said = "the scheduler went away; run the same command again: it goes on where it was"
            raise ClusterAbsent(address, said) from None


def _window(client: Any) -> int:
    """Chunks to have under way: as many as the workers that are there now can use."""
    n_threads: int = sum(client.nthreads().values())
    return _AHEAD * max(1, n_threads)


def _alone(work: Work, chunk: Chunk, client: Any) -> Scored:
    """A chunk that several workers died of: each session as a task of its own."""
    from distributed.scheduler import KilledWorker

    parts = []
    for session, key in zip(chunk.sessions, chunk.keys, strict=True):
        try:
            alone = Chunk((session,), (key,))
            parts.append(client.submit(work, alone, pure=False).result().part)
        except KilledWorker:
            parts.append(packed([problem_row(session, key, KILLED)], 0).part)
    return joined(parts, chunk.upto)


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """A client of the scheduler, at once or not at all."""
    _knock(address)
    from distributed import Client

    try:
        client = Client(address, timeout=PATIENCE_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError):
        raise ClusterAbsent(address, "no Dask scheduler answers there") from None
    try:
        yield client
    finally:
        client.close(timeout=PATIENCE_S)


def _knock(address: str) -> None:
    """Whether a scheduler listens there, which greets first: the client would wait for ever."""
    try:
        where = urlsplit(address)
        host, port = where.hostname, where.port
    except ValueError:  # a port that is no number
        host = port = None
    if not address.startswith(("tcp://", "tls://")) or not host or not port:
        raise ClusterAbsent(address, "is no address like tcp://HOST:8786")
    try:
        with socket.create_connection((host, port), PATIENCE_S) as met:
            is_silent = address.startswith("tcp://") and not met.recv(1)
    except TimeoutError:
        is_silent = True
    except OSError as error:
        reason = error.strerror or "no answer"
        raise ClusterAbsent(address, f"no scheduler is there ({reason})") from None
    if is_silent:
        raise ClusterAbsent(address, "no Dask scheduler answers there")
