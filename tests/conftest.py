"""What the tests of every room share: hand-made transcripts, the rules, and no network."""

import hashlib
import json
import os
import socket
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from detector.codebook import PILLARS, load_codebook
from detector.markers import MarkerRules
from detector.transcript import Cue, Role, Transcript

if TYPE_CHECKING:
    from detector import Detector
    from models.spec import ModelSpec

MakeTranscript = Callable[..., Transcript]

ROLES = {"T": Role.THERAPIST, "C": Role.CLIENT, "O": Role.OTHER}


def build(
    *lines: str,
    times: Sequence[tuple[float | None, float | None]] = (),
    every_s: float | None = None,
    **more: Any,
) -> Transcript:
    """A transcript of `T: …`, `C: …` lines, one cue each; other letters have no role.

    `times` gives a start and an end for each line; `every_s` gives only starts, that far apart.
    """
    if every_s is not None:
        times = [(every_s * place, None) for place in range(len(lines))]
    cues = []
    for place, line in enumerate(lines):
        who, text = line.split(": ", 1)
        start, end = times[place] if times else (None, None)
        role = ROLES.get(who, Role.UNKNOWN)
        cues.append(Cue(str(place + 1), who, text, start, end, role=role))
    return Transcript("test", tuple(cues), **more)


@pytest.fixture(scope="session")
def make_transcript() -> MakeTranscript:
    """Builds a transcript from `T: …` and `C: …` lines."""
    return build


DIALOGUE = (
    "T: How have you been feeling about the work we do here?",
    "C: Fine, I guess.",
    "T: Tell me more about what fine means for you.",
    "C: I don't know. I don't think this is helping me, to be honest.",
    "T: You should have told me that weeks ago, and you need to do the exercises.",
    "C: You're not listening to me. You never listen.",
    "T: I'm glad you said that. I think I pushed you too hard, and I am sorry about it.",
    "C: Okay. I felt hurt when you said it, and it is a relief to tell you.",
    "T: What would be more useful to you in the time that we have left today?",
    "C: I would like to talk about my sister, because that is what keeps me awake at night.",
    "T: So we work on the sleep first, and the aim is that you get through the week.",
    "C: Yes, that is what I want, and I can try to write down when I wake up.",
)
"""An invented session of twelve turns, with a strain of both kinds and a repair."""


@pytest.fixture(scope="session")
def dialogue() -> tuple[str, ...]:
    """Lines of an invented session with strain and repair."""
    return DIALOGUE


@pytest.fixture(scope="session")
def rules() -> MarkerRules:
    """The codebook's patterns, compiled once."""
    return MarkerRules()


