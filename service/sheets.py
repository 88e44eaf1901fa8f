"""What a coder is given: one session's turns and segments, as they stay for all its coders.

    sheet_of(transcript) -> Sheet
    codes_of(role) -> the codebook's markers that a turn of this role can carry, by their keys

A sheet is made once, when a session is given out, and kept sealed with the session: so all coders
read the same words, whatever the rules for names learn later. It holds no score and no moment.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from detector import Transcript
from detector.codebook import load_codebook
from detector.segmentation import WINDOW_TURNS, split
from detector.transcript import Role

CODES: Mapping[Role, tuple[tuple[str, ...], ...]] = {
    Role.CLIENT: (("withdrawal", "repair"), ("confrontation",)),
    Role.THERAPIST: (("resolution",), ("contribution",)),
}
"""Kinds of markers by who speaks: those of the keys 1 to 9, then those of shift with 1 to 9."""

ITEM = re.compile(r"(turn|segment)-(0|[1-9][0-9]{0,5})|session")
"""`turn-17`, `segment-2`, or the whole `session`: what is coded, counted from 0."""

UNITS: Mapping[str, str] = {"turn": "turn", "segment": "segment_5min", "session": "session"}
"""What the kinds of item are called in files (product research, §5.3)."""


@dataclass(frozen=True, slots=True)
class SheetTurn:
    """One turn as a coder reads it. Times in seconds, None where the file has no clock."""

    index: int
    role: str
    start_s: float | None
    end_s: float | None
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SheetSegment:
    """Five minutes of whole turns, or a number of turns where there is no clock."""

    index: int
    turn_indexes: tuple[int, ...]
    start_s: float | None
    end_s: float | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A session to be coded.

    Args:
        codebook: its version.
        transcript_sha256: of the turns as they stand here; the file's own hash would link them.
        is_timed: whether segments are minutes, and not a number of turns.
        turns, segments: in order.
    """

    codebook: str
    transcript_sha256: str
    is_timed: bool
    turns: tuple[SheetTurn, ...]
    segments: tuple[SheetSegment, ...]

    @property
    def items(self) -> tuple[str, ...]:
        """Everything that can be coded, in order: turns of client and therapist, segments, all."""
        own = [f"turn-{one.index}" for one in self.turns if codes_of(one.role)]
        return (*own, *(f"segment-{one.index}" for one in self.segments), "session")

    def turn(self, item: str) -> SheetTurn | None:
        """The turn that an item is, or None: it is a segment or the session."""
        kind, _, number = item.partition("-")
        return self.turns[int(number)] if kind == "turn" else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "Sheet":
        """What `to_dict` gave."""
        segments = tuple(
            SheetSegment(**{**one, "turn_indexes": tuple(one["turn_indexes"])})
            for one in kept["segments"]
        )
        turns = tuple(SheetTurn(**one) for one in kept["turns"])
        return cls(**{**kept, "turns": turns, "segments": segments})


def sheet_of(transcript: Transcript, *, window_turns: int = WINDOW_TURNS) -> Sheet:
    """The sheet of a transcript with roles.

    Args:
        transcript: with tags for names.
        window_turns: turns of a segment where not every turn has a start.
    """
    turns = tuple(
        SheetTurn(one.index, one.role.value, one.start_s, one.end_s, one.text)
        for one in transcript.turns
    )
    segments = tuple(
        SheetSegment(one.index, one.turn_indexes, one.start_s, one.end_s)
        for one in split(transcript.turns, window_turns=window_turns)
    )
    return Sheet(
        codebook=load_codebook().version,
        transcript_sha256=transcript.sha256,
        is_timed=all(one.start_s is not None for one in turns),
        turns=turns,
        segments=segments,
    )


def codes_of(role: str) -> dict[str, str]:
    """Ids of the markers that a turn of this role can carry, and the key of each: `3`, `shift+2`.

    Empty for who is neither client nor therapist.
    """
    found: dict[str, str] = {}
    for before, kinds in zip(("", "shift+"), CODES.get(Role(role), ()), strict=False):
        for number, marker in enumerate(load_codebook().of_kind(*kinds), start=1):
            found[marker] = f"{before}{number}"
    return found
