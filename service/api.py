"""The routes beside sessions: trajectories, models, webhooks, jobs, the audit trail."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.engine import RowMapping

from models import registry
from models.errors import ModelError
from service import tables, trajectory, trajectory_csv, uploads
from service.answers import (
    Admin,
    Csv,
    Markdown,
    Reader,
    Recorded,
)
from service.auth import house_of, needs, note
from service.consent import standing
from service.deeds import Actor, facts_of
from service.errors import NotFound, Unavailable
from service.house import House
from service.openapi import EXAMPLES, ref, refusals, takes
from service.policy import Purpose, decide
from service.schemas import (
    After,
    DeliveriesOut,
    DeliveryOut,
    EventsOut,
    Id,
    JobOut,
    JobsOut,
    Limit,
    MadeOut,
    ModelOut,
    ModelsOut,
    RevokedOut,
    WebhookIn,
    WebhookOut,
    WebhooksOut,
)
from service.scopes import Scope
from service.store import Transaction
from service.uploads import json_body

MOST_WHOLE = 2**53 - 1
"""The largest whole number that every reader of JSON holds exactly (RFC 8259, section 6)."""

router = APIRouter(prefix="/v1", responses=refusals())


@router.post(
    "/consents/{consent_id}/revoke",
    operation_id="revokeConsent",
    tags=["consents"],
    responses=refusals("not_found"),
)
def revoke_consent(
    consent_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")],
    actor: Annotated[Actor, Depends(needs(Scope.CONSENTS_WRITE))],
    records: Recorded,
) -> RevokedOut:
    """Takes a consent back: what runs stops, what was said is erased."""
    return RevokedOut(n_sessions=records.revoke(actor, consent_id))


@router.get(
    "/clients/{client:path}/trajectory",
    operation_id="getTrajectory",
    tags=["clients"],
    responses={
        200: {
            "description": "The sessions in order.",
            "content": {"text/csv; charset=utf-8": {"schema": {"type": "string"}}},
        },
        **refusals("not_found"),
    },
)
def get_trajectory(
    request: Request,
    client: Annotated[str, Path(min_length=1, max_length=200)],
    actor: Annotated[Actor, Depends(needs(Scope.CLIENTS_READ))],
    format: Annotated[str, Query(pattern="^(json|csv)$")] = "json",
) -> Response:
    """One client's sessions in order, each beside the client's own earlier ones."""
    house = house_of(request)
    client_id = house.client_id(actor.tenant_id, client)
    with house.store.transaction(actor.tenant_id) as tx:
        own = tables.sessions.c.client_id == client_id
        found = tx.select(tables.sessions, own, whole=False)
        rows = [row for row in found if row["erased_at"] is None]
        if not rows:
            raise NotFound("there is no session of this client")
        reports = _readable(house, tx, rows)
        note(tx, request, actor, "trajectory.read", "client", client_id)
    living, superseded = trajectory.newest(rows)
    made = trajectory.trajectory(
        [trajectory.point_of(row, reports.get(row["id"])) for row in living]
    )
    if format == "csv":
        return Csv(trajectory_csv.as_csv(made))
    return JSONResponse({**made.as_dict(), "superseded": superseded})


def _readable(house: House, tx: Transaction, rows: list[RowMapping]) -> dict[str, RowMapping]:
    """Each session's newest report, where the tenant's policy lets it be read."""
    rules, now = house.policy_of(dict(tx.tenant())), house.clock()
    named = {row["consent_id"] for row in rows}
    kept = tx.select(tables.consents, tables.consents.c.id.in_(named))
    consents = {one["id"]: standing(dict(one)) for one in kept}

    def is_readable(row: RowMapping) -> bool:
        consent = consents.get(row["consent_id"])
        return decide(Purpose.EXPORT, consent, facts_of(row), rules, now).may_be_read

    ids = [row["id"] for row in rows if is_readable(row)]
    # Oldest first, so that the newest stays.
    found = tx.select(tables.reports, tables.reports.c.session_id.in_(ids), whole=False)
    return {one["session_id"]: one for one in found}


_RULES_CARD = """# rules

