"""The routes of sessions: taken in, listed, scored again, held, erased."""

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.engine import RowMapping

from service import tables, uploads
from service.answers import (
    REPORT,
    UNCHANGED,
    Admin,
    Lines,
    Reader,
    Recorded,
    Writer,
    answered,
    report_row,
    session_row,
    shown,
    tagged,
)
from service.auth import holds, house_of, needs, note, note_denial
from service.bombs import check_json
from service.deeds import Actor
from service.errors import (
    Invalid,
    ServiceError,
    UnknownMedia,
    problem,
)
from service.openapi import BARE_EXAMPLES, EXAMPLES, ref, refusals, takes
from service.records import Records
from service.schemas import (
    After,
    BatchOut,
    Id,
    Limit,
    MadeOut,
    ReportOut,
    RescoreIn,
    SessionOut,
    SessionsOut,
    Status,
)
from service.scopes import Scope
from service.uploads import json_body, media_type

MOST_IN_BATCH = 100
POLL_S, SLOWEST_POLL_S = 0.1, 0.5

router = APIRouter(prefix="/v1", responses=refusals())

IdempotencyKey = Annotated[
    str,
    Header(
        max_length=80,
        pattern="^[ -~]*$",
        description="The same key and request bring one session, however often they are sent.",
    ),
]
_WAYS = takes(
    ("application/json", ref("SessionWithTranscript"), EXAMPLES["json"]),
    (
        "multipart/form-data",
        {
            "type": "object",
            "required": ["file", "session"],
            "properties": {
                "file": {"type": "string", "contentMediaType": "application/octet-stream"},
                "session": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": ref("SessionIn"),
                },
            },
        },
        EXAMPLES["multipart"],
    ),
    *(
        (kind, {"type": "string"}, BARE_EXAMPLES.get(kind))
        for kind in sorted(uploads.BARE_TYPES, key=lambda kind: (kind not in BARE_EXAMPLES, kind))
    ),
    description="Metadata and transcript in one JSON document, in two parts of a form, or the "
    "bare file with the metadata in the header Rupture-Session. The format of the transcript is "
    "told by its content.",
)


@router.post(
    "/sessions",
    status_code=202,
    operation_id="createSession",
    tags=["sessions"],
    response_model=SessionOut,
    openapi_extra=_WAYS,
    responses={
        **REPORT,
        **refusals(
            "not_in_scope",
            "jurisdiction_gated",
            "body_too_large",
            "unknown_format",
            "malformed_transcript",
            "idempotency_key_reused",
        ),
    },
)
async def create_session(
    request: Request,
    actor: Writer,
    records: Recorded,
    idempotency_key: IdempotencyKey = "",
    prefer: Annotated[
        str, Header(max_length=100, description="`wait=20`: answer 200 when scored in time.")
    ] = "",
    rupture_session: Annotated[
        str,
        Header(
            max_length=20_000,
            description="SessionIn as JSON, beside a bare file.",
            examples=[EXAMPLES["metadata"]],
        ),
    ] = "",
) -> Response:
    """Takes a session in and scores it in the background."""
    given = await _given(request, rupture_session)
    key = idempotency_key.strip('"')
    upload = await asyncio.to_thread(uploads.usable, given, idempotency_key=key)
    taken = await asyncio.to_thread(records.accept, actor, upload)
    wait_s = min(_wait_s(prefer), house_of(request).settings.max_wait_s)
    row = await _settled(records, actor, taken.session_id, wait_s)
    place = f"/v1/sessions/{taken.session_id}"
    applied = {"Preference-Applied": f"wait={wait_s}"} if wait_s else {}
    if wait_s and row["status"] == "done" and holds(request, Scope.REPORTS_READ):
        found, content = await asyncio.to_thread(records.report, actor, taken.session_id)
        made = tagged(request, "report", found, lambda: JSONResponse(shown(request, content)))
        made.headers.update({**applied, "Content-Location": f"{place}/report"})
        return made
    return JSONResponse(
        SessionOut(**session_row(row)).model_dump(mode="json"),
        202,
        {**applied, "Location": place, "Retry-After": "2"},
    )


