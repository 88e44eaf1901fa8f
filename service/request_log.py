"""The outermost middleware: what is written down of a request, and the answer nobody else gave."""

import logging
import time
import uuid
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ServiceError
from service.limits import Clock, header, problem_messages
from service.observe import ID_FORM, Metrics, Template
from service.tracing import Spans

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
QUIET_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: logged at debug level only."""
CLIENT_LEFT = 499
"""The status noted where the caller left before an answer: nginx's number, never sent."""
BROKEN = "It is noted, and its request id finds it."


class RequestLog:
    """The outermost middleware: a request's id, its one log line, its numbers, and the last 500.

    Add it last by `add_middleware`, within the framework's own last resort: an error that nobody
    answered becomes a problem document here and goes no further, unless an answer was under way.
    Writes `request_id`, and `traceparent` where the caller sent a valid one, into the scope's
    state and every line logged meanwhile; who authenticates writes `tenant_id` and `key_id`. The
    route is a template with the prefix of its own `APIRouter`, not with one of `include_router`.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, spans: Spans, clock: Clock = time.monotonic
    ) -> None:
        self._app, self._metrics, self._spans, self._clock = app, metrics, spans, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; what is no request is passed on as it is."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        state, began, status = scope.setdefault("state", {}), self._clock(), CLIENT_LEFT
        given, failed = header(scope, b"x-request-id"), None
        ids = {"request_id": given if ID_FORM.fullmatch(given) else str(uuid.uuid4())}
        with self._spans.span("request", trace=header(scope, b"traceparent"), **ids) as trace:
            state.update(ids)
            echoed = [(b"x-request-id", ids["request_id"].encode())]
            if trace:
                state["traceparent"], ids["trace_id"] = trace, trace.split("-")[1]
                echoed.append((b"traceparent", trace.encode()))

            async def tell(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    message = {**message, "headers": [*message.get("headers", ()), *echoed]}
                await send(message)

            try:
                with structlog.contextvars.bound_contextvars(**ids):
                    await self._app(scope, receive, tell)
            except Exception as error:  # the last one who can answer
                failed = error
                if status != CLIENT_LEFT:
                    raise
                known = error if isinstance(error, ServiceError) else ServiceError(BROKEN)
                for message in problem_messages(known, request_id=ids["request_id"]):
                    await tell(message)
            finally:
                self._note(scope, ids, status, failed, self._clock() - began)

    def _note(self, scope: Scope, ids: Any, status: int, failed: Any, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", None)
        route = route or getattr(scope.get("route"), "path", None) or "unmatched"
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        self._spans.note(route=Template(route), method=method, status=status)
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.request_seconds.labels(route, method).observe(seconds)
        is_bug = status >= 500 or not (failed is None or isinstance(failed, ServiceError))
        ordinary = logging.DEBUG if scope["path"] in QUIET_PATHS else logging.INFO
        structlog.get_logger().log(
            logging.ERROR if is_bug else ordinary,
            "request",
            **ids,
            **{key: scope["state"].get(key) for key in ("tenant_id", "key_id")},
            route=Template(route),
            method=method,
            status=status,
            duration_ms=round(seconds * 1000, 1),
            exc_info=failed if is_bug else None,
        )
