"""Google Cloud Speech-to-Text, and the transcript entries of Meet's REST API.

Speech-to-Text v1 puts speakers on words of the last `results` element only, which repeats every
word of the results before it: they are dropped, or all would be said twice. v2 calls the keys
`startOffset` and `speakerLabel` and repeats nothing.
"""

import re
from datetime import datetime, timedelta

from detector.formats.element import Element, is_object, peek
from detector.formats.source import Reader, Reading, Source, number
from detector.formats.words import LabelledWord, assemble, voice
from detector.transcript import Cue, Word

_STARTS = ("startTime", "startOffset", "start_time", "start_offset")
_ENDS = ("endTime", "endOffset", "end_time", "end_offset")
_SPEAKERS = ("speakerLabel", "speakerTag", "speaker_label", "speaker_tag")
_CHANNELS = ("channelTag", "channel_tag")
_UNSET = (None, "0")
"""v1 counts speakers from 1; some clients write 0 where the word has no speaker."""

MORE_ENTRIES = "This is one page of the transcript: more entries follow in the next page."
FROM_FIRST = "Times are counted from the first entry: the file gives clock times only."


def recognises_speech(source: Source) -> bool:
    """`results`, a list whose first with alternatives has a transcript or words.

    IBM's shape is nearly the same; its `result_index` and `speaker_labels` tell it apart.
    """
    document = source.document
    results = peek(document, "results")
    if not isinstance(results, list) or is_object(document, "result_index"):
        return False
    if is_object(document, "speaker_labels"):
        return False
    firsts = (peek(result, "alternatives", 0) for result in results)
    first = next((one for one in firsts if one is not None), None)
    return is_object(first, "transcript") or is_object(first, "words")


def read_speech(source: Source) -> Reading:
    """Reads words with speakers where there are any, else every result as one cue."""
    results = Element(source.document).elements("results")
    reading = Reading()
    tagged = [result for result in results if _has_speakers(result)]
    if not tagged:
        _read_results(reading, results)
    elif _holds_all(tagged, results):
        _read_last(reading, tagged[-1], results)
    else:
        _read_words(reading, results)
    return reading


def _best(result: Element) -> Element | None:
    alternatives = result.elements("alternatives")
    return alternatives[0] if alternatives else None


def _words(result: Element) -> list[Element]:
    best = _best(result)
    return [] if best is None else best.elements("words")


def _has_speakers(result: Element) -> bool:
    return any(word.label(*_SPEAKERS) not in _UNSET for word in _words(result))


def _holds_all(tagged: list[Element], results: list[Element]) -> bool:
    """Whether the last result with speakers repeats every word before it.

    So it does where it begins no later than the first, as the recogniser's word times say.
    Without word times it must at least have as many words.
    """
    last = tagged[-1]
    before = results[: results.index(last)]
    if any(_words(result) for result in results[len(before) + 1 :]):
        return False
    first_word = next((word for result in before for word in _words(result)), None)
    if first_word is None:
        return True
    first, again = _clock(first_word, _STARTS), _clock(_words(last)[0], _STARTS)
    if first is None or again is None:
        return len(_words(last)) >= sum(len(_words(result)) for result in before)
    return again <= first


def _read_last(reading: Reading, last: Element, results: list[Element]) -> None:
    others = [result for result in results if result is not last]
    reading.n_found += len(others)
    for other in others:
        reading.drop(str(other), "repeated in the last result")
    n_last, n_others = len(_words(last)), sum(len(_words(other)) for other in others)
    if n_others not in (0, n_last):
        reading.notes.append(
            f"The last result holds {n_last} words and those before it {n_others}; "
            "only the last was read."
        )
    _read_words(reading, [last])


def _read_words(reading: Reading, results: list[Element]) -> None:
    elements = [word for result in results for word in _words(result)]
    reading.n_found += len(elements)
    words = []
    for element in elements:
        if element.text("word"):
            words.append(LabelledWord(_word(reading, element), element.label(*_SPEAKERS)))
        else:
            reading.drop(str(element), "empty text")
    reading.n_understood += len(words)
    reading.cues.extend(assemble(words))


