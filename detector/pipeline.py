"""One transcript through the house: read, measure, find, score, link, report."""

import dataclasses
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from detector import segmentation
from detector.codebook import PILLARS, Codebook
from detector.episodes import find_moments, pillar_shares, stretches
from detector.features import ReadSession, is_scored, read_session, technical_turns
from detector.markers import MarkerRules
from detector.network import NetworkReader, NetworkReading
from detector.report import (
    ATTENDANCE,
    LABELS,
    Moment,
    Provenance,
    Report,
    Roles,
    SegmentReport,
    SessionReport,
    Strength,
    TurnReport,
)
from detector.roles import assign_roles, is_english
from detector.scoring import ScoredSession, score_session
from detector.timing import COLUMNS, read_clock
from detector.transcript import Role, Segment, Transcript, Turn
from detector.weights import Weights, load_weights, read_weights
from models import Checkpoint, list_checkpoints, load_checkpoint

RULES = "rules"
"""Name that stands for the rules-and-timing scorer alone, without a network."""

LIMITS = (
    "Decision support about interaction behaviour in the text. It does not diagnose, does not "
    "detect emotions, is not monitored for crisis or risk, and does not rate the therapist.",
    "The labels it learned from come from a language model under our codebook, adjudicated; no "
    "clinician has checked them. The sessions were demonstrations of motivational interviewing "
    "and invented dialogues.",
    "Directness, deference and silence differ between people and cultures: a flagged moment may "
    "be worth a look, and may be nothing.",
)
"""What every report says of itself."""


class Detector:
    """Scores sessions. Build it once with `load`; it holds no state between sessions."""

    def __init__(
        self, rules: MarkerRules, weights: Weights, network: NetworkReader | None = None
    ) -> None:
        self._rules = rules
        self._weights = weights
        self._network = network

    @classmethod
    def load(
        cls, checkpoint: str | None = None, *, backend: str = "cpu", threads: int | None = None
    ) -> "Detector":
        """The detector with the rules of this version of the code, and a checkpoint's network.

        Args:
            checkpoint: a name in the registry, or a folder; "rules" for the rules and timing
                alone. None: the registry's current checkpoint, and the rules where it has none.
            backend: what the network runs on, one of models.runtime.BACKENDS.
            threads: that the network may use; None leaves it to the backend (all cores).

        Raises: CodebookError: a rule or weight file is broken.
            ModelError: the checkpoint is unknown, broken or made for something else, or a library
                that it needs is not installed.
        """
        rules = MarkerRules()
        found = _open(checkpoint, backend, threads)
        if found is None:
            return cls(rules, load_weights())
        weights = read_weights(found.scoring, file=f"{found.name}/scoring.toml")
        named = dataclasses.replace(weights, name=found.name, sha256=found.sha256)
        return cls(rules, named, NetworkReader(found.network, rules.codebook))

    @property
    def codebook(self) -> Codebook:
        """The codebook that the reports' markers come from."""
        return self._rules.codebook

    def analyze(
        self,
        transcript: Transcript,
        *,
        roles: Mapping[str, str] | None = None,
        therapist: str | None = None,
        attendance: str | None = None,
        window_s: float = segmentation.WINDOW_S,
    ) -> Report:
        """One session's report.

        Args:
            transcript: what `read_transcript` gave.
            roles: who is who by speaker label, roles or their names; wins over everything else.
            therapist: label of the therapist, where there are two speakers.
            attendance: one of ATTENDANCE, from the platform's metadata.
            window_s: seconds of a segment; the 3RS uses five minutes.

        Raises: UnknownRole: nobody said who the therapist is, and the talk does not tell it.
            ValueError: an unknown attendance, or a role of no such name.
        """
        if attendance is not None and attendance not in ATTENDANCE:
            raise ValueError(f"attendance must be one of {', '.join(ATTENDANCE)}")
        assignment = assign_roles(transcript, role_map=roles, therapist=therapist)
        scored = self.score(assignment.transcript)
        assigned = Roles(assignment.roles, assignment.source, assignment.confidence)
        segments = segmentation.split(scored.read.turns, window_s=window_s)
        backend = self._network.backend if self._network else None
        return _report(scored, assigned, segments, attendance, backend)

    def score(self, transcript: Transcript) -> ScoredSession:
        """The scores behind a report, for a transcript whose roles are assigned."""
        read = read_session(transcript, self._rules)
        abstained = _abstentions(read)
        if self._network is None:
            return score_session(read, self._weights, self.codebook, abstained=abstained)
        said = self._network.read(read)
        scored = score_session(
            read, self._weights, self.codebook, abstained=abstained, network=said
        )
        return _with_network_findings(scored, self._network, said)


