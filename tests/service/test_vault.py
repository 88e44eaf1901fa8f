"""The vault: what opens, what is refused, what erasing and rotating do, and what nobody sees."""

import base64
import dataclasses
import os
import traceback
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import vault as module
from service.errors import ServiceError, problem
from service.root_keys import (
    KeysAway,
    KmsKeys,
    NotAuthentic,
    RootKeys,
    UnknownKey,
    VaultError,
    create_key_file,
)
from service.vault import (
    ContentTooLarge,
    Erased,
    KeyCache,
    Kind,
    MalformedBlob,
    Place,
    Vault,
    WrongKey,
    key_id_of,
)

FEW = settings(max_examples=60, deadline=None)
NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
PLACE = Place("t1", "s1", Kind.TRANSCRIPT)
CONTENT = b"T: How was your week?\nC: zyxcanary, quiet.\n"


def roots() -> RootKeys:
    return RootKeys.from_value(base64.b64encode(os.urandom(32)).decode())


@dataclass(frozen=True)
class Row:
    """A session as a database keeps it: blobs alone."""

    vault: Vault
    place: Place
    tenant: bytes
    session: bytes | None
    content: bytes = b""

    def seal(self, content: bytes) -> "Row":
        sealed = self.vault.seal(
            content, self.place, tenant_blob=self.tenant, session_blob=self.session
        )
        return replace(self, content=sealed)

    def open(self) -> bytes:
        return self.vault.open(
            self.content, self.place, tenant_blob=self.tenant, session_blob=self.session
        )


def row_at(vault: Vault, place: Place = PLACE, content: bytes = CONTENT) -> Row:
    tenant = vault.new_tenant_key(place.tenant_id)
    session = vault.new_session_key(tenant, place.tenant_id, place.session_id)
    return Row(vault, place, tenant, session).seal(content)


@pytest.fixture
def vault() -> Vault:
    return Vault(roots())


@pytest.fixture
def row(vault: Vault) -> Row:
    return row_at(vault)


# Round trips


ids = st.text(min_size=1, max_size=40)
places = st.builds(Place, ids, ids, st.sampled_from(Kind), st.text(max_size=40))


@FEW
@given(content=st.binary(max_size=5000), place=places)
def test_what_is_sealed_opens_at_its_place(content: bytes, place: Place) -> None:
    assert row_at(Vault(roots()), place, content).open() == content


@pytest.mark.parametrize("content", [b"", b"\0" * 3, b"x" * 1_000_000, os.urandom(100_000)])
def test_content_of_any_size_comes_back_as_it_was(vault: Vault, content: bytes) -> None:
    assert row_at(vault, content=content).open() == content


def test_another_process_with_the_same_root_key_opens_it(tmp_path: Path) -> None:
    create_key_file(tmp_path / "root.key")
    row = row_at(Vault(RootKeys.from_files(tmp_path / "root.key")))
    other = Vault(RootKeys.from_files(tmp_path / "root.key"))
    assert replace(row, vault=other).open() == CONTENT


def test_no_blob_shows_what_was_said(row: Row) -> None:
    assert row.session is not None
    for blob in (row.tenant, row.session, row.content):
        assert b"zyxcanary" not in blob


# Changed blobs


def flipped(blob: bytes, bit: int) -> bytes:
    changed = bytearray(blob)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("column", ["tenant", "session", "content"])
def test_any_flipped_bit_is_refused(row: Row, column: str) -> None:
    blob = getattr(row, column)
    for bit in range(len(blob) * 8):
        with pytest.raises(VaultError):
            replace(row, **{column: flipped(blob, bit)}).open()


@pytest.mark.parametrize("column", ["tenant", "session", "content"])
def test_a_blob_cut_short_anywhere_or_with_more_behind_it_is_refused(row: Row, column: str) -> None:
    blob = getattr(row, column)
    for changed in [*(blob[:end] for end in range(len(blob))), blob + b"\0"]:
        with pytest.raises(VaultError):
            replace(row, **{column: changed}).open()


@FEW
@given(blob=st.binary(max_size=400))
def test_any_bytes_in_any_column_are_an_error_of_the_vault(blob: bytes) -> None:
    row = row_at(Vault(roots()))
    for column in ("tenant", "session", "content"):
        with pytest.raises(VaultError):
            replace(row, **{column: blob}).open()


def test_a_blob_of_a_later_version_says_so(row: Row) -> None:
    with pytest.raises(MalformedBlob, match="version 2, and this code reads 1"):
        replace(row, content=b"\2" + row.content[1:]).open()


