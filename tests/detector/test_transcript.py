import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import EmptyTranscript, TranscriptError
from detector.transcript import (
    Cue,
    DroppedCue,
    Role,
    TimingQuality,
    Transcript,
    Turn,
    Word,
)


def cues_of(speakers: list[str | None]) -> tuple[Cue, ...]:
    return tuple(Cue(str(n), who, f"word{n}") for n, who in enumerate(speakers))


speaker_lists = st.lists(st.sampled_from(["A", "B", None]), min_size=1, max_size=30)


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_a_cue_without_text_is_refused(text: str) -> None:
    with pytest.raises(TranscriptError, match="cue 7: a cue needs text"):
        Cue("7", "A", text)


def test_a_cue_without_an_id_is_refused() -> None:
    with pytest.raises(TranscriptError, match="needs an id"):
        Cue("", "A", "hello")


@pytest.mark.parametrize(
    ("start", "end"), [(-1.0, None), (math.nan, None), (math.inf, None), (0.0, math.inf)]
)
def test_a_time_that_is_negative_or_not_finite_is_refused(start: float, end: float | None) -> None:
    with pytest.raises(TranscriptError, match="finite and not negative"):
        Cue("7", "A", "hello", start, end)


@pytest.mark.parametrize(("start", "end"), [(2.0, 1.0), (None, 1.0)])
def test_an_end_needs_a_start_that_is_not_later(start: float | None, end: float) -> None:
    with pytest.raises(TranscriptError, match="an end needs a start"):
        Cue("7", "A", "hello", start, end)
    with pytest.raises(TranscriptError, match="word: an end needs a start"):
        Word("hello", start, end)


def test_a_cue_may_end_when_it_starts() -> None:
    assert Cue("7", "A", "hello", 1.0, 1.0).end_s == 1.0


def test_a_transcript_without_cues_is_empty_and_counts_the_dropped() -> None:
    with pytest.raises(EmptyTranscript) as caught:
        Transcript("test", (), dropped=(DroppedCue("line 1", "empty text"),))
    assert caught.value.n_dropped == 1


def test_two_cues_with_one_id_are_refused() -> None:
    with pytest.raises(TranscriptError, match="two cues have the id 7"):
        Transcript("test", (Cue("7", "A", "one"), Cue("7", "B", "two")))


@pytest.mark.parametrize("index", [-1, 0])
def test_a_turn_needs_an_index_and_cues(index: int) -> None:
    cues = (Cue("1", "A", "one"),) if index < 0 else ()
    with pytest.raises(TranscriptError, match="a turn needs"):
        Turn(index, "A", Role.CLIENT, cues)


def test_the_values_are_frozen() -> None:
    cue = Cue("1", "A", "one")
    for value in (cue, Word("one"), Transcript("test", (cue,)), Turn(0, "A", Role.CLIENT, (cue,))):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.text = "other"  # type: ignore[misc, union-attr]


@given(speaker_lists)
def test_every_cue_is_in_exactly_one_turn_and_in_order(speakers: list[str | None]) -> None:
    transcript = Transcript("test", cues_of(speakers))
    ids = [cue_id for turn in transcript.turns for cue_id in turn.cue_ids]
    assert ids == [cue.cue_id for cue in transcript.cues]
    assert [turn.index for turn in transcript] == list(range(len(transcript.turns)))


@given(speaker_lists)
def test_turns_merge_only_consecutive_speech_of_one_speaker(speakers: list[str | None]) -> None:
    turns = Transcript("test", cues_of(speakers)).turns
    for turn in turns:
        assert {cue.speaker for cue in turn.cues} == {turn.speaker}
    for earlier, later in itertools.pairwise(turns):
        assert earlier.speaker != later.speaker


@given(speaker_lists)
def test_merging_turns_again_changes_nothing(speakers: list[str | None]) -> None:
    turns = Transcript("test", cues_of(speakers)).turns
    merged = tuple(Cue(str(t.index), t.speaker, t.text) for t in turns)
    assert [t.text for t in Transcript("test", merged).turns] == [t.text for t in turns]


def test_a_turns_text_joins_its_cues_with_one_space() -> None:
    turn = Turn(0, "A", Role.CLIENT, (Cue("1", "A", " one "), Cue("2", "A", "two  three")))
    assert turn.text == "one two  three"
    assert turn.n_words == 3


