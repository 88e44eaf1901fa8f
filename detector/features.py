"""What the scorer looks at: every turn as a row of named numbers.

A name says where it comes from: `hit.` a marker found in this turn, `pattern.` the rule that
found it, `word.` a word that was said, `said.` how it was said, `before.` and `after.` the other
speaker's turns around it, `time.` the clock. A value that is unknown (no such turn, no clock) is
NaN and pulls nowhere.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from detector.codebook import Codebook
from detector.markers import MarkerHit, MarkerRules
from detector.speech import SpokenTurn, is_word
from detector.timing import COLUMNS, UNANSWERED_PAUSE_S, FloatArray, read_clock
from detector.timing import measure as measure_timing
from detector.transcript import Role, Transcript, Turn

FloatMatrix = npt.NDArray[np.float64]

TIMED = (
    "response_latency_s",
    "pause_before_s",
    "pause_within_s",
    "unanswered_s",
    "response_latency_s_vs_own",
)
"""Columns of the timing table that the scorer uses, squeezed by log1p. AnnoMI has no ends, so
their weights rest on the invented sessions alone. Pace is left out: there it was computed from
word counts, and a weight on it would be a weight on that formula."""

SLOW_REPLY_S = 3.0
SLOWER_THAN_OWN_S = 2.0
SHORT_REPLY_WORDS = 4
"""What makes a slow short reply. Judgements: replies come within half a second in talk at large
(Heldner & Edlund 2010), a video link adds its lag, and some clients are always slow."""

_AROUND_TURNS = 40
"""Turns to either side in which somebody else's words are looked for. A judgement; without an
end, a session of nothing but "yes" and "okay" would be gone through once for every turn."""

_FIRST_PERSON = frozenset({"i", "me", "my", "mine", "myself"})
_SECOND_PERSON = frozenset({"you", "your", "yours", "yourself"})
_OPENERS = ("no", "yes", "yeah", "well", "but", "okay", "so", "i", "it", "that", "why", "what")


@dataclass(frozen=True)
class ReadSession:
    """One session as the rules and the clock read it; the scorer's only input.

    `hits`, `spoken` and `features` run parallel to `turns`; `timing` is the table of
    detector.timing, shape (n_turns, len(COLUMNS)).
    """

    transcript: Transcript
    spoken: tuple[SpokenTurn, ...] = field(repr=False)
    hits: tuple[tuple[MarkerHit, ...], ...] = field(repr=False)
    timing: FloatArray = field(repr=False)
    features: tuple[Mapping[str, float], ...] = field(repr=False)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The session's turns."""
        return self.transcript.turns


def read_session(transcript: Transcript, rules: MarkerRules) -> ReadSession:
    """Reads a session once: words, hits, clock, features."""
    turns = transcript.turns
    spoken = tuple(rules.speech.read_all(turn.text for turn in turns))
    hits = rules.find_in(turns, spoken)
    technical = technical_turns(hits, rules.codebook)
    timing = measure_timing(transcript, technical=technical, clock=read_clock(transcript))
    hits = tuple(
        (*found, *silence_hits(turn, words, timing[turn.index]))
        for turn, words, found in zip(turns, spoken, hits, strict=True)
    )
    rows = _Rows(turns, spoken, hits, timing, rules)
    features = tuple(rows.of(turn) for turn in turns)
    return ReadSession(transcript, spoken, hits, timing, features)


def silence_hits(turn: Turn, spoken: SpokenTurn, timing: FloatArray) -> Iterator[MarkerHit]:
    """Minimal responses that the clock shows: `timing` is the turn's row of the timing table.

    `timing.unanswered`: the client let a pause of a therapist's pass (Künsch et al. 2023 found
    it the best sign of a minimal response); it has no place in the text. `timing.slow_short`: a
    reply of a few words after a silence that is long, also for this client.
    """

    def value(name: str) -> float:
        return float(timing[COLUMNS.index(name)])

    if turn.role is not Role.CLIENT:
        return
    if value("unanswered_s") >= UNANSWERED_PAUSE_S:
        yield MarkerHit(turn.index, 0, 0, "minimal_response", "timing.unanswered", "timing")
    slow = value("response_latency_s") >= SLOW_REPLY_S
    slower = value("response_latency_s_vs_own") >= SLOWER_THAN_OWN_S
    if slow and slower and spoken.n_words <= SHORT_REPLY_WORDS:
        end = len(turn.text)
        yield MarkerHit(turn.index, 0, end, "minimal_response", "timing.slow_short", "timing")


