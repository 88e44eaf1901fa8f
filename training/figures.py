"""Figures of merit with their intervals: bootstrap over sessions, and two scorers paired.

Sessions are drawn, not turns: the turns of one session are alike, and an interval over turns
would be too narrow.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.weights import Array
from training.metrics import Metric, measure

N_RESAMPLES = 1000
_SEED = 20

_DRAWS_AT_ONCE = 100
"""Bounds the memory: 100 resamples of 4,000 turns are 3 MB an array, which stays in the cache."""

Pairs = Sequence[tuple[Array, Array]]
"""By session: true values and scores, both of shape (n_units,)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value with its 95 % interval by bootstrap over sessions. NaN: not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        dash = " to " if self.low < 0 else "–"  # a dash before a minus would be read as one
        return f"{self.value:.3f} ({self.low:.3f}{dash}{self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much one scorer's figure is above another's on the same sessions.

    `above_zero` is the share of resamples, 0..1, in which it is; .975 or more, or .025 or less,
    means that the 95 % interval leaves 0 out. NaN: not defined.
    """

    value: float
    low: float
    high: float
    above_zero: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def bootstrap(pairs: Pairs, metric: Metric) -> Figure:
    """The metric over all units, with its interval by resampling sessions.

    A resample in which the metric is not defined (one class only) is left out; NaN where it is
    defined in none.
    """
    truth, scores, owner = joined(pairs)
    values = np.concatenate([metric(truth, scores, c) for c in _counts(len(pairs), owner)])
    return Figure(measure(metric, truth, scores), *_interval(values))


def paired_bootstrap(one: Pairs, other: Pairs, metric: Metric) -> Difference:
    """How much higher the metric is for `one` than for `other`, both drawn together.

    Args:
        one: truth and scores of the scorer that may be better.
        other: the same sessions in the same order, with the same units.
        metric: what is compared.

    Raises: ValueError: the sessions or their units differ.
    """
    if [len(truth) for truth, _ in one] != [len(truth) for truth, _ in other]:
        raise ValueError("the two sides are not the same units of the same sessions")
    truth, scores, owner = joined(one)
    true, rivals, _ = joined(other)
    values = np.concatenate(
        [metric(truth, scores, c) - metric(true, rivals, c) for c in _counts(len(one), owner)]
    )
    known = values[np.isfinite(values)]
    above = float((known > 0).mean()) if len(known) else float("nan")
    value = measure(metric, truth, scores) - measure(metric, true, rivals)
    return Difference(value, *_interval(values), above)


def joined(pairs: Pairs) -> tuple[Array, Array, npt.NDArray[np.intp]]:
    """All units side by side, and the place of the session that each is of."""
    owner = np.repeat(np.arange(len(pairs)), [len(truth) for truth, _ in pairs])
    return np.concatenate([t for t, _ in pairs]), np.concatenate([s for _, s in pairs]), owner


@functools.cache
def _draws(n_sessions: int) -> Array:
    """How often each session is drawn: shape (N_RESAMPLES, n_sessions)."""
    rng = np.random.default_rng(_SEED)
    drawn = [rng.integers(n_sessions, size=n_sessions) for _ in range(N_RESAMPLES)]
    return np.array([np.bincount(one, minlength=n_sessions) for one in drawn], dtype=np.float64)


def _counts(n_sessions: int, owner: npt.NDArray[np.intp]) -> Iterator[Array]:
    draws = _draws(n_sessions)
    for start in range(0, len(draws), _DRAWS_AT_ONCE):
        yield draws[start : start + _DRAWS_AT_ONCE][:, owner]


def _interval(values: Array) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    low, high = np.percentile(known if len(known) else [np.nan], [2.5, 97.5])
    return float(low), float(high)
