"""What a session is: cues as the file had them, turns as people took them.

These are pure frozen values. They know no file format, no model and no storage.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from detector.errors import EmptyTranscript, TranscriptError

_CLOCK_SHARE = 0.9
"""Share of cues that must carry a kind of time before the transcript is said to carry it.
A judgement: recognisers leave single digits untimed, and one such cue must not hide the rest."""


_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


class Role(StrEnum):
    """Who a speaker is in the session. `OTHER` is known to be neither (an interpreter)."""

    THERAPIST = "therapist"
    CLIENT = "client"
    OTHER = "other"
    UNKNOWN = "unknown"


class TimingQuality(StrEnum):
    """The best clock that the whole transcript supports, weakest first."""

    NONE = "none"
    START_ONLY = "start_only"
    CUE = "cue"
    WORD = "word"

    @property
    def has_ends(self) -> bool:
        """Whether cues say when speech stopped, so that silence can be measured."""
        return self in (TimingQuality.CUE, TimingQuality.WORD)


def _check_span(start_s: float | None, end_s: float | None, where: str) -> None:
    for value in (start_s, end_s):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise TranscriptError(f"{where}: times must be finite and not negative")
    if end_s is not None and (start_s is None or end_s < start_s):
        raise TranscriptError(f"{where}: an end needs a start that is not later")


def _check_unicode(*texts: str) -> None:
    """No UTF-8 holds half a pair, and Python's own error, where it is written, holds the text."""
    if any(_HALF_A_PAIR.search(text) for text in texts):
        raise TranscriptError("a cue holds half a surrogate pair, which is no text")


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word. Times in seconds from the start of the recording, or None."""

    text: str = field(repr=False)
    start_s: float | None = None
    end_s: float | None = None

    def __post_init__(self) -> None:
        _check_span(self.start_s, self.end_s, "word")


@dataclass(frozen=True, slots=True)
class Cue:
    """One timed chunk of the source file, never empty.

    `cue_id` is the file's own id where it has one, else its 1-based place in the file.
    `speaker` is the file's label, or None where it gives none. `role` is UNKNOWN unless the
    file itself says it. Times are seconds from the start of the recording. `extra` holds what a
    table had in columns that are not ours, by their names; nothing is read from it.

    Raises: TranscriptError: an empty text or id, half a surrogate pair in a text, an end before
        its start, a time below 0.
    """

    cue_id: str
    speaker: str | None = field(repr=False)
    text: str = field(repr=False)
    start_s: float | None = None
    end_s: float | None = None
    words: tuple[Word, ...] = field(default=(), repr=False)
    role: Role = Role.UNKNOWN
    extra: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.cue_id:
            raise TranscriptError("a cue needs an id")
        if not self.text.strip():
            raise TranscriptError(f"cue {self.cue_id}: a cue needs text")
        _check_unicode(self.cue_id, self.speaker or "", self.text)
        _check_span(self.start_s, self.end_s, f"cue {self.cue_id}")


@dataclass(frozen=True, slots=True)
class DroppedCue:
    """Something in the file that is not speech, and why it was left out.

    `where` is a line or element of the file. `reason` is one of a reader's fixed phrases.
    """

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Turn:
    """All consecutive speech of one speaker: the unit that is scored.

    `index` counts turns from 0. `text` joins the cues with one space; offsets into it count
    Unicode code points. `cues` are kept, so that pauses inside the turn can be measured.
    """

    index: int
    speaker: str | None = field(repr=False)
    role: Role
    cues: tuple[Cue, ...] = field(repr=False)
    text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.index < 0 or not self.cues:
            raise TranscriptError("a turn needs an index from 0 and at least one cue")
        object.__setattr__(self, "text", " ".join(cue.text.strip() for cue in self.cues))

    @property
    def cue_ids(self) -> tuple[str, ...]:
        """Ids of the file's cues that make this turn, in order."""
        return tuple(cue.cue_id for cue in self.cues)

    @property
    def start_s(self) -> float | None:
        """Start of the first cue, seconds, or None where it has no clock."""
        return self.cues[0].start_s

    @property
    def end_s(self) -> float | None:
        """Latest end among the cues, seconds, or None where no cue has one."""
        return max((cue.end_s for cue in self.cues if cue.end_s is not None), default=None)

    @property
    def n_words(self) -> int:
        """Words of the turn, split at white space."""
        return len(self.text.split())


