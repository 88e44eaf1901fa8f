import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from detector import Detector
from detector.network import session_inputs
from detector.scoring import FITTED
from models import registry
from models.errors import ModelError
from models.runtime import open_network
from training import precision, publish
from training.corpus import TrainingDataError
from training.folds import fold_places
from training.precision import Cost, choose_precision, quantisation_cost
from training.predictions import FILE, N_FOLDS, columns, read_predictions
from training.publish import NotPublished, objections, sha256_of
from training.rules import Example

MakeRun = Callable[..., Path]


def figure(value: float | None) -> dict[str, float | None]:
    return {"value": value, "low": value, "high": value}


def scored(ap: float, error: float) -> dict[str, Any]:
    one = {
        "n": 100,
        "n_true": 9,
        "average_precision": figure(ap),
        "auroc": figure(0.9),
        "calibration_error": figure(error),
    }
    return {label: dict(one) for label in FITTED}


def record_of(sha256: str, *, ap: float = 0.5, error: float = 0.01) -> dict[str, Any]:
    """An evaluation of predictions of this sha256, whose rules have .4 on every label."""
    return {
        "how": {
            "n_sessions": 7,
            "n_invented": 2,
            "runs": [{"name": "run", "predictions_sha256": sha256}],
        },
        "turns": {"fused": scored(ap, error), "rules": scored(0.4, 0.0)},
        "differences": [beside_rules("fused", label, high=0.1) for label in FITTED],
    }


def beside_rules(one: str, label: str, *, high: float | None) -> dict[str, Any]:
    asked = {"one": one, "other": "rules", "label": label, "metric": "average_precision"}
    return {**asked, "value": 0.0, "low": -0.1, "high": high, "above_zero": 0.5}


def by_tiny_network(checkpoint: Path, examples: list[Example]) -> dict[str, Any]:
    """What a tiny network says of every session, as a run's predictions hold it."""
    network = open_network(checkpoint)
    arrays = {}
    for ex in examples:
        found = network.predict(*session_inputs(ex.read, network.spec.features))
        for head in columns():
            arrays[f"{ex.session.session_id}/{head}"] = getattr(found, head).astype(np.float32)
    return arrays


@pytest.fixture(scope="module")
def real(examples: list[Example]) -> list[Example]:
    return [ex for ex in examples if ex.is_real]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_checkpoint: Path,
    make_run: MakeRun,
    real: list[Example],
) -> Path:
    """A whole run: the same tiny network in every fold, its predictions, an evaluation."""
    run = tmp_path_factory.mktemp("runs") / "run"
    make_run(run, real, **by_tiny_network(tiny_checkpoint, real))
    for phase in (*(f"fold-{number}" for number in range(N_FOLDS)), "final"):
        (run / phase).mkdir()
        for name in ("model.safetensors", "config.json", "tokenizer.json", "spec.json"):
            shutil.copy(tiny_checkpoint / name, run / phase / name)
    sha256 = sha256_of(run / FILE)
    scoring = (tiny_checkpoint / "scoring.toml").read_text("utf-8")
    (run / "scoring.toml").write_text(f"# of {sha256}\n{scoring}", "utf-8")
    (run / "evaluation.json").write_text(json.dumps(record_of(sha256)), "utf-8")
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A whole run that a test may spoil."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of checkpoints, the one that is written to; no precision is measured."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setattr(publish, "choose_precision", lambda run, examples: ("int8", []))
    monkeypatch.setenv(registry.SETTING, str(folder))
    return folder


def publishing(run: Path, examples: list[Example], **more: Any) -> Path:
    def sessions() -> tuple[list[Example], list[Example]]:
        real = [ex for ex in examples if ex.is_real]
        return real, [ex for ex in examples if not ex.is_real]

    folder, _ = publish.publish(run, "tiny", run / "evaluation.json", sessions=sessions, **more)
    return folder


def test_better_than_the_rules_and_calibrated_may_be_published() -> None:
    assert objections(record_of("a"), "a") == []


def test_no_better_than_the_rules_over_all_labels_is_refused() -> None:
    (said,) = objections(record_of("a", ap=0.4, error=0.03), "a")
    assert said == "over all labels average precision is not above the rules'"


@pytest.mark.parametrize("label", FITTED)
def test_a_little_below_the_rules_on_one_label_is_noise_and_may_be_published(label: str) -> None:
    record = record_of("a")
    record["turns"]["fused"][label]["average_precision"] = figure(0.381)
    assert objections(record, "a") == []


@pytest.mark.parametrize("label", FITTED)
def test_a_little_below_the_rules_is_refused_where_the_bootstrap_says_that_it_is_worse(
    label: str,
) -> None:
    record = record_of("a")
    record["turns"]["fused"][label]["average_precision"] = figure(0.381)
    record["differences"][FITTED.index(label)] = beside_rules("fused", label, high=-0.001)
    (said,) = objections(record, "a")
    assert said == f"{label}: average precision 0.381 is below the rules' 0.400"


