"""Work that survives: DBOS runs it, on SQLite or PostgreSQL, in the database of the sessions.

A job is put into the queue in the transaction that takes its session in. A worker may die at any
point: what was under way is done again, and does nothing twice (a report's id hangs on its job, a
message's on its delivery). What DBOS keeps are ids and code words as JSON, never a pickle and
never what somebody said; so steps return words and raise nothing (service/work.py).

Each try is a workflow of its own with a number. The row says which number is due, and the next one
is put into the queue in the transaction that notes how this one ended: a try that waits holds up
no other work, and none is made twice or forgotten. Only where the database itself is away, and
nothing can be noted, a workflow waits for it.

Upkeep comes round in a thread of its own (service/rounds.py), and holds up no work.

Who runs what: every worker says each few seconds that it lives. Work of one that fell silent is
put into the queue again by any other (`sweep`).
"""

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, islice, repeat
from typing import Any

from dbos import DBOS, DBOSConfig

from service import rounds, tables
from service.errors import ServiceError
from service.house import House
from service.observe import Metrics
from service.queues import DELIVERING, SCORING, DurableQueue, Words, count_jobs
from service.records import Records
from service.tracing import Spans, open_spans
from service.work import Work

VERSION = "1"
"""The same for ever: DBOS gives work only to workers of its own version. Newer code takes up older
jobs because a workflow keeps its name, takes its arguments, and is one step alone; what cannot is
a workflow of a new name, and the old one stays until its jobs are done."""

LEASE_S = 15.0
"""A worker that has said nothing for so long is taken for dead. What it had is done again; if it
lives after all, its effect is the same. A judgement: a scored session takes a second or two."""

BEAT_S = 3.0

AWAY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits while the database, or the KMS, is away; the last goes on until it is back."""

BURY_S = 60.0
"""How often work is looked for whose workflow is over and whose end is noted nowhere."""

STILL_S = 180.0
"""A loop that has done nothing for so long has stopped. DBOS waits at most 126 s between two looks
into its queue (120 s and its jitter)."""

SCORED_S = 1_800.0
"""A session that is scored for so long never ends. A judgement: a hundred times the longest."""

KEPT = timedelta(days=7)
"""How long DBOS's rows of ended work stay, for who looks into what happened."""

log = logging.getLogger(__name__)


_work: Work | None = None
"""Of this process: DBOS calls functions by name, so they must find it here."""


def _here() -> Work:
    assert _work is not None, "no worker was started in this process"  # noqa: S101
    return _work


@DBOS.step()
def _score(tenant_id: str, job_id: str, number: int) -> str:
    return _here().score(tenant_id, job_id, number)


@DBOS.step()
def _deliver(tenant_id: str, delivery_id: str, number: int) -> str:
    return _here().deliver(tenant_id, delivery_id, number)


@DBOS.workflow(name="score_session")
def score_session(tenant_id: str, job_id: str, number: int = 1) -> str:
    """One try of a job."""
    return _patiently(lambda: _score(tenant_id, job_id, number))


@DBOS.workflow(name="deliver_webhook")
def deliver_webhook(tenant_id: str, delivery_id: str, number: int = 1) -> str:
    """One attempt of a delivery."""
    return _patiently(lambda: _deliver(tenant_id, delivery_id, number))


def _patiently(step: Callable[[], str]) -> str:
    """What the step says, once it was able to say it.

    Who is stuck is asked a few times; what then is noted nowhere, `Worker.bury` ends.
    """
    with _here().busy(str(DBOS.workflow_id)):
        for number, wait_s in enumerate(chain(AWAY_S, repeat(AWAY_S[-1])), start=1):
            told = step()
            if told != "away" and not (told == "stuck" and number < len(AWAY_S)):
                break
            DBOS.sleep(wait_s)
        return told


