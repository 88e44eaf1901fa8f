"""The network: an encoder reads each turn once, a small network over them sees the whole session.

Any Hugging Face encoder can be the base. Its turn vectors, with role, rule and timing features,
go through a bidirectional GRU over the session; the heads sit on both. Several such session
networks may share one encoder (`n_members`): their outputs are averaged, which steadies scores
that few examples teach. Torch lives in this file alone; serving runs the exported graphs.
"""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    PretrainedConfig,
    PreTrainedModel,
)

from models.errors import IncompatibleCheckpoint, UnknownCheckpoint
from models.spec import ROLES

HEADS = ("labels", "markers", "strategies", "pillars", "intensity", "talk", "behaviour")
"""Outputs by turn. `talk` and `behaviour` (AnnoMI's own codes) only help training; no graph has
them."""


_OF_A_FILE = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
"""Entries of a base's configuration that say where and how its file was kept: ours is another,
and the first may be a path of somebody's machine."""


class RuptureConfig(PretrainedConfig):
    """Sizes and names of a RuptureModel.

    Args:
        encoder: the base encoder's own configuration, as its `config.json` holds it.
        labels, markers, strategies, pillars, ratings, talk, behaviour: names of the heads'
            columns, in order.
        n_features: rule and timing columns by turn; 0: words alone.
        sees_session: whether a turn is read among the others; without, each stands alone (a
            baseline).
        session_size: units of the GRU in each direction, and of the turn's projection.
        feature_size: units that the features are brought to.
        n_members: session networks whose outputs are averaged.
        dropout: share of units dropped in training, in the session networks.
    """

    model_type = "rupture"

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        labels: Sequence[str] = (),
        markers: Sequence[str] = (),
        strategies: Sequence[str] = (),
        pillars: Sequence[str] = (),
        ratings: Sequence[str] = (),
        talk: Sequence[str] = (),
        behaviour: Sequence[str] = (),
        n_features: int = 0,
        sees_session: bool = True,
        session_size: int = 96,
        feature_size: int = 64,
        n_members: int = 1,
        dropout: float = 0.3,
        **others: Any,
    ) -> None:
        self.encoder = {k: v for k, v in (encoder or {}).items() if k not in _OF_A_FILE}
        self.labels, self.markers, self.strategies = [*labels], [*markers], [*strategies]
        self.pillars, self.ratings = [*pillars], [*ratings]
        self.talk, self.behaviour = [*talk], [*behaviour]
        self.n_features, self.sees_session = n_features, sees_session
        self.session_size = session_size
        self.feature_size, self.n_members, self.dropout = feature_size, n_members, dropout
        super().__init__(**others)

    def columns(self, head: str) -> int:
        """Outputs of a head: one a name, and one for the intensity."""
        return 1 if head == "intensity" else len(getattr(self, head))


class TurnEncoder(nn.Module):
    """Token ids to one vector a turn: the mean over the turn's own tokens, and their highest.

    The mean says what a turn is about; one word that strains a long turn shows in the highest
    value of each unit (docs/experiments.md).
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.base = encoder

    @property
    def size(self) -> int:
        """Length of a turn vector."""
        return 2 * int(self.base.config.hidden_size)  # type: ignore[union-attr,arg-type]

    def forward(self, ids: Tensor, mask: Tensor, own: Tensor) -> Tensor:
        """Vectors of turns.

        Args:
            ids: shape (n_turns, n_tokens), int64, as models.encoding.TokenBatch holds them.
            mask: likewise.
            own: likewise.

        Returns: shape (n_turns, size), float32.
        """
        given = {"input_ids": ids, "attention_mask": mask}
        if getattr(self.base.config, "type_vocab_size", 0) > 1:
            # The context takes the second kind, so that the turn looks as in pre-training.
            given["token_type_ids"] = mask - own
        hidden = self.base(**given).last_hidden_state.float()
        weight = own.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weight).sum(dim=1) / weight.sum(dim=1)
        highest = hidden.masked_fill(weight == 0, _NO_TOKEN).amax(dim=1)
        return torch.cat([mean, highest], dim=-1)


_NO_TOKEN = -1e4
"""Stands where there is no token of the turn's own; lower than any unit, and a number in fp16."""


_ROLE_SIZE = 8

LEAST_SPREAD = 1e-4
"""Least deviation of a unit of turn vectors: one that never varies is not blown up."""


