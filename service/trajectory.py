"""One client's sessions over time: each beside the sessions of this client that came before it.

What it is not. It gives no verdict: a change has a sign and a size, and no word for whether it is
welcome. It compares no client with another and no therapist with another, ranks nothing and
forecasts nothing. A rise of withdrawal may be strain, or trust enough to show it.

The first three sessions are marked because strain there has been studied most closely: in the early
sessions of 42 CBT cases confrontation, resolution and the therapist's contribution, as coders rated
them, went with dropping out (d = .74, .67, .61; Eubanks, Lubitz, Muran & Safran 2019,
10.1080/10503307.2018.1552034). That the third session alone should decide is often said; we have
no source for it. The alliance of a single session is a poor measure of a client's: two or more
were needed for a generalizability of .80, and four or more for .90 (Crits-Christoph et al. 2011,
PMC3111943). So the third is marked, and not made into more. Both studies had human ratings, not
this system's.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar

from detector.report import ATTENDANCE, RATINGS
from service.errors import Fault, Invalid

Row = TypeVar("Row", bound=Mapping[Any, Any])

SCHEMA = "rupture-trajectory/1"

NOT_HELD = ("cancelled", "no_show")

N_EARLY = 3
"""Sessions 1 to 3 are marked as first; the module says why."""

MIN_BASELINE = 3
"""Earlier scored sessions from which a baseline is made: the fewest that have a spread worth the
name, and within the two to four that the source above asks for. A judgement."""

STRAINS = ("goal_strain", "task_strain", "bond_strain")
COUNTS = ("n_moments", "n_unrepaired")
MEASURES = (*RATINGS, *STRAINS, *COUNTS)
"""What is followed: 1..5, shares 0..1, and counts. A long session has more moments than a short
one."""

LIMITS = (
    "Each session stands beside this client's own earlier sessions that the same model and "
    "codebook read. A change has a sign and a size; whether it is welcome, it does not say.",
    "It is no assessment of the client or of the therapist, and says nothing of what comes next.",
)


@dataclass(frozen=True, slots=True)
class Scored:
    """What one report says of a session.

    Args:
        withdrawal: 1..5 as in the 3RS, like the next three; None: too little was heard.
        confrontation: see there.
        resolution: see there.
        contribution: see there.
        goal_strain: expected share of the client's turns that strain it, 0..1, like the next two.
        task_strain: see there.
        bond_strain: see there.
        n_moments: moments found.
        n_unrepaired: those of them that nobody tried to mend.
        checkpoint: the model's name.
        checkpoint_sha256: what the model is told by; a name may be used again.
        codebook: version of the codebook.
    """

    withdrawal: float | None
    confrontation: float | None
    resolution: float | None
    contribution: float | None
    goal_strain: float | None
    task_strain: float | None
    bond_strain: float | None
    n_moments: int
    n_unrepaired: int
    checkpoint: str
    checkpoint_sha256: str
    codebook: str

    @property
    def reader(self) -> tuple[str, str]:
        """What read the session: only sessions with the same reader are compared."""
        return self.checkpoint_sha256, self.codebook

    def value(self, measure: str) -> float | None:
        """One of MEASURES by its name."""
        found: float | None = getattr(self, measure)
        return found


def scored_of(summary: Mapping[str, Any], made_by: Mapping[Any, Any]) -> Scored:
    """The measures of a report: of its `service.records.summary_of`, and by what it was made."""
    pillars = summary["pillars"]
    return Scored(
        **{name: summary[name] for name in RATINGS},
        **{f"{name}_strain": pillars[name]["strain"] for name in ("goal", "task", "bond")},
        n_moments=summary["n_moments"],
        n_unrepaired=summary["n_unrepaired"],
        checkpoint=made_by["checkpoint"],
        checkpoint_sha256=made_by["checkpoint_sha256"],
        codebook=made_by["codebook"],
    )


@dataclass(frozen=True, slots=True)
class SessionPoint:
    """One session as it comes in. All but its id may be unknown.

    Args:
        session_id: the service's own.
        number: which session of this client it is, from 1.
        day: the day of it, not the hour.
        attendance: one of ATTENDANCE.
        modality: video, phone, in_person or another word of the platform's.
        scored: what its report says; None: there is no report.
    """

    session_id: str
    number: int | None = None
    day: date | None = None
    attendance: str | None = None
    modality: str | None = None
    scored: Scored | None = field(default=None, repr=False)


def point_of(session: Mapping[Any, Any], report: Mapping[Any, Any] | None) -> SessionPoint:
    """A session's row as a point, with its report's row; one that was erased has no summary."""
    scored = None
    if report is not None and report["summary"]:
        scored = scored_of(report["summary"], report)
    return SessionPoint(
        session_id=session["id"],
        number=session["number"],
        day=date.fromisoformat(session["day"]) if session["day"] else None,
        attendance=session["attendance"],
        modality=session["modality"],
        scored=scored,
    )


def newest(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Of sessions handed in twice under one number the newest, and the ids of the others.

    `rows` come oldest first.
    """
    numbered = {row["number"]: row["id"] for row in rows if row["number"] is not None}
    kept = [row for row in rows if numbered.get(row["number"], row["id"]) == row["id"]]
    return kept, [row["id"] for row in rows if row not in kept]


