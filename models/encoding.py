"""Texts, roles and features of one session as arrays: the ONE encoding, for training and serving.

A turn's tokens are `[CLS] context [SEP] turn [SEP]`, the context being the last few tokens of the
turn before; without context `[CLS] turn [SEP]`, as encoders are trained on. Turns of like length go
through the encoder together, so that little is padding. No torch here: serving has none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import CorruptCheckpoint
from models.spec import ROLES, ModelSpec

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

FARTHEST = 5.0
"""Scales from the mean at which a feature is cut: an odd clock must not drown the words."""

BATCH_TOKENS = 512
"""Most tokens, padding included, that go through the encoder at once: bounds the memory, and small
batches hold little padding. Of 256, 512, 1,024 and 4,096 it is the fastest or nearly so in every
precision; 4,096 takes half as long again (docs/benchmarks.md)."""

_AT_ONCE = 1024
"""Texts that are tokenised together: the library's own objects are many times their ids."""


@dataclass(frozen=True)
class EncodedSession:
    """One session, ready for the network.

    `tokens` are each turn's ids, `n_context` how many of them stand before the turn's own (the
    `[CLS]`, and the context with its `[SEP]`). `roles` has shape (n_turns,), places in
    models.spec.ROLES; `features` shape (n_turns, n_features), scaled, no NaN.
    """

    tokens: tuple[IntArray, ...] = field(repr=False)
    n_context: IntArray = field(repr=False)
    roles: IntArray = field(repr=False)
    features: FloatArray = field(repr=False)

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class TokenBatch:
    """Turns that go through the encoder together, padded to the longest.

    `places` has shape (n_turns,): where in the session each row belongs. `ids`, `mask` and `own`
    have shape (n_turns, n_tokens): token ids, 1 where there is one, 1 where it is the turn's own
    and not context. `own` has at least one 1 in every row: the closing `[SEP]`.
    """

    places: IntArray = field(repr=False)
    ids: IntArray = field(repr=False)
    mask: IntArray = field(repr=False)
    own: IntArray = field(repr=False)


def load_tokenizer(path: Path) -> Any:
    """The `tokenizers.Tokenizer` of a checkpoint, without padding or cutting of its own.

    Raises: CorruptCheckpoint: the file is missing or is no tokenizer.
    """
    if not path.is_file():
        raise CorruptCheckpoint(path.name, "it is missing")
    try:
        return read_tokenizer(path.read_text("utf-8"))
    except Exception as error:  # the library raises nothing narrower
        raise CorruptCheckpoint(path.name, "it is no tokenizer") from error


