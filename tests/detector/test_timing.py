import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import timing
from detector.errors import MissingTiming
from detector.timing import COLUMNS, MEASURES, RELATIVE_SUFFIX, Clock, measure, read_clock
from detector.transcript import Cue, Role, Transcript, Word

Times = list[tuple[float | None, float | None]]

OPEN = Clock(True, True, ())


def table(transcript: Transcript, **more: Any) -> dict[str, list[float]]:
    """The timing table by column, rounded."""
    values = measure(transcript, **more)
    return {
        name: [round(float(value), 4) for value in values[:, place]]
        for place, name in enumerate(COLUMNS)
    }


def same(found: list[float], wanted: list[float]) -> bool:
    return bool(np.allclose(found, wanted, equal_nan=True, atol=1e-4))


NAN = math.nan


@pytest.fixture
def three(make_transcript: Any) -> Transcript:
    """Client answers after 2.5 s; the therapist then speaks into the client's last half second."""
    return make_transcript(
        "T: one two three four",
        "C: one two",
        "T: one",
        times=[(0.0, 2.0), (4.5, 5.5), (5.0, 6.0)],
    )


def test_latency_is_from_the_others_last_word_to_the_first(three: Transcript) -> None:
    assert same(table(three)["response_latency_s"], [NAN, 2.5, -0.5])


def test_pause_before_is_never_negative(three: Transcript) -> None:
    assert same(table(three)["pause_before_s"], [NAN, 2.5, 0.0])


def test_pause_before_counts_from_whoever_spoke_last(make_transcript: Any) -> None:
    transcript = make_transcript(
        "T: long talk", "C: mhm", "T: more", times=[(0.0, 10.0), (3.0, 4.0), (12.0, 13.0)]
    )
    found = table(transcript)
    assert found["pause_before_s"][2] == 2.0
    assert found["response_latency_s"][2] == 8.0


def test_overlap_is_at_most_the_turns_own_length(three: Transcript, make_transcript: Any) -> None:
    assert same(table(three)["overlap_s"], [NAN, 0.0, 0.5])
    inside = make_transcript("T: long talk", "C: mhm", times=[(0.0, 10.0), (3.0, 4.0)])
    assert table(inside)["overlap_s"][1] == 1.0


def test_pace_is_words_a_second_of_speech(three: Transcript) -> None:
    assert same(table(three)["speech_rate_wps"], [2.0, 2.0, 1.0])


def test_words_are_counted_without_any_clock(make_transcript: Any) -> None:
    assert table(make_transcript("T: one two", "C: one"))["n_words"] == [2.0, 1.0]


def test_the_longest_pause_within_a_turn_is_between_its_cues(make_transcript: Any) -> None:
    transcript = make_transcript(
        "C: one", "C: two", "C: three", "T: x", times=[(0, 1), (1.5, 2), (4, 5), (4.9, 6)]
    )
    assert table(transcript)["pause_within_s"] == [2.0, 0.0]


def test_the_longest_pause_within_a_turn_is_between_timed_words() -> None:
    words = (Word("one", 0.0, 0.5), Word("two", 3.5, 4.0), Word("three"))
    cue = Cue("1", "C", "one two three", 0.0, 4.0, words, Role.CLIENT)
    assert table(Transcript("test", (cue,)))["pause_within_s"] == [3.0]


def test_a_cue_inside_another_makes_no_pause(make_transcript: Any) -> None:
    transcript = make_transcript("C: a", "C: b", "C: c", times=[(0, 10), (2, 3), (10.5, 11)])
    assert table(transcript)["pause_within_s"] == [0.5]


def test_an_unanswered_pause_is_one_that_the_therapist_ends(make_transcript: Any) -> None:
    transcript = make_transcript(
        "T: so",
        "T: well",
        "C: yes",
        "T: on",
        "C: no",
        times=[(0, 1), (5, 6), (6.5, 7), (8, 9), (9.5, 10)],
    )
    assert table(transcript)["unanswered_s"] == [0.0, 4.0, 0.0, 0.0]


def test_several_unanswered_pauses_add_up_until_the_client_speaks(make_transcript: Any) -> None:
    transcript = make_transcript(
        "T: a", "T: b", "T: c", "C: yes", times=[(0, 1), (5, 6), (9.5, 10), (10.5, 11)]
    )
    assert table(transcript)["unanswered_s"] == [0.0, 7.5]


