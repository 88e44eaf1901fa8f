import dataclasses
from typing import Any

import pytest

from detector.codebook import Codebook, Marker, Pattern, Spoken
from detector.markers import MarkerHit, MarkerRules
from detector.transcript import Role, Transcript

SPOKEN = Spoken(
    fillers=frozenset({"um", "uh"}),
    forms={"'s": ("is",), "nah": ("no",)},
    events={"laughs": "[laughs]"},
    negations=frozenset({"not", "never", "no"}),
    reporting=frozenset({"said", "told", "goes"}),
    narrators=frozenset({"boss", "he", "she", "they"}),
    replies=frozenset({"no", "well", "but"}),
    backchannels=frozenset({"okay", "right", "mhm"}),
)

MARKERS = (
    Marker("complaint", "confrontation", "client", "Complaint", "Complains.", pillar="bond"),
    Marker("short", "withdrawal", "client", "Short", "Says little."),
    Marker("validates", "resolution", "therapist", "Validates", "Validates."),
    Marker("asks", "move", "therapist", "Asks", "Asks."),
    Marker("froze", "technical", "any", "Froze", "The line froze."),
)


def pattern(id: str, *phrases: str, **more: Any) -> Pattern:
    return Pattern(id, id.split(".")[0], "a test", "0.1", ("C: x",), phrases=phrases, **more)


PATTERNS = (
    pattern("complaint.listen", "you never listen", "you do not listen to me"),
    pattern("complaint.helps", "it is useless", "this is useless"),
    pattern("complaint.quoted", "they blame me", reportable=True, negatable=False),
    pattern("complaint.blunt", "you never hear", negatable=False),
    pattern("complaint.why", "why are you asking", question=True),
    pattern("complaint.told", "you told me so", question=False),
    pattern("complaint.know", "you know", not_after=("what", "do")),
    pattern("complaint.sure", "you are sure", not_before=("but", "of it")),
    pattern("short.fine", "fine", "it is fine", whole_turn=True, after=("asks",)),
    pattern("short.guess", "i guess", max_words=3),
    pattern("short.dunno", "i do not know", at_start=True, negatable=False),
    pattern("short.given", "sure thing", floor_given=True),
    pattern("validates.sense", "makes sense"),
    pattern("asks.how", "how did it go"),
    pattern("froze.froze", "you froze"),
    Pattern(
        "complaint.too",
        "complaint",
        "a test",
        "0.1",
        ("C: x",),
        tokens=(({"LOWER": "too"}, {"LOWER": {"IN": ["fast", "slow"]}}),),
    ),
)


@pytest.fixture(scope="module")
def small() -> MarkerRules:
    codebook = Codebook(
        "0.1", {marker.id: marker for marker in MARKERS}, {one.id: one for one in PATTERNS}, SPOKEN
    )
    return MarkerRules(codebook)


@pytest.fixture
def ids(small: MarkerRules, make_transcript: Any) -> Any:
    """The patterns that hit the last of these lines."""

    def ids(*lines: str) -> list[str]:
        return [hit.pattern_id for hit in small.find(make_transcript(*lines).turns)[-1]]

    return ids


def test_a_hit_names_its_marker_its_pattern_and_its_place(
    small: MarkerRules, make_transcript: Any
) -> None:
    transcript = make_transcript("T: Hello.", "C: Um, you never, uh, listen!")
    (hit,) = small.find(transcript.turns)[1]
    assert hit == MarkerHit(1, 4, 25, "complaint", "complaint.listen", "rule")
    assert transcript.turns[1].text[hit.start : hit.end] == "you never, uh, listen"


def test_a_phrase_is_found_through_contractions_and_stutters(ids: Any) -> None:
    assert ids("C: You don't, you don't listen to me.") == ["complaint.listen"]
    assert ids("C: I-I don’t know.") == ["short.dunno"]


def test_a_token_pattern_is_found_beside_the_phrases(ids: Any) -> None:
    assert ids("C: That was too fast, and this is useless.") == [
        "complaint.too",
        "complaint.helps",
    ]


def test_of_two_matches_of_one_pattern_the_longer_stays(
    small: MarkerRules, make_transcript: Any
) -> None:
    turns = make_transcript("T: How did it go?", "C: It's fine.").turns
    (hit,) = small.find(turns)[1]
    assert turns[1].text[hit.start : hit.end] == "It's fine"


def test_patterns_that_hit_one_place_are_in_order_of_their_names(
    small: MarkerRules, make_transcript: Any
) -> None:
    names = [f"complaint.{letter}" for letter in "hgfedcba"]
    alike = {name: pattern(name, "same old words") for name in names}
    rules = MarkerRules(dataclasses.replace(small.codebook, patterns=alike))
    hits = rules.find(make_transcript("C: The same old words.").turns)[0]
    assert [hit.pattern_id for hit in hits] == sorted(names)


