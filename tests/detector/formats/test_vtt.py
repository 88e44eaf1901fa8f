import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import (
    EmptyTranscript,
    MalformedTranscript,
    TranscriptError,
    UnknownFormat,
)
from detector.formats import read_transcript
from detector.formats.vtt import split_voices
from detector.transcript import Role, TimingQuality, Transcript


def read(*blocks: str) -> Transcript:
    return read_transcript("\n\n".join(["WEBVTT", *blocks]) + "\n")


def cue(text: str, times: str = "00:01.000 --> 00:02.000") -> str:
    return f"{times}\n{text}"


def spans(transcript: Transcript) -> list[tuple[float | None, float | None]]:
    return [(c.start_s, c.end_s) for c in transcript.cues]


def test_unpadded_times_of_teams_are_read() -> None:
    transcript = read(cue("<v Ann>Hi.</v>", "0:0:0.0 --> 0:0:17.4"))
    assert transcript.format == "teams_vtt"
    assert spans(transcript) == [(0.0, 17.4)]


@pytest.mark.parametrize(
    "times",
    [
        "0:0:12 --> 0:0:17.4",
        "00:00:12,000 --> 00:00:17,4",
        "00:12.0 --> 00:17.40",
        "00:00:12.000 --> 00:00:17.400 align:start size:50%",
    ],
)
def test_times_that_libraries_drop_are_read(times: str) -> None:
    assert spans(read(cue("<v Ann>Hi.</v>", times))) == [(12.0, 17.4)]


def test_a_start_below_zero_becomes_zero_with_a_note() -> None:
    transcript = read(cue("<v Ann>Hi.</v>", "-00:00:02.000 --> 00:00:01.500"))
    assert spans(transcript) == [(0.0, 1.5)]
    assert "1 starts below 0 set to 0 (first: line 3)." in transcript.notes


def test_an_end_before_its_start_is_left_out_with_a_note() -> None:
    transcript = read(cue("<v Ann>Hi.</v>", "00:05.000 --> 00:04.000"))
    assert spans(transcript) == [(5.0, None)]
    assert "1 ends before their start left out (first: line 3)." in transcript.notes


def test_more_than_99_hours_are_read() -> None:
    assert spans(read(cue("<v A>x", "100:00:00.000 --> 100:00:01.000"))) == [(360_000, 360_001)]


@pytest.mark.parametrize(
    "times",
    ["00:61.000 --> 00:02.000", "00:01.000 --> 00:0", "x --> y", "00:01.000 --> 00:02.000 speech"],
)
def test_a_cue_whose_times_cannot_be_read_is_refused_with_its_line(times: str) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read(cue("<v Ann>Hi.</v>"), cue("<v Bob>Hello.</v>", times))
    assert caught.value.line == 6
    assert "Hello" not in str(caught.value)


def test_a_cue_that_lost_its_arrow_is_refused_with_its_line() -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read(cue("Hi."), cue("Hello.", "00:03.000 -- 00:04.000"), cue("Yes."))
    assert caught.value.line == 6


@pytest.mark.parametrize("end", ["00:00:4", "00:00:47.2", "00:00:47.200 --", "00:00:47.200 -->"])
def test_a_file_that_breaks_off_in_its_times_is_refused(end: str) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read_transcript(f"WEBVTT\n\n{cue('Hi.')}\n\n{end}")
    assert caught.value.line == 6


def test_a_file_that_breaks_off_after_an_identifier_is_refused() -> None:
    with pytest.raises(MalformedTranscript, match="line 8: the file breaks off"):
        read_transcript(f"WEBVTT\n\n7\n{cue('Hi.')}\n\n\n8\n")


def test_several_voices_of_a_cue_become_several_cues() -> None:
    transcript = read("7\n" + cue("<v Ann>Hi &amp; hello.</v> <v.loud Bob>Not now."))
    assert [(c.cue_id, c.speaker, c.text) for c in transcript.cues] == [
        ("7", "Ann", "Hi & hello."),
        ("7#2", "Bob", "Not now."),
    ]
    assert spans(transcript) == [(1.0, 2.0)] * 2
    assert "1 cues hold several voices; each voice has the whole cue's times." in transcript.notes


def test_one_voice_opened_twice_in_a_cue_stays_one_cue() -> None:
    (only,) = read(cue("<v Ann>Hi.</v>\n<v Ann>Again.</v>")).cues
    assert only.text == "Hi. Again."


