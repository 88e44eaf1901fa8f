"""A canary goes down every road that leads to a log, a number or a span, and arrives nowhere."""

import asyncio
import enum
import gc
import io
import json
import logging
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import sqlalchemy
import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from starlette.types import ASGIApp, Receive, Scope, Send

from service.bombs import check_json
from service.errors import Gone, ServiceError
from service.observe import (
    FASTAPI_TELEMETRY,
    JOB_OUTCOMES,
    JOB_STATES,
    KEYS,
    WEBHOOK_OUTCOMES,
    Metrics,
    SafeRecord,
    describe,
    only_known,
    set_up_logging,
)
from service.request_log import RequestLog
from service.tracing import Spans

CANARY = "zyxcanary"
SESSION = "0b0e7a5c-93b3-4a53-8d5f-6a1f3d1b8c11"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Log:
    """The stream that lines were written to."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    """Logging as the service sets it up, at its most talkative, and put back afterwards."""
    loggers = [one for one in logging.root.manager.loggerDict.values() if hasattr(one, "handlers")]
    kept = [(one, one.handlers, one.propagate, one.disabled, one.level) for one in loggers]
    root = (logging.root.handlers, logging.root.level)
    hooks = (sys.excepthook, sys.unraisablehook, threading.excepthook)
    made = Log()
    for one in loggers:  # another test's worker may have made its library quieter
        one.setLevel(logging.NOTSET)
    set_up_logging("debug", stream=made.stream)
    yield made
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    logging.captureWarnings(False)
    logging.setLogRecordFactory(logging.LogRecord)
    logging.raiseExceptions = True
    logging.root.handlers = root[0]
    logging.root.setLevel(root[1])
    for one, *state in kept:
        one.handlers, one.propagate, one.disabled, _ = state
        one.setLevel(state[-1])
    structlog.reset_defaults()


def raised(kind: type[BaseException] = ValueError) -> BaseException:
    """An exception that says the canary, caused by another that does."""
    try:
        try:
            raise KeyError(CANARY)
        except KeyError as cause:
            raise kind(f"it was said: {CANARY}") from cause
    except kind as error:
        return error


# Lines of ours


def test_a_line_says_when_how_grave_and_what_in_json(log: Log) -> None:
    structlog.get_logger().warning("request", session_id=SESSION, n_turns=3, status="queued")
    line = log.lines[0]
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() is not None
    assert line == {
        "level": "warning",
        "event": "request",
        "session_id": SESSION,
        "n_turns": 3,
        "status": "queued",
    }


class Said(enum.Enum):
    """An enumeration that somebody filled with speech."""

    IT = CANARY


class Shown:
    """A thing that says the canary however it is printed."""

    def __repr__(self) -> str:
        return CANARY

    def __len__(self) -> int:
        raise AssertionError(CANARY)


VALUES = [
    CANARY,
    f"{CANARY} {CANARY}",
    CANARY.encode(),
    [CANARY],
    (CANARY,),
    {CANARY: CANARY},
    {CANARY},
    Said.IT,
    Shown(),
    ValueError(CANARY),
    type(CANARY, (), {}),
    type(f"{CANARY} said", (), {})(),
    2**200,
    float("nan"),
    "x" * 1000,
    "I felt alone 2 days ago",
    "5551234-" + "9" * 70,
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_value_that_is_no_number_id_or_word_of_ours_is_replaced_under_every_key(
    log: Log, value: object
) -> None:
    fields: Any = dict.fromkeys(KEYS - {"event"}, value)
    structlog.get_logger().info("request", **fields, note=value, **{CANARY: value})
    structlog.get_logger().info(value)
    assert CANARY not in log.text
    assert "alone" not in log.text
    assert len(log.text) < 4000


def test_what_is_hidden_is_told_by_type_and_length() -> None:
    assert only_known({"outcome": "not ours", "session_id": [1, 2], "note": "a", "odd": 1}) == {
        "outcome": "str(8)",
        "session_id": "list(2)",
        "hidden": ["int", "str"],
    }


def test_numbers_times_ids_and_our_own_words_pass() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    fields = {
        "duration_ms": 1.5,
        "attempt": 2,
        "state": True,
        "until": moment,
        "job_id": uuid.UUID(SESSION),
        "tenant_id": "tenant_8f",
        "code": "body_too_large",
        "kind": None,
    }
    assert only_known(fields) == fields | {"until": str(moment), "job_id": SESSION}


def test_an_id_passes_under_the_key_of_an_id_alone() -> None:
    assert only_known({"session_id": SESSION, "code": SESSION}) == {
        "session_id": SESSION,
        "code": "str(36)",
    }


@pytest.mark.parametrize("name", ["Margaret", "anna-smith", "two words1", "short1", "naïve-1234"])
def test_words_are_no_ids(name: str) -> None:
    assert only_known({"session_id": name}) == {"session_id": f"str({len(name)})"}


def test_positional_arguments_and_bound_context_say_nothing(log: Log) -> None:
    structlog.get_logger().bind(reason=CANARY, **{CANARY: 1}).info("said %s", CANARY)
    with structlog.contextvars.bound_contextvars(note=CANARY, request_id=CANARY):
        structlog.get_logger().info("request")
    assert len(log.lines) == 2
    assert CANARY not in log.text


@pytest.mark.parametrize("console", [False, True])
def test_exceptions_in_every_form_are_told_by_type_and_cause(log: Log, console: bool) -> None:
    set_up_logging("debug", console=console, stream=log.stream)
    error, own = raised(), structlog.get_logger()
    own.error("request", exc_info=error)
    own.error("request", exc_info=(type(error), error, error.__traceback__))
    try:
        raise error
    except ValueError:
        own.exception("request")
        own.error("request", exc_info=True, stack_info=True)
    own.info("request", error=error)
    own.info("request", error=str(error), exception=str(error), told={"event": CANARY})
    assert CANARY not in log.text
    assert log.text.count("ValueError") >= 4
    assert log.text.count("KeyError") == 4


def test_a_caught_exception_may_be_asked_for_where_there_is_none(log: Log) -> None:
    structlog.get_logger().error("request", exc_info=True)
    assert "error" not in log.lines[0]


def test_a_full_disk_or_a_closed_stream_stops_no_work(log: Log) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left")

    set_up_logging(stream=Full())
    structlog.get_logger().info("request")
    closed = io.StringIO()
    set_up_logging(stream=closed)
    closed.close()
    structlog.get_logger().info("request")
    logging.getLogger("sqlalchemy").error("request")


# What is told of an exception


def test_our_places_are_told_and_those_of_others_are_not() -> None:
    with pytest.raises(ServiceError) as caught:
        check_json(b"[" * 1000)
    told = describe(caught.value)
    assert told["type"] == "Invalid"
    assert [place.rpartition(":")[0] for place in told["at"]] == ["service/bombs.py"]


def test_causes_are_told_through_groups_contexts_and_circles() -> None:
    first, second = ValueError(CANARY), KeyError(CANARY)
    first.__cause__, second.__context__ = second, first
    group = ExceptionGroup(CANARY, [first, OSError(CANARY)])
    assert describe(group) == {
        "type": "ExceptionGroup",
        "at": [],
        "causes": ["ValueError", "OSError", "KeyError"],
    }


def test_a_long_chain_is_cut() -> None:
    error = ValueError(CANARY)
    for _ in range(100):
        outer = LookupError(CANARY)
        outer.__cause__, error = error, outer
    assert len(describe(error)["causes"]) == 10


def test_a_class_that_stands_in_no_module_is_an_object() -> None:
    assert describe(type(CANARY, (Exception,), {})())["type"] == "object"
    assert only_known({"outcome": type(CANARY, (list,), {})(), "note": Shown()}) == {
        "outcome": "object(0)",
        "hidden": ["Shown"],
    }


# Lines of other libraries


def test_a_literal_message_passes_without_its_arguments(log: Log) -> None:
    logging.getLogger("sqlalchemy.pool").warning("Could not reach %s", CANARY)
    line = log.lines[0]
    assert (line["event"], line["logger"], line["level"]) == (
        "Could not reach %s",
        "sqlalchemy",
        "warning",
    )
    assert line["at"].startswith("…/service/test_observe.py:")


def test_messages_that_are_made_as_they_are_logged_are_hidden(log: Log) -> None:
    other = logging.getLogger("dbos")
    text = f"said {CANARY}"
    other.info(text)
    other.info(f"{CANARY}")
    other.info("said " + CANARY)
    other.info("said %s" % CANARY)  # noqa: UP031
    other.info("said {}".format(CANARY))  # noqa: UP032
    other.info(ValueError(CANARY))
    other.info({CANARY: CANARY})
    other.log(35, "%(said)s", {"said": CANARY})
    assert [line["event"] for line in log.lines] == ["hidden"] * 7 + ["%(said)s"]
    assert CANARY not in log.text


def test_extras_stacks_exceptions_and_names_of_loggers_say_nothing(log: Log) -> None:
    secret = CANARY
    logging.getLogger("dbos").error(
        "failed", extra={secret: secret, "data": secret}, exc_info=raised(), stack_info=True
    )
    logging.getLogger(f"{secret}.session").error("failed")
    logging.getLogger(f"dbos.{secret}").error("failed", exc_info=True)
    assert CANARY not in log.text
    assert log.lines[0]["error"] == {"type": "ValueError", "at": [], "causes": ["KeyError"]}
    assert [line["logger"] for line in log.lines] == [
        "dbos" if "dbos" in sys.modules else "other",
        "other",
        log.lines[2]["logger"],
    ]


def test_a_handler_that_a_library_adds_later_has_nothing_to_tell(log: Log) -> None:
    later = io.StringIO()
    handler = logging.StreamHandler(later)
    handler.setFormatter(logging.Formatter("%(name)s %(filename)s %(message)s %(args)s"))
    other = logging.getLogger("dbos")
    other.addHandler(handler)
    try:
        other.error("failed with %s", CANARY, exc_info=raised(), stack_info=True)
        other.error(f"failed with {CANARY}", extra={"data": CANARY})
    finally:
        other.removeHandler(handler)
    assert later.getvalue().count("\n") == 2
    assert CANARY not in later.getvalue() + log.text


def test_a_record_from_elsewhere_is_hidden(log: Log) -> None:
    told = {"msg": CANARY, "args": (CANARY,), "levelno": 40, "told": {"event": CANARY}}
    logging.getLogger("dbos").handle(logging.makeLogRecord(told))
    logging.getLogger("dbos").handle(
        logging.LogRecord(CANARY, 40, f"/{CANARY}.py", 1, CANARY, (), None)
    )
    assert [line["event"] for line in log.lines] == ["hidden", "hidden"]
    assert CANARY not in log.text


def test_a_handler_that_fails_prints_nothing(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                raise ValueError(CANARY)
            except ValueError:
                self.handleError(record)

    other, broken = logging.getLogger("dbos"), Broken()
    other.addHandler(broken)
    other.error("failed with %s", CANARY)
    other.removeHandler(broken)
    assert CANARY not in "".join(capfd.readouterr())


def test_sqlalchemy_says_neither_statements_nor_parameters(log: Log) -> None:
    engine = sqlalchemy.create_engine("sqlite://", echo="debug")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table said (text varchar unique)"))
        insert = sqlalchemy.text("insert into said values (:text)")
        connection.execute(insert, {"text": CANARY})
        connection.execute(sqlalchemy.text(f"select '{CANARY}' from said")).all()  # noqa: S608
        with pytest.raises(sqlalchemy.exc.IntegrityError) as caught:
            connection.execute(insert, {"text": CANARY})
    engine.dispose()
    assert CANARY in str(caught.value)
    structlog.get_logger().error("request", exc_info=caught.value)
    assert any(line.get("logger") == "sqlalchemy" for line in log.lines)
    assert log.lines[-1]["error"]["causes"] == ["IntegrityError"]
    assert CANARY not in log.text


def test_httpx_says_no_address(log: Log) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    with httpx.Client(transport=transport) as client:
        client.get(f"http://{CANARY}.test/{CANARY}?q={CANARY}")
    assert [line["logger"] for line in log.lines if line["level"] == "info"] == ["httpx"]
    assert CANARY not in log.text


def test_warnings_say_nothing(log: Log) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn(CANARY, stacklevel=1)
        logging.captureWarnings(False)
    assert len(log.lines) == 1
    assert CANARY not in log.text


def test_a_task_that_nobody_waits_for_says_nothing(log: Log) -> None:
    async def fail() -> None:
        raise ValueError(CANARY)

    async def forget() -> None:
        task = asyncio.create_task(fail(), name=CANARY)
        await asyncio.wait([task])
        del task
        gc.collect()

    asyncio.run(forget())
    failures = [line for line in log.lines if line["level"] == "error"]
    assert [line["error"]["type"] for line in failures] == ["ValueError"]
    assert CANARY not in log.text


def test_threads_and_finalizers_that_crash_say_nothing(
    log: Log, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ValueError(CANARY)

    class Lost:
        def __del__(self) -> None:
            raise KeyError(CANARY)

    thread = threading.Thread(target=fail, name=CANARY)
    thread.start()
    thread.join()
    Lost()
    gc.collect()
    assert [line["error"]["type"] for line in log.lines] == ["ValueError", "KeyError"]
    assert CANARY not in log.text + "".join(capfd.readouterr())


def test_a_process_that_dies_says_its_last_line_and_no_traceback() -> None:
    code = (
        "from service.observe import set_up_logging; set_up_logging()\n"
        f"raise ValueError('{CANARY}') from KeyError('{CANARY}')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    line = json.loads(result.stderr)
    assert (line["level"], line["event"]) == ("critical", "crashed")
    assert line["error"] == {"type": "ValueError", "at": [], "causes": ["KeyError"]}


def test_the_level_holds_for_both_kinds_of_lines(log: Log) -> None:
    set_up_logging("warning", stream=log.stream)
    structlog.get_logger().info("request")
    logging.getLogger("httpx").info("request")
    assert log.text == ""


def test_a_record_keeps_what_handlers_rely_on() -> None:
    record = SafeRecord("logging.x", 20, __file__, 7, CANARY, (CANARY,), None, "f", "stack")
    assert (record.getMessage(), record.name, record.lineno) == ("hidden", "logging", 7)
    assert (record.args, record.exc_info, record.stack_info) == ((), None, None)


# Requests


def app() -> FastAPI:
    """An application with one of each kind of answer."""
    made, sessions = FastAPI(telemetry=FASTAPI_TELEMETRY), APIRouter(prefix="/v1/sessions")

    @sessions.get("/{session_id}")
    def read(session_id: str, request: Request) -> dict[str, Any]:
        request.state.tenant_id, request.state.key_id = "tenant_01", "key_0001"
        structlog.get_logger().info("queued", session_id=session_id)
        return {"state": dict(request.scope["state"])}

    @sessions.post("/{session_id}/fail")
    async def fail(session_id: str, request: Request) -> None:
        raise ValueError(f"{session_id} said {await request.body()!r}")

    @sessions.delete("/{session_id}")
    def gone(session_id: str) -> None:
        raise Gone("It was erased.")

    @made.get("/livez")
    def livez() -> str:
        return "alive"

    made.include_router(sessions)
    return made


@pytest.fixture
def metrics() -> Metrics:
    """Numbers of a service with some jobs."""
    return Metrics(lambda: {"queued": 4, "dead": 1})


def within(inner: ASGIApp, metrics: Metrics | None = None, spans: Spans | None = None) -> ASGIApp:
    """The application with the log in its place: inside a framework's own last resort."""
    metrics, spans = metrics or Metrics(dict), spans or Spans()
    if isinstance(inner, FastAPI):
        inner.add_middleware(RequestLog, metrics=metrics, spans=spans)
        return inner
    return RequestLog(inner, metrics, spans)


