"""Deeds on both databases: whole or not at all, once, and with their place in the audit trail."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from service import tables
from service.audit_check import verify
from service.deeds import Actor
from service.errors import Conflict, Gone, Invalid, NotFound
from service.store import Transaction

REPORT: dict[str, Any] = {
    "session": {
        **dict.fromkeys(("withdrawal", "confrontation", "resolution", "contribution"), 1.0),
        "pillars": {},
    },
    "moments": [],
    "turns": [{"text": "canary words"}],
    "provenance": {"checkpoint": "rules", "checkpoint_sha256": "0" * 64, "codebook": "1"},
}


def finish(place: Any, actor: Actor, session_id: str) -> None:
    """As a worker does it."""
    job_id = place.job_of(session_id)["id"]
    with place.house.store.transaction(actor.tenant_id) as tx:
        row = tx.get(tables.sessions, session_id, lock=True)
        job = tx.get(tables.jobs, job_id, lock=True)
        place.records.finish(tx, job, row, REPORT, place.house.clock())


def die(place: Any, actor: Actor, session_id: str) -> str:
    job_id = str(place.job_of(session_id)["id"])
    with place.house.store.transaction(actor.tenant_id) as tx:
        row = tx.get(tables.sessions, session_id, lock=True)
        job = tx.get(tables.jobs, job_id, lock=True)
        problem = {"code": "too_many_attempts"}
        place.records.fail(tx, job, row, problem, "dead", place.house.clock())
    return job_id


def at_once(*deeds: Callable[[], Any]) -> list[Exception]:
    raised: list[Exception] = []
    begin = threading.Barrier(len(deeds))

    def run(deed: Callable[[], Any]) -> None:
        begin.wait(20)
        try:
            deed()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(deed,)) for deed in deeds]
    for one in threads:
        one.start()
    for one in threads:
        one.join(40)
        assert not one.is_alive(), "somebody still waits"
    return raised


# Taking in


def test_a_session_comes_with_its_job_its_place_in_the_queue_and_an_audit_entry(place: Any) -> None:
    actor = place.tenant()
    session_id = place.hand_in(actor)
    job = place.job_of(session_id)
    assert (job["status"], job["turn"], job["n_attempts"], job["n_failed"]) == ("queued", 1, 0, 0)
    assert [one["workflow_uuid"] for one in place.in_queue()] == [job["id"]]
    assert place.actions(actor) == ["session.created"]


@pytest.mark.parametrize("when", ["before it is in the queue", "after it"])
def test_what_fails_while_a_session_is_taken_in_leaves_nothing_of_it(
    place: Any, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    actor, put = place.tenant(), place.queue.score

    def broken(tx: Transaction, *given: Any) -> None:
        if when == "after it":
            put(tx, *given)
        raise ZeroDivisionError

    monkeypatch.setattr(place.queue, "score", broken)
    with pytest.raises(ZeroDivisionError):
        place.hand_in(actor, idempotency_key="k1", fingerprint="f1")
    kept = (tables.sessions, tables.jobs, tables.answers, tables.consents, tables.audit_entries)
    assert [place.rows(table) for table in kept] == [[], [], [], [], []]
    assert place.in_queue() == []
    monkeypatch.undo()
    place.hand_in(actor, idempotency_key="k1", fingerprint="f1")
    assert len(place.in_queue()) == 1


def test_a_connection_that_breaks_at_the_end_leaves_nothing(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor, put = place.tenant(), place.queue.score

    def broken(tx: Transaction, *given: Any) -> None:
        put(tx, *given)
        tx.connection.connection.driver_connection.close()

    monkeypatch.setattr(place.queue, "score", broken)
    with pytest.raises(Exception):  # noqa: B017, PT011 - the drivers say it each in their way
        place.hand_in(actor)
    monkeypatch.undo()
    assert place.rows(tables.sessions) == []
    assert place.in_queue() == []


def test_the_same_request_twice_is_one_session(place: Any) -> None:
    actor = place.tenant()
    first = place.hand_in(actor, idempotency_key="k1", fingerprint="f1")
    assert place.hand_in(actor, idempotency_key="k1", fingerprint="f1") == first
    assert len(place.rows(tables.sessions)) == len(place.in_queue()) == 1
    with pytest.raises(Invalid):
        place.hand_in(actor, idempotency_key="k1", fingerprint="f2")


def test_one_key_of_two_tenants_is_two_sessions(place: Any) -> None:
    for name in ("ten_a", "ten_b"):
        place.hand_in(place.tenant(name), idempotency_key="k1", fingerprint="f1")
    assert len(place.rows(tables.sessions)) == 2


def test_the_same_request_many_times_at_once_is_one_session(place: Any) -> None:
    actor = place.tenant()
    given = {"idempotency_key": "k1", "fingerprint": "f1"}
    found: list[str] = []
    assert at_once(*[lambda: found.append(place.hand_in(actor, **given))] * 5) == []
    assert len(found) == 5
    assert len(set(found)) == 1
    assert len(place.rows(tables.sessions)) == len(place.in_queue()) == 1


def test_many_sessions_at_once_each_have_a_turn_and_an_entry_of_their_own(place: Any) -> None:
    actors = [place.tenant("ten_a"), place.tenant("ten_b")]
    deeds = [lambda own=own: place.hand_in(own) for own in actors * 4]
    assert at_once(*deeds) == []
    turns: dict[str, list[int]] = {}
    for job in place.rows(tables.jobs):
        turns.setdefault(job["tenant_id"], []).append(job["turn"])
    assert {name: sorted(own) for name, own in turns.items()} == {
        "ten_a": [1, 2, 3, 4],
        "ten_b": [1, 2, 3, 4],
    }
    for own in actors:
        with place.house.store.transaction(own.tenant_id) as tx:
            assert verify(tx.audit_trail(), [place.house.audit_key]) == []


# Reports


def test_a_report_is_written_once_and_told_of_once(place: Any) -> None:
    actor = place.tenant()
    place.records.register(actor, "https://a.example/hook", ["session.completed"])
    place.records.register(actor, "https://b.example/hook", ["session.completed"])
    place.records.register(actor, "https://c.example/hook", ["session.erased"])
    session_id = place.hand_in(actor)
    for _ in range(3):
        finish(place, actor, session_id)
    assert len(place.rows(tables.reports)) == 1
    told = place.rows(tables.deliveries)
    assert len(told) == len({one["webhook_id"] for one in told}) == 2
    assert sorted(one["workflow_uuid"] for one in place.in_queue()) == sorted(
        [place.job_of(session_id)["id"], *(one["id"] for one in told)]
    )


def test_a_report_is_read_as_it_was_written(place: Any) -> None:
    actor = place.tenant()
    session_id = place.hand_in(actor)
    with pytest.raises(NotFound):
        place.records.report(actor, session_id)
    finish(place, actor, session_id)
    assert place.records.report(actor, session_id)[1] == REPORT
    assert place.actions(actor) == ["session.created", "session.scored", "report.read"]


def test_another_report_stands_beside_the_first(place: Any) -> None:
    actor = place.tenant()
    session_id = place.hand_in(actor)
    with pytest.raises(Conflict):
        place.records.rescore(actor, session_id, "rules")
    finish(place, actor, session_id)
    place.records.rescore(actor, session_id, "rules")
    finish(place, actor, session_id)
    assert len(place.records.with_reports(actor, session_id)[1]) == 2


def test_no_table_holds_a_word_that_was_said_or_who_it_was(place: Any) -> None:
    actor = place.tenant()
    data = b"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n<v Canary Speaker>canary words\n"
    session_id = place.hand_in(actor, data, client="canary client", options={"therapist": "canary"})
    finish(place, actor, session_id)
    with place.house.store.system() as tx:
        seen = sa.inspect(tx.connection)
        schemas = ["public", "dbos"] if place.house.store.is_postgresql else [None]
        names = [(schema, name) for schema in schemas for name in seen.get_table_names(schema)]
        assert len(names) > 20
        for schema, name in names:
            table = f"{schema}.{name}" if schema else name
            for row in tx.connection.exec_driver_sql(f"SELECT * FROM {table}"):  # noqa: S608
                for value in row:
                    shown = bytes(value) if isinstance(value, memoryview) else value
                    assert "canary" not in str(shown).lower(), table


# Ending


def test_erasing_stops_the_job_and_nothing_of_it_comes_after(place: Any) -> None:
    actor = place.tenant()
    session_id = place.hand_in(actor)
    place.records.erase(actor, session_id)
    assert place.job_of(session_id)["status"] == "cancelled"
    row = place.row(tables.sessions, session_id)
    assert (row["key_blob"], row["transcript"], row["options"]) == (None, None, None)
    place.records.erase(actor, session_id)
    assert place.actions(actor).count("session.erased") == 1
    with pytest.raises(Gone):
        place.records.report(actor, session_id)


def test_erasing_and_finishing_at_once_do_not_wait_for_each_other_for_ever(place: Any) -> None:
    actor = place.tenant()
    place.records.register(actor, "https://a.example/hook", ["session.erased"])
    ids = [place.hand_in(actor) for _ in range(4)]
    for one in ids:
        assert (
            at_once(
                lambda one=one: place.records.erase(actor, one),
                lambda one=one: finish_if_there(place, actor, one),
            )
            == []
        )
        assert place.row(tables.sessions, one)["status"] == "erased"
        assert all(r["sealed"] is None for r in place.rows(tables.reports))


def finish_if_there(place: Any, actor: Actor, session_id: str) -> None:
    job_id = place.job_of(session_id)["id"]
    with place.house.store.transaction(actor.tenant_id) as tx:
        row = tx.get(tables.sessions, session_id, lock=True)
        job = tx.get(tables.jobs, job_id, lock=True)
        if job["status"] == "queued":
            place.records.finish(tx, job, row, REPORT, place.house.clock())


def test_revoking_and_finishing_at_once_do_not_wait_for_each_other_for_ever(place: Any) -> None:
    actor = place.tenant()
    ids = [place.hand_in(actor) for _ in range(4)]
    deeds = [lambda one=one: finish_if_there(place, actor, one) for one in ids]
    assert at_once(lambda: place.records.revoke(actor, "con_1"), *deeds) == []
    assert all(one["transcript"] is None for one in place.rows(tables.sessions))
    assert {one["status"] for one in place.rows(tables.jobs)} <= {"cancelled", "done"}


def test_a_consent_that_is_taken_back_meanwhile_lets_no_session_in(place: Any) -> None:
    actor = place.tenant()
    place.hand_in(actor)
    raised = at_once(lambda: place.records.revoke(actor, "con_1"), lambda: place.hand_in(actor))
    assert len(raised) <= 1
    assert {one["status"] for one in place.rows(tables.jobs)} == {"cancelled"}


# Dead letters


def test_a_dead_job_is_put_in_again_once(place: Any) -> None:
    actor = place.tenant()
    session_id = place.hand_in(actor)
    job_id = die(place, actor, session_id)
    again = place.records.replay_job(actor, job_id)
    assert again != job_id
    assert place.row(tables.jobs, job_id)["status"] == "replayed"
    assert place.row(tables.jobs, again)["status"] == "queued"
    assert place.row(tables.sessions, session_id)["status"] == "queued"
    assert again in [one["workflow_uuid"] for one in place.in_queue()]
    with pytest.raises(Conflict):
        place.records.replay_job(actor, job_id)


def test_only_a_dead_job_is_put_in_again(place: Any) -> None:
    actor = place.tenant()
    session_id = place.hand_in(actor)
    finish(place, actor, session_id)
    with pytest.raises(Conflict):
        place.records.replay_job(actor, place.job_of(session_id)["id"])
    assert len(place.rows(tables.jobs)) == 1
