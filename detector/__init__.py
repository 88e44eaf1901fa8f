"""What a session is, and what we say about it.

    from detector import Detector, read_transcript

    report = Detector.load().analyze(read_transcript(Path("session.vtt")))

Nothing heavy is imported until it is used.
"""

from typing import TYPE_CHECKING, Any

from detector.errors import (
    AnnotationError,
    CodebookError,
    DetectorError,
    EmptyTranscript,
    MalformedTranscript,
    MissingTiming,
    TranscriptError,
    TranscriptTooLarge,
    UnknownFormat,
    UnknownRole,
)
from detector.formats import read_transcript
from detector.transcript import Cue, Role, Segment, TimingQuality, Transcript, Turn, Word

if TYPE_CHECKING:
    from detector.pipeline import Detector
    from detector.report import Report

__all__ = [
    "AnnotationError",
    "CodebookError",
    "Cue",
    "Detector",
    "DetectorError",
    "EmptyTranscript",
    "MalformedTranscript",
    "MissingTiming",
    "Report",
    "Role",
    "Segment",
    "TimingQuality",
    "Transcript",
    "TranscriptError",
    "TranscriptTooLarge",
    "Turn",
    "UnknownFormat",
    "UnknownRole",
    "Word",
    "read_transcript",
]


def __getattr__(name: str) -> Any:
    """Detector and Report on first use: their numbers and rules cost import time."""
    if name == "Detector":
        from detector.pipeline import Detector

        return Detector
    if name == "Report":
        from detector.report import Report

        return Report
    raise AttributeError(f"module 'detector' has no attribute {name!r}")
