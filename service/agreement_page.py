"""The routes of what coders say together: agreement, adjudication, and the long table."""

import asyncio
from collections.abc import Mapping
from string import ascii_lowercase
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from detector.codebook import PILLARS, load_codebook
from detector.page.words import SCALES
from service.adjudications import Agreed
from service.annotations import INTENSITIES, Annotation
from service.coding_csv import as_csv
from service.coding_page import codings_of
from service.errors import Invalid
from service.figures import NOTHING, confusion, figures, reasons
from service.rendering import HEADERS, led_to, page
from service.schemas import Id
from service.sheets import codes_of
from service.visiting import PREFIX, Here, actor_of, fields, guarded

router = APIRouter(
    prefix=f"{PREFIX}/coding", include_in_schema=False, dependencies=[Depends(guarded)]
)

LETTERS = "ABCDEFGHIJ"
"""What coders are called on the page: who settles need not know who said it."""


@router.get("/{assignment_id}/agreement")
def get_agreement(request: Request, assignment_id: Id, who: Here, of: str = "") -> Response:
    """How far the coders agree, where they differ, and what was settled.

    The figures are of this session, or of all sessions of its study: `of=study`.
    """
    codings, actor = codings_of(request), actor_of(request)
    found = codings.agreed(actor, who, assignment_id)
    study = found.assignment.study
    together = codings.study(actor, who, study) if of == "study" and study else (found,)
    counted = figures(together)
    letters = {one.person_id: LETTERS[n] for n, one in enumerate(found.codings)}
    settles = found.adjudication
    return page(
        request,
        "agreement.html.j2",
        found=found,
        sheet=found.assignment.sheet,
        letters=letters,
        is_study=together != (found,),
        figures=counted,
        notes=dict(zip(reasons(counted), ascii_lowercase, strict=False)),
        confusion=confusion(together),
        NOTHING=NOTHING,
        n_sessions=len({one.assignment.session_id for one in together}),
        is_mine=settles.person_id == who.person_id and settles.committed_at is None,
        settled=settles.coding.annotations,
        codes_of=codes_of,
        markers=load_codebook().markers,
        scales=SCALES,
        pillars=PILLARS,
        intensities=INTENSITIES,
    )


@router.post("/{assignment_id}/adjudication")
async def settle(request: Request, assignment_id: Id, who: Here) -> Response:
    """Settles one difference, or opens it again."""
    given = await fields(request)
    place = await asyncio.to_thread(_settle, request, assignment_id, who, given)
    return led_to(place)


def _settle(request: Request, assignment_id: str, who: Any, given: Mapping[str, str]) -> str:
    codings, actor = codings_of(request), actor_of(request)
    item, version = given.get("item", ""), given.get("version", "")
    here = f"{PREFIX}/coding/{assignment_id}/agreement"
    if given.get("take") == "open":
        codings.settle(actor, who, assignment_id, item, {"clear": True}, 0.0, version)
        return f"{here}#{item}"
    found = codings.agreed(actor, who, assignment_id, "adjudication.read")
    said = _said(found, item, given)
    codings.settle(actor, who, assignment_id, item, said, _seconds(given), version)
    left = [one for one in found.open_items if one != item]
    return f"{here}#{left[0]}" if left else f"{here}#close"


def _seconds(given: Mapping[str, str]) -> float:
    try:
        return max(0.0, min(3600.0, float(given.get("lead_s") or 0)))
    except ValueError:
        return 0.0


def _said(found: Agreed, item: str, given: Mapping[str, str]) -> dict[str, Any]:
    """What stands: as one of the coders said, or otherwise as the form says."""
    taken = given.get("take", "")
    reason = {"reason": given.get("reason", "").strip()}
    by = {LETTERS[n]: one.coding.annotations for n, one in enumerate(found.codings)}
    if taken in by and item in by[taken]:
        return {**_fields_of(by[taken][item], item), **reason}
    if taken != "other":
        raise Invalid("Choose what stands.", code="nothing_chosen")
    if item.partition("-")[0] != "turn":
        rated = {one: int(v) for one in SCALES if (v := given.get(one, "")).isdecimal()}
        return {"ratings": rated, **reason}
    weight = given.get("intensity", "")
    return {
        "markers": [name.removeprefix("code-") for name in given if name.startswith("code-")],
        "pillar": given.get("pillar") or None,
        "intensity": int(weight) if weight.isdecimal() else None,
        **reason,
    }


def _fields_of(one: Annotation, item: str) -> dict[str, Any]:
    if item.partition("-")[0] != "turn":
        return {"ratings": dict(one.ratings)}
    plain = {name: getattr(one, name) for name in ("pillar", "intensity", "sure", "answers")}
    return {**plain, "markers": list(one.markers), "start": one.start, "end": one.end}


@router.post("/{assignment_id}/adjudication/undo")
async def undo_settling(request: Request, assignment_id: Id, who: Here) -> Response:
    """Takes the adjudicator's last change back."""
    version = (await fields(request)).get("version", "")
    codings, actor = codings_of(request), actor_of(request)
    await asyncio.to_thread(codings.undo_settling, actor, who, assignment_id, version)
    place = f"{PREFIX}/coding/{assignment_id}/agreement#differences"
    return led_to(place)


@router.post("/{assignment_id}/adjudication/commit")
async def close(request: Request, assignment_id: Id, who: Here) -> Response:
    """Ends the adjudication."""
    version = (await fields(request)).get("version", "")
    codings, actor = codings_of(request), actor_of(request)
    await asyncio.to_thread(codings.close, actor, who, assignment_id, version)
    place = f"{PREFIX}/coding/{assignment_id}/agreement"
    return led_to(place)


@router.get("/{assignment_id}/codings.csv")
def get_csv(request: Request, assignment_id: Id, who: Here) -> Response:
    """All codings, and what stands where that was committed, as the long table. No text."""
    found = codings_of(request).agreed(actor_of(request), who, assignment_id, "coding.exported")
    name = f'attachment; filename="codings-{assignment_id}.csv"'
    more = {"Content-Disposition": name, "Content-Type": "text/csv; charset=utf-8"}
    return Response(as_csv(found), headers={**HEADERS, **more})