def call(inner: ASGIApp, method: str, path: str, **more: Any) -> httpx.Response:
    """One request through the log to an application in this process."""
    logged = within(inner, more.pop("metrics", None), more.pop("spans", None))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(logged)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **more)

    return asyncio.run(ask())


def last(log: Log) -> dict[str, Any]:
    """The line of the last request."""
    return [line for line in log.lines if line["event"] == "request"][-1]


def test_a_request_is_one_line_with_its_ids_and_its_template(log: Log) -> None:
    answer = call(app(), "GET", f"/v1/sessions/{SESSION}?said={CANARY}")
    line = last(log)
    assert uuid.UUID(line["request_id"]).hex
    assert answer.headers["x-request-id"] == line["request_id"]
    assert answer.json()["state"]["request_id"] == line["request_id"]
    assert (line["method"], line["route"], line["status"]) == (
        "GET",
        "/v1/sessions/{session_id}",
        200,
    )
    assert (line["tenant_id"], line["key_id"]) == ("tenant_01", "key_0001")
    assert line["duration_ms"] >= 0
    assert (line["level"], CANARY in log.text) == ("info", False)


def test_what_is_logged_meanwhile_has_the_request_id_too(log: Log) -> None:
    call(app(), "GET", f"/v1/sessions/{SESSION}", headers={"x-request-id": "from-outside-1"})
    meanwhile = next(line for line in log.lines if line["event"] == "queued")
    assert meanwhile["request_id"] == "from-outside-1"
    assert meanwhile["session_id"] == SESSION
    assert structlog.contextvars.get_contextvars() == {}


