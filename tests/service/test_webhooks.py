import base64
import contextlib
import dataclasses
import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from service.destinations import Guard
from service.errors import Conflict, Invalid
from service.webhooks import (
    DELAYS_S,
    STATUSES,
    Attempt,
    BadSignature,
    EventType,
    Secret,
    attempt,
    live,
    new_secret,
    payload,
    rotate,
    schedule,
    signed,
    verify,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
HOUR = timedelta(hours=1)
BODY = payload("session.completed", "ses_1", "done", NOW)

# The vector that the authors of Standard Webhooks test their own libraries with.
VECTOR = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
VECTOR_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTOR_AT = datetime.fromtimestamp(1614265330, UTC)
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secrets_are_random_long_and_each_another() -> None:
    made = {new_secret().text for _ in range(50)}
    assert len(made) == 50
    assert all(len(base64.b64decode(one.removeprefix("whsec_"))) == 32 for one in made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        VECTOR.text.removeprefix("whsec_"),
        "whsk_" + VECTOR.text.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        VECTOR.text + "!",
        VECTOR.text + "é",
        VECTOR.text[:-1],
    ],
)
def test_a_text_that_is_no_secret_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_ and 24 to 64") as caught:
        Secret(text)
    assert len(text) < 10 or text not in str(caught.value)


def test_a_rotation_signs_with_both_until_the_overlap_is_over() -> None:
    old = new_secret()
    both = rotate([old], NOW, overlap=6 * HOUR)
    assert [one.text for one in live(both, NOW)] == [both[0].text, old.text]
    assert live(both, NOW + 6 * HOUR) == both[:1]
    for at, n in ((NOW + 5 * HOUR, 2), (NOW + 6 * HOUR, 1)):
        headers = signed("m1", BODY, both, at)
        assert len(headers["webhook-signature"].split(" ")) == n
        assert verify(headers, BODY, [both[0].text], at) == "m1"
    with pytest.raises(BadSignature):
        verify(headers, BODY, [old.text], at)


def test_a_rotation_without_overlap_ends_the_old_secret_at_once() -> None:
    old = new_secret()
    assert old.text not in {one.text for one in rotate([old], NOW, overlap=timedelta(0))}


def test_a_second_rotation_never_lengthens_the_life_of_the_first_secret() -> None:
    first = rotate([new_secret()], NOW, overlap=HOUR)
    second = rotate(first, NOW + HOUR / 2, overlap=24 * HOUR)
    assert len(second) == 3
    assert second[2].expires_at == NOW + HOUR
    assert len(live(second, NOW + HOUR)) == 2


def test_rotating_in_a_loop_ends_and_an_emergency_still_rotates() -> None:
    secrets: tuple[Secret, ...] = (new_secret(),)
    for _ in range(4):
        secrets = rotate(secrets, NOW)
    with pytest.raises(Conflict):
        rotate(secrets, NOW)
    assert len(rotate(secrets, NOW, overlap=timedelta(0))) == 1
    assert len(rotate(secrets, NOW + 24 * HOUR)) == 2


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_an_overlap_beyond_a_week_or_negative_is_invalid(overlap: timedelta) -> None:
    with pytest.raises(Invalid):
        rotate([new_secret()], NOW, overlap=overlap)


