"""Sign-in of people through the tenant's own OpenID provider.

    begin(provider, now)  -> where the browser goes, and what is kept meanwhile
    finish(provider, kept, params, now)  -> Person

Authorization code with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 9700). An ID token
counts only with everything checked, and who carries no group that the settings give a role has no
access. `service.oidc_provider` has the settings and asks the provider.

What the provider sent is in no error: tokens and codes open doors, and claims name people.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from authlib.oauth2.rfc6749.parameters import (  # type: ignore[import-untyped]
    prepare_grant_uri,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from authlib.oidc.core.claims import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import ClaimError, JoseError
from joserfc.jwk import ECKey, GuestProtocol, RSAKey
from joserfc.jws import JWSRegistry

from service.errors import NotAuthenticated, NotPermitted
from service.keys import Secret
from service.oidc_provider import ALGORITHMS, OidcSettings, Provider
from service.scopes import Role
from service.signing import CLOCK_SKEW, SigningKeys

BEGIN_LIFETIME = timedelta(minutes=10)
"""How long a person may take at the provider; ours, as long as a code may live (RFC 6749
§4.1.2)."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a sign-in that has begun is finished with. Only the browser that began may bring it.

    Keep it in that browser, sealed (`seal_kept`), HttpOnly, until `finish`: whoever could hand in
    another's could sign them in as somebody else.
    """

    state: Secret
    nonce: Secret
    verifier: Secret
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed in at the provider."""

    issuer: str
    subject: str = field(repr=False)
    name: str | None = field(repr=False)
    roles: frozenset[Role]

    @property
    def person_id(self) -> str:
        """The same for the same person at the same provider, and naming neither."""
        hashed = hashlib.sha256(json.dumps([self.issuer, self.subject]).encode())
        return f"oidc-{hashed.hexdigest()[:32]}"


def begin(provider: Provider, now: datetime) -> tuple[str, Kept]:
    """Where to send the browser, and what to keep until it comes back.

    Raises: Unavailable: the provider is away or cannot be used.
    """
    settings = provider.settings
    kept = Kept(
        state=Secret(secrets.token_urlsafe(32)),
        nonce=Secret(secrets.token_urlsafe(32)),
        verifier=Secret(secrets.token_urlsafe(48)),
        begun_at=now,
    )
    url = prepare_grant_uri(
        provider.endpoints(now).authorization,
        client_id=settings.client_id,
        response_type="code",
        redirect_uri=settings.redirect_uri,
        scope=["openid", *settings.scopes],
        state=kept.state.value,
        nonce=kept.nonce.value,
        code_challenge=create_s256_code_challenge(kept.verifier.value),
        code_challenge_method="S256",
    )
    return str(url), kept


def finish(provider: Provider, kept: Kept, params: Mapping[str, str], now: datetime) -> Person:
    """Who came back from the provider. Forget `kept` before the call: it is good once.

    Args:
        provider: the one that `begin` was called with.
        kept: what `begin` gave, from this very browser.
        params: of the query that the browser came back with.
        now: aware, UTC.

    Raises: NotAuthenticated: `bad_state` (another's answer, or a late one), `sign_in_refused`
            (the provider said no, or took the code back), `bad_id_token`.
        NotPermitted: `no_role`, or `second_factor_needed`.
        Unavailable: `provider_away` or `provider_unusable`.
    """
    code = _checked_code(provider, kept, params, now)
    id_token, access_token = provider.exchange(code, kept.verifier, now)
    claims = _read_id_token(provider, kept, id_token, access_token, now)
    return _person(provider.settings, claims)


def _checked_code(
    provider: Provider, kept: Kept, params: Mapping[str, str], now: datetime
) -> Secret:
    settings = provider.settings
    is_in_time = timedelta(0) <= now - kept.begun_at <= BEGIN_LIFETIME
    if Secret(params.get("state", "")) != kept.state or not is_in_time:
        raise NotAuthenticated("Begin the sign-in again.", code="bad_state")
    # RFC 9207: the answer of another provider must not be taken for this one's.
    is_named = "iss" in params or provider.endpoints(now).names_issuer
    if is_named and params.get("iss") != settings.issuer:
        raise NotAuthenticated("Begin the sign-in again.", code="bad_state")
    if "error" in params or not params.get("code"):
        raise NotAuthenticated("The OpenID provider refused.", code="sign_in_refused")
    return Secret(params["code"])


