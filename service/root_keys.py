"""Where the root keys are: in files, in the environment's value, or in a KMS.

A root key wraps tenants' keys (service/vault.py says what those do) and never leaves its source.
Rotation: put the new key first and keep the older ones after it until `Vault.rewrap_tenant_key`
has gone over every tenant; then destroy them.

    VaultError (a ServiceError)
    ├── KeysAway       503  the KMS does not answer
    ├── NotAuthentic   500  a blob was changed, or is another row's
    ├── UnknownKey     500  the root key that a blob is under is not here
    ├── MalformedKey   500  a root key that is not 32 random bytes in base64
    └── UnsafeKeyFile  500  a key file that is missing, in the way, or that others can read

and those of service/vault.py. Messages and reprs name keys by id; none holds a key, and neither
do the local variables of a traceback.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.errors import ServiceError, Unavailable

_NONCE, _KEY, _NAME = 12, 32, 8
"""Bytes: AES-GCM's nonce, AES-256's key, a key's id."""

_FEWEST_DISTINCT = 8
"""Of 32 random bytes some 30 differ; a placeholder such as `AAAA…` has one or two."""


class VaultError(ServiceError):
    """Sealed content, or a key, cannot be used."""

    status, code, title = 500, "vault", "Sealed content cannot be used"


class KeysAway(VaultError, Unavailable):
    """The KMS does not answer, or makes no sense. `reason` is the kind of error, not its words."""

    status, code, title = Unavailable.status, "keys_away", Unavailable.title

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the key management service does not answer ({reason}): try again later")


class NotAuthentic(VaultError):
    """The blob was changed, or is another row's: AES-GCM cannot tell which. Carries the key id."""

    code = "not_authentic"

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(
            f"what is stored under key {key_id} was changed, or moved here from another row: "
            "restore this row from a backup"
        )


class UnknownKey(VaultError):
    """No root key of this id is here. Carries the id."""

    code = "unknown_key"

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(
            f"no root key {key_id} is here: put the file or value that held it back, "
            "after the current one"
        )


class MalformedKey(VaultError):
    """A root key that cannot be one. Carries the file or setting it came from."""

    code = "malformed_key"

    def __init__(self, where: str) -> None:
        self.where = where
        super().__init__(
            f"{where}: a root key is 32 random bytes in base64, and this is not: put the right one "
            "back; for a new installation, `openssl rand -base64 32` makes one"
        )


class UnsafeKeyFile(VaultError):
    """A key file that cannot be used as it is. Carries its path; met only when starting."""

    code = "unsafe_key_file"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"{path}: {reason}")


class KeySource(Protocol):
    """Where the root keys are. It wraps tenants' keys, and never hands a root key out."""

    @property
    def current(self) -> str:
        """Id of the root key that wraps from now on."""

    def wrap(self, material: bytes, *, key_id: str, tenant_id: str) -> bytes:
        """A tenant's key (40 bytes), wrapped for this tenant. Raises: UnknownKey; KeysAway."""

    def unwrap(self, wrapped: bytes, *, key_id: str, tenant_id: str) -> bytes:
        """What `wrap` was given. Raises: UnknownKey; NotAuthentic; KeysAway."""