@pytest.mark.parametrize(
    ("payload", "voices"),
    [
        ("<v Ann>Hi", [("Ann", "Hi")]),
        ("<v.first.loud Ann Lee>Hi</v>", [("Ann Lee", "Hi")]),
        ("<v O&apos;Neil>A &lt;b&gt; c</v>", [("O'Neil", "A <b> c")]),
        (
            "<v Ann>one</v> between <v Bob>two</v>",
            [("Ann", "one"), (None, "between"), ("Bob", "two")],
        ),
        ("<v Ann:>Hi</v>", [("Ann", "Hi")]),
        ("<v>Ann:</v> Hi", [("Ann", "Hi")]),
        ("<v>Ann:</v> Hi <v>Bob:</v> Yes", [("Ann", "Hi"), ("Bob", "Yes")]),
        ("<v>no name</v>", [(None, "no name")]),
        ("<v 0>Hi</v>", [("0", "Hi")]),
        ("<i>Hi</i> <c.red>there</c><00:00:01.000> now", [(None, "Hi there now")]),
        ("I <3 you & AT&T <", [(None, "I <3 you & AT&T <")]),
        ("a&nbsp;b &#233; &#x1F600; &bogus;", [(None, "a b é 😀 &bogus;")]),
        ("<video>x", [(None, "x")]),
    ],
)
def test_voices_tags_and_entities_are_told_apart(
    payload: str, voices: list[tuple[str | None, str]]
) -> None:
    assert [voice for voice in split_voices(payload) if voice[1]] == voices


def test_a_cue_without_a_voice_among_voices_has_no_speaker() -> None:
    transcript = read(cue("<v Ann>Hi.</v>"), cue("Who is this?"))
    assert [c.speaker for c in transcript.cues] == ["Ann", None]
    assert "1 cues carry no speaker." in transcript.notes


def test_names_inside_voices_are_left_in_the_text() -> None:
    transcript = read(cue("<v Ann>Bob: said no."), cue("<v Ann>Bob: said yes."))
    assert [c.text for c in transcript.cues] == ["Bob: said no.", "Bob: said yes."]


def zoom(*texts: str) -> Transcript:
    blocks = [
        f"{n}\r\n00:00:{n:02d}.000 --> 00:00:{n:02d}.900\r\n{text}\r\n"
        for n, text in enumerate(texts, start=1)
    ]
    return read_transcript("WEBVTT\r\n\r\n" + "\r\n".join(blocks))


def test_a_zoom_cue_without_a_name_goes_on_with_the_last_speaker() -> None:
    transcript = zoom("Ann: Hi.", "Bob: Hello.", "and more", "Ann: So.", "Bob: Yes.")
    assert transcript.format == "zoom_vtt"
    assert [c.speaker for c in transcript.cues] == ["Ann", "Bob", "Bob", "Ann", "Bob"]
    assert "1 cues carry no name and were given to the speaker before them." in transcript.notes


def test_a_cue_before_the_first_name_has_no_speaker() -> None:
    transcript = zoom("on we go", "Ann: Hi.", "Ann: So.")
    assert [c.speaker for c in transcript.cues] == [None, "Ann", "Ann"]
    assert "1 cues carry no speaker." in transcript.notes


def test_times_and_quotes_with_a_colon_survive_as_text() -> None:
    transcript = zoom("Ann: Hi.", "At 10:30 we left.", "I said: no", "Ann: So.", "I said: no")
    assert [c.text for c in transcript.cues] == [
        "Hi.",
        "At 10:30 we left.",
        "I said: no",
        "So.",
        "I said: no",
    ]


def test_zoom_ends_are_kept_as_ends_of_speech() -> None:
    assert zoom("Ann: Hi.", "Ann: So.").timing_quality is TimingQuality.CUE


def test_role_words_as_names_set_roles() -> None:
    transcript = zoom("Therapist: Hi.", "Client: Hello.", "Therapist: So.")
    assert transcript.roles == {"Therapist": Role.THERAPIST, "Client": Role.CLIENT}


def test_speaker_0_is_a_label() -> None:
    assert zoom("0: Hi.", "1: Hello.", "0: So.").speakers == ("0", "1")


def test_several_names_in_one_cue_become_several_cues() -> None:
    transcript = zoom("Ann: Hi.\r\nBob: Hello.", "Ann: So.", "Bob: Yes.\r\nno, really")
    assert [(c.speaker, c.text) for c in transcript.cues] == [
        ("Ann", "Hi."),
        ("Bob", "Hello."),
        ("Ann", "So."),
        ("Bob", "Yes. no, really"),
    ]


def test_a_file_without_names_has_no_speakers() -> None:
    transcript = read(cue("Hi."), cue("Hello."))
    assert (transcript.format, transcript.speakers) == ("webvtt", ())