def test_blobs_in_one_anothers_columns_are_refused(row: Row) -> None:
    assert row.session is not None
    with pytest.raises(MalformedBlob, match="another purpose"):
        replace(row, tenant=row.session, session=row.tenant).open()
    with pytest.raises(MalformedBlob, match="another purpose"):
        replace(row, content=row.session).open()


# Moved blobs


@FEW
@given(here=places, there=places)
def test_content_moved_to_another_place_is_refused(here: Place, there: Place) -> None:
    row = row_at(Vault(roots()), here)
    if here == there:
        assert replace(row, place=there).open() == CONTENT
    else:
        with pytest.raises(VaultError):
            replace(row, place=there).open()


@pytest.mark.parametrize(
    "moved",
    [
        replace(PLACE, kind=Kind.REPORT),
        replace(PLACE, kind=Kind.COMMENTS),
        replace(PLACE, item="r2"),
    ],
)
def test_content_moved_within_its_session_is_refused(row: Row, moved: Place) -> None:
    with pytest.raises(NotAuthentic, match="changed, or moved here from another row"):
        replace(row, place=moved).open()


def test_content_moved_to_another_session_is_refused(row: Row) -> None:
    there = replace(PLACE, session_id="s2")
    session = row.vault.new_session_key(row.tenant, "t1", "s2")
    with pytest.raises(WrongKey) as caught:
        replace(row, place=there, session=session).open()
    assert caught.value.needed == key_id_of(row.content)


def test_a_session_moved_with_its_key_is_refused(row: Row) -> None:
    with pytest.raises(NotAuthentic):
        replace(row, place=replace(PLACE, session_id="s2")).open()


def test_a_session_moved_to_another_tenant_is_refused(row: Row) -> None:
    with pytest.raises(WrongKey):
        replace(
            row,
            place=replace(PLACE, tenant_id="t2"),
            tenant=row.vault.new_tenant_key("t2"),
        ).open()


def test_a_session_moved_to_another_tenant_with_both_keys_is_refused(row: Row) -> None:
    with pytest.raises(NotAuthentic):
        replace(row, place=replace(PLACE, tenant_id="t2")).open()


def test_a_tenants_key_in_another_tenants_row_makes_no_keys_even_when_it_is_cached(
    row: Row,
) -> None:
    with pytest.raises(NotAuthentic):
        row.vault.new_session_key(row.tenant, "t2", "s9")


@pytest.mark.parametrize(("tenant", "session"), [("", "s1"), ("t1", "")])
def test_an_empty_id_is_a_mistake_of_the_caller(vault: Vault, tenant: str, session: str) -> None:
    blob = vault.new_tenant_key("t1")
    with pytest.raises(ValueError, match="is empty"):
        Place(tenant, session, Kind.REPORT)
    with pytest.raises(ValueError, match="is empty"):
        vault.new_session_key(blob, tenant, session)


# Erasing


@pytest.mark.parametrize("nothing", [None, b""])
def test_without_its_session_blob_nothing_of_a_session_opens_or_is_sealed(
    row: Row, nothing: bytes | None
) -> None:
    erased = replace(row, session=nothing)
    with pytest.raises(Erased, match="its key is destroyed") as caught:
        erased.open()
    assert caught.value.status == 410
    with pytest.raises(Erased):
        erased.seal(b"more")


def test_no_key_made_later_opens_an_erased_session(row: Row) -> None:
    again = row.vault.new_session_key(row.tenant, "t1", "s1")
    with pytest.raises(WrongKey):
        replace(row, session=again).open()
    # Nor where somebody writes the new key's id over the old one in the content blob.
    forged = row.content.replace(
        key_id_of(row.content).encode(),
        key_id_of(replace(row, session=again).seal(b"").content).encode(),
    )
    with pytest.raises(NotAuthentic):
        replace(row, session=again, content=forged).open()


def test_erasing_one_session_leaves_the_others(row: Row) -> None:
    other = replace(
        row,
        place=replace(PLACE, session_id="s2"),
        session=row.vault.new_session_key(row.tenant, "t1", "s2"),
    ).seal(b"other")
    with pytest.raises(Erased):
        replace(row, session=None).open()
    assert other.open() == b"other"


def test_without_its_tenant_blob_nothing_of_a_tenant_opens_though_the_key_is_cached(
    row: Row,
) -> None:
    assert len(row.vault.cache) == 1
    for act in (
        lambda: replace(row, tenant=b"").open(),
        lambda: row.vault.new_session_key(None, "t1", "s2"),
        lambda: row.vault.rewrap_tenant_key(None, "t1"),
    ):
        with pytest.raises(Erased):
            act()