No network: the codebook's rules, the clock and fitted weights alone (detector/weights/rules.toml).
It always can score, and needs no checkpoint. What it finds and misses is in docs/benchmarks.md.
"""


@router.get("/models", operation_id="listModels", tags=["models"])
def list_models(request: Request, actor: Reader) -> ModelsOut:
    """The checkpoints that can score; `rules` is always there."""
    names, current = (*uploads.checkpoints(), "rules"), current_checkpoint(house_of(request))
    return ModelsOut(items=[ModelOut(id=name, is_current=name == current) for name in names])


def current_checkpoint(house: House) -> str:
    """The name of the checkpoint that scores where none is named. Raises: Unavailable."""
    try:
        return house.settings.checkpoint or registry.current_name() or "rules"
    except ModelError:
        raise Unavailable("The registry of checkpoints cannot be read.") from None


@router.get(
    "/models/{name}/card",
    operation_id="getModelCard",
    tags=["models"],
    response_class=Markdown,
    responses=refusals("not_found"),
)
def get_card(
    name: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")], actor: Reader
) -> Response:
    """A checkpoint's model card, Markdown."""
    if name == "rules":
        return Markdown(_RULES_CARD)
    folder = uploads.checkpoints().get(name)
    if folder is None:
        raise NotFound("there is no such checkpoint")
    try:
        return Markdown((folder / "MODEL_CARD.md").read_text("utf-8"))
    except OSError:
        raise NotFound("this checkpoint has no card") from None


HookWriter = Annotated[Actor, Depends(needs(Scope.WEBHOOKS_WRITE))]
HookReader = Annotated[Actor, Depends(needs(Scope.WEBHOOKS_READ))]


@router.post(
    "/webhooks",
    status_code=201,
    operation_id="createWebhook",
    tags=["webhooks"],
    openapi_extra=takes(("application/json", ref("WebhookIn"), EXAMPLES["webhook"])),
    responses=refusals("webhook_url_refused"),
)
def create_webhook(
    request: Request,
    actor: HookWriter,
    records: Recorded,
    asked: Annotated[WebhookIn, Depends(json_body(WebhookIn))],
    response: Response,
) -> WebhookOut:
    """Registers a webhook; its secret is shown this once."""
    request.app.state.guard.check(str(asked.url))
    hook_id, secret = records.register(actor, str(asked.url), list(dict.fromkeys(asked.events)))
    response.headers["Cache-Control"] = "no-store"
    return WebhookOut(**_hook(request, actor, hook_id), secret=secret.text)


@router.get("/webhooks", operation_id="listWebhooks", tags=["webhooks"])
def list_webhooks(
    request: Request, actor: HookReader, limit: Limit = 50, after: After = None
) -> WebhooksOut:
    """The tenant's webhooks, without their secrets."""
    with house_of(request).store.transaction(actor.tenant_id) as tx:
        page = tx.page(tables.webhooks, after=after, limit=limit)
        note(tx, request, actor, "webhook.listed")
    shown = [WebhookOut(**{n: r[n] for n in _HOOK}) for r in page.rows]
    return WebhooksOut(items=shown, next=page.after)


_HOOK = ("id", "url", "events", "disabled_at", "created_at")


def _hook(request: Request, actor: Actor, hook_id: str) -> dict[str, Any]:
    with house_of(request).store.transaction(actor.tenant_id) as tx:
        row = tx.get(tables.webhooks, hook_id, whole=False)
    return {name: row[name] for name in _HOOK}


