"""What the database holds to, on SQLite and PostgreSQL: one transaction, one tenant, one chain."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service import audit, store, tables
from service.audit_check import verify
from service.errors import Conflict, NotFound, Unavailable
from service.house import OtherKeys, open_house
from service.settings import Settings
from service.store import Refused, Store, new_id

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
KEY = audit.Key("main", b"k" * 32)
TENANTS = ("ten_a", "ten_b")


@pytest.fixture
def kept(url: str) -> Iterator[Store]:
    """A database of two tenants, each with a job and an audit entry."""
    with closing(Store.open(url)) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def walled(postgres_url: str) -> Iterator[Store]:
    """The same on PostgreSQL alone."""
    with closing(Store.open(postgres_url)) as opened:
        fill(opened)
        yield opened


def fill(opened: Store) -> None:
    for tenant_id in TENANTS:
        with opened.transaction(tenant_id) as tx:
            tx.add(tables.tenants, name="clinic", policy={}, created_at=NOW)
            tx.add(tables.jobs, **job(f"job_{tenant_id}"))
            tx.note(event(), KEY)


def event(action: str = "tenant.created") -> audit.Event:
    return audit.Event(action, NOW, "system")


def job(id_: str, **more: Any) -> dict[str, Any]:
    given = {
        "id": id_,
        "session_id": f"ses_{id_}",
        "checkpoint": "",
        "status": "queued",
        "turn": 1,
        "n_attempts": 0,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return {**given, **more}


def at_once(*deeds: Callable[[], Any]) -> list[Exception]:
    """Runs them in threads; what they raised."""
    raised: list[Exception] = []

    def run(deed: Callable[[], Any]) -> None:
        try:
            deed()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(deed,)) for deed in deeds]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
        assert not one.is_alive(), "somebody still waits"
    return raised


def broken(opened: Store, deed: Callable[[store.Transaction], None]) -> None:
    """A transaction of ten_a that does it and then raises."""

    def run() -> None:
        with opened.transaction("ten_a") as tx:
            deed(tx)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()


# Transactions and rows


def test_what_raises_in_a_transaction_leaves_nothing(kept: Store) -> None:
    broken(kept, lambda tx: tx.add(tables.jobs, **job("job_2")))
    with kept.transaction("ten_a") as tx, pytest.raises(NotFound):
        tx.get(tables.jobs, "job_2")


def test_a_second_row_of_one_key_is_refused_and_changes_nothing(kept: Store) -> None:
    with kept.transaction("ten_a") as tx:
        assert not tx.add_once(tables.jobs, **job("job_ten_a", turn=9))
        with pytest.raises(Conflict):
            tx.add(tables.jobs, **job("job_ten_a", turn=9))
        assert tx.get(tables.jobs, "job_ten_a")["turn"] == 1


def test_a_change_that_expects_another_state_is_none(kept: Store) -> None:
    with kept.transaction("ten_a") as tx:
        assert not tx.change(tables.jobs, "job_ten_a", {"status": "running"}, status="done")
        assert tx.change(tables.jobs, "job_ten_a", {"status": "queued"}, status="done")
        assert tx.get(tables.jobs, "job_ten_a")["status"] == "done"


def test_removing_what_is_not_there_is_said(kept: Store) -> None:
    with kept.transaction("ten_a") as tx:
        tx.remove(tables.jobs, "job_ten_a")
        with pytest.raises(NotFound):
            tx.remove(tables.jobs, "job_ten_a")


def test_pages_run_from_the_newest_to_the_oldest_without_a_gap(kept: Store) -> None:
    with kept.transaction("ten_a") as tx:
        for n in range(7):
            tx.add(tables.jobs, **job(f"job_{n}"))
        seen, after = [], None
        while True:
            page = tx.page(tables.jobs, tables.jobs.c.id != "job_ten_a", after=after, limit=3)
            seen += [row["id"] for row in page.rows]
            if (after := page.after) is None:
                break
    assert seen == [f"job_{n}" for n in reversed(range(7))]


def test_ids_sort_by_when_they_were_made() -> None:
    first = new_id("job")
    time.sleep(0.002)
    assert first < new_id("job")
    assert len({new_id("job") for _ in range(1000)}) == 1000


def test_times_come_back_in_utc_to_the_microsecond(kept: Store) -> None:
    summer = datetime(2026, 7, 1, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with kept.transaction("ten_a") as tx:
        tx.change(tables.jobs, "job_ten_a", updated_at=summer)
        found = tx.get(tables.jobs, "job_ten_a")["updated_at"]
    assert found == summer
    assert found.utcoffset() == timedelta(0)


def test_times_are_compared_as_times(kept: Store) -> None:
    with kept.transaction("ten_a") as tx:
        for n in range(3):
            tx.add(tables.jobs, **job(f"job_{n}", updated_at=NOW + timedelta(microseconds=n)))
        later = tables.jobs.c.updated_at > NOW + timedelta(microseconds=1)
        assert [row["id"] for row in tx.select(tables.jobs, later)] == ["job_2"]


def test_a_time_without_a_zone_is_refused(kept: Store) -> None:
    with pytest.raises(Refused), kept.transaction("ten_a") as tx:
        tx.change(tables.jobs, "job_ten_a", updated_at=datetime(2026, 1, 1))


def test_a_refusal_of_the_database_holds_no_value(kept: Store) -> None:
    with pytest.raises(Refused) as caught, kept.transaction("ten_a") as tx:
        tx.add(tables.webhooks, id="whk_1", url="canary", events=None, created_at=NOW)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.kind in ("IntegrityError", "NotNullViolation")


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    away = Store.open("postgresql+psycopg://rupture@127.0.0.1:9/none?connect_timeout=2")
    with pytest.raises(Unavailable), away.transaction("ten_a"):
        raise AssertionError("it began")
    with pytest.raises(Unavailable):
        away.migrate()
    (tmp_path / "folder").mkdir()
    no_file = Store.open(f"sqlite:///{tmp_path}/folder")
    with pytest.raises(Unavailable), no_file.transaction("ten_a"):
        raise AssertionError("it began")


def test_what_was_committed_is_there_after_opening_anew(kept: Store, url: str) -> None:
    with kept.transaction("ten_a") as tx:
        tx.add(tables.jobs, **job("job_2"))
    with closing(Store.open(url)) as again, again.transaction("ten_a") as tx:
        assert tx.get(tables.jobs, "job_2")["turn"] == 1


def test_sqlite_syncs_each_commit_and_overwrites_what_is_deleted(sqlite_url: str) -> None:
    with closing(Store.open(sqlite_url)) as opened, opened.system() as tx:
        asked = {
            name: tx.connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        }
    assert asked == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}


# Tenants


def test_a_transaction_of_one_tenant_sees_nothing_of_another(kept: Store) -> None:
    with kept.transaction("ten_a") as tx:
        assert [row["id"] for row in tx.select(tables.jobs)] == ["job_ten_a"]
        with pytest.raises(NotFound):
            tx.get(tables.jobs, "job_ten_b")
        with pytest.raises(NotFound):
            tx.remove(tables.jobs, "job_ten_b")
        assert not tx.change(tables.jobs, "job_ten_b", status="done")
        assert tx.tenant()["tenant_id"] == "ten_a"
        assert len(list(tx.audit_trail())) == 1


def test_the_system_sees_all_tenants(kept: Store) -> None:
    with kept.system() as tx:
        assert {row["tenant_id"] for row in tx.select(tables.jobs)} == set(TENANTS)


def needed(table: sa.Table) -> list[sa.Column[Any]]:
    return [column for column in table.c if not column.nullable]


def rows_everywhere(opened: Store) -> None:
    """A row of each tenant in every table."""
    values = {int: 7, bool: False, bytes: b"x", str: "x"}
    with opened.system() as tx:
        for table in tables._tables.sorted_tables:
            if table.name not in ("tenants", "audit_entries") and "tenant_id" in table.c:
                for tenant_id in TENANTS:
                    row = {c.name: values.get(c.type.python_type, {}) for c in needed(table)}
                    row |= {c.name: NOW for c in needed(table) if isinstance(c.type, tables._Time)}
                    more = {"id": f"x_{tenant_id}"} if "id" in table.c else {}
                    tx.connection.execute(
                        table.insert().values({**row, **more, "tenant_id": tenant_id})
                    )


def test_raw_sql_reaches_no_row_of_another_tenant_in_any_table(walled: Store) -> None:
    rows_everywhere(walled)
    for table in tables.TENANT_TABLES:
        both = sa.text(f"SELECT DISTINCT tenant_id FROM {table}")  # noqa: S608 - names are ours
        with walled.system() as tx:
            assert set(tx.connection.execute(both).scalars()) == set(TENANTS), table
        with walled.transaction("ten_a") as tx:
            assert set(tx.connection.execute(both).scalars()) == {"ten_a"}, table
    with walled.engine.begin() as connection:  # which names no tenant
        for table in tables.TENANT_TABLES:
            n = connection.execute(sa.select(sa.func.count()).select_from(sa.table(table)))
            assert n.scalar_one() == 0, table


def test_raw_sql_changes_and_deletes_no_row_of_another_tenant(walled: Store) -> None:
    with walled.transaction("ten_a") as tx:
        changed = tx.connection.execute(sa.text("UPDATE jobs SET status = 'done'"))
        assert changed.rowcount == 1
        deleted = tx.connection.execute(sa.text("DELETE FROM jobs WHERE tenant_id = 'ten_b'"))
        assert deleted.rowcount == 0
    with walled.system() as tx:
        states = {row["tenant_id"]: row["status"] for row in tx.select(tables.jobs)}
    assert states == {"ten_a": "done", "ten_b": "queued"}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO tenants VALUES ('ten_c', 'x', NULL, '{}', now())",
        "UPDATE jobs SET tenant_id = 'ten_b'",
        "INSERT INTO jobs SELECT 'ten_b', 'job_9', session_id, checkpoint, status, turn, "
        "n_attempts, problem, created_at, updated_at, n_failed FROM jobs",
    ],
)
def test_raw_sql_puts_no_row_into_another_tenant(walled: Store, statement: str) -> None:
    with pytest.raises(Refused) as caught, walled.transaction("ten_a") as tx:
        tx.connection.execute(sa.text(statement))
    assert caught.value.kind == "InsufficientPrivilege"


def test_a_connection_that_is_used_again_forgets_its_tenant(walled: Store) -> None:
    for tenant_id in (*TENANTS, *TENANTS):
        with walled.transaction(tenant_id) as tx:
            seen = tx.connection.execute(sa.text("SELECT tenant_id FROM jobs")).scalars().all()
            assert seen == [tenant_id]
    with walled.engine.begin() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM jobs")).scalar() == 0


def test_a_role_that_walks_through_the_wall_is_known(
    walled: Store, postgres_url: str, sqlite_url: str
) -> None:
    assert walled.is_walled()
    with closing(Store.open(postgres_url.replace("rupture@", "postgres@"))) as superuser:
        assert not superuser.is_walled()
    with closing(Store.open(sqlite_url)) as embedded:
        assert not embedded.is_walled()


# Turns


def test_one_tenants_jobs_come_one_after_the_other(kept: Store) -> None:
    with kept.transaction("ten_a") as tx:
        for n in range(2, 6):
            turn = tx.next_turn()
            assert turn == n
            tx.add(tables.jobs, **job(f"job_{n}", turn=turn))


def test_a_newcomers_first_job_comes_with_what_is_begun_now(kept: Store) -> None:
    with kept.transaction("ten_a") as tx:
        for n in range(2, 101):
            tx.add(tables.jobs, **job(f"job_{n}", turn=n))
        tx.change(tables.jobs, "job_40", status="running")
        tx.begin_turn(40)
    with kept.transaction("ten_b") as tx:
        tx.change(tables.jobs, "job_ten_b", status="done")
        assert tx.next_turn() == 40
        tx.add(tables.jobs, **job("job_new", turn=40))
        assert tx.next_turn() == 41


def test_a_newcomer_is_not_put_before_everybody_when_nothing_runs_just_then(kept: Store) -> None:
    with kept.transaction("ten_a") as tx:
        for n in range(2, 101):
            tx.add(tables.jobs, **job(f"job_{n}", turn=n))
        tx.begin_turn(40)  # and has ended since
    with kept.transaction("ten_b") as tx:
        tx.change(tables.jobs, "job_ten_b", status="done")
        assert tx.next_turn() == 40


def test_the_turn_never_goes_back(kept: Store) -> None:
    with kept.transaction("ten_a") as tx:
        tx.begin_turn(40)
        tx.begin_turn(3)  # an earlier job that is tried again
        tx.change(tables.jobs, "job_ten_a", status="done")
        assert tx.next_turn() == 40


# Workers


def test_a_worker_that_gave_no_sign_within_the_lease_is_not_among_the_living(kept: Store) -> None:
    with kept.system() as tx:
        tx.beat("w1")
        tx.beat("w1")
        assert tx.living_workers(15) == {"w1"}
        long_ago = tables.workers.update().values(seen_at=datetime.now(UTC) - timedelta(seconds=60))
        tx.connection.execute(long_ago)
        tx.beat("w2")
        assert tx.living_workers(15) == {"w2"}
        tx.forget_worker("w2")
        assert tx.living_workers(15) == frozenset()


def test_signs_of_life_are_of_the_databases_clock(walled: Store) -> None:
    with walled.system() as tx:
        tx.beat("w1")
        off = tx.connection.execute(sa.text("SELECT clock_timestamp() - seen_at FROM workers"))
        assert timedelta(0) <= off.scalar_one() < timedelta(seconds=5)


# The audit trail


def test_the_trail_is_never_changed_or_cut(kept: Store) -> None:
    for statement in (
        "UPDATE audit_entries SET outcome = 'denied'",
        "DELETE FROM audit_entries",
        *(["TRUNCATE audit_entries"] if kept.is_postgresql else []),
    ):
        for tenant_id in ("ten_a", store.EVERYONE):
            with pytest.raises(Refused), kept.transaction(tenant_id) as tx:
                tx.connection.execute(sa.text(statement))
    with kept.system() as tx:
        assert tx.connection.execute(sa.text("SELECT count(*) FROM audit_entries")).scalar() == 2


def test_writers_of_one_chain_wait_for_each_other(kept: Store) -> None:
    def write() -> None:
        for _ in range(8):
            with kept.transaction("ten_a") as tx:
                tx.note(event("session.read"), KEY)

    assert at_once(*[write] * 6) == []
    with kept.transaction("ten_a") as tx:
        trail = list(tx.audit_trail())
    assert [one.sequence for one in trail] == list(range(1, 50))
    assert verify(trail, [KEY]) == []


def test_what_is_undone_leaves_no_gap_in_the_chain(kept: Store) -> None:
    broken(kept, lambda tx: tx.note(event("session.read"), KEY))
    with kept.transaction("ten_a") as tx:
        tx.note(event("session.listed"), KEY)
        assert [one.event.action for one in tx.audit_trail()] == [
            "tenant.created",
            "session.listed",
        ]


def test_a_tenant_that_is_not_there_has_no_trail(kept: Store) -> None:
    with pytest.raises(NotFound), kept.transaction("ten_x") as tx:
        tx.note(event(), KEY)


def test_chains_of_two_tenants_do_not_wait_for_each_other(walled: Store) -> None:
    with walled.transaction("ten_a") as tx:
        tx.note(event("session.read"), KEY)
        assert at_once(lambda: note_once(walled, "ten_b")) == []


def note_once(opened: Store, tenant_id: str) -> None:
    with opened.transaction(tenant_id) as tx:
        tx.note(event("session.read"), KEY)


# The house


def test_a_house_is_opened_again_with_the_keys_that_it_made(settings: Settings) -> None:
    first, second = open_house(settings), open_house(settings)
    assert first.audit_key.secret == second.audit_key.secret
    assert first.client_id("ten_a", "c1") == second.client_id("ten_a", "c1")
    for name in ("root.key", "audit.keys", "signing.key"):
        assert (settings.home / name).stat().st_mode & 0o077 == 0
    first.store.close()
    second.store.close()


def test_processes_that_make_the_first_keys_at_once_get_the_same(settings: Settings) -> None:
    houses: list[Any] = []
    assert at_once(*[lambda: houses.append(open_house(settings))] * 3) == []
    assert len({one.audit_key.secret for one in houses}) == 1
    assert len({one.client_id("ten_a", "c1") for one in houses}) == 1
    for one in houses:
        one.store.close()


@pytest.mark.parametrize("name", ["audit.keys", "signing.key"])
def test_another_machines_own_keys_are_refused(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    with closing(open_house(settings).store) as opened:
        fill(opened)
    other = settings.model_copy(update={"home": tmp_path / "other", "database": ""})
    open_house(other).store.close()
    here = settings.home / name
    here.write_text((other.home / name).read_text())
    with pytest.raises(OtherKeys, match=name):
        open_house(settings)


@pytest.mark.parametrize("name", ["audit.keys", "signing.key"])
def test_no_new_key_is_made_for_a_database_in_use(settings: Settings, name: str) -> None:
    with closing(open_house(settings).store) as opened:
        fill(opened)
    (settings.home / name).unlink()
    with pytest.raises(OtherKeys):
        open_house(settings)
    assert not (settings.home / name).exists()


def test_an_older_audit_key_beside_the_new_one_is_enough(settings: Settings) -> None:
    with closing(open_house(settings).store) as opened:
        fill(opened)
    file = settings.home / "audit.keys"
    new = audit.Key.generate("next").to_line()
    file.write_text(f"{new}\n{file.read_text()}\n")
    with closing(open_house(settings).store):
        file.write_text(f"{new}\n")
    open_house(settings).store.close()