@pytest.mark.parametrize("given", ["from-outside-1", SESSION, "a" * 63 + "1"])
def test_a_sane_request_id_is_kept(given: str) -> None:
    answer = call(app(), "GET", "/livez", headers={"x-request-id": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize(
    "given", ["", "no-digits-here", "two words 1", "1234567", "1" * 65, "a\tb12345678", "é12345678"]
)
def test_an_odd_request_id_is_replaced(log: Log, given: str) -> None:
    answer = call(app(), "GET", "/livez", headers={"x-request-id": given.encode()})
    assert uuid.UUID(answer.headers["x-request-id"]).hex
    assert not given or given not in log.text


def test_two_request_ids_that_differ_are_none() -> None:
    headers = [("x-request-id", "from-outside-1"), ("x-request-id", "from-outside-2")]
    assert "from" not in call(app(), "GET", "/livez", headers=headers).headers["x-request-id"]


def test_a_valid_traceparent_is_continued_under_a_place_of_our_own(log: Log) -> None:
    answer = call(app(), "GET", f"/v1/sessions/{SESSION}", headers={"traceparent": TRACE})
    version, trace_id, place, flags = answer.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE.split("-")[1], "01")
    assert place != TRACE.split("-")[2]
    assert answer.json()["state"]["traceparent"] == answer.headers["traceparent"]
    assert last(log)["trace_id"] == trace_id


@pytest.mark.parametrize(
    "given",
    [
        "",
        CANARY,
        "ff" + TRACE[2:],
        TRACE.upper(),
        TRACE + "-00",
        TRACE[:-1],
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
    ],
)
def test_an_invalid_traceparent_is_none(given: str) -> None:
    assert "traceparent" not in call(app(), "GET", "/livez", headers={"traceparent": given}).headers


def test_a_bug_is_a_problem_document_and_a_line_without_what_was_said(log: Log) -> None:
    answer = call(app(), "POST", f"/v1/sessions/{CANARY}/fail", content=CANARY.encode())
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == last(log)["request_id"]
    assert answer.json()["code"] == "internal"
    assert (last(log)["level"], last(log)["error"]["type"]) == ("error", "ValueError")
    assert CANARY not in log.text + answer.text


def test_a_refusal_that_nobody_answered_is_answered_and_is_no_bug(log: Log) -> None:
    answer = call(app(), "DELETE", f"/v1/sessions/{SESSION}")
    assert (answer.status_code, answer.json()["code"]) == (410, "gone")
    assert (last(log)["level"], last(log)["status"]) == ("info", 410)
    assert "error" not in last(log)


def test_an_error_under_an_answer_goes_on_and_is_noted(log: Log) -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(CANARY)

    with pytest.raises(ValueError, match=CANARY):
        call(inner, "GET", "/")
    assert (last(log)["level"], last(log)["status"]) == ("error", 200)
    assert CANARY not in log.text


def test_a_caller_who_leaves_is_noted(log: Log) -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    with suppress(asyncio.CancelledError):
        call(inner, "GET", "/")
    assert last(log)["status"] == 499


def test_an_unknown_path_and_method_are_not_told(log: Log, metrics: Metrics) -> None:
    call(app(), CANARY.upper(), f"/{CANARY}", metrics=metrics)
    line = last(log)
    assert (line["route"], line["method"], line["status"]) == ("unmatched", "OTHER", 404)
    assert CANARY not in (log.text + metrics.expose()[0].decode()).lower()


def test_whether_the_process_lives_is_no_news(log: Log) -> None:
    call(app(), "GET", "/livez")
    assert last(log)["level"] == "debug"


def test_what_is_no_request_is_passed_on() -> None:
    seen = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    other: Any = {"type": "lifespan"}
    asyncio.run(RequestLog(inner, Metrics(dict), Spans())(other, None, None))  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]


