"""Metrics of scores against labels, each over many resamples at once.

Every metric takes `truth` and `scores` of shape (n_units,), and `counts` of shape (n_draws,
n_units): how often each unit stands in each resample. It gives one value a resample, shape
(n_draws,), NaN where it is not defined there. So a thousand resamples are a few passes over one
sorted array, not a thousand sorts.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from detector.weights import Array

N_BINS = 10
"""Of the calibration error and the reliability plot, each with the same number of units."""

_SURE = 1e-6
"""Scores nearer to 0 or 1 than this are brought here where log-odds are needed."""


class Metric(Protocol):
    """What a figure measures. See the file's own words for the shapes."""

    def __call__(self, truth: Array, scores: Array, counts: Array) -> Array:
        """One value a resample, shape (n_draws,)."""
        ...


def measure(metric: Metric, truth: Array, scores: Array) -> float:
    """The metric over these units, each counted once."""
    return float(metric(truth, scores, np.ones((1, len(truth))))[0])


def _over(part: Array, whole: Array) -> Array:
    """A quotient that is NaN, without a warning, where the whole is 0."""
    quotient: Array = np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole != 0)
    return quotient


def average_precision(truth: Array, scores: Array, counts: Array) -> Array:
    """Area under the precision-recall curve, by steps; NaN where nothing is true."""
    right, total = _above(truth, scores, counts)
    precision = np.divide(right, total, out=np.zeros_like(right), where=total > 0)
    gained = np.diff(right, axis=1, prepend=0.0)
    return _over((gained * precision).sum(axis=1), right[:, -1])


def auroc(truth: Array, scores: Array, counts: Array) -> Array:
    """Chance that a true unit scores above another, ties half; NaN where there is one class."""
    right, total = _above(truth, scores, counts)
    wrong = total - right
    height = right - np.diff(right, axis=1, prepend=0.0) / 2
    area = (np.diff(wrong, axis=1, prepend=0.0) * height).sum(axis=1)
    return _over(area, right[:, -1] * wrong[:, -1])


def _above(truth: Array, scores: Array, counts: Array) -> tuple[Array, Array]:
    """True units and all units at or above each distinct score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    drawn = counts[:, order]
    right = np.cumsum(drawn * truth[order], axis=1)[:, ends]
    return right, np.cumsum(drawn, axis=1)[:, ends]


def balanced_accuracy(truth: Array, scores: Array, counts: Array) -> Array:
    """Mean of the share of true units flagged and of others left alone; `scores` are 0 or 1."""
    found = _over(counts @ (truth * scores), counts @ truth)
    spared = _over(counts @ ((1 - truth) * (1 - scores)), counts @ (1 - truth))
    both: Array = (found + spared) / 2
    return both


def best_threshold(truth: Array, scores: Array) -> float:
    """The score from which flagging gives the best balanced accuracy; .5 with one class only.

    It lies halfway to the next lower score: at the score itself, a true unit elsewhere that
    scores a little lower would be missed for nothing.
    """
    right, total = _above(truth, scores, np.ones((1, len(truth))))
    n_true, n_false = right[0, -1], total[0, -1] - right[0, -1]
    if not (n_true and n_false):
        return 0.5
    place = int(np.argmax(right[0] / n_true - (total[0] - right[0]) / n_false))
    distinct = np.unique(scores)[::-1]
    return float(distinct[place : place + 2].mean())


def brier(truth: Array, scores: Array, counts: Array) -> Array:
    """Mean squared distance of score and truth, 0..1."""
    return mean(truth, (truth - scores) ** 2, counts)


def mean(truth: Array, scores: Array, counts: Array) -> Array:
    """Mean of the scores, whatever the truth; NaN where there is no unit."""
    return _over(counts @ scores, counts.sum(axis=1))


def calibration_error(truth: Array, scores: Array, counts: Array) -> Array:
    """Expected calibration error over ten bins of equal size (by rank), 0..1."""
    order = np.argsort(scores, kind="stable")
    drawn = counts[:, order]
    gaps = drawn * (truth - scores)[order]
    bins = _bins(drawn) + N_BINS * np.arange(len(counts))[:, None]
    sums = np.bincount(bins.ravel(), weights=gaps.ravel(), minlength=N_BINS * len(counts))
    return _over(np.abs(sums.reshape(-1, N_BINS)).sum(axis=1), counts.sum(axis=1))


def _bins(drawn: Array) -> npt.NDArray[np.intp]:
    """The bin of each unit, the units being in order of score."""
    upto = np.cumsum(drawn, axis=1)
    middle = (upto - drawn / 2) / np.maximum(upto[:, -1:], 1.0)
    return np.minimum(N_BINS * middle, N_BINS - 1).astype(np.intp)


def reliability(truth: Array, scores: Array) -> list[dict[str, float]]:
    """Points of the reliability plot, lowest scores first.

    Returns: of each bin the mean `score`, the `share` that is true, and `n` units.
    """
    order = np.argsort(scores, kind="stable")
    bins = _bins(np.ones((1, len(order))))[0]
    held = [order[bins == number] for number in range(N_BINS)]
    return [
        {"score": float(scores[own].mean()), "share": float(truth[own].mean()), "n": len(own)}
        for own in held
        if len(own)
    ]


def calibration_slope(truth: Array, scores: Array, counts: Array) -> Array:
    """Slope of the true log-odds on the score's; 1 is right, below 1 the scores are too extreme.

    Source: Cox 1958; Van Calster et al. 2019, "Calibration: the Achilles heel of predictive
    analytics". NaN with one class only.
    """
    return _calibrate(truth, scores, counts, sloped=True)[:, 1]


def calibration_intercept(truth: Array, scores: Array, counts: Array) -> Array:
    """Log-odds that all scores are too low by, the slope held at 1; 0 is right, same source."""
    return _calibrate(truth, scores, counts, sloped=False)[:, 0]


def _calibrate(truth: Array, scores: Array, counts: Array, *, sloped: bool) -> Array:
    """Intercept and slope of each resample, shape (n_draws, 2)."""
    chances = np.clip(scores, _SURE, 1 - _SURE)
    odds = np.log(chances / (1 - chances))
    # From the fit on all units a few steps are enough for each resample.
    start = _newton(truth, odds, np.ones((1, len(odds))), np.array([[0.0, 1.0]]), 25, sloped)
    found = _newton(truth, odds, counts, np.repeat(start, len(counts), axis=0), 5, sloped)
    n_true = counts @ truth
    found[(n_true == 0) | (n_true == counts.sum(axis=1))] = np.nan
    return found


def _newton(
    truth: Array, odds: Array, counts: Array, at: Array, n_steps: int, sloped: bool
) -> Array:
    """Newton's steps of a logistic regression with one input, many resamples side by side."""
    for _ in range(n_steps):
        chances = 1 / (1 + np.exp(-np.clip(at[:, :1] + at[:, 1:] * odds, -30, 30)))
        miss, bend = counts * (truth - chances), counts * chances * (1 - chances)
        lift, width = miss.sum(axis=1), np.maximum(bend.sum(axis=1), 1e-9)
        if not sloped:
            at = at + np.stack([np.clip(lift / width, -3, 3), np.zeros_like(lift)], axis=1)
            continue
        tilt, mixed, far = miss @ odds, bend @ odds, bend @ odds**2
        spread = np.maximum(width * far - mixed**2, 1e-9)
        step = np.stack([far * lift - mixed * tilt, width * tilt - mixed * lift], axis=1)
        # A cut step keeps a fit that started far off from running away.
        at = at + np.clip(step / spread[:, None], -3, 3)
    return at


