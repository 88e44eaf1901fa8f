import json
from typing import Any

import pytest

from detector.errors import EmptyTranscript, MalformedTranscript
from detector.formats import read_transcript
from detector.transcript import Transcript


def read(**results: Any) -> Transcript:
    return read_transcript(json.dumps({"metadata": {}, "results": results}))


def channels(*alternatives: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"alternatives": [alternative]} for alternative in alternatives]


def utterance(text: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    return {"transcript": text, "start": start, "end": end, **more}


def word(text: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    return {"word": text.lower(), "punctuated_word": text, "start": start, "end": end, **more}


def test_speaker_zero_is_a_speaker() -> None:
    transcript = read(utterances=[utterance("Hi.", 0, 1, speaker=0, channel=0)])
    assert transcript.speakers == ("0",)


def test_without_diarisation_nobody_speaks() -> None:
    transcript = read(
        utterances=[utterance("Hi.", 0, 1, channel=0), utterance("Yes.", 1, 2, channel=0)]
    )
    assert transcript.speakers == ()


def test_utterance_ids_and_words_are_kept() -> None:
    said = utterance("Hi.", 0, 1, id="u7", words=[word("Hi.", 0, 0.4)])
    (cue,) = read(utterances=[said]).cues
    assert (cue.cue_id, cue.words[0].text, cue.words[0].end_s) == ("u7", "Hi.", 0.4)


def test_channels_of_one_speaker_each_are_two_people() -> None:
    transcript = read(
        utterances=[utterance("Hi.", 0, 1, channel=0), utterance("Yes.", 1, 2, channel=1)]
    )
    assert transcript.speakers == ("0", "1")


def test_speaker_zero_of_two_channels_is_two_people() -> None:
    transcript = read(
        utterances=[
            utterance("Hi.", 0, 1, channel=0, speaker=0),
            utterance("Yes.", 1, 2, channel=1, speaker=0),
        ]
    )
    assert transcript.speakers == ("0/0", "1/0")


def test_without_utterances_words_are_put_together_by_speaker() -> None:
    words = [word("Hi", 0, 1, speaker=0), word("there.", 1, 2, speaker=0)]
    words.append(word("Yes.", 3, 4, speaker=1))
    transcript = read(channels=channels({"transcript": "", "words": words}))
    assert [(cue.speaker, cue.text) for cue in transcript.cues] == [
        ("0", "Hi there."),
        ("1", "Yes."),
    ]


def test_without_words_the_sentences_of_paragraphs_are_cues() -> None:
    sentences = [{"text": "Hi.", "start": 0, "end": 1}, {"text": "So?", "start": 1, "end": 2}]
    paragraphs = {"paragraphs": [{"speaker": 0, "sentences": sentences}]}
    transcript = read(channels=channels({"transcript": "Hi. So?", "paragraphs": paragraphs}))
    assert [(cue.speaker, cue.text) for cue in transcript.cues] == [("0", "Hi."), ("0", "So?")]


def test_with_nothing_but_a_text_there_is_one_untimed_cue_and_a_note() -> None:
    transcript = read(channels=channels({"transcript": "Hi. So?"}))
    assert [(cue.text, cue.start_s) for cue in transcript.cues] == [("Hi. So?", None)]
    assert any("without times" in note for note in transcript.notes)


def test_silence_is_an_empty_transcript() -> None:
    with pytest.raises(EmptyTranscript):
        read(channels=channels({"transcript": "", "words": []}))


@pytest.mark.parametrize("start", [None, "soon", True, float("inf")])
def test_a_broken_start_is_named(start: Any) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read(utterances=[utterance("Hi.", 0, 1), utterance("So?", start, 2)])
    assert caught.value.element == "results.utterances[1].start"


def test_cues_out_of_order_are_sorted_and_noted() -> None:
    transcript = read(
        utterances=[utterance("Two.", 5, 6, speaker=0), utterance("One.", 1, 2, speaker=1)]
    )
    assert [cue.text for cue in transcript.cues] == ["One.", "Two."]
    assert any("out of order" in note for note in transcript.notes)