class Standardise(nn.Module):
    """Turn vectors with every unit brought to mean 0 and deviation 1, as measured once.

    What turns have in common fills most of a frozen encoder's vector; brought unit by unit to
    one scale, what tells them apart is as loud as what does not. Both are buffers: they travel
    with the weights and are not trained.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))

    def measure(self, vectors: Tensor) -> None:
        """Takes centre and spread from vectors of shape (n_turns, size)."""
        self.centre.copy_(vectors.mean(dim=0))
        self.spread.copy_(vectors.std(dim=0, correction=0).clamp(min=LEAST_SPREAD))

    def forward(self, vectors: Tensor) -> Tensor:
        """The same shape, units in deviations from the mean."""
        return (vectors - self.centre) / self.spread


class SessionNetwork(nn.Module):
    """Turn vectors, roles and features of whole sessions to the heads' logits."""

    def __init__(self, config: RuptureConfig, vector_size: int) -> None:
        super().__init__()
        size, features = config.session_size, config.feature_size if config.n_features else 0
        self.vector = nn.Linear(vector_size, size)
        self.features = nn.Linear(config.n_features, features) if features else None
        self.role = nn.Embedding(len(ROLES), _ROLE_SIZE)
        narrow = size + features + _ROLE_SIZE
        self.norm = nn.LayerNorm(narrow)
        self.around = (
            nn.GRU(narrow, size, batch_first=True, bidirectional=True)
            if config.sees_session
            else None
        )
        self.drop = nn.Dropout(config.dropout)
        wide = narrow + (2 * size if config.sees_session else 0)
        self.heads = nn.ModuleDict(
            {head: nn.Linear(wide, config.columns(head)) for head in HEADS if config.columns(head)}
        )
        self.ratings = nn.Linear(2 * wide, len(config.ratings)) if config.ratings else None

    def forward(
        self, vectors: Tensor, roles: Tensor, features: Tensor, lengths: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits by head.

        Args:
            vectors: shape (n_sessions, n_turns, vector_size), standardised.
            roles: shape (n_sessions, n_turns), int64.
            features: shape (n_sessions, n_turns, n_features).
            lengths: turns of each session where they differ, int64; None for one session.

        Returns: by head (n_sessions, n_turns, n_columns); `ratings` (n_sessions, n_ratings).
        """
        parts = [nn.functional.gelu(self.vector(self.drop(vectors)))]
        if self.features is not None:
            parts.append(nn.functional.gelu(self.features(self.drop(features))))
        turn = self.drop(self.norm(torch.cat([*parts, self.role(roles)], dim=-1)))
        wide = turn
        if self.around is not None:
            wide = torch.cat([turn, self.drop(self._see(turn, lengths))], dim=-1)
        found = {head: layer(wide) for head, layer in self.heads.items()}
        if self.ratings is not None:
            found["ratings"] = self.ratings(_summary(wide, lengths))
        return found

    def _see(self, turn: Tensor, lengths: Tensor | None) -> Tensor:
        """What the GRU makes of each turn among the others; padding is never seen."""
        assert self.around is not None  # noqa: S101 - asked only where there is one
        if lengths is None:
            seen: Tensor = self.around(turn)[0]
            return seen
        packed = nn.utils.rnn.pack_padded_sequence(
            turn, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        seen, _ = nn.utils.rnn.pad_packed_sequence(
            self.around(packed)[0], batch_first=True, total_length=turn.shape[1]
        )
        return seen


def _summary(wide: Tensor, lengths: Tensor | None) -> Tensor:
    """Mean and highest over a session's turns: shape (n_sessions, 2 * n_units)."""
    if lengths is None:
        return torch.cat([wide.mean(dim=1), wide.amax(dim=1)], dim=-1)
    there = (torch.arange(wide.shape[1], device=wide.device) < lengths[:, None]).unsqueeze(-1)
    mean = (wide * there).sum(dim=1) / there.sum(dim=1)
    return torch.cat([mean, wide.masked_fill(~there, _NO_TOKEN).amax(dim=1)], dim=-1)


class RuptureModel(PreTrainedModel):
    """The whole network. `forward` takes what training.batches makes; see also `read_turns`."""

    config_class = RuptureConfig
    base_model_prefix = "rupture"
    supports_gradient_checkpointing = True

    def __init__(self, config: RuptureConfig) -> None:
        super().__init__(config)
        self.encoder = TurnEncoder(_fresh_base(config.encoder))
        self.standardise = Standardise(self.encoder.size)
        self.members = nn.ModuleList(
            SessionNetwork(config, self.encoder.size) for _ in range(config.n_members)
        )
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def from_pretrained(cls, *where: Any, **given: Any) -> Any:
        """As the library's, but in fp32, from safetensors, and without a call to any hub.

        A checkpoint holds fp16 to be small; to train on it takes fp32. What is given wins:
        `local_files_only=False` lets the first argument be a name on a hub.

        Raises: UnknownCheckpoint: no such folder. The library would look for it in its cache,
            and on the way ask the hub who is asking, `local_files_only` or not.
            IncompatibleCheckpoint: weights are missing. The library would only warn, and leave
            there whatever the memory held.
        """
        ours = {"dtype": torch.float32, "local_files_only": True, "use_safetensors": True}
        given = {**ours, **given}
        if given["local_files_only"] and not Path(where[0]).is_dir():
            raise UnknownCheckpoint(str(where[0]))
        wants_report = given.pop("output_loading_info", False)
        loaded: Any = super().from_pretrained(*where, output_loading_info=True, **given)
        model, report = loaded
        if lacking := sorted(report["missing_keys"]):
            without = "without " + ", ".join(lacking[:3])
            raise IncompatibleCheckpoint("weights", without, "all of them", file=str(where[0]))
        return (model, report) if wants_report else model

    def get_input_embeddings(self) -> nn.Module:
        """The base encoder's; LoRA and gradient checkpointing ask for them."""
        found: nn.Module = self.encoder.base.get_input_embeddings()  # type: ignore[operator]
        return found

    def _init_weights(self, module: nn.Module) -> None:
        """Leaves every weight as its layer drew it.

        The library would draw all of them with a deviation of .02, which is made for deep
        encoders: beside vectors and features of 1 nothing of the roles would be seen at first.
        """

    def read_turns(self, batches: Sequence[dict[str, Tensor]], n_turns: int) -> Tensor:
        """Vectors of all turns, each in its place: shape (n_turns, vector_size)."""
        places = torch.cat([batch["places"] for batch in batches])
        vectors = torch.cat([self.encoder(b["ids"], b["mask"], b["own"]) for b in batches])
        whole = vectors.new_zeros((n_turns, vectors.shape[1]))
        return whole.index_copy(0, places, vectors)

    def forward(
        self,
        roles: Tensor,
        features: Tensor,
        lengths: Tensor,
        batches: Sequence[dict[str, Tensor]] = (),
        vectors: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Logits of sessions, padded side by side.

        Args:
            roles: shape (n_sessions, n_turns), int64.
            features: shape (n_sessions, n_turns, n_features), float32.
            lengths: turns of each session, shape (n_sessions,), int64.
            batches: token batches; `places` count through the padded sessions, row by row.
            vectors: turn vectors where they are known already, instead of `batches`, as the
                encoder gave them.

        Returns: as SessionNetwork.forward: the members' mean; in training each member's own, the
            first axis being the members. Taught by their mean they would lean on each other, and
            averaging them would steady nothing.
        """
        if vectors is None:
            vectors = self.read_turns(batches, roles.numel()).view(*roles.shape, -1)
        vectors = self.standardise(vectors)
        found = [member(vectors, roles, features, lengths) for member in self.members]
        apart = {head: torch.stack([one[head] for one in found]) for head in found[0]}
        return apart if self.training else {h: own.mean(dim=0) for h, own in apart.items()}


def _fresh_base(encoder: dict[str, Any]) -> PreTrainedModel:
    """A base encoder with random weights, without the pooler that mean pooling leaves unused."""
    kind = dict(encoder)
    config = AutoConfig.for_model(kind.pop("model_type", "bert"), **kind)
    made: Any = MODEL_MAPPING[type(config)]
    accepted = inspect.signature(made[0] if isinstance(made, tuple) else made).parameters
    without = {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}
    base: PreTrainedModel = AutoModel.from_config(config, **without)
    return base


def from_base(config: RuptureConfig, base: PreTrainedModel) -> RuptureModel:
    """A model with fresh session networks over the weights of a pre-trained encoder.

    Raises: IncompatibleCheckpoint: the base lacks weights that its configuration asks for.
    """
    config = RuptureConfig(**{**config.to_dict(), "encoder": base.config.to_dict()})
    model = RuptureModel(config)
    # Pooler and other tops that mean pooling does not use are left out, so not strict.
    found = model.encoder.base.load_state_dict(base.state_dict(), strict=False)
    if found.missing_keys:
        raise IncompatibleCheckpoint(
            "encoder", "without " + ", ".join(found.missing_keys[:3]), "all its weights"
        )
    return model


def register() -> None:
    """Makes AutoConfig and AutoModel know `rupture`."""
    AutoConfig.register("rupture", RuptureConfig, exist_ok=True)
    AutoModel.register(RuptureConfig, RuptureModel, exist_ok=True)
