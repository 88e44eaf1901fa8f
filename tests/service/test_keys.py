"""API keys and the secrets they are made of; every time is a fake clock's."""

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import keys
from service.errors import Conflict, Invalid, NotAuthenticated
from service.keys import OVERLAP, ApiKeyRecord, Secret
from service.scopes import Scope

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def make_key(**more: object) -> tuple[ApiKeyRecord, Secret]:
    asked = {"tenant_id": "t1", "name": "upload", "scopes": [Scope.SESSIONS_WRITE], "now": NOW}
    return keys.make_key(**{**asked, **more})


def test_a_secret_shows_in_no_repr_format_error_or_dump() -> None:
    hidden = Secret("s3cr3t-words")
    shown = [repr(hidden), str(hidden), f"{hidden}", f"{hidden!r:>40}", "%s" % (hidden,)]  # noqa: UP031
    for refused in (json.dumps, pickle.dumps):
        with pytest.raises(TypeError) as caught:
            refused(hidden)
        shown.append(str(caught.value))
    assert not any("s3cr3t" in one for one in shown)


def test_a_secret_equals_its_like_only_and_never_changes() -> None:
    hidden = Secret("one")
    assert hidden == Secret("one")
    assert hidden != Secret("two")
    assert hidden != "one"
    assert len({hidden, Secret("one")}) == 1
    with pytest.raises(AttributeError):
        hidden._value = "two"


def test_a_secret_with_a_lone_surrogate_compares_without_an_error() -> None:
    assert Secret("\ud800") != Secret("x")


def test_no_key_shows_its_secret_or_the_hash_in_repr_or_dict() -> None:
    record, text = make_key()
    shown = repr([record, text, keys.parse(text.value)]) + str(dataclasses.asdict(record))
    assert text.value[-49:-6] not in shown
    assert record.secret.current.value not in shown


def test_a_record_of_secrets_can_be_copied_deeply() -> None:
    record, _ = make_key()
    assert copy.deepcopy(record) == record


def test_a_key_is_written_so_that_scanners_find_it_and_checks() -> None:
    record, text = make_key(environment="test")
    assert text.value.startswith(f"rupture_test_{record.key_id}_")
    assert keys.check(record, text.value, NOW) is record


def test_two_keys_share_neither_id_nor_secret() -> None:
    (one, first), (two, second) = make_key(), make_key()
    assert one.key_id != two.key_id
    assert first.value[-49:] != second.value[-49:]


@settings(deadline=None)
@given(place=st.integers(0, 80), letter=st.sampled_from("0aZ_-"))
def test_one_mistyped_letter_is_refused_without_a_look_up(place: int, letter: str) -> None:
    text = KEY_TEXT[:place] + letter + KEY_TEXT[place + 1 :]
    if text != KEY_TEXT and len(text) == len(KEY_TEXT):
        with pytest.raises(NotAuthenticated) as caught:
            keys.parse(text)
        assert caught.value.code == "malformed_key"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text[:-1],
        lambda text: text * 2,
        lambda text: text.upper(),
        lambda text: text.replace("live", "prod"),
        lambda text: text[:14] + "é" + text[15:],
        lambda text: text[:14] + "٣" + text[15:],
        lambda text: text[:-6] + "0" * 6,
        lambda text: "\ud800",
    ],
)
def test_what_is_not_written_as_a_key_is_refused(change: Callable[[str], str]) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        keys.parse(change(KEY_TEXT))
    assert caught.value.code == "malformed_key"


def test_an_unknown_key_and_a_wrong_secret_are_refused_alike() -> None:
    record, _ = make_key()
    _, other = make_key()
    forged = keys._key_text(record, Secret("a" * 43)).value
    refusals = []
    for kept, text in ((None, other.value), (record, other.value), (record, forged)):
        with pytest.raises(NotAuthenticated) as caught:
            keys.check(kept, text, NOW)
        refusals.append((caught.value.code, caught.value.detail))
    assert set(refusals) == {("bad_key", "This API key is not known.")}


