"""Workers that die, are asked to end, or lose their database: nothing is lost and nothing doubled.

The worker that dies is a process of its own and is killed with signal 9 at a place in its code; the
one that takes its work over runs here, or is another process.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from service import jobs, store, tables
from service import work as steps
from service.errors import Unavailable
from service.jobs import Worker

"""Each test starts and kills whole processes; on a loaded machine that takes a minute."""

DRIVER = """
import os, signal, sys, time
from service import commands, jobs, processes, webhooks
from service import work as steps
from service.records import Records

jobs.LEASE_S, jobs.BEAT_S, processes.GRACE_S = 2.0, 0.2, 2
steps.RETRY_S = jobs.AWAY_S = (0.2,)
place, slow_s = os.environ.get("DIE_AT", ""), float(os.environ.get("SLOW_S", "0"))
marker = os.environ.get("MARKER", "")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def around(kind, name, before=lambda: None, after=lambda: None):
    real = getattr(kind, name)

    def wrapped(*given, **more):
        before()
        found = real(*given, **more)
        after()
        return found

    setattr(kind, name, wrapped)


def begun():
    if marker:
        open(marker, "a").write("begun\\n")
    time.sleep(slow_s)


around(steps.Work, "_analyze", before=begun)
if place == "taken from the queue":
    around(steps.Work, "score", before=die)
elif place == "begun":
    around(steps.Work, "_analyze", before=die)
elif place == "scored":
    around(steps.Work, "_analyze", after=die)
elif place == "written, not committed":
    around(Records, "finish", after=die)
elif place == "committed":
    around(steps.Work, "_end", after=die)
elif place == "noted by the queue":
    around(jobs, "_patiently", after=die)
elif place == "failed, the next try committed":
    around(steps.Work, "_analyze", before=lambda: 1 / 0)
    around(steps.Work, "_put_off", after=die)
elif place == "message taken from the queue":
    around(steps.Work, "deliver", before=die)
elif place == "message sent":
    around(webhooks, "attempt", after=die)
elif place == "message noted":
    around(steps.Work, "_note", after=die)
commands.worker_beside_api()
"""

PLACES = (
    "taken from the queue",
    "begun",
    "scored",
    "written, not committed",
    "committed",
    "noted by the queue",
    "failed, the next try committed",
    "message taken from the queue",
    "message sent",
    "message noted",
)


@pytest.fixture
def settings(settings: Any) -> Any:
    """Webhooks may go to this machine; a job that is killed is not unlucky too soon."""
    here = (ip_network("127.0.0.0/8"),)
    return settings.model_copy(update={"webhook_http": True, "webhook_networks": here})


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(settings: Any, tmp_path: Path) -> Iterator[Start]:
    """Starts worker processes on the database of the test; none outlives it."""
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    begun: list[subprocess.Popen[bytes]] = []

    def run(*, plain: bool = False, **more: str) -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ,
            "RUPTURE_HOME": str(settings.home),
            "RUPTURE_DATABASE": settings.database,
            "RUPTURE_CHECKPOINT": "rules",
            # The house's clock stands still and the workers' own does not: for them it is later.
            "RUPTURE_TEXT_DAYS": "36500",
            "RUPTURE_REPORT_DAYS": "36500",
            "RUPTURE_WEBHOOK_HTTP": "true",
            "RUPTURE_WEBHOOK_NETWORKS": json.dumps(["127.0.0.0/8"]),
            "PYTHONPATH": str(Path(jobs.__file__).parents[1]),
            **more,
        }
        what = ["-m", "service.worker"] if plain else [str(driver)]
        log = (tmp_path / f"worker{len(begun)}.log").open("wb")
        begun.append(
            subprocess.Popen(
                [sys.executable, *what],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=tmp_path,
            )
        )
        log.close()
        return begun[-1]

    yield run
    for one in begun:
        one.kill()
        one.wait()
        assert one.stdin is not None
        one.stdin.close()


@contextmanager
def working(place: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker in this process."""
    monkeypatch.setattr(jobs, "LEASE_S", 2.0)
    monkeypatch.setattr(jobs, "BEAT_S", 0.2)
    monkeypatch.setattr(steps, "RETRY_S", (0.2,))
    worker = Worker(place.house)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(grace_s=5)


