"""Traces for a collector of the operator's own, over OpenTelemetry; off unless asked for.

A span has ids, counts, codes and routes as templates, by the same rule as a log line
(service.observe): no word of a session, no name, no path, no query, no exception. Where spans go
is said by OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT.
"""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from service.errors import ServiceError
from service.observe import only_known
from service.settings import Settings

_TRACE = re.compile(
    r"(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})[\da-f]{16}-([\da-f]{2})", re.A
)


class NoTracing(ServiceError):
    """Traces are asked for and the packages that make them are not installed."""

    code, title = "tracing_not_installed", "Not installed"

    def __init__(self) -> None:
        super().__init__("RUPTURE_TRACING needs: pip install 'rupture-detector[tracing]'")


class Spans:
    """OpenTelemetry spans with ids and counts only; none without a provider."""

    def __init__(self, provider: Any = None) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("rupture") if provider is not None else None

    def note(self, **facts: object) -> None:
        """Adds to the span that is under way, by the same rule as a log line."""
        if self._tracer is not None:
            from opentelemetry import trace

            trace.get_current_span().set_attributes(only_known(facts))  # type: ignore[arg-type]

    def close(self) -> None:
        """Sends what was not sent yet; waits a few seconds at most for a collector."""
        if self._provider is not None:
            self._provider.shutdown()

    @contextmanager
    def span(self, name: str, *, trace: str = "", **ids: object) -> Iterator[str]:
        """Continues a caller's `traceparent`; gives the one to pass on, "" where there is none."""
        valid = _TRACE.fullmatch(trace)
        if self._tracer is None:
            yield f"00-{valid[1]}-{secrets.token_hex(8)}-{valid[2]}" if valid else ""
            return
        from opentelemetry.trace.propagation import tracecontext

        carried = tracecontext.TraceContextTextMapPropagator()
        with self._tracer.start_as_current_span(
            str(only_known({"event": name})["event"]),
            context=carried.extract({"traceparent": trace} if valid else {}),
            attributes=only_known(ids),
            # What OpenTelemetry records of an exception is its message and its traceback.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            at = span.get_span_context()
            yield f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"


def open_spans(settings: Settings, exporter: Any = None) -> Spans:
    """Where this process's spans go; nowhere, unless the settings say so.

    Args:
        settings: `tracing`.
        exporter: where to; None: OTLP over HTTP, as OTEL_ variables say.

    Raises: NoTracing: the packages are not installed.
    """
    if not settings.tracing:
        return Spans()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise NoTracing from None
    about = {
        "service.name": os.environ.get("OTEL_SERVICE_NAME") or "rupture",
        "service.version": version("rupture-detector"),
    }
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    return Spans(provider)
