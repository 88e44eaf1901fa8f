"""Which sessions are learned from: AnnoMI, the invented ones, our exports, Label Studio's.

An export is JSON lines, one session each:

    {"session_id": "s1", "group": "video or clinic", "client": "c1", "split": "train",
     "turns": [{"speaker": "A", "role": "client", "text": "…", "start_s": 1.0, "end_s": 2.5,
                "markers": ["denial"], "intensity": 2, "pillar": "task", "sure": true,
                "coded": true}],
     "ratings": {"withdrawal": 2, "confrontation": 1, "resolution": 1, "contribution": 1}}

`session_id`, `turns` and each turn's `role` and `text` are needed, everything else may be left out.
`markers` are ids of the codebook; a turn that nobody has said anything of is not `coded`, and is
read as context that teaches nothing. `split` is train, dev or test, and a test session is never
trained on.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detector.codebook import PILLARS
from detector.errors import TranscriptError
from detector.report import RATINGS
from detector.transcript import Cue, Role, Transcript
from training.corpus import (
    CueLabel,
    LabelledSession,
    TrainingDataError,
    load_annomi,
    load_synthetic,
)
from training.examples import known_markers

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which sessions are learned from.

    Args:
        annomi: the labelled AnnoMI sessions; their text is found by RUPTURE_ANNOMI.
        annomi_path: the release's CSV, where the setting shall not say it; empty: it does.
        synthetic: the invented sessions.
        splits: which splits are learned from, and folded, e.g. train alone where a choice is to
            be made that dev shall not have had a part in. A test split is never read.
        exports: files of this module's JSON lines.
        label_studio: Label Studio exports (JSON).
    """

    annomi: bool = True
    annomi_path: str = ""
    synthetic: bool = True
    splits: tuple[str, ...] = ("train", "dev")
    exports: tuple[str, ...] = ()
    label_studio: tuple[str, ...] = ()


def load_sessions(config: DataConfig) -> list[LabelledSession]:
    """All sessions that may be learned from, AnnoMI first, leak-checked; test splits left out.

    Raises: TrainingDataError: a file cannot be used, an id comes twice, or a group is parted.
    """
    sessions: list[LabelledSession] = []
    if config.annomi:
        path = Path(config.annomi_path) if config.annomi_path else None
        sessions += load_annomi(path=path)
    for name in config.exports:
        sessions += read_export(Path(name))
    for name in config.label_studio:
        sessions += read_label_studio(Path(name))
    if config.synthetic:
        sessions += load_synthetic()
    _check_ids(sessions)
    parts: dict[str, list[LabelledSession]] = defaultdict(list)
    for session in sessions:
        parts[session.split].append(session)
    check_parted(parts)
    kept = [split for split in config.splits if split != "test"]
    return [session for session in sessions if session.split in kept]


def _check_ids(sessions: Sequence[LabelledSession]) -> None:
    seen: set[str] = set()
    for session in sessions:
        if session.session_id in seen:
            raise TrainingDataError(f"session {session.session_id} comes twice: name each once")
        seen.add(session.session_id)


_NEVER_PARTED: dict[str, Callable[[LabelledSession], str]] = {
    "group": lambda session: session.group,
    "client": lambda session: session.client,
    "transcript": lambda session: session.transcript.sha256[:12],
}


def check_parted(parts: Mapping[str, Sequence[LabelledSession]]) -> None:
    """Holds that no group, client or transcript is in two parts (splits, or folds).

    Raises: TrainingDataError: one is; names it and the parts.
    """
    for kind, key in _NEVER_PARTED.items():
        where: dict[str, dict[str, str]] = defaultdict(dict)
        for part, sessions in parts.items():
            for session in sessions:
                if key(session):
                    where[key(session)].setdefault(part, session.session_id)
        for name, found in where.items():
            if len(found) > 1:
                raise TrainingDataError(
                    f"{kind} {name} is in {' and '.join(found)} (sessions "
                    f"{', '.join(found.values())}): what is learned there would be known here; "
                    "put its sessions into one split and give them one group"
                )


