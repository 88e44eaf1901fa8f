"""One transcript through the house: read, measure, find, score, link, report."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from detector import segmentation
from detector.codebook import PILLARS, Codebook
from detector.episodes import find_moments, pillar_shares
from detector.features import ReadSession, is_scored, read_session, technical_turns
from detector.markers import MarkerRules
from detector.report import (
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
from detector.weights import Weights, load_weights

ATTENDANCE = ("attended", "late", "cancelled", "no_show")
"""How the client came to the session, as the platform's metadata says."""

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

    def __init__(self, rules: MarkerRules, weights: Weights) -> None:
        self._rules = rules
        self._weights = weights

    @classmethod
    def load(cls) -> "Detector":
        """The detector with the rules and weights that this version of the code carries.

        Raises: CodebookError: a rule or weight file is broken.
        """
        return cls(MarkerRules(), load_weights())

    @property
    def codebook(self) -> Codebook:
        """The codebook that the reports' markers come from."""
        return self._rules.codebook

    def analyze(
        self,
        transcript: Transcript,
        *,
        roles: Mapping[str, Role] | None = None,
        therapist: str | None = None,
        attendance: str | None = None,
        window_s: float = segmentation.WINDOW_S,
    ) -> Report:
        """One session's report.

        Args:
            transcript: what `read_transcript` gave.
            roles: who is who by speaker label; wins over everything else.
            therapist: label of the therapist, where there are two speakers.
            attendance: one of ATTENDANCE, from the platform's metadata.
            window_s: seconds of a segment; the 3RS uses five minutes.

        Raises: UnknownRole: nobody said who the therapist is, and the talk does not tell it.
            ValueError: an unknown attendance.
        """
        if attendance is not None and attendance not in ATTENDANCE:
            raise ValueError(f"attendance must be one of {', '.join(ATTENDANCE)}")
        assignment = assign_roles(transcript, role_map=roles, therapist=therapist)
        scored = self.score(assignment.transcript)
        assigned = Roles(assignment.roles, assignment.source, assignment.confidence)
        segments = segmentation.split(scored.read.turns, window_s=window_s)
        return _report(scored, assigned, segments, attendance)

    def score(self, transcript: Transcript) -> ScoredSession:
        """The scores behind a report, for a transcript whose roles are assigned."""
        read = read_session(transcript, self._rules)
        return score_session(read, self._weights, self.codebook, abstained=_abstentions(read))


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
    scored: ScoredSession, roles: Roles, segments: Sequence[Segment], attendance: str | None
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
