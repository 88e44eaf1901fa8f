"""Assignments and codings as deeds on record: sealed with their session, and gone with it.

A session that its client lets research read is given to coders with tags for names. Each codes
alone: until a coder has committed, they see no other's codes, and nothing that the tool found.
What was committed is not changed again. When all have, who was named for it settles where they
differ; both codings stay as they were.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import RowMapping

from service import policy, tables
from service.annotations import Coding, annotate, undo
from service.caseload import NotYours
from service.deeds import Actor, Deeds
from service.entrance import Visitor
from service.errors import Conflict, Invalid, MissingCondition, NotPermitted, Stale
from service.scopes import Role
from service.sheets import Sheet
from service.store import Transaction, new_id
from service.vault import Kind, Place

BLIND, ADJUDICATED = "blind", "adjudicated"
"""The passes over a session, as files name them."""

LEAST_CODERS, MOST_CODERS = 2, 10
"""Coders of a session. The least is what agreement needs; the most is ours."""

_SEEN = ("report.read", "review.read")
"""What is on record of somebody who has looked at what the tool found."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One coding as it is kept. `version` 0: nothing was said. `changed`: items, just now."""

    id: str
    person_id: str
    version: int
    committed_at: datetime | None
    coding: Coding
    changed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Assignment:
    """A session given to coders, with what of it may be seen now."""

    id: str
    session_id: str
    study: str
    sheet: Sheet
    coders: tuple[str, ...]
    adjudicator: str


