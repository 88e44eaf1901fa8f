"""What is refused before it is read or queued: too large, too slow, too often.

Two plain ASGI middlewares, to stand inside `service.observe.RequestLog` in this order:
`BodyLimit`, then `RateLimit`. How long the headers may be is in service/heads.py; how slowly they
come is left to what stands in front: uvicorn waits for a first request's.
"""

import asyncio
import ipaddress
import json
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import PROBLEM_TYPE, ServiceError, TooLarge, TooMany, problem

Clock = Callable[[], float]
MiB = 1024 * 1024
LINGER_S, LINGER_BYTES = 5.0, 50 * MiB
"""How much of a refused body is still read and thrown away (ours): a connection that is closed
while its sender sends loses him the answer."""
FREE_PATHS = frozenset({"/livez", "/readyz"})
"""Asked by whoever keeps the process alive, and therefore never refused."""


class TooSlow(ServiceError):
    """The body comes more slowly than a working connection sends."""

    status, code, title = 408, "too_slow", "The body took too long"


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How large and how slow a body may be.

    Args:
        max_bytes: of the whole body; 50 MiB is twice what a transcript may have.
        grace_s, min_rate: a body of n bytes may be waited for `grace_s + n / min_rate` seconds
            in all; 20 s and 500 bytes/s are what Apache's mod_reqtimeout sets by default.
        deadline_s: and never longer than this; 50 MiB then need 1.4 Mbit/s.
    """

    max_bytes: int = 50 * MiB
    grace_s: float = 20.0
    min_rate: float = 500.0
    deadline_s: float = 300.0


def header(scope: Scope, name: bytes) -> str:
    """A request header's value; "" where there is none, or several that differ."""
    values = {value for key, value in scope["headers"] if key == name}
    return values.pop().decode("latin-1") if len(values) == 1 else ""


def encoded(fields: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Header fields as ASGI has them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]


def problem_messages(
    error: ServiceError, *, request_id: str, fields: Mapping[str, str] | None = None
) -> tuple[Message, Message]:
    """The start and the body of an answer that carries a problem document, as ASGI messages."""
    body = json.dumps(problem(error, request_id=request_id)).encode()
    own = {"content-type": PROBLEM_TYPE, "content-length": str(len(body))}
    own |= {"cache-control": "no-store", **(fields or {})}
    if hasattr(error, "retry_after_s"):
        own["retry-after"] = str(error.retry_after_s)
    start = {"type": "http.response.start", "status": error.status, "headers": encoded(own)}
    return start, {"type": "http.response.body", "body": body}


def _declared(scope: Scope) -> int:
    """The stated length of the body; 0 where none is stated. uvicorn refuses what is no number."""
    stated = header(scope, b"content-length")
    return int(stated) if stated.isascii() and stated.isdigit() else 0


def _has_body(scope: Scope) -> bool:
    return _declared(scope) > 0 or bool(header(scope, b"transfer-encoding"))


class BodyLimit:
    """Refuses bodies by their stated length unread, and by their true one and pace as they come.

    A refusal is the answer whatever the application makes of its broken body, unless it had
    begun to answer: then the connection breaks off.
    """

    def __init__(
        self, app: ASGIApp, limits: BodyLimits | None = None, *, clock: Clock = time.monotonic
    ) -> None:
        self._app, self._limits, self._clock = app, limits or BodyLimits(), clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; what is no request is passed on as it is."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body = _Body(receive, send, self._limits, self._clock)
        try:
            body.check(_declared(scope))
            await self._app(scope, body.receive, body.send)
        except Exception:  # whatever the application made of the refusal that it met
            if body.refusal is None or body.is_answered:
                raise
        if body.refusal is not None and not body.is_answered:
            await _refuse(scope, receive, send, body.refusal)