def read_export(path: Path) -> list[LabelledSession]:
    """Sessions of a file of JSON lines, as this module's head describes them.

    Raises: TrainingDataError: not readable, or a line is not such a session; by its number.
    """
    sessions = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if line.strip():
            where = f"{path.name}, line {number}"
            sessions.append(_export_session(_json(line, where), where))
    return sessions


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingDataError(f"{path.name}: not a readable UTF-8 file") from error


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # The library's own error holds the text, so it is not passed on.
        raise TrainingDataError(f"{where}: not JSON") from None


_KINDS: dict[str, tuple[type, ...]] = {
    "session_id": (str,),
    "group": (str,),
    "client": (str,),
    "split": (str,),
    "turns": (list,),
    "ratings": (dict,),
    "speaker": (str,),
    "role": (str,),
    "text": (str,),
    "start_s": (int, float, type(None)),
    "end_s": (int, float, type(None)),
    "markers": (list,),
    "intensity": (int,),
    "pillar": (str, type(None)),
    "sure": (bool,),
    "coded": (bool,),
}
_OF_SESSION = ("session_id", "group", "client", "split", "turns", "ratings")
_OF_TURN = (
    *("speaker", "role", "text", "start_s", "end_s"),
    *("markers", "intensity", "pillar", "sure", "coded"),
)


def _checked(record: Any, allowed: Sequence[str], needed: Sequence[str], where: str) -> Any:
    """A JSON object with no key we do not know, none missing, none of another kind."""
    if not isinstance(record, dict):
        raise TrainingDataError(f"{where}: not a JSON object")
    if unknown := sorted(set(record) - set(allowed)):
        raise TrainingDataError(f"{where}: unknown: {', '.join(unknown)}")
    for key in needed:
        if key not in record:
            raise TrainingDataError(f"{where}: {key} is missing")
    for key, value in record.items():
        if not isinstance(value, _KINDS[key]):
            raise TrainingDataError(f"{where}: {key} is not of the right kind")
    return record


def _export_session(record: Any, where: str) -> LabelledSession:
    record = _checked(record, _OF_SESSION, ("session_id", "turns"), where)
    cues, labels = [], {}
    for place, turn in enumerate(record["turns"], start=1):
        at = f"{where}, turn {place}"
        turn = _checked(turn, _OF_TURN, ("role", "text"), at)
        cues.append(_cue(str(place), turn, at))
        labels[str(place)] = CueLabel(
            known_markers(turn.get("markers", []), at),
            turn.get("intensity", 0),
            _one_of(turn.get("pillar"), (None, *PILLARS), "pillar", at),
            turn.get("sure", True),
            turn.get("coded", True),
        )
    return _session(record, cues, labels, _ratings(record.get("ratings", {}), where), where)


def _session(
    record: Mapping[str, Any],
    cues: Sequence[Cue],
    labels: Mapping[str, CueLabel],
    ratings: Mapping[str, float],
    where: str,
) -> LabelledSession:
    session_id = record["session_id"]
    try:
        transcript = Transcript("export", tuple(cues))
    except TranscriptError as error:
        raise TrainingDataError(f"{where}: {error}") from error
    return LabelledSession(
        session_id=session_id,
        source="export",
        group=record.get("group") or record.get("client") or session_id,
        split=_one_of(record.get("split", "train"), SPLITS, "split", where),
        transcript=transcript,
        labels=labels,
        ratings=ratings,
        client=record.get("client", ""),
    )


def _cue(cue_id: str, turn: Mapping[str, Any], where: str) -> Cue:
    role = _one_of(turn["role"], tuple(map(str, Role)), "role", where)
    try:
        return Cue(
            cue_id,
            turn.get("speaker", role),
            turn["text"],
            turn.get("start_s"),
            turn.get("end_s"),
            role=Role(role),
        )
    except TranscriptError as error:
        raise TrainingDataError(f"{where}: {error}") from error


