"""The network as ONNX graphs, for serving without torch: one for turns, one for a session.

The session's graph is traced the old way (`dynamo=False`): the newer exporter takes the length of
the example for the length of every GRU.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from models.network import RuptureModel

ENCODER_INPUTS = ("ids", "mask", "own")
SESSION_INPUTS = ("vectors", "roles", "features")
SERVED = ("labels", "markers", "strategies", "pillars", "intensity", "ratings")
"""Heads that the session's graph gives; the others only help training."""

OPSET = 17


class _Session(nn.Module):
    """A model's session networks, averaged, with outputs in the order of SERVED."""

    def __init__(self, model: RuptureModel) -> None:
        super().__init__()
        self.members = model.members

    def forward(self, vectors: Tensor, roles: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        found = [member(vectors, roles, features) for member in self.members]
        return tuple(
            torch.stack([one[head] for one in found]).mean(dim=0)
            for head in SERVED
            if head in found[0]
        )


def export_graphs(model: RuptureModel, folder: Path) -> None:
    """Writes `encoder.onnx` and `session.onnx`, in fp32, into the folder.

    Inputs and outputs are those that models.runtime names; the numbers of turns and of tokens
    are free. The model comes back in the mode it was in.
    """
    was_training = model.training
    model.eval()
    try:
        _export_encoder(model, folder / "encoder.onnx")
        _export_session(model, folder / "session.onnx")
    finally:
        model.train(was_training)


def _export_encoder(model: RuptureModel, path: Path) -> None:
    ids = torch.ones((3, 7), dtype=torch.int64)
    mask, own = torch.ones_like(ids), torch.ones_like(ids)
    mask[0, 5:], own[0, 5:], own[:, :2] = 0, 0, 0
    both = {0: "n_turns", 1: "n_tokens"}
    axes = {**dict.fromkeys(ENCODER_INPUTS, both), "vectors": {0: "n_turns"}}
    _export(model.encoder, (ids, mask, own), path, [*ENCODER_INPUTS], ["vectors"], axes)


def _export_session(model: RuptureModel, path: Path) -> None:
    vectors = torch.zeros((1, 5, model.encoder.size))
    roles = torch.zeros((1, 5), dtype=torch.int64)
    features = torch.zeros((1, 5, model.config.n_features))
    heads = [head for head in SERVED if head == "intensity" or getattr(model.config, head)]
    turns = {1: "n_turns"}
    axes = dict.fromkeys((*SESSION_INPUTS, *(head for head in heads if head != "ratings")), turns)
    _export(
        _Session(model).eval(), (vectors, roles, features), path, [*SESSION_INPUTS], heads, axes
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
