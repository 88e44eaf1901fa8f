"""The routes of coding: who codes what, the coder's page, and what each says of it."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from detector.codebook import PILLARS, load_codebook
from detector.page.words import SCALES
from detector.segmentation import WINDOW_TURNS
from service.adjudications import Adjudications
from service.annotations import INTENSITIES
from service.auth import house_of
from service.caseload import ADJUDICATED, BLIND, View
from service.codings import Kept
from service.entrance import Visitor
from service.errors import Fault, Invalid
from service.people import People
from service.records import Records
from service.rendering import HEADERS, led_to, page, say
from service.research_view import transcript_of, with_tags
from service.schemas import Id
from service.scopes import Role
from service.sheets import CODES, codes_of, sheet_of
from service.uploads import json_body
from service.visiting import PREFIX, Here, actor_of, as_role, fields, guarded

router = APIRouter(
    prefix=f"{PREFIX}/coding", include_in_schema=False, dependencies=[Depends(guarded)]
)

blind_router = APIRouter(
    prefix=f"{PREFIX}/sessions", include_in_schema=False, dependencies=[Depends(guarded)]
)

Giver = Annotated[Visitor, Depends(as_role(Role.RESEARCHER, Role.ADMIN))]
IfMatch = Annotated[str, Header(max_length=40)]

MOST_EXAMPLES = 3
"""Of one marker, beside the transcript; ours."""

WINDOWS = range(5, 201)
"""Turns of a segment where there is no clock; ours."""

_STUDY = re.compile(r"[A-Za-z0-9_-]{0,40}")
_TAG = re.compile(r"</?hit[^>]*>|^[TC]: ")


def codings_of(request: Request) -> Adjudications:
    """The deeds on coding."""
    return Adjudications(house_of(request), request.app.state.queue)


# -- giving out --------------------------------------------------------------------------------


@router.get("")
def list_codings(request: Request, who: Giver) -> Response:
    """What this person has to code, and a form that gives a session to coders."""
    codings, actor = codings_of(request), actor_of(request)
    names = {one["id"]: one["name"] for one in People(house_of(request)).listed(who.tenant_id)}
    may = codings.researchers(actor)
    return page(
        request,
        "coding.html.j2",
        me=who.person_id,
        listed=codings.listed(actor, has_all=Role.ADMIN in who.roles),
        sessions=codings.for_research(actor),
        researchers=sorted((names[one], one) for one in may),
        names=names,
        window_turns=WINDOW_TURNS,
        BLIND=BLIND,
        ADJUDICATED=ADJUDICATED,
    )


@router.post("")
async def assign(request: Request, who: Giver) -> Response:
    """Gives a session to coders."""
    given = await fields(request)
    await asyncio.to_thread(_assign, request, given)
    return led_to(f"{PREFIX}/coding")


def _assign(request: Request, given: Mapping[str, str]) -> None:
    study, turns = given.get("study", "").strip(), given.get("window_turns", "")
    if not _STUDY.fullmatch(study):
        fault = Fault("study", "malformed", "letters, digits, _ and - are expected, 40 at most")
        raise Invalid("The study's name cannot be used.", errors=[fault])
    if not turns.isdecimal() or int(turns) not in WINDOWS:
        said = f"{WINDOWS.start} to {WINDOWS.stop - 1} turns are expected"
        raise Invalid(
            "A segment needs a number of turns.", errors=[Fault("window_turns", "outside", said)]
        )
    coders = [name.removeprefix("coder-") for name in given if name.startswith("coder-")]
    codings, actor = codings_of(request), actor_of(request)
    session_id = given.get("session", "")
    codings.check(actor, session_id)
    records: Records = request.app.state.records
    transcript, _ = with_tags(records, actor, session_id)
    sheet = sheet_of(transcript, window_turns=int(turns))
    codings.give_out(actor, session_id, sheet, coders, given.get("adjudicator", ""), study)


# -- a coder's page ----------------------------------------------------------------------------


@router.get("/{assignment_id}")
def get_coding(request: Request, assignment_id: Id, who: Here) -> Response:
    """The session beside the codebook, and what this coder has said of it."""
    made, kept = codings_of(request).read(actor_of(request), who, assignment_id)
    codes, markers = {role.value: codes_of(role) for role in CODES}, load_codebook().markers
    used = [markers[one] for keys in codes.values() for one in keys]
    state = {
        **_state(kept),
        "at": f"{PREFIX}/coding/{assignment_id}",
        "codes": codes,
        "titles": {one.id: one.title for one in used},
        "kinds": {one.id: one.kind for one in used},
        "pillars": {one: say(request, f"code.pillars.{one}") for one in PILLARS},
        "scales": {one: say(request, f"code.scales.{one}") for one in SCALES},
        "ratings": list(SCALES),
        "intensities": list(INTENSITIES),
        "items": made.sheet.items,
    }
    return page(
        request,
        "code.html.j2",
        made=made,
        sheet=made.sheet,
        state=state,
        is_committed=kept.committed_at is not None,
        annotations=kept.coding.annotations,
        View=View,
        ends={one.turn_indexes[-1]: one for one in made.sheet.segments},
        codes=codes,
        groups={
            role: [(kind, list(ids)) for kind, ids in groupby(keys, lambda m: markers[m].kind)]
            for role, keys in codes.items()
        },
        markers=markers,
        examples=examples(),
        scales=SCALES,
        pillars=PILLARS,
    )


@cache
def examples() -> Mapping[str, tuple[str, ...]]:
    """Some of the codebook's own examples, by marker, without what leads to them."""
    found: dict[str, list[str]] = {}
    for pattern in load_codebook().patterns.values():
        said = [one.strip().splitlines()[-1] for one in pattern.examples[:1]]
        found.setdefault(pattern.marker, []).extend(_TAG.sub("", one) for one in said)
    return {marker: tuple(dict.fromkeys(said))[:MOST_EXAMPLES] for marker, said in found.items()}


