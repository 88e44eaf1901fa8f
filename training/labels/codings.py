"""Whole codings: what one coder said of one session that they read from end to end.

Tools that show a session and keep the marks on it know only this: a mark is there, and where none
is the coder saw nothing to mark. What such a file cannot say is refused where it would come back
as something else, and listed where it only goes missing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detector.annotation import SEEN, Annotation, Labels
from detector.errors import AnnotationError
from detector.report import RATINGS
from detector.transcript import Transcript, Turn
from training.labels.long import without_decisions
from training.labels.records import BY_FIELD

SHARED = ("study_id", "codebook_version", "transcript_sha256")
"""What such a file keeps once a session."""

DETAILS = ("intensity", "pillar", "resolution", "sure", "confidence")
"""What can be said of a mark beside its code."""

CONTEXT = ("turn_id", "start_ms", "end_ms", "speaker_role")
"""What comes back from the turn that is marked."""


@dataclass(frozen=True)
class Coding:
    """One coder's marks on one session, in order, and their ratings of it.

    `seen` is the row that says that they read it all; its lead time is the whole coding's.
    """

    seen: Annotation
    marks: tuple[Annotation, ...] = field(repr=False)
    ratings: tuple[Annotation, ...] = field(repr=False)

    @property
    def session_id(self) -> str:
        """Whose session."""
        return self.seen.session_id


def whole_codings(
    labels: Labels, *, details: Sequence[str] = (), ratings: bool = False
) -> tuple[list[Coding], tuple[str, ...]]:
    """The codings of a set, and what of it such a file does not carry.

    Args:
        labels: checked ones.
        details: those of DETAILS that the file keeps.
        ratings: whether it keeps ratings of the session.

    Raises: AnnotationError: a coder has not seen the whole session, could not tell a code, or
        one session has two hashes, versions or studies: it would come back as something else.
    """
    by_coding: dict[tuple[str, str, str], list[Annotation]] = defaultdict(list)
    for one in labels.annotations:
        by_coding[one.session_id, one.coder, one.stage].append(one)
    lost: Counter[str] = Counter()
    codings = [_coding(own, details, ratings, lost) for own in by_coding.values()]
    _check_shared(codings)
    said = tuple(f"{what} of {n} annotations" for what, n in lost.items())
    return codings, (*said, *without_decisions(labels))


def _coding(
    own: Sequence[Annotation], details: Sequence[str], ratings: bool, lost: Counter[str]
) -> Coding:
    seen = next((x for x in own if x.code == SEEN and x.unit_type == "session"), None)
    first = own[0]
    if seen is None:
        raise AnnotationError(
            f"coder {first.coder} has not said of session {first.session_id} that all of it was "
            "seen: this format would make the rest look empty; add a row seen, or use jsonl, csv "
            "or parquet"
        )
    marks, rated = [], []
    for one in own:
        if one is seen:
            _count(one, (*DETAILS, *CONTEXT), lost)
        elif one.value is None:
            raise AnnotationError(
                f"coder {one.coder} could not tell {one.code} in session {one.session_id}: this "
                "format has no NA, and it would come back as not there"
            )
        elif one.code in RATINGS and one.unit_type == "session" and ratings:
            rated.append(one)
            _count(one, (*DETAILS, *CONTEXT, "lead_time_s"), lost)
        elif one.unit_type != "turn" or one.code in (*RATINGS, SEEN):
            lost[f"{one.unit_type} {one.code}"] += 1
        elif one.value == 0:
            lost["value 0 (the same is said by seen)"] += 1
        else:
            marks.append(one)
            _count(one, [name for name in (*DETAILS, "lead_time_s") if name not in details], lost)
    return Coding(seen, tuple(marks), tuple(rated))


def _count(one: Annotation, names: Iterable[str], lost: Counter[str]) -> None:
    lost.update(name for name in names if getattr(one, name) != BY_FIELD[name].default)


def _check_shared(codings: Sequence[Coding]) -> None:
    known: dict[str, tuple[str, ...]] = {}
    for coding in codings:
        for one in (coding.seen, *coding.marks, *coding.ratings):
            said = tuple(getattr(one, name) for name in SHARED)
            if known.setdefault(one.session_id, said) != said:
                raise AnnotationError(
                    f"session {one.session_id}: its annotations have not one "
                    f"{', '.join(SHARED)}; this format keeps one of each: use jsonl, csv or parquet"
                )


def by_session(codings: Sequence[Coding]) -> dict[str, list[Coding]]:
    """The codings of each session, in order."""
    found: dict[str, list[Coding]] = defaultdict(list)
    for coding in codings:
        found[coding.session_id].append(coding)
    return found


def transcript_of(transcripts: Mapping[str, Transcript], session_id: str) -> Transcript:
    """A session's transcript. Raises: AnnotationError: it was not given."""
    if session_id not in transcripts:
        raise AnnotationError(
            f"session {session_id}: its transcript is needed; name its file by --transcripts"
        )
    return transcripts[session_id]


def shared_of(seen: Annotation) -> dict[str, str]:
    """What is kept once a session, empty ones left out."""
    return {name: value for name in SHARED if (value := getattr(seen, name))}


def context_of(turn: Turn) -> dict[str, Any]:
    """What an annotation says of its turn."""
    return {
        "turn_id": turn.cue_ids[0],
        "start_ms": milliseconds(turn.start_s),
        "end_ms": milliseconds(turn.end_s),
        "speaker_role": str(turn.role),
    }


def milliseconds(seconds: float | None) -> int | None:
    """Whole milliseconds, or None where there is no clock."""
    return None if seconds is None else round(seconds * 1000)


def details_of(one: Annotation, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Those details of an annotation that say something."""
    return (
        (name, value) for name in names if (value := getattr(one, name)) != BY_FIELD[name].default
    )