def read_tokenizer(content: str) -> Any:
    """The tokenizer that a `tokenizer.json` holds, without padding or cutting of its own.

    Raises: Exception: of the library's own, where it is no tokenizer.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(content)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def encode(
    spec: ModelSpec,
    tokenizer: Any,
    texts: Sequence[str],
    roles: Sequence[str],
    features: npt.NDArray[np.floating[Any]],
) -> EncodedSession:
    """Encodes one session.

    Args:
        spec: of the checkpoint.
        tokenizer: what `load_tokenizer` gave.
        texts: of the turns, in order.
        roles: of the turns, names of models.spec.ROLES; another name counts as "other".
        features: shape (n_turns, n_features), columns as in `spec.features`; NaN is unknown.

    Raises: ValueError: texts, roles and features are not of one session, or not of this spec.
    """
    needed = (len(texts), len(spec.features))
    if len(roles) != len(texts) or np.shape(features) != needed:
        found = f"{len(roles)} roles, features of shape {np.shape(features)}"
        raise ValueError(f"{len(texts)} turns need features of shape {needed}; there are {found}")
    plain = _token_ids(spec, tokenizer, texts)
    heads = [_context(spec, before) for before in (None, *plain[:-1])]
    known = {name: place for place, name in enumerate(ROLES)}
    return EncodedSession(
        *_joined(spec, heads[: len(plain)], plain),
        roles=np.array([known.get(role, known["other"]) for role in roles], dtype=np.int64),
        features=_scaled(spec, features),
    )


def encode_instead(
    spec: ModelSpec, tokenizer: Any, texts: Sequence[str], before: str | None
) -> EncodedSession:
    """Encodes texts that could each stand after the same turn; with no roles and no features.

    Args:
        spec: of the checkpoint.
        tokenizer: what `load_tokenizer` gave.
        texts: what the turn might say.
        before: what the turn before says; None where there is none.
    """
    last = _token_ids(spec, tokenizer, [before])[0] if before is not None else None
    plain = _token_ids(spec, tokenizer, texts)
    nothing = np.zeros((len(plain), 0), dtype=np.float32)
    return EncodedSession(
        *_joined(spec, [_context(spec, last)] * len(plain), plain),
        roles=np.zeros(len(plain), dtype=np.int64),
        features=nothing,
    )


def _token_ids(spec: ModelSpec, tokenizer: Any, texts: Sequence[str]) -> list[IntArray]:
    """Each text's own ids, cut to the most that a turn may have."""
    found: list[IntArray] = []
    for start in range(0, len(texts), _AT_ONCE):
        # Half of a surrogate pair, as broken JSON leaves it, has no UTF-8: it counts as "?".
        some = [
            text.encode("utf-8", "replace").decode("utf-8")
            for text in texts[start : start + _AT_ONCE]
        ]
        for one in tokenizer.encode_batch_fast(some, add_special_tokens=False):
            found.append(_cut(np.array(one.ids, dtype=np.int64), spec.max_tokens))
    return found


def _joined(
    spec: ModelSpec, heads: Sequence[IntArray], plain: Sequence[IntArray]
) -> tuple[tuple[IntArray, ...], IntArray]:
    close = np.array([spec.sep_id], dtype=np.int64)
    tokens = tuple(
        np.concatenate([head, own, close]) for head, own in zip(heads, plain, strict=True)
    )
    return tokens, np.array([len(head) for head in heads], dtype=np.int64)


def token_batches(session: EncodedSession, spec: ModelSpec) -> Iterator[TokenBatch]:
    """The session's turns in batches of like length, shortest first."""
    lengths = np.array([len(tokens) for tokens in session.tokens], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and lengths[order[stop]] * (stop + 1 - start) <= BATCH_TOKENS:
            stop += 1
        yield _padded(session, order[start:stop], spec)
        start = stop


def _padded(session: EncodedSession, places: IntArray, spec: ModelSpec) -> TokenBatch:
    lengths = np.array([len(session.tokens[place]) for place in places], dtype=np.int64)
    columns = np.arange(lengths.max(), dtype=np.int64)
    mask = (columns < lengths[:, None]).astype(np.int64)
    ids = np.full(mask.shape, spec.pad_id, dtype=np.int64)
    ids[mask == 1] = np.concatenate([session.tokens[place] for place in places])
    own = mask * (columns >= session.n_context[places][:, None])
    return TokenBatch(places, ids, mask, own)


def _cut(ids: IntArray, most: int) -> IntArray:
    """A long turn's beginning and end: a rupture is often in what it comes to."""
    if len(ids) <= most:
        return ids
    tail = most // 4
    return np.concatenate([ids[: most - tail], ids[len(ids) - tail :]])


def _context(spec: ModelSpec, before: IntArray | None) -> IntArray:
    """What stands before a turn's own tokens; `before` are the ids of the turn before."""
    kept = spec.context_tokens
    if before is None or not kept or not len(before):
        return np.array([spec.cls_id], dtype=np.int64)
    return np.array([spec.cls_id, *before[-kept:], spec.sep_id], dtype=np.int64)


def _scaled(spec: ModelSpec, features: npt.NDArray[np.floating[Any]]) -> FloatArray:
    means, scales = np.array(spec.feature_means), np.array(spec.feature_scales)
    distance = (np.asarray(features, dtype=np.float64) - means) / scales
    near = np.nan_to_num(np.clip(distance, -FARTHEST, FARTHEST), nan=0.0)
    return np.asarray(near, dtype=np.float32)