def _open(checkpoint: str | None, backend: str, threads: int | None) -> Checkpoint | None:
    """The checkpoint that is asked for; None for the rules alone."""
    if checkpoint == RULES:
        return None
    if checkpoint is None and not any(entry.is_current for entry in list_checkpoints()):
        return None
    return load_checkpoint(checkpoint, backend=backend, threads=threads)


def _with_network_findings(
    scored: ScoredSession, network: NetworkReader, said: NetworkReading
) -> ScoredSession:
    """The session with what only the network found, on turns that belong to a moment.

    Such a turn is flagged, and no rule or clock names a marker of the kind it scores highest on.
    Elsewhere words are not looked for: each costs another reading of its turn.
    """
    findings, kinds = list(scored.findings), scored.codebook.markers
    turns, flag = scored.read.turns, scored.weights.flag_threshold
    for stretch in stretches(turns, scored.scores["rupture"], flag, scored.abstained):
        for index in (turn.index for turn in stretch):
            score = {k: float(scored.scores[k][index]) for k in ("withdrawal", "confrontation")}
            kind = max(score, key=lambda label: score[label])
            if all(kinds[found.marker].kind != kind for found in findings[index]):
                found = network.finding(scored.read, said, index, kind, score[kind])
                findings[index] = (*findings[index], found)
    return dataclasses.replace(scored, findings=tuple(findings))


def _abstentions(read: ReadSession) -> dict[int, str]:
    """Turns that get no score, with the reason."""
    if not is_english(turn.text for turn in read.turns):
        return dict.fromkeys(range(len(read.turns)), "not English, as far as the words tell")
    reasons = {}
    for turn, spoken in zip(read.turns, read.spoken, strict=True):
        words = [word.text for word in spoken.words]
        if not is_scored(turn):
            reasons[turn.index] = f"the speaker's role is {turn.role}"
        elif "[inaudible]" in words and spoken.n_words == 0:
            reasons[turn.index] = "inaudible"
        elif not words:
            reasons[turn.index] = "no words"
    return reasons


def _report(
    scored: ScoredSession,
    roles: Roles,
    segments: Sequence[Segment],
    attendance: str | None,
    backend: str | None,
) -> Report:
    transcript, weights = scored.read.transcript, scored.weights
    clock = read_clock(transcript)
    moments = find_moments(scored)
    return Report(
        session=_session(scored, attendance),
        turns=tuple(_turn(scored, turn, moments) for turn in scored.read.turns),
        segments=tuple(_segment(scored, segment) for segment in segments),
        moments=moments,
        strengths=tuple(_strengths(scored)),
        timing_quality=transcript.timing_quality,
        features_unavailable=clock.unavailable,
        roles=roles,
        notes=_notes(scored, clock.reasons, attendance),
        provenance=Provenance(
            checkpoint=weights.name,
            checkpoint_sha256=weights.sha256,
            codebook=scored.codebook.version,
            code=code_version(),
            transcript_sha256=transcript.sha256,
            format=transcript.format,
            flag_threshold=weights.flag_threshold,
            backend=backend,
        ),
        limits=LIMITS,
    )


def code_version() -> str:
    """The installed version, or "unknown" where the code is not installed."""
    try:
        return version("rupture-detector")
    except PackageNotFoundError:
        return "unknown"


