import pickle
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import UnknownRole
from detector.roles import ENOUGH, FEWEST_TURNS, STRAY_SHARE, RoleAssignment, assign_roles
from detector.transcript import Cue, Role, Transcript

TALK = (
    "So last week we agreed you'd try the thought record. How did it go?",
    "Fine, I guess. I didn't do it every day, my mother was ill.",
    "It sounds like you had a lot on. What was that like for you?",
    "I don't know. I was tired and I just wanted to sleep.",
    "What did you notice when you were that tired?",
    "I felt guilty. She needs me and I can't be there.",
    "So part of you wants to rest. Would you like to talk about that today?",
    "Yeah. I think I need to.",
)


def make(cues: Sequence[tuple[str | None, str]], **roles: Role) -> Transcript:
    return Transcript(
        "test",
        tuple(
            Cue(str(place), speaker, text, role=roles.get(speaker or "", Role.UNKNOWN))
            for place, (speaker, text) in enumerate(cues, start=1)
        ),
    )


def dialogue(one: str = "A", other: str = "B", **roles: Role) -> Transcript:
    """A talk in which the first named is the therapist."""
    return make([((one, other)[place % 2], text) for place, text in enumerate(TALK)], **roles)


def refused(
    transcript: Transcript,
    role_map: dict[str, Role] | None = None,
    therapist: str | None = None,
) -> UnknownRole:
    with pytest.raises(UnknownRole) as caught:
        assign_roles(transcript, role_map=role_map, therapist=therapist)
    return caught.value


def test_a_given_map_wins_over_what_the_file_labels() -> None:
    transcript = dialogue(A=Role.THERAPIST, B=Role.CLIENT)
    assigned = assign_roles(transcript, role_map={"A": Role.CLIENT, "B": Role.THERAPIST})
    assert assigned.roles == {"A": Role.CLIENT, "B": Role.THERAPIST}
    assert (assigned.source, assigned.confidence) == ("given", None)
    assert assigned.transcript.roles == assigned.roles


@pytest.mark.parametrize("told", [{"A": Role.THERAPIST}, {"B": Role.CLIENT}])
def test_one_given_role_of_two_speakers_settles_the_other(told: dict[str, Role]) -> None:
    assigned = assign_roles(dialogue(), role_map=told)
    assert assigned.roles == {"A": Role.THERAPIST, "B": Role.CLIENT}
    assert assigned.source == "given"


def test_naming_the_therapist_corrects_a_file_that_has_the_roles_swapped() -> None:
    transcript = dialogue(A=Role.CLIENT, B=Role.THERAPIST)
    assert assign_roles(transcript, therapist="A").roles == {
        "A": Role.THERAPIST,
        "B": Role.CLIENT,
    }


def test_a_label_matches_without_regard_to_case_and_outer_spaces() -> None:
    assigned = assign_roles(dialogue("Dr. Rivera", "Sam Lee"), therapist=" dr.  rivera ")
    assert assigned.roles["Dr. Rivera"] is Role.THERAPIST


def test_an_exact_label_wins_over_one_in_another_case() -> None:
    transcript = dialogue("sam", "Sam")
    assert assign_roles(transcript, therapist="Sam").roles["Sam"] is Role.THERAPIST


def test_a_label_that_fits_two_speakers_is_refused() -> None:
    assert "fits several" in refused(dialogue("sam", "Sam"), therapist="SAM").reason


def test_a_label_that_is_not_in_the_file_is_refused_by_its_place_with_the_speakers_found() -> None:
    error = refused(dialogue(), {"A": Role.CLIENT, "Rivera": Role.THERAPIST})
    assert str(error) == "name 2 of the roles is no speaker's; speakers found: A, B"
    error = refused(dialogue(), therapist="Rivera")
    assert str(error) == "the therapist's name is no speaker's; speakers found: A, B"


def test_a_map_and_a_therapist_that_disagree_are_refused() -> None:
    assert "two roles" in refused(dialogue(), {"A": Role.CLIENT}, therapist="A").reason


@pytest.mark.parametrize(
    ("role", "reason"),
    [
        (Role.THERAPIST, "nobody is the client"),
        (Role.CLIENT, "nobody is the therapist"),
        (Role.OTHER, "nobody is the therapist"),
    ],
)
def test_both_speakers_in_one_role_are_refused(role: Role, reason: str) -> None:
    assert refused(dialogue(), {"A": role, "B": role}).reason == reason


def test_unknown_in_a_map_counts_as_not_said() -> None:
    assigned = assign_roles(dialogue(), role_map={"A": Role.UNKNOWN})
    assert assigned.source == "inferred"


def test_two_labels_that_the_caller_maps_to_the_client_are_read_as_one_with_a_note() -> None:
    transcript = make([*((c.speaker, c.text) for c in dialogue().cues), ("C", "I do feel better.")])
    told = {"A": Role.THERAPIST, "B": Role.CLIENT, "C": Role.CLIENT}
    assigned = assign_roles(transcript, role_map=told)
    assert assigned.roles == told
    assert any("read as one client" in note for note in assigned.transcript.notes)


