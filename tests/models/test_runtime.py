import importlib.util
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import encoding, runtime
from models.encoding import encode, token_batches
from models.errors import CorruptCheckpoint, IncompatibleCheckpoint
from models.network import RuptureModel
from models.runtime import (
    HALF_TOLERANCE,
    HEADS,
    MOST_WORDS,
    TOLERANCE,
    Network,
    Prediction,
    open_network,
)
from models.spec import read_spec
from training.export import write_half

MakeSession = Callable[..., tuple[list[str], list[str], Any]]

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="NOT TESTED: no openvino"
)


@pytest.fixture(scope="module")
def network(tiny_checkpoint: Path) -> Network:
    return open_network(tiny_checkpoint, threads=1)


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint, to be changed."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def respec(folder: Path, **changed: Any) -> None:
    """Changes fields of a checkpoint's spec."""
    spec = read_spec((folder / "spec.json").read_text("utf-8"))
    (folder / "spec.json").write_text(replace(spec, **changed).to_json(), "utf-8")


def farthest(one: Prediction, other: Prediction) -> float:
    """The largest difference between any two numbers."""
    pairs = zip(astuple(one), astuple(other), strict=True)
    return max(float(np.abs(a - b).max(initial=0.0)) for a, b in pairs)


def by_torch(folder: Path, network: Network, session: Any) -> dict[str, Any]:
    """What the saved model makes of the session, run as training runs it."""
    model = RuptureModel.from_pretrained(folder).eval()
    found = encode(network.spec, network.tokenizer, *session)
    batches = [
        {name: torch.tensor(getattr(batch, name)) for name in ("places", "ids", "mask", "own")}
        for batch in token_batches(found, network.spec)
    ]
    roles, features = torch.tensor(found.roles)[None], torch.tensor(found.features)[None]
    with torch.no_grad():
        given = model(roles, features, torch.tensor([len(found)]), batches)
    return {head: one[0].numpy() for head, one in given.items()}


@pytest.mark.parametrize("n_turns", [1, 2, 7, 120])
def test_the_graphs_say_what_torch_says(
    tiny_checkpoint: Path, network: Network, make_session: MakeSession, n_turns: int
) -> None:
    session = make_session(n_turns)
    expected, found = by_torch(tiny_checkpoint, network, session), network.predict(*session)
    for head in (*HEADS, "ratings"):
        np.testing.assert_allclose(getattr(found, head), expected[head], atol=1e-5)
    assert TOLERANCE > 1e-5


def test_in_half_precision_the_encoder_says_nearly_the_same(
    copy: Path, network: Network, make_session: MakeSession
) -> None:
    write_half(copy / "encoder.onnx", copy / "encoder.onnx")
    session = make_session(40)
    found, expected = open_network(copy).predict(*session), network.predict(*session)
    assert farthest(found, expected) > 0
    np.testing.assert_allclose(found.labels, expected.labels, atol=HALF_TOLERANCE)
    np.testing.assert_allclose(found.markers, expected.markers, atol=HALF_TOLERANCE)


@needs_openvino
@pytest.mark.parametrize("n_turns", [1, 40])
def test_openvino_says_what_onnx_runtime_says(
    tiny_checkpoint: Path, network: Network, make_session: MakeSession, n_turns: int
) -> None:
    session = make_session(n_turns)
    other = open_network(tiny_checkpoint, backend="openvino", threads=1)
    assert other.backend == "openvino"
    assert farthest(other.predict(*session), network.predict(*session)) < 1e-5


def test_there_is_a_row_a_turn_and_a_column_a_name(
    network: Network, make_session: MakeSession
) -> None:
    found, spec = network.predict(*make_session(9)), network.spec
    assert found.labels.shape == (9, len(spec.labels))
    assert found.markers.shape == (9, len(spec.markers))
    assert found.strategies.shape == (9, len(spec.strategies))
    assert found.pillars.shape == (9, len(spec.pillars))
    assert found.intensity.shape == (9, 1)
    assert found.ratings.shape == (len(spec.ratings),)
    assert {array.dtype for array in astuple(found)} == {np.dtype(np.float32)}


