from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import MalformedTranscript
from detector.formats import read_transcript
from detector.formats.chat import clean
from detector.transcript import Role, Transcript

FIXTURES = Path(__file__).parents[2] / "fixtures" / "formats" / "chat_cha"


def read(*lines: str, participants: str = "THE Therapist, CLI Client") -> Transcript:
    head = ("@UTF8", "@Begin", "@Languages:\teng", f"@Participants:\t{participants}")
    return read_transcript("\n".join((*head, *lines, "@End")) + "\n")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("hello there .", "hello there."),
        ("homework & you don't listen .", "homework & you don't listen."),
        ("at 10:30 , he left .", "at 10:30, he left."),
        ("how did it go ? .", "how did it go?"),
        ("the point. You keep . \x151_2\x15", "the point. You keep."),
        ("&-um I &+w want &~ba it .", "um I w want ba it."),
        ("<I want> [//] I need it .", "I want I need it."),
        ("I [/] I know .", "I I know."),
        ("xxx then yyy, www .", "[inaudible] then [inaudible], [untranscribed]."),
        ("(be)cause (.) I (1.5) run(ning) (..) .", "because I running."),
        ("⌈2 Yeah ⌉2 ⌊2 no ⌋2 .", "Yeah no."),
        ("gonna [: going to] go .", "gonna go."),
        ("he goed [* m:=ed] home [= the flat] [+ exc] .", "he goed home."),
        ("&=laughs okay &=imit:dog .", "[laughs] okay [imit]."),
        ("no [=! crying loudly] .", "no [crying loudly]."),
        ("0is that 0the all ?", "that all?"),
        ("that was +...", "that was…"),
        ("but I +/.", "but I—"),
        ("did he +//?", "did he—?"),
        ('+" never again +".', "never again."),
        ("+< mhm .", "mhm."),
        ("no::: way: .", "no way."),
        ("gato@s:spa woof@o b@l .", "gato woof b."),
        ("Mr_Rivera and ice+cream .", "Mr Rivera and ice cream."),
        ("mama ‡ look , you did „ right ?", "mama, look, you did, right?"),
        ("yes &*CLI:mhm sure .", "yes sure."),
        ("↑what↓ °quiet° ∆fast∆ .", "what quiet fast."),
        ("she said “no” .", "she said “no”."),
        ("it was (laughs) fine .", "it was (laughs) fine."),
        ("[inaudible] okay .", "[inaudible] okay."),
    ],
)
def test_codes_become_readable_text(said: str, text: str) -> None:
    assert clean(said) == text


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_cleaning_never_raises_and_leaves_no_bullet(said: str) -> None:
    assert "\x15" not in clean(said)


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[a-z]{2,8}", fullmatch=True), min_size=1, max_size=12))
def test_plain_words_are_never_lost(words: list[str]) -> None:
    plain = [word for word in words if word not in ("xxx", "xx", "yyy", "yy", "www")]
    assert clean(" ".join((*plain, "."))).split() == " ".join(plain).split()[:-1] + (
        [plain[-1] + "."] if plain else ["."]
    )


def test_the_codes_of_a_session_are_read() -> None:
    transcript = read_transcript(FIXTURES / "constructed_codes.cha")
    assert [cue.text for cue in transcript.cues][:4] == [
        "So um last week last week we agreed you'd try the thought record.",
        "Yeah because [inaudible].",
        "it's 10:30 how did it go?",
        "[laughs] I don't kn know no…",
    ]
    assert (transcript.cues[0].start_s, transcript.cues[0].end_s) == (12.0, 17.4)


def test_tiers_and_silent_utterances_are_dropped_and_counted() -> None:
    transcript = read_transcript(FIXTURES / "constructed_codes.cha")
    assert [(drop.where, drop.reason) for drop in transcript.dropped] == [
        ("line 11", "a dependent tier"),
        ("line 16", "no speech in the utterance"),
    ]


@pytest.mark.parametrize(
    ("participants", "role"),
    [
        ("SPK Therapist", Role.THERAPIST),
        ("SPK Therapist Investigator", Role.THERAPIST),
        ("SPK Dr_Rivera Counselor", Role.THERAPIST),
        ("SPK Jane_Clinician Adult", Role.THERAPIST),
        ("SPK Sam Client", Role.CLIENT),
        ("SPK Patient Participant", Role.CLIENT),
        ("SPK Investigator", Role.UNKNOWN),
        ("SPK Interviewer", Role.UNKNOWN),
        ("SPK Sam Participant", Role.UNKNOWN),
        ("SPK Client Therapist", Role.UNKNOWN),
        ("OTH Therapist", Role.UNKNOWN),
        ("", Role.UNKNOWN),
    ],
)
def test_a_role_is_set_only_where_a_participant_is_labelled(participants: str, role: Role) -> None:
    assert read("*SPK:\thello .", participants=participants).cues[0].role is role


def test_the_code_alone_labels_nothing() -> None:
    transcript = read("*THE:\thello .", participants="THE Adult")
    assert transcript.roles == {"THE": Role.UNKNOWN}


def test_an_id_header_labels_a_role_too() -> None:
    transcript = read("@ID:\teng|demo|CLI|||||Patient|||", "*CLI:\tyes .", participants="CLI Adult")
    assert transcript.cues[0].role is Role.CLIENT


def test_continuation_lines_belong_to_the_utterance() -> None:
    (cue,) = read("*CLI:\tI do not", "\tknow . \x15100_900\x15").cues
    assert (cue.text, cue.start_s, cue.end_s) == ("I do not know.", 0.1, 0.9)


def test_several_bullets_span_from_the_first_to_the_last() -> None:
    (cue,) = read("*CLI:\tyes . \x15100_200\x15 no . \x15300_900\x15").cues
    assert (cue.start_s, cue.end_s) == (0.1, 0.9)


def test_an_old_bullet_with_a_file_name_is_read() -> None:
    (cue,) = read('*CLI:\tyes . \x15%snd:"session"_100_200\x15').cues
    assert (cue.text, cue.start_s, cue.end_s) == ("yes.", 0.1, 0.2)


def test_a_broken_bullet_takes_no_speech_with_it() -> None:
    (cue,) = read("*CLI:\tyes \x15 I said so .").cues
    assert (cue.text, cue.start_s) == ("yes I said so.", None)


def test_without_bullets_there_are_no_times() -> None:
    assert not read("*CLI:\tyes .").is_timed


def test_a_bullet_that_runs_backwards_loses_its_end_with_a_note() -> None:
    transcript = read("*CLI:\tyes . \x15900_100\x15")
    assert transcript.cues[0].end_s is None
    assert len(transcript.notes) == 1


def test_an_utterance_without_terminator_is_speech() -> None:
    assert read("*CLI:\tyes").cues[0].text == "yes"


def test_a_file_that_breaks_off_is_noted() -> None:
    transcript = read_transcript("@UTF8\n@Begin\n*CLI:\tyes .\n")
    assert any("no @End" in note for note in transcript.notes)


@pytest.mark.parametrize("line", ["yes .", "*CLI yes .", "> quoted"])
def test_a_line_of_no_kind_is_named(line: str) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read("*CLI:\tyes .", line)
    assert caught.value.line == 6
