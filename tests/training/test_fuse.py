import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.markers import MarkerRules
from detector.network import NETWORK_LABELS, NetworkReading
from detector.report import RATINGS
from detector.scoring import FITTED, ROLE_OF, context_rows, own_logits, score_session, sigmoid
from detector.weights import read_weights
from training import fuse
from training.folds import RulesFold, fit_folds, fold_places
from training.predictions import RunPredictions, columns
from training.rules import Example, FitConfig, FittedRules
from training.weights import thresholds


@pytest.fixture(scope="module")
def real(examples: list[Example]) -> list[Example]:
    """The sessions that pass for real; they stand first."""
    return [ex for ex in examples if ex.is_real]


def knows(ex: Example, *, how_well: float, seed: int = 0) -> NetworkReading:
    """A network that says the truth as loudly as `how_well`, in a voice full of noise."""
    rng = np.random.default_rng([seed, len(ex.roles)])
    labels = {}
    for label in NETWORK_LABELS:
        truth = ex.targets.get(label, np.zeros(len(ex.roles)))
        labels[label] = how_well * (truth - 0.5) + rng.normal(size=len(ex.roles)) - 3.0
    return NetworkReading(labels, {}, dict(ex.session.ratings))


@pytest.fixture(scope="module")
def said(real: list[Example]) -> list[NetworkReading]:
    return [knows(ex, how_well=6.0) for ex in real]


@pytest.fixture(scope="module")
def fusion(real: list[Example], fitted: FittedRules, said: list[NetworkReading]) -> fuse.Fusion:
    return fuse.fit_fusion(real, fitted, said)


@pytest.fixture(scope="module")
def folds(examples: list[Example], real: list[Example], config: FitConfig) -> tuple[RulesFold, ...]:
    return fit_folds(real, [ex for ex in examples if not ex.is_real], config)


@pytest.fixture(scope="module")
def run(real: list[Example], said: list[NetworkReading]) -> RunPredictions:
    """The network's words as a run's file holds them."""
    logits = {}
    for ex, one in zip(real, said, strict=True):
        heads: dict[str, Any] = {
            head: np.zeros((len(ex.roles), len(names))) for head, names in columns().items()
        }
        heads["labels"] = np.stack([one.labels[name] for name in columns()["labels"]], axis=1)
        heads["ratings"] = np.array([one.ratings[name] for name in RATINGS])
        logits[ex.session.session_id] = heads
    return RunPredictions("a-run", {"seed": "7", "config_sha256": "ab"}, logits)


def log_odds(models: Any, ex: Example, rules: FittedRules, said: NetworkReading, label: str) -> Any:
    """What a second step makes of a session's turns, with the network among its features."""
    heard = np.ones(len(ex.roles), dtype=bool)
    rows = context_rows(own_logits(ex.read, rules.own, ex.roles, heard), ex.roles, heard, said)
    return models.context[label].value([rows[label][index] for index in ex.mine(label)])


@pytest.mark.parametrize("label", FITTED)
def test_fused_log_odds_are_a_sum_of_the_rules_and_the_networks(
    real: list[Example],
    fitted: FittedRules,
    said: list[NetworkReading],
    fusion: fuse.Fusion,
    label: str,
) -> None:
    parts, ours = [], []
    for ex, one in zip(real, said, strict=True):
        alone = log_odds(fitted, ex, fitted, one, label)
        network = one.labels[label][ex.mine(label)]
        parts.append(np.stack([alone, network, np.ones(len(alone))], axis=1))
        ours.append(log_odds(fusion, ex, fitted, one, label))
    x, y = np.concatenate(parts), np.concatenate(ours)
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    assert weights[0] > 0
    assert weights[1] > 0
    np.testing.assert_allclose(x @ weights, y, atol=1e-6)


def test_it_does_not_matter_how_loud_a_network_speaks(
    real: list[Example], fitted: FittedRules, said: list[NetworkReading], fusion: fuse.Fusion
) -> None:
    loud = [
        dataclasses.replace(one, labels={k: 3.0 * v + 1.0 for k, v in one.labels.items()})
        for one in said
    ]
    other = fuse.fit_fusion(real, fitted, loud)
    for ex, own, one, cry in zip(real, fitted.unseen_own, said, loud, strict=False):
        for label in FITTED:
            soft = fusion.scores(ex, own, one)[label]
            np.testing.assert_allclose(other.scores(ex, own, cry)[label], soft, atol=0.01)


@pytest.mark.parametrize("label", FITTED)
def test_fused_scores_keep_to_the_rate_of_the_labels(
    real: list[Example],
    fitted: FittedRules,
    said: list[NetworkReading],
    fusion: fuse.Fusion,
    label: str,
) -> None:
    # Fitted on the rules' unseen scores; on them the mean score is the share of labelled turns.
    logits = [
        fusion.scores(ex, own, one)[label][ex.mine(label)]
        for ex, own, one in zip(real, fitted.unseen_own, said, strict=False)
    ]
    truth = np.concatenate([ex.targets[label][ex.mine(label)] for ex in real])
    assert np.concatenate(logits).mean() == pytest.approx(truth.mean(), abs=0.002)


