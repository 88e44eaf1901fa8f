"""`rupture account`: people who sign in with a local account, made and ended by who runs it.

Exit codes: 0 done; 2 wrong usage; 3 something cannot be used, and a line says what.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands import Database, Home, one_line, read_settings
from service.scopes import Role

if TYPE_CHECKING:
    from service.accounts import Enrolment
    from service.people import People

app = typer.Typer(no_args_is_help=True, help="People who sign in to the review page.")

Roles = Annotated[
    list[Role], typer.Option("--role", help="What the person is; may be said several times.")
]


@contextmanager
def _people(database: str | None, home: Any) -> Iterator["People"]:
    from service.house import open_house
    from service.people import People

    settings = read_settings(database=database, home=home)
    with one_line():
        house = open_house(settings)
        try:
            yield People(house)
        finally:
            house.store.close()


def _password() -> str:
    """From the terminal, unseen and twice; else the first line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _show(enrolment: "Enrolment") -> None:
    typer.echo("Put this into an app for one-time codes; it is shown this once:\n")
    typer.echo(f"  {enrolment.uri.value}\n")
    typer.echo("Recovery codes, each good once in place of a code:\n")
    for code in enrolment.recovery_codes:
        typer.echo(f"  {code.value}")


@app.command("add")
def add(
    login: str,
    role: Roles,
    tenant: Annotated[str, typer.Option(help="Tenant's id; empty: the only one.")] = "",
    database: Database = None,
    home: Home = None,
) -> None:
    """Make an account; the password is asked for, or the first line of standard input."""
    with _people(database, home) as people:
        made, enrolment = people.add(tenant or people.only_tenant(), login, _password(), role)
        typer.echo(f"{made}\n")
        _show(enrolment)


@app.command("list")
def listed(
    tenant: Annotated[str, typer.Option(help="Tenant's id; empty: the only one.")] = "",
    database: Database = None,
    home: Home = None,
) -> None:
    """Say who there is: id, roles, and the login or the provider's name."""
    with _people(database, home) as people:
        for one in people.listed(tenant or people.only_tenant()):
            ended = " (ended)" if one["disabled_at"] else ""
            typer.echo(f"{one['id']}  {','.join(one['roles'])}  {one['name']}{ended}")


@app.command("password")
def password(login: str, database: Database = None, home: Home = None) -> None:
    """Give an account another password; its visits end."""
    from service.accounts import change_password

    with _people(database, home) as people:
        given, now = _password(), people.house.clock()
        people.change(login, lambda kept: change_password(kept, given, now=now))


@app.command("roles")
def roles(login: str, role: Roles, database: Database = None, home: Home = None) -> None:
    """Give an account other roles; its visits end."""
    from service.accounts import change_roles

    with _people(database, home) as people:
        now = people.house.clock()
        people.change(login, lambda kept: change_roles(kept, role, now=now))


@app.command("factor")
def factor(login: str, database: Database = None, home: Home = None) -> None:
    """Give an account a new second factor, where the old one is lost; its visits end."""
    from service.accounts import renew_second_factor

    with _people(database, home) as people:
        now = people.house.clock()
        make: Callable[[Any], Any] = lambda kept: renew_second_factor(kept, now=now)  # noqa: E731
        _show(people.change(login, make, "account.factor_set"))


@app.command("unlock")
def unlock(login: str, database: Database = None, home: Home = None) -> None:
    """Forget a login's failed tries."""
    with _people(database, home) as people:
        people.forgive(login)


@app.command("end")
def end(login: str, database: Database = None, home: Home = None) -> None:
    """End an account: nobody signs in with it any more, and its visits end."""
    from service.accounts import disable

    with _people(database, home) as people:
        now = people.house.clock()
        people.change(login, lambda kept: disable(kept, now=now), "account.removed")
