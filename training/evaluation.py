"""The whole evaluation as one record that JSON can hold: `evaluation.json`.

The labels come from a language model under our codebook, adjudicated, not from clinicians.

The record (schema "rupture-evaluation/1"). F is {"value", "low", "high"}: a figure with its 95 %
interval by bootstrap over sessions; null where it is not defined.

    schema, labels_from
    how         what was measured on: n_sessions, n_invented, n_folds, fold_seed, n_resamples,
                python, measured_on, is_own, runs [{name, seed, n_folds, fold_seed, config_sha256,
                predictions_sha256}], left_out [what was not asked for]
    scorers     [{id, name, claim}] in the order of the tables; `claim` says what it is
    turns       {scorer: {label: {n, n_true, average_precision F, auroc F, balanced_accuracy F,
                brier F, calibration_slope F, calibration_intercept F, calibration_error F,
                reliability [{score, share, n}]}}}: cross-validated, all sessions
    agreed, dev {scorer: {label: {n, n_true, average_precision F, auroc F}}}: the same scores, only
                turns on which both codings agree; only sessions of the dev split
    segments    {scorer: {label: {"60"|"300": {n, n_true, auroc F, average_precision F}}}}, seconds
    ratings     {scorer: {rating: {n, spearman F, icc_agreement F, icc_consistency F}}}
    markers     [{marker, kind, n, n_true, scorers: {scorer: {average_precision F, auroc F}}}]
    subgroups   [{by, name, n_sessions, scorers: {scorer: {label: {n, n_true, average_precision
                F, auroc F}}}}]
    moments     {scorer: {n_moments, n_right, hours, n_sessions, n_labelled, n_flagged, n_found,
                found F, within_auroc F, by_ruptures: [{least, most|null, and the same from
                n_sessions on}]}}: turns labelled, flagged, and both; found is n_found/n_labelled
    differences [{one, other, label, metric, value, low, high, above_zero}]: paired, one - other

A checkpoint's `evaluation.json` is this record with what `rupture publish` adds as `serving`.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detector.codebook import load_codebook
from detector.episodes import stretches
from detector.report import RATINGS
from detector.scoring import FITTED
from training import metrics, pairs
from training.figures import N_RESAMPLES, Difference, Figure, Pairs, bootstrap, paired_bootstrap
from training.floors import Scores
from training.folds import fold_places
from training.predictions import FOLD_SEED, LABELS, N_FOLDS
from training.rules import Example
from training.subgroups import Subgroup
from training.weights import duration_s

SCHEMA = "rupture-evaluation/1"
LABELS_FROM = "a language model under our codebook, adjudicated; not clinicians"
OWN_LABELS_FROM = "the coders of the files that were given"

WINDOWS_S = (60.0, 300.0)
"""Lengths of a segment: published models read one minute, coders of the 3RS five."""

_NOT_DEFINED = Figure(float("nan"), float("nan"), float("nan"))

BANDS: tuple[tuple[int, int | None], ...] = ((0, 0), (1, 2), (3, 5), (6, 10), (11, None))
"""Ruptures in a session, least and most: does the scorer find the few of a calm session, and how
often does it cry wolf where there is none?"""

RANKING: Mapping[str, metrics.Metric] = {
    "average_precision": metrics.average_precision,
    "auroc": metrics.auroc,
}
CALIBRATION: Mapping[str, metrics.Metric] = {
    "brier": metrics.brier,
    "calibration_slope": metrics.calibration_slope,
    "calibration_intercept": metrics.calibration_intercept,
    "calibration_error": metrics.calibration_error,
}
AGREEMENT: Mapping[str, metrics.Metric] = {
    "spearman": metrics.spearman,
    "icc_agreement": metrics.icc_agreement,
    "icc_consistency": metrics.icc_consistency,
}


@dataclass(frozen=True)
class Scorer:
    """One way of scoring, with its cross-validated predictions of every session.

    `scores` are by label. `ratings` (1..5 by name) and `markers` (by marker) are None where it
    gives none; one with ratings scores whole sessions, and is looked at by subgroup and moment.
    """

    id: str
    name: str
    claim: str
    scores: Sequence[Scores] = field(repr=False)
    ratings: Sequence[Mapping[str, float]] | None = field(default=None, repr=False)
    markers: Sequence[Scores] | None = field(default=None, repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels it scores, in order."""
        return tuple(label for label in LABELS if label in self.scores[0])


@dataclass(frozen=True, slots=True)
class Question:
    """Two scorers, by id, whose difference is asked for."""

    one: str
    other: str


