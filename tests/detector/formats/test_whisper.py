import json
from typing import Any

import pytest

from detector.errors import EmptyTranscript, MalformedTranscript
from detector.formats import read_transcript
from detector.transcript import Role, Transcript


def read(*segments: dict[str, Any], **more: Any) -> Transcript:
    return read_transcript(json.dumps({"segments": segments, **more}))


def segment(**more: Any) -> dict[str, Any]:
    return {"start": 1.0, "end": 2.0, "text": " Yes.", **more}


def test_plain_whisper_keeps_its_own_ids_from_zero() -> None:
    transcript = read(segment(id=0), segment(id=1))
    assert transcript.format == "whisper"
    assert [cue.cue_id for cue in transcript.cues] == ["0", "1"]


@pytest.mark.parametrize(
    "word", [{"word": " Yes.", "probability": 0.9}, {"text": "Yes.", "confidence": 0.9}]
)
def test_words_of_every_whisper_have_times(word: dict[str, Any]) -> None:
    (cue,) = read(segment(words=[{**word, "start": 1.1, "end": 1.8}])).cues
    assert [(w.text, w.start_s, w.end_s) for w in cue.words] == [("Yes.", 1.1, 1.8)]


def test_whisperx_is_told_by_its_speakers() -> None:
    assert read(segment(speaker="SPEAKER_00")).format == "whisperx"
    assert read(segment(words=[{"word": "Yes.", "score": 0.9}])).format == "whisperx"
    assert read(segment(), word_segments=[]).format == "whisperx"


def test_a_missing_speaker_in_whisperx_is_nobody() -> None:
    transcript = read(segment(speaker="SPEAKER_00"), segment(text="No.", start=3, end=4))
    assert [cue.speaker for cue in transcript.cues] == ["SPEAKER_00", None]


def test_a_missing_speaker_is_taken_from_words_that_agree() -> None:
    words = [{"word": "Yes", "speaker": "SPEAKER_01"}, {"word": "sir."}]
    assert read(segment(words=words)).cues[0].speaker == "SPEAKER_01"


def test_words_that_disagree_name_no_speaker() -> None:
    words = [{"word": "Yes", "speaker": "SPEAKER_01"}, {"word": "No", "speaker": "SPEAKER_00"}]
    assert read(segment(words=words)).cues[0].speaker is None


def test_a_word_of_digits_without_times_is_kept_untimed() -> None:
    words = [{"word": "at", "start": 1, "end": 1.2, "score": 0.8}, {"word": "10:30"}]
    (cue,) = read(segment(text="at 10:30", words=words)).cues
    assert [(word.text, word.start_s) for word in cue.words] == [("at", 1.0), ("10:30", None)]


def test_an_end_before_its_start_is_left_out_with_a_note() -> None:
    transcript = read(segment(start=5, end=2))
    assert transcript.cues[0].end_s is None
    assert any("before their start" in note for note in transcript.notes)


def test_an_empty_segment_is_dropped_and_counted() -> None:
    transcript = read(segment(), segment(text=" "))
    assert [(drop.where, drop.reason) for drop in transcript.dropped] == [
        ("segments[1]", "empty text")
    ]


def test_a_relabelled_speaker_is_a_labelled_role() -> None:
    assert read(segment(speaker="Therapist")).cues[0].role is Role.THERAPIST
    assert read(segment(speaker="SPEAKER_00")).cues[0].role is Role.UNKNOWN


def test_silence_is_an_empty_transcript() -> None:
    with pytest.raises(EmptyTranscript):
        read(text="", language="en")


def test_a_broken_time_names_its_segment() -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read(segment(), segment(end=float("nan")))
    assert caught.value.element == "segments[1].end"
