"""What ended, as signed lines kept outside the database, so that a restore cannot undo it.

A restore brings back what was erased, taken back and disabled since its copy was made. The
tombstones say what that was: sessions erased, whole or their text alone, consents taken back, API
keys disabled. They hold ids and times. The file is to lie where the copies do not, and to be added
to every few minutes: what ended after the last time is what a restore brings back to life.

Who can write the file can cut lines off unseen, and so get a session back; nobody can add a line
without the audit key. The audit trail, exported, is the second witness.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from hmac import compare_digest
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from service import audit, tables
from service.deeds import Actor, Enqueue
from service.errors import ServiceError
from service.house import House
from service.store import Transaction
from service.upkeep import Upkeep, flush

KINDS = ("session", "text", "consent", "key")
"""What ends: a session whole, its text alone, a consent taken back, an API key disabled."""


class CannotErase(ServiceError):
    """A session's text cannot be parted from its scores. Carries its id."""

    status, code, title = 500, "cannot_erase", "It is not erased"

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(f"a report of session {session_id} does not open: erase it whole")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A signed statement that something of a tenant's ended.

    Args:
        tenant_id: whose.
        kind: one of KINDS.
        id: of the session, consent or key.
        at: when, as service.audit.time_text writes it.
        key_id: the audit key that signed.
        signature: 64 hex digits.
    """

    tenant_id: str
    kind: str
    id: str
    at: str
    key_id: str
    signature: str

    def to_line(self) -> str:
        """The tombstone as one line of JSON, without its end."""
        return audit.canonical(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Self:
        """The tombstone of a line. Raises: Unauditable: it is none."""
        try:
            made = cls(**json.loads(line))
        except (TypeError, ValueError, RecursionError):
            raise audit.Unauditable("line", "is not a tombstone") from None
        if not all(isinstance(one, str) for one in asdict(made).values()) or made.kind not in KINDS:
            raise audit.Unauditable("line", "is not a tombstone")
        return made

    def signed(self, key: audit.Key) -> Self:
        """The same under this key's signature."""
        unsigned = replace(self, key_id=key.id, signature="")
        return replace(unsigned, signature=key.sign("tombstone", unsigned.to_line()))

    def is_signed_by(self, key: audit.Key) -> bool:
        """Whether this key signed it as it is."""
        stated = replace(self, signature="").to_line()
        good = key.sign("tombstone", stated)
        return self.key_id == key.id and compare_digest(self.signature.encode(), good.encode())


def tombstones(house: House) -> Iterator[Tombstone]:
    """All that has ended, of all tenants, signed; sessions' rows stay when they are erased."""
    of = tables.sessions.c
    wanted = (
        (tables.sessions, of.erased_at.is_not(None), "session", "erased_at"),
        (
            tables.sessions,
            sa.and_(of.erased_at.is_(None), of.text_erased_at.is_not(None)),
            "text",
            "text_erased_at",
        ),
        (tables.consents, tables.consents.c.revoked_at.is_not(None), "consent", "revoked_at"),
    )
    for table, is_over, kind, column in wanted:
        query = sa.select(table.c.tenant_id, table.c.id, table.c[column]).where(is_over)
        with house.store.system() as tx:
            rows = tx.connection.execute(query.order_by(table.c.id)).all()
        for tenant_id, id_, at in rows:
            one = Tombstone(tenant_id, kind, id_, audit.time_text(at), "", "")
            yield one.signed(house.audit_key)
    with house.store.system() as tx:
        credentials = tx.select(tables.credentials)
    for row in credentials:
        if at := row["record"].get("disabled_at"):
            ended = audit.time_text(datetime.fromisoformat(at))
            one = Tombstone(row["tenant_id"], "key", row["id"], ended, "", "")
            yield one.signed(house.audit_key)


