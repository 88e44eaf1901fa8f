import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models.network import RuptureModel
from models.runtime import open_network
from training.config import PRECISIONS
from training.export import export_graphs, write_encoder

TEXTS = ("How are you?", "Fine, I guess.", "You never listen to me, and I am tired of it.")
ROLES = ("therapist", "client", "client")


@pytest.fixture(scope="module")
def graphs(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny network's graphs, exported anew."""
    folder = tmp_path_factory.mktemp("graphs")
    for name in ("spec.json", "tokenizer.json"):
        shutil.copy(tiny_checkpoint / name, folder)
    export_graphs(RuptureModel.from_pretrained(tiny_checkpoint), folder)
    return folder


def vectors(folder: Path, texts: tuple[str, ...] = TEXTS) -> np.ndarray:
    network = open_network(folder)
    features = np.zeros((len(texts), len(network.spec.features)))
    return network.predict(texts, (ROLES * 9)[: len(texts)], features).vectors


def in_precision(graphs: Path, folder: Path, precision: str) -> Path:
    shutil.copytree(graphs, folder)
    write_encoder(graphs / "encoder.onnx", folder / "encoder.onnx", precision)
    return folder


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


@pytest.mark.parametrize(
    ("precision", "least"), [("int8", 0.96), ("mixed", 0.96), ("weights8", 0.995), ("fp32", 1.0)]
)
def test_a_precision_keeps_the_turn_vectors_near_those_of_fp32(
    graphs: Path, tmp_path: Path, precision: str, least: float
) -> None:
    folder = in_precision(graphs, tmp_path / precision, precision)
    assert cosines(vectors(folder), vectors(graphs)).mean() >= least - 1e-6


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_graph_of_any_precision_takes_other_numbers_of_turns_and_tokens(
    graphs: Path, tmp_path: Path, precision: str
) -> None:
    folder = in_precision(graphs, tmp_path / precision, precision)
    assert vectors(folder, TEXTS * 9).shape == (27, 64)
    assert vectors(folder, TEXTS[:1]).shape == (1, 64)


def test_int8_takes_less_room_than_fp32(graphs: Path, tmp_path: Path) -> None:
    folder = in_precision(graphs, tmp_path / "int8", "int8")
    # Of a network this small, half a graph's bytes are its nodes.
    whole = (graphs / "encoder.onnx").stat().st_size
    assert (folder / "encoder.onnx").stat().st_size < whole


def kinds(path: Path) -> list[str]:
    import onnx

    return [node.op_type for node in onnx.load(str(path)).graph.node]


def test_mixed_spares_the_second_feed_forward_layer_of_each_block(
    graphs: Path, tmp_path: Path
) -> None:
    folder = in_precision(graphs, tmp_path / "mixed", "mixed")
    assert kinds(folder / "encoder.onnx").count("MatMulNBits") == 2
    assert kinds(folder / "encoder.onnx").count("MatMulInteger") == 10


def test_with_int8_weights_what_else_is_in_the_batch_does_not_matter(
    graphs: Path, tmp_path: Path
) -> None:
    folder = in_precision(graphs, tmp_path / "weights8", "weights8")
    alone, among = vectors(folder, TEXTS[:1]), vectors(folder, TEXTS)
    np.testing.assert_allclose(alone[0], among[0], atol=1e-5)


def test_an_unknown_precision_is_refused(graphs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="int8, mixed, weights8, fp32"):
        write_encoder(graphs / "encoder.onnx", tmp_path / "out.onnx", "int4")


@pytest.mark.parametrize("training", [True, False])
def test_exporting_leaves_the_model_in_the_mode_it_was_in(
    tiny_checkpoint: Path, tmp_path: Path, training: bool
) -> None:
    model = RuptureModel.from_pretrained(tiny_checkpoint).train(training)
    export_graphs(model, tmp_path)
    assert model.training is training


def test_the_graphs_say_what_torch_says(tiny_checkpoint: Path, graphs: Path) -> None:
    from models.encoding import encode, load_tokenizer, token_batches
    from models.spec import read_spec

    spec = read_spec((graphs / "spec.json").read_text("utf-8"))
    features = np.zeros((3, len(spec.features)))
    session = encode(spec, load_tokenizer(graphs / "tokenizer.json"), TEXTS, ROLES, features)
    batches = [
        {name: torch.from_numpy(getattr(b, name)) for name in ("places", "ids", "mask", "own")}
        for b in token_batches(session, spec)
    ]
    model = RuptureModel.from_pretrained(tiny_checkpoint).train(False)
    with torch.inference_mode():
        found = model(
            roles=torch.from_numpy(session.roles)[None],
            features=torch.from_numpy(session.features)[None],
            lengths=torch.tensor([3]),
            batches=batches,
        )
    served = open_network(graphs).predict(TEXTS, ROLES, features)
    np.testing.assert_allclose(served.labels, found["labels"][0].numpy(), atol=1e-4)
    np.testing.assert_allclose(served.ratings, found["ratings"][0].numpy(), atol=1e-4)
