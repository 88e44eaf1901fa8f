import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from detector.codebook import Pattern
from detector.features import (
    ReadSession,
    as_matrix,
    is_scored,
    read_session,
    silence_hits,
    technical_turns,
)
from detector.markers import MarkerHit, MarkerRules
from detector.timing import COLUMNS
from detector.transcript import Role


@pytest.fixture(scope="module")
def read(rules: MarkerRules, make_transcript: Any) -> Any:
    """Reads lines with the shipped rules."""

    def read(*lines: str, **more: Any) -> ReadSession:
        return read_session(make_transcript(*lines, **more), rules)

    return read


def test_words_hits_clock_and_features_run_parallel_to_the_turns(read: Any) -> None:
    session = read("T: Hello there.", "C: Hi.", "C: Again.", "T: Well?")
    n = len(session.turns)
    assert n == 3
    assert len(session.spoken) == len(session.hits) == len(session.features) == n
    assert session.timing.shape == (n, len(COLUMNS))


def test_how_it_was_said_is_counted_in_words(read: Any) -> None:
    row = read("T: Go on.", "C: I, um, I know you. Do you not see me?").features[1]
    assert row["said.log_words"] == pytest.approx(math.log1p(8))
    assert row["said.question"] == 1.0
    assert row["said.first_person"] == pytest.approx(2 / 8)
    assert row["said.second_person"] == pytest.approx(2 / 8)
    assert row["said.negations"] == pytest.approx(math.log1p(1))
    assert row["said.few_words"] == 0.0
    assert row["said.opens_i"] == 1.0


def test_a_turn_without_words_has_a_row_of_finite_shares(read: Any) -> None:
    row = read("T: Hello.", "C: 🙂").features[1]
    assert row["said.log_words"] == 0.0
    assert row["said.first_person"] == 0.0


def test_dashes_show_speech_that_is_cut_or_goes_on(read: Any) -> None:
    session = read("T: So what we -", "C: Right.", "T: - will do is wait.")
    assert session.features[0]["said.cut_off"] == 1.0
    assert session.features[1]["before.cut"] == 1.0
    assert session.features[1]["after.cut"] == 1.0
    assert session.features[2]["said.goes_on"] == 1.0
    assert session.features[1]["said.cut_off"] == 0.0


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("[laughs] yes", {"said.event[laughs]"}),
        ("[sighs] yes [laughs]", {"said.event[laughs]", "said.event[sighs]"}),
        ("yes", set()),
    ],
)
def test_each_event_of_a_turn_is_a_feature(read: Any, text: str, events: set[str]) -> None:
    row = read("T: Hello.", f"C: {text}").features[1]
    assert {name for name in row if name.startswith("said.event") and row[name]} == events


def test_each_word_of_a_turn_is_a_feature_once(read: Any) -> None:
    row = read("T: Hello.", "C: No, never, no? [laughs]").features[1]
    words = {name: value for name, value in row.items() if name.startswith("word.")}
    assert words == {"word.no": 1.0, "word.never": 1.0}


def test_the_turns_around_are_those_of_the_other_that_say_something(read: Any) -> None:
    session = read("T: What happened on that day?", "C: Well.", "T: Mhm.", "C: I went home.")
    row = session.features[3]
    assert row["before.question"] == 1.0
    assert row["before.backchannels"] == 1.0
    assert row["before.log_words"] == pytest.approx(math.log1p(5))
    assert row["after.none"] == 1.0
    assert session.features[0]["before.none"] == 1.0


def test_somebody_who_spoke_long_ago_is_not_around(read: Any) -> None:
    lines = ["C: That was a hard week for me.", *["T: Okay.", "C: Yes."] * 30]
    session = read(*lines)
    assert "before.none" not in session.features[39]
    assert session.features[59]["before.none"] == 1.0


def test_without_a_clock_the_times_are_unknown_and_the_place_is_known(read: Any) -> None:
    row = read("T: a", "C: b", "T: c").features[1]
    assert math.isnan(row["time.response_latency_s"])
    assert row["time.into_session"] == 0.5
    assert row["time.opening"] == 1.0


def test_a_latency_is_squeezed_by_its_logarithm_and_keeps_its_sign(read: Any) -> None:
    times = [(0.0, 2.0), (5.0, 9.0), (8.0, 10.0)]
    session = read("T: a", "C: b", "T: c", times=times)
    assert session.features[1]["time.response_latency_s"] == pytest.approx(math.log1p(3))
    assert session.features[2]["time.response_latency_s"] == pytest.approx(-math.log1p(1))


