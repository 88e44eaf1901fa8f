"""`rupture serve`, `worker`, `check`, `tenant`: the service's doors for who runs it.

Exit codes: 0 ended as asked; 2 wrong usage; 3 something cannot be used, and a line says what.
"""

import gc
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy.exc import SQLAlchemyError

from models.errors import ModelError
from models.registry import load_checkpoint
from service.errors import ServiceError
from service.processes import EXIT_UNUSABLE, GRACE_S, SIGNS, Workers, run_worker, set_up
from service.settings import Settings

if TYPE_CHECKING:
    import uvicorn

    from service.house import House

Database = Annotated[
    str | None, typer.Option(help="postgresql://… or sqlite:///FILE; default: as set, or embedded.")
]
Home = Annotated[Path | None, typer.Option(help="Folder of the embedded database and of keys.")]

tenant_app = typer.Typer(no_args_is_help=True, help="Tenants of the service.")


def read_settings(**given: Any) -> Settings:
    """The settings, with what a command line says above all. Ends the program where one is bad.

    RUPTURE_SECRETS names a folder in which each file is a setting, such as `rupture_database`: so
    a password is in no environment.
    """
    named = {name: value for name, value in given.items() if value is not None}
    folder = os.environ.get("RUPTURE_SECRETS")
    if folder and not Path(folder).is_dir():
        typer.echo("RUPTURE_SECRETS: there is no such folder", err=True)
        raise typer.Exit(EXIT_UNUSABLE)
    if folder:
        named["_secrets_dir"] = folder
    try:
        return Settings(**named)
    except ValidationError as error:
        for one in error.errors(include_input=False):
            of = f"RUPTURE_{str(one['loc'][0]).upper()}: " if one["loc"] else ""  # none: of two
            typer.echo(f"{of}{one['msg']}", err=True)
    except SettingsError as error:  # a list that is no JSON; its cause quotes it
        field = re.search(r'field "(\w+)"', str(error))
        name = field[1].upper() if field else "…"
        typer.echo(f"RUPTURE_{name}: is to be a JSON list, such as '[\"10.0.0.0/8\"]'", err=True)
    raise typer.Exit(EXIT_UNUSABLE)


@contextmanager
def one_line() -> Iterator[None]:
    """Our own refusals, and the system's, as one line and an exit code; they quote nothing."""
    try:
        yield
    except (ServiceError, ModelError) as error:
        said = str(error)
    except SQLAlchemyError as error:  # its words may hold the URL, and with it a password
        said = f"the database cannot be used ({type(error).__name__})"
    except OSError as error:
        said = f"{error.filename or 'file'}: {error.strerror}"
    except UnicodeDecodeError:
        said = "a file is not text"
    else:
        return
    typer.echo(said, err=True)
    raise typer.Exit(EXIT_UNUSABLE)


def serve(
    database: Database = None,
    home: Home = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes beside the API.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Checkpoint that scores.")] = None,
) -> None:
    """Start the API and its workers; with nothing set, on an embedded database."""
    given = {"database": database, "home": home, "host": host, "port": port, "workers": workers}
    given["checkpoint"] = checkpoint
    settings = read_settings(**given)
    with one_line():
        code = _serve(settings, {name: str(v) for name, v in given.items() if v is not None})
    raise typer.Exit(code)


def _serve(settings: Settings, given: Mapping[str, str]) -> int:
    import uvicorn

    from service.app import create_app
    from service.heads import LimitedHttp
    from service.house import open_house
    from service.queues import make_tables
    from service.tracing import open_spans

    set_up(settings)
    if settings.checkpoint not in ("", "rules"):
        # Before anything is started: workers that cannot score would only be started again.
        load_checkpoint(settings.checkpoint)
    spans = open_spans(settings)
    _end_on_signals()
    listening = _listen(settings.host, settings.port)
    house = open_house(settings)
    make_tables(settings.database_url)
    key = _first_key(house)
    config = uvicorn.Config(
        create_app(house, spans),
        http=LimitedHttp,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)
    url = _url(settings.host, listening.getsockname()[1])
    threading.Thread(
        target=_welcome, args=(server, url, key, settings.workers > 0), daemon=True
    ).start()
    # What the command line said holds for the workers too.
    environment = {**os.environ, **{f"RUPTURE_{n.upper()}": v for n, v in given.items()}}
    started = Workers(
        settings.workers,
        environment,
        lambda: setattr(server, "should_exit", True),
        settings.worker_port,
    )
    _settle(settings.language)
    try:
        server.run(sockets=[listening])
    finally:
        for sign in SIGNS:
            signal.signal(sign, signal.SIG_IGN)
        started.end()
    return EXIT_UNUSABLE if started.are_unusable else 0


def _settle(language: str) -> None:
    """Makes ready what stays, and leaves it out of the garbage collector's rounds.

    A report of 2,000 turns is some 8,000 objects. The rounds that they bring about looked at all
    that was ever imported, which took longer than reading the report (`service.page_bench`).
    """
    from service.rendering import make_ready

    make_ready(language)
    gc.collect()
    gc.freeze()


