"""Tries of jobs and attempts of deliveries: what is noted, what comes next, and in whose turn."""

import json
import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from dbos import DBOS

from service import jobs, store, tables
from service import work as own_work
from service.deeds import Actor
from service.jobs import Worker
from service.queues import Words
from service.root_keys import KeysAway, RootKeys, UnknownKey
from service.vault import Vault
from service.work import Work


@pytest.fixture
def work(place: Any) -> Work:
    return Work(place.house, place.records, place.queue)


@pytest.fixture
def actor(place: Any) -> Actor:
    found: Actor = place.tenant()
    return found


def breaks(monkeypatch: pytest.MonkeyPatch, work: Work, error: Exception) -> list[int]:
    """From now on no session can be scored; counts the tries."""
    tries: list[int] = []

    def broken(*_: Any) -> Any:
        tries.append(1)
        raise error

    monkeypatch.setattr(work, "_analyze", broken)
    return tries


# A job


def test_a_job_is_scored_once_and_then_there_is_nothing_to_do(
    place: Any, work: Work, actor: Actor
) -> None:
    session_id = place.hand_in(actor)
    job_id = place.job_of(session_id)["id"]
    assert [work.score("ten_a", job_id) for _ in range(3)] == ["done", "gone", "gone"]
    assert len(place.rows(tables.reports)) == 1
    assert place.row(tables.sessions, session_id)["status"] == "done"
    assert place.actions(actor) == ["session.created", "session.scored"]


