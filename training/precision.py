"""What a faster encoder costs: each fold's network, as it would serve, on sessions it never saw.

A cosine of vectors says little of rare labels; average precision on held-out sessions does.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detector.network import session_inputs
from training.config import PRECISIONS
from training.corpus import TrainingDataError
from training.export import export_graphs, write_encoder
from training.folds import fold_places
from training.pairs import precisions
from training.predictions import LABELS, N_FOLDS, could_show, read_predictions
from training.rules import Example

MOST_LOST = 0.005
"""Average precision that a faster precision may cost, of any label."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a precision does to average precision: by label, before and after.

    A label that nothing carries is left out.
    """

    precision: str
    before: Mapping[str, float] = field(repr=False)
    after: Mapping[str, float] = field(repr=False)

    @property
    def worst(self) -> float:
        """The largest loss of any label; below 0 where none loses."""
        return max((self.before[label] - self.after[label] for label in self.before), default=0.0)


def quantisation_cost(run: Path, examples: Sequence[Example], precision: str) -> Cost:
    """What a precision costs on held-out sessions, through the graphs that will serve.

    Each fold's network is exported in that precision and scores the sessions it never saw; the
    run's own predictions are what it is compared with.

    Args:
        run: a training run's folder, with its folds.
        examples: the real sessions, in the order of `load_annomi`.
        precision: one of training.config.PRECISIONS.

    Raises: TrainingDataError: a fold's network is missing, or the predictions are.
    """
    kept = read_predictions(run, examples)
    before = [kept.scores(ex) for ex in examples]
    after: dict[int, dict[str, Any]] = {}
    folds = fold_places(examples)
    for number in range(N_FOLDS):
        held = [place for place, fold in enumerate(folds) if fold == number]
        if held:
            after |= _predict(run / f"fold-{number}", examples, held, precision)
    again = [after[place] for place in range(len(examples))]
    return Cost(precision, _precisions(examples, before), _precisions(examples, again))


def _precisions(examples: Sequence[Example], scores: Sequence[Any]) -> dict[str, float]:
    """Of the labels that something carries."""
    return {name: one for name, one in precisions(examples, scores).items() if np.isfinite(one)}


def _predict(
    fold: Path, examples: Sequence[Example], held: Sequence[int], precision: str
) -> dict[int, dict[str, Any]]:
    """Logits by label of these sessions, as served; 0 where the speaker cannot show the label."""
    from models.runtime import open_network

    if not (fold / "model.safetensors").is_file():
        raise TrainingDataError(f"{fold} is missing: what quantising costs cannot be measured")
    found: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name in ("spec.json", "tokenizer.json"):
            shutil.copy(fold / name, folder / name)
        write_graphs(fold, folder, precision)
        network = open_network(folder)
        for place in held:
            ex = examples[place]
            logits = network.predict(*session_inputs(ex.read, network.spec.features)).labels
            found[place] = {
                label: logits[:, column] * could_show(ex, label)
                for column, label in enumerate(LABELS)
            }
    return found


def write_graphs(trained: Path, folder: Path, precision: str) -> None:
    """The two graphs of a trained network, the encoder's in this precision."""
    from transformers.utils import logging as library

    from models.network import RuptureModel

    library.disable_progress_bar()  # of reading a file that takes a tenth of a second
    export_graphs(RuptureModel.from_pretrained(trained), folder)
    write_encoder(folder / "encoder.onnx", folder / "encoder.onnx", precision)


def choose_precision(run: Path, examples: Sequence[Example]) -> tuple[str, list[Cost]]:
    """The fastest precision that costs at most MOST_LOST, and what each that was tried costs."""
    tried: list[Cost] = []
    for precision in PRECISIONS[:-1]:
        tried.append(quantisation_cost(run, examples, precision))
        if tried[-1].worst <= MOST_LOST:
            return precision, tried
    return PRECISIONS[-1], tried
