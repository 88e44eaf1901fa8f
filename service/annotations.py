"""One coder's annotations of one session, and every change of them.

    annotate(coding, sheet, item, given, ...) -> the coding after it
    undo(coding) -> the coding without its last change

Pure values. An item that is in no coding was not coded; one that is there without a marker was
coded, and nothing was seen: not seen is not the same as not there. No word that was said is in
here, but a reason that somebody gave may quote one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from detector.codebook import PILLARS
from detector.report import RATINGS
from service.errors import Conflict, Fault, Invalid
from service.sheets import ITEM, Sheet, codes_of

INTENSITIES = range(1, 4)
"""1 slight or brief, 2 clear, 3 strong: the codebook's."""

RATED = range(1, 6)
"""1 none, 3 some, 5 significant impact on the alliance: the 3RS's."""

MOST_CHANGES = 200
"""Changes that can be taken back; ours."""

MOST_REASON = 2_000
"""Characters of a reason; ours."""

MOST_LEAD_S = 3_600.0
"""Seconds of one change that are believed; ours. The page stops counting long before."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one coder says of one item.

    Args:
        markers: of a turn: ids of the codebook; empty: nothing of it is there.
        pillar: of a turn: the part of the alliance that is strained; None: not said.
        intensity: of a turn: one of INTENSITIES; None: not said.
        sure: of a turn: whether another trained coder would very probably agree; None: not said.
        answers: of a therapist's turn: index of the turn whose rupture it answers; None: not said.
        start, end: of a turn: code points that were marked, `[start, end)`.
        ratings: of a segment or session: RATINGS by name, each one of RATED.
        reason: of an adjudication: why it was settled so.
        lead_s: seconds that the coder had it before them.
        at: when it was said last, ISO 8601.
    """

    markers: tuple[str, ...] = ()
    pillar: str | None = None
    intensity: int | None = None
    sure: bool | None = None
    answers: int | None = None
    start: int | None = None
    end: int | None = None
    ratings: Mapping[str, int] = field(default_factory=dict)
    reason: str = field(default="", repr=False)
    lead_s: float = 0.0
    at: str = ""

    def says(self) -> tuple[Any, ...]:
        """What is compared between coders: not how long it took, nor why."""
        rated = tuple(sorted(self.ratings.items()))
        return (tuple(sorted(self.markers)), self.pillar, self.intensity, rated)


_OF_A_TURN = ("markers", "pillar", "intensity", "sure", "answers", "start", "end")
FIELDS = tuple(one.name for one in fields(Annotation))


@dataclass(frozen=True, slots=True)
class Change:
    """One change: of which items, and what stood there before."""

    before: Mapping[str, Annotation | None]


@dataclass(frozen=True, slots=True)
class Coding:
    """All annotations of one coder, and the changes that led to them, oldest first."""

    annotations: Mapping[str, Annotation] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "Coding":
        """What `to_dict` gave."""
        changes = tuple(
            Change({item: _read(one) if one else None for item, one in change["before"].items()})
            for change in kept["changes"]
        )
        return cls({item: _read(one) for item, one in kept["annotations"].items()}, changes)


def _read(kept: Mapping[str, Any]) -> Annotation:
    return Annotation(**{**kept, "markers": tuple(kept["markers"])})


