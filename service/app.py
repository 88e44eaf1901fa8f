"""The HTTP application: what stands around the routes, and what a refusal looks like.

From outside in: the request's id, log line and metrics; who asks; how often; how much; the routes.
"""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from detector import Detector
from detector.codebook import load_codebook
from service import (
    agreement_page,
    api,
    clients_page,
    coding_page,
    policy_api,
    rendering,
    reports_api,
    review,
    sessions_api,
    share_page,
    sign_in,
    tables,
    tokens,
    upload_page,
)
from service.auth import Authenticate, note_denial
from service.destinations import guard_of
from service.errors import PROBLEM_TYPE, Invalid, NotFound, ServiceError, Unavailable, problem
from service.house import House
from service.limits import BodyLimit, BodyLimits, MemoryBuckets, RateLimit, RatePolicy
from service.observe import FASTAPI_TELEMETRY, Metrics
from service.openapi import components
from service.queues import DurableQueue, count_jobs
from service.records import Records
from service.request_log import RequestLog
from service.rounds import RoundNumbers
from service.scopes import Scope
from service.tracing import Spans, open_spans
from service.uploads import faults_of
from service.visiting import Visiting

_ABOUT = (
    "Decision support about interaction behaviour in the text of a therapy session: where the "
    "alliance strained, how, and whether it was repaired. It does not diagnose, detects no "
    "emotions, is not monitored for crisis, and rates no therapist."
)


ANYBODY_PER_MINUTE = 60
"""Requests of one address without a good key. A judgement: enough for a token every second, and
too few to try keys."""


def create_app(house: House, spans: Spans | None = None) -> FastAPI:
    """The application over an open house. It scores nothing but `POST /v1/score`: workers do.

    Spans go where the settings say, unless others are given. Raises: NoTracing; NoAuthorities.
    """
    settings, spans = house.settings, spans or open_spans(house.settings)

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        yield
        spans.close()
        app.state.queue.close()
        house.store.close()

    app = FastAPI(
        title="Rupture detector",
        description=_ABOUT,
        version=version("rupture-detector"),
        lifespan=living,
        docs_url=None,  # FastAPI's page loads its scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
        redirect_slashes=False,
        telemetry=FASTAPI_TELEMETRY,
    )
    queue = DurableQueue(settings.database_url)
    app.state.house, app.state.queue = house, queue
    app.state.records = Records(house, queue)
    app.state.guard = guard_of(settings)
    app.state.detector, app.state.scoring = _detector(settings.checkpoint), asyncio.Lock()
    app.state.n_scoring = 0
    app.state.provider = sign_in.provider_of(settings)
    app.state.metrics = Metrics(lambda: count_jobs(house))
    app.state.metrics.registry.register(RoundNumbers(house))
    for routes in (*_ROUTERS, *PAGES):
        app.include_router(routes)
    _add_operations(app)
    _add_refusals(app)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    app.add_middleware(BodyLimit, limits=BodyLimits(max_bytes=settings.max_bytes + 1_000_000))
    app.add_middleware(
        RateLimit,
        buckets=MemoryBuckets(),
        policies=(
            RatePolicy("key", "key", settings.requests_per_minute),
            RatePolicy("bytes", "tenant", settings.bytes_per_minute, in_bytes=True),
            RatePolicy("address", "address", ANYBODY_PER_MINUTE),
        ),
    )
    app.add_middleware(Visiting, house=house)
    app.add_middleware(Authenticate, house=house)
    app.add_middleware(RequestLog, metrics=app.state.metrics, spans=spans)
    return app


_ROUTERS = (
    sessions_api.router,
    reports_api.router,
    api.router,
    policy_api.router,
    tokens.router,
    tokens.token_router,
)

PAGES = (
    sign_in.router,
    review.router,
    share_page.router,
    upload_page.router,
    clients_page.router,
    coding_page.router,
    coding_page.blind_router,
    agreement_page.router,
)
"""What people see; no part of the API's document."""


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with the bodies that we read ourselves and who may ask."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        parts = made.setdefault("components", {})
        parts["schemas"] = {**components(), **parts.get("schemas", {})}
        parts["securitySchemes"] = _SCHEMES
        needed = _scopes_needed()
        for methods in made["paths"].values():
            for operation in methods.values():
                scopes = needed.get(operation["operationId"])
                ways = [{"bearer": []}, {"oauth2": scopes}] if scopes is not None else []
                operation["security"] = ways
                operation["summary"] = _first_clause(operation["description"])
        made["paths"]["/oauth/token"]["post"]["security"] = [{"client": []}]
        app.openapi_schema = made
    return app.openapi_schema


