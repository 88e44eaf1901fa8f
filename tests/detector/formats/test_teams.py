import io
from collections.abc import Sequence

import docx
import pytest

from detector.errors import MalformedTranscript, UnknownFormat
from detector.formats import read_transcript
from detector.formats.teams import NOT_A_TURN
from detector.transcript import Role, TimingQuality, Transcript


def read(*paragraphs: str) -> Transcript:
    return read_transcript(saved(paragraphs))


def saved(paragraphs: Sequence[str]) -> bytes:
    document = docx.Document()
    for text in paragraphs:
        document.add_paragraph(text)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def test_one_paragraph_holds_name_time_and_speech() -> None:
    transcript = read("Ann   0:04\nHi.", "Bob Lee   1:02:03\nAt 10:30 we left.\nI said: no.")
    assert transcript.format == "teams_docx"
    assert [(c.speaker, c.start_s, c.end_s, c.text) for c in transcript.cues] == [
        ("Ann", 4.0, None, "Hi."),
        ("Bob Lee", 3723.0, None, "At 10:30 we left. I said: no."),
    ]
    assert transcript.timing_quality is TimingQuality.START_ONLY


def test_what_is_no_turn_is_dropped_and_counted() -> None:
    transcript = read(
        "Meeting-20260108-Recording",
        "8 January 2026, 10:00am",
        "Ann started transcription",
        "Ann   0:04\nHi.",
        "Ann stopped transcription",
    )
    assert len(transcript.cues) == 1
    assert {drop.reason for drop in transcript.dropped} == {NOT_A_TURN}
    assert [drop.where for drop in transcript.dropped] == [
        "paragraph 1",
        "paragraph 2",
        "paragraph 3",
        "paragraph 5",
    ]


def test_a_tab_or_hard_spaces_part_name_and_time() -> None:
    transcript = read("Ann\t0:04\nHi.", "Bob\xa0\xa0\xa00:09\nHello.")
    assert transcript.speakers == ("Ann", "Bob")


def test_a_turn_without_speech_is_dropped() -> None:
    transcript = read("Ann   0:04\n", "Bob   0:09\nHello.")
    assert [drop.reason for drop in transcript.dropped] == ["empty text"]


def test_a_document_of_headers_alone_is_no_transcript() -> None:
    with pytest.raises(UnknownFormat):
        read("Ann   0:04", "Bob   0:09")


def test_names_that_are_role_words_set_roles() -> None:
    assert read("Therapist   0:04\nHi.").roles == {"Therapist": Role.THERAPIST}


def test_the_older_form_has_times_name_and_speech_in_lines() -> None:
    transcript = read(
        "Title",
        "0:0:5.100 --> 0:0:8.250",
        "Ann",
        "Hi.",
        "Again.",
        "",
        "0:0:9.0 --> 0:0:10.0",
        "Bob",
        "So.",
        "",
        "Ann stopped transcription",
    )
    assert transcript.format == "teams_docx_arrows"
    assert [(c.speaker, c.start_s, c.end_s, c.text) for c in transcript.cues] == [
        ("Ann", 5.1, 8.25, "Hi. Again."),
        ("Bob", 9.0, 10.0, "So."),
    ]
    assert [drop.where for drop in transcript.dropped] == ["paragraph 1", "paragraph 11"]


def test_the_older_form_in_one_paragraph_a_cue_is_read_too() -> None:
    transcript = read("0:0:5.1 --> 0:0:8.25\nAnn\nHi.", "0:0:9.0 --> 0:0:10.0\nBob\nSo.")
    assert [(c.speaker, c.text) for c in transcript.cues] == [("Ann", "Hi."), ("Bob", "So.")]


def test_a_line_alone_below_times_is_speech_without_a_speaker() -> None:
    transcript = read("0:0:5.1 --> 0:0:8.25", "Hi.", "", "0:0:9.0 --> 0:0:10.0", "", "")
    assert [(c.speaker, c.text) for c in transcript.cues] == [(None, "Hi.")]
    assert [(d.where, d.reason) for d in transcript.dropped] == [("paragraph 4", "empty text")]


def test_broken_times_of_the_older_form_are_refused_with_their_place() -> None:
    with pytest.raises(MalformedTranscript, match="paragraph 4: the times"):
        read("0:0:5.1 --> 0:0:8.25", "Ann", "Hi.", "0:0:x --> 0:0:10.0", "Bob", "So.")


def test_a_negative_start_of_the_older_form_becomes_zero() -> None:
    transcript = read("-0:0:2.0 --> 0:0:8.0", "Ann", "Hi.")
    assert transcript.cues[0].start_s == 0.0
    assert "1 starts below 0 set to 0 (first: paragraph 1)." in transcript.notes


def test_a_letter_that_mentions_a_time_is_no_transcript() -> None:
    with pytest.raises(UnknownFormat):
        read("We meet at  10:30", "and again  11:30 then")
