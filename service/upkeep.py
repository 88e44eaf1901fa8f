"""What ends with time, and the sweeper that ends it.

There are two ends. After the text's days the transcript goes, with who the speakers were, and
every report is sealed anew without a word that was said, under a new session key: the old one
opened both. After the report's days the session goes whole, its text too where that was to be
kept longer: words without a report are of no use to anybody. Nothing on a legal hold ends.

What erasing is worth. A session's key is destroyed, so that its sealed columns open for nobody,
wherever copies of them lie. But a copy of the whole row, key and all, made before the erasure
still opens with the tenant's key, until service.rotation has destroyed that; and a copy of the
whole database opens as long as there is the root key of its time. So backups are kept no longer
than an erasure may take, or both rotations follow it. Nor does erasing reach blocks that a disk or
its file system keeps for itself.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from service import audit, policy, retention, tables
from service.deeds import Actor, Enqueue
from service.errors import ServiceError
from service.house import House
from service.records import Records
from service.root_keys import NotAuthentic, VaultError
from service.store import Store, Transaction
from service.vault import Kind, MalformedBlob, Place

ERASED_WORDS = "[erased]"
"""Stands in a report for what was said; its schema wants a turn to have text."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What came of a sweep.

    Args:
        n_text: sessions whose text was erased.
        n_sessions: sessions that were erased whole.
        n_answers: answers to idempotency keys that were dropped.
        failed: ids of sessions whose report cannot be opened now, and that were left for the next
            sweep, and of tenants whose policy cannot be read.
        is_flushed: whether nothing of it is left in SQLite's write-ahead log; False: somebody
            read too long, and the next sweep does it.
    """

    n_text: int = 0
    n_sessions: int = 0
    n_answers: int = 0
    failed: tuple[str, ...] = ()
    is_flushed: bool = True


def sweep(
    house: House, now: datetime, *, queue: Enqueue | None = None, batch: int = retention.BATCH
) -> Swept:
    """Erases everything of all tenants whose end has come; doing it twice is as doing it once.

    A batch is one transaction: each of its sessions is looked at and erased in it, on record as
    `session.expired`, so a sweep that is killed goes on where it stopped. What was erased for each
    tenant is then on record as `retention.swept`.

    Args:
        house: whose.
        now: aware; it alone decides, whatever the house's own clock says.
        queue: takes the webhooks that tell of a session erased whole; None: the durable one.
        batch: sessions in one transaction.

    Raises: Unavailable: the database or the KMS is away; what was done until then stays.
    """
    done = Upkeep(house, queue or _Durable(house), now)
    total = Swept()
    for tenant in all_tenants(house):
        total = done.sweep_tenant(tenant, total, batch)
    oldest = now - timedelta(hours=house.settings.idempotency_hours)
    with house.store.system() as tx:
        dropped = tables.answers.delete().where(tables.answers.c.created_at < oldest)
        n_answers = tx.connection.execute(dropped).rowcount
    return replace(total, n_answers=n_answers, is_flushed=flush(house.store))


def flush(kept: Store) -> bool:
    """Brings SQLite's write-ahead log into its file and empties it; whether that came about.

    With `secure_delete`, which service.store sets, what was erased is then nowhere in the files.
    PostgreSQL: True; there a vacuum, and the end of archived WAL, are the operator's.
    """
    if kept.is_postgresql:
        return True
    with closing(kept.engine.raw_connection()) as connection:
        found = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not found[0]


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
            "evidence": [one for one in turn["evidence"] if not _is_word(one["feature"])],
        }
        for turn in report["turns"]
    ]
    roles = {**report["roles"], "assigned": {r: r for r in report["roles"]["assigned"].values()}}
    strengths = [{**one, "spans": []} for one in report["strengths"]]
    return {**report, "turns": turns, "strengths": strengths, "roles": roles}


def _is_word(feature: str) -> bool:
    """Whether evidence quotes: detector.features has a word of the turn in these names."""
    return feature.startswith(("word.", "said.opens_"))


class _Durable(Enqueue):
    """The queue of service.queues, opened when there is something to tell."""

    def __init__(self, house: House) -> None:
        self._url = house.settings.database_url

    def deliver(self, tx: Transaction, delivery_id: str) -> None:
        """A webhook to be sent."""
        from service.queues import DurableQueue

        queue = DurableQueue(self._url)
        queue.deliver(tx, delivery_id)
        queue.close()


class Upkeep(Records):
    """Deeds that nobody asked for through the API, at a time that is given."""

    def __init__(self, house: House, queue: Enqueue, now: datetime) -> None:
        super().__init__(replace(house, clock=lambda: now), queue)
        self.now = now

    def sweep_tenant(self, tenant: RowMapping, total: Swept, size: int) -> Swept:
        """Erases one tenant's, batch by batch."""
        actor, before = Actor(tenant["tenant_id"]), total
        try:
            settings = self.house.policy_of(dict(tenant))
        except ServiceError:
            return replace(total, failed=(*total.failed, actor.tenant_id))
        after: str | None = ""
        while after is not None:
            with self.house.store.transaction(actor.tenant_id) as tx:
                query = _due(actor, settings, self.now, after, size)
                ids = list(tx.connection.execute(query).scalars().all())
                after, total = self._sweep_batch(tx, actor, settings, ids, total)
        n_text, n_whole = total.n_text - before.n_text, total.n_sessions - before.n_sessions
        if n_text or n_whole:
            with self.house.store.transaction(actor.tenant_id) as tx:
                self._note(tx, actor, "retention.swept", "", "", n_text=n_text, n_sessions=n_whole)
        return total

    def _sweep_batch(
        self,
        tx: Transaction,
        actor: Actor,
        settings: policy.PolicySettings,
        ids: list[str],
        total: Swept,
    ) -> tuple[str | None, Swept]:
        # Locked all before the first is on record: the trail's own lock comes last.
        sessions = tx.select(tables.sessions, tables.sessions.c.id.in_(ids), lock=True, whole=False)
        tx.select(tables.jobs, tables.jobs.c.session_id.in_(ids), lock=True)
        for session_id in (one["id"] for one in sessions):
            row = tx.get(tables.sessions, session_id)
            facts = self._facts_with_end(tx, row, settings)
            due = next(retention.due([facts], settings.retention, self.now), ())
            if not due:
                continue
            if retention.Part.SCORES in due[0].parts or due[0].all_gone:
                self.destroy(tx, actor, row, "session.expired", parts="all")
                self._tell(tx, "session.erased", session_id, session_id, self.now)
                total = replace(total, n_sessions=total.n_sessions + 1)
            elif self.erase_text(tx, actor, row, "session.expired", parts="text"):
                total = replace(total, n_text=total.n_text + 1)
            else:
                total = replace(total, failed=(*total.failed, session_id))
        return (ids[-1] if ids else None), total

    def _facts_with_end(
        self, tx: Transaction, row: RowMapping, settings: policy.PolicySettings
    ) -> retention.SessionFacts:
        """What policy needs; a consent taken back is an end, which a hold had only put off."""
        facts = self._facts(row)
        if row["consent_id"] is None:
            return facts
        revoked_at = tx.get(tables.consents, row["consent_id"])["revoked_at"]
        if revoked_at is None:
            return facts
        return replace(facts, erase_from=dict.fromkeys(settings.revocation_erases, revoked_at))

    def erase_text(
        self, tx: Transaction, actor: Actor, row: RowMapping, action: str, **details: Any
    ) -> bool:
        """Erases a session's text and keeps its scores, under a new key; False: not now.

        A report that was damaged cannot be parted from its words, so it goes whole. So do the
        reviews and comments: they are of what was said, and may quote it.
        """
        try:
            bare = self._bare_reports(tx, row)
        except VaultError as error:
            if error.status == 503:  # the KMS is away: that is no session's fault
                raise
            return False
        blob = tx.tenant()["key_blob"]
        key = self.house.vault.new_session_key(blob, tx.tenant_id, row["id"])
        for report_id, content in bare.items():
            if content is None:
                tx.change(tables.reports, report_id, sealed=None)
                continue
            place = Place(tx.tenant_id, row["id"], Kind.REPORT, report_id)
            sealed = self.house.vault.seal(content, place, tenant_blob=blob, session_blob=key)
            digest = hashlib.sha256(content).hexdigest()
            tx.change(tables.reports, report_id, sealed=sealed, sha256=digest)
        self._drop_reviews(tx, row["id"])
        self._cancel_jobs(tx, row["id"], self.now)
        is_stopped = row["status"] in ("queued", "running")
        tx.change(
            tables.sessions,
            row["id"],
            status=("done" if bare else "cancelled") if is_stopped else row["status"],
            key_blob=key,
            transcript=None,
            transcript_sha256=None,
            options=None,
            text_erased_at=self.now,
            updated_at=self.now,
            version=row["version"] + 1,
        )
        self._note(tx, actor, action, "session", row["id"], **details)
        return True

    def _bare_reports(self, tx: Transaction, row: RowMapping) -> dict[str, bytes | None]:
        bare: dict[str, bytes | None] = {}
        for one in tx.select(tables.reports, tables.reports.c.session_id == row["id"]):
            try:
                if one["sealed"] is not None:
                    said = self._open(tx, row, one["sealed"], Kind.REPORT, one["id"])
                    kept = without_words(json.loads(said))
                    bare[one["id"]] = json.dumps(kept, separators=(",", ":")).encode()
            except (NotAuthentic, MalformedBlob):
                bare[one["id"]] = None
        return bare

    def opens(self, tx: Transaction, row: RowMapping) -> bool:
        """Whether all that is sealed of a session opens."""
        sealed = [
            (row["transcript"], Kind.TRANSCRIPT, ""),
            (row["options"], Kind.OPTIONS, ""),
            *(
                (one["sealed"], Kind.REPORT, one["id"])
                for one in tx.select(tables.reports, tables.reports.c.session_id == row["id"])
            ),
        ]
        try:
            for blob, kind, item in sealed:
                if blob is not None:
                    self._open(tx, row, blob, kind, item)
        except VaultError:
            return False
        return True


