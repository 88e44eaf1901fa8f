"""A tenant's OpenID provider: where its services are, its keys, and its tokens for a code.

Endpoints and keys are read from the configured issuer and from no host it does not share with
them, redirects are not followed, answers are bounded in length and time, and what the provider
sent is in no error: tokens and codes open doors. `service.oidc` signs people in by it.
"""

import json
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, RSAKey

from service.errors import NotAuthenticated, Unavailable
from service.keys import Secret
from service.scopes import Role

ALGORITHMS = ("RS256", "ES256")
"""What an ID token may be signed with. No HMAC: its key would be our own client secret, or, by
confusion, the provider's public key."""

_KEY_TYPES = {"RS256": "RSA", "ES256": "EC"}

KEPT_FOR = timedelta(hours=1)
"""How long endpoints and keys are used before they are read again, and so how long a key that
the provider withdrew is still trusted; ours."""

_MOST_READ = 1_000_000  # bytes of an answer; a discovery document or key set has some thousands
_MOST_KEYS = 100
_SHORTEST_MODULUS = 342  # base64url letters: 2048 bits, the least of RFC 7518 §3.3
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """One OpenID provider and what its groups may do here.

    Args:
        issuer: URL, exactly as in the provider's discovery document.
        client_id: that the provider gave this service.
        redirect_uri: this service's own, as registered at the provider.
        roles: the role of each group; other groups give none.
        client_secret: None: a public client, PKCE alone.
        groups_claim: name of the claim with the groups, or a path with dots
            (`realm_access.roles`).
        scopes: asked for beside `openid`.
        further_hosts: `host` or `host:port` of endpoints that do not lie at the issuer's.
        second_factor: if any, one must be among the token's `amr` (RFC 8176), e.g. `mfa`.
        timeout_s: seconds for connecting, for each read, and for a whole answer.

    Raises: ValueError: an URL without HTTPS off this machine, or no role at all.
    """

    issuer: str
    client_id: str
    redirect_uri: str
    roles: Mapping[str, Role]
    client_secret: Secret | None = None
    groups_claim: str = "groups"
    scopes: tuple[str, ...] = ("profile",)
    further_hosts: frozenset[str] = frozenset()
    second_factor: frozenset[str] = frozenset()
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        for name, url in (("issuer", self.issuer), ("redirect_uri", self.redirect_uri)):
            if not _is_safe(url) or urlsplit(url).query:
                raise ValueError(f"{name} must be an https URL without a query")
        if not self.client_id or not self.roles:
            raise ValueError("client_id and at least one group with a role are needed")


def _is_safe(url: str) -> bool:
    """HTTPS, or HTTP within this machine; with no login and no fragment in it."""
    try:
        parts = urlsplit(url)
        is_plain = not parts.username and not parts.password and not parts.fragment
        is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        return is_plain and bool(parts.hostname) and (parts.scheme == "https" or is_local)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider's services are, and how they are asked."""

    authorization: str
    token: str
    jwks: str
    takes_basic: bool
    names_issuer: bool
    read_at: datetime


_Key = RSAKey | ECKey


class Provider:
    """The provider of some settings: its endpoints and keys, read when first needed.

    It asks over the proxy of the environment, if there is one, as clinics have them. Threads may
    share it: what was read is put in place whole, and at worst two read it at once.
    """

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._endpoints: Endpoints | None = None
        self._keys: tuple[tuple[_Key, ...], datetime] | None = None

    def endpoints(self, now: datetime) -> Endpoints:
        """Where the provider's services are.

        Raises: Unavailable: it is away, or its discovery document cannot be used.
        """
        kept = self._endpoints
        if kept is None or not timedelta(0) <= now - kept.read_at < KEPT_FOR:
            kept = self._endpoints = _read_endpoints(self.settings, now)
        return kept

    def key(self, kid: object, algorithm: str, now: datetime) -> _Key:
        """The key that a token says it was signed with.

        A name we have not seen makes us read the keys again, once: the provider has rotated.

        Raises: InvalidKeyIdError: it has no such key, or several that the token could mean.
            Unavailable: it is away, or its keys cannot be used.
        """
        kept = self._keys
        is_fresh = kept is not None and timedelta(0) <= now - kept[1] < KEPT_FOR
        fitting = _fitting(kept[0], kid, algorithm) if kept is not None and is_fresh else ()
        if not fitting:
            self._keys = _read_keys(self.settings, self.endpoints(now).jwks), now
            fitting = _fitting(self._keys[0], kid, algorithm)
        if len(fitting) != 1:
            raise InvalidKeyIdError
        return fitting[0]

    def exchange(
        self, code: Secret, verifier: Secret, now: datetime
    ) -> tuple[Secret, Secret | None]:
        """ID token and access token for the code.

        Raises: NotAuthenticated: `sign_in_refused`: it took the code back. Unavailable: it is away,
            or does not know this service.
        """
        settings, endpoints = self.settings, self.endpoints(now)
        form = {
            "grant_type": "authorization_code",
            "code": code.value,
            "redirect_uri": settings.redirect_uri,
            "code_verifier": verifier.value,
        }
        auth = None
        if settings.client_secret is not None and endpoints.takes_basic:
            # Form-encoded inside the base64: RFC 6749 §2.3.1.
            auth = (quote_plus(settings.client_id), quote_plus(settings.client_secret.value))
        else:
            form["client_id"] = settings.client_id
            if settings.client_secret is not None:
                form["client_secret"] = settings.client_secret.value
        status, found = _ask(settings, "POST", endpoints.token, form=form, auth=auth)
        if found.get("error") == "invalid_client":
            raise _unusable("it does not accept this service's client id and secret")
        id_token, access_token = found.get("id_token"), found.get("access_token")
        if status != 200 or not isinstance(id_token, str):
            raise NotAuthenticated("The OpenID provider refused.", code="sign_in_refused")
        return Secret(id_token), Secret(access_token) if isinstance(access_token, str) else None


