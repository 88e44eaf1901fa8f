"""What is done with webhooks: registered, and their secrets changed, as deeds on record.

What is sent to them, and how it is signed, is in service/webhooks.py; when, in service/work.py.
"""

import json
from datetime import datetime

from sqlalchemy.engine import RowMapping

from service import tables, webhooks
from service.deeds import Actor, Deeds
from service.errors import Conflict
from service.store import Transaction, new_id
from service.vault import Kind, Place


def subject_of(told: RowMapping) -> str:
    """The report, job or session that a delivery tells of, also one that was sent again."""
    return str(told["subject"]).partition("/")[0]


class Hooks(Deeds):
    """The deeds on webhooks."""

    def register(self, actor: Actor, url: str, events: list[str]) -> tuple[str, webhooks.Secret]:
        """A new webhook; its secret is shown this once."""
        now, hook_id, secret = self.house.clock(), new_id("whk"), webhooks.new_secret()
        with self.house.store.transaction(actor.tenant_id) as tx:
            blob = tx.tenant()["key_blob"]
            key = self.house.vault.new_session_key(blob, actor.tenant_id, hook_id)
            tx.add(
                tables.webhooks,
                id=hook_id,
                url=url,
                events=events,
                key_blob=key,
                secrets=self._seal_secrets(tx, hook_id, key, (secret,)),
                created_at=now,
            )
            self._note(tx, actor, "webhook.registered", "webhook", hook_id)
        return hook_id, secret

    def rotate_secret(self, actor: Actor, hook_id: str) -> webhooks.Secret:
        """A new secret beside the old ones, which sign on for a day. Raises: NotFound; Conflict."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            hook = tx.get(tables.webhooks, hook_id, lock=True)
            kept = webhooks.rotate(self.secrets(tx, hook), self.house.clock())
            sealed = self._seal_secrets(tx, hook_id, hook["key_blob"], kept)
            tx.change(tables.webhooks, hook_id, secrets=sealed)
            self._note(tx, actor, "webhook.secret_rotated", "webhook", hook_id)
        return kept[0]

    def replay(self, actor: Actor, delivery_id: str) -> str:
        """Sends a message again, under an id of its own; it says what the first one said.

        Returns: that id. Raises: NotFound; Conflict: it is still being sent.
        """
        now, again = self.house.clock(), new_id("msg")
        with self.house.store.transaction(actor.tenant_id) as tx:
            told = tx.get(tables.deliveries, delivery_id)
            if told["status"] == "waiting":
                raise Conflict("It is still being sent.")
            tx.get(tables.webhooks, told["webhook_id"])
            tx.add(
                tables.deliveries,
                id=again,
                **{name: told[name] for name in ("webhook_id", "event", "session_id")},
                # Of the same, and no second first one: a subject has one first message for ever.
                subject=f"{subject_of(told)}/{again}",
                status="waiting",
                n_attempts=0,
                created_at=now,
                updated_at=now,
            )
            self.queue.deliver(tx, again)
            self._note(tx, actor, "webhook.replayed", "delivery", delivery_id)
        return again

    def happened(self, tx: Transaction, told: RowMapping) -> tuple[webhooks.Status, datetime]:
        """What a message says: the session's status in the event, and when it happened.

        Both are of the event and not of now, however late the message goes and however often.
        A job that died through us is told from one that failed by its transcript.
        """
        first = tables.deliveries.c
        found = tx.select(
            tables.deliveries,
            first.webhook_id == told["webhook_id"],
            first.event == told["event"],
            first.subject == subject_of(told),
        )
        at = (found[0] if found else told)["created_at"]
        if told["event"] != "session.failed":
            return ("done" if told["event"] == "session.completed" else "erased"), at
        jobs = tx.select(tables.jobs, tables.jobs.c.id == subject_of(told))
        return ("dead" if jobs and jobs[0]["status"] != "failed" else "failed"), at

    def secrets(self, tx: Transaction, hook: RowMapping) -> tuple[webhooks.Secret, ...]:
        """A webhook's secrets, newest first."""
        content = self.house.vault.open(
            hook["secrets"],
            Place(hook["tenant_id"], hook["id"], Kind.SECRETS),
            tenant_blob=tx.tenant()["key_blob"],
            session_blob=hook["key_blob"],
        )
        return tuple(
            webhooks.Secret(text, datetime.fromisoformat(until) if until else None)
            for text, until in json.loads(content)
        )

    def _seal_secrets(
        self, tx: Transaction, hook_id: str, key: bytes, kept: tuple[webhooks.Secret, ...]
    ) -> bytes:
        listed = [(one.text, one.expires_at.isoformat() if one.expires_at else "") for one in kept]
        return self.house.vault.seal(
            json.dumps(listed).encode(),
            Place(tx.tenant_id, hook_id, Kind.SECRETS),
            tenant_blob=tx.tenant()["key_blob"],
            session_blob=key,
        )
