"""The routes of a client over time, of the week, and of people: who cares for whom."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from service import trajectory
from service.auth import house_of
from service.entrance import Visitor
from service.people import People
from service.rendering import led_to, page, say
from service.review import caseload_of
from service.scopes import Role
from service.trajectory_lines import lines
from service.visiting import PREFIX, Here, actor_of, as_role, fields, guarded

router = APIRouter(prefix=PREFIX, include_in_schema=False, dependencies=[Depends(guarded)])

ClientId = Annotated[str, Path(pattern=r"^[0-9a-f]{40}$")]
Clinician = Annotated[Visitor, Depends(as_role(Role.CLINICIAN))]
Admin = Annotated[Visitor, Depends(as_role(Role.ADMIN))]

WEEK = timedelta(days=7)


@router.get("/clients/{client_id}")
def get_client(request: Request, client_id: ClientId, who: Here) -> Response:
    """One client's sessions in order, each beside the client's own earlier ones."""
    caseload = caseload_of(request)
    found = caseload.sessions(actor_of(request), who, client_id)
    kept, _ = trajectory.newest(found[::-1])  # they come newest first
    made = trajectory.trajectory([trajectory.point_of(one, one["report"]) for one in kept])
    people = People(house_of(request)).listed(who.tenant_id)
    supervisors = [
        one for one in people if Role.SUPERVISOR in one["roles"] and not one["disabled_at"]
    ]
    return page(
        request,
        "client.html.j2",
        client_id=client_id,
        reference=next((one["reference"] for one in found if one["reference"]), None),
        sessions={one["id"]: one for one in found},
        trajectory=made,
        lines=lines(made),
        limits=trajectory.LIMITS,
        supervisors=supervisors,
        given=caseload.supervisors_of(who, client_id),
    )


@router.post("/clients/{client_id}/supervision")
async def supervise(request: Request, client_id: ClientId, who: Clinician) -> Response:
    """Lets a supervisor read this client, or no longer."""
    given = await fields(request)
    caseload_of(request).supervise(
        actor_of(request),
        who,
        client_id,
        given.get("person", ""),
        is_given=given.get("give") == "yes",
    )
    return led_to(f"{PREFIX}/clients/{client_id}")


@router.get("/week")
def get_week(request: Request, who: Clinician) -> Response:
    """What is new to this clinician in seven days: not reviewed yet, or without repair."""
    since = house_of(request).clock() - WEEK
    found = caseload_of(request).sessions(actor_of(request), who)
    recent = [one for one in found if one["created_at"] >= since and one["summary"]]
    fresh = [one for one in recent if one["n_judged"] < one["summary"]["n_moments"]]
    seen = [one for one in recent if one not in fresh]
    unrepaired = [one for one in seen if one["summary"]["n_unrepaired"]]
    return page(
        request,
        "week.html.j2",
        fresh=fresh,
        unrepaired=unrepaired,
        n_recent=len(recent),
        since=since,
    )


@router.get("/people")
def get_people(request: Request, who: Admin) -> Response:
    """Who there is, and a form that says who cares for a client."""
    return _people(request, who)


def _people(request: Request, who: Visitor, said: str = "") -> Response:
    listed = People(house_of(request)).listed(who.tenant_id)
    return page(request, "people.html.j2", people=listed, said=said)


@router.post("/people/care")
async def assign(request: Request, who: Admin) -> Response:
    """Gives a client to a clinician."""
    given = await fields(request)
    client_id = house_of(request).client_id(who.tenant_id, given.get("client", ""))
    caseload_of(request).assign(actor_of(request), client_id, given.get("person", ""))
    return _people(request, who, say(request, "people.given"))
