"""Where the root keys are: what a file, a setting and a KMS give and refuse."""

import base64
import copy
import os
import pickle
import stat
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from service.errors import ServiceError
from service.root_keys import (
    Key,
    KeysAway,
    KmsKeys,
    MalformedKey,
    NotAuthentic,
    RootKeys,
    UnknownKey,
    UnsafeKeyFile,
    VaultError,
    _why_unsafe,
    bound,
    create_key_file,
)

MATERIAL = bytes(range(40))


def fresh() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def key_file(path: Path, text: str | None = None, mode: int = 0o600) -> Path:
    path.write_text(fresh() if text is None else text)
    path.chmod(mode)
    return path


def shown(error: BaseException) -> str:
    """All that a log with local variables would show of an error but for this file's own."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [one.locals or {} for one in found.stack if one.filename != __file__]
    said = [value for frame in frames for value in frame.values()]
    text = "".join([*said, *found.format_exception_only(), repr(vars(error))])
    return text + (shown(error.__context__) if error.__context__ else "")


def unwrapped(keys: RootKeys | KmsKeys, wrapped: bytes, key_id: str, tenant: str = "t1") -> bytes:
    return keys.unwrap(wrapped, key_id=key_id, tenant_id=tenant)


# Files


@pytest.mark.parametrize("umask", [0, 0o777])
def test_a_created_key_file_is_for_its_owner_alone_whatever_the_umask(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        create_key_file(tmp_path / "root.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "root.key").stat().st_mode) == 0o600


def test_a_created_key_file_holds_32_random_bytes_and_nothing_lies_beside_it(
    tmp_path: Path,
) -> None:
    key_id = create_key_file(tmp_path / "keys" / "root.key")
    path = tmp_path / "keys" / "root.key"
    assert len(base64.b64decode(path.read_bytes())) == 32
    assert RootKeys.from_files(path).current == key_id
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_two_created_keys_differ(tmp_path: Path) -> None:
    assert create_key_file(tmp_path / "one") != create_key_file(tmp_path / "two")


def test_creating_never_overwrites_a_key_and_leaves_no_draft(tmp_path: Path) -> None:
    create_key_file(tmp_path / "root.key")
    before = (tmp_path / "root.key").read_bytes()
    with pytest.raises(UnsafeKeyFile, match="there is a key file already"):
        create_key_file(tmp_path / "root.key")
    assert (tmp_path / "root.key").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["root.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o610, 0o601, 0o777])
def test_a_key_file_that_others_can_use_is_refused_with_what_to_do(
    tmp_path: Path, mode: int
) -> None:
    path = key_file(tmp_path / "root.key", mode=mode)
    if path.stat().st_uid == 0 and os.geteuid() != 0:
        pytest.skip("NOT TESTED: the file is root's and we are not")
    with pytest.raises(UnsafeKeyFile, match=rf"others can use it \(mode {mode:04o}\): chmod 600"):
        RootKeys.from_files(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_of_its_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    assert RootKeys.from_files(key_file(tmp_path / "root.key", mode=mode)).ids


def status(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 0, 0, 1, owner, 0, 44, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner", "user", "reason"),
    [
        (0o600, 1000, 1000, ""),
        (0o440, 0, 1000, ""),
        (0o640, 0, 1000, ""),
        (0o600, 0, 0, ""),
        (0o440, 0, 0, "others"),
        (0o440, 1000, 1000, "others"),
        (0o460, 0, 1000, "others"),
        (0o444, 0, 1000, "others"),
        (0o600, 1001, 1000, "somebody else"),
        (0o600, 1000, 0, "somebody else"),
    ],
)
def test_only_the_owner_reads_a_key_file_and_the_group_what_root_gave_it(
    mode: int, owner: int, user: int, reason: str
) -> None:
    said = _why_unsafe(status(mode, owner), user)
    assert reason in said
    assert bool(reason) == bool(said)


def test_a_missing_key_file_says_to_put_it_back(tmp_path: Path) -> None:
    with pytest.raises(UnsafeKeyFile, match="put the key file back") as caught:
        RootKeys.from_files(tmp_path / "gone.key")
    assert caught.value.path == tmp_path / "gone.key"


def test_a_folder_is_no_key_file(tmp_path: Path) -> None:
    with pytest.raises(UnsafeKeyFile, match="is not a file"):
        RootKeys.from_files(tmp_path)


def test_a_pipe_is_refused_and_does_not_hold_up_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(UnsafeKeyFile, match="is not a file"):
        RootKeys.from_files(tmp_path / "pipe")


def test_a_key_file_may_be_a_link_as_kubernetes_mounts_them(tmp_path: Path) -> None:
    target = key_file(tmp_path / "target")
    (tmp_path / "root.key").symlink_to(target)
    assert RootKeys.from_files(tmp_path / "root.key").ids == RootKeys.from_files(target).ids


NO_KEYS = {
    "empty": "",
    "16 bytes": base64.b64encode(os.urandom(16)).decode(),
    "31 bytes": base64.b64encode(os.urandom(31)).decode(),
    "33 bytes": base64.b64encode(os.urandom(33)).decode(),
    "hex": os.urandom(32).hex(),
    "no base64": "*" * 44,
    "cut padding": base64.b64encode(os.urandom(32)).decode()[:-1],
    "no ascii": "é" * 44,
    "one byte over and over": base64.b64encode(bytes(32)).decode(),
}


@pytest.mark.parametrize("text", NO_KEYS.values(), ids=NO_KEYS)
def test_a_file_that_holds_no_key_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    with pytest.raises(MalformedKey, match=r"root\.key: a root key is 32 random bytes") as caught:
        RootKeys.from_files(key_file(tmp_path / "root.key", text))
    assert not text or text not in shown(caught.value)


# A setting


@pytest.mark.parametrize("text", NO_KEYS.values(), ids=NO_KEYS)
def test_a_value_that_holds_no_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(MalformedKey, match="RUPTURE_ROOT_KEY: a root key") as caught:
        RootKeys.from_value(text)
    assert not text or text not in shown(caught.value)


def test_one_wrong_key_among_right_ones_is_refused_and_none_is_quoted() -> None:
    right = fresh()
    with pytest.raises(MalformedKey) as caught:
        RootKeys.from_value(f"{right} {right[:20]}")
    said = shown(caught.value)
    assert right[:20] not in said
    assert repr(base64.b64decode(right))[2:12] not in said


@pytest.mark.parametrize("between", [" ", ",", ", ", "\n"])
def test_a_value_may_hold_several_keys_the_current_one_first(between: str) -> None:
    first, second = fresh(), fresh()
    keys = RootKeys.from_value(f" {first}{between}{second}\n")
    assert keys.ids == (*RootKeys.from_value(first).ids, *RootKeys.from_value(second).ids)
    assert keys.current == keys.ids[0]


def test_a_key_has_the_same_id_in_a_file_and_in_a_setting(tmp_path: Path) -> None:
    text = fresh()
    path = key_file(tmp_path / "root.key", text + "\n")
    assert RootKeys.from_files(path).ids == RootKeys.from_value(text).ids


def test_another_key_cannot_pass_for_one_that_is_gone(tmp_path: Path) -> None:
    path = key_file(tmp_path / "root.key")
    keys = RootKeys.from_files(path)
    wrapped = keys.wrap(MATERIAL, key_id=keys.current, tenant_id="t1")
    key_file(path)
    with pytest.raises(UnknownKey, match=f"no root key {keys.current} is here"):
        unwrapped(RootKeys.from_files(path), wrapped, keys.current)


# Wrapping


def test_what_was_wrapped_unwraps_for_the_same_tenant_alone() -> None:
    keys = RootKeys.from_value(fresh())
    wrapped = keys.wrap(MATERIAL, key_id=keys.current, tenant_id="t1")
    assert unwrapped(keys, wrapped, keys.current) == MATERIAL
    with pytest.raises(NotAuthentic):
        unwrapped(keys, wrapped, keys.current, tenant="t2")


def test_wrapping_under_a_key_that_is_not_here_shows_nothing_of_what_was_to_be_wrapped() -> None:
    with pytest.raises(UnknownKey) as caught:
        RootKeys.from_value(fresh()).wrap(MATERIAL, key_id="0123", tenant_id="t1")
    assert repr(MATERIAL)[2:20] not in shown(caught.value)


@pytest.mark.parametrize("size", [0, 1, 11, 12, 27])
def test_what_is_too_short_to_be_wrapped_is_refused(size: int) -> None:
    keys = RootKeys.from_value(fresh())
    with pytest.raises(NotAuthentic):
        unwrapped(keys, bytes(size), keys.current)


def test_no_two_lists_of_names_bind_alike() -> None:
    lists = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c")]
    assert len({bound(b"head", *names) for names in lists}) == len(lists)


def test_names_that_are_no_unicode_bind_too() -> None:
    assert bound(b"", "\ud800") != bound(b"", "\ud801")


# A KMS


class NoNetwork(Exception):
    """What a vendor's client raises; it quotes what it was asked, as clients do."""


