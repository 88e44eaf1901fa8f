"""A whole training run in small: what it writes, that it goes on after a kill, what it refuses."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from typer.testing import CliRunner

from models.network import RuptureModel
from models.spec import ModelSpec, read_spec
from training import phases
from training.config import ConfigError, TrainConfig, as_toml, read_config
from training.corpus import TrainingDataError
from training.encoders import open_reader
from training.phases import last_checkpoint
from training.train import command, train

LINES = (
    ("therapist", "How was the week?", []),
    ("client", "Fine, I guess.", ["minimal_response"]),
    ("therapist", "You have to do the exercises.", ["contributes"]),
    ("client", "You are not listening to me.", ["complaint_therapist"]),
    ("therapist", "I am sorry, I pushed you.", ["acknowledges_contribution"]),
    ("client", "I felt hurt when you said it.", ["repair_disclosure"]),
)
HEADS = {"labels": 5, "markers": 15, "strategies": 9, "pillars": 3, "intensity": 1}


def session(number: int, *, lines: Any = LINES) -> dict[str, Any]:
    turns = [
        {"role": role, "text": f"{text} {number}", "markers": markers, "start_s": 4.0 * place}
        for place, (role, text, markers) in enumerate(lines)
    ]
    about = {"session_id": f"s{number}", "client": f"c{number}", "ratings": {"withdrawal": 2}}
    return {**about, "turns": turns}


def written(path: Path, *records: Any) -> str:
    path.write_text("\n".join(map(json.dumps, records)) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def base(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_checkpoint: Path,
    make_spec: Callable[..., ModelSpec],
    make_model: Callable[..., RuptureModel],
) -> str:
    """The folder of a tiny encoder with random weights."""
    folder = tmp_path_factory.mktemp("base")
    make_model(make_spec()).encoder.base.save_pretrained(folder)
    shutil.copy(tiny_checkpoint / "tokenizer.json", folder)
    return str(folder)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """Four sessions in two folds, two epochs, nothing invented."""
    path = tmp_path_factory.mktemp("talk") / "talk.jsonl"
    export = written(path, *map(session, range(4)))
    plain = TrainConfig(n_folds=2)
    return replace(
        plain,
        data={"annomi": False, "synthetic": False, "exports": (export,)},
        encoder={"max_tokens": 48, "context_tokens": 8, "frozen_layers": 1},
        network={"session_size": 8, "feature_size": 4, "n_members": 2},
        schedule={
            "pretrain_epochs": 0,
            "epochs": 2,
            "sessions_per_batch": 1,
            "bf16": False,
        },
    )


def replace(config: TrainConfig, **sections: Any) -> TrainConfig:
    """The configuration with keys of its sections changed."""
    changed = {
        name: dataclasses.replace(getattr(config, name), **value)
        if isinstance(value, dict)
        else value
        for name, value in sections.items()
    }
    return dataclasses.replace(config, **changed)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, config: TrainConfig, base: str) -> Path:
    """A finished run's folder."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(config, folder, base=base)
    return folder


def test_a_run_leaves_every_fold_and_the_final_network(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        "config.toml",
        "environment.json",
        "final",
        "fold-0",
        "fold-1",
        "log.csv",
        "predictions.safetensors",
    }
    needed = {"model.safetensors", "config.json", "tokenizer.json", "spec.json"}
    assert {path.name for path in (run / "final").iterdir()} == needed


def test_the_folder_says_how_it_was_made(run: Path, config: TrainConfig) -> None:
    assert read_config(run / "config.toml") == config
    assert len(json.loads((run / "environment.json").read_text())["base_sha256"]) == 64


def test_the_log_names_phases_epochs_and_losses(run: Path) -> None:
    head, *rows = [line.split(",") for line in (run / "log.csv").read_text().splitlines()]
    assert head[:5] == ["time", "phase", "epoch", "step", "loss"]
    assert [row[1] for row in rows] == ["fold-0"] * 2 + ["fold-1"] * 2 + ["final"] * 2
    assert all(float(row[4]) > 0 for row in rows)


def test_every_real_session_has_logits_by_a_network_that_did_not_see_it(run: Path) -> None:
    found = load_file(run / "predictions.safetensors")
    for number in range(4):
        shapes = {head: found[f"s{number}/{head}"].shape for head in HEADS}
        assert shapes == {head: (len(LINES), width) for head, width in HEADS.items()}
        assert found[f"s{number}/ratings"].shape == (4,)
    held = [set(load_file(run / f"fold-{k}" / "predictions.safetensors")) for k in (0, 1)]
    assert not held[0] & held[1]
    assert held[0] | held[1] == set(found)


