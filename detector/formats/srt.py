"""SubRip (SRT): plain, with `Name:` in front, or WhisperX's `[SPEAKER_00]:`.

Times are read by `clock.parse_clock`: `00:00:17,4` is 17.4 s (a usual library makes 17.004 of
it, research/product.md §2.2).
"""

import re

from detector.formats.captions import add_captions, scan
from detector.formats.clock import ARROW, parse_timing_line
from detector.formats.source import Reader, Reading, Source
from detector.formats.vtt import split_names

_MARKUP = re.compile(r"</?(?:[biusBIUS]|font|FONT)(?:\s[^<>]*)?>|\{\\[^{}]*\}")


def recognises(source: Source) -> bool:
    """Its first arrow stands between two times, or below a line that is only a number."""
    lines = source.lines if source.text and ARROW in source.text else []
    first = next((place for place, line in enumerate(lines) if ARROW in line), None)
    if first is None:
        return False
    is_numbered = first > 0 and lines[first - 1].strip().isdecimal()
    return is_numbered or parse_timing_line(lines[first]) is not None


def read(source: Source) -> Reading:
    """Reads every caption; mark-up for looks is taken out of the text."""
    lines = source.lines
    reading = Reading(n_found=sum(ARROW in line for line in lines))
    captions = list(scan(lines))
    texts = [
        [" ".join(_MARKUP.sub("", line).split()) for line in caption.lines] for caption in captions
    ]
    add_captions(reading, captions, split_names(texts), inherit=True)
    return reading


READERS = (
    Reader(
        name="srt",
        title="SubRip (SRT)",
        recognises=recognises,
        read=read,
        example="1 / 00:00:01,000 --> 00:00:02,500 / Name: …",
    ),
)