# Rotation


@FEW
@given(content=st.binary(max_size=300))
def test_content_stays_readable_over_a_new_tenant_key_and_the_old_one_no_longer_serves(
    content: bytes,
) -> None:
    row = row_at(Vault(roots()), content=content)
    new = row.vault.new_tenant_key("t1")
    session = row.vault.rewrap_session_key(
        row.session, old=row.tenant, new=new, tenant_id="t1", session_id="s1"
    )
    assert replace(row, tenant=new, session=session).open() == content
    with pytest.raises(WrongKey):
        replace(row, session=session).open()
    with pytest.raises(WrongKey):
        replace(row, tenant=new).open()


def test_an_interrupted_rotation_is_simply_done_again_also_without_the_old_key(row: Row) -> None:
    new = row.vault.new_tenant_key("t1")

    def rewrap(blob: bytes | None, old: bytes | None) -> bytes:
        return row.vault.rewrap_session_key(blob, old=old, new=new, tenant_id="t1", session_id="s1")

    once = rewrap(row.session, row.tenant)
    assert rewrap(once, row.tenant) == once
    assert rewrap(once, None) == once


def test_rewrapping_moves_no_session_to_another_tenant_or_session(row: Row) -> None:
    for tenant, session in (("t2", "s1"), ("t1", "s2")):
        with pytest.raises(NotAuthentic):
            row.vault.rewrap_session_key(
                row.session,
                old=row.tenant,
                new=row.vault.new_tenant_key(tenant),
                tenant_id=tenant,
                session_id=session,
            )


def test_rewrapping_an_erased_session_makes_no_key(row: Row) -> None:
    with pytest.raises(Erased):
        row.vault.rewrap_session_key(
            None,
            old=row.tenant,
            new=row.vault.new_tenant_key("t1"),
            tenant_id="t1",
            session_id="s1",
        )


def test_a_new_root_key_keeps_everything_readable_and_then_the_old_one_may_go() -> None:
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    row = row_at(Vault(RootKeys.from_value(old)))
    both = Vault(RootKeys.from_value(f"{new} {old}"))
    assert replace(row, vault=both).open() == CONTENT
    tenant = both.rewrap_tenant_key(row.tenant, "t1")
    assert key_id_of(tenant) == both.source.current != key_id_of(row.tenant)
    assert both.rewrap_tenant_key(tenant, "t1") == tenant
    alone = Vault(RootKeys.from_value(new))
    assert replace(row, vault=alone, tenant=tenant).open() == CONTENT
    with pytest.raises(UnknownKey, match=key_id_of(row.tenant)):
        replace(row, vault=alone).open()


def test_a_tenant_moves_from_a_file_to_a_kms_and_a_second_time_changes_nothing(
    tmp_path: Path,
) -> None:
    create_key_file(tmp_path / "root.key")
    row = row_at(Vault(RootKeys.from_files(tmp_path / "root.key")))
    far = KmsKeys(FakeKms(), "arn:k1")
    tenant = row.vault.rewrap_tenant_key(row.tenant, "t1", to=far)
    assert replace(row, vault=Vault(far), tenant=tenant).open() == CONTENT
    assert row.vault.rewrap_tenant_key(tenant, "t1", to=far) == tenant
    with pytest.raises(UnknownKey):
        replace(row, tenant=tenant).open()


def test_a_changed_tenant_blob_is_not_given_back_as_rewrapped(row: Row) -> None:
    with pytest.raises(NotAuthentic):
        row.vault.rewrap_tenant_key(flipped(row.tenant, 8 * 60), "t1")


# A KMS


@dataclass
class FakeKms:
    """A KMS in memory, which counts what it is asked and can be away."""

    root: RootKeys = field(default_factory=roots)
    n_asked: int = 0
    is_away: bool = False

    def encrypt(self, key_id: str, plaintext: bytes, context: Mapping[str, str]) -> bytes:
        where = repr(sorted(context.items()))
        return self.root.wrap(plaintext, key_id=self.root.current, tenant_id=where)

    def decrypt(self, key_id: str, ciphertext: bytes, context: Mapping[str, str]) -> bytes:
        self.n_asked += 1
        if self.is_away:
            raise TimeoutError
        where = repr(sorted(context.items()))
        return self.root.unwrap(ciphertext, key_id=self.root.current, tenant_id=where)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kms() -> FakeKms:
    return FakeKms()


