"""A report as the page shows it: every value looked up, worded and linked beforehand.

The template only lays out; what is said and what is near what is decided here.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from detector.codebook import Codebook, Marker
from detector.page import marked, words
from detector.page.facts import middle
from detector.page.reasons import Reason, reasons, silences
from detector.page.strip import Strip, draw
from detector.report import Moment, Report, SegmentReport, Strength, TurnReport
from detector.transcript import Role

_CONTEXT_REACH = 3
"""Turns before a client's turn in which the therapist's turn is looked for that it answers."""

_MOST_QUOTES = 8
_MOST_ANSWERS = 5
"""Turns that one card quotes, so that it fits a printed page; a longer moment goes on in the
transcript."""


@dataclass(frozen=True, slots=True)
class Line:
    """One turn on the page, whole or quoted.

    `markers` are the codebook's entries of its markers and strengths. `moments` and `answers`
    are numbers of the moments it belongs to and answers. `n_skipped` turns lie between it and
    the line before.
    """

    turn: TurnReport
    who: str
    when: str
    quote: marked.Quote
    markers: tuple[Marker, ...] = ()
    moments: tuple[int, ...] = ()
    answers: tuple[int, ...] = ()
    is_context: bool = False
    is_above: bool = False
    n_skipped: int = 0

    @property
    def side(self) -> str:
        """The role as a word of the style sheet."""
        return self.turn.role.value


@dataclass(frozen=True, slots=True)
class MomentView:
    """One card."""

    number: int
    moment: Moment
    when: str
    before: tuple[Line, ...]
    after: tuple[Line, ...]
    n_more: int
    markers: tuple[tuple[Marker, str], ...]
    reasons: tuple[Reason, ...]
    silences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PillarView:
    """One part of the alliance: strain beside strengths. `strain` is 0..1 or None."""

    name: str
    strain: float | None
    moments: tuple[MomentView, ...]
    strengths: tuple[tuple[Strength, Marker, Line], ...]


@dataclass(frozen=True)
class View:
    """Everything the template asks for."""

    report: Report
    codebook: Codebook

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

    @cached_property
    def strip(self) -> Strip:
        """The time strip."""
        return draw(self.report)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The transcript."""
        return tuple(self._line(turn) for turn in self.report.turns)

    @cached_property
    def moments(self) -> tuple[MomentView, ...]:
        """The cards, in the order of the session."""
        return tuple(
            self._moment(number, moment)
            for number, moment in enumerate(self.report.moments, start=1)
        )

    @cached_property
    def pillars(self) -> tuple[PillarView, ...]:
        """Goal, task and bond."""
        return tuple(self._pillar(name) for name in words.PILLARS)

    @cached_property
    def glossary(self) -> tuple[Marker, ...]:
        """The codebook's entries of every marker on the page, in the codebook's order."""
        used = {one.marker for turn in self.report.turns for one in turn.markers}
        used |= {one.marker for one in self.report.strengths}
        return tuple(one for one in self.codebook.markers.values() if one.id in used)

    def segment_moments(self, segment: SegmentReport) -> tuple[MomentView, ...]:
        """The moments that begin in a segment."""
        held = set(segment.turn_indexes)
        return tuple(one for one in self.moments if one.moment.turn_indexes[0] in held)

    def _line(
        self, turn: TurnReport, *, quoted: bool = False, context: bool = False, skipped: int = 0
    ) -> Line:
        strengths = self.strengths.get(turn.index, ())
        marks = marked.marks_of(turn, strengths)
        names = dict.fromkeys(one.marker for one in (*turn.markers, *strengths))
        if context and not marks:
            said = marked.ending(turn.text)
        elif quoted:
            said = marked.quote(turn.text, marks, self.codebook)
        else:
            said = marked.Quote(marked.cut(turn.text, marks, self.codebook))
        who = words.ROLES[turn.role]
        return Line(
            turn=turn,
            who=turn.speaker or who if turn.role in (Role.OTHER, Role.UNKNOWN) else who,
            when=words.clock(turn.start_s) or f"turn {turn.index}",
            quote=said,
            markers=tuple(words.marker(self.codebook, name) for name in names),
            moments=self.in_moment.get(turn.index, ()),
            answers=self.in_answer.get(turn.index, ()),
            is_context=context,
            n_skipped=skipped,
        )

    def _moment(self, number: int, moment: Moment) -> MomentView:
        own = [self.turns[index] for index in moment.turn_indexes if index in self.turns]
        answers = [self.turns[i] for i in moment.repair_turn_indexes if i in self.turns]
        highest = max(own, key=lambda turn: turn.scores.get("rupture") or 0.0)
        quoted = {turn.index for turn in own}
        asked = {before for turn in own for before in self._asked(turn)} - quoted
        shown = self._most_telling(own)
        return MomentView(
            number=number,
            moment=moment,
            when=_when(moment.start_s, moment.end_s, own),
            before=tuple(self._quotes(shown, context=asked)),
            after=tuple(self._quotes([turn.index for turn in answers][:_MOST_ANSWERS], shown)),
            n_more=len(quoted | asked) - len(shown),
            markers=tuple(self._markers(moment, own)),
            reasons=reasons(
                (e for e in highest.evidence if e.label in ("withdrawal", "confrontation")),
                self.codebook,
            ),
            silences=tuple(silences(own[0], self._usual_latency_s)),
        )

    def _most_telling(self, own: Sequence[TurnReport]) -> list[int]:
        """Turns that the card quotes: the highest scored with what they answer, in order."""
        chosen: set[int] = set()
        for turn in sorted(own, key=lambda one: -(one.scores.get("rupture") or 0.0)):
            wanted = {turn.index, *self._asked(turn)}
            if len(chosen | wanted) > _MOST_QUOTES:
                break
            chosen |= wanted
        return sorted(chosen)

    @cached_property
    def _usual_latency_s(self) -> float | None:
        return middle(self.report.turns, "response_latency_s", Role.CLIENT)

    def _asked(self, turn: TurnReport) -> Sequence[int]:
        """The therapist's turn that a client's turn answers, if one is near."""
        near = range(turn.index - 1, turn.index - 1 - _CONTEXT_REACH, -1)
        if turn.role is Role.THERAPIST:
            return ()
        return [
            index
            for index in near
            if index in self.turns and self.turns[index].role is Role.THERAPIST
        ][:1]

    def _quotes(
        self,
        indexes: Sequence[int],
        above: Collection[int] = (),
        *,
        context: Collection[int] = (),
    ) -> Iterator[Line]:
        """Lines of a card; those that stand above on it already are named, not quoted again."""
        before: int | None = None
        for index in indexes:
            skipped = 0 if before is None else index - before - 1
            line = self._line(
                self.turns[index], quoted=True, context=index in context, skipped=skipped
            )
            yield dataclasses.replace(line, is_above=index in above)
            before = index

    def _markers(self, moment: Moment, own: Sequence[TurnReport]) -> Iterator[tuple[Marker, str]]:
        """The moment's markers, those of strain first, each with how it was found.

        Nothing is said of wording: there the underline shows it.
        """
        entries = [words.marker(self.codebook, name) for name in dict.fromkeys(moment.markers)]
        for entry in sorted(entries, key=lambda one: one.kind not in words.KINDS):
            sources = {f.source for turn in own for f in turn.markers if f.marker == entry.id}
            said = words.listed([words.SOURCES.get(source, source) for source in sorted(sources)])
            yield entry, "" if sources <= {"rule"} else f"Found {said}."

    def _pillar(self, name: str) -> PillarView:
        values = self.report.session.pillars.get(name, {})
        return PillarView(
            name=name,
            strain=values.get("strain"),
            moments=tuple(one for one in self.moments if one.moment.pillar == name),
            strengths=tuple(
                (one, words.marker(self.codebook, one.marker), self._strength_line(one))
                for one in self.report.strengths
                if one.pillar == name and one.turn_index in self.turns
            ),
        )

    def _strength_line(self, strength: Strength) -> Line:
        """The strength's turn with only this strength marked."""
        turn = self.turns[strength.turn_index]
        marks = [marked.Mark(span, strength.marker) for span in strength.spans]
        return Line(
            turn=turn,
            who=words.ROLES[turn.role],
            when=words.clock(turn.start_s) or f"turn {turn.index}",
            quote=marked.quote(turn.text, marks, self.codebook, most=280),
        )


def _numbers(turn_indexes: Iterable[Sequence[int]]) -> Mapping[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {}
    for number, indexes in enumerate(turn_indexes, start=1):
        for index in indexes:
            found[index] = (*found.get(index, ()), number)
    return found


def _when(start_s: float | None, end_s: float | None, own: Sequence[TurnReport]) -> str:
    if start_s is None:
        first, last = own[0].index, own[-1].index
        return f"turn {first}" if first == last else f"turns {first} to {last}"
    until = "" if end_s is None else words.clock(end_s)
    return words.clock(start_s) + (f"–{until}" if until and until != words.clock(start_s) else "")
