"""A whole corpus from its files to one table: read, leave out what is scored, score, join."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from detector import batch, pool
from detector.corpus import cluster, store
from detector.corpus.scoring import Scored, Work, made_by
from detector.corpus.sessions import MAX_SESSIONS, Chunk, Session, chunks
from detector.corpus.sources import Walk, walk
from detector.corpus.store import Store

Advance = Callable[["Progress"], None]


@dataclass(frozen=True, slots=True)
class Workers:
    """Who scores: `count` processes on this machine, or those of the Dask `scheduler`."""

    count: int = 1
    scheduler: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: bytes of the input, and sessions that are done."""

    n_bytes: int
    n_read: int
    n_done: int
    n_problems: int


@dataclass(slots=True)
class Summary:
    """What a run did. `n_known` of the sessions were scored by an earlier run.

    `unread` names keys and columns of the input that are not read; empty: there are none.
    """

    n_sessions: int = 0
    n_known: int = 0
    n_problems: int = 0
    n_rows: int = 0
    unread: str = ""
    out: Path = Path()
    problems: Path = Path()


@dataclass(slots=True)
class _Reading:
    """The walk's sessions that are still to be scored; `order` gathers the keys of all."""

    sessions: Walk
    store: Store
    made_by: str
    order: bytearray = field(default_factory=bytearray, repr=False)
    n_known: int = 0

    def __iter__(self) -> Iterator[tuple[Session, bytes, int]]:
        for session in self.sessions:
            key = session.key(self.made_by)
            self.order += key
            if key in self.store:
                self.n_known += 1
            else:
                yield session, key, self.sessions.n_read


def score(
    names: Sequence[str],
    out: Path,
    request: batch.Request,
    *,
    workers: Workers,
    keeps_text: bool = True,
    most: int = MAX_SESSIONS,
    advance: Advance = lambda progress: None,
) -> Summary:
    """Scores what is named into `out`, and the bad sessions into the side list beside it.

    Args:
        names: files, folders and globs.
        out: the Parquet file; an earlier run's rows of unchanged sessions are taken over.
        request: window, checkpoint, roles for all sessions.
        workers: who scores.
        keeps_text: whether reports hold what was said.
        most: sessions of a chunk.
        advance: called after each chunk.

    Raises: CorpusError: see detector.corpus.errors. ModelError: the checkpoint cannot be used.
    """
    found = walk(names, skip=store.own_paths(out))
    work = Work(request, keeps_text, made_by(request, keeps_text=keeps_text))
    with store.opened(out) as kept:
        reading = _Reading(found, kept, work.made_by)
        done = Summary(out=out, problems=store.problems_path(out))
        keys: deque[tuple[bytes, ...]] = deque()
        for outcome in scored(work, _noted(chunks(reading, most), keys), workers):
            kept.add(outcome.part, keys.popleft())
            done.n_sessions += outcome.n_sessions
            done.n_problems += outcome.n_problems
            n_done = done.n_sessions + reading.n_known
            advance(Progress(found.n_bytes, outcome.upto, n_done, done.n_problems))
        done.n_known = reading.n_known
        done.n_sessions += reading.n_known
        done.n_rows = kept.join(bytes(reading.order), found.unread.problems())
        done.n_problems = done.n_sessions - done.n_rows
        done.unread = str(found.unread)
        return done


def _noted(found: Iterator[Chunk], keys: deque[tuple[bytes, ...]]) -> Iterator[Chunk]:
    """The chunks, whose keys are kept until their outcome is here."""
    for chunk in found:
        keys.append(chunk.keys)
        yield chunk


def scored(work: Work, found: Iterator[Chunk], workers: Workers) -> Iterator[Scored]:
    """Outcomes of chunks in their order, of which a few a worker are held at once."""
    if workers.scheduler is not None:
        yield from cluster.in_order(work, found, workers.scheduler)
    elif workers.count == 1:
        yield from map(work, found)
    else:
        yield from pool.in_order(work, found, workers.count, killed=partial(Work.alone, work))