@pytest.fixture
def far(kms: FakeKms, clock: Clock) -> Row:
    cache = KeyCache(lifetime_s=300, most=3, clock=clock)
    return row_at(Vault(KmsKeys(kms, "arn:k1"), cache))


def test_a_kms_is_asked_once_while_the_tenants_key_is_kept(far: Row, kms: FakeKms) -> None:
    assert [far.open() for _ in range(5)] == [CONTENT] * 5
    assert kms.n_asked == 1


def test_a_kms_that_is_taken_away_stops_all_reading_when_the_cache_runs_out(
    far: Row, kms: FakeKms, clock: Clock
) -> None:
    kms.is_away = True
    clock.move(299)
    assert far.open() == CONTENT
    clock.move(1)
    with pytest.raises(KeysAway, match="TimeoutError"):
        far.open()
    assert len(far.vault.cache) == 0


def test_a_key_is_not_kept_longer_for_being_used(far: Row, kms: FakeKms, clock: Clock) -> None:
    for _ in range(4):
        clock.move(100)
        far.open()
    assert kms.n_asked == 2


def test_a_clock_that_goes_back_keeps_no_key(far: Row, kms: FakeKms, clock: Clock) -> None:
    clock.move(-1)
    far.open()
    assert kms.n_asked == 2


def test_a_forgotten_tenant_is_asked_for_again_and_the_others_are_not(
    far: Row, kms: FakeKms
) -> None:
    other = row_at(far.vault, replace(PLACE, tenant_id="t2"))
    far.vault.cache.forget("t1")
    assert (far.open(), other.open()) == (CONTENT, CONTENT)
    assert kms.n_asked == 3


def test_no_more_keys_are_kept_than_was_said(far: Row) -> None:
    for n in range(10):
        row_at(far.vault, replace(PLACE, tenant_id=f"many{n}"))
    assert len(far.vault.cache) == 3


def test_an_old_key_is_dropped_though_one_kept_before_it_was_kept_anew(clock: Clock) -> None:
    cache, key = KeyCache(lifetime_s=300, clock=clock), module.Key.new()
    for tenant, seconds in (("t1", 100), ("t2", 100), ("t1", 250)):
        cache.keep(tenant, b"blob", key)
        clock.move(seconds)
    assert cache.get("t1", b"blob") is key
    assert len(cache) == 1


def test_a_cache_of_no_lifetime_keeps_nothing(kms: FakeKms) -> None:
    row = row_at(Vault(KmsKeys(kms, "k1"), KeyCache(lifetime_s=0)))
    row.open()
    assert len(row.vault.cache) == 0
    assert kms.n_asked == 3


def test_a_kms_that_answers_with_something_else_is_refused(kms: FakeKms) -> None:
    @dataclass
    class Odd(FakeKms):
        def decrypt(self, key_id: str, ciphertext: bytes, context: Mapping[str, str]) -> bytes:
            return b"something else"

    with pytest.raises(MalformedBlob, match="no tenant's key"):
        row_at(Vault(KmsKeys(Odd(), "k1")))


# Sizes


def test_content_above_the_limit_is_refused_before_it_is_sealed(vault: Vault) -> None:
    small = replace(vault, max_bytes=100)
    row = row_at(small, content=b"x" * 100)
    assert row.open() == b"x" * 100
    with pytest.raises(ContentTooLarge, match="100 bytes") as caught:
        row.seal(b"x" * 101)
    assert caught.value.status == 413


def test_opening_stops_at_the_limit_and_unpacks_no_more_than_that(row: Row) -> None:
    bomb = row.seal(b"\0" * 20_000_000)
    assert len(bomb.content) < 40_000
    small = replace(bomb, vault=replace(row.vault, max_bytes=100_000))
    tracemalloc.start()
    try:
        with pytest.raises(ContentTooLarge):
            small.open()
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    with pytest.raises(ContentTooLarge):
        replace(bomb, vault=replace(row.vault, max_bytes=19_999_999)).open()


@pytest.mark.parametrize(
    "packed", [b"no zlib" + b"\0" * 249, zlib.compress(os.urandom(900))[:256]], ids=["odd", "cut"]
)
def test_sealed_bytes_that_are_no_compressed_content_are_refused(
    row: Row, monkeypatch: pytest.MonkeyPatch, packed: bytes
) -> None:
    monkeypatch.setattr(module, "_packed", lambda content: packed)
    odd = row.seal(b"")
    with pytest.raises(MalformedBlob):
        odd.open()


