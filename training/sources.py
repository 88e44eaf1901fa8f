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

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import typer

from detector.annotation import SEEN, Annotation, check
from detector.codebook import PILLARS, load_codebook
from detector.errors import AnnotationError, TranscriptError
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
from training.labels.label_studio import Task, notes_of, tasks_of
from training.labels.long import json_object, text_of

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
        label_studio: Label Studio exports (JSON); what of them is passed over is said on
            standard error.
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
        found, notes = read_label_studio(Path(name))
        sessions += found
        for note in notes:
            typer.echo(note, err=True)
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
    with _told():
        # Only a line feed ends a line: what is said may hold other signs that do.
        for number, line in enumerate(text_of(path).split("\n"), start=1):
            if line.strip():
                where = f"{path.name}, line {number}"
                sessions.append(_export_session(json_object(line, where), where))
    return sessions


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with a file of labels, as this room's error."""
    try:
        yield
    except AnnotationError as error:
        raise TrainingDataError(str(error)) from None


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
        for name in _not_theirs(cues[-1], labels[str(place)]):
            said = f"{load_codebook().markers[name].role}'s, and this is the {cues[-1].role}'s"
            raise TrainingDataError(f"{at}: {name} is the {said}")
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


def _not_theirs(cue: Cue, label: CueLabel) -> list[str]:
    """The markers that the cue's speaker cannot show."""
    markers = load_codebook().markers
    return sorted(name for name in label.markers if not markers[name].can_be_of(cue.role))


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


def read_label_studio(path: Path) -> tuple[list[LabelledSession], tuple[str, ...]]:
    """Sessions of a Label Studio export (JSON), and what of it teaches nothing.

    Each paragraph is a cue; its author, or what `data.roles` says of the author, is its role.
    `data` may hold session_id, group, client and split. What an adjudication says stands; without
    one a paragraph carries a marker that at least half of the coders give it. With two coders or
    more each is kept as a raw coding. A model's marks are not learned from, and a task that no
    coder has coded is left out. A marker on a paragraph whose speaker cannot show it teaches
    nothing.

    Raises: TrainingDataError: not such a file, an unknown label, a paragraph of no role, or a
        coder who says two things of one; names the task, its id and the place.
    """
    sessions, skipped = [], Counter[str]()
    with _told():
        for task in tasks_of(path, skipped):
            check(task.labels)
            session = _studio_session(task, skipped)
            if session is not None:
                sessions.append(session)
            elif task.labels.annotations:
                skipped["tasks that only a model has marked"] += 1
    return sessions, notes_of(path, skipped)


def _studio_session(task: Task, skipped: Counter[str]) -> LabelledSession | None:
    by_coder: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
    for one in task.labels.annotations:
        if one.stage != "model":
            by_coder[one.stage, one.coder].append(one)
    if not by_coder:
        return None
    cues = []
    for place, said in enumerate(task.paragraphs):
        at = f"{task.where}, paragraph {place}"
        if not said["role"]:
            raise TrainingDataError(
                f"{at}: its author is none of {', '.join(Role)}; say in data.roles who is what"
            )
        cues.append(_cue(str(place), _checked(said, _OF_TURN, ("role", "text"), at), at))
    about = {key: str(task.about[key]) for key in _OF_SESSION[1:4] if task.about.get(key)}
    decided = [own for (stage, _), own in by_coder.items() if stage == "adjudicated"]
    blind = [own for (stage, _), own in by_coder.items() if stage == "blind"]
    settled = decided or blind
    raw = tuple(map(_coding_of, blind)) if len(blind) > 1 else ()
    record = {**about, "session_id": task.session_id}
    labels = _settled([_coding_of(own) for own in settled])
    # A region may run over both speakers: its marker teaches nothing of who cannot show it.
    if n := sum(len(_not_theirs(cue, labels.get(cue.cue_id, CueLabel()))) for cue in cues):
        skipped["markers on paragraphs whose speaker cannot show them"] += n
    session = _session(record, cues, labels, _mean_ratings(settled), task.where)
    return replace(session, codings=raw)


def _coding_of(own: Sequence[Annotation]) -> dict[str, CueLabel]:
    """One coder's marks by paragraph. A mark without an intensity has the least, 1."""
    by_place: dict[int, list[Annotation]] = defaultdict(list)
    for one in own:
        if one.unit_type == "turn" and one.code != SEEN and one.value:
            by_place[one.unit_index].append(one)
    return {
        str(place): CueLabel(
            frozenset(one.code for one in marks),
            max(one.intensity or 1 for one in marks),
            next((one.pillar for one in marks if one.pillar), None),
            all(one.sure is not False for one in marks),
        )
        for place, marks in by_place.items()
    }


def _settled(codings: Sequence[Mapping[str, CueLabel]]) -> dict[str, CueLabel]:
    """What at least half of the codings say of each cue; unsure where they are not at one.

    Intensity is the mean, and the pillar the first, of those who give a marker that stands.
    """
    settled = {}
    for cue_id in sorted({cue_id for coding in codings for cue_id in coding}):
        said = [coding.get(cue_id, CueLabel()) for coding in codings]
        names = frozenset(
            name
            for name in frozenset().union(*(one.markers for one in said))
            if 2 * sum(name in one.markers for one in said) >= len(said)
        )
        who = [one for one in said if one.markers & names]
        settled[cue_id] = CueLabel(
            names,
            round(fmean(one.intensity for one in who)) if who else 0,
            next((one.pillar for one in who if one.pillar), None),
            len({one.markers for one in said}) == 1 and all(one.sure for one in said),
        )
    return settled


def _mean_ratings(codings: Sequence[Sequence[Annotation]]) -> dict[str, float]:
    """Each rating of the session, the mean over those who gave it."""
    given: dict[str, list[int]] = defaultdict(list)
    for one in (one for own in codings for one in own):
        if one.code in RATINGS and one.unit_type == "session" and one.value is not None:
            given[one.code].append(one.value)
    return {name: fmean(values) for name, values in given.items()}
