"""Which sessions each network of a run may see.

Folds part the real sessions by group, source by source; noisy copies go where their session goes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track

from detector.markers import MarkerRules
from training.augment import noisy_copies
from training.config import ConfigError, TrainConfig
from training.corpus import LabelledSession, TrainingDataError
from training.examples import as_dataset, feature_names, missing_labels
from training.folds import fold_places
from training.rules import Example, read_examples
from training.sources import check_parted, load_sessions

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Data:
    """All sessions as rows, and which of them are what.

    `real` and `invented` are places of rows, `copies` the places of their noisy copies; `folds`
    runs parallel to `real`, and is empty without cross-validation.
    """

    rows: "Dataset" = field(repr=False)
    features: tuple[str, ...] = field(repr=False)
    real: tuple[int, ...]
    invented: tuple[int, ...]
    folds: tuple[int, ...]
    copies: Mapping[int, tuple[int, ...]] = field(repr=False)

    def seen(self, fold: int | None) -> tuple[int, ...]:
        """Real sessions that this fold's network may see; all of them for None."""
        if fold is None:
            return self.real
        return tuple(p for p, f in zip(self.real, self.folds, strict=True) if f != fold)

    def held(self, fold: int) -> tuple[int, ...]:
        """Real sessions that this fold's network may not see."""
        return tuple(p for p, f in zip(self.real, self.folds, strict=True) if f == fold)

    def table(self, places: Sequence[int], column: str) -> list[Any]:
        """Arrays of a column, of these sessions and their copies."""
        wanted = [*places, *(c for place in places for c in self.copies.get(place, ()))]
        return [np.asarray(table) for table in self.rows.select(wanted)[column]]

    @property
    def sha256(self) -> str:
        """Of all that is learned from: texts, features, targets, and who is in which fold."""
        digest = hashlib.sha256(json.dumps([self.features, self.folds]).encode())
        for row in self.rows:
            digest.update(np.asarray(row.pop("features"), dtype=np.float64).tobytes())
            digest.update(json.dumps(row).encode())
        return digest.hexdigest()


def hold_labels(data: Data, config: TrainConfig) -> None:
    """Holds that every network of the run sees every label, before hours go into the first.

    Raises: TrainingDataError: a label has no example among the sessions that one sees.
    """
    for fold in (*range(config.n_folds), *([None] if config.final else [])):
        name = "final" if fold is None else f"fold-{fold}"
        for label in missing_labels(data.rows.select([*data.seen(fold), *data.invented])):
            raise TrainingDataError(
                f"{name}: no turn is labelled {label}; add sessions that have it"
            )


def read_data(config: TrainConfig, features: Sequence[str] | None = None) -> Data:
    """Reads, checks and numbers the sessions.

    Args:
        config: of the run.
        features: the columns of a network that training goes on from; None: those that occur.

    Raises: TrainingDataError: no session, a group that two folds would share, or what
        training.sources and training.examples say.
    """
    sessions = load_sessions(config.data)
    rules = MarkerRules()
    examples = _read(sessions, rules, "Reading")
    real = [ex for ex in examples if ex.is_real]
    if not real:
        raise TrainingDataError("there is no real session to train on: see [data]")
    folds = _folds(real, config)
    copied = [noisy_copies(session, config.augment, seed=config.seed) for session in sessions]
    noisy = _read([copy for own in copied for copy in own], rules, "Reading noisy copies")
    found = feature_names(examples) if config.network.features else ()
    names = tuple(found if features is None else features)
    n_copies = config.augment.copies
    return Data(
        rows=as_dataset([*examples, *noisy], names, soft=config.loss.soft),
        features=names,
        real=tuple(i for i, ex in enumerate(examples) if ex.is_real),
        invented=tuple(i for i, ex in enumerate(examples) if not ex.is_real),
        folds=folds,
        copies={
            i: tuple(range(start, start + n_copies))
            for i, start in enumerate(range(len(examples), len(examples) + len(noisy), n_copies))
        }
        if n_copies
        else {},
    )


def _read(sessions: Sequence[LabelledSession], rules: MarkerRules, what: str) -> list[Example]:
    shown = track(sessions, what, console=Console(stderr=True), disable=not sessions)
    return read_examples(shown, rules)


def _folds(real: Sequence[Example], config: TrainConfig) -> tuple[int, ...]:
    """A fold for each session; empty where there is no cross-validation."""
    if not config.n_folds:
        return ()
    found = fold_places(real, config.fold_seed, config.n_folds)
    if len(set(found)) < config.n_folds:
        raise ConfigError("n_folds", "a fold would be empty: there are too few groups of sessions")
    parts = {
        f"fold {fold}": [ex.session for ex, own in zip(real, found, strict=True) if own == fold]
        for fold in range(config.n_folds)
    }
    check_parted(parts)
    return tuple(found)