def test_a_session_without_turns_has_no_rows_and_unknown_ratings(network: Network) -> None:
    found = network.predict([], [], np.zeros((0, len(network.spec.features))))
    assert found.labels.shape == (0, len(network.spec.labels))
    assert np.isnan(found.ratings).all()
    assert len(found.ratings) == len(network.spec.ratings)


def test_a_turn_of_nothing_gets_numbers(network: Network) -> None:
    found = network.predict([""], ["client"], np.full((1, len(network.spec.features)), np.nan))
    assert np.isfinite(found.labels).all()


def test_five_thousand_turns_get_numbers(network: Network, make_session: MakeSession) -> None:
    found = network.predict(*make_session(5000))
    assert found.labels.shape[0] == 5000
    assert all(np.isfinite(array).all() for array in astuple(found))


def test_texts_roles_and_features_of_different_sessions_are_refused(
    network: Network, make_session: MakeSession
) -> None:
    texts, roles, features = make_session(3)
    with pytest.raises(ValueError, match="3 turns need features of shape"):
        network.predict(texts, roles, features[:2])


def test_the_same_session_gets_the_same_bytes(
    tiny_checkpoint: Path, network: Network, make_session: MakeSession
) -> None:
    session = make_session(60)
    first, second = network.predict(*session), open_network(tiny_checkpoint).predict(*session)
    assert [one.tobytes() for one in astuple(network.predict(*session))] == [
        one.tobytes() for one in astuple(first)
    ]
    assert farthest(first, second) < 1e-6


