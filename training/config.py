"""What a training run may choose, from a TOML file; a key we do not know is refused.

Everything has a default; `configs/default.toml` is what the shipped checkpoint is trained with,
every key spelt out. A run writes the resolved file into its folder.
"""

import json
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from training.augment import AugmentConfig
from training.corpus import TrainingDataError
from training.sources import DataConfig


class ConfigError(TrainingDataError):
    """The configuration cannot be used. Carries the key and what to do."""

    def __init__(self, key: str, reason: str) -> None:
        self.key, self.reason = key, reason
        super().__init__(f"{key}: {reason}")


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """What reads the turns.

    Args:
        base: folder, or name on the hub, of a Hugging Face encoder with `tokenizer.json`.
        start: a published checkpoint to go on from, its name or folder: encoder, session networks
            and heads. Then `base`, `max_tokens`, `context_tokens`, `layers` and `[network]` say
            nothing: the checkpoint's own hold. Empty: fresh session networks over `base`.
        max_tokens: most tokens of a turn, see models.spec.
        context_tokens: of the turn before, see models.spec.
        layers: how many of its lowest layers are kept; 0 keeps all. Fewer serve faster.
        frozen_layers: lowest layers that stay as they are, the embeddings with them; 0 trains
            everything. They are passed without storing activations; where all are frozen, each
            turn is read once for the whole run.
        precision: in which an encoder that is not trained reads, one of
            PRECISIONS: what it is to serve in.
        lora_rank: above 0, only low-rank updates of the other layers are trained (peft), and
            merged at the end.
        gradient_checkpointing: less memory for a third more time.
    """

    base: str = "sentence-transformers/all-MiniLM-L6-v2"
    start: str = ""
    max_tokens: int = 112
    context_tokens: int = 0
    layers: int = 0
    frozen_layers: int = 6
    precision: str = "int8"
    lora_rank: int = 0
    gradient_checkpointing: bool = False


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of the session network, see models.network.RuptureConfig.

    `features` says whether rules and timing are read beside the words; without them and without
    the session (`sees_session`) a plain turn classifier is left, the baseline.
    """

    n_members: int = 4
    features: bool = True
    sees_session: bool = True
    session_size: int = 96
    feature_size: int = 64
    dropout: float = 0.3


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of the heads and of the turns (training.losses).

    The values are those of a first trial, chosen so that the labels lead; judgements, not tuned,
    but for markers and strategies: at .9 they cost all four labels (docs/experiments.md).

    Args:
        labels: weight of the mean cross-entropy of a label that the turn's speaker can carry.
        markers, strategies: weight of the cross-entropy summed over a turn's columns.
        pillars, talk, behaviour: weight of the cross-entropy of one choice among several.
        intensity, ratings: weight of the mean squared error.
        soft: share of a label's target that the mean of the raw codings gives, 0..1.
        invented: what a turn of an invented session counts in the labels, a real one being 1.
        unsure: the same for a turn whose label coders may well differ on; 1 trusts it in full.
        positive: what a labelled turn counts against one without, above 1 where labels are rare.
    """

    labels: float = 2.0
    markers: float = 0.1
    strategies: float = 0.1
    pillars: float = 0.1
    intensity: float = 0.1
    talk: float = 0.2
    behaviour: float = 0.2
    ratings: float = 0.05
    soft: float = 0.5
    invented: float = 1.0
    unsure: float = 1.0
    positive: float = 1.0


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """How long, how fast, and with how much at once.

    Args:
        pretrain_epochs: passes over the invented sessions alone, shared by all folds; 0: none.
        epochs: passes over a fold's real sessions.
        invented_per_epoch: invented sessions mixed into each of them, drawn anew.
        sessions_per_batch: on one device.
        most_turns: longest window of a session that is trained on at once.
        encoder_rate, session_rate: highest learning rates (AdamW) of the two parts.
        weight_decay: of both.
        warmup: share of the steps in which the rates rise; they then fall along a cosine.
        max_norm: to which gradients are cut.
        bf16: half precision where it is safe (autocast).
        log_steps: steps between two lines of the log.
        tensorboard: events for TensorBoard beside the log; the package must be installed.
    """

    pretrain_epochs: int = 0
    epochs: int = 12
    invented_per_epoch: int = 220
    sessions_per_batch: int = 16
    most_turns: int = 256
    encoder_rate: float = 5e-5
    session_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.15
    max_norm: float = 1.0
    bf16: bool = False
    log_steps: int = 20
    tensorboard: bool = False


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A whole run.

    Args:
        name: of the checkpoint that may come of it.
        seed: of everything random but the folds.
        n_folds: of the cross-validation over real sessions; 0: none.
        fold_seed: of the folds; 20 gives the folds of `rupture evaluate`.
        final: whether a last network is trained on all real sessions.
    """

    name: str = "default"
    seed: int = 0
    n_folds: int = 5
    fold_seed: int = 20
    final: bool = True
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)


PRECISIONS = ("int8", "mixed", "weights8", "fp32")
"""How the encoder's graph is stored and multiplied, fastest first.