def test_a_payload_holds_a_type_a_time_an_id_and_a_status() -> None:
    at = datetime(2026, 3, 1, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    assert json.loads(payload("session.failed", "ses-A_9", "dead", at)) == {
        "type": "session.failed",
        "timestamp": "2026-03-01T12:30:00.000Z",
        "data": {"session_id": "ses-A_9", "status": "dead"},
    }


@pytest.mark.parametrize("event_type", get_args(EventType))
def test_every_event_has_a_status_and_its_largest_payload_is_small(event_type: EventType) -> None:
    for status in STATUSES[event_type]:
        assert len(payload(event_type, "a" * 64, status, NOW)) < 300


@pytest.mark.parametrize(
    ("event_type", "session_id", "status"),
    [
        ("session.completed", "ses_1", "failed"),
        ("session.completed", "ses_1", "zyxcanary"),
        ("session.zyxcanary", "ses_1", "done"),
        ("session.completed", "zyxcanary is what was said", "done"),
        ("session.completed", "zyxcanary\n", "done"),
        ("session.completed", "zyxcanary" * 8, "done"),
        ("session.completed", "", "done"),
        ("session.completed", "zyxcanaré", "done"),
    ],
)
def test_nothing_else_can_be_put_into_a_payload(
    event_type: Any, session_id: str, status: Any
) -> None:
    with pytest.raises(ValueError, match=r"^(no such event|a session id)") as caught:
        payload(event_type, session_id, status, NOW)
    assert "zyxcanary" not in "".join(traceback.format_exception_only(caught.value))


def test_a_time_without_a_zone_is_refused_everywhere() -> None:
    naive = NOW.replace(tzinfo=None)
    calls: list[Callable[[], object]] = [
        lambda: payload("session.erased", "ses_1", "erased", naive),
        lambda: signed("m1", BODY, [VECTOR], naive),
        lambda: rotate([VECTOR], naive),
        lambda: Secret(VECTOR.text, naive),
        lambda: verify(signed("m1", BODY, [VECTOR], NOW), BODY, [VECTOR.text], naive),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="without a zone"):
            call()


def test_the_standard_s_own_vector_is_signed_as_it_says() -> None:
    assert signed(VECTOR_ID, VECTOR_BODY, [VECTOR], VECTOR_AT) == {
        "webhook-id": VECTOR_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": VECTOR_SIGNATURE,
    }


def test_the_zone_of_the_clock_does_not_change_the_signature() -> None:
    elsewhere = VECTOR_AT.astimezone(timezone(timedelta(hours=-7))) + timedelta(microseconds=999)
    headers = signed(VECTOR_ID, VECTOR_BODY, [VECTOR], elsewhere)
    assert headers == signed(VECTOR_ID, VECTOR_BODY, [VECTOR], VECTOR_AT)


def test_the_standard_s_own_library_accepts_what_we_sign() -> None:
    now = datetime.now(UTC)
    both = rotate([new_secret()], now)
    headers = signed("m1", BODY, both, now)
    for one in both:
        assert Webhook(one.text).verify(BODY, headers)["data"]["session_id"] == "ses_1"


def test_there_is_no_message_without_a_live_secret() -> None:
    with pytest.raises(ValueError, match="no live secret"):
        signed("m1", BODY, [dataclasses.replace(VECTOR, expires_at=NOW)], NOW)


@pytest.mark.parametrize("message_id", ["", "a.1", "a b", "a\r\nx-evil: 1", "a" * 65])
def test_a_message_id_that_could_be_read_in_two_ways_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="a message id is"):
        signed(message_id, BODY, [VECTOR], NOW)


def test_the_vector_is_verified_with_either_secret_and_headers_of_any_case() -> None:
    headers = {
        "Webhook-Id": VECTOR_ID,
        "WEBHOOK-TIMESTAMP": "1614265330",
        "webhook-signature": f"v1a,AAAA nonsense v1,AAAA {VECTOR_SIGNATURE}",
    }
    secrets = [new_secret().text, VECTOR.text]
    assert verify(headers, VECTOR_BODY, secrets, VECTOR_AT) == VECTOR_ID


@pytest.mark.parametrize("drift_s", [-300, 0, 300])
def test_a_clock_five_minutes_off_is_accepted(drift_s: int) -> None:
    headers = signed("m1", BODY, [VECTOR], VECTOR_AT)
    assert verify(headers, BODY, [VECTOR.text], VECTOR_AT + timedelta(seconds=drift_s))


