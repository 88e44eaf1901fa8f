import pytest

from detector.formats.speakers import (
    find_labels,
    label_roles,
    named_role,
    split_by_prefix,
    split_prefix,
)
from detector.transcript import Role

T, C, OTHER, UNKNOWN = Role.THERAPIST, Role.CLIENT, Role.OTHER, Role.UNKNOWN


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("Dr. Rivera: Hello.", "Dr. Rivera"),
        ("sam lee: Hello.", "sam lee"),
        ("Sam Lee (she/her): Hello.", "Sam Lee (she/her)"),
        ("O'Neil, Pat: Hello.", "O'Neil, Pat"),
        ("[SPEAKER_00]: Hello.", "SPEAKER_00"),
        ("0: Hello.", "0"),
        ("T: Hello.", "T"),
        ("He Li: Hello.", "He Li"),
        ("מטפל: שלום.", "מטפל"),
        ("\u200fמטפל: שלום.", "מטפל"),
        ("山田：こんにちは", "山田"),
        ("🌸 Sam: Hello.", "🌸 Sam"),
        ("Sam   Lee : Hello.", "Sam Lee"),
        ("Sam:", "Sam"),
    ],
)
def test_a_name_before_a_colon_may_be_a_label(line: str, label: str) -> None:
    found = split_prefix(line)
    assert found is not None
    assert found[0] == label


@pytest.mark.parametrize(
    "line",
    [
        "At 10:30 we left.",
        "I said: no.",
        "And then he goes: never.",
        "The thing is: I cannot.",
        "Well: no.",
        "Well, honestly: no.",
        "Really? Then: no.",
        "It was like this! Look: no.",
        "“Sam”: no.",
        "- Sam: Hello.",
        '"speaker": "Sam"',
        "https://example.org",
        "@Languages: eng",
        "*THE: Hello.",
        "one two three four five six seven: no.",
        "no colon at all",
        ": nothing before it",
        "",
    ],
)
def test_speech_before_a_colon_is_no_label(line: str) -> None:
    assert split_prefix(line) is None


def test_a_label_is_a_speaker_where_it_recurs() -> None:
    lines = ["Ann: Hi.", "Bob: Hi.", "Ann: So.", "Bob: Yes.", "Question: is it?", "and so on"]
    assert find_labels(lines) == {"Ann", "Bob"}


def test_a_prefix_on_every_cue_needs_no_recurrence() -> None:
    assert find_labels(["Ann: Hi.", "Bob: Hi."]) == {"Ann", "Bob"}


def test_one_cue_alone_shows_no_structure() -> None:
    assert find_labels(["Question: is it?"]) == frozenset()


def test_a_chance_prefix_that_recurs_in_unnamed_talk_is_no_speaker() -> None:
    lines = [*["something is said"] * 20, "Plan: walk.", "Plan: run."]
    assert find_labels(lines) == frozenset()


def test_a_machine_label_is_a_speaker_at_once() -> None:
    assert find_labels(["[SPEAKER_00]: Hi.", "no name", "no name"]) == {"SPEAKER_00"}


def test_both_sides_of_a_pair_are_speakers_at_once() -> None:
    assert find_labels(["T: Hi.", "wrapped", "C: Hi.", "wrapped"]) == {"T", "C"}


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("THERAPIST", T),
        ("Counselor", T),
        ("counsellor", T),
        ("Clinician 1", T),
        ("Client", C),
        ("CLIENT_2", C),
        ("patient", C),
        ("Dr. Rivera (Therapist)", T),
        ("Interpreter", OTHER),
        ("Interviewer", UNKNOWN),
        ("Sam", UNKNOWN),
        ("T", UNKNOWN),
    ],
)
def test_a_word_states_a_role_or_none(word: str, role: Role) -> None:
    assert named_role(word) is role


@pytest.mark.parametrize(
    ("labels", "roles"),
    [
        (("T", "C"), (T, C)),
        (("Th", "Pt"), (T, C)),
        (("t", "p"), (T, C)),
        (("Therapist", "C"), (T, C)),
        (("T", "Client"), (T, C)),
        (("C", "P"), (UNKNOWN, UNKNOWN)),
        (("T", "C", "P"), (T, C, UNKNOWN)),
        (("T", "A"), (UNKNOWN, UNKNOWN)),
        (("C",), (UNKNOWN,)),
        (("Interviewer", "P"), (UNKNOWN, UNKNOWN)),
        (("Patient", "Dr. Rivera"), (C, UNKNOWN)),
    ],
)
def test_letters_state_roles_only_as_a_pair(
    labels: tuple[str, ...], roles: tuple[Role, ...]
) -> None:
    assert tuple(label_roles(labels).values()) == roles


def test_lines_of_a_cue_are_given_to_known_labels_only() -> None:
    lines = ["and so", "Ann: Hi.", "I said: no", "Bob: Yes.", "Cy: text"]
    assert split_by_prefix(lines, {"Ann", "Bob"}) == [
        (None, "and so"),
        ("Ann", "Hi. I said: no"),
        ("Bob", "Yes. Cy: text"),
    ]