@dataclass(frozen=True, slots=True)
class Change:
    """One measure beside the client's own baseline.

    Args:
        value: the session's own; None where it was not rated.
        mean: of the earlier sessions; None where they are too few.
        spread: their standard deviation (n − 1), in the measure's unit.
        difference: value − mean; None where either is missing.
        n_earlier: earlier sessions with this measure and the same reader.
        reason: why there is no difference: `not_rated`, `few_earlier` (fewer than MIN_BASELINE).
    """

    value: float | None
    mean: float | None
    spread: float | None
    difference: float | None
    n_earlier: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class TrajectoryPoint:
    """One session in its place.

    Args:
        session: as it came in; `scored` is None where it was not held.
        is_first_three: whether its number is 1, 2 or 3.
        days_since_previous: days from the nearest earlier point with a known day; None: unknown.
        is_before_previous: its day lies before that point's, against their numbers.
        n_missing_before: numbers that lack between the previous numbered point and this one.
        unscored: why it has no scores: `no_show`, `cancelled`, `no_report`; None where it has.
        is_break: another checkpoint or codebook read it than the scored point before it.
        changes: by measure, for every one of MEASURES; empty where there are no scores.
    """

    session: SessionPoint
    is_first_three: bool
    days_since_previous: int | None
    is_before_previous: bool
    n_missing_before: int
    unscored: str | None
    is_break: bool
    changes: Mapping[str, Change]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, numbers rounded to four places."""
        session, scored = self.session, self.session.scored
        return {
            "session_id": session.session_id,
            "number": session.number,
            "day": session.day.isoformat() if session.day else None,
            "attendance": session.attendance,
            "modality": session.modality,
            "is_first_three": self.is_first_three,
            "days_since_previous": self.days_since_previous,
            "is_before_previous": self.is_before_previous,
            "n_missing_before": self.n_missing_before,
            "unscored": self.unscored,
            "checkpoint": scored.checkpoint if scored else None,
            "checkpoint_sha256": scored.checkpoint_sha256 if scored else None,
            "codebook": scored.codebook if scored else None,
            "is_break": self.is_break,
            "measures": {
                name: {
                    "value": _rounded(change.value),
                    "baseline": None
                    if change.mean is None
                    else {"mean": _rounded(change.mean), "spread": _rounded(change.spread)},
                    "difference": _rounded(change.difference),
                    "n_earlier": change.n_earlier,
                    "reason": change.reason,
                }
                for name, change in self.changes.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A client's sessions in order.

    Args:
        points: by number; a session without one stands after the last that is not later.
        missing_numbers: numbers from 1 to the highest that no session has.
        unplaced: ids of sessions with neither number nor day, which stand at no place.
        n_scored: points with scores.
        n_breaks: points where the reader changed.
    """

    points: tuple[TrajectoryPoint, ...]
    missing_numbers: tuple[int, ...]
    unplaced: tuple[str, ...]
    n_scored: int
    n_breaks: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, numbers rounded to four places."""
        return {
            "schema": SCHEMA,
            "points": [point.as_dict() for point in self.points],
            "missing_numbers": list(self.missing_numbers),
            "unplaced": list(self.unplaced),
            "n_scored": self.n_scored,
            "n_breaks": self.n_breaks,
            "limits": list(LIMITS),
        }


def trajectory(sessions: Sequence[SessionPoint]) -> Trajectory:
    """The sessions of one client, in order, each beside those before it.

    A session that was not held has no scores, whatever came with it. A baseline is the mean and
    spread of all earlier sessions with the measure, the same checkpoint and the same codebook.

    Args:
        sessions: of one client, in any order.

    Raises: Invalid: two sessions with one number or id, an unknown attendance, a number below 1, a
        day with an hour, or a rating outside its scale; `errors` say which session, counted from
        0 in the given order.
    """
    faults = list(_faults(sessions))
    if faults:
        raise Invalid("The sessions do not make a trajectory.", errors=faults)
    placed = _placed(sessions)
    points = tuple(_points(placed))
    numbers = {point.number for point in placed if point.number is not None}
    return Trajectory(
        points=points,
        missing_numbers=tuple(n for n in range(1, max(numbers, default=0)) if n not in numbers),
        unplaced=tuple(sorted(one.session_id for one in sessions if not _is_placeable(one))),
        n_scored=sum(point.session.scored is not None for point in points),
        n_breaks=sum(point.is_break for point in points),
    )


def _faults(sessions: Sequence[SessionPoint]) -> Iterator[Fault]:
    numbers: set[int] = set()
    ids: set[str] = set()
    for place, one in enumerate(sessions):
        if one.session_id in ids:
            yield Fault(f"/{place}/session_id", "duplicate", "another session has this id")
        ids.add(one.session_id)
        if one.number is not None:
            if one.number < 1:
                yield Fault(f"/{place}/number", "too_small", "sessions are counted from 1")
            if one.number in numbers:
                yield Fault(f"/{place}/number", "duplicate", "another session has this number")
            numbers.add(one.number)
        if isinstance(one.day, datetime):
            yield Fault(f"/{place}/day", "not_a_day", "a day has no hour")
        if one.attendance is not None and one.attendance not in ATTENDANCE:
            yield Fault(f"/{place}/attendance", "unknown", f"one of {', '.join(ATTENDANCE)}")
        if one.scored is not None:
            yield from _outside(one.scored, f"/{place}/scored")


def _outside(scored: Scored, pointer: str) -> Iterator[Fault]:
    scales = ((RATINGS, 1.0, 5.0), (STRAINS, 0.0, 1.0), (COUNTS, 0.0, math.inf))
    for names, low, high in scales:
        for name in names:
            value = scored.value(name)
            # Written so that NaN, which no comparison holds for, is outside too.
            if value is not None and not low <= value <= high:
                yield Fault(f"{pointer}/{name}", "outside", f"from {low:g} to {high:g}")
    if scored.n_unrepaired > scored.n_moments:
        yield Fault(f"{pointer}/n_unrepaired", "outside", "no more than n_moments")


def _is_placeable(one: SessionPoint) -> bool:
    return one.number is not None or one.day is not None


def _placed(sessions: Sequence[SessionPoint]) -> list[SessionPoint]:
    """Numbered sessions by number; the others after the last that is not later than they are."""
    numbered = [(one.number, one) for one in sessions if one.number is not None]
    placed = [one for _, one in sorted(numbered, key=lambda pair: pair[0])]
    dated = [(one.day, one) for one in sessions if one.number is None and one.day is not None]
    for day, one in sorted(dated, key=lambda pair: (pair[0], pair[1].session_id)):
        before = [n for n, other in enumerate(placed) if other.day is not None and other.day <= day]
        placed.insert(max(before, default=-1) + 1, one)
    return placed


def _points(placed: Sequence[SessionPoint]) -> Iterator[TrajectoryPoint]:
    earlier: list[Scored] = []
    last_day: date | None = None
    last_number = 0
    for session in placed:
        unscored = _why_unscored(session)
        scored = session.scored if unscored is None else None
        days = (session.day - last_day).days if session.day and last_day else None
        number = session.number
        yield TrajectoryPoint(
            session=_without_scores(session) if unscored else session,
            is_first_three=number is not None and number <= N_EARLY,
            days_since_previous=days,
            is_before_previous=days is not None and days < 0,
            n_missing_before=0 if number is None else number - last_number - 1,
            unscored=unscored,
            is_break=bool(scored and earlier and earlier[-1].reader != scored.reader),
            changes={} if scored is None else _changes(scored, earlier),
        )
        if scored is not None:
            earlier.append(scored)
        last_day = session.day or last_day
        last_number = number or last_number


def _why_unscored(session: SessionPoint) -> str | None:
    if session.attendance in NOT_HELD:
        return session.attendance
    return "no_report" if session.scored is None else None


def _without_scores(session: SessionPoint) -> SessionPoint:
    return SessionPoint(
        session.session_id, session.number, session.day, session.attendance, session.modality
    )


def _changes(scored: Scored, earlier: Sequence[Scored]) -> dict[str, Change]:
    comparable = [one for one in earlier if one.reader == scored.reader]
    return {name: _change(name, scored, comparable) for name in MEASURES}


def _change(measure: str, scored: Scored, comparable: Sequence[Scored]) -> Change:
    value = scored.value(measure)
    values = [known for one in comparable if (known := one.value(measure)) is not None]
    if len(values) < MIN_BASELINE:
        reason = "not_rated" if value is None else "few_earlier"
        return Change(value, None, None, None, len(values), reason)
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    if value is None:
        return Change(None, mean, spread, None, len(values), "not_rated")
    return Change(value, mean, spread, value - mean, len(values), None)


def _rounded(value: float | None) -> float | None:
    # Adding 0.0 makes -0.0 the plain 0.0: no change has no sign.
    return round(value, 4) + 0.0 if isinstance(value, float) else value
