"""How a session ends before its time: erased, cancelled, its consent taken back; and legal holds.

What ends with time is in service/upkeep.py.
"""

from datetime import datetime
from typing import Any

from sqlalchemy.engine import RowMapping

from service import policy, tables
from service.consent import Consent, read_consent
from service.deeds import Actor, Deeds
from service.errors import Conflict
from service.retention import Part
from service.store import Transaction


class Endings(Deeds):
    """The deeds that end what there is of a session, or keep it from ending."""

    def erase(self, actor: Actor, session_id: str) -> None:
        """Destroys the session's key and all that was sealed with it. Twice is as once.

        Raises: NotFound. NotPermitted: a legal hold pins it.
        """
        now = self.house.clock()
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = tx.get(tables.sessions, session_id, lock=True)
            if row["erased_at"] is not None:
                return
            policy.decide_erasure(self._facts(row)).require()
            self.destroy(tx, actor, row, "session.erased")
            self._tell(tx, "session.erased", session_id, session_id, now)

    def destroy(
        self, tx: Transaction, actor: Actor, row: RowMapping, action: str, **details: Any
    ) -> None:
        """Destroys a session's key and all that was sealed with it, noted as `action`."""
        now, session_id = self.house.clock(), row["id"]
        for one in tx.select(tables.reports, tables.reports.c.session_id == session_id):
            tx.change(tables.reports, one["id"], sealed=None, summary={})
        self._drop_reviews(tx, session_id)
        self._cancel_jobs(tx, session_id, now)
        tx.change(
            tables.sessions,
            session_id,
            status="erased",
            key_blob=None,
            transcript=None,
            transcript_sha256=None,
            options=None,
            erased_at=now,
            text_erased_at=row["text_erased_at"] or now,
            updated_at=now,
            version=row["version"] + 1,
        )
        self._note(tx, actor, action, "session", session_id, **details)

    def hold(self, actor: Actor, session_id: str, *, is_held: bool) -> None:
        """Pins a session against erasure, or lets it go; then a revocation that waited happens.

        Raises: NotFound; Gone.
        """
        now = self.house.clock()
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = self._living(tx, session_id, lock=True)
            if bool(row["hold"]) is is_held:
                return
            version = row["version"] + 1
            tx.change(tables.sessions, session_id, hold=is_held, version=version, updated_at=now)
            consent = self._consent(tx, row)
            if not is_held and consent is not None and consent.revoked_at is not None:
                self._carry_out(tx, consent, tx.get(tables.sessions, session_id), now)
            action = "hold.set" if is_held else "hold.lifted"
            self._note(tx, actor, action, "session", session_id)

    def cancel(self, actor: Actor, session_id: str) -> None:
        """Takes back what waits or runs. A session that had a report keeps it and is done.

        Raises: NotFound; Gone. Conflict: nothing waits or runs.
        """
        now = self.house.clock()
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = self._living(tx, session_id, lock=True)
            if row["status"] not in ("queued", "running"):
                raise Conflict("nothing of this session waits or runs")
            self._cancel_jobs(tx, session_id, now)
            kept = tx.select(tables.reports, tables.reports.c.session_id == session_id, limit=1)
            self._end_session(tx, row, "done" if kept else "cancelled", None, now)
            self._note(tx, actor, "session.changed", "session", session_id, status="cancelled")

    def _cancel_jobs(self, tx: Transaction, session_id: str, now: datetime) -> None:
        for one in tx.select(tables.jobs, tables.jobs.c.session_id == session_id):
            if one["status"] in ("queued", "running"):
                tx.change(tables.jobs, one["id"], status="cancelled", updated_at=now)

    def revoke(self, actor: Actor, consent_id: str) -> int:
        """Takes a consent back: jobs stop, and what policy says is erased.

        Returns: how many sessions it reached. Raises: NotFound.
        """
        now, reached = self.house.clock(), 0
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = tx.get(tables.consents, consent_id, lock=True)
            if row["revoked_at"] is not None:
                return 0
            tx.change(tables.consents, consent_id, revoked_at=now)
            consent = read_consent({**row["record"], "revoked_at": now.isoformat()})
            own = tables.sessions.c.consent_id == consent_id
            for one in tx.select(tables.sessions, own, lock=True):
                self._carry_out(tx, consent, one, now)
                reached += 1
            self._note(tx, actor, "consent.revoked", "consent", consent_id)
        return reached

    def _carry_out(self, tx: Transaction, consent: Consent, row: RowMapping, now: datetime) -> None:
        effects = policy.effects_of_revocation(consent, self._facts(row), self.house.policy)
        if effects.cancel_jobs:
            self._cancel_jobs(tx, row["id"], now)
        values: dict[str, Any] = {"updated_at": now, "version": row["version"] + 1}
        if row["status"] in ("queued", "running"):
            values["status"] = "cancelled"
        if Part.TEXT in effects.erase:
            # The options name speakers, client and file: they are of the text.
            values |= {"transcript": None, "options": None, "text_erased_at": now}
            # A report quotes: with the text it goes too.
            for one in tx.select(tables.reports, tables.reports.c.session_id == row["id"]):
                tx.change(tables.reports, one["id"], sealed=None)
            self._drop_reviews(tx, row["id"])
        tx.change(tables.sessions, row["id"], **values)

    def _drop_reviews(self, tx: Transaction, session_id: str) -> None:
        """Reviews and comments: they may quote what was said."""
        for table in (tables.reviews, tables.comments):
            own = (table.c.tenant_id == tx.tenant_id, table.c.session_id == session_id)
            tx.connection.execute(table.delete().where(*own))
