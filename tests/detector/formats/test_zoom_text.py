import pytest

from detector.errors import MalformedTranscript
from detector.formats import read_transcript
from detector.formats.zoom_text import TYPED, WALL_CLOCK, to_recording


def test_a_chat_has_time_name_and_text_between_tabs() -> None:
    transcript = read_transcript("00:00:12\tAnn Lee:\tHi.\n00:00:20\t Bob:\tI said: no\n")
    assert transcript.format == "zoom_chat"
    assert [(c.speaker, c.start_s, c.text) for c in transcript.cues] == [
        ("Ann Lee", 12.0, "Hi."),
        ("Bob", 20.0, "I said: no"),
    ]
    assert transcript.notes == (TYPED,)


@pytest.mark.parametrize(
    "line",
    [
        "00:00:12 From Ann to Everyone: Hi.",
        "00:00:12\t From  Ann to Everyone : Hi.",
        "00:00:12 From Ann to Bob (Direct Message): Hi.",
        "00:00:12 From Ann: Hi.",
        "00:00:12 From Ann To Everyone:\n\tHi.",
    ],
)
def test_a_chat_says_from_whom_and_to_whom(line: str) -> None:
    transcript = read_transcript(line)
    assert transcript.format == "zoom_chat"
    assert [(c.speaker, c.text) for c in transcript.cues] == [("Ann", "Hi.")]


def test_saved_captions_have_the_wall_clock_in_front() -> None:
    transcript = read_transcript("17:32:36 hello\n17:32:40 at 10:30 we left\n and more\n")
    assert transcript.format == "zoom_saved"
    assert [(c.speaker, c.start_s, c.text) for c in transcript.cues] == [
        (None, 0.0, "hello"),
        (None, 4.0, "at 10:30 we left and more"),
    ]
    assert WALL_CLOCK in transcript.notes


def test_saved_captions_with_names_in_brackets_are_read() -> None:
    transcript = read_transcript("[Ann Lee] 10:00:12\nHi.\nthere\n\n[Bob] 10:00:20\nHello.\n")
    assert [(c.speaker, c.start_s, c.text) for c in transcript.cues] == [
        ("Ann Lee", 0.0, "Hi. there"),
        ("Bob", 8.0, "Hello."),
    ]


def test_an_empty_message_is_dropped() -> None:
    transcript = read_transcript("00:00:12\tAnn:\t\n00:00:20\tBob:\tHello.\n")
    assert [(d.where, d.reason) for d in transcript.dropped] == [("line 1", "empty text")]


def test_a_time_that_no_clock_shows_is_refused_with_its_line() -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read_transcript("00:00:12\tAnn:\tHi.\n00:99:20\tBob:\tHello.\n")
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("clocks", "counted"),
    [
        ([12.0, 21.0], [12.0, 21.0]),
        ([36_000.0, 36_009.0], [0.0, 9.0]),
        ([86_390.0, 5.0, 20.0], [0.0, 15.0, 30.0]),
        ([36_000.0, 35_990.0], [0.0, -10.0]),
        ([], []),
    ],
)
def test_times_of_day_count_from_the_first_and_pass_midnight(
    clocks: list[float], counted: list[float]
) -> None:
    assert to_recording(clocks) == counted


def test_a_step_back_behind_the_first_line_is_noted() -> None:
    transcript = read_transcript("17:32:36 hello\n17:32:30 there\n")
    assert [c.start_s for c in transcript.cues] == [0.0, 0.0]
    assert any("below 0" in note for note in transcript.notes)