def test_hits_are_in_order_of_place(small: MarkerRules, make_transcript: Any) -> None:
    turns = make_transcript("C: This is useless. You never listen. This is useless.").turns
    starts = [hit.start for hit in small.find(turns)[0]]
    assert len(starts) == 3
    assert starts == sorted(starts)


@pytest.mark.parametrize(
    "text",
    ["It's not that this is useless.", "I never said this is useless", "not, um, this is useless"],
)
def test_a_negation_shortly_before_voids_a_match(ids: Any, text: str) -> None:
    assert ids(f"C: {text}") == []


def test_a_negation_far_before_or_in_another_sentence_voids_nothing(ids: Any) -> None:
    assert ids("C: I did not sleep well at all and this is useless") == ["complaint.helps"]
    assert ids("C: I did not. This is useless.") == ["complaint.helps"]


@pytest.mark.parametrize("text", ["No, this is useless.", "Nah this is useless."])
def test_a_no_that_answers_negates_nothing(ids: Any, text: str) -> None:
    assert ids(f"C: {text}") == ["complaint.helps"]


def test_a_no_inside_the_sentence_does_negate(ids: Any) -> None:
    assert ids("C: There is no way this is useless.") == []


def test_a_pattern_may_be_beyond_negation(ids: Any) -> None:
    assert ids("C: It's not me, they blame me.") == ["complaint.quoted"]


@pytest.mark.parametrize(
    "text",
    [
        "My boss said you never listen.",
        "And then she goes, you never listen",
        "He told me that you never listen",
        "She was like, you never listen",
        'The letter reads "you never listen" in red.',
        "The letter reads “you never listen” in red.",
    ],
)
def test_reported_speech_is_not_the_clients_own(ids: Any, text: str) -> None:
    assert ids(f"C: {text}") == []


@pytest.mark.parametrize(
    "text",
    [
        "I said you never listen.",
        "My boss said so. You never listen.",
        'He read "the letter" aloud and you never listen.',
        "My boss is kind and you never listen.",
    ],
)
def test_what_only_looks_like_reported_speech_counts(ids: Any, text: str) -> None:
    assert ids(f"C: {text}") == ["complaint.listen"]


@pytest.mark.parametrize(
    "text",
    [
        "I told my boss, you never listen.",
        "I said to him you never listen.",
        "So I just told them you never listen.",
    ],
)
def test_what_the_client_told_another_does_not_mean_the_therapist(ids: Any, text: str) -> None:
    assert ids("T: Go on.", f"C: {text}") == []


@pytest.mark.parametrize(
    "text",
    [
        "I told you, you never listen.",
        "I told my boss so. You never listen.",
        "I said he could wait, you never listen.",
        "I told him this is useless.",
        "I told you about him, you never listen.",
    ],
)
def test_a_you_that_nobody_else_was_told_means_the_therapist(ids: Any, text: str) -> None:
    assert ids("T: Go on.", f"C: {text}") != []


@pytest.mark.parametrize(
    "text",
    [
        "I'm not saying you never hear.",
        "I am not saying that you never hear.",
        "I never said you never hear.",
        "It's not that you never hear.",
        "You never hear, my boss said.",
        "You never hear, she goes.",
        "You never hear, that is what he said to me when he left.",
    ],
)
def test_what_is_disowned_or_ascribed_to_another_is_not_said(ids: Any, text: str) -> None:
    assert ids(f"C: {text}") == []


@pytest.mark.parametrize(
    "text",
    [
        "I'm saying you never hear.",
        "I said that you never hear.",
        "The thing is that you never hear.",
        "You never hear. She said so.",
    ],
)
def test_what_is_owned_counts(ids: Any, text: str) -> None:
    assert ids(f"C: {text}") == ["complaint.blunt"]


def test_a_pattern_may_count_in_reported_speech(ids: Any) -> None:
    assert ids("C: My boss said they blame me.") == ["complaint.quoted"]


def test_a_pattern_after_a_move_needs_that_move(ids: Any) -> None:
    assert ids("T: How did it go?", "C: Fine.") == ["short.fine"]
    assert ids("T: See you on Monday.", "C: Fine.") == []
    assert ids("C: Fine.") == []


def test_a_backchannel_leaves_the_floor_where_it_was(ids: Any) -> None:
    lines = ("T: How did it go?", "C: Well.", "T: Mhm, okay.", "C: Fine.")
    assert ids(*lines) == ["short.fine"]


def test_other_talk_of_the_therapist_takes_the_move_back(ids: Any) -> None:
    lines = ("T: How did it go?", "C: Well.", "T: Let us look at Monday.", "C: Fine.")
    assert ids(*lines) == []


def test_a_whole_turn_pattern_allows_hesitations_and_events_beside_it(ids: Any) -> None:
    assert ids("T: How did it go?", "C: Um, it's fine. [laughs]") == ["short.fine"]
    assert ids("T: How did it go?", "C: It's fine with me.") == []


