"""How much the service carries on this machine: `python -m service.bench`. Nothing is asserted.

It starts `rupture serve` as anybody would, on the database that RUPTURE_DATABASE names (SQLite
where it names none; `deploy/with-postgres.sh` starts a PostgreSQL for it), and asks it over HTTP.
Who asks runs on the same machine, and takes its share of it: what is measured is a floor.
"""

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from service.load import Place, Service, a_place, running, seeming, transcript


def percentile(values: list[float], share: float) -> float:
    """The value that this share of all lie below; NaN of none."""
    kept = sorted(values)
    return kept[min(int(share * len(kept)), len(kept) - 1)] if kept else float("nan")


def scored_a_minute(service: Service, data: bytes, n: int) -> float:
    """Sessions a minute from the first that is handed in to the last report, all at once."""
    with service.again() as own:
        begun = time.perf_counter()
        for _ in range(n):
            own.hand_in(data)
        own.until_done()
        return n / (time.perf_counter() - begun) * 60


@contextmanager
def meanwhile(run: Callable[[], float], rest_s: float) -> Iterator[list[float]]:
    """Calls it again and again beside what the block does, and keeps what it gave."""
    ended, kept = threading.Event(), list[float]()

    def on_and_on() -> None:
        while not ended.wait(rest_s):
            kept.append(run())

    thread = threading.Thread(target=on_and_on)
    thread.start()
    try:
        yield kept
    finally:
        ended.set()
        thread.join()


def reads_a_second(
    service: Service, path: str, seconds: float, n_connections: int
) -> tuple[float, list[float]]:
    """How many reads of a path are answered a second, and the seconds of each."""
    until = time.perf_counter() + seconds

    def one(_number: int) -> list[float]:
        taken = list[float]()
        with service.again() as own:
            while time.perf_counter() < until:
                status, _, took = own.ask("GET", path)
                if status != 200:
                    raise SystemExit(f"a read was refused: {status}")
                taken.append(took)
        return taken

    begun = time.perf_counter()
    with ThreadPoolExecutor(n_connections) as pool:
        found = list(pool.map(one, range(n_connections)))
    all_of_them = [one for taken in found for one in taken]
    return len(all_of_them) / (time.perf_counter() - begun), all_of_them


def measure(
    place: Place,
    *,
    n_sessions: int,
    n_turns: int,
    seconds: float,
    seeming_workers: tuple[int, ...] = (1, 2, 4, 8),
) -> Iterator[str]:
    """The lines of the table.

    Args:
        place: keys and a tenant.
        n_sessions: that are handed in for each figure of throughput.
        n_turns: of each of them.
        seconds: that reads are asked for.
        seeming_workers: how many of those that only wait there are, one after the other.
    """
    data = transcript(n_turns)
    with running(place, 1) as service:
        service.hand_in(data)
        service.until_done()  # the worker has loaded its model
        yield from _reads(service, data, seconds)
        yield from _scoring(service, data, n_sessions)
    rates = []
    for workers in (1, 2):
        with running(place, workers) as service:
            for _ in range(2 * workers):
                service.hand_in(data)
            service.until_done()
            rates.append(scored_a_minute(service, data, n_sessions))
    yield _row("two workers against one, on these cores", f"{rates[1] / rates[0]:.2f}x")
    yield from _simulated(place, data, n_sessions, seeming_workers)


def _reads(service: Service, data: bytes, seconds: float) -> Iterator[str]:
    session_id, _ = service.hand_in(data)
    service.until_done()
    path = f"/v1/sessions/{session_id}"
    for what, where in (
        ("`/livez`", "/livez"),
        ("a session's status", path),
        ("a report", f"{path}/report"),
    ):
        rate, each = reads_a_second(service, where, seconds, 8)
        p99 = percentile(each, 0.99) * 1000
        yield _row(
            f"{what}, 8 connections, nothing scored", f"{rate:,.0f} a second, p99 {p99:.0f} ms"
        )