def test_a_job_that_a_dead_worker_left_running_is_scored(
    place: Any, work: Work, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = place.job_of(place.hand_in(actor))["id"]

    class Killed(BaseException):
        """As nothing could catch it."""

    with monkeypatch.context() as patch:
        patch.setattr(work, "_analyze", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            work.score("ten_a", job_id)
    assert place.row(tables.jobs, job_id)["status"] == "running"
    assert work.score("ten_a", job_id) == "done"
    assert place.row(tables.jobs, job_id)["n_attempts"] == 2


def test_a_transcript_that_cannot_be_scored_fails_at_once(
    place: Any, work: Work, actor: Actor
) -> None:
    session_id = place.hand_in(actor, b"no transcript")
    job_id = place.job_of(session_id)["id"]
    assert work.score("ten_a", job_id) == "failed"
    row = place.row(tables.sessions, session_id)
    assert row["status"] == "failed"
    assert row["problem"]["code"] in ("malformed_transcript", "unknown_format")
    assert place.actions(actor)[-1] == "session.failed"


def test_an_unknown_checkpoint_fails_at_once_and_other_jobs_go_on(
    place: Any, work: Work, actor: Actor
) -> None:
    session_id = place.hand_in(actor, checkpoint="nothing-of-this-name")
    assert work.score("ten_a", place.job_of(session_id)["id"]) == "failed"
    assert place.row(tables.sessions, session_id)["problem"] == {"code": "unknown_checkpoint"}
    assert work.score("ten_a", place.job_of(place.hand_in(actor))["id"]) == "done"


def test_a_job_that_fails_through_us_is_tried_again_later_and_then_dead(
    place: Any, work: Work, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = place.hand_in(actor)
    job_id = place.job_of(session_id)["id"]
    tries = breaks(monkeypatch, work, ZeroDivisionError("canary"))
    most = place.house.settings.max_attempts
    for number in range(1, most):
        assert work.score("ten_a", job_id, number) == "again"
        job = place.row(tables.jobs, job_id)
        assert (job["status"], job["n_failed"]) == ("queued", number)
        assert place.row(tables.sessions, session_id)["status"] == "queued"
        put = {one["workflow_uuid"]: one for one in place.in_queue()}[f"{job_id}.{number + 1}"]
        assert put["status"] == "DELAYED"
        assert put["priority"] == job["turn"]
        wait_s = put["delay_until_epoch_ms"] / 1000 - time.time()
        assert wait_s == pytest.approx(own_work.RETRY_S[number - 1], abs=5)
    assert work.score("ten_a", job_id, most) == "dead"
    assert len(tries) == most
    job, session = place.row(tables.jobs, job_id), place.row(tables.sessions, session_id)
    assert (job["status"], session["status"]) == ("dead", "failed")
    assert job["problem"] == {"code": "too_many_attempts", "last": "zero_division_error"}
    assert place.actions(actor)[-1] == "job.died"
    assert "canary" not in json.dumps([job, session], default=str)
    assert len(place.in_queue()) == most


def test_a_try_that_is_made_twice_puts_the_next_one_in_once(
    place: Any, work: Work, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = place.job_of(place.hand_in(actor))["id"]
    tries = breaks(monkeypatch, work, ZeroDivisionError())
    assert [work.score("ten_a", job_id, 1) for _ in range(3)] == ["again", "gone", "gone"]
    assert len(tries) == 1
    assert len(place.in_queue()) == 2


def test_a_job_recovers_when_what_broke_it_has_passed(
    place: Any, work: Work, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = place.hand_in(actor)
    job_id = place.job_of(session_id)["id"]
    with monkeypatch.context() as patch:
        breaks(patch, work, MemoryError())
        assert work.score("ten_a", job_id, 1) == "again"
    assert work.score("ten_a", job_id, 2) == "done"
    assert place.row(tables.sessions, session_id)["problem"] is None


def test_a_job_that_kills_its_workers_does_not_go_on_for_ever(
    place: Any, work: Work, actor: Actor
) -> None:
    job_id = place.job_of(place.hand_in(actor))["id"]
    most = place.house.settings.max_attempts * own_work.DEATHS_PER_TRY
    with place.house.store.transaction("ten_a") as tx:
        tx.change(tables.jobs, job_id, status="running", n_attempts=most)
    assert work.score("ten_a", job_id) == "dead"
    assert place.row(tables.jobs, job_id)["problem"] == {"code": "worker_died"}


@pytest.mark.parametrize("end", ["erased", "cancelled", "revoked"])
def test_a_session_that_ends_while_it_is_scored_gets_no_report(
    place: Any, work: Work, actor: Actor, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    session_id = place.hand_in(actor)
    job_id = place.job_of(session_id)["id"]
    analyze = work._analyze

    def meanwhile(*given: Any) -> Any:
        if end == "erased":
            place.records.erase(actor, session_id)
        elif end == "cancelled":
            place.records.cancel(actor, session_id)
        else:
            place.records.revoke(actor, "con_1")
        return analyze(*given)

    monkeypatch.setattr(work, "_analyze", meanwhile)
    assert work.score("ten_a", job_id) == "gone"
    assert place.rows(tables.reports) == []
    assert place.row(tables.jobs, job_id)["status"] == "cancelled"


def test_a_session_that_ended_while_it_failed_is_not_tried_again(
    place: Any, work: Work, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = place.hand_in(actor)

    def meanwhile(*_: Any) -> Any:
        place.records.erase(actor, session_id)
        raise ZeroDivisionError

    monkeypatch.setattr(work, "_analyze", meanwhile)
    assert work.score("ten_a", place.job_of(session_id)["id"]) == "gone"
    assert place.row(tables.sessions, session_id)["status"] == "erased"
    assert len(place.in_queue()) == 1


def test_a_job_whose_text_is_gone_is_cancelled(place: Any, work: Work, actor: Actor) -> None:
    session_id = place.hand_in(actor)
    job_id = place.job_of(session_id)["id"]
    with place.house.store.transaction("ten_a") as tx:
        tx.change(tables.sessions, session_id, transcript=None)
    assert work.score("ten_a", job_id) == "gone"
    assert place.row(tables.jobs, job_id)["status"] == "cancelled"
    assert place.row(tables.sessions, session_id)["status"] == "cancelled"


def test_work_that_is_nowhere_is_gone(work: Work, actor: Actor) -> None:
    assert work.score("ten_a", "job_none") == "gone"
    assert work.deliver("ten_a", "msg_none") == "gone"


def test_another_tenants_job_is_not_scored(place: Any, work: Work, actor: Actor) -> None:
    place.tenant("ten_b")
    job_id = place.job_of(place.hand_in(actor))["id"]
    assert work.score("ten_b", job_id) == "gone"
    assert place.row(tables.jobs, job_id)["status"] == "queued"


def test_no_attempt_is_counted_while_the_keys_are_away(
    place: Any, work: Work, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = place.job_of(place.hand_in(actor))["id"]

    def away(*_: Any) -> Any:
        raise KeysAway("TimeoutError")

    with monkeypatch.context() as patch:
        patch.setattr(work.records, "read_for_scoring", away)
        assert [work.score("ten_a", job_id) for _ in range(10)] == ["away"] * 10
    assert place.row(tables.jobs, job_id)["n_attempts"] == 0
    assert work.score("ten_a", job_id) == "done"


def test_a_report_that_cannot_be_written_down_is_a_try_that_failed(
    place: Any, work: Work, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = place.job_of(place.hand_in(actor))["id"]
    monkeypatch.setattr(work.records, "finish", lambda *_: 1 / 0)
    assert work.score("ten_a", job_id) == "again"
    assert place.row(tables.jobs, job_id)["n_failed"] == 1


def test_a_detector_is_loaded_once_for_many_at_once(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detector import Detector

    loaded: list[object] = []
    monkeypatch.setattr(Detector, "load", lambda *_, **__: loaded.append(1) or object())
    threads = [threading.Thread(target=work.detector, args=("",)) for _ in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(loaded) == 1


# A delivery


@pytest.fixture
def settings(settings: Any) -> Any:
    """Webhooks may go to this machine."""
    here = (ip_network("127.0.0.0/8"),)
    return settings.model_copy(update={"webhook_http": True, "webhook_networks": here})


EVENTS = ["session.completed", "session.failed", "session.erased"]


def delivery(place: Any, work: Work, actor: Actor, url: str, data: bytes = b"") -> str:
    """The id of a message that waits."""
    place.records.register(actor, url, EVENTS)
    work.score("ten_a", place.job_of(place.hand_in(actor, data))["id"])
    (told,) = place.rows(tables.deliveries)
    return str(told["id"])


def test_a_message_arrives_once_under_its_own_id(
    place: Any, work: Work, actor: Actor, receiver: Any
) -> None:
    id_ = delivery(place, work, actor, receiver.url)
    assert [work.deliver("ten_a", id_) for _ in range(2)] == ["delivered", "gone"]
    assert receiver.ids == [id_]
    assert json.loads(receiver.came[0][1])["data"]["status"] == "done"
    told = place.row(tables.deliveries, id_)
    assert (told["status"], told["n_attempts"], told["last_reason"]) == ("delivered", 1, "ok")


def test_a_message_that_does_not_arrive_is_tried_ten_times_and_given_up(
    place: Any, work: Work, actor: Actor, receiver: Any
) -> None:
    receiver.status = 500
    id_ = delivery(place, work, actor, receiver.url)
    ends = [work.deliver("ten_a", id_, number) for number in range(1, 11)]
    assert ends == ["again"] * 9 + ["given_up"]
    assert receiver.ids == [id_] * 10
    assert place.row(tables.deliveries, id_)["status"] == "given_up"
    waiting = [one for one in place.in_queue() if one["status"] == "DELAYED"]
    assert [one["workflow_uuid"] for one in waiting] == [f"{id_}.{n}" for n in range(2, 11)]
    waits = [one["delay_until_epoch_ms"] / 1000 - time.time() for one in waiting]
    assert waits[0] < 60 < waits[1] < 3600 < waits[-1]


def test_an_attempt_that_is_made_twice_is_noted_once(
    place: Any, work: Work, actor: Actor, receiver: Any
) -> None:
    receiver.status = 500
    id_ = delivery(place, work, actor, receiver.url)
    assert [work.deliver("ten_a", id_, 1) for _ in range(3)] == ["again", "gone", "gone"]
    assert place.row(tables.deliveries, id_)["n_attempts"] == 1


def test_a_receiver_that_says_gone_gets_nothing_more(
    place: Any, work: Work, actor: Actor, receiver: Any
) -> None:
    receiver.status = 410
    id_ = delivery(place, work, actor, receiver.url)
    assert work.deliver("ten_a", id_) == "disabled"
    assert place.rows(tables.webhooks)[0]["disabled_at"] == place.house.clock()
    place.hand_in(actor)
    work.score("ten_a", place.rows(tables.jobs)[-1]["id"])
    assert len(place.rows(tables.deliveries)) == 1


def test_a_message_to_a_webhook_that_was_removed_ends(
    place: Any, work: Work, actor: Actor, receiver: Any
) -> None:
    id_ = delivery(place, work, actor, receiver.url)
    hook_id = place.rows(tables.webhooks)[0]["id"]
    with place.house.store.transaction("ten_a") as tx:
        tx.remove(tables.webhooks, hook_id)
    assert work.deliver("ten_a", id_) == "disabled"
    assert place.row(tables.deliveries, id_)["status"] == "disabled"
    assert receiver.ids == []


def test_what_the_guard_refuses_is_given_up_at_once(place: Any, work: Work, actor: Actor) -> None:
    id_ = delivery(place, work, actor, "http://169.254.169.254/latest")
    assert work.deliver("ten_a", id_) == "given_up"
    told = place.row(tables.deliveries, id_)
    assert (told["status"], told["last_reason"]) == ("given_up", "webhook_url_refused")


def test_an_attempt_that_breaks_in_our_own_code_is_counted(
    place: Any, work: Work, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = delivery(place, work, actor, "http://127.0.0.1:9/hook")
    monkeypatch.setattr(work.records, "secrets", lambda *_: 1 / 0)
    ends = [work.deliver("ten_a", id_, number) for number in range(1, 11)]
    assert ends == ["again"] * 9 + ["given_up"]
    assert place.row(tables.deliveries, id_)["last_reason"] == "internal"


def test_a_message_says_whose_fault_it_was(
    place: Any, work: Work, actor: Actor, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.records.register(actor, receiver.url, EVENTS)
    work.score("ten_a", place.job_of(place.hand_in(actor, b"no transcript"))["id"])
    breaks(monkeypatch, work, ZeroDivisionError())
    job_id = place.job_of(place.hand_in(actor))["id"]
    for number in range(1, place.house.settings.max_attempts + 1):
        work.score("ten_a", job_id, number)
    for told in place.rows(tables.deliveries):
        work.deliver("ten_a", told["id"])
    assert [json.loads(body)["data"]["status"] for _, body in receiver.came] == ["failed", "dead"]


# Turns


def test_a_newcomers_one_job_goes_before_what_another_has_left(
    place: Any, work: Work, actor: Actor
) -> None:
    first = [place.job_of(place.hand_in(actor))["id"] for _ in range(20)]
    for job_id in first[:3]:
        work.score("ten_a", job_id)
    own = place.job_of(place.hand_in(place.tenant("ten_b")))["id"]
    order = [one["workflow_uuid"] for one in place.in_queue()]
    left = [one for one in order if one not in first[:3]]
    assert left[0] == own
    assert left[1:] == first[3:]


def test_a_burst_of_a_newcomer_takes_turns_with_what_another_has_left(
    place: Any, work: Work, actor: Actor
) -> None:
    first = [place.job_of(place.hand_in(actor))["id"] for _ in range(8)]
    for job_id in first[:2]:
        work.score("ten_a", job_id)
    other = place.tenant("ten_b")
    for _ in range(4):
        place.hand_in(other)
    owners = {one["id"]: one["tenant_id"] for one in place.rows(tables.jobs)}
    order = [
        owners[one["workflow_uuid"]]
        for one in place.in_queue()
        if one["workflow_uuid"] not in first[:2]
    ]
    assert order[:2] in (["ten_b", "ten_a"], ["ten_b", "ten_b"], ["ten_a", "ten_b"])
    for n in range(1, 9):
        assert abs(order[:n].count("ten_b") - order[:n].count("ten_a")) <= 2, order
    assert order[-2:] == ["ten_a", "ten_a"]


# What DBOS keeps


def test_what_dbos_keeps_of_an_error_is_its_kind() -> None:
    words = Words()
    kept = words.serialize(ValueError("canary words"))
    assert "canary" not in kept
    assert "ValueError" in str(words.deserialize(kept))


def test_what_dbos_keeps_comes_back_as_it_was() -> None:
    words = Words()
    for value in (None, "done", 1, ["again", 1.5], {"args": ["ten_a"], "kwargs": {}}):
        assert words.deserialize(words.serialize(value)) == value


def test_a_message_that_is_sent_again_says_what_the_first_one_said(
    place: Any, work: Work, actor: Actor, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.records.register(actor, receiver.url, EVENTS)
    breaks(monkeypatch, work, ZeroDivisionError())
    session_id = place.hand_in(actor)
    job_id = place.job_of(session_id)["id"]
    for number in range(1, place.house.settings.max_attempts + 1):
        work.score("ten_a", job_id, number)
    (told,) = place.rows(tables.deliveries)
    assert work.deliver("ten_a", told["id"]) == "delivered"
    place.house.clock.move(hours=5)
    again = place.records.replay(actor, told["id"])
    # Even where the job was put in again meanwhile: the message is of what happened then.
    place.records.replay_job(actor, job_id)
    assert work.deliver("ten_a", again) == "delivered"
    third = place.records.replay(actor, again)
    assert work.deliver("ten_a", third) == "delivered"
    first, second, last = receiver.bodies
    assert first["data"] == {"session_id": session_id, "status": "dead"}
    assert second == last == first
    assert len({told["id"], again, third} & set(receiver.ids)) == 3


# A worker in this process


@contextmanager
def working(place: Any) -> Iterator[Worker]:
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


def states(place: Any) -> dict[str, str]:
    return {one["id"]: one["status"] for one in place.rows(tables.sessions)}


def test_a_worker_scores_delivers_and_leaves_no_word_in_the_queue(
    place: Any, actor: Actor, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_work, "RETRY_S", (0.1,))
    place.records.register(actor, receiver.url, EVENTS)
    with working(place) as worker:
        analyze, n = worker.work._analyze, 0

        def once_broken(*given: Any) -> Any:
            nonlocal n
            n += 1
            if n == 1:
                raise RuntimeError("canary words")
            return analyze(*given)

        monkeypatch.setattr(worker.work, "_analyze", once_broken)
        session_id = place.hand_in(actor)
        until(lambda: receiver.ids)
        until(lambda: {one["status"] for one in place.in_queue()} == {"SUCCESS"})
        assert states(place) == {session_id: "done"}
        assert n == 2
        assert len(place.rows(tables.reports)) == 1
        kept = list(DBOS.list_workflows())
        assert len(kept) == 3
        steps = [DBOS.list_workflow_steps(one.workflow_id) for one in kept]
        assert "canary" not in str([vars(one) for one in kept]) + str(steps)
        assert jobs.forget(timedelta(days=1)) == 0
        assert jobs.forget(-timedelta(days=1)) == 3
        assert place.in_queue() == []
    with place.house.store.system() as tx:
        assert tx.living_workers(1000) == frozenset()


def test_lost_work_is_put_in_again_a_silent_workers_and_our_own_that_never_began(
    place: Any, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "BEAT_S", 0.2)
    monkeypatch.setattr(jobs, "LEASE_S", 1.5)
    put, given_to = place.queue.score, "a-dead-worker"
    name = "dbos.workflow_status" if place.house.store.is_postgresql else "workflow_status"

    def as_if_taken(tx: store.Transaction, job_id: str, turn: int) -> None:
        put(tx, job_id, turn)
        tx.connection.exec_driver_sql(
            f"UPDATE {name} SET status = 'PENDING', executor_id = '{given_to}', "  # noqa: S608
            f"application_version = '1' WHERE workflow_uuid = '{job_id}'"
        )

    monkeypatch.setattr(place.queue, "score", as_if_taken)
    silent = place.hand_in(actor)
    assert [one["status"] for one in place.in_queue()] == ["PENDING"]
    with working(place) as worker:
        until(lambda: states(place)[silent] == "done")
        given_to = worker.name
        missed = place.hand_in(actor)
        until(lambda: states(place)[missed] == "done")
    assert len(place.rows(tables.reports)) == 2


def test_a_worker_with_another_root_key_does_not_start(place: Any, actor: Actor) -> None:
    other = RootKeys.from_value(b64encode(secrets.token_bytes(32)).decode())
    with pytest.raises(UnknownKey):
        Worker(replace(place.house, vault=Vault(other))).start()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that waits for nothing long."""
    monkeypatch.setattr(jobs, "AWAY_S", (0.05, 0.05))
    monkeypatch.setattr(jobs, "BEAT_S", 0.1)
    monkeypatch.setattr(jobs, "BURY_S", 0.3)


@pytest.mark.usefixtures("hurried")
def test_a_job_whose_end_cannot_be_noted_becomes_a_dead_letter_and_can_be_replayed(
    place: Any, actor: Actor, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.records.register(actor, receiver.url, EVENTS)
    with working(place) as worker:
        with monkeypatch.context() as broken:
            for name in ("_end", "_put_off"):
                broken.setattr(worker.work, name, lambda *_: 1 / 0)
            session_id = place.hand_in(actor)
            until(lambda: place.job_of(session_id)["status"] == "dead")
        job = place.job_of(session_id)
        assert job["problem"] == {"code": "stuck"}
        assert states(place) == {session_id: "failed"}
        until(lambda: receiver.bodies)
        assert [one["data"]["status"] for one in receiver.bodies] == ["dead"]
        place.records.replay_job(actor, job["id"])
        until(lambda: states(place) == {session_id: "done"})
    assert place.actions(actor).count("job.died") == 1


@pytest.mark.usefixtures("hurried")
def test_what_cannot_even_be_buried_is_buried_when_it_can_and_holds_up_no_other(
    place: Any, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with working(place) as worker:
        fail, tries = worker.work.records.fail, 0

        def twice_broken(*given: Any) -> None:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise RuntimeError
            fail(*given)

        monkeypatch.setattr(worker.work.records, "fail", twice_broken)
        with monkeypatch.context() as broken:
            for name in ("_end", "_put_off"):
                broken.setattr(worker.work, name, lambda *_: 1 / 0)
            stuck = place.hand_in(actor)
            until(lambda: tries)
        other = place.hand_in(actor)
        until(lambda: states(place)[other] == "done")
        until(lambda: states(place)[stuck] == "failed")
    assert tries == 3


@pytest.mark.usefixtures("hurried")
def test_a_message_whose_end_cannot_be_noted_is_given_up(
    place: Any, actor: Actor, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.records.register(actor, receiver.url, EVENTS)
    with working(place) as worker:
        monkeypatch.setattr(worker.work, "_note", lambda *_: 1 / 0)
        place.hand_in(actor)
        until(lambda: [one["status"] for one in place.rows(tables.deliveries)] == ["given_up"])
    (told,) = place.rows(tables.deliveries)
    assert told["last_reason"] == "stuck"
    assert len(set(receiver.ids)) == 1


@pytest.mark.usefixtures("hurried")
def test_work_that_waits_or_runs_is_not_buried(
    place: Any, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_work, "RETRY_S", (600.0,))
    go_on = threading.Event()
    with working(place) as worker:
        analyze, n = worker.work._analyze, 0

        def first_broken_then_slow(*given: Any) -> Any:
            nonlocal n
            n += 1
            if n == 1:
                raise RuntimeError
            go_on.wait(30)
            return analyze(*given)

        monkeypatch.setattr(worker.work, "_analyze", first_broken_then_slow)
        put_off = place.hand_in(actor)
        until(lambda: place.job_of(put_off)["n_failed"] == 1)
        running, waiting = place.hand_in(actor), place.hand_in(actor)
        until(lambda: states(place)[running] == "running")
        assert worker.bury() == 0
        assert states(place) == {put_off: "queued", running: "running", waiting: "queued"}
        go_on.set()
        until(lambda: states(place)[waiting] == "done")
