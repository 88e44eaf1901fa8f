"""Sessions small enough to fit in a second, shared by the tests of this room."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.codebook import load_codebook
from detector.markers import MarkerRules
from detector.report import RATINGS
from detector.scoring import FITTED
from training.corpus import LabelledSession, load_synthetic
from training.evaluation import Question, Scorer, evaluate
from training.predictions import FILE, FOLD_SEED, N_FOLDS, columns
from training.rules import Example, FitConfig, FittedRules, fit_rules, read_examples
from training.subgroups import subgroups
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


MakeRun = Callable[..., Path]
MakeScorer = Callable[..., Scorer]


def write_run(
    folder: Path,
    examples: Sequence[Example],
    *,
    seed: int = 0,
    about: dict[str, str] | None = None,
    **changed: Any,
) -> Path:
    """A run's folder with predictions that know the labels a little.

    `about` and `changed` (arrays by `SESSION_ID/head`, None to leave one out) take the place of
    what would be right.
    """
    from safetensors.numpy import save_file

    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for ex in examples:
        for head, names in columns().items():
            shape = (len(names),) if head == "ratings" else (len(ex.roles), len(names))
            found = rng.normal(3.0 if head == "ratings" else -2.0, 1.0, shape)
            for place, name in enumerate(names):
                if head == "labels" and name in ex.targets:
                    found[:, place] += 2.0 * ex.targets[name]
            arrays[f"{ex.session.session_id}/{head}"] = found.astype(np.float32)
    arrays = {key: array for key, array in (arrays | changed).items() if array is not None}
    known = {"seed": str(seed), "n_folds": str(N_FOLDS), "fold_seed": str(FOLD_SEED)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(arrays, folder / FILE, metadata={**known, "config_sha256": "0" * 64, **(about or {})})
    (folder / "config.toml").write_text('[encoder]\nbase = "tiny"\n')
    return folder


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    """Writes a training run's folder: `make_run(folder, examples, seed=…)`."""
    return write_run


def scorer(
    id_: str, examples: Sequence[Example], knows: float, *, whole: bool = True, marked: bool = False
) -> Scorer:
    """A scorer that knows the labels to some degree, 0..1."""
    rng = np.random.default_rng(5)
    scores = [
        {
            label: np.clip(
                0.05 + knows * 0.8 * ex.targets[label] + 0.1 * rng.random(len(ex.roles)), 0, 1
            )
            for label in FITTED
        }
        for ex in examples
    ]
    ratings = [{name: 1.0 + 3 * rng.random() for name in RATINGS} for _ in examples]
    names = load_codebook().markers
    marks = [{name: np.zeros(len(ex.roles)) for name in names} for ex in examples]
    return Scorer(
        id_,
        id_.title(),
        "invented",
        scores,
        ratings if whole else None,
        marks if marked else None,
    )


@pytest.fixture(scope="session")
def make_scorer() -> MakeScorer:
    """Makes a scorer of invented numbers: `make_scorer(id, examples, knows, whole=…)`."""
    return scorer


@pytest.fixture(scope="session")
def record(examples: list[Example]) -> dict[str, Any]:
    """The evaluation of a floor and of a scorer that knows the labels, four sessions for dev."""
    real = [
        dataclasses.replace(ex, session=dataclasses.replace(ex.session, split=split))
        for ex, split in zip(examples[:7], ["train"] * 3 + ["dev"] * 4, strict=True)
    ]
    scorers = [scorer("floor", real, 0.1, whole=False), scorer("best", real, 1.0, marked=True)]
    asked = [Question("best", "floor"), Question("best", "absent")]
    how = {"n_invented": 2, "runs": [], "left_out": []}
    return evaluate(real, scorers, subgroups(real, {}), asked, how)
