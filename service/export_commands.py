"""`rupture export`: consented sessions as a file that training reads."""

import json
from pathlib import Path
from typing import Annotated

import typer

from service.audit_lines import count
from service.commands import Database, Home
from service.deeds import Actor
from service.errors import Invalid
from service.export import MANIFEST, export_sessions, withdrawn
from service.house import House
from service.pseudonyms import ASSISTIVE


def command(
    out: Annotated[Path, typer.Option("--out", help="The new folder.")],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose sessions.")],
    purpose: Annotated[
        str, typer.Option("--purpose", help="research, or train: the consent's own scope.")
    ] = "research",
    taken_back: Annotated[
        bool,
        typer.Option(
            "--withdrawn", help="Write nothing: say what of the export in --out was taken back."
        ),
    ] = False,
    database: Database = None,
    home: Home = None,
) -> None:
    """Write consented sessions, with tags for names, for research or training.

    The names are replaced by rules that miss some: a person must read it before it goes anywhere.
    """
    from service.upkeep_commands import opened

    with opened(database, home) as house:
        if taken_back:
            _tell_withdrawn(house, tenant, out)
        made = export_sessions(house, Actor(tenant), purpose, out)
    sessions, clients = count(made.n_sessions, "session"), count(made.n_clients, "client")
    typer.echo(f"written   {sessions} of {clients} to {out}")
    if made.n_coded:
        typer.echo(f"reviewed  {count(made.n_coded, 'piece')} of speech carry people's verdicts")
    for code, n in sorted(made.left_out.items()):
        typer.echo(f"left out  {n:,}: {code}")
    typer.echo(ASSISTIVE)


def _tell_withdrawn(house: House, tenant_id: str, folder: Path) -> None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except ValueError:
        raise Invalid("this is no manifest of an export") from None
    found = withdrawn(house, tenant_id, manifest if isinstance(manifest, dict) else {})
    for one in found:
        typer.echo(f"{one.session}  {one.reason}")
    typer.echo(f"{len(found)} of {len(manifest['sessions'])} were taken back", err=True)
    raise typer.Exit(1 if found else 0)