def _due(
    actor: Actor, settings: policy.PolicySettings, now: datetime, after: str, size: int
) -> sa.Select[Any]:
    """Ids of sessions that may be due, so that not all are read; policy has the last word."""
    one, of = tables.sessions.c, tables.consents.c
    revoked = sa.select(of.id).where(of.tenant_id == actor.tenant_id, of.revoked_at.is_not(None))
    ends = [sa.and_(one.text_erased_at.is_(None), one.consent_id.in_(revoked))]
    if retention.Part.SCORES in settings.revocation_erases:
        ends.append(one.consent_id.in_(revoked))
    if (days := settings.retention.text_days) is not None:
        old = one.created_at <= now - timedelta(days=days)
        ends.append(sa.and_(one.text_erased_at.is_(None), old))
    if (days := settings.retention.scores_days) is not None:
        ends.append(one.created_at <= now - timedelta(days=days))
    living = (one.erased_at.is_(None), one.hold.is_(sa.false()), one.id > after)
    query = sa.select(one.id).where(one.tenant_id == actor.tenant_id, *living, sa.or_(*ends))
    return query.order_by(one.id).limit(size)


def all_tenants(house: House) -> list[RowMapping]:
    """The rows of all tenants, oldest first."""
    with house.store.system() as tx:
        return list(tx.select(tables.tenants))


def note_tenant(house: House, tx: Transaction, action: str, **details: Any) -> None:
    """Notes what the system did to a whole tenant."""
    event = audit.Event(
        action,
        house.clock(),
        "system",
        target_kind="tenant",
        target_id=tx.tenant_id,
        details=details,
    )
    tx.note(event, house.audit_key)
