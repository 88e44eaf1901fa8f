import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from detector.markers import MarkerHit, MarkerRules
from detector.scoring import FITTED, own_logits, score_session
from detector.transcript import Role
from detector.weights import read_weights
from training import rules as rules_module
from training.corpus import CueLabel, LabelledSession, load_synthetic
from training.evaluate import auroc
from training.rules import (
    Example,
    FitConfig,
    FittedRules,
    as_toml,
    fit_rules,
    fold_of,
    pattern_precision,
    pillar_shares,
    read_examples,
    thresholds,
)

CONFIG = FitConfig(n_folds=3, least_seen=2)


def as_real(session: LabelledSession, **more: Any) -> LabelledSession:
    """An invented session that passes for a real one, so that the real ones' rules apply."""
    return dataclasses.replace(session, source="annomi", **more)


@pytest.fixture(scope="module")
def examples(rules: MarkerRules) -> list[Example]:
    """Seven sessions that pass for real and two invented ones."""
    sessions = load_synthetic()[:9]
    return read_examples([*map(as_real, sessions[:7]), *sessions[7:]], rules)


@pytest.fixture(scope="module")
def fitted(examples: list[Example]) -> FittedRules:
    return fit_rules(examples, CONFIG)


@pytest.fixture(scope="module")
def toml(examples: list[Example], fitted: FittedRules) -> str:
    return as_toml(fitted, examples, CONFIG, {"data": "a test", "date": "today"})


def joined(examples: list[Example], predicted: list[Any], label: str) -> tuple[Any, Any]:
    truth = np.concatenate([ex.targets[label][ex.mine(label)] for ex in examples])
    return truth, np.concatenate(
        [found[label][ex.mine(label)] for ex, found in zip(examples, predicted, strict=True)]
    )


def test_targets_are_the_kinds_of_the_labels_of_each_turn(examples: list[Example]) -> None:
    for ex in examples:
        for turn in ex.read.turns:
            for label in FITTED:
                assert ex.targets[label][turn.index] == ex.session.carries(turn, [label])


def test_only_the_right_speakers_turns_can_carry_a_label(examples: list[Example]) -> None:
    for ex in examples:
        for label, role in (("withdrawal", Role.CLIENT), ("resolution", Role.THERAPIST)):
            mine = set(ex.mine(label))
            assert mine == {turn.index for turn in ex.read.turns if turn.role is role}


def test_a_turn_is_unsure_where_one_of_its_cues_is(rules: MarkerRules) -> None:
    session = load_synthetic()[0]
    cue_id = next(iter(session.labels))
    unsure = {**session.labels, cue_id: dataclasses.replace(session.labels[cue_id], sure=False)}
    (ex,) = read_examples([dataclasses.replace(session, labels=unsure)], rules)
    doubted = [turn.cue_ids for turn in ex.read.turns if not ex.sure[turn.index]]
    assert len(doubted) == 1
    assert cue_id in doubted[0]


def test_the_first_step_learns_its_own_sessions(
    examples: list[Example], fitted: FittedRules
) -> None:
    heard = [np.ones(len(ex.roles), dtype=bool) for ex in examples]
    logits = [
        own_logits(ex.read, fitted.own, ex.roles, ears)
        for ex, ears in zip(examples, heard, strict=True)
    ]
    for label in FITTED:
        assert auroc(*joined(examples, logits, label)) > 0.8, label


def test_every_prediction_is_a_probability_and_zero_where_it_is_not_the_speakers(
    examples: list[Example], fitted: FittedRules
) -> None:
    for ex in examples:
        for label, scores in fitted.predict(ex).items():
            mine = ex.mine(label)
            assert ((scores[mine] > 0) & (scores[mine] < 1)).all()
            assert not np.delete(scores, mine).any()


def test_every_weight_is_finite(fitted: FittedRules) -> None:
    for step in (fitted.own, fitted.context, fitted.ratings):
        for model in step.values():
            assert math.isfinite(model.intercept)
            assert np.isfinite(model.weights).all()
            assert np.isfinite(model.means).all()
            assert len(model.names) == len(model.weights) == len(model.means)


def test_a_feature_of_too_few_sessions_gets_no_weight(
    examples: list[Example], fitted: FittedRules
) -> None:
    for name in fitted.own["withdrawal"].names:
        seen = sum(
            any(ex.read.features[i].get(name) for i in ex.mine("withdrawal")) for ex in examples
        )
        assert seen >= CONFIG.least_seen, name


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


def with_mark(ex: Example) -> Example:
    """The session with a feature that only its group has: a model that weighs it has seen it."""
    features = tuple({**row, f"group.{ex.session.group}": 1.0} for row in ex.read.features)
    return dataclasses.replace(ex, read=dataclasses.replace(ex.read, features=features))