def test_a_short_pause_of_the_therapist_is_not_unanswered(make_transcript: Any) -> None:
    transcript = make_transcript("T: a", "T: b", "C: yes", times=[(0, 1), (3.9, 5), (5.5, 6)])
    assert table(transcript)["unanswered_s"] == [0.0, 0.0]


def test_a_pause_that_the_client_ends_is_a_latency_not_unanswered(make_transcript: Any) -> None:
    transcript = make_transcript("T: a", "C: yes", times=[(0, 1), (9, 10)])
    found = table(transcript)
    assert found["unanswered_s"] == [0.0, 0.0]
    assert found["response_latency_s"][1] == 8.0


def test_without_times_only_words_are_measured(make_transcript: Any) -> None:
    transcript = make_transcript(*["T: a b", "C: c"] * 6)
    clock = read_clock(transcript)
    assert not clock.has_ends
    assert "no times" in clock.reasons[0]
    assert set(clock.unavailable) == {m.name for m in MEASURES} - {"n_words"}
    for name, values in table(transcript).items():
        assert np.isnan(values).all() != name.startswith("n_words"), name


def test_starts_alone_measure_no_silence(make_transcript: Any) -> None:
    transcript = make_transcript(*["T: a", "C: b"] * 6, every_s=2.0)
    assert "when speech starts, not when it ends" in read_clock(transcript).reasons[0]
    assert np.isnan(table(transcript)["response_latency_s"]).all()


def test_a_file_with_a_few_times_is_not_said_to_have_none(make_transcript: Any) -> None:
    few = make_transcript("T: a", "C: b", times=[(1.0, 2.0), (None, None)])
    assert read_clock(few).reasons[0].startswith("Too few cues have a time")
    none = make_transcript("T: a", "C: b")
    assert read_clock(none).reasons[0].startswith("The file has no times")


def test_a_file_with_a_few_ends_is_not_said_to_have_none(make_transcript: Any) -> None:
    few = make_transcript("T: a", "C: b", times=[(1.0, 2.0), (3.0, None)])
    assert read_clock(few).reasons[0].startswith("Too few cues say when speech ends")


def contiguous(n: int, *, apart_from: int = 0) -> Transcript:
    """Cues of two seconds that touch, except the first few."""
    cues = []
    for place in range(n):
        gap = 0.25 if place < apart_from else 0.0
        who, role = ("T", Role.THERAPIST) if place % 2 else ("C", Role.CLIENT)
        cues.append(Cue(str(place), who, "a", 2.0 * place, 2.0 * place + 2.0 - gap, role=role))
    return Transcript("test", tuple(cues))


def test_cues_that_touch_are_captions_and_measure_no_silence() -> None:
    clock = read_clock(contiguous(11))
    assert not clock.has_ends
    assert "as captions do" in clock.reasons[0]


def test_a_few_touching_cues_are_chance() -> None:
    assert read_clock(contiguous(10)).has_ends
    assert read_clock(contiguous(21, apart_from=11)).has_ends
    assert not read_clock(contiguous(21, apart_from=10)).has_ends


def test_where_no_two_cues_overlap_overlap_is_unavailable(make_transcript: Any) -> None:
    transcript = make_transcript("T: a", "C: b", times=[(0, 1), (2, 3)])
    clock = read_clock(transcript)
    assert clock.unavailable == ("overlap_s",)
    assert "No two cues overlap" in clock.reasons[0]
    assert np.isnan(table(transcript)["overlap_s"]).all()


def test_a_full_clock_has_nothing_to_excuse(three: Transcript) -> None:
    assert read_clock(three) == OPEN
    assert OPEN.unavailable == ()


def test_technical_turns_and_their_neighbours_have_no_silence(make_transcript: Any) -> None:
    lines = ["T: a", "C: b"] * 3
    times = [(4.0 * n, 4.0 * n + 1) for n in range(6)]
    found = table(make_transcript(*lines, times=times), technical=[2], clock=OPEN)
    assert [math.isnan(value) for value in found["pause_before_s"]] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert np.isnan(found["pause_within_s"][1:4]).all()
    assert not np.isnan(found["speech_rate_wps"]).any()
    assert not np.isnan(found["n_words"]).any()


