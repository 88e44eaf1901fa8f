"""Silence, pace and overlap of each turn, measured only where the clock supports it.

Many platform files carry ends that are not the speaker's, and cues that never overlap; a silence
there is an artefact. What cannot be measured is NaN, and `unavailable` says why. Turns beside a
technical event have no silence: a frozen picture is not a withdrawal.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.errors import MissingTiming
from detector.transcript import Role, TimingQuality, Transcript, Turn

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Measure:
    """One column of the timing table.

    `needs` is "text" (always there), "ends" (cues say when speech stopped) or "overlap" (ends,
    and the file lets speakers overlap).
    """

    name: str
    unit: str
    needs: str
    means: str


MEASURES = (
    Measure("response_latency_s", "s", "ends", "from the other's last word to this first word"),
    Measure("pause_before_s", "s", "ends", "silence of everybody before this turn"),
    Measure("pause_within_s", "s", "ends", "longest silence inside this turn"),
    Measure("unanswered_s", "s", "ends", "silence a therapist left that the client let pass"),
    Measure("overlap_s", "s", "overlap", "speech at the same time as the turn before"),
    Measure("speech_rate_wps", "words/s", "ends", "words a second of speech"),
    Measure("n_words", "words", "text", "words in the turn"),
)
"""What is measured of every turn. Response latency is the floor-transfer offset of turn-taking
research (Heldner & Edlund 2010); a pause between two therapist turns is the best single sign of
a minimal response in Künsch et al. 2023."""

RELATIVE_SUFFIX = "_vs_own"

COLUMNS = (*(m.name for m in MEASURES), *(m.name + RELATIVE_SUFFIX for m in MEASURES))
"""Columns of `measure`: every measure, then every measure against the speaker's own median in
this session (difference in the same unit; for `n_words` the log2 ratio)."""

UNANSWERED_PAUSE_S = 3.0
"""Shortest silence between two pieces of a therapist's speech that counts as unanswered. In
conversation a lapse is felt after about a second (Jefferson 1989); three leave room for lag."""

MIN_OWN_TURNS = 5
"""Turns a speaker needs before a median of theirs is called a baseline. A judgement."""

_CONTIGUOUS_SHARE = 0.5
"""Share of cues that start exactly where the one before ended, from which on the ends are taken
for a caption writer's. A judgement: speech leaves such joins by chance only."""

_FEWEST_GAPS = 10


@dataclass(frozen=True, slots=True)
class Clock:
    """What a transcript's times can carry, and the reasons where they cannot."""

    has_ends: bool
    has_overlap: bool
    reasons: tuple[str, ...]

    def supports(self, needs: str) -> bool:
        """Whether a measure that needs this can be taken."""
        return needs == "text" or (self.has_ends if needs == "ends" else self.has_overlap)

    @property
    def unavailable(self) -> tuple[str, ...]:
        """Names of the measures that cannot be taken."""
        return tuple(m.name for m in MEASURES if not self.supports(m.needs))


def read_clock(transcript: Transcript) -> Clock:
    """What this transcript's times can carry."""
    if not transcript.timing_quality.has_ends:
        said = _what_is_missing(transcript)
        return Clock(
            False, False, (f"{said}: pauses, latency, overlap and pace are not measured.",)
        )
    gaps = [gap for gap in _gaps(transcript) if gap is not None]
    if len(gaps) >= _FEWEST_GAPS and gaps.count(0.0) >= _CONTIGUOUS_SHARE * len(gaps):
        reason = "Cues end exactly where the next begins, as captions do: no silence is measured."
        return Clock(False, False, (reason,))
    if not any(gap < 0 for gap in gaps):
        return Clock(True, False, ("No two cues overlap in the file: overlap is not measured.",))
    return Clock(True, True, ())


def _what_is_missing(transcript: Transcript) -> str:
    """Why no silence can be measured, where too few cues say when speech starts or ends."""
    if transcript.timing_quality is TimingQuality.NONE:
        has_some = any(cue.start_s is not None for cue in transcript.cues)
        return "Too few cues have a time" if has_some else "The file has no times"
    if transcript.speech_ends and any(cue.end_s is not None for cue in transcript.cues):
        return "Too few cues say when speech ends"
    return "The file says when speech starts, not when it ends"


def _gaps(transcript: Transcript) -> Iterator[float | None]:
    for earlier, later in zip(transcript.cues, transcript.cues[1:], strict=False):
        known = earlier.end_s is not None and later.start_s is not None
        yield later.start_s - earlier.end_s if known else None  # type: ignore[operator]


