"""Copies of the database: made while it is in use, brought back, and tried out.

The root key, the audit key and the signing key are in no copy, and are to be kept elsewhere:
whoever has both has all.
"""

import hashlib
import os
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from service import tables
from service.audit_check import read_rows, verify
from service.deeds import Enqueue
from service.errors import Conflict, ServiceError
from service.house import House, open_house
from service.root_keys import VaultError
from service.settings import Settings
from service.store import Store
from service.tombstones import Redone, audit_keys, redo_erasures, tombstones
from service.upkeep import Upkeep, all_tenants, flush, note_tenant


class CannotCopy(ServiceError):
    """A backup cannot be made, or one cannot be used; says what to do."""

    status, code, title = 500, "cannot_copy", "No copy of the database"


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup: where it is, its hash and its size in bytes."""

    path: Path
    sha256: str
    n_bytes: int


def back_up(house: House, out: Path) -> Copy:
    """A whole copy of the database as it is now, while others use it, as one new file (mode 0600).

    SQLite: its online backup. PostgreSQL: `pg_dump`, custom format. The root key, the audit key
    and the signing key are not in it, and are to be kept elsewhere: whoever has both has all.

    Raises: Conflict: the file is there. CannotCopy: pg_dump is missing or failed, or the copy is
        not whole. OSError: the disk is full, or the folder cannot be written.
    """
    if out.exists():
        raise Conflict(f"{out.name}: the file is there already: nothing is written over")
    draft = _draft(out)
    try:
        (_dump if house.store.is_postgresql else _copy_online)(house, draft)
        _put(draft, out)
    finally:
        draft.unlink(missing_ok=True)
    made = Copy(out, _sha256(out), out.stat().st_size)
    for tenant in all_tenants(house):
        with house.store.transaction(tenant["tenant_id"]) as tx:
            note_tenant(house, tx, "backup.made", sha256=made.sha256)
    return made


def _copy_online(house: House, draft: Path) -> None:
    with (
        closing(house.store.engine.raw_connection()) as ours,
        closing(sqlite3.connect(draft)) as copy,
    ):
        ours.driver_connection.backup(copy)  # type: ignore[union-attr]
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, that needs no other beside it
        _must_be_whole(copy)


def _must_be_whole(copy: sqlite3.Connection) -> None:
    try:
        found = copy.execute("PRAGMA quick_check(1)").fetchone()
        names = {name for (name,) in copy.execute("SELECT name FROM sqlite_master")}
    except sqlite3.DatabaseError:
        raise CannotCopy("it is no SQLite database, or a broken one: take another copy") from None
    if found != ("ok",):
        raise CannotCopy("the copy is not whole: take another one, and look at the disk")
    if not {"alembic_version", "tenants", "audit_entries"} <= names:
        raise CannotCopy("it is a database, but none of this service's")


def _dump(house: House, draft: Path) -> None:
    # Row-level security holds the owner too; this setting lets the dump see every tenant.
    ours = {"PGOPTIONS": "-c rupture.tenant=*"}
    _run(house.settings, "pg_dump", ("--enable-row-security", "--file", str(draft)), ours)


def _run(
    settings: Settings, name: str, arguments: tuple[str, ...], more: Mapping[str, str]
) -> None:
    """One of PostgreSQL's programs. The password goes by its environment, which `ps` shows not."""
    program = shutil.which(name)
    if program is None:
        raise CannotCopy(
            f"{name} is not here: install PostgreSQL's client programs of the server's version, or "
            "use the copies of your provider"
        )
    url = sa.make_url(settings.database_url)
    named = {
        "PGHOST": url.host,
        "PGPORT": str(url.port) if url.port else None,
        "PGUSER": url.username,
        "PGPASSWORD": str(url.password) if url.password is not None else None,
        "PGDATABASE": url.database,
        **{f"PG{key.upper()}": str(value) for key, value in url.query.items()},
    }
    env = {**os.environ, **{key: value for key, value in named.items() if value}, **more}
    command = [program, "--format=custom", "--no-password", *arguments]
    ended = subprocess.run(command, env=env, check=False)  # noqa: S603 - found on the path
    if ended.returncode:
        raise CannotCopy(f"{name} ended with {ended.returncode}; it says above why")


def restore(
    settings: Settings, backup: Path, lines: Iterable[str], *, now: datetime
) -> tuple[House, Redone]:
    """Brings a backup back to where the settings say, after ending again what the lines say.

    SQLite: the database appears at its place only when all of that is done, and never over
    another. PostgreSQL: into a database without tables, by pg_restore; start the service after.
    Each tenant's trail gets `backup.restored`. What happened between copy and restore is lost,
    and against a checkpoint of that time the trail says so for ever: keep that finding's reason.

    Returns: the house, open, and what came of the lines.
    Raises: Conflict: there is a database. CannotCopy: the backup is none, or the keys' files are
        not here, or are not those of its time.
    """
    _must_have_keys(settings)
    if settings.database_url.startswith("sqlite"):
        return _restore_file(settings, backup, lines, now)
    _must_be_empty(settings)
    _run_restore(settings, backup)
    return _revive(settings, lines, now)


