"""The detector's own marks as annotations of pass "model", for people to look over."""

from collections.abc import Iterator, Mapping
from typing import Any

from detector.annotation import CODED_KINDS, SEEN, Annotation, Labels
from detector.codebook import load_codebook
from detector.report import Report
from detector.transcript import Transcript
from training.labels.codings import context_of


def predictions(transcripts: Mapping[str, Transcript], checkpoint: str | None = None) -> Labels:
    """Every marker that people code and the detector found, on every turn of every session.

    Args:
        transcripts: by session id, roles assigned.
        checkpoint: as of Detector.load.

    Raises: DetectorError, ModelError: a session or the checkpoint cannot be used.
    """
    from detector.pipeline import Detector

    detector = Detector.load(checkpoint)
    return Labels(
        tuple(
            one
            for session_id, transcript in transcripts.items()
            for one in annotations_of(detector.analyze(transcript), session_id, transcript)
        )
    )


def annotations_of(report: Report, session_id: str, transcript: Transcript) -> Iterator[Annotation]:
    """What one report says of its turns."""
    made = report.provenance
    shared: dict[str, Any] = {
        "session_id": session_id,
        "coder": made.checkpoint,
        "stage": "model",
        "codebook_version": made.codebook,
        "transcript_sha256": made.transcript_sha256,
    }
    yield Annotation(unit_type="session", unit_index=0, code=SEEN, **shared)
    coded = set(load_codebook().of_kind(*CODED_KINDS))
    for turn in report.turns:
        found: dict[str, float] = {}
        pillars: dict[str, str | None] = {}
        for marker in turn.markers:
            if marker.marker in coded and marker.score >= found.get(marker.marker, 0.0):
                found[marker.marker] = min(marker.score, 1.0)
                pillars[marker.marker] = marker.pillar
        for code, score in found.items():
            yield Annotation(
                unit_type="turn",
                unit_index=turn.index,
                code=code,
                confidence=round(score, 6),
                pillar=pillars[code],
                **shared,
                **context_of(transcript.turns[turn.index]),
            )
