from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import encoding
from models.encoding import (
    BATCH_TOKENS,
    FARTHEST,
    EncodedSession,
    encode,
    encode_instead,
    load_tokenizer,
    token_batches,
)
from models.errors import CorruptCheckpoint
from models.spec import ROLES, ModelSpec

MakeSpec = Callable[..., ModelSpec]
MakeSession = Callable[..., tuple[list[str], list[str], Any]]


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def encoded(spec: ModelSpec, tokenizer: Any, *texts: str) -> EncodedSession:
    return encode(
        spec, tokenizer, texts, ["client"] * len(texts), np.zeros((len(texts), len(spec.features)))
    )


def test_a_turn_stands_between_its_context_and_an_end(make_spec: MakeSpec, tokenizer: Any) -> None:
    spec = make_spec()
    session = encoded(spec, tokenizer, "you never listen", "i felt hurt")
    before, own = ids_of(tokenizer, "you never listen"), ids_of(tokenizer, "i felt hurt")
    second = [spec.cls_id, *before, spec.sep_id, *own, spec.sep_id]
    assert session.tokens[1].tolist() == second
    assert session.n_context[1] == len(before) + 2


def test_the_first_turn_has_no_context(make_spec: MakeSpec, tokenizer: Any) -> None:
    spec = make_spec()
    session = encoded(spec, tokenizer, "sorry")
    own = ids_of(tokenizer, "sorry")
    assert session.tokens[0].tolist() == [spec.cls_id, *own, spec.sep_id]
    assert session.n_context.tolist() == [1]


def test_only_the_last_tokens_of_the_turn_before_are_context(
    make_spec: MakeSpec, tokenizer: Any
) -> None:
    spec = make_spec(context_tokens=2)
    session = encoded(spec, tokenizer, "you never listen to me", "sorry")
    last = ids_of(tokenizer, "to me")
    assert session.tokens[1].tolist()[:4] == [spec.cls_id, *last, spec.sep_id]


def test_without_context_tokens_a_turn_stands_alone(make_spec: MakeSpec, tokenizer: Any) -> None:
    session = encoded(make_spec(context_tokens=0), tokenizer, "you never listen", "sorry")
    assert session.n_context.tolist() == [1, 1]


def test_of_a_long_turn_beginning_and_end_are_kept(make_spec: MakeSpec, tokenizer: Any) -> None:
    spec = make_spec(max_tokens=8)
    session = encoded(spec, tokenizer, "you " * 6 + "listen " * 20 + "sorry sorry")
    you, listen, sorry = (ids_of(tokenizer, word)[0] for word in ("you", "listen", "sorry"))
    assert listen not in session.tokens[0]
    assert session.tokens[0].tolist()[1:-1] == [you] * 6 + [sorry] * 2


def test_a_turn_of_just_the_most_tokens_is_whole(make_spec: MakeSpec, tokenizer: Any) -> None:
    spec = make_spec(max_tokens=3)
    whole = ids_of(tokenizer, "you never listen")
    assert encoded(spec, tokenizer, "you never listen").tokens[0].tolist()[1:-1] == whole


def test_a_turn_of_one_token_at_most_keeps_its_first(make_spec: MakeSpec, tokenizer: Any) -> None:
    session = encoded(make_spec(max_tokens=1), tokenizer, "you never listen")
    assert session.tokens[0].tolist()[1:-1] == ids_of(tokenizer, "you")


def test_an_empty_turn_still_has_a_token_of_its_own(make_spec: MakeSpec, tokenizer: Any) -> None:
    spec = make_spec()
    session = encoded(spec, tokenizer, "", " ", "you")
    for batch in token_batches(session, spec):
        assert (batch.own.sum(axis=1) >= 1).all()


def test_a_session_without_turns_has_no_batches(make_spec: MakeSpec, tokenizer: Any) -> None:
    spec = make_spec()
    assert list(token_batches(encoded(spec, tokenizer), spec)) == []


def test_roles_are_places_and_an_unknown_one_is_other(make_spec: MakeSpec, tokenizer: Any) -> None:
    spec = make_spec()
    roles = ["client", "therapist", "other", "unknown", "CLIENT"]
    session = encode(spec, tokenizer, ["you"] * 5, roles, np.zeros((5, len(spec.features))))
    assert [ROLES[place] for place in session.roles] == [
        "client",
        "therapist",
        "other",
        "other",
        "other",
    ]


def test_a_feature_enters_as_its_distance_from_the_mean(
    make_spec: MakeSpec, tokenizer: Any
) -> None:
    spec = make_spec(features=("a",), feature_means=(10.0,), feature_scales=(2.0,))
    session = encode(spec, tokenizer, ["you"], ["client"], np.array([[13.0]]))
    assert session.features.tolist() == [[1.5]]
    assert session.features.dtype == np.float32


def test_an_unknown_feature_is_as_the_mean(make_spec: MakeSpec, tokenizer: Any) -> None:
    spec = make_spec(features=("a",), feature_means=(10.0,), feature_scales=(2.0,))
    session = encode(spec, tokenizer, ["you"], ["client"], np.array([[np.nan]]))
    assert session.features.tolist() == [[0.0]]


