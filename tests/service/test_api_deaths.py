"""An API that is killed while it takes a session in: the platform asks again, and has it once.

The API is a process of its own and is killed with signal 9 at a place in its code; the platform
sends the same again, under the same Idempotency-Key, to the one that is started in its place.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import commands, tables
from service.auth import make_tenant
from service.deeds import Actor
from service.jobs import Worker

"""Each test starts and kills whole processes; on a loaded machine that takes a minute."""

DRIVER = """
import os, signal, sys
from service import app, commands, limits, records, request_log, store

place = os.environ["DIE_AT"]


def around(kind, name, before=lambda *_: None, after=lambda *_: None):
    real = getattr(kind, name)

    def wrapped(*given, **more):
        before(*given)
        found = real(*given, **more)
        after(found)
        return found

    setattr(kind, name, wrapped)


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


if place == "in the middle of the upload":
    real = limits._Body.receive

    async def receive(self):
        message = await real(self)
        if message.get("more_body") or not message.get("body"):
            die()
        return message

    limits._Body.receive = receive
elif place == "its key taken":
    around(records.Records, "_answered", after=die)
elif place == "written, not committed":
    around(records.Records, "_add_job", after=die)
elif place == "committed, not answered":
    around(records.Records, "accept", after=die)
elif place == "answer under way":
    real = limits._Body.send

    async def send(self, message):
        if message["type"] == "http.response.body":
            die()
        await real(self, message)

    limits._Body.send = send
commands.serve(workers=0)
"""

PLACES = (
    "in the middle of the upload",
    "its key taken",
    "written, not committed",
    "committed, not answered",
    "answer under way",
)


class Receiver(ThreadingHTTPServer):
    """A platform's endpoint: keeps the ids that came."""

    daemon_threads = True

    def __init__(self) -> None:
        receiver, self.ids = self, list[str]()

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                receiver.ids.append(self.headers["webhook-id"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        super().__init__(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def settings(settings: Any) -> Any:
    """Webhooks may go to this machine."""
    here = (ip_network("127.0.0.0/8"),)
    return settings.model_copy(update={"webhook_http": True, "webhook_networks": here})


class Api:
    """A `rupture serve` without workers, which dies at a place; at "" it does not."""

    def __init__(self, settings: Any, folder: Path, where: str) -> None:
        environment = {
            **os.environ,
            "DIE_AT": where,
            "RUPTURE_HOME": str(settings.home),
            "RUPTURE_DATABASE": settings.database,
            "RUPTURE_CHECKPOINT": "rules",
            "RUPTURE_PORT": "0",
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(Path(commands.__file__).parents[1]), os.getenv("PYTHONPATH")))
            ),
        }
        driver, self._out = folder / "driver.py", folder / f"api {where}.out"
        driver.write_text(DRIVER)
        with self._out.open("wb") as out, (folder / f"api {where}.err").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(driver)], env=environment, stdout=out, stderr=err, cwd=folder
            )

    def url(self) -> str:
        """Where it listens, once it does."""
        found = until(lambda: re.search(r"Listening on (\S+)", self._out.read_text()))
        return str(found[1])


Start = Callable[[str], Api]


@pytest.fixture
def start(settings: Any, tmp_path: Path) -> Iterator[Start]:
    """Starts APIs on the database of the test; none outlives it."""
    begun: list[Api] = []

    def run(where: str) -> Api:
        begun.append(Api(settings, tmp_path, where))
        return begun[-1]

    yield run
    for one in begun:
        one.process.kill()
        one.process.wait()


def until(met: Callable[[], Any], seconds: float = 150.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
    return found


def slowly(body: bytes) -> Iterator[bytes]:
    """In two parts, so that there is a middle."""
    yield body[: len(body) // 2]
    time.sleep(0.3)
    yield body[len(body) // 2 :]


@pytest.mark.parametrize("where", PLACES)
def test_what_is_sent_again_after_a_kill_is_there_once(
    place: Any,
    start: Start,
    receiver: Receiver,
    make_session: Callable[..., dict[str, Any]],
    where: str,
) -> None:
    tenant_id, key = make_tenant(place.house, "first")
    place.records.register(Actor(tenant_id), receiver.url, ["session.completed"])
    body = json.dumps(make_session()).encode()
    head = {
        "Authorization": f"Bearer {key.value}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Idempotency-Key": "the-same-one",
    }
    with httpx.Client(headers=head, trust_env=False, timeout=90) as platform:

        def hand_in(at: str) -> httpx.Response:
            return platform.post(f"{at}/v1/sessions", content=slowly(body))

        killed = start(where)
        with pytest.raises(httpx.TransportError):
            hand_in(killed.url())
        assert killed.process.wait(50) == -signal.SIGKILL
        at = start("").url()
        answers = [hand_in(at), hand_in(at)]
    assert [one.status_code for one in answers] == [202, 202]
    (session,) = place.rows(tables.sessions)
    assert {one.json()["id"] for one in answers} == {session["id"]}

    worker = Worker(place.house)
    worker.start()
    try:
        until(lambda: {one["status"] for one in place.in_queue()} == {"SUCCESS"})
    finally:
        worker.stop(grace_s=5)
    assert [one["session_id"] for one in place.rows(tables.reports)] == [session["id"]]
    assert len(place.rows(tables.jobs)) == 1
    assert len(place.rows(tables.deliveries)) == 1
    assert len(receiver.ids) == 1
