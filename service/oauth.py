"""OAuth2 by client credentials (RFC 6749 §4.4): clients, and the tokens they fetch.

    make_client -> (record to keep, secret to show once); rotate_client
    read_basic, issue_token -> what the token endpoint (`service.tokens`) answers
    read_token -> what a bearer token says, if it is good

Values and functions of values, like `service.keys`.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote_plus

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import GuestProtocol, OctKey

from service.errors import Conflict, NotAuthenticated, ServiceError
from service.keys import (
    KEY_LIFETIME,
    LONG_AGO,
    NO_SECRET,
    OVERLAP,
    Secret,
    SecretHash,
    hash_secret,
    random_id,
    random_secret,
    terms,
)
from service.scopes import Scope, stored_scopes
from service.signing import CLOCK_SKEW, SigningKeys, epoch_s


class OAuthCode(StrEnum):
    """What a token endpoint refuses (RFC 6749 §5.2)."""

    INVALID_REQUEST = "invalid_request"
    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    INVALID_SCOPE = "invalid_scope"


class TokenRefused(ServiceError):
    """No token. The endpoint answers with `body`, which OAuth2 clients read; not a problem."""

    title = "No token"

    def __init__(self, error: OAuthCode, detail: str) -> None:
        self.error = error
        self.status = 401 if error is OAuthCode.INVALID_CLIENT else 400
        super().__init__(detail, code=error.value)

    def body(self) -> dict[str, str]:
        """The JSON of RFC 6749 §5.2. A 401 also needs `WWW-Authenticate: Basic`."""
        return {"error": self.error.value, "error_description": self.detail}


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """An OAuth2 client as it is kept: a program that fetches tokens with its secret."""

    client_id: str
    tenant_id: str
    name: str
    scopes: frozenset[Scope]
    secret: SecretHash
    created_at: datetime
    expires_at: datetime | None = None
    disabled_at: datetime | None = None
    last_used_at: datetime | None = None


_NO_CLIENT = ClientRecord("", "", "", frozenset(), NO_SECRET, created_at=LONG_AGO)


def make_client(
    *,
    tenant_id: str,
    name: str,
    scopes: Iterable[Scope],
    now: datetime,
    lifetime: timedelta | None = KEY_LIFETIME,
) -> tuple[ClientRecord, Secret]:
    """A new OAuth2 client: the record to keep, and its secret to show once.

    Raises: Invalid: no scope, or a lifetime that has ended.
    """
    granted, expires_at = terms(scopes, lifetime, now)
    secret = random_secret()
    record = ClientRecord(
        client_id=random_id(),
        tenant_id=tenant_id,
        name=name,
        scopes=granted,
        secret=SecretHash(hash_secret(secret)),
        created_at=now,
        expires_at=expires_at,
    )
    return record, secret


def rotate_client(
    client: ClientRecord, *, now: datetime, overlap: timedelta = OVERLAP
) -> tuple[ClientRecord, Secret]:
    """The client with a new secret, and the secret to show once.

    Raises: Conflict: the client is disabled or has expired. Invalid: see `SecretHash`.
    """
    if not _is_good(client, now):
        raise Conflict("The client is disabled or has expired.", code="client_ended")
    secret = random_secret()
    hashed = client.secret.followed_by(secret, now=now, overlap=overlap)
    return replace(client, secret=hashed), secret


def _is_good(client: ClientRecord, now: datetime) -> bool:
    return client.disabled_at is None and (client.expires_at is None or now < client.expires_at)


def read_basic(header: str) -> tuple[str, Secret]:
    """Client id and secret of an `Authorization: Basic` field.

    Both are form-encoded inside the base64 (RFC 6749 §2.3.1).

    Raises: TokenRefused: `invalid_client`: it is not such a field.
    """
    kind, _, encoded = header.strip().partition(" ")
    try:
        if kind.lower() != "basic":
            raise ValueError
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
        client_id, colon, secret = decoded.partition(":")
        if not colon:
            raise ValueError
        return unquote_plus(client_id), Secret(unquote_plus(secret))
    except (ValueError, binascii.Error):
        # The cause would carry the decoded secret.
        raise TokenRefused(
            OAuthCode.INVALID_CLIENT, "Say who you are by HTTP Basic: client id and secret."
        ) from None


TOKEN_LIFETIME = timedelta(minutes=10)
"""A token cannot be called back before: short enough for that; ours."""

_ALGORITHM = "HS256"
"""The only one: who signs and who verifies are the same service, and a token that names another,
`none` included, is refused before any key is looked for."""

_TYPE = "at+jwt"
"""RFC 9068 §2.1: an access token, so that no other JWT of ours passes for one."""

_MAX_TOKEN = 4096
"""Characters; ours are below 1,000."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token for a client, as the endpoint answers it."""

    access_token: Secret
    expires_in_s: int
    scopes: frozenset[Scope]

    def body(self) -> dict[str, str | int]:
        """The JSON of RFC 6749 §5.1; it goes out with `Cache-Control: no-store`."""
        return {
            "access_token": self.access_token.value,
            "token_type": "Bearer",
            "expires_in": self.expires_in_s,
            "scope": " ".join(sorted(self.scopes)),
        }


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token that was read says. `token_id` may be logged."""

    token_id: str
    client_id: str
    tenant_id: str
    scopes: frozenset[Scope]
    expires_at_s: int


def issue_token(
    client: ClientRecord | None,
    *,
    secret: str,
    grant_type: str,
    scope: str = "",
    keys: SigningKeys,
    issuer: str,
    audience: str,
    now: datetime,
    lifetime: timedelta = TOKEN_LIFETIME,
) -> IssuedToken:
    """A bearer token by client credentials (RFC 6749 §4.4), a JWT as in RFC 9068.

    Args:
        client: what the store has under the id; None: nothing, which is refused as a wrong
            secret is.
        secret: what the caller sent.
        grant_type: what the caller sent; `client_credentials` is the only one.
        scope: what is asked for, separated by spaces; "": everything the client may.
        keys: the first signs.
        issuer: this service's URL.
        audience: whom the token is for; this service's API.
        now: when it is issued.
        lifetime: how long it is good.

    Raises: TokenRefused: with the code of RFC 6749 §5.2.
    """
    issued_at = epoch_s(now)
    kept = client or _NO_CLIENT
    if grant_type != "client_credentials":
        raise TokenRefused(
            OAuthCode.UNSUPPORTED_GRANT_TYPE, "The grant type is client_credentials."
        )
    if not kept.secret.matches(Secret(secret), now) or not _is_good(kept, now):
        raise TokenRefused(OAuthCode.INVALID_CLIENT, "The client or its secret is not good.")
    scopes = _asked_scopes(scope, kept.scopes)
    signing = keys.signing
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": kept.client_id,
        "client_id": kept.client_id,
        "tenant": kept.tenant_id,
        "scope": " ".join(sorted(scopes)),
        "iat": issued_at,
        "exp": issued_at + int(lifetime.total_seconds()),
        "jti": random_id(),
    }
    header = {"alg": _ALGORITHM, "typ": _TYPE, "kid": signing.kid}
    text = jwt.encode(header, claims, _token_key(signing.secret), algorithms=[_ALGORITHM])
    return IssuedToken(Secret(text), int(lifetime.total_seconds()), scopes)


def _asked_scopes(scope: str, held: frozenset[Scope]) -> frozenset[Scope]:
    names = scope.split()
    known = {one.value for one in held}
    if not set(names) <= known:
        raise TokenRefused(OAuthCode.INVALID_SCOPE, "The client does not hold these scopes.")
    return frozenset(Scope(name) for name in names) or held


@lru_cache(maxsize=16)
def _token_key(secret: bytes) -> OctKey:
    """The signing key as the library wants it. Making one is slow: it looks for disguised PEM."""
    return OctKey.import_key(hmac.digest(secret, b"access token", "sha256"))


def read_token(
    text: str, *, keys: SigningKeys, issuer: str, audience: str, now: datetime
) -> AccessToken:
    """What a bearer token says, if this service signed it, for this audience, and it is good.

    A client that was disabled meanwhile keeps its token until it ends, unless the caller looks.

    Raises: NotAuthenticated: `invalid_token` (RFC 6750 §3.1), whatever is wrong with it.
    """

    def find(signed: GuestProtocol) -> OctKey:
        key = keys.named(signed.headers().get("kid"))
        if key is None or signed.headers().get("typ") != _TYPE:
            raise InvalidKeyIdError
        return _token_key(key.secret)

    wanted = jwt.JWTClaimsRegistry(
        now=epoch_s(now),
        leeway=int(CLOCK_SKEW.total_seconds()),
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        if len(text) > _MAX_TOKEN:
            raise ValueError
        claims = jwt.decode(text, find, algorithms=[_ALGORITHM]).claims
        wanted.validate(claims)
        return AccessToken(
            token_id=_words(claims, "jti"),
            client_id=_words(claims, "sub"),
            tenant_id=_words(claims, "tenant"),
            scopes=stored_scopes(_words(claims, "scope").split()),
            expires_at_s=claims["exp"],
        )
    except ExpiredTokenError:
        raise NotAuthenticated("The token has expired.", code="invalid_token") from None
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        # The cause may carry the token.
        raise NotAuthenticated("The token is not good.", code="invalid_token") from None


def _words(claims: Mapping[str, object], name: str) -> str:
    value = claims[name]
    if not isinstance(value, str):
        raise TypeError
    return value
