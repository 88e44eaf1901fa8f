"""How long a session is kept: the tenant's days, the session's own ends, and what is due now.

The one rule of what ends, whoever ends it (`service.endings.Endings.end_parts` carries it out):

    TEXT      the transcript, who its speakers were, and every word of it in every report. The
              reports stay, sealed anew with their scores alone under a new key of the session.
    SCORES    all that there is of the session, its text too where that was to be kept longer:
              words without a report are of no use to anybody. Its key is destroyed.

    expiry of a part                    that part, after the tenant's days (`Retention`)
    a consent that is taken back        the tenant's `PolicySettings.revocation_erases`, at once;
                                        what is left serves nobody (service/policy.py)
    erasure on request                  SCORES
    a legal hold                        nothing ends while it is there, by neither of the three;
                                        then what a revocation would have ended ends at once, and
                                        what expired at the next sweep

Ids, times, counts and code words stay in the session's row, and so does the audit trail.

Times are aware and are compared in UTC: two aware times of one zone compare by their wall clocks
in Python, which errs by an hour where summer time ends.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from service.errors import Fault, Invalid

TEXT_DAYS = 30
"""Days that text is kept where a tenant says nothing (product research, §4.3 promise 6)."""

SCORES_DAYS = 365
"""Days that scores are kept where a tenant says nothing. A judgement: a year of trajectories."""

MOST_DAYS = 36_500
"""Longest retention that can be set. A judgement: a century, so that no sum leaves the calendar
by a slip of a key; "for ever" is said with None."""

BATCH = 100
"""Sessions that a sweeper erases in one transaction unless told otherwise. A judgement."""


class Part(StrEnum):
    """What of a session is kept, each with its own end. `SCORES` are reports without text."""

    TEXT = "text"
    SCORES = "scores"


class Sensitivity(StrEnum):
    """`PART2` is substance use disorder treatment under 42 CFR Part 2."""

    STANDARD = "standard"
    PART2 = "part2"


def utc(moment: datetime) -> datetime:
    """An aware time in UTC."""
    return moment.astimezone(UTC)


def is_aware(moment: object) -> bool:
    """Whether it is a time that knows its offset."""
    return isinstance(moment, datetime) and moment.utcoffset() is not None


def checked_now(now: datetime) -> datetime:
    """Now, in UTC. Raises: ValueError: it has no offset."""
    if not is_aware(now):
        raise ValueError("now must be an aware time")
    return utc(now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long a tenant keeps each part, in days of 24 hours; None: until somebody erases it.

    The audit is in no retention: a sweeper never touches it.

    Raises: Invalid: a number of days that is no whole number from 1 to MOST_DAYS.
    """

    text_days: int | None = TEXT_DAYS
    scores_days: int | None = SCORES_DAYS

    def __post_init__(self) -> None:
        said = f"whole days from 1 to {MOST_DAYS:,}, or null, are expected"
        faults = [
            Fault(f"/retention/{name}", "out_of_range", said)
            for name, days in (("text_days", self.text_days), ("scores_days", self.scores_days))
            if days is not None and (type(days) is not int or not 1 <= days <= MOST_DAYS)
        ]
        if faults:
            raise Invalid("The retention cannot be used as it is.", errors=faults)

    def days(self, part: Part) -> int | None:
        """Days that the part is kept, or None."""
        return self.text_days if part is Part.TEXT else self.scores_days


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What policy needs to know of a session; no word of it.

    Args:
        id: the session's id.
        received_at: when we got it; retention counts from here. Aware.
        sensitivity: its label.
        legal_hold: whether it is pinned.
        erased: parts that are gone; both: the session was erased.
        erase_from: an end that came before the retention's, by part: what a revocation or an
            erasure set, carried out when a hold no longer pins it. Aware.

    Raises: ValueError: a time without an offset.
    """

    id: str
    received_at: datetime
    sensitivity: Sensitivity = Sensitivity.STANDARD
    legal_hold: bool = False
    erased: frozenset[Part] = frozenset()
    erase_from: Mapping[Part, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(is_aware(moment) for moment in (self.received_at, *self.erase_from.values())):
            raise ValueError("a session's times must be aware")

    @property
    def kept(self) -> frozenset[Part]:
        """The parts that are still here."""
        return frozenset(Part) - self.erased

    def end_of(self, part: Part, retention: Retention) -> datetime | None:
        """From when the part must not be kept, in UTC; None: no end is set."""
        ends = [utc(self.erase_from[part])] if part in self.erase_from else []
        days = retention.days(part)
        if days is not None:
            ends.append(_later(utc(self.received_at), days))
        return min(ends, default=None)

    def is_past(self, part: Part, retention: Retention, now: datetime) -> bool:
        """Whether the part's end has come; the very moment counts."""
        end = self.end_of(part, retention)
        return end is not None and end <= utc(now)


def _later(moment: datetime, days: int) -> datetime:
    try:
        return moment + timedelta(days=days)
    except OverflowError:  # the calendar ends in 9999
        return datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Erasure:
    """Parts of one session that must be erased now; `all_gone` says that nothing is left then."""

    session_id: str
    parts: frozenset[Part]
    all_gone: bool


def due(
    sessions: Iterable[SessionFacts],
    retention: Retention,
    now: datetime,
    *,
    batch: int = BATCH,
) -> Iterator[tuple[Erasure, ...]]:
    """What a sweeper must erase now, in batches of one transaction each.

    Nothing on hold is due, nothing erased is due again, and what is due stays due until it is
    erased, so that a sweeper which was killed goes on where it stopped. Nothing is remembered
    between calls: a clock that goes back makes less due, never more.

    Args:
        sessions: a tenant's sessions as they stand, read one by one as the batches are taken.
        retention: the tenant's.
        now: aware.
        batch: sessions in one batch, at least 1.

    Yields: batches in the order given, none empty.
    Raises: ValueError: `now` has no offset, or `batch` is below 1.
    """
    now = checked_now(now)
    if batch < 1:
        raise ValueError("batch must be at least 1")
    found = (one for facts in sessions if (one := _due_of(facts, retention, now)) is not None)
    return iter(lambda: tuple(itertools.islice(found, batch)), ())


def _due_of(facts: SessionFacts, retention: Retention, now: datetime) -> Erasure | None:
    if facts.legal_hold:
        return None
    parts = frozenset(part for part in facts.kept if facts.is_past(part, retention, now))
    return Erasure(facts.id, parts, all_gone=parts == facts.kept) if parts else None