def _state(kept: Kept) -> dict[str, Any]:
    """A coding as the page's script takes it, whole."""
    return {
        "version": kept.version,
        "annotations": {item: asdict(one) for item, one in kept.coding.annotations.items()},
        "can_undo": bool(kept.coding.changes),
    }


def _changes(kept: Kept) -> Response:
    """What a change did: the items that are otherwise now, null for those not coded any more."""
    said = kept.coding.annotations
    told = {
        "version": kept.version,
        "changed": {one: asdict(said[one]) if one in said else None for one in kept.changed},
        "can_undo": bool(kept.coding.changes),
    }
    return JSONResponse(told, headers={**HEADERS, "ETag": f'"{kept.version}"'})


class AnnotationIn(BaseModel):
    """What is said of one item; service.annotations knows the fields."""

    model_config = ConfigDict(extra="forbid", strict=True)

    item: Annotated[str, Field(max_length=20)]
    given: dict[str, Any] = Field(max_length=10, repr=False)
    lead_s: Annotated[float, Field(ge=0)] = 0.0


@router.get("/{assignment_id}/codes")
def get_codes(request: Request, assignment_id: Id, who: Here) -> Response:
    """This coder's coding as it stands."""
    _, kept = codings_of(request).read(actor_of(request), who, assignment_id)
    return JSONResponse(_state(kept), headers={**HEADERS, "ETag": f'"{kept.version}"'})


@router.patch("/{assignment_id}/codes")
def change_codes(
    request: Request,
    assignment_id: Id,
    who: Here,
    asked: Annotated[AnnotationIn, Depends(json_body(AnnotationIn))],
    if_match: IfMatch = "",
) -> Response:
    """Says something of one item, if this coding was not changed meanwhile."""
    codings, actor = codings_of(request), actor_of(request)
    about = (asked.item, asked.given, asked.lead_s)
    return _changes(codings.annotate(actor, who, assignment_id, *about, if_match))


@router.post("/{assignment_id}/undo")
def undo_codes(request: Request, assignment_id: Id, who: Here, if_match: IfMatch = "") -> Response:
    """Takes this coder's last change back."""
    return _changes(codings_of(request).undo(actor_of(request), who, assignment_id, if_match))


@router.post("/{assignment_id}/commit")
async def commit(request: Request, assignment_id: Id, who: Here) -> Response:
    """Ends this coder's coding."""
    version = (await fields(request)).get("version", "")
    codings, actor = codings_of(request), actor_of(request)
    made = await asyncio.to_thread(codings.commit, actor, who, assignment_id, version)
    is_own = made.view is View.CARE
    place = f"{PREFIX}/sessions/{made.session_id}" if is_own else f"{PREFIX}/coding"
    return led_to(place)


@router.post("/{assignment_id}/take-back")
def take_back(request: Request, assignment_id: Id, who: Here) -> Response:
    """Ends an assignment that no coder has committed yet."""
    codings_of(request).take_back(actor_of(request), who, assignment_id)
    return led_to(f"{PREFIX}/coding")


@blind_router.post("/{session_id}/blind")
def read_blind(request: Request, session_id: Id, who: Here) -> Response:
    """A session of one's own, to be coded before one sees what the tool found."""
    codings, actor = codings_of(request), actor_of(request)
    records: Records = request.app.state.records
    codings.check_own(actor, who, session_id)
    sheet = sheet_of(transcript_of(records, actor, session_id))
    made = codings.read_blind(actor, who, session_id, sheet)
    return led_to(f"{PREFIX}/coding/{made}")
