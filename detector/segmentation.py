"""Segments: windows of whole turns. The 3RS codes five minutes at a time.

Where there is no clock a segment counts turns instead, and its times are None.
"""

import itertools
from collections.abc import Iterator, Sequence

from detector.transcript import Segment, Turn

WINDOW_S = 300.0
"""Five minutes, the unit of the 3RS manual (Eubanks, Muran & Safran 2015)."""

WINDOW_TURNS = 40
"""Turns of a segment where there is no clock: about five minutes of the AnnoMI sessions, which
run at 11 turns a minute, would be 55; therapy is slower. A judgement."""


def split(
    turns: Sequence[Turn], *, window_s: float = WINDOW_S, window_turns: int = WINDOW_TURNS
) -> tuple[Segment, ...]:
    """Segments that hold every turn once and in order; a turn belongs where it starts.

    Args:
        turns: the session's turns, in order.
        window_s: seconds a segment lasts, from the first turn's start.
        window_turns: turns a segment holds where not every turn has a start.

    Returns: segments in order, numbered from 0; a window in which no turn starts gives none.

    Raises: ValueError: a window of no length.
    """
    starts = [turn.start_s for turn in turns]
    return tuple(_segments(turns, windows(starts, window_s=window_s, window_turns=window_turns)))


def windows(
    starts: Sequence[float | None], *, window_s: float = WINDOW_S, window_turns: int = WINDOW_TURNS
) -> list[int]:
    """The window of each turn, from the turns' starts alone; see `split`."""
    if window_s <= 0 or window_turns <= 0:
        raise ValueError("a segment needs a window above 0")
    known = [start for start in starts if start is not None]
    if len(known) < len(starts):
        return [place // window_turns for place in range(len(starts))]
    first = min(known, default=0.0)
    return list(_never_back(int((start - first) // window_s) for start in known))


def _never_back(windows: Iterator[int]) -> Iterator[int]:
    """A typed clock may jump back; the turn stays with those before it."""
    reached = 0
    for window in windows:
        reached = max(reached, window)
        yield reached


def _segments(turns: Sequence[Turn], windows: Sequence[int]) -> Iterator[Segment]:
    pairs = zip(windows, turns, strict=True)
    groups = itertools.groupby(pairs, key=lambda pair: pair[0])
    for index, (_, group) in enumerate(groups):
        held = [turn for _, turn in group]
        ends = [turn.end_s for turn in held if turn.end_s is not None]
        yield Segment(
            index=index,
            turn_indexes=tuple(turn.index for turn in held),
            start_s=held[0].start_s,
            end_s=max(ends, default=None),
        )
