"""Cross-validation: every scorer on the same five folds, sessions of one video together.

The rules are fitted once a fold, and what was fitted is kept: a scorer that fuses them with the
network needs the same fits, and they are what takes long.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from detector.codebook import load_codebook
from detector.scoring import FITTED, own_logits, summary_row
from detector.weights import Array, LinearModel
from training.floors import Scores
from training.predictions import FOLD_SEED, N_FOLDS
from training.rules import Example, FitConfig, FittedRules, fit_rules, fold_of
from training.weights import pattern_precision

Prediction = TypeVar("Prediction")


@dataclass(frozen=True)
class RulesFold:
    """The rules as fitted without one fold.

    Args:
        seen: places of the real sessions that the fit saw. `fitted.unseen` and
            `fitted.unseen_own` run parallel to them, and then to the invented sessions.
        held: places of the sessions that it did not see.
        fitted: both steps and the ratings.
        shares: how often each pattern's findings were right in the sessions that were seen.
    """

    seen: tuple[int, ...]
    held: tuple[int, ...]
    fitted: FittedRules = field(repr=False)
    shares: Mapping[str, float] = field(repr=False)

    def own_logits(self, ex: Example) -> dict[str, Array]:
        """First-step log-odds of a held session, shape (n_turns,); NaN: not the speaker's."""
        return own_logits(ex.read, self.fitted.own, ex.roles, np.ones(len(ex.roles), dtype=bool))


def fold_places(
    examples: Sequence[Example], seed: int = FOLD_SEED, n_folds: int = N_FOLDS
) -> list[int]:
    """The fold of each session, 0..n_folds-1; sessions of one group share it.

    Source by source, so that adding one's own sessions moves no AnnoMI session. Networks, rules
    and figures all take their folds from here: others would score what they have seen.
    """
    found: dict[str, int] = {}
    for source in dict.fromkeys(ex.session.source for ex in examples):
        own = [ex for ex in examples if ex.session.source == source]
        folds = fold_of(own, n_folds, seed)
        found |= {ex.session.session_id: fold for ex, fold in zip(own, folds, strict=True)}
    return [found[ex.session.session_id] for ex in examples]


def cross_validate(
    examples: Sequence[Example],
    extra: Sequence[Example],
    fit: Callable[[Sequence[Example]], Callable[[Example], Prediction]],
) -> list[Prediction]:
    """Predictions by models that saw none of the session's group; `extra` is always seen."""
    folds = fold_places(examples)
    found: dict[int, Prediction] = {}
    for number in range(N_FOLDS):
        seen = [ex for ex, fold in zip(examples, folds, strict=True) if fold != number]
        predict = fit([*seen, *extra])
        found |= {i: predict(examples[i]) for i, fold in enumerate(folds) if fold == number}
    return [found[place] for place in range(len(examples))]


def fit_folds(
    examples: Sequence[Example],
    extra: Sequence[Example],
    config: FitConfig | None = None,
    *,
    seed: int = FOLD_SEED,
) -> tuple[RulesFold, ...]:
    """The rules-and-timing scorer fitted without each fold; `extra` is seen by every fit."""
    config = config or FitConfig()
    folds = fold_places(examples, seed)
    made = []
    for number in range(N_FOLDS):
        held = tuple(i for i, fold in enumerate(folds) if fold == number)
        seen = tuple(i for i, fold in enumerate(folds) if fold != number)
        known = [*(examples[i] for i in seen), *extra]
        fitted = fit_rules(known, config)
        made.append(RulesFold(seen, held, fitted, pattern_precision(known, config)))
    return tuple(made)


def by_session(
    rules: Sequence[RulesFold],
    examples: Sequence[Example],
    say: Callable[[RulesFold, Example], Prediction],
) -> list[Prediction]:
    """What each session's own fold, which did not see it, says of it; in order of sessions."""
    found = {place: say(fold, examples[place]) for fold in rules for place in fold.held}
    return [found[place] for place in range(len(examples))]


def rate(ratings: Mapping[str, LinearModel], scores: Scores) -> dict[str, float]:
    """A session's ratings from its turn scores, 1..5 by label; {} where none were fitted."""
    row = summary_row(scores)
    return {
        label: float(np.clip(model.value([row])[0], 1.0, 5.0)) for label, model in ratings.items()
    }


def rules_markers(fold: RulesFold, ex: Example, scores: Scores) -> dict[str, Array]:
    """The rules' score of every marker, shape (n_turns,): 0 where no pattern found it.

    As detector.scoring shares a label's score among the markers found for it; every finding
    counts here, also one too weak to be shown.
    """
    book = load_codebook()
    found = {name: np.zeros(len(ex.roles)) for name in book.markers}
    for index, hits in enumerate(ex.read.hits):
        best: dict[str, float] = {}
        for hit in hits:
            best[hit.marker] = max(best.get(hit.marker, 0.0), fold.shares.get(hit.pattern_id, 0.0))
        for marker, share in best.items():
            kind = book.markers[marker].kind
            if kind in FITTED:
                rivals = sum(s for name, s in best.items() if book.markers[name].kind == kind)
                share = float(scores[kind][index]) * (share / rivals if rivals else 1.0)
            found[marker][index] = share
    return found
