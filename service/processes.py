"""The service's processes: a worker, and the workers that `rupture serve` starts beside the API."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO

from service.settings import Settings

EXIT_UNUSABLE = 3
"""Of every command: something cannot be used, and a line said what."""

SIGNS = (signal.SIGTERM, signal.SIGINT)
"""Both ask to end: what runs may come to its end."""

GRACE_S = 10
"""How long what runs may go on after SIGTERM. A judgement: a scored session takes a second or two,
and what is cut off is done again."""

KILL_S = 3 * GRACE_S
"""When a worker that does not end is killed: after its grace it has its connections to close."""

AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before a worker that died is started again; the last one stays."""

log = logging.getLogger(__name__)


def set_up(settings: Settings) -> None:
    """The log, in the form that the settings say."""
    from service.observe import set_up_logging

    set_up_logging(console=None if settings.log == "auto" else settings.log == "console")


class Workers:
    """Worker processes beside the API. One that dies is started again; none outlives this one.

    Each holds the reading end of a pipe as its standard input. When it ends, because this process
    did, however that came, the worker ends too.

    Args:
        n: how many.
        environment: theirs.
        give_up: called where one says that it cannot work, such as without its checkpoint.
        port: at which the first answers (service.probe), the others at those after it; 0: none.
    """

    def __init__(
        self, n: int, environment: Mapping[str, str], give_up: Callable[[], None], port: int = 0
    ) -> None:
        self._environment, self._give_up, self._port = dict(environment), give_up, port
        self._ending, self.are_unusable = threading.Event(), False
        self._all = [self._start(place) for place in range(n)]
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def _start(self, place: int) -> "subprocess.Popen[bytes]":
        # -P: a folder named `service` where somebody stands is not ours.
        command = [sys.executable, "-P", "-m", "service.worker"]
        port = str(self._port + place if self._port else 0)
        return subprocess.Popen(  # noqa: S603 - our own Python, our own module
            command,
            stdin=subprocess.PIPE,
            env={**self._environment, "RUPTURE_WORKER_PORT": port},
        )

    def _watch(self) -> None:
        n_died = 0
        while not self._ending.wait(0.2):
            for place, one in enumerate(self._all):
                if one.poll() is None:
                    continue
                if one.returncode == EXIT_UNUSABLE:
                    self.are_unusable = True
                    self._give_up()
                    return
                log.error("a worker ended and is started again")
                if self._ending.wait(AGAIN_S[min(n_died, len(AGAIN_S) - 1)]):
                    return
                self._all[place], n_died = self._start(place), n_died + 1

    def end(self) -> None:
        """Lets what runs come to its end, for GRACE_S, then kills what is left."""
        self._ending.set()
        self._watching.join()
        for one in self._all:
            one.terminate()
        until = time.monotonic() + KILL_S
        for one in self._all:
            try:
                one.wait(timeout=max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()


def run_worker(settings: Settings, *, until: IO[bytes] | None = None) -> None:
    """A worker, until SIGTERM or SIGINT, or until `until` ends. It ends the process, with 0.

    Raises: ServiceError, ModelError, SQLAlchemyError, OSError: it cannot start.
    """
    from service.house import open_house
    from service.jobs import Worker
    from service.probe import Probe
    from service.queues import make_tables

    set_up(settings)
    ended = threading.Event()
    for sign in SIGNS:
        signal.signal(sign, lambda *_: ended.set())
    if until is not None:
        threading.Thread(target=_when_it_ends, args=(until, ended.set), daemon=True).start()
    house = open_house(settings)
    make_tables(settings.database_url)
    own = Worker(house)
    if settings.worker_port:
        Probe(settings.host, settings.worker_port, lambda: own.is_alive, own.metrics)
    own.start()
    ended.wait()
    own.stop(grace_s=GRACE_S)
    house.store.close()
    # What was cut off may wait for the database in a thread that Python would wait for in turn.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _when_it_ends(stream: IO[bytes], then: Callable[[], None]) -> None:
    while stream.read(4096):
        pass
    then()
