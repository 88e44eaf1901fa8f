"""How long a big run takes, from a small one: the first sessions are scored and timed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from detector import batch
from detector.corpus.run import Workers, scored
from detector.corpus.scoring import Work, made_by
from detector.corpus.sessions import Chunk, Session, chunks
from detector.corpus.sources import Walk, walk

_FEWEST = 4
"""Sessions from which a rate is told. A judgement: with the default of 64 it is a rate."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was measured.

    `start_s` is the seconds to the first session's outcome, in which every worker loads the
    rules and the network; `rate` the sessions a second over the last three quarters, None where
    too few came to tell. `n_bytes` is of the reports' parts, compressed; `share` how much of the
    input was read.
    """

    n_sessions: int
    n_turns: int
    n_problems: int
    n_bytes: int
    start_s: float
    rate: float | None
    share: float

    @property
    def n_all(self) -> int:
        """Sessions in the whole input, as far as its bytes tell."""
        return round(self.n_sessions / self.share) if self.share else self.n_sessions

    def seconds(self, n_sessions: int) -> float | None:
        """Seconds for so many such sessions with the same workers; None where no rate is known."""
        return None if not self.rate else self.start_s + n_sessions / self.rate

    def disk(self, n_sessions: int) -> float | None:
        """Bytes that so many take as Parquet; None where none was scored."""
        return self.n_bytes / self.n_sessions * n_sessions if self.n_sessions else None


def measure(
    names: Sequence[str],
    request: batch.Request,
    *,
    workers: Workers,
    n_sample: int,
    keeps_text: bool = True,
) -> Plan:
    """Scores the first `n_sample` sessions, keeps nothing, and says how fast it went.

    Sessions go one by one, not in chunks: a few chunks would end at once and tell no rate.

    Raises: as `detector.corpus.run.score`.
    """
    found = walk(names)
    work = Work(request, keeps_text, made_by(request, keeps_text=keeps_text))
    began = time.perf_counter()
    ends: list[float] = []
    n_turns = n_problems = n_bytes = 0
    for outcome in scored(work, _singly(found, work.made_by, n_sample), workers):
        ends.append(time.perf_counter())
        n_turns += outcome.n_turns
        n_problems += outcome.n_problems
        n_bytes += len(outcome.part)
    return Plan(
        n_sessions=len(ends),
        n_turns=n_turns,
        n_problems=n_problems,
        n_bytes=n_bytes,
        start_s=ends[0] - began if ends else 0.0,
        rate=_rate(ends),
        share=found.n_read / found.n_bytes if found.n_bytes else 0.0,
    )


def _rate(ends: Sequence[float]) -> float | None:
    """Outcomes a second, less the first quarter, in which workers may still be starting."""
    first = len(ends) // 4
    took = ends[-1] - ends[first] if len(ends) >= _FEWEST else 0.0
    return (len(ends) - 1 - first) / took if took > 0 else None


def _singly(found: Walk, made_by: str, most: int) -> Iterator[Chunk]:
    def keyed() -> Iterator[tuple[Session, bytes, int]]:
        for session in islice(found, most):
            yield session, session.key(made_by), found.n_read

    return chunks(keyed(), 1)
