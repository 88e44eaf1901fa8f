"""The checkpoint that ships: whole, small, in use, and of one mind with the code."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import models
from detector import Detector
from models import registry
from models.registry import load_checkpoint

FOLDER = Path(models.__file__).parent / "checkpoints" / "default"
MIB = 2**20


@pytest.fixture(autouse=True)
def _as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUPTURE_CHECKPOINTS")


@pytest.fixture(scope="module")
def default() -> Detector:
    return Detector.load(str(FOLDER))


def test_it_is_the_one_in_use() -> None:
    assert registry.current_name() == "default"
    assert Detector.load().codebook.version == load_checkpoint().spec.codebook


def test_it_is_no_larger_than_a_clone_bears() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert sum(sizes.values()) < 75 * MIB
    assert {"encoder.onnx", "session.onnx", "model.safetensors", "tokenizer.json"} <= set(sizes)


def test_its_files_can_be_read_by_everybody_and_are_no_pickles() -> None:
    for path in FOLDER.iterdir():
        assert path.stat().st_mode & 0o444 == 0o444, path.name
        assert path.suffix not in (".pkl", ".pt", ".bin", ".pickle")


def test_its_card_says_whose_labels_it_learned_from() -> None:
    card = (FOLDER / "MODEL_CARD.md").read_text("utf-8")
    assert "language model" in card
    assert "not from clinicians" in card or "not clinicians" in card or "no clinician" in card


def test_a_strain_and_its_repair_are_found(
    default: Detector, make_transcript: Any, dialogue: tuple[str, ...]
) -> None:
    times = [(6.0 * n, 6.0 * n + 5.0) for n in range(len(dialogue))]
    report = default.analyze(make_transcript(*dialogue, times=times))
    assert report.provenance.checkpoint == "default"
    assert report.provenance.backend == "cpu"
    scores = [turn.scores["rupture"] for turn in report.turns]
    assert max(range(len(scores)), key=lambda i: scores[i] or 0.0) in (3, 5)
    assert (report.turns[6].scores["resolution"] or 0) > (report.turns[4].scores["resolution"] or 0)


def test_the_same_session_gives_the_same_bytes(
    default: Detector, make_transcript: Any, dialogue: tuple[str, ...]
) -> None:
    read = make_transcript(*dialogue)
    assert default.analyze(read).to_json() == default.analyze(read).to_json()


def test_it_scores_where_torch_cannot_be_imported(tmp_path: Path) -> None:
    path = tmp_path / "session.txt"
    path.write_text("T: How are you today?\nC: Fine, I guess.\n", "utf-8")
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from detector import Detector, read_transcript\n"
        "from pathlib import Path\n"
        f"read = read_transcript(Path({str(path)!r}))\n"
        "print(Detector.load().analyze(read).provenance.checkpoint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "default"


def test_automodel_loads_it_once_the_kind_is_registered() -> None:
    """The manner of transformers, without our own classes in hand."""
    from transformers import AutoModel

    from models.network import RuptureModel, register

    register()
    model = AutoModel.from_pretrained(FOLDER)
    assert type(model) is RuptureModel
    assert tuple(model.config.labels) == load_checkpoint().spec.labels
    assert not model.training