@pytest.fixture(scope="session", autouse=True)
def _rules_in_use(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No checkpoint is in use, in this process and in those it starts: the rules score.

    The shipped checkpoint has tests of its own (tests/models/test_default_checkpoint.py); all
    others then do not change when it is trained anew.
    """
    root = tmp_path_factory.mktemp("no-checkpoint-in-use")
    (root / "registry.toml").write_text('current = "rules"\nprevious = ""\n', "utf-8")
    before = os.environ.get("RUPTURE_CHECKPOINTS")
    os.environ["RUPTURE_CHECKPOINTS"] = str(root)
    yield
    if before is None:
        del os.environ["RUPTURE_CHECKPOINTS"]
    else:
        os.environ["RUPTURE_CHECKPOINTS"] = before


@pytest.fixture(scope="session")
def detector() -> "Detector":
    """The rules-and-timing detector, loaded once."""
    from detector import Detector

    return Detector.load("rules")


FEATURES = (
    "hit.denial",
    "hit.minimal_response",
    "hit.rejects_intervention",
    "said.log_words",
    "said.question",
    "said.negations",
    "before.question",
    "before.log_words",
    "after.log_words",
    "time.response_latency_s",
    "time.into_session",
)
"""Some of the rule and timing features that a network is given."""

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
KNOWN = ("you", "i", "not", "the", "it", "is", "me", "to", "never", "listen", "hurt", "sorry")


def write_tokenizer(path: Path) -> str:
    """A WordPiece tokenizer of a few words and all letters; returns its sha256."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    signs = string.ascii_lowercase + string.digits + string.punctuation
    pieces = (*SPECIAL, *KNOWN, *signs, *(f"##{sign}" for sign in signs))
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=SPECIAL[1]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    path.write_text(tokenizer.to_str(), "utf-8")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tiny_spec(**changed: Any) -> "ModelSpec":
    """What a network of the real codebook takes and gives; `changed` are fields of it."""
    from models.spec import ModelSpec

    codebook = load_codebook()
    ratings = ("withdrawal", "confrontation", "resolution", "contribution")
    spec = ModelSpec(
        name="tiny",
        codebook=codebook.version,
        labels=(*ratings, "repair_disclosure"),
        markers=codebook.of_kind("withdrawal", "confrontation"),
        strategies=codebook.of_kind("resolution"),
        pillars=PILLARS,
        ratings=ratings,
        features=FEATURES,
        feature_means=(0.0,) * len(FEATURES),
        feature_scales=(1.0,) * len(FEATURES),
        max_tokens=48,
        context_tokens=8,
        cls_id=SPECIAL.index("[CLS]"),
        sep_id=SPECIAL.index("[SEP]"),
        pad_id=SPECIAL.index("[PAD]"),
        tokenizer_sha256="0" * 64,
    )
    return replace(spec, **changed)


def tiny_model(spec: "ModelSpec", *, seed: int = 0, n_members: int = 2) -> Any:
    """A RuptureModel of two layers and 32 units with random weights, for this spec."""
    import torch

    from models.network import RuptureConfig, RuptureModel

    encoder = {
        "model_type": "bert",
        "vocab_size": 200,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 128,
        # Random weights as small as the library's own would make all turns look the same.
        "initializer_range": 0.3,
    }
    heads = ("labels", "markers", "strategies", "pillars", "ratings")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = RuptureConfig(
            encoder=encoder,
            **{head: getattr(spec, head) for head in heads},
            talk=("neutral", "change", "sustain"),
            behaviour=("question", "reflection", "therapist_input", "other"),
            n_features=len(spec.features),
            session_size=16,
            feature_size=8,
            n_members=n_members,
        )
        return RuptureModel(config).eval()


def write_checkpoint(folder: Path, *, seed: int = 0, scoring: bytes = b"", **changed: Any) -> Path:
    """A whole checkpoint of a tiny random network, sealed; `changed` are fields of its spec."""
    from transformers.utils.logging import disable_progress_bar

    from models import registry
    from training.export import export_graphs

    disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = write_tokenizer(folder / "tokenizer.json")
    spec = tiny_spec(**{"name": folder.name, "tokenizer_sha256": sha256, **changed})
    # Weights that fp16 holds exactly: the graphs and the saved model are then one network.
    model = tiny_model(spec, seed=seed).half().float()
    (folder / "spec.json").write_text(spec.to_json(), "utf-8")
    export_graphs(model, folder)
    model.half().save_pretrained(folder)
    rules = (files("detector") / "weights" / "rules.toml").read_bytes()
    (folder / "scoring.toml").write_bytes(scoring or rules)
    (folder / "evaluation.json").write_text(json.dumps({}), "utf-8")
    registry.seal(folder)
    return folder


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., "ModelSpec"]:
    """A spec of the real codebook: `make_spec(max_tokens=…, …)`."""
    return tiny_spec


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    """A tiny random RuptureModel for a spec: `make_model(spec, seed=…, n_members=…)`."""
    return tiny_model


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a tiny checkpoint of its own: `make_checkpoint(name, seed=…, labels=…, …)`."""

    def make(name: str = "tiny", **given: Any) -> Path:
        return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / name, **given)

    return make


@pytest.fixture(scope="session")
def tiny_checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny checkpoint's folder, made once: copy it before you change it."""
    return make_checkpoint()


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """No test reaches another machine: only loopback and local sockets connect."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if self.family != socket.AF_UNIX and host not in ("127.0.0.1", "::1", "localhost"):
            raise OSError("a test tried to reach the network")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield
