"""The client as a platform uses it: against a whole service, and against one that behaves badly."""

import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import webhooks
from service.client import (
    BadSignature,
    Client,
    Consent,
    NoReport,
    NotYet,
    Problem,
    Unreachable,
    verify_webhook,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "session.vtt"
SAID = "breathing log"
KEY = "rupture_live_of_a_test"
CONSENT = Consent(
    id="consent-1",
    analyse=True,
    human_review=True,
    jurisdiction="DE",
    given_at=datetime(2026, 1, 1, tzinfo=UTC),
    basis="written",
    given_by="client",
    text_version="1",
)


# -- against a whole service -------------------------------------------------------------------


@pytest.fixture
def client(served: Any) -> Iterator[Client]:
    with Client(served.url, served.key) as one:
        yield one


@pytest.fixture(scope="session")
def scored(served: Any) -> str:
    """A session that was handed in, waited for and scored."""
    with Client(served.url, served.key) as client:
        taken = client.upload(
            EXAMPLE,
            client="c-17",
            consent=CONSENT,
            number=1,
            day=date(2026, 2, 1),
            modality="video",
        )
        assert taken.status in ("queued", "running", "done")
        assert client.wait(taken.id, timeout_s=50).status == "done"
        return taken.id


def test_a_scored_session_has_a_report_with_what_was_said(client: Client, scored: str) -> None:
    assert SAID in EXAMPLE.read_text()
    report = client.report(scored)
    assert any(SAID in turn.text for turn in report.turns)
    assert SAID not in repr(report)
    assert client.session(scored).reports[0]["checkpoint"] == report.provenance.checkpoint


def test_moments_and_segments_are_those_of_the_report(client: Client, scored: str) -> None:
    report = client.report(scored)
    assert client.moments(scored) == report.moments
    assert client.segments(scored) == report.segments
    assert report.moments


def test_the_report_comes_as_page_table_and_fhir(client: Client, scored: str) -> None:
    assert client.page(scored).lstrip().lower().startswith("<!doctype html")
    header, *rows = client.table(scored).splitlines()
    assert "turn_index" in header
    assert len(rows) >= len(client.report(scored).turns)
    bundle = client.fhir(scored)
    assert bundle["resourceType"] == "Bundle"
    assert SAID not in json.dumps(bundle)


def test_the_same_key_gives_the_same_session_and_another_call_another(client: Client) -> None:
    first = client.upload(EXAMPLE, client="c-2", consent=CONSENT, idempotency_key="once-1")
    again = client.upload(EXAMPLE, client="c-2", consent=CONSENT, idempotency_key="once-1")
    other = client.upload(EXAMPLE, client="c-2", consent=CONSENT)
    assert first.id == again.id != other.id


def test_a_key_that_was_used_for_something_else_is_a_problem(client: Client) -> None:
    client.upload(EXAMPLE, client="c-3", consent=CONSENT, idempotency_key="once-2")
    with pytest.raises(Problem) as caught:
        client.upload(EXAMPLE, client="c-4", consent=CONSENT, idempotency_key="once-2")
    assert (caught.value.status, caught.value.code) == (422, "idempotency_key_reused")


def test_the_list_goes_over_all_pages_newest_first(client: Client, scored: str) -> None:
    for n in range(3):
        client.upload(EXAMPLE, client=f"c-page-{n}", consent=CONSENT)
    by_two = [one.id for one in client.sessions(page=2)]
    assert by_two == [one.id for one in client.sessions(page=200)]
    assert by_two == sorted(set(by_two), reverse=True)
    assert scored in by_two
    assert all(one.status == "done" for one in client.sessions(status="done"))


def test_a_trajectory_has_the_clients_sessions(client: Client, scored: str) -> None:
    found = client.trajectory("c-17")
    assert [one["session_id"] for one in found.points] == [scored]
    assert found.n_scored == 1


def test_what_was_erased_is_gone_and_erasing_again_is_no_error(client: Client) -> None:
    taken = client.upload(EXAMPLE, client="c-5", consent=CONSENT)
    client.erase(taken.id)
    client.erase(taken.id)
    assert client.session(taken.id).status == "erased"
    with pytest.raises(Problem) as caught:
        client.report(taken.id)
    assert caught.value.status == 410
    with pytest.raises(NoReport) as ended:
        client.wait(taken.id, timeout_s=50)
    assert ended.value.session.status == "erased"


def test_a_consent_that_is_taken_back_reaches_its_sessions(client: Client) -> None:
    own = Consent(**{**{n: getattr(CONSENT, n) for n in CONSENT.__slots__}, "id": "consent-2"})
    client.upload(EXAMPLE, client="c-6", consent=own)
    assert client.revoke_consent("consent-2") == 1
    assert client.revoke_consent("consent-2") == 0


def test_a_policy_is_read_and_chosen_and_never_over_somebody_elses_choice(client: Client) -> None:
    before = client.policy()
    after = client.set_policy(before, text_days=7)
    assert after.in_force["text_days"] == client.policy().in_force["text_days"] == 7
    assert after.in_force["report_days"] == before.in_force["report_days"]
    with pytest.raises(Problem) as refused:
        client.set_policy(before, text_days=1)
    assert refused.value.status == 412
    assert client.set_policy(after).in_force == before.in_force


def test_a_problem_says_where_and_quotes_nothing(client: Client) -> None:
    with pytest.raises(Problem) as caught:
        client.upload(b"A: He said swordfish.\nB: Yes.\n", client="", consent=CONSENT)
    problem = caught.value
    assert problem.status == 422
    assert problem.request_id
    assert any("client" in one.pointer for one in problem.errors)
    assert "swordfish" not in repr(problem) + str(problem)


def test_a_key_that_nobody_knows_is_a_problem_and_in_no_error(served: Any) -> None:
    with Client(served.url, KEY) as stranger, pytest.raises(Problem) as caught:
        next(stranger.sessions())
    assert caught.value.status == 401
    assert KEY not in repr(stranger) + repr(caught.value) + str(caught.value)


def test_a_receiver_gets_one_signed_message_with_ids_and_a_status(
    client: Client, receiver: Any
) -> None:
    hook = client.register_webhook(receiver.url, ["session.completed"])
    assert hook.secret is not None
    assert hook.secret not in repr(hook)
    taken = client.upload(EXAMPLE, client="c-7", consent=CONSENT)
    client.wait(taken.id, timeout_s=50)
    # Other tests' sessions may end meanwhile, and this webhook is told of them too.
    mine = {"session_id": taken.id, "status": "delivered"}
    while not any(mine.items() <= one.items() for one in client.deliveries(hook.id)):
        time.sleep(0.05)
    client.remove_webhook(hook.id)

    [(headers, body)] = [one for one in receiver.came if taken.id.encode() in one[1]]
    event = verify_webhook(headers, body, [hook.secret])
    assert (event.type, event.session_id, event.status) == ("session.completed", taken.id, "done")
    assert set(json.loads(body)["data"]) == {"session_id", "status"}
    with pytest.raises(BadSignature):
        verify_webhook(headers, body.replace(b"done", b"dead"), [hook.secret])


def test_a_rotated_secret_and_the_old_one_both_hold(client: Client, receiver: Any) -> None:
    hook = client.register_webhook(receiver.url, ["session.erased"])
    newer = client.rotate_webhook(hook.id)
    assert newer.secret != hook.secret
    assert [one.secret for one in client.webhooks() if one.id == hook.id] == [None]
    taken = client.upload(EXAMPLE, client="c-8", consent=CONSENT)
    client.erase(taken.id)
    while not receiver.came:
        time.sleep(0.05)
    headers, body = receiver.came[0]
    for secret in (hook.secret, newer.secret):
        assert secret is not None
        assert verify_webhook(headers, body, [secret]).status == "erased"
    client.remove_webhook(hook.id)


# -- against one that behaves badly ------------------------------------------------------------


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


Answers = Callable[[httpx.Request], httpx.Response]


def against(answer: Answers, clock: Clock | None = None, **more: Any) -> Client:
    clock = clock or Clock()
    return Client(
        "https://service.example",
        KEY,
        transport=httpx.MockTransport(answer),
        clock=lambda: clock.now,
        sleep=clock.sleep,
        **more,
    )


SESSION = {
    "id": "ses_1",
    "status": "queued",
    "number": None,
    "day": None,
    "attendance": None,
    "modality": None,
    "sensitivity": "standard",
    "n_turns": 2,
    "problem": None,
    "created_at": "2026-03-01T00:00:00Z",
    "updated_at": "2026-03-01T00:00:00Z",
    "a_newer_field": 1,
}


def busy(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, json={"code": "busy", "detail": "Not now."})


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_upload_is_sent_again_under_one_key_after_the_time_asked_for(status: int) -> None:
    clock, keys = Clock(), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        is_last = len(keys) == 3
        return (
            httpx.Response(202, json=SESSION) if is_last else busy(status, **{"Retry-After": "7"})
        )

    taken = against(answer, clock).upload(b"A: a\nB: b\n", client="c", consent=CONSENT)
    assert taken.id == "ses_1"
    assert clock.slept == [7.0, 7.0]
    assert len(set(keys)) == 1


def test_a_connection_that_breaks_is_tried_again_and_every_wait_is_bounded() -> None:
    clock, n = Clock(), 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal n
        n += 1
        if n < 6:
            raise httpx.ReadError("it broke")
        return httpx.Response(202, json=SESSION)

    against(answer, clock).upload(b"A: a\nB: b\n", client="c", consent=CONSENT)
    assert len(clock.slept) == 5
    assert all(0.25 * 2**k <= one <= 0.5 * 2**k for k, one in enumerate(clock.slept))


def test_patience_ends_with_what_was_said_last() -> None:
    clock = Clock()
    client = against(lambda _: busy(503, **{"Retry-After": "20"}), clock, patience_s=50)
    with pytest.raises(Problem) as caught:
        client.session("ses_1")
    assert caught.value.retry_after_s == 20
    assert clock.now <= 50


def test_a_wait_that_is_longer_than_the_patience_is_not_begun() -> None:
    clock = Clock()
    with pytest.raises(Problem):
        against(lambda _: busy(429, **{"Retry-After": "86400"}), clock).session("ses_1")
    assert clock.slept == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 415, 422, 500])
