"""What ends, ends everywhere it can be made to; a fake clock, real files, the real vault."""

import json
import sqlite3
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from detector import Report
from service import audit, endings, rotation, store, tables, upkeep
from service.audit_check import verify
from service.errors import Gone, NotPermitted
from service.records import summary_of
from service.root_keys import RootKeys, create_key_file
from service.vault import Erased, Kind, Vault, WrongKey

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CANARY = "zyxcanary"


def sweep(clinic: Any, days: float, **more: Any) -> upkeep.Swept:
    """A sweep so many days after everything came in."""
    return upkeep.sweep(clinic.house, NOW + timedelta(days=days), queue=clinic.queue, **more)


def test_nothing_ends_before_its_day(clinic: Any) -> None:
    session_id = clinic.add()
    n = len(clinic.trail())
    assert sweep(clinic, 29.999) == upkeep.Swept()
    assert clinic.row(session_id)["transcript"] is not None
    assert len(clinic.trail()) == n


def test_after_the_texts_days_the_scores_are_left_and_no_word(either_clinic: Any) -> None:
    session_id = either_clinic.add()
    before = either_clinic.row(session_id)
    assert sweep(either_clinic, 30).n_text == 1
    row = either_clinic.row(session_id)
    assert row["transcript"] is row["options"] is row["transcript_sha256"] is None
    assert row["text_erased_at"] == NOW + timedelta(days=30)
    assert row["erased_at"] is None
    assert row["key_blob"] != before["key_blob"]
    kept, content = either_clinic.records.report(either_clinic.actor, session_id)
    said = json.dumps(content)
    assert CANARY not in said
    assert "Umbra" not in said
    assert "Lux" not in said
    assert kept["summary"] == summary_of(either_clinic.report)
    assert content["session"] == either_clinic.report["session"]
    assert [t["scores"] for t in content["turns"]] == [
        t["scores"] for t in either_clinic.report["turns"]
    ]


