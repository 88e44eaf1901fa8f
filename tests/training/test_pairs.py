import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from detector.scoring import FITTED
from training.figures import bootstrap
from training.metrics import mean
from training.pairs import (
    flag_thresholds,
    flagged_pairs,
    found_pairs,
    marker_pairs,
    rating_pairs,
    rupture_scores,
    rupture_truth,
    segment_pairs,
    truth_of,
    turn_pairs,
    within_session_pairs,
)
from training.rules import Example


def array(*values: float) -> Any:
    return np.array(values, dtype=np.float64)


def ones(example: Example) -> dict[str, Any]:
    return {label: np.full(len(example.roles), 0.5) for label in FITTED}


def right(example: Example) -> dict[str, Any]:
    """Scores that know the labels."""
    return {label: 0.01 + 0.98 * example.targets[label] for label in FITTED}


def test_turn_pairs_hold_only_turns_that_can_carry_the_label(examples: list[Example]) -> None:
    pairs = turn_pairs(examples, [ones(ex) for ex in examples], "withdrawal")
    assert [len(truth) for truth, _ in pairs] == [len(ex.mine("withdrawal")) for ex in examples]
    assert all(len(truth) == len(scores) for truth, scores in pairs)


def test_contested_turns_are_left_out_where_only_agreed_ones_count(
    examples: list[Example],
) -> None:
    ex = examples[0]
    turn = ex.read.turns[ex.mine("withdrawal")[0]]
    session = dataclasses.replace(ex.session, contested=frozenset(turn.cue_ids[:1]))
    contested = [dataclasses.replace(ex, session=session)]
    (all_turns,) = turn_pairs(contested, [ones(ex)], "withdrawal")
    (agreed,) = turn_pairs(contested, [ones(ex)], "withdrawal", agreed_only=True)
    assert len(agreed[0]) == len(all_turns[0]) - 1


def test_the_truth_of_a_repair_disclosure_is_its_marker(examples: list[Example]) -> None:
    n_true = 0
    for ex in examples:
        for turn, true in zip(ex.read.turns, truth_of(ex, "repair_disclosure"), strict=True):
            assert bool(true) == ("repair_disclosure" in ex.session.markers_of(turn))
            n_true += int(true)
    assert n_true


def test_a_segment_is_true_where_one_of_its_turns_is(examples: list[Example]) -> None:
    ex = examples[0]
    ((truth, scores),) = segment_pairs([ex], [ones(ex)], "withdrawal", 1e6)
    assert truth.tolist() == [ex.targets["withdrawal"].max()]
    assert scores[0] == pytest.approx(1 - 0.5 ** len(ex.read.turns))


def test_marker_pairs_hold_the_turns_of_the_speaker_who_can_show_it(
    examples: list[Example],
) -> None:
    found = [{"denial": np.arange(len(ex.roles)) * 1.0} for ex in examples]
    pairs = marker_pairs(examples, found, "denial")
    for ex, (truth, scores) in zip(examples, pairs, strict=True):
        assert scores.tolist() == ex.mine("withdrawal").tolist()
        marked = [
            i for i in ex.mine("withdrawal") if "denial" in ex.session.markers_of(ex.read.turns[i])
        ]
        assert scores[truth == 1].tolist() == marked


def test_rating_pairs_are_one_unit_a_session(examples: list[Example]) -> None:
    pairs = rating_pairs(examples, [{"withdrawal": 2.0}] * len(examples), "withdrawal")
    assert [truth.tolist() for truth, _ in pairs] == [
        [ex.session.ratings["withdrawal"]] for ex in examples
    ]
    assert {float(found[0]) for _, found in pairs} == {2.0}


def test_a_sessions_own_fold_has_no_say_in_its_threshold() -> None:
    pairs = [
        (array(0, 1), array(0.2, 0.4)),
        (array(0, 1), array(0.6, 0.8)),
    ]
    flags = flagged_pairs(pairs, [0, 1])
    assert [found.tolist() for _, found in flags] == [[0, 0], [1, 1]]
    assert [truth.tolist() for truth, _ in flags] == [[0, 1], [0, 1]]


def test_a_rupture_is_of_either_kind(examples: list[Example]) -> None:
    ex = examples[0]
    assert set(rupture_scores(ones(ex))) == {0.75}
    both = ex.targets["withdrawal"] + ex.targets["confrontation"]
    assert np.array_equal(rupture_truth(ex), (both > 0).astype(float))


def test_the_flag_is_set_on_the_other_folds(examples: list[Example]) -> None:
    real = examples[:4]
    scores = [right(ex) for ex in real]
    before = flag_thresholds(real, scores, [0, 0, 1, 1])
    assert before[0] == before[1]
    assert before[2] == before[3]
    changed = [ones(real[0]), ones(real[1]), *scores[2:]]
    after = flag_thresholds(real, changed, [0, 0, 1, 1])
    assert after[:2] == before[:2]
    assert after[2:] != before[2:]


def test_within_a_session_a_scorer_that_knows_its_turns_has_one_and_one_that_does_not_a_half(
    examples: list[Example],
) -> None:
    for scores, expected in ((right, 1.0), (ones, 0.5)):
        pairs = within_session_pairs(examples, [scores(ex) for ex in examples])
        assert bootstrap(pairs, mean).value == pytest.approx(expected)


def test_a_session_without_ruptures_has_no_figure_within(examples: list[Example]) -> None:
    ex = examples[0]
    calm = {label: np.zeros(len(ex.roles)) for label in FITTED}
    pairs = within_session_pairs([dataclasses.replace(ex, targets=calm)], [ones(ex)])
    assert [len(scores) for _, scores in pairs] == [0]
    assert math.isnan(bootstrap(pairs, mean).value)


def test_found_pairs_say_of_each_labelled_turn_whether_it_is_flagged(
    examples: list[Example],
) -> None:
    scores = [right(ex) for ex in examples]
    every = found_pairs(examples, scores, [0.5] * len(examples))
    assert [len(flags) for _, flags in every] == [int(rupture_truth(ex).sum()) for ex in examples]
    assert all(flags.all() for _, flags in every)
    nothing = found_pairs(examples, scores, [1.1] * len(examples))
    assert not any(flags.any() for _, flags in nothing)
