"""Sessions as batches of arrays: the encoding of models.encoding, with targets beside it.

Tokens, context and features come from the one encoding that serving uses. Here sessions are cut
to windows, laid side by side, and what a turn should say is put next to what it says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.encoding import EncodedSession, encode, token_batches
from models.spec import ModelSpec
from training.examples import SPEAKER_OF

if TYPE_CHECKING:
    from datasets import Dataset

Array = npt.NDArray[Any]

BY_TURN = ("labels", "markers", "strategies", "intensity", "sure", "pillar", "talk", "behaviour")
"""Columns of training.examples.as_dataset that have one entry a turn."""

LEAST_BINARY_SCALE = 0.3
"""Least scale of a yes-or-no feature: a rare sign must not be blown up. A judgement; the
deviation of something that one turn in ten has."""


@dataclass(frozen=True)
class PreparedSession:
    """One session, encoded. `targets` holds arrays by name, the first axis being turns.

    `vectors`, shape (n_turns, size), are there where the encoder is not trained: it reads the
    session once, and nothing is read of its tokens again.
    """

    session_id: str
    is_real: bool
    encoded: EncodedSession = field(repr=False)
    targets: Mapping[str, Array] = field(repr=False)
    ratings: Array = field(repr=False)
    vectors: Array | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.encoded)


def prepare(dataset: "Dataset", spec: ModelSpec, tokenizer: Any) -> list[PreparedSession]:
    """Encodes the rows of training.examples.as_dataset, in order."""
    # Not in the library's numpy format: it makes float32 of a feature before it is scaled.
    return [_prepared(row, spec, tokenizer) for row in dataset]


def _prepared(row: Mapping[str, Any], spec: ModelSpec, tokenizer: Any) -> PreparedSession:
    roles = [str(role) for role in row["role"]]
    texts = [str(text) for text in row["text"]]
    own = np.array([[role == speaker for speaker in SPEAKER_OF] for role in roles])
    # Of a turn that nobody has coded no label is anybody's: it is context alone.
    own = own * np.asarray(row["coded"])[:, None]
    targets = {name: _narrow(np.asarray(row[name])) for name in BY_TURN}
    return PreparedSession(
        session_id=str(row["session_id"]),
        is_real=bool(row["is_real"]),
        encoded=encode(spec, tokenizer, texts, roles, np.asarray(row["features"])),
        targets={**targets, "own": own.astype(np.float32)},
        ratings=np.asarray(row["ratings"], dtype=np.float32),
    )


def _narrow(values: Array) -> Array:
    """float32 for measures; whole numbers stay int64, as torch wants a choice."""
    return values.astype(np.float32) if values.dtype.kind == "f" else values.astype(np.int64)


def scaling(matrices: Iterable[Array]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and scale of each feature over these sessions' turns, NaN aside.

    The scale is the standard deviation, 1 where nothing varies; a yes-or-no feature's is at
    least LEAST_BINARY_SCALE. A feature that is nowhere known has mean 0 and scale 1.
    """
    x = np.concatenate(list(matrices))
    known = ~np.isnan(x)
    counts = np.maximum(known.sum(axis=0), 1)
    means = np.nansum(x, axis=0) / counts
    spread = np.sqrt(np.nansum((x - means) ** 2, axis=0) / counts)
    spread = np.where(spread < 1e-6, 1.0, spread)
    is_binary = np.isin(np.nan_to_num(x), (0.0, 1.0)).all(axis=0)
    scales = np.where(is_binary, np.maximum(spread, LEAST_BINARY_SCALE), spread)
    return tuple(map(float, means)), tuple(map(float, scales))


class Draw(NamedTuple):
    """One session of an epoch: its place among the prepared ones, and the seed of its window."""

    place: int
    seed: tuple[int, ...]