def test_a_report_without_words_is_a_report_still(canary_report: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(sys.modules["detector"].__file__ or "").with_name("report.schema.json")
    bare = endings.without_words(canary_report)
    jsonschema.validate(bare, json.loads(schema.read_text("utf-8")))
    assert Report.from_dict(bare).session == Report.from_dict(canary_report).session
    assert json.dumps(canary_report).count(CANARY) > 3
    assert CANARY not in json.dumps(bare)


def test_evidence_that_is_a_word_goes_with_the_words(canary_report: dict[str, Any]) -> None:
    turn = canary_report["turns"][0]
    given = ("word.hello", "said.opens_no", "said.question", "hit.denial", "network.withdrawal")
    reasons = [{"label": "rupture", "feature": f, "value": 1.0, "contribution": 1.0} for f in given]
    bare = endings.without_words({**canary_report, "turns": [{**turn, "evidence": reasons}]})
    kept = [one["feature"] for one in bare["turns"][0]["evidence"]]
    assert kept == ["said.question", "hit.denial", "network.withdrawal"]


def test_after_the_reports_days_nothing_opens(either_clinic: Any) -> None:
    session_id = either_clinic.add()
    assert sweep(either_clinic, 365).n_sessions == 1
    row = either_clinic.row(session_id)
    assert row["status"] == "erased"
    assert row["key_blob"] is row["transcript"] is row["options"] is None
    with either_clinic.house.store.transaction(either_clinic.tenant_id) as tx:
        (kept,) = tx.select(tables.reports)
    assert kept["sealed"] is None
    assert kept["summary"] == {}
    with pytest.raises(Gone):
        either_clinic.records.report(either_clinic.actor, session_id)


def test_a_text_never_outlives_its_report(clinic: Any) -> None:
    session_id = clinic.add()
    set_policy(clinic, {"retention": {"text_days": None, "report_days": 10}})
    assert sweep(clinic, 10).n_sessions == 1
    assert clinic.row(session_id)["status"] == "erased"


def set_policy(clinic: Any, said: object) -> None:
    with clinic.house.store.transaction(clinic.tenant_id) as tx:
        tx.connection.execute(tables.tenants.update().values(policy=said))


def test_a_tenants_own_days_count(clinic: Any) -> None:
    clinic.add()
    set_policy(clinic, {"retention": {"text_days": 7}})
    assert sweep(clinic, 6.9).n_text == 0
    assert sweep(clinic, 7).n_text == 1


@pytest.mark.parametrize(
    "said",
    [
        {"retention": {"text_days": -1}},
        {"retention": {"text_days": 0}},
        {"retention": {"days": 1}},
        {"retention": 7},
        {"revocation_erases": "nothing"},
        {"revocation_erases": ["text"]},
    ],
)
def test_a_tenant_whose_policy_cannot_be_read_is_named_and_holds_up_no_other(
    clinic: Any, said: object
) -> None:
    clinic.add()
    set_policy(clinic, said)
    neighbour = clinic.other()
    session_id = neighbour.add()
    swept = sweep(clinic, 400)
    assert swept.failed == (clinic.tenant_id,)
    assert swept.n_sessions == 1
    assert neighbour.row(session_id)["status"] == "erased"


def test_sweeping_twice_is_sweeping_once(either_clinic: Any) -> None:
    for _ in range(3):
        either_clinic.add()
    assert sweep(either_clinic, 30).n_text == 3
    n = len(either_clinic.trail())
    assert sweep(either_clinic, 30) == upkeep.Swept()
    assert sweep(either_clinic, 31) == upkeep.Swept()
    assert len(either_clinic.trail()) == n


def test_each_erasure_is_on_record_and_the_sweep_once(either_clinic: Any) -> None:
    sessions = [either_clinic.add() for _ in range(2)]
    n = len(either_clinic.trail())
    sweep(either_clinic, 30)
    sweep(either_clinic, 365)
    events = [entry.event for entry in either_clinic.trail()[n:]]
    assert [one.action for one in events] == [
        *["session.expired"] * 2,
        "retention.swept",
        *["session.expired"] * 2,
        "retention.swept",
    ]
    assert [one.target_id for one in events[:2]] == sorted(sessions)
    assert events[0].details == {"parts": "text"}
    assert events[3].details == {"parts": "all"}
    assert events[2].details == {"n_text": 2, "n_sessions": 0}
    assert events[5].details == {"n_text": 0, "n_sessions": 2}
    assert verify(either_clinic.trail(), [either_clinic.house.audit_key]) == []


def test_nothing_on_hold_ends_until_the_hold_does(either_clinic: Any) -> None:
    session_id = either_clinic.add()
    either_clinic.change(session_id, hold=True)
    assert sweep(either_clinic, 4000) == upkeep.Swept()
    assert either_clinic.row(session_id)["transcript"] is not None
    either_clinic.change(session_id, hold=False)
    assert sweep(either_clinic, 4000).n_sessions == 1


def test_what_a_revocation_left_for_a_hold_ends_when_the_hold_does(either_clinic: Any) -> None:
    session_id = either_clinic.add()
    either_clinic.change(session_id, hold=True)
    either_clinic.records.revoke(either_clinic.actor, "con_1")
    assert either_clinic.row(session_id)["transcript"] is not None
    sweep(either_clinic, 1)
    assert either_clinic.row(session_id)["transcript"] is not None
    either_clinic.change(session_id, hold=False)
    assert sweep(either_clinic, 1).n_text == 1
    assert either_clinic.row(session_id)["transcript"] is None


def test_a_revocation_leaves_what_an_expiry_of_the_text_leaves(either_clinic: Any) -> None:
    expires = either_clinic.add(consent_id="con_1")
    sweep(either_clinic, 30)
    revoked = either_clinic.add(consent_id="con_2")
    before = either_clinic.row(revoked)
    either_clinic.records.revoke(either_clinic.actor, "con_2")
    rows = [either_clinic.row(one) for one in (expires, revoked)]
    for one in rows:
        assert one["transcript"] is one["options"] is one["transcript_sha256"] is None
        assert (one["status"], one["erased_at"]) == ("done", None)
    assert rows[1]["key_blob"] != before["key_blob"]
    assert contents(either_clinic, revoked) == contents(either_clinic, expires)
    assert CANARY not in str(contents(either_clinic, revoked))
    assert either_clinic.actions()[-2:] == ["session.expired", "consent.revoked"]
    assert either_clinic.trail()[-1].event.details == {"n_sessions": 1, "n_left": 0}
    with pytest.raises(NotPermitted, match="taken back"):  # what is left serves nobody
        either_clinic.records.report(either_clinic.actor, revoked)


def contents(clinic: Any, session_id: str) -> Any:
    """A session's report as it lies there, opened past every policy."""
    with clinic.house.store.transaction(clinic.tenant_id) as tx:
        row = tx.get(tables.sessions, session_id)
        (one,) = tx.select(tables.reports, tables.reports.c.session_id == session_id)
        return json.loads(clinic.records._open(tx, row, one["sealed"], Kind.REPORT, one["id"]))


def test_where_the_tenant_says_so_a_revocation_ends_the_session_whole(either_clinic: Any) -> None:
    clinic = either_clinic
    clinic.records.register(clinic.actor, "https://example.org/hook", ["session.erased"])
    session_id, stays = clinic.add(), clinic.add(consent_id="con_2")
    set_policy(clinic, {"revocation_erases": "all"})
    clinic.records.revoke(clinic.actor, "con_1")
    row = clinic.row(session_id)
    assert (row["status"], row["key_blob"], row["transcript"]) == ("erased", None, None)
    assert clinic.row(stays)["transcript"] is not None
    assert len(clinic.queue.delivered) == 1
    assert sweep(clinic, 1) == upkeep.Swept()


def test_what_a_revocation_is_to_end_whole_waits_for_a_hold(either_clinic: Any) -> None:
    session_id = either_clinic.add()
    set_policy(either_clinic, {"revocation_erases": "all"})
    either_clinic.records.hold(either_clinic.actor, session_id, is_held=True)
    either_clinic.records.revoke(either_clinic.actor, "con_1")
    assert either_clinic.trail()[-1].event.details == {"n_sessions": 1, "n_left": 1}
    assert sweep(either_clinic, 4000) == upkeep.Swept()
    either_clinic.records.hold(either_clinic.actor, session_id, is_held=False)
    assert either_clinic.row(session_id)["status"] == "erased"


def test_a_consent_is_taken_back_though_the_keys_do_not_open_and_a_sweep_erases(
    clinic: Any, tmp_path: Path
) -> None:
    session_id, waits = clinic.add(), clinic.add(scored=False)
    create_key_file(tmp_path / "other.key")
    wrong = replace(clinic.house, vault=Vault(RootKeys.from_files(tmp_path / "other.key")))
    assert clinic.in_(wrong).records.revoke(clinic.actor, "con_1") == 2
    assert clinic.trail()[-1].event.details == {"n_sessions": 2, "n_left": 2}
    assert clinic.row(waits)["status"] == "cancelled"
    assert clinic.row(session_id)["transcript"] is not None
    assert sweep(clinic, 0).n_text == 2
    assert clinic.row(session_id)["transcript"] is clinic.row(waits)["transcript"] is None


def test_a_report_of_an_unknown_form_goes_whole(clinic: Any) -> None:
    clinic.report = {**clinic.report, "turns": [{}]}
    session_id = clinic.add()
    assert sweep(clinic, 30).n_text == 1
    with clinic.house.store.transaction(clinic.tenant_id) as tx:
        (one,) = tx.select(tables.reports)
    assert one["sealed"] is None
    assert clinic.row(session_id)["transcript"] is None


def test_by_its_own_shorter_days_a_tenants_report_is_read_no_more(clinic: Any) -> None:
    session_id = clinic.add()
    set_policy(clinic, {"retention": {"report_days": 5}})
    clinic.clock.move(days=4.9)
    assert clinic.records.report(clinic.actor, session_id)
    clinic.clock.move(days=0.1)
    with pytest.raises(Gone):
        clinic.records.report(clinic.actor, session_id)


def test_no_tenant_keeps_anything_longer_than_the_deployer_allows(clinic: Any) -> None:
    clinic.add()
    set_policy(clinic, {"retention": {"text_days": 31, "report_days": 4000}})
    assert sweep(clinic, 30).n_text == 1
    assert sweep(clinic, 365).n_sessions == 1


def test_where_the_deployer_allows_more_a_tenant_may_keep_longer(clinic: Any) -> None:
    clinic.add()
    more = clinic.house.settings.model_copy(update={"most_text_days": 90})
    house = replace(clinic.house, settings=more)
    set_policy(clinic, {"retention": {"text_days": 40}})
    assert upkeep.sweep(house, NOW + timedelta(days=39), queue=clinic.queue).n_text == 0
    assert upkeep.sweep(house, NOW + timedelta(days=40), queue=clinic.queue).n_text == 1


def test_batches_are_small_and_a_sweep_that_was_killed_goes_on(
    either_clinic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [either_clinic.add() for _ in range(5)]
    note, seen = store.Transaction.note, []

    def dies(tx: store.Transaction, event: audit.Event, key: audit.Key) -> None:
        seen.append(event)
        if len(seen) == 4:
            raise KeyboardInterrupt
        note(tx, event, key)

    with monkeypatch.context() as patched:
        patched.setattr(store.Transaction, "note", dies)
        with pytest.raises(KeyboardInterrupt):
            sweep(either_clinic, 365, batch=2)
    ended = [one for one in sessions if either_clinic.row(one)["status"] == "erased"]
    assert len(ended) == 2  # the first batch; the second was undone whole
    assert sweep(either_clinic, 365, batch=2).n_sessions == 3
    assert either_clinic.actions().count("session.expired") == 5


def test_a_session_that_waits_to_be_scored_waits_no_more(clinic: Any) -> None:
    session_id = clinic.add(scored=False)
    sweep(clinic, 30)
    with clinic.house.store.transaction(clinic.tenant_id) as tx:
        (job,) = tx.select(tables.jobs)
    assert job["status"] == "cancelled"
    assert clinic.row(session_id)["status"] == "cancelled"


def test_old_answers_to_idempotency_keys_are_dropped(either_clinic: Any) -> None:
    for name, hours in (("old", 49), ("new", 47)):
        with either_clinic.house.store.transaction(either_clinic.tenant_id) as tx:
            tx.add(
                tables.answers,
                idempotency_key=name,
                operation="sessions.create",
                fingerprint="0" * 64,
                status=202,
                session_id="ses_1",
                created_at=NOW - timedelta(hours=hours),
            )
    assert sweep(either_clinic, 0).n_answers == 1
    with either_clinic.house.store.system() as tx:
        left = tx.connection.execute(sa.select(tables.answers.c.idempotency_key)).scalars().all()
    assert left == ["new"]


def test_webhooks_are_told_of_a_session_that_ended_whole(clinic: Any) -> None:
    clinic.records.register(clinic.actor, "https://example.org/hook", ["session.erased"])
    clinic.add()
    sweep(clinic, 30)
    assert clinic.queue.delivered == []
    sweep(clinic, 365)
    sweep(clinic, 366)
    assert len(clinic.queue.delivered) == 1


def test_a_damaged_report_goes_whole_and_holds_nothing_up(clinic: Any) -> None:
    session_id = clinic.add()
    with clinic.house.store.transaction(clinic.tenant_id) as tx:
        (one,) = tx.select(tables.reports)
        tx.change(tables.reports, one["id"], sealed=one["sealed"][:-1] + b"!")
    assert sweep(clinic, 30).n_text == 1
    with clinic.house.store.transaction(clinic.tenant_id) as tx:
        assert tx.get(tables.reports, one["id"])["sealed"] is None
    assert clinic.row(session_id)["transcript"] is None


def test_with_another_root_key_no_report_is_lost_and_the_session_is_named(
    clinic: Any, tmp_path: Path
) -> None:
    session_id = clinic.add()
    create_key_file(tmp_path / "other.key")
    wrong = replace(clinic.house, vault=Vault(RootKeys.from_files(tmp_path / "other.key")))
    swept = upkeep.sweep(wrong, NOW + timedelta(days=30), queue=clinic.queue)
    assert swept.failed == (session_id,)
    assert swept.n_text == 0
    assert sweep(clinic, 30).n_text == 1  # with the right one


# What is left in the files


def test_nothing_sealed_of_an_erased_session_is_left_in_the_files(clinic: Any) -> None:
    stays, goes = clinic.add(), clinic.add()
    row, neighbour = clinic.row(goes), clinic.row(stays)
    names = ("key_blob", "transcript", "options")
    upkeep.flush(clinic.house.store)
    assert all(row[name] in clinic.files() for name in names)
    clinic.records.erase(clinic.actor, goes)
    assert upkeep.flush(clinic.house.store)
    found = clinic.files()
    assert not any(row[name][-48:] in found for name in names)
    assert all(neighbour[name] in found for name in names)
    assert not (clinic.house.settings.home / "rupture.db-wal").stat().st_size


def test_a_sweep_leaves_nothing_in_the_files_either(clinic: Any) -> None:
    session_id = clinic.add()
    before = clinic.row(session_id)
    assert sweep(clinic, 30).is_flushed
    found = clinic.files()
    assert before["transcript"][-48:] not in found
    assert before["key_blob"][-48:] not in found


def test_a_reader_who_stays_is_said_and_the_next_sweep_flushes(clinic: Any) -> None:
    clinic.add()
    upkeep.flush(clinic.house.store)
    place = clinic.house.settings.home / "rupture.db"
    reader = sqlite3.connect(place, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM sessions").fetchone()
    with clinic.house.store.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute("PRAGMA busy_timeout=50")  # the pool's connection, which flush takes too
    assert not sweep(clinic, 30).is_flushed
    reader.close()
    assert sweep(clinic, 30).is_flushed


def test_words_stand_nowhere_in_the_files_even_before(clinic: Any) -> None:
    clinic.add()
    upkeep.flush(clinic.house.store)
    assert CANARY.encode() not in clinic.files()
    assert b"Umbra" not in clinic.files()


def test_a_copied_transcript_does_not_open_once_the_key_is_destroyed(clinic: Any) -> None:
    session_id = clinic.add()
    before = clinic.row(session_id)
    assert CANARY.encode() in clinic.read(before)
    clinic.records.erase(clinic.actor, session_id)
    clinic.change(session_id, transcript=before["transcript"])
    with pytest.raises(Erased):
        clinic.read(clinic.row(session_id), transcript=before["transcript"])


def test_after_its_text_ended_a_copied_transcript_does_not_open_with_the_new_key(
    clinic: Any,
) -> None:
    session_id = clinic.add()
    before = clinic.row(session_id)
    sweep(clinic, 30)
    with pytest.raises(WrongKey):
        clinic.read(clinic.row(session_id), transcript=before["transcript"])


def test_a_row_copied_with_its_key_opens_until_the_tenants_key_is_rotated(clinic: Any) -> None:
    # The limit: whoever has the row as it was, key and all, as a backup has, reads it still.
    session_id = clinic.add()
    before = clinic.row(session_id)
    clinic.records.erase(clinic.actor, session_id)
    assert CANARY.encode() in clinic.read(before)
    rotation.rotate_tenant(clinic.house, clinic.tenant_id)
    with pytest.raises(WrongKey):
        clinic.read(before)
