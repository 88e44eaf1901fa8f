"""A report as the page shows it: every value looked up, worded and linked beforehand.

The template only lays out; what is said and what is near what is decided here.
"""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from detector.codebook import PILLARS, Codebook, Marker
from detector.page.lines import STRAIN_KINDS, Line, Lines
from detector.page.reasons import Reason, reasons
from detector.page.strip import Strip, draw
from detector.page.words import Words, clock
from detector.page.words import marker as entry_of
from detector.report import Moment, Report, SegmentReport, Strength, TurnReport
from detector.transcript import Role

_CONTEXT_REACH = 3
"""Turns before a client's turn in which the therapist's turn is looked for that it answers."""

_MOST_QUOTES = 8
_MOST_ANSWERS = 5
"""Turns that one card quotes, so that it fits a printed page; a longer moment goes on in the
transcript."""

_MOST_NEAR = 3
_LEAST_NEAR = 0.25
"""Client turns below the mark that are named, and the score from which: one in four. A judgement:
the mark is set so that few are marked for nothing, so a supervisor may want those just missed."""


@dataclass(frozen=True, slots=True)
class MomentView:
    """One card. `surest` is its highest turn, whose score the card tells.

    `n_more` of its turns, and `n_more_after` that answer it, are only in the transcript.
    """

    number: int
    moment: Moment
    when: str
    before: tuple[Line, ...]
    after: tuple[Line, ...]
    n_more: int
    n_more_after: int
    markers: tuple[tuple[Marker, str], ...]
    reasons: tuple[Reason, ...]
    surest: Line


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
    words: Words

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.report, self.codebook, self.words)

    @cached_property
    def turns(self) -> dict[int, TurnReport]:
        """The turns by their index."""
        return dict(self._lines.turns)

    @cached_property
    def strip(self) -> Strip:
        """The time strip."""
        return draw(self.report, self.words)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The transcript."""
        return tuple(self._lines.whole(turn) for turn in self.report.turns)

    @cached_property
    def moments(self) -> tuple[MomentView, ...]:
        """The cards, in the order of the session."""
        return tuple(
            self._moment(number, moment)
            for number, moment in enumerate(self.report.moments, start=1)
        )

    @cached_property
    def near(self) -> tuple[tuple[Line, float], ...]:
        """The client's turns that came nearest to the mark without a moment, with their score.

        In the order of the session. What lies inside a moment or answers one is told there.
        """
        told = set(self._lines.in_answer)
        for one in self.report.moments:
            told.update(range(one.turn_indexes[0], one.turn_indexes[-1] + 1))
        below = [
            (turn, score)
            for turn in self.report.turns
            if turn.role is Role.CLIENT
            and turn.index not in told
            and _LEAST_NEAR <= (score := _strain(turn)) < self.report.provenance.flag_threshold
        ]
        nearest = sorted(below, key=lambda one: -one[1])[:_MOST_NEAR]
        ordered = sorted(nearest, key=lambda one: one[0].index)
        return tuple((self._lines.of_moment(turn), score) for turn, score in ordered)

    @cached_property
    def is_scored(self) -> bool:
        """Whether any turn has scores."""
        return any(turn.abstained is None for turn in self.report.turns)

    @cached_property
    def pillars(self) -> tuple[PillarView, ...]:
        """Goal, task and bond."""
        return tuple(self._pillar(name) for name in PILLARS)

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

    def _moment(self, number: int, moment: Moment) -> MomentView:
        own = [self.turns[index] for index in moment.turn_indexes if index in self.turns]
        answers = [index for index in moment.repair_turn_indexes if index in self.turns]
        highest = max(own, key=_strain)
        shown = self._most_telling(own)
        inside = {turn.index for turn in own}
        asked = {before for turn in own for before in self._asked(turn)} - inside
        return MomentView(
            number=number,
            moment=moment,
            when=_when(moment.start_s, moment.end_s, own, self.words),
            before=tuple(self._strained(shown, inside)),
            after=tuple(self._answering(answers[:_MOST_ANSWERS], shown)),
            n_more=len(inside | asked) - len(shown),
            n_more_after=len(answers[_MOST_ANSWERS:]),
            markers=tuple(self._markers(moment, own)),
            reasons=reasons(
                (e for e in highest.evidence if moment.kind in (e.label, "mixed")),
                self.codebook,
                self.words,
            ),
            surest=self._lines.of_moment(highest),
        )

    def _most_telling(self, own: Sequence[TurnReport]) -> list[int]:
        """Turns that the card quotes: the highest scored with what they answer, in order."""
        chosen: set[int] = set()
        for turn in sorted(own, key=_strain, reverse=True):
            wanted = {turn.index, *self._asked(turn)}
            if len(chosen | wanted) > _MOST_QUOTES:
                break
            chosen |= wanted
        return sorted(chosen)

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

    def _strained(self, indexes: Sequence[int], inside: Collection[int]) -> Iterator[Line]:
        """The moment's turns and what they answer."""
        for index, skipped in _with_gaps(indexes):
            turn = self.turns[index]
            line = self._lines.of_moment(turn) if index in inside else self._lines.asked(turn)
            yield dataclasses.replace(line, n_skipped=skipped)

    def _answering(self, indexes: Sequence[int], above: Collection[int]) -> Iterator[Line]:
        """Turns that answer; those that stand above on the card are named, not quoted again."""
        for index, skipped in _with_gaps(indexes):
            line = self._lines.answer(self.turns[index])
            yield dataclasses.replace(line, n_skipped=skipped, is_above=index in above)

    def _markers(self, moment: Moment, own: Sequence[TurnReport]) -> Iterator[tuple[Marker, str]]:
        """The moment's markers, those of strain first, each with how it was found.

        Nothing is said of wording: there the underline shows it.
        """
        known = self.words.under("moments.found_by")
        entries = [entry_of(self.codebook, name) for name in dict.fromkeys(moment.markers)]
        for entry in sorted(entries, key=lambda one: one.kind not in STRAIN_KINDS):
            sources = {f.source for turn in own for f in turn.markers if f.marker == entry.id}
            how = self.words.joined([known.get(source, source) for source in sorted(sources)])
            found = self.words.text("moments.found", how=how)
            yield entry, "" if sources <= {"rule"} else found

    def _pillar(self, name: str) -> PillarView:
        values = self.report.session.pillars.get(name, {})
        return PillarView(
            name=name,
            strain=values.get("strain"),
            moments=tuple(one for one in self.moments if one.moment.pillar == name),
            strengths=tuple(
                (one, entry_of(self.codebook, one.marker), self._lines.strength(one))
                for one in self.report.strengths
                if one.pillar == name and one.turn_index in self.turns
            ),
        )


def _strain(turn: TurnReport) -> float:
    return turn.scores.get("rupture") or 0.0


def _with_gaps(indexes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Each index with the number of turns between it and the one before."""
    for place, index in enumerate(indexes):
        yield index, index - indexes[place - 1] - 1 if place else 0


def _when(
    start_s: float | None, end_s: float | None, own: Sequence[TurnReport], words: Words
) -> str:
    if start_s is None:
        first, last = own[0].index, own[-1].index
        if first == last:
            return words.turn(first, None)
        return words.text("top.place.turns", first=first, last=last)
    since, until = clock(start_s), clock(end_s)
    return since + (f"–{until}" if until and until != since else "")
