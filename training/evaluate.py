"""How good the rules-and-timing scorer is, beside the floors: `rupture evaluate`.

Everything is measured in one run: by 5-fold cross-validation over all labelled AnnoMI sessions,
sessions of one video together, and on the dev split with the weights fitted on train. The labels
come from a language model under our codebook, adjudicated, not from clinicians. The patterns were
written with the train split in sight, so the cross-validated figures flatter them; dev does not.
"""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer

from detector import segmentation
from detector.episodes import stretches
from detector.markers import MarkerRules
from detector.scoring import FITTED, score_session, summary_row
from detector.weights import Array, load_weights
from training.corpus import RATINGS, load_annomi, load_synthetic, told
from training.floors import Scores, fit_length, fit_tfidf
from training.rules import Example, FitConfig, FittedRules, fit_rules, fold_of, read_examples
from training.weights import duration_s, thresholds

N_RESAMPLES = 1000
N_FOLDS = 5
SEED = 20
"""Of the folds and resamples; another than the fit's own."""

Prediction = TypeVar("Prediction")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value with its 95 % interval by bootstrap over sessions."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Scored:
    """What the scorer says of a session: turn scores, ratings 1..5 by label, and its flag."""

    scores: Scores
    ratings: Mapping[str, float]
    flag: float


def fit_scorer(examples: Sequence[Example]) -> Callable[[Example], Scored]:
    """The rules-and-timing scorer, fitted on these real sessions and the invented ones."""
    config = FitConfig()
    fitted = fit_rules(examples, config)
    flag, _ = thresholds(examples, fitted, config)

    def predict(example: Example) -> Scored:
        scores = fitted.predict(example)
        return Scored(scores, rate(fitted, scores), flag)

    return predict


def fit_without_words(examples: Sequence[Example]) -> Callable[[Example], Scores]:
    """The same scorer with patterns, dialogue state and clock alone, no weights on words."""
    return fit_rules(examples, FitConfig(least_seen_word=len(examples) + 1)).predict


def rate(fitted: FittedRules, scores: Scores) -> dict[str, float]:
    """A session's ratings from its turn scores, 1..5 by label."""
    row = summary_row(scores)
    return {
        label: float(np.clip(fitted.ratings[label].value([row])[0], 1.0, 5.0)) for label in RATINGS
    }


def cross_validate(
    examples: Sequence[Example],
    extra: Sequence[Example],
    fit: Callable[[Sequence[Example]], Callable[[Example], Prediction]],
) -> list[Prediction]:
    """Predictions by models that saw none of the session's group; `extra` is always seen."""
    folds = fold_of(examples, N_FOLDS, SEED)
    found: dict[int, Prediction] = {}
    for number in range(N_FOLDS):
        seen = [ex for ex, fold in zip(examples, folds, strict=True) if fold != number]
        predict = fit([*seen, *extra])
        found |= {i: predict(examples[i]) for i, fold in enumerate(folds) if fold == number}
    return [found[place] for place in range(len(examples))]


Pairs = Sequence[tuple[Array, Array]]
"""By session: true values and scores, both of shape (n_units,)."""


def bootstrap(pairs: Pairs, metric: Callable[[Array, Array], float]) -> Figure:
    """The metric over all units, with its interval by resampling sessions.

    A resample in which the metric is not defined (one class only) is left out; NaN where it is
    defined in none.
    """
    rng = np.random.default_rng(SEED)
    values = []
    for _ in range(N_RESAMPLES):
        drawn = [pairs[place] for place in rng.integers(len(pairs), size=len(pairs))]
        value = _measure(drawn, metric)
        if np.isfinite(value):
            values.append(value)
    low, high = np.percentile(values or [np.nan], [2.5, 97.5])
    return Figure(_measure(pairs, metric), float(low), float(high))


def _measure(pairs: Pairs, metric: Callable[[Array, Array], float]) -> float:
    truth = np.concatenate([t for t, _ in pairs])
    return metric(truth, np.concatenate([s for _, s in pairs]))