def test_the_predictions_say_which_run_they_are_of(run: Path) -> None:
    with safe_open(run / "predictions.safetensors", "np") as file:
        about = file.metadata()
    assert {key: about[key] for key in ("seed", "n_folds", "fold_seed")} == {
        "seed": "0",
        "n_folds": "2",
        "fold_seed": "20",
    }
    assert len(about["config_sha256"]) == 64


def test_a_fold_can_be_loaded_and_gives_the_logits_that_were_written(run: Path) -> None:
    model = RuptureModel.from_pretrained(run / "fold-0")
    assert model.config.n_members == 2
    spec = read_spec((run / "fold-0" / "spec.json").read_text())
    assert len(spec.features) == model.config.n_features


def test_training_moves_what_is_not_frozen_and_nothing_else(run: Path, base: str) -> None:
    before = load_file(Path(base) / "model.safetensors")
    after = load_file(run / "final" / "model.safetensors")
    moved = {
        name
        for name, weight in before.items()
        if not np.array_equal(weight, after[f"encoder.base.{name}"])
    }
    assert any(name.startswith("encoder.layer.1.") for name in moved)
    assert not [n for n in moved if n.startswith(("embeddings.", "encoder.layer.0."))]


def test_a_folder_that_holds_a_run_is_not_overwritten(
    run: Path, config: TrainConfig, base: str
) -> None:
    with pytest.raises(ConfigError, match="--resume"):
        train(config, run, base=base)


def test_a_finished_run_is_resumed_without_training(
    run: Path, config: TrainConfig, base: str
) -> None:
    log = (run / "log.csv").read_bytes()
    train(config, run, base=base, resume=True)
    assert (run / "log.csv").read_bytes() == log


def test_a_run_goes_on_only_as_it_began(run: Path, config: TrainConfig, base: str) -> None:
    with pytest.raises(ConfigError, match=r"schedule\.epochs"):
        train(replace(config, schedule={"epochs": 3}), run, base=base, resume=True)


def test_a_run_does_not_go_on_with_other_sessions(
    tmp_path: Path, config: TrainConfig, base: str
) -> None:
    path = tmp_path / "talk.jsonl"
    written(path, *map(session, range(4)))
    changed = replace(config, n_folds=0, data={"exports": (str(path),)}, schedule={"epochs": 1})
    train(changed, tmp_path / "run", base=base)
    written(path, *map(session, range(3)))
    with pytest.raises(ConfigError, match="begun on other sessions, labels or rules"):
        train(changed, tmp_path / "run", base=base, resume=True)


class Killed(BaseException):
    """Ends a run as no error handler expects it."""


