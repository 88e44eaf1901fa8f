"""What the tests of models share: a tokenizer, sessions of words that mean nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.encoding import load_tokenizer

MakeSession = Callable[..., tuple[list[str], list[str], Any]]

WORDS = ("you", "never", "listen", "to", "me", "i", "felt", "hurt", "it", "is", "sorry", "not")


@pytest.fixture(scope="session")
def tokenizer(tiny_checkpoint: Path) -> Any:
    """The tiny checkpoint's tokenizer."""
    return load_tokenizer(tiny_checkpoint / "tokenizer.json")


@pytest.fixture(scope="session")
def make_session() -> MakeSession:
    """Texts, roles and features of a session: `make_session(n_turns, n_features=…, seed=…)`."""

    def make(n_turns: int, *, n_features: int = 11, seed: int = 0) -> tuple[list[str], ...]:
        draw = np.random.default_rng(seed)
        lengths = draw.integers(0, 30, n_turns)
        texts = [" ".join(draw.choice(WORDS, length)) for length in lengths]
        roles = [("therapist", "client")[place % 2] for place in range(n_turns)]
        features: Any = draw.normal(size=(n_turns, n_features))
        return texts, roles, features

    return make