def average_precision(truth: Array, scores: Array) -> float:
    """Area under the precision-recall curve; NaN where nothing is true."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth, scores)) if truth.any() else float("nan")


def auroc(truth: Array, scores: Array) -> float:
    """Area under the ROC curve; NaN where there is one class only."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, scores)) if 0 < truth.sum() < len(truth) else float("nan")


def brier(truth: Array, scores: Array) -> float:
    """Mean squared distance of score and truth, 0..1."""
    return float(np.mean((truth - scores) ** 2))


def calibration_error(truth: Array, scores: Array) -> float:
    """Expected calibration error over ten bins of equal size (by rank)."""
    order = np.argsort(scores, kind="stable")
    parts = np.array_split(order, 10)
    gaps = [abs(truth[p].mean() - scores[p].mean()) * len(p) for p in parts if len(p)]
    return float(sum(gaps) / len(scores))


def spearman(truth: Array, scores: Array) -> float:
    """Rank correlation; NaN where either side is constant."""
    from scipy.stats import spearmanr

    if np.ptp(truth) == 0 or np.ptp(scores) == 0:
        return float("nan")
    return float(spearmanr(truth, scores).statistic)


def turn_pairs(
    examples: Sequence[Example], scores: Sequence[Scores], label: str, *, agreed_only: bool = False
) -> Pairs:
    """Truth and score of every turn that can carry the label."""
    pairs = []
    for ex, found in zip(examples, scores, strict=True):
        kept = [
            i
            for i in ex.mine(label)
            if not (agreed_only and ex.session.contested.intersection(ex.read.turns[i].cue_ids))
        ]
        pairs.append((ex.targets[label][kept], found[label][kept]))
    return pairs


def segment_pairs(
    examples: Sequence[Example], scores: Sequence[Scores], label: str, window_s: float
) -> Pairs:
    """Truth (any turn carries the label) and score (that at least one does) of every segment."""
    pairs = []
    for ex, found in zip(examples, scores, strict=True):
        held = [list(s.turn_indexes) for s in segmentation.split(ex.read.turns, window_s=window_s)]
        truth = np.array([ex.targets[label][h].max() for h in held])
        pairs.append((truth, np.array([1 - (1 - found[label][h]).prod() for h in held])))
    return pairs


def rating_pairs(
    examples: Sequence[Example], ratings: Sequence[Mapping[str, float]], label: str
) -> Pairs:
    """The coders' mean rating and ours, one unit a session."""
    return [
        (np.array([ex.session.ratings[label]]), np.array([found[label]]))
        for ex, found in zip(examples, ratings, strict=True)
    ]


def report(examples: Sequence[Example], extra: Sequence[Example]) -> Iterator[str]:
    """The whole evaluation as Markdown lines."""
    predicted = cross_validate(examples, extra, fit_scorer)
    ours = [found.scores for found in predicted]
    by_name = {
        "length and timing": cross_validate(examples, (), fit_length),
        "TF-IDF": cross_validate(examples, (), fit_tfidf),
        "the scorer without words": cross_validate(examples, extra, fit_without_words),
        "the scorer": ours,
    }
    yield "## Turns, 5-fold cross-validation over all labelled sessions"
    yield from _turn_table(examples, by_name)
    yield "\n## The same folds, only turns on which both codings agreed"
    yield from _turn_table(examples, by_name, agreed_only=True)
    dev = [ex for ex in examples if ex.session.split == "dev"]
    train = [ex for ex in examples if ex.session.split == "train"]
    length, tfidf = fit_length(train), fit_tfidf(train)
    yield f"\n## Turns, dev split ({len(dev)} sessions), with the weights that are shipped"
    on_dev = {
        "length and timing": [length(ex) for ex in dev],
        "TF-IDF": [tfidf(ex) for ex in dev],
        "the scorer": [_shipped(ex) for ex in dev],
    }
    yield from _turn_table(dev, on_dev)
    yield "\n## Segments and calibration, cross-validated"
    yield "The interval of the calibration error leans upward: resampling adds noise to its bins.\n"
    yield "| label | AUROC 1 min | AUROC 5 min | Brier | calibration error |"
    yield "|---|---|---|---|---|"
    for label in FITTED:
        turns = turn_pairs(examples, ours, label)
        figures = (
            bootstrap(segment_pairs(examples, ours, label, 60.0), auroc),
            bootstrap(segment_pairs(examples, ours, label, 300.0), auroc),
            bootstrap(turns, brier),
            bootstrap(turns, calibration_error),
        )
        yield f"| {label} | " + " | ".join(map(str, figures)) + " |"
    yield from _moment_lines(examples, predicted)
    ratings = [found.ratings for found in predicted]
    yield "\n## Session ratings 1–5, cross-validated: Spearman with the mean of the two codings"
    yield "| rating | Spearman |\n|---|---|"
    for label in RATINGS:
        yield f"| {label} | {bootstrap(rating_pairs(examples, ratings, label), spearman)} |"


