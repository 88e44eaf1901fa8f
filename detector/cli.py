"""The command line `rupture`: a thin door into the rooms.

Exit codes: 0 every file was scored; 2 wrong usage; 3 at least one file cannot be used; 4 the
rest is fine, but in at least one file nobody says who the therapist is.
"""

import io
import sys
import traceback
from collections.abc import Callable, Iterable
from enum import StrEnum
from importlib.metadata import entry_points
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from detector.errors import DetectorError, TranscriptError, UnknownRole

if TYPE_CHECKING:
    from detector.batch import Outcome, Request

EXIT_UNUSABLE = 3
EXIT_NO_ROLES = 4

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a framed traceback shows values, and values hold speech
    help="Reads a therapy session's transcript and shows where the alliance strained.",
    epilog="Exit codes: 0 scored, 2 usage, 3 a file cannot be used, 4 a role is not known.",
)


class Format(StrEnum):
    """What `rupture score` writes."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


class Attendance(StrEnum):
    """How the client came, as the platform's metadata says."""

    ATTENDED = "attended"
    LATE = "late"
    CANCELLED = "cancelled"
    NO_SHOW = "no-show"


Checkpoint = Annotated[
    str | None,
    typer.Option(help="Name or folder; rules: no network. Default: the one in use."),
]


def main() -> None:
    """The entry point: our own commands, and those the other rooms offer."""
    _open_outputs()
    _offer_other_rooms(sys.argv[1:2])
    try:
        app()
    finally:
        sys.excepthook = _show_where


def _open_outputs() -> None:
    """Output is UTF-8 on every system; a file's name that is not is shown escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _show_where(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Prints where an error that nobody expected happened, and not what it says.

    The message of a library's error may quote the value at fault, and values hold speech.
    """
    cause = error.__cause__ or error.__context__
    if cause is not None:
        _show_where(type(cause), cause, cause.__traceback__)
    for frame in traceback.extract_tb(trace):
        typer.echo(f"  {frame.filename}:{frame.lineno} in {frame.name}", err=True)
    said = error.strerror if isinstance(error, OSError) else None
    hidden = "its message is left out: it may quote the session"
    typer.echo(f"{kind.__name__} ({said or hidden})", err=True)


def _offer_other_rooms(asked: Iterable[str]) -> None:
    """Adds the other rooms' commands; only the one that is asked for is imported."""
    known = {command.name for command in app.registered_commands}
    for point in entry_points(group="rupture.commands"):
        if point.name not in known:
            wanted = point.name in asked
            command = point.load() if wanted else _deferred(point.name)
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=point.name, rich_help_panel="Researchers")
            else:
                app.command(point.name, rich_help_panel="Researchers")(command)


def _deferred(name: str) -> Callable[[], None]:
    """Stands for a command that was not asked for, so that `--help` lists it."""

    def command() -> None:
        raise typer.Exit(2)

    command.__doc__ = f"See `rupture {name} --help`."
    return command


