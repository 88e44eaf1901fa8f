from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.segmentation import WINDOW_S, WINDOW_TURNS, split

starts = st.lists(st.none() | st.floats(0, 4000), min_size=0, max_size=60)


@given(starts, st.floats(1, 1000), st.integers(1, 50))
def test_segments_hold_every_turn_once_and_in_order(
    make_transcript: Any, clock: list[float | None], window_s: float, window_turns: int
) -> None:
    lines = ["T: a" if n % 2 else "C: b" for n in range(len(clock))]
    times = [(start, None) for start in clock]
    turns = make_transcript(*lines, times=times).turns if lines else ()
    segments = split(turns, window_s=window_s, window_turns=window_turns)
    assert [i for segment in segments for i in segment.turn_indexes] == list(range(len(turns)))
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert all(segment.turn_indexes for segment in segments)


def test_a_turn_belongs_where_it_starts(make_transcript: Any) -> None:
    turns = make_transcript(
        "T: a", "C: b", "T: c", times=[(0.0, 10.0), (299.9, 400.0), (300.0, 310.0)]
    ).turns
    first, second = split(turns)
    assert (first.turn_indexes, second.turn_indexes) == ((0, 1), (2,))
    assert (first.start_s, first.end_s) == (0.0, 400.0)
    assert (second.start_s, second.end_s) == (300.0, 310.0)


def test_the_window_counts_from_the_first_turn(make_transcript: Any) -> None:
    turns = make_transcript(
        "T: a", "C: b", "T: c", times=[(250.0, None), (540.0, None), (560.0, None)]
    )
    assert [segment.turn_indexes for segment in split(turns.turns)] == [(0, 1), (2,)]


def test_a_window_in_which_nobody_starts_gives_no_segment(make_transcript: Any) -> None:
    turns = make_transcript("T: a", "C: b", times=[(0.0, 1000.0), (1000.0, 1001.0)]).turns
    assert [segment.index for segment in split(turns)] == [0, 1]


def test_a_clock_that_jumps_back_leaves_the_turn_with_those_before(make_transcript: Any) -> None:
    times = [(0.0, None), (310.0, None), (20.0, None), (320.0, None), (700.0, None)]
    turns = make_transcript("T: a", "C: b", "T: c", "C: d", "T: e", times=times).turns
    assert [segment.turn_indexes for segment in split(turns)] == [(0,), (1, 2, 3), (4,)]


def test_without_a_clock_a_segment_counts_turns(make_transcript: Any) -> None:
    turns = make_transcript(*["T: a", "C: b"] * 45).turns
    segments = split(turns)
    assert [len(segment.turn_indexes) for segment in segments] == [WINDOW_TURNS, WINDOW_TURNS, 10]
    assert {(segment.start_s, segment.end_s) for segment in segments} == {(None, None)}


def test_one_turn_without_a_start_is_enough_to_count_turns(make_transcript: Any) -> None:
    turns = make_transcript(
        "T: a", "C: b", "T: c", times=[(0.0, None), (None, None), (900.0, None)]
    )
    assert len(split(turns.turns)) == 1


def test_no_turns_give_no_segments() -> None:
    assert split(()) == ()


@pytest.mark.parametrize("window", [{"window_s": 0.0}, {"window_s": -1.0}, {"window_turns": 0}])
def test_a_window_of_no_length_is_refused(make_transcript: Any, window: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        split(make_transcript("T: a").turns, **window)


def test_the_window_is_the_five_minutes_of_the_3rs() -> None:
    assert WINDOW_S == 300.0
