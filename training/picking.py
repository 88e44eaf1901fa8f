"""What to code next: the turns or sessions whose coding would teach most, and why each.

Three signs, of numbers alone:

    uncertainty   entropy of a turn's chances, in bits: where the scorer does not know
    disagreement  how far apart two readers' chances are, 0..1: where one of them must learn
    novelty       distance to the nearest coded turn: what nobody has shown it yet

A unit (a turn, or a session) has the mean of its turns, so that a long session is not picked for
its length. Each sign is ranked among what may be picked, and the mean of the ranks decides: equal
shares, which nothing was tuned for. After each pick its turns count as coded for novelty, so that
ten picks are not one passage ten times. Uncertainty: Lewis & Gale 1994; disagreement: Seung, Opper
& Sompolinsky 1992; novelty, greedily: Sener & Savarese 2018.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from detector.weights import Array

SIGNS = ("uncertainty", "disagreement", "novelty")

_AT_ONCE = 512
"""Rows whose distances are taken at a time: bounds the memory."""


@dataclass(frozen=True)
class Pool:
    """What may be picked from.

    Args:
        owner: of each turn the place of its unit, shape (n_turns,), from 0 without a gap.
        chances: of the scorer that learns, shape (n_turns, n_labels), 0..1.
        others: of a second reader, the same shape.
        rows: each turn's features, on scales that compare, shape (n_turns, size).
        coded: the same of the turns that are coded already, shape (n_coded, size).
    """

    owner: npt.NDArray[np.intp] = field(repr=False)
    chances: Array = field(repr=False)
    others: Array = field(repr=False)
    rows: Array = field(repr=False)
    coded: Array = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pick:
    """A unit that was picked, with its signs at that moment.

    `values` are by SIGNS; `ranks` of those that decided, 0 the lowest to 1 the highest of all that
    could be picked; `rank` is their mean.
    """

    unit: int
    values: Mapping[str, float]
    ranks: Mapping[str, float]
    rank: float

    @property
    def why(self) -> str:
        """The sign by which it stands out most."""
        return max(self.ranks, key=lambda name: self.ranks[name])


def entropy(chances: Array) -> Array:
    """Bits of doubt of each turn, summed over its labels: shape (n_turns,)."""
    kept = np.clip(chances, 1e-12, 1 - 1e-12)
    bits: Array = -(kept * np.log2(kept) + (1 - kept) * np.log2(1 - kept)).sum(axis=1)
    return bits


def apart(chances: Array, others: Array) -> Array:
    """How far two readers are apart, 0..1, the mean over labels: shape (n_turns,)."""
    distance: Array = np.abs(chances - others).mean(axis=1)
    return distance


def nearest(rows: Array, coded: Array) -> Array:
    """Distance of each row to the nearest coded one, shape (n,); inf where nothing is coded."""
    found = np.full(len(rows), np.inf)
    if not len(coded):
        return found
    squares = (coded**2).sum(axis=1)
    for start in range(0, len(rows), _AT_ONCE):
        own = rows[start : start + _AT_ONCE]
        square = (own**2).sum(axis=1)[:, None] + squares - 2 * own @ coded.T
        found[start : start + _AT_ONCE] = np.sqrt(np.maximum(square.min(axis=1), 0))
    return found


def ranks(values: Array) -> Array:
    """Place of each value among all, from 0 (the lowest) to 1; equal values share theirs."""
    if len(values) < 2:
        return np.ones(len(values))
    ordered = np.sort(values)
    low = np.searchsorted(ordered, values, "left")
    high = np.searchsorted(ordered, values, "right") - 1
    placed: Array = (low + high) / 2 / (len(values) - 1)
    return placed


def pick(pool: Pool, count: int, by: Collection[str] = SIGNS) -> list[Pick]:
    """The units to code next, the first first.

    Args:
        pool: what may be picked from.
        count: how many; fewer come where there are fewer.
        by: which of SIGNS decide.
    """
    n_units = int(pool.owner.max()) + 1 if len(pool.owner) else 0
    signs = {
        "uncertainty": _mean(entropy(pool.chances), pool.owner, n_units),
        "disagreement": _mean(apart(pool.chances, pool.others), pool.owner, n_units),
    }
    placed = {name: ranks(signs[name]) for name in signs if name in by}
    distance = nearest(pool.rows, pool.coded)
    is_open, picked = np.ones(n_units, dtype=bool), []
    for _ in range(min(count, n_units)):
        # Where nothing is coded everything is as new as everything else.
        far = _mean(np.where(np.isfinite(distance), distance, 0.0), pool.owner, n_units)
        if "novelty" in by:
            placed["novelty"] = ranks(far)
        order = np.mean([*placed.values()], axis=0)
        unit = int(np.argmax(np.where(is_open, order, -1.0)))
        is_open[unit] = False
        values = {name: float(own[unit]) for name, own in {**signs, "novelty": far}.items()}
        own_ranks = {name: float(place[unit]) for name, place in placed.items()}
        picked.append(Pick(unit, values, own_ranks, float(order[unit])))
        if "novelty" in by:
            distance = np.minimum(distance, nearest(pool.rows, pool.rows[pool.owner == unit]))
    return picked


def _mean(values: Array, owner: Sequence[int] | npt.NDArray[np.intp], n_units: int) -> Array:
    counts = np.bincount(owner, minlength=n_units)
    mean: Array = np.bincount(owner, values, minlength=n_units) / np.maximum(counts, 1)
    return mean
