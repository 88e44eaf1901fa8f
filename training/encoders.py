"""The encoder that a run starts from: a folder, or a name on the hub that is already here."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from detector.codebook import load_codebook
from detector.network import check
from models.encoding import EncodedSession, read_tokenizer
from models.errors import ModelError
from models.registry import load_checkpoint
from models.spec import ModelSpec
from training.config import ConfigError, TrainConfig

if TYPE_CHECKING:
    from torch import nn

    from models.network import RuptureModel

_MARKS = (("[CLS]", "[SEP]", "[PAD]"), ("<s>", "</s>", "<pad>"))
"""Begin, end and padding as encoders' tokenizers name them: of BERT's kind, of RoBERTa's kind."""


@dataclass(frozen=True)
class Base:
    """A pre-trained encoder with its tokenizer. `sha256` is of its weights."""

    model: Any = field(repr=False)
    tokenizer_json: bytes = field(repr=False)
    cls_id: int
    sep_id: int
    pad_id: int
    sha256: str

    def tokenizer(self) -> Any:
        """The tokenizer, without padding or cutting of its own."""
        return read_tokenizer(self.tokenizer_json.decode("utf-8"))


def load_base(name: str, config: TrainConfig, *, allow_download: bool = False) -> Base:
    """The encoder of this folder or name; nothing is fetched unless that is allowed.

    Raises: ConfigError: not here, weights that are not safetensors, no `tokenizer.json`, no
        begin and end marks, or turns that are too long for it.
    """
    from transformers import AutoModel
    from transformers.utils import logging as library
    from transformers.utils.hub import cached_file

    library.set_verbosity_error()
    library.disable_progress_bar()
    offline = not allow_download
    try:
        tokenizer_file = cached_file(name, "tokenizer.json", local_files_only=offline)
        model, loaded = AutoModel.from_pretrained(
            name, local_files_only=offline, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise ConfigError("encoder.base", _absent(name, allow_download)) from error
    if tokenizer_file is None:
        raise ConfigError("encoder.base", _absent(name, allow_download))
    content = Path(tokenizer_file).read_bytes()
    marks = _marks(read_tokenizer(content.decode("utf-8")))
    _check_length(model, config)
    _shorten(model, config.encoder.layers)
    return Base(model, content, *marks, sha256=_hash(model, loaded["missing_keys"]))


@dataclass(frozen=True, slots=True)
class Start:
    """A published checkpoint that training goes on from: its folder, whole, and its contract."""

    folder: Path
    spec: ModelSpec = field(repr=False)

    def model(self) -> "RuptureModel":
        """The whole network as it was published, in fp32."""
        from models.network import RuptureModel

        found: RuptureModel = RuptureModel.from_pretrained(self.folder, local_files_only=True)
        return found

    def base(self) -> Base:
        """Its encoder with its tokenizer."""
        weights = (self.folder / "model.safetensors").read_bytes()
        return Base(
            self.model().encoder.base,
            (self.folder / "tokenizer.json").read_bytes(),
            self.spec.cls_id,
            self.spec.sep_id,
            self.spec.pad_id,
            sha256=hashlib.sha256(weights).hexdigest(),
        )


def open_start(name: str) -> Start:
    """The checkpoint of this name or folder, every file checked.

    Raises: ConfigError: there is none, it is broken, of another codebook, or without weights.
    """
    try:
        found = load_checkpoint(name)
        check(found.spec, load_codebook())
    except ModelError as error:
        raise ConfigError("encoder.start", f"{error}; `rupture models list` shows them") from None
    if not (found.folder / "model.safetensors").is_file():
        raise ConfigError("encoder.start", f"{found.name} has no weights to train: take another")
    return Start(found.folder, found.spec)


def _shorten(model: "nn.Module", n_layers: int) -> None:
    """Keeps the lowest layers of an encoder; 0 keeps all."""
    if not n_layers:
        return
    name, layers = layers_of(model)
    if n_layers > len(layers):
        raise ConfigError("encoder.layers", f"the encoder has {len(layers)} layers")
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layers[:n_layers])
    model.config.num_hidden_layers = n_layers  # type: ignore[union-attr]


def layers_of(base: "nn.Module") -> tuple[str, "nn.ModuleList"]:
    """An encoder's stack of layers, with its name: the list as long as the encoder is deep.

    Raises: ConfigError: there is no such list.
    """
    from torch import nn

    depth = base.config.num_hidden_layers  # type: ignore[union-attr]
    for name, module in base.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return name, module
    raise ConfigError("encoder.base", "no stack of layers found; take another encoder")


def is_fixed(config: TrainConfig, model: "RuptureModel") -> bool:
    """Whether no part of the encoder is trained: its vectors can be read once and kept."""
    n_layers = len(layers_of(model.encoder.base)[1])
    return config.encoder.frozen_layers == n_layers and not config.encoder.lora_rank


def open_reader(
    model: "RuptureModel", spec: ModelSpec, precision: str
) -> Callable[[EncodedSession], npt.NDArray[np.float32]]:
    """Reads sessions with the very graph that will serve: vectors of shape (n_turns, size).

    What is trained on such vectors has met what the precision does to them, so that int8 costs
    it nothing later.

    Args:
        model: whose encoder reads.
        spec: the network's contract.
        precision: one of training.config.PRECISIONS.
    """
    from models.backends import open_graph
    from models.runtime import read_vectors
    from training.export import export_encoder, write_encoder

    model.train(False)
    with TemporaryDirectory() as folder:
        plain, path = Path(folder) / "plain.onnx", Path(folder) / "encoder.onnx"
        export_encoder(model, plain)
        write_encoder(plain, path, precision)
        graph = open_graph(path)

    return lambda session: read_vectors(graph, session, spec)


def _absent(name: str, allow_download: bool) -> str:
    where = "it cannot be had" if allow_download else "it is not on this machine"
    return (
        f"{Path(name).name}: {where}, or has no model.safetensors and tokenizer.json: give its "
        "folder (--base, RUPTURE_BASE), or --allow-download"
    )


def _marks(tokenizer: Any) -> tuple[int, int, int]:
    for names in _MARKS:
        found = [tokenizer.token_to_id(name) for name in names]
        if None not in found:
            return found[0], found[1], found[2]
    raise ConfigError("encoder.base", "its tokenizer has no begin, end and padding marks we know")


def _check_length(model: Any, config: TrainConfig) -> None:
    """Turn, context and three marks must fit into the encoder's positions."""
    longest = config.encoder.max_tokens + config.encoder.context_tokens + 3
    most = getattr(model.config, "max_position_embeddings", None)
    if most is not None and longest > most:
        raise ConfigError("encoder.max_tokens", f"{longest} with context, the encoder reads {most}")


def _hash(model: Any, absent: Collection[str]) -> str:
    """Of the weights, name by name; what the files lack is drawn anew each time and left out."""
    digest = hashlib.sha256()
    kept = {n: weight for n, weight in model.state_dict().items() if n not in absent}
    for name, weight in sorted(kept.items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()
