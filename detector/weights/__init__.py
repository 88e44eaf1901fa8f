"""The weights of the scorer: `rules.toml` beside this file, which `rupture fit` writes.

The `scoring.toml` of a checkpoint, which `rupture fuse` writes, has the same form; in it the
network has a say. Every weight is a line that can be read: a feature's name, what a unit of it
adds, and the mean it had in training. `roles.toml` holds the weights of detector.roles.
"""

import functools
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.errors import CodebookError
from detector.features import as_matrix
from detector.markers import MarkerHit

Array = npt.NDArray[np.float64]

NETWORK = "network"
"""Name of the second step's feature that holds the network's log-odds of the label."""


@dataclass(frozen=True)
class LinearModel:
    """A weighted sum of named features: log-odds, or a rating.

    `weights` and `means` have shape (n_names,). A feature counts as its distance from the mean
    it had in training, so that an unknown value (NaN) pulls nowhere.
    """

    intercept: float
    names: tuple[str, ...]
    weights: Array = field(repr=False)
    means: Array = field(repr=False)

    def pulls(self, rows: Sequence[Mapping[str, float]]) -> Array:
        """What each feature adds: shape (n_rows, n_names)."""
        distance = np.nan_to_num(as_matrix(rows, self.names) - self.means, nan=0.0)
        pulls: Array = distance * self.weights
        return pulls

    def value(self, rows: Sequence[Mapping[str, float]]) -> Array:
        """The weighted sum of each row: shape (n_rows,)."""
        if not rows:
            return np.zeros(0)
        total: Array = self.pulls(rows).sum(axis=1) + self.intercept
        return total

    def weight_of(self, name: str) -> float:
        """What a unit of this feature adds; 0 where the model does not know it."""
        return float(self.weights[self.names.index(name)]) if name in self.names else 0.0

    def pull_of(self, name: str, value: float) -> float:
        """What this value of one feature adds; 0 where it or the feature is not known."""
        if name not in self.names or np.isnan(value):
            return 0.0
        place = self.names.index(name)
        return float(self.weights[place] * (value - self.means[place]))


@dataclass(frozen=True)
class Weights:
    """Everything the scorer learned, as `weights/rules.toml` or a `scoring.toml` holds it.

    `own` and `context` are the two steps by label, `ratings` map a session's scores to the 3RS
    scale by label, `session_ratings` do so with the network's own ratings beside them (empty
    where there is no network), `pattern_precision` is the confirmed share of each pattern's
    findings, `pillar_shares` say which part of the alliance a label strains where no marker tells,
    `flag_threshold` is the rupture score from which a turn is part of a moment.
    """

    name: str
    sha256: str
    codebook: str
    source: Mapping[str, str]
    own: Mapping[str, LinearModel]
    context: Mapping[str, LinearModel]
    ratings: Mapping[str, LinearModel]
    pattern_precision: Mapping[str, float]
    pillar_shares: Mapping[str, Mapping[str, float]]
    flag_threshold: float
    repair_threshold: float
    session_ratings: Mapping[str, LinearModel] = field(default_factory=dict)

    @property
    def needs_network(self) -> bool:
        """Whether the second step was fitted with a network's log-odds among its features."""
        return any(NETWORK in model.names for model in self.context.values())

    def share_of(self, hit: MarkerHit) -> float:
        """How often hits of this pattern were right in training, 0..1; 0 where it is new."""
        return self.pattern_precision.get(hit.pattern_id, 0.0)


@functools.cache
def load_weights() -> Weights:
    """The weights this version of the code carries.

    Raises: CodebookError: the file lacks a part, or belongs to another codebook.
    """
    return read_weights((files("detector") / "weights" / "rules.toml").read_bytes())


def read_weights(data: bytes, *, file: str = "weights/rules.toml") -> Weights:
    """Weights from the bytes of a `rules.toml` or `scoring.toml`.

    Raises: CodebookError: it is broken; names `file`.
    """
    try:
        content = {"session_ratings": {}, **tomllib.loads(data.decode("utf-8"))}
        steps = {
            step: {name: _read_model(table) for name, table in content[step].items()}
            for step in ("own", "context", "ratings", "session_ratings")
        }
        return Weights(
            name=content["name"],
            sha256=hashlib.sha256(data).hexdigest(),
            codebook=content["codebook"],
            source=content["source"],
            pattern_precision=content["pattern_precision"],
            pillar_shares=content["pillar_shares"],
            flag_threshold=content["thresholds"]["flag"],
            repair_threshold=content["thresholds"]["repair"],
            **steps,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CodebookError(file, "a part is missing or malformed") from error


def _read_model(table: dict[str, Any]) -> LinearModel:
    features = table["features"]
    return LinearModel(
        float(table["intercept"]),
        tuple(features),
        np.array([entry["weight"] for entry in features.values()], dtype=np.float64),
        np.array([entry["mean"] for entry in features.values()], dtype=np.float64),
    )
