"""`rupture check`: what is set, and whether it works. It reads; nothing is made or changed.

Each line begins with `yes`, with `care` (it works, and somebody should know) or with `NO`.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from models.errors import ModelError
from service import audit, store, tables
from service.destinations import guard_of
from service.errors import ServiceError
from service.root_keys import RootKeys
from service.settings import Settings
from service.sign_in import provider_of
from service.signing import SigningKey, SigningKeys
from service.store import Store
from service.tracing import open_spans
from service.vault import Vault, key_id_of

Line = tuple[str, str]
"""What was looked at, and what is said of it."""

MOST_SKEW = timedelta(seconds=5)
"""Between our clock and the database's. A judgement: a third of a worker's lease (service.jobs)."""

LEAST_FREE = 1_000_000_000
"""Bytes left beside an embedded database. A judgement: a thousand long sessions."""

OF_OTHERS = frozenset({"RUPTURE_SECRETS", "RUPTURE_ANNOMI", "RUPTURE_BASE", "RUPTURE_AUDIT_KEYS"})
"""Names in the environment that are ours and no settings of the service."""


def run(settings: Settings, environment: Mapping[str, str], now: datetime) -> Iterator[Line]:
    """All checks, one after the other; one that fails holds up none."""
    yield from _names(environment)
    yield from _folder(settings)
    keys = _Keys(*_root(settings), _further_keys(settings))
    if keys.why:
        yield "root key", f"NO: {keys.why}"
    yield from (one for one in keys.further.values() if isinstance(one, tuple))
    yield from _database(settings, keys, now)
    yield from _outside(settings)
    yield from _people(settings)
    yield from _tracing(settings)
    yield from _checkpoint(settings)


def _reason(error: Exception) -> str:
    if isinstance(error, ServiceError | ModelError):
        return str(error)
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _names(environment: Mapping[str, str]) -> Iterator[Line]:
    known = {f"RUPTURE_{name.upper()}" for name in Settings.model_fields} | OF_OTHERS
    given = sorted(name for name in environment if name.upper().startswith("RUPTURE_"))
    wrong = [name for name in given if name.upper() not in known]
    if wrong:
        yield "settings", f"care: no such settings: {', '.join(wrong)}"
    else:
        yield "settings", f"yes: {len(given)} from the environment, all known"


def _folder(settings: Settings) -> Iterator[Line]:
    if not settings.home.is_dir():
        yield "folder", "yes: none yet; the first start makes it"
        return
    if settings.database_url.startswith("sqlite"):
        mode = stat.S_IMODE(settings.home.stat().st_mode)
        if mode & 0o007:
            yield "folder", f"NO: others can look into it (mode {mode:04o}): chmod 700"
        elif not os.access(settings.home, os.W_OK):
            yield "folder", "NO: the embedded database cannot be written there"
        elif shutil.disk_usage(settings.home).free < LEAST_FREE:
            yield "folder", f"care: less than {LEAST_FREE / 1e9:g} GB are free"
        else:
            yield "folder", "yes: ours alone"


# -- keys --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Keys:
    """What keys there are: the root keys, or why they cannot be used; the further ones' marks."""

    root: RootKeys | None
    why: str
    further: Mapping[str, Line | frozenset[str]]


def _root(settings: Settings) -> tuple[RootKeys | None, str]:
    """The root keys, or why they cannot be used; neither: there is no file."""
    try:
        if settings.root_key is not None:
            return RootKeys.from_value(settings.root_key.get_secret_value()), ""
        path = settings.key_file
        return (RootKeys.from_files(path) if path.exists() else None), ""
    except (ServiceError, OSError) as error:
        return None, _reason(error)


AUDIT, SIGNING = "audit.keys", "signing.key"
"""Files of the keys of the audit trail and of tokens, in `home`."""


def _further_keys(settings: Settings) -> dict[str, Line | frozenset[str]]:
    """Of each further key its marks, as service.house makes them; or what is wrong with it.

    No mark: there is no file.
    """
    found: dict[str, Line | frozenset[str]] = {}
    for what, name, marks in (("audit", AUDIT, _audit_marks), ("signing", SIGNING, _signing_marks)):
        path = settings.home / name
        try:
            text, why = path.read_text("utf-8"), why_open(path.stat(), os.geteuid())
            found[what] = (f"{what} key", f"NO: {path}: {why}") if why else marks(text)
        except FileNotFoundError:
            found[what] = frozenset()
        except (OSError, ValueError, ServiceError) as error:
            reason = _reason(error) if isinstance(error, OSError) else "the file holds no key"
            found[what] = (f"{what} key", f"NO: {path}: {reason}")
    return found


def _audit_marks(text: str) -> frozenset[str]:
    return frozenset(key.id for key in audit.read_keys(text))


