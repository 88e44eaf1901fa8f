"""Who speaks in a file that we write: roles, never names.

Files of linguists' tools keep turns apart by who speaks, so two speakers of one role stay two.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.annotation import STAGES, Annotation, Labels
from detector.errors import AnnotationError, TranscriptError
from detector.formats import read_transcript
from detector.transcript import Transcript
from training.labels.codings import context_of
from training.labels.long import without_decisions
from training.labels.marks import HEAD, head_of
from training.labels.records import BY_NAME

Heads = Mapping[tuple[str, str], dict[str, Any]]
"""What all labels of a coder have in common, by coder and pass."""


def voices_of(transcript: Transcript) -> list[str]:
    """Of each turn the role of who speaks, numbered where there are several of one role."""
    names: dict[tuple[str, str | None], str] = {}
    found = []
    for turn in transcript:
        key = (str(turn.role), turn.speaker)
        if key not in names:
            n = sum(role == key[0] for role, _ in names) + 1
            names[key] = key[0] if n == 1 else f"{key[0]}_{n}"
        found.append(names[key])
    return found


def turns_as_read(data: bytes, transcript: Transcript, session_id: str) -> list[dict[str, Any]]:
    """What a file that we have made says of each turn, as a reader will find it.

    Raises: AnnotationError: it does not come back turn by turn.
    """
    try:
        turns = read_transcript(data).turns
    except TranscriptError:
        turns = ()
    if len(turns) != len(transcript.turns):
        raise AnnotationError(
            f"session {session_id}: its turns do not come back from this format one by one"
        )
    return [context_of(turn) for turn in turns]


def by_coder(annotations: Sequence[Annotation]) -> dict[tuple[str, str], dict[str, Any]]:
    """The head of each coder and pass."""
    own: dict[tuple[str, str], list[Annotation]] = {}
    for one in annotations:
        own.setdefault((one.coder, one.stage), []).append(one)
    return {key: head_of(held) for key, held in own.items()}


def head_for(heads: Heads, who: str, where: str) -> dict[str, Any]:
    """The head of CODER/PASS; a coder who came in the tool itself has but a name and a pass.

    Raises: AnnotationError: no such pass.
    """
    coder, _, stage = who.partition("/")
    if stage not in STAGES:
        raise AnnotationError(f"not CODER/PASS, a pass being {', '.join(STAGES)}", where=where)
    new = {name: BY_NAME[name].default for name in HEAD} | {"rater_id": coder, "pass": stage}
    return heads.get((coder, stage), new)


def by_session(labels: Labels) -> dict[str, list[Annotation]]:
    """The annotations of each session."""
    found: dict[str, list[Annotation]] = {}
    for one in labels.annotations:
        found.setdefault(one.session_id, []).append(one)
    return found


def files_of(path: Path, suffix: str) -> Iterator[Path]:
    """The files of a folder by name, or the one file that was named.

    Raises: AnnotationError: there is none.
    """
    paths = sorted(path.glob(f"*{suffix}")) if path.is_dir() else [path]
    if not paths:
        raise AnnotationError(f"no {suffix} file in it", where=path.name)
    yield from paths


def joined(found: Sequence[Labels]) -> Labels:
    """The labels of several files as one set."""
    return Labels(
        tuple(one for labels in found for one in labels.annotations),
        tuple(place for labels in found for place in labels.places),
        tuple(one for labels in found for one in labels.adjudications),
        tuple(note for labels in found for note in labels.notes),
    )


def places_of_cues(transcript: Transcript) -> dict[str, int]:
    """The turn of each cue by its id."""
    return {cue_id: turn.index for turn in transcript for cue_id in turn.cue_ids}


def own_of(session_id: str, unit: tuple[str, int], context: Mapping[str, Any]) -> dict[str, Any]:
    """Session, unit and context by column."""
    return {"session_id": session_id, "unit_type": unit[0], "unit_index": unit[1], **context}


__all__ = [
    "Heads",
    "by_coder",
    "by_session",
    "files_of",
    "head_for",
    "joined",
    "own_of",
    "places_of_cues",
    "turns_as_read",
    "voices_of",
    "without_decisions",
]