@pytest.mark.parametrize("most", [16, 200, 100_000])
def test_in_fp32_it_does_not_matter_which_turns_share_a_batch(
    network: Network, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    session = make_session(60)
    expected = network.predict(*session)
    monkeypatch.setattr(encoding, "BATCH_TOKENS", most)
    assert farthest(network.predict(*session), expected) < 1e-5


def test_the_encoder_never_sees_more_than_one_batch(
    network: Network, make_session: MakeSession
) -> None:
    seen: list[int] = []

    def watched(given: Mapping[str, Any]) -> dict[str, Any]:
        seen.append(given["ids"].size)
        return network.encoder(given)

    replace(network, encoder=watched).predict(*make_session(2000))
    assert len(seen) > 2
    assert max(seen) <= encoding.BATCH_TOKENS


def test_a_turn_far_away_is_seen_and_its_role_too(network: Network) -> None:
    def labels(texts: list[str], roles: list[str]) -> Any:
        return network.predict(texts, roles, np.zeros((4, len(network.spec.features)))).labels

    texts, roles = ["you never listen", "it is", "me", "i felt hurt"], ["client"] * 4
    plain = labels(texts, roles)
    assert not np.allclose(labels(["sorry", *texts[1:]], roles)[3], plain[3], atol=1e-7)
    assert not np.allclose(labels(texts, ["therapist", *roles[1:]])[3], plain[3], atol=1e-7)


def test_an_effect_is_the_drop_of_the_logit_without_the_word(network: Network) -> None:
    texts, roles = ["it is", "you never listen to me", "sorry"], ["therapist", "client", "other"]
    features = np.zeros((3, len(network.spec.features)))
    effects = network.word_effects(texts, roles, features, 1, "confrontation")
    spec, column = network.spec, network.spec.labels.index("confrontation")
    whole = network.predict(texts, roles, features)
    session = encode(spec, network.tokenizer, texts, roles, features)
    for one in effects:
        left = texts[1][: one.start] + texts[1][one.end :]
        lone = network.predict([texts[0], left], roles[:2], features[:2]).vectors[1]
        vectors = whole.vectors.copy()
        vectors[1] = lone
        given = {
            "vectors": vectors[None],
            "roles": session.roles[None],
            "features": session.features[None],
        }
        without = network.session(given)["labels"][0, 1, column]
        assert one.effect == pytest.approx(float(whole.labels[1, column] - without), abs=1e-5)
    assert len(effects) == 5


def test_every_word_has_its_place_and_the_largest_drop_is_first(network: Network) -> None:
    text = "  you, never\tlisten – to\n me!"
    effects = network.word_effects(
        [text], ["client"], np.zeros((1, len(network.spec.features))), 0, "withdrawal"
    )
    words = {text[one.start : one.end] for one in effects}
    assert words == {"you,", "never", "listen", "–", "to", "me!"}
    assert [one.effect for one in effects] == sorted((o.effect for o in effects), reverse=True)


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_a_turn_without_words_has_no_effects(network: Network, text: str) -> None:
    features = np.zeros((1, len(network.spec.features)))
    assert network.word_effects([text], ["client"], features, 0, "withdrawal") == ()


def test_a_marker_has_word_effects_too(network: Network) -> None:
    features = np.zeros((1, len(network.spec.features)))
    marker = network.spec.markers[0]
    assert len(network.word_effects(["you never"], ["client"], features, 0, marker)) == 2


def test_effects_of_an_unknown_label_are_refused(network: Network) -> None:
    features = np.zeros((1, len(network.spec.features)))
    with pytest.raises(ValueError, match="no label 'joy'"):
        network.word_effects(["you"], ["client"], features, 0, "joy")


@pytest.mark.parametrize("index", [-1, 1])
def test_effects_of_a_turn_that_is_not_there_are_refused(network: Network, index: int) -> None:
    features = np.zeros((1, len(network.spec.features)))
    with pytest.raises(IndexError):
        network.word_effects(["you"], ["client"], features, index, "withdrawal")


@pytest.mark.parametrize("index", [0, 100, 199])
def test_effects_are_the_same_with_vectors_that_are_known(
    network: Network, make_session: MakeSession, index: int
) -> None:
    texts, roles, features = make_session(200)
    texts[index] = "you never listen"
    known = network.predict(texts, roles, features).vectors
    given = (texts, roles, features, index, "withdrawal")
    one, other = network.word_effects(*given), network.word_effects(*given, vectors=known)
    assert [o.effect for o in one] == pytest.approx([o.effect for o in other], abs=1e-5)


def test_asking_for_effects_leaves_known_vectors_as_they_are(network: Network) -> None:
    given = (["you never", "me"], ["client"] * 2, np.zeros((2, len(network.spec.features))))
    known = network.predict(*given).vectors
    kept = known.copy()
    network.word_effects(*given, 0, "withdrawal", vectors=known)
    assert np.array_equal(known, kept)


def test_an_endless_turn_is_left_out_in_runs_of_words(network: Network) -> None:
    n_words = 3 * MOST_WORDS - 1
    features = np.zeros((1, len(network.spec.features)))
    text = " ".join(["you"] * n_words)
    effects = network.word_effects([text], ["client"], features, 0, "withdrawal")
    assert len(effects) == MOST_WORDS
    assert sum(len(text[one.start : one.end].split()) for one in effects) == n_words


@settings(max_examples=20, deadline=None)
@given(text=st.text(max_size=30))
def test_places_of_words_are_within_any_text_and_do_not_overlap(
    network: Network, text: str
) -> None:
    features = np.zeros((1, len(network.spec.features)))
    effects = network.word_effects([text], ["client"], features, 0, "withdrawal")
    places = sorted((one.start, one.end) for one in effects)
    assert [text[start:end] for start, end in places] == text.split()


def test_a_backend_that_is_none_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="cpu, cuda, openvino"):
        open_network(tiny_checkpoint, backend="abacus")


