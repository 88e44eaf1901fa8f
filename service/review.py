"""The routes of the review page: the list of sessions, one session, and what is said of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from detector.codebook import PILLARS, load_codebook
from detector.page.view import View as ReportView
from detector.report import Report
from service import policy
from service.auth import house_of
from service.caseload import Blind, Caseload, View
from service.entrance import Visitor
from service.errors import NotPermitted
from service.judgements import NO_REPAIR, STRAIN_KINDS, Review
from service.people import People
from service.records import Records
from service.rendering import HEADERS, led_to, long_page, page, say, spoken_of, wants_page
from service.research_view import pseudonymised
from service.reviews import Reviews
from service.schemas import Id
from service.scopes import Role
from service.uploads import json_body
from service.visiting import PREFIX, Here, actor_of, guarded

router = APIRouter(prefix=PREFIX, include_in_schema=False, dependencies=[Depends(guarded)])

POLL_S, LONGEST_STREAM_S = 0.5, 25.0
"""How often the progress is looked at, and after how long the browser asks anew: an end of the
service waits for no stream."""

IfMatch = Annotated[str, Header(max_length=40)]


def caseload_of(request: Request) -> Caseload:
    """The deeds on who cares for whom."""
    return Caseload(house_of(request), request.app.state.queue)


def _reviews(request: Request) -> Reviews:
    return Reviews(house_of(request), request.app.state.queue)


def _records(request: Request) -> Records:
    found: Records = request.app.state.records
    return found


@router.get("")
def list_sessions(request: Request, who: Here, only: str = "", pillar: str = "") -> Response:
    """What this person may open, newest first; an administrator has the people instead."""
    if who.roles == {Role.ADMIN}:
        return led_to(f"{PREFIX}/people")
    found = caseload_of(request).sessions(actor_of(request), who)
    kept = [one for one in found if _fits(one, only, pillar)]
    return page(
        request,
        "sessions.html.j2",
        sessions=kept,
        n_all=len(found),
        only=only,
        pillar=pillar,
        pillars=PILLARS,
        View=View,
    )


def _fits(one: dict[str, Any], only: str, pillar: str) -> bool:
    said = one["summary"] or {}
    if only == "unreviewed" and (not said or one["n_judged"] >= said["n_moments"]):
        return False
    if only == "unrepaired" and not said.get("n_unrepaired"):
        return False
    return pillar not in PILLARS or pillar in said.get("strained", ())


@router.get("/sessions/{session_id}")
def get_session(request: Request, session_id: Id, who: Here) -> Response:
    """One session: its progress, or its report with what was said of it."""
    caseload, actor = caseload_of(request), actor_of(request)
    try:
        row, view = caseload.session(who, session_id)
    except Blind as blind:
        if not (blind.assignment and wants_page(request)):
            raise
        return led_to(f"{PREFIX}/coding/{blind.assignment}")
    if not _records(request).with_reports(actor, session_id)[1]:
        with house_of(request).store.transaction(who.tenant_id) as tx:
            caseload.note_read(tx, actor, session_id)
        return page(request, "progress.html.j2", session=row)
    purpose = policy.Purpose.HUMAN_REVIEW if view is View.CARE else policy.Purpose.RESEARCH
    chosen, content = _records(request).report(actor, session_id, purpose=purpose)
    report = Report.from_dict(content)
    if view is View.RESEARCH:
        report = pseudonymised(_records(request), actor, session_id, report)
    told: dict[str, Any] = {"session": row, "report_id": chosen["id"], "view_kind": view}
    if view is View.CARE:
        version, review = _reviews(request).review(actor, session_id, chosen["id"])
        comments = _reviews(request).comments(actor, session_id)
        told["state"] = {
            **_state(request, who, version, review),
            "session": session_id,
            "report": chosen["id"],
            "comments": [
                {"item": one.item, "by": one.by, "version": one.version, "text": one.text}
                for one in comments
            ],
        }
        told["state"]["names"] |= _names(request, who, {one.by for one in comments})
    return long_page(
        request,
        "session.html.j2",
        view=ReportView(report, load_codebook(), spoken_of(request)),
        pillars=PILLARS,
        report=report,
        title=_title(request, row, caseload.reference(who, session_id))
        if view is View.CARE
        else say(request, "session.for_research"),
        strains=[one for one in load_codebook().markers.values() if one.kind in STRAIN_KINDS],
        View=View,
        **told,
    )


def _title(request: Request, row: Any, reference: str | None) -> str:
    numbered = {"number": row["number"]} if row["number"] else {}
    if reference and numbered:
        title = say(request, "session.of_client_numbered", client=reference, **numbered)
    elif reference:
        title = say(request, "session.of_client", client=reference)
    else:
        title = say(request, "session.numbered" if numbered else "session.unnamed", **numbered)
    if not row["day"]:
        return title
    day = spoken_of(request).day(row["day"])
    return say(request, "session.on_day", session=title, day=day)


def _state(request: Request, who: Visitor, version: int, review: Review) -> dict[str, Any]:
    """The review as the page's script takes it."""
    said = review.to_dict()["judgements"]
    return {
        "version": version,
        "judgements": said,
        "can_undo": review.can_undo(who.person_id),
        "me": who.person_id,
        "no_repair": NO_REPAIR,
        "names": _names(request, who, {one["by"] for one in said.values()} | {who.person_id}),
    }


