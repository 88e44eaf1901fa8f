"""Running a checkpoint without torch: two graphs, one for turns, one for the session over them.

Every turn goes through the encoder once, in batches of like length; the session's graph then sees
all turn vectors at once. The graphs are the same for every backend: ONNX Runtime on the CPU (the
default) or on CUDA, and OpenVINO. In fp32 they agree with each other and with torch to
TOLERANCE; an int8 encoder rounds by what else is in a batch, so it agrees only with itself.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.backends import BACKENDS, Graph, open_graph
from models.encoding import (
    EncodedSession,
    FloatArray,
    encode,
    encode_instead,
    load_tokenizer,
    token_batches,
)
from models.errors import CorruptCheckpoint, IncompatibleCheckpoint
from models.spec import ModelSpec, read_spec

TOLERANCE = 1e-3
"""Most that a logit may differ between backends and torch, all in fp32. Stated for what adds up
over six layers and a long session; the tests' small networks agree to 1e-5."""

HALF_TOLERANCE = 1e-2
"""The same for an fp16 encoder. Measured with MiniLM's encoder and random session networks, on the
processor: turn vectors up to 1.1 moved by 0.0012, logits by 0.0004."""

AROUND_TURNS = 64
"""Turns to either side that `word_effects` runs the session's graph over. Without
an end, a word of a long session would cost as much as the session. A judgement: the GRU's memory
of one turn fades long before."""

_RUN_TOGETHER = 32
"""Words of which the session's graph is asked in one run; more would hold more memory (some 13 MB
at 768 units a turn) and be hardly faster."""

MOST_WORDS = 128
"""Words of a turn that are left out one by one; of a longer turn, runs of words are. A
judgement: it bounds what explaining one endless turn can cost."""

HEADS = ("labels", "markers", "strategies", "pillars", "intensity")
"""The session graph's outputs by turn; `ratings` is its output by session."""


@dataclass(frozen=True)
class Prediction:
    """What the network makes of one session: float32 logits, not calibrated.

    `labels`, `markers`, `strategies` and `pillars` have shape (n_turns, n_names), columns as the
    spec names them; `intensity` (n_turns, 1); `ratings` (n_ratings,), NaN where there is no turn.
    `vectors`, shape (n_turns, size), are the encoder's, for `word_effects`.
    """

    labels: FloatArray = field(repr=False)
    markers: FloatArray = field(repr=False)
    strategies: FloatArray = field(repr=False)
    pillars: FloatArray = field(repr=False)
    intensity: FloatArray = field(repr=False)
    ratings: FloatArray = field(repr=False)
    vectors: FloatArray = field(repr=False)


@dataclass(frozen=True, slots=True)
class WordEffect:
    """What a word did: `effect` is how far the label's logit drops without `[start, end)`."""

    start: int
    end: int
    effect: float