def until(met: Callable[[], Any], seconds: float = 150.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
    return found


def statuses(place: Any) -> Counter[str]:
    return Counter(one["status"] for one in place.rows(tables.sessions))


def is_quiet(place: Any) -> bool:
    """Whether nothing waits or runs."""
    return {one["status"] for one in place.in_queue()} <= {"SUCCESS"}


def expect_each_once(place: Any, n: int, n_hooks: int = 1) -> None:
    """Of every session one report, one entry on record, one message to each webhook."""
    sessions = {one["id"] for one in place.rows(tables.sessions)}
    assert statuses(place) == {"done": n}
    reports = Counter(one["session_id"] for one in place.rows(tables.reports))
    assert reports == Counter(sessions)
    told = Counter((one["webhook_id"], one["session_id"]) for one in place.rows(tables.deliveries))
    assert set(told.values()) <= {1}
    assert len(told) == n * n_hooks
    assert {one["status"] for one in place.rows(tables.deliveries)} <= {"delivered"}
    done = [one for one in place.rows(tables.audit_entries) if one["action"] == "session.scored"]
    assert Counter(one["target_id"] for one in done) == Counter(sessions)


@pytest.mark.parametrize("where", PLACES)
def test_a_worker_killed_at_any_place_is_made_up_for_by_another(
    place: Any,
    start: Start,
    receiver: Any,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    actor = place.tenant()
    place.records.register(actor, receiver.url, ["session.completed"])
    place.hand_in(actor)
    killed = start(DIE_AT=where)
    assert killed.wait(50) == -signal.SIGKILL
    with working(place, monkeypatch):
        until(lambda: is_quiet(place))
    expect_each_once(place, 1)
    assert len(set(receiver.ids)) == 1
    assert len(receiver.ids) == (2 if where == "message sent" else 1)


def test_a_worker_that_is_asked_to_end_ends_what_it_has_begun(
    place: Any, start: Start, tmp_path: Path
) -> None:
    actor, marker = place.tenant(), tmp_path / "begun"
    place.hand_in(actor)
    worker = start(SLOW_S="0.7", MARKER=str(marker))
    until(marker.exists)
    place.hand_in(actor)
    worker.terminate()
    assert worker.wait(30) == 0
    assert statuses(place) == {"done": 1, "queued": 1}
    assert place.rows(tables.workers) == []


def test_what_a_worker_could_not_end_in_its_grace_is_taken_over(
    place: Any, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    actor, marker = place.tenant(), tmp_path / "begun"
    place.hand_in(actor)
    worker = start(SLOW_S="600", MARKER=str(marker))
    until(marker.exists)
    worker.terminate()
    assert worker.wait(40) == 0
    assert statuses(place) == {"running": 1}
    with working(place, monkeypatch):
        until(lambda: is_quiet(place))
    expect_each_once(place, 1, n_hooks=0)


def test_a_worker_as_it_is_started_in_earnest_scores_and_ends(place: Any, start: Start) -> None:
    place.hand_in(place.tenant())
    worker = start(plain=True)
    until(lambda: statuses(place) == {"done": 1})
    worker.terminate()
    assert worker.wait(40) == 0


def test_work_that_older_code_put_in_is_done(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = place.queue._client

    def as_before(tx: store.Transaction, job_id: str, turn: int) -> None:
        options = {
            "workflow_name": "score_session",
            "queue_name": "scoring",
            "workflow_id": job_id,
            "app_version": "1",
        }
        client.enqueue_in_transaction(tx.connection, options, tx.tenant_id, job_id)

    with monkeypatch.context() as patch:
        patch.setattr(place.queue, "score", as_before)
        place.hand_in(place.tenant())
    with working(place, monkeypatch):
        until(lambda: is_quiet(place))
    expect_each_once(place, 1, n_hooks=0)


# SQLite is of one machine, and has no server that goes away.
on_postgresql = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


@on_postgresql
def test_two_workers_share_the_work(place: Any, start: Start) -> None:
    actor = place.tenant()
    for _ in range(12):
        place.hand_in(actor)
    start(SLOW_S="0.3")
    start(SLOW_S="0.3")
    until(lambda: is_quiet(place))
    expect_each_once(place, 12, n_hooks=0)
    shares = Counter(one["executor_id"] for one in place.in_queue())
    assert len(shares) == 2, shares


@on_postgresql
@pytest.mark.parametrize("numbers", [("3", "1"), ("1", "3")], ids=["3 first", "1 first"])
def test_each_worker_holds_its_own_concurrency_whoever_started_last(
    place: Any, start: Start, numbers: tuple[str, str]
) -> None:
    for n in numbers:
        start(SLOW_S="1.0", RUPTURE_CONCURRENCY=n)
    until(lambda: len(place.rows(tables.workers)) == 2)
    actor, most = place.tenant(), Counter[str]()
    for _ in range(12):
        place.hand_in(actor)

    def is_over() -> bool:
        queue = place.in_queue()
        for name, n in Counter(
            one["executor_id"] for one in queue if one["status"] == "PENDING"
        ).items():
            most[name] = max(most[name], n)
        return {one["status"] for one in queue} == {"SUCCESS"}

    until(is_over, 120)
    assert sorted(most.values()) == [1, 3]
    expect_each_once(place, 12, n_hooks=0)


@on_postgresql
def test_a_database_that_goes_away_and_comes_back_loses_nothing(
    place: Any, start: Start, receiver: Any, postgres: Any
) -> None:
    actor = place.tenant()
    place.records.register(actor, receiver.url, ["session.completed"])
    ended, n = threading.Event(), 0

    def platform() -> None:
        nonlocal n
        while not ended.is_set():
            given = {"idempotency_key": f"k{n}", "fingerprint": "f"}
            try:
                place.hand_in(actor, **given)
                n += 1
                time.sleep(0.1)
            except Unavailable:
                time.sleep(0.2)  # and the same again

    handing_in = threading.Thread(target=platform)
    handing_in.start()
    try:
        start(SLOW_S="0.1")
        until(lambda: statuses(place)["done"] >= 2)
        postgres.stop()
        time.sleep(3)
        postgres.start()
        seen = until(lambda: n_sessions(place))
        until(lambda: n_sessions(place) > seen + 3)
    finally:
        ended.set()
        handing_in.join()
    until(lambda: is_quiet(place))
    expect_each_once(place, n)
    assert len(set(receiver.ids)) == n


def n_sessions(place: Any) -> int:
    try:
        return len(place.rows(tables.sessions))
    except Unavailable:
        return 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_kills_at_random_under_load_lose_and_double_nothing(
    place: Any, start: Start, receiver: Any
) -> None:
    n_kills = int(os.environ.get("RUPTURE_KILLS", "20"))
    drawn, actors = random.Random(7), [place.tenant("ten_a"), place.tenant("ten_b")]
    for own in actors:
        place.records.register(own, receiver.url, ["session.completed"])
    n = 0
    for _ in range(n_kills):
        running = start(SLOW_S="0.1")
        until(lambda: place.rows(tables.workers))
        for _ in range(4):
            place.hand_in(drawn.choice(actors))
            n += 1
        time.sleep(drawn.uniform(0.0, 3.0))
        running.kill()
        running.wait()
    start()
    until(lambda: is_quiet(place), 600)
    expect_each_once(place, n)
    assert len(set(receiver.ids)) == n