def test_the_secret_of_one_key_does_not_open_another_with_the_same_secret_hash() -> None:
    record, text = make_key()
    moved = dataclasses.replace(record, key_id="0" * 16)
    with pytest.raises(NotAuthenticated):
        keys.check(moved, text.value, NOW)


def test_a_live_key_is_not_taken_for_a_test_key() -> None:
    record, text = make_key()
    with pytest.raises(NotAuthenticated):
        keys.check(dataclasses.replace(record, environment="test"), text.value, NOW)


def test_a_key_is_good_until_the_second_it_expires() -> None:
    record, text = make_key(lifetime=HOUR)
    assert keys.check(record, text.value, NOW + HOUR - SECOND)
    with pytest.raises(NotAuthenticated) as caught:
        keys.check(record, text.value, NOW + HOUR)
    assert caught.value.code == "expired_key"


def test_a_key_without_a_lifetime_never_expires() -> None:
    record, text = make_key(lifetime=None)
    assert keys.check(record, text.value, NOW + timedelta(days=20_000))


def test_a_disabled_key_says_so_only_to_who_holds_it() -> None:
    record, text = make_key()
    disabled = dataclasses.replace(record, disabled_at=NOW)
    with pytest.raises(NotAuthenticated) as caught:
        keys.check(disabled, text.value, NOW)
    assert caught.value.code == "disabled_key"
    forged = keys._key_text(record, Secret("a" * 43)).value
    with pytest.raises(NotAuthenticated) as caught:
        keys.check(disabled, forged, NOW)
    assert caught.value.code == "bad_key"


@pytest.mark.parametrize("wrong", [{"scopes": []}, {"lifetime": timedelta(0)}])
def test_a_key_that_could_do_nothing_is_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        make_key(**wrong)


def test_after_a_rotation_both_secrets_are_good_until_the_overlap_ends() -> None:
    record, old = make_key()
    rotated, new = keys.rotate(record, now=NOW)
    assert rotated.key_id == record.key_id
    for text in (old.value, new.value):
        assert keys.check(rotated, text, NOW + OVERLAP - SECOND)
    assert keys.check(rotated, new.value, NOW + OVERLAP)
    with pytest.raises(NotAuthenticated):
        keys.check(rotated, old.value, NOW + OVERLAP)


def test_a_rotation_without_overlap_ends_the_old_secret_at_once() -> None:
    record, old = make_key()
    rotated, _ = keys.rotate(record, now=NOW, overlap=timedelta(0))
    with pytest.raises(NotAuthenticated):
        keys.check(rotated, old.value, NOW)


def test_a_second_rotation_ends_the_first_secret_at_once() -> None:
    record, first = make_key()
    once, second = keys.rotate(record, now=NOW)
    twice, _ = keys.rotate(once, now=NOW)
    assert keys.check(twice, second.value, NOW)
    with pytest.raises(NotAuthenticated):
        keys.check(twice, first.value, NOW)


def test_a_key_that_has_ended_is_not_rotated() -> None:
    record, _ = make_key(lifetime=HOUR)
    for ended in (dataclasses.replace(record, disabled_at=NOW), record):
        with pytest.raises(Conflict):
            keys.rotate(ended, now=NOW + HOUR)


@pytest.mark.parametrize("overlap", [-SECOND, timedelta(days=7, seconds=1)])
def test_an_overlap_that_is_none_is_refused(overlap: timedelta) -> None:
    with pytest.raises(Invalid):
        keys.rotate(make_key()[0], now=NOW, overlap=overlap)


def test_the_last_use_is_written_at_most_once_a_minute() -> None:
    record, _ = make_key()
    first = keys.used(record, NOW)
    assert first is not None
    assert first.last_used_at == NOW
    assert keys.used(first, NOW + MINUTE - SECOND) is None
    again = keys.used(first, NOW + MINUTE)
    assert again is not None
    assert again.last_used_at == NOW + MINUTE


KEY_TEXT = make_key()[1].value
