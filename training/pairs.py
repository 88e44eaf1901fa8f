"""Truth and scores, unit by unit: turns, segments, markers, moments, sessions.

What figures.bootstrap takes: by session two arrays of shape (n_units,). Which units count, and
what makes one true, is decided here and nowhere else.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from detector import segmentation
from detector.codebook import load_codebook
from detector.scoring import FITTED
from detector.transcript import Role
from detector.weights import Array
from training.figures import Pairs, joined
from training.floors import Scores
from training.metrics import auroc, average_precision, best_threshold, measure
from training.predictions import could_show
from training.rules import Example, FitConfig, FittedRules
from training.weights import thresholds


def truth_of(ex: Example, label: str) -> Array:
    """1 for the turns that carry the label, else 0: shape (n_turns,)."""
    if label in FITTED:
        return ex.targets[label]
    return np.array([label in ex.session.markers_of(turn) for turn in ex.read.turns], dtype=float)


def turn_pairs(
    examples: Sequence[Example], scores: Sequence[Scores], label: str, *, agreed_only: bool = False
) -> Pairs:
    """Truth and score of every turn that can carry the label.

    Args:
        examples: the sessions.
        scores: of each session, by label.
        label: one of training.predictions.LABELS.
        agreed_only: leaves out turns on which the two codings name different kinds of marker.
    """
    pairs = []
    for ex, found in zip(examples, scores, strict=True):
        kept = [
            i
            for i in np.flatnonzero(could_show(ex, label))
            if not (agreed_only and ex.session.contested.intersection(ex.read.turns[i].cue_ids))
        ]
        pairs.append((truth_of(ex, label)[kept], found[label][kept]))
    return pairs


def precisions(examples: Sequence[Example], scores: Sequence[Scores]) -> dict[str, float]:
    """Average precision over all turns that can carry a label, by label; NaN: nothing has it."""
    known = {}
    for label in FITTED:
        pairs = turn_pairs(examples, scores, label)
        truth = np.concatenate([true for true, _ in pairs])
        known[label] = measure(average_precision, truth, np.concatenate([s for _, s in pairs]))
    return known


def segment_pairs(
    examples: Sequence[Example], scores: Sequence[Scores], label: str, window_s: float
) -> Pairs:
    """Truth (any turn carries the label) and score (that at least one does) of every segment."""
    pairs = []
    for ex, found in zip(examples, scores, strict=True):
        held = [list(s.turn_indexes) for s in segmentation.split(ex.read.turns, window_s=window_s)]
        truth = np.array([truth_of(ex, label)[h].max() for h in held])
        pairs.append((truth, np.array([1 - (1 - found[label][h]).prod() for h in held])))
    return pairs


def marker_pairs(examples: Sequence[Example], found: Sequence[Scores], marker: str) -> Pairs:
    """Truth and score of every turn whose speaker can show the marker."""
    role = Role(load_codebook().markers[marker].role)
    pairs = []
    for ex, scores in zip(examples, found, strict=True):
        mine = np.flatnonzero(ex.roles == role)
        truth = [float(marker in ex.session.markers_of(ex.read.turns[i])) for i in mine]
        pairs.append((np.array(truth, dtype=np.float64), scores[marker][mine]))
    return pairs


def rating_pairs(
    examples: Sequence[Example], ratings: Sequence[Mapping[str, float]], label: str
) -> Pairs:
    """The coders' mean rating and ours, one unit a session; unrated sessions are left out."""
    return [
        (np.array([ex.session.ratings[label]]), np.array([found[label]]))
        for ex, found in zip(examples, ratings, strict=True)
        if label in ex.session.ratings and label in found
    ]


def flagged_pairs(pairs: Pairs, folds: Sequence[int]) -> Pairs:
    """Scores made flags (0 or 1), by the threshold that is best on the other folds.

    Best is the highest balanced accuracy. A session's own fold has no say in its threshold.
    """
    cuts = {
        number: best_threshold(
            *joined([pair for pair, fold in zip(pairs, folds, strict=True) if fold != number])[:2]
        )
        for number in set(folds)
    }
    return [
        (truth, (scores >= cuts[fold]).astype(np.float64))
        for (truth, scores), fold in zip(pairs, folds, strict=True)
    ]


def rupture_scores(found: Scores) -> Array:
    """That a turn is a rupture of either kind, shape (n_turns,)."""
    both: Array = 1 - (1 - found["withdrawal"]) * (1 - found["confrontation"])
    return both


def rupture_truth(ex: Example) -> Array:
    """1 for a turn that is labelled a rupture of either kind, shape (n_turns,)."""
    either: Array = np.maximum(ex.targets["withdrawal"], ex.targets["confrontation"])
    return either


def flag_thresholds(
    examples: Sequence[Example], scores: Sequence[Scores], folds: Sequence[int]
) -> list[float]:
    """For each session, the score from which a turn is flagged, set on the other folds.

    It lets through there as many moments an hour as a reviewer is to be shown (FitConfig).
    """
    cuts = {}
    for number in set(folds):
        seen = [i for i, fold in enumerate(folds) if fold != number]
        unseen = FittedRules({}, {}, {}, [scores[i] for i in seen])
        cuts[number], _ = thresholds([examples[i] for i in seen], unseen, FitConfig())
    return [cuts[fold] for fold in folds]


def within_session_pairs(examples: Sequence[Example], scores: Sequence[Scores]) -> Pairs:
    """Of each session with ruptures and other client turns, how well they are told apart.

    The score is the session's own AUROC, one unit; the truth is 1 and has no meaning. A scorer
    that only knows which sessions are strained has .5 here.
    """
    pairs = []
    for ex, found in zip(examples, scores, strict=True):
        mine = ex.mine("withdrawal")
        own = measure(auroc, rupture_truth(ex)[mine], rupture_scores(found)[mine])
        kept = np.array([own] if np.isfinite(own) else [], dtype=np.float64)
        pairs.append((np.ones(len(kept)), kept))
    return pairs


def found_pairs(
    examples: Sequence[Example], scores: Sequence[Scores], cuts: Sequence[float]
) -> Pairs:
    """Of every turn that is labelled a rupture, whether it was flagged (1) or not (0)."""
    pairs = []
    for ex, found, cut in zip(examples, scores, cuts, strict=True):
        labelled = np.flatnonzero(rupture_truth(ex))
        flagged = (rupture_scores(found)[labelled] >= cut).astype(np.float64)
        pairs.append((np.ones(len(labelled)), flagged))
    return pairs
