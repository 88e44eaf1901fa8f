"""What is refused before it is read, over real sockets where it matters."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import TooLarge
from service.limits import (
    POLICIES,
    BodyLimit,
    BodyLimits,
    Caller,
    MemoryBuckets,
    RateLimit,
    RatePolicy,
    caller_of,
)

KIB = 1024
SMALL = BodyLimits(max_bytes=64 * KIB, grace_s=0.4, min_rate=10_000.0, deadline_s=1.5)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def echo() -> FastAPI:
    """An application that says how many bytes it read, and catches what goes wrong meanwhile."""
    app = FastAPI()

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @app.post("/json")
    def typed(body: dict[str, Any]) -> int:
        return len(body)

    @app.post("/stubborn")
    async def stubborn(request: Request) -> str:
        try:
            await request.body()
        except Exception:
            return "all is well"
        return "read"

    @app.get("/livez")
    @app.get("/read")
    def read() -> str:
        return "read"

    return app


def call(app: ASGIApp, method: str, path: str, **more: Any) -> httpx.Response:
    """One request to an application in this process."""
    return calls(app, [(method, path, more)])[0]


def calls(app: ASGIApp, wanted: list[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
    """Requests one after the other."""

    async def all_of_them() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.request(method, path, **more) for method, path, more in wanted]

    return asyncio.run(all_of_them())


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, once it is seen to be the one that is expected."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert (document["status"], document["code"]) == (status, code)
    return document


async def pieces(*sizes: int) -> AsyncIterator[bytes]:
    """A body whose length is stated nowhere."""
    for size in sizes:
        yield b"x" * size


@contextmanager
def served(app: ASGIApp, *, http: str = "h11") -> Iterator[int]:
    """The port of a real server on this machine."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, http=http, log_config=None, access_log=False, lifespan="off"
    )
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