@dataclass(frozen=True, slots=True)
class Segment:
    """A window of whole turns: the unit that the 3RS codes.

    `turn_indexes` is in order and never empty. Times in seconds, None where the transcript
    has no clock.
    """

    index: int
    turn_indexes: tuple[int, ...]
    start_s: float | None
    end_s: float | None


@dataclass(frozen=True)
class Transcript:
    """One session as a reader understood it.

    `format` names the reader. `cues` are in the order of the talk. `dropped` accounts for
    what the file had beside speech. `notes` are sentences for a person, without a word of
    speech. `sha256` is of the file's bytes, or of the cues where there was no file.

    Raises: EmptyTranscript: no cue is left. TranscriptError: two cues share an id.
    """

    format: str
    cues: tuple[Cue, ...] = field(repr=False)
    dropped: tuple[DroppedCue, ...] = ()
    notes: tuple[str, ...] = ()
    sha256: str = ""
    speech_ends: bool = True
    """False where the format's cue ends are captions' ends, not the speaker's."""

    def __post_init__(self) -> None:
        if not self.cues:
            raise EmptyTranscript(len(self.dropped))
        seen: set[str] = set()
        for cue in self.cues:
            if cue.cue_id in seen:
                raise TranscriptError(f"two cues have the id {cue.cue_id}")
            seen.add(cue.cue_id)
        if not self.sha256:
            object.__setattr__(self, "sha256", _hash_cues(self.cues))

    @property
    def speakers(self) -> tuple[str, ...]:
        """Speaker labels in order of first speech; cues without a label are left out."""
        return tuple(dict.fromkeys(cue.speaker for cue in self.cues if cue.speaker is not None))

    @property
    def roles(self) -> dict[str, Role]:
        """The role of each speaker label, UNKNOWN until a file or a caller says it."""
        return {cue.speaker: cue.role for cue in reversed(self.cues) if cue.speaker is not None}

    @property
    def timing_quality(self) -> TimingQuality:
        """The best clock that at least 90 % of the cues carry."""

        def most(carrying: Iterable[bool]) -> bool:
            return sum(carrying) >= _CLOCK_SHARE * len(self.cues)

        if not most(cue.start_s is not None for cue in self.cues):
            return TimingQuality.NONE
        if most(any(word.end_s is not None for word in cue.words) for cue in self.cues):
            return TimingQuality.WORD
        if self.speech_ends and most(cue.end_s is not None for cue in self.cues):
            return TimingQuality.CUE
        return TimingQuality.START_ONLY

    @property
    def is_timed(self) -> bool:
        """Whether cues say at least when they start."""
        return self.timing_quality is not TimingQuality.NONE

    @functools.cached_property
    def turns(self) -> tuple[Turn, ...]:
        """Cues of one speaker that follow each other, merged; every cue is in one turn."""
        groups = itertools.groupby(self.cues, key=lambda cue: (cue.speaker, cue.role))
        return tuple(
            Turn(index=index, speaker=speaker, role=role, cues=tuple(cues))
            for index, ((speaker, role), cues) in enumerate(groups)
        )

    def with_roles(self, roles: Mapping[str, Role]) -> "Transcript":
        """The same session with the roles of these speakers replaced."""
        cues = (
            dataclasses.replace(cue, role=roles.get(cue.speaker or "", cue.role))
            for cue in self.cues
        )
        return dataclasses.replace(self, cues=tuple(cues))

    def with_notes(self, *notes: str) -> "Transcript":
        """The same session with notes added, each once."""
        return dataclasses.replace(self, notes=tuple(dict.fromkeys((*self.notes, *notes))))

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)


def _hash_cues(cues: Sequence[Cue]) -> str:
    """Hash for a transcript built in memory, from what its cues hold."""
    rows = [(c.cue_id, c.speaker, c.role, c.text, c.start_s, c.end_s) for c in cues]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
