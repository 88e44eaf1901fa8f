"""One person has one tag, roles stay, and what had a tag before keeps it."""

from typing import Any

from detector.transcript import Cue, Role, Transcript
from service.tags import Tags, kind_of


def test_who_is_addressed_stays_without_the_name(texts: Any) -> None:
    lines = ("C: Dr. Rivera, you don't listen.", "T: I hear that.")
    assert texts(*lines, therapist=("Dr. Ana Rivera",))[0] == "[THERAPIST], you don't listen."


def test_one_person_has_one_tag_all_through(texts: Any) -> None:
    lines = (
        "C: My brother Gareth Pryce came.",
        "T: So Gareth came?",
        "C: Yes, gareth. And Mr. Pryce senior, and my friend Xolani.",
        "T: Xolani too.",
    )
    assert texts(*lines) == [
        "My brother [PERSON_1] came.",
        "So [PERSON_1] came?",
        "Yes, [PERSON_1]. And [PERSON_1] senior, and my friend [PERSON_2].",
        "[PERSON_2] too.",
    ]


def test_a_brother_with_the_clients_family_name_is_another_person(said: Any) -> None:
    text = said("Leo Rivera rang. I said, Ana is here.", client=("Ana Rivera",))
    assert text == "[PERSON_1] rang. I said, [CLIENT] is here."


def test_a_name_that_client_and_therapist_share_tells_neither(said: Any) -> None:
    text = said("So Anna was there.", client=("Anna Roe",), therapist=("Anna Coe",))
    assert text == "So [PERSON_1] was there."


def test_speaker_labels_become_roles_and_their_names_are_found_in_the_text(export: Any) -> None:
    transcript = Transcript(
        "test",
        (
            Cue("1", "Marisol Quiñones (she/her)", "Hello.", role=Role.CLIENT),
            Cue("2", "Dr. Tamsin Vole", "Hello Marisol.", role=Role.THERAPIST),
            Cue("3", "Marisol Quiñones (she/her)", "Ms Quinones is my mother, Tamsin."),
            Cue("4", "Ilkay", "I translate for Marisol.", role=Role.OTHER),
            Cue("5", "Marisol Quiñones (she/her)", "Thank you, Ilkay.", role=Role.CLIENT),
        ),
    ).with_roles({"Marisol Quiñones (she/her)": Role.CLIENT})
    got = export(transcript)[0].transcript
    assert got.speakers == ("[CLIENT]", "[THERAPIST]", "[PERSON_1]")
    assert [cue.text for cue in got.cues[1:]] == [
        "Hello [CLIENT].",
        "[CLIENT] is my mother, [THERAPIST].",
        "I translate for [CLIENT].",
        "Thank you, [PERSON_1].",
    ]


def test_labels_that_name_nobody_take_no_words_from_the_text(texts: Any) -> None:
    lines = ("Speaker 1: A client is a speaker too.", "Speaker 2: See, I am a guest.")
    assert texts(*lines) == ["A client is a speaker too.", "See, I am a guest."]


def test_two_labels_of_one_client_stay_two_so_that_turns_stay_as_they_are(
    make_transcript: Any, export: Any
) -> None:
    transcript = make_transcript("A: One.", "B: Two.").with_roles(
        {"A": Role.CLIENT, "B": Role.CLIENT}
    )
    got = export(transcript)[0].transcript
    assert got.speakers == ("[CLIENT]", "[CLIENT_2]")
    assert len(got.turns) == 2


def test_the_same_number_has_the_same_tag_however_it_is_written(said: Any) -> None:
    text = said("It is 555-123-4567. No, (555) 123 4567. Or 555-123-9999.")
    assert text == "It is [PHONE_1]. No, [PHONE_1]. Or [PHONE_2]."


def test_tags_that_were_there_before_stay_and_new_ones_count_on(said: Any) -> None:
    assert said("[PERSON_4] and Gareth and [CLIENT] came.") == (
        "[PERSON_4] and [PERSON_5] and [CLIENT] came."
    )


def test_one_kind_counts_on_from_the_tags_that_a_transcript_had() -> None:
    tags = Tags(Transcript("test", (Cue("1", "[CLIENT]", "[PERSON_4] and [NAME_2]"),)))
    assert [tags.new(kind) for kind in ("PERSON", "NAME", "PHONE", "PERSON")] == [
        "[PERSON_5]",
        "[NAME_3]",
        "[PHONE_1]",
        "[PERSON_6]",
    ]


def test_the_kind_of_a_tag_is_told_and_a_word_has_none() -> None:
    assert [kind_of(text) for text in ("[PERSON_4]", "[CLIENT]", "[laughs]")] == [
        "person",
        "client",
        "",
    ]
