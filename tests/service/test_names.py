"""Names are found by lists, capitals and what stands beside them; plain speech stays."""

import re
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("My sister <Xiomara> came.", "PERSON"),
        ("A guy named <Thandeka> came.", "PERSON"),
        ("His name's <Oluwaseun> anyway.", "PERSON"),
        ("I saw <Mrs. O'Brien> there.", "PERSON"),
        ("I saw uncle <Bob> there.", "PERSON"),
        ("I told <Gar- Gareth> that.", "PERSON"),
        ("I told <J. Smith> that.", "PERSON"),
        ("I told <Anne-Marie> that.", "PERSON"),
        ("I told <Maria de la Cruz> that.", "PERSON"),
        ("I told <José> that.", "PERSON"),
        ("I told <Jose\u0301> that.", "PERSON"),
        ("I told <Grace>'s mother that.", "PERSON"),
        ("I moved to <Tulsa> then.", "NAME"),
        ("I work for <Brightwell> now.", "NAME"),
    ],
)
def test_a_name_becomes_a_tag(line: str, kind: str, said: Any) -> None:
    expected = re.sub(r"<.*>", f"[{kind}_1]", line)
    assert said(line.replace("<", "").replace(">", "")) == expected


@pytest.mark.parametrize(
    "line",
    [
        "Will you listen? May I go on? Grace is what I need.",
        "I breathe, two three four five six seven, and out.",
        "Five four three two one, I see the room.",
        "I earn 1,200,000 a year, or 10.55 an hour, since 1998.",
        "On Monday in May I saw my GP about CBT. I said OK.",
        "The doctor said no. Dad is Polish, I'm Irish, Mum is fine.",
        "My sister will come. My boss never said that.",
        "It was the first time. The second may be worse.",
        "The dot in the middle. I was at home.It was late.",
        "I-I-I don't know. [laughs] W-what?",
        "I said, Will you stop that.",
        "Hello, doctor. Thank you, nurse.",
    ],
)
def test_plain_speech_stays_as_it_is(line: str, said: Any) -> None:
    assert said(line) == line


def test_capitals_at_the_head_of_a_sentence_make_no_name(said: Any) -> None:
    assert said("Nevertheless it hurts. Loneliness does.") == (
        "Nevertheless it hurts. Loneliness does."
    )


def test_a_name_that_is_known_from_inside_a_sentence_is_found_at_its_head(said: Any) -> None:
    assert said("I saw Xiomara. Xiomara left.") == "I saw [NAME_1]. [NAME_1] left."


def test_names_are_found_where_recognisers_write_no_capitals(texts: Any) -> None:
    lines = (
        "T: hi maria how was the week",
        "C: my brother gareth rang and my cousin xolani said you should hear doctor rivera",
        "T: a man called thandeka did he say so",
        "C: no mister my name is will and i will not",
    )
    assert texts(*lines) == [
        "hi [CLIENT] how was the week",
        "my brother [PERSON_1] rang and my cousin [PERSON_2] said you should hear [PERSON_3]",
        "a man called [PERSON_4] did he say so",
        "no mister my name is [CLIENT] and i will not",
    ]


def test_names_are_found_where_all_is_written_great(texts: Any) -> None:
    lines = ("T: WHAT DID GARETH SAY", "C: HE TOLD MARIA ON MARCH 3RD")
    assert texts(*lines) == ["WHAT DID [PERSON_1] SAY", "HE TOLD [PERSON_2] ON [DATE_1]"]


def test_capitals_tell_more_where_sentences_begin_without(texts: Any) -> None:
    assert texts("T: so then to Ilkay", "C: no", "T: okay", "C: Ilkay did, yes") == [
        "so then to [NAME_1]",
        "no",
        "okay",
        "[NAME_1] did, yes",
    ]


def test_a_known_name_that_is_a_word_is_left_and_told_where_nothing_shows_it(
    make_transcript: Any, export: Any
) -> None:
    transcript = make_transcript(
        "C: grace said no and i will", "T: hi grace", "C: by the grace of it"
    )
    got, held = export(transcript, client=("Grace",))
    assert [cue.text for cue in got.transcript.cues] == [
        "grace said no and i will",
        "hi [CLIENT]",
        "by the grace of it",
    ]
    assert got.n_doubtful == 2
    assert [(one.turn_index, one.start) for one in held.doubtful] == [(0, 0), (2, 7)]


def test_a_client_who_is_called_like_a_month_is_found_by_the_capital(said: Any) -> None:
    assert said("So April, I mean.", client=("April Roe",)) == "So [CLIENT], I mean."


def test_a_vocative_tells_who_is_meant_where_nobody_said_it(texts: Any) -> None:
    assert texts("T: Hi Maria, how was it?", "C: Dr. Rivera, you don't listen.") == [
        "Hi [CLIENT], how was it?",
        "[THERAPIST], you don't listen.",
    ]


def test_a_name_that_is_lamented_is_not_the_therapist(said: Any) -> None:
    assert said("Gareth, he never listens.").startswith("[PERSON_1], he")
