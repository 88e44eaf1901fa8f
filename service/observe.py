"""What the service says of itself: logs and numbers for operators, and no word of a session.

Nothing is trusted to be harmless. A field of a log line passes when its key is in `KEYS` and its
value is a number, a time, an id, or a word that stands as a literal in this room's own source;
what a caller sends is in no source. A message of another library passes when it is a literal in
the function that logs it, and never with its arguments. Of an exception remain its type, the
types of its causes, and our files and lines on its way. All else becomes its type and length.

An id is a token with a digit in it: a caller who writes a name and a digit into `X-Request-Id`
finds them in the log. The ids that we make are UUIDs.
"""

import ast
import enum
import logging
import math
import re
import sys
import threading
import uuid
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import prometheus_client as prometheus
import structlog
from prometheus_client import Counter, Gauge, Histogram

_IDS = """batch_id delivery_id event_id job_id key_id report_id request_id session_id tenant_id
    trace_id user_id webhook_id worker_id workflow_id"""
_OTHERS = """action attempt backend checkpoint code duration_ms error_type event format from_state
    kind limit method n_bytes n_errors n_jobs n_sessions n_tenants n_turns n_waiting next_at outcome
    port reason retry_after_s route scope seconds state status until version"""
IDS = frozenset(_IDS.split())
"""Keys of a log line that hold ids. A client's reference is the platform's own and is not one."""
KEYS = IDS | frozenset(_OTHERS.split())
"""Every key that a log line of ours may have. A new one is added here, with thought."""
FASTAPI_TELEMETRY: Any = dict.fromkeys(("tracing", "metrics", "logs", "auto_configure"), False)
"""For `FastAPI(telemetry=...)`, whose own spans hold the path with its ids, and the query."""
JOB_STATES = ("queued", "running", "done", "failed", "dead")
JOB_OUTCOMES = ("done", "failed", "dead", "retried", "cancelled")
WEBHOOK_OUTCOMES = ("delivered", "retried", "refused", "disabled", "dead")
WAITS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30)
"""Steps of the histogram of answers: Prometheus's own, and the longest `Prefer: wait`."""
JOBS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

_HERE = Path(__file__).resolve().parent
_ROOMS = ("service/", "detector/", "models/")
ID_FORM = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9][A-Za-z0-9_-]{7,63}", re.ASCII)
"""What an id looks like: a token with a digit in it."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.:@-]{0,47}", re.ASCII)


class Template(str):
    """A route's template, as the route itself has it."""


class _Told(dict[str, Any]):
    """What `SafeRecord` leaves of a record: fields of a line that have passed already."""


@cache
def _own_words() -> frozenset[str]:
    """Every code-like literal in this room's source; none where only compiled files are there."""
    trees = (ast.parse(path.read_text("utf-8")) for path in _HERE.rglob("*.py"))
    constants = (n.value for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return frozenset(v for v in constants if isinstance(v, str) and _WORD.fullmatch(v))


def _passed(key: str, value: object) -> object:
    """The value as a log may have it, else its type and length as "str(12)"."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, datetime | uuid.UUID):
        return str(value)
    if value is None or type(value) in (Template, bool):
        return value
    # Larger numbers are no counts, and JSON's readers do not keep them whole.
    if isinstance(value, int | float) and math.isfinite(value) and abs(value) < 2**53:
        return value
    is_word = isinstance(value, str) and value in _own_words()
    if is_word or (isinstance(value, str) and key in IDS and ID_FORM.fullmatch(value)):
        return value
    if isinstance(value, str | bytes | list | tuple | dict | set):
        return f"{_type(value)}({len(value)})"
    return _type(value)


def only_known(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields that may be shown; of those with another key, the types under `hidden`."""
    shown = {key: _passed(key, value) for key, value in fields.items() if key in KEYS}
    hidden = sorted(_type(value) for key, value in fields.items() if key not in KEYS)
    return {**shown, "hidden": hidden} if hidden else shown


def describe(error: BaseException) -> dict[str, Any]:
    """An exception without what it says: type, our places on its way, types behind it.

    Returns: `type`; `at`, the last 10 places as "service/jobs.py:12", outermost first; `causes`,
        the types of causes, contexts and members of groups, nearest first, at most 10.
    """
    places, step = [], error.__traceback__
    while step is not None:
        places.append(f"{_place(step.tb_frame.f_code.co_filename)}:{step.tb_lineno}")
        step = step.tb_next
    found = [error]
    for one in found:  # grows while it is walked
        members = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        for behind in (one.__cause__, one.__context__, *members):
            if behind is not None and len(found) <= 10 and all(behind is not f for f in found):
                found.append(behind)
    ours = [place for place in places if place.startswith(_ROOMS)][-10:]
    return {"type": _type(error), "at": ours, "causes": [_type(one) for one in found[1:]]}


def _type(value: object) -> str:
    kind = type(value)
    is_in_source = getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind
    return kind.__name__ if is_in_source else "object"


def _place(path: str) -> str:
    """A file of ours from its room on, another one by its name and its folder's."""
    file = Path(path)
    own = file.relative_to(_HERE.parent).as_posix() if file.is_relative_to(_HERE.parent) else ""
    return own if own.startswith(_ROOMS) else f"…/{'/'.join(file.parts[-2:])}"


class SafeRecord(logging.LogRecord):
    """A record of `logging` that was never told anything, for `logging.setLogRecordFactory`.

    Cut down as it is made, so that a handler which a library adds later (DBOS does) has nothing
    to tell either: its message is a literal of the function that logs it, or "hidden"; it has no
    arguments; its exception is `describe`d.
    """

    def __init__(
        self, name: str, level: int, path: str, line: int, message: object, *rest: Any
    ) -> None:
        module = (name or "").partition(".")[0]
        module = module if module in sys.modules else "other"
        said = _literal(message, path, line) or "hidden"
        self.told = _Told(event=said, logger=module, at=f"{_place(path)}:{line}")
        raised = rest[1] if len(rest) > 1 else None
        if isinstance(raised, tuple) and isinstance(raised[1], BaseException):
            self.told["error"] = describe(raised[1])
        super().__init__(module, level or 0, path, line, said, (), None)


def _literal(message: object, path: str, line: int) -> str | None:
    """The message, where it is a constant of the function that logs it."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_lineno == line and frame.f_code.co_filename == path:
            is_constant = type(message) is str and message in frame.f_code.co_consts
            return str(message) if is_constant else None
        frame = frame.f_back
    return None


class _Door(logging.Handler):
    """Leads what is logged through `logging` to the one stream."""

    def emit(self, record: logging.LogRecord) -> None:
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        structlog.get_logger().log(level, "hidden", told=getattr(record, "told", None))


class _Lines:
    """Writes lines. A full disk or a closed pipe stops no work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError), self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg


