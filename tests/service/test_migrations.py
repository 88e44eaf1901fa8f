"""Migrations on both databases: from nothing, with data in them, back, and two at once."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service import audit, tables
from service.errors import Unavailable
from service.store import Refused, Store

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
KEY = audit.Key("main", b"k" * 32)


@contextmanager
def opened(url: str) -> Iterator[Store]:
    with closing(Store.open(url)) as kept:
        yield kept


def differences(kept: Store) -> list[Any]:
    with kept.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return compare_metadata(context, tables._tables)


NEWER = frozenset({"people", "visits", "care", "reviews", "comments", "assignments", "codings"})
"""Tables that came after m001: what is in them goes with them on the way back."""


def present(tx: Any) -> list[str]:
    """The tenants' tables that there are at this revision."""
    there = set(sa.inspect(tx.connection).get_table_names())
    return [name for name in tables.TENANT_TABLES if name in there]


def fill(kept: Store, tenant_id: str) -> None:
    """A row in every table of a tenant's, of those that there are."""
    at = NOW if kept.is_postgresql else NOW.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with kept.transaction(tenant_id) as tx:
        for name in reversed(present(tx)):
            seen = sa.Table(name, sa.MetaData(), autoload_with=tx.connection)
            row: dict[str, Any] = {}
            for column in seen.columns:
                kind = column.type.python_type if name != "audit_entries" else str
                if column.name == "tenant_id":
                    row[column.name] = tenant_id
                elif isinstance(column.type, sa.JSON):
                    row[column.name] = {"kept": 1}
                elif column.name.endswith(("_at", "_since")):
                    row[column.name] = at
                elif not column.nullable:
                    row[column.name] = {int: 7, bool: False, bytes: b"x"}.get(
                        kind, f"{name}_{tenant_id}"
                    )
            if name != "audit_entries":
                tx.connection.execute(seen.insert().values(row))
        event = audit.Event("tenant.created", NOW, "system")
        tx.note(event, KEY)


def contents(kept: Store) -> dict[str, list[tuple[Any, ...]]]:
    with kept.system() as tx:
        found = {}
        for name in present(tx):
            if name in NEWER:
                continue
            seen = sa.Table(name, sa.MetaData(), autoload_with=tx.connection)
            named = sorted(c.name for c in seen.columns if c.name != "n_failed")
            query = sa.select(*(seen.c[one] for one in named))
            found[name] = sorted(map(str, tx.connection.execute(query)))
        return found


def names_of_tables(kept: Store) -> set[str]:
    with kept.engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names()) - {"alembic_version"}


def test_an_empty_database_gets_the_tables_that_the_code_means(empty_url: str) -> None:
    with opened(empty_url) as kept:
        kept.migrate()
        assert differences(kept) == []
        assert {
            *tables.TENANT_TABLES,
            "workers",
            "turns",
            "marks",
            "rounds",
            "failures",
        } == names_of_tables(kept)


def test_what_was_kept_before_a_migration_is_kept_after_it(empty_url: str) -> None:
    with opened(empty_url) as kept:
        kept.migrate("m001")
        fill(kept, "ten_a")
        fill(kept, "ten_b")
        before = contents(kept)
        assert before
        assert all(len(rows) == 2 for rows in before.values())
        kept.migrate()
        assert contents(kept) == before
        assert differences(kept) == []


def test_one_step_back_and_up_again_keeps_everything(empty_url: str) -> None:
    with opened(empty_url) as kept:
        kept.migrate()
        fill(kept, "ten_a")
        before = contents(kept)
        kept.migrate("m001")
        assert contents(kept) == before
        kept.migrate()
        assert contents(kept) == before
        assert differences(kept) == []


def test_all_the_way_back_leaves_nothing_and_up_again_works(empty_url: str) -> None:
    with opened(empty_url) as kept:
        kept.migrate()
        fill(kept, "ten_a")
        kept.migrate("base")
        assert names_of_tables(kept) == set()
        kept.migrate()
        assert differences(kept) == []
        fill(kept, "ten_a")


def test_turns_go_on_where_the_jobs_are(empty_url: str) -> None:
    with opened(empty_url) as kept:
        kept.migrate("m001")
        fill(kept, "ten_a")  # its job's turn is 7, its status none that waits
        kept.migrate()
        with kept.transaction("ten_b") as tx:
            assert tx.next_turn() == 7


def test_migrating_twice_changes_nothing(empty_url: str) -> None:
    with opened(empty_url) as kept:
        kept.migrate()
        fill(kept, "ten_a")
        before = contents(kept)
        kept.migrate()
        assert contents(kept) == before


def test_processes_that_migrate_at_once_wait_for_each_other(empty_url: str) -> None:
    code = "import sys; from service.store import Store; Store.open(sys.argv[1]).migrate()"
    begun = [
        subprocess.Popen([sys.executable, "-c", code, empty_url], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=150)[1].decode() for one in begun]
    assert [one.returncode for one in begun] == [0, 0], said
    with opened(empty_url) as kept:
        assert differences(kept) == []


def test_a_migration_that_fails_leaves_the_tables_as_they_were(empty_url: str) -> None:
    with opened(empty_url) as kept:
        kept.migrate("m001")
        fill(kept, "ten_a")
        before = contents(kept)
        with kept.system() as tx:  # stands in the way of the last statement but one
            tx.connection.execute(sa.text("CREATE INDEX jobs_by_turn ON jobs (turn)"))
        with pytest.raises((Refused, Unavailable)):
            kept.migrate()
        assert contents(kept) == before
        assert "turns" not in names_of_tables(kept)
        with kept.system() as tx:
            tx.connection.execute(sa.text("DROP INDEX jobs_by_turn"))
        kept.migrate()
        assert contents(kept) == before
