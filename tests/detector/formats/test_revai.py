import json
from typing import Any

import pytest

from detector.errors import MalformedTranscript
from detector.formats import read_transcript
from detector.transcript import Transcript


def text(value: str, start: float | None = None, end: float | None = None) -> dict[str, Any]:
    return {"type": "text", "value": value, "ts": start, "end_ts": end}


def mark(value: str) -> dict[str, Any]:
    return {"type": "punct", "value": value}


def monologue(speaker: Any, *elements: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    info = {} if name is None else {"speaker_info": {"display_name": name}}
    return {"speaker": speaker, "elements": elements, **info}


def read(*monologues: dict[str, Any]) -> Transcript:
    return read_transcript(json.dumps({"monologues": monologues}))


def test_values_are_joined_as_they_are() -> None:
    elements = (text("Hi", 0, 0.4), mark(","), mark(" "), text("there", 0.5, 0.9), mark("."))
    (cue,) = read(monologue(0, *elements)).cues
    assert (cue.text, cue.start_s, cue.end_s) == ("Hi, there.", 0.0, 0.9)
    assert [word.text for word in cue.words] == ["Hi", "there"]


def test_a_sentence_with_its_own_full_stop_gets_no_second() -> None:
    (cue,) = read(monologue(0, text("How did it go?", 1, 2), mark("."))).cues
    assert cue.text == "How did it go?"


def test_a_text_element_of_several_words_gives_no_word_times() -> None:
    (cue,) = read(monologue(0, text("How did it go?", 1, 2))).cues
    assert cue.words == ()
    assert (cue.start_s, cue.end_s) == (1.0, 2.0)


def test_speaker_zero_is_a_speaker() -> None:
    assert read(monologue(0, text("Hi", 0, 1))).speakers == ("0",)


def test_display_names_are_the_speakers() -> None:
    transcript = read(
        monologue(0, text("Hi", 0, 1), name="Dr. Rivera"), monologue(1, text("Yes", 1, 2))
    )
    assert transcript.speakers == ("Dr. Rivera", "1")


def test_two_people_of_one_display_name_stay_two() -> None:
    transcript = read(
        monologue(0, text("Hi", 0, 1), name="Speaker"),
        monologue(1, text("Yes", 1, 2), name="Speaker"),
    )
    assert transcript.speakers == ("0", "1")


def test_untimed_elements_make_an_untimed_cue() -> None:
    (cue,) = read(monologue(0, text("Hi"))).cues
    assert (cue.start_s, cue.end_s) == (None, None)


def test_a_monologue_of_white_space_is_dropped() -> None:
    transcript = read(monologue(0, text("Hi", 0, 1)), monologue(1, mark(" ")))
    assert [drop.where for drop in transcript.dropped] == ["monologues[1]"]


def test_a_value_that_is_no_text_is_named() -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read(monologue(0, {"type": "text", "value": 3}))
    assert caught.value.element == "monologues[0].elements[0].value"
