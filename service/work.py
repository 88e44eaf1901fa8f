"""What a worker does with a job and with a delivery: one try of it, in plain methods.

They return words and raise nothing, for what they return is kept (service/jobs.py). A try that
fails for a reason that may pass puts the next one into the queue in the transaction that notes how
this one ended.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import RowMapping

from detector.errors import DetectorError
from models.errors import ModelError
from service import tables, webhooks
from service.destinations import Guard
from service.errors import Gone, NotFound, Unavailable, code_of
from service.house import House
from service.queues import DurableQueue
from service.records import Records
from service.store import Transaction

if TYPE_CHECKING:
    from detector import Detector

RETRY_S = (1.0, 10.0, 60.0)
"""Waits between tries of a job that failed for a reason that may pass."""

DEATHS_PER_TRY = 5
"""So many times `max_attempts` may a job be begun before it is held for what kills its workers. A
judgement: an unlucky job is begun anew a few times; one that fills the memory, each time."""

log = logging.getLogger(__name__)


class Work:
    """What a worker's steps do, in plain methods. One a process, see `Worker`."""

    def __init__(self, house: House, records: Records, queue: DurableQueue) -> None:
        self.house, self.records, self.queue = house, records, queue
        self.guard = Guard(
            allow_http=house.settings.webhook_http, networks=house.settings.webhook_networks
        )
        self._lock = threading.Lock()
        self._detectors: dict[str, Detector] = {}
        self._busy: set[str] = set()

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
        try:
            return self._score(tenant_id, job_id, number)
        except NotFound:
            return "gone"
        except Unavailable:
            return "away"
        except Exception as error:  # nothing is to get past it, and no text
            log.error("the end of a job could not be noted", extra={"error": type(error).__name__})
            return "stuck"

    def _score(self, tenant_id: str, job_id: str, number: int) -> str:
        try:
            begun = self._begin(tenant_id, job_id, number)
            if isinstance(begun, str):
                return begun
            job, session, data, options = begun
            report = self._analyze(job["checkpoint"], data, options, session["attendance"])
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
        from detector import Role, read_transcript

        roles = {name: Role(role) for name, role in (options.get("roles") or {}).items()}
        return (
            self.detector(checkpoint)
            .analyze(
                read_transcript(data, filename=options.get("file") or None),
                roles=roles or None,
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

    # -- a delivery --------------------------------------------------------------------------------

    def deliver(self, tenant_id: str, delivery_id: str, number: int = 1) -> str:
        """A delivery's attempt of this number. Returns: how it ended, in a word.

        delivered, disabled, given_up; again: the next attempt is in the queue; gone: nothing is
        to be done; away: nothing can be noted now, call it again; stuck: nor may it ever be.
        """
        try:
            ended = self._attempt(tenant_id, delivery_id, number)
            return "gone" if ended is None else self._note(tenant_id, delivery_id, number, ended)
        except NotFound:
            return "gone"
        except Unavailable:
            return "away"
        except Exception as error:  # as in `score`
            log.error("an attempt could not be noted", extra={"error": type(error).__name__})
            return "stuck"

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
                status = self._status(tx, told)
            return webhooks.attempt(
                found[0]["url"],
                message_id=delivery_id,
                body=webhooks.payload(
                    told["event"], told["session_id"], status, told["created_at"]
                ),
                secrets=kept,
                now=self.house.clock(),
                guard=self.guard,
            )
        except (NotFound, Unavailable):
            raise
        except Exception as error:  # an attempt like others: else it would be made for ever
            log.error("a delivery's attempt failed", extra={"error": type(error).__name__})
            return webhooks.Attempt("retry", "internal")

    def _status(self, tx: Transaction, told: RowMapping) -> Any:
        """The session's status in a message; a job that died through us is told from a failed."""
        if told["event"] != "session.failed":
            return {"session.completed": "done", "session.erased": "erased"}[told["event"]]
        jobs = tx.select(tables.jobs, tables.jobs.c.id == told["subject"])
        code = (jobs[0]["problem"] or {}).get("code") if jobs else ""
        return "dead" if code in ("too_many_attempts", "worker_died") else "failed"

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
        return "again" if status == "waiting" else status
