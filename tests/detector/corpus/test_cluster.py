"""A real Dask scheduler and two workers, each a process of its own, on 127.0.0.1."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from detector.corpus.cluster import in_order
from detector.corpus.errors import ClusterAbsent, WorkerFailed
from detector.corpus.run import Progress, Summary, Workers
from detector.corpus.scoring import Work
from detector.corpus.sessions import Chunk

distributed = pytest.importorskip("distributed", reason="NOT TESTED: distributed not installed")

pytestmark = [
    # Its own sockets, closed when its loop ends and not before.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

ROOT = Path(__file__).parents[3]
Score = Callable[..., Summary]


@dataclass
class Cluster:
    """A scheduler's address and the workers' processes."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()


def started(*given: str, folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_TEMPORARY_DIRECTORY": str(folder)}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + given[0], *given[1:]],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=folder,
        )


def address_in(path: Path) -> str:
    end = time.monotonic() + 150
    while time.monotonic() < end:
        try:
            return str(json.loads(path.read_text())["address"])
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError("the scheduler did not start")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "dask"
    folder.mkdir()
    named = folder / "scheduler.json"
    where = ("--host", "127.0.0.1", "--no-dashboard")
    scheduler = started(
        "scheduler", *where, "--port", "0", "--scheduler-file", str(named), folder=folder
    )
    running = Cluster("", scheduler)
    try:
        running.address = address_in(named)
        plain = (*where, "--nthreads", "1", "--no-nanny")
        for _ in range(2):
            running.workers.append(started("worker", running.address, *plain, folder=folder))
        yield running
    finally:
        for process in (*running.workers, scheduler):
            process.kill()
            process.wait()


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
    corpus: Path, reports: Path, tmp_path: Path, score_corpus: Score, cluster: Cluster
) -> None:
    killed_at: list[int] = []

    def advance(progress: Progress) -> None:
        if progress.n_done >= 6 and not killed_at:
            killed_at.append(progress.n_done)
            cluster.kill(cluster.workers[0])

    out = tmp_path / "reports.parquet"
    workers = Workers(scheduler=cluster.address)
    done = score_corpus([corpus], out, workers=workers, most=1, advance=advance)
    assert killed_at == [6]
    assert (done.n_rows, done.n_problems) == (48, 0)
    assert out.read_bytes() == reports.read_bytes()
    # What the cluster writes down of its own accord has no word of a session.
    assert "helping" not in (tmp_path / "dask" / "log").read_text("utf-8", "replace")


def test_a_scheduler_that_goes_away_is_told_and_what_was_scored_is_kept(
    corpus: Path, tmp_path: Path, score_corpus: Score, cluster: Cluster
) -> None:
    def advance(progress: Progress) -> None:
        if progress.n_done == 3:
            cluster.kill(cluster.scheduler)

    workers = Workers(scheduler=cluster.address)
    with pytest.raises(ClusterAbsent, match="went away; run the same command again"):
        score_corpus([corpus], tmp_path / "r.parquet", workers=workers, most=1, advance=advance)
    assert len(list((tmp_path / "r.parquet.parts").glob("[!.]*.parquet"))) >= 3


def test_a_worker_of_another_version_ends_the_run_with_one_sentence(cluster: Cluster) -> None:
    from detector.batch import Request

    work = Work(Request(checkpoint="rules"), made_by="another")
    with pytest.raises(WorkerFailed, match="another version"):
        list(in_order(work, iter([Chunk((), ())]), cluster.address))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:{free}", "no scheduler is there (Connection refused)"),
        ("127.0.0.1:8786", "is no address like tcp://HOST:8786"),
        ("tcp://127.0.0.1:http", "is no address like tcp://HOST:8786"),
    ],
)
def test_a_scheduler_that_is_not_there_is_told_at_once(
    corpus: Path, tmp_path: Path, score_corpus: Score, address: str, said: str
) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        free = held.getsockname()[1]
    address = address.format(free=free)
    began = time.monotonic()
    with pytest.raises(ClusterAbsent) as caught:
        score_corpus([corpus], tmp_path / "reports.parquet", workers=Workers(scheduler=address))
    assert str(caught.value) == f"{address}: {said}"
    assert time.monotonic() - began < 20


def test_something_else_that_listens_is_no_scheduler() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ClusterAbsent, match="no Dask scheduler"):
            list(in_order(Work(_request()), iter(()), address))


def _request() -> Any:
    from detector.batch import Request

    return Request(checkpoint="rules")
