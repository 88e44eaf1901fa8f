"""The routes by which quotes leave: choose, see exactly what will leave, and say yes to it.

The browser's own print of a session has no quote. Here somebody chooses turns of moments, one by
one; the second page shows what will leave and nothing else; only the third has it to print or to
copy, and is on record as `page.quoted`. Client, day and speakers' names are on none of them, but
who is named in a quote leaves with it.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from detector.page.words import clock
from detector.report import Report, TurnReport
from service import policy
from service.auth import house_of
from service.deeds import Actor
from service.entrance import Visitor
from service.errors import Invalid
from service.records import Records
from service.rendering import page
from service.review import check_care
from service.reviews import Reviews
from service.schemas import Id
from service.visiting import PREFIX, Here, actor_of, fields, guarded

router = APIRouter(
    prefix=f"{PREFIX}/sessions/{{session_id}}/share",
    include_in_schema=False,
    dependencies=[Depends(guarded)],
)

MOST_QUOTES = 30
"""Quotes that leave at a time. A judgement: more is no choice of single ones, but a transcript."""


@dataclass(frozen=True, slots=True)
class Quote:
    """One turn that may leave: its index, whose it is, when it was said, and what was said."""

    turn: int
    role: str
    when: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Offered:
    """Turns of one moment; `number` 0 and `kind` "" where a person added it."""

    number: int
    kind: str
    quotes: tuple[Quote, ...]


class Shares(Records):
    """The deeds on quotes that leave."""

    def read(
        self, actor: Actor, session_id: str, chosen: Iterable[int] = (), *, leaves: bool = False
    ) -> list[Offered]:
        """What may leave of a session's newest report, or the chosen turns of it.

        Where `leaves` is set, the leaving is put on record with how many quotes go.

        Raises: Invalid: nothing, too much or something else is chosen. NotPermitted: the tenant
            holds transcripts to be psychotherapy notes, or the consent does not allow it. Gone.
        """
        purpose = policy.Purpose.HUMAN_REVIEW
        row, content = self.report(actor, session_id, purpose=purpose)
        report = Report.from_dict(content)
        reviews = Reviews(self.house, self.queue)
        _, review = reviews.review(actor, session_id, row["id"])
        wanted = set(chosen)
        kept = _chosen(_offered(report, _added(review.judgements)), wanted) if wanted else []
        with self.house.store.transaction(actor.tenant_id) as tx:
            session = self._living(tx, session_id, whole=False)
            self._decide(tx, policy.Purpose.EXPORT, session).require()
            policy.decide_material(
                policy.Material.TRANSCRIPT,
                policy.Outlet.EXPORT,
                self._policy(tx),
                may_read_notes=False,
            ).require()
            if leaves:
                details = {"n_quotes": len(wanted), "report": row["id"]}
                self._note(tx, actor, "page.quoted", "session", session_id, **details)
        return kept if wanted else _offered(report, _added(review.judgements))


def _added(judgements: Mapping[str, Any]) -> list[int]:
    items = (item.partition("-") for item in judgements)
    return sorted(int(number) for kind, _, number in items if kind == "turn")


def _offered(report: Report, added: Sequence[int]) -> list[Offered]:
    """Each turn once, where it first stands: moments as the page has them, then the added ones."""
    seen: set[int] = set()

    def quotes(indexes: Iterable[int]) -> tuple[Quote, ...]:
        fresh = [index for index in sorted(set(indexes)) if index not in seen]
        seen.update(fresh)
        return tuple(_quote(report.turns[index]) for index in fresh)

    found = [
        Offered(number, one.kind, quotes((*one.turn_indexes, *one.repair_turn_indexes)))
        for number, one in enumerate(report.moments, start=1)
    ]
    return [one for one in (*found, Offered(0, "", quotes(added))) if one.quotes]


def _quote(turn: TurnReport) -> Quote:
    return Quote(turn.index, turn.role.value, clock(turn.start_s), turn.text)


def _chosen(offered: Sequence[Offered], wanted: set[int]) -> list[Offered]:
    known = {quote.turn for one in offered for quote in one.quotes}
    if not wanted <= known:
        raise Invalid("This is no turn of a moment of this session.")
    if len(wanted) > MOST_QUOTES:
        raise Invalid(f"At most {MOST_QUOTES} quotes leave at a time.")
    kept = (
        Offered(one.number, one.kind, tuple(q for q in one.quotes if q.turn in wanted))
        for one in offered
    )
    return [one for one in kept if one.quotes]


def _shares(request: Request) -> Shares:
    return Shares(house_of(request), request.app.state.queue)


def _page(
    request: Request, name: str, session_id: str, offered: Sequence[Offered], **more: Any
) -> Response:
    n_quotes = sum(len(one.quotes) for one in offered)
    more |= {"session_id": session_id, "offered": offered, "n_quotes": n_quotes}
    return page(request, name, most=MOST_QUOTES, **more)


@router.get("")
def choose(request: Request, session_id: Id, who: Here) -> Response:
    """The turns that may leave, none of them chosen."""
    check_care(request, who, session_id)
    found = _shares(request).read(actor_of(request), session_id)
    return _page(request, "share.html.j2", session_id, found, is_empty=False)


@router.post("")
async def look(request: Request, session_id: Id, who: Here) -> Response:
    """What will leave, exactly; or the choice again, where there was none."""
    given = await fields(request)
    return await asyncio.to_thread(_answer, request, session_id, who, given, leaves=False)


@router.post("/leave")
async def leave(request: Request, session_id: Id, who: Here) -> Response:
    """What leaves, to print and to copy."""
    given = await fields(request)
    return await asyncio.to_thread(_answer, request, session_id, who, given, leaves=True)


def _answer(
    request: Request, session_id: str, who: Visitor, given: Mapping[str, str], *, leaves: bool
) -> Response:
    names = [one.removeprefix("turn-") for one in given if one.startswith("turn-")]
    chosen = [int(one) for one in names if one.isascii() and one.isdigit() and len(one) < 7]
    check_care(request, who, session_id)
    shares, actor = _shares(request), actor_of(request)
    if not chosen:
        found = shares.read(actor, session_id)
        return _page(request, "share.html.j2", session_id, found, is_empty=True)
    found = shares.read(actor, session_id, chosen, leaves=leaves)
    return _page(request, "shared.html.j2", session_id, found, leaves=leaves)
