"""The usual way, to compare speed with: a text-classification pipeline on the same encoder.

Each turn goes through it with three turns of context, as is done where a classifier sees no
session. Its head has two classes and random weights: what it says does not matter, what it costs
does. Both sides take turns in one run, on as many threads as torch and ONNX Runtime take.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector.formats import read_transcript
from detector.pipeline import Detector
from detector.transcript import Transcript
from models.encoding import encode, token_batches
from models.registry import load_checkpoint
from models.runtime import Network
from training.stopwatch import THERAPIST, alternating, as_vtt

N_CONTEXT = 3
"""Turns before a turn that the usual way reads again with it."""

BATCHES = (8, 16, 32)
N_UTTERANCES = 200

PEAK_SHAPE = (2048, 384, 1536)
"""Rows, inner and columns of the matrix product that the peak is measured on: MiniLM's own."""


def measure(checkpoint: str, base: Path, transcript: Transcript, *, n_runs: int) -> Iterator[str]:
    """Lines of the table: whole sessions, single utterances, and the share of the peak.

    Args:
        checkpoint: a name or a folder.
        base: folder of the encoder that the checkpoint was trained from.
        transcript: the session.
        n_runs: of which the median is taken.
    """
    classify = pipeline(base, "text-classification")
    yield from _sessions(Detector.load(checkpoint), classify, transcript, n_runs)
    network = load_checkpoint(checkpoint).network
    texts = [turn.text for turn in transcript.turns][:N_UTTERANCES]
    yield from _utterances(network, base, texts, n_runs)


def pipeline(base: Path, task: str) -> Any:
    """A `transformers` pipeline with this encoder, from its folder, nothing fetched."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    kinds: dict[str, Any] = {
        "text-classification": transformers.AutoModelForSequenceClassification,
        "feature-extraction": transformers.AutoModel,
    }
    model = kinds[task].from_pretrained(base, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base, local_files_only=True)
    make: Any = transformers.pipeline  # its types list every task by name
    return make(task, model=model, tokenizer=tokenizer, device="cpu")


def windows(transcript: Transcript) -> list[str]:
    """Every turn with the turns of context before it."""
    texts = [turn.text for turn in transcript.turns]
    return [" ".join(texts[max(0, i - N_CONTEXT) : i + 1]) for i in range(len(texts))]


def _sessions(
    detector: Detector, classify: Any, transcript: Transcript, n_runs: int
) -> Iterator[str]:
    vtt, given = as_vtt(transcript), windows(transcript)
    by_length = sorted(given, key=len)

    def ours() -> str:
        return detector.analyze(read_transcript(vtt), therapist=THERAPIST).to_json()

    def usual(texts: list[str], size: int) -> Callable[[], object]:
        return lambda: classify(texts, batch_size=size, truncation=True)

    rivals = {"batch 1": usual(given, 1)}
    for size in BATCHES:
        rivals[f"batch {size}"] = usual(given, size)
        rivals[f"batch {size}, sorted by length"] = usual(by_length, size)
    taken = alternating({"ours": ours, **rivals}, n_runs)
    mine = taken.pop("ours")
    n_turns = len(given)
    yield f"| whole session, {n_turns} turns, VTT to JSON, ours | {mine * 1000:.0f} ms |"
    best = min(taken, key=lambda name: taken[name])
    for name in dict.fromkeys(("batch 1", best)):
        which = "" if name == "batch 1" else ", its best"
        yield (
            f"| the same turns with {N_CONTEXT} turns of context, text-classification pipeline, "
            f"{name}{which} | {taken[name] * 1000:.0f} ms: {taken[name] / mine:.1f}x ours |"
        )


def _utterances(network: Network, base: Path, texts: Sequence[str], n_runs: int) -> Iterator[str]:
    classify, read = pipeline(base, "text-classification"), pipeline(base, "feature-extraction")
    taken = alternating(
        {
            "ours": lambda: encode_all(network, texts),
            "text-classification": lambda: [classify(text, truncation=True) for text in texts],
            "feature-extraction": lambda: [read(text) for text in texts],
        },
        n_runs,
    )
    mine = taken.pop("ours")
    yield f"| encoder alone, single utterances | {len(texts) / mine:,.0f} a second |"
    for name, seconds in taken.items():
        yield (
            f"| {name} pipeline, batch 1 | {len(texts) / seconds:,.0f} a second: "
            f"ours is {seconds / mine:.1f}x as fast |"
        )
    work = encode_all(network, texts) * flops_a_token(base) / mine / 1e9
    peaks = peak_gflops()
    shares = ", ".join(f"{work / peak:.0%} of the {name} peak" for name, peak in peaks.items())
    yield f"| its matrix products | {work:.0f} GFLOP/s: {shares} |"
    said = ", ".join(f"{name} {peak:.0f}" for name, peak in peaks.items())
    yield f"| peak of a {' x '.join(map(str, PEAK_SHAPE))} product, GFLOP/s | {said} |"


def encode_all(network: Network, texts: Sequence[str]) -> int:
    """Tokenises single utterances and encodes them, without context; returns their tokens."""
    n_tokens, spec = 0, network.spec
    features = np.zeros((1, len(spec.features)))
    session = _joined(
        [encode(spec, network.tokenizer, [text], ["client"], features) for text in texts]
    )
    for batch in token_batches(session, spec):
        network.encoder({"ids": batch.ids, "mask": batch.mask, "own": batch.own})
        n_tokens += int(batch.mask.sum())
    return n_tokens


def _joined(sessions: Sequence[Any]) -> Any:
    from models.encoding import EncodedSession

    return EncodedSession(
        tuple(tokens for one in sessions for tokens in one.tokens),
        np.concatenate([one.n_context for one in sessions]),
        np.concatenate([one.roles for one in sessions]),
        np.concatenate([one.features for one in sessions]),
    )


def flops_a_token(base: Path) -> float:
    """Floating-point operations of the weights' products for a token; attention aside."""
    import json

    config = json.loads((base / "config.json").read_text("utf-8"))
    size, wide = config["hidden_size"], config["intermediate_size"]
    return float(config["num_hidden_layers"] * 2 * (4 * size * size + 2 * size * wide))


def peak_gflops() -> dict[str, float]:
    """What this machine's matrix products reach with torch, in fp32 and in int8."""
    import torch

    rows, inner, columns = PEAK_SHAPE
    one, other = torch.randn(rows, inner), torch.randn(inner, columns)
    small = [torch.randint(-9, 9, side.shape, dtype=torch.int8) for side in (one, other)]
    taken = alternating(
        {"fp32": lambda: one @ other, "int8": lambda: torch._int_mm(small[0], small[1])}, 30
    )
    return {name: 2 * rows * inner * columns / seconds / 1e9 for name, seconds in taken.items()}