def asked(port: int, *parts: bytes, pause_s: float = 0.0) -> tuple[bytes, float]:
    """What a server answers to these bytes until it closes, and the seconds that it took."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_s)
        answer = bytearray()
        while piece := connection.recv(65536):
            answer += piece
        return bytes(answer), time.monotonic() - began


def head(length: int | None, *more: bytes, path: bytes = b"/raw") -> bytes:
    """The head of a request by hand; without a length it comes in chunks."""
    stated = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"\r\n".join([b"POST %b HTTP/1.1" % path, b"Host: t", stated, *more, b"", b""])


# Bodies: how large


def test_a_body_of_just_the_limit_passes() -> None:
    app = BodyLimit(echo(), SMALL)
    assert call(app, "POST", "/raw", content=b"x" * SMALL.max_bytes).json() == SMALL.max_bytes


def test_a_body_that_says_it_is_too_large_is_refused_unread() -> None:
    touched = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        touched.append(scope)

    response = call(BodyLimit(app, SMALL), "POST", "/raw", content=b"x" * (SMALL.max_bytes + 1))
    assert refused(response, 413, "body_too_large")["max_bytes"] == SMALL.max_bytes
    assert touched == []


@pytest.mark.parametrize("path", ["/raw", "/json", "/stubborn"])
def test_a_body_without_a_length_is_refused_as_soon_as_it_is_too_large(path: str) -> None:
    app = BodyLimit(echo(), SMALL)
    refused(call(app, "POST", path, content=pieces(SMALL.max_bytes, 1)), 413, "body_too_large")


def test_a_body_that_is_larger_than_it_says_is_refused_by_what_comes() -> None:
    response = call(
        BodyLimit(echo(), SMALL),
        "POST",
        "/raw",
        content=pieces(SMALL.max_bytes, SMALL.max_bytes),
        headers={"content-length": "10"},
    )
    refused(response, 413, "body_too_large")


def test_a_refusal_carries_the_request_id_of_the_scope() -> None:
    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"request_id": "request-1"}
        await BodyLimit(echo(), SMALL)(scope, receive, send)

    response = call(outer, "POST", "/raw", content=b"x" * (SMALL.max_bytes + 1))
    assert refused(response, 413, "body_too_large")["request_id"] == "request-1"


def test_an_error_of_the_application_is_not_taken_for_a_refusal() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        call(BodyLimit(app, SMALL), "POST", "/raw", content=b"x")


def test_a_body_that_grows_too_large_under_an_answer_breaks_the_connection_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["more_body"]:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    with pytest.raises(TooLarge):
        call(BodyLimit(app, SMALL), "POST", "/raw", content=pieces(*[SMALL.max_bytes] * 2))


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_sender_of_too_much_reads_the_answer_though_he_sends_to_the_end(http: str) -> None:
    size = 3 * 1024 * KIB
    with served(BodyLimit(echo(), SMALL), http=http) as port:
        stated, _ = asked(port, head(size), b"x" * size)
        chunk = b"%x\r\n" % size + b"x" * size + b"\r\n"
        chunked, _ = asked(port, head(None), chunk, b"0\r\n\r\n")
    for answer in (stated, chunked):
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer.lower()
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "body_too_large"


def test_who_asks_before_sending_too_much_is_answered_at_once_and_not_told_to_go_on() -> None:
    with served(BodyLimit(echo(), SMALL)) as port:
        answer, took_s = asked(port, head(10**9, b"Expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert took_s < 2


def test_what_follows_a_length_that_is_too_small_is_not_read_as_part_of_the_body() -> None:
    with served(BodyLimit(echo(), SMALL)) as port:
        answer, _ = asked(port, head(3), b"abcdef\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n\r\n3HTTP/1.1 400" in answer


# Bodies: how slow


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_body_that_never_comes_is_given_up_after_the_grace(http: str) -> None:
    with served(BodyLimit(echo(), SMALL), http=http) as port:
        answer, took_s = asked(port, head(1000), b"abc")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too_slow"
    assert SMALL.grace_s <= took_s < 2


def test_a_body_that_drips_is_given_up_though_every_byte_comes_soon() -> None:
    began = time.monotonic()
    patient = BodyLimits(grace_s=0.4, min_rate=10_000.0, deadline_s=60.0)
    with (
        served(BodyLimit(echo(), patient)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=60) as connection,
    ):
        connection.sendall(head(1000))
        connection.settimeout(0.05)
        answer = b""
        while not answer and time.monotonic() - began < 5:
            connection.sendall(b"x")
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_keeps_the_rate_passes_beyond_the_grace() -> None:
    parts = [b"x" * 3000] * 8
    close = b"Connection: close"
    with served(BodyLimit(echo(), SMALL)) as port:
        answer, took_s = asked(port, head(24_000, close), *parts, pause_s=0.1)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert took_s > SMALL.grace_s


def test_a_fast_enough_body_still_meets_the_deadline() -> None:
    limits = BodyLimits(max_bytes=64 * KIB, grace_s=5.0, min_rate=1.0, deadline_s=0.3)
    with served(BodyLimit(echo(), limits)) as port:
        answer, took_s = asked(port, head(5000), b"x" * 4000)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert took_s < 2


def test_the_time_that_a_reader_takes_is_not_held_against_the_sender() -> None:
    clock = Clock()

    async def slow_reader(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            clock.now += 1000.0
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    app = BodyLimit(slow_reader, SMALL, clock=clock)
    assert call(app, "POST", "/raw", content=pieces(10, 10, 10)).status_code == 204


def test_a_sender_who_leaves_is_no_refusal() -> None:
    with served(BodyLimit(echo(), SMALL)) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head(1000) + b"abc")
        answer, _ = asked(port, head(3, b"Connection: close") + b"abc")
    assert answer.startswith(b"HTTP/1.1 200 ")


# How often


def limited(
    *policies: RatePolicy, clock: Clock | None = None, who: Callable[[], Caller] | None = None
) -> ASGIApp:
    """The echo behind these policies, asked by one tenant unless `who` says otherwise."""
    one = Caller("tenant-1", "key-1")

    async def caller(scope: Scope) -> Caller:
        return who() if who else one

    return RateLimit(echo(), MemoryBuckets(clock=clock or Clock()), policies, caller)


def test_requests_beyond_the_quota_are_refused_with_the_seconds_to_wait() -> None:
    clock = Clock()
    app = limited(RatePolicy("key", "key", 3), clock=clock)
    answers = calls(app, [("GET", "/read", {})] * 4)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    refused(answers[3], 429, "too_many_requests")
    assert answers[3].headers["retry-after"] == "20"
    clock.now += 19.9
    assert call(app, "GET", "/read").status_code == 429
    clock.now += 0.1
    assert call(app, "GET", "/read").status_code == 200


def test_the_fields_are_those_of_the_draft() -> None:
    app = limited(RatePolicy("key", "key", 4), RatePolicy("bytes", "key", 1000, 10, in_bytes=True))
    first, second = calls(app, [("GET", "/read", {}), ("POST", "/raw", {"content": b"x" * 100})])
    stated = '"key";q=4;w=60, "bytes";q=1000;w=10;qu="content-bytes"'
    assert first.headers["ratelimit-policy"] == second.headers["ratelimit-policy"] == stated
    assert first.headers["ratelimit"] == '"key";r=3;t=15'
    assert second.headers["ratelimit"] == '"key";r=2;t=30, "bytes";r=900;t=1'


def test_a_refusal_has_the_fields_too_and_they_agree_with_retry_after() -> None:
    answer = calls(limited(RatePolicy("key", "key", 1)), [("GET", "/read", {})] * 2)[1]
    assert answer.headers["ratelimit"] == '"key";r=0;t=60'
    assert answer.headers["retry-after"] == "60"


def test_what_is_refused_costs_nothing() -> None:
    clock = Clock()
    app = limited(RatePolicy("key", "key", 2), clock=clock)
    calls(app, [("GET", "/read", {})] * 50)
    clock.now += 30
    assert call(app, "GET", "/read").status_code == 200


def test_where_one_bucket_is_empty_nothing_is_taken_from_the_others() -> None:
    async def draws() -> dict[RatePolicy, float]:
        buckets, many, few = (
            MemoryBuckets(clock=Clock()),
            RatePolicy("a", "key", 9),
            RatePolicy("b", "key", 1),
        )
        for _ in range(3):
            _, left = await buckets.draw(Caller("t", "k"), {many: 1, few: 1})
        assert not _
        return left

    assert sorted(asyncio.run(draws()).values()) == [0, 8]


def test_tenants_and_keys_have_buckets_of_their_own() -> None:
    callers = iter([Caller("a", "1"), Caller("a", "2"), Caller("a", "1"), Caller("b", "3")])
    app = limited(
        RatePolicy("tenant", "tenant", 2), RatePolicy("key", "key", 2), who=lambda: next(callers)
    )
    answers = calls(app, [("GET", "/read", {})] * 4)
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]


def test_bytes_are_counted_with_a_stated_length_and_without() -> None:
    for content in (b"x" * 900, pieces(500, 400)):
        app = limited(RatePolicy("bytes", "key", 1000, in_bytes=True))
        answers = calls(
            app,
            [
                ("POST", "/raw", {"content": content}),
                ("POST", "/raw", {"content": b"x" * 200}),
                ("POST", "/raw", {"content": b"x"}),
                ("GET", "/read", {}),
            ],
        )
        # The second is let through on what is left and leaves a debt of 100 bytes.
        assert [answer.status_code for answer in answers] == [200, 200, 429, 200]
        assert answers[2].headers["retry-after"] == "7"


def test_a_body_larger_than_the_whole_quota_passes_once_and_is_paid_off_later() -> None:
    clock = Clock()
    app = limited(RatePolicy("bytes", "key", 100, in_bytes=True), clock=clock)
    large = ("POST", "/raw", {"content": b"x" * 1000})
    assert [answer.status_code for answer in calls(app, [large, large])] == [200, 429]
    clock.now += 540
    assert call(app, "POST", "/raw", content=b"x").status_code == 429
    clock.now += 1
    assert call(app, "POST", "/raw", content=b"x").status_code == 200


def test_an_empty_body_that_is_announced_in_chunks_is_charged_nothing() -> None:
    app = limited(RatePolicy("bytes", "key", 100, in_bytes=True))
    answer = call(app, "POST", "/raw", content=pieces(0))
    assert answer.headers["ratelimit"] == '"bytes";r=100;t=0'


def test_whether_the_process_lives_may_be_asked_without_end() -> None:
    app = limited(RatePolicy("key", "key", 1))
    answers = calls(app, [("GET", "/livez", {})] * 5)
    assert {answer.status_code for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers


def test_a_caller_refused_under_his_upload_reads_the_answer() -> None:
    inner = limited(RatePolicy("key", "key", 1))
    with served(BodyLimit(inner)) as port:
        answers = [
            asked(port, head(2 * 1024 * KIB, b"Connection: close"), b"x" * 2 * 1024 * KIB)[0]
            for _ in range(2)
        ]
    assert answers[0].startswith(b"HTTP/1.1 200 ")
    assert answers[1].startswith(b"HTTP/1.1 429 ")


def test_ever_new_callers_leave_no_more_buckets_than_are_allowed() -> None:
    async def knock() -> MemoryBuckets:
        buckets = MemoryBuckets(most=100, clock=Clock())
        for number in range(10_000):
            await buckets.draw(Caller(address=f"a{number}"), {POLICIES[4]: 1})
        return buckets

    assert {len(held) for held in asyncio.run(knock())._held.values()} == {100}


def test_the_bucket_that_is_forgotten_is_the_one_idle_longest() -> None:
    async def draws() -> list[bool]:
        buckets, policy = MemoryBuckets(most=2, clock=Clock()), RatePolicy("a", "address", 1)
        names = ["busy", "idle", "busy", "new", "busy", "idle"]
        return [(await buckets.draw(Caller(address=who), {policy: 1}))[0] for who in names]

    # What is refused is no use: "busy" draws in vain, and is the one that "new" takes the place of.
    assert asyncio.run(draws()) == [True, True, False, True, True, True]


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 400)), max_size=60))
def test_over_any_time_no_more_is_let_through_than_quota_and_growth(
    steps: list[tuple[float, int]],
) -> None:
    async def through() -> None:
        clock, policy = Clock(), RatePolicy("bytes", "key", 100, 10, in_bytes=True)
        buckets, total, last = MemoryBuckets(clock=clock), 0, 0
        for pause_s, cost in steps:
            clock.now += pause_s
            taken, left = await buckets.draw(Caller("t", "k"), {policy: cost})
            total, last = total + cost * taken, cost if taken else last
            assert left[policy] <= policy.quota
            # The one that goes into debt is let through whole.
            assert total <= 100 + 10 * (clock.now - 1000) + 400 + 1e-6

    asyncio.run(through())


def test_who_is_unknown_counts_by_address_and_ipv6_by_network() -> None:
    def caller(**scope: Any) -> Caller:
        return asyncio.run(caller_of(scope))

    known = {"tenant_id": "t", "key_id": "k"}
    assert caller(state=known, client=("127.0.0.1", 1)) == Caller("t", "k", "127.0.0.1")
    assert caller(client=("10.0.0.9", 1)) == Caller(address="10.0.0.9")
    nets = {caller(client=(f"2001:db8:0:7::{n:x}", 1)).address for n in (1, 2, 0xFFFF)}
    assert nets == {"2001:db8:0:7::/64"}
    assert caller(client=None) == Caller(address="unknown")
    assert caller(client=("odd:name", 1)).address == "odd:name"


def test_the_unknown_have_policies_of_their_own() -> None:
    app = RateLimit(echo(), MemoryBuckets(clock=Clock()))
    answer = call(app, "GET", "/read")
    assert answer.headers["ratelimit"] == '"address";r=59;t=1'