async def _refuse(
    scope: Scope, receive: Receive, send: Send, error: ServiceError, **fields: str
) -> None:
    """Answers, and lets a sender finish a while, who may not read before he has sent all."""
    closing = {"connection": "close"} if _has_body(scope) else {}
    request_id = str(scope.get("state", {}).get("request_id", ""))
    start, body = problem_messages(error, request_id=request_id, fields={**fields, **closing})
    await send(start)
    await send({**body, "more_body": True})
    # Who asked first (Expect: 100-continue) sends nothing after this answer.
    if closing and not isinstance(error, TooSlow) and not header(scope, b"expect"):
        n_left = LINGER_BYTES
        with suppress(TimeoutError, ServiceError):
            async with asyncio.timeout(LINGER_S):
                while n_left > 0 and (message := await receive()).get("more_body", False):
                    n_left -= len(message.get("body", b""))
    await send({"type": "http.response.body", "body": b""})


class _Body:
    """One request's body on its way in, and whether anything was answered meanwhile."""

    def __init__(self, receive: Receive, send: Send, limits: BodyLimits, clock: Clock) -> None:
        self._receive, self._send, self._limits, self._clock = receive, send, limits, clock
        self._n_bytes, self._waited_s, self._is_over = 0, 0.0, False
        self.refusal: ServiceError | None = None
        self.is_answered = False

    def check(self, n_bytes: int) -> None:
        most = self._limits.max_bytes
        if n_bytes > most:
            detail = f"The body may have {most:,} bytes."
            self.refusal = TooLarge(detail, code="body_too_large", more={"max_bytes": most})
            raise self.refusal

    async def receive(self) -> Message:
        if self.refusal is not None:
            raise self.refusal
        message = await (self._receive() if self._is_over else self._next())
        self._n_bytes += len(message.get("body", b""))
        self._is_over = not message.get("more_body", False)
        self.check(self._n_bytes)
        return message

    async def _next(self) -> Message:
        """Waits for the sender; only such waiting counts, not the time that the reader takes."""
        limits, began = self._limits, self._clock()
        may_s = min(limits.grace_s + self._n_bytes / limits.min_rate, limits.deadline_s)
        try:
            async with asyncio.timeout(may_s - self._waited_s):
                return await self._receive()
        except TimeoutError:
            self.refusal = TooSlow(f"A body must come at {limits.min_rate:g} bytes/s or more.")
            raise self.refusal from None
        finally:
            self._waited_s += self._clock() - began

    async def send(self, message: Message) -> None:
        if self.refusal is None or self.is_answered:
            self.is_answered = True
            await self._send(message)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a tenant by one of its keys (or people), or else only an address."""

    tenant: str = ""
    key: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """So much in so long a time for each tenant, key, or address of somebody unknown.

    Args:
        name: letters, digits and hyphens; shown to callers.
        per: the field of Caller that it counts by.
        quota: what may be used at once, in requests or bytes; it grows back evenly.
        window_s: in which it grows back whole.
        in_bytes: whether it counts the bytes of bodies and not requests.
    """

    name: str
    per: str
    quota: int
    window_s: int = 60
    in_bytes: bool = False


POLICIES = (
    RatePolicy("tenant", "tenant", 6_000),
    RatePolicy("key", "key", 3_000),
    RatePolicy("tenant-bytes", "tenant", 400 * MiB, in_bytes=True),
    RatePolicy("key-bytes", "key", 200 * MiB, in_bytes=True),
    RatePolicy("address", "address", 60),
    RatePolicy("address-bytes", "address", 50 * MiB, in_bytes=True),
)
"""Ours, to be set: a key that uploads 60 sessions a minute of 0.1 MB each, asks for each ten
times and reads ten things of it needs 1,260 requests and 6 MB."""
Costs = Mapping[RatePolicy, int]
Drawn = tuple[bool, dict[RatePolicy, float]]


class Buckets(Protocol):
    """Where token buckets are kept: `MemoryBuckets`, or a store that several processes share."""

    async def draw(self, caller: Caller, costs: Costs, *, always: bool = False) -> Drawn:
        """Takes all costs at once where every bucket holds one unit or more, else none of them.

        What a cost exceeds its bucket by stands as debt; `always` takes it in any case.

        Returns: whether it was taken; what each bucket holds then, below 0 in debt.
        """


class MemoryBuckets:
    """Buckets in this process's memory: behind N processes a caller has N times the quota.

    Args:
        most: buckets kept for each policy, some 0.3 kB each. Beyond, the one that was idle
            longest is forgotten, with its debt.
        clock: monotonic, in seconds.
    """

    def __init__(self, *, most: int = 20_000, clock: Clock = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._held: dict[RatePolicy, OrderedDict[str, tuple[float, float]]] = {}

    async def draw(self, caller: Caller, costs: Costs, *, always: bool = False) -> Drawn:
        """As `Buckets` says."""
        now, left = self._clock(), dict[RatePolicy, float]()
        for policy in costs:
            held = self._held.setdefault(policy, OrderedDict())
            kept, at = held.get(getattr(caller, policy.per), (policy.quota, now))
            left[policy] = min(policy.quota, kept + (now - at) * policy.quota / policy.window_s)
        if not (always or all(units >= 1 for units in left.values())):
            return False, left
        for policy, cost in costs.items():
            left[policy] -= cost
            held, who = self._held[policy], getattr(caller, policy.per)
            held[who] = (left[policy], now)
            held.move_to_end(who)
            if len(held) > self._most:
                held.popitem(last=False)
        return True, left


async def caller_of(scope: Scope) -> Caller:
    """The caller as who authenticates wrote it into the scope's state, else the address.

    An IPv6 address stands for its /64, of which one subscriber has all.
    """
    state, address = scope.get("state", {}), (scope.get("client") or ("unknown",))[0]
    if ":" in address:
        with suppress(ValueError):
            address = str(ipaddress.ip_network(f"{address}/64", strict=False))
    return Caller(state.get("tenant_id") or "", state.get("key_id") or "", address)


class RateLimit:
    """Refuses callers who ask too often or send too much, before their body is read.

    Says what is left in `RateLimit-Policy` and `RateLimit` as draft-ietf-httpapi-ratelimit-headers
    of September 2025 has them. Bytes without a stated length are counted as they come.
    """

    def __init__(
        self,
        app: ASGIApp,
        buckets: Buckets,
        policies: Sequence[RatePolicy] = POLICIES,
        caller: Callable[[Scope], Awaitable[Caller]] = caller_of,
    ) -> None:
        self._app, self._buckets, self._policies, self._caller = app, buckets, policies, caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; what is no request, or free, is passed on as it is."""
        if scope["type"] != "http" or scope["path"] in FREE_PATHS:
            return await self._app(scope, receive, send)
        caller, paid = await self._caller(scope), _declared(scope)
        mine = [p for p in self._policies if (p.per == "address") is not bool(caller.tenant)]
        costs = {p: paid if p.in_bytes else 1 for p in mine if _has_body(scope) or not p.in_bytes}
        is_taken, left = await self._buckets.draw(caller, costs)
        fields = _fields(mine, left)
        if not is_taken:
            wait_s = max(_wait_s(policy, units, 1) for policy, units in left.items())
            error = TooMany("Ask again when Retry-After says.", retry_after_s=wait_s)
            return await _refuse(scope, receive, send, error, **fields)

        async def count() -> Message:
            nonlocal paid
            message = await receive()
            paid -= len(message.get("body", b""))
            if paid < 0:
                owed = {policy: -paid for policy in mine if policy.in_bytes}
                await self._buckets.draw(caller, owed, always=True)
                paid = 0
            return message

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                pairs = [*message.get("headers", ()), *encoded(fields)]
                message = {**message, "headers": pairs}
            await send(message)

        await self._app(scope, count, tell)


def _wait_s(policy: RatePolicy, units: float, wanted: float) -> int:
    """Whole seconds until so many units are there."""
    return max(math.ceil((wanted - units) * policy.window_s / policy.quota), 0)


def _fields(policies: Iterable[RatePolicy], left: Mapping[RatePolicy, float]) -> dict[str, str]:
    """`t` is when the quota is whole again, or when the next unit comes where none is left."""
    unit = {True: ';qu="content-bytes"', False: ""}
    stated = [f'"{p.name}";q={p.quota};w={p.window_s}{unit[p.in_bytes]}' for p in policies]
    now = [
        f'"{p.name}";r={max(int(units), 0)};t={_wait_s(p, units, p.quota if units >= 1 else 1)}'
        for p, units in left.items()
    ]
    return {"ratelimit-policy": ", ".join(stated), "ratelimit": ", ".join(now)}
