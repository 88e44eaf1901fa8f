"""The network as ONNX graphs, for serving without torch: one for turns, one for a session.

The session's graph is traced the old way (`dynamo=False`): the newer exporter takes the length of
the example for the length of every GRU.
"""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from models.network import RuptureModel
from training.config import PRECISIONS

ENCODER_INPUTS = ("ids", "mask", "own")
SESSION_INPUTS = ("vectors", "roles", "features")
SERVED = ("labels", "markers", "strategies", "pillars", "intensity", "ratings")
"""Heads that the session's graph gives; the others only help training."""

OPSET = 17

_SENSITIVE = re.compile(r"(?<!attention)/output/dense|/lin2|/mlp/Wo")
"""The second layer of each feed-forward block, in BERT, DistilBERT and ModernBERT. Each layer
alone in int8, those of MiniLM's first three blocks cost a third of the cosine that all 36 cost."""

_BLOCK = 32


class _Session(nn.Module):
    """A model's session networks, averaged, with outputs in the order of SERVED."""

    def __init__(self, model: RuptureModel) -> None:
        super().__init__()
        self.standardise, self.members = model.standardise, model.members

    def forward(self, vectors: Tensor, roles: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        vectors = self.standardise(vectors)
        found = [member(vectors, roles, features) for member in self.members]
        return tuple(
            torch.stack([one[head] for one in found]).mean(dim=0)
            for head in SERVED
            if head in found[0]
        )


def export_graphs(model: RuptureModel, folder: Path) -> None:
    """Writes `encoder.onnx` and `session.onnx`, in fp32, into the folder.

    Inputs and outputs are those that models.runtime names; the numbers of sessions, of turns and
    of tokens are free. The model comes back in the mode it was in.
    """
    was_training = model.training
    model.train(False)
    try:
        export_encoder(model, folder / "encoder.onnx")
        _export_session(model, folder / "session.onnx")
    finally:
        model.train(was_training)


def export_encoder(model: RuptureModel, path: Path) -> None:
    """Writes the graph of turns alone, in fp32; the model is to be in evaluation mode."""
    ids = torch.ones((3, 7), dtype=torch.int64)
    mask, own = torch.ones_like(ids), torch.ones_like(ids)
    mask[0, 5:], own[0, 5:], own[:, :2] = 0, 0, 0
    both = {0: "n_turns", 1: "n_tokens"}
    axes = {**dict.fromkeys(ENCODER_INPUTS, both), "vectors": {0: "n_turns"}}
    _export(model.encoder, (ids, mask, own), path, [*ENCODER_INPUTS], ["vectors"], axes)


def _export_session(model: RuptureModel, path: Path) -> None:
    vectors = torch.zeros((2, 5, model.encoder.size))
    roles = torch.zeros((2, 5), dtype=torch.int64)
    features = torch.zeros((2, 5, model.config.n_features))
    heads = [head for head in SERVED if head == "intensity" or getattr(model.config, head)]
    both = {0: "n_sessions", 1: "n_turns"}
    axes = {name: both if name != "ratings" else {0: "n_sessions"} for name in heads}
    axes |= dict.fromkeys(SESSION_INPUTS, both)
    _export(
        _Session(model).train(False),
        (vectors, roles, features),
        path,
        [*SESSION_INPUTS],
        heads,
        axes,
    )


def _export(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> None:
    with torch.no_grad(), _quiet():
        torch.onnx.export(
            module,
            example,
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Tracing warns of every shape it reads, and of its own age; we test the graphs instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def write_encoder(fp32: Path, path: Path, precision: str) -> None:
    """Rewrites an encoder's fp32 graph in another precision of PRECISIONS.

    Raises: ValueError: no such precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}")
    import onnx

    graph = onnx.load(str(fp32))
    if precision != "fp32":
        dense = _dense(graph)
        spared = [name for name in dense if precision == "weights8" or _SENSITIVE.search(name)]
        keep = spared if precision != "int8" else []
        with _unlogged():
            graph = _rounded(graph, [name for name in dense if name not in keep])
            if keep:
                graph = _weights_alone(graph, keep)
    onnx.save(graph, str(path))


def write_half(fp32: Path, path: Path) -> None:
    """Writes an encoder's fp32 graph in fp16, as `encoder-fp16.onnx` for a GPU.

    What goes in and comes out keeps its kind; the logits then agree with fp32 to
    models.runtime.HALF_TOLERANCE. It is half of fp32 in size, so no checkpoint carries it unless
    it is put there before the folder is sealed.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(str(fp32)), keep_io_types=True), str(path))


def _dense(graph: Any) -> list[str]:
    """Nodes that multiply by weights; those of attention multiply two activations."""
    weights = {one.name for one in graph.graph.initializer}
    nodes = (node for node in graph.graph.node if node.op_type == "MatMul")
    return [node.name for node in nodes if node.input[1] in weights]


def _rounded(graph: Any, names: list[str]) -> Any:
    """Embeddings, and the weights and inputs of these nodes, in int8."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    gathers = [node.name for node in graph.graph.node if node.op_type == "Gather"]
    with TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(graph, str(before))
        quantize_dynamic(
            before,
            after,
            op_types_to_quantize=["MatMul", "Gather"],
            nodes_to_quantize=[*names, *gathers],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(str(after))


def _weights_alone(graph: Any, names: list[str]) -> Any:
    """The weights of these nodes in int8 by blocks of 32, and their inputs too, row by row."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    others = [node.name for node in graph.graph.node if node.name not in names]
    quantizer = MatMulNBitsQuantizer(
        graph,
        bits=8,
        block_size=_BLOCK,
        is_symmetric=True,
        accuracy_level=4,
        nodes_to_exclude=others,
    )
    quantizer.process()
    return quantizer.model.model


@contextmanager
def _unlogged() -> Iterator[None]:
    """The quantisers tell of every node they pass, and how else one might do it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
