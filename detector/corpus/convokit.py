"""Reading a ConvoKit corpus folder: one conversation is one session, one utterance one cue.

Written from the files themselves, without the `convokit` package. Its pickles (`*-bin.p`) are
never opened. The order of a conversation is that of its timestamps, where all its utterances
have one, else that of the file. A timestamp is no clock: seconds are taken from the utterance's
own meta `start_s` and `end_s` alone. Roles come from the meta `role` of utterance or speaker.
"""

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from detector.corpus.errors import NotConvokit
from detector.corpus.sessions import ROLES, BadField, Problem, Session, session_of

FILES = ("utterances.jsonl", "speakers.json", "conversations.json", "corpus.json", "index.json")

OURS = "rupture"
"""Field of a meta that holds what the detector says."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A ConvoKit corpus, its utterances still on the disk.

    `speakers` and `conversations` are meta by id; `places` the offsets of each conversation's
    lines in utterances.jsonl, conversations in order of their first.
    """

    path: Path
    speakers: Mapping[str, Mapping[str, Any]] = field(repr=False)
    conversations: Mapping[str, Mapping[str, Any]] = field(repr=False)
    places: Mapping[str, "array[int]"] = field(repr=False)

    def __iter__(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Each conversation's id and its utterances in order."""
        with (self.path / FILES[0]).open("rb") as file:
            for conversation_id, offsets in self.places.items():
                yield conversation_id, _in_order([_line_at(file, offset) for offset in offsets])


def open_folder(path: Path) -> Folder:
    """A corpus folder. Raises: NotConvokit: a file of it lacks or is broken."""
    speakers = path / FILES[1]
    if not speakers.exists():
        speakers = path / "users.json"
    return Folder(
        path,
        _metas(speakers),
        _metas(path / FILES[2]),
        _places(path / FILES[0]),
    )


def read_json(path: Path) -> Any:
    """A JSON file of a corpus folder. Raises: NotConvokit."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise NotConvokit(str(path), error.strerror or "cannot be read") from None
    except (ValueError, RecursionError):
        raise NotConvokit(str(path), "is not JSON") from None


def _metas(path: Path) -> dict[str, Mapping[str, Any]]:
    """Meta by id; early versions had no `meta` about it."""
    found = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise NotConvokit(str(path), "is no object of objects")
    return {
        name: one["meta"] if isinstance(one.get("meta"), dict) else one
        for name, one in found.items()
    }


def conversation_of(utterance: Mapping[str, Any]) -> Any:
    """The id of an utterance's conversation, by the name of this version or of an early one."""
    return utterance.get("conversation_id", utterance.get("root"))


def utterances(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Offset and content of each line of utterances.jsonl. Raises: NotConvokit."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield offset, _checked(line, path, number)
            offset += len(line)


def _checked(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise NotConvokit(str(path), f"line {number} is not JSON") from None
    is_known = isinstance(found, dict) and isinstance(found.get("id"), str)
    if not (is_known and isinstance(conversation_of(found), str)):
        raise NotConvokit(str(path), f"line {number} has no id, or names no conversation")
    return dict(found)


def _places(path: Path) -> dict[str, "array[int]"]:
    places: dict[str, array[int]] = {}
    for offset, found in utterances(path):
        places.setdefault(conversation_of(found), array("q")).append(offset)
    return places


def _line_at(file: IO[bytes], offset: int) -> dict[str, Any]:
    file.seek(offset)
    return dict(json.loads(file.readline()))


def _in_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    times = [_number(one.get("timestamp")) for one in found]
    if any(time is None for time in times):
        return found
    order = sorted(range(len(found)), key=lambda place: times[place] or 0.0)
    return [found[place] for place in order]


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return float(value) if is_number or isinstance(value, str) else None
    except ValueError:
        return None


def read_folder(path: Path) -> Iterator[tuple[Session, float]]:
    """The corpus's sessions, each with the share that is read by then."""
    source = path.as_posix()
    try:
        folder = open_folder(path)
    except NotConvokit as error:
        yield Session(source, problem=Problem("not_convokit", str(error))), 1.0
        return
    n_all = len(folder.places)
    for number, (conversation_id, found) in enumerate(folder, start=1):
        yield _session(folder, conversation_id, found, number), number / n_all


def _session(
    folder: Folder, conversation_id: str, found: Sequence[Mapping[str, Any]], number: int
) -> Session:
    source = folder.path.as_posix()
    meta = folder.conversations.get(conversation_id, {})
    turns = [_turn(one, folder.speakers) for one in found]
    data = json.dumps({"turns": turns}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        return session_of({**meta, "session_id": conversation_id}, source, number, data)
    except BadField as error:
        return Session(source, number, problem=Problem("bad_field", str(error)))


def _turn(found: Mapping[str, Any], speakers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """An utterance as our own JSON has it."""
    speaker = found.get("speaker", found.get("user"))
    meta = found.get("meta") or {}
    role = meta.get("role", speakers.get(str(speaker), {}).get("role"))
    return {
        "cue_id": found["id"],
        "speaker": meta.get("label", speaker),
        "role": role if role in ROLES else None,
        "text": found.get("text") or "",
        **{name: meta.get(name) for name in ("start_s", "end_s")},
    }