@app.command()
def score(
    files: Annotated[list[str], typer.Argument(help="Transcripts, globs, or - for stdin.")],
    role: Annotated[
        list[str] | None, typer.Option(help="NAME=therapist, NAME=client or NAME=other.")
    ] = None,
    therapist: Annotated[str | None, typer.Option(help="The therapist's name in the file.")] = None,
    format: Annotated[Format, typer.Option(help="What to write.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option(help="Folder for one file a transcript.")] = None,
    attendance: Annotated[
        Attendance | None, typer.Option(help="How the client came to the session.")
    ] = None,
    segment_minutes: Annotated[float, typer.Option(min=0.1, help="Length of a segment.")] = 5.0,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; default: all cores.")] = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Score transcripts: turns, segments, moments with their repair, 1-5 ratings."""
    from detector import batch
    from detector.targets import expand

    paths = list(expand(files))
    if not paths:
        raise typer.BadParameter("no file matches")
    if out is None and format is Format.HTML and len(paths) > 1:
        raise typer.BadParameter("several HTML pages need --out DIR")
    _make_folder(out)
    request = batch.Request(
        format=format.value,
        roles=_read_roles(role or []),
        therapist=therapist,
        attendance=attendance.replace("-", "_") if attendance else None,
        window_s=60.0 * segment_minutes,
        out=out,
        checkpoint=checkpoint,
    )
    outcomes = batch.run(paths, request, jobs=jobs, ask=_ask_therapist)
    raise typer.Exit(_show(outcomes, request, n_files=len(paths)))


def _make_folder(out: Path | None) -> None:
    """Makes the folder for the reports before any work is spent on them."""
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"--out: {error.strerror}") from None


def _read_roles(given: Iterable[str]) -> dict[str, str]:
    """NAME=role pairs; a name may hold "=" itself."""
    roles = {}
    for pair in given:
        name, found, role = pair.rpartition("=")
        if not found or role not in ("therapist", "client", "other"):
            raise typer.BadParameter("--role takes NAME=therapist, NAME=client or NAME=other")
        roles[name] = role
    return roles


def _ask_therapist(error: UnknownRole) -> str | None:
    """Asks at a terminal who the therapist is; None where nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or not error.speakers:
        return None
    _warn(str(error))
    for number, speaker in enumerate(error.speakers, start=1):
        _warn(f"  {number}  {speaker}")
    number = typer.prompt("Which one is the therapist? (0: leave it)", type=int, err=True)
    return error.speakers[number - 1] if 0 < number <= len(error.speakers) else None


def _warn(said: str) -> None:
    """One line on standard error; names in it come from files and may not steer the terminal."""
    from detector.views import for_terminal

    typer.echo(for_terminal(" ".join(said.splitlines())), err=True)


def _show(outcomes: "Iterable[Outcome]", request: "Request", *, n_files: int) -> int:
    """Prints results in order and what went wrong at the end; returns the exit code."""
    failed: list[Outcome] = []
    for outcome in outcomes:
        if outcome.problem:
            failed.append(outcome)
            _warn(f"{'checkpoint' if outcome.ends_all else outcome.name}: {outcome.problem}")
        elif outcome.written:
            typer.echo(str(outcome.written))
        else:
            sys.stdout.write(outcome.text)
    if failed and n_files > 1 and not failed[-1].ends_all:
        typer.echo(f"{n_files - len(failed)} of {n_files} files scored.", err=True)
    if any(not outcome.needs_roles for outcome in failed):
        return EXIT_UNUSABLE
    return EXIT_NO_ROLES if failed else 0


@app.command()
def formats() -> None:
    """List the transcript formats that are read."""
    from rich.console import Console
    from rich.table import Table

    from detector.formats import readers

    table = Table("name", "what it is", box=None, pad_edge=False)
    for reader in readers():
        table.add_row(reader.name, reader.title)
    Console().print(table)


@app.command()
def markers(
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as withdrawal.")] = None,
) -> None:
    """List the codebook's markers with their definitions."""
    from rich.console import Console
    from rich.table import Table

    from detector.codebook import KINDS, load_codebook

    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(f"--kind is one of {', '.join(KINDS)}")
    codebook = load_codebook()
    table = Table("marker", "kind", "pillar", "patterns", "means", box=None, pad_edge=False)
    for marker in codebook.markers.values():
        if kind in (None, marker.kind):
            n_patterns = sum(p.marker == marker.id for p in codebook.patterns.values())
            table.add_row(
                marker.id, marker.kind, marker.pillar or "–", str(n_patterns), marker.definition
            )
    Console().print(table)


@app.command()
def explain(
    file: Annotated[str, typer.Argument(help="The transcript, or - for stdin.")],
    turn: Annotated[int, typer.Argument(help="The turn's index in the report, from 0.")],
    role: Annotated[list[str] | None, typer.Option(help="As for score.")] = None,
    therapist: Annotated[str | None, typer.Option(help="As for score.")] = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Say why a turn got its scores: hits, their patterns, and what pulled how much."""
    from detector import batch
    from models import ModelError

    try:
        request = batch.Request(
            roles=_read_roles(role or []), therapist=therapist, checkpoint=checkpoint
        )
        text = batch.explain(file, turn, request)
    except (DetectorError, ModelError, OSError) as error:
        _warn(f"{file}: {_said(error)}")
        unknown = isinstance(error, UnknownRole)
        raise typer.Exit(EXIT_NO_ROLES if unknown else EXIT_UNUSABLE) from None
    except IndexError:
        raise typer.BadParameter("no such turn in this session") from None
    typer.echo(text)


def _said(error: Exception) -> str:
    """A message without speech: our own errors quote none; of others only the kind is told."""
    if isinstance(error, TranscriptError):
        return str(error)
    return error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)