@pytest.mark.parametrize(
    ("has_half", "taken"), [(True, "encoder-fp16.onnx"), (False, "encoder.onnx")]
)
def test_a_gpu_takes_the_half_precision_graph_where_there_is_one(
    tmp_path: Path, has_half: bool, taken: str
) -> None:
    if has_half:
        (tmp_path / "encoder-fp16.onnx").touch()
    assert runtime._encoder_file(tmp_path, "cuda").name == taken
    assert runtime._encoder_file(tmp_path, "cpu").name == "encoder.onnx"


@pytest.mark.parametrize("file", ["spec.json", "tokenizer.json", "encoder.onnx", "session.onnx"])
def test_a_missing_file_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    with pytest.raises(CorruptCheckpoint, match=f"{file}: it is missing"):
        open_network(copy)


BACKENDS = ["cpu", pytest.param("openvino", marks=needs_openvino)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("file", ["encoder.onnx", "session.onnx"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01no graph", b"{}"])
def test_what_is_no_graph_is_corrupt(copy: Path, file: str, content: bytes, backend: str) -> None:
    (copy / file).write_bytes(content)
    with pytest.raises(CorruptCheckpoint, match=f"{file}: it is no graph"):
        open_network(copy, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_graph_cut_in_half_is_corrupt(copy: Path, backend: str) -> None:
    whole = (copy / "encoder.onnx").read_bytes()
    (copy / "encoder.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptCheckpoint, match=r"encoder\.onnx"):
        open_network(copy, backend=backend)


def test_a_spec_that_is_no_json_is_corrupt(copy: Path) -> None:
    (copy / "spec.json").write_bytes(b"\xff\x00")
    with pytest.raises(CorruptCheckpoint, match=r"spec\.json: it is not JSON"):
        open_network(copy)


def test_another_tokenizer_is_incompatible(copy: Path) -> None:
    content = json.loads((copy / "tokenizer.json").read_text("utf-8"))
    (copy / "tokenizer.json").write_text(json.dumps(content, indent=7), "utf-8")
    with pytest.raises(IncompatibleCheckpoint, match=r"tokenizer\.json"):
        open_network(copy)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("head", ["labels", "markers", "strategies", "pillars", "ratings"])
def test_a_graph_with_other_columns_than_the_spec_is_incompatible(
    copy: Path, head: str, backend: str
) -> None:
    respec(copy, **{head: ("only", "two")})
    with pytest.raises(IncompatibleCheckpoint, match=f"{head} is .* this code needs 2"):
        open_network(copy, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_graph_of_other_features_than_the_spec_is_incompatible(copy: Path, backend: str) -> None:
    respec(copy, features=("one",), feature_means=(0.0,), feature_scales=(1.0,))
    with pytest.raises(IncompatibleCheckpoint, match="1 features"):
        open_network(copy, backend=backend)


def test_a_session_graph_that_takes_one_session_alone_is_incompatible(copy: Path) -> None:
    graph = onnx.load(str(copy / "session.onnx"))
    for one in (*graph.graph.input, *graph.graph.output):
        one.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(graph, str(copy / "session.onnx"))
    with pytest.raises(IncompatibleCheckpoint, match="many sessions at once"):
        open_network(copy)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_spec_with_longer_turns_than_the_encoder_reads_is_incompatible(
    copy: Path, backend: str
) -> None:
    respec(copy, max_tokens=500)
    with pytest.raises(IncompatibleCheckpoint, match="turns of 511 tokens"):
        open_network(copy, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_graphs_in_each_others_place_are_refused(copy: Path, backend: str) -> None:
    shutil.copy(copy / "session.onnx", copy / "encoder.onnx")
    with pytest.raises((IncompatibleCheckpoint, CorruptCheckpoint)):
        open_network(copy, backend=backend)


def test_no_array_of_a_session_is_in_a_repr(network: Network, make_session: MakeSession) -> None:
    assert "array" not in repr(network.predict(*make_session(2)))
