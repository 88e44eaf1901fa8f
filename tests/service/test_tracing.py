"""Spans of a real request and a real job: ids and counts, and no word of a session."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typer.testing import CliRunner

from service import checks, commands, tables
from service.app import create_app
from service.auth import make_tenant
from service.processes import EXIT_UNUSABLE
from service.settings import Settings
from service.tracing import NoTracing, open_spans
from service.work import Work

CANARY = "zyxcanary"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def wanted(settings: Settings) -> Settings:
    return settings.model_copy(update={"tracing": True})


def kept(exporter: InMemorySpanExporter) -> dict[str, Any]:
    """The spans by name; the last of each."""
    return {one.name: one for one in exporter.get_finished_spans()}


def test_without_the_setting_nothing_is_traced(place: Any) -> None:
    exporter = InMemorySpanExporter()
    spans = open_spans(place.house.settings, exporter)
    with spans.span("request"):
        spans.note(status=200)
    spans.close()
    assert exporter.get_finished_spans() == ()


def test_a_request_and_its_job_are_spans_with_ids_and_counts_alone(
    place: Any, make_session: Callable[..., dict[str, Any]], rules_detector: Any
) -> None:
    exporter = InMemorySpanExporter()
    spans = open_spans(wanted(place.house.settings), exporter)
    tenant_id, key = make_tenant(place.house, f"clinic {CANARY}")
    body = make_session(client=f"client {CANARY}")
    body["transcript"] = body["transcript"].replace("relief", f"relief {CANARY}")
    head = {"Authorization": f"Bearer {key.value}", "traceparent": TRACE}
    app = create_app(place.house, spans)
    client = TestClient(app, headers=head)
    taken = client.post(f"/v1/sessions?said={CANARY}", json=body)
    assert taken.status_code == 202
    assert client.get(f"/v1/sessions/{CANARY}").status_code == 404

    (job,) = place.rows(tables.jobs)
    work = Work(place.house, place.records, place.queue, spans=spans)
    work._detectors["rules"] = rules_detector
    assert work.score(tenant_id, job["id"]) == "done"
    app.state.queue.close()
    spans.close()

    finished = exporter.get_finished_spans()
    assert [one.name for one in finished] == ["request", "request", "job"]
    asked, missing, scored = (dict(one.attributes or {}) for one in finished)
    assert asked.pop("request_id")
    assert asked == {"route": "/v1/sessions", "method": "POST", "status": 202}
    assert missing["route"] == "/v1/sessions/{session_id}"
    session_id = taken.json()["id"]
    assert scored == {
        "tenant_id": tenant_id,
        "job_id": job["id"],
        "session_id": session_id,
        "attempt": 1,
        "n_turns": 4,
        "outcome": "done",
    }
    first = finished[0]
    assert f"{first.context.trace_id:032x}" == TRACE.split("-")[1]
    said = "".join(one.to_json() for one in finished)
    assert CANARY not in said
    assert key.value not in said


def test_the_framework_traces_nothing_of_its_own(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    everybodys = TracerProvider()
    everybodys.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", everybodys)
    app = create_app(place.house)
    assert TestClient(app).get(f"/v1/sessions/{CANARY}").status_code == 401
    app.state.queue.close()
    assert exporter.get_finished_spans() == ()


def test_a_jobs_failure_leaves_its_code_and_no_exception(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    spans = open_spans(wanted(place.house.settings), exporter)
    work = Work(place.house, place.records, place.queue, spans=spans)

    def broken(*_: Any) -> Any:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(work, "_analyze", broken)
    job_id = place.job_of(place.hand_in(place.tenant()))["id"]
    assert work.score("ten_a", job_id) == "again"
    spans.close()
    span = kept(exporter)["job"]
    assert span.attributes["outcome"] == "again"
    assert span.events == ()
    assert CANARY not in span.to_json()


def test_what_a_span_says_of_its_process_is_its_name_and_version(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "of-the-clinic")
    spans = open_spans(wanted(place.house.settings), exporter)
    with spans.span("job"):
        pass
    spans.close()
    about = dict(kept(exporter)["job"].resource.attributes)
    assert about["service.name"] == "of-the-clinic"
    assert all(one.startswith(("service.", "telemetry.sdk.")) for one in about), about


def test_without_the_packages_it_is_refused_and_the_extra_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    settings = Settings(home=tmp_path, checkpoint="rules", tracing=True, _env_file=None)
    with pytest.raises(NoTracing, match=r"pip install 'rupture-detector\[tracing\]'"):
        open_spans(settings)
    assert dict(checks.run(settings, {}, _now()))["tracing"].startswith("NO: RUPTURE_TRACING")


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def test_serve_without_the_packages_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import typer

    monkeypatch.setattr(commands, "set_up", lambda _: None)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setenv("RUPTURE_TRACING", "true")
    monkeypatch.setenv("RUPTURE_CHECKPOINT", "rules")
    app = typer.Typer()
    app.command()(commands.serve)
    ended = CliRunner().invoke(app, ["--home", str(tmp_path / "home"), "--port", "0"])
    assert ended.exit_code == EXIT_UNUSABLE
    assert "rupture-detector[tracing]" in ended.stderr
    assert not (tmp_path / "home").exists()


def test_check_says_that_something_goes_out(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, checkpoint="rules", tracing=True, _env_file=None)
    assert dict(checks.run(settings, {}, _now()))["tracing"].startswith("care:")
