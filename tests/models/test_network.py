import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from models.encoding import encode, token_batches
from models.errors import IncompatibleCheckpoint, UnknownCheckpoint
from models.network import (
    HEADS,
    RuptureConfig,
    RuptureModel,
    SessionNetwork,
    from_base,
    register,
)
from models.spec import ModelSpec

MakeSpec = Callable[..., ModelSpec]
MakeModel = Callable[..., RuptureModel]

ENCODER = {
    "model_type": "bert",
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}


def inputs(model: RuptureModel, *lengths: int, seed: int = 0) -> dict[str, Any]:
    """Random sessions of these numbers of turns, padded side by side, with known turn vectors."""
    draw = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    return {
        "roles": torch.randint(0, 3, shape, generator=draw),
        "features": torch.randn(*shape, model.config.n_features, generator=draw),
        "lengths": torch.tensor(lengths),
        "vectors": torch.randn(*shape, model.encoder.size, generator=draw),
    }


@pytest.fixture(scope="module")
def model(make_spec: MakeSpec, make_model: MakeModel) -> RuptureModel:
    return make_model(make_spec())


def test_every_head_has_a_column_a_name(model: RuptureModel) -> None:
    found = model(**inputs(model, 4, 2))
    for head in HEADS:
        assert found[head].shape == (2, 4, model.config.columns(head))
    assert found["ratings"].shape == (2, 4)


def test_a_head_without_names_is_left_out() -> None:
    model = RuptureModel(RuptureConfig(encoder=ENCODER, labels=("a",), n_features=2))
    assert set(model(**inputs(model, 2))) == {"labels", "intensity"}