def test_hits_are_features_by_marker_and_by_pattern(rules: MarkerRules, read: Any) -> None:
    session = read("T: I froze.", "C: Sorry, you froze, I lost you for a second.")
    for turn in session.turns:
        row = session.features[turn.index]
        for hit in session.hits[turn.index]:
            assert row[f"hit.{hit.marker}"] == row[f"pattern.{hit.pattern_id}"] == 1.0


def test_technical_turns_are_those_with_a_technical_hit(rules: MarkerRules) -> None:
    (technical,) = rules.codebook.of_kind("technical")
    hits = [(), (MarkerHit(1, 0, 3, technical, "x"),), (MarkerHit(2, 0, 3, "denial", "y"),)]
    assert technical_turns(hits, rules.codebook) == {1}


def silence(read: Any, text: str, role: Role = Role.CLIENT, **seconds: float) -> list[str]:
    """The patterns that the clock finds in one turn with this row."""
    who = {Role.CLIENT: "C", Role.THERAPIST: "T"}[role]
    session = read(f"{who}: {text}")
    row = np.full(len(COLUMNS), np.nan, dtype=np.float32)
    for name, value in seconds.items():
        row[COLUMNS.index(name)] = value
    hits = list(silence_hits(session.turns[0], session.spoken[0], row))
    assert {hit.source for hit in hits} <= {"timing"}
    return [hit.pattern_id for hit in hits]


def test_a_pause_that_the_client_let_pass_is_a_minimal_response(read: Any) -> None:
    assert silence(read, "yes", unanswered_s=3.0) == ["timing.unanswered"]
    assert silence(read, "yes", unanswered_s=2.9) == []


def test_a_short_reply_after_a_long_silence_is_a_minimal_response(read: Any) -> None:
    slow = {"response_latency_s": 3.0, "response_latency_s_vs_own": 2.0}
    assert silence(read, "I do not know", **slow) == ["timing.slow_short"]
    assert silence(read, "I do not know that", **slow) == []
    assert silence(read, "I do not know", **{**slow, "response_latency_s": 2.9}) == []
    assert silence(read, "I do not know", **{**slow, "response_latency_s_vs_own": 1.9}) == []


def test_an_unknown_clock_shows_no_silence(read: Any) -> None:
    assert silence(read, "yes") == []


def test_a_therapists_silence_is_no_minimal_response(read: Any) -> None:
    assert silence(read, "yes", Role.THERAPIST, unanswered_s=9.0) == []


def test_a_pause_beside_a_technical_event_is_no_withdrawal(
    rules: MarkerRules, make_transcript: Any
) -> None:
    (technical,) = rules.codebook.of_kind("technical")
    froze = Pattern("t.x", technical, "a test", "0", ("C: x",), phrases=("picture froze",))
    only = MarkerRules(dataclasses.replace(rules.codebook, patterns={"t.x": froze}))
    times = [(0.0, 2.0), (10.0, 12.0), (13.0, 14.0), (15.0, 16.0)]

    def read_with(reply: str) -> ReadSession:
        lines = ("T: So tell me.", "T: You there?", f"C: {reply}", "T: Good.")
        return read_session(make_transcript(*lines, times=times), only)

    calm, frozen = read_with("Yes."), read_with("Sorry, the picture froze.")
    assert [hit.source for hit in calm.hits[1]] == ["timing"]
    assert [hit.source for hit in frozen.hits[1]] == ["rule"]
    assert math.isnan(frozen.features[1]["time.unanswered_s"])


def test_a_matrix_has_zero_where_a_name_is_absent() -> None:
    found = as_matrix([{"a": 1.0}, {"b": math.nan}], ["a", "b"])
    np.testing.assert_array_equal(found, [[1.0, 0.0], [0.0, math.nan]])


@pytest.mark.parametrize(("who", "scored"), [("T", True), ("C", True), ("O", False), ("X", False)])
def test_only_client_and_therapist_are_scored(read: Any, who: str, scored: bool) -> None:
    assert is_scored(read(f"{who}: hello").turns[0]) is scored


def test_a_repr_of_a_read_session_shows_no_speech(read: Any) -> None:
    assert "canary" not in repr(read("C: canary canary"))
