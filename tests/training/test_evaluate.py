import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from detector.markers import MarkerRules
from detector.scoring import FITTED
from detector.weights import LinearModel
from training import evaluate
from training.corpus import RATINGS, load_synthetic
from training.evaluate import (
    Figure,
    auroc,
    average_precision,
    bootstrap,
    brier,
    calibration_error,
    cross_validate,
    rate,
    rating_pairs,
    segment_pairs,
    spearman,
    turn_pairs,
)
from training.floors import fit_length, fit_tfidf
from training.rules import Example, FittedRules, read_examples


@pytest.fixture(scope="module")
def examples(rules: MarkerRules) -> list[Example]:
    """Ten invented sessions in pairs that must not be parted."""
    sessions = load_synthetic()[:10]
    return read_examples(
        [dataclasses.replace(s, group="abcde"[n // 2]) for n, s in enumerate(sessions)], rules
    )


def array(*values: float) -> Any:
    return np.array(values, dtype=np.float64)


def test_auroc_is_the_chance_that_a_true_one_scores_higher() -> None:
    assert auroc(array(0, 0, 1, 1), array(0.1, 0.4, 0.35, 0.8)) == 0.75
    assert auroc(array(0, 1), array(0.1, 0.9)) == 1.0


@pytest.mark.parametrize("truth", [array(0, 0, 0), array(1, 1, 1)])
def test_auroc_of_one_class_is_not_defined(truth: Any) -> None:
    assert math.isnan(auroc(truth, array(0.1, 0.2, 0.3)))


def test_average_precision_is_one_for_a_perfect_order_and_the_base_rate_for_none() -> None:
    assert average_precision(array(0, 0, 1), array(0.1, 0.2, 0.3)) == 1.0
    assert average_precision(array(0, 0, 0, 1), array(0.5, 0.5, 0.5, 0.5)) == 0.25


def test_average_precision_where_nothing_is_true_is_not_defined() -> None:
    assert math.isnan(average_precision(array(0, 0), array(0.1, 0.2)))


def test_the_brier_score_is_the_mean_squared_distance() -> None:
    assert brier(array(0, 1), array(0.0, 0.5)) == pytest.approx(0.125)


def test_a_calibrated_score_has_no_calibration_error() -> None:
    truth = np.tile(array(0, 0, 0, 1), 250)
    assert calibration_error(truth, np.full(1000, 0.25)) == pytest.approx(0.0, abs=0.02)
    assert calibration_error(truth, np.full(1000, 0.75)) == pytest.approx(0.5, abs=0.02)


def test_the_calibration_error_of_fewer_units_than_bins_is_defined() -> None:
    assert calibration_error(array(0, 1), array(0.0, 0.5)) == pytest.approx(0.25)


def test_a_rank_correlation_looks_at_ranks_and_is_not_defined_for_a_constant() -> None:
    assert spearman(array(1, 2, 3), array(10, 20, 1000)) == pytest.approx(1.0)
    assert spearman(array(1, 2, 3), array(3, 2, 1)) == pytest.approx(-1.0)
    assert math.isnan(spearman(array(1, 2, 3), array(2, 2, 2)))


def test_a_figure_has_the_value_of_all_units_inside_its_interval() -> None:
    rng = np.random.default_rng(1)
    pairs = [(rng.integers(0, 2, 30) * 1.0, rng.random(30)) for _ in range(12)]
    found = bootstrap(pairs, brier)
    everything = np.concatenate([t for t, _ in pairs]), np.concatenate([s for _, s in pairs])
    assert found.value == pytest.approx(brier(*everything))
    assert found.low < found.value < found.high


def test_the_bootstrap_draws_sessions_not_units() -> None:
    even = [(array(0, 1), array(0.5, 0.5))] * 5
    assert bootstrap(even, brier) == Figure(0.25, 0.25, 0.25)
    uneven = [(array(0, 0), array(0, 0)), (array(0, 0), array(1, 1))]
    assert (bootstrap(uneven, brier).low, bootstrap(uneven, brier).high) == (0.0, 1.0)


def test_the_bootstrap_is_the_same_each_time_and_leaves_undefined_draws_out() -> None:
    pairs = [(array(0, 0), array(0.1, 0.2)), (array(1, 1), array(0.3, 0.05))]
    found = bootstrap(pairs, auroc)
    assert found == bootstrap(pairs, auroc)
    assert math.isfinite(found.low)
    assert math.isfinite(found.high)


def test_a_metric_that_is_defined_nowhere_is_nan_with_its_interval() -> None:
    found = bootstrap([(array(0, 0), array(0.1, 0.2))] * 3, auroc)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_figure_is_shown_with_its_interval() -> None:
    assert str(Figure(0.25, 0.2, 0.3)) == "0.250 (0.200–0.300)"


def test_cross_validation_never_shows_a_model_the_sessions_own_group(
    examples: list[Example],
) -> None:
    def fit(seen: Sequence[Example]) -> Any:
        groups = {ex.session.group for ex in seen}

        def predict(ex: Example) -> tuple[str, set[str]]:
            return ex.session.group, groups

        return predict

    found = cross_validate(examples, (), fit)
    assert [group for group, _ in found] == [ex.session.group for ex in examples]
    for group, groups in found:
        assert group not in groups
        assert groups


def test_what_is_extra_is_always_seen_and_never_predicted(examples: list[Example]) -> None:
    own, extra = examples[:8], examples[8:]

    def fit(seen: Sequence[Example]) -> Any:
        return lambda ex: {other.session.session_id for other in seen}

    found = cross_validate(own, extra, fit)
    assert len(found) == len(own)
    for ids in found:
        assert ids >= {ex.session.session_id for ex in extra}


def ones(example: Example) -> dict[str, Any]:
    return {label: np.full(len(example.roles), 0.5) for label in FITTED}


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


def test_a_segment_is_true_where_one_of_its_turns_is(examples: list[Example]) -> None:
    ex = examples[0]
    ((truth, scores),) = segment_pairs([ex], [ones(ex)], "withdrawal", 1e6)
    assert truth.tolist() == [ex.targets["withdrawal"].max()]
    assert scores[0] == pytest.approx(1 - 0.5 ** len(ex.read.turns))


def test_rating_pairs_are_one_unit_a_session(examples: list[Example]) -> None:
    pairs = rating_pairs(examples, [{"withdrawal": 2.0}] * len(examples), "withdrawal")
    assert [truth.tolist() for truth, _ in pairs] == [
        [ex.session.ratings["withdrawal"]] for ex in examples
    ]
    assert {float(found[0]) for _, found in pairs} == {2.0}


def test_ratings_stay_on_the_scale(examples: list[Example]) -> None:
    for intercept, rating in ((9.0, 5.0), (-9.0, 1.0), (2.5, 2.5)):
        flat = LinearModel(intercept, (), np.zeros(0), np.zeros(0))
        fitted = FittedRules({}, {}, dict.fromkeys(RATINGS, flat), ())
        assert set(rate(fitted, ones(examples[0])).values()) == {rating}


@pytest.mark.parametrize("fit", [fit_length, fit_tfidf])
def test_a_floor_gives_probabilities_on_the_right_turns(examples: list[Example], fit: Any) -> None:
    predict = fit(examples[:6])
    ex = examples[6]
    for label, scores in predict(ex).items():
        mine = ex.mine(label)
        assert ((scores[mine] > 0) & (scores[mine] < 1)).all()
        assert not np.delete(scores, mine).any()


def test_the_module_says_whose_labels_these_are() -> None:
    assert "language model" in (evaluate.__doc__ or "")
    assert "not from clinicians" in (evaluate.__doc__ or "")
