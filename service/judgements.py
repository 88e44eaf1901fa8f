"""A reviewer's judgements of one report: what they say of each moment, and every change of it.

    judge(review, item, given, ...) -> the review after it
    undo(review, by, at) -> the review without the person's last change

Pure values. What the tool said is never changed: a judgement stands beside it. No word that was
said is in here; comments are kept apart (service/reviews.py).
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from detector.codebook import PILLARS, load_codebook
from detector.report import Report
from service.errors import Conflict, Fault, Invalid

VERDICTS = ("agree", "disagree", "unsure")
"""What can be said of a moment that the tool marked, or that a person added."""

STRAIN_KINDS = ("withdrawal", "confrontation")

MOST_CHANGES = 2_000
"""Of one review; ours. Each is some 300 bytes."""

ITEM = re.compile(r"(moment|turn)-(0|[1-9][0-9]{0,5})")
"""`moment-3` is the report's third moment, `turn-17` a moment that was added at turn 17."""

NO_REPAIR = -1


@dataclass(frozen=True, slots=True)
class Judgement:
    """What somebody says of one moment; None where nothing was said of it.

    Args:
        verdict: one of VERDICTS.
        marker: the codebook's id of a marker of strain, in place of the tool's.
        pillar: one of PILLARS, in place of the tool's.
        intensity: 1..5 as the 3RS rates significance.
        repair: index of the turn that mends it, in place of the tool's; NO_REPAIR: none does.
        start, end: code points of a turn that were marked, `[start, end)`.
        by: id of who said it last.
        at: when, ISO 8601.
    """

    verdict: str | None = None
    marker: str | None = None
    pillar: str | None = None
    intensity: int | None = None
    repair: int | None = None
    start: int | None = None
    end: int | None = None
    by: str = ""
    at: str = ""


FIELDS = tuple(one.name for one in fields(Judgement) if one.name not in ("by", "at"))


@dataclass(frozen=True, slots=True)
class Change:
    """One change: of what, by whom and when, and what stood there before and after."""

    item: str
    by: str
    at: str
    before: Judgement | None
    after: Judgement | None


@dataclass(frozen=True, slots=True)
class Review:
    """All judgements of one report, and the changes that led to them, oldest first."""

    judgements: Mapping[str, Judgement] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    @property
    def n_judged(self) -> int:
        """How many of the tool's moments somebody has a verdict on."""
        return sum(
            one.verdict is not None
            for item, one in self.judgements.items()
            if item.startswith("moment-")
        )

    def can_undo(self, by: str) -> bool:
        """Whether this person has a change that still stands."""
        return _last(self, by) is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "judgements": {item: asdict(one) for item, one in self.judgements.items()},
            "changes": [asdict(one) for one in self.changes],
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "Review":
        """What `to_dict` gave."""
        judgements = {item: Judgement(**one) for item, one in kept["judgements"].items()}
        changes = tuple(
            Change(
                **{
                    **one,
                    "before": Judgement(**one["before"]) if one["before"] else None,
                    "after": Judgement(**one["after"]) if one["after"] else None,
                }
            )
            for one in kept["changes"]
        )
        return cls(judgements, changes)


def judge(
    review: Review, report: Report, item: str, given: Mapping[str, Any], *, by: str, at: str
) -> Review:
    """The review after somebody said something of one moment.

    Args:
        review: as it stands.
        report: what is reviewed.
        item: see ITEM.
        given: some of FIELDS and their values; None takes one back. `{"remove": True}` takes a
            moment back that a person added.
        by: who says it.
        at: when, ISO 8601.

    Raises: Invalid: a field or value that there is not, or too many changes.
    """
    kind = _checked_item(item, report)
    before = review.judgements.get(item)
    if given == {"remove": True} and kind == "turn":
        return _changed(review, item, before, None, by, at)
    if faults := list(_faults(given, report, item)):
        raise Invalid("This cannot be said of a moment.", errors=faults)
    after = replace(before or Judgement(), **given, by=by, at=at)
    return _changed(review, item, before, after, by, at)


def undo(review: Review, *, by: str, at: str) -> Review:
    """The review without this person's last change that still stands.

    Raises: Conflict: there is none, or somebody else has changed the same since.
    """
    place = _last(review, by)
    if place is None:
        raise Conflict("There is nothing of yours to take back.", code="nothing_to_undo")
    last = review.changes[place]
    if review.judgements.get(last.item) != last.after:
        raise Conflict("Somebody else has changed this since.", code="changed_since")
    undone = _put(review.judgements, last.item, last.before)
    return Review(undone, (*review.changes[:place], *review.changes[place + 1 :]))


def _last(review: Review, by: str) -> int | None:
    places = (n for n in range(len(review.changes) - 1, -1, -1) if review.changes[n].by == by)
    return next(places, None)


def _changed(
    review: Review,
    item: str,
    before: Judgement | None,
    after: Judgement | None,
    by: str,
    at: str,
) -> Review:
    if len(review.changes) >= MOST_CHANGES:
        raise Invalid("This review has had too many changes.", code="too_many_changes")
    made = Change(item, by, at, before, after)
    return Review(_put(review.judgements, item, after), (*review.changes, made))


def _put(
    judgements: Mapping[str, Judgement], item: str, one: Judgement | None
) -> dict[str, Judgement]:
    left = {name: kept for name, kept in judgements.items() if name != item}
    return left if one is None else {**left, item: one}


def _checked_item(item: str, report: Report) -> str:
    found = ITEM.fullmatch(item)
    if found is not None:
        kind, number = found[1], int(found[2])
        if kind == "moment" and 1 <= number <= len(report.moments):
            return kind
        if kind == "turn" and number < len(report.turns):
            return kind
    fault = Fault("/item", "unknown", "a moment or a turn of this report is expected")
    raise Invalid("There is no such moment in this report.", errors=[fault])


def _faults(given: Mapping[str, Any], report: Report, item: str) -> Any:
    markers = load_codebook().of_kind(*STRAIN_KINDS)
    n_turns = len(report.turns)
    turn = int(item.partition("-")[2]) if item.startswith("turn-") else None
    n_letters = len(report.turns[turn].text) if turn is not None else 0
    allowed: dict[str, tuple[Any, ...] | range] = {
        "verdict": VERDICTS,
        "marker": markers,
        "pillar": PILLARS,
        "intensity": range(1, 6),
        "repair": range(NO_REPAIR, n_turns),
        "start": range(n_letters),
        "end": range(1, n_letters + 1),
    }
    if not given:
        yield Fault("/", "empty", "something is to be said")
    for name, value in given.items():
        if name not in allowed:
            yield Fault("/*", "unknown", "there is no such field")
        elif value is not None and (isinstance(value, bool) or value not in allowed[name]):
            yield Fault(f"/{name}", "unknown", "this is none of the values it may have")
    start, end = given.get("start"), given.get("end")
    if (start is None) is not (end is None) or (start is not None and start >= end):
        yield Fault("/start", "outside", "a start and a later end are expected")
