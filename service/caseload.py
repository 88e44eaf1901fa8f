"""Who may open what: a clinician their own clients, a supervisor where the clinician has said so.

A researcher may open what its client agreed to have used for research, in pseudonyms. An
administrator opens no session. What is somebody else's looks like what is nowhere.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from service import policy, tables
from service.deeds import Actor, Deeds
from service.entrance import Visitor
from service.errors import Conflict, Gone, NotFound, NotPermitted
from service.root_keys import VaultError
from service.scopes import Role
from service.store import Transaction, new_id
from service.vault import Kind

MOST_SHOWN = 500
"""Sessions of one list, newest first. A judgement: what can be searched while one types."""


BLIND, ADJUDICATED = "blind", "adjudicated"
"""The passes of coders over a session, as files name them."""

_SEEN = ("report.read", "review.read")
"""What is on record of somebody who has looked at what the tool found."""


class NotYours(NotFound):
    """A session of this tenant that is not this person's. It looks as if it were nowhere."""

    denied_as = "not_ones_own"

    def __init__(self) -> None:
        super().__init__("there is no such thing")


class Blind(NotPermitted):
    """A session that this person codes, and has not committed: nothing found in it is shown.

    Carries the id of the `assignment` that they code; empty where they settle it.
    """

    def __init__(self, assignment: str) -> None:
        self.assignment = assignment
        super().__init__(
            "You code this session blind: what the tool found is shown when you have committed.",
            code="coded_blind",
        )


class View(StrEnum):
    """How somebody may see a session."""

    CARE = "care"
    RESEARCH = "research"


