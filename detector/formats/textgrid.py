"""Praat TextGrids, in the long form and the short: one interval tier for each speaker.

Praat itself reads both alike: it takes the numbers, the quoted strings and the flags that stand
free and skips whatever is between them. So do we. praatio 6.2.2 was tried first: its short form
stops without an error at the first entry that it cannot read, its long form is torn by a label
that says `intervals [2]`, and it drops the sign of times.
"""

import re

from detector.errors import MalformedTranscript
from detector.formats.source import MAX_SECONDS, Reader, Reading, Source, labelled_role
from detector.transcript import Cue

_TOKEN = re.compile(
    r'"((?:[^"]|"")*+)"'  # a string; a quotation mark inside it is doubled
    r"|(?<!\S)([-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)(?!\S)"
    r"|(?<!\S)(<[a-z]+>)(?!\S)"
    r"|(?<!\S)![^\n]*"  # a comment
)
_SOUNDS = re.compile(r"(?:.*[^a-z])?(?:phones?|phonemes?)", re.IGNORECASE)
"""Names of the tier that a forced aligner writes beside the words: sounds, not speech."""


def recognises(source: Source) -> bool:
    """A Praat text file that says it is a TextGrid."""
    head = (source.text or "")[:400]
    return "ooTextFile" in head and '"TextGrid"' in head


def read(source: Source) -> Reading:
    """Reads every labelled interval as one cue; the tier's name is the speaker.

    Tiers follow each other in the file; the cues come back in the order of the talk. The count
    of what the file holds is the one that the file declares itself.
    """
    tokens = _Tokens(source.text or "")
    reading = Reading()
    for number in range(1, _read_header(tokens) + 1):
        _read_tier(reading, tokens, f"tier {number}")
    if not tokens.at_end:
        raise tokens.malformed("more entries than the file declares")
    reading.cues.sort(key=lambda cue: cue.start_s or 0.0)
    return reading


class _Tokens:
    """The free-standing strings, numbers and flags of the file, taken one by one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._matches = (m for m in _TOKEN.finditer(text) if m.lastindex is not None)
        self._next = next(self._matches, None)

    @property
    def at_end(self) -> bool:
        return self._next is None

    @property
    def line(self) -> int:
        """The 1-based line of the next token, or of the end."""
        end = len(self._text) if self._next is None else self._next.start()
        return self._text.count("\n", 0, end) + 1

    def malformed(self, reason: str) -> MalformedTranscript:
        return MalformedTranscript(reason, line=self.line)

    def string(self) -> str:
        return self._take(1, "a quoted text").replace('""', '"')

    def flag(self) -> str:
        return self._take(3, "a flag")

    def seconds(self) -> float:
        value = float(self._take(2, "a number"))
        if not abs(value) < MAX_SECONDS:
            raise self.malformed("a time must be a finite number of seconds")
        return value

    def count(self) -> int:
        """A declared number of tiers or entries. It is only believed as the entries come."""
        text = self._take(2, "a count")
        if not text.isdigit() or len(text) > 9:
            raise self.malformed("a count is expected before this line")
        return int(text)

    def _take(self, group: int, expected: str) -> str:
        match = self._next
        if match is None or match.lastindex != group:
            broken = "the file breaks off" if match is None else f"{expected} is expected"
            raise self.malformed(broken)
        self._next = next(self._matches, None)
        return match[group]


def _read_header(tokens: _Tokens) -> int:
    """Takes what stands before the first tier; gives the number of tiers."""
    tokens.string()
    tokens.string()
    tokens.seconds()
    tokens.seconds()
    return tokens.count() if tokens.flag() == "<exists>" else 0


def _read_tier(reading: Reading, tokens: _Tokens, tier: str) -> None:
    kind, name = tokens.string(), tokens.string().strip()
    if kind not in ("IntervalTier", "TextTier"):
        raise tokens.malformed("a tier is neither of intervals nor of points")
    tokens.seconds()
    tokens.seconds()
    n_entries = tokens.count()
    reading.n_found += n_entries
    for place in range(1, n_entries + 1):
        where = f"{tier}, entry {place}"
        start = tokens.seconds()
        end = tokens.seconds() if kind == "IntervalTier" else None
        text = tokens.string().strip()
        reason = _reason_to_drop(kind, name, text)
        if reason:
            reading.drop(where, reason)
        else:
            cue_id = str(reading.n_understood + 1)
            span = reading.span(start, end, where)
            reading.add(Cue(cue_id, name or None, text, *span, role=labelled_role(name)))


def _reason_to_drop(kind: str, name: str, text: str) -> str:
    if not text:
        return "empty interval"
    if kind == "TextTier":
        return "a point in time, not an interval of speech"
    return "on a tier of sounds" if _SOUNDS.fullmatch(name) else ""


READERS = (
    Reader(
        name="textgrid",
        title="Praat TextGrid, long or short",
        recognises=recognises,
        read=read,
        example='File type = "ooTextFile" / Object class = "TextGrid" / …',
    ),
)