def test_what_no_other_try_helps_is_told_at_once(status: int) -> None:
    clock = Clock()
    with pytest.raises(Problem) as caught:
        against(lambda _: busy(status), clock).session("ses_1")
    assert (caught.value.status, caught.value.code, clock.slept) == (status, "busy", [])


def test_a_webhook_is_not_registered_twice_by_an_answer_that_broke_off() -> None:
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        raise httpx.ReadTimeout("nothing came")

    with pytest.raises(Unreachable) as caught:
        against(answer).register_webhook("https://there.example/", ["session.completed"])
    assert asked == 1
    assert caught.value.kind == "ReadTimeout"


def test_no_error_holds_the_transcript_or_the_key() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request)

    client = against(answer, patience_s=1)
    with pytest.raises(Unreachable) as caught:
        client.upload(b"A: swordfish\n", client="somebody", consent=CONSENT)
    error: BaseException | None = caught.value
    while error is not None:
        assert not hasattr(error, "request")
        assert "swordfish" not in repr(error)
        error = error.__cause__ or error.__context__
    assert KEY not in repr(client)


def test_a_name_of_a_file_is_not_sent(tmp_path: Path) -> None:
    bodies = list[bytes]()

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        return httpx.Response(202, json=SESSION)

    (tmp_path / "Jane Doe.vtt").write_bytes(b"WEBVTT\n")
    against(answer).upload(tmp_path / "Jane Doe.vtt", client="c", consent=CONSENT)
    assert b"WEBVTT" in bodies[0]
    assert b"Jane" not in bodies[0]


