from pathlib import Path
from typing import Any

import pytest

from detector.formats import read_transcript
from models.registry import load_checkpoint
from training import bench, rivals
from training.stopwatch import THERAPIST, alternating, as_vtt, session_of


@pytest.fixture(scope="module")
def base(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base encoder's folder, as Hugging Face keeps one."""
    from transformers import PreTrainedTokenizerFast

    from models.network import RuptureModel

    folder = tmp_path_factory.mktemp("base")
    RuptureModel.from_pretrained(tiny_checkpoint).encoder.base.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_file=str(tiny_checkpoint / "tokenizer.json"),
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        model_max_length=64,
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bench that is over soon."""
    monkeypatch.setattr(bench, "N_TURNS", 12)
    monkeypatch.setattr(rivals, "BATCHES", (2,))
    monkeypatch.setattr(rivals, "PEAK_SHAPE", (32, 32, 32))


@pytest.mark.parametrize("n_turns", [1, 100, 1000])
def test_the_session_that_is_timed_has_as_many_cues_as_asked(n_turns: int) -> None:
    assert len(session_of(n_turns).cues) == n_turns


def test_the_session_that_is_timed_comes_through_a_file_as_it_is() -> None:
    session = session_of(50)
    read = read_transcript(as_vtt(session))
    assert [turn.text for turn in read.turns] == [turn.text for turn in session.turns]
    assert THERAPIST in {turn.speaker for turn in read.turns}


def test_calls_take_turns_and_the_first_round_is_not_counted() -> None:
    called: list[str] = []
    taken = alternating({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 2)
    assert "".join(called) == "ababab"
    assert set(taken) == {"a", "b"}


def test_without_a_checkpoint_the_rules_are_measured_alone(short: None) -> None:
    said = "\n".join(bench.measure(None, sizes=[10], n_runs=1))
    assert "cold start of `rupture score`, 12 turns, the rules alone, no torch" in said
    assert "10 turns, warm, the rules alone" in said
    assert "network" not in said


def test_with_a_checkpoint_the_network_is_measured_beside_the_rules(
    short: None, tiny_checkpoint: Path
) -> None:
    said = "\n".join(bench.measure(str(tiny_checkpoint), sizes=[10], n_runs=1))
    for what in ("the rules alone", "the network"):
        assert f"cold start of `rupture score`, 12 turns, {what}, no torch" in said
        assert f"10 turns, warm, {what}" in said


def test_the_usual_way_is_measured_on_the_same_turns(
    short: None, tiny_checkpoint: Path, base: Path
) -> None:
    said = "\n".join(rivals.measure(str(tiny_checkpoint), base, session_of(12), n_runs=1))
    assert "whole session, 12 turns" in said
    assert "text-classification pipeline, batch 1 |" in said
    assert "of the fp32 peak" in said


def test_the_usual_way_reads_each_turn_with_three_before_it(make_transcript: Any) -> None:
    transcript = make_transcript("T: one", "C: two", "T: three", "C: four", "T: five")
    assert rivals.windows(transcript) == [
        "one",
        "one two",
        "one two three",
        "one two three four",
        "two three four five",
    ]


def test_every_utterance_is_encoded(tiny_checkpoint: Path) -> None:
    network = load_checkpoint(str(tiny_checkpoint)).network
    one, other = (rivals.encode_all(network, [text]) for text in ("hello", "good bye then"))
    assert rivals.encode_all(network, ["hello", "good bye then"]) == one + other


def test_the_work_of_a_token_is_that_of_the_dense_layers(base: Path) -> None:
    # Two layers of 32 units and 64 between: four square products and two wide ones each.
    assert rivals.flops_a_token(base) == 2 * 2 * (4 * 32 * 32 + 2 * 32 * 64)