def test_a_turn_starts_with_its_first_cue_and_ends_with_the_latest_end() -> None:
    cues = (Cue("1", "A", "one", 1.0, 9.0), Cue("2", "A", "two", 2.0, 3.0), Cue("3", "A", "three"))
    turn = Turn(0, "A", Role.CLIENT, cues)
    assert (turn.start_s, turn.end_s) == (1.0, 9.0)
    untimed = Turn(0, "A", Role.CLIENT, cues[2:])
    assert (untimed.start_s, untimed.end_s) == (None, None)


def timed(n_starts: int, n_ends: int, n_words: int, *, speech_ends: bool = True) -> Transcript:
    """Ten cues, of which so many carry a start, an end, and timed words."""
    cues = []
    for n in range(10):
        words = (Word("hello", n, n + 0.5),) if n < n_words else ()
        start = float(n) if n < n_starts else None
        end = n + 0.5 if n < n_ends else None
        cues.append(Cue(str(n), "A", "hello", start, end, words))
    return Transcript("test", tuple(cues), speech_ends=speech_ends)


@pytest.mark.parametrize(
    ("counts", "quality"),
    [
        ((0, 0, 0), TimingQuality.NONE),
        ((8, 8, 8), TimingQuality.NONE),
        ((9, 0, 0), TimingQuality.START_ONLY),
        ((10, 8, 0), TimingQuality.START_ONLY),
        ((10, 9, 0), TimingQuality.CUE),
        ((10, 10, 8), TimingQuality.CUE),
        ((10, 10, 9), TimingQuality.WORD),
    ],
)
def test_nine_cues_of_ten_decide_the_timing_quality(
    counts: tuple[int, int, int], quality: TimingQuality
) -> None:
    assert timed(*counts).timing_quality is quality


def test_caption_ends_are_no_ends_of_speech() -> None:
    assert timed(10, 10, 0, speech_ends=False).timing_quality is TimingQuality.START_ONLY
    assert timed(10, 10, 10, speech_ends=False).timing_quality is TimingQuality.WORD


def test_only_cue_and_word_times_have_ends() -> None:
    assert [quality for quality in TimingQuality if quality.has_ends] == [
        TimingQuality.CUE,
        TimingQuality.WORD,
    ]


def test_a_transcript_is_timed_from_starts_on() -> None:
    assert not timed(0, 0, 0).is_timed
    assert timed(10, 0, 0).is_timed


def test_speakers_are_in_order_of_first_speech_and_the_nameless_left_out() -> None:
    assert Transcript("test", cues_of(["B", None, "A", "B"])).speakers == ("B", "A")


def test_with_roles_replaces_only_the_named_speakers() -> None:
    before = Transcript("test", cues_of(["A", "B", None]))
    after = before.with_roles({"A": Role.THERAPIST})
    assert after.roles == {"A": Role.THERAPIST, "B": Role.UNKNOWN}
    assert [turn.role for turn in after] == [Role.THERAPIST, Role.UNKNOWN, Role.UNKNOWN]
    assert before.roles == {"A": Role.UNKNOWN, "B": Role.UNKNOWN}


def test_with_roles_keeps_the_hash_of_the_file() -> None:
    transcript = Transcript("test", cues_of(["A"]), sha256="ab")
    assert transcript.with_roles({"A": Role.CLIENT}).sha256 == "ab"


def test_with_notes_adds_each_note_once() -> None:
    transcript = Transcript("test", cues_of(["A"]), notes=("one",))
    assert transcript.with_notes("one", "two", "two").notes == ("one", "two")


def test_the_hash_of_cues_is_stable_and_tells_them_apart() -> None:
    one, same = (Transcript("test", (Cue("1", "Ä", "hé", 1.0),)) for _ in range(2))
    other = Transcript("test", (Cue("1", "Ä", "hé", 1.5),))
    assert one.sha256 == same.sha256 != other.sha256
    assert one.sha256.startswith("53e923bf13658873")


def test_no_repr_carries_speech_or_a_name() -> None:
    cue = Cue("1", "Canary Name", "canary speech", 1.0, 2.0, (Word("canary", 1.0, 2.0),))
    transcript = Transcript("test", (cue,))
    shown = f"{cue!r} {cue.words[0]!r} {transcript!r} {transcript.turns[0]!r} {transcript.turns!r}"
    assert "anary" not in shown


@pytest.mark.parametrize(
    "cue", [("1", "A", "fine \ud83d"), ("1", "\udcff", "x"), ("\ud83d", None, "x")]
)
def test_half_a_surrogate_pair_is_refused_without_the_text(cue: tuple[str, str, str]) -> None:
    with pytest.raises(TranscriptError, match="half a surrogate pair") as caught:
        Cue(*cue)
    assert caught.value.__context__ is None
    assert "fine" not in repr(caught.value)
