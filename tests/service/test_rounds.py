"""Upkeep comes round by itself, at its time, to one of many; a fake clock, on both databases."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service import rounds, tables, tombstones, upkeep
from service.errors import Unavailable
from service.jobs import Worker


def turn(clinic: Any) -> rounds.Round | None:
    return rounds.turn(clinic.house, clinic.queue)


def with_settings(clinic: Any, **said: Any) -> Any:
    """The clinic under other settings."""
    settings = clinic.house.settings.model_copy(update=said)
    clinic.house = replace(clinic.house, settings=settings)
    return clinic


def test_the_first_round_is_due_at_once_and_then_every_hour(either_clinic: Any) -> None:
    assert turn(either_clinic) == rounds.Round(upkeep.Swept())
    assert turn(either_clinic) is None
    either_clinic.clock.move(minutes=59.9)
    assert turn(either_clinic) is None
    either_clinic.clock.move(minutes=0.1)
    assert turn(either_clinic) is not None
    assert turn(either_clinic) is None


def test_how_often_is_a_setting(clinic: Any) -> None:
    often = with_settings(clinic, upkeep_minutes=5)
    assert turn(often) is not None
    often.clock.move(minutes=5)
    assert turn(often) is not None
    never = with_settings(clinic, upkeep_minutes=0)
    never.clock.move(days=4)
    assert turn(never) is None


def test_a_round_erases_what_is_over_and_is_on_record(either_clinic: Any) -> None:
    session_id = either_clinic.add()
    turn(either_clinic)
    assert either_clinic.row(session_id)["transcript"] is not None
    either_clinic.clock.move(days=30)
    done = turn(either_clinic)
    assert done is not None
    assert done.swept.n_text == 1
    assert either_clinic.row(session_id)["transcript"] is None
    assert either_clinic.actions()[-2:] == ["session.expired", "retention.swept"]


def at_once(*deeds: Callable[[], Any]) -> list[Any]:
    """What each of them returned, all begun together."""
    gate, told = threading.Barrier(len(deeds)), []

    def run(deed: Callable[[], Any]) -> None:
        gate.wait()
        told.append(deed())

    threads = [threading.Thread(target=run, args=(deed,)) for deed in deeds]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return told


def test_of_many_at_once_one_has_the_round(either_clinic: Any) -> None:
    for _ in range(3):
        either_clinic.clock.move(hours=1)
        told = at_once(*[lambda: rounds.claim(either_clinic.house)] * 4)
        assert sorted(told) == [False, False, False, True]


def test_two_rounds_at_once_end_nothing_twice(either_clinic: Any) -> None:
    clinic = either_clinic
    clinic.records.register(clinic.actor, "https://example.org/hook", ["session.erased"])
    for _ in range(3):
        clinic.add()
    clinic.clock.move(days=365)
    done = at_once(*[lambda: rounds.run(clinic.house, clinic.clock(), queue=clinic.queue)] * 2)
    assert sum(one.swept.n_sessions for one in done) == 3
    assert clinic.actions().count("session.expired") == 3
    assert len(clinic.queue.delivered) == 3


def test_a_round_that_died_is_followed_by_one_that_does_what_is_left(
    either_clinic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = either_clinic.add()
    either_clinic.clock.move(days=30)

    def away(*_: Any, **__: Any) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "sweep", away)
        with pytest.raises(Unavailable):
            turn(either_clinic)
    assert rounds.last(either_clinic.house).ended_at is None
    assert turn(either_clinic) is None
    either_clinic.clock.move(hours=1)
    assert turn(either_clinic) is not None
    assert either_clinic.row(session_id)["transcript"] is None
    assert rounds.last(either_clinic.house).ended_at == either_clinic.clock()


def test_a_clock_that_goes_back_stops_no_rounds(clinic: Any) -> None:
    clinic.clock.move(days=300)
    assert turn(clinic) is not None
    clinic.clock.move(days=-300)
    assert turn(clinic) is not None
    clinic.clock.move(minutes=-30)
    assert turn(clinic) is None


def test_a_round_adds_the_tombstones_where_a_file_is_named(
    either_clinic: Any, tmp_path: Path
) -> None:
    path = tmp_path / "ended.ndjson"
    clinic = with_settings(either_clinic, tombstones=path)
    session_id = clinic.add()
    clinic.clock.move(days=365)
    done = turn(clinic)
    assert done is not None
    assert done.n_ended == 1
    (line,) = path.read_text("utf-8").splitlines()
    assert tombstones.Tombstone.from_line(line).id == session_id


def test_tombstones_that_cannot_be_written_leave_the_round_without_an_end(
    clinic: Any, tmp_path: Path
) -> None:
    session_id = clinic.add()
    with_settings(clinic, tombstones=tmp_path / "no-such-folder" / "ended.ndjson")
    clinic.clock.move(days=30)
    with pytest.raises(OSError, match="No such file"):
        turn(clinic)
    assert clinic.row(session_id)["transcript"] is None
    assert rounds.last(clinic.house).ended_at is None


# -- numbers -----------------------------------------------------------------------------------


def numbers(api: Any) -> dict[str, float]:
    text = api.as_(address="10.9.0.1").get("/metrics").text
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if "upkeep" in line]
    return {name: float(value) for name, value in lines if not name.startswith("#")}


def test_the_metrics_say_when_the_last_round_ended_and_what_it_left(api: Any) -> None:
    assert numbers(api) == {}
    ended = api.house.clock()
    rounds.run(api.house, ended, queue=api.queue)
    found = numbers(api)
    assert found["rupture_upkeep_ended_seconds"] == pytest.approx(ended.timestamp(), abs=1e-3)
    assert found["rupture_upkeep_left"] == 0
    with api.house.store.system() as tx:
        tx.connection.execute(tables.tenants.update().values(policy={"retention": 7}))
    rounds.run(api.house, ended, queue=api.queue)
    assert numbers(api)["rupture_upkeep_left"] == 1


def test_while_the_database_is_away_the_other_metrics_are_there(api: Any) -> None:
    with api.house.store.system() as tx:
        tx.connection.execute(sa.text("ALTER TABLE rounds RENAME TO away"))
    answer = api.as_(address="10.9.0.2").get("/metrics")
    assert answer.status_code == 200
    assert "rupture_jobs_readable 1.0" in answer.text


# -- a worker ----------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [60, 0])
def test_a_worker_keeps_up_unless_it_is_not_to(
    place: Any, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    monkeypatch.setattr(rounds, "LOOK_S", 0.05)
    actor = place.tenant()
    session_id = place.hand_in(actor)
    place.house.clock.move(days=30)
    settings = place.house.settings.model_copy(update={"upkeep_minutes": minutes})
    worker = Worker(replace(place.house, settings=settings))
    place.records.cancel(actor, session_id)
    worker.start(warm=False)
    try:
        until = time.monotonic() + (90 if minutes else 0.5)
        while time.monotonic() < until and place.row(tables.sessions, session_id)["transcript"]:
            time.sleep(0.02)
    finally:
        worker.stop(grace_s=5)
    is_kept = place.row(tables.sessions, session_id)["transcript"] is not None
    assert is_kept is (minutes == 0)
    ended_at = rounds.last(place.house).ended_at
    assert ended_at == (place.house.clock() if minutes else None)