def test_a_pattern_at_the_start_allows_only_short_replies_before_it(ids: Any) -> None:
    assert ids("C: Well, no, I don't know.") == ["short.dunno"]
    assert ids("C: Monday came and I don't know.") == []
    assert ids("C: No. But well. No. But well. No. I don't know.") == []


def test_a_pattern_with_a_length_is_void_in_a_longer_turn(ids: Any) -> None:
    assert ids("C: Um, better I guess.") == ["short.guess"]
    assert ids("C: Better, or so I guess.") == []


def test_a_question_pattern_needs_the_question_mark_of_its_own_sentence(ids: Any) -> None:
    assert ids("C: Why are you asking me that?") == ["complaint.why"]
    assert ids("C: Why are you asking. Really?") == []


def test_a_pattern_may_exclude_questions(ids: Any) -> None:
    assert ids("C: But you told me so. Right?") == ["complaint.told"]
    assert ids("C: But you told me so?") == []


def test_a_word_directly_before_may_void_a_match(ids: Any) -> None:
    assert ids("C: And you know it.") == ["complaint.know"]
    assert ids("C: What you know is little.") == []


def test_a_phrase_directly_after_may_void_a_match(ids: Any) -> None:
    assert ids("C: You are sure.") == ["complaint.sure"]
    assert ids("C: You are sure of many things.") == ["complaint.sure"]
    assert ids("C: You are sure, but wrong.") == []
    assert ids("C: You are sure of it.") == []


@pytest.mark.parametrize(
    ("before", "after", "hits"),
    [
        ("So we will.", "Good.", ["short.given"]),
        ("So we will -", "Good.", []),
        ("So we will,", "Good.", []),
        ("So we will.", "— go there.", []),
    ],
)
def test_a_word_thrown_in_mid_speech_answers_nothing(
    small: MarkerRules, make_transcript: Any, before: str, after: str, hits: list[str]
) -> None:
    turns = make_transcript(f"T: {before}", "C: Sure thing.", f"T: {after}").turns
    assert [hit.pattern_id for hit in small.find(turns)[1]] == hits


def test_a_marker_is_asked_only_of_its_own_speaker(ids: Any) -> None:
    assert ids("T: You never listen.") == []
    assert ids("C: That makes sense.") == []
    assert ids("T: That makes sense.") == ["validates.sense"]


@pytest.mark.parametrize("who", ["X", "O"])
def test_a_speaker_of_no_role_gets_only_what_anyone_may_say(ids: Any, who: str) -> None:
    assert ids(f"{who}: You never listen, that makes sense, you froze") == ["froze.froze"]


def test_what_anyone_may_say_is_found_in_every_role(ids: Any) -> None:
    assert ids("T: You froze there.") == ["froze.froze"]
    assert ids("C: You froze there.") == ["froze.froze"]


def test_hits_run_parallel_to_the_turns(small: MarkerRules, make_transcript: Any) -> None:
    turns = make_transcript("T: Hello.", "C: 🙂", "T: ...", "C: You never listen.").turns
    found = small.find(turns)
    assert [len(hits) for hits in found] == [0, 0, 0, 1]
    assert small.find(()) == ()


def test_no_state_is_kept_between_sessions(small: MarkerRules, make_transcript: Any) -> None:
    small.find(make_transcript("T: How did it go?").turns)
    assert small.find(make_transcript("C: Fine.").turns) == ((),)


def test_a_hit_repeats_no_speech(small: MarkerRules, make_transcript: Any) -> None:
    hits = small.find(make_transcript("C: You never listen.").turns)
    assert "listen." not in repr(hits)
    assert "never" not in repr(hits)


def test_the_shipped_rules_find_places_inside_every_turn(
    rules: MarkerRules, make_transcript: Any
) -> None:
    transcript: Transcript = make_transcript(
        "T: How are you feeling about what we do here? 🙂",
        "C: Fine, I guess… I don’t think this is helping me — שלום.",
        "T: I'm glad you said that. I may have pushed too hard.",
        "C: You're not listening. My boss said you never listen.",
    )
    roles = {marker.id: marker.role for marker in rules.codebook.markers.values()}
    for turn, hits in zip(transcript.turns, rules.find(transcript.turns), strict=True):
        for hit in hits:
            assert 0 <= hit.start < hit.end <= len(turn.text)
            assert rules.codebook.patterns[hit.pattern_id].marker == hit.marker
            assert roles[hit.marker] in ("any", turn.role)


def test_the_shipped_rules_give_an_unknown_speaker_only_what_anyone_may_say(
    rules: MarkerRules, make_transcript: Any
) -> None:
    transcript = make_transcript("C: This isn't helping me. You're not listening to me.")
    unknown = transcript.with_roles({"C": Role.UNKNOWN})
    kinds = dataclasses.asdict(rules.codebook)["markers"]
    assert all(kinds[hit.marker]["role"] == "any" for hit in rules.find(unknown.turns)[0])
