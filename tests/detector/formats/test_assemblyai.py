import json
from typing import Any

import pytest

from detector.errors import EmptyTranscript, MalformedTranscript
from detector.formats import read_transcript
from detector.transcript import Role, Transcript


def read(**more: Any) -> Transcript:
    document = {"status": "completed", "text": "Hi.", "utterances": None, "audio_duration": 62}
    return read_transcript(json.dumps({**document, **more}))


def said(text: str, start: int, end: int, **more: Any) -> dict[str, Any]:
    return {"text": text, "start": start, "end": end, **more}


def test_times_are_milliseconds_although_the_duration_is_seconds() -> None:
    (cue,) = read(utterances=[said("Hi.", 21900, 22600, speaker="A")]).cues
    assert (cue.start_s, cue.end_s) == (21.9, 22.6)


def test_null_utterances_fall_back_to_words() -> None:
    transcript = read(words=[said("Hi", 0, 400), said("there.", 500, 900)])
    assert [(cue.text, cue.start_s, cue.end_s) for cue in transcript.cues] == [
        ("Hi there.", 0.0, 0.9)
    ]


def test_words_with_speakers_are_cues_by_speaker() -> None:
    words = [said("Hi", 0, 400, speaker="A"), said("Yes.", 500, 900, speaker="B")]
    assert read(words=words).speakers == ("A", "B")


def test_without_words_the_whole_text_is_one_untimed_cue_with_a_note() -> None:
    transcript = read(words=None)
    assert [(cue.text, cue.start_s, cue.speaker) for cue in transcript.cues] == [
        ("Hi.", None, None)
    ]
    assert any("without times" in note for note in transcript.notes)


@pytest.mark.parametrize("status", ["queued", "processing", "error"])
def test_a_transcript_that_is_not_completed_is_refused(status: str) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read(status=status, text=None, words=None)
    assert caught.value.element == "status"


def test_a_completed_transcript_of_silence_is_empty() -> None:
    with pytest.raises(EmptyTranscript):
        read(text="", words=[])


def test_words_of_an_utterance_have_times() -> None:
    utterance = said("Hi.", 0, 500, speaker="A", words=[said("Hi.", 100, 400)])
    assert read(utterances=[utterance]).cues[0].words[0].start_s == 0.1


def test_an_identified_speaker_may_be_a_labelled_role() -> None:
    utterances = [said("Hi.", 0, 500, speaker="Therapist"), said("Yes.", 600, 900, speaker="B")]
    transcript = read(utterances=utterances)
    assert transcript.roles == {"Therapist": Role.THERAPIST, "B": Role.UNKNOWN}
