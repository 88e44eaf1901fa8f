"""A session's row: what docs/corpus.md promises of `reports.parquet`, and how a report fills it."""

import functools
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from detector.codebook import PILLARS, load_codebook
from detector.corpus.sessions import Session
from detector.report import RATINGS, Moment, Report

SCHEMA = "rupture-corpus/1"
SCHEMA_KEY = "rupture.schema"
"""Under which a file's own metadata names its schema."""

OUTCOMES = ("repaired", "partly", "unrepaired")
FIGURES = (
    "duration_s",
    "n_turns",
    "n_client_turns",
    "n_therapist_turns",
    *RATINGS,
    *(f"{pillar}_strain" for pillar in PILLARS),
    *(f"{pillar}_strengths" for pillar in PILLARS),
    "n_moments",
    *(f"n_{outcome}" for outcome in OUTCOMES),
    "n_strained_turns",
    "markers",
    "moments",
)
"""What `figures` gives, by the names of the columns."""

STRATEGY_KINDS = ("resolution", "repair")
"""Kinds of marker that answer a rupture: the therapist's strategies, the client's disclosure."""

PROBLEM = ("problem_code", "problem_reason", "problem_line")
"""Columns of a part alone: what the side list says."""


@functools.cache
def schema(*, part: bool = False) -> Any:
    """The pyarrow.Schema of a file of reports; a part's has PROBLEM beside."""
    import pyarrow as pa

    text, whole, number = pa.string(), pa.int32(), pa.float64()
    moment = {"kind": text, "start_s": number, "end_s": number, "score": number, "pillar": text}
    moment |= {"markers": _list(text), "strategies": _list(text), "resolution": text}
    fields: dict[str, Any] = {
        "key": pa.binary(16),
        **dict.fromkeys(("session_id", "client_id"), text),
        "session_number": pa.int32(),
        "source": text,
        "line": pa.int64(),
        **dict.fromkeys(("attendance", "roles_source"), text),
        "roles_confidence": number,
        **dict.fromkeys(("timing_quality", "format"), text),
        "duration_s": number,
        **dict.fromkeys(("n_turns", "n_client_turns", "n_therapist_turns", "n_abstained"), whole),
        "abstained": _structs(reason=text, n_turns=whole),
        **dict.fromkeys(RATINGS, number),
        **{f"{pillar}_strain": number for pillar in PILLARS},
        **{f"{pillar}_strengths": whole for pillar in PILLARS},
        **{f"n_{name}": whole for name in ("moments", *OUTCOMES, "strained_turns")},
        "markers": _structs(marker=text, n_turns=whole),
        "moments": _structs(**moment),
        "features_unavailable": _list(text),
        "notes": _list(text),
        **dict.fromkeys(
            ("transcript_sha256", "checkpoint", "checkpoint_sha256", "codebook", "code", "backend"),
            text,
        ),
        "report": text,
    }
    if part:
        fields |= {"problem_code": text, "problem_reason": text, "problem_line": pa.int64()}
    return pa.schema(fields, metadata={SCHEMA_KEY: SCHEMA})


def _structs(**fields: Any) -> Any:
    import pyarrow as pa

    return _list(pa.struct(fields))


def _list(kind: Any) -> Any:
    """A list as Parquet itself names it, so that a file is read with the schema it was given."""
    import pyarrow as pa

    return pa.list_(pa.field("element", kind))


def row_of(session: Session, key: bytes, report: Report, *, keeps_text: bool) -> dict[str, Any]:
    """The row of a session that was scored. Lists are in order, so that equal input is equal."""
    abstained = Counter(turn.abstained for turn in report.turns if turn.abstained)
    return {
        **named(session, key),
        "roles_source": report.roles.source,
        "roles_confidence": report.roles.confidence,
        "timing_quality": report.timing_quality.value,
        "n_abstained": sum(abstained.values()),
        "abstained": [{"reason": r, "n_turns": n} for r, n in sorted(abstained.items())],
        **figures(report),
        "features_unavailable": list(report.features_unavailable),
        "notes": list(report.notes),
        **_provenance(report),
        "report": _as_json(report, keeps_text=keeps_text),
    }