def _turn(scored: ScoredSession, turn: Turn, moments: Sequence[Moment]) -> TurnReport:
    abstained = scored.abstained.get(turn.index)
    row = scored.read.timing[turn.index]
    named = {name: float(value) for name, value in zip(COLUMNS, row, strict=True)}
    return TurnReport(
        index=turn.index,
        cue_ids=turn.cue_ids,
        speaker=turn.speaker,
        role=turn.role,
        start_s=turn.start_s,
        end_s=turn.end_s,
        text=turn.text,
        scores={
            label: None if abstained else float(scored.scores[label][turn.index])
            for label in LABELS
        },
        markers=() if abstained else scored.findings[turn.index],
        evidence=() if abstained else scored.evidence(turn.index),
        timing={name: None if value != value else value for name, value in named.items()},
        abstained=abstained,
    )


def _segment(scored: ScoredSession, segment: Segment) -> SegmentReport:
    """Scores of a window: the chance that at least one of its turns carries the label.

    Turns are taken as independent, which ruptures are not: use it to compare segments. None
    where no turn is scored of the speaker who could show the label: not heard is not "no".
    """
    kept = [index for index in segment.turn_indexes if index not in scored.abstained]
    scores: dict[str, float | None] = dict.fromkeys(LABELS)
    for label in LABELS:
        if scored.is_heard(label, kept):
            scores[label] = float(1.0 - (1.0 - scored.scores[label][kept]).prod())
    return SegmentReport(
        index=segment.index,
        start_s=segment.start_s,
        end_s=segment.end_s,
        turn_indexes=segment.turn_indexes,
        scores=scores,
        significance={
            label: scored.rating(label, segment.turn_indexes)
            for label in ("withdrawal", "confrontation")
        },
    )


def _session(scored: ScoredSession, attendance: str | None) -> SessionReport:
    clients = [
        turn.index
        for turn in scored.read.turns
        if turn.role is Role.CLIENT and turn.index not in scored.abstained
    ]
    strain = dict.fromkeys(PILLARS, 0.0)
    for index in clients:
        for pillar, share in pillar_shares(scored, index).items():
            strain[pillar] += share * float(scored.scores["rupture"][index]) / len(clients)
    strengths = list(_strengths(scored))
    return SessionReport(
        withdrawal=scored.rating("withdrawal"),
        confrontation=scored.rating("confrontation"),
        resolution=scored.rating("resolution"),
        contribution=scored.rating("contribution"),
        pillars={
            pillar: {
                "strain": strain[pillar] if clients else None,
                "strengths": sum(strength.pillar == pillar for strength in strengths),
            }
            for pillar in PILLARS
        },
        attendance=attendance,
    )


def _strengths(scored: ScoredSession) -> list[Strength]:
    kinds = scored.codebook.markers
    return [
        Strength(finding.marker, finding.pillar, index, finding.spans)
        for index, found in enumerate(scored.findings)
        for finding in found
        if kinds[finding.marker].kind == "strength" and index not in scored.abstained
    ]


def _notes(
    scored: ScoredSession, clock_reasons: Sequence[str], attendance: str | None
) -> tuple[str, ...]:
    transcript = scored.read.transcript
    notes = [*transcript.notes, *clock_reasons]
    if transcript.dropped:
        reasons = ", ".join(sorted({dropped.reason for dropped in transcript.dropped}))
        notes.append(f"{len(transcript.dropped)} parts of the file are not speech: {reasons}.")
    if n_technical := len(technical_turns(scored.read.hits, scored.codebook)):
        notes.append(
            f"The connection is spoken of (freezing, lag, sound) in {_turns(n_technical)}; no "
            "silence is measured there or beside it."
        )
    if scored.abstained:
        reasons = "; ".join(sorted(set(scored.abstained.values())))
        notes.append(f"Not scored, in {_turns(len(scored.abstained))}: {reasons}.")
    if attendance in ("late", "cancelled", "no_show"):
        notes.append(
            "Attendance is given as "
            f"{attendance.replace('_', '-')}: it may be a withdrawal, or practical; worth asking."
        )
    return tuple(dict.fromkeys(notes))


def _turns(n_turns: int) -> str:
    return "1 turn" if n_turns == 1 else f"{n_turns} turns"
