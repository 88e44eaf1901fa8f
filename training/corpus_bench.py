"""Rate and memory of `rupture corpus score` at two sizes, for `make bench`: nothing is asserted.

Invented sessions are scored by the rules, each size in a fresh process: where memory is flat, the
peaks of both sizes are alike. What else the machine does is in the load that is printed.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

SIZES = (50, 400)

_INVENT = (
    "import sys; from pathlib import Path; from training.invent import command\n"
    "command(int(sys.argv[1]), Path(sys.argv[2]))\n"
)
_SCORE = (
    "import json, resource, sys, time\n"
    "from pathlib import Path\n"
    "from detector import batch\n"
    "from detector.corpus.run import Workers, score\n"
    "if __name__ == '__main__':\n"
    "    begun, out = time.perf_counter(), Path(sys.argv[2])\n"
    "    request = batch.Request(checkpoint='rules', threads=1)\n"
    "    done = score([sys.argv[1]], out, request, workers=Workers(int(sys.argv[3])))\n"
    "    taken = time.perf_counter() - begun\n"
    "    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024\n"
    "    status = Path('/proc/self/status').read_text()\n"
    "    own = int(status.split('VmHWM:')[1].split()[0]) / 1024\n"
    "    import pyarrow.parquet as pq\n"
    "    turns = sum(pq.read_table(out, columns=['n_turns'])['n_turns'].to_pylist())\n"
    "    print(json.dumps({'sessions': done.n_rows, 'turns': turns, 'seconds': taken,\n"
    "        'own': own, 'workers': workers, 'bytes': out.stat().st_size}))\n"
)
"""In processes of their own. Its own peak is read from Linux's /proc: what `getrusage` tells of a
process counts what its parent had when it began."""


def scored(n_sessions: int, workers: int) -> dict[str, Any]:
    """What one run took: seconds, and peak MiB of the main process and of the largest worker."""
    with TemporaryDirectory() as folder:
        corpus, out = Path(folder) / "invented.jsonl", Path(folder) / "reports.parquet"
        _run([_INVENT, str(n_sessions), str(corpus)], folder)
        return dict(json.loads(_run([_SCORE, str(corpus), str(out), str(workers)], folder)))


def _run(given: Sequence[str], folder: str) -> str:
    # From a file: a worker of some systems begins by importing what began it.
    code, *rest = given
    script = Path(folder) / "script.py"
    script.write_text(code, encoding="utf-8")
    # These packages first: what this process put on its path may hold a folder `models` too.
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    done = subprocess.run(  # noqa: S603
        [sys.executable, str(script), *rest], check=True, stdout=subprocess.PIPE, text=True, env=env
    )
    return done.stdout


def lines(sizes: Sequence[int], workers: int) -> Iterator[str]:
    """The table: a line a size, and the load of the machine before and after."""
    yield (
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"{workers} workers, rules; load before: {_load()}.\n"
    )
    yield "| sessions | seconds | sessions/s | turns/s | main process | largest worker | reports |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    for n_sessions in sizes:
        found = scored(n_sessions, workers)
        taken = found["seconds"]
        worker = f"{found['workers']:.0f} MiB" if workers > 1 else "–"
        yield (
            f"| {found['sessions']:,} | {taken:.0f} | {found['sessions'] / taken:.2f} "
            f"| {found['turns'] / taken:.0f} | {found['own']:.0f} MiB | {worker} "
            f"| {found['bytes'] / 1e6:.2f} MB |"
        )
    yield f"\nLoad after: {_load()}. Times are of this machine alone, with all that ran on it."


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def command(
    sizes: Annotated[list[int] | None, typer.Argument(min=1, help="Sessions of each run.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Sessions and turns a second, and peak memory, of a small and a bigger corpus."""
    for line in lines(sizes or SIZES, workers):
        typer.echo(line)


if __name__ == "__main__":
    typer.run(command)
