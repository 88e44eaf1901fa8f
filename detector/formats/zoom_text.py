"""Text files that Zoom saves: chats, and saved captions, all with a clock in front.

    10:00:12<TAB>Name:<TAB>text                     chat
    10:00:12 From Name to Everyone: text            chat, as the client writes it
    [Name] 10:00:12 / text                          saved captions
    10:00:12 text                                   saved captions of older clients

Lines without a clock go on with the one above. The clock is the wall's where the client wrote
it, and the recording's where the cloud did: see `to_recording`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from detector.errors import MalformedTranscript
from detector.formats.clock import parse_clock
from detector.formats.source import Reader, Reading, Source
from detector.formats.speakers import label_roles
from detector.transcript import Cue, Role

WALL_CLOCK = "Times of day were counted from the first line."
TYPED = "This is the form of a chat, where messages are typed and not spoken."

_CLOCK = r"([0-9]{1,2}:[0-9]{2}:[0-9]{2})"
_TAB_CHAT = re.compile(_CLOCK + r"\t[ ]?([^\t\n]{1,200}?)[ ]?:\t(.*)")
_FROM_CHAT = re.compile(_CLOCK + r"[\t ]{1,4}From[ \t]{1,4}([^\n:]{1,400}):(.*)", re.IGNORECASE)
_NAMED_CAPTION = re.compile(r"\[([^\[\]\n]{1,200})\][ \t]" + _CLOCK + r"[ \t]*()")
_CAPTION = re.compile(_CLOCK + r"[\t ]()(.*)")
_HOUR_S, _DAY_S = 3600.0, 86400.0


@dataclass(slots=True)
class _Line:
    """A timed line and those below it that go on with it."""

    place: int
    speaker: str | None = field(repr=False)
    clock: str
    texts: list[str] = field(repr=False)


def _split_tab(line: str) -> tuple[str, str | None, str] | None:
    found = _TAB_CHAT.fullmatch(line)
    return (found[1], found[2].strip(), found[3]) if found else None


def _split_from(line: str) -> tuple[str, str | None, str] | None:
    found = _FROM_CHAT.fullmatch(line)
    if not found:
        return None
    writer = re.split(r"[ ]to[ ]", found[2], maxsplit=1, flags=re.IGNORECASE)[0]
    return found[1], writer.strip(), found[3]


def _split_named(line: str) -> tuple[str, str | None, str] | None:
    found = _NAMED_CAPTION.fullmatch(line)
    return (found[2], found[1].strip(), "") if found else None


def _split_caption(line: str) -> tuple[str, str | None, str] | None:
    found = _CAPTION.fullmatch(line)
    return (found[1], None, found[3]) if found else None


Splitter = Callable[[str], tuple[str, str | None, str] | None]
_CHATS: tuple[Splitter, ...] = (_split_tab, _split_from)
_SAVED: tuple[Splitter, ...] = (_split_named, _split_caption)


def _find_splitter(source: Source, splitters: Sequence[Splitter]) -> Splitter | None:
    """The form in which the first line with text is written."""
    first = next((line for line in source.lines if line.strip()), "")
    return next((split for split in splitters if split(first)), None)


def recognises_chat(source: Source) -> bool:
    """The first line is a time and a name that writes."""
    return _find_splitter(source, _CHATS) is not None


def recognises_saved(source: Source) -> bool:
    """The first line is a time, with or without a name before it."""
    return _find_splitter(source, _SAVED) is not None


def read_chat(source: Source) -> Reading:
    """Reads every message as one cue with a start and no end."""
    reading = _read(source, _CHATS)
    reading.notes.append(TYPED)
    return reading


def read_saved(source: Source) -> Reading:
    """Reads every saved caption as one cue with a start and no end."""
    return _read(source, _SAVED)


def _read(source: Source, splitters: Sequence[Splitter]) -> Reading:
    split = _find_splitter(source, splitters)
    reading = Reading()
    if split is None:
        return reading
    reading.n_found = sum(split(line) is not None for line in source.lines)
    lines = list(_gather(source.lines, split))
    starts = to_recording([_seconds(line) for line in lines])
    if lines and starts[0] != _seconds(lines[0]):
        reading.notes.append(WALL_CLOCK)
    roles = label_roles({line.speaker: None for line in lines if line.speaker})
    for number, (line, start) in enumerate(zip(lines, starts, strict=True), start=1):
        text = " ".join(" ".join(line.texts).split())
        where = f"line {line.place}"
        if not text:
            reading.drop(where, "empty text")
            continue
        start_s, _ = reading.span(start, None, where)
        role = roles.get(line.speaker or "", Role.UNKNOWN)
        reading.add(Cue(str(number), line.speaker, text, start_s, role=role))
    return reading


def _gather(lines: Sequence[str], split: Splitter) -> Iterator[_Line]:
    current: _Line | None = None
    for place, line in enumerate(lines, start=1):
        found = split(line)
        if found is None:
            if current is not None:
                current.texts.append(line)
            continue
        if current is not None:
            yield current
        clock, speaker, text = found
        current = _Line(place, speaker or None, clock, [text])
    if current is not None:
        yield current


def _seconds(line: _Line) -> float:
    seconds = parse_clock(line.clock)
    if seconds is None:
        raise MalformedTranscript("a time that no clock shows", line=line.place)
    return seconds


def to_recording(clocks: Sequence[float]) -> list[float]:
    """Seconds from the start, of times that may be the wall's.

    A first time of one hour or more is taken for a time of day, and all are counted from it; a
    recording whose first line comes after an hour of silence is the rarer case. A step back of
    more than half a day is midnight.
    """
    if not clocks or clocks[0] < _HOUR_S:
        return list(clocks)
    counted: list[float] = []
    days, before = 0.0, clocks[0]
    for clock in clocks:
        days += _DAY_S if clock < before - _DAY_S / 2 else 0.0
        counted.append(clock + days - clocks[0])
        before = clock
    return counted


CHAT_READERS = (
    Reader(
        name="zoom_chat",
        title="Zoom chat text",
        recognises=recognises_chat,
        read=read_chat,
        example="00:00:01<TAB>Name:<TAB>…",
    ),
)
SAVED_READERS = (
    Reader(
        name="zoom_saved",
        title="Zoom saved captions",
        recognises=recognises_saved,
        read=read_saved,
        example="10:00:01 …",
    ),
)