def test_comments_styles_and_regions_are_not_speech() -> None:
    transcript = read(
        "NOTE one\nline",
        "STYLE\n::cue { color: red }",
        "REGION\nid:a",
        "a\n" + cue("Hi."),
        "NOTE\nnot said",
        "b\n" + cue("NOTE that I said this."),
        "NOTES are what I take",
    )
    assert [c.text for c in transcript.cues] == [
        "Hi.",
        "NOTE that I said this. NOTES are what I take",
    ]


def test_cues_inside_a_comment_are_dropped_and_counted() -> None:
    transcript = read("NOTE\n1\n" + cue("Cut.") + "\n" + cue("Cut too."), "2\n" + cue("Hi."))
    assert [c.text for c in transcript.cues] == ["Hi."]
    assert [d.reason for d in transcript.dropped] == ["commented out in a NOTE block"] * 2


def test_a_blank_line_inside_a_cue_loses_nothing() -> None:
    transcript = read("1\n" + cue("One.\n\nTwo."), "2\n" + cue("Three."))
    assert [(c.cue_id, c.text) for c in transcript.cues] == [("1", "One. Two."), ("2", "Three.")]
    assert "1 cues hold a blank line; the text after it was kept." in transcript.notes


def test_a_missing_blank_line_between_cues_loses_nothing() -> None:
    transcript = read("1\n" + cue("One.") + "\n2\n" + cue("Two.") + "\n" + cue("Three."))
    assert [(c.cue_id, c.text) for c in transcript.cues] == [
        ("1", "One."),
        ("2", "Two."),
        ("3", "Three."),
    ]


def test_a_number_that_is_said_is_no_identifier() -> None:
    transcript = read("1\n" + cue("42") + "\n" + cue("Yes."), "2\n" + cue("a\n42"))
    assert [c.text for c in transcript.cues] == ["42", "Yes.", "a 42"]


def test_identifiers_of_the_file_are_kept() -> None:
    guid = "1b2c3d4e-0000-4000-8000-000000000000/0-0"
    assert read(f"{guid}\n{cue('<v Ann>Hi.')}").cues[0].cue_id == guid


def test_empty_cues_are_dropped_with_a_reason() -> None:
    transcript = read(cue(""), cue("<v Ann></v>"), cue("Hi."))
    assert [(d.where, d.reason) for d in transcript.dropped] == [
        ("line 3", "empty text"),
        ("line 6", "empty text"),
    ]


def test_the_signature_may_be_followed_by_times_at_once() -> None:
    assert read_transcript("WEBVTT\n" + cue("Hi.")).cues[0].text == "Hi."


def test_a_lost_signature_is_noted() -> None:
    transcript = read_transcript("1\n" + cue("<v Ann>Hi.</v>"))
    assert (transcript.format, transcript.speakers) == ("webvtt", ("Ann",))
    assert any("WEBVTT line" in note for note in transcript.notes)


@pytest.mark.parametrize("text", ["WEBVTT", "WEBVTT\n\nNOTE only\n\nNOTE\ncomments\n"])
def test_a_file_of_no_cues_is_empty(text: str) -> None:
    with pytest.raises(EmptyTranscript):
        read_transcript(text)


@pytest.mark.parametrize("text", ["-->", "-->-->", "<v Ann> -->", "00:01.000 --> 00:02.000"])
def test_a_file_of_one_line_with_an_arrow_is_read_or_refused(text: str) -> None:
    with pytest.raises(TranscriptError):
        read_transcript(text)


def test_a_word_that_begins_like_the_signature_is_none() -> None:
    with pytest.raises(UnknownFormat):
        read_transcript("WEBVTTX\n\nsome text")


def test_all_line_ends_and_a_mark_are_read_alike() -> None:
    text = "WEBVTT\n\n1\n00:01.000 --> 00:02.000\n<v Ann>Hi.\nthere</v>\n"
    for changed in ("\ufeff" + text, text.replace("\n", "\r\n"), text.replace("\n", "\r")):
        assert read_transcript(changed).cues == read_transcript(text).cues


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_read(encoding: str) -> None:
    data = ("\ufeff" + "WEBVTT\n\n" + cue("<v Zoë>Привет 😀")).encode(encoding)
    transcript = read_transcript(data)
    assert [(c.speaker, c.text) for c in transcript.cues] == [("Zoë", "Привет 😀")]


