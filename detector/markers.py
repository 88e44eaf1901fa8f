"""Where the codebook's patterns hit: every hit names its pattern and its place in the turn.

Phrases are looked up first, all at once; a token pattern runs only where phrases cannot say
it. What a phrase cannot see is checked for every hit: whether it is negated, whether it is
somebody else's speech that is reported, and what the therapist's last turn invited.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from detector.codebook import Codebook, Pattern, load_codebook
from detector.lookup import PatternLookup
from detector.quotation import Quotation
from detector.speech import SpeechReader, SpokenTurn, is_word
from detector.transcript import Role, Turn

_NEGATION_REACH = 3
"""Words before a match in which a "not" voids it. A judgement; NegEx (Chapman et al. 2001)
uses five or six in clinical notes, whose sentences are denser than speech."""

_LONGEST_AFTER = 4
"""Words of the longest phrase in a pattern's `not_before`."""

_MOST_REPLIES = 4
"""Most short replies ("well, no, I mean") that may stand before a match that opens the turn."""

_BREAKS = ("-", "–", "—", ",")
"""How transcribers mark speech that another's word cuts in two."""


@dataclass(frozen=True, slots=True)
class MarkerHit:
    """One place where a pattern was found.

    `start` and `end` are code points in the turn's text, half-open. `source` is "rule".
    """

    turn_index: int
    start: int
    end: int
    marker: str
    pattern_id: str
    source: str = "rule"


class MarkerRules:
    """All patterns of a codebook, compiled. Building it imports spaCy."""

    def __init__(self, codebook: Codebook | None = None) -> None:
        self.codebook = codebook or load_codebook()
        self.speech = SpeechReader(self.codebook.spoken)
        self._quotation = Quotation(self.codebook.spoken)
        self._lookup = PatternLookup(self.codebook, self.speech)

    def find(self, turns: Sequence[Turn]) -> tuple[tuple[MarkerHit, ...], ...]:
        """The hits of each turn: shape (n_turns,), each in order of place.

        A pattern is asked only of the speaker whose marker it is; a turn of unknown role gets
        only what anyone may say.
        """
        spoken = tuple(self.speech.read_all(turn.text for turn in turns))
        return self.find_in(turns, spoken)

    def find_in(
        self, turns: Sequence[Turn], spoken: Sequence[SpokenTurn]
    ) -> tuple[tuple[MarkerHit, ...], ...]:
        """As `find`, for turns whose words are read already."""
        found: list[tuple[MarkerHit, ...]] = []
        invited: frozenset[str] = frozenset()
        for place, (turn, words) in enumerate(zip(turns, spoken, strict=True)):
            is_given = _is_floor_given(turns, place)
            hits = tuple(self._hits(turn, words, invited, is_given))
            found.append(hits)
            if turn.role is Role.THERAPIST and not self.is_backchannel(words):
                invited = frozenset(hit.marker for hit in hits)
        return tuple(found)

    def is_backchannel(self, words: SpokenTurn) -> bool:
        """Whether a turn only signals listening, so that the floor stays where it was."""
        spoken = self.codebook.spoken
        return words.n_words <= 3 and all(
            word.text in spoken.backchannels or word.text in spoken.fillers
            for word in words.words
            if is_word(word.text)
        )

    def _hits(
        self, turn: Turn, words: SpokenTurn, invited: frozenset[str], is_given: bool
    ) -> Iterator[MarkerHit]:
        for first, last, pattern_id in _longest(self._lookup.find(words)):
            pattern = self.codebook.patterns[pattern_id]
            if pattern.floor_given and not is_given:
                continue
            if self._holds(pattern, turn, words, first, last, invited):
                start, end = words.words[first].start, words.words[last - 1].end
                yield MarkerHit(turn.index, start, end, pattern.marker, pattern_id)

    def _holds(
        self,
        pattern: Pattern,
        turn: Turn,
        words: SpokenTurn,
        first: int,
        last: int,
        invited: frozenset[str],
    ) -> bool:
        """Whether everything that the pattern asks beside its words is true of this match."""
        role = self.codebook.markers[pattern.marker].role
        if role != "any" and turn.role != role:
            return False
        if pattern.after and invited.isdisjoint(pattern.after):
            return False
        if pattern.max_words is not None and words.n_words > pattern.max_words:
            return False
        if pattern.question is not None and pattern.question is not _is_question(words, last):
            return False
        if pattern.whole_turn and not self._is_whole(words, first, last):
            return False
        if pattern.at_start and not self._opens(words, first):
            return False
        if first and words.words[first - 1].text in pattern.not_after:
            return False
        if pattern.not_before and _goes_on(words, last, pattern.not_before):
            return False
        if pattern.negatable and self._is_negated(words, first):
            return False
        return pattern.reportable or not self._quotation.holds(turn.text, words, first, last)

    def _is_whole(self, words: SpokenTurn, first: int, last: int) -> bool:
        # Looks at one place at a time and stops at the first word: a slice for every match would
        # take minutes where a whole session stands in one turn.
        outside = itertools.chain(range(first - 1, -1, -1), range(last, len(words.words)))
        return not any(is_word(words.words[place].text) for place in outside)

    def _opens(self, words: SpokenTurn, first: int) -> bool:
        n_words = 0
        for place in range(first):
            text = words.words[place].text
            if is_word(text):
                n_words += 1
                if n_words > _MOST_REPLIES or text not in self.codebook.spoken.replies:
                    return False
        return True

    def _is_negated(self, words: SpokenTurn, first: int) -> bool:
        sentence = words.sentence(first)
        before = words.words[max(sentence.start, first - _NEGATION_REACH) : first]
        if before and _is_answer(words, sentence.start, before[0].start):
            before = before[1:]
        return any(word.text in self.codebook.spoken.negations for word in before)


def _goes_on(words: SpokenTurn, last: int, phrases: Sequence[str]) -> bool:
    """Whether one of these phrases stands directly after the match."""
    following = " ".join(word.text for word in words.words[last : last + _LONGEST_AFTER])
    return any(f"{following} ".startswith(f"{phrase} ") for phrase in phrases)


def _is_floor_given(turns: Sequence[Turn], place: int) -> bool:
    """Whether the speaker before had finished: a word thrown in mid-speech answers nothing."""
    before = turns[place - 1].text.rstrip() if place else ""
    after = turns[place + 1].text.lstrip() if place + 1 < len(turns) else ""
    return not (before.endswith(_BREAKS) or after.startswith(_BREAKS))


def _is_answer(words: SpokenTurn, sentence_start: int, place: int) -> bool:
    """Whether the word at this place is a "no" that answers, which negates nothing after it."""
    first = words.words[sentence_start]
    return first.start == place and first.text == "no"


def _is_question(words: SpokenTurn, last: int) -> bool:
    sentence = words.sentence(last - 1)
    return words.words[sentence[-1]].text == "?"


def _place_of(match: tuple[int, int, str]) -> tuple[int, int, str]:
    """First come first, the longer before the shorter; by name where two stand in one place."""
    first, last, pattern_id = match
    return first, -last, pattern_id


def _longest(matches: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The matches in order of place, less those inside a longer one of the same pattern."""
    kept: list[tuple[int, int, str]] = []
    reached: dict[str, int] = {}
    for first, last, pattern_id in sorted(set(matches), key=_place_of):
        if last > reached.get(pattern_id, -1):
            reached[pattern_id] = last
            kept.append((first, last, pattern_id))
    return kept
