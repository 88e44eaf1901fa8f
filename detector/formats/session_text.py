"""Our own invented sessions: `MM:SS.s-MM:SS.s T: text`, with labels that nobody may see.

The files carry what the author meant by each turn, in brackets after the speaker and in header
lines. A reader that let them through would hand a scorer the answers: both are dropped.
"""

import re

from detector.errors import MalformedTranscript
from detector.formats.clock import parse_clock
from detector.formats.source import Reader, Reading, Source
from detector.transcript import Cue, Role

HEADER = "a header line about the session"

_CLOCK = r"[0-9]{1,3}(?::[0-9]{2}){1,2}(?:\.[0-9]{1,3})?"
_LINE = re.compile(rf"({_CLOCK})-({_CLOCK}) ([TC])(?![A-Za-z0-9])(.*)")
_LABELS = re.compile(r"(?:\[[a-z_]+:[0-9]:[a-z]+(?:[,|][^\]]*)?\]|\{[a-z_!,| ]*\})")
_STARTS = re.compile(rf"^{_CLOCK}-", re.MULTILINE)
_ROLES = {"T": Role.THERAPIST, "C": Role.CLIENT}


def recognises(source: Source) -> bool:
    """The first line that is no header is two times, a dash between them, and T or C."""
    lines = (line for line in source.lines if line.strip() and not line.startswith("#"))
    return _LINE.match(next(lines, "")) is not None


def read(source: Source) -> Reading:
    """Reads every line as one cue, its role given by its letter and its labels left out."""
    text = "\n".join(source.lines)
    reading = Reading(n_found=len(_STARTS.findall(text)))
    n_labelled = 0
    for place, line in enumerate(source.lines, start=1):
        if line.startswith("#"):
            reading.n_found += 1
            reading.drop(f"line {place}", HEADER)
        elif line.strip():
            n_labelled += _read_line(reading, line, place)
    if n_labelled:
        reading.notes.append(f"{n_labelled} cues carry labels; the labels were left out.")
    return reading


def _read_line(reading: Reading, line: str, place: int) -> bool:
    """Takes one line as a cue and says whether it carried labels."""
    found = _LINE.fullmatch(line.rstrip())
    start, end = (parse_clock(found[1]), parse_clock(found[2])) if found else (None, None)
    if found is None or start is None or end is None:
        raise MalformedTranscript("not `MM:SS.s-MM:SS.s T: …`", line=place)
    said = found[4].lstrip()
    labels = _LABELS.match(said)
    text = said[labels.end() if labels else 0 :].lstrip().removeprefix(":").strip()
    if not text:
        reading.drop(f"line {place}", "empty text")
        return labels is not None
    start_s, end_s = reading.span(start, end, f"line {place}")
    cue_id = str(len(reading.cues) + 1)
    reading.add(Cue(cue_id, found[3], text, start_s, end_s, role=_ROLES[found[3]]))
    return labels is not None


READERS = (
    Reader(
        name="session_text",
        title="Session text with two times a line",
        recognises=recognises,
        read=read,
        example="00:01.0-00:02.5 T: …",
    ),
)