def test_a_network_that_knows_ranks_better_than_one_that_does_not(
    real: list[Example], folds: Sequence[RulesFold], said: list[NetworkReading]
) -> None:
    def apart(readings: Sequence[NetworkReading]) -> float:
        crossed = fuse.cross_fuse(real, folds, readings)
        scores = [
            (s.scores[label][ex.mine(label)], ex.targets[label][ex.mine(label)] > 0)
            for ex, s in zip(real, crossed, strict=True)
            for label in FITTED
        ]
        return float(np.mean([v[t].mean() - v[~t].mean() for v, t in scores if t.any()]))

    assert apart(said) > apart([knows(ex, how_well=0.0) for ex in real]) + 0.1


def test_a_folds_scores_do_not_hang_on_that_folds_own_labels(
    real: list[Example], folds: tuple[RulesFold, ...], said: list[NetworkReading]
) -> None:
    place = folds[0].held[0]
    changed = list(real)
    targets = {label: 1.0 - values for label, values in real[place].targets.items()}
    changed[place] = dataclasses.replace(real[place], targets=targets)
    one = fuse.cross_fuse(real, folds, said)[place]
    other = fuse.cross_fuse(changed, folds, said)[place]
    for label in FITTED:
        np.testing.assert_array_equal(one.scores[label], other.scores[label])
    assert one.ratings == other.ratings


def test_every_session_is_scored_once_by_its_own_fold(
    real: list[Example], folds: tuple[RulesFold, ...], said: list[NetworkReading]
) -> None:
    crossed = fuse.cross_fuse(real, folds, said)
    places = fold_places(real)
    assert sorted(place for fold in folds for place in fold.held) == list(range(len(places)))
    for ex, one in zip(real, crossed, strict=True):
        for label in FITTED:
            assert one.scores[label].shape == (len(ex.roles),)
            assert (one.scores[label][ex.roles != ROLE_OF[label]] == 0.0).all()
        assert set(one.ratings) == set(RATINGS)
        assert all(1.0 <= value <= 5.0 for value in one.ratings.values())


@pytest.fixture(scope="module")
def toml(
    examples: list[Example],
    real: list[Example],
    run: RunPredictions,
    folds: tuple[RulesFold, ...],
    config: FitConfig,
) -> str:
    extra = [ex for ex in examples if not ex.is_real]
    return fuse.fuse(real, extra, run, name="a-checkpoint", rules=folds, config=config)


def test_scoring_with_the_written_weights_is_the_fusion_that_was_fitted(
    toml: str,
    real: list[Example],
    fitted: FittedRules,
    fusion: fuse.Fusion,
    said: list[NetworkReading],
    rules: MarkerRules,
) -> None:
    weights = read_weights(toml.encode())
    assert weights.needs_network
    for ex, one in zip(real, said, strict=True):
        scored = score_session(ex.read, weights, rules.codebook, network=one)
        for label in FITTED:
            expected = sigmoid(log_odds(fusion, ex, fitted, one, label))
            np.testing.assert_allclose(scored.scores[label][ex.mine(label)], expected, atol=2e-3)
        ratings = fusion.rate(scored.scores, one)
        for name in RATINGS:
            assert scored.rating(name) == pytest.approx(ratings[name], abs=0.02)


def test_the_written_weights_say_what_they_were_made_from(toml: str) -> None:
    weights = read_weights(toml.encode())
    assert weights.name == "a-checkpoint"
    assert weights.source["command"] == "rupture fuse"
    assert weights.source["data"].startswith("7 real sessions; 2 invented ones")
    assert weights.source["run"] == "config_sha256 ab, seed 7"


def test_the_thresholds_are_set_on_scores_of_sessions_that_were_held_out(
    toml: str,
    real: list[Example],
    fitted: FittedRules,
    folds: tuple[RulesFold, ...],
    said: list[NetworkReading],
    config: FitConfig,
) -> None:
    crossed = [one.scores for one in fuse.cross_fuse(real, folds, said)]
    flag, repair = thresholds(real, dataclasses.replace(fitted, unseen=crossed), config)
    weights = read_weights(toml.encode())
    assert weights.flag_threshold == pytest.approx(flag, abs=1e-4)
    assert weights.repair_threshold == pytest.approx(repair, abs=1e-4)


def test_a_run_whose_predictions_are_missing_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import typer

    monkeypatch.setattr(fuse, "load_annomi", list)
    with pytest.raises(typer.Exit) as ended:
        fuse.command(tmp_path)
    assert ended.value.exit_code == 3
    assert "`rupture train` writes it" in capsys.readouterr().err
