"""`rupture audit`: checks a tenant's audit chain, states a checkpoint of it, exports it.

A chain comes from a file with one entry on each line, or out of the database, which is read in
short pages while others write it; `verify_entries`, `checkpoint_entries` and `export_entries` take
any iterator of entries. Out of the database neither the root key nor any content is needed. That a
chain was checked, stated or exported stands at its end afterwards; a chain with findings is left
as it is.

Exit codes: 0 nothing found; 1 something found; 2 wrong usage; 3 a file cannot be used.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from service.audit import Entry, Event, Key, Unauditable, read_keys
from service.audit_check import Checkpoint, Item, read_rows
from service.audit_lines import (
    EXIT_FOUND,
    checkpoint_entries,
    count,
    export_entries,
    read_lines,
    verify_entries,
)
from service.commands import Database, Home, one_line, read_settings

if TYPE_CHECKING:
    from service.store import Store

PAGE = 1_000
"""Entries that are read from the database at once: some milliseconds, so that nobody who writes
waits for a check of the whole chain. A judgement."""

app = typer.Typer(no_args_is_help=True, help="Check, state and export the audit trail.")

File = Annotated[
    Path | None,
    typer.Option(
        "--file", help="One tenant's entries, one on each line; default: out of the database."
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        envvar="RUPTURE_AUDIT_KEYS",
        help="Key file: `name base64`; the first is in use. Default: `audit.keys` in --home.",
    ),
]
Checkpoints = Annotated[
    Path | None, typer.Option("--checkpoints", help="Checkpoints kept elsewhere, one on each line.")
]
Tenant = Annotated[
    str | None,
    typer.Option(
        "--tenant", help="Whose chain. Default: of a file its first entry's, else every tenant's."
    ),
]


def read_checkpoints(path: Path | None) -> tuple[Checkpoint, ...]:
    """The checkpoints of a file, one on each line. Raises: Unauditable; OSError."""
    lines = path.read_text("utf-8").splitlines() if path else ()
    return tuple(Checkpoint.from_line(line) for line in lines if line.strip())


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Kept:
    """The chains of a database, and the keys they are signed with; the first is in use."""

    store: "Store"
    keys: tuple[Key, ...]

    def tenants(self) -> tuple[str, ...]:
        """Ids of all tenants, and of those that are gone and whose chain is here, in order."""
        import sqlalchemy as sa

        from service.tables import audit_entries, tenants

        with self.store.system() as tx:
            known = set(tx.connection.execute(sa.select(tenants.c.tenant_id)).scalars())
            chains = sa.select(audit_entries.c.tenant_id).distinct()
            return tuple(sorted(known | set(tx.connection.execute(chains).scalars())))

    def rows(self, tenant_id: str) -> Iterator[Mapping[str, Any]]:
        """One tenant's rows in their order, read in pages."""
        import sqlalchemy as sa

        from service.tables import audit_entries

        of, after = audit_entries.c, -1
        while True:
            query = sa.select(audit_entries).where(of.tenant_id == tenant_id, of.sequence > after)
            with self.store.transaction(tenant_id) as tx:
                ordered = query.order_by(of.sequence).limit(PAGE)
                page = tx.connection.execute(ordered).mappings().all()
            yield from map(dict, page)
            if len(page) < PAGE:
                return
            after = page[-1]["sequence"]

    def entries(self, tenant_id: str) -> Iterator[Item]:
        """One tenant's entries in their order."""
        return read_rows(self.rows(tenant_id))

    def note(self, tenant_id: str, action: str) -> None:
        """Notes at the chain's end what was done with it."""
        event = Event(action, _now(), "system", target_kind="tenant", target_id=tenant_id)
        with self.store.transaction(tenant_id) as tx:
            tx.note(event, self.keys[0])


@contextmanager
def kept_chains(database: str | None, home: Path | None, keys: Path | None) -> Iterator[Kept]:
    """The chains of the database that is there already; nothing is made, and nothing migrated."""
    import sqlalchemy as sa

    from service.store import Store

    settings = read_settings(database=database, home=home)
    url = settings.database_url
    if url.startswith("sqlite") and not Path(sa.make_url(url).database or "").is_file():
        raise Unauditable("database", "is not here: say --home, --database or --file")
    known = read_keys((keys or settings.home / "audit.keys").read_text("utf-8"))
    store = Store.open(url)
    try:
        yield Kept(store, known)
    finally:
        store.close()


def _in_file(
    file: Path, keys: Path | None, database: str | None, home: Path | None
) -> tuple[Key, ...]:
    """The keys for a file's chain. Raises: BadParameter: it is not clear what is meant."""
    if database is not None or home is not None:
        raise typer.BadParameter("say --file, or --database and --home")
    if keys is None:
        raise typer.BadParameter("a file needs --keys")
    return read_keys(keys.read_text("utf-8"))


Look = Callable[[str, Iterable[Item], tuple[Key, ...], tuple[Checkpoint, ...], str | None], int]
"""Looks at one chain: what it is called, its entries, keys, checkpoints, tenant; the exit code."""


