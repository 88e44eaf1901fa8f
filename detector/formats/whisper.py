"""Whisper's JSON and WhisperX's, from any of the programs that write them.

`segments[]` hold `start`, `end`, `text` and perhaps `words[]`. openai-whisper and faster-whisper
give words a `probability`, whisper-timestamped calls a word `text` and gives a `confidence`.
WhisperX adds speakers; a segment or a word may miss its speaker, and words made of digits or
signs miss their times (m-bain/whisperX issues 349, 460, 559).
"""

from detector.formats.element import Element, is_object, peek, spoken
from detector.formats.source import Reader, Reading, Source, labelled_role
from detector.transcript import Cue


def recognises(source: Source) -> bool:
    """`segments` whose first has a text and times, or none at all beside a language."""
    segments = peek(source.document, "segments")
    if segments == []:
        return isinstance(peek(source.document, "language"), str)
    first = peek(segments, 0)
    return is_object(first, "text", "start") or is_object(first, "text", "words")


def recognises_speakers(source: Source) -> bool:
    """Whisper's shape with WhisperX's marks: speakers, aligned scores or `word_segments`."""
    if not recognises(source):
        return False
    return is_object(source.document, "word_segments") or any(
        is_object(segment, "speaker") or is_object(peek(segment, "words", 0), "score")
        for segment in peek(source.document, "segments")
    )


def read(source: Source) -> Reading:
    """Reads every segment as one cue."""
    reading = Reading()
    segments = Element(source.document).elements("segments")
    for place, segment, text in spoken(reading, segments, "text"):
        reading.add(_read_segment(reading, segment, text, place))
    return reading


def _read_segment(reading: Reading, segment: Element, text: str, place: str) -> Cue:
    words = segment.elements("words")
    start, end = reading.span(segment.clock("start"), segment.clock("end"), segment)
    speaker = segment.label("speaker") or _speaker_of_words(words)
    return Cue(
        cue_id=segment.label("id") or place,
        speaker=speaker,
        text=text,
        start_s=start,
        end_s=end,
        words=tuple(word.word(reading, ("word", "text"), "start", "end") for word in words),
        role=labelled_role(speaker),
    )


def _speaker_of_words(words: list[Element]) -> str | None:
    """The speaker of a segment that names none, if all its labelled words agree on one."""
    speakers = {word.label("speaker") for word in words} - {None}
    return speakers.pop() if len(speakers) == 1 else None


READERS = (
    Reader(
        name="whisperx",
        title="WhisperX JSON",
        recognises=recognises_speakers,
        read=read,
        example='{"segments": [{"start": 1.0, "end": 2.5, "text": "…", "speaker": "SPEAKER_00"}]}',
    ),
    Reader(
        name="whisper",
        title="Whisper JSON (openai, faster-whisper, whisper-timestamped)",
        recognises=recognises,
        read=read,
        example='{"segments": [{"id": 0, "start": 1.0, "end": 2.5, "text": "…"}]}',
    ),
)