def spearman(truth: Array, scores: Array, counts: Array) -> Array:
    """Rank correlation, ties at their mean rank; NaN where either side is constant."""
    one, other = _ranks(truth, counts), _ranks(scores, counts)
    together = _covariance(one, other, counts)
    spread = _covariance(one, one, counts) * _covariance(other, other, counts)
    return _over(together, np.sqrt(np.where(spread < 1e-12, 0.0, spread)))


def _ranks(values: Array, counts: Array) -> Array:
    below = counts @ (values[:, None] < values[None, :]).astype(np.float64)
    same = counts @ (values[:, None] == values[None, :]).astype(np.float64)
    ranks: Array = below + (same + 1) / 2
    return ranks


def _covariance(one: Array, other: Array, counts: Array) -> Array:
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    off_one = one - (counts * one).sum(axis=1, keepdims=True) / total
    off_other = other - (counts * other).sum(axis=1, keepdims=True) / total
    covariance: Array = (counts * off_one * off_other).sum(axis=1) / total[:, 0]
    return covariance


def icc_agreement(truth: Array, scores: Array, counts: Array) -> Array:
    """ICC(2,1): agreement with the coders' rating itself, as if we were one more coder.

    Source: Shrout & Fleiss 1979. NaN where nothing varies.
    """
    between, raters, error, n = _mean_squares(truth, scores, counts)
    return _over(between - error, between + error + 2 * (raters - error) / n)


def icc_consistency(truth: Array, scores: Array, counts: Array) -> Array:
    """ICC(3,1): agreement apart from a constant shift. Source: Shrout & Fleiss 1979."""
    between, _, error, _ = _mean_squares(truth, scores, counts)
    return _over(between - error, between + error)


def _mean_squares(truth: Array, scores: Array, counts: Array) -> tuple[Array, Array, Array, Array]:
    """Of sessions, of the two raters, and of what is left; and the number of sessions."""
    n = np.maximum(counts.sum(axis=1), 2.0)
    middle, half = (truth + scores) / 2, (truth - scores) / 2
    grand, shift = counts @ middle / n, counts @ half / n
    between = 2 * (counts @ middle**2 - n * grand**2) / (n - 1)
    error = 2 * (counts @ half**2 - n * shift**2) / (n - 1)
    tiny = 1e-12  # rounding, where nothing varies
    clean = (np.where(np.abs(part) < tiny, 0.0, part) for part in (between, error))
    between, error = clean
    return between, 2 * n * shift**2, error, n
