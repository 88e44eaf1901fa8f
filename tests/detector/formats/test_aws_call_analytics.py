import json
from typing import Any

from detector.formats import read_transcript
from detector.transcript import Role, Transcript


def turn(role: str, start: int, end: int, text: str, **more: Any) -> dict[str, Any]:
    return {
        "ParticipantRole": role,
        "BeginOffsetMillis": start,
        "EndOffsetMillis": end,
        "Content": text,
        **more,
    }


def read(*turns: dict[str, Any]) -> Transcript:
    return read_transcript(json.dumps({"Transcript": turns, "ConversationCharacteristics": {}}))


def test_agent_and_customer_are_speakers_and_no_roles() -> None:
    transcript = read(turn("AGENT", 0, 900, "Hello?"), turn("CUSTOMER", 1000, 1500, "Hi."))
    assert transcript.roles == {"AGENT": Role.UNKNOWN, "CUSTOMER": Role.UNKNOWN}


def test_turns_that_overlap_keep_their_own_times() -> None:
    transcript = read(turn("AGENT", 0, 5000, "So I think"), turn("CUSTOMER", 3000, 3500, "No."))
    assert [(cue.start_s, cue.end_s) for cue in transcript.cues] == [(0.0, 5.0), (3.0, 3.5)]


def test_items_without_times_are_punctuation_and_no_words() -> None:
    items = [
        {"Type": "pronunciation", "Content": "Hi", "BeginOffsetMillis": 0, "EndOffsetMillis": 400},
        {"Type": "punctuation", "Content": "."},
    ]
    (cue,) = read(turn("AGENT", 0, 400, "Hi.", Items=items, Id="x")).cues
    assert [(word.text, word.end_s) for word in cue.words] == [("Hi", 0.4)]
    assert cue.cue_id == "x"


def test_turns_without_items_have_no_words() -> None:
    assert read(turn("AGENT", 0, 400, "Hi.")).cues[0].words == ()