async def _given(request: Request, metadata: str) -> uploads.Given:
    kind = media_type(request)
    if kind == "application/json":
        return await asyncio.to_thread(uploads.from_json, await request.body())
    if kind == "multipart/form-data":
        said = request.headers["content-type"]
        return await asyncio.to_thread(uploads.from_parts, said, await request.body())
    return uploads.from_bare(kind, await request.body(), metadata.encode("latin-1"))


def _wait_s(prefer: str) -> int:
    """Seconds of `Prefer: wait=20` (RFC 7240); 0 where none are asked for."""
    for one in prefer.split(","):
        name, _, value = one.strip().partition("=")
        if name == "wait" and value.strip().isascii() and value.strip().isdigit():
            return int(value.strip()[:4])
    return 0


async def _settled(records: Records, actor: Actor, session_id: str, wait_s: int) -> RowMapping:
    """The session's row, waited for until it is done or the time is over."""
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + wait_s, POLL_S
    while True:
        row = await asyncio.to_thread(records.session, actor, session_id)
        if row["status"] not in ("queued", "running") or loop.time() >= until:
            return row
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, SLOWEST_POLL_S)


_JSON_LINES = ("application/x-ndjson", "application/jsonl")
_MANY = takes(
    (
        "application/json",
        {"type": "array", "items": ref("SessionWithTranscript"), "maxItems": MOST_IN_BATCH},
        [EXAMPLES["json"]],
    ),
    *((kind, {"type": "string"}, json.dumps(EXAMPLES["json"]) + "\n") for kind in _JSON_LINES),
)


@router.post(
    "/sessions:batch",
    status_code=207,
    operation_id="createSessions",
    tags=["sessions"],
    response_model=BatchOut,
    openapi_extra=_MANY,
    responses={
        207: {
            "description": "What became of each, in their order.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        },
        **refusals("body_too_large"),
    },
)
async def create_sessions(
    request: Request, actor: Writer, records: Recorded, idempotency_key: IdempotencyKey = ""
) -> Response:
    """Takes up to a hundred sessions in: a JSON list, or one JSON document a line (NDJSON)."""
    kind, body = media_type(request), await request.body()
    if kind not in ("application/json", *_JSON_LINES):
        raise UnknownMedia("Send application/json or application/x-ndjson.")
    documents = await asyncio.to_thread(_documents, body, kind in _JSON_LINES)
    key, told = idempotency_key.strip('"'), []
    for place, one in enumerate(documents):
        own = f"{key} {place}" if key else ""
        told.append(await asyncio.to_thread(_take_one, request, actor, records, one, own))
    if kind in _JSON_LINES:
        return Lines("".join(json.dumps(one) + "\n" for one in told), 207)
    return JSONResponse({"items": told}, 207)


def _documents(body: bytes, is_lines: bool) -> list[bytes]:
    if is_lines:
        found = [line for line in body.splitlines() if line.strip()]
    else:
        check_json(body)
        try:
            parsed = json.loads(body)
        except ValueError:
            raise Invalid("The body is no JSON.") from None
        if not isinstance(parsed, list):
            raise Invalid("A list of sessions is expected.")
        found = [json.dumps(one).encode() for one in parsed]
    if len(found) > MOST_IN_BATCH:
        raise Invalid(f"At most {MOST_IN_BATCH} sessions at once.", code="batch_too_long")
    return found


def _take_one(
    request: Request, actor: Actor, records: Records, document: bytes, key: str
) -> dict[str, Any]:
    try:
        upload = uploads.usable(uploads.from_json(document), idempotency_key=key)
        return {"status": 202, "id": records.accept(actor, upload).session_id}
    except ServiceError as error:
        note_denial(request, error)
        refused = problem(error, request_id=actor.request_id)
        return {"status": error.status, "problem": refused}


@router.get("/sessions", operation_id="listSessions", tags=["sessions"])
def list_sessions(
    request: Request,
    actor: Reader,
    limit: Limit = 50,
    after: After = None,
    status: Annotated[Status | None, Query()] = None,
) -> SessionsOut:
    """The tenant's sessions, newest first."""
    where = [tables.sessions.c.status == status] if status else []
    with house_of(request).store.transaction(actor.tenant_id) as tx:
        page = tx.page(tables.sessions, *where, after=after, limit=limit)
        note(tx, request, actor, "session.listed")
    return SessionsOut(items=[SessionOut(**session_row(r)) for r in page.rows], next=page.after)


@router.get(
    "/sessions/{session_id}",
    operation_id="getSession",
    tags=["sessions"],
    response_model=SessionOut,
    responses={**UNCHANGED, **refusals("not_found")},
)
def get_session(request: Request, session_id: Id, actor: Reader, records: Recorded) -> Response:
    """How far a session is, and which reports there are of it; poll with If-None-Match."""
    row, reports = records.with_reports(actor, session_id)

    def whole() -> Response:
        kept = [ReportOut(**report_row(one)) for one in reports]
        body = SessionOut(**session_row(row), reports=kept)
        return JSONResponse(body.model_dump(mode="json"))

    return answered(request, f"{session_id} {row['version']}", whole)


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    operation_id="eraseSession",
    tags=["sessions"],
    responses=refusals("not_found", "legal_hold"),
)
def erase_session(
    session_id: Id,
    actor: Annotated[Actor, Depends(needs(Scope.SESSIONS_ERASE))],
    records: Recorded,
) -> Response:
    """Erases a session: its key is destroyed, and nothing of it can be read again."""
    records.erase(actor, session_id)
    return Response(None, 204)


