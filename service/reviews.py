"""Reviews and comments as deeds on record: sealed with their session, and gone with it.

A review is of one report and is everybody's who may open the session: each change says whose it
is. A comment is one person's, of one moment, in a table apart from the record.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import RowMapping

from detector.report import Report
from service import tables
from service.deeds import Actor, Deeds
from service.errors import Invalid, MissingCondition, Stale, TooLarge
from service.judgements import ITEM, Review, judge, undo
from service.store import Transaction, new_id
from service.vault import Kind, Place

MOST_COMMENT = 10_000
"""Characters of one comment; ours."""


@dataclass(frozen=True, slots=True)
class Comment:
    """What one person noted on one moment, turn, or the session (`session`)."""

    item: str
    by: str
    version: int
    text: str = field(repr=False)


class Reviews(Deeds):
    """The deeds on reviews and comments. Whether somebody may open the session is asked before."""

    # -- reviews ----------------------------------------------------------------------------------

    def review(self, actor: Actor, session_id: str, report_id: str) -> tuple[int, Review]:
        """The review of a report and its version; version 0: nobody has begun it."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = self._living(tx, session_id, whole=False)
            found = self._kept(tx, row, report_id)
            self._note(tx, actor, "review.read", "session", session_id)
        return found

    def judge(
        self,
        actor: Actor,
        session_id: str,
        report_id: str,
        report: Report,
        given: Mapping[str, Any],
        if_match: str,
    ) -> tuple[int, Review]:
        """Says something of one moment: `given` is its `item`, and fields of service.judgements.

        Raises: MissingCondition; Stale: somebody changed the review meanwhile. Invalid. Gone.
        """
        item = given.get("item")
        rest = {name: value for name, value in given.items() if name != "item"}
        if not isinstance(item, str):
            raise Invalid("Say of which moment.")

        def make(before: Review, at: str) -> Review:
            return judge(before, report, item, rest, by=actor.id, at=at)

        return self._change(actor, session_id, report_id, if_match, make, "review.changed")

    def undo(
        self, actor: Actor, session_id: str, report_id: str, if_match: str
    ) -> tuple[int, Review]:
        """Takes the actor's own last change back. Raises: as `judge`; Conflict: there is none."""

        def make(before: Review, at: str) -> Review:
            return undo(before, by=actor.id, at=at)

        return self._change(actor, session_id, report_id, if_match, make, "review.undone")

    def _change(
        self,
        actor: Actor,
        session_id: str,
        report_id: str,
        if_match: str,
        make: Callable[[Review, str], Review],
        action: str,
    ) -> tuple[int, Review]:
        now = self.house.clock()
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = self._living(tx, session_id, lock=True, whole=False)
            version, before = self._kept(tx, row, report_id)
            _check_version(if_match, version)
            after = make(before, now.isoformat(timespec="seconds"))
            content = json.dumps(after.to_dict(), separators=(",", ":")).encode()
            values: dict[str, Any] = {
                "version": version + 1,
                "n_judged": after.n_judged,
                "sealed": self._seal(tx, row, content, Kind.REVIEW, report_id),
                "updated_at": now,
            }
            if version:
                tx.change(tables.reviews, report_id, **values)
            else:
                tx.add(tables.reviews, id=report_id, session_id=session_id, **values)
            details = {"n_judged": after.n_judged, "version": version + 1}
            self._note(tx, actor, action, "session", session_id, **details)
        return version + 1, after

    def _kept(self, tx: Transaction, row: RowMapping, report_id: str) -> tuple[int, Review]:
        own = (tables.reviews.c.id == report_id, tables.reviews.c.session_id == row["id"])
        found = tx.select(tables.reviews, *own)
        if not found:
            return 0, Review()
        content = self._open(tx, row, found[0]["sealed"], Kind.REVIEW, report_id)
        return found[0]["version"], Review.from_dict(json.loads(content))

    # -- comments ---------------------------------------------------------------------------------

    def comments(self, actor: Actor, session_id: str) -> list[Comment]:
        """All comments on a session, oldest first."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = self._living(tx, session_id, whole=False)
            own = tables.comments.c.session_id == session_id
            found = [self._comment(tx, row, one) for one in tx.select(tables.comments, own)]
            if found:
                self._note(tx, actor, "comment.read", "session", session_id)
        return found

    def comment(
        self, actor: Actor, session_id: str, item: str, text: str, if_match: str
    ) -> Comment:
        """Puts the actor's own comment on a moment in place of what they had; "" removes it.

        Raises: MissingCondition; Stale: it was changed in another window. Invalid; TooLarge.
        """
        if item != "session" and not ITEM.fullmatch(item):
            raise Invalid("Say on which moment.")
        if len(text) > MOST_COMMENT:
            raise TooLarge(f"A comment may have {MOST_COMMENT:,} characters.")
        now = self.house.clock()
        with self.house.store.transaction(actor.tenant_id) as tx:
            row = self._living(tx, session_id, lock=True, whole=False)
            named = {"session_id": session_id, "item": item, "person_id": actor.id}
            found = tx.select(
                tables.comments, *(tables.comments.c[n] == v for n, v in named.items())
            )
            version = found[0]["version"] if found else 0
            _check_version(if_match, version)
            comment_id = found[0]["id"] if found else new_id("com")
            content = text.encode("utf-8", "replace")
            values: dict[str, Any] = {
                "version": version + 1,
                "sealed": self._seal(tx, row, content, Kind.COMMENTS, comment_id),
                "updated_at": now,
            }
            if found:
                tx.change(tables.comments, comment_id, **values)
            else:
                tx.add(tables.comments, id=comment_id, **named, **values)
            action = "comment.written" if text else "comment.removed"
            self._note(tx, actor, action, "session", session_id)
        return Comment(item, actor.id, version + 1, text)

    def _comment(self, tx: Transaction, row: RowMapping, one: RowMapping) -> Comment:
        content = self._open(tx, row, one["sealed"], Kind.COMMENTS, one["id"])
        text = content.decode("utf-8")
        return Comment(one["item"], one["person_id"], one["version"], text)

    def _seal(
        self, tx: Transaction, row: RowMapping, content: bytes, kind: Kind, item: str
    ) -> bytes:
        return self.house.vault.seal(
            content,
            Place(tx.tenant_id, row["id"], kind, item),
            tenant_blob=tx.tenant()["key_blob"],
            session_blob=row["key_blob"],
        )


def _check_version(if_match: str, version: int) -> None:
    if not if_match:
        raise MissingCondition("Say in If-Match which version you have read.")
    if if_match.strip().removeprefix("W/").strip('"') != str(version):
        raise Stale("Somebody changed this meanwhile: look at it again.")