`int8`: weights (a scale a column), embeddings, and inputs (a scale a batch) in int8. `mixed`: the
same, but the layers that suffer most as in `weights8`. `weights8`: weights and inputs in int8 with
a scale for each 32 of them, embeddings in int8. `fp32`: as trained.
Measured with MiniLM on 400 invented turns, cosine with fp32 (mean, least): int8 .989, .978;
weights8 .9995, .9989. int8 takes 0.47 of the time of fp32, weights8 1.04, and both a quarter of
the room (onnxruntime 1.32, AVX-512 VNNI). A scale a tensor for the weights gives .940: unusable.
"""

_AT_LEAST_ONE = (
    "encoder.max_tokens",
    "network.n_members",
    "network.session_size",
    "network.feature_size",
    "schedule.epochs",
    "schedule.sessions_per_batch",
    "schedule.most_turns",
    "schedule.log_steps",
)
_SHARES = (
    "loss.soft",
    "schedule.warmup",
    "network.dropout",
    "augment.share",
    "augment.lost_filler",
    "augment.lost_backchannel",
    "augment.plain_text",
    "augment.wrong_word",
    "augment.split_speaker",
)


def read_config(path: Path, **changed: Any) -> TrainConfig:
    """A run's configuration from its file, with these top-level keys replaced.

    Raises: ConfigError: not readable, not TOML, an unknown key, a value of the wrong kind or out
        of range; names the key.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path.name, "no readable UTF-8 file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path.name, f"not TOML: {error}") from error
    config: TrainConfig = _section(TrainConfig, {**content, **changed}, "")
    for key, value in flat(config).items():
        _check_range(key, value)
    if config.encoder.precision not in PRECISIONS:
        raise ConfigError("encoder.precision", f"is to be one of {', '.join(PRECISIONS)}")
    if config.n_folds == 1:
        raise ConfigError("n_folds", "one fold leaves nothing to train on: 0, or 2 and more")
    return config


def _section(kind: type, content: Any, prefix: str) -> Any:
    """An instance of one of the dataclasses above from its table."""
    if not isinstance(content, dict):
        raise ConfigError(prefix.rstrip("."), "is to be a table")
    known = {own.name: own for own in fields(kind)}
    if unknown := sorted(set(content) - set(known)):
        raise ConfigError(prefix + unknown[0], f"unknown; there are {', '.join(known)}")
    values = {}
    for name, value in content.items():
        nested = known[name].default_factory
        if isinstance(nested, type) and nested is not tuple:
            values[name] = _section(nested, value, f"{prefix}{name}.")
        else:
            values[name] = _value(known[name].type, value, prefix + name)
    return kind(**values)


def _value(kind: Any, value: Any, key: str) -> Any:
    if kind == tuple[str, ...]:
        if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return tuple(value)
    elif kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise ConfigError(key, f"is to be {getattr(kind, '__name__', kind)}")


def _check_range(key: str, value: Any) -> None:
    if not isinstance(value, int | float) or key in ("seed", "fold_seed"):
        return
    if not 0 <= value < float("inf"):
        raise ConfigError(key, "is to be 0 or more")
    if key in _AT_LEAST_ONE and value < 1:
        raise ConfigError(key, "is to be 1 or more")
    if key in _SHARES and value > 1:
        raise ConfigError(key, "is a share, 0 to 1")


def flat(config: TrainConfig) -> dict[str, Any]:
    """Every value by its key, e.g. `schedule.epochs`."""
    found: dict[str, Any] = {}
    for own in fields(config):
        value = getattr(config, own.name)
        if hasattr(value, "__dataclass_fields__"):
            found |= {f"{own.name}.{sub.name}": getattr(value, sub.name) for sub in fields(value)}
        else:
            found[own.name] = value
    return found


def as_toml(config: TrainConfig) -> str:
    """The configuration as `read_config` reads it, every key spelt out."""
    lines: list[str] = []
    section = ""
    for key, value in flat(config).items():
        table, _, name = key.rpartition(".")
        if table != section:
            lines += ["", f"[{table}]"]
            section = table
        written = list(value) if isinstance(value, tuple) else value
        # A TOML string, number, truth value or list of strings is written as JSON writes it.
        lines.append(f"{name} = {json.dumps(written, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
