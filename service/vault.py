"""Content at rest, sealed: a root key over a key per tenant over a key per session over the text.

    root key ─wraps─► tenant's key ─wraps─► session's key ─seals─► transcript, report, comments
    (root_keys.py)    tenant blob           session blob           content blob

The blobs are for columns of the database; keys are in memory only. Every layer is AES-256-GCM
with a random nonce, and authenticates where its blob belongs: one put into another tenant's,
session's or item's row does not open. A session or tenant is erased by destroying its key's blob.

A blob: version (1 byte), purpose (1), length of key id (2), id of the key it is under, nonce (12),
ciphertext and tag (16). In a tenant blob, what the key source made follows the key id.

Who gets what:

- The database, or a backup, alone: how many tenants, sessions and items there are, under which
  keys, and their compressed sizes to within 12 % (up to 256 bytes all look alike). No content.
- A root key alone: nothing. The database and the root key: all that is not erased; and from a
  backup older than an erasure, what was erased since. So every restore erases again what the
  audit says was erased, and backups are kept no longer than erasing may take.
- A KMS in place of a root key: whoever has the database reads only as long as the KMS answers him.
- Writing to the database: neither reading nor forging. But deleting, or putting an older blob of
  the same row back, which only the audit chain can show.
- The running process, its memory, a core dump: all it can open. Python wipes no memory.

What is left to others: a destroyed blob must really leave the database's files (SQLite:
`secure_delete` and a WAL checkpoint; PostgreSQL: VACUUM, and archived WAL that ends). Rewrapping
changes locks, not content: who has old keys and old blobs keeps what he has. A key makes at most
2^32 random nonces (NIST SP 800-38D, 8.3).

    VaultError (a ServiceError; more of them in root_keys.py)
    ├── Erased           410  there is no key any more
    ├── ContentTooLarge  413  more than the vault's `max_bytes`
    ├── WrongKey         500  the blob is under another key than the one given with it
    └── MalformedBlob    500  no blob of this vault, or one of another purpose
"""

import struct
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

from service.errors import Gone, TooLarge
from service.root_keys import Key, KeySource, VaultError, bound

MAX_BYTES = 256 * 1024 * 1024
"""Content of one blob before compression: the report of the largest upload, some times over."""
_VERSION, _HEAD = 1, struct.Struct(">BBH")


class Erased(VaultError, Gone):
    """There is no key any more, and so no content."""

    status, code, title = Gone.status, "erased", Gone.title

    def __init__(self) -> None:
        super().__init__("it was erased: its key is destroyed, and nobody can open it any more")


class ContentTooLarge(VaultError, TooLarge):
    """More content than the vault seals or opens. Carries the limit in bytes."""

    status, code, title = TooLarge.status, TooLarge.code, TooLarge.title

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        super().__init__(f"more content than the {max_bytes} bytes that are kept in one")


class WrongKey(VaultError):
    """The blob is under another key. Carries the id `needed` and the one `given`."""

    code = "wrong_key"

    def __init__(self, needed: str, given: str) -> None:
        self.needed, self.given = needed, given
        super().__init__(
            f"it is under key {needed} and not under {given}: give the key that belongs to its row"
        )


class MalformedBlob(VaultError):
    """Not a blob of this vault, or one of another purpose. Carries the reason."""

    code = "malformed_blob"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}: give the right column's, or restore the row from a backup")


class Kind(StrEnum):
    """What a content blob holds."""

    TRANSCRIPT = "transcript"
    REPORT = "report"
    REVIEW = "review"
    COMMENTS = "comments"
    CODING = "coding"
    OPTIONS = "options"
    SECRETS = "secrets"


class _Purpose(IntEnum):
    TENANT_KEY = 1
    SESSION_KEY = 2
    CONTENT = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where content belongs. `item` tells apart what a session has several of, as reports.

    Raises: ValueError: the tenant's or session's id is empty.
    """

    tenant_id: str
    session_id: str
    kind: Kind
    item: str = ""

    def __post_init__(self) -> None:
        _refuse_empty(self.tenant_id, self.session_id)


class KeyCache:
    """Tenants' keys, unwrapped, for a short while: a KMS is not asked at every reading.

    Args:
        lifetime_s: seconds until the source is asked again, and so the longest time that a root
            key taken away still works in this process. 300: a judgement. 0 keeps none.
        most: keys kept; the oldest goes first.
        clock: the time; where it goes back, keys are forgotten.
    """

    def __init__(
        self,
        *,
        lifetime_s: float = 300.0,
        most: int = 1024,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._lifetime_s, self._most, self._clock = lifetime_s, most, clock
        self._held: dict[tuple[str, bytes], tuple[datetime, Key]] = {}
        self._lock = threading.Lock()

    def get(self, tenant_id: str, tenant_blob: bytes) -> Key | None:
        """The key of this blob, where it is kept and not too old."""
        with self._lock:
            self._drop_old()
            entry = self._held.get((tenant_id, tenant_blob))
            return entry[1] if entry and self._is_fresh(entry[0]) else None

    def keep(self, tenant_id: str, tenant_blob: bytes, key: Key) -> None:
        """Keeps a key from now on."""
        with self._lock:
            self._held.pop((tenant_id, tenant_blob), None)
            self._held[tenant_id, tenant_blob] = self._clock(), key
            while len(self._held) > self._most:
                del self._held[next(iter(self._held))]
            self._drop_old()

    def forget(self, tenant_id: str) -> None:
        """Forgets a tenant's keys at once, in this process."""
        with self._lock:
            self._held = {one: kept for one, kept in self._held.items() if one[0] != tenant_id}

    def _is_fresh(self, since: datetime) -> bool:
        return 0 <= (self._clock() - since).total_seconds() < self._lifetime_s

    def _drop_old(self) -> None:
        """Entries are in the order of their making, so the old ones are in front."""
        while self._held:
            first = next(iter(self._held))
            if self._is_fresh(self._held[first][0]):
                return
            del self._held[first]

    def __len__(self) -> int:
        return len(self._held)


