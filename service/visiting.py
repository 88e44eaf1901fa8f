"""Who is on the review page: the visit's cookie to a visitor, and the token that a change needs.

The cookie counts under PREFIX alone, so that no page elsewhere can use it on the API, and a change
needs the visit's own token beside it: in `X-CSRF-Token`, or in a form's field `csrf`.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from service import visits
from service.auth import Caller
from service.deeds import Actor
from service.entrance import Entrance, Visitor
from service.errors import Invalid, NotAuthenticated, NotPermitted, ServiceError, TooLarge
from service.house import House
from service.keys import Secret
from service.limits import header
from service.scopes import ROLE_SCOPES, Role, Scope, scopes_of_roles

PREFIX = "/review"
STATIC = f"{PREFIX}/static/"

MOST_FORM_BYTES, MOST_FIELDS = 20_000, 40
"""Of a form without a file; ours."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITE = frozenset({"", "same-origin", "none"})
"""What Sec-Fetch-Site may say of a change; older browsers say nothing."""


def is_https(house: House) -> bool:
    """Whether people reach the page over HTTPS."""
    return house.settings.public_url.startswith("https://")


class Visiting:
    """Finds the visitor of each request under PREFIX, or why there is none.

    Writes `visitor` and `caller`, or `refused`, with `tenant_id` and `key_id`, into the scope's
    state, where `service.auth.Authenticate` has written what it found.
    """

    def __init__(self, app: ASGIApp, house: House) -> None:
        self._app, self._entrance = app, Entrance(house)
        self._cookie = str(visits.cookie_attributes(is_https=is_https(house))["key"])

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """One request; what is none of ours is passed on as it is."""
        path = scope.get("path", "")
        mine = path == PREFIX or path.startswith(f"{PREFIX}/")
        if scope["type"] == "http" and mine and not path.startswith(STATIC):
            state = scope.setdefault("state", {})
            for name in ("caller", "tenant_id", "key_id"):
                state.pop(name, None)  # no key opens a page
            given = cookie_parser(header(scope, b"cookie")).get(self._cookie, "")
            try:
                who = await asyncio.to_thread(self._entrance.visitor, given, state["request_id"])
                scopes = scopes_of_roles(who.roles)
                state |= {
                    "visitor": who,
                    "caller": Caller(who.tenant_id, "user", who.person_id, scopes),
                    "tenant_id": who.tenant_id,
                    "key_id": who.person_id,
                }
            except ServiceError as error:
                state["refused"] = error
        await self._app(scope, receive, send)


def visitor_of(request: Request) -> Visitor | None:
    """Who is here, if anybody is."""
    found: Visitor | None = request.scope["state"].get("visitor")
    return found


def here(request: Request) -> Visitor:
    """A route's dependency: who is here. Raises: NotAuthenticated."""
    found = visitor_of(request)
    if found is None:
        raise request.scope["state"].get("refused") or NotAuthenticated("Sign in.")
    return found


async def fields(request: Request) -> Mapping[str, str]:
    """A form's fields, each once. Raises: TooLarge; Invalid."""
    body = await request.body()
    if len(body) > MOST_FORM_BYTES:
        raise TooLarge(f"A form may have {MOST_FORM_BYTES:,} bytes.")
    try:
        return dict(parse_qsl(body.decode("ascii"), True, True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise Invalid("The form cannot be read.") from None


def from_own_site(request: Request) -> None:
    """Passes what this site's own pages sent. Raises: NotPermitted."""
    if request.headers.get("sec-fetch-site", "") not in _OWN_SITE:
        raise NotPermitted("This came from another site.", code="bad_csrf")


async def guarded(request: Request) -> None:
    """A router's dependency: a change is refused without the token of this visit.

    Raises: NotAuthenticated. NotPermitted: `bad_csrf`.
    """
    if request.method in _SAFE:
        return
    who = here(request)
    from_own_site(request)
    token = request.headers.get("x-csrf-token", "")
    if not token and is_form(request):
        token = (await fields(request)).get("csrf", "")
    visits.check_csrf(who.visit_id, token, request.app.state.house.signing)


def is_form(request: Request) -> bool:
    """Whether the body is a form without a file."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/x-www-form-urlencoded"


def as_role(*roles: Role) -> Callable[[Request], Visitor]:
    """A route's dependency: who is here, in one of these roles. Raises: NotPermitted."""

    def check(request: Request) -> Visitor:
        who = here(request)
        if who.roles.isdisjoint(roles):
            raise NotPermitted("This is not for your role.", code="role_missing")
        return who

    return check


def with_scope(scope: Scope) -> Callable[[Request], Visitor]:
    """A route's dependency: who is here, if one of their roles may do this."""
    return as_role(*(role for role in Role if scope in ROLE_SCOPES[role]))


def actor_of(request: Request) -> Actor:
    """Who is here, as the audit trail knows them. Raises: NotAuthenticated."""
    return here(request).actor(request.scope["state"]["request_id"])


Here = Annotated[Visitor, Depends(here)]


def set_cookie(response: Response, house: House, visit_id: Secret) -> None:
    """Puts the visit's id into the browser."""
    attributes = visits.cookie_attributes(is_https=is_https(house))
    response.set_cookie(value=visits.seal_cookie(visit_id, house.signing).value, **attributes)  # type: ignore[arg-type]


def drop_cookie(response: Response, house: House) -> None:
    """Takes it out again."""
    attributes = visits.cookie_attributes(is_https=is_https(house))
    response.delete_cookie(**attributes)  # type: ignore[arg-type]
