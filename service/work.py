"""What a worker does with a job and with a delivery: one try of it, in plain methods.

They return words and raise nothing, for what they return is kept (service/jobs.py). A try that
fails for a reason that may pass puts the next one into the queue in the transaction that notes how
this one ended.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import RowMapping

from detector.errors import DetectorError
from models.errors import ModelError
from service import tables, webhooks
from service.destinations import guard_of
from service.errors import Gone, NotFound, Unavailable, code_of
from service.house import House
from service.observe import Metrics
from service.queues import DELIVERING, SCORING, DurableQueue, workflow_id
from service.records import Records
from service.store import Transaction
from service.tracing import Spans

if TYPE_CHECKING:
    from detector import Detector

RETRY_S = (1.0, 10.0, 60.0)
"""Waits between tries of a job that failed for a reason that may pass."""

DEATHS_PER_TRY = 5
"""So many times `max_attempts` may a job be begun before it is held for what kills its workers. A
judgement: an unlucky job is begun anew a few times; one that fills the memory, each time."""

Lost = tuple[str, str, str, int]
"""Work that may be lost: its queue, tenant and id, and the number of the try that is due."""

log = logging.getLogger(__name__)


class Work:
    """What a worker's steps do, in plain methods. One a process, see `Worker`."""

    def __init__(
        self,
        house: House,
        records: Records,
        queue: DurableQueue,
        metrics: Metrics | None = None,
        spans: Spans | None = None,
    ) -> None:
        self.house, self.records, self.queue = house, records, queue
        self.metrics, self.spans = metrics or Metrics(dict), spans or Spans()
        self.guard = guard_of(house.settings)
        self._lock = threading.Lock()
        self._detectors: dict[str, Detector] = {}
        self._busy: set[str] = set()
        self._begun: dict[str, float] = {}

    @contextmanager
    def busy(self, workflow_id: str) -> Iterator[None]:
        """Notes that this process runs a workflow, while it does."""
        self._busy.add(workflow_id)
        try:
            yield
        finally:
            self._busy.discard(workflow_id)

    def runs(self, workflow_id: str) -> bool:
        """Whether this process runs it."""
        return workflow_id in self._busy

    def longest_s(self) -> float:
        """Seconds for which the session that is scored longest just now has been; else 0."""
        begun = list(self._begun.values())  # one step: other threads begin and end meanwhile
        return time.monotonic() - min(begun) if begun else 0.0

    def detector(self, checkpoint: str) -> "Detector":
        """The detector of a checkpoint; "": the one that the settings name. Loaded once.

        Raises: ModelError: it cannot be used.
        """
        from detector import Detector

        name = checkpoint or self.house.settings.checkpoint
        with self._lock:
            if name not in self._detectors:
                threads = self.house.settings.threads
                self._detectors[name] = Detector.load(name or None, threads=threads)
            return self._detectors[name]

    # -- a job -------------------------------------------------------------------------------------

    def score(self, tenant_id: str, job_id: str, number: int = 1) -> str:
        """A job's try of this number. Returns: how it ended, in a word.

        done, failed, dead; again: the next try is in the queue; gone: nothing is to be done; away:
        nothing can be noted now, call it again; stuck: nor may it ever be.
        """
        began = time.monotonic()
        with self.spans.span("job", tenant_id=tenant_id, job_id=job_id, attempt=number):
            try:
                ended = self._score(tenant_id, job_id, number)
            except NotFound:
                ended = "gone"
            except Unavailable:
                ended = "away"
            except Exception as error:  # nothing is to get past it, and no text
                said = {"error": type(error).__name__}
                log.error("the end of a job could not be noted", extra=said)
                ended = "stuck"
            self.spans.note(outcome=ended)
        outcome = "retried" if ended == "again" else ended
        if outcome in ("done", "failed", "dead", "retried"):
            self.metrics.jobs_ended[outcome].inc()
            self.metrics.job_seconds.observe(time.monotonic() - began)
        return ended

    def _score(self, tenant_id: str, job_id: str, number: int) -> str:
        try:
            begun = self._begin(tenant_id, job_id, number)
            if isinstance(begun, str):
                return begun
            job, session, data, options = begun
            self._begun[job_id] = time.monotonic()
            try:
                report = self._analyze(job["checkpoint"], data, options, session["attendance"])
            finally:
                self._begun.pop(job_id, None)
            return self._end(tenant_id, job_id, report)
        except (NotFound, Unavailable):
            raise
        except (DetectorError, ModelError) as error:
            return self._fail(tenant_id, job_id, code_of(error))
        except Exception as error:  # whatever it was, the job must not be lost
            log.error("a job's try failed", extra={"error": type(error).__name__})
            return self._put_off(tenant_id, job_id, number, code_of(error))

    def _begin(
        self, tenant_id: str, job_id: str, number: int
    ) -> tuple[RowMapping, RowMapping, bytes, dict[str, Any]] | str:
        """Job, session, its file and options; or a word, where it is not to be scored."""
        with self.house.store.transaction(tenant_id) as tx:
            job, row = self._locked(tx, job_id)
            if job["status"] not in ("queued", "running") or job["n_failed"] != number - 1:
                return "gone"
            now, n = self.house.clock(), job["n_attempts"]
            if n >= self.house.settings.max_attempts * DEATHS_PER_TRY:
                self.records.fail(tx, job, row, {"code": "worker_died"}, "dead", now)
                return "dead"
            try:
                data, options = self.records.read_for_scoring(tx, row)
            except Gone:
                tx.change(tables.jobs, job_id, status="cancelled", updated_at=now)
                ended = {"status": "cancelled", "version": row["version"] + 1, "updated_at": now}
                tx.change(tables.sessions, row["id"], {"status": row["status"]}, **ended)
                return "gone"
            tx.change(tables.jobs, job_id, status="running", n_attempts=n + 1, updated_at=now)
            tx.change(tables.sessions, row["id"], {"status": "queued"}, status="running")
            tx.begin_turn(job["turn"])
            return job, row, data, options

    def _locked(self, tx: Transaction, job_id: str) -> tuple[RowMapping, RowMapping]:
        """A job's row and its session's, both locked, the session's first (Transaction.get)."""
        session_id = tx.get(tables.jobs, job_id)["session_id"]
        row = tx.get(tables.sessions, session_id, lock=True)
        return tx.get(tables.jobs, job_id, lock=True), row

    def _analyze(
        self, checkpoint: str, data: bytes, options: dict[str, Any], attendance: str | None
    ) -> dict[str, Any]:
        from detector import read_transcript

        return (
            self.detector(checkpoint)
            .analyze(
                read_transcript(data, filename=options.get("file") or None),
                roles=options.get("roles"),
                therapist=options.get("therapist"),
                attendance=attendance,
                window_s=float(options.get("window_s") or 300.0),
            )
            .to_dict()
        )

    def _end(self, tenant_id: str, job_id: str, report: dict[str, Any]) -> str:
        with self.house.store.transaction(tenant_id) as tx:
            job, row = self._locked(tx, job_id)
            if job["status"] != "running":
                return "gone"  # cancelled, erased, or done by another meanwhile
            self.records.finish(tx, job, row, report, self.house.clock())
        self.metrics.turns_scored.inc(len(report["turns"]))
        self.spans.note(session_id=row["id"], n_turns=len(report["turns"]))
        return "done"

    def _fail(self, tenant_id: str, job_id: str, code: str) -> str:
        """By the transcript's fault: no other try would end otherwise."""
        with self.house.store.transaction(tenant_id) as tx:
            job, row = self._locked(tx, job_id)
            if job["status"] != "running":
                return "gone"
            self.records.fail(tx, job, row, {"code": code}, "failed", self.house.clock())
        return "failed"

    def _put_off(self, tenant_id: str, job_id: str, number: int, code: str) -> str:
        """By ours: the next try is put into the queue, or the job among the dead."""
        with self.house.store.transaction(tenant_id) as tx:
            job, row = self._locked(tx, job_id)
            if job["status"] not in ("queued", "running") or job["n_failed"] != number - 1:
                return "gone"
            now = self.house.clock()
            tx.change(tables.jobs, job_id, n_failed=number, updated_at=now)
            if number >= self.house.settings.max_attempts:
                problem = {"code": "too_many_attempts", "last": code}
                self.records.fail(tx, job, row, problem, "dead", now)
                return "dead"
            tx.change(tables.jobs, job_id, status="queued")
            tx.change(tables.sessions, row["id"], {"status": "running"}, status="queued")
            wait_s = RETRY_S[min(number, len(RETRY_S)) - 1]
            self.queue.score(tx, job_id, job["turn"], number=number + 1, wait_s=wait_s)
        return "again"

    # -- what was lost -----------------------------------------------------------------------------

    def unfinished(self) -> dict[str, Lost]:
        """Every job and delivery that has not come to its end, by the workflow that is due."""
        jobs, told = tables.jobs, tables.deliveries
        found: dict[str, Lost] = {}
        with self.house.store.system() as tx:
            for one in tx.select(jobs, jobs.c.status.in_(("queued", "running"))):
                due = one["n_failed"] + 1
                found[workflow_id(one["id"], due)] = (SCORING, one["tenant_id"], one["id"], due)
            for one in tx.select(told, told.c.status == "waiting"):
                due = one["n_attempts"] + 1
                found[workflow_id(one["id"], due)] = (DELIVERING, one["tenant_id"], one["id"], due)
        return found

    def bury(self, lost: Lost) -> bool:
        """Ends work whose workflow is over and noted nothing: a job as a dead letter.

        Returns: whether; not where its end was noted after all. Raises: what notes it.
        """
        queue, tenant_id, id_, number = lost
        now, told = self.house.clock(), tables.deliveries
        with self.house.store.transaction(tenant_id) as tx:
            if queue == DELIVERING:
                row = tx.get(told, id_, lock=True)
                is_open = row["status"] == "waiting" and row["n_attempts"] == number - 1
                if is_open:
                    tx.change(told, id_, status="given_up", last_reason="stuck", updated_at=now)
                return bool(is_open)
            job, session = self._locked(tx, id_)
            is_open = job["status"] in ("queued", "running") and job["n_failed"] == number - 1
            if is_open:
                self.records.fail(tx, job, session, {"code": "stuck"}, "dead", now)
            return bool(is_open)

    # -- a delivery --------------------------------------------------------------------------------

    def deliver(self, tenant_id: str, delivery_id: str, number: int = 1) -> str:
        """A delivery's attempt of this number. Returns: how it ended, in a word.

        delivered, disabled, given_up; again: the next attempt is in the queue; gone: nothing is
        to be done; away: nothing can be noted now, call it again; stuck: nor may it ever be.
        """
        ids: dict[str, Any] = {"delivery_id": delivery_id, "attempt": number}
        with self.spans.span("delivery", tenant_id=tenant_id, **ids):
            try:
                came = self._attempt(tenant_id, delivery_id, number)
                ended = self._note(tenant_id, delivery_id, number, came) if came else "gone"
            except NotFound:
                ended = "gone"
            except Unavailable:
                ended = "away"
            except Exception as error:  # as in `score`
                log.error("an attempt could not be noted", extra={"error": type(error).__name__})
                ended = "stuck"
            self.spans.note(outcome=ended)
        return ended

    def _attempt(self, tenant_id: str, delivery_id: str, number: int) -> webhooks.Attempt | None:
        """What came of it; None: there is nothing to be sent any more."""
        try:
            with self.house.store.transaction(tenant_id) as tx:
                told = tx.get(tables.deliveries, delivery_id)
                if told["status"] != "waiting" or told["n_attempts"] != number - 1:
                    return None
                found = tx.select(tables.webhooks, tables.webhooks.c.id == told["webhook_id"])
                if not found or found[0]["disabled_at"]:
                    return webhooks.Attempt("disabled", "gone")
                kept = self.records.secrets(tx, found[0])
                status, at = self.records.happened(tx, told)
            return webhooks.attempt(
                found[0]["url"],
                message_id=delivery_id,
                body=webhooks.payload(told["event"], told["session_id"], status, at),
                secrets=kept,
                now=self.house.clock(),
                guard=self.guard,
            )
        except (NotFound, Unavailable):
            raise
        except Exception as error:  # an attempt like others: else it would be made for ever
            log.error("a delivery's attempt failed", extra={"error": type(error).__name__})
            return webhooks.Attempt("retry", "internal")

    def _note(self, tenant_id: str, delivery_id: str, number: int, ended: webhooks.Attempt) -> str:
        wait_s = webhooks.schedule(delivery_id, number, retry_after_s=ended.retry_after_s)
        # What the guard refuses is not tried again: an operator allows the network, and replays.
        last = {"delivered": "delivered", "disabled": "disabled", "refused": "given_up"}
        status = last.get(ended.outcome, "given_up" if wait_s is None else "waiting")
        now = self.house.clock()
        with self.house.store.transaction(tenant_id) as tx:
            told = tx.get(tables.deliveries, delivery_id, lock=True)
            if told["status"] != "waiting" or told["n_attempts"] != number - 1:
                return "gone"
            tx.change(
                tables.deliveries,
                delivery_id,
                status=status,
                n_attempts=number,
                last_reason=ended.reason,
                updated_at=now,
            )
            if status == "disabled":
                tx.change(
                    tables.webhooks, told["webhook_id"], {"disabled_at": None}, disabled_at=now
                )
            if status == "waiting":
                self.queue.deliver(tx, delivery_id, number=number + 1, wait_s=wait_s or 0.0)
        counted = {"waiting": "retried", "given_up": "dead"}
        outcome = "refused" if ended.outcome == "refused" else counted.get(status, status)
        self.metrics.webhooks[outcome].inc()
        return "again" if status == "waiting" else status
