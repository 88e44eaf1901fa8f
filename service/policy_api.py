"""The routes of a tenant's own policy: what it chose within what the deployer allows."""

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse

from service import audit, tables
from service.answers import UNCHANGED, Admin, answered, etag_of
from service.auth import house_of, note
from service.deeds import Actor
from service.errors import Fault, Invalid, MissingCondition, Stale
from service.house import REVOCATION_ERASES, House
from service.openapi import EXAMPLES, ref, refusals, takes
from service.policy import PolicySettings
from service.retention import Retention
from service.schemas import DaysOut, InForceOut, PolicyIn, PolicyOut
from service.store import Transaction
from service.uploads import json_body

router = APIRouter(prefix="/v1", tags=["policy"], responses=refusals())

IfMatch = Annotated[
    str,
    Header(max_length=200, description="The ETag that was read, or `*`; without it: 428."),
]


@router.get("/policy", operation_id="getPolicy", response_model=PolicyOut, responses={**UNCHANGED})
def get_policy(request: Request, actor: Admin) -> Response:
    """What the tenant chose, what is in force, and the most that it may choose."""
    house = house_of(request)
    with house.store.transaction(actor.tenant_id) as tx:
        found = _shown(house, dict(tx.tenant()))
        note(tx, request, actor, "tenant.read", "tenant", actor.tenant_id)
    return answered(request, _tag(found), lambda: _answer(found))


@router.put(
    "/policy",
    operation_id="setPolicy",
    response_model=PolicyOut,
    openapi_extra=takes(("application/json", ref("PolicyIn"), EXAMPLES["policy"])),
    responses=refusals("longer_than_allowed", "stale", "if_match_required"),
)
def set_policy(
    request: Request,
    actor: Admin,
    asked: Annotated[PolicyIn, Depends(json_body(PolicyIn))],
    if_match: IfMatch = "",
) -> Response:
    """Chooses anew, all of it; what ends sooner now is erased by the next sweep, for good."""
    house = house_of(request)
    if not if_match:
        raise MissingCondition("Send If-Match with the ETag of what you read.")
    _check(asked, house.longest)
    with house.store.transaction(actor.tenant_id) as tx:
        row = _locked(tx)
        before = _shown(house, row)
        current = etag_of(_tag(before))
        if if_match.strip() != "*" and current not in [e.strip() for e in if_match.split(",")]:
            raise Stale("The policy was changed meanwhile: read it again.")
        after = _shown(house, {**row, "policy": _kept(asked)})
        if after != before:
            own = tables.tenants.c.tenant_id == actor.tenant_id
            chosen = tables.tenants.update().where(own).values(policy=_kept(asked))
            tx.connection.execute(chosen)
            _note_change(tx, request, actor, before.in_force, after.in_force)
    return answered(request, _tag(after), lambda: _answer(after))


def _check(asked: PolicyIn, most: Retention) -> None:
    """Raises: Invalid: more days than the deployer allows."""
    faults = [
        Fault(f"/{name}", "longer_than_allowed", f"at most {longest} days are allowed here")
        for name, days, longest in (
            ("text_days", asked.text_days, most.text_days),
            ("report_days", asked.report_days, most.scores_days),
        )
        if days is not None and longest is not None and days > longest
    ]
    if faults:
        said = "It would be kept longer than whoever runs this service allows."
        raise Invalid(said, code="longer_than_allowed", errors=faults)


def _locked(tx: Transaction) -> dict[str, Any]:
    """The tenant's row, which nobody else changes until the end."""
    own = tables.tenants.c.tenant_id == tx.tenant_id
    found = tx.connection.execute(sa.select(tables.tenants).where(own).with_for_update())
    return dict(found.mappings().one())


def _kept(asked: PolicyIn) -> dict[str, Any]:
    """What stands in the tenant's row, as `House.policy_of` reads it."""
    days = {"text_days": asked.text_days, "report_days": asked.report_days}
    said = {name: value for name, value in days.items() if value is not None}
    erases = {"revocation_erases": asked.revocation_erases} if asked.revocation_erases else {}
    return {**({"retention": said} if said else {}), **erases}


def _shown(house: House, row: dict[str, Any]) -> PolicyOut:
    """A tenant's policy as it is answered. Raises: Invalid: its row holds something else."""
    said, rules, most = row["policy"] or {}, house.policy_of(row), house.longest
    chosen = PolicyIn(
        **(said.get("retention") or {}), revocation_erases=said.get("revocation_erases")
    )
    return PolicyOut(
        chosen=chosen,
        in_force=InForceOut(
            text_days=rules.retention.text_days,
            report_days=rules.retention.scores_days,
            revocation_erases=_erases(rules),
        ),
        longest=DaysOut(text_days=most.text_days, report_days=most.scores_days),
    )


def _erases(rules: PolicySettings) -> Any:
    named = {parts: name for name, parts in REVOCATION_ERASES.items()}
    return named[rules.revocation_erases]


def _tag(found: PolicyOut) -> str:
    return f"policy {audit.canonical(found.model_dump())}"


def _answer(found: PolicyOut) -> Response:
    return JSONResponse(found.model_dump(mode="json"))


def _note_change(
    tx: Transaction, request: Request, actor: Actor, before: InForceOut, after: InForceOut
) -> None:
    """Puts the rule that ended and the one that holds now on record."""
    were = {f"{name}_before": value for name, value in before.model_dump().items()}
    details = {**were, **after.model_dump()}
    note(tx, request, actor, "retention.changed", "tenant", actor.tenant_id, **details)