def test_the_only_speaker_may_be_given_a_role_and_a_note_says_that_a_side_is_missing() -> None:
    assigned = assign_roles(make([("A", "I am tired.")]), role_map={"A": Role.CLIENT})
    assert assigned.roles == {"A": Role.CLIENT}
    assert any("one side" in note for note in assigned.transcript.notes)


def test_told_roles_that_the_talk_speaks_against_stay_and_a_note_asks_to_check() -> None:
    assigned = assign_roles(dialogue(), therapist="B")
    assert assigned.roles["B"] is Role.THERAPIST
    assert any("swapped" in note for note in assigned.transcript.notes)


def test_told_roles_that_the_talk_agrees_with_get_no_note() -> None:
    assert assign_roles(dialogue(), therapist="A").transcript.notes == ()


def test_roles_that_the_file_labels_are_taken() -> None:
    assigned = assign_roles(dialogue(A=Role.THERAPIST, B=Role.CLIENT))
    assert (assigned.source, assigned.confidence) == ("labelled", None)
    assert assigned.roles == {"A": Role.THERAPIST, "B": Role.CLIENT}


def test_one_label_of_two_speakers_settles_the_other() -> None:
    assigned = assign_roles(dialogue(B=Role.CLIENT))
    assert assigned.roles == {"A": Role.THERAPIST, "B": Role.CLIENT}
    assert assigned.source == "labelled"


@pytest.mark.parametrize(("one", "other"), [("T", "C"), ("Therapist", "Sam"), ("Dr. R", "Patient")])
def test_a_label_that_states_a_role_labels_its_speaker(one: str, other: str) -> None:
    assigned = assign_roles(dialogue(one, other))
    assert assigned.roles == {one: Role.THERAPIST, other: Role.CLIENT}
    assert assigned.source == "labelled"


def test_a_role_on_some_cues_of_a_speaker_holds_for_all_of_them() -> None:
    cues = list(dialogue().cues)
    first = Cue("0", "A", "Hello.", role=Role.THERAPIST)
    assigned = assign_roles(Transcript("test", (first, *cues)))
    assert {cue.role for cue in assigned.transcript.cues if cue.speaker == "A"} == {Role.THERAPIST}


def test_several_labelled_therapists_are_fine() -> None:
    transcript = make(
        [("CLINICIAN_0", "How are you?"), ("PATIENT", "Well."), ("CLINICIAN_1", "I am Jo.")],
        CLINICIAN_0=Role.THERAPIST,
        CLINICIAN_1=Role.THERAPIST,
        PATIENT=Role.CLIENT,
    )
    assert list(assign_roles(transcript).roles.values()).count(Role.THERAPIST) == 2


def test_several_labelled_clients_are_refused() -> None:
    transcript = make(
        [("X", "How are you both?"), ("Y", "Well."), ("Z", "Not so well.")],
        X=Role.THERAPIST,
        Y=Role.CLIENT,
        Z=Role.CLIENT,
    )
    assert "couples and groups" in refused(transcript).reason


def test_a_speaker_whom_the_file_gives_two_roles_is_refused() -> None:
    cues = (
        Cue("1", "A", "Hello.", role=Role.THERAPIST),
        Cue("2", "A", "Hi.", role=Role.CLIENT),
        Cue("3", "B", "Hi.", role=Role.CLIENT),
    )
    assert "two roles" in refused(Transcript("test", cues)).reason
    assert assign_roles(Transcript("test", cues), therapist="A").roles["A"] is Role.THERAPIST


def test_roles_without_any_speaker_label_are_taken_as_they_are() -> None:
    cues = (
        Cue("1", None, "How are you?", role=Role.THERAPIST),
        Cue("2", None, "Well.", role=Role.CLIENT),
    )
    assigned = assign_roles(Transcript("test", cues))
    assert (assigned.source, assigned.roles) == ("labelled", {})
    assert [cue.role for cue in assigned.transcript.cues] == [Role.THERAPIST, Role.CLIENT]


def with_third(text: str, **roles: Role) -> Transcript:
    cues = [(cue.speaker, cue.text) for cue in dialogue().cues]
    return make([*cues, ("C", text)], **roles)


LONG = "And I would like to add something of my own here, if I may, about what happened."


def test_a_third_speaker_without_a_role_is_refused() -> None:
    assert refused(with_third(LONG)).speakers == ("A", "B", "C")
    assert "no role" in refused(with_third(LONG), therapist="A").reason
    told = {"A": Role.THERAPIST, "B": Role.CLIENT}
    assert "no role" in refused(with_third(LONG), told).reason


def test_a_third_speaker_who_is_mapped_to_other_leaves_two_to_infer() -> None:
    assigned = assign_roles(with_third(LONG), role_map={"C": Role.OTHER})
    assert assigned.roles == {"A": Role.THERAPIST, "B": Role.CLIENT, "C": Role.OTHER}
    assert assigned.source == "inferred"


