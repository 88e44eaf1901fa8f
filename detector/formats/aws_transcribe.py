"""Amazon Transcribe: every number is a string, and punctuation has no times.

Who speaks stands in `speaker_labels.segments[].items[]`, matched to `items[]` by start time; in
newer files also on the items and in `audio_segments[]`; with channel identification in
`channel_labels.channels[]`. Without either the words belong to nobody.
"""

from collections.abc import Callable

from detector.formats.element import Element, is_object, peek, spoken
from detector.formats.source import Reader, Reading, Source
from detector.formats.words import ASSEMBLED, LabelledWord, assemble, assemble_channels, fits
from detector.transcript import Cue, Word

_Labels = Callable[[Element], tuple[str | None, str | None]]
"""Speaker and segment of an item."""


def recognises(source: Source) -> bool:
    """`results` with `items` and `transcripts`."""
    return is_object(peek(source.document, "results"), "items", "transcripts")


def read(source: Source) -> Reading:
    """Reads `audio_segments` as cues where they say who speaks, as far as the file does at all.

    Otherwise cues are put together from the items, and it is items that are counted.
    """
    results = Element(source.document).child("results")
    reading = Reading()
    segments = results.elements("audio_segments")
    has_voices = results.has("speaker_labels") or results.has("channel_labels")
    if segments and all(_voice(segment) is not None or not has_voices for segment in segments):
        _read_audio_segments(reading, results, segments)
    elif results.has("channel_labels"):
        _read_channels(reading, results.child("channel_labels"))
    else:
        _read_items(reading, results)
    return reading


def _voice(element: Element) -> str | None:
    return element.label("speaker_label", "channel_label")


def _read_audio_segments(reading: Reading, results: Element, segments: list[Element]) -> None:
    items = {item.label("id"): item for item in results.elements("items")}
    for place, segment, text in spoken(reading, segments, "transcript"):
        own = [
            items[str(one.value)] for one in segment.elements("items") if str(one.value) in items
        ]
        words = tuple(_word(reading, item) for item in own if item.label("type") != "punctuation")
        start, end = segment.seconds("start_time"), segment.seconds("end_time")
        reading.add(
            Cue(
                segment.label("id") or place,
                _voice(segment),
                text,
                *reading.span(start, end, segment),
                words=words if fits(words, text) else (),
            )
        )


def _read_channels(reading: Reading, channels: Element) -> None:
    by_channel = [
        _join(reading, channel.elements("items"), _label_all(channel.label("channel_label")))
        for channel in channels.elements("channels")
    ]
    reading.cues.extend(assemble_channels(by_channel))
    reading.notes.append(ASSEMBLED)


def _read_items(reading: Reading, results: Element) -> None:
    segments = results.child("speaker_labels")
    places = {} if segments.value is None else _segment_places(segments)

    def labels(item: Element) -> tuple[str | None, str | None]:
        return places.get(item.seconds("start_time"), (_voice(item), None))

    reading.cues.extend(assemble(_join(reading, results.elements("items"), labels)))
    if not places:
        reading.notes.append(ASSEMBLED)


def _label_all(voice: str | None) -> _Labels:
    return lambda _: (voice, None)


def _segment_places(labels: Element) -> dict[float, tuple[str | None, str | None]]:
    """Speaker and segment of every word, by the word's start time."""
    places: dict[float, tuple[str | None, str | None]] = {}
    for segment in labels.elements("segments"):
        speaker = segment.label("speaker_label")
        for item in segment.elements("items"):
            places[item.seconds("start_time")] = (speaker, str(segment))
    return places


def _join(reading: Reading, items: list[Element], labels: _Labels) -> list[LabelledWord]:
    """The words, each with the punctuation that follows it; counts items."""
    reading.n_found += len(items)
    words: list[LabelledWord] = []
    for item in items:
        text = _content(item)
        is_mark = item.label("type") == "punctuation"
        if not text or (is_mark and not words):
            reason = "punctuation before the first word" if text else "empty text"
            reading.drop(str(item), reason)
            continue
        reading.n_understood += 1
        if is_mark:
            words[-1] = words[-1].with_mark(text)
        else:
            words.append(LabelledWord(_word(reading, item), *labels(item)))
    return words


def _word(reading: Reading, item: Element) -> Word:
    start, end = item.seconds("start_time"), item.seconds("end_time")
    return Word(_content(item), *reading.span(start, end, item))


def _content(item: Element) -> str:
    alternatives = item.child("alternatives").items()
    if not alternatives:
        raise item.child("alternatives").malformed("an alternative is expected")
    return alternatives[0].text("content")


READERS = (
    Reader(
        name="aws_transcribe",
        title="Amazon Transcribe JSON",
        recognises=recognises,
        read=read,
        example='{"results": {"transcripts": [{"transcript": "…"}], "speaker_labels": {…}, '
        '"items": [{"start_time": "1.0", "end_time": "1.4", "alternatives": [{"content": "…"}]}]}}',
    ),
)
