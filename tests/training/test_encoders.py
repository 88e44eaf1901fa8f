"""An encoder is taken from a folder with its marks, or what it lacks is named."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.encoding import encode
from models.network import RuptureModel
from models.runtime import open_network
from models.spec import ModelSpec
from training.config import ConfigError, EncoderConfig, TrainConfig
from training.encoders import load_base, open_reader

CONFIG = TrainConfig(encoder=EncoderConfig(max_tokens=48, context_tokens=8))


@pytest.fixture
def folder(
    tmp_path: Path,
    tiny_checkpoint: Path,
    make_spec: Callable[..., ModelSpec],
    make_model: Callable[..., Any],
) -> Path:
    """A tiny encoder of its own, to be spoilt."""
    make_model(make_spec()).encoder.base.save_pretrained(tmp_path)
    shutil.copy(tiny_checkpoint / "tokenizer.json", tmp_path)
    return tmp_path


def test_the_marks_are_the_tokenizers_own(folder: Path) -> None:
    base = load_base(str(folder), CONFIG)
    own = [base.tokenizer().token_to_id(name) for name in ("[CLS]", "[SEP]", "[PAD]")]
    assert [base.cls_id, base.sep_id, base.pad_id] == own
    assert base.tokenizer_json == (folder / "tokenizer.json").read_bytes()


def test_one_folder_has_one_hash_and_other_weights_another(
    folder: Path, make_spec: Callable[..., ModelSpec], make_model: Callable[..., Any]
) -> None:
    first = load_base(str(folder), CONFIG).sha256
    assert load_base(str(folder), CONFIG).sha256 == first
    make_model(make_spec(), seed=1).encoder.base.save_pretrained(folder)
    assert load_base(str(folder), CONFIG).sha256 != first


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_file_that_is_missing_makes_the_encoder_unusable(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(ConfigError, match=r"model\.safetensors and tokenizer\.json"):
        load_base(str(folder), CONFIG)


def test_pickled_weights_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ConfigError, match="safetensors"):
        load_base(str(folder), CONFIG)


def test_a_tokenizer_without_marks_is_refused(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text("utf-8").replace("[CLS]", "[BEGIN]"), "utf-8")
    with pytest.raises(ConfigError, match="marks"):
        load_base(str(folder), CONFIG)


def test_the_vectors_that_are_trained_on_are_those_that_serve(
    tiny_checkpoint: Path,
) -> None:
    network = open_network(tiny_checkpoint)
    spec = network.spec
    texts, roles = ["How are you?", "Fine, I guess.", ""], ["therapist", "client", "client"]
    features = np.zeros((3, len(spec.features)))
    session = encode(spec, network.tokenizer, texts, roles, features)
    model = RuptureModel.from_pretrained(tiny_checkpoint)
    read = open_reader(model, spec, "fp32")(session)
    served = network.predict(texts, roles, features).vectors
    np.testing.assert_allclose(read, served, atol=1e-3)
