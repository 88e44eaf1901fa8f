"""The database, and all SQL on service.tables: SQLite embedded, PostgreSQL shared, the same code.

Nothing commits by itself: `with store.transaction(tenant_id) as tx:` does, or nothing of it
happened. A transaction is one tenant's: every statement names it, and on PostgreSQL row-level
security holds it a second time (service/migrations). `store.system()` sees all tenants; it is for
finding whose key is asked with, for workers and for sweepers.
"""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, RowMapping

from service import audit
from service.engines import open_engine
from service.errors import Conflict, NotFound, ServiceError, Unavailable
from service.tables import audit_entries, failures, jobs, marks, tenants, turns, workers

MOST_LISTED = 200

EVERYONE = "*"
"""Stands for all tenants where row-level security asks whose transaction it is."""


class Refused(ServiceError):
    """A statement that the database does not take: an error of ours. `kind` is its driver's name.

    The driver's own words are not passed on: they hold the values of the row.
    """

    code, title = "database_refused", "It cannot be kept"

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"the database refused a statement ({kind})")


def new_id(kind: str) -> str:
    """An id that sorts by when it was made: `kind_`, ten letters of time, sixteen drawn."""
    letters = "0123456789abcdefghjkmnpqrstvwxyz"
    at, drawn = time.time_ns() // 1_000_000, secrets.randbits(80)
    text = "".join(letters[(at >> shift) & 31] for shift in range(45, -1, -5))
    return f"{kind}_{text}{''.join(letters[(drawn >> shift) & 31] for shift in range(75, -1, -5))}"


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and where the next ones begin; None: there are none."""

    rows: tuple[RowMapping, ...]
    after: str | None


class Store:
    """The database. Made by `open`; safe to use from many threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str, *, pool_size: int = 10) -> "Store":
        """The database of this URL, not looked at yet. A folder that SQLite needs is made."""
        return cls(open_engine(url, pool_size))

    @property
    def is_postgresql(self) -> bool:
        """Whether several machines can share it."""
        return self.engine.dialect.name == "postgresql"

    def is_walled(self) -> bool:
        """Whether row-level security holds our own role; a superuser walks through it.

        SQLite has none. Raises: Unavailable.
        """
        if not self.is_postgresql:
            return False
        free = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        with self.system() as tx:
            return not tx.connection.execute(sa.text(free)).scalar()

    def migrate(self, revision: str = "head") -> None:
        """Brings the tables to a revision, all or nothing; others who migrate wait meanwhile.

        Raises: Unavailable: the database is away.
        """
        down = revision == "base" or revision.startswith("-")
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        # On SQLite the transaction itself lets no other in, see service.engines.
        with _told_apart(), self.engine.begin() as connection:
            if self.is_postgresql:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(839217401)"))
                everyone = {"tenant": EVERYONE}
                connection.execute(sa.text(_SET_TENANT), everyone)
            config.attributes["connection"] = connection
            (command.downgrade if down else command.upgrade)(config, revision)

    @contextmanager
    def transaction(self, tenant_id: str) -> Iterator["Transaction"]:
        """One tenant's transaction: committed at its end, or undone.

        Where `Unavailable` comes at the very end, it may have been committed all the same: whoever
        tries again must be able to tell.

        Raises: Unavailable: the database is away. Refused: it did not take a statement.
        """
        with _told_apart(), self.engine.begin() as connection:
            if self.is_postgresql:
                connection.execute(sa.text(_SET_TENANT), {"tenant": tenant_id})
            yield Transaction(connection, tenant_id)

    @contextmanager
    def system(self) -> Iterator["Transaction"]:
        """A transaction that sees all tenants."""
        with self.transaction(EVERYONE) as tx:
            yield tx

    def close(self) -> None:
        """Lets go of all connections."""
        self.engine.dispose()


_SET_TENANT = "SELECT set_config('rupture.tenant', :tenant, true)"