def test_latin_1_is_read_with_a_note() -> None:
    transcript = read_transcript(("WEBVTT\n\n" + cue("<v Zoë>Déjà vu")).encode("latin-1"))
    assert [(c.speaker, c.text) for c in transcript.cues] == [("Zoë", "Déjà vu")]
    assert any("Windows-1252" in note for note in transcript.notes)


def test_a_file_cut_inside_a_character_keeps_the_others() -> None:
    data = ("WEBVTT\n\n" + cue("<v Zoë>Déjà é")).encode()[:-1]
    transcript = read_transcript(data)
    assert transcript.cues[0].text == "Déjà"
    assert any("breaks off" in note for note in transcript.notes)


def test_right_to_left_names_and_speech_are_kept() -> None:
    transcript = zoom("מטפל: שלום, מה שלומך?", "דנה: בסדר.", "מטפל: ספרי לי.", "דנה: טוב.")
    assert transcript.speakers == ("מטפל", "דנה")
    assert transcript.cues[0].text == "שלום, מה שלומך?"


def test_all_speech_in_one_cue_stays_one_cue() -> None:
    long = "Ann: " + "word " * 50_000
    assert len(read(cue(long)).cues) == 1


def test_many_open_brackets_do_not_stall() -> None:
    transcript = read(cue("<v " * 20_000 + "<" * 20_000 + "a" * 20_000))
    assert len(transcript.cues) == 1


def test_100_000_cues_are_read() -> None:
    times = "00:01.000 --> 00:02.000"
    text = "WEBVTT\n\n" + "\n\n".join(f"{times}\n<v Ann>Hi." for _ in range(100_000))
    assert len(read_transcript(text).cues) == 100_000


def metadata(*cues: object) -> Transcript:
    payloads = [c if isinstance(c, str) else json.dumps(c) for c in cues]
    return read(*(cue(payload) for payload in payloads))


SPOKEN = {"speakerName": "Ann", "spokenText": "Hi & hello.", "spokenLanguage": "en-us"}


def test_teams_metadata_takes_the_cue_times_and_not_the_dates() -> None:
    backwards = {
        **SPOKEN,
        "startDateTime": "2026-03-08T08:22:58Z",
        "endDateTime": "2026-03-08T08:22:01Z",
    }
    transcript = metadata(backwards)
    assert transcript.format == "teams_metadata"
    assert spans(transcript) == [(1.0, 2.0)]
    assert (transcript.cues[0].speaker, transcript.cues[0].text) == ("Ann", "Hi & hello.")


def test_teams_metadata_over_several_lines_is_read() -> None:
    transcript = metadata(SPOKEN, json.dumps(SPOKEN, indent=1))
    assert len(transcript.cues) == 2


@pytest.mark.parametrize("broken", ["{", "[1]", '{"spokenText": 1}', '{"speakerName": 1}'])
def test_a_broken_object_in_teams_metadata_is_refused_with_its_line(broken: str) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        metadata(SPOKEN, broken)
    assert caught.value.line == 6


def test_teams_metadata_without_name_or_text_is_read_or_dropped() -> None:
    transcript = metadata(SPOKEN, {"spokenText": "Hm.", "speakerName": None}, {"speakerName": "A"})
    assert [c.speaker for c in transcript.cues] == ["Ann", None]
    assert [d.reason for d in transcript.dropped] == ["empty text"]


def test_half_an_emoji_in_teams_metadata_is_replaced() -> None:
    transcript = metadata(SPOKEN, '{"spokenText": "so \\ud83d", "speakerName": "Ann"}')
    assert transcript.cues[1].text == "so \ufffd"


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Zs", "Cf"]))
texts = st.lists(words.filter(bool), min_size=1, max_size=8).map(" ".join)
names = st.from_regex(r"[A-Z][a-zé]{1,8}( [A-Z][a-z]{1,8})?", fullmatch=True)
milliseconds = st.integers(0, 50_000_000)


def written(ms: int) -> str:
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@given(
    st.lists(st.tuples(names, texts, milliseconds, st.integers(0, 60_000)), min_size=1, max_size=12)
)
def test_what_is_written_as_webvtt_is_read_back(said: list[tuple[str, str, int, int]]) -> None:
    said.sort(key=lambda each: each[2])
    blocks = [
        f"{n}\n{written(start)} --> {written(start + length)}\n<v {name}>{escaped(text)}</v>"
        for n, (name, text, start, length) in enumerate(said, start=1)
    ]
    transcript = read(*blocks)
    assert [(c.speaker, c.text, c.start_s, c.end_s) for c in transcript.cues] == [
        (name, text, start / 1000, (start + length) / 1000) for name, text, start, length in said
    ]