@dataclass
class FakeKms:
    """Authenticates its context; `keys` that are taken away are unknown."""

    keys: dict[str, RootKeys] = field(default_factory=dict)
    is_away: bool = False
    asked: list[str] = field(default_factory=list)

    def encrypt(self, key_id: str, plaintext: bytes, context: Mapping[str, str]) -> bytes:
        if self.is_away:
            raise NoNetwork(plaintext)
        inner = self.keys[key_id]
        return inner.wrap(plaintext, key_id=inner.current, tenant_id=repr(sorted(context.items())))

    def decrypt(self, key_id: str, ciphertext: bytes, context: Mapping[str, str]) -> bytes:
        self.asked.append(key_id)
        if self.is_away:
            raise NoNetwork(ciphertext)
        if key_id not in self.keys:
            raise UnknownKey(key_id)
        inner = self.keys[key_id]
        where = repr(sorted(context.items()))
        return inner.unwrap(ciphertext, key_id=inner.current, tenant_id=where)


@pytest.fixture
def kms() -> FakeKms:
    return FakeKms({name: RootKeys.from_value(fresh()) for name in ("k1", "k2", "foreign")})


def test_a_kms_unwraps_what_it_wrapped_for_the_same_tenant_alone(kms: FakeKms) -> None:
    keys = KmsKeys(kms, "k1")
    wrapped = keys.wrap(MATERIAL, key_id="k1", tenant_id="t1")
    assert unwrapped(keys, wrapped, "k1") == MATERIAL
    with pytest.raises(NotAuthentic):
        unwrapped(keys, wrapped, "k1", tenant="t2")


