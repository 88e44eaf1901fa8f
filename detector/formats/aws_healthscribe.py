"""AWS HealthScribe: the one recogniser that labels who is the clinician and who the patient.

Times are seconds in batch output. (The streaming API's reference says milliseconds for the same
keys; streaming events have another shape, which is not read here.)
"""

import bisect
import re

from detector.formats.element import Element, peek, spoken
from detector.formats.source import Reader, Reading, Source
from detector.formats.words import fits
from detector.transcript import Cue, Role, Word

_ROLES = {"CLINICIAN": Role.THERAPIST, "PATIENT": Role.CLIENT}
"""Amazon's two roles; `CLINICIAN_0`, `CLINICIAN_1` where there are several of one."""


def recognises(source: Source) -> bool:
    """`Conversation` with `TranscriptSegments`."""
    return isinstance(peek(source.document, "Conversation", "TranscriptSegments"), list)


def read(source: Source) -> Reading:
    """Reads every segment as one cue, with the role that its participant is labelled with."""
    reading = Reading()
    conversation = Element(source.document).child("Conversation")
    words = _read_words(reading, conversation.elements("TranscriptItems"))
    starts = [word.start_s or 0.0 for word in words]
    segments = conversation.elements("TranscriptSegments")
    for place, segment, text in spoken(reading, segments, "Content"):
        start, end = segment.seconds("BeginAudioTime"), segment.seconds("EndAudioTime")
        own = tuple(words[bisect.bisect_left(starts, start) : bisect.bisect_left(starts, end)])
        speaker = _read_participant(segment)
        reading.add(
            Cue(
                segment.label("SegmentId") or place,
                speaker,
                text,
                *reading.span(start, end, segment),
                # Taken by their times alone, so that they are believed only if they spell the text.
                words=own if fits(own, text) else (),
                role=_ROLES.get(re.sub(r"_[0-9]+$", "", speaker or ""), Role.UNKNOWN),
            )
        )
    return reading


def _read_participant(segment: Element) -> str | None:
    details = segment.child("ParticipantDetails")
    return None if details.value is None else details.label("ParticipantRole")


def _read_words(reading: Reading, items: list[Element]) -> list[Word]:
    """Words in the order of their starts; punctuation has no times and is left out."""
    words = []
    for item in items:
        alternatives = item.elements("Alternatives")
        if item.has("BeginAudioTime") and alternatives and item.label("Type") != "punctuation":
            start, end = item.clock("BeginAudioTime"), item.clock("EndAudioTime")
            text = alternatives[0].text("Content")
            words.append(Word(text, *reading.span(start, end, item)))
    return sorted(words, key=lambda word: word.start_s or 0.0)


READERS = (
    Reader(
        name="aws_healthscribe",
        title="AWS HealthScribe transcript JSON",
        recognises=recognises,
        read=read,
        example='{"Conversation": {"TranscriptSegments": [{"BeginAudioTime": 1.0, '
        '"EndAudioTime": 2.5, "Content": "…", '
        '"ParticipantDetails": {"ParticipantRole": "CLINICIAN"}}]}}',
    ),
)