def _signing_marks(text: str) -> frozenset[str]:
    keys = SigningKeys((SigningKey("main", bytes.fromhex(text.strip())),))
    return frozenset([keys.signing.derive("mark").hex()[:12]])


def why_open(found: os.stat_result, user: int) -> str:
    """Who else may use a key's file, as service.root_keys judges the root key's; "": nobody."""
    if found.st_uid not in (0, user):
        return "belongs to somebody else: chown it to the service's user"
    if found.st_mode & (0o037 if found.st_uid == 0 != user else 0o077):
        return f"others can use it (mode {stat.S_IMODE(found.st_mode):04o}): chmod 600"
    return ""


# -- database ----------------------------------------------------------------------------------


def _database(settings: Settings, keys: _Keys, now: datetime) -> Iterator[Line]:
    url = settings.database_url
    try:
        file = Path(sa.make_url(url).database or "") if url.startswith("sqlite") else None
        if file is not None and not file.exists():
            yield "database", "yes: SQLite, none yet; the first start makes it"
            yield from _fits([], {}, keys)
            return
        opened = Store.open(url, pool_size=1)
        try:
            with opened.engine.connect() as connection:
                yield from _tables(connection)
                if opened.is_postgresql:
                    yield from _wall(connection)
                yield from _fits(_tenants(connection), _marks(connection), keys)
                yield from _clock(connection, now)
        finally:
            opened.close()
    except (sa.exc.SQLAlchemyError, ServiceError, OSError, ImportError) as error:
        # Its words may hold the URL, and with it a password.
        yield "database", f"NO: it cannot be used ({type(error).__name__})"


def _tables(connection: Connection) -> Iterator[Line]:
    kind = "PostgreSQL" if connection.dialect.name == "postgresql" else "SQLite, embedded"
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    found = MigrationContext.configure(connection).get_current_revision()
    known = {one.revision for one in scripts.walk_revisions()}
    if found == scripts.get_current_head():
        yield "database", f"yes: {kind}, tables as this version has them ({found})"
    elif found is None or found in known:
        yield "database", f"care: {kind}, the next start brings the tables up to date"
    else:
        yield "database", f"NO: {kind}, the tables are of a newer version than this one"
    schema = "dbos" if connection.dialect.name == "postgresql" else None
    if sa.inspect(connection).has_table("workflow_status", schema=schema):
        yield "queue", "yes: DBOS's tables are there"
    else:
        yield "queue", "care: DBOS's tables are not there yet; the next start makes them"