@router.post(
    "/sessions/{session_id}/rescore",
    status_code=202,
    operation_id="rescore",
    tags=["sessions"],
    openapi_extra=takes(("application/json", ref("RescoreIn"), EXAMPLES["rescore"])),
    responses=refusals("consent_revoked", "not_found", "conflict", "gone"),
)
def rescore(
    session_id: Id,
    actor: Writer,
    records: Recorded,
    asked: Annotated[RescoreIn, Depends(json_body(RescoreIn))],
    response: Response,
) -> MadeOut:
    """Scores again with a named checkpoint: a report beside the old one."""
    uploads.check_checkpoint(asked.checkpoint)
    records.rescore(actor, session_id, asked.checkpoint)
    response.headers.update({"Location": f"/v1/sessions/{session_id}", "Retry-After": "2"})
    return MadeOut(id=session_id)


@router.post(
    "/sessions/{session_id}/cancel",
    status_code=204,
    operation_id="cancelSession",
    tags=["sessions"],
    responses=refusals("not_found", "conflict", "gone"),
)
def cancel_session(session_id: Id, actor: Writer, records: Recorded) -> Response:
    """Takes back what waits or runs; a report that there was stays."""
    records.cancel(actor, session_id)
    return Response(None, 204)


@router.put(
    "/sessions/{session_id}/hold",
    status_code=204,
    operation_id="setHold",
    tags=["sessions"],
    responses=refusals("not_found", "gone"),
)
def set_hold(session_id: Id, actor: Admin, records: Recorded) -> Response:
    """Pins a session for a legal hold: nothing of it is erased, and it serves nothing new."""
    records.hold(actor, session_id, is_held=True)
    return Response(None, 204)


@router.delete(
    "/sessions/{session_id}/hold",
    status_code=204,
    operation_id="liftHold",
    tags=["sessions"],
    responses=refusals("not_found", "gone"),
)
def lift_hold(session_id: Id, actor: Admin, records: Recorded) -> Response:
    """Lets a session go; what a revocation would have erased meanwhile is erased now."""
    records.hold(actor, session_id, is_held=False)
    return Response(None, 204)