def test_a_run_that_was_cut_off_ends_with_the_same_weights(
    tmp_path: Path, run: Path, config: TrainConfig, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        if self.phase.name == "fold-1" and state.global_step == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(phases._Watch, "on_step_end", cut_off)
        with pytest.raises(Killed):
            train(config, tmp_path / "run", base=base)
    done = (tmp_path / "run" / "fold-0" / "model.safetensors").stat().st_mtime_ns
    assert last_checkpoint(tmp_path / "run" / ".work" / "fold-1") is not None
    train(config, tmp_path / "run", base=base, resume=True)
    assert (tmp_path / "run" / "fold-0" / "model.safetensors").stat().st_mtime_ns == done
    for phase in ("fold-0", "fold-1", "final"):
        weights = load_file(tmp_path / "run" / phase / "model.safetensors")
        for name, weight in load_file(run / phase / "model.safetensors").items():
            np.testing.assert_allclose(weights[name], weight, atol=1e-6, err_msg=name)
    assert not (tmp_path / "run" / ".work").exists()


def test_a_killed_process_is_taken_up_where_it_was(
    tmp_path: Path, config: TrainConfig, base: str
) -> None:
    longer = replace(config, n_folds=0, schedule={"epochs": 12})
    path = tmp_path / "config.toml"
    path.write_text(as_toml(longer), encoding="utf-8")
    begin = ["-m", "training.train", str(path), "--out", str(tmp_path / "run"), "--base", base]
    process = subprocess.Popen([sys.executable, *begin], stderr=subprocess.DEVNULL)
    work = tmp_path / "run" / ".work" / "final"
    while process.poll() is None and last_checkpoint(work) is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    at = last_checkpoint(work)
    assert at is not None
    train(longer, tmp_path / "run", base=base, resume=True)
    steps = [int(r.split(",")[3]) for r in (tmp_path / "run" / "log.csv").read_text().split()[1:]]
    assert steps[-1] == 48
    assert steps.count(4) == 1, "what the checkpoint held was done again"


def test_a_checkpoint_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    for name, state in (("checkpoint-2", '{"global_step": 2}'), ("checkpoint-4", '{"global_')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-6").mkdir()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")


def test_invented_sessions_are_learned_from_first_and_once(
    tmp_path: Path, config: TrainConfig, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import sources
    from training.corpus import load_synthetic

    monkeypatch.setattr(sources, "load_synthetic", lambda: load_synthetic()[:2])
    changed = replace(
        config,
        n_folds=2,
        final=False,
        data={"synthetic": True},
        schedule={"pretrain_epochs": 1, "epochs": 1, "invented_per_epoch": 1, "most_turns": 8},
        augment={"copies": 1, "share": 1.0},
    )
    train(changed, tmp_path / "run", base=base)
    rows = [line.split(",") for line in (tmp_path / "run" / "log.csv").read_text().splitlines()]
    assert [(row[1], row[3]) for row in rows[1:]] == [
        ("pretrained", "2"),
        ("fold-0", "3"),
        ("fold-1", "3"),
    ]
    specs = [
        read_spec((tmp_path / "run" / name / "spec.json").read_text())
        for name in ("pretrained", "fold-0", "fold-1")
    ]
    assert specs[0] == specs[1] == specs[2]
    assert not [k for k in load_file(tmp_path / "run" / "predictions.safetensors") if k[0] != "s"]


@pytest.mark.parametrize(
    "encoder", [{"lora_rank": 2}, {"gradient_checkpointing": True}, {"frozen_layers": 2}]
)
def test_an_encoder_can_be_trained_in_other_ways(
    tmp_path: Path, config: TrainConfig, base: str, encoder: dict[str, Any]
) -> None:
    changed = replace(config, n_folds=0, encoder=encoder, schedule={"epochs": 1, "bf16": True})
    train(changed, tmp_path / "run", base=base)
    trained = load_file(tmp_path / "run" / "final" / "model.safetensors")
    before = load_file(Path(base) / "model.safetensors")
    query = "encoder.layer.1.attention.self.query.weight"
    is_same = np.array_equal(trained[f"encoder.base.{query}"], before[query])
    assert is_same == (encoder == {"frozen_layers": 2})
    RuptureModel.from_pretrained(tmp_path / "run" / "final")


def test_an_encoder_that_is_not_trained_reads_every_turn_once(
    tmp_path: Path, config: TrainConfig, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(model: Any, spec: Any, precision: str) -> Any:
        reader = open_reader(model, spec, precision)
        return lambda session: read.append(precision) or reader(session)

    monkeypatch.setattr("training.encoders.open_reader", counted)
    train(replace(config, encoder={"frozen_layers": 2}), tmp_path / "run", base=base)
    assert read == ["int8"] * 4


def test_a_shortened_encoder_keeps_its_lowest_layers(
    tmp_path: Path, config: TrainConfig, base: str
) -> None:
    short = {"layers": 1, "frozen_layers": 1}
    train(replace(config, n_folds=0, encoder=short), tmp_path / "run", base=base)
    trained = load_file(tmp_path / "run" / "final" / "model.safetensors")
    before = load_file(Path(base) / "model.safetensors")
    kept = "encoder.layer.0.output.dense.weight"
    assert np.array_equal(trained[f"encoder.base.{kept}"], before[kept])
    assert not [name for name in trained if "encoder.base.encoder.layer.1" in name]


def test_the_plain_baseline_reads_neither_rules_nor_the_session(
    tmp_path: Path, config: TrainConfig, base: str
) -> None:
    plain = {"features": False, "sees_session": False}
    train(replace(config, n_folds=0, network=plain), tmp_path / "run", base=base)
    trained = load_file(tmp_path / "run" / "final" / "model.safetensors")
    assert not [name for name in trained if "around" in name or "features" in name]
    spec = read_spec((tmp_path / "run" / "final" / "spec.json").read_text())
    assert spec.features == ()


def test_a_label_without_an_example_is_named(
    tmp_path: Path, config: TrainConfig, base: str
) -> None:
    fewer = [session(n, lines=LINES[: -1 if n else None]) for n in range(4)]
    path = written(tmp_path / "talk.jsonl", *fewer)
    changed = replace(config, data={"exports": (path,)})
    with pytest.raises(TrainingDataError, match=r"fold-\d: no turn is labelled repair_disclosure"):
        train(changed, tmp_path / "run", base=base)
    # Named before any fold is trained, also where the fold is not the first.
    assert {one.name for one in (tmp_path / "run").iterdir()} == {"config.toml"}


def test_a_session_of_one_turn_is_trained_on(
    tmp_path: Path, config: TrainConfig, base: str
) -> None:
    path = written(tmp_path / "talk.jsonl", session(0), session(1, lines=LINES[1:2]))
    changed = replace(config, n_folds=0, data={"exports": (path,)}, schedule={"epochs": 1})
    train(changed, tmp_path / "run", base=base)
    assert (tmp_path / "run" / "final" / "model.safetensors").is_file()


def test_a_loss_that_breaks_stops_the_run(tmp_path: Path, config: TrainConfig, base: str) -> None:
    changed = replace(config, n_folds=0, loss={"labels": 1e39})
    with pytest.raises(TrainingDataError, match=r"final, step \d+: the loss is not finite"):
        train(changed, tmp_path / "run", base=base)


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"encoder": {"frozen_layers": 3}}, "encoder.frozen_layers"),
        ({"encoder": {"layers": 3}}, "encoder.layers"),
        ({"encoder": {"max_tokens": 500}}, "encoder.max_tokens"),
        ({"schedule": {"pretrain_epochs": 1}}, "schedule.pretrain_epochs"),
        ({"n_folds": 5}, "n_folds"),
    ],
)
def test_what_does_not_fit_is_named_by_its_key(
    tmp_path: Path, config: TrainConfig, base: str, changed: dict[str, Any], key: str
) -> None:
    with pytest.raises(ConfigError) as error:
        train(replace(config, **changed), tmp_path / "run", base=base)
    assert error.value.key == key


