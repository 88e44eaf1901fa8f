"""Labelled sessions: AnnoMI with our stand-off labels, and the invented sessions we ship.

The labels on AnnoMI come from a language model under our codebook, adjudicated, not from
clinicians. The transcripts' text is not ours to ship: it is read from the public release.
"""

import csv
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

import typer

from detector.codebook import Codebook, load_codebook
from detector.report import RATINGS
from detector.transcript import Cue, Role, Transcript, Turn

ANNOMI_SETTING = "RUPTURE_ANNOMI"
"""Environment variable that names the folder, or the CSV file, of the AnnoMI release."""


class TrainingDataError(Exception):
    """Labelled data cannot be used as it is. Carries ids and counts, never speech."""


class AnnomiAbsent(TrainingDataError):
    """The AnnoMI text is not on this machine; the message says how to name it."""

    def __init__(self) -> None:
        super().__init__(
            f"the AnnoMI text is not shipped: set {ANNOMI_SETTING} to the folder of its CSV"
        )


@contextmanager
def told() -> Iterator[None]:
    """Turns what a user can mend into one line on standard error and exit code 3.

    That is a TrainingDataError, or a library that only the `train` extra brings.
    """
    try:
        yield
    except TrainingDataError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(3) from None
    except ModuleNotFoundError as error:
        typer.echo(f"{error.name} is not installed: pip install -e '.[train]'", err=True)
        raise typer.Exit(3) from None


@dataclass(frozen=True, slots=True)
class CueLabel:
    """What the codebook says of one cue.

    `sure` is False where coders may well differ, `coded` where nobody has said anything: such a
    cue is read as context and teaches nothing, since silence is no label.
    """

    markers: frozenset[str] = frozenset()
    intensity: int = 0
    pillar: str | None = None
    sure: bool = True
    coded: bool = True


@dataclass(frozen=True)
class LabelledSession:
    """One session with its labels, keyed by cue id.

    `group` is what must not be split: the source video, or the invented client. `split` is
    train or dev. `ratings` are the session's 1..5 by name; empty where nobody rated it.
    `contested` are the cues on whose kinds of marker two codings differed, if there were two.
    `codings` are the raw ones that the labels were settled from, `client` who must not be split
    either, and `talk` AnnoMI's own code of a cue: a client's talk type, a therapist's behaviour.
    """

    session_id: str
    source: str
    group: str
    split: str
    transcript: Transcript = field(repr=False)
    labels: Mapping[str, CueLabel] = field(repr=False)
    ratings: Mapping[str, float] = field(repr=False)
    contested: frozenset[str] = field(default=frozenset(), repr=False)
    codings: tuple[Mapping[str, CueLabel], ...] = field(default=(), repr=False)
    client: str = ""
    talk: Mapping[str, str] = field(default_factory=dict, repr=False)

    def markers_of(
        self, turn: Turn, coding: Mapping[str, CueLabel] | None = None
    ) -> frozenset[str]:
        """Codes of a turn: all codes of its cues; in one raw coding where it is named."""
        labels = self.labels if coding is None else coding
        return frozenset().union(
            *(labels[cue_id].markers for cue_id in turn.cue_ids if cue_id in labels)
        )

    def carries(self, turn: Turn, kinds: Iterable[str], codebook: Codebook | None = None) -> bool:
        """Whether a turn has a marker of one of these kinds."""
        known = (codebook or load_codebook()).markers
        wanted = set(kinds)
        return any(known[marker].kind in wanted for marker in self.markers_of(turn))


def annomi_csv() -> Path:
    """Where the AnnoMI text lies. Raises: AnnomiAbsent: not set, or nothing there."""
    named = os.environ.get(ANNOMI_SETTING)
    if named:
        folder = Path(named)
        candidates = [folder, *(folder / name for name in ("annomi.csv", "AnnoMI-full.csv"))]
        for path in (*candidates, folder / "AnnoMI-simple.csv"):
            if path.is_file():
                return path
    raise AnnomiAbsent


def load_annomi(split: str | None = None, *, path: Path | None = None) -> list[LabelledSession]:
    """The labelled AnnoMI sessions, in order of transcript id.

    Args:
        split: "train" (83 sessions), "dev" (20), or None for all 103.
        path: the release's CSV; the setting RUPTURE_ANNOMI where it is None.

    Raises: AnnomiAbsent; TrainingDataError: a labelled transcript is not in the file.
    """
    splits = {row["transcript_id"]: row["split"] for row in _own_rows("splits.csv")}
    rows: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    with (path or annomi_csv()).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            # The full release repeats an utterance for each annotator; the first will do.
            rows[row["transcript_id"]].setdefault(row["utterance_id"], row)
    missing = set(splits) - set(rows)
    if missing:
        raise TrainingDataError(f"{len(missing)} labelled transcripts are not in the AnnoMI file")
    sessions = (
        _annomi_session(tid, list(rows[tid].values()), splits[tid])
        for tid in sorted(splits, key=int)
        if split in (None, splits[tid])
    )
    labels, ratings = _annomi_labels("labels.csv"), _annomi_ratings()
    codings = _annomi_labels("coder_1.csv"), _annomi_labels("coder_2.csv")
    return [
        replace(
            session,
            labels=labels[tid],
            ratings=ratings[tid],
            contested=_contested(codings[0][tid], codings[1][tid]),
            codings=(codings[0][tid], codings[1][tid]),
        )
        for session in sessions
        for tid in [session.session_id.removeprefix("annomi-")]
    ]


