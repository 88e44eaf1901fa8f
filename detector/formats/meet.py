"""Google Meet transcripts saved as Word documents.

Such a file holds the meeting's notes, which a machine wrote, in one stream with what people
said; a summary taken for a client's speech is the worst mistake this room could make
(research/product.md §7). So speech is told by structure alone: a line that is a time, and below
it, without a gap, paragraphs that are `Name: …`. The first paragraph of another shape closes
the passage until the next time. Headings are never looked at: they change with the language.
"""

import re

from detector.formats.clock import parse_clock
from detector.formats.docx_text import Paragraph, is_docx, read_paragraphs
from detector.formats.source import Reader, Reading, Source
from detector.formats.speakers import label_roles, split_prefix
from detector.transcript import Cue

NOT_SPEECH = "not speech: no `Name:` in a passage below a time"
TIMECODE = "a time of day or of the recording, not speech"

_TIMECODE = re.compile(r"(?:[0-9]{1,3}:)?[0-9]{1,2}:[0-9]{2}")


def recognises(source: Source) -> bool:
    """A Word document in which a time is followed by `Name: …`."""
    return is_docx(source) and bool(_read_passages(read_paragraphs(source), Reading()))


def read(source: Source) -> Reading:
    """Reads the speech; only the first paragraph below a time has a start, none has an end."""
    paragraphs = read_paragraphs(source)
    reading = Reading(n_found=len(paragraphs))
    spoken = _read_passages(paragraphs, reading)
    roles = label_roles({speaker: None for speaker, _, _ in spoken})
    for place, (speaker, text, start) in enumerate(spoken, start=1):
        reading.add(Cue(str(place), speaker, text, start, role=roles[speaker]))
    n_timed = sum(start is not None for _, _, start in spoken)
    reading.notes.append(
        f"A time is given every few minutes only: {n_timed} of {len(spoken)} cues carry one."
    )
    return reading


def _read_passages(
    paragraphs: list[Paragraph], reading: Reading
) -> list[tuple[str, str, float | None]]:
    """Speaker, speech and start of what was said; the rest is dropped into the reading."""
    spoken: list[tuple[str, str, float | None]] = []
    is_open, start = False, None
    for paragraph in paragraphs:
        if _TIMECODE.fullmatch(paragraph.text):
            start = parse_clock(paragraph.text)
            is_open = start is not None
            reading.drop(paragraph.where, TIMECODE)
            continue
        prefix = split_prefix(paragraph.text) if is_open else None
        if prefix is None or not prefix[1]:
            is_open = is_open and prefix is not None
            reading.drop(paragraph.where, "empty text" if prefix else NOT_SPEECH)
            continue
        spoken.append((prefix[0], " ".join(prefix[1].split()), start))
        start = None
    return spoken


READERS = (
    Reader(
        name="google_meet_docx",
        title="Google Meet Word document",
        recognises=recognises,
        read=read,
        example="00:00:01 / Name: …",
    ),
)
