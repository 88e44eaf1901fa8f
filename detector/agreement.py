"""How far coders agree: units × coders in, coefficients with their intervals out.

Every coefficient is a function of sums over sessions, so that a bootstrap over sessions, which
are alike within and not between, is one matrix product: a thousand resamples cost milliseconds.
A rating that was not given is NaN and never 0: not seen is not the same as not there. What cannot
be computed says why; no NaN comes out.

Sources: Cohen 1960 (kappa); Light 1971 (its mean over pairs of coders); Gwet 2008 (AC1);
Krippendorff 2011, "Computing Krippendorff's alpha-reliability"; Shrout & Fleiss 1979 (ICC(2,1)
and ICC(2,k)).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]

N_DRAWS = 1000
SEED = 20
MOST_UNDEFINED = 0.05
"""Share of resamples in which a coefficient may have no value; above it no interval is given. A
95 % interval over fewer than 95 % of the resamples would promise what it does not hold."""

MOST_VALUES = 20
"""Different values for which equal and unequal are counted; a rating has five. Memory grows with
their square, and of a measure in seconds no two are equal anyway."""

ONE_CODER = "fewer than two coders"
NO_OVERLAP = "no overlap: no unit was rated by two coders"
NOBODY_USED = "no coder used it: one class only"
ONE_CLASS = "one class only: every rating is the same"
FEW_UNITS = "fewer than two units were rated by every coder"
TOO_FINE = "more than 20 different values, which are only counted as equal or not"
NO_SPREAD = "nothing to divide by: no difference could have come by chance"
ONE_SESSION = "fewer than two sessions"
UNSTABLE = "no value in over 5 % of the resamples"


@dataclass(frozen=True)
class Ratings:
    """What coders said of the same units.

    Args:
        values: shape (n_units, n_coders), NaN where a coder did not rate the unit. For a code,
            1 is there and 0 is not; for a rating its number.
        sessions: the session of each unit, shape (n_units,), any values that tell them apart.

    Raises: ValueError: the shapes do not fit, or a value is infinite.
    """

    values: Array = field(repr=False)
    sessions: npt.NDArray[Any] = field(repr=False)

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.sessions.shape != self.values.shape[:1]:
            raise ValueError("ratings are units × coders, with one session for each unit")
        if np.isinf(self.values).any():
            raise ValueError("a rating is infinite")

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Which ratings were given, shape (n_units, n_coders)."""
        return ~np.isnan(self.values)

    @property
    def n_given(self) -> npt.NDArray[np.intp]:
        """Ratings of each unit, shape (n_units,)."""
        n_given: npt.NDArray[np.intp] = self.seen.sum(axis=1)
        return n_given


@dataclass(frozen=True, slots=True)
class Estimate:
    """One coefficient with its 95 % interval by bootstrap over sessions.

    Args:
        value: None where it is not estimable.
        low, high: None where there is no interval.
        reason: why something is None; empty where nothing is.
        n_undefined: resamples, of N_DRAWS, that had no value and stand in no interval.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    n_undefined: int = 0

    def __str__(self) -> str:
        if self.value is None:
            return f"not estimable ({self.reason})"
        if self.low is None or self.high is None:
            return f"{self.value:.3f} (no interval: {self.reason})"
        dash = " to " if self.low < 0 else "–"
        return f"{self.value:.3f} ({self.low:.3f}{dash}{self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Every coefficient of one set of ratings.

    `n_units` have a rating, `n_shared` at least two. `prevalence` is the mean of all ratings
    given: of a code the share that says it is there, of a 1..5 rating the mean. `kappa` and
    `ac1` count only equal and unequal; `alpha` measures by `level`; both ICC take the values for
    numbers.
    """

    level: Level
    n_units: int
    n_shared: int
    n_coders: int
    n_sessions: int
    prevalence: Estimate
    percent: Estimate
    kappa: Estimate
    ac1: Estimate
    alpha: Estimate
    icc_single: Estimate
    icc_mean: Estimate


COEFFICIENTS = ("prevalence", "percent", "kappa", "ac1", "alpha", "icc_single", "icc_mean")


