"""A service of one's own on this machine, and what is asked of it, for `service.bench`."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

LINES = (
    ("How has your week been?", "Fine. Nothing to tell, really."),
    ("You seem quieter than last time.", "I guess. I did not sleep much."),
    ("Did you try the breathing we spoke of?", "No. I do not see how that would help me."),
    ("I hear that it was not right for you. What would be?", "I don't know. Maybe to talk."),
    ("What happened at work after we spoke?", "My boss moved the meeting, and I let it go."),
)
"""Said in turn by two invented people."""

IDLE_S = 2.0
"""How long a connection may lie idle and be used again; uvicorn closes it after five seconds."""

METADATA = {
    "client": "bench",
    "roles": {"Dr. Rivera": "therapist", "Sam": "client"},
    "consent": {
        "id": "bench-consent",
        "scopes": {"analyse": True, "human_review": False},
        "basis": "written",
        "text_version": "1",
        "given_by": "client",
        "given_at": "2026-01-01T00:00:00Z",
        "jurisdiction": "DE",
    },
}

_WORKER = """
import sys, time
from service import commands
from service import work as steps

real = steps.Work._analyze
made = {}


def seemingly(self, checkpoint, data, options, attendance):
    if not made:
        made["report"] = real(self, "rules", data, options, attendance)
    time.sleep(float(sys.argv[1]))
    return made["report"]


steps.Work._analyze = seemingly
commands.worker_beside_api()
"""
"""A worker that waits as long as scoring would take, as if it had cores of its own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the service keeps its keys, and a key of the API."""

    home: str
    key: str = field(repr=False)
    checkpoint: str

    def environment(self, workers: int = 0) -> dict[str, str]:
        """What its processes are started with; nobody is told to ask less often."""
        return {
            **os.environ,
            "RUPTURE_HOME": self.home,
            "RUPTURE_PORT": "0",
            "RUPTURE_WORKERS": str(workers),
            "RUPTURE_CHECKPOINT": self.checkpoint,
            "RUPTURE_REQUESTS_PER_MINUTE": "100000000",
            "RUPTURE_BYTES_PER_MINUTE": "100000000000",
        }


@contextmanager
def a_place(checkpoint: str) -> Iterator[Place]:
    """A folder of its own, and a tenant in the database."""
    with TemporaryDirectory() as folder:
        place = Place(f"{folder}/home", "", checkpoint)
        made = subprocess.run(
            [sys.executable, "-m", "detector", "tenant", "create", "bench"],
            env=place.environment(),
            capture_output=True,
            text=True,
        )
        found = re.search(r"rupture_live_\w+", made.stdout)
        if not found:
            raise SystemExit("no tenant could be made; run `rupture check`")
        yield replace(place, key=found[0])


@contextmanager
def running(place: Place, workers: int) -> Iterator["Service"]:
    """`rupture serve` in a process of its own, with so many workers; ended afterwards."""
    out = Path(place.home).parent / "out"
    with out.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "detector", "serve"],
            env=place.environment(workers),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.DEVNULL,
        )
    try:
        while process.poll() is None:
            if url := re.search(r"Listening on http://(\S+)", out.read_text()):
                with Service(url[1], place.key, process.pid) as service:
                    yield service
                return
            time.sleep(0.05)
        raise SystemExit("rupture serve did not start; run `rupture check`")
    finally:
        process.terminate()
        process.wait()


@contextmanager
def seeming(place: Place, n: int, seconds: float) -> Iterator[None]:
    """So many workers that only wait so long for each session, as if each had its own cores."""
    started = [
        subprocess.Popen(  # noqa: S603 - our own Python
            [sys.executable, "-c", _WORKER, str(seconds)],
            env=place.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(n)
    ]
    try:
        yield
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.communicate()  # closes its standard input too


def transcript(n_turns: int) -> bytes:
    """An invented session of so many cues, as a platform hands it over in WebVTT."""
    said = [line for pair in LINES for line in pair]
    blocks = ["WEBVTT"]
    for index in range(n_turns):
        start, end = (
            f"{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}.000"
            for at in (index * 7, index * 7 + 6)
        )
        who = "Sam" if index % 2 else "Dr. Rivera"
        blocks.append(f"{start} --> {end}\n<v {who}>{said[index % len(said)]}")
    return "\n\n".join(blocks).encode() + b"\n"


class Service:
    """One connection to the service, which stays open; one thread's. `process` is its id."""

    def __init__(self, where: str, key: str, process: int) -> None:
        self.where, self.key, self.process = where, key, process
        self._asked_at = time.monotonic()
        self._open = http.client.HTTPConnection(where, timeout=120)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def again(self) -> "Service":
        """Another connection."""
        return Service(self.where, self.key, self.process)

    def ask(
        self, method: str, path: str, body: bytes | None = None, **fields: str
    ) -> tuple[int, bytes, float]:
        """Status, body, and the seconds that it took."""
        headers = {"Authorization": f"Bearer {self.key}"}
        headers |= {name.replace("_", "-"): value for name, value in fields.items()}
        if time.monotonic() - self._asked_at > IDLE_S:
            self._open.close()  # the other side may have; the next request opens it again
        begun = time.perf_counter()
        self._open.request(method, path, body, headers)
        answer = self._open.getresponse()
        content = answer.read()
        self._asked_at = time.monotonic()
        return answer.status, content, time.perf_counter() - begun

    def hand_in(self, data: bytes) -> tuple[str, float]:
        """A session's id, and the seconds until it was answered for."""
        fields = {"Content_Type": "text/vtt", "Rupture_Session": json.dumps(METADATA)}
        status, content, seconds = self.ask("POST", "/v1/sessions", data, **fields)
        if status != 202:
            raise SystemExit(f"a session was not taken in: {content.decode()}")
        return json.loads(content)["id"], seconds

    def n_waiting(self) -> int:
        """Sessions that have no report yet."""
        _, content, _ = self.ask("GET", "/metrics")
        states = re.findall(r'rupture_jobs\{state="(\w+)"\} ([\d.]+)', content.decode())
        return sum(int(float(n)) for state, n in states if state in ("queued", "running"))

    def until_done(self) -> None:
        """Waits until every session has its report."""
        while self.n_waiting():
            time.sleep(0.1)