def _names(request: Request, who: Visitor, ids: set[str]) -> dict[str, str]:
    people = People(house_of(request))
    return {one: people.name(who.tenant_id, one) for one in ids}


def check_care(request: Request, who: Visitor, session_id: str) -> None:
    """Passes who may review a session. Raises: NotFound; NotPermitted: it is for research."""
    _, view = caseload_of(request).session(who, session_id)
    if view is not View.CARE:
        raise NotPermitted("Sessions for research are read, not reviewed.", code="role_missing")


def _answer(request: Request, who: Visitor, found: tuple[int, Review]) -> Response:
    fields = {**HEADERS, "ETag": f'"{found[0]}"'}
    return JSONResponse(_state(request, who, *found), headers=fields)


class JudgementIn(BaseModel):
    """What is said of one moment; service.judgements knows the fields."""

    model_config = ConfigDict(extra="forbid", strict=True)

    report: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")]
    given: dict[str, str | int | bool | None] = Field(max_length=10)


@router.get("/sessions/{session_id}/review/{report_id}")
def get_review(request: Request, session_id: Id, report_id: Id, who: Here) -> Response:
    """The review as it stands."""
    check_care(request, who, session_id)
    found = _reviews(request).review(actor_of(request), session_id, report_id)
    return _answer(request, who, found)


@router.patch("/sessions/{session_id}/review/{report_id}")
def change_review(
    request: Request,
    session_id: Id,
    report_id: Id,
    who: Here,
    asked: Annotated[JudgementIn, Depends(json_body(JudgementIn))],
    if_match: IfMatch = "",
) -> Response:
    """Says something of one moment, if nobody has changed the review meanwhile."""
    check_care(request, who, session_id)
    actor = actor_of(request)
    _, content = _records(request).report(
        actor, session_id, report_id=report_id, purpose=policy.Purpose.HUMAN_REVIEW
    )
    report = Report.from_dict(content)
    made = _reviews(request).judge(actor, session_id, report_id, report, asked.given, if_match)
    return _answer(request, who, made)


@router.post("/sessions/{session_id}/review/{report_id}/undo")
def undo_review(
    request: Request, session_id: Id, report_id: Id, who: Here, if_match: IfMatch = ""
) -> Response:
    """Takes this person's last change back."""
    check_care(request, who, session_id)
    made = _reviews(request).undo(actor_of(request), session_id, report_id, if_match)
    return _answer(request, who, made)


class CommentIn(BaseModel):
    """A comment on one moment."""

    model_config = ConfigDict(extra="forbid", strict=True)

    item: Annotated[str, Field(max_length=20)]
    text: str = Field(repr=False)


@router.put("/sessions/{session_id}/comment")
def put_comment(
    request: Request,
    session_id: Id,
    who: Here,
    asked: Annotated[CommentIn, Depends(json_body(CommentIn))],
    if_match: IfMatch = "",
) -> Response:
    """Keeps this person's own comment, apart from the record."""
    check_care(request, who, session_id)
    actor = actor_of(request)
    made = _reviews(request).comment(actor, session_id, asked.item, asked.text, if_match)
    return JSONResponse({"item": made.item, "version": made.version}, headers=dict(HEADERS))


@router.get("/sessions/{session_id}/progress")
async def get_progress(request: Request, session_id: Id, who: Here) -> Response:
    """How far the scoring is, as events, until it is over (SSE)."""
    await asyncio.to_thread(caseload_of(request).session, who, session_id)
    records, actor = _records(request), actor_of(request)

    async def told() -> AsyncIterator[str]:
        loop, last = asyncio.get_running_loop(), ""
        until = loop.time() + LONGEST_STREAM_S
        yield "retry: 1000\n\n"
        while loop.time() < until:
            row = await asyncio.to_thread(records.session, actor, session_id)
            if row["status"] != last:
                last = row["status"]
                yield f"event: status\ndata: {last}\n\n"
            if last not in ("queued", "running"):
                return
            await asyncio.sleep(POLL_S)

    fields = {**HEADERS, "X-Accel-Buffering": "no"}
    return StreamingResponse(told(), media_type="text/event-stream", headers=fields)
