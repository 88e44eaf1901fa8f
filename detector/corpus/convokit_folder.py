"""Writing ConvoKit corpus folders: reports as a new corpus, or scores added to one that is there.

A new corpus carries every value of its reports, so that `reports_of` gives them back as they
were. An utterance is a turn. What it cannot carry is in no report either: the cues inside a turn
with their pauses, and the times of words (`NOT_CARRIED`).
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detector.corpus.convokit import (
    FILES,
    OURS,
    Folder,
    conversation_of,
    open_folder,
    read_json,
    utterances,
)
from detector.corpus.errors import NotConvokit, NotReports
from detector.corpus.store import reports_file, written
from detector.report import Report

NOT_CARRIED = (
    "the cues inside a turn and the pauses between them",
    "the times of single words",
    "what the file held beside speech",
)
"""Of a transcript, what a corpus of turns has no place for."""

_ROW = ("session_id", "client_id", "session_number", "attendance", "source", "line")
_TURN = ("text", "speaker", "role", "start_s", "end_s")
"""Fields of a turn that stand in the utterance itself or in a meta field of their own."""

_VERSION = 1


def write_folder(reports: Path, out: Path) -> int:
    """Reports as a new corpus; returns its conversations.

    Raises: NotReports: broken, or written with --no-text. OutputFull. FileExistsError.
    """
    out.mkdir(parents=True)
    n_sessions = 0
    with ExitStack() as stack:
        lines, speakers, conversations = (
            stack.enter_context(written(out / name)) for name in FILES[:3]
        )
        speakers.write(b"{")
        conversations.write(b"{")
        for row in _rows(reports):
            n_sessions += 1
            mark = b"," if n_sessions > 1 else b""
            report = json.loads(row["report"])
            _check_text(reports, report)
            people: dict[str, Any] = {}
            for one in _utterances(row["session_id"], report["turns"], people):
                lines.write(_json(one) + b"\n")
            speakers.write(mark + _json(people)[1:-1])
            whole = {"meta": _meta(row, report), "vectors": []}
            conversations.write(mark + _json({row["session_id"]: whole})[1:-1])
        speakers.write(b"}")
        conversations.write(b"}")
        _write_heads(out)
    return n_sessions


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True, allow_nan=False).encode()


def _rows(reports: Path) -> Iterator[dict[str, Any]]:
    with reports_file(reports) as file:
        for batch in file.iter_batches(16, columns=[*_ROW, "report"]):
            yield from batch.to_pylist()


def _check_text(reports: Path, report: Mapping[str, Any]) -> None:
    if report["turns"] and not any(turn["text"] for turn in report["turns"]):
        raise NotReports(str(reports), "its reports hold no text: score without --no-text")


def _utterances(
    session_id: str, turns: list[dict[str, Any]], people: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """A session's turns as utterances; who speaks in them is put among `people`.

    A label such as T means another person in another session, so an id has both. Each answers
    the one before it; the timestamp is the start in seconds, without a clock the turn's place.
    """
    is_timed = all(turn["start_s"] is not None for turn in turns)
    for turn in turns:
        speaker = f"{session_id}/{turn['speaker'] if turn['speaker'] is not None else ''}"
        people[speaker] = {"meta": {"role": turn["role"]}, "vectors": []}
        own = {name: value for name, value in turn.items() if name not in _TURN}
        place = turn["index"]
        yield utterance_of(
            session_id,
            place,
            text=turn["text"],
            speaker=speaker,
            meta={
                "label": turn["speaker"],
                **{name: turn[name] for name in ("role", "start_s", "end_s")},
                OURS: own,
            },
            timestamp=turn["start_s"] if is_timed else place,
        )


def utterance_of(
    session_id: str,
    place: int,
    *,
    text: str,
    speaker: str,
    meta: Mapping[str, Any],
    timestamp: float,
) -> dict[str, Any]:
    """A turn as a line of utterances.jsonl: `place` from 0, its answer to the turn before."""
    return {
        "id": f"{session_id}/{place}",
        "conversation_id": session_id,
        "text": text,
        "speaker": speaker,
        "meta": meta,
        "reply-to": f"{session_id}/{place - 1}" if place else None,
        "timestamp": timestamp,
        "vectors": [],
    }


def _meta(row: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """A conversation's meta: what is known of the session, and the report without its turns."""
    known = {name: row[name] for name in _ROW if name != "session_id"}
    return {**known, OURS: {name: value for name, value in report.items() if name != "turns"}}