# -- waiting -----------------------------------------------------------------------------------


def in_turn(*statuses: str) -> Answers:
    left = list(statuses)

    def answer(_: httpx.Request) -> httpx.Response:
        status = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(200, json={**SESSION, "status": status})

    return answer


def test_waiting_ends_when_the_report_is_there() -> None:
    found = against(in_turn("queued", "running", "done")).wait("ses_1")
    assert found.status == "done"


@pytest.mark.parametrize("status", ["failed", "cancelled", "erased"])
def test_waiting_ends_when_there_will_be_no_report(status: str) -> None:
    clock = Clock()
    with pytest.raises(NoReport) as caught:
        against(in_turn("queued", status), clock).wait("ses_1", timeout_s=1e9)
    assert caught.value.session.status == status


def test_waiting_never_takes_longer_than_it_may() -> None:
    clock = Clock()
    with pytest.raises(NotYet) as caught:
        against(in_turn("queued"), clock).wait("ses_1", timeout_s=30)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.last == "queued"
    assert 20 <= clock.now <= 30


def test_waiting_outlasts_a_service_that_is_away_for_a_while() -> None:
    clock, n = Clock(), 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal n
        n += 1
        if 1 < n < 6:
            raise httpx.ConnectError("away")
        return httpx.Response(200, json={**SESSION, "status": "done" if n > 6 else "running"})

    assert against(answer, clock).wait("ses_1", timeout_s=60).status == "done"