@pytest.mark.parametrize("label", FITTED)
def test_far_below_the_rules_on_one_label_is_refused(label: str) -> None:
    record = record_of("a")
    record["turns"]["fused"][label]["average_precision"] = figure(0.379)
    (said,) = objections(record, "a")
    assert said == f"{label}: average precision 0.379 is below the rules' 0.400"


@pytest.mark.parametrize("label", FITTED)
def test_badly_calibrated_on_one_label_is_refused(label: str) -> None:
    record = record_of("a")
    record["turns"]["fused"][label]["calibration_error"] = figure(0.031)
    (said,) = objections(record, "a")
    assert said == f"{label}: calibration error 0.031 is above 0.03"


def test_a_figure_that_is_not_defined_is_no_pass() -> None:
    record = record_of("a")
    record["turns"]["fused"]["withdrawal"]["calibration_error"] = figure(None)
    assert "not defined" in objections(record, "a")[0]


def test_an_evaluation_of_other_predictions_is_refused() -> None:
    assert "not of this run's predictions" in objections(record_of("a"), "b")[0]


@pytest.mark.parametrize("record", [{}, {"how": {}}, [], {"how": {"runs": ["a"]}, "turns": {}}])
def test_a_record_that_lacks_figures_is_refused(record: Any) -> None:
    assert "lacks a figure" in objections(record, "a")[0]


def test_of_two_evaluated_runs_the_one_that_is_published_is_judged() -> None:
    record = record_of("a", ap=0.5)
    record["how"]["runs"].append({"name": "second", "predictions_sha256": "b"})
    record["turns"] |= {"fused_1": scored(0.5, 0.0), "fused_2": scored(0.1, 0.0)}
    record["differences"] = [
        beside_rules(one, label, high=0.1) for one in ("fused_1", "fused_2") for label in FITTED
    ]
    assert objections(record, "a") == []
    assert len(objections(record, "b")) == len(FITTED) + 1


def test_reading_predictions_gives_the_hash_that_an_evaluation_carries(
    finished: Path, real: list[Example]
) -> None:
    about = read_predictions(finished, real).about
    assert about["predictions_sha256"] == sha256_of(finished / FILE)


def test_fp32_costs_nothing_on_held_out_sessions(finished: Path, real: list[Example]) -> None:
    cost = quantisation_cost(finished, real, "fp32")
    # The weights went through fp16 on their way into the folds' folders, as the predictions did.
    assert cost.worst == pytest.approx(0.0, abs=1e-3)
    assert set(cost.before) <= set(FITTED)


def test_a_fold_is_scored_by_the_network_that_did_not_see_it(
    run: Path, real: list[Example], make_checkpoint: Callable[..., Path]
) -> None:
    other = make_checkpoint("other", seed=7)
    held = [place for place, fold in enumerate(fold_places(real)) if fold == 0]
    before = precision._predict(run / "fold-0", real, held, "fp32")
    shutil.copy(other / "model.safetensors", run / "fold-0" / "model.safetensors")
    after = precision._predict(run / "fold-0", real, held, "fp32")
    assert set(after) == set(held)
    assert any((before[p]["withdrawal"] != after[p]["withdrawal"]).any() for p in held)


def test_the_cost_of_a_missing_fold_is_not_guessed(run: Path, real: list[Example]) -> None:
    shutil.rmtree(run / "fold-3")
    with pytest.raises(TrainingDataError, match="fold-3 is missing"):
        quantisation_cost(run, real, "int8")


@pytest.mark.parametrize(
    ("lost", "taken"),
    [
        ([0.004], "int8"),
        ([0.006, 0.005], "mixed"),
        ([0.1, 0.1, -0.2], "weights8"),
        ([0.1, 0.1, 0.1], "fp32"),
    ],
)
def test_the_fastest_precision_that_costs_little_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lost: list[float], taken: str
) -> None:
    left = iter(lost)

    def cost(run: Path, examples: list[Example], name: str) -> Cost:
        return Cost(name, dict.fromkeys(FITTED, 0.0), dict.fromkeys(FITTED, -next(left)))

    monkeypatch.setattr(precision, "quantisation_cost", cost)
    found, tried = choose_precision(tmp_path, [])
    assert (found, len(tried)) == (taken, len(lost))


def test_a_precision_costs_what_its_worst_label_loses() -> None:
    cost = Cost(
        "int8", {"withdrawal": 0.5, "resolution": 0.5}, {"withdrawal": 0.6, "resolution": 0.4}
    )
    assert cost.worst == pytest.approx(0.1)