@pytest.mark.parametrize("drift_s", [-301, 301, 86_400])
def test_a_message_too_old_or_too_new_is_refused(drift_s: int) -> None:
    headers = signed("m1", BODY, [VECTOR], VECTOR_AT)
    with pytest.raises(BadSignature, match="five minutes"):
        verify(headers, BODY, [VECTOR.text], VECTOR_AT + timedelta(seconds=drift_s))


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "m2"},
        {"webhook-id": ""},
        {"webhook-id": "m1\ud800"},
        {"webhook-timestamp": "1614265331"},
        {"webhook-timestamp": "+1614265330"},
        {"webhook-timestamp": "1614265330.0"},
        {"webhook-timestamp": "NaN"},
        {"webhook-timestamp": "९९"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1"},
        {"webhook-signature": VECTOR_SIGNATURE},
        {"webhook-signature": "é\ud800 ,,,"},
    ],
)
def test_a_changed_header_is_refused(change: dict[str, str]) -> None:
    headers = signed("m1", BODY, [VECTOR], VECTOR_AT) | change
    with pytest.raises(BadSignature):
        verify(headers, BODY, [VECTOR.text], VECTOR_AT)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_refused(name: str) -> None:
    headers = signed("m1", BODY, [VECTOR], VECTOR_AT)
    del headers[name]
    with pytest.raises(BadSignature):
        verify(headers, BODY, [VECTOR.text], VECTOR_AT)


def test_another_body_secret_or_none_is_refused() -> None:
    headers = signed("m1", BODY, [VECTOR], VECTOR_AT)
    for body, secrets in (
        (BODY + b" ", [VECTOR.text]),
        (b"zyxcanary\xff", [VECTOR.text]),
        (BODY, [new_secret().text]),
        (BODY, []),
    ):
        with pytest.raises(BadSignature) as caught:
            verify(headers, body, secrets, VECTOR_AT)
        assert caught.value.__context__ is None
        assert "zyxcanary" not in repr(caught.value)


def test_every_secret_is_compared_with_every_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(ours: bytes, theirs: bytes) -> bool:
        compared.append(theirs)
        return ours == theirs

    monkeypatch.setattr("service.webhooks.hmac.compare_digest", compare)
    headers = signed("m1", BODY, [VECTOR], VECTOR_AT)
    headers["webhook-signature"] += " v1,AAAA v1,BBBB"
    verify(headers, BODY, [VECTOR.text, new_secret().text], VECTOR_AT)
    assert len(compared) == 6  # also those after the one that fits: time tells nothing


Behaviour = Callable[[BaseHTTPRequestHandler], None]