def _wall(connection: Connection) -> Iterator[Line]:
    """Whether row-level security holds: a superuser goes through it, whatever a table says."""
    role = connection.execute(
        sa.text("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
    ).one()
    if any(role):
        said = "superuser" if role[0] else "bypassrls"
        yield "role", f"NO: it is {said}, so nothing parts the tenants but our own statements"
    else:
        yield "role", "yes: neither superuser nor bypassrls"
    forced = connection.execute(
        sa.text(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
            "AND relrowsecurity AND relforcerowsecurity"
        )
    ).scalars()
    there = set(sa.inspect(connection).get_table_names())
    open_ = sorted(there & set(tables.TENANT_TABLES) - set(forced))
    if open_:
        yield "rows", f"NO: no row-level security on {', '.join(open_)}"
    elif there & set(tables.TENANT_TABLES):
        yield "rows", "yes: row-level security on every table of tenants"


def _tenants(connection: Connection) -> list[Any]:
    """Ids and sealed keys of all tenants."""
    if not sa.inspect(connection).has_table("tenants"):
        return []
    if connection.dialect.name == "postgresql":
        everyone = {"all": store.EVERYONE}
        connection.execute(sa.text("SELECT set_config('rupture.tenant', :all, true)"), everyone)
    return list(
        connection.execute(sa.select(tables.tenants.c.tenant_id, tables.tenants.c.key_blob))
    )


def _marks(connection: Connection) -> dict[str, set[str]]:
    """Which further keys this database is used with."""
    found: dict[str, set[str]] = {}
    if sa.inspect(connection).has_table("marks"):
        for kind, id_ in connection.execute(sa.select(tables.marks.c.kind, tables.marks.c.id)):
            found.setdefault(kind, set()).add(id_)
    return found


def _fits(rows: list[Any], marks: Mapping[str, set[str]], keys: _Keys) -> Iterator[Line]:
    """Whether the keys are those of what is in the database."""
    if not keys.why:
        yield "root key", _fit_of_root(rows, keys.root)
    for kind, own in keys.further.items():
        if isinstance(own, tuple):
            continue  # said already
        if not own:
            none = "NO: it is missing, and the database has one" if rows else _NONE_YET
            yield f"{kind} key", none
        elif marks.get(kind) and own.isdisjoint(marks[kind]):
            yield f"{kind} key", "NO: it is not the one that the database is used with"
        else:
            yield f"{kind} key", "yes: nobody else can read it"


_NONE_YET = "yes: none yet; the first start makes it"


def _fit_of_root(rows: list[Any], root: RootKeys | None) -> str:
    if root is None:
        return (
            f"NO: it is missing, and {len(rows)} tenants are sealed under one"
            if rows
            else _NONE_YET
        )
    vault, n_older = Vault(root), 0
    for tenant_id, blob in rows:
        if not blob:
            continue
        try:
            vault.rewrap_tenant_key(blob, tenant_id)
        except ServiceError as error:
            return f"NO: {_reason(error)}"
        n_older += key_id_of(blob) != root.current
    if n_older:
        return f"care: {n_older} tenants are under an older one: rupture upkeep rotate-root"
    return f"yes: {root.current}, and it opens the keys of {len(rows)} tenants"


def _clock(connection: Connection, now: datetime) -> Iterator[Line]:
    """Whether our clock is the database's, or at least not behind what stands there."""
    if connection.dialect.name == "postgresql":
        there = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        skew = abs(there - now)
        if skew > MOST_SKEW:
            yield "clock", f"NO: it differs from the database's by {skew.total_seconds():.0f} s"
        else:
            yield "clock", "yes: UTC, as the database's"
        return
    newest = None
    if sa.inspect(connection).has_table("tenants"):
        found = connection.execute(
            sa.union_all(
                sa.select(sa.func.max(tables.tenants.c.created_at)),
                sa.select(sa.func.max(tables.sessions.c.updated_at)),
            )
        ).scalars()
        newest = max(filter(None, found), default=None)
    if newest is not None and newest > now + MOST_SKEW:
        yield "clock", "NO: it is behind what stands in the database"
    else:
        yield "clock", "yes: UTC, not behind what stands in the database"


# -- the rest ----------------------------------------------------------------------------------


def _checkpoint(settings: Settings) -> Iterator[Line]:
    from detector import Detector

    try:
        Detector.load(settings.checkpoint or None)
        yield "checkpoint", f"yes: {settings.checkpoint or 'the one in use'}, whole"
    except (ModelError, OSError) as error:
        yield "checkpoint", f"NO: {_reason(error)}"


def _people(settings: Settings) -> Iterator[Line]:
    """How people sign in. The provider is not asked: that would go out."""
    try:
        provider = provider_of(settings)
    except ServiceError as error:
        yield "sign-in", f"NO: {_reason(error)}"
        return
    ways = ["local accounts"] if settings.local_accounts else []
    ways += ["the OpenID provider of RUPTURE_OIDC_ISSUER"] if provider else []
    if not ways:
        yield "sign-in", "care: nobody can: RUPTURE_LOCAL_ACCOUNTS is off and no provider is named"
    elif provider and not settings.oidc_second_factor:
        yield "sign-in", f"care: {' and '.join(ways)}; RUPTURE_OIDC_SECOND_FACTOR asks for none"
    else:
        yield "sign-in", f"yes: {' and '.join(ways)}"


def _tracing(settings: Settings) -> Iterator[Line]:
    if settings.tracing:
        try:
            open_spans(settings).close()
            yield "tracing", "care: ids and counts go to a collector, as OTEL_ variables say"
        except ServiceError as error:
            yield "tracing", f"NO: {_reason(error)}"


def _further_authorities(settings: Settings) -> Iterator[Line]:
    if settings.webhook_ca_file is not None:
        try:
            guard_of(settings)
            yield "authorities", "yes: webhooks trust those of RUPTURE_WEBHOOK_CA_FILE too"
        except ServiceError as error:
            yield "authorities", f"NO: {_reason(error)}"


def _outside(settings: Settings) -> Iterator[Line]:
    yield from _further_authorities(settings)
    all_of_it = [one for one in settings.webhook_networks if one.prefixlen == 0]
    if all_of_it:
        yield "webhooks", "NO: RUPTURE_WEBHOOK_NETWORKS lets them go anywhere in your network"
    elif settings.webhook_http or settings.webhook_networks:
        http = "http:// is allowed" if settings.webhook_http else "https:// only"
        n = len(settings.webhook_networks)
        yield "webhooks", f"care: {http}, {n} private networks are allowed"
    else:
        yield "webhooks", "yes: https:// only, and to no private network"
    if settings.host in ("127.0.0.1", "::1", "localhost"):
        yield "address", f"yes: {settings.host}, this machine alone"
    else:
        yield "address", "care: others can reach it, over plain HTTP: TLS is to stand in front"