class Key:
    """An AES-256 key and its id. Shows only the id; is neither copied nor pickled."""

    __slots__ = ("_material", "name")

    def __init__(self, name: str, material: bytes) -> None:
        self.name, self._material = name, material

    @classmethod
    def new(cls) -> Self:
        """A random key with a random id (16 hex digits)."""
        return cls(secrets.token_hex(_NAME), AESGCM.generate_key(_KEY * 8))

    @classmethod
    def unpacked(cls, packed: bytes) -> Self | None:
        """The key that `packed` (40 bytes) holds; None where that cannot be one."""
        if len(packed) != _NAME + _KEY:
            return None
        return cls(packed[:_NAME].hex(), packed[_NAME:])

    def packed(self) -> bytes:
        """Id and key, 40 bytes: never to be kept in a variable, a traceback could show it."""
        return bytes.fromhex(self.name) + self._material

    def encrypt(self, plain: bytes, bound: bytes) -> bytes:
        """Nonce (12 bytes, random), ciphertext and tag (16); opens only with the same `bound`."""
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self._material).encrypt(nonce, plain, bound)

    def decrypt(self, sealed: bytes, bound: bytes) -> bytes:
        """What `encrypt` was given. Raises: NotAuthentic."""
        try:
            return AESGCM(self._material).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
        except (InvalidTag, ValueError) as error:  # ValueError: shorter than a nonce
            raise NotAuthentic(self.name) from error

    def __repr__(self) -> str:
        return f"<key {self.name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is neither copied nor pickled")


def bound(head: bytes, *names: str) -> bytes:
    """Associated data: `head` and each name after its length, so that no two lists are alike."""
    encoded = [name.encode("utf-8", "surrogatepass") for name in names]
    return b"".join(len(one).to_bytes(4, "big") + one for one in (head, *encoded))


