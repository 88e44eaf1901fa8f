"""Speed, cold start and memory on this machine: `make bench`. Nothing is asserted.

Every figure is a median of alternating runs in fresh processes or one warm process, as said.
With `--checkpoint` or one in use the network is measured too, against the usual way of using the
same encoder (training.rivals), which needs the `train` extra.
"""

import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from detector.formats import read_transcript
from detector.pipeline import Detector
from detector.report import Report
from detector.weights import NETWORK
from models import registry
from models.errors import ModelError
from training.corpus import TrainingDataError, told
from training.stopwatch import N_RUNS, THERAPIST, as_vtt, median_s, session_of

N_TURNS = 400
SLOPE = (100, 400, 2000, 20000)
"""Turns of the sessions on which the cost a turn is compared."""

_MEASURED = (
    "import resource, subprocess, sys, time\n"
    "begun = time.perf_counter()\n"
    "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
    "taken = time.perf_counter() - begun\n"
    "print(taken, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
)
"""Run in a process of its own, so that the highest memory of a child is this child's alone."""


def cold_start(path: Path, checkpoint: str | None, n_runs: int) -> Iterator[str]:
    """A fresh `rupture score` on one file, beside Python's own start, alternating.

    torch cannot be imported in it: a module of that name that only raises stands before it.
    """
    with TemporaryDirectory() as folder:
        for name in ("torch", "transformers"):
            (Path(folder) / f"{name}.py").write_text("raise ImportError('not for serving')\n")
        begin = f"import sys; sys.path.insert(0, {folder!r}); "
        scoring = begin + "from detector.cli import main; main()"
        rules = ["score", str(path), "--therapist", THERAPIST, "--checkpoint"]
        commands = {"Python's own start": [sys.executable, "-c", ""]}
        asked = {"the rules alone": "rules"} | ({"the network": checkpoint} if checkpoint else {})
        for name, which in asked.items():
            commands[name] = [sys.executable, "-c", scoring, *rules, which]
        yield from _cold_lines(commands, n_runs)


def _cold_lines(commands: Mapping[str, Sequence[str]], n_runs: int) -> Iterator[str]:
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    peaks = dict.fromkeys(commands, 0.0)
    for _ in range(n_runs):
        for name, command in commands.items():
            said = subprocess.run(  # noqa: S603
                [sys.executable, "-c", _MEASURED, *command],
                check=True,
                capture_output=True,
                text=True,
            )
            taken, kib = said.stdout.split()
            seconds[name].append(float(taken))
            peaks[name] = max(peaks[name], float(kib) / 1024)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    own = medians.pop("Python's own start")
    yield f"| Python's own start | {own:.2f} s |"
    for name, median in medians.items():
        yield (
            f"| cold start of `rupture score`, {N_TURNS} turns, {name}, no torch | {median:.2f} s "
            f"({median - own:.2f} s over Python's own), peak {peaks[name]:.0f} MiB |"
        )


def warm(detector: Detector, vtt: str, what: str, n_runs: int) -> Iterator[str]:
    """VTT to report JSON in a process that is warm."""

    def whole() -> str:
        return detector.analyze(read_transcript(vtt), therapist=THERAPIST).to_json()

    taken = median_s(whole, n_runs)
    yield (
        f"| {N_TURNS} turns, VTT to report JSON, warm, {what} | {taken * 1000:.0f} ms, "
        f"{N_TURNS / taken:,.0f} turns a second |"
    )


def slope(detector: Detector, what: str, sizes: Sequence[int], n_runs: int) -> Iterator[str]:
    """The cost a turn of short and long sessions; the same means that it is linear.

    Beside it the turns of which the network alone found something: each is read again for every
    word that is left out, to say which words moved it. Sessions of more than 1,000 turns are
    scored once: they take minutes, and average by themselves.
    """
    for n_turns in sizes:
        longer = session_of(n_turns)
        n = 1 if n_turns > 1000 else n_runs
        found: list[Report] = []
        one = median_s(
            lambda longer=longer, found=found: found.append(detector.analyze(longer)),  # type: ignore[misc]
            n,
            is_warm=n == 1,
        )
        n_explained = sum(
            any(marker.source == NETWORK for marker in turn.markers) for turn in found[-1].turns
        )
        said = f", {n_explained} turns explained" if n_explained else ""
        yield f"| {n_turns:,} turns, warm, {what}: ms a turn | {one / n_turns * 1000:.2f}{said} |"


def measure(
    checkpoint: str | None, *, sizes: Sequence[int] = SLOPE, n_runs: int = N_RUNS
) -> Iterator[str]:
    """The lines of the table, rules first.

    Args:
        checkpoint: a name, a folder, or None: then the rules stand alone.
        sizes: turns of the sessions of the slope.
        n_runs: of which the median is taken; of the slope, three at most.
    """
    vtt = as_vtt(session_of(N_TURNS))
    detectors = {"the rules alone": Detector.load("rules")}
    if checkpoint:
        detectors["the network"] = Detector.load(checkpoint)
    for what, detector in detectors.items():
        yield from warm(detector, vtt, what, n_runs)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "session.vtt"
        path.write_text(vtt, encoding="utf-8")
        yield from cold_start(path, checkpoint, n_runs)
    for what, detector in detectors.items():
        yield from slope(detector, what, sizes, min(n_runs, 3))


@told()
def command(
    checkpoint: Annotated[
        str | None, typer.Option(help="A checkpoint's name or folder; default: the one in use.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="Folder of the base encoder, for the usual way beside it.")
    ] = None,
    longest: Annotated[int, typer.Option(help="Most turns of a session.")] = SLOPE[-1],
    runs: Annotated[int, typer.Option(min=1, help="Runs that a median is of.")] = N_RUNS,
) -> None:
    """Turns a second, cold start and peak memory, with the network and without."""
    try:
        chosen = checkpoint or registry.current_name()
        typer.echo(
            f"Python {platform.python_version()}, {platform.machine()}, medians of {runs} runs. "
            "Absolute times are of this machine alone.\n\n| what | measured |\n|---|---|"
        )
        sizes = [size for size in SLOPE if size <= longest]
        for line in measure(chosen, sizes=sizes, n_runs=runs):
            typer.echo(line)
        if chosen and base:
            from training import rivals

            for line in rivals.measure(chosen, base, session_of(N_TURNS), n_runs=min(runs, 3)):
                typer.echo(line)
    except ModelError as error:
        raise TrainingDataError(str(error)) from None
    if not chosen:
        typer.echo("\nThere is no checkpoint yet: the network was not measured.")
    elif not base:
        typer.echo("\nThe usual way was not measured: name the base encoder with --base.")


if __name__ == "__main__":
    typer.run(command)
