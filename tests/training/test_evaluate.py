import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from training import evaluate, folds
from training.corpus import LabelledSession, TrainingDataError
from training.evaluate import Sessions, all_scorers, questions
from training.evaluation import Scorer
from training.floors import fit_length
from training.folds import RulesFold
from training.predictions import read_predictions
from training.rules import Example, FitConfig

MakeRun = Callable[..., Path]

RULES_ONLY = ["length", "tfidf", "rules_without_words", "rules"]


@pytest.fixture(scope="module")
def fitted_folds(examples: list[Example]) -> tuple[RulesFold, ...]:
    # Few features: the fit's time goes with their cube.
    config = FitConfig(n_folds=3, least_seen=5, least_seen_word=99)
    return folds.fit_folds(examples[:7], examples[7:], config)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, fitted_folds: tuple[RulesFold, ...]) -> None:
    """The rules are fitted once for all tests; no encoder of the machine's is looked at."""
    monkeypatch.delenv("RUPTURE_BASE", raising=False)
    monkeypatch.setattr(evaluate, "fit_folds", lambda *_: fitted_folds)
    monkeypatch.setattr(evaluate, "fit_without_words", fit_length)


@pytest.fixture
def sessions(examples: list[Example]) -> Sessions:
    return Sessions(examples[:7], examples[7:])


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch, examples: list[Example]) -> None:
    """The command reads our few sessions in place of AnnoMI."""

    def load(sessions: Sequence[Example]) -> Callable[[], list[LabelledSession]]:
        return lambda: [ex.session for ex in sessions]

    monkeypatch.setattr(evaluate, "load_annomi", load(examples[:7]))
    monkeypatch.setattr(evaluate, "load_synthetic", load(examples[7:]))
    monkeypatch.setattr(evaluate, "session_facts", dict)


def run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(evaluate.command)
    return CliRunner().invoke(app, list(arguments))


def test_without_a_run_the_rules_stand_beside_the_floors(sessions: Sessions) -> None:
    found = list(all_scorers(sessions))
    assert [scorer.id for scorer in found] == RULES_ONLY
    for scorer in found:
        assert len(scorer.scores) == len(sessions.real)
        for ex, scores in zip(sessions.real, scorer.scores, strict=True):
            assert {values.shape for values in scores.values()} == {(len(ex.roles),)}
    assert [scorer.ratings is not None for scorer in found] == [False, False, False, True]
    assert [scorer.markers is not None for scorer in found] == [False, False, False, True]


def test_a_run_stands_alone_and_with_the_rules(
    tmp_path: Path, make_run: MakeRun, sessions: Sessions
) -> None:
    mine = read_predictions(make_run(tmp_path, sessions.real), sessions.real)
    found = {scorer.id: scorer for scorer in all_scorers(sessions, [mine], plain=mine)}
    assert list(found) == ["length", "tfidf", "plain", *RULES_ONLY[2:], "network", "fused"]
    place, ex = 2, sessions.real[2]
    network = found["network"].scores[place]["withdrawal"]
    assert np.array_equal(network, mine.scores(ex)["withdrawal"])
    fused, rules = (found[i].scores[place]["withdrawal"] for i in ("fused", "rules"))
    assert not np.allclose(fused, rules)
    assert not np.allclose(fused, network)
    assert found["fused"].ratings is not None
    assert all(1 <= value <= 5 for value in found["fused"].ratings[place].values())


def test_two_runs_have_numbers(tmp_path: Path, make_run: MakeRun, sessions: Sessions) -> None:
    runs = [
        read_predictions(make_run(tmp_path / name, sessions.real, seed=seed), sessions.real)
        for seed, name in enumerate("ab")
    ]
    ids = [scorer.id for scorer in all_scorers(sessions, runs)]
    assert ids == [*RULES_ONLY, "network_1", "fused_1", "network_2", "fused_2"]


def asked(*ids: str) -> set[tuple[str, str]]:
    found = questions([Scorer(i, i, "", ()) for i in ids])
    return {(q.one, q.other) for q in found if q.one in ids and q.other in ids}


def test_the_rules_are_compared_with_words_alone() -> None:
    assert asked(*RULES_ONLY) == {("rules", "rules_without_words"), ("rules", "tfidf")}


def test_the_network_is_compared_with_every_baseline_and_the_whole_with_its_parts() -> None:
    found = asked("tfidf", "frozen", "plain", "rules", "network", "fused")
    assert found >= {("network", one) for one in ("rules", "plain", "frozen", "tfidf")}
    assert found >= {("fused", "network"), ("fused", "rules")}


def test_two_runs_are_compared_with_each_other_and_each_whole_with_its_own_part() -> None:
    found = asked("rules", "network_1", "fused_1", "network_2", "fused_2")
    assert found >= {("network_2", "network_1"), ("fused_2", "fused_1")}
    assert ("fused_1", "network_1") in found
    assert ("fused_1", "network_2") not in found


@pytest.mark.usefixtures("corpus")
def test_the_command_writes_text_json_and_page_and_nothing_that_was_said(
    tmp_path: Path, examples: list[Example]
) -> None:
    paths = [tmp_path / name for name in ("evaluation.md", "evaluation.json", "evaluation.html")]
    result = run("--out", str(paths[0]), "--json", str(paths[1]), "--html", str(paths[2]))
    assert result.exit_code == 0, result.output
    text, record, page = (path.read_text("utf-8") for path in paths)
    assert [one["id"] for one in json.loads(record)["scorers"]] == RULES_ONLY
    assert "network (--run)" in json.loads(record)["how"]["left_out"]
    assert "not from clinicians" in text
    assert page.startswith("<!doctype html>")
    said = [t.text for ex in examples for t in ex.read.turns if len(t.text.split()) > 5]
    assert len(said) > 50
    written = result.output + text + record + page
    assert [place for place, words in enumerate(said) if words in written] == []


@pytest.mark.usefixtures("corpus")
def test_a_run_that_is_not_there_ends_with_one_line_and_code_3(tmp_path: Path) -> None:
    result = run("--run", str(tmp_path / "nothing"))
    assert result.exit_code == 3
    assert "predictions.safetensors: not there" in result.output


@pytest.mark.usefixtures("corpus")
def test_an_output_folder_that_is_not_there_is_named_before_the_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "all_scorers", lambda *_, **__: pytest.fail("work began"))
    result = run("--html", str(tmp_path / "nothing" / "page.html"))
    assert result.exit_code == 3
    assert "page.html: no such folder" in result.output


def test_a_runs_base_encoder_is_the_one_it_names(
    tmp_path: Path, make_run: MakeRun, examples: list[Example]
) -> None:
    assert evaluate._base_of([make_run(tmp_path, examples)]) == "tiny"
    assert evaluate._base_of([]) is None


@pytest.mark.parametrize("content", [None, "not toml [", "[encoder]\n"])
def test_a_run_that_names_no_encoder_says_which_option_does(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "config.toml").write_text(content)
    with pytest.raises(TrainingDataError, match="--base"):
        evaluate._base_of([tmp_path])


def test_the_module_says_whose_labels_these_are() -> None:
    said = " ".join((evaluate.__doc__ or "").split())
    assert "language model" in said
    assert "not from clinicians" in said
