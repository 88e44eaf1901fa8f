"""Where the coders of a session differ, widest first, and what stands when that is settled.

    differences(sheet, codings) -> tuple[Difference, ...]
    settled(sheet, codings, adjudication) -> annotations by item, of the pass `adjudicated`

An item that a coder did not code is no difference: nobody knows what they would have said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detector.codebook import load_codebook
from service.annotations import Annotation, Coding
from service.sheets import Sheet

KINDS_GAP, MARKERS_GAP, REST_GAP = 1.0, 0.6, 0.3
"""How wide a turn's gap is: one coder sees a kind of strain or answer that another does not; they
see the same kinds by other markers; they differ in pillar or intensity alone. A judgement, as is
that ratings are as wide apart as their share of the scale's four steps."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One item on which coders differ: how widely, 0..1, and what each says, by coder."""

    item: str
    gap: float
    said: Mapping[str, Annotation]


def differences(sheet: Sheet, codings: Mapping[str, Coding]) -> tuple[Difference, ...]:
    """The items that two coders or more coded and do not agree on, widest first."""
    found = []
    for item in sheet.items:
        said = _said(item, codings)
        gap = gap_of(tuple(said.values()))
        if gap > 0:
            found.append(Difference(item, gap, said))
    return tuple(sorted(found, key=lambda one: -one.gap))


def _said(item: str, codings: Mapping[str, Coding]) -> dict[str, Annotation]:
    return {
        coder: coding.annotations[item]
        for coder, coding in codings.items()
        if item in coding.annotations
    }


def gap_of(said: Sequence[Annotation]) -> float:
    """How far annotations of one item lie apart, 0..1; 0 where fewer than two say anything."""
    if len(said) < 2:
        return 0.0
    names = {name for one in said for name in one.ratings}
    rated = [[one.ratings[name] for one in said if name in one.ratings] for name in names]
    widest = max((max(one) - min(one) for one in rated), default=0) / 4
    if len({_kinds(one) for one in said}) > 1:
        return KINDS_GAP
    if len({frozenset(one.markers) for one in said}) > 1:
        return max(widest, MARKERS_GAP)
    if len({(one.pillar, one.intensity) for one in said}) > 1:
        return max(widest, REST_GAP)
    return widest


def _kinds(one: Annotation) -> frozenset[str]:
    known = load_codebook().markers
    return frozenset(known[marker].kind for marker in one.markers)


def settled(
    sheet: Sheet, codings: Mapping[str, Coding], adjudication: Coding
) -> dict[str, Annotation]:
    """What stands after adjudication: what was settled, and what all who coded it agree on.

    An item on which coders differ and that was not settled is not in it.
    """
    made: dict[str, Annotation] = {}
    for item in sheet.items:
        said = tuple(_said(item, codings).values())
        if item in adjudication.annotations:
            made[item] = adjudication.annotations[item]
        elif len(said) >= 2 and gap_of(said) == 0:
            made[item] = _common(said)
    return made


def _common(said: Sequence[Annotation]) -> Annotation:
    """What several annotations that do not differ say together; no time of its own."""
    first = said[0]
    ratings = {name: value for one in said for name, value in one.ratings.items()}
    surest = {one.sure for one in said}
    return Annotation(
        markers=first.markers,
        pillar=first.pillar,
        intensity=first.intensity,
        sure=first.sure if len(surest) == 1 else None,
        ratings=ratings,
    )
