"""Heads without end, over a real socket: refused cleanly, and the others go on."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service.heads import MOST_BYTES, LimitedHttp


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the number of bytes of the body."""
    if scope["type"] != "http":
        return
    n = 0
    while (message := await receive())["type"] == "http.request":
        n += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = str(n).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(
        app, http=LimitedHttp, ws="none", lifespan="off", log_config=None, access_log=False
    )
    server, listening = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    running = threading.Thread(target=server.run, args=([listening],), daemon=True)
    running.start()
    while not server.started:
        time.sleep(0.01)
    yield int(listening.getsockname()[1])
    server.should_exit = True
    running.join()


def say(port: int, *parts: bytes) -> bytes:
    """What is answered until the line is closed, or a whole answer came."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        for part in parts:
            line.sendall(part)
        got = b""
        while b"\r\n\r\n" not in got:
            if not (more := line.recv(65536)):
                return got
            got += more
        return got + line.recv(65536)


MANY = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x-filler: abcdefghij\r\n" * 48_000
ONE = b"GET / HTTP/1.1\r\nhost: x\r\nx-filler: " + b"a" * 1_048_576
LINE = b"GET /" + b"a" * 1_048_576


@pytest.mark.parametrize("head", [MANY, ONE, LINE], ids=["many", "one", "line"])
def test_a_megabyte_of_headers_is_refused_with_a_problem_document(port: int, head: bytes) -> None:
    answer = say(port, head)
    assert answer.startswith(b"HTTP/1.1 431 ")
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (told["status"], told["code"]) == (431, "head_too_large")
    assert told["max_bytes"] == MOST_BYTES


def test_a_head_is_measured_exactly_where_it_comes_at_once(port: int) -> None:
    fixed = len(b"/") + len(b"hostx") + 4 + len(b"x-filler") + 4
    for n_over, status in ((0, b"200"), (1, b"431")):
        filler = b"a" * (MOST_BYTES - fixed + n_over)
        head = b"GET / HTTP/1.1\r\nhost: x\r\nx-filler: " + filler + b"\r\n\r\n"
        assert say(port, head).startswith(b"HTTP/1.1 " + status)


def test_a_head_without_end_is_refused_while_it_still_comes(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-filler: ")
        for _ in range(9):
            line.sendall(b"a" * 8192)
            time.sleep(0.01)
        assert line.recv(65536).startswith(b"HTTP/1.1 431 ")


def test_a_large_head_that_asks_for_another_protocol_is_refused_too(port: int) -> None:
    asked = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    answer = say(port, asked + b"x-filler: abcdefghij\r\n" * 5_000 + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_large_body_is_no_head_and_the_next_request_on_its_line_is_answered(port: int) -> None:
    first = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n" + b"a" * 300_000
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(first)
        answer = b""
        while not answer.endswith(b"300000"):
            answer += line.recv(65536)
        line.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        again = line.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert again.startswith(b"HTTP/1.1 200 ")


def test_the_second_head_of_a_line_is_limited_like_the_first(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 200 ")
        line.sendall(MANY)
        assert line.recv(65536).startswith(b"HTTP/1.1 431 ")


def test_others_are_answered_while_a_refused_head_still_comes(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(ONE)
        assert say(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert line.recv(65536).startswith(b"HTTP/1.1 431 ")
