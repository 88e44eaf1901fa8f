"""Amazon Transcribe Call Analytics: whole milliseconds, and turns that may overlap."""

from detector.formats.element import Element, is_object, peek, spoken
from detector.formats.source import Reader, Reading, Source
from detector.transcript import Cue

_MS = 1000.0


def recognises(source: Source) -> bool:
    """`Transcript` whose first turn has a content and a participant's role."""
    return is_object(peek(source.document, "Transcript", 0), "Content", "ParticipantRole")


def read(source: Source) -> Reading:
    """Reads every turn as one cue.

    AGENT and CUSTOMER are kept as speakers only. They are no roles of a therapy: who called
    whom does not say who is the therapist.
    """
    reading = Reading()
    turns = Element(source.document).elements("Transcript")
    for place, turn, text in spoken(reading, turns, "Content"):
        start = turn.seconds("BeginOffsetMillis", per_second=_MS)
        end = turn.seconds("EndOffsetMillis", per_second=_MS)
        words = tuple(
            item.word(reading, ("Content",), "BeginOffsetMillis", "EndOffsetMillis", _MS)
            for item in turn.elements("Items")
            if item.has("BeginOffsetMillis")
        )
        cue_id = turn.label("Id") or place
        speaker = turn.label("ParticipantRole")
        reading.add(Cue(cue_id, speaker, text, *reading.span(start, end, turn), words=words))
    return reading


READERS = (
    Reader(
        name="aws_call_analytics",
        title="Amazon Transcribe Call Analytics JSON",
        recognises=recognises,
        read=read,
        example='{"Transcript": [{"ParticipantRole": "AGENT", "BeginOffsetMillis": 1000, '
        '"EndOffsetMillis": 2500, "Content": "…"}]}',
    ),
)