def _moment_lines(examples: Sequence[Example], predicted: Sequence[Scored]) -> Iterator[str]:
    """How many moments are flagged, and how many of them and of the ruptures are right."""
    n_moments = n_right = n_ruptures = n_held = 0
    hours = 0.0
    for ex, found in zip(examples, predicted, strict=True):
        truth = np.maximum(ex.targets["withdrawal"], ex.targets["confrontation"])
        away, against = found.scores["withdrawal"], found.scores["confrontation"]
        rupture = 1 - (1 - away) * (1 - against)
        flagged = [
            [turn.index for turn in own] for own in stretches(ex.read.turns, rupture, found.flag)
        ]
        n_moments += len(flagged)
        n_right += sum(bool(truth[own].any()) for own in flagged)
        n_held += int(sum(truth[own].sum() for own in flagged))
        n_ruptures += int(truth.sum())
        hours += duration_s(ex) / 3600
    yield "\n## Flagged moments, cross-validated, the flag set on the training folds"
    yield (
        f"{n_moments} moments in {hours:.1f} hours ({n_moments / hours:.1f} an hour); "
        f"{n_right} of them ({n_right / max(n_moments, 1):.0%}) hold a turn that is labelled a "
        f"rupture. They hold {n_held} of the {n_ruptures} such turns "
        f"({n_held / max(n_ruptures, 1):.0%})."
    )


def _shipped(ex: Example) -> Scores:
    from detector.codebook import load_codebook

    return score_session(ex.read, load_weights(), load_codebook()).scores


def _turn_table(
    examples: Sequence[Example],
    by_name: Mapping[str, Sequence[Scores]],
    *,
    agreed_only: bool = False,
) -> Iterator[str]:
    yield "| label | turns | base rate | scorer | average precision | AUROC |"
    yield "|---|---|---|---|---|---|"
    for label in FITTED:
        for name, scores in by_name.items():
            pairs = turn_pairs(examples, scores, label, agreed_only=agreed_only)
            truth = np.concatenate([t for t, _ in pairs])
            yield (
                f"| {label} | {len(truth)} | {truth.mean():.3f} | {name} "
                f"| {bootstrap(pairs, average_precision)} | {bootstrap(pairs, auroc)} |"
            )


@told()
def command(
    out: Annotated[Path | None, typer.Option(help="Write the Markdown report here.")] = None,
) -> None:
    """Average precision, AUROC and calibration of the rules scorer beside the floors."""
    rules = MarkerRules()
    examples = read_examples(load_annomi(), rules)
    extra = read_examples(load_synthetic(), rules)
    head = [
        "# Evaluation of the rules-and-timing scorer",
        "",
        "Written by `rupture evaluate`. " + " ".join((__doc__ or "").split("\n\n")[1].split()),
        f"Intervals: 95 %, bootstrap over sessions, {N_RESAMPLES} resamples. "
        f"Python {platform.python_version()}, {len(examples)} AnnoMI sessions, "
        f"{len(extra)} invented sessions added to training only.",
        "",
    ]
    text = "\n".join([*head, *report(examples, extra)]) + "\n"
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(command)