class Codings(Deeds):
    """The deeds on assignments and codings."""

    # -- giving out -------------------------------------------------------------------------------

    def assign(
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
        assignment_id, now = new_id("asg"), self.house.clock()
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = self._for_research(tx, session_id, lock=True)
            for person_id in {*coders, adjudicator}:
                self._check_coder(tx, row, person_id)
            content = json.dumps(sheet.to_dict(), separators=(",", ":")).encode()
            tx.add(
                tables.assignments,
                id=assignment_id,
                session_id=session_id,
                study=study,
                made_by=actor.id,
                n_items=len(sheet.items),
                sealed=self._seal(tx, row, content, assignment_id),
                created_at=now,
            )
            given = [*((one, BLIND) for one in coders), (adjudicator, ADJUDICATED)]
            for person_id, which in given:
                tx.add(
                    tables.codings,
                    id=new_id("cod"),
                    assignment_id=assignment_id,
                    session_id=session_id,
                    person_id=person_id,
                    version=0,
                    n_coded=0,
                    updated_at=now,
                    **{"pass": which},
                )
            counts = {"n_coders": len(coders), "assignment": assignment_id}
            self._note(tx, actor, "coding.assigned", "session", session_id, **counts)
        return assignment_id

    def _check_coder(self, tx: Transaction, row: RowMapping, person_id: str) -> None:
        person = tx.get(tables.people, person_id, whole=False)
        if Role.RESEARCHER not in person["roles"] or person["disabled_at"] is not None:
            raise NotPermitted("Only researchers code.", code="role_missing")
        care = (tables.care.c.client_id == row["client_id"], tables.care.c.person_id == person_id)
        trail = tables.audit_entries.c
        seen = (trail.actor_id == person_id, trail.target_id == row["id"], trail.action.in_(_SEEN))
        if tx.select(tables.care, *care, limit=1) or tx.select(
            tables.audit_entries, *seen, limit=1
        ):
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

    def sessions(self, actor: Actor) -> list[RowMapping]:
        """Sessions that could be given out: rows, not whole, newest first."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            found = tx.page(
                tables.sessions, tables.sessions.c.erased_at.is_(None), after=None, limit=200
            )
            return [row for row in found.rows if self._is_for_research(tx, row)]

    def _is_for_research(self, tx: Transaction, row: RowMapping) -> bool:
        return row["erased_at"] is None and self._decide(tx, policy.Purpose.RESEARCH, row).allowed

    def check(self, actor: Actor, session_id: str) -> None:
        """Nothing where a session may be given out. Raises: NotFound; Gone; NotPermitted."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            self._for_research(tx, session_id)

    def _for_research(self, tx: Transaction, session_id: str, *, lock: bool = False) -> RowMapping:
        row = self._living(tx, session_id, lock=lock, whole=False)
        self._decide(tx, policy.Purpose.RESEARCH, row).require()
        return row

    def listed(self, actor: Actor, *, has_all: bool) -> list[dict[str, Any]]:
        """Assignments, newest first, each with `codings`, rows without content.

        Those that this person is in or made; all of the tenant's where `has_all`.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            rows = tx.select(tables.codings, whole=False)
            made = tx.select(tables.assignments, whole=False)
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

    # -- one coder's ------------------------------------------------------------------------------

    def read(
        self, actor: Actor, who: Visitor, assignment_id: str, which: str = BLIND
    ) -> tuple[Assignment, Kept]:
        """What a person has to code or to settle, and their own coding as it stands.

        Raises: NotYours: it was not given to this person. Gone; NotPermitted: consent.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            row, made, rows = self._mine(tx, who, assignment_id, which)
            kept = self._kept(tx, row, _own(rows, actor.id, which))
            verb = "coding.read" if which == BLIND else "adjudication.read"
            self._note(tx, actor, verb, "session", row["id"], assignment=assignment_id)
            return self._assignment(tx, row, made, rows), kept

    def annotate(
        self,
        actor: Actor,
        who: Visitor,
        assignment_id: str,
        item: str,
        given: Mapping[str, Any],
        lead_s: float,
        if_match: str,
    ) -> Kept:
        """Says something of one item. Raises: as `read`; Stale; Conflict: committed. Invalid."""

        def make(before: Coding, sheet: Sheet, at: str) -> Coding:
            return annotate(before, sheet, item, given, lead_s=lead_s, at=at)

        return self._change(actor, who, assignment_id, BLIND, if_match, make, "coding.changed")

    def undo(self, actor: Actor, who: Visitor, assignment_id: str, if_match: str) -> Kept:
        """Takes the coder's last change back. Raises: as `annotate`."""

        def make(before: Coding, _: Sheet, __: str) -> Coding:
            return undo(before)

        return self._change(actor, who, assignment_id, BLIND, if_match, make, "coding.undone")

    def commit(self, actor: Actor, who: Visitor, assignment_id: str, if_match: str) -> None:
        """Ends a coder's coding: it is not changed again. Raises: as `annotate`."""
        self._commit(actor, who, assignment_id, BLIND, if_match, "coding.committed")

    def _commit(
        self, actor: Actor, who: Visitor, assignment_id: str, which: str, if_match: str, verb: str
    ) -> None:
        with self.house.store.transaction(actor.tenant_id) as tx:
            row, _, rows = self._mine(tx, who, assignment_id, which, lock=True)
            own = _own(rows, actor.id, which)
            _check_open(own, if_match)
            tx.change(tables.codings, own["id"], committed_at=self.house.clock())
            details = {"n_coded": own["n_coded"], "assignment": assignment_id}
            self._note(tx, actor, verb, "session", row["id"], **details)

    def _change(
        self,
        actor: Actor,
        who: Visitor,
        assignment_id: str,
        which: str,
        if_match: str,
        make: Callable[[Coding, Sheet, str], Coding],
        action: str,
    ) -> Kept:
        now = self.house.clock()
        with self.house.store.transaction(actor.tenant_id) as tx:
            row, made, rows = self._mine(tx, who, assignment_id, which, lock=True)
            own = _own(rows, actor.id, which)
            _check_open(own, if_match)
            sheet = self._assignment(tx, row, made, rows).sheet
            before = self._kept(tx, row, own)
            after = make(before.coding, sheet, now.isoformat(timespec="seconds"))
            content = json.dumps(after.to_dict(), separators=(",", ":")).encode()
            values: dict[str, Any] = {
                "version": own["version"] + 1,
                "n_coded": len(after.annotations),
                "sealed": self._seal(tx, row, content, own["id"]),
                "updated_at": now,
            }
            tx.change(tables.codings, own["id"], **values)
            details = {"n_coded": values["n_coded"], "assignment": assignment_id}
            self._note(tx, actor, action, "session", row["id"], **details)
        was, now_is = before.coding.annotations, after.annotations
        changed = {one for one in {*was, *now_is} if was.get(one) != now_is.get(one)}
        return Kept(own["id"], actor.id, values["version"], None, after, frozenset(changed))

    # -- rows -------------------------------------------------------------------------------------

    def _mine(
        self,
        tx: Transaction,
        who: Visitor,
        assignment_id: str,
        which: str = "",
        *,
        lock: bool = False,
    ) -> tuple[RowMapping, RowMapping, Sequence[RowMapping]]:
        """Session, assignment and its codings, if this person has that pass of it.

        Without a pass: if this person is in it at all, or gave it out.
        """
        found = tx.select(tables.assignments, tables.assignments.c.id == assignment_id)
        of = tables.codings.c.assignment_id == assignment_id
        rows = tx.select(tables.codings, of)
        mine = [
            one for one in rows if one["person_id"] == who.person_id and which in ("", one["pass"])
        ]
        gave = bool(found) and not which and found[0]["made_by"] == who.person_id
        if not found or not (mine or gave) or Role.RESEARCHER not in who.roles:
            raise NotYours
        row = self._for_research(tx, found[0]["session_id"], lock=lock)
        # Read again where it was locked: another window may have changed it meanwhile.
        return row, found[0], tx.select(tables.codings, of) if lock else rows

    def _assignment(
        self, tx: Transaction, row: RowMapping, made: RowMapping, rows: Sequence[RowMapping]
    ) -> Assignment:
        content = self._open(tx, row, made["sealed"], Kind.CODING, made["id"])
        return Assignment(
            made["id"],
            row["id"],
            made["study"],
            Sheet.from_dict(json.loads(content)),
            coders=tuple(one["person_id"] for one in rows if one["pass"] == BLIND),
            adjudicator=next(one["person_id"] for one in rows if one["pass"] == ADJUDICATED),
        )

    def _kept(self, tx: Transaction, row: RowMapping, one: RowMapping) -> Kept:
        coding = Coding()
        if one["sealed"] is not None:
            content = self._open(tx, row, one["sealed"], Kind.CODING, one["id"])
            coding = Coding.from_dict(json.loads(content))
        return Kept(one["id"], one["person_id"], one["version"], one["committed_at"], coding)

    def _seal(self, tx: Transaction, row: RowMapping, content: bytes, item: str) -> bytes:
        return self.house.vault.seal(
            content,
            Place(tx.tenant_id, row["id"], Kind.CODING, item),
            tenant_blob=tx.tenant()["key_blob"],
            session_blob=row["key_blob"],
        )


def _own(rows: Sequence[RowMapping], person_id: str, which: str) -> RowMapping:
    return next(one for one in rows if (one["person_id"], one["pass"]) == (person_id, which))


def _check_open(own: RowMapping, if_match: str) -> None:
    if not if_match:
        raise MissingCondition("Say in If-Match which version you have read.")
    if own["committed_at"] is not None:
        raise Conflict("This was committed, and is not changed again.", code="committed")
    if if_match.strip().removeprefix("W/").strip('"') != str(own["version"]):
        raise Stale("This was changed in another window: look at it again.")