def _write_heads(out: Path) -> None:
    whole, text, number = "<class 'int'>", "<class 'str'>", "<class 'float'>"
    ours = {OURS: ["<class 'dict'>"]}
    known = {"client_id": [text], "session_number": [whole], "attendance": [text]}
    index = {
        "utterances-index": {"label": [text], "role": [text], "start_s": [number]}
        | {"end_s": [number]}
        | ours,
        "speakers-index": {"role": [text]},
        "conversations-index": {**known, "source": [text], "line": [whole], **ours},
        "overall-index": {"not_carried": ["<class 'list'>"]},
        "version": _VERSION,
        "vectors": [],
    }
    for name, content in (("corpus.json", {"not_carried": [*NOT_CARRIED]}), ("index.json", index)):
        with written(out / name) as file:
            file.write(_json(content))


def reports_of(path: Path) -> Iterator[tuple[str, Report]]:
    """Session ids and reports of a corpus that `write_folder` wrote, as they were.

    Raises: NotConvokit: broken, or a corpus without reports.
    """
    folder = open_folder(path)
    for session_id, found in folder:
        whole = folder.conversations.get(session_id, {}).get(OURS)
        if not isinstance(whole, dict):
            raise NotConvokit(str(path), "its conversations hold no report")
        turns = [_turn(one) for one in found]
        yield session_id, Report.from_dict({**whole, "turns": turns})


def _turn(found: Mapping[str, Any]) -> dict[str, Any]:
    meta = found["meta"]
    known = {name: meta[name] for name in ("role", "start_s", "end_s")}
    return {**meta[OURS], "text": found["text"], "speaker": meta["label"], **known}


def annotate(source: Path, reports: Path, out: Path) -> tuple[int, int]:
    """A copy of a corpus with our scores in the meta `rupture` of utterances and conversations.

    The reports are those that `rupture corpus score SOURCE` wrote. Everything else stays as it is;
    utterances of one turn share its values. Pickles are copied and not opened.

    Returns: utterances that have scores, and all.

    Raises: NotConvokit; NotReports: a conversation's report is of another text; OutputFull;
        FileExistsError.
    """
    folder = open_folder(source)
    found = _Reports.read(reports)
    out.mkdir(parents=True)
    rewritten = {FILES[0], FILES[2], FILES[4]}
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name not in rewritten:
            shutil.copyfile(path, out / path.name)
    n_scored = n_all = 0
    with written(out / FILES[0]) as file:
        for _, utterance in utterances(source / FILES[0]):
            turn = found.turn(conversation_of(utterance), utterance["id"])
            n_all += 1
            if turn is not None:
                n_scored += 1
                utterance["meta"] = {**(utterance.get("meta") or {}), OURS: turn}
            file.write(_json(utterance) + b"\n")
    _annotate_conversations(folder, found, out)
    return n_scored, n_all


def _annotate_conversations(folder: Folder, found: "_Reports", out: Path) -> None:
    whole = read_json(folder.path / FILES[2])
    for conversation_id, one in whole.items():
        report = found.report(conversation_id)
        if report is not None:
            meta = one["meta"] if isinstance(one.get("meta"), dict) else one
            meta[OURS] = {name: value for name, value in report.items() if name != "turns"}
    index = read_json(folder.path / FILES[4])
    for name in ("utterances-index", "conversations-index"):
        index.setdefault(name, {})[OURS] = ["<class 'dict'>"]
    for name, content in ((FILES[2], whole), (FILES[4], index)):
        with written(out / name) as file:
            file.write(_json(content))


@dataclass(slots=True)
class _Reports:
    """Reports by session id, read from the disk as they are asked for."""

    path: Path
    places: dict[str, tuple[int, int]] = field(repr=False)
    _held: tuple[str, dict[str, Any] | None] = field(default=("", None), repr=False)
    _turns: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, path: Path) -> "_Reports":
        places: dict[str, tuple[int, int]] = {}
        with reports_file(path) as file:
            for group in range(file.metadata.num_row_groups):
                ids = file.read_row_group(group, ["session_id"])["session_id"].to_pylist()
                places |= {sys.intern(one): (group, row) for row, one in enumerate(ids) if one}
        return cls(path, places)

    def report(self, session_id: str) -> dict[str, Any] | None:
        """A session's report as plain values, None where it has none."""
        if session_id not in self.places:
            return None
        if self._held[0] != session_id:
            group, row = self.places[session_id]
            with reports_file(self.path) as file:
                text = file.read_row_group(group, ["report"])["report"][row].as_py()
            whole = json.loads(text)
            self._held = (session_id, whole)
            self._turns = {
                cue_id: {name: value for name, value in turn.items() if name not in _TURN}
                | {"role": turn["role"]}
                for turn in whole["turns"]
                for cue_id in turn["cue_ids"]
            }
        return self._held[1]

    def turn(self, session_id: str, cue_id: str) -> dict[str, Any] | None:
        """What is said of the turn that an utterance belongs to; None where it is in none."""
        return self._turns.get(cue_id) if self.report(session_id) is not None else None
