import pytest

from detector.errors import MalformedTranscript
from detector.formats import read_transcript
from detector.formats.session_text import HEADER
from detector.transcript import Role, TimingQuality


def test_times_role_and_speech_are_read() -> None:
    transcript = read_transcript("06:12.4-06:20.9 T: So.\n1:06:21.4-1:06:23.0 C: Yes.\n")
    assert transcript.format == "session_text"
    assert [(c.start_s, c.end_s, c.role) for c in transcript.cues] == [
        (372.4, 380.9, Role.THERAPIST),
        (3981.4, 3983.0, Role.CLIENT),
    ]
    assert transcript.timing_quality is TimingQuality.CUE


@pytest.mark.parametrize(
    "line",
    [
        "C [minimal_response:2:task] Yes: I do.",
        "C [minimal_response:2:task]: Yes: I do.",
        "C [minimal_response:2:task,denial:1:bond]: Yes: I do.",
        "C: Yes: I do.",
        "T {redirects,!}: Yes: I do.",
        "T {!} Yes: I do.",
    ],
)
def test_labels_are_left_out_of_the_speech(line: str) -> None:
    transcript = read_transcript(f"00:01.0-00:02.0 {line}")
    assert transcript.cues[0].text == "Yes: I do."
    shown = repr(transcript) + " ".join(transcript.notes)
    assert "minimal_response" not in shown
    assert "redirects" not in shown


@pytest.mark.parametrize("line", ["C: [laughs] Yes.", "C [denial:2:task] [laughs] Yes."])
def test_sounds_in_brackets_are_kept(line: str) -> None:
    assert read_transcript(f"00:01.0-00:02.0 {line}").cues[0].text == "[laughs] Yes."


def test_header_lines_are_dropped_and_counted() -> None:
    transcript = read_transcript('# {"id":"x","notes":"secret"}\n00:01.0-00:02.0 T: So.\n# {}\n')
    assert [(d.where, d.reason) for d in transcript.dropped] == [
        ("line 1", HEADER),
        ("line 3", HEADER),
    ]
    assert "secret" not in repr(transcript)


@pytest.mark.parametrize("line", ["00:03.0 T: So.", "00:03.0-00:99.0 T: So.", "wrapped text"])
def test_another_line_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read_transcript(f"00:01.0-00:02.0 T: So.\n{line}\n")
    assert caught.value.line == 2


def test_an_empty_turn_is_dropped() -> None:
    transcript = read_transcript("00:01.0-00:02.0 T: So.\n00:03.0-00:04.0 C:\n")
    assert [d.reason for d in transcript.dropped] == ["empty text"]


def test_an_end_before_its_start_is_left_out() -> None:
    transcript = read_transcript("00:05.0-00:02.0 T: So.\n")
    assert (transcript.cues[0].start_s, transcript.cues[0].end_s) == (5.0, None)