@dataclass(frozen=True, slots=True)
class Vault:
    """Makes keys and seals content, from any thread. Keeps nothing but `cache`.

    `max_bytes` is of one blob's content, before compression.
    """

    source: KeySource = field(repr=False)
    cache: KeyCache = field(default_factory=KeyCache, repr=False, compare=False)
    max_bytes: int = MAX_BYTES

    def new_tenant_key(self, tenant_id: str) -> bytes:
        """A tenant blob: a new key, wrapped by the current root key for this tenant alone.

        Raises: KeysAway. ValueError: the id is empty.
        """
        _refuse_empty(tenant_id)
        return self._wrapped(Key.new(), tenant_id)

    def new_session_key(self, tenant_blob: bytes | None, tenant_id: str, session_id: str) -> bytes:
        """A session blob: a new key, wrapped by the tenant's for this session alone.

        Raises: Erased; VaultError: the tenant blob does not open. ValueError: an id is empty.
        """
        _refuse_empty(tenant_id, session_id)
        tenant = self._tenant_key(tenant_blob, tenant_id)
        return _enclosed(tenant, _Purpose.SESSION_KEY, Key.new().packed(), tenant_id, session_id)

    def seal(
        self,
        content: bytes,
        place: Place,
        *,
        tenant_blob: bytes | None,
        session_blob: bytes | None,
    ) -> bytes:
        """A content blob, which opens only at this place and with this session's key.

        Raises: Erased; ContentTooLarge; VaultError: a key's blob does not open.
        """
        if len(content) > self.max_bytes:
            raise ContentTooLarge(self.max_bytes)
        session = self._session_key(place, tenant_blob, session_blob)
        return _enclosed(session, _Purpose.CONTENT, _packed(content), *_names(place))

    def open(
        self, blob: bytes, place: Place, *, tenant_blob: bytes | None, session_blob: bytes | None
    ) -> bytes:
        """What was sealed at this place.

        Raises: Erased: a key's blob is None or empty. WrongKey; NotAuthentic; MalformedBlob;
            UnknownKey; KeysAway. ContentTooLarge: sealed with a larger `max_bytes`.
        """
        session = self._session_key(place, tenant_blob, session_blob)
        plain = _disclosed(session, _Purpose.CONTENT, blob, *_names(place))
        return _unpacked(plain, self.max_bytes)

    def rewrap_session_key(
        self,
        session_blob: bytes | None,
        *,
        old: bytes | None,
        new: bytes | None,
        tenant_id: str,
        session_id: str,
    ) -> bytes:
        """The same session key under the tenant blob `new` in place of `old`; content stays as is.

        A blob that is under `new` already is checked and given back: an interrupted rotation is
        simply done again.

        Raises: Erased; VaultError: one of the blobs does not open.
        """
        after = self._tenant_key(new, tenant_id)
        if session_blob and key_id_of(session_blob) == after.name:
            _session_key(after, session_blob, tenant_id, session_id)
            return session_blob
        before = self._tenant_key(old, tenant_id)
        key = _session_key(before, session_blob, tenant_id, session_id)
        return _enclosed(after, _Purpose.SESSION_KEY, key.packed(), tenant_id, session_id)

    def rewrap_tenant_key(
        self, tenant_blob: bytes | None, tenant_id: str, *, to: KeySource | None = None
    ) -> bytes:
        """The same tenant key under the current root key, of the source `to` where one is given.

        Session blobs stay as they are. A blob that is under it already is checked and given back.

        Raises: Erased; VaultError: the blob does not open.
        """
        after = replace(self, source=to) if to else self
        if tenant_blob and key_id_of(tenant_blob) == after.source.current:
            after._unwrapped(tenant_blob, tenant_id)
            return tenant_blob
        return after._wrapped(self._unwrapped(tenant_blob, tenant_id), tenant_id)

    def _session_key(self, place: Place, tenant_blob: bytes | None, blob: bytes | None) -> Key:
        tenant = self._tenant_key(tenant_blob, place.tenant_id)
        return _session_key(tenant, blob, place.tenant_id, place.session_id)

    def _wrapped(self, key: Key, tenant_id: str) -> bytes:
        root = self.source.current
        wrapped = self.source.wrap(key.packed(), key_id=root, tenant_id=tenant_id)
        return _head(_Purpose.TENANT_KEY, root) + wrapped

    def _tenant_key(self, blob: bytes | None, tenant_id: str) -> Key:
        if not blob:
            raise Erased
        key = self.cache.get(tenant_id, blob)
        if key is None:
            key = self._unwrapped(blob, tenant_id)
            self.cache.keep(tenant_id, blob, key)
        return key

    def _unwrapped(self, blob: bytes | None, tenant_id: str) -> Key:
        if not blob:
            raise Erased
        root, _, wrapped = _parsed(blob, _Purpose.TENANT_KEY)
        key = Key.unpacked(self.source.unwrap(wrapped, key_id=root, tenant_id=tenant_id))
        if key is None:
            raise MalformedBlob("what it holds is no tenant's key")
        return key


