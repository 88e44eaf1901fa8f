"""Fits the rules-and-timing scorer and writes its weights: `rupture fit`.

Two logistic steps (detector/scoring.py), fitted on AnnoMI train and the invented sessions. The
invented ones count less and have an intercept of their own, so that the rate of ruptures is
learned from real talk alone. The second step sees scores of sessions the first step was not
fitted on, or it would trust them too much.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.features import ReadSession, as_matrix, read_session
from detector.markers import MarkerRules
from detector.report import RATINGS
from detector.scoring import FITTED, ROLE_OF, context_rows, own_logits, sigmoid, summary_row
from detector.weights import Array, LinearModel
from training.corpus import LabelledSession


@dataclass(frozen=True, slots=True)
class FitConfig:
    """What the fit may choose. The values were compared by cross-validation on AnnoMI train.

    Args:
        own_variance, context_variance: prior variance of a weight, in squared log-odds.
        synthetic_weight: how much an invented turn counts against a real one.
        unsure_weight: how much a turn counts whose label coders may well differ on.
        least_seen: sessions in which a feature must occur to get a weight.
        least_seen_word: the same for a single word.
        n_folds: folds for the scores that the second step sees.
        seed: of the folds.
        flags_an_hour: moments an hour that a reviewer is to be shown; sets the threshold.
    """

    own_variance: float = 0.3
    context_variance: float = 1.0
    synthetic_weight: float = 0.2
    unsure_weight: float = 0.6
    least_seen: int = 4
    least_seen_word: int = 40
    n_folds: int = 5
    seed: int = 0
    flags_an_hour: float = 5.0

    def least_sessions(self, feature: str) -> int:
        """In how many sessions this feature must occur."""
        return self.least_seen_word if feature.startswith("word.") else self.least_seen


@dataclass(frozen=True)
class Example:
    """One labelled session, read once. `targets` have shape (n_turns,) by label, 0 or 1."""

    session: LabelledSession
    read: ReadSession = field(repr=False)
    roles: Any = field(repr=False)
    targets: Mapping[str, Array] = field(repr=False)
    sure: Array = field(repr=False)
    coded: Array = field(repr=False)

    @property
    def is_real(self) -> bool:
        """Whether people really said it."""
        return self.session.source != "synthetic"

    def mine(self, label: str) -> npt.NDArray[np.intp]:
        """Indexes of the turns that can carry this label."""
        return np.flatnonzero(self.roles == ROLE_OF[label])


@dataclass(frozen=True)
class FittedRules:
    """Both steps and the ratings; `predict` gives what detector.scoring will give."""

    own: Mapping[str, LinearModel]
    context: Mapping[str, LinearModel]
    ratings: Mapping[str, LinearModel]
    unseen: Sequence[Mapping[str, Array]] = field(repr=False)
    """Scores of the training sessions, the first step fitted without each."""
    unseen_own: Sequence[Mapping[str, Array]] = field(default=(), repr=False)
    """First-step log-odds of the training sessions, fitted without each: what a second step is
    fitted on, also one that hears more than the rules. NaN where the label is not the speaker's."""

    def predict(self, example: Example) -> dict[str, Array]:
        """Probabilities by label, shape (n_turns,); 0 where the label is not the speaker's."""
        heard = np.ones(len(example.roles), dtype=bool)
        logits = own_logits(example.read, self.own, example.roles, heard)
        return _second_step(self.context, example, context_rows(logits, example.roles, heard))


def read_examples(sessions: Iterable[LabelledSession], rules: MarkerRules) -> list[Example]:
    """Reads every session with the rules, and its labels into targets."""
    return [_read_example(session, rules) for session in sessions]


