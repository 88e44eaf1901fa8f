"""Azure speech to text: batch transcription (v3.x and 2024-11-15) and fast transcription.

Batch v3.x counts ticks of 100 ns, which its own documents write as floats, beside ISO 8601
durations; from 2024-11-15 both count milliseconds. Phrases come channel by channel, so that
they are not sorted by time.
"""

import re

from detector.formats.element import Element, is_object, peek
from detector.formats.source import Reader, Reading, Source, number
from detector.formats.words import voice
from detector.transcript import Cue, Word

_UNITS = (
    ("offsetInTicks", "durationInTicks", 1e7),
    ("offsetMilliseconds", "durationMilliseconds", 1e3),
)
_ISO = re.compile(r"P(?:([0-9.]+)D)?(?:T(?:([0-9.]+)H)?(?:([0-9.]+)M)?(?:([0-9.]+)S)?)?")


def recognises_batch(source: Source) -> bool:
    """`recognizedPhrases`, a list."""
    return isinstance(peek(source.document, "recognizedPhrases"), list)


def recognises_fast(source: Source) -> bool:
    """`phrases` whose first counts milliseconds, or none at all beside `combinedPhrases`."""
    phrases = peek(source.document, "phrases")
    if phrases == []:
        return is_object(source.document, "combinedPhrases")
    return is_object(peek(phrases, 0), "text", "offsetMilliseconds")


def read_batch(source: Source) -> Reading:
    """Reads the best reading of every phrase as one cue; what failed is dropped."""
    phrases = Element(source.document).elements("recognizedPhrases")
    reading = Reading(n_found=len(phrases))
    n_channels = _count_channels(phrases)
    for place, phrase in enumerate(phrases, start=1):
        best = phrase.elements("nBest")
        status = phrase.label("recognitionStatus")
        if status not in (None, "Success") or not best:
            reading.drop(str(phrase), "not recognised")
        else:
            _add(reading, phrase, best[0], "display", str(place), n_channels)
    _sort(reading)
    return reading


def read_fast(source: Source) -> Reading:
    """Reads every phrase as one cue."""
    phrases = Element(source.document).elements("phrases")
    reading = Reading(n_found=len(phrases))
    n_channels = _count_channels(phrases)
    for place, phrase in enumerate(phrases, start=1):
        _add(reading, phrase, phrase, "text", str(place), n_channels)
    _sort(reading)
    return reading


def _count_channels(phrases: list[Element]) -> int:
    return len({phrase.label("channel") for phrase in phrases})


def _add(
    reading: Reading, phrase: Element, best: Element, key: str, cue_id: str, n_channels: int
) -> None:
    text = best.text(key)
    if not text:
        reading.drop(str(phrase), "empty text")
        return
    speaker = voice(phrase.label("speaker"), phrase.label("channel"), n_channels)
    span = _read_span(reading, phrase)
    words = best.elements("displayWords") or best.elements("words")
    reading.add(
        Cue(cue_id, speaker, text, *span, words=tuple(_read_word(reading, w) for w in words))
    )


def _read_word(reading: Reading, word: Element) -> Word:
    key = next((key for key in ("displayText", "text") if word.has(key)), "word")
    return Word(word.text(key), *_read_span(reading, word))


def _read_span(reading: Reading, element: Element) -> tuple[float | None, float | None]:
    """Start and end in seconds, the end to a tick, from whichever unit the file has."""
    for offset, duration, per_second in _UNITS:
        if element.has(offset):
            start = element.seconds(offset, per_second=per_second)
            length = element.seconds(duration, per_second=per_second)
            break
    else:
        start, length = (_iso_seconds(element.child(key)) for key in ("offset", "duration"))
    return reading.span(start, round(start + length, 7), element)


def _iso_seconds(element: Element) -> float:
    """Seconds of a duration such as `PT1M1.3S`."""
    match = _ISO.fullmatch(element.value) if isinstance(element.value, str) else None
    if match is None or not any(match.groups()):
        raise element.malformed("an ISO 8601 duration is expected")
    parts = (number(part or "0", element) for part in match.groups())
    return sum(part * unit for part, unit in zip(parts, (86400, 3600, 60, 1), strict=True))


def _sort(reading: Reading) -> None:
    """By start: channels follow each other in the file, not in the talk."""
    reading.cues.sort(key=lambda cue: cue.start_s or 0.0)


READERS = (
    Reader(
        name="azure_batch",
        title="Azure batch transcription JSON (v3.x ticks, 2024-11-15 milliseconds)",
        recognises=recognises_batch,
        read=read_batch,
        example='{"recognizedPhrases": [{"speaker": 1, "offsetInTicks": 10000000, '
        '"durationInTicks": 15000000, "nBest": [{"display": "…"}]}]}',
    ),
    Reader(
        name="azure_fast",
        title="Azure fast transcription JSON (2024-11-15)",
        recognises=recognises_fast,
        read=read_fast,
        example='{"phrases": [{"speaker": 1, "offsetMilliseconds": 1000, '
        '"durationMilliseconds": 1500, "text": "…"}]}',
    ),
)
