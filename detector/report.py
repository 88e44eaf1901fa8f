"""What we say about a session: frozen values, one versioned JSON form, rows for tables.

`report.schema.json` beside this file is the published JSON Schema of `Report.to_json`.
"""

import collections.abc
import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from detector.transcript import Role, TimingQuality

SCHEMA = "rupture-report/1"

Attendance = Literal["attended", "late", "cancelled", "no_show"]
ATTENDANCE: tuple[str, ...] = get_args(Attendance)
"""How the client came to the session, as the platform's metadata says."""

LABELS = ("withdrawal", "confrontation", "rupture", "resolution", "contribution")
"""What every turn is scored for. The first three speak of the client, the last two of the
therapist; `rupture` is withdrawal or confrontation."""

CLIENT_LABELS = ("withdrawal", "confrontation", "rupture")
THERAPIST_LABELS = ("resolution", "contribution")

RATINGS = ("withdrawal", "confrontation", "resolution", "contribution")
"""What a session is rated for, each 1..5 as in the 3RS."""

Scores = Mapping[str, float | None]
"""Calibrated probability 0..1 by label; 0 where the label is not this speaker's to show, None
where the turn is abstained from."""


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a turn's text, `[start, end)` in Unicode code points."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MarkerFinding:
    """A codebook marker on one turn.

    `score` is this marker's share of the turn's score for its label, 0..1; a marker whose kind
    has no label has the share of such findings that training labels confirm. `pillar` is
    the strained part of the alliance, None where none is. `spans` may be empty where the
    source is not the text. `source` is rule, network, timing or dialogue. `pattern_ids` name
    the rules.
    """

    marker: str
    score: float
    pillar: str | None
    spans: tuple[Span, ...]
    source: str
    pattern_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason for one score: a named feature of the scorer, its value and its weight's pull.

    `feature` says which source spoke: `hit.` a rule or the clock by a marker, `said.`, `before.`,
    `after.` the words, `time.` the clock, `network.` the network, whose `value` is its own
    log-odds of the label. `contribution` is in log-odds: positive speaks for the label.
    """

    label: str
    feature: str
    value: float
    contribution: float


@dataclass(frozen=True, slots=True)
class TurnReport:
    """One turn with its scores. Times in seconds, None where the file has no clock.

    `abstained` says why the turn has no scores, or is None. `timing` holds the measures of
    detector.timing by name; None where the clock does not support one.
    """

    index: int
    cue_ids: tuple[str, ...]
    speaker: str | None = field(repr=False)
    role: Role
    start_s: float | None
    end_s: float | None
    text: str = field(repr=False)
    scores: Scores
    markers: tuple[MarkerFinding, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    timing: Mapping[str, float | None] = field(default_factory=dict)
    abstained: str | None = None


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """A window of whole turns. `significance` is on the 3RS scale, 1..5; None: nothing heard."""

    index: int
    start_s: float | None
    end_s: float | None
    turn_indexes: tuple[int, ...]
    scores: Scores
    significance: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Moment:
    """A rupture episode and the repair that answers it.

    `kind` is withdrawal, confrontation or mixed. `score` is that of its highest turn.
    `resolution` is repaired, partly or unrepaired; `repair_turn_indexes` are the turns that
    say so. `summary` is made of codebook titles, never of speech.
    """

    kind: str
    turn_indexes: tuple[int, ...]
    start_s: float | None
    end_s: float | None
    score: float
    markers: tuple[str, ...]
    pillar: str | None
    resolution: str
    repair_turn_indexes: tuple[int, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class Strength:
    """A sign of a good alliance: clarity about goal or task, or warmth in the bond."""

    marker: str
    pillar: str | None
    turn_index: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class SessionReport:
    """The whole session on the 3RS scale, 1..5 each; None where its speaker has no scored turn.

    `pillars` give, for goal, task and bond, `strain` (expected share of the client's turns
    that strain it, 0..1) and `strengths` (how many signs of strength were found).
    `attendance` is attended, late, cancelled, no_show, or None where nobody said.
    """

    withdrawal: float | None
    confrontation: float | None
    resolution: float | None
    contribution: float | None
    pillars: Mapping[str, Mapping[str, float | int | None]]
    attendance: str | None = None


@dataclass(frozen=True, slots=True)
class Roles:
    """Who is who: `assigned` maps speaker labels to roles.

    `source` is given, labelled or inferred; `confidence` is 0..1 where inferred, else None.
    """

    assigned: Mapping[str, Role] = field(repr=False)
    source: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made this report: the same values give the same bytes.

    `checkpoint` is the name of the network's checkpoint and `checkpoint_sha256` that of its
    `files.json`; without a network they are those of the rules' weights. `backend` is what the
    network ran on; None where there was none.
    """

    checkpoint: str
    checkpoint_sha256: str
    codebook: str
    code: str
    transcript_sha256: str
    format: str
    flag_threshold: float
    """Rupture score from which a turn is part of a moment."""
    backend: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One session's report. `to_json` is its published form."""

    session: SessionReport
    turns: tuple[TurnReport, ...]
    segments: tuple[SegmentReport, ...]
    moments: tuple[Moment, ...]
    strengths: tuple[Strength, ...]
    timing_quality: TimingQuality
    features_unavailable: tuple[str, ...]
    roles: Roles
    notes: tuple[str, ...]
    provenance: Provenance
    limits: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, numbers rounded, in the published order."""
        return {"schema": SCHEMA, **_plain(self)}

    def to_json(self, *, indent: int | None = 2) -> str:
        """The report as JSON text that ends with a newline; NaN never occurs in it."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=indent, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "Report":
        """The report that `to_dict` gave, for instance after it was kept as JSON.

        Raises: ValueError: another schema, or a field is missing.
        """
        if found.get("schema") != SCHEMA:
            raise ValueError(f"is no {SCHEMA}")
        try:
            report: Report = _typed(cls, found)
        except (KeyError, TypeError):
            # The cause would quote the report.
            raise ValueError(f"is no whole {SCHEMA}") from None
        return report

    def to_rows(self) -> list[dict[str, Any]]:
        """One flat row a turn × label: what `datasets.Dataset.from_list` or a data frame takes.

        A score that is None was abstained from: not seen is not the same as not there.
        """
        return list(self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        for turn in self.turns:
            for label in LABELS:
                yield _plain(
                    {
                        "transcript_sha256": self.provenance.transcript_sha256,
                        "turn_index": turn.index,
                        "cue_ids": "|".join(turn.cue_ids),
                        "speaker": turn.speaker,
                        "role": turn.role,
                        "start_s": turn.start_s,
                        "end_s": turn.end_s,
                        "text": turn.text,
                        "label": label,
                        "score": turn.scores[label],
                        "markers": "|".join(finding.marker for finding in turn.markers),
                        "abstained": turn.abstained,
                        "checkpoint": self.provenance.checkpoint,
                        "codebook": self.provenance.codebook,
                    }
                )

    def _repr_html_(self) -> str:
        """The report's page, for a notebook."""
        from detector.page import render_for_notebook

        return render_for_notebook(self)


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _typed(kind: Any, value: Any) -> Any:
    """What `_plain` made plain, as the kind it was; names that a newer version added are left."""
    read = _reader(kind)
    return value if read is None or value is None else read(value)


@functools.cache
def _reader(kind: Any) -> Callable[[Any], Any] | None:
    """How a kind is read from its plain value; None: the plain value is it already.

    Told once a kind and not once a value, of which a long session has a hundred thousand.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _reader(next(one for one in inner if one is not type(None)))
    if origin is tuple:
        return lambda value: tuple(_typed(inner[0], one) for one in value)
    if origin is collections.abc.Mapping:
        if _reader(inner[1]) is None:
            return dict
        return lambda value: {key: _typed(inner[1], one) for key, one in value.items()}
    if not isinstance(kind, type):
        return None
    if dataclasses.is_dataclass(kind):
        return functools.partial(_instance, kind)
    return kind if issubclass(kind, enum.Enum) else None


def _instance(kind: type, value: Mapping[str, Any]) -> Any:
    given = {}
    for name, read in _fields(kind):
        if name in value:
            one = value[name]
            given[name] = one if read is None or one is None else read(one)
    return kind(**given)


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    return tuple((name, _reader(hint)) for name, hint in typing.get_type_hints(kind).items())


def _plain(value: Any) -> Any:
    """Objects for values, lists for tuples; numbers rounded to four places.

    Not `dataclasses.asdict`: it copies every text and number of a long session twice over.
    """
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(inner) for inner in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in _names(type(value))}
    return value