def _restore_file(
    settings: Settings, backup: Path, lines: Iterable[str], now: datetime
) -> tuple[House, Redone]:
    place = Path(sa.make_url(settings.database_url).database or "")
    if any(place.with_name(place.name + end).exists() for end in ("", "-wal", "-shm")):
        raise Conflict(f"{place.name}: there is a database at its place: move it away first")
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _draft(place)
    try:
        with backup.open("rb") as source, draft.open("wb") as file:
            shutil.copyfileobj(source, file)
        with closing(sqlite3.connect(draft)) as copy:
            _must_be_whole(copy)
        apart = settings.model_copy(update={"database": f"sqlite:///{draft.absolute()}"})
        house, redone = _revive(apart, lines, now)
        if not flush(house.store):
            raise CannotCopy("the restored database is in use already")
        house.store.close()
        _put(draft, place)
    finally:
        for end in ("", "-wal", "-shm"):
            draft.with_name(draft.name + end).unlink(missing_ok=True)
    return open_house(settings, clock=lambda: now), redone


def _revive(settings: Settings, lines: Iterable[str], now: datetime) -> tuple[House, Redone]:
    """Opens what was restored, holds that its keys are here, and ends what had ended."""
    house = open_house(settings, clock=lambda: now)
    for tenant in all_tenants(house):
        try:
            if tenant["key_blob"] is not None:
                house.vault.new_session_key(tenant["key_blob"], tenant["tenant_id"], "probe")
        except VaultError as error:
            house.store.close()
            raise CannotCopy(
                f"the root key is not the one of this backup's time ({error.code}): put that back"
            ) from None
        with house.store.transaction(tenant["tenant_id"]) as tx:
            note_tenant(house, tx, "backup.restored")
    return house, redo_erasures(house, lines, now)


def _must_have_keys(settings: Settings) -> None:
    """New keys would be made where there are none, and then nothing of the copy would open."""
    needed = [settings.home / "audit.keys", settings.home / "signing.key"]
    if settings.root_key is None:
        needed.append(settings.key_file)
    if missing := [path.name for path in needed if not path.exists()]:
        raise CannotCopy(f"put the keys' files back first: {', '.join(missing)}")


def _must_be_empty(settings: Settings) -> None:
    kept = Store.open(settings.database_url)
    try:
        with kept.engine.connect() as connection:
            if sa.inspect(connection).has_table("tenants"):
                raise Conflict("there are tables in this database: restore into an empty one")
    except sa.exc.OperationalError:
        raise CannotCopy("the database does not answer: make an empty one first") from None
    finally:
        kept.close()


def _run_restore(settings: Settings, backup: Path) -> None:
    name = sa.make_url(settings.database_url).database or ""
    whole = ("--no-owner", "--exit-on-error", "--single-transaction")
    ours = {"PGOPTIONS": "-c rupture.tenant=*"}
    _run(settings, "pg_restore", (*whole, "--dbname", name, str(backup)), ours)


def _draft(path: Path) -> Path:
    """A new empty file beside the path, for its owner alone."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return draft


def _put(draft: Path, path: Path) -> None:
    """Gives a whole file its name, durably, and never another's."""
    for place, flags in ((draft, os.O_RDWR), (path.parent, os.O_RDONLY)):
        fd = os.open(place, flags)
        try:
            os.fsync(fd)
            if place is draft:
                os.link(draft, path)
        except FileExistsError:
            raise Conflict(f"{path.name}: the file is there already") from None
        finally:
            os.close(fd)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a drill looked at: what, whether it is well, and a sentence."""

    what: str
    is_well: bool
    said: str


def drill(house: House, folder: Path, now: datetime) -> tuple[Check, ...]:
    """Makes a backup, restores it into a folder, and says whether it would have served.

    The database in use is only read, but that each tenant's trail notes that a copy was made. The
    copy lies in the folder, which the caller removes.

    Raises: CannotCopy: PostgreSQL; there `restore` into an empty database is the drill.
    """
    if house.store.is_postgresql:
        raise CannotCopy("on PostgreSQL, restore a dump into an empty database instead")
    copy = back_up(house, folder / "drill.db")
    checks = [Check("backup", True, f"{copy.n_bytes:,} bytes, whole")]
    listed = [one.to_line() for one in tombstones(house)]
    place = f"sqlite:///{(folder / 'restored.db').absolute()}"
    apart = house.settings.model_copy(update={"database": place})
    restored, redone = restore(apart, copy.path, listed, now=now)
    try:
        well = not redone.bad_lines
        checks.append(Check("tombstones", well, f"{len(listed)} given, {redone.n_again} redone"))
        checks += _looked_through(restored)
    finally:
        restored.store.close()
    return tuple(checks)


def _looked_through(house: House) -> Iterator[Check]:
    upkeep, keys = Upkeep(house, Enqueue(), house.clock()), audit_keys(house)
    n_bad = n_opened = n_sessions = n_chains = 0
    for tenant in all_tenants(house):
        with house.store.transaction(tenant["tenant_id"]) as tx:
            rows = tx.connection.execute(
                sa.select(tables.audit_entries)
                .where(tables.audit_entries.c.tenant_id == tx.tenant_id)
                .order_by(tables.audit_entries.c.sequence)
            ).mappings()
            found = verify(read_rows(map(dict, rows)), keys, tenant_id=tx.tenant_id)
            n_bad, n_chains = n_bad + bool(found), n_chains + 1
            of = tables.sessions.c
            held = (of.tenant_id == tx.tenant_id, of.key_blob.is_not(None))
            for session_id in tx.connection.execute(sa.select(of.id).where(*held)).scalars().all():
                n_sessions += 1
                n_opened += upkeep.opens(tx, tx.get(tables.sessions, session_id))
    yield Check("audit", not n_bad, f"{n_chains} chains, {n_bad} with findings")
    said = f"{n_opened} of {n_sessions} that were not erased open"
    yield Check("sessions", n_opened == n_sessions, said)
