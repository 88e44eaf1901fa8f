"""A realistic report on an invented session, made by hand from the session's own labels."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from detector.codebook import load_codebook
from detector.report import (
    LABELS,
    Evidence,
    MarkerFinding,
    Moment,
    Provenance,
    Report,
    Roles,
    SegmentReport,
    SessionReport,
    Span,
    Strength,
    TurnReport,
)
from detector.transcript import Role, TimingQuality

_SESSION = Path(__file__).with_name("invented_session.txt")

_LINE = re.compile(
    r"(\d+):([\d.]+)-(\d+):([\d.]+) ([TC])(?: \[([a-z_:,\d]+)\])?(?: \{([a-z_!,]+)\})?:? (.*)"
)


def report_of(lines: Iterable[str]) -> Report:
    """A report whose scores and links follow from the labels in the session's lines."""
    rows = [found.groups() for line in lines if (found := _LINE.match(line))]
    groups = itertools.groupby(rows, key=lambda row: row[4])
    turns = tuple(_turn(index, list(group)) for index, (_, group) in enumerate(groups))
    return Report(
        session=SessionReport(
            withdrawal=2.9,
            confrontation=2.6,
            resolution=4.4,
            contribution=1.8,
            pillars={
                "goal": {"strain": 0.0, "strengths": 0},
                "task": {"strain": 0.04, "strengths": 1},
                "bond": {"strain": 0.2613, "strengths": 2},
            },
            attendance="attended",
        ),
        turns=turns,
        segments=tuple(_segments(turns)),
        moments=tuple(_moments(turns)),
        strengths=tuple(_strengths(turns)),
        timing_quality=TimingQuality.CUE,
        features_unavailable=("overlap_s",),
        roles=Roles({"T": Role.THERAPIST, "C": Role.CLIENT}, "inferred", 0.97),
        notes=("No two cues overlap in the file: overlap is not measured.",),
        provenance=Provenance(
            "rules-1", "ab" * 32, "1.1", "rupture-detector 0.1.0", "cd" * 32, "plain text", 0.3
        ),
        limits=("Overlap was not measured.",),
    )


def _turn(index: int, rows: list[tuple[str, ...]]) -> TurnReport:
    text = " ".join(row[7] for row in rows)
    role = Role.CLIENT if rows[0][4] == "C" else Role.THERAPIST
    markers, place = [], 0
    for row in rows:
        clause = re.match(r"[^.?!,]*[^.?!,\s]", row[7])
        span = Span(place, place + (clause.end() if clause else len(row[7])))
        markers += list(_findings(row, span))
        place += len(row[7]) + 1
    unheard = index == 46
    scores: dict[str, float | None] = dict.fromkeys(LABELS, 0.0)
    for one in markers:
        kind = load_codebook().markers[one.marker].kind
        label = "resolution" if kind == "repair" and role is Role.THERAPIST else kind
        if label in scores:
            scores[label] = max(scores[label] or 0.0, one.score)
    scores["rupture"] = max(scores["withdrawal"] or 0.0, scores["confrontation"] or 0.0)
    start_s = 60 * int(rows[0][0]) + float(rows[0][1])
    return TurnReport(
        index=index,
        cue_ids=tuple(f"{index}-{number}" for number, _ in enumerate(rows)),
        speaker=rows[0][4],
        role=role,
        start_s=start_s,
        end_s=60 * int(rows[-1][2]) + float(rows[-1][3]),
        text=text,
        scores=dict.fromkeys(LABELS) if unheard else scores,
        markers=tuple(markers),
        evidence=tuple(_evidence(markers)),
        timing={"n_words": float(len(text.split())), "response_latency_s": 3.0 + index % 5},
        abstained="the recogniser heard no words" if unheard else None,
    )


def _findings(row: tuple[str, ...], span: Span) -> Iterator[MarkerFinding]:
    for label in (row[5] or "").split(","):
        if label:
            name, intensity, pillar = label.split(":")
            score = 0.25 + 0.2 * int(intensity)
            yield MarkerFinding(name, score, pillar, (span,), "rule", (f"{name}.example",))
    for name in (row[6] or "").split(","):
        if name:
            name = "contributes" if name == "!" else name
            yield MarkerFinding(name, 0.7, None, (span,), "rule", (f"{name}.example",))