def _look(
    look: Look,
    done: str,
    file: Path | None,
    keys: Path | None,
    checkpoints: Path | None,
    tenant: str | None,
    database: str | None,
    home: Path | None,
) -> NoReturn:
    """Looks at a file's chain, or at those of the database, and ends with the worst exit code."""
    with one_line():
        stated = read_checkpoints(checkpoints)
        if file is not None:
            known = _in_file(file, keys, database, home)
            with file.open("rb") as lines:
                raise typer.Exit(look(str(file), read_lines(lines), known, stated, tenant))
        with kept_chains(database, home, keys) as kept:
            raise typer.Exit(_each(kept, tenant, stated, look, done))


def _each(
    kept: Kept, tenant: str | None, stated: tuple[Checkpoint, ...], look: Look, done: str
) -> int:
    """Looks at one tenant's chain, or at all, and notes what was well; the worst exit code."""
    here = kept.tenants()
    # A tenant that a checkpoint alone still knows of was removed, chain and all.
    whose = (tenant,) if tenant else sorted({*here, *(one.tenant_id for one in stated)})
    worst = 0 if whose else EXIT_FOUND
    for one in whose:
        code = look(f"the chain of {one}", kept.entries(one), kept.keys, stated, one)
        if one not in here:
            typer.echo(f"There is no tenant {one} here.", err=True)
            code = EXIT_FOUND
        if not code:
            kept.note(one, done)
        worst = max(worst, code)
    if not whose:
        typer.echo("There is no tenant here.", err=True)
    return worst


@app.command("verify")
def verify_command(
    file: File = None,
    keys: Keys = None,
    checkpoints: Checkpoints = None,
    tenant: Tenant = None,
    database: Database = None,
    home: Home = None,
) -> None:
    """Find what was altered, taken out, put in, moved or cut off."""
    _look(_verify, "audit.verified", file, keys, checkpoints, tenant, database, home)


def _verify(
    where: str,
    entries: Iterable[Item],
    keys: tuple[Key, ...],
    stated: Iterable[Checkpoint],
    tenant_id: str | None,
) -> int:
    code, told = verify_entries(entries, keys, stated, tenant_id=tenant_id)
    typer.echo("\n".join((f"checked  {where}", *told)))
    return code


@app.command("checkpoint")
def checkpoint_command(
    file: File = None,
    keys: Keys = None,
    checkpoints: Checkpoints = None,
    tenant: Tenant = None,
    database: Database = None,
    home: Home = None,
) -> None:
    """Check the chain, then print one line to keep where nobody can write who writes the chain."""
    _look(_state, "audit.checkpointed", file, keys, checkpoints, tenant, database, home)


def _state(
    where: str,
    entries: Iterable[Item],
    keys: tuple[Key, ...],
    stated: Iterable[Checkpoint],
    tenant_id: str | None,
) -> int:
    code, made, told = checkpoint_entries(entries, keys, _now(), stated, tenant_id=tenant_id)
    typer.echo("\n".join((f"checked  {where}", *told)), err=True)
    if made is None:
        typer.echo("There is no checkpoint of a chain that is empty or has findings.", err=True)
    else:
        typer.echo(made.to_line())
    return code


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Option("--out", help="Where it is written; - is standard output.")],
    file: File = None,
    form: Annotated[
        Literal["ndjson", "csv"], typer.Option("--format", help="csv is for people.")
    ] = "csv",
    tenant: Tenant = None,
    database: Database = None,
    home: Home = None,
    keys: Keys = None,
) -> None:
    """Write the entries for people or for other programs; this does not check the chain."""
    with one_line():
        if file is not None:
            if database is not None or home is not None:
                raise typer.BadParameter("say --file, or --database and --home")
            if out.exists() and out.samefile(file):
                raise Unauditable("--out", "is the file that is read")
            with file.open("rb") as lines:
                raise typer.Exit(_export(read_lines(lines), out, form, "line"))
        with kept_chains(database, home, keys) as kept:
            whose = (tenant,) if tenant else kept.tenants()
            if len(whose) != 1:
                raise typer.BadParameter(f"say --tenant: there are {len(whose)}")
            code = _export(kept.entries(whose[0]), out, form, "row")
            if not code and whose[0] in kept.tenants():
                kept.note(whose[0], "audit.exported")
            raise typer.Exit(code)


def _export(items: Iterable[Item], out: Path, form: Literal["ndjson", "csv"], what: str) -> int:
    n_unreadable = n_written = 0

    def readable() -> Iterator[Entry]:
        nonlocal n_unreadable, n_written
        for item in items:
            n_written += isinstance(item, Entry)
            n_unreadable += not isinstance(item, Entry)
            if isinstance(item, Entry):
                yield item

    if str(out) == "-":
        for text in export_entries(readable(), form):
            typer.echo(text, nl=False)
    else:
        with out.open("w", encoding="utf-8", newline="") as written:
            written.writelines(export_entries(readable(), form))
    typer.echo(f"{count(n_written, 'entry', 'entries')} written", err=True)
    if n_unreadable:
        typer.echo(f"{count(n_unreadable, what)} left out: no entry", err=True)
    return EXIT_FOUND if n_unreadable else 0