@dataclass(frozen=True)
class Network:
    """A checkpoint's graphs, ready to run. Made by `open_network`.

    Args:
        spec: what goes in and comes out.
        backend: one of BACKENDS.
        tokenizer: the checkpoint's `tokenizers.Tokenizer`.
        encoder: the graph of turns.
        session: the graph of the session.
    """

    spec: ModelSpec
    backend: str
    tokenizer: Any = field(repr=False)
    encoder: Graph = field(repr=False)
    session: Graph = field(repr=False)

    def predict(
        self,
        texts: Sequence[str],
        roles: Sequence[str],
        features: npt.NDArray[np.floating[Any]],
    ) -> Prediction:
        """Logits of one session.

        Args:
            texts: of the turns, in order.
            roles: of the turns, names of models.spec.ROLES; another name counts as "other".
            features: shape (n_turns, n_features), columns as in `spec.features`; NaN is unknown.

        Raises: ValueError: the three are not of one session, or not of this spec.
        """
        session = encode(self.spec, self.tokenizer, texts, roles, features)
        if not texts:
            return self._nothing()
        vectors = self._vectors(session)
        found = self._heads(vectors, session)
        return Prediction(
            **{head: self._by_turn(found, head, len(texts)) for head in HEADS},
            ratings=found["ratings"][0] if "ratings" in found else np.zeros(0, np.float32),
            vectors=vectors,
        )

    def word_effects(
        self,
        texts: Sequence[str],
        roles: Sequence[str],
        features: npt.NDArray[np.floating[Any]],
        index: int,
        label: str,
        *,
        vectors: FloatArray | None = None,
    ) -> tuple[WordEffect, ...]:
        """What each word of a turn does to one of its logits, the largest drop first.

        A word is left out, the turn is encoded again, and the session's graph is run with that
        one vector in the place of the turn's, many words in one run. The turns after keep the
        context they had. A negative effect is a word that spoke against the label.

        Args:
            texts: as for `predict`.
            roles: as for `predict`.
            features: as for `predict`.
            index: of the turn.
            label: a name of `spec.labels`, `spec.markers` or `spec.strategies`.
            vectors: `Prediction.vectors` of this session, where it was predicted already.

        Raises:
            ValueError: no such label, or the session is not one that `predict` takes.
            IndexError: no such turn.
        """
        head, column = self._column(label)
        if not 0 <= index < len(texts):
            raise IndexError(f"turn {index} of {len(texts)}")
        whole, words = texts[index], _words(texts[index])
        low, high = max(0, index - AROUND_TURNS), min(len(texts), index + AROUND_TURNS + 1)
        near = self._near(texts, roles, features, low, high)
        if not words:
            return ()
        known = vectors[low:high] if vectors is not None else self._vectors(near)
        cut = [whole[:start] + whole[end:] for start, end in words]
        before = texts[index - 1] if index else None
        instead = self._vectors(encode_instead(self.spec, self.tokenizer, [whole, *cut], before))
        logits = [
            float(logit)
            for first in range(0, len(instead), _RUN_TOGETHER)
            for logit in self._with_instead(
                near, known, index - low, instead[first : first + _RUN_TOGETHER]
            )[head][:, index - low, column]
        ]
        effects = [
            WordEffect(start, end, logits[0] - without)
            for (start, end), without in zip(words, logits[1:], strict=True)
        ]
        return tuple(sorted(effects, key=lambda one: (-one.effect, one.start)))

    def _with_instead(
        self, session: EncodedSession, known: FloatArray, index: int, instead: FloatArray
    ) -> dict[str, FloatArray]:
        """What the heads say with each of these vectors in the place of one turn's."""
        n = len(instead)
        vectors = np.repeat(known[None], n, axis=0)
        vectors[:, index] = instead
        roles = np.repeat(session.roles[None], n, axis=0)
        features = np.repeat(session.features[None], n, axis=0)
        return self.session({"vectors": vectors, "roles": roles, "features": features})

    def _column(self, label: str) -> tuple[str, int]:
        """The head that has this name, and its place there."""
        for head in ("labels", "markers", "strategies"):
            names: tuple[str, ...] = getattr(self.spec, head)
            if label in names:
                return head, names.index(label)
        raise ValueError(f"the checkpoint has no label {label!r}")

    def _near(
        self,
        texts: Sequence[str],
        roles: Sequence[str],
        features: npt.NDArray[np.floating[Any]],
        low: int,
        high: int,
    ) -> EncodedSession:
        """The turns `[low, high)`, encoded as in their session: with the turn before the first."""
        first = max(0, low - 1)
        part = slice(first, high)
        found = encode(self.spec, self.tokenizer, texts[part], roles[part], features[part])
        kept = slice(low - first, None)
        return EncodedSession(
            found.tokens[kept], found.n_context[kept], found.roles[kept], found.features[kept]
        )

    def _vectors(self, session: EncodedSession) -> FloatArray:
        return read_vectors(self.encoder, session, self.spec)

    def _heads(self, vectors: FloatArray, session: EncodedSession) -> dict[str, FloatArray]:
        return self.session(
            {
                "vectors": vectors[None],
                "roles": session.roles[None],
                "features": session.features[None],
            }
        )

    def _by_turn(self, found: Mapping[str, FloatArray], head: str, n_turns: int) -> FloatArray:
        return found[head][0] if head in found else np.zeros((n_turns, 0), dtype=np.float32)

    def _nothing(self) -> Prediction:
        empty = {head: np.zeros((0, _width(self.spec, head)), np.float32) for head in HEADS}
        ratings = np.full(len(self.spec.ratings), np.nan, dtype=np.float32)
        return Prediction(**empty, ratings=ratings, vectors=np.zeros((0, 0), np.float32))


