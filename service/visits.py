"""Visits: a person's stay on the review page, its cookie and the tokens of its forms.

    open_visit -> (visit to keep, id for seal_cookie)
    read_cookie(cookie) -> id;  check_visit(visit, now) -> the visit, if it goes on
    csrf_token, check_csrf

Values and functions of values, like `service.keys`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from service.errors import NotAuthenticated, NotPermitted
from service.keys import Secret, hash_secret, random_id, random_secret
from service.scopes import Role
from service.signing import SigningKeys

IDLE = timedelta(minutes=15)
"""Automatic log-off after so long without a request (45 CFR 164.312(a)(2)(iii); length ours)."""

ABSOLUTE = timedelta(hours=12)
"""A visit ends after so long, whatever happens; one working day, ours."""

SEEN_EVERY = timedelta(seconds=30)
"""A request is written down at most this often."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A person's stay on the review page, from signing in to the end.

    Args:
        visit_hash: SHA-256 of the visit's id, hex: what the row is found by. The id itself is
            only in the cookie, so that who reads the table cannot take a visit over.
        person_id: of the account, or issuer and subject at the OpenID provider.
    """

    visit_hash: str = field(repr=False)
    tenant_id: str
    person_id: str
    roles: frozenset[Role]
    opened_at: datetime
    seen_at: datetime


def open_visit(
    *, tenant_id: str, person_id: str, roles: Iterable[Role], now: datetime
) -> tuple[Visit, Secret]:
    """A visit under a new id, and the id for the cookie.

    Every sign-in opens a new one and closes what the browser had, so that nobody can plant an
    id before (session fixation).
    """
    visit_id = random_secret()
    visit = Visit(visit_hash(visit_id), tenant_id, person_id, frozenset(roles), now, now)
    return visit, visit_id


def visit_hash(visit_id: Secret) -> str:
    """What a visit's row is found by."""
    return hash_secret(visit_id).value


def check_visit(
    visit: Visit | None,
    now: datetime,
    *,
    visits_since: datetime | None = None,
    idle: timedelta = IDLE,
    absolute: timedelta = ABSOLUTE,
) -> Visit:
    """The visit as it is after this request: another value than was given where it is to store.

    `visit` is what the store has under the hash of the cookie's id, None where it has nothing;
    `visits_since` is the account's: visits opened before are void.

    Raises: NotAuthenticated: `signed_off` (none, or void), `idle` or `visit_over`.
    """
    is_void = visit is None or (visits_since is not None and visit.opened_at < visits_since)
    if visit is None or is_void:
        raise NotAuthenticated("Sign in.", code="signed_off")
    if now - visit.opened_at >= absolute:
        raise NotAuthenticated("Sign in again: the visit was long.", code="visit_over")
    if now - visit.seen_at >= idle:
        raise NotAuthenticated("Sign in again: nothing happened for a while.", code="idle")
    return replace(visit, seen_at=now) if now - visit.seen_at >= SEEN_EVERY else visit


def cookie_attributes(*, is_https: bool) -> dict[str, str | bool]:
    """Name and attributes of the visit's cookie, as Starlette's `set_cookie` takes them.

    `__Host-` binds it to this host and to HTTPS. `lax`, as the way back from an OpenID provider
    starts elsewhere. Without HTTPS only on one's own machine.
    """
    return {
        "key": "__Host-rupture" if is_https else "rupture",
        "secure": is_https,
        "httponly": True,
        "samesite": "lax",
        "path": "/",
    }


def seal_cookie(visit_id: Secret, keys: SigningKeys) -> Secret:
    """The cookie: the visit's id, sealed, so that made-up ids cost no look-up."""
    return Secret(keys.seal("visit", visit_id.value))


def read_cookie(text: str, keys: SigningKeys) -> Secret:
    """The visit's id in a cookie that we signed.

    Raises: NotAuthenticated: `signed_off`: it is none of ours.
    """
    visit_id = keys.unseal("visit", text)
    if visit_id is None:
        raise NotAuthenticated("Sign in.", code="signed_off")
    return Secret(visit_id)


def csrf_token(visit_id: Secret, keys: SigningKeys) -> str:
    """A token for the page's forms, bound to the visit; another one each time.

    The random part keeps compressed pages from giving it away (BREACH), after the HMAC pattern
    of the OWASP CSRF Prevention Cheat Sheet.
    """
    return keys.seal("csrf", random_id(), bound_to=visit_id.value)


def check_csrf(visit_id: Secret, token: str, keys: SigningKeys) -> None:
    """Passes where the token was made for this visit.

    Raises: NotPermitted: `bad_csrf`.
    """
    if keys.unseal("csrf", token, bound_to=visit_id.value) is None:
        raise NotPermitted("The form is old: load the page again.", code="bad_csrf")