def annotate(
    coding: Coding,
    sheet: Sheet,
    item: str,
    given: Mapping[str, Any],
    *,
    lead_s: float,
    at: str,
    may_reason: bool = False,
) -> Coding:
    """The coding after its coder said something of one item.

    Args:
        coding: as it stands.
        sheet: what is coded.
        item: see ITEM.
        given: some fields of an annotation and their values. `{"clear": True}` makes the item one
            that was not coded; `{"nothing_up_to": True}` says of every turn up to this one which
            was not coded that nothing is there, with no time of its own.
        lead_s: seconds that the coder had the item before them since the last change.
        at: when, ISO 8601.
        may_reason: whether a reason may be given, as an adjudication does.

    Raises: Invalid: an item, field or value that there is not.
    """
    if item not in sheet.items:
        fault = Fault("/item", "unknown", "a turn, a segment or the session is expected")
        raise Invalid("There is no such thing to code.", errors=[fault])
    if not 0 <= lead_s <= MOST_LEAD_S:
        fault = Fault("/lead_s", "outside", f"0 to {MOST_LEAD_S:g} seconds are expected")
        raise Invalid("This cannot be how long it took.", errors=[fault])
    before = coding.annotations.get(item)
    if given == {"clear": True}:
        return _changed(coding, {item: None})
    if given == {"nothing_up_to": True}:
        return _changed(coding, dict.fromkeys(_uncoded(coding, sheet, item), Annotation(at=at)))
    if faults := list(_faults(given, sheet, item, may_reason)):
        raise Invalid("This cannot be said of it.", errors=faults)
    old = before or Annotation()
    values = dict(given)
    if "markers" in values:
        order = list(codes_of(_role(sheet, item)))
        values["markers"] = tuple(sorted(values["markers"], key=order.index))
    if "ratings" in values:
        merged = {**old.ratings, **values["ratings"]}
        values["ratings"] = {name: value for name, value in merged.items() if value is not None}
    made = replace(old, **values, lead_s=round(old.lead_s + lead_s, 1), at=at)
    is_empty = item.partition("-")[0] != "turn" and not (made.ratings or made.reason)
    return _changed(coding, {item: None if is_empty else made})


def undo(coding: Coding) -> Coding:
    """The coding without its last change. Raises: Conflict: there is none."""
    if not coding.changes:
        raise Conflict("There is nothing to take back.", code="nothing_to_undo")
    *earlier, last = coding.changes
    return Coding(_put(coding.annotations, last.before), tuple(earlier))


def _uncoded(coding: Coding, sheet: Sheet, item: str) -> Iterator[str]:
    for one in sheet.items[: sheet.items.index(item) + 1]:
        if one.startswith("turn-") and one not in coding.annotations:
            yield one


def _changed(coding: Coding, made: Mapping[str, Annotation | None]) -> Coding:
    change = Change({item: coding.annotations.get(item) for item in made})
    kept = (*coding.changes, change)[-MOST_CHANGES:]
    return Coding(_put(coding.annotations, made), kept)


def _put(
    annotations: Mapping[str, Annotation], made: Mapping[str, Annotation | None]
) -> dict[str, Annotation]:
    merged = {**annotations, **made}
    return {item: one for item, one in merged.items() if one is not None}


def _role(sheet: Sheet, item: str) -> str:
    turn = sheet.turn(item)
    return turn.role if turn else "other"


def _faults(given: Mapping[str, Any], sheet: Sheet, item: str, may_reason: bool) -> Iterator[Fault]:
    turn = sheet.turn(item)
    allowed = set(_OF_A_TURN if turn else ("ratings",)) | ({"reason"} if may_reason else set())
    if not given:
        yield Fault("/given", "empty", "something is to be said")
    for name, value in given.items():
        if name not in allowed:
            yield Fault("/given/*", "unknown", "this is said of no such item")
        elif not _fits(name, value, sheet, item):
            yield Fault(f"/given/{name}", "unknown", "this is none of the values it may have")
    start, end = given.get("start"), given.get("end")
    if (start is None) is not (end is None) or (start is not None and start >= end):
        yield Fault("/given/start", "outside", "a start and a later end are expected")


def _fits(name: str, value: Any, sheet: Sheet, item: str) -> bool:
    turn = sheet.turn(item)
    if name == "markers":
        known = codes_of(_role(sheet, item))
        is_list = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return is_list and len(set(value)) == len(value) and all(one in known for one in value)
    if name == "ratings":
        return isinstance(value, Mapping) and all(
            one in RATINGS and (rated is None or _is_in(rated, RATED))
            for one, rated in value.items()
        )
    if name == "reason":
        return isinstance(value, str) and len(value) <= MOST_REASON
    if value is None:
        return True
    if name == "sure":
        return isinstance(value, bool)
    if name == "pillar":
        return value in PILLARS
    n_letters = len(turn.text) if turn else 0
    index = turn.index if turn else 0
    within = {
        "intensity": INTENSITIES,
        "answers": range(index),
        "start": range(n_letters),
        "end": range(1, n_letters + 1),
    }
    return _is_in(value, within[name])


def _is_in(value: Any, allowed: range) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in allowed


def kind_of(item: str) -> str:
    """`turn`, `segment` or `session`. Raises: ValueError: it is no item."""
    if not ITEM.fullmatch(item):
        raise ValueError("no item of a sheet")
    return item.partition("-")[0]
