import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import EmptyTranscript, MalformedTranscript
from detector.formats import read_transcript
from detector.transcript import Transcript


def read(*texts: str) -> Transcript:
    return read_transcript(
        "\n\n".join(
            f"{n}\n00:00:{n:02d},000 --> 00:00:{n:02d},900\n{text}"
            for n, text in enumerate(texts, start=1)
        )
    )


def test_a_short_fraction_is_a_fraction_and_not_milliseconds() -> None:
    transcript = read_transcript("1\n00:00:17,4 --> 00:00:18,04\nHi.\n")
    assert (transcript.cues[0].start_s, transcript.cues[0].end_s) == (17.4, 18.04)


def test_captions_without_names_have_no_speaker() -> None:
    transcript = read("Hi.", "Hello\nthere.")
    assert (transcript.format, transcript.speakers) == ("srt", ())
    assert [cue.text for cue in transcript.cues] == ["Hi.", "Hello there."]


def test_name_prefixes_are_speakers_and_a_caption_without_one_goes_on() -> None:
    transcript = read("Ann: Hi.", "Bob: Hello.", "I said: no", "Ann: So.", "Bob: Yes.")
    assert [cue.speaker for cue in transcript.cues] == ["Ann", "Bob", "Bob", "Ann", "Bob"]
    assert transcript.cues[2].text == "I said: no"


def test_whisperx_brackets_are_speakers() -> None:
    transcript = read("[SPEAKER_00]: Hi.", "[SPEAKER_01]: Hello.", "no name")
    assert [c.speaker for c in transcript.cues] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_01"]


def test_mark_up_for_looks_is_taken_out_and_nothing_else() -> None:
    transcript = read(r"{\an8}<i>Hi</i> <font color='red'>there</font> I <3 you &amp; <unk>")
    assert transcript.cues[0].text == "Hi there I <3 you &amp; <unk>"


def test_a_blank_line_inside_a_caption_loses_nothing() -> None:
    transcript = read("One.\n\nTwo.", "Three.")
    assert [cue.text for cue in transcript.cues] == ["One. Two.", "Three."]


def test_numbers_of_the_file_are_the_ids() -> None:
    transcript = read_transcript(
        "5\n00:00:01,000 --> 00:00:02,000\nHi.\n\n9\n00:00:03,000 --> 00:00:04,000\nSo.\n"
    )
    assert [cue.cue_id for cue in transcript.cues] == ["5", "9"]


def test_of_a_repeated_number_the_first_cue_keeps_it_with_a_note() -> None:
    block = "1\n00:00:01,000 --> 00:00:02,000\nHi.\n"
    transcript = read_transcript(f"{block}\n{block}")
    assert [cue.cue_id for cue in transcript.cues] == ["1", "1#2"]
    assert any("repeat an id" in note for note in transcript.notes)


def test_an_empty_caption_is_dropped() -> None:
    transcript = read("", "Hi.")
    assert [d.reason for d in transcript.dropped] == ["empty text"]


def test_the_first_broken_times_are_refused_with_their_line() -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read_transcript("1\n00:00:xx,000 --> 00:00:02,000\nHi.\n")
    assert caught.value.line == 2


def test_an_arrow_in_speech_is_refused_and_not_swallowed() -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read("Hi.", "from here --> there")
    assert caught.value.line == 7


def test_captions_without_text_are_an_empty_transcript() -> None:
    with pytest.raises(EmptyTranscript):
        read("", "")


def test_captions_out_of_order_are_sorted_with_a_note() -> None:
    transcript = read_transcript(
        "1\n00:00:05,000 --> 00:00:06,000\nlater\n\n2\n00:00:01,000 --> 00:00:02,000\nsooner\n"
    )
    assert [cue.text for cue in transcript.cues] == ["sooner", "later"]


words = st.from_regex(r"[A-Za-zéß¿😀א]{1,9}[.,?!]?", fullmatch=True)
texts = st.lists(words, min_size=1, max_size=8).map(" ".join)


def written(ms: int) -> str:
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"


@given(
    st.lists(
        st.tuples(st.sampled_from(["Ann", "Dr. Rivera", "0"]), texts, st.integers(0, 50_000_000)),
        min_size=2,
        max_size=12,
    )
)
def test_what_is_written_as_srt_is_read_back(said: list[tuple[str, str, int]]) -> None:
    said.sort(key=lambda each: each[2])
    transcript = read_transcript(
        "\n\n".join(
            f"{n}\n{written(start)} --> {written(start + 700)}\n{name}: {text}"
            for n, (name, text, start) in enumerate(said, start=1)
        )
    )
    assert [(c.speaker, c.text, c.start_s, c.end_s) for c in transcript.cues] == [
        (name, text, start / 1000, (start + 700) / 1000) for name, text, start in said
    ]