def _read_example(session: LabelledSession, rules: MarkerRules) -> Example:
    read = read_session(session.transcript, rules)
    kinds = {marker.id: marker.kind for marker in rules.codebook.markers.values()}
    carried = [{kinds[m] for m in session.markers_of(turn)} for turn in read.turns]
    targets = {
        label: np.array([label in found for found in carried], dtype=np.float64) for label in FITTED
    }
    own = [
        [session.labels[cue_id] for cue_id in turn.cue_ids if cue_id in session.labels]
        for turn in read.turns
    ]
    sure = np.array([all(label.sure for label in labels) for labels in own], dtype=bool)
    coded = np.array([all(label.coded for label in labels) for labels in own], dtype=bool)
    roles = np.array([turn.role for turn in read.turns])
    return Example(session, read, roles, targets, sure, coded)


def fold_of(examples: Sequence[Example], n_folds: int, seed: int) -> list[int]:
    """A fold for each session; sessions of one group share it."""
    groups = sorted({example.session.group for example in examples})
    order = np.random.default_rng(seed).permutation(len(groups))
    fold = {groups[place]: number % n_folds for number, place in enumerate(order)}
    return [fold[example.session.group] for example in examples]


def fit_rules(examples: Sequence[Example], config: FitConfig) -> FittedRules:
    """Fits both steps and the ratings on these sessions."""
    everyone = range(len(examples))
    tables = {label: _read_table(examples, label, config) for label in FITTED}
    own = {label: _fit_own(examples, everyone, tables[label], label, config) for label in FITTED}
    folds = fold_of(examples, config.n_folds, config.seed)
    unseen: dict[int, dict[str, Array]] = {}
    for number in range(config.n_folds):
        kept = [place for place in everyone if folds[place] != number]
        models = {label: _fit_own(examples, kept, tables[label], label, config) for label in FITTED}
        for place, ex in enumerate(examples):
            if folds[place] == number:
                heard = np.ones(len(ex.roles), dtype=bool)
                unseen[place] = own_logits(ex.read, models, ex.roles, heard)
    rows = [
        context_rows(unseen[place], ex.roles, np.ones(len(ex.roles), bool))
        for place, ex in enumerate(examples)
    ]
    context = {label: _fit_context(examples, rows, label, config) for label in FITTED}
    scores = [_second_step(context, ex, row) for ex, row in zip(examples, rows, strict=True)]
    first = [unseen[place] for place in everyone]
    return FittedRules(own, context, fit_ratings(examples, scores), scores, first)


@dataclass(frozen=True, slots=True)
class _Table:
    """One label's features of all sessions, laid out once for the many fits that share them.

    `blocks` hold each session's rows, shape (n_turns, n_names); `present` says which features
    occur in which session, shape (n_sessions, n_names).
    """

    names: tuple[str, ...]
    blocks: tuple[Array, ...] = field(repr=False)
    present: npt.NDArray[np.bool_] = field(repr=False)


def _read_table(examples: Sequence[Example], label: str, config: FitConfig) -> _Table:
    rows = [[ex.read.features[i] for i in ex.mine(label)] for ex in examples]
    seen = Counter(name for own in rows for name in {name for row in own for name in row})
    names = tuple(sorted(name for name in seen if seen[name] >= config.least_sessions(name)))
    blocks = tuple(as_matrix(own, names) for own in rows)
    return _Table(names, blocks, np.array([np.nan_to_num(b).any(axis=0) for b in blocks]))


def _second_step(
    context: Mapping[str, LinearModel], ex: Example, rows: Mapping[str, list[dict[str, float]]]
) -> dict[str, Array]:
    scores = {}
    for label in FITTED:
        mine = ex.mine(label)
        scores[label] = np.zeros(len(ex.roles))
        scores[label][mine] = sigmoid(context[label].value([rows[label][i] for i in mine]))
    return scores


def _fit_own(
    examples: Sequence[Example],
    places: Sequence[int],
    table: _Table,
    label: str,
    config: FitConfig,
) -> LinearModel:
    """The first step on the sessions at these places; a feature must occur in enough of them."""
    least = np.array([config.least_sessions(name) for name in table.names])
    kept = table.present[list(places)].sum(axis=0) >= least
    names = tuple(name for name, keep in zip(table.names, kept, strict=True) if keep)
    x = np.concatenate([table.blocks[place][:, kept] for place in places])
    chosen = [examples[place] for place in places]
    trust = np.where(_joined(chosen, label, "sure"), 1.0, config.unsure_weight)
    trust = trust * _joined(chosen, label, "coded")
    return _fit_logistic(chosen, x, label, names, config.own_variance, trust, config)


