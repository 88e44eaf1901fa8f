"""Vonage (OpenTok) post-call transcription: one channel for each person's stream.

Not verified: the vendor documents that a JSON file comes, not its fields. These are taken from
a constructed example, and a note in the result says so.
"""

from detector.formats.element import Element, is_object, peek, spoken
from detector.formats.source import Reader, Reading, Source
from detector.transcript import Cue

UNVERIFIED = "Vonage's layout was not checked against a real file; compare a few cues."


def recognises(source: Source) -> bool:
    """`channels` with a `transcript` list of sentences; Deepgram's channels lie elsewhere."""
    channels = peek(source.document, "channels")
    if not isinstance(channels, list):
        return False
    firsts = [peek(channel, "transcript", 0) for channel in channels]
    return any(is_object(first, "sentence") for first in firsts)


def read(source: Source) -> Reading:
    """Reads every final sentence as one cue; the channel's place, from 0, is the speaker."""
    reading = Reading(notes=[UNVERIFIED])
    for speaker, channel in enumerate(Element(source.document).elements("channels")):
        sentences = channel.child("transcript").items()
        for place, sentence, text in spoken(reading, sentences, "sentence"):
            if sentence.child("is_final").value is False:
                reading.drop(str(sentence), "not final")
                continue
            start, end = reading.span(
                sentence.seconds("start_ms", per_second=1000),
                sentence.seconds("end_ms", per_second=1000),
                sentence,
            )
            reading.add(Cue(f"{speaker}.{place}", str(speaker), text, start, end))
    reading.cues.sort(key=lambda cue: cue.start_s or 0.0)
    return reading


READERS = (
    Reader(
        name="vonage",
        title="Vonage (OpenTok) transcription JSON, not verified",
        recognises=recognises,
        read=read,
        example='{"channels": [{"transcript": [{"sentence": "…", "start_ms": 1000, '
        '"end_ms": 2500}]}]}',
    ),
)