def _private(_: object, method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """The processor through which every line goes: what passes `only_known`, and no more."""
    given = dict(event)
    raised = given.pop("exc_info", None)
    told = given.pop("told", None)
    raised = sys.exc_info() if raised is True else raised
    raised = raised[1] if isinstance(raised, tuple) and len(raised) == 3 else raised
    error = {"error": describe(raised)} if isinstance(raised, BaseException) else {}
    return {"level": method, **only_known(given), **error, **(told if type(told) is _Told else {})}


def set_up_logging(
    level: str = "info", *, console: bool | None = None, stream: TextIO | None = None
) -> None:
    """Makes one stream of private lines out of structlog, `logging`, warnings and crashes.

    Call it first, and run uvicorn with `log_config=None, access_log=False`.

    Args:
        level: "debug", "info", "warning" or "error".
        console: lines for people instead of JSON; None: where the stream is a terminal.
        stream: where to; standard error by default.
    """
    out = stream or sys.stderr
    pretty = out.isatty() if console is None else console
    render: Any = structlog.processors.JSONRenderer()
    render = structlog.dev.ConsoleRenderer(colors=out.isatty()) if pretty else render
    _own_words()  # read now and not under the first request
    least = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _private,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: _Lines(out),
        cache_logger_on_first_use=False,
    )
    logging.setLogRecordFactory(SafeRecord)
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.handlers, logger.propagate, logger.disabled = [], True, False
    logging.root.handlers = [_Door()]
    logging.root.setLevel(least)
    # The line of `RequestLog` says it without the path and the query.
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    log = structlog.get_logger()
    sys.excepthook = lambda _, error, __: log.critical("crashed", exc_info=error)
    sys.unraisablehook = lambda lost: log.error("crashed", exc_info=lost.exc_value)
    threading.excepthook = lambda lost: log.critical("crashed", exc_info=lost.exc_value)


class Metrics:
    """The numbers of this process, in a registry of its own; no label is an id.

    Every API and worker process counts for itself and is scraped at a port of its own, and
    Prometheus adds them up: `uvicorn --workers` would show one of them at random. `rupture_jobs`
    alone is read from the database, by every process the same: take its maximum, not its sum.

    Args:
        count_jobs: how many jobs are in each of JOB_STATES, asked at every scrape. While it
            fails, `rupture_jobs_readable` is 0 and the counts are left out.
    """

    def __init__(self, count_jobs: Callable[[], Mapping[str, int]]) -> None:
        self.registry, self._count_jobs = (own := prometheus.CollectorRegistry()), count_jobs
        http, jobs = ("route", "method"), "rupture_jobs_ended"
        self.requests = Counter("rupture_requests", "Requests.", (*http, "status"), registry=own)
        self.request_seconds = Histogram(
            "rupture_request_seconds", "To the answer's end.", http, buckets=WAITS_S, registry=own
        )
        ended = Counter(jobs, "Attempts at a job, by their end.", ["outcome"], registry=own)
        self.jobs_ended = {one: ended.labels(one) for one in JOB_OUTCOMES}
        self.job_seconds = Histogram(
            "rupture_job_seconds", "Of one attempt.", buckets=JOBS_S, registry=own
        )
        self.turns_scored = Counter("rupture_turns_scored", "Turns scored.", registry=own)
        sent = Counter("rupture_webhooks", "Webhook deliveries.", ["outcome"], registry=own)
        self.webhooks = {one: sent.labels(one) for one in WEBHOOK_OUTCOMES}
        self._jobs = Gauge("rupture_jobs", "Jobs of all tenants.", ["state"], registry=own)
        self._readable = Gauge("rupture_jobs_readable", "Whether they were counted.", registry=own)

    def expose(self) -> tuple[bytes, str]:
        """The body of `/metrics` and its content type."""
        self._jobs.clear()
        self._readable.set(0)
        with suppress(Exception):  # the other numbers must come while the database is away
            counts = self._count_jobs()
            for state in JOB_STATES:
                self._jobs.labels(state).set(counts.get(state, 0))
            self._readable.set(1)
        return prometheus.generate_latest(self.registry), prometheus.CONTENT_TYPE_LATEST
