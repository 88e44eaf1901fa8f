"""Codings as deeds on record: what each coder says, sealed with the session, and gone with it.

Each codes alone: until a coder has committed, they see no other's codes, and nothing that the tool
found. What was committed is not changed again. When all have, who was named for it settles where
they differ (service/adjudications.py); both codings stay as they were.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import RowMapping

from service import tables
from service.annotations import Coding, annotate, undo
from service.assignments import Assignments
from service.caseload import BLIND, NotYours, View
from service.deeds import Actor
from service.entrance import Visitor
from service.errors import Conflict, MissingCondition, Stale
from service.scopes import Role
from service.sheets import Sheet
from service.store import Transaction
from service.vault import Kind


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
    view: View
    sheet: Sheet
    coders: tuple[str, ...]


class Codings(Assignments):
    """The deeds on what coders say."""

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

    def commit(self, actor: Actor, who: Visitor, assignment_id: str, if_match: str) -> Assignment:
        """Ends a coder's coding: it is not changed again. Raises: as `annotate`."""
        self._commit(actor, who, assignment_id, BLIND, if_match, "coding.committed")
        return self.read(actor, who, assignment_id)[0]

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
        if not found or not (mine or gave):
            raise NotYours
        view = View(found[0]["view"])
        row = self._open_to(tx, found[0]["session_id"], view, lock=lock)
        if not self._may(tx, who, row, view):
            raise NotYours
        # Read again where it was locked: another window may have changed it meanwhile.
        return row, found[0], tx.select(tables.codings, of) if lock else rows

    def _may(self, tx: Transaction, who: Visitor, row: RowMapping, view: View) -> bool:
        """Whether somebody still is what they were when it was given to them."""
        if view is View.RESEARCH:
            return Role.RESEARCHER in who.roles
        return row["client_id"] in self.clients(tx, who)

    def _assignment(
        self, tx: Transaction, row: RowMapping, made: RowMapping, rows: Sequence[RowMapping]
    ) -> Assignment:
        content = self._open(tx, row, made["sealed"], Kind.CODING, made["id"])
        return Assignment(
            made["id"],
            row["id"],
            made["study"],
            View(made["view"]),
            Sheet.from_dict(json.loads(content)),
            coders=tuple(one["person_id"] for one in rows if one["pass"] == BLIND),
        )

    def _kept(self, tx: Transaction, row: RowMapping, one: RowMapping) -> Kept:
        coding = Coding()
        if one["sealed"] is not None:
            content = self._open(tx, row, one["sealed"], Kind.CODING, one["id"])
            coding = Coding.from_dict(json.loads(content))
        return Kept(one["id"], one["person_id"], one["version"], one["committed_at"], coding)


def _own(rows: Sequence[RowMapping], person_id: str, which: str) -> RowMapping:
    return next(one for one in rows if (one["person_id"], one["pass"]) == (person_id, which))


def _check_open(own: RowMapping, if_match: str) -> None:
    if not if_match:
        raise MissingCondition("Say in If-Match which version you have read.")
    if own["committed_at"] is not None:
        raise Conflict("This was committed, and is not changed again.", code="committed")
    if if_match.strip().removeprefix("W/").strip('"') != str(own["version"]):
        raise Stale("This was changed in another window: look at it again.")