def _one_of(value: Any, known: Sequence[Any], what: str, where: str) -> Any:
    if value not in known:
        raise TrainingDataError(f"{where}: {what} is none of {', '.join(map(str, known))}")
    return value


def _ratings(given: Mapping[str, Any], where: str) -> dict[str, float]:
    for name, value in given.items():
        _one_of(name, RATINGS, "a rating's name", where)
        if not isinstance(value, int | float) or not 1 <= value <= 5:
            raise TrainingDataError(f"{where}: the rating {name} is not a number from 1 to 5")
    return {name: float(value) for name, value in given.items()}


def read_label_studio(path: Path) -> list[LabelledSession]:
    """Sessions of a Label Studio export (JSON) of dialogues with paragraph labels.

    A task's `data` holds `dialogue`, a list of {author, text}; an author is "client" or
    "therapist", or `data.roles` says which. `data` may hold session_id, group, client and split.
    A paragraph carries a marker that at least half of the task's annotations give it; with two
    or more, each is kept as a raw coding. Cancelled annotations, and tasks without one, are
    skipped.

    Raises: TrainingDataError: not such a file, or an unknown label; names task and label.
    """
    tasks = _json(_text(path), path.name)
    if not isinstance(tasks, list):
        raise TrainingDataError(f"{path.name}: not a list of tasks; export as JSON")
    found = (_studio_session(task, f"{path.name}, task {n}") for n, task in enumerate(tasks, 1))
    return [session for session in found if session is not None]


def _studio_session(task: Any, where: str) -> LabelledSession | None:
    try:
        data, given = task["data"], task["annotations"]
        roles = {str(k): str(v) for k, v in data.get("roles", {}).items()}
        cues = [
            _cue(str(place), _studio_turn(said, roles), f"{where}, paragraph {place}")
            for place, said in enumerate(data["dialogue"])
        ]
        kept = [one["result"] for one in given if not one.get("was_cancelled")]
        codings = [_studio_coding(result, len(cues), where) for result in kept]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise TrainingDataError(f"{where}: not a dialogue task ({type(error).__name__})") from None
    if not codings:
        return None
    record = {key: str(data[key]) for key in _OF_SESSION[:4] if data.get(key)}
    record.setdefault("session_id", f"{Path(where.split(',')[0]).stem}-{task.get('id', '')}")
    session = _session(record, cues, _settled(codings), {}, where)
    return replace(session, codings=tuple(codings) if len(codings) > 1 else ())


def _studio_turn(said: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    author = str(said["author"])
    role = roles.get(author, author).strip().lower()
    times = {"start_s": said.get("start"), "end_s": said.get("end")}
    return {"speaker": author, "role": role, "text": said["text"], **times}


def _studio_coding(
    results: Iterable[Mapping[str, Any]], n_paragraphs: int, where: str
) -> dict[str, CueLabel]:
    """One annotation's markers by paragraph, counted from 0."""
    markers: dict[str, frozenset[str]] = defaultdict(frozenset)
    for result in results:
        if result["type"] not in ("paragraphlabels", "labels"):
            continue
        value = result["value"]
        names = known_markers(value[result["type"]], where)
        first, last = int(value["start"]), int(value["end"])
        if not 0 <= first <= last < n_paragraphs:
            raise TrainingDataError(f"{where}: a label lies outside the dialogue")
        for place in range(first, last + 1):
            markers[str(place)] |= names
    return {place: CueLabel(names, 1) for place, names in markers.items()}


def _settled(codings: Sequence[Mapping[str, CueLabel]]) -> dict[str, CueLabel]:
    """What at least half of the codings say of each cue; unsure where they are not at one."""
    settled = {}
    for cue_id in sorted({cue_id for coding in codings for cue_id in coding}):
        said = [coding.get(cue_id, CueLabel()).markers for coding in codings]
        names = frozenset(
            name
            for name in frozenset().union(*said)
            if 2 * sum(name in own for own in said) >= len(said)
        )
        settled[cue_id] = CueLabel(names, int(bool(names)), sure=len(set(said)) == 1)
    return settled
