"""Microsoft Teams transcripts saved as Word documents, in both forms that Teams has written.

Today one paragraph is one turn: `Name   0:04`, a line break, the speech. It says when a turn
starts, to the second, and never when it ends. The older form has three lines a cue:
`0:0:5.100 --> 0:0:8.250`, the name, the speech. Whatever has neither shape (the title, the
date, who started transcription) is dropped and counted.

Source: specimens described in research/product.md §2.1.
"""

import re
from collections.abc import Iterator, Sequence

from detector.errors import MalformedTranscript
from detector.formats.captions import Caption, Voice, add_captions
from detector.formats.clock import ARROW, parse_clock, parse_timing_line
from detector.formats.docx_text import Paragraph, is_docx, read_paragraphs
from detector.formats.source import Reader, Reading, Source
from detector.formats.speakers import label_roles
from detector.transcript import Cue

NOT_A_TURN = "not a turn: no name and time above it"

_HEADER = re.compile(
    r"(\S(?:[^\n]{0,198}\S)?)(?:[^\S\n]{2,20}|\t)((?:[0-9]{1,3}:)?[0-9]{1,3}:[0-9]{2})"
)


def recognises(source: Source) -> bool:
    """A Word document with a paragraph that is a name, a time, a line break and speech."""
    if not is_docx(source):
        return False
    return any(turn and turn[2] for turn in map(_split_turn, read_paragraphs(source)))


def read(source: Source) -> Reading:
    """Reads every turn as one cue, which has a start and no end."""
    paragraphs = read_paragraphs(source)
    turns = [_split_turn(paragraph) for paragraph in paragraphs]
    roles = label_roles({turn[0]: None for turn in turns if turn})
    reading = Reading(n_found=len(paragraphs))
    for paragraph, turn in zip(paragraphs, turns, strict=True):
        if turn is None:
            reading.drop(paragraph.where, NOT_A_TURN)
        elif not turn[2]:
            reading.drop(paragraph.where, "empty text")
        else:
            speaker, start, text = turn
            cue_id = str(len(reading.cues) + 1)
            reading.add(Cue(cue_id, speaker, text, start, role=roles[speaker]))
    return reading


def _split_turn(paragraph: Paragraph) -> tuple[str, float, str] | None:
    """Speaker, start in seconds and speech of a turn's paragraph, else None."""
    header, line_break, text = paragraph.text.partition("\n")
    found = _HEADER.fullmatch(header.strip()) if line_break or ARROW not in header else None
    start = parse_clock(found[2]) if found else None
    if found is None or start is None:
        return None
    return " ".join(found[1].split()), start, " ".join(text.split())


def recognises_arrows(source: Source) -> bool:
    """A Word document with a line that is two times and an arrow."""
    if not is_docx(source):
        return False
    return any(
        parse_timing_line(line) is not None
        for paragraph in read_paragraphs(source)
        for line in paragraph.text.split("\n")
    )


def read_arrows(source: Source) -> Reading:
    """Reads every `start --> end`, name and speech as one cue."""
    paragraphs = read_paragraphs(source)
    reading = Reading()
    captions = list(_scan(paragraphs, reading))
    reading.n_found = len(reading.dropped) + sum(p.text.count(ARROW) for p in paragraphs)
    add_captions(reading, captions, [_voices(caption.lines) for caption in captions], inherit=False)
    return reading


def _scan(paragraphs: Sequence[Paragraph], reading: Reading) -> Iterator[Caption]:
    """The captions; paragraphs that belong to none are dropped into the reading.

    A name and its speech follow the times in the paragraphs right below or in the same one. An
    empty paragraph ends them.
    """
    times: tuple[float, float] | None = None
    said: list[str] = []
    top = last = 0
    for paragraph in paragraphs:
        is_loose = times is None or (paragraph.place > last + 1 and bool(said))
        if is_loose and ARROW not in paragraph.text:
            reading.drop(paragraph.where, NOT_A_TURN)
            continue
        last = paragraph.place
        for line in paragraph.text.split("\n"):
            if ARROW not in line:
                said.append(line)
                continue
            if times is not None:
                yield Caption(top, None, *times, tuple(said), unit="paragraph")
            elif said:
                reading.drop(paragraph.where, NOT_A_TURN)
            times, said, top = _times(line, paragraph), [], paragraph.place
    if times is not None:
        yield Caption(top, None, *times, tuple(said), unit="paragraph")


def _times(line: str, paragraph: Paragraph) -> tuple[float, float]:
    times = parse_timing_line(line)
    if times is None:
        raise MalformedTranscript("the times of a cue cannot be read", element=paragraph.where)
    return times


def _voices(lines: Sequence[str]) -> list[Voice]:
    """The first line is the name; a line alone is speech that nobody is named for."""
    lines = [" ".join(line.split()) for line in lines if line.strip()]
    if len(lines) == 1:
        return [(None, lines[0])]
    return [(lines[0], " ".join(lines[1:]))] if lines else []


READERS = (
    Reader(
        name="teams_docx_arrows",
        title="Teams Word document, older form",
        recognises=recognises_arrows,
        read=read_arrows,
        example="0:0:1.0 --> 0:0:2.5 / Name / …",
    ),
    Reader(
        name="teams_docx",
        title="Teams Word document",
        recognises=recognises,
        read=read,
        example="Name   0:01 / …",
    ),
)