def agree(ratings: Ratings, level: Level = "nominal") -> Agreement:
    """Every coefficient, each with its interval or the reason for having none."""
    given = ratings.n_given
    return Agreement(
        level=level,
        n_units=int((given > 0).sum()),
        n_shared=int((given > 1).sum()),
        n_coders=int(ratings.seen.any(axis=0).sum()),
        n_sessions=len(np.unique(ratings.sessions[given > 0])),
        prevalence=prevalence(ratings),
        percent=percent_agreement(ratings),
        kappa=cohen_kappa(ratings),
        ac1=gwet_ac1(ratings),
        alpha=krippendorff_alpha(ratings, level),
        icc_single=icc_single(ratings),
        icc_mean=icc_mean(ratings),
    )


def prevalence(ratings: Ratings) -> Estimate:
    """Mean of all ratings given; of a code, the share of them that says it is there."""
    if not ratings.seen.any():
        return Estimate(reason="nobody rated anything")
    sums = np.stack([np.nansum(ratings.values, axis=1), ratings.n_given], axis=1)
    return _estimate(ratings, sums, lambda total: _over(total[:, 0], total[:, 1]))


def percent_agreement(ratings: Ratings) -> Estimate:
    """Share of pairs of coders that are at one, 0..1, the mean over units rated twice."""
    if reason := _too_little(ratings):
        return Estimate(reason=reason)
    return _estimate(ratings, _at_one(ratings), _percent)


def cohen_kappa(ratings: Ratings) -> Estimate:
    """Cohen's kappa, unweighted; with three coders and more, its mean over the pairs (Light).

    A pair is measured on the units both rated; pairs that share none are passed over.
    """
    if reason := _too_fine(ratings):
        return Estimate(reason=reason)
    counts = _counts(ratings)
    n_coders, n_values = counts.shape[1:]
    pairs = [(i, j) for i in range(n_coders) for j in range(i + 1, n_coders)]
    tables = [counts[:, i, :, None] * counts[:, j, None, :] for i, j in pairs]
    kept = [table for table in tables if table.any()]
    sums = np.stack(kept, axis=1).reshape(len(counts), -1)
    shape = (-1, len(kept), n_values, n_values)
    return _estimate(ratings, sums, lambda total: _kappa(total.reshape(shape)))


def gwet_ac1(ratings: Ratings) -> Estimate:
    """Gwet's AC1: steady where a code is rare, where kappa falls with the prevalence alone."""
    if reason := _too_fine(ratings):
        return Estimate(reason=reason)
    counts = _counts(ratings).sum(axis=1)
    given = ratings.n_given
    shares = np.divide(counts, given[:, None], out=np.zeros_like(counts), where=given[:, None] > 0)
    sums = np.concatenate([_at_one(ratings), shares], axis=1)
    return _estimate(ratings, sums, _ac1)


def krippendorff_alpha(ratings: Ratings, level: Level = "nominal") -> Estimate:
    """Krippendorff's alpha over the units that at least two coders rated."""
    if reason := _too_uniform(ratings) if level == "interval" else _too_fine(ratings):
        return Estimate(reason=reason)
    if level == "interval":
        return _estimate(ratings, _spreads(ratings), _alpha_interval)
    counts = _counts(ratings).sum(axis=1)
    n_values = counts.shape[1]
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, range(n_values), range(n_values)] -= counts
    pairs /= np.maximum(counts.sum(axis=1) - 1, 1)[:, None, None]
    shape = (-1, n_values, n_values)
    distance = _by_rank if level == "ordinal" else _by_name
    return _estimate(
        ratings,
        pairs.reshape(len(pairs), -1),
        lambda total: _alpha(total.reshape(shape), distance),
    )


def icc_single(ratings: Ratings) -> Estimate:
    """ICC(2,1): absolute agreement of one coder, over units that every coder rated."""
    return _icc(ratings, of_mean=False)


def icc_mean(ratings: Ratings) -> Estimate:
    """ICC(2,k): absolute agreement of the mean of all coders, over units that every one rated."""
    return _icc(ratings, of_mean=True)


