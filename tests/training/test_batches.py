"""Training's arrays are serving's arrays, padded side by side with what should come out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.encoding import encode, load_tokenizer, token_batches
from models.spec import ModelSpec
from training.batches import Collator, Draw, PreparedSession, SessionPool, prepare, scaling
from training.examples import LABELS, as_dataset
from training.rules import Example

START = (0, 0, 0)


@pytest.fixture(scope="module")
def spec(make_spec: Callable[..., ModelSpec]) -> ModelSpec:
    return make_spec(feature_means=(0.3,) * 11, feature_scales=(0.7,) * 11)


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Any:
    return load_tokenizer(tiny_checkpoint / "tokenizer.json")


@pytest.fixture(scope="module")
def prepared(examples: list[Example], spec: ModelSpec, tokenizer: Any) -> list[PreparedSession]:
    return prepare(as_dataset(examples[:3], spec.features, soft=0.5), spec, tokenizer)


def same(one: torch.Tensor, other: Any) -> bool:
    """Whether shape, kind and every byte are the same."""
    held, other = one.numpy(), np.asarray(other)
    return held.dtype == other.dtype and held.tobytes() == other.tobytes()


def test_training_and_serving_see_the_same_bytes(
    examples: list[Example], prepared: list[PreparedSession], spec: ModelSpec, tokenizer: Any
) -> None:
    from detector.features import as_matrix

    read = examples[1].read
    texts, roles = [turn.text for turn in read.turns], [str(turn.role) for turn in read.turns]
    served = encode(spec, tokenizer, texts, roles, as_matrix(read.features, spec.features))
    batch = Collator(prepared, spec, most_turns=None)([Draw(1, START)])
    assert same(batch["roles"][0], served.roles)
    assert same(batch["features"][0], served.features)
    ours, theirs = batch["batches"], list(token_batches(served, spec))
    assert len(ours) == len(theirs)
    for mine, serving in zip(ours, theirs, strict=True):
        for name in ("places", "ids", "mask", "own"):
            assert same(mine[name], getattr(serving, name)), name


def test_sessions_side_by_side_keep_their_turns_in_their_places(
    prepared: list[PreparedSession], spec: ModelSpec
) -> None:
    batch = Collator(prepared, spec, most_turns=None)([Draw(0, START), Draw(2, START)])
    width = batch["roles"].shape[1]
    found = {}
    for part in batch["batches"]:
        for place, ids, mask in zip(part["places"], part["ids"], part["mask"], strict=True):
            found[int(place)] = ids[mask == 1].tolist()
    for row, number in enumerate((0, 2)):
        for turn, ids in enumerate(prepared[number].encoded.tokens):
            assert found.pop(row * width + turn) == ids.tolist()
    assert not found


def test_padding_is_nobodys_turn(prepared: list[PreparedSession], spec: ModelSpec) -> None:
    batch = Collator(prepared, spec, most_turns=None)([Draw(0, START), Draw(2, START)])
    labels, lengths = batch["labels"], batch["lengths"].tolist()
    assert lengths == [len(prepared[0]), len(prepared[2])]
    short = int(np.argmin(lengths))
    beyond = {name: labels[name][short, lengths[short] :] for name in ("own", "is_real")}
    assert not beyond["own"].any()
    assert not beyond["is_real"].any()
    assert (labels["pillars"][short, lengths[short] :] == -1).all()


def test_a_mask_says_whose_label_it_is(prepared: list[PreparedSession], spec: ModelSpec) -> None:
    batch = Collator(prepared, spec, most_turns=None)([Draw(0, START)])
    is_client = batch["roles"][0] == 1
    own = batch["labels"]["own"][0]
    assert torch.equal(own[:, LABELS.index("withdrawal")] == 1, is_client)
    assert torch.equal(own[:, LABELS.index("resolution")] == 1, batch["roles"][0] == 0)


def test_a_long_session_is_cut_to_a_window_that_the_seed_chooses(
    prepared: list[PreparedSession], spec: ModelSpec
) -> None:
    collator = Collator(prepared, spec, most_turns=5)
    windows = [collator([Draw(0, (0, epoch, 0))]) for epoch in (0, 0, 1, 2, 3, 4)]
    assert [w["lengths"].item() for w in windows] == [5] * 6
    assert torch.equal(windows[0]["features"], windows[1]["features"])
    assert any(not torch.equal(windows[0]["features"], w["features"]) for w in windows[2:])


def test_a_windows_first_turn_keeps_the_turn_before_it_as_context(
    prepared: list[PreparedSession], spec: ModelSpec
) -> None:
    batch = Collator(prepared, spec, most_turns=5)([Draw(0, (0, 1, 0))])
    start = next(
        place
        for place in range(len(prepared[0]))
        if np.array_equal(prepared[0].encoded.features[place : place + 5], batch["features"][0])
    )
    assert start > 0
    (first,) = [
        part["ids"][row][part["mask"][row] == 1]
        for part in batch["batches"]
        for row in torch.where(part["places"] == 0)[0]
    ]
    assert same(first, prepared[0].encoded.tokens[start])


def test_five_thousand_turns_are_cut_for_training_and_whole_for_scoring(spec: ModelSpec) -> None:
    from models.encoding import EncodedSession

    n = 5000
    encoded = EncodedSession(
        tokens=(np.array([2, 3, 5, 3]),) * n,
        n_context=np.full(n, 2),
        roles=np.zeros(n, dtype=np.int64),
        features=np.zeros((n, 11), dtype=np.float32),
    )
    targets = {"pillar": np.full(n, -1), "own": np.ones((n, 5), dtype=np.float32)}
    session = PreparedSession("s", True, encoded, targets, np.full(4, np.nan, np.float32))
    assert Collator([session], spec)([Draw(0, START)])["roles"].shape == (1, 128)
    whole = Collator([session], spec, most_turns=None)([Draw(0, START)])
    assert sorted(int(p) for part in whole["batches"] for p in part["places"]) == list(range(n))
    assert max(part["ids"].numel() for part in whole["batches"]) <= 4096


def test_every_epoch_sees_all_fixed_sessions_and_a_fresh_sample() -> None:
    pool = SessionPool([0, 1], range(2, 40), 5, seed=1)
    samples = []
    for epoch in range(3):
        pool.set_epoch(epoch)
        places = [pool[index].place for index in range(len(pool))]
        assert places[:2] == [0, 1]
        assert len(set(places)) == 7
        samples.append(frozenset(places[2:]))
    assert len(set(samples)) == 3


def test_an_epoch_is_drawn_alike_after_a_restart() -> None:
    one, other = (SessionPool([0], range(1, 40), 5, seed=1) for _ in range(2))
    one.set_epoch(1)
    for epoch in (1, 2):
        one.set_epoch(epoch)
    other.set_epoch(2)
    assert [one[i] for i in range(6)] == [other[i] for i in range(6)]


def test_no_more_are_drawn_than_there_are() -> None:
    assert len(SessionPool([0], [1, 2], 80, seed=0)) == 3


def test_noisy_copies_stand_for_their_session_as_often_as_asked() -> None:
    copies = {0: (10, 11)}
    never = SessionPool([0], seed=0, copies=copies, share=0.0)
    always = SessionPool([0], seed=0, copies=copies, share=1.0)
    found = set()
    for epoch in range(20):
        always.set_epoch(epoch)
        never.set_epoch(epoch)
        assert never[0].place == 0
        found.add(always[0].place)
    assert found == {10, 11}


def test_a_rare_sign_keeps_a_scale_and_what_never_varies_is_left_alone() -> None:
    rare = np.zeros(100)
    rare[0] = 1.0
    measure = np.linspace(0, 1e-3, 100)
    unknown = np.full(100, np.nan)
    means, scales = scaling([np.stack([rare, measure, np.ones(100), unknown], axis=1)])
    assert scales[0] == pytest.approx(0.3)
    assert scales[1] == pytest.approx(measure.std())
    assert (means[2], scales[2]) == (1.0, 1.0)
    assert (means[3], scales[3]) == (0.0, 1.0)


def test_unknown_values_have_no_part_in_the_scaling() -> None:
    means, scales = scaling([np.array([[1.0], [np.nan]]), np.array([[3.0]])])
    assert (means, scales) == ((2.0,), (1.0,))
