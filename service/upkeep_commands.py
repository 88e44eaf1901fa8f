"""`rupture upkeep`: retention, new keys, copies; for who runs the service.

Exit codes: 0 done; 1 done, and something needs a look; 2 wrong usage; 3 it cannot be done.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
import typer

from service.audit_lines import count
from service.commands import Database, Home, one_line, read_settings
from service.processes import EXIT_UNUSABLE
from service.settings import Settings

if TYPE_CHECKING:
    from service.house import House

EXIT_LOOK = 1

app = typer.Typer(no_args_is_help=True, help="Retention, new keys and copies of the database.")

Ended = Annotated[
    Path | None,
    typer.Option("--ended", help="File of tombstones, kept where the database is not."),
]


def must_be_there(settings: Settings) -> None:
    """Ends the program where there is no embedded database: opening one would make it."""
    url = settings.database_url
    if url.startswith("sqlite") and not Path(sa.make_url(url).database or "").is_file():
        typer.echo("there is no database here: say --home or --database", err=True)
        raise typer.Exit(EXIT_UNUSABLE)


@contextmanager
def opened(database: str | None, home: Path | None) -> Iterator["House"]:
    """The house that is there already."""
    from service.house import open_house

    settings = read_settings(database=database, home=home)
    must_be_there(settings)
    with one_line():
        house = open_house(settings)
        try:
            yield house
        finally:
            house.store.close()


@app.command("sweep")
def sweep_command(ended: Ended = None, database: Database = None, home: Home = None) -> None:
    """Erase what is past its retention, now; workers do it by themselves every hour."""
    from service.rounds import run

    with opened(database, home) as house:
        ended = ended or house.settings.tombstones
        done = run(house, _now(), ended=ended)
    swept, n_ended = done.swept, done.n_ended
    typer.echo(f"erased    {count(swept.n_text, 'text')}, {count(swept.n_sessions, 'session')}")
    typer.echo(f"dropped   {count(swept.n_answers, 'answer')} to idempotency keys")
    if ended:
        typer.echo(f"noted     {count(n_ended, 'tombstone')} in {ended}")
    for one in swept.failed:
        typer.echo(f"{one}: it could not be looked at or opened, and was left", err=True)
    if not swept.is_flushed:
        typer.echo("somebody reads for long: the write-ahead log is emptied next time", err=True)
    raise typer.Exit(0 if swept.is_flushed and not swept.failed else EXIT_LOOK)


@app.command("rotate-root")
def rotate_root_command(
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="File of the new root key, made where there is none. Default: the first "
            "key of RUPTURE_ROOT_KEY.",
        ),
    ] = None,
    database: Database = None,
    home: Home = None,
) -> None:
    """Put all tenants under a new root key; sessions stay as they are.

    Without a pause: give every process `RUPTURE_ROOT_KEY="NEW OLD"`, then run this, then take OLD
    out. With key files: stop the service, run this with --to, name the new file as the root key's.
    Stopped in the middle? Run it again. Copies made before still need the old key.
    """
    from service.root_keys import RootKeys, create_key_file
    from service.rotation import rotate_root

    with opened(database, home) as house:
        if to is not None and not to.exists():
            create_key_file(to)
        new = RootKeys.from_files(to) if to else house.vault.source
        n_changed = rotate_root(house, new)
    typer.echo(f"{count(n_changed, 'tenant')} put under root key {new.current}")
    if to is not None:
        typer.echo(
            f"Now set RUPTURE_ROOT_KEY_FILE={to} (or move the file into the old one's place)"
        )


@app.command("rotate-tenant")
def rotate_tenant_command(tenant: str, database: Database = None, home: Home = None) -> None:
    """Give a tenant a new key; what was copied from its rows before opens no more.

    Everybody waits while it runs. Stopped in the middle, it has changed nothing.
    """
    from service.rotation import rotate_tenant

    with opened(database, home) as house:
        made = rotate_tenant(house, tenant)
    sessions, hooks = count(made.n_sessions, "session"), count(made.n_webhooks, "webhook")
    typer.echo(f"{sessions} and {hooks} are under the tenant's new key")


@app.command("backup")
def backup_command(
    out: Annotated[Path, typer.Option("--out", help="The new file; nothing is written over.")],
    database: Database = None,
    home: Home = None,
) -> None:
    """Copy the whole database while it is in use. The keys are not in it: keep them elsewhere."""
    from service.copies import back_up

    with opened(database, home) as house:
        copy = back_up(house, out)
    typer.echo(f"copied    {copy.n_bytes:,} bytes to {copy.path}\nsha256    {copy.sha256}")


@app.command("tombstones")
def tombstones_command(
    out: Annotated[Path, typer.Option("--out", help="File that grows by what is new.")],
    database: Database = None,
    home: Home = None,
) -> None:
    """Note what was erased, taken back and disabled, signed, in a file to be kept elsewhere.

    To be run every few minutes: a restore brings back to life what ended after the last time.
    """
    from service.tombstones import append_tombstones

    with opened(database, home) as house:
        n_new = append_tombstones(house, out)
    typer.echo(f"{count(n_new, 'tombstone')} added to {out}")


@app.command("restore")
def restore_command(
    backup: Path,
    ended: Ended = None,
    no_ended: Annotated[
        bool, typer.Option("--no-ended", help="There is no such file; what was erased comes back.")
    ] = False,
    database: Database = None,
    home: Home = None,
) -> None:
    """Bring a copy back, and end again what had ended. The service must not run meanwhile."""
    from service.copies import restore

    if (ended is None) is not no_ended:
        raise typer.BadParameter("say --ended FILE, or --no-ended where there is no such file")
    settings = read_settings(database=database, home=home)
    with one_line():
        lines = ended.read_text("utf-8", errors="replace").splitlines() if ended else ()
        house, redone = restore(settings, backup, lines, now=_now())
        house.store.close()
    typer.echo(f"restored  {backup}")
    typer.echo(
        f"ended     {redone.n_again} ended again, {redone.n_already} had ended, "
        f"{redone.n_unknown} not in the copy"
    )
    for number in redone.bad_lines:
        typer.echo(f"{ended}: line {number} is not signed by this service's key", err=True)
    raise typer.Exit(EXIT_LOOK if redone.bad_lines else 0)


@app.command("drill")
def drill_command(database: Database = None, home: Home = None) -> None:
    """Back up, restore into a folder beside, look at everything, and remove it again."""
    from service.copies import drill

    with (
        opened(database, home) as house,
        tempfile.TemporaryDirectory(prefix="drill-", dir=house.settings.home) as folder,
    ):
        checks = drill(house, Path(folder), _now())
    for one in checks:
        typer.echo(f"{one.what:11} {'yes' if one.is_well else 'NO'}: {one.said}")
    raise typer.Exit(0 if all(one.is_well for one in checks) else EXIT_LOOK)


def _now() -> datetime:
    return datetime.now(UTC)