@router.delete(
    "/webhooks/{webhook_id}",
    status_code=204,
    operation_id="deleteWebhook",
    tags=["webhooks"],
    responses=refusals("not_found"),
)
def delete_webhook(request: Request, webhook_id: Id, actor: HookWriter) -> Response:
    """Removes a webhook; what waits for it is not sent."""
    with house_of(request).store.transaction(actor.tenant_id) as tx:
        tx.remove(tables.webhooks, webhook_id)
        note(tx, request, actor, "webhook.removed", "webhook", webhook_id)
    return Response(None, 204)


@router.post(
    "/webhooks/{webhook_id}/rotate",
    operation_id="rotateSecret",
    tags=["webhooks"],
    responses=refusals("not_found"),
)
def rotate_secret(
    request: Request, webhook_id: Id, actor: HookWriter, records: Recorded, response: Response
) -> WebhookOut:
    """A new secret; the old one signs beside it for a day."""
    secret = records.rotate_secret(actor, webhook_id)
    response.headers["Cache-Control"] = "no-store"
    return WebhookOut(**_hook(request, actor, webhook_id), secret=secret.text)


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    operation_id="listDeliveries",
    tags=["webhooks"],
    responses=refusals("not_found"),
)
def list_deliveries(
    request: Request, webhook_id: Id, actor: HookReader, limit: Limit = 50, after: After = None
) -> DeliveriesOut:
    """What was sent to a webhook and what came of it, newest first."""
    with house_of(request).store.transaction(actor.tenant_id) as tx:
        tx.get(tables.webhooks, webhook_id, whole=False)
        own = tables.deliveries.c.webhook_id == webhook_id
        page = tx.page(tables.deliveries, own, after=after, limit=limit)
    shown = [{n: row[n] for n in DeliveryOut.model_fields} for row in page.rows]
    return DeliveriesOut(items=[DeliveryOut(**one) for one in shown], next=page.after)


@router.post(
    "/deliveries/{delivery_id}/replay",
    status_code=202,
    operation_id="replayDelivery",
    tags=["webhooks"],
    responses=refusals("not_found", "conflict"),
)
def replay(delivery_id: Id, actor: HookWriter, records: Recorded) -> MadeOut:
    """Sends a message again, under an id of its own; it says what the first one said."""
    return MadeOut(id=records.replay(actor, delivery_id))


@router.get("/jobs/dead", operation_id="listDeadJobs", tags=["operations"])
def list_dead_jobs(
    request: Request, actor: Admin, limit: Limit = 50, after: After = None
) -> JobsOut:
    """Jobs that failed too often, through no fault of their session."""
    with house_of(request).store.transaction(actor.tenant_id) as tx:
        page = tx.page(tables.jobs, tables.jobs.c.status == "dead", after=after, limit=limit)
        note(tx, request, actor, "job.listed")
    shown = [JobOut(**{n: row[n] for n in JobOut.model_fields}) for row in page.rows]
    return JobsOut(items=shown, next=page.after)


@router.post(
    "/jobs/{job_id}/replay",
    status_code=202,
    operation_id="replayJob",
    tags=["operations"],
    responses=refusals("consent_revoked", "not_found", "conflict", "gone"),
)
def replay_job(job_id: Id, actor: Admin, records: Recorded) -> MadeOut:
    """Puts a new job in a dead one's place; the answer holds its id."""
    return MadeOut(id=records.replay_job(actor, job_id))


@router.get("/events", operation_id="listEvents", tags=["audit"])
def list_events(
    request: Request,
    actor: Annotated[Actor, Depends(needs(Scope.AUDIT_READ))],
    after: Annotated[int, Query(ge=0, le=MOST_WHOLE)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> EventsOut:
    """The tenant's audit trail, in order, with its hashes."""
    with house_of(request).store.transaction(actor.tenant_id) as tx:
        entries = [entry.to_columns() for entry in tx.audit_trail(after=after, limit=limit)]
        note(tx, request, actor, "audit.read")
    last = entries[-1]["sequence"] if len(entries) == limit else None
    return EventsOut(items=entries, next=int(last) if last is not None else None)
