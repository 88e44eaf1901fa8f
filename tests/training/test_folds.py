import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from detector.markers import MarkerRules
from detector.report import RATINGS
from detector.scoring import FITTED
from detector.weights import LinearModel
from training.corpus import load_synthetic
from training.folds import (
    RulesFold,
    by_session,
    cross_validate,
    fit_folds,
    fold_places,
    rate,
    rules_markers,
)
from training.predictions import N_FOLDS
from training.rules import Example, FitConfig, FittedRules, read_examples


@pytest.fixture(scope="module")
def pairs(rules: MarkerRules) -> list[Example]:
    """Ten invented sessions in pairs that must not be parted."""
    sessions = load_synthetic()[:10]
    return read_examples(
        [dataclasses.replace(s, group="abcde"[n // 2]) for n, s in enumerate(sessions)], rules
    )


@pytest.fixture(scope="module")
def folds(examples: list[Example]) -> tuple[RulesFold, ...]:
    # Few features: the fit's time goes with their cube.
    config = FitConfig(n_folds=3, least_seen=5, least_seen_word=99)
    return fit_folds(examples[:7], examples[7:], config)


def ones(example: Example) -> dict[str, Any]:
    return {label: np.full(len(example.roles), 0.5) for label in FITTED}


def test_cross_validation_never_shows_a_model_the_sessions_own_group(
    pairs: list[Example],
) -> None:
    def fit(seen: Sequence[Example]) -> Any:
        groups = {ex.session.group for ex in seen}

        def predict(ex: Example) -> tuple[str, set[str]]:
            return ex.session.group, groups

        return predict

    found = cross_validate(pairs, (), fit)
    assert [group for group, _ in found] == [ex.session.group for ex in pairs]
    for group, groups in found:
        assert group not in groups
        assert groups


def test_what_is_extra_is_always_seen_and_never_predicted(pairs: list[Example]) -> None:
    own, extra = pairs[:8], pairs[8:]

    def fit(seen: Sequence[Example]) -> Any:
        return lambda ex: {other.session.session_id for other in seen}

    found = cross_validate(own, extra, fit)
    assert len(found) == len(own)
    for ids in found:
        assert ids >= {ex.session.session_id for ex in extra}


def test_every_session_is_held_by_one_fold_and_seen_by_the_others(
    folds: tuple[RulesFold, ...], examples: list[Example]
) -> None:
    assert len(folds) == N_FOLDS
    assert sorted(place for fold in folds for place in fold.held) == list(range(7))
    for fold in folds:
        assert sorted((*fold.seen, *fold.held)) == list(range(7))
    places = fold_places(examples[:7])
    assert [{places[i] for i in fold.held} for fold in folds] == [{n} for n in range(N_FOLDS)]


def test_a_fold_keeps_what_a_second_step_is_fitted_on(
    folds: tuple[RulesFold, ...], examples: list[Example]
) -> None:
    for fold in folds:
        known = [*(examples[i] for i in fold.seen), *examples[7:]]
        assert len(fold.fitted.unseen_own) == len(known)
        for ex, own in zip(known, fold.fitted.unseen_own, strict=True):
            for label in FITTED:
                assert np.array_equal(np.flatnonzero(~np.isnan(own[label])), ex.mine(label))


def test_a_folds_rules_score_the_held_session_as_their_fit_does(
    folds: tuple[RulesFold, ...], examples: list[Example]
) -> None:
    found = by_session(folds, examples[:7], lambda fold, ex: fold.fitted.predict(ex))
    for fold in folds:
        for place in fold.held:
            expected = fold.fitted.predict(examples[place])
            assert np.array_equal(found[place]["withdrawal"], expected["withdrawal"])
            own = fold.own_logits(examples[place])["withdrawal"]
            assert np.isfinite(own[examples[place].mine("withdrawal")]).all()


def test_a_rules_marker_is_scored_where_a_pattern_found_it_and_shares_its_labels_score(
    folds: tuple[RulesFold, ...], examples: list[Example], rules: MarkerRules
) -> None:
    n_found = 0
    for ex in examples[:3]:
        scores = rules_markers(folds[0], ex, ones(ex))
        for index, hits in enumerate(ex.read.hits):
            markers = {hit.marker for hit in hits}
            found = {name for name, values in scores.items() if values[index] > 0}
            assert found <= markers
            kinds = rules.codebook.markers
            shares = [scores[name][index] for name in markers if kinds[name].kind == "withdrawal"]
            if shares:
                assert sum(shares) == pytest.approx(0.5)
                n_found += 1
    assert n_found


@pytest.mark.parametrize(("intercept", "rating"), [(9.0, 5.0), (-9.0, 1.0), (2.5, 2.5)])
def test_ratings_stay_on_the_scale(
    examples: list[Example], intercept: float, rating: float
) -> None:
    flat = LinearModel(intercept, (), np.zeros(0), np.zeros(0))
    fitted = FittedRules({}, {}, dict.fromkeys(RATINGS, flat), ())
    assert set(rate(fitted.ratings, ones(examples[0])).values()) == {rating}
