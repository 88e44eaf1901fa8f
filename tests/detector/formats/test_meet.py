import io

import docx
import pytest

from detector.errors import UnknownFormat
from detector.formats import read_transcript
from detector.formats.meet import NOT_SPEECH, TIMECODE
from detector.transcript import TimingQuality, Transcript

NOTES = ("📝 Notes", "Jan 8, 2026", "Invited sam@example.org", "Summary: Sam is well.")


def read(*paragraphs: str) -> Transcript:
    document = docx.Document()
    for text in paragraphs:
        document.add_paragraph(text)
    file = io.BytesIO()
    document.save(file)
    return read_transcript(file.getvalue())


def said(transcript: Transcript) -> list[tuple[str | None, str]]:
    return [(cue.speaker, cue.text) for cue in transcript.cues]


def test_notes_that_a_machine_wrote_are_dropped_and_counted() -> None:
    transcript = read(*NOTES, "00:00:12", "Ann: Hi.", "Bob: Hello.")
    assert transcript.format == "google_meet_docx"
    assert said(transcript) == [("Ann", "Hi."), ("Bob", "Hello.")]
    assert [drop.reason for drop in transcript.dropped] == [NOT_SPEECH] * 4 + [TIMECODE]


def test_notes_that_look_like_names_before_the_first_time_are_dropped() -> None:
    transcript = read("Ann: agreed to try.", "Ann: will call.", "00:00:12", "Bob: Hello.")
    assert said(transcript) == [("Bob", "Hello.")]


def test_notes_below_the_transcript_are_dropped() -> None:
    transcript = read("00:00:12", "Ann: Hi.", "Nächste Schritte", "Ann: will call Bob.")
    assert said(transcript) == [("Ann", "Hi.")]


def test_speech_after_the_next_time_is_read_again() -> None:
    transcript = read("00:00:12", "Ann: Hi.", "a picture", "00:05:00", "Bob: Hello.")
    assert said(transcript) == [("Ann", "Hi."), ("Bob", "Hello.")]


def test_headings_in_any_language_change_nothing() -> None:
    english = read(*NOTES, "📖 Transcript", "00:00:12", "Ann: Hi.")
    german = read(
        "Notizen", "8. Jan.", "an Sam", "Fazit: gut.", "Protokoll", "00:00:12", "Ann: Hi."
    )
    assert said(english) == said(german)


def test_only_the_speech_right_below_a_time_has_a_start() -> None:
    transcript = read("00:00:12", "Ann: Hi.", "Bob: Hello.", "1:00:47", "Ann: So.")
    assert [cue.start_s for cue in transcript.cues] == [12.0, None, 3647.0]
    assert transcript.timing_quality is TimingQuality.NONE
    assert any("2 of 3 cues carry one" in note for note in transcript.notes)


def test_empty_paragraphs_do_not_close_a_passage() -> None:
    transcript = read("00:00:12", "", "Ann: Hi.", "", "Bob: Hello.")
    assert len(transcript.cues) == 2


def test_speech_of_several_lines_stays_together() -> None:
    transcript = read("00:00:12", "Ann: Hi.\nAt 10:30 we left.\nI said: no.")
    assert said(transcript) == [("Ann", "Hi. At 10:30 we left. I said: no.")]


def test_a_name_without_speech_is_dropped_and_closes_nothing() -> None:
    transcript = read("00:00:12", "Ann:", "Bob: Hello.")
    assert said(transcript) == [("Bob", "Hello.")]


@pytest.mark.parametrize("paragraphs", [NOTES, ("00:00:12",), ("00:00:12", "no name here")])
def test_a_document_without_the_structure_is_no_meet_transcript(
    paragraphs: tuple[str, ...],
) -> None:
    with pytest.raises(UnknownFormat):
        read(*paragraphs)
