import pytest

from detector.errors import EmptyTranscript, UnknownFormat
from detector.formats import read_transcript
from detector.formats.otter import BEFORE_FIRST, FOOTER
from detector.transcript import Role


def test_a_turn_is_a_header_and_the_lines_below_it() -> None:
    transcript = read_transcript("Ann Lee  0:12  \nHi.\nthere\n\nBob  1:02:03\nHello.\n")
    assert transcript.format == "otter"
    assert [(c.speaker, c.start_s, c.end_s, c.text) for c in transcript.cues] == [
        ("Ann Lee", 12.0, None, "Hi. there"),
        ("Bob", 3723.0, None, "Hello."),
    ]


def test_minutes_may_run_past_99() -> None:
    transcript = read_transcript("Ann  99:58\nHi.\n\nBob  100:05\nHello.\n")
    assert [c.start_s for c in transcript.cues] == [5998.0, 6005.0]


def test_a_paragraph_without_a_header_goes_on_with_the_turn() -> None:
    transcript = read_transcript("Ann  0:12\nHi.\n\nmore\n\nBob  0:20\nHello.\n")
    assert transcript.cues[0].text == "Hi. more"


def test_what_stands_above_the_first_turn_and_the_footer_are_dropped() -> None:
    transcript = read_transcript(
        "SUMMARY KEYWORDS\nwork, sleep\n\nSPEAKERS\nAnn\n\nAnn  0:12\nHi.\n\n"
        "Transcribed by https://otter.ai\n"
    )
    assert [d.reason for d in transcript.dropped] == [BEFORE_FIRST] * 4 + [FOOTER]
    assert len(transcript.cues) == 1


def test_the_site_named_in_speech_is_kept() -> None:
    transcript = read_transcript("Ann  0:12\nI use otter.ai at home.\n\nBob  0:20\nOh.\n")
    assert transcript.cues[0].text == "I use otter.ai at home."


def test_a_time_at_the_end_of_a_line_of_speech_is_no_header() -> None:
    transcript = read_transcript("Ann  0:12\nsee you at  10:30\nor later\n")
    assert transcript.cues[0].text == "see you at 10:30 or later"


def test_a_header_without_a_name_has_no_speaker() -> None:
    transcript = read_transcript("Ann  0:12\nHi.\n\n  0:20\nHello.\n")
    assert [c.speaker for c in transcript.cues] == ["Ann", None]


def test_a_turn_without_speech_is_dropped() -> None:
    transcript = read_transcript("Ann  0:12\nHi.\n\nBob  0:20\n\nAnn  0:30\nSo.\n")
    assert [(d.where, d.reason) for d in transcript.dropped] == [("line 4", "empty text")]


def test_role_words_set_roles() -> None:
    transcript = read_transcript("Therapist  0:12\nHi.\n\nClient 1  0:20\nOh.\n")
    assert transcript.roles == {"Therapist": Role.THERAPIST, "Client 1": Role.CLIENT}


def test_prose_is_not_otter() -> None:
    with pytest.raises(UnknownFormat):
        read_transcript("We met at 10:30\nand left.\n")


def test_a_turn_of_the_footer_alone_is_empty() -> None:
    with pytest.raises(EmptyTranscript):
        read_transcript("Ann  0:12\nhttps://otter.ai\n")