def _too_little(ratings: Ratings) -> str:
    """Why no two coders can be compared, or nothing."""
    if ratings.seen.any(axis=0).sum() < 2:
        return ONE_CODER
    return "" if (ratings.n_given > 1).any() else NO_OVERLAP


def _too_uniform(ratings: Ratings) -> str:
    """Why agreement cannot be told from chance, or nothing."""
    if reason := _too_little(ratings):
        return reason
    shared = ratings.values[ratings.n_given > 1]
    found = np.unique(shared[~np.isnan(shared)])
    if len(found) == 1:
        return NOBODY_USED if found[0] == 0 else ONE_CLASS
    return ""


def _too_fine(ratings: Ratings) -> str:
    """Why equal and unequal values are not counted, or nothing."""
    reason = _too_uniform(ratings)
    n_values = len(np.unique(ratings.values[ratings.seen]))
    return reason or (TOO_FINE if n_values > MOST_VALUES else "")


def _counts(ratings: Ratings) -> Array:
    """Which value each coder gave: shape (n_units, n_coders, n_values), 0 or 1."""
    values = np.unique(ratings.values[ratings.seen])
    counts: Array = (ratings.values[:, :, None] == values).astype(np.float64)
    return counts


def _at_one(ratings: Ratings) -> Array:
    """Of each unit: 1 if rated twice, the share of its pairs at one, and 1 if rated at all."""
    values, given = ratings.values, ratings.n_given.astype(np.float64)
    n_equal = (values[:, :, None] == values[:, None, :]).sum(axis=(1, 2)) - given
    same = _over(n_equal, given * (given - 1))
    twice = given > 1
    found: Array = np.stack([twice, np.where(twice, same, 0.0), given > 0], axis=1)
    return found


def _spreads(ratings: Ratings) -> Array:
    """Of each unit rated twice: its ratings' number, sum and squares, and the spread inside."""
    given = ratings.n_given.astype(np.float64)
    centred = (ratings.values - np.nanmean(ratings.values)) / np.nanstd(ratings.values)
    total, squares = np.nansum(centred, axis=1), np.nansum(centred**2, axis=1)
    inside = (given * squares - total**2) / np.maximum(given - 1, 1)
    kept = (given > 1)[:, None]
    return np.where(kept, np.stack([given, total, squares, inside], axis=1), 0.0)


def _icc(ratings: Ratings, *, of_mean: bool) -> Estimate:
    if reason := _too_uniform(ratings):
        return Estimate(reason=reason)
    coders = ratings.seen.any(axis=0)
    complete = ratings.seen[:, coders].all(axis=1)
    values = ratings.values[complete][:, coders]
    if len(values) < 2:
        return Estimate(reason=FEW_UNITS)
    if np.ptp(values) == 0:
        return Estimate(reason=ONE_CLASS)
    values = (values - values.mean()) / values.std()
    own = [np.ones(len(values)), (values**2).sum(axis=1), values.mean(axis=1) ** 2]
    sums = np.zeros((len(ratings.values), 3 + values.shape[1]))
    sums[complete] = np.concatenate([np.stack(own, axis=1), values], axis=1)
    return _estimate(ratings, sums, lambda total: _icc_of(total, of_mean=of_mean))


def _estimate(ratings: Ratings, sums: Array, value: Callable[[Array], Array]) -> Estimate:
    """The coefficient over all units, and its interval over resampled sessions.

    Args:
        ratings: says which session each unit is of.
        sums: what the coefficient is made from, by unit: shape (n_units, n_sums).
        value: from totals of shape (n_draws, n_sums) to values of shape (n_draws,), NaN where
            there is none.
    """
    found = float(value(sums.sum(axis=0, keepdims=True))[0])
    if not np.isfinite(found):
        return Estimate(reason=NO_SPREAD)
    rated = ratings.n_given > 0
    sessions, owner = np.unique(ratings.sessions[rated], return_inverse=True)
    if len(sessions) < 2:
        return Estimate(found, reason=ONE_SESSION)
    by_session = np.zeros((len(sessions), sums.shape[1]))
    np.add.at(by_session, owner, sums[rated])
    drawn = value(_draws(len(sessions)) @ by_session)
    known: Array = drawn[np.isfinite(drawn)]
    n_undefined = N_DRAWS - len(known)
    if n_undefined > MOST_UNDEFINED * N_DRAWS:
        return Estimate(found, reason=UNSTABLE, n_undefined=n_undefined)
    low, high = np.percentile(known, [2.5, 97.5])
    return Estimate(found, float(low), float(high), n_undefined=n_undefined)