def _evidence(markers: Iterable[MarkerFinding]) -> Iterator[Evidence]:
    for one in markers:
        kind = load_codebook().markers[one.marker].kind
        if kind in ("withdrawal", "confrontation"):
            yield Evidence(kind, f"hit.{one.marker}", 1.0, 1.4)
            yield Evidence(kind, "said.few_words", 1.0, 0.6)
            yield Evidence(kind, "time.response_latency_s_vs_own", 1.2, 0.3)


def _segments(turns: tuple[TurnReport, ...]) -> Iterator[SegmentReport]:
    groups = itertools.groupby(turns, key=lambda turn: int((turn.start_s or 0.0) - 690) // 300)
    for index, (_, group) in enumerate(groups):
        held = list(group)
        scores = {label: max(turn.scores[label] or 0.0 for turn in held) for label in LABELS}
        ratings = {label: 1 + 4 * scores[label] for label in ("withdrawal", "confrontation")}
        yield SegmentReport(
            index,
            held[0].start_s,
            held[-1].end_s,
            tuple(turn.index for turn in held),
            scores,
            ratings,
        )


def _moments(turns: tuple[TurnReport, ...]) -> Iterator[Moment]:
    codebook = load_codebook()
    flagged = [turn for turn in turns if (turn.scores["rupture"] or 0.0) > 0.4]
    clusters: list[list[TurnReport]] = []
    for turn in flagged:
        if clusters and turn.index - clusters[-1][-1].index <= 2:
            clusters[-1].append(turn)
        else:
            clusters.append([turn])
    for held in clusters:
        names = tuple(dict.fromkeys(one.marker for turn in held for one in turn.markers))
        kinds = {codebook.markers[name].kind for name in names} & {"withdrawal", "confrontation"}
        later = turns[held[-1].index + 1 : held[-1].index + 11]
        of_kind = {
            turn.index: {codebook.markers[one.marker].kind for one in turn.markers}
            for turn in later
        }
        answers = tuple(i for i, k in of_kind.items() if k & {"repair", "resolution"})
        repaired = any("repair" in k for k in of_kind.values())
        yield Moment(
            kind="mixed" if len(kinds) == 2 else kinds.pop(),
            turn_indexes=tuple(turn.index for turn in held),
            start_s=held[0].start_s,
            end_s=held[-1].end_s,
            score=max(turn.scores["rupture"] or 0.0 for turn in held),
            markers=names,
            pillar=held[0].markers[0].pillar,
            resolution="repaired" if repaired else "partly" if answers else "unrepaired",
            repair_turn_indexes=answers,
            summary=", ".join(codebook.markers[name].title for name in names),
        )


def _strengths(turns: tuple[TurnReport, ...]) -> Iterator[Strength]:
    said = {
        "That's exactly it": "bond_warmth",
        "Thank you": "bond_warmth",
        "I can do that": "task_clarity",
    }
    for turn in turns:
        for words, marker in said.items():
            if (start := turn.text.find(words)) >= 0:
                pillar = load_codebook().markers[marker].pillar
                yield Strength(marker, pillar, turn.index, (Span(start, start + len(words)),))


@pytest.fixture(scope="session")
def invented_report() -> Report:
    """A thirteen-minute session with moments of all kinds, some of them repaired."""
    return report_of(_SESSION.read_text("utf-8").splitlines())


def longer(report: Report, n_turns: int) -> Report:
    """The session said over and over, on one clock."""
    n_own, span_s = len(report.turns), 800.0
    turns = [
        dataclasses.replace(
            turn,
            index=index,
            start_s=(turn.start_s or 0.0) + span_s * (index // n_own),
            end_s=(turn.end_s or 0.0) + span_s * (index // n_own),
        )
        for index in range(n_turns)
        for turn in (report.turns[index % n_own],)
    ]
    moments = [
        dataclasses.replace(
            moment,
            turn_indexes=tuple(i + shift for i in moment.turn_indexes),
            repair_turn_indexes=tuple(i + shift for i in moment.repair_turn_indexes),
        )
        for shift in range(0, n_turns - n_own + 1, n_own)
        for moment in report.moments
    ]
    segments = [
        dataclasses.replace(segment, index=number)
        for number, segment in enumerate(report.segments * (n_turns // n_own))
    ]
    return dataclasses.replace(
        report, turns=tuple(turns), moments=tuple(moments), segments=tuple(segments)
    )


@pytest.fixture(scope="session")
def make_longer(invented_report: Report) -> Callable[[int], Report]:
    """The invented session said over and over, up to a number of turns."""
    return functools.partial(longer, invented_report)
