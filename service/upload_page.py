"""The routes of uploading on the review page: look at the file first, then take it in.

The file stays in the browser until it is sent: nothing of it is kept here while somebody says who
is who.
"""

import asyncio
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse

from detector import read_transcript
from detector.errors import DetectorError, UnknownFormat, UnknownRole
from detector.roles import assign_roles
from service import tables, uploads
from service.auth import house_of
from service.bombs import check_archive
from service.consent import consent_record, standing
from service.entrance import Visitor
from service.errors import NotPermitted, UnknownMedia
from service.records import Records
from service.rendering import HEADERS, page
from service.review import caseload_of
from service.scopes import Scope
from service.uploads import media_type
from service.visiting import PREFIX, actor_of, guarded, with_scope

router = APIRouter(prefix=f"{PREFIX}/upload", include_in_schema=False)

Uploader = Annotated[Visitor, Depends(with_scope(Scope.SESSIONS_WRITE))]

MOST_QUOTED = 160
"""Characters of a speaker's first words, by which somebody tells who it is."""


_NO_TRANSCRIPT = (
    "This is no transcript that can be read here. Take the file as Zoom, Teams, Meet or your "
    "recogniser writes it, or plain text with a name and a colon before what each one says."
)


@router.get("")
def get_upload(request: Request, who: Uploader) -> Response:
    """The form, with this clinician's clients and their consents."""
    clients: dict[str, dict[str, Any]] = {}
    for one in caseload_of(request).sessions(actor_of(request), who):
        if one["reference"] and one["reference"] not in clients:
            clients[one["reference"]] = _known(request, who, one)
    return page(request, "upload.html.j2", clients=clients)


def _known(request: Request, who: Visitor, one: dict[str, Any]) -> dict[str, Any]:
    """What the form need not ask again of a client: the consent that stands, the next number."""
    with house_of(request).store.transaction(who.tenant_id) as tx:
        found = tx.select(tables.consents, tables.consents.c.id == one["consent_id"])
    consent = standing(dict(found[0])) if found and not found[0]["revoked_at"] else None
    return {
        "consent": consent_record(consent) if consent else None,
        "number": (one["number"] or 0) + 1 if one["number"] else None,
    }


@router.post("/look", dependencies=[Depends(guarded)])
async def look(
    request: Request, who: Uploader, x_file_name: Annotated[str, Header(max_length=1000)] = ""
) -> Response:
    """Who speaks in a file, and who is who where that can be told."""
    if media_type(request) != "application/octet-stream":
        raise UnknownMedia("Send the file itself.")
    data = await request.body()
    found = await asyncio.to_thread(_look, data, unquote(x_file_name))
    return JSONResponse(found, headers=dict(HEADERS))


def _look(data: bytes, name: str) -> dict[str, Any]:
    check_archive(data)
    try:
        read = read_transcript(data, filename=name or None)
    except UnknownFormat:
        raise UnknownMedia(_NO_TRANSCRIPT, code="unknown_format") from None
    except DetectorError as error:
        raise uploads.refusal(error) from None
    try:
        made = assign_roles(read)
        assigned, source = {n: r.value for n, r in made.roles.items()}, made.source
    except UnknownRole:
        assigned, source = {}, ""
    speakers: dict[str, dict[str, Any]] = {}
    for turn in read.turns:
        if turn.speaker:
            one = speakers.setdefault(turn.speaker, {"n_turns": 0, "first": []})
            one["n_turns"] += 1
            if len(one["first"]) < 3:
                one["first"].append(turn.text[:MOST_QUOTED])
    return {
        "n_turns": len(read.turns),
        "timing": read.timing_quality.value,
        "source": source,
        "speakers": [
            {"name": name, "role": assigned.get(name, ""), **one} for name, one in speakers.items()
        ],
    }


@router.post("", dependencies=[Depends(guarded)])
async def take(request: Request, who: Uploader) -> Response:
    """Takes a session in, as `POST /v1/sessions` does, for one of this clinician's clients."""
    said, body = request.headers.get("content-type", ""), await request.body()
    if media_type(request) != "multipart/form-data":
        raise UnknownMedia("Send a form with the file.")
    place = await asyncio.to_thread(_take, request, who, said, body)
    return JSONResponse({"place": place}, 201, dict(HEADERS))


def _take(request: Request, who: Visitor, said: str, body: bytes) -> str:
    given = uploads.from_parts(said, body)
    if given.about.consent.scopes.human_review is not True:
        raise NotPermitted(
            "The client has not agreed that a person reads it: nobody could open it here.",
            code="not_in_scope",
        )
    upload, actor = uploads.usable(given), actor_of(request)
    client_id = house_of(request).client_id(who.tenant_id, upload.client)
    caseload_of(request).take_on(actor, client_id)
    records: Records = request.app.state.records
    return f"{PREFIX}/sessions/{records.accept(actor, upload).session_id}"