def _fitting(keys: Sequence[_Key], kid: object, algorithm: str) -> tuple[_Key, ...]:
    """Keys that may have signed it. Without a name it can be only one (OIDC Core §10.1)."""
    return tuple(
        key
        for key in keys
        if key.key_type == _KEY_TYPES[algorithm]
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    )


def _read_endpoints(settings: OidcSettings, now: datetime) -> Endpoints:
    url = settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
    status, found = _ask(settings, "GET", url)
    methods = found.get("code_challenge_methods_supported", ["S256"])
    # The document must name the issuer it was asked of (OIDC Discovery §4.3).
    if status != 200 or found.get("issuer") != settings.issuer:
        raise _unusable("its discovery document is another issuer's, or none")
    if not isinstance(methods, list) or "S256" not in methods:
        raise _unusable("it does not support PKCE with S256")
    ways = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Endpoints(
        authorization=_endpoint(settings, found, "authorization_endpoint"),
        token=_endpoint(settings, found, "token_endpoint"),
        jwks=_endpoint(settings, found, "jwks_uri"),
        takes_basic=isinstance(ways, list) and "client_secret_basic" in ways,
        names_issuer=found.get("authorization_response_iss_parameter_supported") is True,
        read_at=now,
    )


def _endpoint(settings: OidcSettings, found: Mapping[str, Any], name: str) -> str:
    url = found.get(name)
    hosts = {urlsplit(settings.issuer).netloc.lower(), *settings.further_hosts}
    if not isinstance(url, str) or not _is_safe(url) or urlsplit(url).netloc.lower() not in hosts:
        raise _unusable(f"its {name} is missing or lies at a host that the settings do not name")
    return url


def _read_keys(settings: OidcSettings, url: str) -> tuple[_Key, ...]:
    status, found = _ask(settings, "GET", url)
    listed = found.get("keys")
    if status != 200 or not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise _unusable("its keys cannot be read")
    keys = (_read_key(one) for one in listed)
    return tuple(key for key in keys if key is not None)


def _read_key(found: object) -> _Key | None:
    """A public key for signatures of ours; None: another kind (RFC 7517 §5: they are passed by)."""
    if not isinstance(found, dict) or found.get("use", "sig") != "sig":
        return None
    try:
        if found.get("kty") == "RSA" and len(found["n"]) >= _SHORTEST_MODULUS:
            return RSAKey.import_key({name: found[name] for name in _named(found, "n", "e")})
        if found.get("kty") == "EC" and found.get("crv") == "P-256":
            return ECKey.import_key({name: found[name] for name in _named(found, "crv", "x", "y")})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return None


def _named(found: Mapping[str, Any], *parts: str) -> tuple[str, ...]:
    return ("kty", *parts, *(name for name in ("kid", "alg", "use") if name in found))


@cache
def _trust() -> ssl.SSLContext:
    """Whose certificates are believed. Loaded once: it takes longer than the question."""
    return httpx.create_ssl_context()


def _ask(
    settings: OidcSettings,
    method: str,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of an answer. The causes would carry the form: they are cut off.

    Raises: Unavailable: nobody answers in time, or not so that it can be read.
    """
    until = time.monotonic() + settings.timeout_s
    accept = {"Accept": "application/json"}
    try:
        with (
            httpx.Client(
                timeout=settings.timeout_s, follow_redirects=False, verify=_trust()
            ) as client,
            client.stream(method, url, data=form, auth=auth, headers=accept) as answer,
        ):
            read = bytearray()
            for part in answer.iter_bytes(16_384):
                read += part
                if len(read) > _MOST_READ or time.monotonic() > until:
                    raise _unusable("its answer is too long or too slow")
    except (httpx.HTTPError, httpx.InvalidURL):
        raise Unavailable("The OpenID provider does not answer.", code="provider_away") from None
    if answer.is_redirect:
        raise _unusable("it redirects, which is not followed")
    if answer.status_code >= 500:
        raise Unavailable("The OpenID provider has a fault.", code="provider_away")
    try:
        found = json.loads(read)
    except (ValueError, RecursionError):
        raise _unusable("its answer is not JSON") from None
    if not isinstance(found, dict):
        raise _unusable("its answer is not a JSON object")
    return answer.status_code, found


def _unusable(why: str) -> Unavailable:
    return Unavailable(f"The OpenID provider cannot be used: {why}.", code="provider_unusable")