@contextmanager
def _told_apart() -> Iterator[None]:
    """The database's errors as ours. Theirs hold statements and rows, so no cause is passed on."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        lost = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
        if lost or isinstance(error, _AWAY):
            raise Unavailable("the database is away or overloaded: try again") from None
        raise Refused(kind) from None


_AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)
"""What passes: no connection, a full disk, a lock or deadlock, a pool that is used up."""


_SEALED = frozenset({"transcript", "options", "sealed", "secrets"})


def _columns(table: sa.Table, whole: bool) -> list[sa.Column[Any]]:
    return [column for column in table.c if whole or column.name not in _SEALED]


class Transaction:
    """What can be read and written, of one tenant, until the transaction ends."""

    def __init__(self, connection: Connection, tenant_id: str) -> None:
        self.connection, self.tenant_id = connection, tenant_id

    # -- rows of any table ------------------------------------------------------------------

    def _own(self, table: sa.Table) -> sa.ColumnElement[bool]:
        if self.tenant_id == EVERYONE:
            return sa.true()
        return table.c.tenant_id == self.tenant_id

    def add(self, table: sa.Table, **values: Any) -> None:
        """A new row of this tenant. Raises: Conflict: it is there already."""
        if not self.add_once(table, **values):
            raise Conflict(f"{table.name}: it is there already")

    def add_once(self, table: sa.Table, **values: Any) -> bool:
        """A new row, or nothing where one of its keys is there; whether it was written."""
        return self.add_row(table, {"tenant_id": self.tenant_id, **values})

    def add_row(self, table: sa.Table, row: Mapping[str, Any]) -> bool:
        """As `add_once`, also in a table that is no tenant's."""
        insert = (
            postgresql.insert if self.connection.dialect.name == "postgresql" else sqlite.insert
        )
        new = insert(table).values(row).on_conflict_do_nothing()
        # Not by its count: psycopg has none where nothing is returned.
        return self.connection.execute(new.returning(sa.literal(1))).first() is not None

    def get(
        self, table: sa.Table, id_: str, *, lock: bool = False, whole: bool = True
    ) -> RowMapping:
        """The row of this id, locked until the end where that is asked. Raises: NotFound.

        Not `whole`, here and in `select`: without what is sealed in it, which may be megabytes.
        Locks are taken in one order, or two transactions wait for each other: consent, session,
        job, delivery, webhook, and last the tenant's audit trail.
        """
        query = sa.select(*_columns(table, whole)).where(self._own(table), table.c.id == id_)
        found = self.connection.execute(query.with_for_update() if lock else query)
        row = found.mappings().one_or_none()
        if row is None:
            raise NotFound("there is no such thing")
        return row

    def change(
        self, table: sa.Table, id_: str, where: Mapping[str, Any] | None = None, **values: Any
    ) -> bool:
        """Changes one row, where its columns have these values; whether it was changed."""
        held = [table.c[name] == value for name, value in (where or {}).items()]
        done = self.connection.execute(
            table.update().where(self._own(table), table.c.id == id_, *held).values(**values)
        )
        return done.rowcount == 1

    def remove(self, table: sa.Table, id_: str) -> None:
        """Deletes a row. Raises: NotFound."""
        done = self.connection.execute(table.delete().where(self._own(table), table.c.id == id_))
        if done.rowcount != 1:
            raise NotFound("there is no such thing")

    def select(
        self,
        table: sa.Table,
        *where: sa.ColumnElement[bool],
        limit: int | None = None,
        lock: bool = False,
        whole: bool = True,
    ) -> Sequence[RowMapping]:
        """This tenant's rows that fulfil all conditions, oldest first; `lock` is as in `get`."""
        key = table.c.id if "id" in table.c else table.c.tenant_id
        query = sa.select(*_columns(table, whole)).where(self._own(table), *where)
        query = query.order_by(key).limit(limit)
        found = self.connection.execute(query.with_for_update() if lock else query)
        return found.mappings().all()

    def page(
        self, table: sa.Table, *where: sa.ColumnElement[bool], after: str | None, limit: int
    ) -> Page:
        """A page of rows, not whole, newest first; `after` is the last id of the page before."""
        kept = [*where, *([table.c.id < after] if after else [])]
        query = sa.select(*_columns(table, False)).where(self._own(table), *kept)
        query = query.order_by(table.c.id.desc())
        rows = self.connection.execute(query.limit(min(limit, MOST_LISTED) + 1)).mappings().all()
        shown = rows[: min(limit, MOST_LISTED)]
        return Page(tuple(shown), shown[-1]["id"] if len(rows) > len(shown) else None)

    # -- tenants, and whose credential it is ------------------------------------------------

    def tenant(self) -> RowMapping:
        """This tenant's row. Raises: NotFound."""
        row = (
            self.connection.execute(sa.select(tenants).where(self._own(tenants))).mappings().first()
        )
        if row is None:
            raise NotFound("there is no such tenant")
        return row

    def add_failures(self, key: str) -> None:
        """A row for failed sign-ins under this key, where there is none."""
        self.add_row(failures, {"id": key, "count": 0, "last_at": None})

    # -- workers, of no tenant -------------------------------------------------------------------

    def beat(self, worker: str) -> None:
        """Notes that a worker lives, by the database's clock: machines' own differ."""
        mine = workers.update().where(workers.c.id == worker).values(seen_at=self._now())
        if self.connection.execute(mine).rowcount != 1:
            self.connection.execute(workers.insert().values(id=worker, seen_at=self._now()))

    def living_workers(self, lease_s: float) -> frozenset[str]:
        """Workers that gave a sign within the lease; the long dead are forgotten."""
        lost = self._now() - timedelta(seconds=lease_s)
        self.connection.execute(workers.delete().where(workers.c.seen_at < lost))
        return frozenset(self.connection.execute(sa.select(workers.c.id)).scalars())

    def forget_worker(self, worker: str) -> None:
        """A worker that ended well: what it left is anybody's at once."""
        self.connection.execute(workers.delete().where(workers.c.id == worker))

    def _now(self) -> datetime:
        if self.connection.dialect.name != "postgresql":
            return datetime.now(UTC)  # one machine, so one clock
        now: datetime = self.connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        return now

    # -- fair turns --------------------------------------------------------------------------

    def next_turn(self) -> int:
        """The place of a new job of this tenant among everybody's.

        Start-time fair queuing (Goyal, Vin and Cheng 1996): one after the tenant's last waiting
        job, and not before what has been begun. A tenant that hands in a thousand sessions waits
        behind its own, and another's first goes in between.
        """
        waiting = sa.select(sa.func.max(jobs.c.turn)).where(
            jobs.c.tenant_id == self.tenant_id, jobs.c.status.in_(("queued", "running"))
        )
        begun = sa.select(turns.c.now)
        mine, now = (self.connection.execute(q).scalar() or 0 for q in (waiting, begun))
        return max(int(mine) + 1, int(now), 1)

    def begin_turn(self, turn: int) -> None:
        """Notes that the job of this turn was begun, so that no newcomer is put before it."""
        later = turns.update().where(turns.c.now < turn).values(now=turn)
        self.connection.execute(later)

    # -- which keys -----------------------------------------------------------------------------

    def marked(self, kind: str, *, lock: bool = False) -> frozenset[str]:
        """Ids of the keys of a kind that this database is used with; `lock` keeps others out."""
        if lock and self.connection.dialect.name == "postgresql":
            self.connection.execute(sa.text("LOCK TABLE marks IN SHARE ROW EXCLUSIVE MODE"))
        found = sa.select(marks.c.id).where(marks.c.kind == kind)
        return frozenset(self.connection.execute(found).scalars())

    def mark(self, kind: str, id_: str) -> None:
        """Notes that it is used with this key."""
        self.add_row(marks, {"kind": kind, "id": id_})

    # -- audit -------------------------------------------------------------------------------

    def note(self, happened: audit.Event, key: audit.Key) -> None:
        """Appends to this tenant's chain, in the same transaction as what happened.

        Writers of one chain wait for each other here: the tenant's row is locked. So this comes
        after every other lock of a transaction, or two of them wait for each other.

        Raises: NotFound: no such tenant. Unauditable.
        """
        own = sa.select(tenants.c.tenant_id).where(self._own(tenants))
        if self.connection.execute(own.with_for_update()).first() is None:
            raise NotFound("there is no such tenant")
        query = sa.select(audit_entries).where(self._own(audit_entries))
        last = query.order_by(audit_entries.c.sequence.desc()).limit(1)
        row = self.connection.execute(last).mappings().first()
        head = audit.Entry.from_columns(dict(row)) if row else None
        entry = audit.append(head, self.tenant_id, happened, key)
        self.connection.execute(audit_entries.insert().values(**entry.to_columns()))

    def audit_trail(self, *, after: int = 0, limit: int | None = None) -> Iterator[audit.Entry]:
        """This tenant's entries in order, from the one after `after`."""
        query = (
            sa.select(audit_entries)
            .where(self._own(audit_entries), audit_entries.c.sequence > after)
            .order_by(audit_entries.c.sequence)
            .limit(limit)
        )
        for row in self.connection.execute(query).mappings():
            yield audit.Entry.from_columns(dict(row))