def _fit_context(
    examples: Sequence[Example],
    rows: Sequence[Mapping[str, list[dict[str, float]]]],
    label: str,
    config: FitConfig,
) -> LinearModel:
    chosen = [row[label][i] for ex, row in zip(examples, rows, strict=True) for i in ex.mine(label)]
    names = tuple(chosen[0])
    x = as_matrix(chosen, names)
    # Every label counts fully here: this step sets the rate, which must be the labels' own.
    trust = _joined(examples, label, "coded").astype(np.float64)
    return _fit_logistic(examples, x, label, names, config.context_variance, trust, config)


def _joined(examples: Sequence[Example], label: str, which: str) -> Array:
    return np.concatenate([getattr(ex, which)[ex.mine(label)] for ex in examples])


def _fit_logistic(
    examples: Sequence[Example],
    x: Array,
    label: str,
    names: tuple[str, ...],
    variance: float,
    trust: Array,
    config: FitConfig,
) -> LinearModel:
    """One penalised logistic regression; invented sessions have an intercept of their own."""
    from sklearn.linear_model import LogisticRegression

    y = np.concatenate([ex.targets[label][ex.mine(label)] for ex in examples])
    real = np.concatenate([np.full(len(ex.mine(label)), ex.is_real) for ex in examples])
    counts = np.where(real, 1.0, config.synthetic_weight) * trust
    means, scales = _mean_and_scale(x)
    z = np.nan_to_num((x - means) / scales)
    domain = np.where(real, 0.0, 3.0)[:, None]  # large, so that the penalty hardly touches it
    model = LogisticRegression(C=variance, solver="newton-cholesky")
    model.fit(np.hstack([z, domain]), y, sample_weight=counts)
    weights = model.coef_[0, :-1] / scales
    return LinearModel(float(model.intercept_[0]), names, weights, means)


def _mean_and_scale(x: Array) -> tuple[Array, Array]:
    """Of each column, NaN aside.

    A yes-or-no column keeps its scale, so that rare signs are not blown up; every other is
    brought to a standard deviation of 1.
    """
    known = ~np.isnan(x)
    counts = np.maximum(known.sum(axis=0), 1)
    means = np.nansum(x, axis=0) / counts
    spread = np.sqrt(np.nansum((x - means) ** 2, axis=0) / counts)
    binary = np.isin(np.nan_to_num(x), (0.0, 1.0)).all(axis=0)
    return means, np.where(binary | (spread < 1e-9), 1.0, spread)


def fit_ratings(
    examples: Sequence[Example],
    scores: Sequence[Mapping[str, Array]],
    more: Sequence[Mapping[str, float]] | None = None,
) -> dict[str, LinearModel]:
    """Ridge regressions from a real session's scores to its 1..5 ratings.

    {} where no real session has all of them.

    `more` are further named features of each session, such as a network's own ratings.
    """
    from sklearn.linear_model import RidgeCV

    others = more or [{} for _ in examples]
    rated = [
        (ex, s, o)
        for ex, s, o in zip(examples, scores, others, strict=True)
        if ex.is_real and all(name in ex.session.ratings for name in RATINGS)
    ]
    rows = [{**summary_row(session_scores), **other} for _, session_scores, other in rated]
    if not rows:
        return {}
    names = tuple(rows[0])
    x = as_matrix(rows, names)
    means, scales = _mean_and_scale(x)
    models = {}
    for label in RATINGS:
        y = np.array([ex.session.ratings[label] for ex, *_ in rated])
        ridge = RidgeCV(alphas=(1.0, 3.0, 10.0, 30.0, 100.0)).fit((x - means) / scales, y)
        models[label] = LinearModel(float(ridge.intercept_), names, ridge.coef_ / scales, means)
    return models
