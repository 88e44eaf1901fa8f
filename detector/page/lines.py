"""One turn as the page shows it: with all its marks in the transcript, on a card with few."""

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from detector.codebook import Codebook, Marker
from detector.page import marked
from detector.page.facts import middle
from detector.page.reasons import silences
from detector.page.words import Words
from detector.page.words import marker as entry_of
from detector.report import Report, Strength, TurnReport
from detector.transcript import Role

STRAIN_KINDS = ("withdrawal", "confrontation", "other")
PRESSURE_KINDS = ("contribution", "other")
ANSWER_KINDS = ("repair", "resolution", "contribution", "other")
"""Kinds of marker that a card shows on the client's turns, on what they answer and on what
answers them. The rest is in the transcript: on a card it would read as noise."""

_TWO_SIDED = 2.0
"""Below this many times the other's score, a turn is of both kinds, as a moment is."""


@dataclass(frozen=True, slots=True)
class Line:
    """One turn on the page, whole or quoted.

    `markers` are the codebook's entries of its markers and strengths. `moments` and `answers`
    are numbers of the moments it belongs to and answers. `kind` is withdrawal, confrontation,
    mixed or empty. `n_skipped` turns lie between it and the line before.
    """

    turn: TurnReport
    who: str
    when: str
    quote: marked.Quote
    markers: tuple[Marker, ...] = ()
    moments: tuple[int, ...] = ()
    answers: tuple[int, ...] = ()
    kind: str = ""
    silences: tuple[str, ...] = ()
    is_context: bool = False
    is_above: bool = False
    n_skipped: int = 0

    @property
    def side(self) -> str:
        """The role as a word of the style sheet."""
        return self.turn.role.value


@dataclass(frozen=True)
class Lines:
    """Makes the lines of one report."""

    report: Report
    codebook: Codebook
    words: Words

    @cached_property
    def turns(self) -> Mapping[int, TurnReport]:
        """The turns by their index."""
        return {turn.index: turn for turn in self.report.turns}

    @cached_property
    def strengths(self) -> Mapping[int, list[Strength]]:
        """The strengths by their turn's index."""
        found = defaultdict(list)
        for one in self.report.strengths:
            found[one.turn_index].append(one)
        return found

    @cached_property
    def in_moment(self) -> Mapping[int, tuple[int, ...]]:
        """Numbers of the moments that a turn belongs to, by its index."""
        return _numbers(one.turn_indexes for one in self.report.moments)

    @cached_property
    def in_answer(self) -> Mapping[int, tuple[int, ...]]:
        """Numbers of the moments that a turn answers, by its index."""
        return _numbers(one.repair_turn_indexes for one in self.report.moments)

    def whole(self, turn: TurnReport) -> Line:
        """A line of the transcript."""
        strengths = self.strengths.get(turn.index, ())
        marks = marked.marks_of(turn, strengths)
        names = [one.marker for one in (*turn.markers, *strengths)]
        said = marked.Quote(marked.cut(turn.text, marks, self.codebook))
        return self._line(turn, said, self._entries(names))

    def of_moment(self, turn: TurnReport) -> Line:
        """A client's turn on the card of its moment: signs of strain, and what the clock says."""
        line = self._quoted(turn, STRAIN_KINDS)
        told = tuple(silences(turn, self.words, self._usual_latency_s))
        return dataclasses.replace(line, kind=strain_kind(turn), silences=told)

    def asked(self, turn: TurnReport) -> Line:
        """What a client's turn answers; without pressure in it, only its last words."""
        line = self._quoted(turn, PRESSURE_KINDS)
        quote = line.quote if line.markers else marked.ending(turn.text)
        return dataclasses.replace(line, quote=quote, is_context=True)

    def answer(self, turn: TurnReport) -> Line:
        """What answers a moment."""
        return self._quoted(turn, ANSWER_KINDS)

    def strength(self, strength: Strength) -> Line:
        """A strength's turn with only this strength marked."""
        turn = self.turns[strength.turn_index]
        marks = [marked.Mark(span, strength.marker) for span in strength.spans]
        return self._line(turn, marked.quote(turn.text, marks, self.codebook, most=280), ())

    @cached_property
    def _usual_latency_s(self) -> float | None:
        return middle(self.report.turns, "response_latency_s", Role.CLIENT)

    def _quoted(self, turn: TurnReport, kinds: Collection[str]) -> Line:
        marks = marked.marks_of(turn, self.strengths.get(turn.index, ()))
        kept = [mark for mark in marks if self._kind(mark.marker) in kinds]
        entries = self._entries(one.marker for one in turn.markers)
        shown = tuple(one for one in entries if one.kind in kinds)
        return self._line(turn, marked.quote(turn.text, kept, self.codebook), shown)

    def _line(self, turn: TurnReport, quote: marked.Quote, markers: tuple[Marker, ...]) -> Line:
        who = self.words.text(f"top.role.{turn.role.value}")
        return Line(
            turn=turn,
            who=turn.speaker or who if turn.role in (Role.OTHER, Role.UNKNOWN) else who,
            when=self.words.turn(turn.index, turn.start_s),
            quote=quote,
            markers=markers,
            moments=self.in_moment.get(turn.index, ()),
            answers=self.in_answer.get(turn.index, ()),
        )

    def _kind(self, marker_id: str) -> str:
        return entry_of(self.codebook, marker_id).kind

    def _entries(self, marker_ids: Iterable[str]) -> tuple[Marker, ...]:
        return tuple(entry_of(self.codebook, name) for name in dict.fromkeys(marker_ids))


def strain_kind(turn: TurnReport) -> str:
    """What kind of strain a turn's scores speak of more; empty where they speak of none."""
    away = turn.scores.get("withdrawal") or 0.0
    against = turn.scores.get("confrontation") or 0.0
    if not away + against:
        return ""
    if max(away, against) < _TWO_SIDED * min(away, against):
        return "mixed"
    return "withdrawal" if away > against else "confrontation"


def _numbers(turn_indexes: Iterable[Sequence[int]]) -> Mapping[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {}
    for number, indexes in enumerate(turn_indexes, start=1):
        for index in indexes:
            found[index] = (*found.get(index, ()), number)
    return found
