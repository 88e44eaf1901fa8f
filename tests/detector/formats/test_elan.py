from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from detector.errors import MalformedTranscript
from detector.formats import read_transcript
from detector.transcript import Role, Transcript

FIXTURE = Path(__file__).parents[2] / "fixtures" / "formats" / "elan" / "constructed.eaf"


def annotation(number: int, text: str, start: int, end: int) -> str:
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" TIME_SLOT_REF1="ts{start}" '
        f'TIME_SLOT_REF2="ts{end}"><ANNOTATION_VALUE>{escape(text)}</ANNOTATION_VALUE>'
        "</ALIGNABLE_ANNOTATION></ANNOTATION>"
    )


def tier(name: str, *annotations: str, more: str = "") -> str:
    return f'<TIER TIER_ID="{name}" {more}>{"".join(annotations)}</TIER>'


def document(*tiers: str, times: tuple[int | None, ...] = (1000, 2000, 3000, 4000)) -> str:
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="ts{number}"/>'
        if time is None
        else f'<TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{time}"/>'
        for number, time in enumerate(times)
    )
    return (
        f"<ANNOTATION_DOCUMENT><TIME_ORDER>{slots}</TIME_ORDER>{''.join(tiers)}"
        "</ANNOTATION_DOCUMENT>"
    )


def read(*tiers: str, times: tuple[int | None, ...] = (1000, 2000, 3000, 4000)) -> Transcript:
    return read_transcript(document(*tiers, times=times))


def test_the_participant_is_the_speaker_and_else_the_tier() -> None:
    transcript = read(
        tier("T1", annotation(1, "Hi.", 0, 1), more='PARTICIPANT="Rivera"'),
        tier("Sam", annotation(2, "Yes.", 2, 3)),
    )
    assert transcript.speakers == ("Rivera", "Sam")
    assert [cue.cue_id for cue in transcript.cues] == ["a1", "a2"]


def test_tiers_are_merged_in_the_order_of_the_talk_without_a_note() -> None:
    transcript = read(
        tier("A", annotation(1, "One.", 0, 1), annotation(2, "Three.", 2, 3)),
        tier("B", annotation(3, "Two.", 1, 2)),
    )
    assert [cue.text for cue in transcript.cues] == ["One.", "Two.", "Three."]
    assert transcript.notes == ()


def test_a_slot_without_a_time_gives_none_and_keeps_its_place() -> None:
    transcript = read(
        tier("A", annotation(1, "One.", 0, 1), annotation(2, "Three.", 1, 2)),
        tier("B", annotation(3, "Four.", 3, 3)),
        times=(1000, None, None, 4000),
    )
    assert [(cue.text, cue.start_s, cue.end_s) for cue in transcript.cues] == [
        ("One.", 1.0, None),
        ("Three.", None, None),
        ("Four.", 4.0, 4.0),
    ]


def test_dependent_tiers_and_empty_annotations_are_dropped_and_counted() -> None:
    transcript = read_transcript(FIXTURE)
    assert [(drop.where, drop.reason) for drop in transcript.dropped] == [
        ("annotation a9", "empty text"),
        ("annotation a10", "on a dependent tier"),
    ]
    assert any("dependent tiers left out: 1." in note for note in transcript.notes)


def test_words_on_a_dependent_tier_are_not_said_twice() -> None:
    words = tier("A-words", annotation(2, "Hi", 0, 1), more='PARENT_REF="A"')
    transcript = read(tier("A", annotation(1, "Hi.", 0, 1)), words)
    assert [cue.text for cue in transcript.cues] == ["Hi."]


def test_an_annotation_without_a_value_is_empty() -> None:
    bare = annotation(2, "", 2, 3).replace("<ANNOTATION_VALUE></ANNOTATION_VALUE>", "")
    transcript = read(tier("A", annotation(1, "Hi.", 0, 1), bare))
    assert len(transcript.dropped) == 1


def test_entities_of_xml_are_read() -> None:
    assert read(tier("A", annotation(1, "you & <me>", 0, 1))).cues[0].text == "you & <me>"


def test_a_tier_called_therapist_labels_the_role() -> None:
    transcript = read(tier("Therapist", annotation(1, "Hi.", 0, 1)))
    assert transcript.cues[0].role is Role.THERAPIST


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_encoding_is_read_whatever_the_xml_declares(encoding: str) -> None:
    text = FIXTURE.read_text("utf-8").replace('encoding="UTF-8"', f'encoding="{encoding}"')
    assert len(read_transcript(text.encode(encoding)).cues) == 8


def test_entities_that_multiply_are_refused_before_parsing() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY l "lol"><!ENTITY m "&l;&l;&l;">]>'
    text = document(tier("A", annotation(1, "Hi.", 0, 1))).replace("Hi.", "&m;")
    with pytest.raises(MalformedTranscript, match="document type") as caught:
        read_transcript(f'<?xml version="1.0"?>\n{bomb}{text}')
    assert caught.value.line == 2


def test_an_outside_document_type_is_refused() -> None:
    text = document(tier("A", annotation(1, "Hi.", 0, 1)))
    with pytest.raises(MalformedTranscript, match="document type"):
        read_transcript(f'<!doctype ANNOTATION_DOCUMENT SYSTEM "file:///etc/passwd">{text}')


def test_a_slot_that_is_not_there_names_the_annotation() -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read(tier("A", annotation(7, "Hi.", 0, 99)))
    assert caught.value.element == "annotation a7"


def test_a_time_that_is_no_number_names_the_slot() -> None:
    text = document(tier("A", annotation(1, "Hi.", 0, 1))).replace('"1000"', '"soon"')
    with pytest.raises(MalformedTranscript) as caught:
        read_transcript(text)
    assert caught.value.element == "TIME_SLOT ts0"


def test_times_in_frames_are_refused() -> None:
    text = FIXTURE.read_text().replace("milliseconds", "PAL-frames")
    with pytest.raises(MalformedTranscript, match="another unit"):
        read_transcript(text)


def test_a_file_that_breaks_off_names_the_line() -> None:
    text = FIXTURE.read_text()
    with pytest.raises(MalformedTranscript) as caught:
        read_transcript(text[: len(text) // 2])
    assert caught.value.line == text[: len(text) // 2].count("\n") + 1