def test_the_second_step_sees_only_scores_of_models_that_did_not_see_the_session(
    examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = [with_mark(ex) for ex in with_groups(examples[:6], "aabbcc")]
    group_of = {id(ex.read): ex.session.group for ex in marked}
    checked: list[str] = []
    scores = rules_module.own_logits

    def score(read: Any, own: Any, *more: Any) -> Any:
        mine = f"group.{group_of[id(read)]}"
        for model in own.values():
            seen = {name for name in model.names if name.startswith("group.")}
            assert seen == {"group.a", "group.b", "group.c"} - {mine}
        checked.append(mine)
        return scores(read, own, *more)

    monkeypatch.setattr(rules_module, "own_logits", score)
    fit_rules(marked, FitConfig(n_folds=3, least_seen=1))
    assert sorted(checked) == [f"group.{group}" for group in "aabbcc"]


def test_the_second_step_keeps_the_labels_own_rate(rules: MarkerRules) -> None:
    sessions = []
    for session in load_synthetic()[:6]:
        doubted = {
            key: dataclasses.replace(label, sure=False) for key, label in session.labels.items()
        }
        sessions.append(as_real(session, labels=doubted))
    examples = read_examples(sessions, rules)
    unseen = list(fit_rules(examples, CONFIG).unseen)
    for label in FITTED:
        truth, scores = joined(examples, unseen, label)
        assert scores.mean() == pytest.approx(truth.mean(), abs=2e-3), label


def with_groups(examples: list[Example], groups: str) -> list[Example]:
    return [
        dataclasses.replace(ex, session=dataclasses.replace(ex.session, group=group))
        for ex, group in zip(examples, groups, strict=True)
    ]


def test_sessions_of_one_group_share_a_fold(examples: list[Example]) -> None:
    folds = fold_of(with_groups(examples, "aabbccdde"), 3, seed=0)
    assert folds[0:8:2] == folds[1:8:2]
    assert set(folds) == {0, 1, 2}
    assert folds == fold_of(with_groups(examples, "aabbccdde"), 3, seed=0)


def test_the_fold_of_a_group_does_not_depend_on_the_order(examples: list[Example]) -> None:
    grouped = with_groups(examples, "aabbccdde")
    assert fold_of(grouped[::-1], 3, seed=4) == fold_of(grouped, 3, seed=4)[::-1]


def test_precision_is_a_share_and_strengths_claim_nothing(
    examples: list[Example], rules: MarkerRules
) -> None:
    shares = pattern_precision(examples, CONFIG)
    assert all(0.0 < share < 1.0 for share in shares.values())
    known = rules.codebook
    strengths = [p.id for p in known.patterns.values() if p.marker in known.of_kind("strength")]
    assert all(shares[name] == 0.5 for name in strengths)


def test_precision_is_the_confirmed_share_drawn_to_that_of_the_kind(
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
        return pattern_precision([made], CONFIG)["denial.made_up"]

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
    examples: list[Example], fitted: FittedRules
) -> None:
    few, _ = thresholds(examples, fitted, dataclasses.replace(CONFIG, flags_an_hour=1.0))
    many, repair = thresholds(examples, fitted, dataclasses.replace(CONFIG, flags_an_hour=40.0))
    assert 0.0 < many < few <= 1.0
    assert 0.0 < repair < 1.0


def test_the_repair_threshold_passes_as_many_turns_as_the_labels_name(
    examples: list[Example], fitted: FittedRules
) -> None:
    _, repair = thresholds(examples, fitted, CONFIG)
    real = [(ex, s) for ex, s in zip(examples, fitted.unseen, strict=True) if ex.is_real]
    named = sum(ex.targets["resolution"].sum() for ex, _ in real)
    passed = sum((s["resolution"][ex.mine("resolution")] >= repair).sum() for ex, s in real)
    assert passed == named


def test_ratings_are_learned_from_real_sessions_and_the_fit_is_the_same_each_time(
    examples: list[Example], fitted: FittedRules
) -> None:
    assert set(fitted.ratings) == {"withdrawal", "confrontation", "resolution", "contribution"}
    unrated = [
        ex
        if ex.is_real
        else dataclasses.replace(ex, session=dataclasses.replace(ex.session, ratings={}))
        for ex in examples
    ]
    again = fit_rules(unrated, CONFIG)
    for step in ("own", "context", "ratings"):
        for label, model in getattr(fitted, step).items():
            same = getattr(again, step)[label]
            np.testing.assert_array_equal(same.weights, model.weights)