def _registry() -> JWSRegistry:
    """Our algorithms only; header fields that nobody knows are passed by (RFC 7515 §4)."""
    return JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)


_CLAIMS = frozenset({"iss", "aud", "azp", "nonce", "exp", "nbf", "iat", "sub", "at_hash", "amr"})


def _read_id_token(
    provider: Provider, kept: Kept, text: Secret, access_token: Secret | None, now: datetime
) -> Mapping[str, Any]:
    """The claims of an ID token with everything of OIDC Core §3.1.3.7 checked."""
    settings = provider.settings

    def find(signed: GuestProtocol) -> RSAKey | ECKey:
        header = signed.headers()
        return provider.key(header.get("kid"), header["alg"], now)

    try:
        token = jwt.decode(text.value, find, registry=_registry())
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={
                "iss": {"essential": True, "value": settings.issuer},
                "aud": {"essential": True, "value": settings.client_id},
                "sub": {"essential": True},
                "nonce": {"essential": True, "value": kept.nonce.value},
            },
            params={
                "nonce": kept.nonce.value,
                "client_id": settings.client_id,
                "access_token": access_token.value if access_token else None,
            },
        )
        claims.validate(now=int(now.timestamp()), leeway=int(CLOCK_SKEW.total_seconds()))
        return token.claims
    except ClaimError as error:
        raise _bad_token(error.claim) from None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _bad_token("") from None


def _bad_token(claim: str) -> NotAuthenticated:
    """Says which claim was wrong, if it is one of those that are looked at; never its value."""
    more = {"claim": claim} if claim in _CLAIMS else {}
    return NotAuthenticated(
        "The OpenID provider's token is not good.", code="bad_id_token", more=more
    )


def _person(settings: OidcSettings, claims: Mapping[str, Any]) -> Person:
    methods = claims.get("amr") or []
    if settings.second_factor and not settings.second_factor.intersection(_texts(methods)):
        raise NotPermitted(
            "Sign in at the OpenID provider with a second factor.", code="second_factor_needed"
        )
    groups = _texts(_at(claims, settings.groups_claim))
    roles = frozenset(settings.roles[group] for group in groups if group in settings.roles)
    if not roles:
        raise NotPermitted("None of your groups has access here.", code="no_role")
    name = claims.get("name")
    return Person(settings.issuer, claims["sub"], name if isinstance(name, str) else None, roles)


def _at(claims: Mapping[str, Any], name: str) -> object:
    """The claim of that name, dots and all; else the one at the end of the path."""
    if name in claims:
        return claims[name]
    found: object = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _texts(found: object) -> tuple[str, ...]:
    """A claim that holds one word or several, as providers differ; nothing where it holds else."""
    listed = found if isinstance(found, list) else [found]
    return tuple(one for one in listed if isinstance(one, str))


def seal_kept(kept: Kept, keys: SigningKeys) -> Secret:
    """`kept` as a cookie of the browser that began: signed, and readable to it alone.

    Send it HttpOnly, SameSite=Lax (the way back starts at the provider), for BEGIN_LIFETIME, and
    delete it with the answer to `finish`.
    """
    parts = [kept.state.value, kept.nonce.value, kept.verifier.value, kept.begun_at.timestamp()]
    text = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()
    return Secret(keys.seal("sign-in", text))


def read_kept(text: str, keys: SigningKeys) -> Kept:
    """What `seal_kept` sealed.

    Raises: NotAuthenticated: `bad_state`: it is none of ours.
    """
    unsealed = keys.unseal("sign-in", text)
    if unsealed is None:
        raise NotAuthenticated("Begin the sign-in again.", code="bad_state")
    state, nonce, verifier, begun_at = json.loads(base64.urlsafe_b64decode(unsealed))
    at = datetime.fromtimestamp(begun_at, UTC)
    return Kept(Secret(state), Secret(nonce), Secret(verifier), at)
