"""Twilio Voice Intelligence: one page of a transcript's Sentences.

Times and confidences are numbers written as strings; a sentence belongs to a channel, and one
person speaks on each. The list comes in pages.
"""

from detector.formats.element import Element, is_object, peek, spoken
from detector.formats.source import Reader, Reading, Source
from detector.transcript import Cue

NEXT_PAGE = "This is one page of the transcript: more sentences follow it in the next page."
EARLIER_PAGE = "This is not the first page of the transcript: sentences come before it."


def recognises(source: Source) -> bool:
    """`sentences` whose first has a channel and a transcript, or none at all beside `meta`."""
    sentences = peek(source.document, "sentences")
    if sentences == []:
        return isinstance(peek(source.document, "meta"), dict)
    return is_object(peek(sentences, 0), "transcript", "media_channel")


def read(source: Source) -> Reading:
    """Reads every sentence as one cue; the channel is the speaker."""
    document = Element(source.document)
    reading = Reading()
    for place, sentence, text in spoken(reading, document.elements("sentences"), "transcript"):
        start, end = reading.span(
            sentence.seconds("start_time"), sentence.seconds("end_time"), sentence
        )
        cue_id = sentence.label("sid") or place
        words = tuple(
            word.word(reading, ("word", "text"), "start_time", "end_time")
            for word in sentence.elements("words")
        )
        reading.add(Cue(cue_id, sentence.label("media_channel"), text, start, end, words))
    reading.notes.extend(_page_notes(source.document))
    return reading


def _page_notes(document: object) -> list[str]:
    notes = [NEXT_PAGE] if peek(document, "meta", "next_page_url") else []
    if peek(document, "meta", "previous_page_url"):
        notes.append(EARLIER_PAGE)
    return notes


READERS = (
    Reader(
        name="twilio",
        title="Twilio Voice Intelligence sentences",
        recognises=recognises,
        read=read,
        example='{"sentences": [{"media_channel": 1, "start_time": "1.0", "end_time": "2.5", '
        '"transcript": "…"}]}',
    ),
)
