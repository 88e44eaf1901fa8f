"""What can go wrong between a file and a report.

    DetectorError
    ├── TranscriptError            the input; the caller can mend it
    │   ├── UnknownFormat          no reader knows this content
    │   ├── MalformedTranscript    a reader knows it, and one place in it is broken
    │   ├── TranscriptTooLarge     more bytes or cues than the stated limit
    │   ├── EmptyTranscript        nothing was said in it
    │   ├── UnknownRole            who is the therapist cannot be told safely
    │   └── MissingTiming          a caller asked for timing that the file does not carry
    ├── AnnotationError            a coder's label cannot be used as it is
    └── CodebookError              a pattern or a weight file of ours is wrong

Every argument is data (a line, an element, a count, a speaker label); the message is
built here and never from what somebody said.
"""

from collections.abc import Sequence

_MOST_NAMED = 12
_LONGEST_NAME = 80
"""What a message names of the speakers: a damaged file may take each line of speech for one."""


def _shortened(label: str) -> str:
    return label if len(label) <= _LONGEST_NAME else f"{label[:_LONGEST_NAME]}…"


class DetectorError(Exception):
    """Base of every error this room raises."""


class TranscriptError(DetectorError):
    """The transcript cannot be used as it is; the message says where and why."""


class UnknownFormat(TranscriptError):
    """No reader recognised the content.

    Args:
        tried: names of the readers that looked at it.
        reason: what the content looks like instead, if that could be told.
    """

    def __init__(self, tried: Sequence[str] = (), *, reason: str = "") -> None:
        self.tried = tuple(tried)
        self.reason = reason
        said = reason or "no known transcript format"
        listed = f" (tried: {', '.join(self.tried)})" if self.tried else ""
        super().__init__(f"{said}{listed}")


class MalformedTranscript(TranscriptError):
    """One place of a recognised file is broken.

    Args:
        reason: what is wrong, in words that quote nothing from the file.
        line: 1-based line, for text formats.
        element: path of the element, for structured formats, such as `utterances[3].start`.
    """

    def __init__(self, reason: str, *, line: int | None = None, element: str | None = None) -> None:
        self.reason = reason
        self.line = line
        self.element = element
        where = f"line {line}: " if line is not None else f"{element}: " if element else ""
        super().__init__(f"{where}{reason}")


class TranscriptTooLarge(TranscriptError):
    """The file holds more than the stated limit.

    Args:
        found: how much the file holds.
        limit: how much is accepted.
        unit: what is counted: "bytes", "cues", "characters in one turn".
    """

    def __init__(self, found: int, limit: int, unit: str) -> None:
        self.found = found
        self.limit = limit
        self.unit = unit
        super().__init__(f"{found:,} {unit}, and the limit is {limit:,}")


class EmptyTranscript(TranscriptError):
    """There is no speech in the file.

    Args:
        n_dropped: cues that were there and were dropped for a stated reason.
    """

    def __init__(self, n_dropped: int = 0) -> None:
        self.n_dropped = n_dropped
        dropped = f" ({n_dropped} cues dropped)" if n_dropped else ""
        super().__init__(f"no speech in the file{dropped}")


class UnknownRole(TranscriptError):
    """Nobody said who the therapist is, and the talk does not tell it safely.

    Args:
        speakers: the speaker labels found in the file.
        reason: why no role was assigned.
        confidence: of the best guess, 0..1, or None where there was none.
    """

    def __init__(
        self, speakers: Sequence[str], reason: str, confidence: float | None = None
    ) -> None:
        self.speakers = tuple(speakers)
        self.reason = reason
        self.confidence = confidence
        shown = [_shortened(speaker) for speaker in self.speakers[:_MOST_NAMED]]
        n_more = len(self.speakers) - len(shown)
        found = ", ".join(shown) + (f" and {n_more} more" if n_more else "") or "none"
        super().__init__(f"{reason}; speakers found: {found}")


class MissingTiming(TranscriptError):
    """The caller asked for a measure that this transcript's clock cannot carry.

    Args:
        measure: name of the measure.
        quality: the transcript's timing quality.
    """

    def __init__(self, measure: str, quality: str) -> None:
        self.measure = measure
        self.quality = quality
        super().__init__(f"{measure} needs better times than timing quality {quality!r}")


class AnnotationError(DetectorError):
    """A label, or a set of them, cannot be used as it is.

    Args:
        reason: what is wrong and what to do, from ids and codes alone.
        where: the file with its line or element, or what else tells the label.
    """

    def __init__(self, reason: str, *, where: str = "") -> None:
        self.reason = reason
        self.where = where
        super().__init__(f"{where}: {reason}" if where else reason)


class CodebookError(DetectorError):
    """A pattern, a code or a weight of our own files is wrong.

    Args:
        pattern_id: the entry at fault.
        reason: what is wrong with it.
    """

    def __init__(self, pattern_id: str, reason: str) -> None:
        self.pattern_id = pattern_id
        self.reason = reason
        super().__init__(f"{pattern_id}: {reason}")
