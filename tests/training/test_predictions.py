from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.codebook import load_codebook
from detector.report import RATINGS
from detector.scoring import FITTED
from training.corpus import TrainingDataError
from training.predictions import FILE, LABELS, columns, could_show, read_predictions
from training.rules import Example

MakeRun = Callable[..., Path]


def test_the_columns_are_the_codebooks_in_its_order() -> None:
    found = columns()
    assert found["labels"] == (*FITTED, "repair_disclosure")
    assert len(found["markers"]) == 15
    order = list(load_codebook().markers)
    for head in ("markers", "strategies"):
        assert list(found[head]) == sorted(found[head], key=order.index)
    assert found["ratings"] == RATINGS


def test_a_run_gives_probabilities_on_the_turns_that_can_carry_the_label(
    tmp_path: Path, make_run: MakeRun, examples: list[Example]
) -> None:
    run = read_predictions(make_run(tmp_path / "mine", examples), examples)
    assert run.name == "mine"
    assert run.about["seed"] == "0"
    for ex in examples:
        scores = run.scores(ex)
        assert tuple(scores) == LABELS
        for label, values in scores.items():
            mine = could_show(ex, label) == 1
            assert ((values[mine] > 0) & (values[mine] < 1)).all()
            assert not values[~mine].any()


def test_a_probability_is_the_logits_own(
    tmp_path: Path, make_run: MakeRun, examples: list[Example]
) -> None:
    ex = examples[0]
    logits = np.zeros((len(ex.roles), len(LABELS)), dtype=np.float32)
    changed = {f"{ex.session.session_id}/labels": logits}
    run = read_predictions(make_run(tmp_path, examples, **changed), examples)
    assert set(run.scores(ex)["withdrawal"][ex.mine("withdrawal")]) == {0.5}


def test_every_marker_strategy_and_repair_disclosure_has_a_score(
    tmp_path: Path, make_run: MakeRun, examples: list[Example]
) -> None:
    run = read_predictions(make_run(tmp_path, examples), examples)
    names = columns()
    found = run.markers(examples[0])
    assert set(found) == {*names["markers"], *names["strategies"], "repair_disclosure"}
    assert {values.shape for values in found.values()} == {(len(examples[0].roles),)}


def test_ratings_stay_on_the_scale(
    tmp_path: Path, make_run: MakeRun, examples: list[Example]
) -> None:
    ex = examples[0]
    changed = {f"{ex.session.session_id}/ratings": np.array([9, -9, 2.5, 1], dtype=np.float32)}
    run = read_predictions(make_run(tmp_path, examples, **changed), examples)
    assert list(run.ratings(ex).values()) == [5.0, 1.0, 2.5, 1.0]


def test_a_run_without_predictions_says_which_file_is_missing(
    tmp_path: Path, examples: list[Example]
) -> None:
    with pytest.raises(TrainingDataError, match=f"{FILE}: not there"):
        read_predictions(tmp_path, examples)


@pytest.mark.parametrize("content", [b"", b"not a tensor file at all", b"\x80\x04}q\x00."])
def test_a_broken_file_is_refused_by_its_name(
    tmp_path: Path, examples: list[Example], content: bytes
) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(TrainingDataError, match=f"{FILE}: it is no safetensors file"):
        read_predictions(tmp_path, examples)


@pytest.mark.parametrize("about", [{"fold_seed": "21"}, {"n_folds": "10"}])
def test_predictions_on_other_folds_are_refused(
    tmp_path: Path, make_run: MakeRun, examples: list[Example], about: dict[str, str]
) -> None:
    with pytest.raises(TrainingDataError, match=f"{next(iter(about))} is"):
        read_predictions(make_run(tmp_path, examples, about=about), examples)


def test_a_session_that_is_missing_is_named(
    tmp_path: Path, make_run: MakeRun, examples: list[Example]
) -> None:
    folder = make_run(tmp_path, examples[1:])
    with pytest.raises(TrainingDataError, match=f"{examples[0].session.session_id} has no labels"):
        read_predictions(folder, examples)


@pytest.mark.parametrize(
    ("head", "change", "message"),
    [
        ("labels", lambda array: array[1:], "has shape"),
        ("markers", lambda array: array[:, 1:], "has shape"),
        ("ratings", lambda array: array[1:], "has shape"),
        ("pillars", lambda array: np.full_like(array, np.nan), "no number"),
        ("labels", lambda array: np.full_like(array, np.inf), "no number"),
    ],
)
def test_an_array_of_another_shape_or_without_numbers_is_named(
    tmp_path: Path, make_run: MakeRun, examples: list[Example], head: str, change: Any, message: str
) -> None:
    from safetensors.numpy import load_file

    key = f"{examples[2].session.session_id}/{head}"
    good = load_file(make_run(tmp_path / "good", examples) / FILE)[key]
    folder = make_run(tmp_path / "bad", examples, **{key: np.ascontiguousarray(change(good))})
    with pytest.raises(TrainingDataError, match=message) as caught:
        read_predictions(folder, examples)
    assert key in str(caught.value)
