"""API keys, what a platform's program proves itself with, and the secrets they are made of.

    make_key -> (record to keep, text to show once)
    parse(text).key_id  -> what to look up
    check(record, text, now) -> the record, if the key is good
    rotate, used -> the record to write

`service.oauth`, `service.accounts` and `service.visits` make theirs of the same secrets. The keys
that sign are in `service.signing`, those that encrypt in `service.vault` and `service.root_keys`.

These are values and functions of values, here and there: the store keeps the rows,
`service.auth` turns a request into a caller, and time is handed in (aware, UTC). What changes a
record gives the changed copy back and leaves it to the caller to store it, before the answer
goes out. No secret is in a repr, an error or a pickle, and every comparison of one takes the same
time wherever it first differs (`Secret`).
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, NoReturn

from service.errors import Conflict, Invalid, NotAuthenticated
from service.scopes import Scope


def _encoded(text: str) -> bytes:
    """Its bytes; lone surrogates too, whose refusal would quote the whole text."""
    return text.encode("utf-8", "surrogatepass")


class Secret:
    """Words that must not be seen: no repr, no pickle, compared in constant time.

    A pickle is refused because a queue that stores its arguments would store the secret too.
    """

    __slots__ = ("_value",)
    _value: str

    def __init__(self, value: str) -> None:
        object.__setattr__(self, "_value", value)

    @property
    def value(self) -> str:
        """The words themselves, for the one place that needs them."""
        return self._value

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret does not change")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_encoded(self._value), _encoded(other._value))

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")

    def __deepcopy__(self, memo: object) -> "Secret":
        return self


def hash_secret(secret: Secret) -> Secret:
    """SHA-256 of a random secret, hex: what is kept of it, and what it is found by.

    One fast hash without salt is enough for what nobody chose: from 112 random bits on (SP
    800-63B-4 §3.1.2.2; most of ours have 256) it cannot be found by trying, however fast the
    trying, and no two are the same. Slow salted hashes make up for what people choose (see
    `service.passwords`) and would cost every request.
    """
    return Secret(hashlib.sha256(_encoded(secret.value)).hexdigest())


_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LENGTH = 43
"""Of 62 letters: 62**43 is more than 2**256."""
_ID_LENGTH = 16
_CHECK_LENGTH = 6
"""Of 62 letters: 62**6 is more than 2**32, a CRC's range."""


def random_secret() -> Secret:
    """A new secret of 256 random bits: 43 letters and digits."""
    return Secret(_random(_SECRET_LENGTH))


def random_id() -> str:
    """A new public id: 16 letters and digits."""
    return _random(_ID_LENGTH)


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


OVERLAP = timedelta(hours=24)
"""How long the old secret stays good after a rotation; ours: a working day to deploy the new."""

MAX_OVERLAP = timedelta(days=7)
"""Longer than this a rotation is none; ours."""


@dataclass(frozen=True, slots=True)
class SecretHash:
    """`hash_secret` of a secret, and of the one before it while both are good."""

    current: Secret
    previous: Secret | None = None
    previous_until: datetime | None = None

    def matches(self, secret: Secret, now: datetime) -> bool:
        """Whether this is the secret, or the one before it within the overlap."""
        found = hash_secret(secret)
        is_current = found == self.current
        is_previous = self.previous is not None and found == self.previous
        in_overlap = self.previous_until is not None and now < self.previous_until
        return is_current or (is_previous and in_overlap)

    def was_before(self, secret: Secret) -> bool:
        """Whether this was the secret before the current one, however long ago that ended."""
        return self.previous is not None and hash_secret(secret) == self.previous

    def followed_by(self, secret: Secret, *, now: datetime, overlap: timedelta) -> "SecretHash":
        """The hash after a rotation. What came before the current secret ends at once.

        Raises: Invalid: the overlap is negative or longer than MAX_OVERLAP.
        """
        if not timedelta(0) <= overlap <= MAX_OVERLAP:
            raise Invalid("The overlap is between nothing and seven days.", code="bad_overlap")
        return SecretHash(hash_secret(secret), self.current, now + overlap)


def terms(
    scopes: Iterable[Scope], lifetime: timedelta | None, now: datetime
) -> tuple[frozenset[Scope], datetime | None]:
    """What a new key or client may do, and until when; None: for ever.

    Raises: Invalid: no scope, or a lifetime that has ended.
    """
    granted = frozenset(scopes)
    if not granted:
        raise Invalid("It needs at least one scope.", code="no_scope")
    if lifetime is not None and lifetime <= timedelta(0):
        raise Invalid("It would have expired already.", code="bad_lifetime")
    return granted, None if lifetime is None else now + lifetime


Environment = Literal["live", "test"]

KEY_LIFETIME = timedelta(days=365)
"""How long a key is good unless somebody says otherwise; ours."""

LAST_USE_EVERY = timedelta(minutes=1)
"""The last use is written down at most this often, so that reading costs no write."""

_KEY = re.compile(
    rf"rupture_(live|test)_([0-9A-Za-z]{{{_ID_LENGTH}}})"
    rf"_([0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{{_CHECK_LENGTH}}})"
)


