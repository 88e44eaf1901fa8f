from hypothesis import given, settings
from hypothesis import strategies as st

from detector.formats.words import LabelledWord, assemble, assemble_channels, fits, voice
from detector.transcript import Word


def said(text: str, speaker: str | None, start: float, end: float) -> LabelledWord:
    return LabelledWord(Word(text, start, end), speaker)


def test_a_change_of_speaker_starts_a_cue() -> None:
    words = [said("So", "0", 1, 2), said("how?", "0", 2, 3), said("Fine.", "1", 4, 5)]
    cues = assemble(words)
    assert [(cue.cue_id, cue.speaker, cue.text) for cue in cues] == [
        ("1", "0", "So how?"),
        ("2", "1", "Fine."),
    ]
    assert (cues[0].start_s, cues[0].end_s) == (1, 3)


def test_speaker_zero_is_not_nobody() -> None:
    cues = assemble([said("Yes.", "0", 1, 2), said("No.", None, 2, 3)])
    assert [cue.speaker for cue in cues] == ["0", None]


def test_an_answer_on_the_other_channel_falls_into_the_pause() -> None:
    left = [said("Really?", "0", 1, 2), said("Go on.", "0", 5, 6)]
    right = [said("Yes.", "1", 3, 4)]
    assert [cue.text for cue in assemble_channels([left, right])] == ["Really?", "Yes.", "Go on."]


def test_a_short_silence_does_not_cut_a_cue() -> None:
    assert len(assemble_channels([[said("I", "0", 1, 2), said("see.", "0", 2.9, 3.5)]])) == 1


def test_untimed_words_make_an_untimed_cue() -> None:
    (cue,) = assemble([LabelledWord(Word("Yes."), "0")])
    assert (cue.start_s, cue.end_s) == (None, None)


def test_words_fit_a_text_whatever_the_punctuation() -> None:
    words = [Word("fine"), Word("I"), Word("guess")]
    assert fits(words, "Fine, I guess.")
    assert not fits(words, "Fine, I suppose.")


def test_speakers_of_two_channels_are_four_people() -> None:
    labels = {voice(speaker, channel, 2) for speaker in "01" for channel in "01"}
    assert len(labels) == 4


def test_one_channel_says_nothing_about_the_speaker() -> None:
    assert voice(None, "0", 1) is None
    assert voice("0", "0", 1) == "0"
    assert voice(None, "0", 2) == "0"


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["0", "1", None]), st.floats(0, 100)), max_size=30))
def test_no_word_is_lost_or_said_twice(spoken: list[tuple[str | None, float]]) -> None:
    words = [said(f"w{n}", who, at, at) for n, (who, at) in enumerate(spoken)]
    expected = sorted(word.word.text for word in words)
    for cues in (assemble(words), assemble_channels([words[::2], words[1::2]])):
        assert sorted(word.text for cue in cues for word in cue.words) == expected
