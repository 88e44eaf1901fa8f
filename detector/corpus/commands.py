"""`rupture corpus`: score thousands of sessions, count in the reports, and ConvoKit folders.

Exit codes: 0 done; 2 wrong usage; 3 nothing could be done, or some sessions stand in the side
list.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detector.errors import DetectorError

if TYPE_CHECKING:
    from detector.batch import Request
    from detector.corpus.plan import Plan
    from detector.corpus.run import Progress, Workers

EXIT_UNUSABLE = 3

app = typer.Typer(no_args_is_help=True, help="Score thousands of sessions, and count in them.")

In = Annotated[list[str], typer.Argument(help="Files, folders, globs; JSON lines; Parquet.")]
Out = Annotated[Path, typer.Option(help="The Parquet file to write.")]
Reports = Annotated[Path, typer.Argument(help="What `rupture corpus score` wrote.")]


@contextmanager
def _told() -> Iterator[None]:
    """What a user can mend, in one line on standard error."""
    from models import ModelError

    try:
        yield
    except (DetectorError, ModelError) as error:
        _warn(str(error))
        raise typer.Exit(EXIT_UNUSABLE) from None
    except ModuleNotFoundError as error:
        extra = "cluster" if error.name in ("dask", "distributed") else "corpus"
        _warn(f"{error.name} is not installed: pip install -e '.[{extra}]'")
        raise typer.Exit(EXIT_UNUSABLE) from None


def _warn(said: str) -> None:
    from detector.views import for_terminal

    typer.echo(for_terminal(" ".join(said.splitlines())), err=True)


@app.command()
def score(
    sessions: In,
    out: Out = Path("reports.parquet"),
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: all cores.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler, tcp://HOST:8786, instead.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Name or folder; rules: no network.")
    ] = None,
    therapist: Annotated[
        str | None, typer.Option(help="The therapist's label where no session says it.")
    ] = None,
    segment_minutes: Annotated[float, typer.Option(min=0.1, help="Length of a segment.")] = 5.0,
    text: Annotated[bool, typer.Option(help="Keep what was said in the reports.")] = True,
    plan: Annotated[bool, typer.Option("--plan", help="Only measure how long it takes.")] = False,
    sample: Annotated[int, typer.Option(min=1, help="Sessions that --plan scores.")] = 64,
    planned: Annotated[
        int, typer.Option("--for", min=1, help="Sessions that --plan plans for.")
    ] = 100_000,
) -> None:
    """Score sessions into one Parquet file; bad ones go to a side list. Goes on where it was."""
    from detector import batch
    from detector.corpus.run import Workers

    count = workers or os.cpu_count() or 1
    # Each process has a network: together they take the cores there are, and no more.
    threads = max(1, (os.cpu_count() or 1) // count) if scheduler is None else None
    request = batch.Request(
        therapist=therapist,
        window_s=60.0 * segment_minutes,
        checkpoint=checkpoint,
        threads=threads,
    )
    chosen = Workers(count, scheduler)
    with _told():
        if plan:
            _plan(sessions, request, chosen, sample, planned, keeps_text=text)
        else:
            _score(sessions, out, request, chosen, keeps_text=text)


def _score(
    names: list[str], out: Path, request: "Request", workers: "Workers", **more: bool
) -> None:
    from detector.corpus import run

    with _bar() as advance:
        done = run.score(names, out, request, workers=workers, advance=advance, **more)
    known = f", {done.n_known:,} of them scored before" if done.n_known else ""
    typer.echo(f"{done.n_rows:,} of {done.n_sessions:,} sessions in {done.out}{known}.")
    if done.unread:
        _warn(f"keys or columns of the input that are not read: {done.unread}")
    if done.n_problems:
        _warn(f"{done.n_problems:,} sessions were not scored: see {done.problems}")
        raise typer.Exit(EXIT_UNUSABLE)


@contextmanager
def _bar() -> Iterator[Callable[["Progress"], None]]:
    """A bar with the rate and the time left, on standard error where a person can see it."""
    from rich import progress as shown
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        shown.TextColumn("scoring"),
        shown.BarColumn(),
        shown.TextColumn("{task.percentage:>3.0f} %"),
        shown.TextColumn("{task.fields[said]}"),
        shown.TimeElapsedColumn(),
        shown.TextColumn("left"),
        shown.TimeRemainingColumn(),
    )
    with shown.Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, said="")

        def advance(at: "Progress") -> None:
            bad = f", {at.n_problems:,} not scored" if at.n_problems else ""
            said = f"{at.n_done:,} sessions{bad}"
            bar.update(task, total=at.n_bytes, completed=at.n_read, said=said)

        yield advance


def _plan(
    names: list[str],
    request: "Request",
    workers: "Workers",
    sample: int,
    planned: int,
    *,
    keeps_text: bool,
) -> None:
    from detector.corpus.plan import measure

    found = measure(names, request, workers=workers, n_sample=sample, keeps_text=keeps_text)
    typer.echo("\n".join(_planned(found, planned)))


def _planned(found: "Plan", planned: int) -> Iterator[str]:
    scored = f"{found.n_sessions:,} sessions ({found.n_turns:,} turns)"
    yield f"scored {scored}; the first after {found.start_s:.1f} s"
    if found.n_problems:
        yield f"{found.n_problems:,} of them could not be scored, and their time is in the rate"
    if found.rate is None:
        yield "not estimable: too few sessions to tell a rate; give more, or a larger --sample"
        return
    turns = found.rate * found.n_turns / found.n_sessions
    yield f"rate: {found.rate:.2f} sessions/s, {turns:.0f} turns/s"
    for name, n in (("this input", found.n_all), ("--for", planned)):
        size = (found.disk(n) or 0.0) / 1e9
        yield f"{name}: about {n:,} sessions, {_as_time(found.seconds(n))}, {size:.2f} GB"


def _as_time(seconds: float | None) -> str:
    if seconds is None:
        return "not estimable"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{seconds:.0f} s"


convokit = typer.Typer(no_args_is_help=True, help="Reports as a ConvoKit corpus, or within one.")
app.add_typer(convokit, name="convokit")

NewFolder = Annotated[Path, typer.Option("--out", help="A folder that is not there yet.")]


@convokit.command("write")
def write_convokit(reports: Reports, out: NewFolder) -> None:
    """Write reports as a new corpus: a session is a conversation, a turn an utterance."""
    from detector.corpus.convokit_folder import NOT_CARRIED, write_folder

    with _told(), _new(out):
        n_sessions = write_folder(reports, out)
        typer.echo(f"{n_sessions:,} conversations in {out}")
        typer.echo(f"not carried: {'; '.join(NOT_CARRIED)}", err=True)


@convokit.command("annotate")
def annotate_convokit(
    corpus: Annotated[Path, typer.Argument(help="The ConvoKit folder that was scored.")],
    reports: Reports,
    out: NewFolder,
) -> None:
    """Copy a corpus, with the scores in the meta `rupture` of utterances and conversations."""
    from detector.corpus.convokit_folder import annotate

    with _told(), _new(out):
        n_scored, n_all = annotate(corpus, reports, out)
        typer.echo(f"{n_scored:,} of {n_all:,} utterances with scores in {out}")


@contextmanager
def _new(out: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise typer.BadParameter(f"{out} is there already", param_hint="--out") from None
    except OSError as error:
        raise typer.BadParameter(f"{out}: {error.strerror}", param_hint="--out") from None


class By(StrEnum):
    """What `rupture corpus stats` resamples."""

    SESSION = "session"
    CLIENT = "client"


@app.command()
def stats(
    reports: Reports,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures.")] = None,
    by: Annotated[By, typer.Option(help="What is resampled for the intervals.")] = By.SESSION,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
) -> None:
    """Count in the reports: rates, transitions, co-occurrence, by session number."""
    from detector.corpus import stats as counted

    if html is None and json is None:
        raise typer.BadParameter("give --html FILE, --json FILE or both")
    with _told():
        record = counted.measure(reports, by=by.value, seed=seed)
        if json is not None:
            _save(json, dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
        if html is not None:
            from detector.corpus.stats_page import as_html

            _save(html, as_html(record))
    if "not_estimable" in record:
        _warn(f"not estimable: {record['not_estimable']['not_estimable']}")


def _save(path: Path, text: str) -> None:
    from detector.corpus.store import written

    with written(path) as file:
        file.write(text.encode())
    typer.echo(str(path))
