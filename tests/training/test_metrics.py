import math
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from training.metrics import (
    N_BINS,
    auroc,
    average_precision,
    balanced_accuracy,
    best_threshold,
    brier,
    calibration_error,
    calibration_intercept,
    calibration_slope,
    icc_agreement,
    icc_consistency,
    mean,
    measure,
    reliability,
    spearman,
)

EVERY = (
    average_precision,
    auroc,
    balanced_accuracy,
    brier,
    calibration_error,
    calibration_slope,
    calibration_intercept,
    icc_agreement,
    icc_consistency,
    mean,
    spearman,
)


def array(*values: float) -> Any:
    return np.array(values, dtype=np.float64)


@pytest.fixture(scope="module")
def drawn() -> tuple[Any, Any, Any]:
    """Truth, scores with ties, and how often each of 400 units was drawn."""
    rng = np.random.default_rng(3)
    truth = (rng.random(400) < 0.2).astype(np.float64)
    scores = np.round(1 / (1 + np.exp(1.5 - 2 * truth - rng.normal(size=400))), 2)
    return truth, np.clip(scores, 0.01, 0.99), rng.integers(0, 4, 400).astype(np.float64)


def test_auroc_is_the_chance_that_a_true_one_scores_higher() -> None:
    assert measure(auroc, array(0, 0, 1, 1), array(0.1, 0.4, 0.35, 0.8)) == 0.75
    assert measure(auroc, array(0, 1), array(0.1, 0.9)) == 1.0
    assert measure(auroc, array(0, 1), array(0.3, 0.3)) == 0.5


@pytest.mark.parametrize("truth", [array(0, 0, 0), array(1, 1, 1)])
def test_auroc_of_one_class_is_not_defined(truth: Any) -> None:
    assert math.isnan(measure(auroc, truth, array(0.1, 0.2, 0.3)))


def test_average_precision_is_one_for_a_perfect_order_and_the_base_rate_for_none() -> None:
    assert measure(average_precision, array(0, 0, 1), array(0.1, 0.2, 0.3)) == 1.0
    assert measure(average_precision, array(0, 0, 0, 1), array(0.5, 0.5, 0.5, 0.5)) == 0.25


def test_average_precision_where_nothing_is_true_is_not_defined() -> None:
    assert math.isnan(measure(average_precision, array(0, 0), array(0.1, 0.2)))


def test_ranking_figures_are_those_of_sklearn_also_where_units_are_drawn_several_times(
    drawn: tuple[Any, Any, Any],
) -> None:
    truth, scores, counts = drawn
    both = np.stack([np.ones_like(counts), counts])
    for ours, theirs in ((average_precision, average_precision_score), (auroc, roc_auc_score)):
        expected = [theirs(truth, scores, sample_weight=row) for row in both]
        assert ours(truth, scores, both) == pytest.approx(expected, abs=1e-12)


def test_drawing_a_unit_twice_is_the_same_as_having_it_twice(drawn: tuple[Any, Any, Any]) -> None:
    truth, scores, counts = drawn
    flags = (scores > 0.5).astype(np.float64)
    times = counts.astype(int)
    for metric in EVERY:
        given = flags if metric is balanced_accuracy else scores
        often = metric(truth, given, counts[None])[0]
        repeated = measure(metric, np.repeat(truth, times), np.repeat(given, times))
        # A unit that straddles two bins stands wholly in one of them.
        slack = 0.02 if metric is calibration_error else 1e-9
        assert often == pytest.approx(repeated, abs=slack)


def test_balanced_accuracy_is_that_of_sklearn(drawn: tuple[Any, Any, Any]) -> None:
    truth, scores, counts = drawn
    flags = (scores > 0.4).astype(np.float64)
    expected = balanced_accuracy_score(truth, flags, sample_weight=counts)
    assert balanced_accuracy(truth, flags, counts[None])[0] == pytest.approx(expected)


def test_no_other_threshold_beats_the_best(drawn: tuple[Any, Any, Any]) -> None:
    truth, scores, _ = drawn

    def at(cut: float) -> float:
        return measure(balanced_accuracy, truth, (scores >= cut).astype(np.float64))

    best = best_threshold(truth, scores)
    assert at(best) == pytest.approx(max(at(cut) for cut in np.unique(scores)))


def test_the_best_threshold_lies_halfway_to_the_next_lower_score() -> None:
    assert best_threshold(array(0, 0, 1, 1), array(0.1, 0.2, 0.6, 0.7)) == pytest.approx(0.4)


def test_the_best_threshold_with_one_class_only_is_the_middle() -> None:
    assert best_threshold(array(0, 0), array(0.1, 0.2)) == 0.5


def test_the_brier_score_is_the_mean_squared_distance() -> None:
    assert measure(brier, array(0, 1), array(0.0, 0.5)) == pytest.approx(0.125)


def test_a_calibrated_score_has_no_calibration_error() -> None:
    truth = np.tile(array(0, 0, 0, 1), 250)
    assert measure(calibration_error, truth, np.full(1000, 0.25)) == pytest.approx(0.0, abs=0.02)
    assert measure(calibration_error, truth, np.full(1000, 0.75)) == pytest.approx(0.5, abs=0.02)