def test_a_baseline_needs_five_turns_of_the_speaker(make_transcript: Any) -> None:
    lines = ["T: a", "C: b"] * 4 + ["T: a"]
    times = [(4.0 * n, 4.0 * n + 1) for n in range(9)]
    found = table(make_transcript(*lines, times=times))
    own = found["speech_rate_wps" + RELATIVE_SUFFIX]
    assert same(own[0::2], [0.0] * 5)
    assert np.isnan(own[1::2]).all()


def test_a_value_is_compared_with_the_speakers_own_median(make_transcript: Any) -> None:
    lines = ["T: a", "C: b"] * 5
    times: Times = []
    for n, latency in enumerate((1.0, 1.0, 1.0, 1.0, 6.0)):
        times += [(20.0 * n, 20.0 * n + 5), (20.0 * n + 5 + latency, 20.0 * n + 15)]
    found = table(make_transcript(*lines, times=times))
    assert same(found["response_latency_s_vs_own"][1::2], [0, 0, 0, 0, 5.0])


def test_words_are_compared_as_a_ratio(make_transcript: Any) -> None:
    lines = [f"C: {'a ' * n}" for n in (1, 1, 1, 1, 7)]
    mixed = [line for one in lines for line in (one, "T: x")]
    found = table(make_transcript(*mixed))
    assert same(found["n_words_vs_own"][0::2], [0, 0, 0, 0, 2.0])


def test_two_speakers_of_one_role_have_baselines_of_their_own() -> None:
    cues = []
    for n in range(12):
        who, text = ("A", "a a a") if n % 2 else ("B", "b")
        cues.append(Cue(str(n), who, text, role=Role.CLIENT))
    found = table(Transcript("test", tuple(cues)))
    assert same(found["n_words_vs_own"], [0.0] * 12)


def test_a_column_is_found_by_name(three: Transcript) -> None:
    found = timing.column(measure(three), "n_words")
    assert found.tolist() == [4.0, 2.0, 1.0]
    assert found.dtype == np.float32


def test_asking_for_a_column_that_is_all_unknown_is_an_error(make_transcript: Any) -> None:
    untimed = measure(make_transcript("T: a", "C: b"))
    with pytest.raises(MissingTiming, match="pause_before_s"):
        timing.column(untimed, "pause_before_s")


def test_a_cue_of_no_length_has_no_pace(make_transcript: Any) -> None:
    found = table(make_transcript("T: a", "C: b", times=[(1, 1), (2, 3)]))
    assert math.isnan(found["speech_rate_wps"][0])


quarters = st.integers(0, 40).map(lambda n: n / 4)


@given(
    st.lists(st.tuples(st.sampled_from("TC"), quarters, quarters), min_size=1, max_size=20),
    st.integers(1, 1000).map(float),
)
def test_shifting_the_clock_changes_nothing(
    make_transcript: Any, rows: list[tuple[str, float, float]], shift: float
) -> None:
    times, now = [], 0.0
    for _, gap, length in rows:
        times.append((now + gap, now + gap + length))
        now += gap + length / 2
    lines = [f"{who}: a b" for who, _, _ in rows]
    later = [(start + shift, end + shift) for start, end in times]
    here = measure(make_transcript(*lines, times=times))
    there = measure(make_transcript(*lines, times=later))
    np.testing.assert_allclose(here, there, atol=1e-3)


@given(
    st.lists(
        st.tuples(st.sampled_from("TCX"), st.none() | quarters, st.none() | quarters),
        min_size=1,
        max_size=20,
    )
)
def test_no_times_however_odd_break_the_table(make_transcript: Any, rows: list[Any]) -> None:
    times = []
    for _, start, length in rows:
        end = None if start is None or length is None else start + length
        times.append((start, end))
    transcript = make_transcript(*[f"{who}: a" for who, _, _ in rows], times=times)
    values = measure(transcript)
    assert values.shape == (len(transcript.turns), len(COLUMNS))
    assert not np.isinf(values).any()
    seconds = [n for n, m in enumerate(MEASURES) if m.name != "response_latency_s"]
    known = values[:, seconds]
    assert (known[~np.isnan(known)] >= 0).all()