def named(session: Session, key: bytes) -> dict[str, Any]:
    """What is known of a session before it is scored."""
    return {
        "key": key,
        "session_id": session.session_id or None,
        "client_id": session.client_id,
        "session_number": session.session_number,
        "source": session.source,
        "line": session.line,
        "attendance": session.attendance,
    }


def figures(report: Report) -> dict[str, Any]:
    """The report's flat figures and short lists, without a word that was said.

    `duration_s` is from the first turn's start to the last end, None without a clock that says
    where speech ends; `n_strained_turns` the client's turns that stand in a moment.
    """
    session = report.session
    outcomes = Counter(moment.resolution for moment in report.moments)
    roles = Counter(turn.role.value for turn in report.turns)
    return {
        "duration_s": duration_s(report),
        "n_turns": len(report.turns),
        "n_client_turns": roles["client"],
        "n_therapist_turns": roles["therapist"],
        **{name: _rounded(getattr(session, name)) for name in RATINGS},
        **{f"{pillar}_strain": _rounded(session.pillars[pillar]["strain"]) for pillar in PILLARS},
        **{f"{pillar}_strengths": session.pillars[pillar]["strengths"] for pillar in PILLARS},
        "n_moments": len(report.moments),
        **{f"n_{outcome}": outcomes[outcome] for outcome in OUTCOMES},
        "n_strained_turns": sum(len(moment.turn_indexes) for moment in report.moments),
        "markers": _markers(report),
        "moments": [_moment(report, moment) for moment in report.moments],
    }


def duration_s(report: Report) -> float | None:
    """Seconds from the first turn's start to the last end; None where the clock does not say."""
    starts = [turn.start_s for turn in report.turns if turn.start_s is not None]
    ends = [turn.end_s for turn in report.turns if turn.end_s is not None]
    if not starts or not ends or not report.timing_quality.has_ends:
        return None
    length = max(ends) - min(starts)
    return _rounded(length) if length > 0 else None


def _rounded(value: float | int | None) -> float | None:
    return None if value is None else round(float(value), 4)


def _markers(report: Report) -> list[dict[str, Any]]:
    """Turns that carry each marker, by name; a turn that carries it twice counts once."""
    found = Counter(
        marker for turn in report.turns for marker in {finding.marker for finding in turn.markers}
    )
    return [{"marker": marker, "n_turns": n} for marker, n in sorted(found.items())]


def _moment(report: Report, moment: Moment) -> dict[str, Any]:
    kinds = load_codebook().markers
    answers = (
        finding.marker
        for index in moment.repair_turn_indexes
        for finding in report.turns[index].markers
        if kinds[finding.marker].kind in STRATEGY_KINDS
    )
    return {
        "kind": moment.kind,
        "start_s": _rounded(moment.start_s),
        "end_s": _rounded(moment.end_s),
        "score": _rounded(moment.score),
        "pillar": moment.pillar,
        "markers": list(moment.markers),
        "strategies": list(dict.fromkeys(answers)),
        "resolution": moment.resolution,
    }


def _provenance(report: Report) -> dict[str, str | None]:
    made = report.provenance
    names = ("transcript_sha256", "checkpoint", "checkpoint_sha256", "codebook", "code", "backend")
    return {"format": made.format, **{name: getattr(made, name) for name in names}}


def _as_json(report: Report, *, keeps_text: bool) -> str:
    """The report on one line; without text neither speech nor speakers' labels are in it."""
    found = report.to_dict()
    if not keeps_text:
        found["turns"] = [_silent(turn) for turn in found["turns"]]
        found["roles"] = {**found["roles"], "assigned": {}}
    return json.dumps(found, ensure_ascii=False, allow_nan=False)


def _silent(turn: Mapping[str, Any]) -> dict[str, Any]:
    return {**turn, "text": "", "speaker": None}