def test_an_encoder_that_is_not_here_is_not_fetched(tmp_path: Path, config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"not on this machine.*--base"):
        train(config, tmp_path / "run", base="somebody/some-encoder")


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(command)
    path = tmp_path / "config.toml"
    path.write_text("sede = 1")
    result = CliRunner().invoke(app, [str(path), "--out", str(tmp_path / "run")])
    assert result.exit_code == 3
    assert result.stderr.startswith("sede: unknown")
    assert not (tmp_path / "run").exists()


def test_two_processes_of_accelerate_train_one_run(
    tmp_path: Path, config: TrainConfig, base: str
) -> None:
    """As on two GPUs, on the processor: one run's files, each written once."""
    toml, out = tmp_path / "config.toml", tmp_path / "run"
    toml.write_text(as_toml(replace(config, schedule={"epochs": 1})), encoding="utf-8")
    launch = ["accelerate.commands.launch", "--cpu", "--num_processes=2", "--num_machines=1"]
    launch += ["--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]
    given = [str(toml), "--out", str(out), "--base", base]
    done = subprocess.run(
        [sys.executable, "-m", *launch, "-m", "training.train", *given],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (out / "final" / "model.safetensors").is_file()
    steps = [line.split(",") for line in (out / "log.csv").read_text().splitlines()]
    assert len(steps) == len({tuple(step) for step in steps})
    found = load_file(out / "predictions.safetensors")
    assert all(np.isfinite(values).all() for values in found.values() if values.dtype.kind == "f")


def test_events_for_tensorboard_are_written_where_they_are_asked_for(
    tmp_path: Path, config: TrainConfig, base: str
) -> None:
    asked = replace(config, n_folds=0, schedule={"epochs": 1, "tensorboard": True, "log_steps": 1})
    train(asked, tmp_path / "run", base=base)
    assert list((tmp_path / "run" / "tensorboard" / "final").glob("events.out.tfevents.*"))


def test_of_an_encoder_whose_layers_are_all_frozen_nothing_is_trained(
    config: TrainConfig, make_spec: Callable[..., ModelSpec], make_model: Callable[..., Any]
) -> None:
    model = make_model(make_spec())
    model.encoder.base.final_norm = torch.nn.LayerNorm(8)  # as ModernBERT has above its layers
    phases._prepare_encoder(model, replace(config, encoder={"frozen_layers": 2}))
    assert not [n for n, one in model.encoder.base.named_parameters() if one.requires_grad]
