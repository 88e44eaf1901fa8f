"""How the two databases are spoken to: connections, waits, and which of them still stands."""

import math
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

BUSY_MS = 30_000
"""How long a writer of SQLite waits for another; as DBOS, which shares the file."""

CONNECT_S = 10
"""How long PostgreSQL may take to answer a new connection. A judgement: a request waits no longer
for anything else."""

IDLE_S = 1.0
"""How long a connection to PostgreSQL may lie in the pool and be taken for one that stands. A
judgement: of requests in the second in which a database goes, some are refused either way."""


def open_engine(url: str, pool_size: int) -> Engine:
    """The engine of a database's URL, not looked at yet. A folder that SQLite needs is made."""
    if url.startswith("sqlite"):
        Path(sa.make_url(url).database or "").parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(
            url, connect_args={"timeout": BUSY_MS / 1000}, hide_parameters=True
        )
        event.listen(engine, "connect", _as_wal)
        event.listen(engine, "begin", _begin_immediate)
    else:
        given = sa.make_url(url).query
        engine = sa.create_engine(
            url,
            pool_size=pool_size,
            hide_parameters=True,
            connect_args={} if "connect_timeout" in given else {"connect_timeout": CONNECT_S},
        )
        event.listen(engine, "checkin", _put_by)
        event.listen(engine, "checkout", _look_at)
    return engine


def _as_wal(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we begin ourselves, see _begin_immediate
    for setting in (
        "journal_mode=WAL",
        f"busy_timeout={BUSY_MS}",
        "synchronous=FULL",  # a power cut loses nothing that was answered for
        "foreign_keys=ON",
        "secure_delete=ON",  # what is erased does not stay in free pages
    ):
        connection.execute(f"PRAGMA {setting}")


def _put_by(_: Any, record: Any) -> None:
    record.info["put_by"] = time.monotonic()


def _look_at(connection: Any, record: Any, _: Any) -> None:
    """Asks a connection that lay idle whether it still stands; the pool opens another if not.

    SQLAlchemy's own `pool_pre_ping` asks each time, which costs half of a small read.
    """
    if time.monotonic() - record.info.get("put_by", math.inf) < IDLE_S:
        return
    try:
        connection.execute("")
        connection.rollback()
    except Exception as error:  # whatever the driver says: it cannot be used
        raise sa.exc.DisconnectionError from error


def _begin_immediate(connection: Connection) -> None:
    """A writer waits at its beginning; one that read first could not wait any more."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
