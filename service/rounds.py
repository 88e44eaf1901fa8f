"""Upkeep that comes round by itself: whose turn it is, one round, and how the last one went.

Every worker asks now and then whether a round is due. The row of `rounds` gives it to one of them,
in one statement, so that two never have the same; and if they had, what a round does is as if it
was done once (service.upkeep, service.tombstones). Who dies in the middle leaves it to the next
round, which does what is left.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.deeds import Enqueue
from service.house import House
from service.tables import rounds
from service.tombstones import append_tombstones
from service.upkeep import Swept, sweep

LOOK_S = 30.0
"""How often a worker asks whether a round is due. A judgement: a statement, and rounds are minutes
apart."""

_UPKEEP = "upkeep"


@dataclass(frozen=True, slots=True)
class Round:
    """What came of a round.

    Args:
        swept: what was erased.
        n_ended: tombstones that were added to their file.
    """

    swept: Swept
    n_ended: int = 0


@dataclass(frozen=True, slots=True)
class Last:
    """How the rounds stand: when the last began, and when the last that came to its end did.

    `n_left` are the sessions and tenants which that one had to leave (`Swept.failed`).
    """

    begun_at: datetime | None
    ended_at: datetime | None
    n_left: int


def turn(house: House, queue: Enqueue) -> Round | None:
    """A round, if one is due and nobody else has it; else None.

    Raises: Unavailable: the database or the KMS is away. OSError: the tombstones cannot be
        written. Then it has not ended, and another follows after the settings' minutes.
    """
    if not claim(house):
        return None
    return run(house, house.clock(), queue=queue, ended=house.settings.tombstones)


def claim(house: House) -> bool:
    """Takes the round that is due; False: none is, or another took it.

    A beginning that lies far ahead is of a clock that went back, and counts as none.
    """
    minutes, now = house.settings.upkeep_minutes, house.clock()
    if not minutes:
        return False
    apart, begun = timedelta(minutes=minutes), rounds.c.begun_at
    is_due = sa.or_(begun.is_(None), begun <= now - apart, begun > now + apart)
    with house.store.system() as tx:
        tx.add_row(rounds, {"id": _UPKEEP})
        # Who waits here for another's update looks at the row again, and finds it not due.
        taken = rounds.update().where(rounds.c.id == _UPKEEP, is_due).values(begun_at=now)
        return tx.connection.execute(taken).rowcount == 1


def run(
    house: House, now: datetime, *, queue: Enqueue | None = None, ended: Path | None = None
) -> Round:
    """A round now, whosever turn it is: sweeps, adds the tombstones to `ended`, and notes its end.

    Args:
        house: whose.
        now: aware; it decides what is past its retention.
        queue: as in `service.upkeep.sweep`.
        ended: file of tombstones; None: none are written.

    Raises: Unavailable, OSError: as `turn`; what was erased until then is erased.
    """
    swept = sweep(house, now, queue=queue)
    n_ended = append_tombstones(house, ended) if ended else 0
    values = {"ended_at": now, "n_left": len(swept.failed)}
    with house.store.system() as tx:
        tx.add_row(rounds, {"id": _UPKEEP})
        tx.connection.execute(rounds.update().where(rounds.c.id == _UPKEEP).values(**values))
    return Round(swept, n_ended)


def last(house: House) -> Last:
    """How the rounds stand. Raises: Unavailable."""
    with house.store.system() as tx:
        row = tx.connection.execute(sa.select(rounds)).mappings().first()
    if row is None:
        return Last(None, None, 0)
    return Last(row["begun_at"], row["ended_at"], row["n_left"] or 0)


class RoundNumbers(Collector):
    """Two numbers for `/metrics`, read from the database at every scrape; no id.

    Every process shows the same: take the maximum, not the sum. Neither is there before the first
    round has ended, and while the database is away.
    """

    def __init__(self, house: House) -> None:
        self._house = house

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Their names, without asking the database."""
        yield GaugeMetricFamily("rupture_upkeep_ended_seconds", "End of the last, Unix time.")
        yield GaugeMetricFamily("rupture_upkeep_left", "What it could not erase.")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Both, as they stand."""
        found = Last(None, None, 0)
        with suppress(Exception):  # the other numbers must come while the database is away
            found = last(self._house)
        if found.ended_at is None:
            return
        for one, value in zip(
            self.describe(), (found.ended_at.timestamp(), found.n_left), strict=True
        ):
            one.add_metric([], value)
            yield one
