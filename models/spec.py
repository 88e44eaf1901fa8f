"""The contract that travels with the weights: what goes in, what comes out, and of which make.

`spec.json` in a checkpoint's folder holds it. Training writes it, serving checks it: a network
that was trained on other features or another codebook gives numbers too, and they mean nothing.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from models.errors import CorruptCheckpoint, IncompatibleCheckpoint

ROLES = ("therapist", "client", "other")
"""Who speaks, as the network knows it: a turn's role is the place of its name in this list."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a checkpoint takes and gives.

    Args:
        name: the checkpoint's own, e.g. "default".
        codebook: version of the codebook that its labels come from.
        labels, markers, strategies, pillars, ratings: names of the heads' columns, in order.
        features: names of the rule and timing columns, in order.
        feature_means, feature_scales: of each feature in training; a value enters as its
            distance from the mean in scales, cut at ±5; NaN (unknown) enters as 0.
        max_tokens: most tokens of a turn; of a longer one the first three quarters and the last
            quarter are kept.
        context_tokens: how many of the last tokens of the turn before stand before each turn.
        cls_id, sep_id, pad_id: the tokenizer's own marks.
        tokenizer_sha256: of `tokenizer.json`.
    """

    name: str
    codebook: str
    labels: tuple[str, ...]
    markers: tuple[str, ...]
    strategies: tuple[str, ...]
    pillars: tuple[str, ...]
    ratings: tuple[str, ...]
    features: tuple[str, ...]
    feature_means: tuple[float, ...]
    feature_scales: tuple[float, ...]
    max_tokens: int
    context_tokens: int
    cls_id: int
    sep_id: int
    pad_id: int
    tokenizer_sha256: str

    def to_json(self) -> str:
        """The spec as `spec.json` holds it."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    def check(self, **needed: object) -> None:
        """Holds fields of the spec to what the code needs, e.g. `codebook="1.1"`.

        Raises: IncompatibleCheckpoint: a field differs.
        """
        for field, value in needed.items():
            if (found := getattr(self, field)) != value:
                file = f"{self.name}/spec.json"
                raise IncompatibleCheckpoint(field, _short(found), _short(value), file=file)


def read_spec(text: str, *, file: str = "spec.json") -> ModelSpec:
    """A spec from its JSON.

    Raises: CorruptCheckpoint: not JSON, a field is missing or unknown, or of the wrong kind.
    """
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise CorruptCheckpoint(file, "it is not JSON") from error
    if not isinstance(content, Mapping):
        raise CorruptCheckpoint(file, "it is not a JSON object")
    named = {field.name: field.type for field in fields(ModelSpec)}
    if wrong := sorted(set(named) ^ set(content)):
        raise CorruptCheckpoint(file, f"missing or unknown: {', '.join(map(str, wrong))}")
    spec = ModelSpec(**{name: _typed(file, name, content[name], named[name]) for name in named})
    if not len(spec.features) == len(spec.feature_means) == len(spec.feature_scales):
        raise CorruptCheckpoint(file, "features, feature_means and feature_scales differ in length")
    _hold_to_bounds(spec, file)
    return spec


def _hold_to_bounds(spec: ModelSpec, file: str) -> None:
    """Numbers that would only fail, or quietly mean nothing, in the middle of a session."""
    least = {"max_tokens": 1, "context_tokens": 0, "cls_id": 0, "sep_id": 0, "pad_id": 0}
    for name, bound in least.items():
        if getattr(spec, name) < bound:
            raise CorruptCheckpoint(file, f"{name} is below {bound}")
    if not all(math.isfinite(mean) for mean in spec.feature_means):
        raise CorruptCheckpoint(file, "feature_means holds one that is no number")
    if not all(0 < scale < math.inf for scale in spec.feature_scales):
        raise CorruptCheckpoint(file, "feature_scales holds one that is not above 0")


def _typed(file: str, name: str, value: Any, kind: Any) -> Any:
    """A field's value, held to its declared type."""
    one: Any = {tuple[str, ...]: str, tuple[float, ...]: (int, float)}.get(kind)
    if one is not None and isinstance(value, list) and all(isinstance(v, one) for v in value):
        return tuple(value)
    if one is None and isinstance(value, kind) and not isinstance(value, bool):
        return value
    raise CorruptCheckpoint(file, f"{name} is not of the right kind")


def _short(value: object) -> str:
    """A value in an error: long lists by their length and their first names."""
    if isinstance(value, tuple) and len(value) > 3:
        return f"{len(value)} names ({', '.join(map(str, value[:3]))}, …)"
    return repr(value)
