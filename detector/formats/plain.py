"""Typed transcripts: a label, a colon, speech; lines without a label go on with the one above.

    T: …  /  C: …                    letters or names
    T1: …  /  C1: …                  numbered, the number being the cue's id
    [00:01:02] THERAPIST: …          with a start

Which labels are speakers, and which of them state a role, `speakers` decides.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from detector.formats.clock import ARROW, parse_clock
from detector.formats.source import Reader, Reading, Source
from detector.formats.speakers import find_labels, label_roles, split_prefix
from detector.transcript import Cue, Role

BEFORE_FIRST = "text before the first speaker"
LONE_TIME = "a time on a line of its own"

_TIMED = re.compile(
    r"[ \t]{0,8}(?:\[([0-9:.,]{4,15})\]|\(([0-9:.,]{4,15})\)|([0-9:.,]{4,15})(?=[ \t]|$))[ \t]*(.*)"
)
_NUMBERED = re.compile(r"([^\W\d_]{1,20}) ?([0-9]{1,5})")
_MIN_NUMBERED = 3
"""Times that each label's numbers must rise before labels without a role count as numbered."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One line with text: its 1-based place, the time in front in seconds, and the rest."""

    place: int
    start_s: float | None
    rest: str = field(repr=False)


@dataclass(slots=True)
class _Turn:
    """A labelled line and those that go on with it."""

    place: int
    label: str = field(repr=False)
    start_s: float | None
    texts: list[str] = field(repr=False)


def recognises(source: Source) -> bool:
    """Labels that recur, or both sides of a pair, in a text that is no other format."""
    text = source.text or ""
    if source.document is not None or ARROW in text or text.lstrip().startswith(("<", "{")):
        return False
    lines = _split_times(source.lines)
    labels, stems = _find_labels(lines)
    n_labelled = sum(_label(line) in labels for line in lines)
    roles = set(label_roles(labels).values())
    # A form such as "Client: … / Date: … / Place: …" has a label on every line, and is no talk.
    is_pair = len(labels) == 2 and {Role.THERAPIST, Role.CLIENT} <= roles
    return bool(stems) or len(labels) < n_labelled or is_pair


def read(source: Source) -> Reading:
    """Reads every labelled line, with those that go on with it, as one cue."""
    lines = _split_times(source.lines)
    labels, stems = _find_labels(lines)
    reading = Reading(n_found=sum(_label(line) in labels for line in lines))
    turns = list(_gather(lines, labels, reading))
    reading.n_found += len(reading.dropped)
    roles = label_roles(dict.fromkeys(stems.get(turn.label, turn.label) for turn in turns))
    for place, turn in enumerate(turns, start=1):
        where = f"line {turn.place}"
        text = " ".join(" ".join(turn.texts).split())
        if not text:
            reading.drop(where, "empty text")
            continue
        start, _ = reading.span(turn.start_s, None, where)
        speaker = stems.get(turn.label, turn.label)
        cue_id = turn.label.replace(" ", "") if turn.label in stems else str(place)
        reading.add(Cue(cue_id, speaker, text, start, role=roles[speaker]))
    return reading


def _split_times(lines: Sequence[str]) -> list[_Line]:
    """The lines that hold text, the times in front taken off.

    A bare time is one only before a label or alone: "10:30 we left" may be speech that wraps.
    """
    split: list[_Line] = []
    for place, line in enumerate(lines, start=1):
        found = _TIMED.fullmatch(line)
        start = parse_clock(found[1] or found[2] or found[3]) if found else None
        if found and found[3]:
            is_lone = not found[4].strip() and found[3].count(":") == 2
            start = start if is_lone or split_prefix(found[4]) else None
        if line.strip():
            split.append(_Line(place, start, line if start is None or not found else found[4]))
    return split


def _label(line: _Line) -> str | None:
    found = split_prefix(line.rest)
    return found[0] if found else None


def _find_labels(lines: Sequence[_Line]) -> tuple[frozenset[str], dict[str, str]]:
    """The labels that are speakers, and the stem of each that is numbered.

    Numbered labels never recur and are told by their numbers. Labels that stand once, above the
    first that recurs, are a header ("Date: …") even where every line has a label; that takes two
    that recur, or the header might be the only line of one of the speakers.
    """
    labels = find_labels([line.rest for line in lines])
    candidates = [label for line in lines if (label := _label(line))]
    stems = _split_numbers(candidates)
    counts = Counter(candidates)
    speaks = [label in stems or (label in labels and counts[label] > 1) for label in candidates]
    is_talk = len({label for label, does in zip(candidates, speaks, strict=True) if does}) > 1
    header = candidates[: speaks.index(True)] if is_talk else []
    return (labels | frozenset(stems)) - frozenset(header), stems


def _split_numbers(candidates: Sequence[str]) -> dict[str, str]:
    """The stem of every numbered label, empty where labels are not numbered.

    The numbers of each stem must rise without a repeat; `Speaker 1:` comes back and is a name.
    """
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    stems: dict[str, str] = {}
    for label in candidates:
        if found := _NUMBERED.fullmatch(label):
            numbers[found[1]].append(int(found[2]))
            stems[label] = found[1]
    rising = all(a < b for series in numbers.values() for a, b in itertools.pairwise(series))
    roles = set(label_roles(numbers).values())
    are_pair = {Role.THERAPIST, Role.CLIENT} <= roles and Role.UNKNOWN not in roles
    are_many = len(numbers) > 1 and min(map(len, numbers.values())) >= _MIN_NUMBERED
    return stems if rising and (are_pair or are_many) else {}


def _gather(lines: Sequence[_Line], labels: frozenset[str], reading: Reading) -> Iterator[_Turn]:
    """The turns; text before the first and lone times are dropped into the reading."""
    current: _Turn | None = None
    waiting: float | None = None
    for line in lines:
        found = split_prefix(line.rest)
        if found and found[0] in labels:
            if current is not None:
                yield current
            start = waiting if line.start_s is None else line.start_s
            current, waiting = _Turn(line.place, found[0], start, [found[1]]), None
        elif not line.rest.strip():
            reading.drop(f"line {line.place}", LONE_TIME)
            waiting = line.start_s
        elif current is None:
            reading.drop(f"line {line.place}", BEFORE_FIRST)
        else:
            current.texts.append(line.rest)
            waiting = None
    if current is not None:
        yield current


READERS = (
    Reader(
        name="plain",
        title="Plain text with T:/C: or names",
        recognises=recognises,
        read=read,
        example="T: … / T1: … / [00:00:01] THERAPIST: … / Name: …",
    ),
)
