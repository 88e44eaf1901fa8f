"""Rows that a network learns from: targets by role and marker, features that are numbers."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from detector.codebook import load_codebook
from detector.markers import MarkerRules
from detector.transcript import Cue, Role, Transcript
from training.corpus import CueLabel, LabelledSession, TrainingDataError
from training.examples import (
    LABELS,
    as_dataset,
    feature_names,
    marker_columns,
    missing_labels,
    strategy_columns,
)
from training.rules import Example, read_examples

TURNS = (
    (Role.THERAPIST, "How was the week?", ()),
    (Role.CLIENT, "Fine, whatever.", ("denial",)),
    (Role.THERAPIST, "Tell me what I missed.", ("invites_feelings",)),
    (Role.CLIENT, "You never listen.", ("complaint_therapist", "rejects_intervention")),
)


def session(**changed: Any) -> LabelledSession:
    cues = tuple(
        Cue(str(place), str(role), text, role=role) for place, (role, text, _) in enumerate(TURNS)
    )
    labels = {
        str(place): CueLabel(frozenset(markers), 2, "bond", sure=place != 1)
        for place, (_, _, markers) in enumerate(TURNS)
        if markers
    }
    given = {"source": "annomi", "group": "v1", "split": "train", "labels": labels, **changed}
    given.setdefault("ratings", {"withdrawal": 2.0})
    return LabelledSession("s1", transcript=Transcript("test", cues), **given)


def row(rules: MarkerRules, soft: float = 0.0, **changed: Any) -> dict[str, Any]:
    (example,) = read_examples([session(**changed)], rules)
    return dict(as_dataset([example], feature_names([example]), soft=soft)[0])


def test_labels_say_which_kinds_of_marker_a_turn_has(rules: MarkerRules) -> None:
    labels = np.array(row(rules)["labels"])
    assert [LABELS[place] for place in np.argwhere(labels)[:, 1]] == [
        "withdrawal",
        "resolution",
        "confrontation",
    ]
    assert list(np.argwhere(labels)[:, 0]) == [1, 2, 3]


def test_markers_and_strategies_stand_in_codebook_order(rules: MarkerRules) -> None:
    found = row(rules)
    assert list(marker_columns()) == list(load_codebook().of_kind("withdrawal", "confrontation"))
    said = [marker_columns()[place] for place in np.flatnonzero(found["markers"][3])]
    assert set(said) == {"complaint_therapist", "rejects_intervention"}
    assert strategy_columns()[int(np.argmax(found["strategies"][2]))] == "invites_feelings"


def test_intensity_pillar_and_doubt_come_from_the_cues(rules: MarkerRules) -> None:
    found = row(rules)
    assert found["intensity"] == [0, 2, 2, 2]
    assert found["pillar"] == [-1, 2, 2, 2]
    assert found["sure"] == [1, 0, 1, 1]


def test_a_rating_that_nobody_gave_is_unknown(rules: MarkerRules) -> None:
    assert row(rules)["ratings"][0] == 2.0
    assert np.isnan(row(rules)["ratings"][1:]).all()


def test_raw_codings_soften_the_target(rules: MarkerRules) -> None:
    codings = ({"1": CueLabel(frozenset({"denial"}))}, {})
    labels = np.array(row(rules, soft=0.5, codings=codings)["labels"])
    assert labels[1, LABELS.index("withdrawal")] == pytest.approx(0.75)
    assert labels[3, LABELS.index("confrontation")] == pytest.approx(0.5)


def test_without_raw_codings_the_target_is_the_label(rules: MarkerRules) -> None:
    assert row(rules, soft=0.5)["labels"] == row(rules, soft=0.0)["labels"]


def test_the_releases_own_codes_are_places_in_their_lists(rules: MarkerRules) -> None:
    found = row(rules, talk={"0": "question", "1": "sustain", "2": "unheard of"})
    assert found["behaviour"] == [0, -1, -1, -1]
    assert found["talk"] == [-1, 2, -1, -1]


def test_an_unknown_marker_in_the_labels_is_named(rules: MarkerRules) -> None:
    wrong = {"1": CueLabel(frozenset({"sulks"}))}
    (example,) = read_examples([session()], rules)
    example = dataclasses.replace(example, session=session(labels=wrong))
    with pytest.raises(TrainingDataError, match=r"s1, cue 1: unknown label 'sulks'"):
        as_dataset([example], feature_names([example]), soft=0)


def changed_feature(rules: MarkerRules, name: str, value: float) -> Example:
    (example,) = read_examples([session()], rules)
    rows = [dict(own) for own in example.read.features]
    rows[2][name] = value
    return dataclasses.replace(
        example, read=dataclasses.replace(example.read, features=tuple(rows))
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_feature_that_is_no_number_is_named(rules: MarkerRules, value: float) -> None:
    example = changed_feature(rules, "said.log_words", value)
    with pytest.raises(TrainingDataError, match=r"s1, turn 2: the feature said\.log_words"):
        as_dataset([example], feature_names([example]), soft=0)


def test_a_time_without_a_clock_may_be_unknown(rules: MarkerRules) -> None:
    example = changed_feature(rules, "time.pause_before_s", np.nan)
    names = feature_names([example])
    table = np.array(as_dataset([example], names, soft=0)[0]["features"])
    assert np.isnan(table[2, names.index("time.pause_before_s")])


def test_features_are_neither_words_nor_single_patterns(rules: MarkerRules) -> None:
    names = feature_names(read_examples([session()], rules))
    assert "said.log_words" in names
    assert not [name for name in names if name.startswith(("word.", "pattern."))]


def test_labels_that_nobody_carries_are_found(rules: MarkerRules) -> None:
    examples = read_examples([session()], rules)
    dataset = as_dataset(examples, feature_names(examples), soft=0)
    assert list(missing_labels(dataset)) == ["contribution", "repair_disclosure"]


def test_a_session_of_one_turn_is_a_row(rules: MarkerRules) -> None:
    one = Transcript("test", (Cue("0", "A", "Hello.", role=Role.CLIENT),))
    whole = dataclasses.replace(session(), transcript=one, labels={})
    examples = read_examples([whole], rules)
    found = as_dataset(examples, feature_names(examples), soft=0.5)[0]
    assert np.array(found["labels"]).shape == (1, len(LABELS))
