"""What happens when all coders of a session have committed: agreement, adjudication, export."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service import tables
from service.annotations import Coding, annotate, undo
from service.caseload import ADJUDICATED, BLIND, NotYours, View
from service.codings import Assignment, Codings, Kept
from service.deeds import Actor
from service.differences import Difference, differences
from service.entrance import Visitor
from service.errors import Conflict, Fault, Invalid, NotPermitted, ServiceError
from service.sheets import Sheet
from service.store import Transaction


@dataclass(frozen=True, slots=True)
class Agreed:
    """All codings of a session, each committed, and the adjudication as it stands."""

    assignment: Assignment
    codings: tuple[Kept, ...]
    adjudication: Kept

    @property
    def by_coder(self) -> dict[str, Coding]:
        """The codings by who made them."""
        return {one.person_id: one.coding for one in self.codings}

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Where they differ, widest first."""
        return differences(self.assignment.sheet, self.by_coder)

    @property
    def n_shared(self) -> int:
        """How many items every coder coded."""
        said = [set(one.coding.annotations) for one in self.codings]
        return len(set.intersection(*said))

    @property
    def open_items(self) -> tuple[str, ...]:
        """Differences that nobody has settled yet."""
        kept = self.adjudication.coding.annotations
        return tuple(one.item for one in self.differences if one.item not in kept)


class Adjudications(Codings):
    """The deeds on what coders say together."""

    def agreed(
        self, actor: Actor, who: Visitor, assignment_id: str, action: str = "agreement.read"
    ) -> Agreed:
        """All codings of an assignment that this person is in.

        Raises: NotYours. NotPermitted: not all have committed. Gone.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            found = self._agreed(tx, who, assignment_id)
            target = found.assignment.session_id
            self._note(tx, actor, action, "session", target, assignment=assignment_id)
        return found

    def study(self, actor: Actor, who: Visitor, study: str) -> tuple[Agreed, ...]:
        """The sessions of a study that this person is in and that all coders have committed."""
        found = []
        with self.house.store.transaction(actor.tenant_id) as tx:
            named = tx.select(tables.assignments, tables.assignments.c.study == study, whole=False)
            for one in named:
                try:
                    found.append(self._agreed(tx, who, one["id"]))
                except ServiceError:  # not this person's, not committed by all, or gone
                    continue
                about = {"assignment": one["id"]}
                self._note(tx, actor, "agreement.read", "session", one["session_id"], **about)
        return tuple(found)

    def _agreed(self, tx: Transaction, who: Visitor, assignment_id: str, which: str = "") -> Agreed:
        row, made, rows = self._mine(tx, who, assignment_id, which, lock=bool(which))
        if made["view"] != View.RESEARCH.value:
            raise NotYours
        if any(one["pass"] == BLIND and one["committed_at"] is None for one in rows):
            raise NotPermitted(
                "Not all coders have committed yet: until then nobody sees another's codes.",
                code="not_committed",
            )
        kept = [(one["pass"], self._kept(tx, row, one)) for one in rows]
        return Agreed(
            self._assignment(tx, row, made, rows),
            tuple(one for which, one in kept if which == BLIND),
            next(one for which, one in kept if which == ADJUDICATED),
        )

    def settle(
        self,
        actor: Actor,
        who: Visitor,
        assignment_id: str,
        item: str,
        given: Mapping[str, Any],
        lead_s: float,
        if_match: str,
    ) -> Kept:
        """Settles one difference: what stands, and why. `{"clear": True}` opens it again.

        Raises: NotYours: somebody else adjudicates. NotPermitted: not all have committed. Stale;
            Conflict: committed, or no difference. Invalid: no reason, or what cannot be said.
        """
        with self.house.store.transaction(actor.tenant_id) as tx:
            found = self._agreed(tx, who, assignment_id, ADJUDICATED)
        if item not in {one.item for one in found.differences}:
            raise Conflict("The coders do not differ on this.", code="no_difference")
        if given != {"clear": True} and not str(given.get("reason", "")).strip():
            fault = Fault("/given/reason", "empty", "a reason is expected")
            raise Invalid("Say why.", errors=[fault])

        def make(before: Coding, sheet: Sheet, at: str) -> Coding:
            return annotate(before, sheet, item, given, lead_s=lead_s, at=at, may_reason=True)

        verb = "adjudication.changed"
        return self._change(actor, who, assignment_id, ADJUDICATED, if_match, make, verb)

    def undo_settling(self, actor: Actor, who: Visitor, assignment_id: str, if_match: str) -> Kept:
        """Takes the adjudicator's last change back. Raises: as `settle`."""

        def make(before: Coding, _: Sheet, __: str) -> Coding:
            return undo(before)

        verb = "adjudication.undone"
        return self._change(actor, who, assignment_id, ADJUDICATED, if_match, make, verb)

    def close(self, actor: Actor, who: Visitor, assignment_id: str, if_match: str) -> None:
        """Ends the adjudication. Raises: as `settle`; Conflict: differences are left."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            found = self._agreed(tx, who, assignment_id, ADJUDICATED)
        if found.open_items:
            said = f"Settle what is left first: {len(found.open_items)}."
            raise Conflict(said, code="differences_left")
        self._commit(actor, who, assignment_id, ADJUDICATED, if_match, "adjudication.committed")