def evaluate(
    examples: Sequence[Example],
    scorers: Sequence[Scorer],
    groups: Sequence[Subgroup],
    questions: Sequence[Question],
    how: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything the file's own words list.

    Args:
        examples: the real sessions, in the order of `load_annomi`.
        scorers: in the order of the tables.
        groups: of training.subgroups.
        questions: pairs of scorers to compare; one that is not among `scorers` is passed over.
        how: what was measured on, added to what is known here.
    """
    folds = fold_places(examples)
    is_own = any(ex.session.source != "annomi" for ex in examples)
    on_dev = [place for place, ex in enumerate(examples) if ex.session.split == "dev"]
    whole = [scorer for scorer in scorers if scorer.ratings is not None]
    return {
        "schema": SCHEMA,
        "labels_from": labels_from(examples),
        "how": {
            "n_sessions": len(examples),
            "n_dev_sessions": len(on_dev),
            "n_folds": N_FOLDS,
            "fold_seed": FOLD_SEED,
            "n_resamples": N_RESAMPLES,
            "python": platform.python_version(),
            "measured_on": measured_on(examples),
            "is_own": is_own,
            **how,
        },
        "scorers": [{"id": s.id, "name": s.name, "claim": s.claim} for s in scorers],
        "turns": {s.id: _turns(examples, s, folds) for s in scorers},
        "agreed": {s.id: _ranked(examples, s, agreed_only=True) for s in scorers},
        "dev": {s.id: _ranked(examples, s, places=on_dev) for s in scorers} if on_dev else {},
        "segments": {s.id: _segments(examples, s) for s in scorers},
        "ratings": {s.id: _ratings(examples, s.ratings) for s in whole if s.ratings is not None},
        "markers": _markers(examples, scorers),
        "subgroups": [_subgroup(examples, whole, group) for group in groups],
        "moments": {s.id: _moments(examples, s, folds) for s in whole},
        "differences": _differences(examples, scorers, questions),
    }


def labels_from(examples: Sequence[Example]) -> str:
    """Who set the labels of these sessions."""
    sources = {ex.session.source for ex in examples}
    said = [LABELS_FROM] if "annomi" in sources else []
    return "; and ".join([*said, *([OWN_LABELS_FROM] if sources - {"annomi"} else [])])


def measured_on(examples: Sequence[Example]) -> str:
    """How many sessions of which kind."""
    n_annomi = sum(ex.session.source == "annomi" for ex in examples)
    n_own = len(examples) - n_annomi
    annomi = f"{n_annomi} AnnoMI sessions (demonstrations of motivational interviewing)"
    own = f"{n_own} sessions of one's own (given as files)"
    return " and ".join([*([annomi] if n_annomi else []), *([own] if n_own else [])])


def plain(figure: Figure | Difference) -> dict[str, float | None]:
    """A figure as JSON can hold it: null for NaN."""
    names = ["value", "low", "high", *(["above_zero"] if isinstance(figure, Difference) else [])]
    values = {name: float(getattr(figure, name)) for name in names}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _measured(found: Pairs, asked: Mapping[str, metrics.Metric]) -> dict[str, Any]:
    """How many units there are, how many are true, and a figure for each metric."""
    truth = np.concatenate([t for t, _ in found]) if found else np.zeros(0)
    counted = {"n": len(truth), "n_true": int(truth.sum())}
    return counted | {name: plain(bootstrap(found, metric)) for name, metric in asked.items()}


def _turns(examples: Sequence[Example], scorer: Scorer, folds: Sequence[int]) -> dict[str, Any]:
    table = {}
    for label in scorer.labels:
        found = pairs.turn_pairs(examples, scorer.scores, label)
        flagged = bootstrap(pairs.flagged_pairs(found, folds), metrics.balanced_accuracy)
        table[label] = {
            **_measured(found, {**RANKING, **CALIBRATION}),
            "balanced_accuracy": plain(flagged),
            "reliability": metrics.reliability(
                np.concatenate([t for t, _ in found]), np.concatenate([s for _, s in found])
            ),
        }
    return table


def _ranked(
    examples: Sequence[Example],
    scorer: Scorer,
    *,
    agreed_only: bool = False,
    places: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Ranking figures over some of the turns or some of the sessions."""
    kept = range(len(examples)) if places is None else places
    chosen, scores = [examples[i] for i in kept], [scorer.scores[i] for i in kept]
    return {
        label: _measured(pairs.turn_pairs(chosen, scores, label, agreed_only=agreed_only), RANKING)
        for label in scorer.labels
    }


def _segments(examples: Sequence[Example], scorer: Scorer) -> dict[str, Any]:
    return {
        label: {
            f"{window_s:.0f}": _measured(
                pairs.segment_pairs(examples, scorer.scores, label, window_s), RANKING
            )
            for window_s in WINDOWS_S
        }
        for label in scorer.labels
    }


def _ratings(examples: Sequence[Example], ratings: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    table = {}
    for name in RATINGS:
        found = pairs.rating_pairs(examples, ratings, name)
        figures = {
            key: plain(bootstrap(found, metric) if found else _NOT_DEFINED)
            for key, metric in AGREEMENT.items()
        }
        table[name] = {"n": len(found), **figures}
    return table


def _markers(examples: Sequence[Example], scorers: Sequence[Scorer]) -> list[dict[str, Any]]:
    """Every marker that a coder gave at least once, with what each scorer makes of it."""
    table = []
    for marker in load_codebook().markers.values():
        if marker.kind not in ("withdrawal", "confrontation", "repair", "resolution"):
            continue
        row: dict[str, Any] = {"marker": marker.id, "kind": marker.kind, "scorers": {}}
        for scorer in scorers:
            if scorer.markers is not None:
                found = _measured(pairs.marker_pairs(examples, scorer.markers, marker.id), RANKING)
                row |= {"n": found.pop("n"), "n_true": found.pop("n_true")}
                row["scorers"][scorer.id] = found
        if row.get("n_true"):
            table.append(row)
    return table


def _subgroup(
    examples: Sequence[Example], scorers: Sequence[Scorer], group: Subgroup
) -> dict[str, Any]:
    return {
        "by": group.by,
        "name": group.name,
        "n_sessions": len(group.places),
        "scorers": {s.id: _ranked(examples, s, places=group.places) for s in scorers},
    }


def _moments(examples: Sequence[Example], scorer: Scorer, folds: Sequence[int]) -> dict[str, Any]:
    """Flagged moments, the flag set on the other folds, and what of the labels they hold."""
    cuts = pairs.flag_thresholds(examples, scorer.scores, folds)
    n_moments = n_right = 0
    for ex, found, cut in zip(examples, scorer.scores, cuts, strict=True):
        truth, scores = pairs.rupture_truth(ex), pairs.rupture_scores(found)
        moments = [[turn.index for turn in own] for own in stretches(ex.read.turns, scores, cut)]
        n_moments += len(moments)
        n_right += sum(bool(truth[own].any()) for own in moments)
    everywhere = _found(examples, scorer, cuts, range(len(examples)))
    return {
        "n_moments": n_moments,
        "n_right": n_right,
        "hours": sum(duration_s(ex) for ex in examples) / 3600,
        **everywhere,
        "by_ruptures": [_band(examples, scorer, cuts, band) for band in BANDS],
    }


def _band(
    examples: Sequence[Example],
    scorer: Scorer,
    cuts: Sequence[float],
    band: tuple[int, int | None],
) -> dict[str, Any]:
    least, most = band
    n_ruptures = [int(pairs.rupture_truth(ex).sum()) for ex in examples]
    places = [i for i, n in enumerate(n_ruptures) if n >= least and (most is None or n <= most)]
    return {"least": least, "most": most, **_found(examples, scorer, cuts, places)}


def _found(
    examples: Sequence[Example], scorer: Scorer, cuts: Sequence[float], places: Sequence[int]
) -> dict[str, Any]:
    """Turns flagged of turns labelled, and how well a session's own turns are told apart."""
    if not places:
        nothing = plain(_NOT_DEFINED)
        counted = {"n_sessions": 0, "n_labelled": 0, "n_flagged": 0, "n_found": 0}
        return {**counted, "found": nothing, "within_auroc": nothing}
    chosen, scores = [examples[i] for i in places], [scorer.scores[i] for i in places]
    kept = [cuts[i] for i in places]
    found = pairs.found_pairs(chosen, scores, kept)
    flagged = [pairs.rupture_scores(s) >= cut for s, cut in zip(scores, kept, strict=True)]
    return {
        "n_sessions": len(places),
        "n_labelled": sum(len(flags) for _, flags in found),
        "n_flagged": int(sum(flags.sum() for flags in flagged)),
        "n_found": int(sum(flags.sum() for _, flags in found)),
        "found": plain(bootstrap(found, metrics.mean)),
        "within_auroc": plain(bootstrap(pairs.within_session_pairs(chosen, scores), metrics.mean)),
    }


def _differences(
    examples: Sequence[Example], scorers: Sequence[Scorer], questions: Sequence[Question]
) -> list[dict[str, Any]]:
    by_id = {scorer.id: scorer for scorer in scorers}
    table = []
    for question in questions:
        one, other = by_id.get(question.one), by_id.get(question.other)
        if one is None or other is None:
            continue
        for label in FITTED:
            for metric, measure in RANKING.items():
                found = paired_bootstrap(
                    pairs.turn_pairs(examples, one.scores, label),
                    pairs.turn_pairs(examples, other.scores, label),
                    measure,
                )
                asked = {"one": one.id, "other": other.id, "label": label, "metric": metric}
                table.append(asked | plain(found))
    return table
