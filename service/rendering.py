"""The review page's HTML: templates, what every page carries, style and scripts, refusals.

Nothing is loaded from elsewhere, nothing runs but our own files, and no page may be framed, kept
by a cache or tell another site where somebody came from.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from jinja2 import Environment

from detector.codebook import load_codebook
from detector.page import environment, speak
from detector.page.words import Words
from service import visits
from service.entrance import Visitor
from service.errors import ServiceError
from service.keymap import KEYS
from service.scopes import Role
from service.wording import wording

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""Of every page."""

_STATIC: Mapping[str, tuple[str, ...]] = {
    "report.css": ("text/css", "detector.page", "style.css"),
    "report.js": ("text/javascript", "detector.page", "page.js"),
    "coding.css": ("text/css", "service", "pages/coding.css"),
    "coding.js": ("text/javascript", "service", "pages/coding.js"),
    "review.css": ("text/css", "service", "pages/review.css"),
    "review.js": ("text/javascript", "service", "pages/review.js"),
    "brush.js": ("text/javascript", "service", "pages/brush.js"),
    "keys.js": ("text/javascript", "service", "pages/keys.js"),
    "list.js": ("text/javascript", "service", "pages/list.js"),
    "progress.js": ("text/javascript", "service", "pages/progress.js"),
    "upload.js": ("text/javascript", "service", "pages/upload.js"),
    "visit.js": ("text/javascript", "service", "pages/visit.js"),
    "words.js": ("text/javascript", "service", "pages/words.js"),
}
"""Style and scripts by the name they go by: type, room, file. The report's own look is reused."""

_A_YEAR_S = 31_536_000


def _read(name: str) -> str:
    """A template of ours, else one of the report's."""
    own = files("service") / "pages" / name
    return (own if own.is_file() else files("detector.page") / name).read_text("utf-8")


@cache
def _environment(language: str) -> Environment:
    spoken = wording(language)
    made = speak(environment(_read), spoken)
    made.globals.update(
        asset=asset,
        Role=Role,
        KEYS=KEYS,
        said_by_script=spoken.of_script,
        listed=spoken.listed,
        long_day=spoken.day,
    )
    return made


def make_ready(language: str) -> None:
    """Reads and compiles what the first page of a process would otherwise wait for."""
    load_codebook()
    made = _environment(language)
    for room in (files("detector.page"), files("service") / "pages"):
        for file in room.iterdir():
            if file.name.endswith(".j2"):
                made.get_template(file.name)


def say(request: Request, key: str, /, **values: Any) -> str:
    """A text of the review page, in its language."""
    return spoken_of(request).say(key, **values)


def spoken_of(request: Request) -> Words:
    """The review page's words, and the report's."""
    return wording(request.app.state.house.settings.language)


@cache
def static(name: str) -> tuple[bytes, str] | None:
    """A file of style or script and its type; None: there is no such file."""
    if name not in _STATIC:
        return None
    kind, room, path = _STATIC[name]
    return (files(room) / path).read_bytes(), f"{kind}; charset=utf-8"


@cache
def asset(name: str) -> str:
    """Where a file of style or script is, by its content: so a browser may keep it."""
    found = static(name)
    assert found is not None, name  # noqa: S101 - our own templates name it
    return f"/review/static/{name}?v={hashlib.sha256(found[0]).hexdigest()[:16]}"


def serve_static(name: str) -> Response | None:
    """The answer that carries it; None: there is no such file."""
    found = static(name)
    if found is None:
        return None
    fields = {"Cache-Control": f"public, max-age={_A_YEAR_S}, immutable"}
    fields["X-Content-Type-Options"] = "nosniff"
    return Response(found[0], media_type=found[1], headers=fields)


def page(request: Request, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A template as an answer, with who is here and a token for the page's forms."""
    content = b"".join(_rendered(request, name, values))
    return HTMLResponse(content, status, dict(HEADERS))


def long_page(request: Request, name: str, **values: Any) -> StreamingResponse:
    """As `page`, sent while it is rendered: its beginning is seen before its end is made.

    Whatever may refuse belongs before it. An error in the middle breaks the connection off.
    """
    parts = _in_parts(_rendered(request, name, values))
    return StreamingResponse(parts, headers=dict(HEADERS), media_type="text/html")


def _rendered(request: Request, name: str, values: Mapping[str, Any]) -> Iterator[bytes]:
    """The page piece by piece, each of some characters."""
    who: Visitor | None = request.scope["state"].get("visitor")
    house = request.app.state.house
    pieces = (
        _environment(house.settings.language)
        .get_template(name)
        .generate(
            who=who,
            csrf=visits.csrf_token(who.visit_id, house.signing) if who else "",
            idle_s=int(visits.IDLE.total_seconds()),
            **values,
        )
    )
    # As the report's page: half a surrogate in a transcript is no text.
    return (piece.encode("utf-8", "replace") for piece in pieces)


_PART_BYTES = 16_384
"""Sent at once. The first one holds the head of a session's page, which asks for its style."""


def _in_parts(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= _PART_BYTES:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def wants_page(request: Request) -> bool:
    """Whether a browser asks for a page to show, and not one of our scripts."""
    return request.url.path.startswith("/review") and shows_pages(request)


def shows_pages(request: Request) -> bool:
    """Whether whoever asks is a browser that would show a page."""
    return "text/html" in request.headers.get("accept", "")


def is_front_door(request: Request) -> bool:
    """Whether a browser was given the service's bare address."""
    return (request.method, request.url.path) == ("GET", "/") and shows_pages(request)


def led_to(place: str) -> RedirectResponse:
    """The way to another page of ours, or of the provider that people sign in at."""
    return RedirectResponse(place, 303, dict(HEADERS))


_IN_WORDS = ("no_such_route", "not_found", "wrong_method")
"""Refusals that the pages have words of their own for: the API's are for programs."""


def refusal(error: ServiceError, request: Request) -> Response:
    """A refusal as somebody sees it in the browser; who is not signed in is led there."""
    if error.status == 401:
        place = request.url.path if request.method == "GET" else "/review"
        query = f"next={quote(place)}" + (
            f"&over={error.code}" if error.code != "signed_off" else ""
        )
        return led_to(f"/review/sign-in?{query}")
    own = error.code in _IN_WORDS
    answered = page(request, "refused.html.j2", status=error.status, error=error, own=own)
    if wait := getattr(error, "retry_after_s", None):
        answered.headers["Retry-After"] = str(wait)
    return answered