def test_a_session_beside_a_longer_one_gets_what_it_gets_alone(model: RuptureModel) -> None:
    both = inputs(model, 7, 3)
    alone = {
        "roles": both["roles"][1:, :3],
        "features": both["features"][1:, :3],
        "lengths": torch.tensor([3]),
        "vectors": both["vectors"][1:, :3],
    }
    together, apart = model(**both), model(**alone)
    torch.testing.assert_close(together["labels"][1, :3], apart["labels"][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(together["ratings"][1], apart["ratings"][0], atol=1e-5, rtol=0)


def test_members_are_averaged(make_spec: MakeSpec, make_model: MakeModel) -> None:
    model = make_model(make_spec(), n_members=3)
    given = inputs(model, 4)
    apart = [
        member(given["vectors"], given["roles"], given["features"]) for member in model.members
    ]
    mean = sum(one["labels"] for one in apart) / 3
    torch.testing.assert_close(model(**given)["labels"], mean, atol=1e-6, rtol=0)


def test_turn_vectors_are_brought_to_one_scale_unit_by_unit(model: RuptureModel) -> None:
    vectors = torch.randn(400, model.encoder.size) * 7 + 3
    vectors[:, 0] = 5.0
    model.standardise.measure(vectors)
    found = model.standardise(vectors)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(64), atol=1e-4, rtol=0)
    spread = found.std(dim=0, correction=0)
    torch.testing.assert_close(spread[1:], torch.ones(63), atol=1e-4, rtol=0)
    assert spread[0] == 0


def test_the_scale_of_turn_vectors_is_kept_with_the_weights(
    model: RuptureModel, tmp_path: Path
) -> None:
    model.standardise.measure(torch.randn(50, model.encoder.size) * 7 + 3)
    model.save_pretrained(tmp_path)
    again = RuptureModel.from_pretrained(tmp_path)
    torch.testing.assert_close(again.standardise.centre, model.standardise.centre)
    torch.testing.assert_close(again.standardise.spread, model.standardise.spread)
    given = inputs(model, 4)
    torch.testing.assert_close(again(**given)["labels"], model(**given)["labels"])


def test_a_turn_is_the_mean_of_its_own_tokens_and_never_of_padding(model: RuptureModel) -> None:
    ids = torch.tensor([[2, 5, 3, 6, 7, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 0, 0]])
    own = torch.tensor([[0, 0, 0, 1, 1, 1, 0, 0]])
    padded = model.encoder(ids, mask, own)
    bare = model.encoder(ids[:, :6], mask[:, :6], own[:, :6])
    torch.testing.assert_close(padded, bare, atol=1e-5, rtol=0)


def test_turns_come_back_in_their_places(
    model: RuptureModel, make_spec: MakeSpec, tokenizer: Any, make_session: Any
) -> None:
    spec = make_spec()
    session = encode(spec, tokenizer, *make_session(30))
    batches = [
        {name: torch.tensor(getattr(batch, name)) for name in ("places", "ids", "mask", "own")}
        for batch in token_batches(session, spec)
    ]
    whole = model.read_turns(batches, 30)
    split = [
        {name: value[row : row + 1] for name, value in b.items()}
        for b in batches
        for row in range(len(b["places"]))
    ]
    torch.testing.assert_close(model.read_turns(split[::-1], 30), whole, atol=1e-5, rtol=0)


def test_a_model_comes_back_from_its_folder(model: RuptureModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    again = RuptureModel.from_pretrained(tmp_path).eval()
    given = inputs(model, 3)
    torch.testing.assert_close(again(**given), model(**given), atol=1e-6, rtol=0)
    kept = again.state_dict()
    assert all(torch.equal(kept[name], one) for name, one in model.state_dict().items())


def test_a_model_kept_in_fp16_comes_back_in_fp32(
    make_spec: MakeSpec, make_model: MakeModel, tmp_path: Path
) -> None:
    make_model(make_spec()).half().save_pretrained(tmp_path)
    again = RuptureModel.from_pretrained(tmp_path)
    assert {one.dtype for one in again.parameters()} == {torch.float32}


def test_a_saved_model_is_safetensors_and_json_alone(model: RuptureModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_saved_model_names_no_folder_of_its_base(tmp_path: Path) -> None:
    BertModel(BertConfig(**ENCODER)).save_pretrained(tmp_path / "base")
    base = AutoModel.from_pretrained(tmp_path / "base")
    model = from_base(RuptureConfig(labels=("a",), n_features=2), base)
    model.save_pretrained(tmp_path / "ours")
    assert str(tmp_path) not in (tmp_path / "ours" / "config.json").read_text("utf-8")


def test_pickled_weights_are_not_loaded(model: RuptureModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        RuptureModel.from_pretrained(tmp_path)


def test_weights_that_are_missing_are_named_and_not_made_up(
    model: RuptureModel, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["members.0.heads.labels.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(IncompatibleCheckpoint, match=r"weights is without members\.0\.heads"):
        RuptureModel.from_pretrained(tmp_path)


def test_loading_asks_no_other_machine(
    model: RuptureModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **_: asked.append(where))
    model.save_pretrained(tmp_path)
    RuptureModel.from_pretrained(tmp_path)
    with pytest.raises(UnknownCheckpoint, match="nobody/nothing"):
        RuptureModel.from_pretrained("nobody/nothing")
    assert asked == []


def test_auto_classes_know_the_model_once_it_is_registered(
    model: RuptureModel, tmp_path: Path
) -> None:
    register()
    register()
    model.save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is RuptureConfig
    assert type(AutoModel.from_pretrained(tmp_path)) is RuptureModel


def test_a_config_comes_back_from_its_json(model: RuptureModel, tmp_path: Path) -> None:
    model.config.save_pretrained(tmp_path)
    again = RuptureConfig.from_pretrained(tmp_path)
    assert json.loads(again.to_json_string()) == json.loads(model.config.to_json_string())


def test_a_base_keeps_its_weights_and_loses_its_pooler() -> None:
    base = BertModel(BertConfig(**ENCODER))
    model = from_base(RuptureConfig(labels=("a",), n_features=2), base)
    ours = model.encoder.base.state_dict()
    theirs = {name: one for name, one in base.state_dict().items() if "pooler" not in name}
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name], one) for name, one in theirs.items())


def test_a_base_without_all_its_weights_is_refused() -> None:
    base = BertModel(BertConfig(**ENCODER))
    base.encoder.layer = base.encoder.layer[:1]
    with pytest.raises(IncompatibleCheckpoint, match=r"encoder\.layer\.1"):
        from_base(RuptureConfig(labels=("a",), n_features=2), base)


def test_a_base_without_kinds_of_tokens_and_without_pooler_serves_too() -> None:
    kind = {"model_type": "distilbert", "dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
    model = RuptureModel(
        RuptureConfig(encoder={**kind, "vocab_size": 60}, labels=("a",), n_features=2)
    )
    ones = torch.ones((1, 3), dtype=torch.int64)
    assert model.encoder(ones, ones, ones).shape == (1, 64)


def test_no_weight_is_without_use(make_spec: MakeSpec, make_model: MakeModel) -> None:
    model = make_model(make_spec()).train()
    ids = torch.randint(4, 90, (4, 6))
    ones = torch.ones_like(ids)
    batch = {"places": torch.arange(4), "ids": ids, "mask": ones, "own": ones}
    given = inputs(model, 4)
    found = model(**{**given, "vectors": None}, batches=[batch])
    sum(one.sum() for one in found.values()).backward()
    assert [name for name, one in model.named_parameters() if one.grad is None] == []


def gradient(model: RuptureModel) -> torch.Tensor:
    """Of the first layer's query, for one fixed input."""
    ids = torch.tensor([[2, 5, 6, 3]] * 2)
    ones = torch.ones_like(ids)
    batch = {"places": torch.arange(2), "ids": ids, "mask": ones, "own": ones}
    model.zero_grad()
    found = model(**{**inputs(model, 2), "vectors": None}, batches=[batch])
    found["labels"].square().sum().backward()
    return model.encoder.base.encoder.layer[0].attention.self.query.weight.grad.clone()


def test_gradient_checkpointing_recomputes_the_layers_and_changes_no_gradient() -> None:
    config = RuptureConfig(
        encoder={**ENCODER, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
        labels=("a", "b"),
        n_features=2,
        dropout=0.0,
    )
    torch.manual_seed(0)
    model = RuptureModel(config).train()
    calls = []
    layer = model.encoder.base.encoder.layer[0].attention
    layer.register_forward_hook(lambda *_: calls.append(1))
    plain, n_plain = gradient(model), len(calls)
    model.activation_checkpointing_enable()
    again = gradient(model)
    assert len(calls) - n_plain == 2 * n_plain
    torch.testing.assert_close(again, plain)


def test_lora_can_wrap_it_and_leaves_the_base_as_it_is(
    make_spec: MakeSpec, make_model: MakeModel
) -> None:
    model = make_model(make_spec())
    lora = LoraConfig(
        r=2, target_modules=["query", "value"], modules_to_save=["members.0", "members.1"]
    )
    wrapped = get_peft_model(model, lora)
    found = wrapped(**inputs(model, 3))
    assert found["labels"].shape == (1, 3, 5)
    taught = {name for name, one in wrapped.named_parameters() if one.requires_grad}
    assert any("lora_A" in name for name in taught)
    assert any("members" in name for name in taught)
    assert not any("embeddings" in name for name in taught)


def test_lora_merges_back_into_a_model_that_can_be_saved(
    make_spec: MakeSpec, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model(make_spec())
    lora = LoraConfig(
        r=2, target_modules=["query"], modules_to_save=["members.0"], init_lora_weights=False
    )
    wrapped = get_peft_model(model, lora).eval()
    ids = torch.tensor([[2, 5, 6, 3]])
    ones = torch.ones_like(ids)
    before = wrapped.base_model.model.encoder(ids, ones, ones)
    merged = wrapped.merge_and_unload()
    merged.save_pretrained(tmp_path)
    again = RuptureModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again.encoder(ids, ones, ones), before, atol=1e-5, rtol=1e-4)


def test_without_the_session_a_turn_is_read_the_same_among_any_others() -> None:
    torch.manual_seed(0)
    config = RuptureConfig(labels=["a"], ratings=["r"], n_features=0, sees_session=False)
    network = SessionNetwork(config, 6).eval()
    vectors, roles = torch.randn(1, 5, 6), torch.ones(1, 5, dtype=torch.int64)
    whole = network(vectors, roles, torch.zeros(1, 5, 0))["labels"]
    alone = network(vectors[:, 2:3], roles[:, 2:3], torch.zeros(1, 1, 0))["labels"]
    torch.testing.assert_close(whole[:, 2:3], alone)
