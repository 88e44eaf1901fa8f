import dataclasses
from typing import Any

import numpy as np
import pytest

from detector.markers import MarkerHit, MarkerRules
from detector.scoring import FITTED, score_session
from detector.transcript import Role
from detector.weights import read_weights
from training.corpus import CueLabel
from training.rules import Example, FitConfig, FittedRules
from training.weights import pattern_precision, pillar_shares, thresholds


def test_serving_scores_as_training_predicts(
    examples: list[Example], fitted: FittedRules, toml: str, rules: MarkerRules
) -> None:
    weights = read_weights(toml.encode())
    for ex in examples:
        served = score_session(ex.read, weights, rules.codebook).scores
        trained = fitted.predict(ex)
        for label in FITTED:
            np.testing.assert_allclose(served[label], trained[label], atol=1e-3)


def test_the_written_weights_say_where_they_come_from(toml: str, rules: MarkerRules) -> None:
    weights = read_weights(toml.encode())
    assert weights.source == {"data": "a test", "date": "today"}
    assert weights.codebook == rules.codebook.version
    assert set(weights.pattern_precision) >= {
        p.id
        for p in rules.codebook.patterns.values()
        if rules.codebook.markers[p.marker].kind not in ("move", "technical")
    }


def test_the_strongest_features_are_written_first(toml: str) -> None:
    for model in read_weights(toml.encode()).own.values():
        strengths = np.abs(model.weights).tolist()
        assert strengths == sorted(strengths, reverse=True)


def test_precision_is_a_share_and_strengths_claim_nothing(
    config: FitConfig, examples: list[Example], rules: MarkerRules
) -> None:
    shares = pattern_precision(examples, config)
    assert all(0.0 < share < 1.0 for share in shares.values())
    known = rules.codebook
    strengths = [p.id for p in known.patterns.values() if p.marker in known.of_kind("strength")]
    assert all(shares[name] == 0.5 for name in strengths)


def test_precision_is_the_confirmed_share_drawn_to_that_of_the_kind(
    config: FitConfig,
    examples: list[Example],
) -> None:
    ex = examples[0]
    turns = [turn for turn in ex.read.turns if turn.role is Role.CLIENT][:20]

    def share(n_right: int) -> float:
        cue_ids = [turn.cue_ids[0] for turn in turns[:n_right]]
        labels = dict.fromkeys(cue_ids, CueLabel(frozenset({"denial"})))
        hits: list[Any] = [()] * len(ex.read.turns)
        for turn in turns:
            hits[turn.index] = (MarkerHit(turn.index, 0, 1, "denial", "denial.made_up"),)
        session = dataclasses.replace(ex.session, labels=labels)
        read = dataclasses.replace(ex.read, hits=tuple(hits))
        made = dataclasses.replace(ex, session=session, read=read)
        return pattern_precision([made], config)["denial.made_up"]

    assert share(20) > 0.9
    assert share(0) < 0.1
    assert share(10) == pytest.approx(0.5)


def test_pillar_shares_are_of_the_real_sessions_and_sum_to_one(examples: list[Example]) -> None:
    shares = pillar_shares(examples)
    for kind in ("withdrawal", "confrontation"):
        assert sum(shares[kind].values()) == pytest.approx(1.0)
    invented = [ex for ex in examples if not ex.is_real]
    assert sum(pillar_shares(invented)["withdrawal"].values()) == 0.0


def test_the_flag_lets_as_many_moments_through_as_were_asked_for(
    config: FitConfig, examples: list[Example], fitted: FittedRules
) -> None:
    few, _ = thresholds(examples, fitted, dataclasses.replace(config, flags_an_hour=1.0))
    many, repair = thresholds(examples, fitted, dataclasses.replace(config, flags_an_hour=40.0))
    assert 0.0 < many < few <= 1.0
    assert 0.0 < repair < 1.0


def test_the_repair_threshold_passes_as_many_turns_as_the_labels_name(
    config: FitConfig, examples: list[Example], fitted: FittedRules
) -> None:
    _, repair = thresholds(examples, fitted, config)
    real = [(ex, s) for ex, s in zip(examples, fitted.unseen, strict=True) if ex.is_real]
    named = sum(ex.targets["resolution"].sum() for ex, _ in real)
    passed = sum((s["resolution"][ex.mine("resolution")] >= repair).sum() for ex, s in real)
    assert passed == named