@dataclass(frozen=True, slots=True)
class ApiKeyRecord:
    """An API key as it is kept: everything but the secret.

    Args:
        key_id: public; 16 letters and digits.
        name: what its owner calls it.
        expires_at: from then on it is refused; None: never.
        last_used_at: to the minute, see `used`.
    """

    key_id: str
    tenant_id: str
    name: str
    environment: Environment
    scopes: frozenset[Scope]
    secret: SecretHash
    created_at: datetime
    expires_at: datetime | None = None
    disabled_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A key that is written as keys are. Whether it is one, `check` says."""

    environment: Environment
    key_id: str
    secret: Secret


def make_key(
    *,
    tenant_id: str,
    name: str,
    scopes: Iterable[Scope],
    now: datetime,
    environment: Environment = "live",
    lifetime: timedelta | None = KEY_LIFETIME,
) -> tuple[ApiKeyRecord, Secret]:
    """A new key: the record to keep, and the text to show once.

    `rupture_<live|test>_<id>_<secret><checksum>`: the prefix lets secret scanners find it, the
    id is public, the secret has 256 random bits, and the checksum (CRC-32, after GitHub's token
    format of 2021) refuses a mistyped key without a look-up.

    `scopes` are at least one, see `grant`; without `lifetime` it never expires.

    Raises: Invalid: no scope, or a lifetime that has ended.
    """
    granted, expires_at = terms(scopes, lifetime, now)
    secret = random_secret()
    record = ApiKeyRecord(
        key_id=random_id(),
        tenant_id=tenant_id,
        name=name,
        environment=environment,
        scopes=granted,
        secret=SecretHash(hash_secret(secret)),
        created_at=now,
        expires_at=expires_at,
    )
    return record, _key_text(record, secret)


def _key_text(record: ApiKeyRecord, secret: Secret) -> Secret:
    text = f"rupture_{record.environment}_{record.key_id}_{secret.value}"
    return Secret(text + _checksum(text))


def _checksum(text: str) -> str:
    left, letters = zlib.crc32(text.encode()), []
    for _ in range(_CHECK_LENGTH):
        left, digit = divmod(left, len(_LETTERS))
        letters.append(_LETTERS[digit])
    return "".join(reversed(letters))


def parse(text: str) -> ParsedKey:
    """The parts of a key, without looking it up.

    Raises: NotAuthenticated: it is not written as a key is, or mistyped.
    """
    found = _KEY.fullmatch(text)
    if found is None or _checksum(text[:-_CHECK_LENGTH]) != found[4]:
        raise NotAuthenticated(
            "This is no API key as we write them; a letter may be missing or mistyped.",
            code="malformed_key",
        )
    environment: Environment = "live" if found[1] == "live" else "test"
    return ParsedKey(environment, found[2], Secret(found[3]))


def check(record: ApiKeyRecord | None, text: str, now: datetime) -> ApiKeyRecord:
    """The record, if the text is its key and the key is good now.

    `record` is what the store has under the id of the key, None where it has nothing: an unknown
    key and a wrong secret are refused alike.

    Raises: NotAuthenticated: `malformed_key`, `bad_key`; only to who holds the secret,
        `disabled_key` or `expired_key`.
    """
    given = parse(text)
    kept = record or _NO_KEY
    is_it = kept.secret.matches(given.secret, now)
    if not is_it or (given.environment, given.key_id) != (kept.environment, kept.key_id):
        raise NotAuthenticated("This API key is not known.", code="bad_key")
    if kept.disabled_at is not None and kept.disabled_at <= now:
        raise NotAuthenticated("This API key is disabled.", code="disabled_key")
    if kept.expires_at is not None and kept.expires_at <= now:
        raise NotAuthenticated("This API key has expired.", code="expired_key")
    return kept


NO_SECRET = SecretHash(hash_secret(random_secret()))
"""Of a secret that nobody has: what the secret of an unknown id is compared with."""

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""When nobody's key, client or account was made: what an unknown id or login is looked up as."""

_NO_KEY = ApiKeyRecord("", "", "", "live", frozenset(), NO_SECRET, created_at=LONG_AGO)


def rotate(
    record: ApiKeyRecord, *, now: datetime, overlap: timedelta = OVERLAP
) -> tuple[ApiKeyRecord, Secret]:
    """The key with a new secret, under its id, and the text to show once.

    Raises: Conflict: the key is disabled or has expired. Invalid: see `SecretHash.followed_by`.
    """
    if record.disabled_at is not None or (record.expires_at and record.expires_at <= now):
        raise Conflict("The key is disabled or has expired: make a new one.", code="key_ended")
    secret = random_secret()
    hashed = record.secret.followed_by(secret, now=now, overlap=overlap)
    return replace(record, secret=hashed), _key_text(record, secret)


def used(record: ApiKeyRecord, now: datetime) -> ApiKeyRecord | None:
    """The record to write after a use; None where the last use was written within a minute."""
    if record.last_used_at is not None and now - record.last_used_at < LAST_USE_EVERY:
        return None
    return replace(record, last_used_at=now)
