"""What a coder said of one unit of a session, and the decision that settles several.

An annotation is one judgement: this coder, this unit, this code, this value. A code that a coder
did not give is no annotation; that they looked is one of its own, with the code `seen`. So not
seen and not there stay apart: within what a coder has seen a missing code is 0, elsewhere it is
not known. None of this holds a word of what was said.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from detector import segmentation
from detector.codebook import PILLARS, Codebook, load_codebook
from detector.errors import AnnotationError
from detector.report import RATINGS
from detector.transcript import Role, Transcript

Unit = Literal["turn", "segment_1min", "segment_5min", "session"]
Stage = Literal["blind", "adjudicated", "model"]
UNITS: tuple[str, ...] = get_args(Unit)
STAGES: tuple[str, ...] = get_args(Stage)
"""Passes: blind to other coders and to the machine, a decision, or the machine's own."""

SEGMENTS_S = {"segment_1min": 60.0, "segment_5min": 300.0}
"""Lengths of a segment: published models read one minute, coders of the 3RS five."""

SEEN = "seen"
"""The code that says only that the coder read the unit; on a session, all of its turns."""

CODED_KINDS = ("withdrawal", "confrontation", "repair", "resolution", "contribution")
"""Kinds of marker that people code; the others are the machine's own."""

_NAME = re.compile(r"[\w.@+-]{1,80}")


@dataclass(frozen=True, slots=True)
class Annotation:
    """One coder's judgement.

    Args:
        session_id, unit_type, unit_index: what was judged; turns and segments count from 0, a
            session is 0.
        coder: who judged, a pseudonym; the model's name where `stage` is "model".
        code: a marker of the codebook, a name of RATINGS (of a segment or session), or SEEN.
        value: 1 there and 0 not, for a marker; 1..5 for a rating; None: the coder could not tell.
        stage: "blind" to other coders and to the machine, "adjudicated", or "model".
        intensity: 1..5, of a marker that is there. The codebook's coders use 1..3.
        pillar: the part of the alliance that is strained.
        resolution: 1..5, how far this rupture was mended.
        sure: whether a trained coder would very probably agree.
        confidence: 0..1, of a model.
        lead_time_s: seconds that the coder spent on this judgement, or on the form it is from.
        codebook_version, transcript_sha256: what was judged by, and on; empty: not said.
        study_id: whose study.
        turn_id: the file's own id of the turn's first cue.
        start_ms, end_ms: of the unit. speaker_role: of the turn.

    Raises: AnnotationError: a value that its field cannot have.
    """

    session_id: str
    unit_type: str
    unit_index: int
    coder: str
    code: str
    value: int | None = 1
    stage: str = "blind"
    intensity: int | None = None
    pillar: str | None = None
    resolution: int | None = None
    sure: bool | None = None
    confidence: float | None = None
    lead_time_s: float | None = None
    codebook_version: str = ""
    transcript_sha256: str = ""
    study_id: str = ""
    turn_id: str = ""
    start_ms: int | None = None
    end_ms: int | None = None
    speaker_role: str = ""

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                shown = ", ".join(str(one) for one in allowed if one not in (None, ""))
                named = "pass" if name == "stage" else name
                raise AnnotationError(f"{named} is none of {shown}")
        for name in ("session_id", "coder", "code"):
            if not _NAME.fullmatch(getattr(self, name)):
                raise AnnotationError(
                    f"{name} must be 1 to 80 letters, digits and . _ @ + -; use a pseudonym"
                )
        if self.unit_index < 0 or (self.unit_type == "session" and self.unit_index):
            raise AnnotationError("unit_index counts from 0, and a session's is 0")
        _check_numbers(self)

    @property
    def key(self) -> tuple[str, str, int, str, str, str]:
        """What no two annotations of a set may share."""
        return (*self.unit, self.coder, self.stage, self.code)

    @property
    def unit(self) -> tuple[str, str, int]:
        """Session, kind of unit, and its index."""
        return self.session_id, self.unit_type, self.unit_index


_ALLOWED: Mapping[str, Sequence[Any]] = {
    "unit_type": UNITS,
    "stage": STAGES,
    "pillar": (None, *PILLARS),
    "intensity": (None, 1, 2, 3, 4, 5),
    "resolution": (None, 1, 2, 3, 4, 5),
    "speaker_role": ("", *map(str, Role)),
}

FIELDS = tuple(one.name for one in fields(Annotation))


def _check_numbers(one: Annotation) -> None:
    rating = one.code in RATINGS
    if rating and one.unit_type == "turn":
        raise AnnotationError(f"{one.code} rates a segment or a session, not a turn")
    if one.value is not None and one.value not in (range(1, 6) if rating else (0, 1)):
        raise AnnotationError(f"{one.code} takes {'1 to 5' if rating else '0 or 1'}, or NA")
    if one.code == SEEN and one.value != 1:
        raise AnnotationError("seen has no other value than 1: leave the row out")
    for name, most in (("confidence", 1.0), ("lead_time_s", math.inf)):
        number = getattr(one, name)
        if number is not None and not (math.isfinite(number) and 0 <= number <= most):
            raise AnnotationError(f"{name} is not a number from 0 to {most:g}")
    for name in ("start_ms", "end_ms"):
        if (getattr(one, name) or 0) < 0:
            raise AnnotationError(f"{name} lies before the session")