@pytest.mark.parametrize(("value", "cut"), [(1e30, 5.0), (-np.inf, -5.0), (np.inf, 5.0)])
def test_a_far_feature_is_cut(
    make_spec: MakeSpec, tokenizer: Any, value: float, cut: float
) -> None:
    spec = make_spec(features=("a",), feature_means=(0.0,), feature_scales=(1.0,))
    session = encode(spec, tokenizer, ["you"], ["client"], np.array([[value]]))
    assert session.features.tolist() == [[cut]]
    assert cut in (FARTHEST, -FARTHEST)


@pytest.mark.parametrize(
    ("n_roles", "shape"), [(1, (2, 11)), (2, (2, 10)), (2, (1, 11)), (2, (22,))]
)
def test_texts_roles_and_features_of_different_sessions_are_refused(
    make_spec: MakeSpec, tokenizer: Any, n_roles: int, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="2 turns need features of shape"):
        encode(make_spec(), tokenizer, ["you", "me"], ["client"] * n_roles, np.zeros(shape))


def test_an_alternative_is_encoded_as_the_turn_itself(make_spec: MakeSpec, tokenizer: Any) -> None:
    spec = make_spec()
    session = encoded(spec, tokenizer, "you never listen", "i felt hurt")
    instead = encode_instead(spec, tokenizer, ["sorry", "i felt hurt"], "you never listen")
    assert instead.tokens[1].tolist() == session.tokens[1].tolist()
    assert instead.n_context[1] == session.n_context[1]


def test_an_alternative_to_the_first_turn_has_no_context(
    make_spec: MakeSpec, tokenizer: Any
) -> None:
    spec = make_spec()
    instead = encode_instead(spec, tokenizer, ["sorry"], None)
    assert instead.tokens[0].tolist() == encoded(spec, tokenizer, "sorry").tokens[0].tolist()


def test_half_a_surrogate_pair_is_a_question_mark(make_spec: MakeSpec, tokenizer: Any) -> None:
    spec = make_spec()
    broken, asked = encoded(spec, tokenizer, "you \ud83d"), encoded(spec, tokenizer, "you ?")
    assert broken.tokens[0].tolist() == asked.tokens[0].tolist()


def test_many_turns_are_tokenised_in_parts_with_the_same_result(
    make_spec: MakeSpec, tokenizer: Any, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, session = make_spec(), make_session(50)
    whole = encode(spec, tokenizer, *session)
    monkeypatch.setattr(encoding, "_AT_ONCE", 7)
    parts = encode(spec, tokenizer, *session)
    assert [t.tolist() for t in parts.tokens] == [t.tolist() for t in whole.tokens]


def test_five_thousand_turns_are_all_there_and_no_batch_is_too_large(
    make_spec: MakeSpec, tokenizer: Any, make_session: MakeSession
) -> None:
    spec = make_spec()
    session = encode(spec, tokenizer, *make_session(5000))
    places = []
    for batch in token_batches(session, spec):
        assert batch.ids.size <= BATCH_TOKENS
        places += batch.places.tolist()
    assert sorted(places) == list(range(5000))


def test_a_turn_longer_than_a_batch_goes_alone(make_spec: MakeSpec, tokenizer: Any) -> None:
    spec = make_spec(max_tokens=2 * BATCH_TOKENS)
    session = encoded(spec, tokenizer, "you", "me " * (BATCH_TOKENS + 1), "sorry")
    assert [len(batch.places) for batch in token_batches(session, spec)] == [2, 1]


def test_little_is_padding(make_spec: MakeSpec, tokenizer: Any, make_session: MakeSession) -> None:
    spec = make_spec()
    session = encode(spec, tokenizer, *make_session(2000))
    batches = list(token_batches(session, spec))
    n_real = sum(int(batch.mask.sum()) for batch in batches)
    assert n_real / sum(batch.ids.size for batch in batches) > 0.9


@settings(max_examples=40)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=12), st.integers(1, 9))
def test_batches_hold_every_token_of_any_session_once(
    make_spec: MakeSpec, tokenizer: Any, texts: list[str], max_tokens: int
) -> None:
    spec = make_spec(max_tokens=max_tokens, context_tokens=3)
    session = encoded(spec, tokenizer, *texts)
    seen = {}
    for batch in token_batches(session, spec):
        for place, ids, mask, own in zip(
            batch.places, batch.ids, batch.mask, batch.own, strict=True
        ):
            seen[int(place)] = ids[mask == 1].tolist()
            assert (ids[mask == 0] == spec.pad_id).all()
            assert own.sum() == len(session.tokens[place]) - session.n_context[place]
            assert (own <= mask).all()
    assert seen == {place: tokens.tolist() for place, tokens in enumerate(session.tokens)}


@pytest.mark.parametrize("content", ["", "{}", '{"model": {}}', "[]"])
def test_what_is_no_tokenizer_is_corrupt(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CorruptCheckpoint, match=r"tokenizer\.json: it is no tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_a_tokenizer_that_is_no_text_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorruptCheckpoint, match="it is no tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorruptCheckpoint, match=r"tokenizer\.json: it is missing"):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_a_tokenizers_own_padding_and_cutting_are_off(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    given = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    given.enable_padding(length=16)
    given.enable_truncation(2)
    given.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path / "tokenizer.json")
    assert len(tokenizer.encode("you never listen", add_special_tokens=False).ids) == 3
