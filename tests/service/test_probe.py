"""A worker's own port: alive while its loops do something, its numbers, and nothing else."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from service import jobs, tables
from service.jobs import Worker
from service.observe import Metrics
from service.probe import Probe


@pytest.fixture
def ask() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=60) as client:
        yield client


def until(met: Callable[[], Any], seconds: float = 150.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(("is_alive", "status"), [(True, 200), (False, 503)])
def test_it_says_whether_the_worker_lives(ask: httpx.Client, is_alive: bool, status: int) -> None:
    probe = Probe("127.0.0.1", 0, lambda: is_alive, Metrics(dict))
    try:
        assert ask.get(f"http://127.0.0.1:{probe.port}/livez").status_code == status
        assert ask.get(f"http://127.0.0.1:{probe.port}/else").status_code == 404
        assert ask.post(f"http://127.0.0.1:{probe.port}/livez").status_code == 501
    finally:
        probe.close()


def test_who_asks_slowly_holds_up_nobody(ask: httpx.Client) -> None:
    probe = Probe("127.0.0.1", 0, lambda: True, Metrics(dict))
    try:
        with socket.create_connection(("127.0.0.1", probe.port)) as slow:
            slow.sendall(b"GET /livez")
            assert ask.get(f"http://127.0.0.1:{probe.port}/livez").text == "ok"
    finally:
        probe.close()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="Address already in use") as caught:
            Probe("127.0.0.1", port, lambda: True, Metrics(dict))
    assert caught.value.filename == f"127.0.0.1:{port}"


def test_a_worker_lives_while_its_loops_go_and_counts_what_it_does(
    place: Any, monkeypatch: pytest.MonkeyPatch, ask: httpx.Client
) -> None:
    monkeypatch.setattr(jobs, "BEAT_S", 0.1)
    monkeypatch.setattr(jobs, "STILL_S", 2.0)
    worker = Worker(place.house)
    probe = Probe("127.0.0.1", 0, lambda: worker.is_alive, worker.metrics)
    live = f"http://127.0.0.1:{probe.port}/livez"
    worker.start()
    try:
        session_id = place.hand_in(place.tenant())
        until(lambda: place.row(tables.sessions, session_id)["status"] == "done")
        time.sleep(2.5)
        assert ask.get(live).status_code == 200
        numbers = ask.get(f"http://127.0.0.1:{probe.port}/metrics").text
        assert 'rupture_jobs_ended_total{outcome="done"} 1.0' in numbers
        assert "rupture_turns_scored_total 4.0" in numbers
        assert 'rupture_jobs{state="done"} 1.0' in numbers
        assert session_id not in numbers
    finally:
        worker.stop(grace_s=5)
    until(lambda: ask.get(live).status_code == 503)  # its loops have stopped
    probe.close()


# One database is enough for what hangs on none.
on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@on_sqlite
def test_a_worker_whose_queue_is_looked_into_no_more_does_not_live(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "BEAT_S", 0.1)
    monkeypatch.setattr(jobs, "STILL_S", 20.0)
    worker = Worker(place.house)
    worker.start()
    try:
        assert worker.is_alive
        monkeypatch.setattr(worker, "_polled", {"scoring": time.monotonic() - 25})
        assert not worker.is_alive
    finally:
        worker.stop(grace_s=5)


@on_sqlite
def test_a_worker_that_scores_one_session_for_ever_does_not_live(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(place.house)
    assert worker.is_alive
    seen: list[bool] = []

    def hanging(*_: Any) -> Any:
        monkeypatch.setattr(jobs, "SCORED_S", 0.05)
        time.sleep(0.1)
        seen.append(worker.is_alive)
        raise ZeroDivisionError

    monkeypatch.setattr(worker.work, "_analyze", hanging)
    job_id = place.job_of(place.hand_in(place.tenant()))["id"]
    assert worker.work.score("ten_a", job_id) == "again"
    assert seen == [False]
    assert worker.is_alive
    worker.queue.close()
