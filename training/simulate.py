"""Whether picking what to code saves coding: `rupture label simulate`, on AnnoMI's train split.

Sessions are cut into folds by source video. Of each fold the others are the pool: a few sessions
drawn by lot are coded, two logistic readers learn from them, the next are picked by a way of
picking, their labels are revealed, and so on; average precision is taken on the fold that nobody
picks from. All ways begin with the same draw. What a unit costs is its client turns: a way that
picks long sessions pays for them.

The readers have not learned from these labels before: one has the rules' and the clock's features,
the other the vectors of an untrained base encoder (`--base`), or without it what is counted about
the turn and its neighbours. (The shipped checkpoint learned from these very labels, and would know
beforehand what it picks.) Both are averaged in log-odds, as the detector does. The rules' patterns
were written with the train split in sight, which is the same for every way. The dev split has no
part. No setting was chosen on these figures; all ways that were tried are shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from detector.features import as_matrix
from detector.weights import Array
from training.corpus import TrainingDataError
from training.metrics import average_precision, measure
from training.picking import SIGNS, Pool, pick
from training.rules import Example, fold_of

KINDS = ("withdrawal", "confrontation")
"""What is learned: both labels of the client's turns."""

WAYS: Mapping[str, tuple[str, ...]] = {
    "by lot": (),
    "together": SIGNS,
    **{name: (name,) for name in SIGNS},
}
"""Ways of picking: by lot, by all signs together (what `rupture label next` does), by one."""

HITS = ("hit.",)
COUNTED = ("said.", "before.", "after.", "time.")
"""Beginnings of the features of the two readers that need no encoder."""

N_FOLDS = 5
SIZE = 64
"""Principal directions of an encoder's vectors that are kept, found without a label."""

PENALTY = 0.1
"""Inverse penalty of the readers on standardised features: between the 0.3 of the rules' fit and
the 0.01 of the frozen vectors'. Not tuned."""


@dataclass(frozen=True, slots=True)
class Unit:
    """How coding goes: what is picked at a time, with how much it begins, how much comes a round.

    `n_begin` and `n_round` are counted in units; `by_session`: a unit is a session, else a turn.
    """

    name: str
    by_session: bool
    n_begin: int
    n_round: int


UNITS = (Unit("session", True, 4, 4), Unit("turn", False, 100, 100))

MOST_CODED = 1400
"""Client turns after which coding ends: a bit over half of a pool."""


@dataclass(frozen=True)
class Turns:
    """Every client turn of some sessions: two readers' rows, labels, and whose they are.

    `rows` and `others` have shape (n_turns, size); `truth` (n_turns, 2); `owner` the place of each
    turn's session.
    """

    rows: Array = field(repr=False)
    others: Array = field(repr=False)
    truth: Array = field(repr=False)
    owner: npt.NDArray[np.intp] = field(repr=False)

    def at(self, places: npt.NDArray[np.intp]) -> "Turns":
        """These turns alone."""
        return Turns(self.rows[places], self.others[places], self.truth[places], self.owner[places])


@dataclass(frozen=True, slots=True)
class Step:
    """After a round: client turns coded so far, and average precision on the held-out fold."""

    n_coded: int
    precision: Mapping[str, float]


def client_turns(examples: Sequence[Example], vectors: Mapping[str, Array] | None) -> Turns:
    """The client's turns of these sessions, in order.

    Args:
        examples: the sessions.
        vectors: of an untrained encoder by session id (training.floors.embed); None: the second
            reader has counted features.
    """
    mine = [ex.mine("withdrawal") for ex in examples]
    read = [ex.read.features[i] for ex, own in zip(examples, mine, strict=True) for i in own]
    if vectors is None:
        rows, others = _matrix(read, HITS), _matrix(read, COUNTED)
    else:
        rows = _matrix(read, (*HITS, *COUNTED))
        others = np.concatenate(
            [vectors[ex.session.session_id][own] for ex, own in zip(examples, mine, strict=True)]
        )
    truth = [
        np.stack([ex.targets[kind][own] for kind in KINDS], axis=1)
        for ex, own in zip(examples, mine, strict=True)
    ]
    owner = np.repeat(np.arange(len(examples)), [len(own) for own in mine])
    return Turns(rows, others, np.concatenate(truth), owner)


def _matrix(read: Sequence[Mapping[str, float]], kinds: tuple[str, ...]) -> Array:
    names = tuple(sorted({name for row in read for name in row if name.startswith(kinds)}))
    matrix: Array = np.nan_to_num(as_matrix(read, names))
    return matrix


def run(examples: Sequence[Example], turns: Turns, unit: Unit, seed: int) -> dict[str, list[Array]]:
    """One seed: by way, of each fold its steps, shape (n_steps, 1 + n_kinds): coded, precision."""
    folds = np.array(fold_of(examples, N_FOLDS, 1000 + seed))[turns.owner]
    found: dict[str, list[Array]] = {way: [] for way in WAYS}
    for number in range(N_FOLDS):
        pool = _prepared(turns, np.flatnonzero(folds != number), np.flatnonzero(folds == number))
        for way in WAYS:
            rng = np.random.default_rng([seed, number])
            steps = [
                [step.n_coded, *(step.precision[kind] for kind in KINDS)]
                for step in _course(*pool, unit, way, rng)
            ]
            found[way].append(np.array(steps))
    return found


