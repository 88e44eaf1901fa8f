"""Cross-validated predictions of a training run, as `RUN/predictions.safetensors` holds them.

Each real session's logits are by the fold's network that saw neither the session nor another of
its group. They are read here once, and held to the sessions they are said to be of: a file of
other folds, or of other turns, gives figures that look fine and mean nothing.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detector.codebook import PILLARS, load_codebook
from detector.report import RATINGS
from detector.scoring import FITTED, sigmoid
from detector.transcript import Role
from detector.weights import Array
from training.corpus import TrainingDataError
from training.rules import Example

FILE = "predictions.safetensors"

LABELS = (*FITTED, "repair_disclosure")
"""Columns of the network's head `labels`."""

N_FOLDS = 5
FOLD_SEED = 20
"""Of the folds, `training.rules.fold_of(examples, N_FOLDS, FOLD_SEED)`; not the fit's own."""


def columns() -> dict[str, tuple[str, ...]]:
    """Names of every head's columns, in order: labels, markers, strategies, pillars and more."""
    book = load_codebook()
    return {
        "labels": LABELS,
        "markers": book.of_kind("withdrawal", "confrontation"),
        "strategies": book.of_kind("resolution"),
        "pillars": PILLARS,
        "intensity": ("intensity",),
        "ratings": RATINGS,
    }


@dataclass(frozen=True)
class RunPredictions:
    """What a run's networks say of every real session.

    `logits` are by session id and head: shape (n_turns, n_columns), and (n_ratings,) for
    `ratings`, whose values are on the 1..5 scale of the coders. `about` is the file's own record:
    seed, n_folds, fold_seed, config_sha256; and its sha256, predictions_sha256.
    """

    name: str
    about: Mapping[str, str]
    logits: Mapping[str, Mapping[str, Array]] = field(repr=False)

    def scores(self, ex: Example) -> dict[str, Array]:
        """Probabilities by label, shape (n_turns,); 0 where the label is not the speaker's."""
        found = sigmoid(self.logits[ex.session.session_id]["labels"])
        return {
            label: found[:, place] * could_show(ex, label) for place, label in enumerate(LABELS)
        }

    def markers(self, ex: Example) -> dict[str, Array]:
        """Probabilities by marker and strategy, and of a repair disclosure: shape (n_turns,)."""
        heads, names = self.logits[ex.session.session_id], columns()
        found = {
            name: sigmoid(heads[head][:, place])
            for head in ("markers", "strategies")
            for place, name in enumerate(names[head])
        }
        return found | {"repair_disclosure": self.scores(ex)["repair_disclosure"]}

    def ratings(self, ex: Example) -> dict[str, float]:
        """The session's ratings, 1..5 by name."""
        found = np.clip(self.logits[ex.session.session_id]["ratings"], 1.0, 5.0)
        return dict(zip(RATINGS, map(float, found), strict=True))


def could_show(ex: Example, label: str) -> Array:
    """1 for the turns whose speaker can carry the label, else 0: shape (n_turns,)."""
    if label in FITTED:
        return np.isin(np.arange(len(ex.roles)), ex.mine(label)).astype(np.float64)
    shown: Array = (ex.roles == Role.CLIENT).astype(np.float64)
    return shown


def read_predictions(
    folder: Path, examples: Sequence[Example], *, fold_seed: int = FOLD_SEED
) -> RunPredictions:
    """The predictions of a run, checked against the sessions that are evaluated.

    Args:
        folder: the run's, which holds `predictions.safetensors`.
        examples: the real sessions, in the order of `load_annomi`.
        fold_seed: of the folds that the predictions are to be of.

    Raises: TrainingDataError: no such file, a broken one, other folds, or a session that is
        missing, has another number of turns or columns, or a value that is no number.
    """
    path = folder / FILE
    about, arrays = _read(path)
    expected = {"n_folds": str(N_FOLDS), "fold_seed": str(fold_seed)}
    if wrong := [key for key, value in expected.items() if about.get(key) != value]:
        raise TrainingDataError(
            f"{path}: {wrong[0]} is {about.get(wrong[0])}, the evaluation's is "
            f"{expected[wrong[0]]}: train the run again with the same folds"
        )
    logits = {ex.session.session_id: dict(_heads(path, arrays, ex)) for ex in examples}
    # An evaluation that carries this is known to be of these very predictions.
    about["predictions_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return RunPredictions(folder.resolve().name, about, logits)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise TrainingDataError(
            f"{path}: not there; `rupture train` writes it when all folds are done"
        )
    try:
        with safe_open(path, framework="np") as file:
            return dict(file.metadata() or {}), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise TrainingDataError(
            f"{path}: it is no safetensors file; train the run again"
        ) from error


def _heads(path: Path, arrays: Mapping[str, Any], ex: Example) -> Iterator[tuple[str, Array]]:
    session_id = ex.session.session_id
    for head, names in columns().items():
        array = arrays.get(f"{session_id}/{head}")
        wanted = (len(names),) if head == "ratings" else (len(ex.roles), len(names))
        if array is None:
            raise TrainingDataError(f"{path}: {session_id} has no {head}; train the run again")
        if array.shape != wanted:
            raise TrainingDataError(
                f"{path}: {session_id}/{head} has shape {array.shape}, the session needs {wanted}: "
                "the run was trained on other data or another codebook"
            )
        if not np.isfinite(array).all():
            raise TrainingDataError(f"{path}: {session_id}/{head} holds a value that is no number")
        yield head, array.astype(np.float64)
