"""The network joins the rules: `rupture fuse RUN` writes a checkpoint's `scoring.toml`.

The second step of detector.scoring gets one more input for each label, the network's log-odds.
What is fitted is small on purpose: the rules' log-odds and the network's are each brought to the
labels' own rate by a slope and an intercept (Platt 1999), a fixed share of each is taken, and that
again brought to the rate. So it does not matter how loud a network speaks. With a weight for every
input the 130 positive turns of a label taught the fit one session rather than the next: it ranked
worse in cross-validation (docs/experiments.md).

Fitted on real sessions alone, on log-odds of networks and rules that had not seen the session.
For figures each fold's numbers come from the other folds (stacking, Wolpert 1992). A small leak
of the second order stays, as in all stacking: the networks of the other folds have seen this one.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from detector.markers import MarkerRules
from detector.network import NetworkReading
from detector.scoring import FITTED, context_rows, rating_row, summary_row, turn_scores
from detector.weights import NETWORK, Array, LinearModel
from training.corpus import TrainingDataError, load_annomi, load_synthetic, told
from training.floors import Scores
from training.folds import RulesFold, fit_folds
from training.predictions import RunPredictions, columns, read_predictions
from training.rules import Example, FitConfig, FittedRules, fit_ratings, fit_rules, read_examples
from training.weights import as_toml

NETWORK_SHARE = {"withdrawal": 0.5, "confrontation": 0.5, "resolution": 0.5, "contribution": 0.25}
"""Of the network in the mean of both log-odds. Half, and a quarter for contribution, where the
network lies far below the rules: chosen on the train split with folds of its own, where half
costs .04 of average precision against a quarter (docs/experiments.md)."""

_SURE = 1e-6
"""Probabilities nearer to 0 or 1 than this are brought here before log-odds are taken."""


@dataclass(frozen=True)
class Fusion:
    """The second step that hears the network, by label, and the ratings fitted on its scores.

    `session_ratings` have the network's own ratings beside the turns' scores.
    """

    context: Mapping[str, LinearModel]
    ratings: Mapping[str, LinearModel]
    session_ratings: Mapping[str, LinearModel]

    def scores(
        self, ex: Example, own: Mapping[str, Array], said: NetworkReading
    ) -> dict[str, Array]:
        """Probabilities by label, shape (n_turns,), from the first step's log-odds."""
        heard = np.ones(len(ex.roles), dtype=bool)
        return turn_scores(context_rows(own, ex.roles, heard, said), self.context, ex.roles, heard)

    def rate(self, scores: Scores, said: NetworkReading) -> dict[str, float]:
        """A session's ratings, 1..5 by name."""
        row = summary_row(scores) | rating_row(said.ratings)
        return {
            name: float(np.clip(model.value([row])[0], 1.0, 5.0))
            for name, model in self.session_ratings.items()
        }


@dataclass(frozen=True, slots=True)
class FusedSession:
    """Cross-validated scores of a session by label, shape (n_turns,), and ratings 1..5 by name."""

    scores: Scores = field(repr=False)
    ratings: Mapping[str, float]


def readings(run: RunPredictions, examples: Sequence[Example]) -> list[NetworkReading]:
    """A run's cross-validated predictions as the scorer reads a network."""
    names, found = columns(), []
    for ex in examples:
        heads = run.logits[ex.session.session_id]
        named = {
            head: {name: heads[head][..., place] for place, name in enumerate(names[head])}
            for head in ("labels", "markers", "strategies", "ratings")
        }
        found.append(
            NetworkReading(
                named["labels"],
                named["markers"] | named["strategies"],
                {name: float(value) for name, value in named["ratings"].items()},
            )
        )
    return found


def fit_fusion(
    examples: Sequence[Example], rules: FittedRules, said: Sequence[NetworkReading]
) -> Fusion:
    """Fits the fusion on real sessions.

    Args:
        examples: the real sessions that `rules` were fitted on, first and in the same order.
        rules: their `unseen` and `unseen_own` are what is fitted on.
        said: what networks that had not seen a session say of it, in the same order.
    """
    context = {
        label: _fit_label(examples, label, rules, said, share=NETWORK_SHARE[label])
        for label in FITTED
    }
    fusion = Fusion(context, {}, {})
    scores = [
        fusion.scores(ex, own, one)
        for ex, own, one in zip(examples, rules.unseen_own, said, strict=False)
    ]
    own_ratings = [rating_row(one.ratings) for one in said]
    return replace(
        fusion,
        ratings=fit_ratings(examples, scores),
        session_ratings=fit_ratings(examples, scores, own_ratings),
    )