def test_an_interpreter_whom_the_file_labels_is_never_taken_for_the_client() -> None:
    transcript = make([("A", LONG), ("C", LONG)], C=Role.OTHER)
    assert refused(transcript, therapist="A").reason == "nobody is the client"


def test_a_third_speaker_who_says_next_to_nothing_stays_unknown_with_a_note() -> None:
    assigned = assign_roles(with_third("Hm."))
    assert assigned.roles["C"] is Role.UNKNOWN
    assert assigned.roles["A"] is Role.THERAPIST
    assert any("next to nothing" in note for note in assigned.transcript.notes)


def test_what_next_to_nothing_means_is_a_share_of_the_characters() -> None:
    most = STRAY_SHARE * sum(map(len, TALK)) / (1 - STRAY_SHARE)
    assert assign_roles(with_third("x" * int(most))).roles["C"] is Role.UNKNOWN
    assert refused(with_third("x" * (int(most) + 1)))


def test_the_client_is_not_chosen_among_two_who_say_next_to_nothing() -> None:
    transcript = make([("A", TALK[0] * 20), ("B", "Hm."), ("C", "Oh")])
    assert refused(transcript, therapist="A").speakers == ("A", "B", "C")


def test_the_talk_itself_tells_the_therapist() -> None:
    assigned = assign_roles(dialogue())
    assert assigned.source == "inferred"
    assert assigned.confidence is not None
    assert ENOUGH <= assigned.confidence <= 1
    assert any("inferred" in note for note in assigned.transcript.notes)


def test_the_names_of_the_labels_do_not_matter_to_the_inference() -> None:
    assert assign_roles(dialogue("B", "A")).roles["B"] is Role.THERAPIST


def test_talk_that_tells_too_little_is_refused_with_the_confidence() -> None:
    error = refused(make([(speaker, "Okay, right.") for speaker in "ABABABAB"]))
    assert error.speakers == ("A", "B")
    assert error.confidence is not None
    assert 0.5 <= error.confidence < ENOUGH


def test_fewer_turns_than_the_fewest_are_refused() -> None:
    some = [(cue.speaker, cue.text) for cue in dialogue().cues]
    assert "too few" in refused(make(some[: FEWEST_TURNS - 1])).reason
    assert assign_roles(make(some[:FEWEST_TURNS])).source == "inferred"


def test_one_speaker_only_is_refused() -> None:
    assert "only one speaker" in refused(make([("A", TALK[0])])).reason


def test_no_speaker_labels_are_refused() -> None:
    error = refused(make([(None, text) for text in TALK]))
    assert error.speakers == ()


def test_talk_in_another_language_is_refused_for_that_reason() -> None:
    german = (
        "Letzte Woche haben wir vereinbart, dass Sie es versuchen. Wie war das für Sie?",
        "Gut, glaube ich. Ich hatte keine Zeit, und dann war ich am Abend immer müde.",
    )
    transcript = make([("AB"[place % 2], german[place % 2]) for place in range(8)])
    assert "not English" in refused(transcript).reason
    assert assign_roles(transcript, therapist="A").source == "given"


def test_cues_without_a_speaker_stay_unknown_and_are_counted_in_a_note() -> None:
    cues = [(cue.speaker, cue.text) for cue in dialogue().cues]
    assigned = assign_roles(make([*cues, (None, "Is anybody there?")]))
    assert assigned.transcript.cues[-1].role is Role.UNKNOWN
    assert any("no speaker is named" in note for note in assigned.transcript.notes)


@given(st.permutations(TALK), st.permutations(["A", "B"]))
def test_nothing_said_stands_in_a_refusal_or_a_note(texts: list[str], names: list[str]) -> None:
    transcript = make([(names[place % 2], text) for place, text in enumerate(texts)])
    try:
        shown = " ".join(assign_roles(transcript).transcript.notes)
    except UnknownRole as error:
        shown = str(error)
    assert not any(text in shown for text in TALK)


@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "B", "C", "T", "Client", None]), st.sampled_from(TALK)),
        min_size=1,
        max_size=14,
    )
)
def test_an_assignment_has_one_client_and_a_therapist_or_is_refused(
    cues: list[tuple[str | None, str]],
) -> None:
    try:
        assigned = assign_roles(make(cues))
    except UnknownRole:
        return
    roles = list(assigned.roles.values())
    assert roles.count(Role.CLIENT) == 1
    assert Role.THERAPIST in roles
    assert (assigned.confidence is not None) == (assigned.source == "inferred")


def test_an_assignment_survives_being_sent_to_another_process() -> None:
    assigned = assign_roles(dialogue())
    assert isinstance(pickle.loads(pickle.dumps(assigned)), RoleAssignment)  # noqa: S301


def test_an_assignment_shows_no_label_and_no_speech_when_printed() -> None:
    shown = repr(assign_roles(dialogue("Dr. Rivera", "Sam Lee")))
    assert "Rivera" not in shown
    assert "thought record" not in shown
