"""`rupture models`: which checkpoints there are, and which is in use.

Exit codes: 0 done; 2 wrong usage; 3 the checkpoint or the registry cannot be used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from models import registry
from models.errors import ModelError

EXIT_UNUSABLE = 3

app = typer.Typer(no_args_is_help=True, help="List checkpoints, use one, go back.")


@contextmanager
def _told() -> Iterator[None]:
    """One line and an exit code instead of a traceback."""
    try:
        yield
    except ModelError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_UNUSABLE) from None


@app.command("list")
def list_() -> None:
    """List the checkpoints; * is the one in use."""
    from rich.console import Console
    from rich.table import Table

    with _told():
        entries = registry.list_checkpoints()
    if not entries:
        typer.echo("There is no checkpoint yet: `rupture score` uses rules and timing alone.")
        return
    table = Table("", "name", "published", "sha256", "folder", box=None, pad_edge=False)
    for entry in entries:
        mark = "*" if entry.is_current else ""
        table.add_row(mark, entry.name, entry.published, entry.sha256[:12], str(entry.folder))
    Console().print(table)


@app.command("use")
def use(name: Annotated[str, typer.Argument(help="As `rupture models list` gives it.")]) -> None:
    """Use this checkpoint from now on; its files are checked first."""
    with _told():
        registry.use(name)
    typer.echo(f"{name} is in use.")


@app.command("rollback")
def rollback() -> None:
    """Go back to the checkpoint that was in use before."""
    with _told():
        name = registry.rollback()
    typer.echo(f"{name} is in use again.")
