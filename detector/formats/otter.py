"""Otter's text export: a line with name and time, the speech below it, a blank line.

The footer that names Otter is not verified (research/product.md §2.1); it is known by the site
it names and not by its words.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from detector.formats.clock import parse_clock
from detector.formats.source import Reader, Reading, Source
from detector.formats.speakers import label_roles
from detector.transcript import Cue, Role

BEFORE_FIRST = "text before the first speaker"
FOOTER = "Otter's footer"

_HEADER = re.compile(r"(\S[^\n]{0,120}?)?[ \t]{2,8}((?:[0-9]{1,3}:)?[0-9]{1,3}:[0-9]{2})[ \t]*")


@dataclass(slots=True)
class _Turn:
    place: int
    speaker: str | None = field(repr=False)
    start_s: float
    texts: list[str] = field(repr=False)


def _split_header(line: str) -> tuple[str | None, float] | None:
    """Speaker and start in seconds of a turn's first line, else None."""
    found = _HEADER.fullmatch(line)
    start = parse_clock(found[2]) if found else None
    return None if found is None or start is None else ((found[1] or "").strip() or None, start)


def recognises(source: Source) -> bool:
    """A block of lines opens with a name, two spaces and a time, and speech follows below."""
    lines = source.lines
    return any(
        (place == 0 or not lines[place - 1].strip())
        and lines[place + 1].strip() != ""
        and _split_header(line) is not None
        for place, line in enumerate(lines[:-1])
    )


def read(source: Source) -> Reading:
    """Reads every turn as one cue; times are whole seconds, and there are no ends."""
    reading = Reading()
    lines = source.lines
    # Counted apart from the walk along the lines.
    n_turns = sum(
        not above.strip() and _split_header(line) is not None
        for above, line in itertools.pairwise(["", *lines])
    )
    turns = list(_gather(lines, reading))
    reading.n_found = n_turns + len(reading.dropped)
    roles = label_roles({turn.speaker: None for turn in turns if turn.speaker})
    for number, turn in enumerate(turns, start=1):
        text = " ".join(" ".join(turn.texts).split())
        if not text:
            reading.drop(f"line {turn.place}", "empty text")
            continue
        role = roles.get(turn.speaker or "", Role.UNKNOWN)
        reading.add(Cue(str(number), turn.speaker, text, turn.start_s, role=role))
    return reading


def _gather(lines: Sequence[str], reading: Reading) -> Iterator[_Turn]:
    """The turns; what stands before the first and the footer are dropped into the reading."""
    current: _Turn | None = None
    last = max((place for place, line in enumerate(lines) if line.strip()), default=0)
    for place, line in enumerate(lines):
        starts_block = place == 0 or not lines[place - 1].strip()
        header = _split_header(line) if starts_block else None
        if header is not None:
            if current is not None:
                yield current
            current = _Turn(place + 1, *header, [])
        elif place == last and "otter.ai" in line:
            reading.drop(f"line {place + 1}", FOOTER)
        elif current is not None:
            current.texts.append(line)
        elif line.strip():
            reading.drop(f"line {place + 1}", BEFORE_FIRST)
    if current is not None:
        yield current


READERS = (
    Reader(
        name="otter",
        title="Otter text export",
        recognises=recognises,
        read=read,
        example="Name  0:01 / …",
    ),
)
