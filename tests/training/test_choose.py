import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from training import choose, folds
from training.corpus import TrainingDataError
from training.pairs import precisions
from training.predictions import FOLD_SEED
from training.rules import Example, FitConfig

MakeRun = Callable[..., Path]

CHOICE = {"fold_seed": str(choose.CHOICE_SEED)}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few features: the fit's time goes with their cube."""
    config = FitConfig(n_folds=3, least_seen=5, least_seen_word=99)
    monkeypatch.setattr(
        choose, "fit_folds", lambda real, extra, *, seed: folds.fit_folds(real, extra, config)
    )


def test_each_run_stands_alone_and_with_the_rules(
    tmp_path: Path, make_run: MakeRun, examples: list[Example]
) -> None:
    real, invented = examples[:7], examples[7:]
    runs = [
        make_run(tmp_path / name, real, about=CHOICE, seed=seed)
        for seed, name in ((0, "a"), (1, "b"))
    ]
    found = dict(choose.compare(runs, real, invented))
    whose = ("a, alone", "a, with the rules", "b, alone", "b, with the rules")
    assert tuple(found) == ("the rules", *whose)
    assert found["a, alone"] != found["b, alone"]
    assert found["a, alone"] != found["a, with the rules"]


def test_average_precision_is_one_where_every_labelled_turn_stands_first(
    examples: list[Example],
) -> None:
    right = precisions(examples[:7], [ex.targets for ex in examples[:7]])
    wrong = precisions(
        examples[:7], [{k: 1 - v for k, v in ex.targets.items()} for ex in examples[:7]]
    )
    assert set(right.values()) == {1.0}
    assert max(wrong.values()) < 0.5


def test_a_run_on_the_reported_folds_is_refused(
    tmp_path: Path, make_run: MakeRun, examples: list[Example]
) -> None:
    run = make_run(tmp_path, examples[:7], about={"fold_seed": str(FOLD_SEED)})
    with pytest.raises(TrainingDataError, match="fold_seed"):
        list(choose.compare([run], examples[:7], examples[7:]))


def test_the_command_looks_at_the_train_split_alone(
    tmp_path: Path, make_run: MakeRun, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[Any] = [ex.session for ex in examples[:7]]
    sessions[0] = dataclasses.replace(sessions[0], split="dev")
    monkeypatch.setattr(choose, "load_annomi", lambda: sessions)
    monkeypatch.setattr(choose, "load_synthetic", lambda: [ex.session for ex in examples[7:]])
    train = [ex for place, ex in enumerate(examples[:7]) if place != 0]
    app = typer.Typer()
    app.command()(choose.command)
    result = CliRunner().invoke(app, [str(make_run(tmp_path / "mine", train, about=CHOICE))])
    assert result.exit_code == 0, result.output
    assert "| 6 sessions | withdrawal |" in result.output
    assert "| mine, with the rules | " in result.output