def _fit_label(
    examples: Sequence[Example],
    label: str,
    rules: FittedRules,
    said: Sequence[NetworkReading],
    *,
    share: float,
) -> LinearModel:
    """The rules' second step with the network beside it, as one weighted sum of named features."""
    mine = [ex.mine(label) for ex in examples]
    first = _log_odds(
        np.concatenate([s[label][m] for s, m in zip(rules.unseen, mine, strict=False)])
    )
    other = np.concatenate([one.labels[label][m] for one, m in zip(said, mine, strict=True)])
    truth = np.concatenate([ex.targets[label][m] for ex, m in zip(examples, mine, strict=True)])
    (a, b), (c, d) = _platt(first, truth), _platt(other, truth)
    mean = (1.0 - share) * (a * first + b) + share * (c * other + d)
    slope, intercept = _platt(mean, truth)
    step, middle = rules.context[label], float(other.mean())
    return LinearModel(
        intercept + slope * ((1.0 - share) * (a * step.intercept + b) + share * (c * middle + d)),
        (*step.names, NETWORK),
        np.append(slope * (1.0 - share) * a * step.weights, slope * share * c),
        np.append(step.means, middle),
    )


def _platt(log_odds: Array, truth: Array) -> tuple[float, float]:
    """Slope and intercept that bring log-odds to the rate of the labels (Platt 1999)."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=100.0, solver="newton-cholesky").fit(log_odds[:, None], truth)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _log_odds(chances: Array) -> Array:
    kept = np.clip(chances, _SURE, 1.0 - _SURE)
    odds: Array = np.log(kept / (1.0 - kept))
    return odds


def cross_fuse(
    examples: Sequence[Example], rules: Sequence[RulesFold], said: Sequence[NetworkReading]
) -> list[FusedSession]:
    """Every session scored by rules, network and fusion that were fitted without it, in order."""
    found: dict[int, FusedSession] = {}
    for fold in rules:
        seen = [examples[place] for place in fold.seen]
        fusion = fit_fusion(seen, fold.fitted, [said[place] for place in fold.seen])
        for place in fold.held:
            ex, one = examples[place], said[place]
            scores = fusion.scores(ex, fold.own_logits(ex), one)
            found[place] = FusedSession(scores, fusion.rate(scores, one))
    return [found[place] for place in range(len(examples))]


def fuse(
    examples: Sequence[Example],
    extra: Sequence[Example],
    run: RunPredictions,
    *,
    name: str,
    rules: Sequence[RulesFold] | None = None,
    config: FitConfig | None = None,
) -> str:
    """The `scoring.toml` of a checkpoint made from this run.

    Args:
        examples: the real sessions, in the order of `load_annomi`.
        extra: the invented ones; the rules' own step learns from them too.
        run: its cross-validated predictions.
        name: the checkpoint's.
        rules: the rules fitted without each fold, where they are at hand (they take minutes).
        config: of the rules' fit.

    Raises: TrainingDataError: no session is rated.
    """
    config = config or FitConfig()
    said = readings(run, examples)
    fitted = fit_rules([*examples, *extra], config)
    if not fitted.ratings:
        raise TrainingDataError(
            "no session has all four ratings 1-5, which a checkpoint gives: rate some sessions"
        )
    fusion = fit_fusion(examples, fitted, said)
    crossed = cross_fuse(examples, rules or fit_folds(examples, extra, config), said)
    # Invented sessions have no network that did not see them; nothing below asks for theirs.
    unseen: list[Mapping[str, Array]] = [*(one.scores for one in crossed), *({} for _ in extra)]
    fused = FittedRules(fitted.own, fusion.context, fusion.ratings, unseen)
    source = {
        "command": "rupture fuse",
        "date": datetime.date.today().isoformat(),
        "data": f"{len(examples)} real sessions; {len(extra)} invented ones in the first step only",
        "labels": "a language model under our codebook, adjudicated; not clinicians",
        "run": ", ".join(f"{key} {value}" for key, value in sorted(run.about.items())),
        "config": ", ".join(f"{key} {value}" for key, value in asdict(config).items()),
    }
    return as_toml(
        fused,
        [*examples, *extra],
        config,
        source,
        name=name,
        session_ratings=fusion.session_ratings,
    )


@told()
def command(
    run: Annotated[Path, typer.Argument(help="A training run's folder.")],
    name: Annotated[str, typer.Option(help="The checkpoint's name.")] = "default",
    out: Annotated[
        Path | None, typer.Option(help="Where it is written; default: RUN/scoring.toml.")
    ] = None,
) -> None:
    """Fit how rules, timing and network are weighed together; writes scoring.toml."""
    rules = MarkerRules()
    examples = read_examples(load_annomi(), rules)
    found = read_predictions(run, examples)
    text = fuse(examples, read_examples(load_synthetic(), rules), found, name=name)
    path = out or run / "scoring.toml"
    path.write_text(text, encoding="utf-8")
    typer.echo(f"{path}: fused on {len(examples)} sessions")


if __name__ == "__main__":
    typer.run(command)