class Receiver:
    """A web server on 127.0.0.1 that notes what it was sent and then does as it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.behave: Behaviour = say(204)
        self.over = threading.Event()
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                told.requests.append((self.path, dict(self.headers.items()), body))
                with contextlib.suppress(OSError):
                    told.behave(self)

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://hooks.example.com:{self.port}/in"

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def say(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    def answer(it: BaseHTTPRequestHandler) -> None:
        it.send_response(status)
        for name, value in headers.items():
            it.send_header(name.replace("_", "-"), value)
        it.send_header("content-length", str(len(body)))
        it.end_headers()
        it.wfile.write(body)

    return answer


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


GUARD = Guard(
    allow_http=True,
    networks=(ip_network("127.0.0.0/8"),),
    resolve=lambda host, port: ["127.0.0.1"],
)


def deliver(url: str, **more: Any) -> Attempt:
    given = {"message_id": "m1", "body": BODY, "secrets": [VECTOR], "now": NOW, "guard": GUARD}
    return attempt(url, **{**given, **more})


def test_a_delivery_is_one_signed_post_that_its_receiver_can_verify(receiver: Receiver) -> None:
    both = rotate([new_secret()], NOW)
    ended = deliver(f"{receiver.url}?a=b#part", secrets=both)
    assert (ended.outcome, ended.reason, ended.status) == ("delivered", "ok", 204)
    [(path, headers, body)] = receiver.requests
    assert (path, body) == ("/in?a=b", BODY)
    lower = {name.lower(): value for name, value in headers.items()}
    assert lower["content-type"] == "application/json"
    assert lower["host"] == f"hooks.example.com:{receiver.port}"
    assert [verify(headers, body, [one.text], NOW) for one in both] == ["m1", "m1"]


def test_a_second_attempt_has_the_same_id_and_its_own_time(receiver: Receiver) -> None:
    deliver(receiver.url)
    deliver(receiver.url, now=NOW + HOUR)
    first, second = ({k.lower(): v for k, v in one[1].items()} for one in receiver.requests)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 3600
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [
        (200, "delivered", "ok"),
        (202, "delivered", "ok"),
        (299, "delivered", "ok"),
        (304, "retry", "redirect"),
        (400, "retry", "status"),
        (404, "retry", "status"),
        (410, "disabled", "gone"),
        (429, "retry", "busy"),
        (500, "retry", "status"),
        (502, "retry", "busy"),
        (503, "retry", "busy"),
        (999, "retry", "status"),
    ],
)
def test_the_status_decides(receiver: Receiver, status: int, outcome: str, reason: str) -> None:
    receiver.behave = say(status)
    ended = deliver(receiver.url)
    assert (ended.outcome, ended.reason, ended.status) == (outcome, reason, status)


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    for status in (301, 302, 303, 307, 308):
        receiver.behave = say(status, location=f"http://hooks.example.com:{receiver.port}/other")
        assert deliver(receiver.url).outcome == "retry"
    assert [path for path, _, _ in receiver.requests] == ["/in"] * 5


@pytest.mark.parametrize(
    ("status", "retry_after", "wait"),
    [
        (429, "120", 120),
        (503, "0", 0),
        (429, format_datetime(NOW + HOUR, usegmt=False), 3600),
        (503, "Sun, 01 Mar 2026 12:05:00 GMT", 300),
        (503, "Sunday, 01-Mar-26 12:05:00 GMT", 300),
        (503, "Sun, 01 Mar 2026 11:00:00 GMT", 0),
        (429, "999999999", 86_400),
        (503, "Fri, 01 Jan 2100 00:00:00 GMT", 86_400),
        (429, "9" * 40, None),
        (429, "-5", None),
        (429, "1.5", None),
        (429, "soon", None),
        (429, "Sun, 99 Mar 2026 12:05:00 GMT", None),
        (500, "120", None),
        (200, "120", None),
    ],
)
def test_retry_after_is_honoured_where_it_has_a_meaning_and_bounded(
    receiver: Receiver, status: int, retry_after: str, wait: int | None
) -> None:
    receiver.behave = say(status, retry_after=retry_after)
    assert deliver(receiver.url).retry_after_s == wait


def test_a_receiver_that_hangs_is_left_at_the_deadline(receiver: Receiver) -> None:
    receiver.behave = lambda it: receiver.over.wait(30) and None
    started = time.monotonic()
    ended = deliver(receiver.url, deadline_s=0.3)
    assert (ended.outcome, ended.reason, ended.status) == ("retry", "timeout", None)
    assert ended.took_ms >= 250
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"HTTP/1.1 200 ", b"O"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_a_receiver_that_drips_is_left_at_the_deadline(
    receiver: Receiver, first: bytes, drop: bytes
) -> None:
    def drip(it: BaseHTTPRequestHandler) -> None:
        it.wfile.write(first)
        while not receiver.over.wait(0.02):
            it.wfile.write(drop)

    receiver.behave = drip
    started = time.monotonic()
    ended = deliver(receiver.url, deadline_s=0.5)
    assert (ended.outcome, ended.reason) == ("retry", "timeout")
    assert time.monotonic() - started < 10


def test_a_body_that_drips_does_not_hold_an_attempt_whose_status_is_known(
    receiver: Receiver,
) -> None:
    def drip(it: BaseHTTPRequestHandler) -> None:
        it.send_response(200)
        it.send_header("content-length", "1000000")
        it.end_headers()
        while not receiver.over.wait(0.02):
            it.wfile.write(b"x")

    receiver.behave = drip
    started = time.monotonic()
    assert deliver(receiver.url).outcome == "delivered"
    assert time.monotonic() - started < 10


def test_a_huge_answer_is_not_read(receiver: Receiver) -> None:
    n_sent, ended = 0, threading.Event()

    def flood(it: BaseHTTPRequestHandler) -> None:
        nonlocal n_sent
        it.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n")
        try:
            while not receiver.over.is_set():
                n_sent += it.connection.send(b"x" * 65_536)
        finally:
            ended.set()

    receiver.behave = flood
    assert deliver(receiver.url).outcome == "delivered"
    assert ended.wait(30)  # by our closing
    assert n_sent < 64 << 20  # what the kernel's buffers took in


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"x" * 1000 + b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
    ],
)
def test_headers_without_end_are_given_up_at_a_few_kilobytes(
    receiver: Receiver, first: bytes, more: bytes
) -> None:
    def flood(it: BaseHTTPRequestHandler) -> None:
        it.wfile.write(first)
        while not receiver.over.is_set():
            it.wfile.write(more)

    receiver.behave = flood
    ended = deliver(receiver.url)
    assert (ended.outcome, ended.reason) == ("retry", "protocol")


def test_a_receiver_that_hangs_up_before_its_status_is_tried_again(receiver: Receiver) -> None:
    receiver.behave = lambda it: it.connection.shutdown(socket.SHUT_RDWR)
    assert deliver(receiver.url).outcome == "retry"


def test_an_answer_that_breaks_off_in_its_body_is_an_answer(receiver: Receiver) -> None:
    def half(it: BaseHTTPRequestHandler) -> None:
        it.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        it.connection.shutdown(socket.SHUT_RDWR)

    receiver.behave = half
    assert deliver(receiver.url).outcome == "delivered"


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"\x16\x03\x01\x00\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_http_is_tried_again(receiver: Receiver, answer: bytes) -> None:
    receiver.behave = lambda it: it.wfile.write(answer) and None
    ended = deliver(receiver.url)
    assert (ended.outcome, ended.reason) == ("retry", "protocol")


def test_a_receiver_that_is_not_there_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ended = deliver(f"http://hooks.example.com:{port}/")
    assert (ended.outcome, ended.reason) == ("retry", "connection")


def test_a_receiver_without_tls_is_tried_again_over_tls_alone(receiver: Receiver) -> None:
    ended = deliver(receiver.url.replace("http://", "https://"))
    assert (ended.outcome, ended.reason) == ("retry", "tls")
    assert receiver.requests == []


def test_a_host_that_is_unknown_is_tried_again() -> None:
    guard = dataclasses.replace(GUARD, resolve=lambda host, port: [])
    ended = deliver("https://hooks.example.com", guard=guard)
    assert (ended.outcome, ended.reason) == ("retry", "webhook_host_unknown")


def test_what_the_guard_refuses_is_not_connected_to(receiver: Receiver) -> None:
    strict = dataclasses.replace(GUARD, networks=())
    secure = dataclasses.replace(GUARD, allow_http=False)
    for guard in (strict, secure):
        ended = deliver(receiver.url, guard=guard)
        assert (ended.outcome, ended.reason) == ("refused", "webhook_url_refused")
    assert receiver.requests == []


def test_a_name_that_turns_private_after_it_was_checked_is_never_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    connected: list[str] = []
    connect = socket.create_connection

    def rebind(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["93.184.215.14"] if len(asked) == 1 else ["127.0.0.1"]

    def note(address: tuple[str, int], *more: Any, **named: Any) -> socket.socket:
        connected.append(address[0])
        return connect(address, *more, **named)

    monkeypatch.setattr(socket, "create_connection", note)
    # What the system would say of the name, were it asked again.
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *a, **k: (
            pytest.fail("a name was resolved a second time")
            if a[0] == "hooks.example.com"
            else [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a[0], a[1]))]
        ),
    )
    guard = Guard(allow_http=True, resolve=rebind)
    first = deliver(receiver.url, guard=guard)
    assert (first.outcome, first.reason) == ("retry", "connection")  # tests reach no network
    assert (asked, connected) == (["hooks.example.com"], ["93.184.215.14"])
    second = deliver(receiver.url, guard=guard)
    assert second.outcome == "refused"
    assert connected == ["93.184.215.14"]
    assert receiver.requests == []


def test_a_proxy_of_the_environment_is_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Receiver()
    try:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert deliver(receiver.url).outcome == "delivered"
    finally:
        proxy.close()
    assert (len(receiver.requests), len(proxy.requests)) == (1, 0)


def test_an_attempt_comes_back_from_json_as_it_was(receiver: Receiver) -> None:
    receiver.behave = say(429, retry_after="7")
    ended = deliver(receiver.url)
    assert Attempt(**json.loads(json.dumps(dataclasses.asdict(ended)))) == ended


def test_no_log_no_repr_and_no_error_shows_secret_payload_path_or_answer(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.behave = say(500, b"zyxcanary")
    secret = new_secret()
    body = payload("session.completed", "zyxcanary", "done", NOW)
    ended = deliver(f"{receiver.url}/zyxcanary?k=zyxcanary", secrets=[secret], body=body)
    lost = deliver("https://hooks.example.com:1/zyxcanary", secrets=[secret], body=body)
    shown = f"{caplog.text} {ended!r} {lost!r} {secret!r} {secret} {rotate([secret], NOW)!r}"
    assert "zyxcanary" not in shown
    assert secret.text.removeprefix("whsec_") not in shown
    with pytest.raises(ValueError, match="no live") as caught:
        deliver(receiver.url, secrets=[dataclasses.replace(secret, expires_at=NOW)])
    assert secret.text not in "".join(traceback.format_exception_only(caught.value))


def test_waits_follow_the_standard_s_table_with_up_to_a_tenth_more_and_then_end() -> None:
    waits = [schedule("d1", n) for n in range(10)]
    assert DELAYS_S == (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    for wait, delay in zip(waits, DELAYS_S, strict=True):
        assert wait is not None
        assert delay <= wait <= 1.1 * delay
    assert schedule("d1", 10) is None
    assert schedule("d1", 1000, retry_after_s=5) is None


def test_jitter_hangs_on_delivery_and_number_alone() -> None:
    assert schedule("d1", 3) == schedule("d1", 3)
    spread = [schedule(f"d{n}", 3) for n in range(200)]
    assert len(set(spread)) == 200
    shares = [(wait or 0) / DELAYS_S[3] for wait in spread]
    assert min(shares) < 1.01
    assert max(shares) > 1.09
    assert (schedule("d1", 3) or 0) / DELAYS_S[3] != (schedule("d1", 4) or 0) / DELAYS_S[4]


@given(st.text(max_size=20), st.integers(0, 9), st.none() | st.integers(-5, 10**12))
@settings(max_examples=50, deadline=None)
def test_a_wait_is_never_shorter_than_asked_nor_longer_than_a_day_and_a_tenth(
    delivery_id: str, n_attempts: int, retry_after_s: int | None
) -> None:
    wait = schedule(delivery_id, n_attempts, retry_after_s=retry_after_s)
    assert wait is not None
    assert wait >= max(DELAYS_S[n_attempts], min(retry_after_s or 0, 86_400))
    assert wait <= 1.1 * 86_400


def test_a_negative_number_of_attempts_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="not negative"):
        schedule("d1", -1)
