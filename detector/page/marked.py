"""Text with its evidence: a turn cut where marks begin and end, so that markup always nests."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from detector.codebook import Codebook
from detector.page.words import marker
from detector.report import Span, Strength, TurnReport

_ORDER = (
    "confrontation",
    "withdrawal",
    "repair",
    "resolution",
    "contribution",
    "strength",
    "other",
)
"""Which kind draws the underline where marks overlap; the title names them all."""

MOST_QUOTED = 560
"""Code points of a turn that a card quotes; the transcript has the whole turn."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A marker's place in a turn."""

    span: Span
    marker: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Text under the same marks. `kind` and `title` are empty where there are none."""

    text: str
    kind: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """The pieces of one turn, or of a part of it that `is_cut_before` and `is_cut_after` tell."""

    pieces: tuple[Piece, ...]
    is_cut_before: bool = False
    is_cut_after: bool = False


def marks_of(turn: TurnReport, strengths: Iterable[Strength]) -> tuple[Mark, ...]:
    """Every place in the turn that a marker or a strength names."""
    found = [Mark(span, one.marker) for one in turn.markers for span in one.spans]
    found += [Mark(span, one.marker) for one in strengths for span in one.spans]
    return tuple(dict.fromkeys(found))


def cut(text: str, marks: Iterable[Mark], codebook: Codebook) -> tuple[Piece, ...]:
    """The text in pieces that do not overlap; joined they are the text.

    Offsets count code points; what lies outside of the text is left out.
    """
    inside = [
        (max(0, one.span.start), min(len(text), one.span.end), one.marker)
        for one in marks
        if max(0, one.span.start) < min(len(text), one.span.end)
    ]
    return tuple(_piece(text[a:b], names, codebook) for a, b, names in _stretches(text, inside))


def _stretches(
    text: str, inside: Sequence[tuple[int, int, str]]
) -> Iterator[tuple[int, int, list[str]]]:
    """Each stretch between two edges with the names over it, in the order in which they came.

    Only the marks that are open are looked at: a whole session in one turn has thousands.
    """
    opening: dict[int, list[int]] = {}
    for place, (start, _, _) in enumerate(inside):
        opening.setdefault(start, []).append(place)
    edges = {edge for start, end, _ in inside for edge in (start, end)}
    is_open: list[int] = []
    for a, b in itertools.pairwise(sorted({0, len(text), *edges})):
        going_on = [place for place in is_open if inside[place][1] > a]
        is_open = sorted([*going_on, *opening.get(a, ())])
        yield a, b, [inside[place][2] for place in is_open]


def _piece(text: str, names: Sequence[str], codebook: Codebook) -> Piece:
    if not names:
        return Piece(text)
    found = [marker(codebook, name) for name in dict.fromkeys(names)]
    kinds = {one.kind for one in found}
    kind = next((kind for kind in _ORDER if kind in kinds), "other")
    return Piece(text, kind, ", ".join(one.title for one in found))


def quote(
    text: str, marks: Sequence[Mark], codebook: Codebook, *, most: int = MOST_QUOTED
) -> Quote:
    """At most `most` code points of a turn, with its first mark among them."""
    if len(text) <= most:
        return Quote(cut(text, marks, codebook))
    first = min((one.span.start for one in marks), default=0)
    begin = _word_start(text, first - most // 4) if first > most // 2 else 0
    end = _word_start(text, begin + most)
    moved = [Mark(Span(m.span.start - begin, m.span.end - begin), m.marker) for m in marks]
    return Quote(cut(text[begin:end], moved, codebook), begin > 0, end < len(text))


def ending(text: str, *, most: int = MOST_QUOTED // 2) -> Quote:
    """The last words of a turn: what the next speaker answered."""
    begin = 0 if len(text) <= most else _word_start(text, len(text) - most)
    return Quote((Piece(text[begin:]),), is_cut_before=begin > 0)


def _word_start(text: str, place: int) -> int:
    """The start of the word after the next space, or the place itself where none is near."""
    space = text.find(" ", place, place + 40)
    return min(len(text), place if space < 0 else space + 1)
