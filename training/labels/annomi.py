"""The raw codings of the AnnoMI transcripts that we ship: one row a labelled utterance.

Both coders are one language model under our codebook, each in contexts of its own: what they
agree on is consistent, and not thereby true.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.annotation import SEEN, Annotation, Labels
from detector.codebook import PILLARS
from detector.errors import AnnotationError
from detector.transcript import Transcript
from training.corpus import LabelledSession
from training.labels.long import rows_of
from training.labels.records import made

NAMES = (
    "transcript_id",
    "utterance_id",
    "role",
    "markers",
    "intensity",
    "pillar",
    "resolution",
    "contributes",
    "sure",
    "decided",
)


def is_coding(path: Path) -> bool:
    """Whether a file is such a coding, by its line of names."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(next(csv.reader(file), [])) == NAMES
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def read_codings(paths: Sequence[Path], sessions: Sequence[LabelledSession]) -> Labels:
    """What each file's coder said of every turn; a file's name is its coder's.

    Utterances of one speaker in a row are one turn, which carries the codes of all of them, the
    greatest intensity and the last pillar, and is sure where every one is.

    Raises: AnnotationError: a transcript or utterance that does not exist; by file and line.
    """
    transcripts = {session.session_id: session.transcript for session in sessions}
    places = {
        session_id: {cue_id: turn.index for turn in own for cue_id in turn.cue_ids}
        for session_id, own in transcripts.items()
    }
    found: list[Annotation] = []
    where: list[str] = []
    for path in paths:
        for session_id in transcripts:
            found.append(Annotation(session_id, "session", 0, path.stem, SEEN))
            where.append(path.name)
        said: dict[tuple[str, int, str], tuple[dict[str, Any], str]] = {}
        for number, row in rows_of(path):
            _read(row, f"{path.name}, line {number}", places, said)
        for (session_id, index, code), (values, place) in said.items():
            turn = transcripts[session_id].turns[index]
            facts = {"turn_id": turn.cue_ids[0], "speaker_role": str(turn.role)}
            own = {"session_id": session_id, "unit_type": "turn", "unit_index": index}
            found.append(made({**own, "coder": path.stem, "code": code, **facts, **values}, place))
            where.append(place)
    return Labels(tuple(found), tuple(where))


def _read(
    row: Mapping[str, str],
    where: str,
    places: Mapping[str, Mapping[str, int]],
    said: dict[tuple[str, int, str], tuple[dict[str, Any], str]],
) -> None:
    """Adds one row's codes to what is said already."""
    session_id = f"annomi-{row['transcript_id']}"
    if session_id not in places:
        raise AnnotationError("its transcript_id is not among the transcripts", where=where)
    index = places[session_id].get(row["utterance_id"])
    if index is None:
        raise AnnotationError("its utterance_id does not exist in the transcript", where=where)
    codes = [*row["markers"].split("|"), *row["resolution"].split("|")]
    codes += ["contributes"] if row["contributes"] == "1" else []
    pillar = row["pillar"] if row["pillar"] in PILLARS else None
    for code in filter(None, codes):
        before, _ = said.get((session_id, index, code), ({}, where))
        intensity = max(int(row["intensity"] or 0), before.get("intensity") or 0) or None
        sure = row["sure"] == "1" and before.get("sure", True)
        values = {"intensity": intensity, "pillar": pillar or before.get("pillar"), "sure": sure}
        said[session_id, index, code] = (values, where)


def transcripts_of(sessions: Sequence[LabelledSession]) -> dict[str, Transcript]:
    """The sessions' transcripts by id."""
    return {session.session_id: session.transcript for session in sessions}