def test_short_comments_are_all_of_one_size(row: Row) -> None:
    sizes = {len(row.seal(os.urandom(n)).content) for n in (0, 1, 50, 200)}
    assert len(sizes) == 1


@given(n_bytes=st.integers(257, 10**9))
def test_padding_costs_at_most_12_percent_and_never_cuts(n_bytes: int) -> None:
    assert n_bytes <= module._padded_size(n_bytes) <= 1.12 * n_bytes


def test_few_sizes_occur() -> None:
    assert len({module._padded_size(n) for n in range(10_000, 20_000)}) <= 20


def test_a_transcript_takes_less_room_than_it_is_long(row: Row) -> None:
    assert len(row.seal(CONTENT * 200).content) < len(CONTENT) * 200 / 4


# Nonces and keys


def nonces(row: Row, draws: int) -> Iterator[bytes]:
    start = 4 + len(key_id_of(row.content))
    for _ in range(draws):
        yield row.seal(CONTENT).content[start : start + 12]


def test_no_nonce_comes_twice_in_2000_draws(row: Row) -> None:
    assert len(set(nonces(row, 2000))) == 2000


def test_the_same_content_never_makes_the_same_blob(row: Row) -> None:
    assert row.seal(CONTENT).content != row.seal(CONTENT).content


def test_every_key_is_new(vault: Vault) -> None:
    tenants = {vault.new_tenant_key("t1") for _ in range(50)}
    tenant = tenants.pop()
    sessions = [vault.new_session_key(tenant, "t1", "s1") for _ in range(50)]
    contents = {
        key_id_of(vault.seal(b"", PLACE, tenant_blob=tenant, session_blob=one)) for one in sessions
    }
    assert (len(tenants), len(contents)) == (49, 50)


def test_a_blob_says_which_key_it_is_under(row: Row) -> None:
    assert key_id_of(row.tenant) == row.vault.source.current
    with pytest.raises(MalformedBlob):
        key_id_of(b"\1\7\0\1ab")
    with pytest.raises(MalformedBlob):
        key_id_of(b"")


# What shows


@pytest.fixture
def material(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every key that is drawn from here on."""
    drawn: list[bytes] = []
    new = module.Key.new

    def recorded() -> module.Key:
        key = new()
        drawn.append(key._material)
        return key

    monkeypatch.setattr(module.Key, "new", recorded)
    return drawn


def shown(error: BaseException) -> str:
    """All that a log with local variables would show of an error but for this file's own."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [one.locals or {} for one in found.stack if one.filename != __file__]
    said = [value for frame in frames for value in frame.values()]
    text = "".join([*said, *found.format_exception_only(), repr(vars(error))])
    return text + (shown(error.__context__) if error.__context__ else "")


def test_no_error_and_no_local_variable_of_a_traceback_shows_a_key(material: list[bytes]) -> None:
    row = row_at(Vault(roots()))
    other = row.vault.new_tenant_key("t1")
    gone = Vault(roots())
    failing = [
        replace(row, content=flipped(row.content, 8 * 60)),
        replace(row, session=flipped(row.session or b"", 8 * 60)),
        replace(row, tenant=flipped(row.tenant, 8 * 60)),
        replace(row, tenant=other),
        replace(row, vault=gone),
        replace(row, session=None),
        replace(row, place=replace(PLACE, session_id="s2")),
    ]
    errors = []
    for one in failing:
        with pytest.raises(VaultError) as caught:
            one.open()
        errors.append(shown(caught.value))
    assert len(material) == 3
    for key in material:
        for text in errors:
            assert key.hex() not in text
            assert repr(key)[2:14] not in text
            assert "zyxcanary" not in text


def test_a_vault_shows_no_key_and_is_not_taken_apart(row: Row) -> None:
    assert repr(row.vault) == f"Vault(max_bytes={module.MAX_BYTES})"
    with pytest.raises(TypeError):
        dataclasses.asdict(row.vault)


def test_a_vault_is_not_changed_after_it_is_made(vault: Vault) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        vault.source = roots()  # type: ignore[misc]


@pytest.mark.parametrize(
    "error",
    [Erased(), ContentTooLarge(5), WrongKey("a1", "b2"), MalformedBlob("it is cut short")],
    ids=lambda error: type(error).__name__,
)
def test_every_error_is_a_problem_document(error: ServiceError) -> None:
    document = problem(error, request_id="r1")
    assert isinstance(error, VaultError)
    assert document["status"] == error.status
    assert document["code"] == error.code
    assert document["detail"] == str(error)
