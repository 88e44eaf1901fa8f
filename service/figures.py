"""How far coders agree, by code and unit, and which markers they take for one another.

Sessions that were coded for one study count together: their intervals are by bootstrap over
sessions (detector.agreement), so one session alone has none. An item that a coder did not code is
no rating of theirs: it is NaN, and never 0.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from detector.agreement import COEFFICIENTS, Agreement, Level, Ratings, agree
from detector.codebook import load_codebook
from detector.report import RATINGS
from service.adjudications import Agreed
from service.annotations import Annotation, Coding
from service.sheets import Sheet, codes_of

NOTHING = "nothing"
"""Stands in a confusion where one coder saw no marker."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "withdrawal": ("withdrawal",),
    "confrontation": ("confrontation",),
    "rupture": ("withdrawal", "confrontation"),
    "resolution": ("resolution",),
    "contribution": ("contribution",),
}
"""What markers are taken together, as the detector's labels are."""

Value = float | None
Said = Callable[[Sheet, Coding, str], Value]
"""What a coding says of an item, for one code; None: not coded, or not this item's to carry."""


@dataclass(frozen=True, slots=True)
class Figure:
    """How far coders agree on one code of one unit: `turn`, `segment`, `session`.

    `is_scale`: whether it is a rating, and not there or absent.
    """

    unit: str
    code: str
    is_scale: bool
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Confusion:
    """What one coder calls what another calls otherwise, over turns that both coded.

    `names` are ids of markers, and NOTHING; `counts` are by two of them, in alphabetical order;
    a marker with itself: both saw it.
    """

    names: tuple[str, ...]
    counts: Mapping[tuple[str, str], int]


def figures(coded: Sequence[Agreed]) -> tuple[Figure, ...]:
    """Every code that somebody used, by unit; the kinds and ratings always."""
    found = [*_of_turns(coded), *_of_segments(coded)]
    for unit in ("segment", "session"):
        for name in RATINGS:
            made = _agreement(coded, unit, _rating(name), "ordinal")
            found.append(Figure(unit, name, True, made))
    return tuple(found)


def reasons(found: Sequence[Figure]) -> tuple[str, ...]:
    """Why something of these is not estimable, or has no interval: each reason once."""
    told = (getattr(one.agreement, name).reason for one in found for name in COEFFICIENTS)
    return tuple(dict.fromkeys(reason for reason in told if reason))


def _of_turns(coded: Sequence[Agreed]) -> Iterator[Figure]:
    for name, kinds in KINDS.items():
        yield Figure("turn", name, False, _agreement(coded, "turn", _any_of(_markers_of(kinds))))
    for marker in _used(coded):
        made = _agreement(coded, "turn", _any_of(frozenset([marker])))
        yield Figure("turn", marker, False, made)
    yield Figure("turn", "intensity", True, _agreement(coded, "turn", _intensity, "ordinal"))


def _of_segments(coded: Sequence[Agreed]) -> Iterator[Figure]:
    for name, kinds in KINDS.items():
        made = _agreement(coded, "segment", _in_segment(_any_of(_markers_of(kinds))))
        yield Figure("segment", name, False, made)


def _used(coded: Sequence[Agreed]) -> list[str]:
    """Markers that somebody used, in the codebook's order."""
    used = {
        marker
        for one in coded
        for coding in one.by_coder.values()
        for annotation in coding.annotations.values()
        for marker in annotation.markers
    }
    return [one for one in load_codebook().markers if one in used]


def _agreement(
    coded: Sequence[Agreed], unit: str, said: Said, level: Level = "nominal"
) -> Agreement:
    import numpy as np

    coders = sorted({coder for one in coded for coder in one.by_coder})
    rows, sessions = [], []
    for one in coded:
        by = one.by_coder
        for item in one.assignment.sheet.items:
            if item.partition("-")[0] == unit:
                sheet = one.assignment.sheet
                rows.append([said(sheet, by[c], item) if c in by else None for c in coders])
                sessions.append(one.assignment.session_id)
    values = np.array(rows, dtype=np.float64).reshape(len(rows), len(coders))
    return agree(Ratings(values, np.array(sessions)), level)


def _markers_of(kinds: Sequence[str]) -> frozenset[str]:
    return frozenset(load_codebook().of_kind(*kinds))


def _any_of(markers: frozenset[str]) -> Said:
    def said(sheet: Sheet, coding: Coding, item: str) -> Value:
        turn, one = sheet.turn(item), coding.annotations.get(item)
        if one is None or turn is None or markers.isdisjoint(codes_of(turn.role)):
            return None
        return float(not markers.isdisjoint(one.markers))

    return said


def _intensity(_: Sheet, coding: Coding, item: str) -> Value:
    one = coding.annotations.get(item)
    return None if one is None or not one.markers else one.intensity


def _rating(name: str) -> Said:
    def said(_: Sheet, coding: Coding, item: str) -> Value:
        one = coding.annotations.get(item)
        return one.ratings.get(name) if one else None

    return said


def _in_segment(of_turn: Said) -> Said:
    """Whether a segment has a turn with it; unknown where none has, and one was not coded."""

    def said(sheet: Sheet, coding: Coding, item: str) -> Value:
        held = sheet.segments[int(item.partition("-")[2])].turn_indexes
        own = [f"turn-{index}" for index in held if codes_of(sheet.turns[index].role)]
        values = [of_turn(sheet, coding, one) for one in own]
        if 1.0 in values:
            return 1.0
        is_whole = all(one in coding.annotations for one in own)
        return 0.0 if is_whole and 0.0 in values else None

    return said


def confusion(coded: Sequence[Agreed]) -> Confusion:
    """Which markers coders take for one another, each two of them against each other."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in coded:
        for mine, theirs in combinations(one.by_coder.values(), 2):
            for item in mine.annotations.keys() & theirs.annotations.keys():
                counts.update(_confused(mine.annotations[item], theirs.annotations[item]))
    used = {name for pair in counts for name in pair}
    order = [*load_codebook().markers, NOTHING]
    return Confusion(tuple(one for one in order if one in used), dict(counts))


def _confused(mine: Annotation, theirs: Annotation) -> Iterator[tuple[str, str]]:
    both = set(mine.markers) & set(theirs.markers)
    yield from ((one, one) for one in both)
    left, right = set(mine.markers) - both, set(theirs.markers) - both
    for one in left or ({NOTHING} if right else ()):
        for other in right or {NOTHING}:
            yield (min(one, other), max(one, other))