def test_a_kms_is_asked_only_for_the_keys_of_the_settings(kms: FakeKms) -> None:
    with pytest.raises(UnknownKey, match="foreign"):
        unwrapped(KmsKeys(kms, "k2", older=("k1",)), b"x" * 80, "foreign")
    assert kms.asked == []


def test_a_key_that_the_kms_no_longer_has_is_unknown(kms: FakeKms) -> None:
    keys = KmsKeys(kms, "k1")
    wrapped = keys.wrap(MATERIAL, key_id="k1", tenant_id="t1")
    del kms.keys["k1"]
    with pytest.raises(UnknownKey, match="no root key k1"):
        unwrapped(keys, wrapped, "k1")


def test_a_kms_that_is_away_is_unavailable_for_a_while_and_its_words_are_dropped(
    kms: FakeKms,
) -> None:
    keys = KmsKeys(kms, "k1")
    kms.is_away = True
    with pytest.raises(KeysAway, match=r"does not answer \(NoNetwork\)") as caught:
        keys.wrap(MATERIAL, key_id="k1", tenant_id="t1")
    assert (caught.value.status, caught.value.retry_after_s) == (503, 5)
    assert repr(MATERIAL)[2:20] not in shown(caught.value)
    with pytest.raises(KeysAway):
        unwrapped(keys, b"x" * 80, "k1")


def test_a_kms_with_a_hole_in_its_answers_is_away_too(kms: FakeKms) -> None:
    del kms.keys["k2"]
    with pytest.raises(KeysAway, match="KeyError"):
        KmsKeys(kms, "k2").wrap(MATERIAL, key_id="k2", tenant_id="t1")


def test_a_kms_client_is_not_in_the_repr() -> None:
    assert repr(KmsKeys(FakeKms(), "k1")) == "KmsKeys(current='k1', older=())"


# What shows


def test_a_key_shows_its_id_alone() -> None:
    key = Key.new()
    assert repr(key) == f"<key {key.name}>"
    assert not hasattr(key, "__dict__")


def test_root_keys_show_their_ids_alone() -> None:
    text = fresh()
    keys = RootKeys.from_value(text)
    assert repr(keys) == f"<root keys {keys.current}>"
    assert base64.b64decode(text)[:8].hex() != keys.current


@pytest.mark.parametrize("escape", [pickle.dumps, copy.deepcopy])
@pytest.mark.parametrize("thing", [Key.new(), RootKeys.from_value(fresh())], ids=["key", "roots"])
def test_a_key_is_neither_pickled_nor_copied(escape: object, thing: object) -> None:
    with pytest.raises(TypeError, match="neither copied nor pickled"):
        escape(thing)  # type: ignore[operator]


def test_a_key_of_another_length_is_not_unpacked() -> None:
    assert Key.unpacked(bytes(39)) is None
    assert Key.unpacked(bytes(41)) is None


def test_every_error_is_a_service_error_with_a_code_of_its_own() -> None:
    kinds = [KeysAway, MalformedKey, NotAuthentic, UnknownKey, UnsafeKeyFile]
    assert all(issubclass(kind, VaultError) for kind in kinds)
    assert issubclass(VaultError, ServiceError)
    assert len({kind.code for kind in kinds}) == len(kinds)
