"""Noise changes what was written, never whose label it is, and is the same for one seed."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from detector.transcript import Cue, Role, Transcript
from training.augment import AugmentConfig, noisy_copies
from training.corpus import CueLabel, LabelledSession, load_synthetic

QUIET = AugmentConfig(
    copies=1,
    lost_filler=0.0,
    lost_backchannel=0.0,
    plain_text=0.0,
    wrong_word=0.0,
    split_speaker=0.0,
)


def session(*lines: str, **labels: CueLabel) -> LabelledSession:
    cues = tuple(
        Cue(f"c{place}", line[0], line[3:], role=Role.CLIENT if line[0] == "C" else Role.THERAPIST)
        for place, line in enumerate(lines)
    )
    return LabelledSession(
        "s1", "synthetic", "g", "train", Transcript("test", cues), labels=labels, ratings={}
    )


def noisy(given: LabelledSession, **changed: Any) -> list[Cue]:
    (found,) = noisy_copies(given, replace(QUIET, **changed), seed=0)
    return list(found.transcript.cues)


def test_without_noise_a_copy_is_the_session() -> None:
    given = load_synthetic()[0]
    assert noisy(given) == list(given.transcript.cues)


def test_no_copies_are_made_unless_asked_for() -> None:
    assert noisy_copies(load_synthetic()[0], AugmentConfig(), seed=0) == []


def test_one_seed_gives_the_same_copies_and_another_gives_others() -> None:
    given, config = load_synthetic()[0], AugmentConfig(copies=2)
    first, second = noisy_copies(given, config, seed=1)
    assert noisy_copies(given, config, seed=1) == [first, second]
    assert first != second
    assert noisy_copies(given, config, seed=2)[0] != first


def test_fillers_are_lost_and_other_words_stay() -> None:
    (cue,) = noisy(session("C: Um, I, uh, think so."), lost_filler=1.0)
    assert cue.text == "I, think so."


def test_a_cue_of_fillers_alone_stays_as_it_was() -> None:
    (cue,) = noisy(session("C: Um, uh."), lost_filler=1.0)
    assert cue.text == "Um, uh."


def test_unlabelled_backchannels_are_lost_and_labelled_ones_stay() -> None:
    label = CueLabel(frozenset({"minimal_response"}))
    given = session("C: Mm-hmm.", "T: So you went home?", "C: Yeah. Okay.", c2=label)
    assert [cue.cue_id for cue in noisy(given, lost_backchannel=1.0)] == ["c1", "c2"]


def test_a_session_of_nothing_else_is_not_emptied() -> None:
    assert len(noisy(session("C: Yeah."), lost_backchannel=1.0)) == 1


def test_plain_text_has_neither_case_nor_punctuation() -> None:
    (cue,) = noisy(session("C: No! It's [laughs] half-past two, OK?"), plain_text=1.0)
    assert cue.text == "no it's [laughs] half-past two ok"


def test_wrong_words_leave_every_cue_in_its_place() -> None:
    given = load_synthetic()[0]
    cues = noisy(given, wrong_word=0.5)
    assert [cue.cue_id for cue in cues] == [cue.cue_id for cue in given.transcript.cues]
    assert [cue.text for cue in cues] != [cue.text for cue in given.transcript.cues]


def test_one_speaker_under_two_names_keeps_the_role() -> None:
    given = load_synthetic()[0]
    cues = noisy(given, split_speaker=1.0)
    assert len({cue.speaker for cue in cues}) == 3
    assert [cue.role for cue in cues] == [cue.role for cue in given.transcript.cues]


def test_labels_and_ratings_stay_with_the_session() -> None:
    given = load_synthetic()[0]
    (found,) = noisy_copies(given, AugmentConfig(copies=1), seed=0)
    assert dataclasses.replace(found, transcript=given.transcript) == given


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_a_very_noisy_session_still_has_text(rate: float) -> None:
    cues = noisy(load_synthetic()[1], wrong_word=rate, plain_text=1.0, lost_backchannel=1.0)
    assert all(cue.text.strip() for cue in cues)
