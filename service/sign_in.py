"""The routes of coming and going: the sign-in page, the OpenID provider's way there and back.

A try is one form with login, password and code, so that nobody learns which of them was wrong.
"""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response

from service import oidc, visits
from service.auth import house_of
from service.entrance import Entrance
from service.errors import Invalid, NotFound, NotPermitted, ServiceError
from service.house import House
from service.keys import Secret, random_secret
from service.oidc_provider import OidcSettings, Provider
from service.rendering import led_to, page, say, serve_static
from service.scopes import Role
from service.settings import Settings
from service.visiting import (
    PREFIX,
    drop_cookie,
    fields,
    from_own_site,
    guarded,
    here,
    is_https,
    set_cookie,
    visitor_of,
)

router = APIRouter(prefix=PREFIX, include_in_schema=False)

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_BEGUN_S = int(oidc.BEGIN_LIFETIME.total_seconds())


def provider_of(settings: Settings) -> Provider | None:
    """The OpenID provider of these settings; None: they name none. Raises: Invalid."""
    if not settings.oidc_issuer:
        return None
    secret = settings.oidc_client_secret
    try:
        return Provider(
            OidcSettings(
                issuer=settings.oidc_issuer,
                client_id=settings.oidc_client_id,
                redirect_uri=f"{settings.public_url}{PREFIX}/signed-in",
                roles={group: Role(role) for group, role in settings.oidc_roles.items()},
                client_secret=Secret(secret.get_secret_value()) if secret else None,
                groups_claim=settings.oidc_groups_claim,
                scopes=settings.oidc_scopes,
                further_hosts=frozenset(settings.oidc_further_hosts),
                second_factor=frozenset(settings.oidc_second_factor),
            )
        )
    except ValueError as error:  # our own words, which name settings and quote none
        raise Invalid(f"RUPTURE_OIDC_… and RUPTURE_PUBLIC_URL: {error}.") from None


@router.get("/static/{name}")
def get_static(name: str) -> Response:
    """Style or script; whoever sees the sign-in page needs it."""
    found = serve_static(name)
    if found is None:
        raise NotFound("There is no such file.")
    return found


def _check_host(request: Request) -> None:
    """Without a public URL people sign in on this machine alone: the cookie goes in clear.

    Raises: NotPermitted: `not_local`.
    """
    house = house_of(request)
    if not house.settings.public_url and request.url.hostname not in _LOCAL:
        said = "Signing in from elsewhere needs RUPTURE_PUBLIC_URL, with HTTPS."
        raise NotPermitted(said, code="not_local")


def _next(text: str) -> str:
    """Where to go after signing in: a page of ours, whatever a link says."""
    parts = urlsplit(text)
    ours = text == PREFIX or text.startswith(f"{PREFIX}/")
    is_plain = ours and not (parts.scheme or parts.netloc) and "\\" not in text
    return parts.path if is_plain and text.isprintable() else PREFIX


def _names(house: House) -> tuple[str, str]:
    """Names of the two cookies of a sign-in that has begun: the form's and the provider's."""
    prefix = "__Host-" if is_https(house) else ""
    return f"{prefix}rupture-form", f"{prefix}rupture-oidc"


def _brief(response: Response, house: House, name: str, value: str) -> None:
    """A cookie of a sign-in that has begun."""
    attributes: dict[str, Any] = {**visits.cookie_attributes(is_https=is_https(house)), "key": name}
    response.set_cookie(value=value, max_age=_BEGUN_S, **attributes)


def _form(request: Request, *, status: int = 200, said: str = "", to: str = PREFIX) -> Response:
    """The sign-in page. Its token is bound to a cookie of this browser: no site signs it in."""
    house, begun = house_of(request), random_secret()
    shown = page(
        request,
        "sign_in.html.j2",
        status=status,
        token=visits.csrf_token(begun, house.signing),
        said=said,
        to=to,
        has_local=house.settings.local_accounts,
        has_provider=request.app.state.provider is not None,
    )
    _brief(shown, house, _names(house)[0], house.signing.seal("form", begun.value))
    return shown


_OVER = ("idle", "visit_over")
"""Ends of a visit that the page has words for."""