def _read_results(reading: Reading, results: list[Element]) -> None:
    reading.n_found += len(results)
    n_channels = len({result.label(*_CHANNELS) for result in results})
    for place, result in enumerate(results, start=1):
        best = _best(result)
        text = "" if best is None or not best.has("transcript") else best.text("transcript")
        if not text:
            reading.drop(str(result), "empty text")
            continue
        words = tuple(_word(reading, word) for word in _words(result))
        start = words[0].start_s if words else None
        span = reading.span(start, words[-1].end_s if words else None, result)
        speaker = voice(None, result.label(*_CHANNELS), n_channels)
        reading.add(Cue(str(place), speaker, text, *span, words=words))


def _word(reading: Reading, element: Element) -> Word:
    span = reading.span(_clock(element, _STARTS), _clock(element, _ENDS), element)
    return Word(element.text("word"), *span)


def _clock(element: Element, keys: tuple[str, ...]) -> float | None:
    """Seconds of `"12.900s"` or `{"seconds": "12", "nanos": 900000000}`, None if not there."""
    key = next((key for key in keys if element.has(key)), keys[0])
    found = element.child(key)
    if isinstance(found.value, str):
        return number(found.value.removesuffix("s"), found)
    if isinstance(found.value, dict):
        nanos = found.clock("nanos", per_second=1e9) or 0.0
        return round((found.clock("seconds") or 0.0) + nanos, 9)
    return element.clock(key)


def recognises_meet(source: Source) -> bool:
    """`transcriptEntries` whose first has a participant, a text and a start."""
    first = peek(source.document, "transcriptEntries", 0)
    return is_object(first, "participant", "text", "startTime")


def read_meet(source: Source) -> Reading:
    """Reads every entry as one cue; the participant's resource name is the speaker."""
    document = Element(source.document)
    entries = document.elements("transcriptEntries")
    reading = Reading(n_found=len(entries), notes=[FROM_FIRST])
    starts = [_instant(entry.child("startTime")) for entry in entries]
    zero = min(starts, default=0.0)
    for place, (entry, start) in enumerate(zip(entries, starts, strict=True), start=1):
        text = entry.text("text")
        if not text:
            reading.drop(str(entry), "empty text")
            continue
        end = round(_instant(entry.child("endTime")) - zero, 6) if entry.has("endTime") else None
        span = reading.span(round(start - zero, 6), end, entry)
        cue_id = entry.label("name") or str(place)
        reading.add(Cue(cue_id, entry.label("participant"), text, *span))
    if document.has("nextPageToken"):
        reading.notes.append(MORE_ENTRIES)
    return reading


_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _instant(element: Element) -> float:
    """Seconds since 1970 of an RFC 3339 time, whatever its number of fraction digits."""
    match = _RFC3339.fullmatch(element.value) if isinstance(element.value, str) else None
    if match is None:
        raise element.malformed("an RFC 3339 time is expected")
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper().replace('Z', '+00:00')}")
        whole = (moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")) / timedelta(
            seconds=1
        )
    except (ValueError, OverflowError):
        raise element.malformed("an RFC 3339 time is expected") from None
    return whole + number(f"0{fraction or '.0'}", element)


READERS = (
    Reader(
        name="google_speech",
        title="Google Cloud Speech-to-Text JSON (v1, v2)",
        recognises=recognises_speech,
        read=read_speech,
        example='{"results": [{"alternatives": [{"transcript": "…", "words": '
        '[{"word": "…", "startTime": "1.0s", "endTime": "1.4s", "speakerTag": 1}]}]}]}',
    ),
    Reader(
        name="google_meet_entries",
        title="Google Meet transcript entries (REST)",
        recognises=recognises_meet,
        read=read_meet,
        example='{"transcriptEntries": [{"participant": "conferenceRecords/…/participants/…", '
        '"text": "…", "startTime": "2026-01-01T10:00:01Z", "endTime": "2026-01-01T10:00:02.5Z"}]}',
    ),
)