def measure(
    transcript: Transcript, *, technical: Collection[int] = (), clock: Clock | None = None
) -> FloatArray:
    """The timing table of a session.

    Args:
        transcript: the session; roles decide what an unanswered pause is.
        technical: indexes of turns that speak of trouble with the connection. These and their
            neighbours get no latency, pause or overlap.
        clock: what the times carry; read from the transcript where it is None.

    Returns: shape (n_turns, len(COLUMNS)), float32; NaN where a value cannot be measured.
    """
    clock = clock or read_clock(transcript)
    turns = transcript.turns
    disturbed = {index + step for index in technical for step in (-1, 0, 1)}
    rows = np.full((len(turns), len(MEASURES)), np.nan, dtype=np.float32)
    for turn, values in zip(turns, _measured(turns), strict=True):
        for column, (which, value) in enumerate(zip(MEASURES, values, strict=True)):
            hushed = turn.index in disturbed and which.unit == "s"
            if clock.supports(which.needs) and not hushed:
                rows[turn.index, column] = value
    return np.concatenate([rows, _against_own(turns, rows)], axis=1)


def column(table: FloatArray, name: str) -> FloatArray:
    """One column of `measure`'s table by name: shape (n_turns,).

    Raises: MissingTiming: the whole column is NaN.
    """
    values = table[:, COLUMNS.index(name)]
    if np.isnan(values).all():
        raise MissingTiming(name, "unavailable")
    return values


def _measured(turns: Sequence[Turn]) -> Iterator[tuple[float, ...]]:
    """The values of MEASURES for each turn, as if the clock supported everything."""
    spoken_until = math.nan
    unanswered = 0.0
    for place, turn in enumerate(turns):
        before = turns[place - 1] if place else None
        latency = _minus(turn.start_s, before.end_s if before else None)
        pause = _minus(turn.start_s, None if math.isnan(spoken_until) else spoken_until)
        overlap = min(_above_zero(-latency), _duration(turn))
        if turn.role is Role.THERAPIST:
            unanswered += sum(gap for gap in _silences(turn) if gap >= UNANSWERED_PAUSE_S)
        left = unanswered if turn.role is Role.CLIENT else 0.0
        words = float(turn.n_words)
        yield (
            latency,
            _above_zero(pause),
            _longest_silence(turn),
            left,
            overlap,
            words / _speech_s(turn),
            words,
        )
        if turn.role is Role.CLIENT:
            unanswered = 0.0
        if turn.end_s is not None:
            spoken_until = turn.end_s if math.isnan(spoken_until) else max(spoken_until, turn.end_s)


def _minus(later: float | None, earlier: float | None) -> float:
    return math.nan if later is None or earlier is None else later - earlier


def _duration(turn: Turn) -> float:
    return _minus(turn.end_s, turn.start_s)


def _stretches(turn: Turn) -> list[tuple[float, float]]:
    """When there is speech in the turn: words where they are timed, else cues; in order."""
    spans = []
    for cue in turn.cues:
        words = [(w.start_s, w.end_s) for w in cue.words if w.end_s is not None]
        spans += words or ([(cue.start_s, cue.end_s)] if cue.end_s is not None else [])
    return sorted((start, end) for start, end in spans if start is not None and end is not None)


def _silences(turn: Turn) -> Iterator[float]:
    """Seconds between one stretch of speech and the next inside the turn, above 0."""
    reached = math.inf
    for start, end in _stretches(turn):
        if start > reached:
            yield start - reached
        reached = end if math.isinf(reached) else max(reached, end)


def _longest_silence(turn: Turn) -> float:
    return max(_silences(turn), default=0.0) if _stretches(turn) else math.nan


def _speech_s(turn: Turn) -> float:
    """Seconds of speech in the turn; NaN where they are unknown or none."""
    spans = [(cue.start_s, cue.end_s) for cue in turn.cues]
    total = sum(_minus(end, start) for start, end in spans)
    return total if total > 0 else math.nan


def _against_own(turns: Sequence[Turn], rows: FloatArray) -> FloatArray:
    """Each value less the median of the same speaker's values in this session."""
    relative = np.full_like(rows, np.nan)
    scaled = rows.copy()
    words = [m.name for m in MEASURES].index("n_words")
    scaled[:, words] = np.log2(rows[:, words] + 1)
    speakers = np.array([f"{turn.role}/{turn.speaker}" for turn in turns])
    for speaker in dict.fromkeys(speakers):
        own = speakers == speaker
        for number in range(rows.shape[1]):
            values = scaled[own, number]
            known = values[~np.isnan(values)]
            if len(known) >= MIN_OWN_TURNS:
                relative[own, number] = values - np.median(known)
    return relative


def _above_zero(value: float) -> float:
    """The value or 0, whichever is more; NaN stays NaN, which `max` would hide."""
    return value if math.isnan(value) else max(0.0, value)