def _first_clause(text: str) -> str:
    """What a list of operations has room for."""
    return re.split(r"[.;:](?:\s|$)", text, maxsplit=1)[0]


_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key of a tenant."},
    "oauth2": {
        "type": "oauth2",
        "description": "A token of ten minutes, for the id and secret of an OAuth2 client.",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "/oauth/token",
                "scopes": {one.value: one.name.replace("_", " ").lower() for one in Scope},
            }
        },
    },
    "client": {"type": "http", "scheme": "basic", "description": "An OAuth2 client's id, secret."},
}


def _scopes_needed() -> dict[str, list[str]]:
    """By operation id, what `needs` asks for; none where nobody has to say who they are."""
    found = {}
    for router in _ROUTERS:
        for route in router.routes:
            for needed in route.dependant.dependencies:  # type: ignore[attr-defined]
                if (scopes := getattr(needed.call, "scopes", None)) is not None:
                    found[route.operation_id] = [one.value for one in sorted(scopes)]  # type: ignore[attr-defined]
    return found


def _detector(checkpoint: str) -> Callable[[], Detector]:
    """Loads the detector when it is first asked for."""
    lock = threading.Lock()

    @cache
    def load() -> Detector:
        return Detector.load(checkpoint or None)

    def get() -> Detector:
        with lock:
            return load()

    return get


def _add_operations(app: FastAPI) -> None:
    house: House = app.state.house

    @app.get("/livez", tags=["operations"], operation_id="livez", response_class=PlainTextResponse)
    async def livez() -> str:
        """Whether the process answers."""
        return "ok"

    @app.get(
        "/readyz",
        tags=["operations"],
        operation_id="readyz",
        responses={503: {"description": "It cannot; `lacking` says why."}},
    )
    def readyz() -> Response:
        """Whether it can take sessions in: the database answers."""
        lacking = []
        try:
            with house.store.system() as tx:
                tx.connection.execute(sa.select(sa.func.count()).select_from(tables.tenants))
        except (ServiceError, sa.exc.SQLAlchemyError):
            lacking.append("database")
        return JSONResponse({"ready": not lacking, "lacking": lacking}, 503 if lacking else 200)

    @app.get("/version", tags=["operations"], operation_id="version")
    def told() -> dict[str, str]:
        """Versions of code, codebook and checkpoint."""
        try:
            current = api.current_checkpoint(house)
        except Unavailable:
            current = "unknown"
        return {
            "code": version("rupture-detector"),
            "codebook": load_codebook().version,
            "checkpoint": current,
        }

    @app.get(
        "/metrics", tags=["operations"], operation_id="metrics", response_class=PlainTextResponse
    )
    def metrics() -> Response:
        """Prometheus's text; holds no id."""
        body, kind = app.state.metrics.expose()
        return Response(body, media_type=kind)


class NoRoute(NotFound):
    """Nothing is at this path."""

    code = "no_such_route"


class WrongMethod(ServiceError):
    """Something is at this path, and not by this method; `Allow` says by which."""

    status, code, title = 405, "wrong_method", "Not by this method"


class Unreadable(ServiceError):
    """The framework could not read the request."""

    status, code, title = 400, "unreadable", "It cannot be read"


def _add_refusals(app: FastAPI) -> None:
    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)  # noqa: S101 - registered for these alone
        await asyncio.to_thread(note_denial, request, error)
        return answer(error, request)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
        faults = faults_of(error.errors())
        return answer(Invalid("Some fields cannot be used.", errors=faults), request)

    async def other(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - as above
        told: ServiceError = Unreadable("The request cannot be read.")
        if rendering.is_front_door(request):
            return rendering.led_to("/review")
        if error.status_code == 404:
            told = NoRoute("There is no such route.")
        elif error.status_code == 405:
            told = WrongMethod("The route is there, and not by this method.")
        return answer(told, request, dict(error.headers or {}))

    app.add_exception_handler(ServiceError, refuse)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)


def answer(
    error: ServiceError, request: Request, headers: Mapping[str, str] | None = None
) -> Response:
    """A refusal as its problem document, or as a page where a browser asks for one."""
    if rendering.wants_page(request) or (
        isinstance(error, NoRoute) and rendering.shows_pages(request)
    ):
        return rendering.refusal(error, request)
    more = dict(headers or {})
    if wait := getattr(error, "retry_after_s", None):
        more["Retry-After"] = str(wait)
    if error.status == 401:
        more["WWW-Authenticate"] = "Bearer"
    body = problem(error, request_id=request.scope["state"].get("request_id", ""))
    more["Cache-Control"] = "no-store"
    return JSONResponse(body, error.status, more, media_type=PROBLEM_TYPE)