@contextmanager
def served(inner: ASGIApp) -> Iterator[int]:
    """The port of a real server on this machine."""
    config = uvicorn.Config(inner, port=0, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


def test_a_real_server_says_nothing_of_requests_good_broken_and_failing(
    log: Log, capfd: pytest.CaptureFixture[str]
) -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(CANARY)

    for inner in (app(), late):
        with served(within(inner)) as port:
            base = f"http://127.0.0.1:{port}/v1/sessions/{CANARY}"
            with suppress(httpx.HTTPError):
                httpx.get(base, params={"said": CANARY}, headers={"x-said": CANARY})
                httpx.post(f"{base}/fail", content=CANARY)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(f"GET /{CANARY} {CANARY}\r\n{CANARY}\r\n\r\n".encode())
                connection.recv(1000)
    assert any(line.get("logger") == "uvicorn" for line in log.lines)
    assert sum(line["event"] == "request" for line in log.lines) >= 3
    assert CANARY not in log.text + "".join(capfd.readouterr())


# Numbers


def exposed(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels."""
    text = metrics.expose()[0].decode()
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_requests_are_counted_by_template_method_and_status(metrics: Metrics) -> None:
    for session in (SESSION, CANARY):
        call(app(), "GET", f"/v1/sessions/{session}", metrics=metrics)
    numbers = exposed(metrics)
    labels = 'method="GET",route="/v1/sessions/{session_id}"'
    assert numbers[f'rupture_requests_total{{{labels},status="200"}}'] == 2
    assert numbers[f"rupture_request_seconds_count{{{labels}}}"] == 2
    assert not any(SESSION in name or CANARY in name or "tenant_01" in name for name in numbers)


def test_no_label_is_an_id(metrics: Metrics) -> None:
    call(app(), "GET", f"/v1/sessions/{SESSION}", metrics=metrics)
    text = metrics.expose()[0].decode()
    names = {part.split("=")[0] for part in text.replace("{", ",").split(",") if '="' in part}
    assert names == {"route", "method", "status", "outcome", "state", "le"}


def test_jobs_and_deliveries_are_counted(metrics: Metrics) -> None:
    metrics.jobs_ended["done"].inc()
    metrics.job_seconds.observe(3.0)
    metrics.turns_scored.inc(400)
    metrics.webhooks["retried"].inc()
    numbers = exposed(metrics)
    assert numbers['rupture_jobs_ended_total{outcome="done"}'] == 1
    assert numbers["rupture_job_seconds_sum"] == 3
    assert numbers["rupture_turns_scored_total"] == 400
    assert numbers['rupture_webhooks_total{outcome="retried"}'] == 1


def test_every_outcome_is_there_from_the_start_and_no_other_can_be_made(metrics: Metrics) -> None:
    numbers = exposed(metrics)
    assert {numbers[f'rupture_jobs_ended_total{{outcome="{one}"}}'] for one in JOB_OUTCOMES} == {0}
    assert {numbers[f'rupture_webhooks_total{{outcome="{one}"}}'] for one in WEBHOOK_OUTCOMES} == {
        0
    }
    with pytest.raises(KeyError):
        metrics.webhooks[CANARY].inc()


def test_the_queue_is_counted_at_every_scrape() -> None:
    counts = {"queued": 4, CANARY: 7}
    metrics = Metrics(lambda: counts)
    assert exposed(metrics)['rupture_jobs{state="queued"}'] == 4
    counts["queued"] = 5
    numbers = exposed(metrics)
    assert numbers['rupture_jobs{state="queued"}'] == 5
    assert {name for name in numbers if name.startswith("rupture_jobs{")} == {
        f'rupture_jobs{{state="{state}"}}' for state in JOB_STATES
    }
    assert numbers["rupture_jobs_readable"] == 1


def test_while_the_database_is_away_the_queue_is_unknown_and_the_rest_is_there() -> None:
    away: list[Exception] = []

    def count() -> dict[str, int]:
        if away:
            raise away[0]
        return {"queued": 4}

    metrics = Metrics(count)
    assert exposed(metrics)["rupture_jobs_readable"] == 1
    away.append(OSError(CANARY))
    numbers = exposed(metrics)
    assert numbers["rupture_jobs_readable"] == 0
    assert not any(name.startswith("rupture_jobs{") for name in numbers)
    assert "rupture_turns_scored_total" in numbers


def test_two_of_a_process_do_not_meet() -> None:
    first, second = Metrics(dict), Metrics(dict)
    first.turns_scored.inc()
    assert exposed(second)["rupture_turns_scored_total"] == 0


# Spans


class Recorder(trace.TracerProvider, trace.Tracer):
    """A provider that keeps what spans were begun with."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, dict[str, Any]]] = []
        self.parents: list[int] = []

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        return self

    def start_span(self, name: str, **more: Any) -> trace.Span:  # type: ignore[override]
        raise NotImplementedError

    @contextmanager
    def start_as_current_span(self, name: str, **more: Any) -> Iterator[trace.Span]:  # type: ignore[override]
        self.begun.append((name, more))
        parent = trace.get_current_span(more["context"]).get_span_context()
        self.parents.append(parent.trace_id)
        yield trace.NonRecordingSpan(
            trace.SpanContext(
                parent.trace_id or 1, 2, is_remote=False, trace_flags=trace.TraceFlags(1)
            )
        )


def test_there_are_no_spans_without_a_provider_and_a_trace_goes_on_all_the_same() -> None:
    with Spans().span("request") as traced:
        assert traced == ""
    with Spans().span("request", trace=TRACE) as traced:
        assert traced.startswith(TRACE[:36])


def test_a_span_has_ids_alone_and_records_no_exception(log: Log) -> None:
    recorder = Recorder()
    call(
        app(),
        "POST",
        f"/v1/sessions/{CANARY}/fail?said={CANARY}",
        content=CANARY.encode(),
        spans=Spans(recorder),
        headers={
            "x-request-id": "from-outside-1",
            "traceparent": TRACE,
            "tracestate": f"a={CANARY}",
        },
    )
    name, begun = recorder.begun[0]
    assert (name, begun["attributes"]) == ("request", {"request_id": "from-outside-1"})
    assert (begun["record_exception"], begun["set_status_on_exception"]) == (False, False)
    assert recorder.parents == [int(TRACE.split("-")[1], 16)]
    assert last(log)["trace_id"] == TRACE.split("-")[1]
    assert CANARY not in repr(begun)


def test_what_is_given_to_a_span_is_hidden_like_in_a_line() -> None:
    recorder = Recorder()
    with Spans(recorder).span(CANARY, session_id=SESSION, code=CANARY) as own:
        assert own == f"00-{1:032x}-{2:016x}-01"
    name, begun = recorder.begun[0]
    assert name == "str(9)"
    assert begun["attributes"] == {"session_id": SESSION, "code": "str(9)"}


def test_the_frameworks_own_telemetry_is_told_to_be_off() -> None:
    assert set(FASTAPI_TELEMETRY) <= set(TelemetryConfig.__annotations__)
    assert not any(FASTAPI_TELEMETRY.values())