def read_vectors(encoder: Graph, session: EncodedSession, spec: ModelSpec) -> FloatArray:
    """Vectors of a session's turns, each in its place: shape (n_turns, size).

    Only one batch of tokens is held at a time. The session has at least one turn.
    """
    whole: FloatArray | None = None
    for batch in token_batches(session, spec):
        found = encoder({"ids": batch.ids, "mask": batch.mask, "own": batch.own})["vectors"]
        if whole is None:
            whole = np.empty((len(session), found.shape[1]), dtype=np.float32)
        whole[batch.places] = found
    assert whole is not None, "a session without turns has no vectors"  # noqa: S101
    return whole


def open_network(folder: Path, *, backend: str = "cpu", threads: int | None = None) -> Network:
    """The network of a checkpoint's folder.

    Hashes are not looked at here, but for the tokenizer's: models.registry does that.

    Args:
        folder: with `spec.json`, `tokenizer.json`, `encoder.onnx` and `session.onnx`.
        backend: "cpu", "cuda" (the encoder on the GPU, in fp16 where the folder has
            `encoder-fp16.onnx`) or "openvino" (the CPU).
        threads: that one run may use; None leaves it to the backend (all cores).

    Raises:
        ValueError: no such backend.
        MissingBackend: its library, or its device, is not there.
        CorruptCheckpoint: a file is missing or broken.
        IncompatibleCheckpoint: tokenizer or graphs are not those of the spec.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is one of {', '.join(BACKENDS)}")
    spec = read_spec(_read(folder / "spec.json").decode("utf-8", "replace"))
    found = hashlib.sha256(_read(folder / "tokenizer.json")).hexdigest()
    if found != spec.tokenizer_sha256:
        raise IncompatibleCheckpoint("tokenizer.json", found[:12], spec.tokenizer_sha256[:12])
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    encoder = open_graph(_encoder_file(folder, backend), backend=backend, threads=threads)
    # The session's graph is small and goes step by step: a GPU would only wait in it.
    beside = "cpu" if backend == "cuda" else backend
    session = open_graph(folder / "session.onnx", backend=beside, threads=threads)
    network = Network(spec, backend, tokenizer, encoder, session)
    _check_graphs(network)
    return network


def _encoder_file(folder: Path, backend: str) -> Path:
    half = folder / "encoder-fp16.onnx"
    return half if backend == "cuda" and half.is_file() else folder / "encoder.onnx"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorruptCheckpoint(path.name, "it is missing or cannot be read") from error


def _check_graphs(network: Network) -> None:
    """Runs an empty turn, the longest, and two sessions at once: all come out as the spec says."""
    spec = network.spec
    longest = np.full((1, spec.context_tokens + spec.max_tokens + 3), spec.sep_id, dtype=np.int64)
    ones = np.ones_like(longest)
    try:
        roles, features = ["client"], np.zeros((1, len(spec.features)))
        found = network.predict([""], roles, features)
        network.encoder({"ids": longest, "mask": ones, "own": ones})
        network.word_effects(["one"], roles, features, 0, spec.labels[0])
    except KeyError as error:
        raise CorruptCheckpoint("encoder.onnx", "it gives no turn vectors") from error
    except Exception as error:  # each backend has its own kinds, and no base of them
        raise IncompatibleCheckpoint(
            "graphs",
            "not for what its spec says",
            f"{len(spec.features)} features, turns of {longest.size} tokens, many sessions at once",
        ) from error
    for head in (*HEADS, "ratings"):
        if (width := getattr(found, head).shape[-1]) != _width(spec, head):
            raise IncompatibleCheckpoint(
                f"session.onnx: {head}", f"{width} wide", _width(spec, head)
            )


def _width(spec: ModelSpec, head: str) -> int:
    return 1 if head == "intensity" else len(getattr(spec, head))


def _words(text: str) -> tuple[tuple[int, int], ...]:
    """Where the words are that are left out, `[start, end)`; runs of them in a long turn."""
    places = [match.span() for match in re.finditer(r"\S+", text)]
    run = max(1, math.ceil(len(places) / MOST_WORDS))
    groups = (places[start : start + run] for start in range(0, len(places), run))
    return tuple((group[0][0], group[-1][1]) for group in groups)
