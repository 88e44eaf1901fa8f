import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import UnknownFormat
from detector.formats import read_transcript
from detector.formats.plain import BEFORE_FIRST, LONE_TIME
from detector.transcript import Role, TimingQuality, Transcript

T, C, UNKNOWN = Role.THERAPIST, Role.CLIENT, Role.UNKNOWN


def said(transcript: Transcript) -> list[tuple[str | None, str]]:
    return [(cue.speaker, cue.text) for cue in transcript.cues]


@pytest.mark.parametrize(
    ("therapist", "client"),
    [("T", "C"), ("Th", "Pt"), ("THERAPIST", "CLIENT"), ("Counsellor", "P"), ("T", "Client")],
)
def test_labels_set_roles(therapist: str, client: str) -> None:
    transcript = read_transcript(f"{therapist}: Hi.\n{client}: Hello.\n{therapist}: So.\n")
    assert transcript.format == "plain"
    assert transcript.roles == {therapist: T, client: C}


def test_two_lines_of_a_pair_are_a_transcript() -> None:
    assert read_transcript("T: Hi.\nC: Hello.").roles == {"T": T, "C": C}


@pytest.mark.parametrize(("one", "two"), [("Interviewer", "P"), ("A", "B"), ("C", "P")])
def test_labels_that_do_not_say_it_leave_roles_open(one: str, two: str) -> None:
    transcript = read_transcript(f"{one}: Hi.\n{two}: Hello.\n{one}: So.\n{two}: Yes.\n")
    assert transcript.roles == {one: UNKNOWN, two: UNKNOWN}


def test_numbered_labels_give_speaker_and_cue_id() -> None:
    transcript = read_transcript("T1: Hi.\nC1: Hello.\nand more\nT2: So.\nC2: Yes.\n")
    assert [(c.cue_id, c.speaker, c.role, c.text) for c in transcript.cues] == [
        ("T1", "T", T, "Hi."),
        ("C1", "C", C, "Hello. and more"),
        ("T2", "T", T, "So."),
        ("C2", "C", C, "Yes."),
    ]


def test_numbers_may_run_on_over_both_speakers() -> None:
    transcript = read_transcript("T1: Hi.\nC2: Hello.\nT3: So.\nC4: Yes.\n")
    assert [cue.cue_id for cue in transcript.cues] == ["T1", "C2", "T3", "C4"]


def test_numbered_names_that_come_back_are_speakers() -> None:
    text = "Speaker 1: Hi.\nSpeaker 2: Hello.\nSpeaker 1: So.\nSpeaker 2: Yes.\n"
    assert read_transcript(text).speakers == ("Speaker 1", "Speaker 2")


@pytest.mark.parametrize(
    "stamp", ["[00:01:02]", "(00:01:02)", "00:01:02", "[1:02]", "[00:01:02.0]", "1:02"]
)
def test_a_time_before_the_label_is_the_start(stamp: str) -> None:
    transcript = read_transcript(f"{stamp} THERAPIST: Hi.\n{stamp} CLIENT: At 10:30 we left.\n")
    assert [c.start_s for c in transcript.cues] == [62.0, 62.0]
    assert said(transcript) == [("THERAPIST", "Hi."), ("CLIENT", "At 10:30 we left.")]
    assert transcript.timing_quality is TimingQuality.START_ONLY


def test_a_time_on_the_line_above_is_the_start_too() -> None:
    transcript = read_transcript("[00:01:02]\nT: Hi.\n\n[00:01:05]\nC: Hello.\n")
    assert [c.start_s for c in transcript.cues] == [62.0, 65.0]
    assert [d.reason for d in transcript.dropped] == [LONE_TIME] * 2


def test_wrapped_lines_go_on_and_keep_their_times_and_colons() -> None:
    transcript = read_transcript(
        "T: Hi.\nC: We met at\n10:30 and then\n10:45\nI said: no\nso\n\n"
        "[00:02:00] it ended.\nT: Oh.\n"
    )
    assert said(transcript)[1] == (
        "C",
        "We met at 10:30 and then 10:45 I said: no so it ended.",
    )


def test_text_above_the_first_speaker_is_dropped_and_counted() -> None:
    transcript = read_transcript("Session 3\nDate: today\n\nT: Hi.\nC: Hello.\nT: So.\n")
    assert [(d.where, d.reason) for d in transcript.dropped] == [
        ("line 1", BEFORE_FIRST),
        ("line 2", BEFORE_FIRST),
    ]


def test_a_header_of_labels_is_dropped_even_where_every_line_has_one() -> None:
    transcript = read_transcript("Date: today\nPlace: here\nT: Hi.\nC: Hello.\nT: So.\nC: Yes.\n")
    assert transcript.speakers == ("T", "C")
    assert len(transcript.dropped) == 2


def test_the_only_line_of_the_first_speaker_is_no_header() -> None:
    transcript = read_transcript("Ann: Hi.\nBob: Hello.\nBob: So.\n")
    assert transcript.speakers == ("Ann", "Bob")


def test_a_label_without_speech_is_dropped() -> None:
    transcript = read_transcript("T: Hi.\nC:\nT: So.\nC: Yes.\n")
    assert [(d.where, d.reason) for d in transcript.dropped] == [("line 2", "empty text")]


def test_names_without_roles_are_read() -> None:
    transcript = read_transcript("Ann Lee: Hi.\nBob: Hello.\nAnn Lee: So.\nBob: Yes.\n")
    assert transcript.roles == {"Ann Lee": UNKNOWN, "Bob": UNKNOWN}


def test_one_speaker_alone_is_read() -> None:
    assert read_transcript("Ann: Hi.\nAnn: Hello.\n").speakers == ("Ann",)


def test_right_to_left_labels_and_emoji_are_read() -> None:
    transcript = read_transcript("מטפל: שלום 😀\nדנה: בסדר\nמטפל: כן\nדנה: טוב\n")
    assert said(transcript)[0] == ("מטפל", "שלום 😀")


@pytest.mark.parametrize(
    "text",
    [
        "Once there was a man. At 10:30 he left.\nHe said: no.\nThen he said: yes.\n",
        "Client: J.\nDate: today\nTherapist: R.\nNotes: all is well\n",
        "# Read me\n\nInstall: run it.\nUse: run it again.\n",
        "just words",
    ],
)
def test_prose_and_forms_are_no_transcript(text: str) -> None:
    with pytest.raises(UnknownFormat):
        read_transcript(text)


words = st.from_regex(r"[A-Za-zéא😀]{1,9}[.,?!]?", fullmatch=True)
texts = st.lists(words, min_size=1, max_size=8).map(" ".join)


@given(
    st.lists(st.tuples(st.sampled_from("TC"), texts, st.integers(0, 30_000)), max_size=12),
    st.sampled_from(["[{}] ", "({}) ", "{} ", ""]),
)
def test_what_is_written_as_plain_text_is_read_back(
    more: list[tuple[str, str, int]], stamp: str
) -> None:
    spoken = [("T", "Hi.", 1), ("C", "Hello.", 2), *more]
    lines = []
    for who, text, start in spoken:
        clock = f"{start // 3600:02d}:{start // 60 % 60:02d}:{start % 60:02d}"
        lines.append(f"{stamp.format(clock)}{who}: {text}")
    transcript = read_transcript("\n".join(lines))
    assert said(transcript) == [(who, text) for who, text, _ in spoken]
    if stamp:
        assert [c.start_s for c in transcript.cues] == [start for _, _, start in spoken]
