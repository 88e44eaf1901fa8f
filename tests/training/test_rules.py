import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from detector.markers import MarkerRules
from detector.scoring import FITTED, own_logits
from detector.transcript import Role
from training import rules as rules_module
from training.corpus import LabelledSession, load_synthetic
from training.metrics import auroc, measure
from training.rules import Example, FitConfig, FittedRules, fit_rules, fold_of, read_examples


def as_real(session: LabelledSession, **more: Any) -> LabelledSession:
    """An invented session that passes for a real one, so that the real ones' rules apply."""
    return dataclasses.replace(session, source="annomi", **more)


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
        assert measure(auroc, *joined(examples, logits, label)) > 0.8, label


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
    config: FitConfig, examples: list[Example], fitted: FittedRules
) -> None:
    for name in fitted.own["withdrawal"].names:
        seen = sum(
            any(ex.read.features[i].get(name) for i in ex.mine("withdrawal")) for ex in examples
        )
        assert seen >= config.least_seen, name


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


def test_the_second_step_keeps_the_labels_own_rate(config: FitConfig, rules: MarkerRules) -> None:
    sessions = []
    for session in load_synthetic()[:6]:
        doubted = {
            key: dataclasses.replace(label, sure=False) for key, label in session.labels.items()
        }
        sessions.append(as_real(session, labels=doubted))
    examples = read_examples(sessions, rules)
    unseen = list(fit_rules(examples, config).unseen)
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


def test_ratings_are_learned_from_real_sessions_and_the_fit_is_the_same_each_time(
    config: FitConfig, examples: list[Example], fitted: FittedRules
) -> None:
    assert set(fitted.ratings) == {"withdrawal", "confrontation", "resolution", "contribution"}
    unrated = [
        ex
        if ex.is_real
        else dataclasses.replace(ex, session=dataclasses.replace(ex.session, ratings={}))
        for ex in examples
    ]
    again = fit_rules(unrated, config)
    for step in ("own", "context", "ratings"):
        for label, model in getattr(fitted, step).items():
            same = getattr(again, step)[label]
            np.testing.assert_array_equal(same.weights, model.weights)
