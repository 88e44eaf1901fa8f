"""Assignments as deeds on record: which session is given to whom to be coded, and by whom.

A session that its client lets research read is given to coders with tags for names; somebody may
also take one of their own, to code it before they see what the tool found. Nobody is given one of
which they have seen that already.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import RowMapping

from service import policy, tables
from service.caseload import ADJUDICATED, BLIND, Caseload, NotYours, View
from service.deeds import Actor
from service.entrance import Visitor
from service.errors import Conflict, Invalid, NotPermitted
from service.scopes import Role
from service.sheets import Sheet
from service.store import Transaction, new_id
from service.vault import Kind, Place

LEAST_CODERS, MOST_CODERS = 2, 10
"""Coders of a session. The least is what agreement needs; the most is ours."""

_PURPOSES = {View.RESEARCH: policy.Purpose.RESEARCH, View.CARE: policy.Purpose.HUMAN_REVIEW}


class Assignments(Caseload):
    """The deeds on assignments."""

    # -- giving out -------------------------------------------------------------------------------

    def give_out(
        self,
        actor: Actor,
        session_id: str,
        sheet: Sheet,
        coders: Sequence[str],
        adjudicator: str,
        study: str,
    ) -> str:
        """Gives a session to coders; the assignment's id.

        Args:
            actor: who gives it out.
            session_id: of a session that its client lets research read.
            sheet: what the coders read.
            coders: ids of two researchers or more, none of whom knows what the tool found.
            adjudicator: id of the researcher who settles where they differ; may be a coder.
            study: a word that the files carry.

        Raises: Invalid: too few coders. NotPermitted: no researcher, or one who is not blind.
        """
        if not LEAST_CODERS <= len(set(coders)) == len(coders) <= MOST_CODERS:
            said = f"Choose {LEAST_CODERS} to {MOST_CODERS} coders, each once."
            raise Invalid(said, code="too_few_coders")
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = self._open_to(tx, session_id, View.RESEARCH, lock=True)
            for person_id in {*coders, adjudicator}:
                self._check_coder(tx, row, person_id)
            given = [*((one, BLIND) for one in coders), (adjudicator, ADJUDICATED)]
            return self._give_out(tx, actor, row, sheet, View.RESEARCH, study, given)

    def read_blind(self, actor: Actor, who: Visitor, session_id: str, sheet: Sheet) -> str:
        """Lets somebody code a session of their own before they see what the tool found; its id.

        Raises: NotYours. NotPermitted: they have opened what the tool found. Conflict: begun.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = self._open_to(tx, session_id, View.CARE, lock=True)
            if self.view(tx, who, row) is not View.CARE:
                raise NotYours
            if session_id in self.blind(tx, who):
                raise Conflict("You code this session blind already.", code="coded_blind")
            if self.seen(tx, actor.id, [session_id]):
                said = "You have opened what the tool found in this session."
                raise NotPermitted(said, code="not_blind")
            return self._give_out(tx, actor, row, sheet, View.CARE, "", [(actor.id, BLIND)])

    def _give_out(
        self,
        tx: Transaction,
        actor: Actor,
        row: RowMapping,
        sheet: Sheet,
        view: View,
        study: str,
        given: Sequence[tuple[str, str]],
    ) -> str:
        assignment_id, now = new_id("asg"), self.house.clock()
        content = json.dumps(sheet.to_dict(), separators=(",", ":")).encode()
        tx.add(
            tables.assignments,
            id=assignment_id,
            session_id=row["id"],
            view=view.value,
            study=study,
            made_by=actor.id,
            n_items=len(sheet.items),
            sealed=self._seal(tx, row, content, assignment_id),
            created_at=now,
        )
        for person_id, which in given:
            tx.add(
                tables.codings,
                id=new_id("cod"),
                assignment_id=assignment_id,
                session_id=row["id"],
                person_id=person_id,
                version=0,
                n_coded=0,
                updated_at=now,
                **{"pass": which},
            )
        counts = {"n_coders": sum(which == BLIND for _, which in given)}
        details: dict[str, Any] = {**counts, "assignment": assignment_id, "view": view.value}
        self._note(tx, actor, "coding.assigned", "session", row["id"], **details)
        return assignment_id

    def take_back(self, actor: Actor, who: Visitor, assignment_id: str) -> None:
        """Ends an assignment that no coder has committed, by who made it.

        Raises: NotYours. Conflict: somebody has committed. Gone; NotPermitted: consent.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            found = tx.select(tables.assignments, tables.assignments.c.id == assignment_id)
            if not found or found[0]["made_by"] != who.person_id:
                raise NotYours
            session_id = found[0]["session_id"]
            self._living(tx, session_id, lock=True, whole=False)
            rows = tx.select(tables.codings, tables.codings.c.assignment_id == assignment_id)
            if any(one["committed_at"] for one in rows):
                raise Conflict("A coder has committed already.", code="committed")
            for one in rows:
                tx.remove(tables.codings, one["id"])
            tx.remove(tables.assignments, assignment_id)
            about = {"assignment": assignment_id}
            self._note(tx, actor, "coding.removed", "session", session_id, **about)

    def _check_coder(self, tx: Transaction, row: RowMapping, person_id: str) -> None:
        person = tx.get(tables.people, person_id, whole=False)
        if Role.RESEARCHER not in person["roles"] or person["disabled_at"] is not None:
            raise NotPermitted("Only researchers code.", code="role_missing")
        care = (tables.care.c.client_id == row["client_id"], tables.care.c.person_id == person_id)
        if tx.select(tables.care, *care, limit=1) or self.seen(tx, person_id, [row["id"]]):
            raise NotPermitted(
                "Somebody chosen cares for this client, or has opened what the tool found in the "
                "session, and so cannot code it blind: choose another.",
                code="not_blind",
            )

    def researchers(self, actor: Actor) -> frozenset[str]:
        """Ids of the people who may code."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            found = tx.select(tables.people, whole=False)
        may = [one for one in found if Role.RESEARCHER in one["roles"] and not one["disabled_at"]]
        return frozenset(one["id"] for one in may)

    def for_research(self, actor: Actor) -> list[RowMapping]:
        """Sessions that could be given out: rows, not whole, newest first."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            found = tx.page(
                tables.sessions, tables.sessions.c.erased_at.is_(None), after=None, limit=200
            )
            return [row for row in found.rows if self._is_for_research(tx, row)]

    def check(self, actor: Actor, session_id: str) -> None:
        """Nothing where a session may be given out. Raises: NotFound; Gone; NotPermitted."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            self._open_to(tx, session_id, View.RESEARCH)

    def check_own(self, actor: Actor, who: Visitor, session_id: str) -> None:
        """Nothing where it is somebody's own to read. Raises: NotYours; Gone; NotPermitted."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = tx.get(tables.sessions, session_id, whole=False)
            if self.view(tx, who, row) is not View.CARE:
                raise NotYours
            self._open_to(tx, session_id, View.CARE)

    def _open_to(
        self, tx: Transaction, session_id: str, view: View, *, lock: bool = False
    ) -> RowMapping:
        row = self._living(tx, session_id, lock=lock, whole=False)
        self._decide(tx, _PURPOSES[view], row).require()
        return row

    def listed(self, actor: Actor, *, has_all: bool) -> list[dict[str, Any]]:
        """Assignments, newest first, each with `codings`, rows without content.

        Those that this person is in or made; all of the tenant's where `has_all`.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            rows = tx.select(tables.codings, whole=False)
            shared = tables.assignments.c.view == View.RESEARCH.value
            made = tx.select(tables.assignments, shared, whole=False)
            self._note(tx, actor, "coding.listed", "", "")
        by: dict[str, list[RowMapping]] = {}
        for row in rows:
            by.setdefault(row["assignment_id"], []).append(row)
        mine = {row["assignment_id"] for row in rows if row["person_id"] == actor.id}
        return [
            {**one, "codings": by.get(one["id"], [])}
            for one in reversed(made)
            if has_all or one["id"] in mine or one["made_by"] == actor.id
        ]

    def _seal(self, tx: Transaction, row: RowMapping, content: bytes, item: str) -> bytes:
        return self.house.vault.seal(
            content,
            Place(tx.tenant_id, row["id"], Kind.CODING, item),
            tenant_blob=tx.tenant()["key_blob"],
            session_blob=row["key_blob"],
        )