def _end_on_signals() -> None:
    """SIGTERM and SIGINT end by way of every `finally`; uvicorn hands on what it took."""

    def end(*_: object) -> None:
        raise SystemExit(0)

    for sign in SIGNS:
        signal.signal(sign, end)


def _listen(host: str, port: int) -> socket.socket:
    """The bound socket: a port that is taken is found before anything is started."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise OSError(error.errno, error.strerror or "unknown host", f"{host}:{port}") from None
    return bound


def _url(host: str, port: int) -> str:
    here = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://[{here}]:{port}" if ":" in here else f"http://{here}:{port}"


def _first_key(house: "House") -> str:
    """A first tenant's API key, where an embedded database has no tenant yet; else "".

    Beside PostgreSQL there may be other processes that start just now, and logs that are
    collected: there `rupture tenant create` makes the first.
    """
    from service import tables
    from service.auth import make_tenant

    with house.store.system() as tx:
        if house.store.is_postgresql or tx.select(tables.tenants, limit=1):
            return ""
    _, key = make_tenant(house, "first tenant")
    return str(key.value)


def _welcome(server: "uvicorn.Server", url: str, key: str, is_scored: bool) -> None:
    """Says where it listens; to who starts it first, scores the example and says how to go on."""
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.05)
    typer.echo(f"\nListening on {url} (documents: {url}/openapi.json)")
    if not key:
        return
    typer.echo(f"Your first API key, shown this once:\n\n  {key}\n")
    place, said = "/v1/sessions", "Your sessions:"
    if is_scored and _EXAMPLE_FILE.is_file():
        place, said = _score_example(url, key)
    typer.echo(f"People sign in at {url}/review; make the first of them: {_ADD}\n")
    typer.echo(f"{said}\n\n  curl -H 'Authorization: Bearer {key}' {url}{place}\n")


def _score_example(url: str, key: str) -> tuple[str, str]:
    """Hands the example in: the path to go on with, and what is said of it."""
    import httpx

    from service.client import Client, Consent, NoReport, NotYet

    consent = Consent(
        id="example-consent",
        analyse=True,
        human_review=True,
        jurisdiction="DE",
        given_at=datetime(2026, 1, 1, tzinfo=UTC),
        basis="written",
        given_by="client",
        text_version="1",
    )
    # With a transport of its own it asks no proxy of the environment.
    with Client(url, key, allow_http=True, transport=httpx.HTTPTransport()) as client:
        try:
            taken = client.upload(
                _EXAMPLE_FILE,
                client="example-client",
                consent=consent,
                number=1,
                therapist="Dr. Rivera",
            )
        except ServiceError as error:
            return "/v1/sessions", f"The example session was not taken in ({error.code})."
        place = f"/v1/sessions/{taken.id}"
        try:
            client.wait(taken.id, timeout_s=120)
        except (NoReport, NotYet, ServiceError) as error:
            return place, f"The example session was handed in ({error.code}):"
    return f"{place}/report", "The example session was scored. Its report:"


_ADD = "rupture account add NAME --role clinician"

_EXAMPLE_FILE = Path(__file__).parents[1] / "examples" / "session.vtt"
"""In a clone; an installed package has none, and then only the key is shown."""


def worker(
    database: Database = None,
    home: Home = None,
    checkpoint: Annotated[str | None, typer.Option(help="Checkpoint that scores.")] = None,
) -> None:
    """Take scoring and webhooks from the queue, until SIGTERM; as many as there are cores."""
    settings = read_settings(database=database, home=home, checkpoint=checkpoint)
    with one_line():
        run_worker(settings)


def worker_beside_api() -> None:
    """A worker of `rupture serve`: it ends when its standard input does. Exits the process."""
    try:
        settings = read_settings()
        with one_line():
            run_worker(settings, until=sys.stdin.buffer)
    except typer.Exit as error:
        sys.exit(error.exit_code)


def check(database: Database = None, home: Home = None) -> None:
    """Say what is set and whether it works; nothing is made or changed."""
    from service import checks

    settings, failed = read_settings(database=database, home=home), False
    for what, said in checks.run(settings, os.environ, datetime.now(UTC)):
        failed = failed or said.startswith("NO")
        typer.echo(f"{what:12} {said}")
    raise typer.Exit(EXIT_UNUSABLE if failed else 0)


@tenant_app.callback()
def _tenants() -> None:
    """Without this, typer would take the only command for the whole."""


@tenant_app.command("create")
def create_tenant(name: str, database: Database = None, home: Home = None) -> None:
    """Make a tenant with its first API key, which is shown this once."""
    from service.auth import make_tenant
    from service.house import open_house

    settings = read_settings(database=database, home=home)
    with one_line():
        house = open_house(settings)
        tenant_id, key = make_tenant(house, name)
        house.store.close()
    typer.echo(f"{tenant_id}\n{key.value}")