class Caseload(Deeds):
    """The deeds on who cares for whom, and what follows from it."""

    def view(self, tx: Transaction, who: Visitor, row: RowMapping) -> View:
        """How this person may see a session. Raises: NotYours."""
        if row["client_id"] in self.clients(tx, who):
            return View.CARE
        if Role.RESEARCHER in who.roles and self._is_for_research(tx, row):
            return View.RESEARCH
        raise NotYours

    def clients(self, tx: Transaction, who: Visitor) -> frozenset[str]:
        """Ids of the clients whom this person cares for or supervises."""
        roles = [role for role in (Role.CLINICIAN, Role.SUPERVISOR) if role in who.roles]
        own = (tables.care.c.person_id == who.person_id, tables.care.c.role.in_(roles))
        return frozenset(row["client_id"] for row in tx.select(tables.care, *own))

    def blind(self, tx: Transaction, who: Visitor) -> dict[str, str]:
        """What this person has still to code, or to settle, blind: by session, see `Blind`."""
        own = (tables.codings.c.person_id == who.person_id, tables.codings.c.committed_at.is_(None))
        rows = tx.select(tables.codings, *own, whole=False)
        found = {row["session_id"]: "" for row in rows}
        coded = [row for row in rows if row["pass"] == BLIND]
        return found | {row["session_id"]: row["assignment_id"] for row in coded}

    def _is_for_research(self, tx: Transaction, row: RowMapping) -> bool:
        return row["erased_at"] is None and (self._decide(tx, policy.Purpose.RESEARCH, row).allowed)

    def session(self, who: Visitor, session_id: str) -> tuple[RowMapping, View]:
        """A session's row, not whole, and how this person may see it.

        Raises: NotFound; NotYours. Gone: it was erased. Blind: this person is still to code it.
        """
        with self.house.store.transaction(who.tenant_id) as tx:
            row = tx.get(tables.sessions, session_id, whole=False)
            view = self.view(tx, who, row)
            blind = self.blind(tx, who).get(session_id)
        if row["erased_at"] is not None:
            raise Gone("the session was erased")
        if blind is not None:
            raise Blind(blind)
        return row, view

    def note_read(self, tx: Transaction, actor: Actor, session_id: str) -> None:
        """Puts on record that somebody looked how far a session is."""
        self._note(tx, actor, "session.read", "session", session_id)

    def reference(self, who: Visitor, session_id: str) -> str | None:
        """What the clinic calls the client of a session; None where the text was erased."""
        with self.house.store.transaction(who.tenant_id) as tx:
            row = tx.get(tables.sessions, session_id)
            found: str | None = self._shown(tx, row, self.view(tx, who, row))["reference"]
        return found

    def sessions(self, actor: Actor, who: Visitor, client_id: str = "") -> list[dict[str, Any]]:
        """What this person may open, newest first: rows, with report, review and reference.

        `reference` and `file` are the caller's own words for client and file; None for a
        researcher, and where the text was erased. `is_seen`: this person has opened what the
        tool found, and so cannot code the session blind.

        Raises: NotYours: the client is not this person's.
        """
        with self.house.store.transaction(who.tenant_id) as tx:
            mine = self.clients(tx, who)
            if client_id and client_id not in mine:
                raise NotYours
            chosen = frozenset([client_id]) if client_id else mine
            rows = self._rows(tx, tables.sessions.c.client_id.in_(sorted(chosen)))
            found = [self._shown(tx, row, View.CARE) for row in rows]
            if Role.RESEARCHER in who.roles and not client_id:
                others = self._rows(tx, tables.sessions.c.client_id.not_in(sorted(mine)))
                found += [
                    self._shown(tx, row, View.RESEARCH)
                    for row in others
                    if self._is_for_research(tx, row)
                ]
            self._add_reports(tx, found, self.blind(tx, who))
            seen = self.seen(tx, who.person_id, [one["id"] for one in found])
            for one in found:
                one["is_seen"] = one["id"] in seen
            action = "caseload.read" if client_id else "session.listed"
            self._note(tx, actor, action, "client" if client_id else "", client_id)
        return found

    def _rows(self, tx: Transaction, *where: sa.ColumnElement[bool]) -> Sequence[RowMapping]:
        kept = [one for one in tables.sessions.c if one.name != "transcript"]
        own = (tables.sessions.c.tenant_id == tx.tenant_id, tables.sessions.c.erased_at.is_(None))
        query = sa.select(*kept).where(*own, *where).order_by(tables.sessions.c.id.desc())
        return tx.connection.execute(query.limit(MOST_SHOWN)).mappings().all()

    def _shown(self, tx: Transaction, row: RowMapping, view: View) -> dict[str, Any]:
        shown = {n: v for n, v in row.items() if n not in ("options", "key_blob")}
        said: dict[str, Any] = {}
        if view is View.CARE and row["options"] is not None:
            try:
                said = json.loads(self._open(tx, row, row["options"], Kind.OPTIONS))
            except VaultError:  # one row that is damaged must not close the list
                said = {}
        if view is View.RESEARCH:
            shown["day"] = None  # a date tells who somebody is
        return {
            **shown,
            "view": view,
            "reference": said.get("client"),
            "file": said.get("file") or None,
        }

    def _add_reports(
        self, tx: Transaction, found: Iterable[dict[str, Any]], blind: Mapping[str, str]
    ) -> None:
        ids = [one["id"] for one in found]
        own = tables.reports.c.session_id.in_(ids)
        # Oldest first, so that the newest stays.
        reports = {one["session_id"]: one for one in tx.select(tables.reports, own, whole=False)}
        reviewed = tables.reviews.c.session_id.in_(ids)
        reviews = {one["id"]: one for one in tx.select(tables.reviews, reviewed, whole=False)}
        for one in found:
            one["is_blind"] = one["id"] in blind
            report = None if one["is_blind"] else reports.get(one["id"])
            review = reviews.get(report["id"]) if report is not None else None
            one["report"] = report
            one["summary"] = (report["summary"] if report is not None else None) or None
            one["n_judged"] = review["n_judged"] if review is not None else 0

    def seen(self, tx: Transaction, person_id: str, ids: Sequence[str]) -> frozenset[str]:
        """Those of these sessions in which this person has opened what the tool found."""
        trail = tables.audit_entries.c
        own = (trail.tenant_id == tx.tenant_id, trail.actor_id == person_id)
        query = sa.select(trail.target_id).where(*own, trail.target_id.in_(ids))
        query = query.where(trail.action.in_(_SEEN)).distinct()
        return frozenset(tx.connection.execute(query).scalars())

    # -- who cares for whom -----------------------------------------------------------------------

    def take_on(self, actor: Actor, client_id: str) -> None:
        """Makes a clinician who brings a client's first session the one who cares for them.

        Raises: Conflict: the reference is of a client who is not theirs.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            cared = tx.select(tables.care, tables.care.c.client_id == client_id)
            clinicians = {row["person_id"] for row in cared if row["role"] == Role.CLINICIAN}
            if actor.id in clinicians:
                return
            own = tables.sessions.c.client_id == client_id
            if clinicians or tx.select(tables.sessions, own, limit=1, whole=False):
                raise Conflict(
                    "This reference is of a client who is not yours: choose another, or ask an "
                    "administrator.",
                    code="not_your_client",
                )
            self._give(tx, client_id, actor.id, Role.CLINICIAN, actor.id)

    def assign(self, actor: Actor, client_id: str, person_id: str) -> None:
        """An administrator says who cares for a client, beside whoever does already.

        Raises: NotFound: no session of this client, or no such person. NotPermitted: no clinician.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            own = tables.sessions.c.client_id == client_id
            if not tx.select(tables.sessions, own, limit=1, whole=False):
                raise NotFound("there is no session of this client")
            self._check_role(tx, person_id, Role.CLINICIAN)
            self._give(tx, client_id, person_id, Role.CLINICIAN, actor.id)
            self._note(tx, actor, "roles.assigned", "client", client_id)

    def supervise(
        self, actor: Actor, who: Visitor, client_id: str, person_id: str, *, is_given: bool
    ) -> None:
        """A clinician lets a supervisor read one of their own clients, or no longer.

        Raises: NotYours: the client is not this clinician's. NotFound; NotPermitted.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            mine = (
                tables.care.c.client_id == client_id,
                tables.care.c.person_id == who.person_id,
                tables.care.c.role == Role.CLINICIAN,
            )
            if Role.CLINICIAN not in who.roles or not tx.select(tables.care, *mine):
                raise NotYours
            if is_given:
                self._check_role(tx, person_id, Role.SUPERVISOR)
                self._give(tx, client_id, person_id, Role.SUPERVISOR, actor.id)
            else:
                gone = tables.care.delete().where(
                    tables.care.c.tenant_id == tx.tenant_id,
                    tables.care.c.client_id == client_id,
                    tables.care.c.person_id == person_id,
                    tables.care.c.role == Role.SUPERVISOR,
                )
                tx.connection.execute(gone)
            action = "supervision.given" if is_given else "supervision.revoked"
            self._note(tx, actor, action, "client", client_id)

    def supervisors_of(self, who: Visitor, client_id: str) -> frozenset[str]:
        """Ids of the people who supervise a client."""
        with self.house.store.transaction(who.tenant_id) as tx:
            own = (tables.care.c.client_id == client_id, tables.care.c.role == Role.SUPERVISOR)
            return frozenset(row["person_id"] for row in tx.select(tables.care, *own))

    def _check_role(self, tx: Transaction, person_id: str, role: Role) -> None:
        row = tx.get(tables.people, person_id, whole=False)
        if role not in row["roles"] or row["disabled_at"] is not None:
            raise NotPermitted(f"This person is no {role}.", code="role_missing")

    def _give(
        self, tx: Transaction, client_id: str, person_id: str, role: Role, given_by: str
    ) -> None:
        tx.add_once(
            tables.care,
            id=new_id("car"),
            client_id=client_id,
            person_id=person_id,
            role=role.value,
            given_by=given_by,
            created_at=self.house.clock(),
        )