@router.get("/sign-in")
def get_sign_in(request: Request, next: str = PREFIX, over: str = "") -> Response:
    """The sign-in page; who is signed in already goes on."""
    _check_host(request)
    if visitor_of(request) is not None:
        return led_to(_next(next))
    said = say(request, f"sign_in.over.{over}") if over in _OVER else ""
    return _form(request, said=said, to=_next(next))


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """One try with a local account."""
    _check_host(request)
    house, given = house_of(request), await fields(request)
    to = _next(given.get("next", ""))
    if not house.settings.local_accounts:
        raise NotFound("There are no local accounts here.")
    try:
        from_own_site(request)
        begun = house.signing.unseal("form", request.cookies.get(_names(house)[0], ""))
        if begun is None:
            raise NotPermitted("This browser has begun no sign-in.", code="bad_csrf")
        visits.check_csrf(Secret(begun), given.get("token", ""), house.signing)
    except NotPermitted:
        return _form(request, status=403, said=say(request, "sign_in.old_page"), to=to)
    words = (given.get("login", ""), given.get("password", ""), given.get("code", ""))
    request_id = request.scope["state"]["request_id"]
    try:
        opened = await asyncio.to_thread(Entrance(house).sign_in, *words, request_id)
    except ServiceError as error:
        refused = _form(request, status=error.status, said=error.detail, to=to)
        if wait := getattr(error, "retry_after_s", None):
            refused.headers["Retry-After"] = str(wait)
        return refused
    return await asyncio.to_thread(_entered, request, opened[1], to)


def _entered(request: Request, visit_id: Secret, to: str) -> Response:
    """Leads in, and closes what the browser had before."""
    house, before = house_of(request), visitor_of(request)
    if before is not None:
        Entrance(house).sign_out(before, request.scope["state"]["request_id"])
    led = led_to(to)
    set_cookie(led, house, visit_id)
    for name in _names(house):
        attributes: dict[str, Any] = visits.cookie_attributes(is_https=is_https(house))
        led.delete_cookie(**{**attributes, "key": name})
    return led


def _provider(request: Request) -> Provider:
    found: Provider | None = request.app.state.provider
    if found is None:
        raise NotFound("There is no OpenID provider here.")
    return found


@router.get("/sign-in/start")
def start(request: Request) -> Response:
    """To the OpenID provider."""
    house = house_of(request)
    url, kept = oidc.begin(_provider(request), house.clock())
    led = led_to(url)
    _brief(led, house, _names(house)[1], oidc.seal_kept(kept, house.signing).value)
    return led


@router.get("/signed-in")
def signed_in(request: Request) -> Response:
    """Back from the OpenID provider. What was kept for the way back is good once."""
    house, request_id = house_of(request), request.scope["state"]["request_id"]
    provider, name = _provider(request), _names(house)[1]
    try:
        kept = oidc.read_kept(request.cookies.get(name, ""), house.signing)
        person = oidc.finish(provider, kept, dict(request.query_params), house.clock())
        _, visit_id = Entrance(house).came_back(person, request_id)
        return _entered(request, visit_id, PREFIX)
    except ServiceError as error:
        if error.code != "disabled":  # that one is on record already
            Entrance(house).refused(error.code, request_id)
        shown = _form(request, status=error.status, said=error.detail)
        attributes: dict[str, Any] = visits.cookie_attributes(is_https=is_https(house))
        shown.delete_cookie(**{**attributes, "key": name})
        return shown


@router.post("/sign-out", dependencies=[Depends(guarded)])
def sign_out(request: Request) -> Response:
    """Ends the visit."""
    house, who = house_of(request), here(request)
    Entrance(house).sign_out(who, request.scope["state"]["request_id"])
    led = led_to(f"{PREFIX}/sign-in")
    led.headers["Clear-Site-Data"] = '"cache"'
    drop_cookie(led, house)
    return led


@router.get("/help")
def get_help(request: Request) -> Response:
    """What these pages are, what they cannot tell, and the keys."""
    here(request)
    return page(request, "help.html.j2")


@router.post("/alive", status_code=204, dependencies=[Depends(guarded)])
def alive() -> Response:
    """Somebody reads on: the visit goes on, as the middleware has written down."""
    return Response(None, 204)
