"""What every deed needs: who acts, the queue, and the steps that deeds have in common.

A deed is one transaction with its place in the audit trail. It checks whether it may be done
(service/policy.py), does it, and notes it; or nothing of it happened. The deeds themselves:
service/records.py, service/endings.py and service/hooks.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import RowMapping

from service import audit, policy, tables
from service.consent import Consent, standing
from service.errors import Gone
from service.house import House
from service.retention import Part, Sensitivity, SessionFacts
from service.store import Transaction, new_id
from service.vault import Kind, Place


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: `kind` is one of audit.ACTOR_KINDS."""

    tenant_id: str
    kind: str = "system"
    id: str = ""
    request_id: str = ""


def facts_of(row: Mapping[str, Any] | RowMapping) -> SessionFacts:
    """What policy needs to know of a session, from its row."""
    gone = {Part.TEXT} if row["text_erased_at"] else set()
    gone |= {Part.SCORES} if row["erased_at"] else set()
    return SessionFacts(
        id=row["id"],
        received_at=row["created_at"],
        sensitivity=Sensitivity(row["sensitivity"]),
        legal_hold=row["hold"],
        erased=frozenset(gone),
    )


class Enqueue:
    """Puts work into the queue inside a transaction; service.queues has the real one."""

    def score(self, tx: Transaction, job_id: str, turn: int) -> None:
        """A session to be scored, in its turn among all tenants'."""
        raise NotImplementedError

    def deliver(self, tx: Transaction, delivery_id: str) -> None:
        """A webhook to be sent."""
        raise NotImplementedError


def note(
    tx: Transaction,
    house: House,
    actor: Actor,
    action: str,
    kind: str = "",
    id_: str = "",
    **details: Any,
) -> None:
    """Puts what an actor does on record, in the transaction that does it."""
    event = audit.Event(
        action,
        house.clock(),
        actor.kind,
        actor.id,
        target_kind=kind,
        target_id=id_,
        request_id=actor.request_id,
        details=details,
    )
    tx.note(event, house.audit_key)


class Deeds:
    """What deeds are made of, over a house and a queue that takes jobs inside the transaction."""

    def __init__(self, house: House, enqueue: Enqueue) -> None:
        self.house, self.queue = house, enqueue

    def _living(
        self, tx: Transaction, session_id: str, *, lock: bool = False, whole: bool = True
    ) -> RowMapping:
        row = tx.get(tables.sessions, session_id, lock=lock, whole=whole)
        if row["erased_at"] is not None:
            raise Gone("the session was erased")
        return row

    def _open(
        self, tx: Transaction, row: RowMapping, blob: bytes | None, kind: Kind, item: str = ""
    ) -> bytes:
        if blob is None:
            raise Gone("this part of the session was erased")
        return self.house.vault.open(
            blob,
            Place(row["tenant_id"], row["id"], kind, item),
            tenant_blob=tx.tenant()["key_blob"],
            session_blob=row["key_blob"],
        )

    def _policy(self, tx: Transaction) -> policy.PolicySettings:
        """The policy of the transaction's tenant: by it alone a session's fate is decided."""
        return self.house.policy_of(dict(tx.tenant()))

    def _decide(self, tx: Transaction, purpose: policy.Purpose, row: RowMapping) -> policy.Decision:
        consent = self._consent(tx, row)
        return policy.decide(purpose, consent, facts_of(row), self._policy(tx), self.house.clock())

    def _consent(self, tx: Transaction, row: RowMapping) -> Consent | None:
        if not row["consent_id"]:
            return None
        return standing(dict(tx.get(tables.consents, row["consent_id"])))

    def _note(
        self, tx: Transaction, actor: Actor, action: str, kind: str, id_: str, **details: Any
    ) -> None:
        note(tx, self.house, actor, action, kind, id_, **details)

    def _end_session(
        self,
        tx: Transaction,
        row: RowMapping,
        status: str,
        problem: Mapping[str, Any] | None,
        now: datetime,
    ) -> None:
        tx.change(
            tables.sessions,
            row["id"],
            status=status,
            problem=dict(problem) if problem else None,
            version=row["version"] + 1,
            updated_at=now,
        )

    def _tell(
        self, tx: Transaction, event: str, session_id: str, subject: str, now: datetime
    ) -> None:
        """A delivery for each webhook that listens to the event; one id a subject, for ever."""
        for hook in tx.select(tables.webhooks, tables.webhooks.c.disabled_at.is_(None)):
            if event not in hook["events"]:
                continue
            delivery_id = new_id("msg")
            is_new = tx.add_once(
                tables.deliveries,
                id=delivery_id,
                webhook_id=hook["id"],
                event=event,
                session_id=session_id,
                subject=subject,
                status="waiting",
                n_attempts=0,
                created_at=now,
                updated_at=now,
            )
            if is_new:
                self.queue.deliver(tx, delivery_id)
