import json
from typing import Any

import pytest

from detector.errors import EmptyTranscript
from detector.formats import read_transcript
from detector.transcript import Transcript


def read(*sentences: dict[str, Any], **meta: Any) -> Transcript:
    return read_transcript(json.dumps({"sentences": sentences, "meta": meta}))


def sentence(**more: Any) -> dict[str, Any]:
    return {
        "media_channel": 1,
        "start_time": "12.0",
        "end_time": "17.4",
        "transcript": "Yes.",
        "sid": "GX0",
        "words": None,
        **more,
    }


def test_numbers_are_strings_and_the_channel_is_the_speaker() -> None:
    (cue,) = read(sentence(media_channel=0)).cues
    assert (cue.cue_id, cue.speaker, cue.start_s, cue.end_s) == ("GX0", "0", 12.0, 17.4)


def test_a_page_that_is_followed_by_others_is_noted() -> None:
    transcript = read(sentence(), next_page_url="https://example.org/2")
    assert any("more sentences follow" in note for note in transcript.notes)


def test_a_page_that_is_not_the_first_is_noted() -> None:
    transcript = read(sentence(), previous_page_url="https://example.org/1")
    assert any("not the first page" in note for note in transcript.notes)


def test_the_only_page_has_no_note() -> None:
    assert read(sentence(), next_page_url=None).notes == ()


def test_words_are_kept_where_they_come() -> None:
    words = [{"word": "Yes.", "start_time": "12.1", "end_time": "12.4"}]
    assert read(sentence(words=words)).cues[0].words[0].start_s == 12.1


def test_no_sentences_are_an_empty_transcript() -> None:
    with pytest.raises(EmptyTranscript):
        read()
