from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.scoring import FITTED
from training.corpus import TrainingDataError
from training.floors import embed, fit_frozen, fit_length, fit_tfidf
from training.rules import Example


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random encoder with a tokenizer of letters, as `save_pretrained` writes them."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    letters = "abcdefghijklmnopqrstuvwxyz'.,?!-"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def vectors(examples: list[Example], base: str) -> dict[str, Any]:
    return embed(examples, base)


@pytest.mark.parametrize("name", ["length", "tfidf", "frozen"])
def test_a_floor_gives_probabilities_on_the_right_turns(
    examples: list[Example], vectors: dict[str, Any], name: str
) -> None:
    fit = {"length": fit_length, "tfidf": fit_tfidf, "frozen": fit_frozen(vectors)}[name]
    predict = fit(examples[:6])
    ex = examples[6]
    scores = predict(ex)
    assert tuple(scores) == FITTED
    for label, values in scores.items():
        mine = ex.mine(label)
        assert ((values[mine] > 0) & (values[mine] < 1)).all()
        assert not np.delete(values, mine).any()


def test_a_floor_of_frozen_vectors_finds_what_the_vectors_say(examples: list[Example]) -> None:
    told = {
        ex.session.session_id: np.stack([ex.targets[label] for label in FITTED], axis=1)
        for ex in examples
    }
    predict = fit_frozen(told)(examples[1:])
    ex = examples[0]
    label = next(name for name in FITTED if ex.targets[name].any())
    scores, mine = predict(ex)[label], ex.mine(label)
    true = ex.targets[label][mine] == 1
    assert scores[mine][true].min() > scores[mine][~true].max()


def test_every_turn_gets_its_own_vector_whatever_batch_it_was_in(
    examples: list[Example], base: str, vectors: dict[str, Any]
) -> None:
    ex = examples[3]
    alone = embed([ex], base)[ex.session.session_id]
    assert alone.shape == (len(ex.read.turns), 32)
    assert np.allclose(alone, vectors[ex.session.session_id], atol=1e-5)
    assert np.ptp(alone, axis=0).min() > 0


def test_a_folder_without_an_encoder_is_named(tmp_path: Path, examples: list[Example]) -> None:
    with pytest.raises(TrainingDataError, match="no encoder on this machine; name a folder"):
        embed(examples, str(tmp_path / "nothing"))
