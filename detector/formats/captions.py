"""Timed captions in text: what WebVTT and SRT share.

The usual libraries drop a caption whose times they do not understand, without an error
(research/product.md §2.2). Here every line that holds an arrow is a caption: it is read, or
dropped with a reason, or the file is refused with the number of the line.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from detector.errors import MalformedTranscript
from detector.formats.clock import ARROW, parse_timing_line
from detector.formats.source import Reading
from detector.formats.speakers import label_roles
from detector.transcript import Cue, Role

Voice = tuple[str | None, str]
"""A speaker's label, or None, and what was said."""

_LOST_TIMES = re.compile(r"\s*-?[0-9]{1,3}(?::-?[0-9]{1,2}){1,2}[.,][0-9]{1,3}(?=\s|-|$)", re.ASCII)
_BROKEN_OFF = re.compile(r"-?[0-9]{1,3}:[0-9:.,]*\s{0,4}-{0,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Caption:
    """One caption as it stands in the file.

    `line` is the 1-based line of its times, `cue_id` its identifier or None. Times are seconds
    and may be negative. `lines` are the lines of text without blank ones; `gaps` counts blank
    lines between them. `is_comment` marks a caption inside a NOTE block. `unit` says what `line`
    counts where the file has no lines.
    """

    line: int
    cue_id: str | None
    start_s: float
    end_s: float
    lines: tuple[str, ...] = field(repr=False)
    gaps: int = 0
    is_comment: bool = False
    unit: str = "line"

    @property
    def where(self) -> str:
        """The place to name in a note."""
        return f"{self.unit} {self.line}"


def scan(
    lines: Sequence[str], opens_comment: Callable[[str], bool] = lambda line: False
) -> Iterator[Caption]:
    """Every caption of the file, in order.

    A caption runs to the next one: text after a blank line is kept, because editors and
    recognisers leave blank lines inside captions and the speech in them is speech.

    Args:
        lines: the file's lines, the signature line replaced by an empty one.
        opens_comment: whether a line after a blank one opens a block that is no caption.

    Raises: MalformedTranscript: with its line, where the times of a caption cannot be read.
    """
    arrows = [place for place, line in enumerate(lines) if ARROW in line]
    tops = _tops(lines, arrows)
    previous: Caption | None = None
    for here, top, end in zip(arrows, tops, [*tops, len(lines)][1:], strict=True):
        times = parse_timing_line(lines[here])
        if times is None:
            raise MalformedTranscript("the times of a cue cannot be read", line=here + 1)
        cue_id = lines[top].strip() if top < here else None
        said, gaps = _said(lines, here + 1, end, opens_comment)
        if end == len(lines):
            _check_broken_off(lines, here, cue_id)
        first = _first_of_block(lines, top)
        follows_times = first > 0 and ARROW in lines[first - 1]
        is_comment = (
            previous is not None and previous.is_comment and previous.line == first
            if follows_times
            else first < here and opens_comment(lines[first])
        )
        previous = Caption(here + 1, cue_id, *times, said, gaps, is_comment)
        yield previous


def _tops(lines: Sequence[str], arrows: Sequence[int]) -> list[int]:
    """Where each caption begins: at its identifier, or at the times themselves.

    The line above the times is an identifier where it opens a block, or where it is the number
    after the last one (the blank line above it is missing, as careless editors leave it).
    """
    tops: list[int] = []
    before, number = -1, 0
    for here in arrows:
        above = here - 1
        line = lines[above].strip() if above > before else ""
        opens = above < 1 or not lines[above - 1].strip()
        follows = _number(line) == number + 1 and above - 1 > before
        tops.append(above if line and (opens or follows) else here)
        number = _number(line) if tops[-1] == above else number + 1
        before = here
    return tops


def _number(line: str) -> int:
    """The whole number that the line is, or -1."""
    return int(line) if line.isdecimal() and len(line) < 10 else -1


def _first_of_block(lines: Sequence[str], top: int) -> int:
    """The first line of the block that `top` stands in, no higher than below other times."""
    first = top
    while first > 0 and lines[first - 1].strip() and ARROW not in lines[first - 1]:
        first -= 1
    return first


def _said(
    lines: Sequence[str], start: int, end: int, opens_comment: Callable[[str], bool]
) -> tuple[tuple[str, ...], int]:
    """The caption's lines of text, and how many gaps lie between them."""
    said: list[str] = []
    gaps = 0
    after_blank = in_comment = False
    for place in range(start, end):
        line = lines[place]
        if not line.strip():
            after_blank, in_comment = True, False
            continue
        if after_blank and opens_comment(line):
            in_comment = True
        if not in_comment:
            if _LOST_TIMES.match(line):
                raise MalformedTranscript("a cue's times without their arrow", line=place + 1)
            gaps += after_blank and bool(said)
            said.append(line.strip())
        after_blank = False
    return tuple(said), gaps


def _check_broken_off(lines: Sequence[str], here: int, cue_id: str | None) -> None:
    """Refuses a file whose last lines are the beginning of one more caption."""
    last = len(lines) - 1
    while not lines[last].strip():
        last -= 1
    line, number = lines[last].strip(), _number(cue_id or "")
    is_next = number >= 0 and _number(line) == number + 1 and not lines[last - 1].strip()
    if last > here and (is_next or _BROKEN_OFF.fullmatch(line)):
        raise MalformedTranscript("the file breaks off inside a cue", line=last + 1)


def add_captions(
    reading: Reading,
    captions: Sequence[Caption],
    voices: Sequence[Sequence[Voice]],
    *,
    inherit: bool,
) -> None:
    """Turns captions and who spoke in them into cues, and notes what had to be decided.

    Args:
        reading: where the cues go.
        captions: the file's captions.
        voices: for each of them what was said, in order; texts may be empty.
        inherit: whether a caption without a name goes on with the last named speaker.
    """
    labels = {speaker for parts in voices for speaker, _ in parts if speaker is not None}
    roles = label_roles(sorted(labels))
    last: str | None = None
    n_inherited = n_shared = 0
    for place, (caption, parts) in enumerate(zip(captions, voices, strict=True), start=1):
        named, n_taken = _with_last_speaker(parts, last) if inherit else (list(parts), 0)
        spoken = _merge_same_speaker(named)
        last = next((speaker for speaker, _ in reversed(named) if speaker is not None), last)
        if caption.is_comment or not spoken:
            reason = "commented out in a NOTE block" if caption.is_comment else "empty text"
            reading.drop(caption.where, reason)
            continue
        n_inherited += n_taken
        n_shared += len(spoken) > 1
        _add_cues(reading, caption, spoken, roles, caption.cue_id or str(place))
    _add_notes(reading, captions, n_inherited, n_shared)


def _with_last_speaker(parts: Sequence[Voice], last: str | None) -> tuple[list[Voice], int]:
    """The parts with an unnamed opening given to the speaker before, and how many were."""
    if last is None or not parts or parts[0][0] is not None or not parts[0][1]:
        return list(parts), 0
    return [(last, parts[0][1]), *parts[1:]], 1


def _merge_same_speaker(parts: Sequence[Voice]) -> list[Voice]:
    """Parts with text; neighbours of one speaker become one."""
    spoken = [(speaker, text) for speaker, text in parts if text]
    return [
        (speaker, " ".join(text for _, text in group))
        for speaker, group in itertools.groupby(spoken, key=lambda part: part[0])
    ]


def _add_cues(
    reading: Reading,
    caption: Caption,
    spoken: Sequence[Voice],
    roles: dict[str, Role],
    cue_id: str,
) -> None:
    """One cue for each voice. The caption counts once, and every voice has its whole span."""
    start, end = reading.span(caption.start_s, caption.end_s, caption.where)
    reading.n_understood += 1
    for number, (speaker, text) in enumerate(spoken, start=1):
        role = Role.UNKNOWN if speaker is None else roles[speaker]
        own_id = cue_id if number == 1 else f"{cue_id}#{number}"
        reading.cues.append(Cue(own_id, speaker, text, start, end, role=role))


def _add_notes(
    reading: Reading, captions: Sequence[Caption], n_inherited: int, n_shared: int
) -> None:
    n_unnamed = sum(cue.speaker is None for cue in reading.cues)
    n_gaps = sum(caption.gaps > 0 and not caption.is_comment for caption in captions)
    for n, said in (
        (n_inherited, "cues carry no name and were given to the speaker before them"),
        (n_unnamed, "cues carry no speaker"),
        (n_shared, "cues hold several voices; each voice has the whole cue's times"),
        (n_gaps, "cues hold a blank line; the text after it was kept"),
    ):
        if n:
            reading.notes.append(f"{n} {said}.")
