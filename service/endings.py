"""How a session ends: erased, cancelled, its consent taken back; and legal holds.

What of it ends when, and what is left, is one rule for all: see service/retention.py. What ends
with time is found by service/upkeep.py.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.engine import RowMapping

from service import policy, tables
from service.consent import Consent, read_consent
from service.deeds import Actor, Deeds, facts_of
from service.errors import Conflict
from service.retention import Part
from service.root_keys import NotAuthentic, VaultError
from service.store import Transaction
from service.vault import Kind, MalformedBlob, Place

ERASED_WORDS = "[erased]"
"""Stands in a report for what was said; its schema wants a turn to have text."""


def without_words(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report with its scores and without a word that was said, or a name of who said it.

    Texts, places in them, cues' own ids, speakers' names, and evidence that is a word, go. What
    stays is a report still: detector/report.schema.json holds for it.
    """
    turns = [
        {
            **turn,
            "cue_ids": [str(turn["index"] + 1)],
            "speaker": None,
            "text": ERASED_WORDS,
            "markers": [{**one, "spans": []} for one in turn["markers"]],
            "evidence": [one for one in turn["evidence"] if not is_quoting(one["feature"])],
        }
        for turn in report["turns"]
    ]
    roles = {**report["roles"], "assigned": {r: r for r in report["roles"]["assigned"].values()}}
    strengths = [{**one, "spans": []} for one in report["strengths"]]
    return {**report, "turns": turns, "strengths": strengths, "roles": roles}


def is_quoting(feature: str) -> bool:
    """Whether evidence quotes: detector.features has a word of the turn in these names."""
    return feature.startswith(("word.", "said.opens_"))


class Endings(Deeds):
    """The deeds that end what there is of a session, or keep it from ending."""

    def erase(self, actor: Actor, session_id: str) -> None:
        """Destroys the session's key and all that was sealed with it. Twice is as once.

        Raises: NotFound. NotPermitted: a legal hold pins it.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = tx.get(tables.sessions, session_id, lock=True)
            if row["erased_at"] is not None:
                return
            policy.decide_erasure(facts_of(row)).require()
            self.end_parts(tx, actor, row, frozenset(Part), "session.erased")

    def end_parts(
        self,
        tx: Transaction,
        actor: Actor,
        row: RowMapping,
        parts: frozenset[Part],
        action: str,
        **details: Any,
    ) -> bool:
        """Ends parts of a session as service.retention says, noted as `action`.

        Returns: False, and nothing was changed, where the words cannot be parted from the scores
            now, because the keys that are here do not open a report.
        Raises: VaultError: the KMS is away; nothing was changed.
        """
        if Part.SCORES not in parts:
            return self.erase_text(tx, actor, row, action, parts="text", **details)
        self.destroy(tx, actor, row, action, parts="all", **details)
        self._tell(tx, "session.erased", row["id"], row["id"], self.house.clock())
        return True

    def erase_text(
        self, tx: Transaction, actor: Actor, row: RowMapping, action: str, **details: Any
    ) -> bool:
        """Erases a session's text and keeps its scores, under a new key; False: not now.

        A report that was damaged, or has a form that we do not know, cannot be parted from its
        words, so it goes whole.

        Raises: VaultError: the KMS is away; nothing was changed.
        """
        try:
            bare, key = self._without_words(tx, row)
        except VaultError as error:
            if error.status == 503:  # the KMS is away: that is no session's fault
                raise
            return False
        now = self.house.clock()
        for report_id, values in bare.items():
            tx.change(tables.reports, report_id, **values)
        self._drop_reviews(tx, row["id"])
        self._cancel_jobs(tx, row["id"], now)
        is_stopped = row["status"] in ("queued", "running")
        tx.change(
            tables.sessions,
            row["id"],
            status=("done" if bare else "cancelled") if is_stopped else row["status"],
            key_blob=key,
            transcript=None,
            transcript_sha256=None,
            options=None,
            text_erased_at=now,
            updated_at=now,
            version=row["version"] + 1,
        )
        self._note(tx, actor, action, "session", row["id"], **details)
        return True

    def _without_words(
        self, tx: Transaction, row: RowMapping
    ) -> tuple[dict[str, dict[str, Any]], bytes]:
        """What is to stand in each report's row, and the key under which it does."""
        bare: dict[str, dict[str, Any]] = {}
        blob = tx.tenant()["key_blob"]
        key = self.house.vault.new_session_key(blob, tx.tenant_id, row["id"])
        for one in tx.select(tables.reports, tables.reports.c.session_id == row["id"]):
            if one["sealed"] is None:
                continue
            try:
                said = self._open(tx, row, one["sealed"], Kind.REPORT, one["id"])
                report = without_words(json.loads(said))
            except (NotAuthentic, MalformedBlob, KeyError, TypeError, ValueError):
                bare[one["id"]] = {"sealed": None}
                continue
            kept = json.dumps(report, separators=(",", ":")).encode()
            place = Place(tx.tenant_id, row["id"], Kind.REPORT, one["id"])
            sealed = self.house.vault.seal(kept, place, tenant_blob=blob, session_blob=key)
            bare[one["id"]] = {"sealed": sealed, "sha256": hashlib.sha256(kept).hexdigest()}
        return bare, key

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
                self._carry_out(tx, actor, consent, tx.get(tables.sessions, session_id))
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
        """Takes a consent back: jobs stop, and what the tenant's policy says is erased.

        It is taken back whatever happens. What cannot be erased now, because a hold pins it or
        the keys are away, is erased when the hold ends, or by the next sweep that can.

        Returns: how many sessions it reached. Raises: NotFound.
        """
        now = self.house.clock()
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = tx.get(tables.consents, consent_id, lock=True)
            if row["revoked_at"] is not None:
                return 0
            tx.change(tables.consents, consent_id, revoked_at=now)
            consent = read_consent({**row["record"], "revoked_at": now.isoformat()})
            own = tables.sessions.c.consent_id == consent_id
            reached = tx.select(tables.sessions, own, lock=True)
            # Locked all before the first is on record: the trail's own lock comes last.
            ids = [one["id"] for one in reached]
            tx.select(tables.jobs, tables.jobs.c.session_id.in_(ids), lock=True)
            n_left = sum(not self._carry_out(tx, actor, consent, one) for one in reached)
            counts = {"n_sessions": len(reached), "n_left": n_left}
            self._note(tx, actor, "consent.revoked", "consent", consent_id, **counts)
        return len(reached)

    def _carry_out(self, tx: Transaction, actor: Actor, consent: Consent, row: RowMapping) -> bool:
        """What a consent that was taken back does to one session; whether nothing is left to do."""
        effects = policy.effects_of_revocation(consent, facts_of(row), self._policy(tx))
        if effects.erase:
            try:
                done = self.end_parts(
                    tx, actor, row, effects.erase, "session.expired", cause="consent_revoked"
                )
            except VaultError:
                done = False
            if done:
                return True
        if row["erased_at"] is None and row["status"] in ("queued", "running"):
            now = self.house.clock()
            self._cancel_jobs(tx, row["id"], now)
            self._end_session(tx, row, "cancelled", None, now)
        return not (effects.erase or effects.erase_later)

    def _drop_reviews(self, tx: Transaction, session_id: str) -> None:
        """Reviews, comments and codings: they may quote what was said."""
        kept = (tables.reviews, tables.comments, tables.codings, tables.assignments)
        for table in kept:
            own = (table.c.tenant_id == tx.tenant_id, table.c.session_id == session_id)
            tx.connection.execute(table.delete().where(*own))
