"""What people said of a report's moments, as labels that training learns from.

    labels(report, review) -> {turn index: Label}

Only what somebody has a verdict on is a label; every other turn stays without one, since silence
is none. Whoever judged saw what the tool had marked, and how sure it was: such labels lean towards
the tool, which an export's manifest says. Who said it, and notes, are in no label.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from detector.codebook import load_codebook
from detector.report import Moment, Report
from detector.transcript import Role
from service.judgements import NO_REPAIR, STRAIN_KINDS, Judgement, Review

INTENSITIES: Mapping[int | None, int] = {None: 1, 1: 1, 2: 1, 3: 2, 4: 3, 5: 3}
"""Training's intensity, 1..3 of a strain, by the 3RS rating 1..5. The two scales are not of one
mould: a judgement. Not rated: the least that a strain has."""


@dataclass(frozen=True, slots=True)
class Label:
    """What was said of one turn: ids of markers, none where there is no sign; see training's form.

    Args:
        markers: of the codebook; empty: somebody looked, and saw none.
        intensity: 0 without a strain, else 1..3.
        pillar: of the alliance, or None.
        sure: False where it follows from what was said, and was not said itself.
    """

    markers: tuple[str, ...] = ()
    intensity: int = 0
    pillar: str | None = None
    sure: bool = True


def labels(report: Report, review: Review) -> dict[int, Label]:
    """The labels of a report's turns, by their index; what two items say of a turn is joined."""
    found: dict[int, Label] = {}
    for item, said in review.judgements.items():
        kind, number = item.split("-")
        turns = _moment if kind == "moment" else _added
        for index, label in turns(report, int(number), said):
            found[index] = _joined(found.get(index), label)
    return found


def _moment(report: Report, number: int, said: Judgement) -> Iterator[tuple[int, Label]]:
    moment = report.moments[number - 1]
    theirs = [n for n in moment.turn_indexes if report.turns[n].role is Role.CLIENT]
    if said.verdict == "disagree":
        yield from ((index, Label()) for index in theirs)
    if said.verdict == "agree":
        for index in theirs:
            markers = (said.marker,) if said.marker else _named(report, index, *STRAIN_KINDS)
            if markers:  # a strain without a name cannot be said in training's form
                pillar = said.pillar or moment.pillar
                yield index, Label(markers, INTENSITIES[said.intensity], pillar)
        yield from _repair(report, moment, said)


def _repair(report: Report, moment: Moment, said: Judgement) -> Iterator[tuple[int, Label]]:
    """A turn that was linked teaches the strategies found on it; one that was taken out, none."""
    if said.repair == NO_REPAIR:
        for index in moment.repair_turn_indexes:
            yield index, Label(sure=False)  # it may have mended something else
    elif said.repair is not None:
        kinds = ("resolution", "repair")
        if markers := _named(report, said.repair, *kinds):
            yield said.repair, Label(markers)


def _added(report: Report, index: int, said: Judgement) -> Iterator[tuple[int, Label]]:
    is_client = report.turns[index].role is Role.CLIENT
    if said.verdict == "agree" and said.marker and is_client:
        yield index, Label((said.marker,), INTENSITIES[said.intensity], said.pillar)


def _named(report: Report, index: int, *kinds: str) -> tuple[str, ...]:
    """Markers of these kinds that the tool named on a turn."""
    known = load_codebook().of_kind(*kinds)
    return tuple(one.marker for one in report.turns[index].markers if one.marker in known)


def _joined(before: Label | None, label: Label) -> Label:
    if before is None:
        return label
    return Label(
        tuple(dict.fromkeys((*before.markers, *label.markers))),
        max(before.intensity, label.intensity),
        before.pillar or label.pillar,
        before.sure and label.sure,
    )