@dataclass(frozen=True, slots=True)
class Adjudication:
    """The decision that settles what several coders said of one unit and code.

    Args:
        decision: who decided, and what: its pass is "adjudicated".
        settles: the coders whose judgements it settles; theirs stay as they are.
        reason: why, in the adjudicator's words; may be empty.

    Raises: AnnotationError: a decision of another pass, or about no coder.
    """

    decision: Annotation
    settles: tuple[str, ...]
    reason: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.decision.stage != "adjudicated":
            raise AnnotationError("an adjudication's pass is adjudicated")
        if not self.settles:
            raise AnnotationError("an adjudication settles what at least one coder said")


@dataclass(frozen=True)
class Labels:
    """Annotations and decisions as they were read, with the place each stood at.

    `places` are by annotation, file and line or element; empty where they were made in memory.
    `notes` are sentences on what the file had and this does not, without a word of speech.
    """

    annotations: tuple[Annotation, ...]
    places: tuple[str, ...] = field(default=(), repr=False)
    adjudications: tuple[Adjudication, ...] = ()
    notes: tuple[str, ...] = ()

    def place(self, number: int) -> str:
        """Where the annotation of this number stood, or else its number."""
        return self.places[number] if self.places else f"annotation {number + 1}"

    @property
    def sessions(self) -> tuple[str, ...]:
        """Ids in order of first mention."""
        return tuple(dict.fromkeys(one.session_id for one in self.annotations))


def known_codes(codebook: Codebook) -> tuple[str, ...]:
    """What a coder may say: markers that people code, ratings, and SEEN."""
    return (*codebook.of_kind(*CODED_KINDS), *RATINGS, SEEN)


def check(
    labels: Labels,
    transcripts: Mapping[str, Transcript] | None = None,
    codebook: Codebook | None = None,
) -> None:
    """Holds that every label means something, and that no two contradict each other.

    Args:
        labels: what is checked.
        transcripts: by session id; with them, units must exist and texts be the ones judged.
        codebook: ours where it is None.

    Raises: AnnotationError: an unknown code, two codebook versions or another than this one, two
        values of one coder for one code, a unit that does not exist, a code on the wrong speaker.
    """
    codebook = codebook or load_codebook()
    _check_codes(labels, codebook)
    _check_versions(labels, codebook)
    _check_twice(labels)
    for number, one in enumerate(labels.annotations):
        if transcripts is not None:
            _check_unit(one, transcripts.get(one.session_id), codebook, labels.place(number))


def _check_codes(labels: Labels, codebook: Codebook) -> None:
    known = known_codes(codebook)
    for number, one in enumerate(labels.annotations):
        if one.code not in known:
            raise AnnotationError(
                f"unknown code {one.code}; the codebook has {', '.join(known)}",
                where=labels.place(number),
            )


def _check_versions(labels: Labels, codebook: Codebook) -> None:
    first: dict[str, str] = {}
    for number, one in enumerate(labels.annotations):
        if one.codebook_version:
            first.setdefault(one.codebook_version, labels.place(number))
    if len(first) > 1:
        said = " and ".join(f"{version} ({place})" for version, place in list(first.items())[:2])
        raise AnnotationError(
            f"two codebook versions: {said}; codes of two codebooks are not one code: "
            "bring them to one version, or measure them apart"
        )
    for version, place in first.items():
        if version != codebook.version:
            raise AnnotationError(
                f"codebook version {version}, and ours is {codebook.version}", where=place
            )


def _check_twice(labels: Labels) -> None:
    seen: dict[tuple[str, str, int, str, str, str], int] = {}
    for number, one in enumerate(labels.annotations):
        first = seen.setdefault(one.key, number)
        if first != number:
            raise AnnotationError(
                f"coder {one.coder} judges {one.code} of {one.unit_type} {one.unit_index} of "
                f"session {one.session_id} twice; first at {labels.place(first)}",
                where=labels.place(number),
            )


def _check_unit(
    one: Annotation, transcript: Transcript | None, codebook: Codebook, place: str
) -> None:
    if transcript is None:
        raise AnnotationError(
            f"no transcript for session {one.session_id}: its file's name must be its id",
            where=place,
        )
    if one.transcript_sha256 not in ("", transcript.sha256):
        raise AnnotationError(
            f"session {one.session_id} was judged on another text: its hash differs", where=place
        )
    n_units = count_units(transcript, one.unit_type)
    if one.unit_index >= n_units:
        raise AnnotationError(
            f"{one.unit_type} {one.unit_index} does not exist: session {one.session_id} has "
            f"{n_units}, counted from 0",
            where=place,
        )
    if one.unit_type == "turn" and one.code in codebook.markers and one.value:
        marker, shown = codebook.markers[one.code], transcript.turns[one.unit_index].role
        if not marker.can_be_of(shown):
            raise AnnotationError(
                f"{one.code} is the {marker.role}'s, and turn {one.unit_index} of session "
                f"{one.session_id} is the {shown}'s",
                where=place,
            )


def count_units(transcript: Transcript, unit_type: str) -> int:
    """How many units of a kind a session has."""
    if unit_type in SEGMENTS_S:
        return len(segmentation.split(transcript.turns, window_s=SEGMENTS_S[unit_type]))
    return len(transcript.turns) if unit_type == "turn" else 1


def tally(annotations: Iterable[Annotation]) -> Counter[str]:
    """How many annotations each field says something in, for what a format does not carry."""
    empty: tuple[Any, ...] = (None, "")
    return Counter(
        name for one in annotations for name in FIELDS if getattr(one, name) not in empty
    )
