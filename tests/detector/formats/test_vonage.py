import json
from typing import Any

from detector.formats import read_transcript
from detector.transcript import Transcript


def said(text: str, start: int, end: int, **more: Any) -> dict[str, Any]:
    return {"sentence": text, "start_ms": start, "end_ms": end, **more}


def read(*channels: list[dict[str, Any]]) -> Transcript:
    return read_transcript(json.dumps({"channels": [{"transcript": one} for one in channels]}))


def test_each_channel_is_a_person_and_the_talk_is_in_order() -> None:
    transcript = read(
        [said("One.", 0, 900), said("Three.", 4000, 4500)], [said("Two.", 2000, 3000)]
    )
    assert [(cue.speaker, cue.text) for cue in transcript.cues] == [
        ("0", "One."),
        ("1", "Two."),
        ("0", "Three."),
    ]


def test_a_silent_first_channel_keeps_its_number() -> None:
    assert read([], [said("Two.", 2000, 3000)]).speakers == ("1",)


def test_a_sentence_that_is_not_final_is_dropped_and_counted() -> None:
    transcript = read([said("On", 0, 100, is_final=False), said("One.", 0, 900, is_final=True)])
    assert [drop.reason for drop in transcript.dropped] == ["not final"]
    assert len(transcript.cues) == 1


def test_the_result_says_that_the_layout_is_not_verified() -> None:
    assert any("not checked against a real file" in n for n in read([said("One.", 0, 9)]).notes)