class Worker:
    """This process as a worker: `start` it once, `stop` lets what runs come to its end."""

    def __init__(self, house: House, spans: Spans | None = None) -> None:
        self.house, self.spans = house, spans or open_spans(house.settings)
        self.queue = DurableQueue(house.settings.database_url)
        self.metrics = Metrics(lambda: count_jobs(house))
        records = Records(house, self.queue)
        self.work = Work(house, records, self.queue, self.metrics, self.spans)
        self.name = f"{os.uname().nodename[:20]}-{os.getpid()}-{secrets.token_hex(3)}"
        self._stopping = threading.Event()
        self._alive = threading.Thread(target=self._keep_alive, daemon=True)
        self._keeping = threading.Thread(target=self._keep_up, daemon=True)
        self._missed: dict[str, float] = {}
        # When each loop did something last; a database that is away stops DBOS's, and is no end.
        self._beaten = time.monotonic()
        self._polled = dict.fromkeys((SCORING, DELIVERING), self._beaten)

    @property
    def is_alive(self) -> bool:
        """Whether its loops did something lately, and no session is scored for ever."""
        still = time.monotonic() - min(self._beaten, *self._polled.values())
        return still < STILL_S and self.work.longest_s() < SCORED_S

    def start(self, *, warm: bool = True) -> None:
        """Takes work from now on. With `warm` the model is loaded before the first job.

        Raises: ModelError: the checkpoint cannot be used. VaultError: the root key opens no
            tenant's key. Unavailable: the database is away.
        """
        global _work
        _work = self.work
        self._try_keys()
        if warm:
            self.work.detector("")
        with self.house.store.system() as tx:
            tx.beat(self.name)  # first: who has work and is not among the living is robbed of it
        dbos = DBOS(config=_config(self.house.settings.database_url, self.name))
        DBOS.launch()
        self._hold(dbos)
        DBOS.register_queue(SCORING, worker_concurrency=1, polling_interval_sec=0.1)
        DBOS.register_queue(DELIVERING, worker_concurrency=8, polling_interval_sec=0.25)
        self.sweep()
        self._alive.start()
        if self.house.settings.upkeep_minutes:
            self._keeping.start()

    def _hold(self, dbos: DBOS) -> None:
        """Gives DBOS's loop our own concurrency, and notes that the loop goes.

        DBOS 3.4 keeps a queue's settings in one row for all workers and reads it at every look
        into the queue: who started last would set everybody's. So the row says 1, and the number
        of this process is put in where the row is read. A DBOS that reads it by another way takes
        one session at a time, too few and never too many.
        """
        own, read = self.house.settings.concurrency, dbos._sys_db.get_queue

        def get_queue(name: str, **more: Any) -> Any:
            self._polled[name] = time.monotonic()
            queue = read(name, **more)
            if queue is not None and name == SCORING:
                queue._worker_concurrency = own
            return queue

        dbos._sys_db.get_queue = get_queue  # type: ignore[method-assign]

    def _try_keys(self) -> None:
        """With another root key every job would fail, one by one."""
        with self.house.store.system() as tx:
            for tenant in tx.select(
                tables.tenants, tables.tenants.c.key_blob.is_not(None), limit=1
            ):
                self.house.vault.new_session_key(tenant["key_blob"], tenant["tenant_id"], "probe")

    def stop(self, *, grace_s: int = 30) -> None:
        """Takes no more work, waits for what runs, and leaves the rest to others."""
        DBOS.destroy(workflow_completion_timeout_sec=grace_s)  # with signs of life until the end
        self._stopping.set()
        if self._alive.is_alive():
            self._alive.join()
        if self._keeping.is_alive():
            self._keeping.join(grace_s)  # what it leaves, the next round does
        self.queue.close()
        self.spans.close()
        try:
            with self.house.store.system() as tx:
                tx.forget_worker(self.name)
        except ServiceError:
            pass  # the database is away: others find out by our silence

    def _keep_alive(self) -> None:
        swept = buried = time.monotonic()
        while not self._stopping.wait(BEAT_S):
            self._beaten = time.monotonic()
            try:
                with self.house.store.system() as tx:
                    tx.beat(self.name)
                self.sweep()
                if time.monotonic() - buried > BURY_S:
                    buried = time.monotonic()
                    self.bury()
                if time.monotonic() - swept > _FORGET_S:
                    swept = time.monotonic()
                    forget()
            except Exception as error:  # the database may be away for a minute; then it goes on
                log.warning("no sign of life could be given", extra={"error": type(error).__name__})
                # DBOS's loops may wait for it too.
                self._polled = dict.fromkeys(self._polled, time.monotonic())

    def _keep_up(self) -> None:
        while True:
            try:
                rounds.turn(self.house, self.queue)
            except Exception as error:  # whatever it was, the next round comes
                log.error("a round of upkeep failed", extra={"error": type(error).__name__})
            if self._stopping.wait(rounds.LOOK_S):
                return

    def sweep(self) -> int:
        """Puts lost work into the queue again; returns how much.

        That is of workers that fell silent, and our own that was given to us and never began:
        the database went away in between.
        """
        with self.house.store.system() as tx:
            living = tx.living_workers(LEASE_S)
        pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        lost = [one for one in pending if one.executor_id not in living or self._is_missed(one)]
        self._missed = {
            one.workflow_id: self._missed.get(one.workflow_id, time.monotonic())
            for one in pending
            if one.executor_id == self.name and not self.work.runs(one.workflow_id)
        }
        for queue in (SCORING, DELIVERING):
            if ids := [one.workflow_id for one in lost if one.queue_name == queue]:
                DBOS.resume_workflows(ids, queue_name=queue)
        return len(lost)

    def bury(self) -> int:
        """Ends work whose workflow is over and noted nothing; returns how much.

        A step that was `stuck` leaves it so. What cannot be noted now is tried the next time.
        """
        unfinished, n = self.work.unfinished(), 0
        for some in batched(unfinished, 500):
            found = DBOS.list_workflows(
                workflow_ids=some, status=_GOING, load_input=False, load_output=False
            )
            for lost in set(some).difference(one.workflow_id for one in found):
                try:
                    n += self.work.bury(unfinished[lost])
                except Exception as error:  # one that cannot be noted holds up no other
                    said = {"error": type(error).__name__}
                    log.error("lost work could not be ended", extra=said)
        return n

    def _is_missed(self, one: Any) -> bool:
        since = self._missed.get(one.workflow_id)
        return (
            since is not None
            and one.executor_id == self.name
            and not self.work.runs(one.workflow_id)
            and time.monotonic() - since > LEASE_S
        )


_FORGET_S = 3600.0
_GOING = ["ENQUEUED", "DELAYED", "PENDING"]


def batched(ids: Iterable[str], n: int) -> Iterator[list[str]]:
    """So many ids at a time, in order."""
    left = iter(ids)
    while some := list(islice(left, n)):
        yield some


def forget(kept: timedelta = KEPT) -> int:
    """Drops DBOS's rows of work that ended so long ago; returns how many."""
    before = (datetime.now(UTC) - kept).isoformat()
    n = 0
    while ended := DBOS.list_workflows(
        status=["SUCCESS", "ERROR", "CANCELLED"],
        completed_before=before,
        limit=500,
        load_input=False,
        load_output=False,
    ):
        DBOS.delete_workflows([one.workflow_id for one in ended])
        n += len(ended)
    return n


def _config(url: str, name: str) -> DBOSConfig:
    return {
        "name": "rupture",
        "system_database_url": url,
        "serializer": Words(),
        "application_version": VERSION,
        "executor_id": name,
        "log_level": "ERROR",
        "enable_otlp": False,
    }