def test_the_calibration_error_of_fewer_units_than_bins_is_defined() -> None:
    assert measure(calibration_error, array(0, 1), array(0.0, 0.5)) == pytest.approx(0.25)


def test_the_calibration_error_is_the_mean_gap_of_bins_with_the_same_number_of_units() -> None:
    truth = array(*([0] * 10), *([1, 0] * 5))
    scores = np.repeat(array(0.1, 0.6), 10)
    assert measure(calibration_error, truth, scores) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_the_calibration_slope_is_that_of_a_logistic_regression(
    drawn: tuple[Any, Any, Any],
) -> None:
    truth, scores, counts = drawn
    odds = np.log(scores / (1 - scores))[:, None]
    fitted = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000).fit(odds, truth, counts)
    found = calibration_slope(truth, scores, counts[None])[0]
    assert found == pytest.approx(fitted.coef_[0, 0], abs=1e-4)


def test_scores_that_are_too_extreme_have_a_slope_below_one() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(-1, 1.5, 20000)
    truth = (rng.random(20000) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    right, extreme = (1 / (1 + np.exp(-times * odds)) for times in (1, 2))
    assert measure(calibration_slope, truth, right) == pytest.approx(1.0, abs=0.06)
    assert measure(calibration_intercept, truth, right) == pytest.approx(0.0, abs=0.06)
    assert measure(calibration_slope, truth, extreme) == pytest.approx(0.5, abs=0.03)


def test_the_calibration_intercept_makes_the_expected_number_true() -> None:
    truth = np.tile(array(0, 0, 0, 1), 50)
    found = measure(calibration_intercept, truth, np.full(200, 0.5))
    assert found == pytest.approx(math.log(0.25 / 0.75))


def test_calibration_of_scores_of_zero_and_one_is_finite_and_of_one_class_not_defined() -> None:
    assert math.isfinite(measure(calibration_slope, array(0, 1, 1, 0), array(0, 1, 0, 1)))
    assert math.isnan(measure(calibration_slope, array(0, 0), array(0.1, 0.2)))
    assert math.isnan(measure(calibration_intercept, array(1, 1), array(0.1, 0.2)))


def test_the_reliability_plot_holds_every_unit_once_in_bins_of_the_same_size() -> None:
    rng = np.random.default_rng(1)
    truth, scores = (rng.random(95) < 0.3).astype(np.float64), rng.random(95)
    points = reliability(truth, scores)
    assert len(points) == N_BINS
    assert sum(point["n"] for point in points) == 95
    assert {point["n"] for point in points} <= {9, 10}
    assert [point["score"] for point in points] == sorted(point["score"] for point in points)
    assert sum(point["share"] * point["n"] for point in points) == pytest.approx(truth.sum())


def test_a_rank_correlation_looks_at_ranks_and_is_not_defined_for_a_constant() -> None:
    assert measure(spearman, array(1, 2, 3), array(10, 20, 1000)) == pytest.approx(1.0)
    assert measure(spearman, array(1, 2, 3), array(3, 2, 1)) == pytest.approx(-1.0)
    assert math.isnan(measure(spearman, array(1, 2, 3), array(2, 2, 2)))


def test_a_rank_correlation_with_ties_is_that_of_scipy() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.integers(1, 6, 60).astype(np.float64), rng.integers(1, 9, 60) / 2
    expected = spearmanr(one, other).statistic
    assert measure(spearman, one, other) == pytest.approx(expected)


def test_the_two_intraclass_correlations_of_a_worked_example() -> None:
    """Two raters of four sessions, by hand: mean squares 4 (sessions), 8 (raters), 0 (rest)."""
    one, other = array(1, 2, 3, 4.0), array(3, 4, 5, 6.0)
    between, raters = 2 * 5 / 3, 8.0
    assert measure(icc_consistency, one, other) == pytest.approx(1.0)
    expected = between / (between + 2 * raters / 4)
    assert measure(icc_agreement, one, other) == pytest.approx(expected)


def test_the_intraclass_correlations_are_those_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(30, 2)) + rng.normal(size=(30, 1)) * 2 + np.array([0.0, 0.7])
    grand, rows, raters = x.mean(), x.mean(axis=1), x.mean(axis=0)
    between = 2 * ((rows - grand) ** 2).sum() / 29
    column = 30 * ((raters - grand) ** 2).sum()
    rest = ((x - rows[:, None] - raters[None] + grand) ** 2).sum() / 29
    agreement = (between - rest) / (between + rest + 2 * (column - rest) / 30)
    assert measure(icc_agreement, x[:, 0], x[:, 1]) == pytest.approx(agreement)
    consistency = (between - rest) / (between + rest)
    assert measure(icc_consistency, x[:, 0], x[:, 1]) == pytest.approx(consistency)


def test_an_intraclass_correlation_where_nothing_varies_is_not_defined() -> None:
    assert math.isnan(measure(icc_consistency, array(2, 2, 2), array(2, 2, 2)))


@pytest.mark.parametrize("metric", EVERY)
def test_a_resample_without_any_unit_is_not_defined_and_warns_of_nothing(metric: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metric(array(0, 1), array(0, 1), np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert found.shape == (2,)
    assert math.isnan(found[0])