def _own_rows(name: str) -> list[dict[str, str]]:
    text = (files("training") / "data" / "annomi" / name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def _annomi_labels(name: str) -> dict[str, dict[str, CueLabel]]:
    labels: dict[str, dict[str, CueLabel]] = defaultdict(dict)
    for row in _own_rows(name):
        codes = {*row["markers"].split("|"), *row["resolution"].split("|")} - {""}
        if row["contributes"] == "1":
            codes.add("contributes")
        labels[row["transcript_id"]][row["utterance_id"]] = CueLabel(
            frozenset(codes), int(row["intensity"] or 0), row["pillar"] or None, row["sure"] == "1"
        )
    return labels


def _annomi_ratings() -> dict[str, dict[str, float]]:
    return {
        row["transcript_id"]: {name: float(row[name]) for name in RATINGS}
        for row in _own_rows("sessions.csv")
    }


def _contested(one: Mapping[str, CueLabel], other: Mapping[str, CueLabel]) -> frozenset[str]:
    """Cues on which two codings name different kinds of marker."""
    known, nothing = load_codebook().markers, CueLabel()

    def kinds(coding: Mapping[str, CueLabel], cue_id: str) -> set[str]:
        return {known[marker].kind for marker in coding.get(cue_id, nothing).markers}

    return frozenset(
        cue_id for cue_id in {*one, *other} if kinds(one, cue_id) != kinds(other, cue_id)
    )


def _annomi_session(transcript_id: str, rows: list[dict[str, str]], split: str) -> LabelledSession:
    """One transcript of the release, without its labels."""
    cues = tuple(
        Cue(
            cue_id=row["utterance_id"],
            speaker=row["interlocutor"],
            text=row["utterance_text"],
            start_s=_clock_s(row["timestamp"]),
            role=Role(row["interlocutor"]),
        )
        for row in rows
        if row["utterance_text"].strip()
    )
    return LabelledSession(
        session_id=f"annomi-{transcript_id}",
        source="annomi",
        group=rows[0]["video_url"],
        split=split,
        transcript=Transcript("annomi", cues),
        labels={},
        ratings={},
        talk={row["utterance_id"]: _talk_code(row) for row in rows},
    )


def _talk_code(row: Mapping[str, str]) -> str:
    """The release's own code of an utterance, empty where it has none."""
    client = row["interlocutor"] == "client"
    return row.get("client_talk_type" if client else "main_therapist_behaviour") or ""


def _clock_s(text: str) -> float:
    """Seconds of `HH:MM:SS` or `MM:SS.s`."""
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


_LINE = re.compile(
    r"(?P<start>[\d:.]+)-(?P<end>[\d:.]+) (?P<who>[TC])"
    r"(?: (?P<codes>\{[^}]*\}|\[[^\]]*\](?=:| )))?:? ?(?P<text>.*)"
)


def load_synthetic() -> list[LabelledSession]:
    """The 220 invented sessions, in order of id, all of split train."""
    folder = files("training") / "data" / "synthetic"
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".txt")), key=str)
    return [read_synthetic(path.name[:-4], path.read_text("utf-8")) for path in paths]


def read_synthetic(session_id: str, text: str) -> LabelledSession:
    """One invented session from its text. The header is left out: it gives the labels away.

    Raises: TrainingDataError: a line that is neither a remark nor speech, by its number.
    """
    cues: list[Cue] = []
    labels: dict[str, CueLabel] = {}
    ratings: dict[str, float] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("# "):
            ratings = json.loads(line[2:]).get("session", ratings)
        elif line.strip():
            match = _LINE.fullmatch(line)
            if match is None:
                raise TrainingDataError(f"{session_id}, line {number}: not understood")
            cue = _synthetic_cue(str(number), match)
            cues.append(cue)
            if match["codes"]:
                labels[cue.cue_id] = _synthetic_label(match["codes"])
    return LabelledSession(
        session_id,
        "synthetic",
        session_id,
        "train",
        Transcript("synthetic", tuple(cues)),
        labels,
        ratings,
    )


def _synthetic_cue(cue_id: str, match: re.Match[str]) -> Cue:
    role = Role.THERAPIST if match["who"] == "T" else Role.CLIENT
    start, end = _clock_s(match["start"]), _clock_s(match["end"])
    return Cue(cue_id, match["who"], match["text"], start, max(start, end), role=role)


def _synthetic_label(codes: str) -> CueLabel:
    parts = [part.strip() for part in codes[1:-1].split(",") if part.strip()]
    split = [part.split(":") for part in parts]
    return CueLabel(
        markers=frozenset("contributes" if part[0] == "!" else part[0] for part in split),
        intensity=max((int(part[1]) for part in split if len(part) > 1), default=0),
        pillar=next((part[2] for part in split if len(part) > 2), None),
    )