def test_waiting_for_one_that_is_not_there_is_a_problem() -> None:
    with pytest.raises(Problem):
        against(lambda _: busy(404)).wait("ses_1")


class _Dripping(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        for _ in range(2000):
            try:
                self.wfile.write(b" ")
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.02)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_an_answer_that_drips_does_not_outlast_the_deadline() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Dripping)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    client = Client(f"http://127.0.0.1:{server.server_port}", KEY)
    began = time.monotonic()
    with client, pytest.raises(Unreachable):
        client.wait("ses_1", timeout_s=0.3)
    assert time.monotonic() - began < 20  # its body would take 40
    server.shutdown()
    server.server_close()


# -- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["service.example", "ftp://service.example", "https://me:word@service.example", "https://"],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="https://HOST"):
        Client(url, KEY)


def test_a_key_goes_out_unencrypted_to_this_machine_alone_unless_that_is_said() -> None:
    with pytest.raises(ValueError, match="unencrypted"):
        Client("http://service.example", KEY)
    for url in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"):
        Client(url, KEY).close()
    Client("http://service.example", KEY, allow_http=True).close()


def test_a_redirect_is_not_followed_with_the_key() -> None:
    there = {"location": "https://elsewhere.example/"}
    with pytest.raises(Problem) as caught:
        against(lambda _: httpx.Response(307, headers=there)).session("ses_1")
    assert caught.value.status == 307


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"x"', b"{}", b'{"errors": 5}', b"\xff"])
def test_a_refusal_without_a_problem_document_is_a_problem(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        against(lambda _: httpx.Response(403, content=body)).session("ses_1")
    assert (caught.value.code, caught.value.request_id) == ("http_403", "")


def test_a_page_where_json_was_expected_is_no_answer() -> None:
    with pytest.raises(Unreachable):
        against(lambda _: httpx.Response(200, content=b"<html>hello")).session("ses_1")


def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    paths = list[bytes]()

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(200, json=SESSION)

    against(answer).session("../keys?x=1#y")
    assert paths == [b"/v1/sessions/..%2Fkeys%3Fx%3D1%23y"]


def test_a_consent_without_a_zone_is_refused() -> None:
    given = {n: getattr(CONSENT, n) for n in CONSENT.__slots__}
    with pytest.raises(ValueError, match="zone"):
        Consent(**{**given, "given_at": datetime(2026, 1, 1)}).to_dict()


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b"no json", b'{"timestamp": "2026-03-01T00:00:00Z", "data": 5}']
)
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    now, secret = datetime(2026, 3, 1, tzinfo=UTC), webhooks.new_secret()
    headers = webhooks.signed("msg_1", body, [secret], now)
    with pytest.raises(BadSignature):
        verify_webhook(headers, body, [secret.text], now=now)


def test_the_client_needs_no_part_of_the_server() -> None:
    heavy = ("fastapi", "starlette", "sqlalchemy", "dbos", "pydantic", "numpy", "spacy", "alembic")
    code = f"import sys, service.client; print([n for n in {heavy!r} if n in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
