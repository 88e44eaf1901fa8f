import math
from typing import Any

import numpy as np
import pytest

from training.figures import Difference, Figure, bootstrap, paired_bootstrap
from training.metrics import auroc, average_precision, brier, mean, measure


def array(*values: float) -> Any:
    return np.array(values, dtype=np.float64)


@pytest.fixture(scope="module")
def sessions() -> list[tuple[Any, Any]]:
    """Twelve sessions of thirty turns; the scores know a little."""
    rng = np.random.default_rng(1)
    truths = [rng.integers(0, 2, 30) * 1.0 for _ in range(12)]
    return [(truth, 0.3 * truth + 0.7 * rng.random(30)) for truth in truths]


def test_a_figure_has_the_value_of_all_units_inside_its_interval(
    sessions: list[tuple[Any, Any]],
) -> None:
    found = bootstrap(sessions, brier)
    truth, scores = (np.concatenate(side) for side in zip(*sessions, strict=True))
    assert found.value == pytest.approx(measure(brier, truth, scores))
    assert found.low < found.value < found.high


def test_the_interval_is_that_of_resamples_measured_one_by_one(
    sessions: list[tuple[Any, Any]],
) -> None:
    rng = np.random.default_rng(20)
    values = []
    for _ in range(1000):
        drawn = [sessions[place] for place in rng.integers(len(sessions), size=len(sessions))]
        truth, scores = (np.concatenate(side) for side in zip(*drawn, strict=True))
        values.append(measure(auroc, truth, scores))
    found = bootstrap(sessions, auroc)
    assert [found.low, found.high] == pytest.approx(np.percentile(values, [2.5, 97.5]))


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


def test_a_session_without_any_unit_changes_nothing_but_the_draws() -> None:
    pairs = [(array(), array()), (array(0, 1), array(0.2, 0.4))]
    assert bootstrap(pairs, mean).value == pytest.approx(0.3)


def test_a_scorer_does_not_differ_from_itself(sessions: list[tuple[Any, Any]]) -> None:
    found = paired_bootstrap(sessions, sessions, average_precision)
    assert found == Difference(0.0, 0.0, 0.0, 0.0)


def test_a_scorer_that_knows_more_is_above_the_other_in_most_resamples(
    sessions: list[tuple[Any, Any]],
) -> None:
    knowing = [(truth, 0.6 * truth + 0.4 * scores) for truth, scores in sessions]
    found = paired_bootstrap(knowing, sessions, auroc)
    assert found.value == pytest.approx(
        bootstrap(knowing, auroc).value - bootstrap(sessions, auroc).value
    )
    assert 0 < found.low < found.value < found.high
    assert found.above_zero == 1.0
    back = paired_bootstrap(sessions, knowing, auroc)
    assert (back.value, back.low, back.high) == pytest.approx(
        (-found.value, -found.high, -found.low)
    )
    assert back.above_zero == 0.0


def test_a_paired_interval_is_narrower_than_that_of_two_scorers_apart(
    sessions: list[tuple[Any, Any]],
) -> None:
    alike = [(truth, scores + 0.02 * truth) for truth, scores in sessions]
    paired, alone = paired_bootstrap(alike, sessions, brier), bootstrap(sessions, brier)
    assert paired.high - paired.low < alone.high - alone.low


def test_two_scorers_of_other_sessions_cannot_be_compared(
    sessions: list[tuple[Any, Any]],
) -> None:
    with pytest.raises(ValueError, match="not the same units"):
        paired_bootstrap(sessions, sessions[1:], auroc)


def test_a_figure_is_shown_with_its_interval() -> None:
    assert str(Figure(0.25, 0.2, 0.3)) == "0.250 (0.200–0.300)"
    assert str(Figure(-0.25, -0.3, 0.1)) == "-0.250 (-0.300 to 0.100)"
    assert str(Difference(0.05, -0.01, 0.1, 0.96)) == "+0.050 (-0.010 to +0.100)"