def _prepared(
    turns: Turns, seen: npt.NDArray[np.intp], held: npt.NDArray[np.intp]
) -> tuple[Turns, Turns]:
    """Pool and held-out turns, on the pool's scales; no label is looked at."""
    rows, others = (_scaled(table, seen) for table in (turns.rows, turns.others))
    if others.shape[1] > SIZE:
        middle = others[seen].mean(axis=0)
        directions = np.linalg.svd(others[seen] - middle, full_matrices=False)[2][:SIZE]
        others = _scaled((others - middle) @ directions.T, seen)
    whole = Turns(rows, others, turns.truth, turns.owner)
    return whole.at(seen), whole.at(held)


def _scaled(table: Array, seen: npt.NDArray[np.intp]) -> Array:
    spread = table[seen].std(axis=0)
    scaled: Array = (table - table[seen].mean(axis=0)) / np.where(spread < 1e-9, 1.0, spread)
    return np.clip(scaled, -5, 5)


def _course(
    pool: Turns, held: Turns, unit: Unit, way: str, rng: np.random.Generator
) -> Iterator[Step]:
    """Coding, round by round, until MOST_CODED turns are coded or the pool is at its end."""
    whose = np.unique(pool.owner, return_inverse=True)[1]
    units = whose if unit.by_session else np.arange(len(pool.owner))
    left = rng.permutation(int(units.max()) + 1)
    coded, left = left[: unit.n_begin], left[unit.n_begin :]
    while True:
        known = np.flatnonzero(np.isin(units, coded))
        readers = _readers(pool.at(known))
        yield Step(len(known), _precision(held, readers))
        if not len(left) or len(known) >= MOST_CODED:
            return
        chosen = _chosen(pool, known, units, left, readers, way, unit.n_round)
        coded, left = np.append(coded, left[chosen]), np.delete(left, chosen)


def _chosen(
    pool: Turns,
    known: npt.NDArray[np.intp],
    units: npt.NDArray[np.intp],
    left: npt.NDArray[np.intp],
    readers: "Readers",
    way: str,
    count: int,
) -> list[int]:
    """Places in `left` of what is coded next. By lot: the first, `left` being shuffled."""
    if way == "by lot":
        return list(range(min(count, len(left))))
    open_ = np.flatnonzero(np.isin(units, left))
    place = np.empty(int(units.max()) + 1, dtype=np.intp)
    place[left] = np.arange(len(left))
    turns = pool.at(open_)
    offered = Pool(
        place[units[open_]],
        readers.both(turns),
        readers.second(turns),
        turns.others,
        pool.others[known],
    )
    return [one.unit for one in pick(offered, count, WAYS[way])]


@dataclass(frozen=True)
class Readers:
    """Two logistic readers, each a weight for a feature and an intercept, by kind."""

    weights: tuple[tuple[Array, Array], ...] = field(repr=False)
    """Of each reader: shape (size, n_kinds), and intercepts (n_kinds,)."""

    def both(self, turns: Turns) -> Array:
        """Chances by the mean of both readers' log-odds, shape (n_turns, n_kinds)."""
        return _chance((self._said(0, turns.rows) + self._said(1, turns.others)) / 2)

    def second(self, turns: Turns) -> Array:
        """Chances by the second reader alone."""
        return _chance(self._said(1, turns.others))

    def _said(self, place: int, rows: Array) -> Array:
        weights, intercepts = self.weights[place]
        said: Array = rows @ weights + intercepts
        return said


def _chance(log_odds: Array) -> Array:
    chance: Array = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
    return chance


def _readers(turns: Turns) -> Readers:
    """Fitted on coded turns. A kind that none of them has, or all have, is said by lot alone: 0."""
    from sklearn.linear_model import LogisticRegression

    fitted = []
    for rows in (turns.rows, turns.others):
        weights, intercepts = np.zeros((rows.shape[1], len(KINDS))), np.zeros(len(KINDS))
        for place in range(len(KINDS)):
            truth = turns.truth[:, place]
            if 0 < truth.sum() < len(truth):
                model = LogisticRegression(C=PENALTY, max_iter=1000).fit(rows, truth)
                weights[:, place], intercepts[place] = model.coef_[0], model.intercept_[0]
        fitted.append((weights, intercepts))
    return Readers(tuple(fitted))


def _precision(held: Turns, readers: Readers) -> dict[str, float]:
    chances = readers.both(held)
    return {
        kind: measure(average_precision, held.truth[:, place], chances[:, place])
        for place, kind in enumerate(KINDS)
    }


def on_grid(steps: Sequence[Array], grid: Array) -> Array:
    """A seed's curve: mean over folds and kinds of average precision at these numbers of turns.

    Between two rounds it is drawn straight. A kind that a fold's held-out turns do not have is
    left out there.

    Raises: TrainingDataError: no fold has any.
    """
    curves = [
        np.interp(grid, fold[:, 0], fold[:, column])
        for fold in steps
        for column in range(1, fold.shape[1])
        if np.isfinite(fold[:, column]).all()
    ]
    if not curves:
        raise TrainingDataError("no held-out fold has a labelled turn: nothing can be measured")
    mean: Array = np.mean(curves, axis=0)
    return mean
