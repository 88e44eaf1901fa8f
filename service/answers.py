"""What the routes of /v1 share: who may ask, and how an answer is given."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy.engine import RowMapping

from service.auth import holds, house_of, needs, note
from service.deeds import Actor
from service.openapi import ref
from service.records import Records
from service.schemas import ReportOut, SessionOut
from service.scopes import Scope


class Csv(PlainTextResponse):
    """A table."""

    media_type = "text/csv; charset=utf-8"


class Fhir(JSONResponse):
    """A FHIR resource."""

    media_type = "application/fhir+json"


class Markdown(PlainTextResponse):
    """A model card."""

    media_type = "text/markdown; charset=utf-8"


class Lines(Response):
    """One JSON document a line."""

    media_type = "application/x-ndjson"


async def _records(request: Request) -> Records:
    records: Records = request.app.state.records
    return records


Writer = Annotated[Actor, Depends(needs(Scope.SESSIONS_WRITE))]
Reader = Annotated[Actor, Depends(needs(Scope.SESSIONS_READ))]
ReportReader = Annotated[Actor, Depends(needs(Scope.REPORTS_READ))]
TextReader = Annotated[Actor, Depends(needs(Scope.REPORTS_READ, Scope.TEXT_READ))]
Admin = Annotated[Actor, Depends(needs(Scope.ADMIN))]
Recorded = Annotated[Records, Depends(_records)]


def session_row(row: RowMapping) -> dict[str, Any]:
    """What an answer shows of a session's row."""
    return {name: row[name] for name in SessionOut.model_fields if name in row}


def report_row(row: RowMapping) -> dict[str, Any]:
    """What an answer shows of a report's row: no content."""
    return {name: row[name] for name in ReportOut.model_fields}


def etag_of(tag: str) -> str:
    """The ETag of what a tag tells from everything else, in its quotation marks."""
    return f'"{hashlib.sha256(tag.encode()).hexdigest()[:32]}"'


def answered(request: Request, tag: str, make: Callable[[], Response]) -> Response:
    """What `make` makes, with its ETag, or 304 where the caller has it already."""
    etag = etag_of(tag)
    fields = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    given = [one.strip() for one in request.headers.get("if-none-match", "").split(",")]
    if request.method == "GET" and ("*" in given or etag in [g.removeprefix("W/") for g in given]):
        return Response(None, 304, fields)
    made = make()
    made.headers.update(fields)
    return made


def tagged(
    request: Request, view: str, report: RowMapping, make: Callable[[], Response]
) -> Response:
    """A view of a report. Who may read text sees another one than who may not."""
    tag = f"{view} {report['id']} {report['sha256']} {holds(request, Scope.TEXT_READ)}"
    return answered(request, tag, make)


def shown(request: Request, report: Mapping[str, Any]) -> dict[str, Any]:
    """The report as this caller may see it: what was said, and by whom, takes `text:read`."""
    if holds(request, Scope.TEXT_READ):
        return dict(report)
    unseen: dict[str, Any] = {"text": None, "speaker": None, "cue_ids": []}
    turns = [{**one, **unseen} for one in report["turns"]]
    return {**report, "turns": turns, "roles": {**report["roles"], "assigned": {}}}


def note_alone(request: Request, actor: Actor, action: str) -> None:
    """Puts an action on record, in a transaction of its own."""
    with house_of(request).store.transaction(actor.tenant_id) as tx:
        note(tx, request, actor, action)


UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The caller has it already, see If-None-Match."}
}
"""What the document says of such an answer."""

REPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The report.",
        "content": {"application/json": {"schema": ref("Report")}},
    }
}
"""What the document says of such an answer."""
