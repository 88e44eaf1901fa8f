import json
from typing import Any

import pytest

from detector.errors import MalformedTranscript
from detector.formats import read_transcript
from detector.transcript import Role, Transcript


def segment(role: str | None, **more: Any) -> dict[str, Any]:
    return {
        "SegmentId": "s",
        "BeginAudioTime": 1.0,
        "EndAudioTime": 2.0,
        "Content": "Fine, I guess.",
        "ParticipantDetails": {"ParticipantRole": role},
        **more,
    }


def item(text: str, start: float, end: float) -> dict[str, Any]:
    return {
        "Type": "pronunciation",
        "BeginAudioTime": start,
        "EndAudioTime": end,
        "Alternatives": [{"Content": text, "Confidence": 0.9}],
    }


MARK = {"Type": "punctuation", "Alternatives": [{"Content": "."}]}


def read(*segments: dict[str, Any], items: tuple[dict[str, Any], ...] = ()) -> Transcript:
    conversation = {"TranscriptSegments": segments, "TranscriptItems": items}
    return read_transcript(json.dumps({"Conversation": conversation}))


@pytest.mark.parametrize(
    ("label", "role"),
    [
        ("CLINICIAN", Role.THERAPIST),
        ("CLINICIAN_1", Role.THERAPIST),
        ("PATIENT", Role.CLIENT),
        ("PATIENT_0", Role.CLIENT),
        ("CAREGIVER", Role.UNKNOWN),
    ],
)
def test_roles_come_labelled_and_the_number_stays_in_the_speaker(label: str, role: Role) -> None:
    (cue,) = read(segment(label)).cues
    assert (cue.speaker, cue.role) == (label, role)


def test_two_patients_are_two_speakers() -> None:
    transcript = read(segment("PATIENT_0"), segment("PATIENT_1", SegmentId="t"))
    assert transcript.speakers == ("PATIENT_0", "PATIENT_1")


def test_a_segment_without_participant_belongs_to_nobody() -> None:
    (cue,) = read(segment(None, ParticipantDetails=None)).cues
    assert (cue.speaker, cue.role) == (None, Role.UNKNOWN)


def test_segment_ids_are_kept() -> None:
    assert read(segment("PATIENT")).cues[0].cue_id == "s"


def test_items_that_spell_the_text_are_its_words() -> None:
    items = (item("guess", 1.6, 2.0), item("Fine", 1.0, 1.3), MARK, item("I", 1.4, 1.5))
    (cue,) = read(segment("PATIENT"), items=items).cues
    assert [word.text for word in cue.words] == ["Fine", "I", "guess"]


def test_items_that_spell_something_else_are_not_believed() -> None:
    assert read(segment("PATIENT"), items=(item("Never", 1.0, 1.3),)).cues[0].words == ()


def test_a_missing_time_is_named() -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read(segment("PATIENT", EndAudioTime=None))
    assert caught.value.element == "Conversation.TranscriptSegments[0].EndAudioTime"
