"""The keys that sign, and what they seal: for one purpose, one holder, and in our name only."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.signing import SigningKey, SigningKeys, epoch_s

KEYS = SigningKeys((SigningKey("k1", b"1" * 32),))
OTHER_KEYS = SigningKeys((SigningKey("k1", b"2" * 32),))


@pytest.mark.parametrize(("kid", "secret"), [("k", b"1" * 31), ("", b"1" * 32), ("a.b", b"1" * 32)])
def test_a_weak_or_nameless_signing_key_is_refused_without_showing_it(
    kid: str, secret: bytes
) -> None:
    with pytest.raises(ValueError, match="signing key") as caught:
        SigningKey(kid, secret)
    assert "111" not in str(caught.value)


@pytest.mark.parametrize("keys", [(), KEYS.keys * 2])
def test_signing_keys_are_some_and_of_different_names(keys: tuple[SigningKey, ...]) -> None:
    with pytest.raises(ValueError, match="signing keys"):
        SigningKeys(keys)


def test_a_signing_key_is_in_no_repr() -> None:
    assert "111" not in repr(KEYS)


@given(text=st.text().filter(lambda text: "." not in text))
def test_what_is_sealed_comes_back(text: str) -> None:
    assert KEYS.unseal("visit", KEYS.seal("visit", text)) == text


def test_a_seal_is_good_for_its_purpose_and_holder_only() -> None:
    sealed = KEYS.seal("form", "text", bound_to="one")
    assert KEYS.unseal("form", sealed, bound_to="one") == "text"
    assert KEYS.unseal("form", sealed, bound_to="two") is None
    assert KEYS.unseal("form", sealed) is None
    assert KEYS.unseal("visit", sealed, bound_to="one") is None


def test_letters_do_not_wander_between_the_text_and_what_it_is_bound_to() -> None:
    kid, _, signature = KEYS.seal("form", "ab", bound_to="c").split(".")
    assert KEYS.unseal("form", f"{kid}.a.{signature}", bound_to="bc") is None


@pytest.mark.parametrize("change", ["", "..", "{0}.{1}x.{2}", "k2.{1}.{2}", "{0}.\ud800.{2}"])
def test_what_these_keys_did_not_seal_is_nothing(change: str) -> None:
    assert KEYS.unseal("visit", change.format(*KEYS.seal("visit", "text").split("."))) is None


@pytest.mark.parametrize("more", [".", ".more", "x", "\n"])
def test_nothing_may_follow_a_seal(more: str) -> None:
    assert KEYS.unseal("visit", KEYS.seal("visit", "text") + more) is None


def test_what_another_key_of_the_same_name_sealed_is_nothing() -> None:
    assert KEYS.unseal("visit", OTHER_KEYS.seal("visit", "text")) is None


def test_what_the_key_before_sealed_is_still_read_until_it_is_taken_out() -> None:
    sealed, new = KEYS.seal("visit", "text"), SigningKey("k2", b"3" * 32)
    assert SigningKeys((new, *KEYS.keys)).unseal("visit", sealed) == "text"
    assert SigningKeys((new,)).unseal("visit", sealed) is None


def test_seconds_are_counted_from_1970_and_not_without_a_zone() -> None:
    assert epoch_s(datetime(1970, 1, 2, 0, 0, 0, 999_999, tzinfo=UTC)) == 86_400
    with pytest.raises(ValueError, match="aware"):
        epoch_s(datetime(1970, 1, 2))
