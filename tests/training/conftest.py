"""Sessions small enough to fit in a second, shared by the tests of this room."""

import dataclasses
from typing import Any

import pytest

from detector.markers import MarkerRules
from training.corpus import LabelledSession, load_synthetic
from training.rules import Example, FitConfig, FittedRules, fit_rules, read_examples
from training.weights import as_toml


@pytest.fixture(scope="session")
def config() -> FitConfig:
    """A fit for few sessions."""
    return FitConfig(n_folds=3, least_seen=2)


def as_real(session: LabelledSession, **more: Any) -> LabelledSession:
    """An invented session that passes for a real one, so that the real ones' rules apply."""
    return dataclasses.replace(session, source="annomi", **more)


@pytest.fixture(scope="session")
def examples(rules: MarkerRules) -> list[Example]:
    """Seven sessions that pass for real and two invented ones."""
    sessions = load_synthetic()[:9]
    return read_examples([*map(as_real, sessions[:7]), *sessions[7:]], rules)


@pytest.fixture(scope="session")
def fitted(config: FitConfig, examples: list[Example]) -> FittedRules:
    return fit_rules(examples, config)


@pytest.fixture(scope="session")
def toml(config: FitConfig, examples: list[Example], fitted: FittedRules) -> str:
    return as_toml(fitted, examples, config, {"data": "a test", "date": "today"})