class RootKeys:
    """Root keys in this process: the first wraps, all unwrap. See `from_files`, `from_value`.

    A root key's id is derived from it (HMAC-SHA256, 8 bytes): it tells nothing of the key, is the
    same in a file and in the environment, and no other key can pass for it.
    """

    __slots__ = ("_keys", "current")

    def __init__(self, current: Key, *older: Key) -> None:
        self._keys, self.current = {key.name: key for key in (current, *older)}, current.name

    @classmethod
    def from_files(cls, current: Path, *older: Path) -> Self:
        """The keys of these files, each 32 bytes in base64, for nobody but their owner to read.

        Raises: UnsafeKeyFile; MalformedKey.
        """
        return cls(*(_root_key(_read_guarded(path), str(path)) for path in (current, *older)))

    @classmethod
    def from_value(cls, value: str, *, where: str = "RUPTURE_ROOT_KEY") -> Self:
        """The keys of a setting: base64, several with spaces or commas between, current one first.

        Raises: MalformedKey.
        """
        problem, keys = _keys_of(value)
        del value
        if problem or not keys:
            raise MalformedKey(where)
        return cls(*keys)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the keys, the current one first."""
        return tuple(self._keys)

    def wrap(self, material: bytes, *, key_id: str, tenant_id: str) -> bytes:
        """See KeySource. Raises: UnknownKey."""
        key = self._keys.get(key_id)
        if key is None:
            del material
            raise UnknownKey(key_id)
        return key.encrypt(material, bound(b"tenant key", key_id, tenant_id))

    def unwrap(self, wrapped: bytes, *, key_id: str, tenant_id: str) -> bytes:
        """See KeySource. Raises: UnknownKey; NotAuthentic."""
        key = self._keys.get(key_id)
        if key is None:
            raise UnknownKey(key_id)
        return key.decrypt(wrapped, bound(b"tenant key", key_id, tenant_id))

    def __repr__(self) -> str:
        return f"<root keys {', '.join(self._keys)}>"


class Kms(Protocol):
    """What we ask of a key management service: a few lines around its client.

    `context` must be authenticated: decrypting with another one fails. Errors: UnknownKey where
    the key is not there, NotAuthentic where it refuses a ciphertext; any other becomes KeysAway.
    """

    def encrypt(self, key_id: str, plaintext: bytes, context: Mapping[str, str]) -> bytes:
        """The ciphertext of 40 bytes under this key and context."""

    def decrypt(self, key_id: str, ciphertext: bytes, context: Mapping[str, str]) -> bytes:
        """The plaintext of what `encrypt` made with the same key and context."""


@dataclass(frozen=True, slots=True)
class KmsKeys:
    """Root keys that never leave a KMS.

    Only the ids given here are asked for: a blob's id comes out of the database, and whoever can
    write there could else make us use a key of his own.
    """

    kms: Kms = field(repr=False)
    current: str
    older: tuple[str, ...] = ()

    def wrap(self, material: bytes, *, key_id: str, tenant_id: str) -> bytes:
        """See KeySource. Raises: UnknownKey; KeysAway."""
        try:
            return self.kms.encrypt(self._known(key_id), material, _context(tenant_id))
        except Exception as error:  # a client has errors of its own, and they may hold the key
            problem = _ours(error)
        del material
        raise problem

    def unwrap(self, wrapped: bytes, *, key_id: str, tenant_id: str) -> bytes:
        """See KeySource. Raises: UnknownKey; NotAuthentic; KeysAway."""
        try:
            return self.kms.decrypt(self._known(key_id), wrapped, _context(tenant_id))
        except Exception as error:  # as in wrap
            problem = _ours(error)
        raise problem

    def _known(self, key_id: str) -> str:
        if key_id not in (self.current, *self.older):
            raise UnknownKey(key_id)
        return key_id


def _context(tenant_id: str) -> dict[str, str]:
    return {"purpose": "rupture tenant key", "tenant": tenant_id}


def _ours(error: Exception) -> VaultError:
    """An error of our own, without the client's words and frames."""
    if not isinstance(error, VaultError):
        return KeysAway(type(error).__name__)
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def create_key_file(path: Path) -> str:
    """Writes a new root key into a new file (mode 0600), whole or not at all.

    Its folder is made where there is none (mode 0700).

    Returns: the key's id.
    Raises: UnsafeKeyFile: the file is there already. OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask
            file.write(base64.b64encode(AESGCM.generate_key(_KEY * 8)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, it refuses where there is one already
    except FileExistsError:
        raise UnsafeKeyFile(
            path, "there is a key file already; what is sealed under it would be lost"
        ) from None
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return RootKeys.from_files(path).current


def _sync_folder(folder: Path) -> None:
    """Makes the file's name as durable as its content: else a power cut could lose the key."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read_guarded(path: Path) -> bytes:
    """The content of a key file, asked about the open file so that nobody swaps it meanwhile."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not hold us up
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise UnsafeKeyFile(
            path, f"{reason}: put the key file back, or create one for a new installation"
        ) from error
    try:
        reason = _why_unsafe(os.fstat(fd), os.geteuid())
        if reason:
            raise UnsafeKeyFile(path, reason)
        return os.read(fd, 1024)
    finally:
        os.close(fd)


def _why_unsafe(found: os.stat_result, user: int) -> str:
    """What is wrong with a key file for this user; "" where nothing is.

    A file of root's may be read by its group: so an administrator, and Kubernetes, give a key to a
    service that is not root.
    """
    if not stat.S_ISREG(found.st_mode):
        return "is not a file"
    if found.st_uid not in (0, user):
        return "belongs to somebody else: chown it to the service's user"
    if found.st_mode & (0o037 if found.st_uid == 0 != user else 0o077):
        return (
            f"others can use it (mode {stat.S_IMODE(found.st_mode):04o}): chmod 600, "
            "and make a new key where others may have read it"
        )
    return ""


def _root_key(text: bytes, where: str) -> Key:
    key = _decoded(text)
    del text
    if key is None:
        raise MalformedKey(where)
    return key


def _keys_of(value: str) -> tuple[bool, list[Key]]:
    """Whether a key of the list is none, and those that are."""
    found = [_decoded(one.encode("utf-8", "replace")) for one in value.replace(",", " ").split()]
    return None in found, [key for key in found if key is not None]


def _decoded(text: bytes) -> Key | None:
    """The root key of a base64 text; None where it cannot be one.

    No error comes from here: its traceback would hold the key.
    """
    try:
        material = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        return None
    if len(material) != _KEY or len(set(material)) < _FEWEST_DISTINCT:
        return None
    name = hmac.digest(material, b"rupture root key id", hashlib.sha256)[:_NAME].hex()
    return Key(name, material)