def key_id_of(blob: bytes) -> str:
    """Id of the key that a blob is under, as it says itself: for finding what to rewrap.

    Raises: MalformedBlob.
    """
    return _parsed(blob, None)[0]


def _refuse_empty(*ids: str) -> None:
    if not all(ids):
        raise ValueError("the id of a tenant or a session is empty")


def _names(place: Place) -> tuple[str, ...]:
    return place.tenant_id, place.session_id, place.kind, place.item


def _session_key(tenant: Key, blob: bytes | None, tenant_id: str, session_id: str) -> Key:
    if not blob:
        raise Erased
    key = Key.unpacked(_disclosed(tenant, _Purpose.SESSION_KEY, blob, tenant_id, session_id))
    if key is None:
        raise MalformedBlob("what it holds is no session's key")
    return key


def _head(purpose: _Purpose, key_id: str) -> bytes:
    name = key_id.encode("utf-8")
    return _HEAD.pack(_VERSION, purpose, len(name)) + name


def _parsed(blob: bytes, purpose: _Purpose | None) -> tuple[str, bytes, bytes]:
    """Key id, head and the rest of a blob for this purpose; None: for any."""
    if len(blob) < _HEAD.size:
        raise MalformedBlob("it is cut short")
    version, found, length = _HEAD.unpack_from(blob)
    if version != _VERSION:
        raise MalformedBlob(f"it is of version {version}, and this code reads {_VERSION}")
    if found not in ((purpose,) if purpose else tuple(_Purpose)):
        raise MalformedBlob("it is for another purpose")
    end = _HEAD.size + length
    if len(blob) <= end:
        raise MalformedBlob("it is cut short")
    try:
        return blob[_HEAD.size : end].decode("utf-8"), blob[:end], blob[end:]
    except UnicodeDecodeError:
        raise MalformedBlob("its key id is no text") from None


def _enclosed(key: Key, purpose: _Purpose, plain: bytes, *names: str) -> bytes:
    head = _head(purpose, key.name)
    return head + key.encrypt(plain, bound(head, *names))


def _disclosed(key: Key, purpose: _Purpose, blob: bytes, *names: str) -> bytes:
    key_id, head, sealed = _parsed(blob, purpose)
    if key_id != key.name:
        raise WrongKey(key_id, key.name)
    return key.decrypt(sealed, bound(head, *names))


def _packed(content: bytes) -> bytes:
    """Compressed, and padded with zeros so that its size tells little of it."""
    packed = zlib.compress(content)
    return packed.ljust(_padded_size(len(packed)), b"\0")


def _padded_size(n_bytes: int) -> int:
    """Padmé: up to 12 % more, so that only some sizes occur; 256 bytes at least.

    Source: Nikitin et al. 2019, Reducing metadata leakage from encrypted files and communication
    with PURBs (PoPETs 2019:4), section 4; the floor for short comments is a judgement.
    """
    if n_bytes <= 256:
        return 256
    exponent = n_bytes.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (n_bytes + mask) & ~mask


def _unpacked(packed: bytes, max_bytes: int) -> bytes:
    """What `_packed` was given. A zlib stream says itself where it ends and the padding begins."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(packed, max_bytes + 1)
    except zlib.error:
        raise MalformedBlob("what it holds is not compressed content") from None
    if len(content) > max_bytes:
        raise ContentTooLarge(max_bytes)
    if not stream.eof:
        raise MalformedBlob("what it holds is cut short")
    return content