def technical_turns(hits: Sequence[Sequence[MarkerHit]], codebook: Codebook) -> frozenset[int]:
    """Indexes of turns that speak of trouble with the connection."""
    technical = set(codebook.of_kind("technical"))
    return frozenset(hit.turn_index for found in hits for hit in found if hit.marker in technical)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Makes the row of one turn from everything that was read."""

    turns: Sequence[Turn]
    spoken: Sequence[SpokenTurn]
    hits: Sequence[Sequence[MarkerHit]]
    timing: FloatArray
    rules: MarkerRules

    def of(self, turn: Turn) -> dict[str, float]:
        """Named values of one turn; a name that is not there is 0."""
        row = dict(self._hit_values(turn.index))
        row.update(self._said(turn))
        for name, step in (("before", -1), ("after", +1)):
            row.update(self._around(turn, name, step))
        row.update(self._time(turn))
        return row

    def _hit_values(self, index: int) -> Iterator[tuple[str, float]]:
        for hit in self.hits[index]:
            yield f"hit.{hit.marker}", 1.0
            yield f"pattern.{hit.pattern_id}", 1.0

    def _said(self, turn: Turn) -> Iterator[tuple[str, float]]:
        words = [word.text for word in self.spoken[turn.index].words]
        n_words = self.spoken[turn.index].n_words
        yield "said.log_words", math.log1p(n_words)
        yield "said.few_words", float(n_words <= 3)
        yield "said.backchannel", float(self.rules.is_backchannel(self.spoken[turn.index]))
        yield "said.question", float("?" in words)
        yield "said.cut_off", float(turn.text.rstrip().endswith(("-", "—", "–", "…")))
        yield "said.goes_on", float(turn.text.lstrip().startswith(("-", "—", "–", "…")))
        share = 1.0 / max(n_words, 1)
        yield "said.first_person", sum(word in _FIRST_PERSON for word in words) * share
        yield "said.second_person", sum(word in _SECOND_PERSON for word in words) * share
        yield "said.negations", math.log1p(words.count("not") + words.count("never"))
        for event in ("[laughs]", "[sighs]"):
            yield f"said.event{event}", float(event in words)
        yield from ((f"word.{word}", 1.0) for word in words if is_word(word))
        if words and words[0] in _OPENERS:
            yield f"said.opens_{words[0]}", 1.0
        yield "said.words_vs_own", self._timed(turn.index, "n_words_vs_own")

    def _around(self, turn: Turn, name: str, step: int) -> Iterator[tuple[str, float]]:
        """The nearest turn of another role that says something, on one side; none if it is far."""
        place = turn.index + step
        passed = 0
        while 0 <= place < len(self.turns) and abs(place - turn.index) <= _AROUND_TURNS:
            other = self.turns[place]
            if other.role is not turn.role:
                if not self.rules.is_backchannel(self.spoken[place]):
                    break
                passed += 1
            place += step
        else:
            yield f"{name}.none", 1.0
            return
        yield f"{name}.backchannels", float(passed)
        yield f"{name}.log_words", math.log1p(self.spoken[place].n_words)
        yield f"{name}.question", float(any(w.text == "?" for w in self.spoken[place].words))
        adjacent = self.turns[turn.index + step]
        dashes = ("-", "—", "–", "…")
        edge = adjacent.text.strip()
        cut = edge.endswith(dashes) if step < 0 else edge.startswith(dashes)
        yield f"{name}.cut", float(cut)
        for hit in self.hits[place]:
            yield f"{name}.{hit.marker}", 1.0

    def _time(self, turn: Turn) -> Iterator[tuple[str, float]]:
        for name in TIMED:
            value = self._timed(turn.index, name)
            yield f"time.{name}", math.copysign(math.log1p(abs(value)), value)
        yield "time.into_session", turn.index / max(len(self.turns) - 1, 1)
        yield "time.opening", float(turn.index < 6)

    def _timed(self, index: int, name: str) -> float:
        return float(self.timing[index, COLUMNS.index(name)])


@functools.lru_cache(maxsize=64)
def _columns(names: tuple[str, ...]) -> dict[str, int]:
    """Each name's column. Kept: a long session asks for one row at a time, turn by turn."""
    return {name: place for place, name in enumerate(names)}


def as_matrix(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> FloatMatrix:
    """Rows as an array of shape (n_rows, n_names), float64; an absent name is 0."""
    column = _columns(tuple(names))
    # Rows are sparse: going through what they hold is many times cheaper than asking for all.
    cells = [
        (number, column[name], value)
        for number, row in enumerate(rows)
        for name, value in row.items()
        if name in column
    ]
    matrix = np.zeros((len(rows), len(names)), dtype=np.float64)
    if cells:
        numbers, columns, values = zip(*cells, strict=True)
        matrix[list(numbers), list(columns)] = values
    return matrix


def is_scored(turn: Turn) -> bool:
    """Whether the turn's speaker is one whose part in the alliance we score."""
    return turn.role in (Role.CLIENT, Role.THERAPIST)