def append_tombstones(house: House, path: Path) -> int:
    """Adds the tombstones that a file lacks, one on each line, and returns how many.

    To be run often: what ended after the last time is what a restore brings back to life. A last
    line that a power cut tore is ended first.

    Raises: OSError: the file cannot be written.
    """
    known: set[tuple[str, str, str]] = set()
    text = path.read_text("utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines():
        try:
            one = Tombstone.from_line(line)
            known.add((one.tenant_id, one.kind, one.id))
        except audit.Unauditable:
            continue
    new = [one for one in tombstones(house) if (one.tenant_id, one.kind, one.id) not in known]
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(fd, "a", encoding="utf-8") as file:
        if text and not text.endswith("\n"):
            file.write("\n")
        file.writelines(f"{one.to_line()}\n" for one in new)
        file.flush()
        os.fsync(file.fileno())
    return len(new)


def audit_keys(house: House) -> tuple[audit.Key, ...]:
    """The keys that the trail was ever signed with, the one in use first."""
    return audit.read_keys((house.settings.home / "audit.keys").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Redone:
    """What came of a list of tombstones.

    Args:
        n_again: what was ended again.
        n_already: what had ended in the copy, too.
        n_unknown: what the copy never had.
        bad_lines: numbers of lines, from 1, that are no tombstone or that the key did not sign.
    """

    n_again: int = 0
    n_already: int = 0
    n_unknown: int = 0
    bad_lines: tuple[int, ...] = ()


def redo_erasures(house: House, lines: Iterable[str], now: datetime) -> Redone:
    """Ends again what a restore brought back, and notes each; twice is as once.

    A line that is not signed does nothing and stops nothing: one torn line must not keep alive
    what the others say is over. Webhooks were told the first time.

    Raises: CannotErase: a report cannot be parted from its words.
    """
    upkeep, keys = _Again(house, Enqueue(), now), {key.id: key for key in audit_keys(house)}
    counts, bad = {"again": 0, "already": 0, "unknown": 0}, []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            one = Tombstone.from_line(line)
        except audit.Unauditable:
            bad.append(number)
            continue
        if one.key_id not in keys or not one.is_signed_by(keys[one.key_id]):
            bad.append(number)
            continue
        counts[upkeep.redo(one)] += 1
    flush(house.store)
    return Redone(counts["again"], counts["already"], counts["unknown"], tuple(bad))


class _Again(Upkeep):
    """The same deeds, for what had ended before."""

    def redo(self, one: Tombstone) -> str:
        """Ends again what a restore brought back: "again", "already" or "unknown"."""
        table = {"consent": tables.consents, "key": tables.credentials}.get(
            one.kind, tables.sessions
        )
        actor = Actor(one.tenant_id)
        with self.house.store.transaction(one.tenant_id) as tx:
            found = tx.select(table, table.c.id == one.id)
            if not found:
                return "unknown"
            if one.kind == "consent":
                is_over = found[0]["revoked_at"] is not None
            elif one.kind == "key":
                is_over = self._disable(tx, actor, found[0], one.at)
            else:
                is_over = self._erase_again(tx, actor, found[0], one.kind)
        if one.kind == "consent" and not is_over:
            self.revoke(actor, one.id)
        return "already" if is_over else "again"

    def _erase_again(self, tx: Transaction, actor: Actor, row: RowMapping, kind: str) -> bool:
        """Whether nothing was left to do. A hold that the copy still knows of does not count."""
        if row["erased_at"] or (kind == "text" and row["text_erased_at"]):
            return True
        if kind == "session":
            self.destroy(tx, actor, row, "session.erased", redone=True)
        elif not self.erase_text(tx, actor, row, "session.expired", parts="text", redone=True):
            raise CannotErase(row["id"])
        return False

    def _disable(self, tx: Transaction, actor: Actor, row: RowMapping, at: str) -> bool:
        if row["record"].get("disabled_at"):
            return True
        tx.change(tables.credentials, row["id"], record={**row["record"], "disabled_at": at})
        self._note(tx, actor, "key.revoked", "key", row["id"], redone=True)
        return False
