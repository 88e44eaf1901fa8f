"""One's own sessions: written and read back alike, and a checkpoint that goes on with them."""

import dataclasses
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from models.network import RuptureModel
from models.spec import read_spec
from training import own
from training.config import ConfigError, EncoderConfig, ScheduleConfig, TrainConfig
from training.corpus import TrainingDataError
from training.encoders import open_start
from training.published import score_published
from training.rules import Example
from training.sources import DataConfig, load_sessions, read_export
from training.train import train

LINES = (
    ("therapist", "How was the week?", []),
    ("client", "Fine, I guess.", ["minimal_response"]),
    ("therapist", "You should have done it.", ["contributes"]),
    ("client", "You never listen to me.", ["complaint_therapist"]),
    ("therapist", "I am sorry, I pushed you.", ["acknowledges_contribution"]),
    ("client", "I felt hurt when you said it.", ["repair_disclosure"]),
)


def test_what_is_written_is_read_back_with_every_label(tmp_path: Path) -> None:
    made, path = own.example_sessions(10), tmp_path / "own.jsonl"
    own.write_export(path, made)
    for before, after in zip(made, read_export(path), strict=True):
        assert (after.session_id, after.client, after.split) == (
            before.session_id,
            before.client,
            before.split,
        )
        assert after.ratings == before.ratings
        turns = zip(before.transcript.turns, after.transcript.turns, strict=True)
        for one, other in turns:
            assert (one.text, one.role) == (other.text, other.role)
            assert before.markers_of(one) == after.markers_of(other)


def test_the_example_has_no_client_in_two_splits(tmp_path: Path) -> None:
    own.write_export(tmp_path / "own.jsonl", own.example_sessions(20))
    data = DataConfig(annomi=False, synthetic=False, exports=(str(tmp_path / "own.jsonl"),))
    splits = [session.split for session in load_sessions(data)]
    assert (splits.count("train"), splits.count("dev")) == (16, 4)


def test_the_command_says_how_many_and_prints_nothing_that_was_said(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(own.command)
    done = CliRunner().invoke(app, ["--out", str(tmp_path / "own.jsonl"), "--sessions", "10"])
    assert done.exit_code == 0
    assert "10 invented sessions" in done.output
    assert len(done.output.splitlines()) == 1
    refused = CliRunner().invoke(app, ["--out", str(tmp_path / "x.jsonl"), "--sessions", "999"])
    assert refused.exit_code == 3


@pytest.fixture
def config(tmp_path: Path, tiny_checkpoint: Path) -> TrainConfig:
    """A checkpoint goes on with three small sessions; its encoder stays."""
    turns = [{"role": role, "text": text, "markers": marks} for role, text, marks in LINES]
    records = [{"session_id": f"s{n}", "client": f"c{n}", "turns": turns} for n in range(3)]
    for number, record in enumerate(records):
        record["turns"] = [{**turn, "text": f"{turn['text']} {number}"} for turn in turns]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, records)) + "\n")
    return TrainConfig(
        n_folds=0,
        data=DataConfig(annomi=False, synthetic=False, exports=(str(path),)),
        encoder=EncoderConfig(start=str(tiny_checkpoint), frozen_layers=2, precision="fp32"),
        schedule=ScheduleConfig(epochs=2, invented_per_epoch=0, sessions_per_batch=1),
    )


def test_a_run_goes_on_from_a_checkpoint_with_its_contract(
    tmp_path: Path, tiny_checkpoint: Path, config: TrainConfig
) -> None:
    train(config, tmp_path / "run")
    final = tmp_path / "run" / "final"
    before, after = (
        RuptureModel.from_pretrained(folder).state_dict() for folder in (tiny_checkpoint, final)
    )
    assert before.keys() == after.keys()
    same = {name for name in before if bool((before[name] == after[name]).all())}
    assert all(name in same for name in before if name.startswith(("encoder.", "standardise.")))
    assert any(name not in same for name in before if name.startswith("members."))
    started, made = (
        read_spec((folder / "spec.json").read_text(), file="spec.json")
        for folder in (tiny_checkpoint, final)
    )
    assert made == dataclasses.replace(started, name=config.name)


def test_a_checkpoint_that_is_not_there_is_named_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.start.*models list"):
        open_start("nowhere")


def test_a_checkpoint_is_not_compared_on_sessions_it_was_fitted_on(
    examples: list[Example],
) -> None:
    with pytest.raises(TrainingDataError, match="sessions of your own"):
        score_published("rules", examples[:2])


def test_a_checkpoint_scores_own_sessions_as_the_detector_does(examples: list[Example]) -> None:
    one = examples[7]
    mine = dataclasses.replace(one, session=dataclasses.replace(one.session, source="export"))
    [scores] = score_published("rules", [mine]).scores
    for label, values in scores.items():
        assert values.shape == (len(one.roles),)
        assert 0 <= values.min() <= values.max() <= 1, label