def _scoring(service: Service, data: bytes, n: int) -> Iterator[str]:
    """Scoring flat out, asked for a sign of life all the while; then sessions that come singly."""
    with (
        service.again() as other,
        meanwhile(lambda: other.ask("GET", "/livez")[2], 0.01) as signs,
    ):
        rate = scored_a_minute(service, data, n)
    n_cues = data.count(b"-->")
    yield _row(f"sessions of {n_cues} turns, end to end, one worker", f"{rate:.0f} a minute")
    yield _row(
        "`/livez` meanwhile",
        f"p50 {percentile(signs, 0.5) * 1000:.1f} ms, p99 {percentile(signs, 0.99) * 1000:.0f} ms",
    )
    taken = []
    with service.again() as own:
        for _ in range(n):
            taken.append(own.hand_in(data)[1])
            time.sleep(0.2)
        own.until_done()
    yield _row(
        "handing a session in while others are scored",
        f"p50 {percentile(taken, 0.5) * 1000:.0f} ms, p95 {percentile(taken, 0.95) * 1000:.0f} ms",
    )


def _simulated(place: Place, data: bytes, n: int, crowds: tuple[int, ...]) -> Iterator[str]:
    """What the queue lets through where workers do not share cores."""
    rates = {}
    with running(place, 0) as service:
        for workers in crowds:
            with seeming(place, workers, 1.0):
                for _ in range(workers):
                    service.hand_in(data)
                service.until_done()
                rates[workers] = scored_a_minute(service, data, n)
    said = ", ".join(f"{n}: {rate / rates[crowds[0]]:.1f}x" for n, rate in rates.items())
    yield _row("workers that wait a second for a session in place of scoring it", said)


def soak(place: Place, *, minutes: float, n_turns: int) -> Iterator[str]:
    """Lines of a table: each tenth of the time, what was scored and what the processes hold.

    Sessions are handed in so that four wait at most. A service that leaks shows it here.
    """
    data, every_s = transcript(n_turns), minutes * 6
    with running(place, 1) as service:
        for part in range(10):
            began, n = time.perf_counter(), 0
            while time.perf_counter() - began < every_s:
                if service.n_waiting() < 4:
                    service.hand_in(data)
                    n += 1
                else:
                    time.sleep(0.2)
            held = ", ".join(f"{mib:.0f} MiB and {n_open} files" for mib, n_open in _held(service))
            yield _row(f"part {part + 1} of 10", f"{n} sessions; API and worker hold {held}")
        service.until_done()


def _held(service: Service) -> Iterator[tuple[float, int]]:
    """Memory in MiB, and open files, of the service's own processes: the API first."""
    for one in (service.process, *sorted(_below(service.process))):
        folder = Path(f"/proc/{one}")
        pages = int((folder / "statm").read_text().split()[1])
        yield pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(list((folder / "fd").iterdir()))


def _below(process: int) -> Iterator[int]:
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from _below(int(child))


def _row(what: str, measured: str) -> str:
    return f"| {what} | {measured} |"


def command(
    sessions: Annotated[int, typer.Option(help="Sessions for each figure of throughput.")] = 60,
    turns: Annotated[int, typer.Option(help="Turns of a session.")] = 400,
    seconds: Annotated[float, typer.Option(help="For which reads are asked for.")] = 10.0,
    checkpoint: Annotated[str, typer.Option(help="Checkpoint; empty: the one in use.")] = "",
    soaked: Annotated[
        float, typer.Option("--soak", help="Minutes of steady load instead (Linux); 0: none.")
    ] = 0.0,
) -> None:
    """Sessions a minute, reads a second, and how long a sign of life takes meanwhile."""
    kind = "PostgreSQL" if "postgres" in os.environ.get("RUPTURE_DATABASE", "") else "SQLite"
    typer.echo(
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"{kind}; who asks is on the same machine.\n\n| what | measured |\n|---|---|"
    )
    with a_place(checkpoint) as place:
        lines = measure(place, n_sessions=sessions, n_turns=turns, seconds=seconds)
        for line in soak(place, minutes=soaked, n_turns=turns) if soaked else lines:
            typer.echo(line)


if __name__ == "__main__":
    typer.run(command)
