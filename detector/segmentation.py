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
    if window_s <= 0 or window_turns <= 0:
        raise ValueError("a segment needs a window above 0")
    starts = [turn.start_s for turn in turns]
    if any(start is None for start in starts):
        windows = [turn.index // window_turns for turn in turns]
    else:
        first = min((start for start in starts if start is not None), default=0.0)
        windows = list(_never_back(int(((s or 0.0) - first) // window_s) for s in starts))
    return tuple(_segments(turns, windows))


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
