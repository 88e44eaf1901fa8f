"""What is done with sessions: taken in, scored, scored again, read; each deed one transaction.

Used by the API and by the workers. How a session ends is in service/endings.py, what is done with
webhooks in service/hooks.py, and what all deeds have in common in service/deeds.py.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import RowMapping

from detector import Transcript, read_transcript
from detector.report import RATINGS
from detector.roles import assign_roles
from service import audit, policy, tables
from service.consent import Consent, consent_record, read_consent, standing
from service.deeds import Actor
from service.endings import Endings
from service.errors import Conflict, Fault, Gone, Invalid, NotFound
from service.hooks import Hooks
from service.retention import Sensitivity, SessionFacts
from service.store import Transaction, new_id
from service.vault import Kind, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A session as it is handed in, read and found usable.

    Args:
        data: the file's bytes.
        name: the file's own, to show; may be empty.
        n_turns: in it.
        options: how it is to be read: `roles`, `therapist`, `window_s`; speakers' names, so sealed.
        client: the caller's reference of the client.
        consent: the client's, as Consent takes it.
        number, day, attendance, modality, sensitivity: of the session, see service.schemas.
        checkpoint: which one scores it; "": the one in use.
        idempotency_key: the caller's; "": none.
        fingerprint: sha256 of the whole request.
    """

    data: bytes = field(repr=False)
    name: str = field(default="", repr=False)
    n_turns: int = 0
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    client: str = field(repr=False)
    consent: Consent
    number: int | None = None
    day: str | None = None
    attendance: str | None = None
    modality: str | None = None
    sensitivity: str = "standard"
    checkpoint: str = ""
    idempotency_key: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A session that was taken in, and whether an earlier request had brought it already."""

    session_id: str
    was_here: bool


class Records(Endings, Hooks):
    """All deeds on sessions, consents and webhooks."""

    # -- taking in -----------------------------------------------------------------------------

    def accept(self, actor: Actor, upload: Upload) -> Accepted:
        """Takes a session in: row, key, job and the answer to its idempotency key, or none.

        Raises: NotPermitted: consent or place does not allow it. Invalid: the idempotency key
            was used for something else.
        """
        house, now, session_id = self.house, self.house.clock(), new_id("ses")
        with house.store.transaction(actor.tenant_id) as tx:
            if earlier := self._answered(tx, upload, session_id, now):
                return Accepted(earlier, was_here=True)
            facts = SessionFacts(
                id=session_id,
                received_at=now,
                sensitivity=Sensitivity(upload.sensitivity),
            )
            consent = self._agreed(tx, upload.consent, now)
            policy.decide(policy.Purpose.ANALYSE, consent, facts, self._policy(tx), now).require()
            self._write(tx, actor, upload, session_id, now)
            self._note(tx, actor, "session.created", "session", session_id, n_turns=upload.n_turns)
            self._add_job(tx, session_id, upload.checkpoint, now)
        return Accepted(session_id, was_here=False)

    def _answered(
        self, tx: Transaction, upload: Upload, session_id: str, now: datetime
    ) -> str | None:
        """The session that an earlier request brought, or None and the key is this one's.

        The key is taken before anything else is written: of two requests at once the second
        waits here for the first, and then finds its answer.
        """
        if not upload.idempotency_key or tx.add_once(
            tables.answers,
            idempotency_key=upload.idempotency_key,
            operation="sessions.create",
            fingerprint=upload.fingerprint,
            status=202,
            session_id=session_id,
            created_at=now,
        ):
            return None
        rows = tx.select(
            tables.answers,
            tables.answers.c.idempotency_key == upload.idempotency_key,
            tables.answers.c.operation == "sessions.create",
        )
        if rows[0]["fingerprint"] != upload.fingerprint:
            raise Invalid(
                "this Idempotency-Key was used for another request: take a new one",
                code="idempotency_key_reused",
            )
        return str(rows[0]["session_id"])

    def _agreed(self, tx: Transaction, given: Consent, now: datetime) -> Consent:
        """The consent as it stands, written down where it is new.

        Locked: who takes it back meanwhile waits, and then finds this session too. Raises:
            Invalid: another consent was given under this id.
        """
        tx.add_once(
            tables.consents,
            id=given.id,
            record=consent_record(given),
            created_at=now,
            revoked_at=given.revoked_at,
        )
        row = tx.get(tables.consents, given.id, lock=True)
        if read_consent(row["record"]) != given:
            detail = "this id was given to another consent: take a new one"
            fault = Fault("/consent/id", "differs", "what it says is not what it said before")
            raise Invalid(detail, code="consent_differs", errors=[fault])
        return standing(dict(row))

    def _write(
        self, tx: Transaction, actor: Actor, upload: Upload, session_id: str, now: datetime
    ) -> None:
        tenant = tx.tenant()
        key = self.house.vault.new_session_key(tenant["key_blob"], actor.tenant_id, session_id)
        options = {**upload.options, "client": upload.client, "file": upload.name}
        sealed = {
            kind: self.house.vault.seal(
                content,
                Place(actor.tenant_id, session_id, kind),
                tenant_blob=tenant["key_blob"],
                session_blob=key,
            )
            for kind, content in (
                (Kind.TRANSCRIPT, upload.data),
                (Kind.OPTIONS, json.dumps(options).encode()),
            )
        }
        tx.add(
            tables.sessions,
            id=session_id,
            status="queued",
            client_id=self.house.client_id(actor.tenant_id, upload.client),
            number=upload.number,
            day=upload.day,
            attendance=upload.attendance,
            modality=upload.modality,
            sensitivity=upload.sensitivity,
            consent_id=upload.consent.id,
            key_blob=key,
            transcript=sealed[Kind.TRANSCRIPT],
            transcript_sha256=hashlib.sha256(upload.data).hexdigest(),
            options=sealed[Kind.OPTIONS],
            n_turns=upload.n_turns,
            hold=False,
            version=1,
            created_at=now,
            updated_at=now,
        )

    def _add_job(self, tx: Transaction, session_id: str, checkpoint: str, now: datetime) -> str:
        job_id, turn = new_id("job"), tx.next_turn()
        tx.add(
            tables.jobs,
            id=job_id,
            session_id=session_id,
            checkpoint=checkpoint,
            status="queued",
            turn=turn,
            n_attempts=0,
            created_at=now,
            updated_at=now,
        )
        self.queue.score(tx, job_id, turn)
        return job_id

    def rescore(self, actor: Actor, session_id: str, checkpoint: str) -> str:
        """Another report beside the one there is; returns the job's id.

        Raises: NotFound; Gone: the text was erased. Conflict: a job of it is waiting or running.
        """
        now = self.house.clock()
        with self.house.store.transaction(actor.tenant_id) as tx:
            again = self._score_again(tx, session_id, checkpoint, now)
            self._note(tx, actor, "session.rescored", "session", session_id)
            return again

    def replay_job(self, actor: Actor, job_id: str) -> str:
        """A new job in a dead one's place; returns its id.

        Raises: NotFound. Gone: the text was erased. Conflict: the job is not dead, or another of
            its session waits or runs. NotPermitted: consent no longer allows it.
        """
        now = self.house.clock()
        with self.house.store.transaction(actor.tenant_id) as tx:
            job = tx.get(tables.jobs, job_id)
            again = self._score_again(tx, job["session_id"], job["checkpoint"], now)
            dead = {"status": "dead"}
            if not tx.change(tables.jobs, job_id, dead, status="replayed", updated_at=now):
                raise Conflict("only a dead job is replayed")
            self._note(tx, actor, "job.replayed", "job", job_id)
            return again

    def _score_again(self, tx: Transaction, session_id: str, checkpoint: str, now: datetime) -> str:
        row = self._living(tx, session_id, lock=True)
        self._decide(tx, policy.Purpose.ANALYSE, row).require()
        if row["status"] in ("queued", "running"):
            raise Conflict("the session is being scored: wait until that is done")
        if row["transcript"] is None:
            raise Gone("the transcript was erased")
        self._end_session(tx, row, "queued", None, now)
        return self._add_job(tx, session_id, checkpoint, now)

    # -- reading -------------------------------------------------------------------------------

    def session(self, actor: Actor, session_id: str) -> RowMapping:
        """A session's row, also of one that was erased. Raises: NotFound."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            return tx.get(tables.sessions, session_id, whole=False)

    def with_reports(
        self, actor: Actor, session_id: str
    ) -> tuple[RowMapping, Sequence[RowMapping]]:
        """A session's row, and its reports, oldest first, without content. Raises: NotFound."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = tx.get(tables.sessions, session_id, whole=False)
            own = tables.reports.c.session_id == session_id
            return row, tx.select(tables.reports, own, whole=False)

    def report(
        self,
        actor: Actor,
        session_id: str,
        *,
        report_id: str = "",
        action: str = "report.read",
        purpose: policy.Purpose | None = None,
    ) -> tuple[RowMapping, dict[str, Any]]:
        """A report's row and its content: the newest, or the one named. The reading is noted.

        Without a purpose somebody only reads, which a consent that was taken back ends too.

        Raises: NotFound: no such session, or no report of it yet. Gone. NotPermitted: consent
            does not allow the purpose.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = self._living(tx, session_id, whole=False)
            decided = self._decide(tx, purpose or policy.Purpose.EXPORT, row)
            if purpose is not None or not decided.may_be_read:
                decided.require()
            own = tables.reports.c.session_id == session_id
            found = tx.select(tables.reports, own, whole=False)
            kept = [one for one in found if not report_id or one["id"] == report_id]
            if not kept:
                raise NotFound("there is no report of this session yet", code="no_report")
            chosen = tx.get(tables.reports, kept[-1]["id"])
            content = self._open(tx, row, chosen["sealed"], Kind.REPORT, chosen["id"])
            self._note(tx, actor, action, "session", session_id)
        return chosen, json.loads(content)

    def read_for_scoring(self, tx: Transaction, row: RowMapping) -> tuple[bytes, dict[str, Any]]:
        """A session's file and its options. Raises: Gone."""
        if row["transcript"] is None:
            raise Gone("the transcript was erased")
        data = self._open(tx, row, row["transcript"], Kind.TRANSCRIPT)
        return data, json.loads(self._open(tx, row, row["options"], Kind.OPTIONS))

    # -- for the workers -----------------------------------------------------------------------

    def finish(
        self,
        tx: Transaction,
        job: RowMapping,
        row: RowMapping,
        report: Mapping[str, Any],
        now: datetime,
    ) -> None:
        """Writes a job's report, once however often it is scored, and tells the webhooks."""
        content = json.dumps(report, ensure_ascii=False, separators=(",", ":")).encode()
        report_id = f"rep_{job['id'].removeprefix('job_')}"
        place = Place(tx.tenant_id, row["id"], Kind.REPORT, report_id)
        sealed = self.house.vault.seal(
            content,
            place,
            tenant_blob=tx.tenant()["key_blob"],
            session_blob=row["key_blob"],
        )
        made = report["provenance"]
        tx.add_once(
            tables.reports,
            id=report_id,
            session_id=row["id"],
            checkpoint=made["checkpoint"],
            checkpoint_sha256=made["checkpoint_sha256"],
            codebook=made["codebook"],
            sealed=sealed,
            summary=summary_of(report),
            sha256=hashlib.sha256(content).hexdigest(),
            created_at=now,
        )
        tx.change(tables.jobs, job["id"], status="done", updated_at=now)
        self._end_session(tx, row, "done", None, now)
        actor = Actor(tx.tenant_id)
        self._note(tx, actor, "session.scored", "session", row["id"])
        self._tell(tx, "session.completed", row["id"], report_id, now)

    def fail(
        self,
        tx: Transaction,
        job: RowMapping,
        row: RowMapping,
        problem: Mapping[str, Any],
        status: str,
        now: datetime,
    ) -> None:
        """Ends a job without a report: `failed` by the transcript's fault, `dead` by ours."""
        tx.change(tables.jobs, job["id"], status=status, problem=dict(problem), updated_at=now)
        self._end_session(tx, row, "failed", problem, now)
        action = "session.failed" if status == "failed" else "job.died"
        target = ("session", row["id"]) if status == "failed" else ("job", job["id"])
        event = audit.Event(
            action,
            now,
            "system",
            target_kind=target[0],
            target_id=target[1],
            outcome="failed",
            reason=str(problem["code"]),
        )
        tx.note(event, self.house.audit_key)
        self._tell(tx, "session.failed", row["id"], job["id"], now)


def as_scored(data: bytes, options: Mapping[str, Any]) -> Transcript:
    """What `Records.read_for_scoring` gives as a transcript with its roles.

    Raises: DetectorError: it can no longer be read.
    """
    read = read_transcript(data, filename=options.get("file") or None)
    roles, therapist = options.get("roles"), options.get("therapist")
    return assign_roles(read, role_map=roles, therapist=therapist).transcript


def summary_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """What lists and trajectories need of a report: ratings and counts, no word of it."""
    session = report["session"]
    kept = {name: session[name] for name in RATINGS}
    moments = report["moments"]
    return {
        **kept,
        "pillars": session["pillars"],
        "n_turns": len(report["turns"]),
        "n_moments": len(moments),
        "n_unrepaired": sum(one["resolution"] == "unrepaired" for one in moments),
        "strained": sorted({one["pillar"] for one in moments if one["pillar"]}),
    }