@functools.lru_cache(maxsize=8)
def _draws(n_sessions: int) -> Array:
    """How often each session is drawn: shape (N_DRAWS, n_sessions). The same on every call."""
    drawn = np.random.default_rng(SEED).multinomial(
        n_sessions, np.full(n_sessions, 1 / n_sessions), size=N_DRAWS
    )
    return drawn.astype(np.float64)


def _over(part: Array, whole: Array) -> Array:
    """A quotient that is NaN, without a warning, where the whole is 0 or rounds to it."""
    there = np.abs(whole) > 1e-12
    quotient: Array = np.divide(part, whole, out=np.full_like(whole, np.nan), where=there)
    return quotient


def _percent(total: Array) -> Array:
    return _over(total[:, 1], total[:, 0])


def _kappa(tables: Array) -> Array:
    """From tables of shape (n_draws, n_pairs, n_values, n_values), their mean kappa."""
    n = tables.sum(axis=(2, 3))
    same = _over(np.trace(tables, axis1=2, axis2=3), n)
    by_chance = _over((tables.sum(axis=3) * tables.sum(axis=2)).sum(axis=2), n**2)
    kappa: Array = _over(same - by_chance, 1 - by_chance).mean(axis=1)
    return kappa


def _ac1(total: Array) -> Array:
    shares = total[:, 3:] / np.maximum(total[:, 2:3], 1)
    by_chance = (shares * (1 - shares)).sum(axis=1) / (shares.shape[1] - 1)
    return _over(_percent(total) - by_chance, 1 - by_chance)


def _by_name(held: Array) -> Array:
    """Squared distance of each two values that are only equal or not: shape (1, v, v)."""
    return 1 - np.eye(held.shape[1])[None]


def _by_rank(held: Array) -> Array:
    """Squared distance of each two values in ranks, by how often each value stands there."""
    middle = np.cumsum(held, axis=1) - held / 2
    distance: Array = (middle[:, :, None] - middle[:, None, :]) ** 2
    return distance


def _alpha(pairs: Array, distance: Callable[[Array], Array]) -> Array:
    """From coincidences of shape (n_draws, n_values, n_values)."""
    held = pairs.sum(axis=2)
    between = distance(held)
    seen = (pairs * between).sum(axis=(1, 2))
    by_chance = (held[:, :, None] * held[:, None, :] * between).sum(axis=(1, 2))
    return 1 - _over((held.sum(axis=1) - 1) * seen, by_chance)


def _alpha_interval(total: Array) -> Array:
    n, summed, squares, inside = total.T
    return 1 - _over((n - 1) * inside, n * squares - summed**2)


def _icc_of(total: Array, *, of_mean: bool) -> Array:
    """From the units' number, squares, squared means and each coder's sum."""
    n, squares, means, by_coder = total[:, 0], total[:, 1], total[:, 2], total[:, 3:]
    k = by_coder.shape[1]
    rows, rest = np.maximum(n, 1.0), np.maximum(n - 1, 1.0)
    middle = by_coder.sum(axis=1) ** 2 / (rows * k)
    units = (k * means - middle) / rest
    coders = ((by_coder**2).sum(axis=1) / rows - middle) / (k - 1)
    error = (squares - middle - units * rest - coders * (k - 1)) / (rest * (k - 1))
    shift = (coders - error) / rows
    below = units + shift if of_mean else units + (k - 1) * error + k * shift
    return np.where(n > 1, _over(units - error, below), np.nan)