class SessionPool(torch.utils.data.Dataset[Draw]):
    """What an epoch goes through: fixed sessions, and a fresh sample of others.

    `copies` names, for a place, the places of its noisy copies. Everything hangs on seed and
    epoch alone, so that a resumed run sees what it would have seen.

    Args:
        fixed: places of the sessions that every epoch sees.
        others: places of the sessions that are sampled from, each at most once an epoch.
        n_others: how many of them an epoch sees.
        seed: of everything that is drawn.
        copies: places of the noisy copies, by place.
        share: how often a copy stands for the session, 0..1.
    """

    def __init__(
        self,
        fixed: Sequence[int],
        others: Sequence[int] = (),
        n_others: int = 0,
        *,
        seed: int,
        copies: Mapping[int, Sequence[int]] | None = None,
        share: float = 0.0,
    ) -> None:
        self.fixed, self.others = tuple(fixed), tuple(others)
        self.n_others = min(n_others, len(self.others))
        self.seed, self.copies, self.share = seed, dict(copies or {}), share
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draws the sample of this epoch."""
        self.epoch = epoch
        rng = np.random.default_rng([self.seed, epoch])
        drawn = rng.choice(len(self.others), self.n_others, replace=False) if self.others else ()
        self.places = (*self.fixed, *(self.others[place] for place in drawn))

    def __len__(self) -> int:
        return len(self.fixed) + self.n_others

    def __getitem__(self, index: int) -> Draw:
        place = self.places[index]
        seed = (self.seed, self.epoch, place)
        rng = np.random.default_rng([*seed, 1])
        copies = self.copies.get(place, ())
        if copies and rng.random() < self.share:
            place = int(copies[int(rng.integers(len(copies)))])
        return Draw(place, seed)


@dataclass(frozen=True)
class Collator:
    """Draws to what RuptureModel.forward takes, with `labels` beside it.

    Args:
        sessions: all prepared sessions.
        spec: of the network.
        most_turns: a longer session is cut to a window of so many turns, drawn anew each epoch;
            None: never.
    """

    sessions: Sequence[PreparedSession] = field(repr=False)
    spec: ModelSpec = field(repr=False)
    most_turns: int | None = 128

    def __call__(self, draws: Sequence[Draw]) -> dict[str, Any]:
        """One batch, sessions padded to the longest window."""
        windows = [self._window(draw) for draw in draws]
        width = max(stop - start for _, start, stop in windows)
        return {
            "roles": _pad([s.encoded.roles[a:b] for s, a, b in windows], width),
            "features": _pad([s.encoded.features[a:b] for s, a, b in windows], width),
            "lengths": torch.tensor([stop - start for _, start, stop in windows]),
            **self._read(windows, width),
            "labels": _targets(windows, width),
        }

    def _window(self, draw: Draw) -> tuple[PreparedSession, int, int]:
        session = self.sessions[draw.place]
        length = len(session)
        if self.most_turns is None or length <= self.most_turns:
            return session, 0, length
        rng = np.random.default_rng([*draw.seed, 2])
        start = int(rng.integers(length - self.most_turns + 1))
        return session, start, start + self.most_turns

    def _read(
        self, windows: Sequence[tuple[PreparedSession, int, int]], width: int
    ) -> dict[str, Any]:
        """The turns' vectors where all are known, else their tokens."""
        known = [s.vectors[a:b] for s, a, b in windows if s.vectors is not None]
        if len(known) == len(windows):
            return {"vectors": _pad(known, width)}
        return {"batches": self._tokens(windows, width)}

    def _tokens(
        self, windows: Sequence[tuple[PreparedSession, int, int]], width: int
    ) -> list[dict[str, Tensor]]:
        """Token batches over all windows' turns; `places` count through the padded rows."""
        side_by_side = EncodedSession(
            tokens=tuple(ids for s, a, b in windows for ids in s.encoded.tokens[a:b]),
            n_context=np.concatenate([s.encoded.n_context[a:b] for s, a, b in windows]),
            roles=np.concatenate([s.encoded.roles[a:b] for s, a, b in windows]),
            features=np.concatenate([s.encoded.features[a:b] for s, a, b in windows]),
        )
        rows = [row * width + np.arange(b - a) for row, (_, a, b) in enumerate(windows)]
        places = np.concatenate(rows)
        return [
            {
                "places": torch.from_numpy(places[batch.places]),
                "ids": torch.from_numpy(batch.ids),
                "mask": torch.from_numpy(batch.mask),
                "own": torch.from_numpy(batch.own),
            }
            for batch in token_batches(side_by_side, self.spec)
        ]


def _targets(windows: Sequence[tuple[PreparedSession, int, int]], width: int) -> dict[str, Tensor]:
    """Targets of a batch; padding is nobody's turn (`own` 0) and has no choice (-1)."""
    found = {
        name: _pad(
            [s.targets[name][a:b] for s, a, b in windows],
            width,
            fill=-1 if windows[0][0].targets[name].dtype.kind == "i" else 0,
        )
        for name in windows[0][0].targets
    }
    found["pillars"] = found.pop("pillar")
    real = [np.full(b - a, s.is_real, dtype=np.float32) for s, a, b in windows]
    ratings = torch.from_numpy(np.stack([s.ratings for s, _, _ in windows]))
    return {**found, "is_real": _pad(real, width), "ratings": ratings}


def _pad(parts: Sequence[Array], width: int, *, fill: float = 0) -> Tensor:
    """Arrays of differing length as one of shape (n, width, …)."""
    whole = np.full((len(parts), width, *parts[0].shape[1:]), fill, dtype=parts[0].dtype)
    for row, part in zip(whole, parts, strict=True):
        row[: len(part)] = part
    return torch.from_numpy(whole)
