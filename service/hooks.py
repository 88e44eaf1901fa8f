"""What is done with webhooks: registered, and their secrets changed, as deeds on record.

What is sent to them, and how it is signed, is in service/webhooks.py; when, in service/work.py.
"""

import json
from datetime import datetime

from sqlalchemy.engine import RowMapping

from service import tables, webhooks
from service.deeds import Actor, Deeds
from service.store import Transaction, new_id
from service.vault import Kind, Place


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
