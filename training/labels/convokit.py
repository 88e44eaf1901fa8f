"""ConvoKit: a session is a conversation, a turn an utterance, with the labels in its meta.

    utterance.meta["rupture_labels"] = [{"rater_id": "c1", "pass": "blind", "code": "denial", …}]

What is about a segment or the session stands in the conversation's meta, under the same name, with
its unit. Every field of an annotation is carried; one that says nothing is left out. A label that
is added there with a coder and a code is read too. The corpus has what was said, by role and
without names, so that `rupture corpus score` reads it as any other.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.annotation import Annotation, Labels
from detector.corpus.convokit import FILES, open_folder
from detector.corpus.convokit_folder import utterance_of
from detector.corpus.errors import NotConvokit
from detector.errors import AnnotationError
from detector.transcript import Transcript
from training.labels.codings import transcript_of
from training.labels.records import COLUMNS, as_record, from_record
from training.labels.voices import by_session, voices_of, without_decisions

NAME = "rupture_labels"
"""Field of a meta that holds the labels. The detector's own is `rupture`."""

_TEXT, _NUMBER, _LIST = "<class 'str'>", "<class 'float'>", "<class 'list'>"
_INDEX = {
    "utterances-index": {"label": [_TEXT], "role": [_TEXT], "start_s": [_NUMBER]}
    | {"end_s": [_NUMBER], NAME: [_LIST]},
    "speakers-index": {"role": [_TEXT]},
    "conversations-index": {NAME: [_LIST]},
    "overall-index": {},
    "version": 1,
    "vectors": [],
}


def write_convokit(
    labels: Labels, folder: Path, transcripts: Mapping[str, Transcript]
) -> tuple[str, ...]:
    """Writes a new corpus folder. Returns: what is not carried.

    Raises: AnnotationError: no transcript of a session, or a turn that it does not have.
        FileExistsError: the folder is there already.
    """
    lines: list[Any] = []
    people: dict[str, Any] = {}
    talks = {}
    for session_id, own in by_session(labels).items():
        transcript = transcript_of(transcripts, session_id)
        lines += _utterances(session_id, transcript, own, people)
        whole = [_record(one, ()) for one in own if one.unit_type != "turn"]
        talks[session_id] = {"meta": {NAME: whole}, "vectors": []}
    folder.mkdir(parents=True)
    text = "".join(json.dumps(one) + "\n" for one in lines)
    for name, content in zip(FILES, (text, people, talks, {}, _INDEX), strict=True):
        said = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(said, "utf-8", newline="\n")
    return without_decisions(labels)


def _utterances(
    session_id: str,
    transcript: Transcript,
    own: Sequence[Annotation],
    people: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """A session's turns with their labels; who speaks in them is put among `people`."""
    by_turn: dict[int, list[dict[str, Any]]] = {turn.index: [] for turn in transcript}
    for one in own:
        if one.unit_type == "turn":
            if one.unit_index not in by_turn:
                raise AnnotationError(f"session {session_id} has no turn {one.unit_index}")
            by_turn[one.unit_index].append(_record(one, ("unit_type", "unit_index")))
    is_timed = all(turn.start_s is not None for turn in transcript)
    for turn, voice in zip(transcript, voices_of(transcript), strict=True):
        people[f"{session_id}/{voice}"] = {"meta": {"role": str(turn.role)}, "vectors": []}
        times = {"start_s": turn.start_s, "end_s": turn.end_s}
        meta = {"label": voice, "role": str(turn.role), **times, NAME: by_turn[turn.index]}
        yield utterance_of(
            session_id,
            turn.index,
            text=turn.text,
            speaker=f"{session_id}/{voice}",
            meta=meta,
            timestamp=turn.start_s if is_timed and turn.start_s is not None else turn.index,
        )


def _record(one: Annotation, implied: Sequence[str]) -> dict[str, Any]:
    """An annotation by column, without what its place says and what says nothing."""
    found = as_record(one)
    return {
        column.name: found[column.name]
        for column in COLUMNS
        if column.name not in ("session_id", *implied)
        and (column.needed or found[column.name] != column.default)
    }


def read_convokit(folder: Path) -> Labels:
    """The labels of a corpus that `write_convokit` wrote, or ConvoKit after it.

    Raises: AnnotationError: no corpus, one without labels, or a label that is none; by its
        utterance or conversation.
    """
    try:
        found = list(_labels(folder))
    except NotConvokit as error:
        raise AnnotationError(str(error)) from None
    if not found:
        raise AnnotationError(f"its utterances hold no {NAME}", where=folder.name)
    return Labels(tuple(one for one, _ in found), tuple(at for _, at in found))


def _labels(folder: Path) -> Iterator[tuple[Annotation, str]]:
    corpus = open_folder(folder)
    for number, (session_id, utterances) in enumerate(corpus, start=1):
        at = f"{folder.name}, conversation {number}"
        yield from _read(corpus.conversations.get(session_id, {}), {"session_id": session_id}, at)
        for utterance in utterances:
            place = utterance["id"].rpartition("/")[2]
            own: dict[str, Any] = {"session_id": session_id, "unit_type": "turn"}
            if place.isdecimal():
                own["unit_index"] = int(place)
            where = f"{at}, utterance {place}" if place.isdecimal() else at
            yield from _read(utterance.get("meta") or {}, own, where)


def _read(
    meta: Mapping[str, Any], own: Mapping[str, Any], where: str
) -> Iterator[tuple[Annotation, str]]:
    held = meta.get(NAME) or []
    if not isinstance(held, list):
        raise AnnotationError(f"{NAME} is not a list", where=where)
    for number, one in enumerate(held, start=1):
        at = f"{where}, label {number}"
        if not isinstance(one, Mapping):
            raise AnnotationError("not an object", where=at)
        yield from_record({"value": 1, **one, **own}, at), at