@pytest.fixture(scope="module")
def published(
    finished: Path, examples: list[Example], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return publishing(finished, examples, into=tmp_path_factory.mktemp("root"))


def test_a_published_checkpoint_is_whole(published: Path) -> None:
    assert {path.name for path in published.iterdir()} == {
        "MODEL_CARD.md",
        "config.json",
        "encoder.onnx",
        "evaluation.json",
        "files.json",
        "model.safetensors",
        "model_card.xml",
        "scoring.toml",
        "session.onnx",
        "spec.json",
        "tokenizer.json",
    }
    registry.verify(published)


def test_a_published_checkpoint_leaves_nothing_else_behind(published: Path) -> None:
    assert {path.name for path in published.parent.iterdir()} == {"tiny", "registry.toml"}


def test_a_published_checkpoint_scores(
    published: Path, make_transcript: Any, dialogue: Any
) -> None:
    report = Detector.load(str(published)).analyze(make_transcript(*dialogue))
    assert len(report.turns) == len(dialogue)
    assert report.provenance.checkpoint == "tiny"


def test_the_published_evaluation_says_in_which_precision_and_at_what_cost(
    published: Path,
) -> None:
    serving = json.loads((published / "evaluation.json").read_text("utf-8"))["serving"]
    assert serving["precision"] in ("int8", "mixed", "weights8", "fp32")
    assert serving["cost"][0]["precision"] == "int8"
    assert set(serving["cost"][0]["before"]) <= set(FITTED)


def test_published_weights_are_for_fine_tuning_and_in_fp16(published: Path) -> None:
    import torch

    from models.network import RuptureModel

    weights = {
        one.dtype for one in RuptureModel.from_pretrained(published, dtype="auto").parameters()
    }
    assert weights == {torch.float16}


def test_a_published_checkpoint_can_be_used_by_name(
    run: Path, root: Path, examples: list[Example]
) -> None:
    publishing(run, examples)
    registry.use("tiny")
    assert registry.load_checkpoint().name == "tiny"


def test_a_name_that_is_taken_is_refused_and_nothing_is_changed(
    run: Path, root: Path, examples: list[Example]
) -> None:
    (root / "tiny").mkdir()
    with pytest.raises(NotPublished, match="take another name"):
        publishing(run, examples)
    assert [path.name for path in root.iterdir()] == ["tiny"]


def test_a_checkpoint_is_replaced_whole_when_asked(
    run: Path, root: Path, examples: list[Example]
) -> None:
    (root / "tiny").mkdir()
    (root / "tiny" / "left over").touch()
    registry.verify(publishing(run, examples, replaces=True))
    assert {path.name for path in root.iterdir()} == {"tiny", "registry.toml"}


def test_what_fails_at_the_last_step_brings_the_one_before_back(
    run: Path, root: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any, **more: Any) -> None:
        raise ModelError("the disk is full")

    (root / "tiny").mkdir()
    (root / "tiny" / "before").touch()
    monkeypatch.setattr(registry, "register", fails)
    with pytest.raises(ModelError, match="disk"):
        publishing(run, examples, replaces=True)
    assert [str(path.relative_to(root)) for path in root.rglob("*")] == ["tiny", "tiny/before"]


@pytest.mark.parametrize("step", ["seal", "register"])
def test_nothing_is_half_published(
    run: Path, root: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def stops(*given: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, step, stops)
    with pytest.raises(KeyboardInterrupt):
        publishing(run, examples)
    assert list(root.iterdir()) == []


def test_a_run_without_a_final_network_is_refused_before_anything_is_written(
    run: Path, root: Path, examples: list[Example]
) -> None:
    shutil.rmtree(run / "final")
    with pytest.raises(NotPublished, match="final"):
        publishing(run, examples)
    assert list(root.iterdir()) == []


def refused(run: Path, *more: str) -> str:
    """What the command says on refusing."""
    import typer

    app = typer.Typer()
    app.command()(publish.command)
    result = CliRunner().invoke(app, [str(run), "--name", "tiny", *more])
    assert result.exit_code == 3
    return " ".join(result.stderr.split())


def test_a_run_that_was_not_evaluated_is_refused_with_what_to_do(run: Path, root: Path) -> None:
    (run / "evaluation.json").unlink()
    assert "rupture evaluate --run" in refused(run)
    assert list(root.iterdir()) == []


def test_a_run_whose_evaluation_has_not_passed_is_refused_with_every_reason(
    run: Path, root: Path
) -> None:
    record = record_of(sha256_of(run / FILE), ap=0.1, error=0.2)
    (run / "evaluation.json").write_text(json.dumps(record), "utf-8")
    said = refused(run)
    assert all(f"{label}: average precision" in said for label in FITTED)
    assert all(f"{label}: calibration error" in said for label in FITTED)
    assert list(root.iterdir()) == []


def test_predictions_that_changed_after_the_evaluation_are_refused(
    run: Path, root: Path, make_run: MakeRun, real: list[Example]
) -> None:
    make_run(run, real, seed=3)
    assert "not of this run's predictions" in refused(run)


def test_a_run_without_predictions_is_refused(run: Path, root: Path) -> None:
    (run / FILE).unlink()
    assert "predictions.safetensors is missing" in refused(run)


def test_an_evaluation_that_is_not_json_is_refused(run: Path, root: Path) -> None:
    (run / "evaluation.json").write_text("{", "utf-8")
    assert "is not JSON" in refused(run)


def test_scoring_fitted_on_other_predictions_is_fitted_anew(
    run: Path, real: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "fuse", lambda *given, **more: "fitted anew")
    assert publish._scoring(run, "tiny", real, []) != "fitted anew"
    (run / "scoring.toml").write_text("# of other predictions\n", "utf-8")
    assert publish._scoring(run, "tiny", real, []) == "fitted anew"
