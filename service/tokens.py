"""Keys, OAuth2 clients and their tokens: who hands them out, and `POST /oauth/token`."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.engine import RowMapping

from service import oauth, tables
from service.auth import (
    AUDIENCE,
    ISSUER,
    credential_row,
    ended,
    holds,
    house_of,
    needs,
    note,
    note_ended,
    read_client,
    read_key,
)
from service.deeds import Actor
from service.errors import NotFound
from service.keys import ApiKeyRecord, Secret, make_key, rotate
from service.oauth import ClientRecord, OAuthCode, TokenRefused, make_client
from service.openapi import EXAMPLES, ref, refusals, takes
from service.schemas import (
    After,
    ClientOut,
    ClientsOut,
    KeyIn,
    KeyOut,
    KeysOut,
    Limit,
    TokenOut,
    TokenRefusedOut,
)
from service.scopes import Scope, grant
from service.store import Transaction
from service.uploads import json_body, media_type

MOST_ASKED = 4_000
"""Bytes of a request for a token; the longest list of all scopes has 300."""

_ID = re.compile(r"[0-9A-Za-z]{1,40}")

router = APIRouter(prefix="/v1", tags=["keys"], responses=refusals())
token_router = APIRouter(tags=["keys"])

KeyWriter = Annotated[Actor, Depends(needs(Scope.KEYS_WRITE))]
KeyAsked = Annotated[KeyIn, Depends(json_body(KeyIn))]
CredentialId = Annotated[str, Path(pattern=r"^[0-9A-Za-z]{1,40}$")]
Overlap = Annotated[
    int, Query(ge=0, le=168, description="How long the old secret stays good beside the new one.")
]
_BODY = takes(("application/json", ref("KeyIn"), EXAMPLES["key"]))

Record = TypeVar("Record", ApiKeyRecord, ClientRecord)
Shown = TypeVar("Shown", KeyOut, ClientOut)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Record, Shown]):
    """A kind of credential: API keys or OAuth2 clients.

    `noun`, `changed` and `ended` are the audit trail's words; `show` is a record as it is answered,
    with what it opens with where that is to be seen.
    """

    name: str
    noun: str
    changed: str
    ended: str
    make: Callable[..., tuple[Record, Secret]]
    rotate: Callable[..., tuple[Record, Secret]]
    read: Callable[[RowMapping], Record]
    show: Callable[[Record, str | None], Shown]

    def create(self, request: Request, actor: Actor, asked: KeyIn, response: Response) -> Shown:
        """A new one; shown this once. Raises: NotPermitted: more than the caller holds."""
        house, held = house_of(request), [scope for scope in Scope if holds(request, scope)]
        record, secret = self.make(
            tenant_id=actor.tenant_id,
            name=asked.name,
            scopes=grant(asked.scopes, held),
            now=house.clock(),
            lifetime=timedelta(days=asked.days) if asked.days else None,
        )
        shown, row = self.show(record, secret.value), credential_row(record)
        with house.store.transaction(actor.tenant_id) as tx:
            made = {"id": shown.id, "kind": self.name, "created_at": record.created_at}
            tx.add(tables.credentials, **made, record=row)
            note(tx, request, actor, f"{self.noun}.created", self.noun, shown.id)
        response.headers["Cache-Control"] = "no-store"
        return shown

    def page(
        self, request: Request, actor: Actor, limit: int, after: str | None
    ) -> tuple[list[Shown], str | None]:
        """A page of the tenant's, and where the next one begins."""
        with house_of(request).store.transaction(actor.tenant_id) as tx:
            of_kind = tables.credentials.c.kind == self.name
            page = tx.page(tables.credentials, of_kind, after=after, limit=limit)
            note(tx, request, actor, f"{self.noun}.listed")
        return [self.show(self.read(row), None) for row in page.rows], page.after

    def disable(self, request: Request, actor: Actor, id_: str) -> Response:
        """Disables one, if it is not yet. Raises: NotFound."""
        house = house_of(request)
        with house.store.transaction(actor.tenant_id) as tx:
            record = self._get(tx, id_)
            if record.disabled_at is None:
                row = credential_row(replace(record, disabled_at=house.clock()))
                tx.change(tables.credentials, id_, record=row)
                note(tx, request, actor, f"{self.noun}.{self.ended}", self.noun, id_)
        return Response(None, 204)

    def renew(
        self, request: Request, actor: Actor, id_: str, response: Response, overlap_hours: int
    ) -> Shown:
        """One with a new secret; shown this once. Raises: NotFound; Conflict: it has ended."""
        house, overlap = house_of(request), timedelta(hours=overlap_hours)
        with house.store.transaction(actor.tenant_id) as tx:
            record, secret = self.rotate(self._get(tx, id_), now=house.clock(), overlap=overlap)
            tx.change(tables.credentials, id_, record=credential_row(record))
            note(tx, request, actor, f"{self.noun}.{self.changed}", self.noun, id_)
        response.headers["Cache-Control"] = "no-store"
        return self.show(record, secret.value)

    def _get(self, tx: Transaction, id_: str) -> Record:
        """The record of a locked row, if it is of this kind. Raises: NotFound."""
        row = tx.get(tables.credentials, id_, lock=True)
        if row["kind"] != self.name:
            raise NotFound("there is no such thing")
        return self.read(row)


def _key(record: ApiKeyRecord, text: str | None) -> KeyOut:
    return KeyOut(**_told(record), id=record.key_id, last_used_at=record.last_used_at, key=text)


def _client(record: ClientRecord, secret: str | None) -> ClientOut:
    return ClientOut(**_told(record), id=record.client_id, secret=secret)


def _told(record: ApiKeyRecord | ClientRecord) -> dict[str, Any]:
    names = ("name", "created_at", "expires_at", "disabled_at")
    return {**{name: getattr(record, name) for name in names}, "scopes": sorted(record.scopes)}


KEYS = Kind("key", "key", "rotated", "revoked", make_key, rotate, read_key, _key)
CLIENTS = Kind(
    "client",
    "oauth_client",
    "changed",
    "removed",
    make_client,
    oauth.rotate_client,
    read_client,
    _client,
)


@router.post(
    "/keys",
    status_code=201,
    operation_id="createKey",
    openapi_extra=_BODY,
    responses=refusals("scope_not_held"),
)
def create_key(request: Request, actor: KeyWriter, asked: KeyAsked, response: Response) -> KeyOut:
    """A new API key; shown this once. Nobody hands out a scope that they do not hold."""
    return KEYS.create(request, actor, asked, response)


@router.get("/keys", operation_id="listKeys")
def list_keys(
    request: Request, actor: KeyWriter, limit: Limit = 50, after: After = None
) -> KeysOut:
    """The tenant's API keys, without what they open with."""
    items, following = KEYS.page(request, actor, limit, after)
    return KeysOut(items=items, next=following)


@router.delete("/keys/{key_id}", status_code=204, operation_id="disableKey")
def disable_key(request: Request, key_id: CredentialId, actor: KeyWriter) -> Response:
    """Disables a key; within five seconds it opens nothing."""
    return KEYS.disable(request, actor, key_id)


@router.post("/keys/{key_id}/rotate", operation_id="rotateKey", responses=refusals("conflict"))
def rotate_key(
    request: Request,
    key_id: CredentialId,
    actor: KeyWriter,
    response: Response,
    overlap_hours: Overlap = 24,
) -> KeyOut:
    """A new secret under the key's id, shown this once; the old one stays good for the overlap."""
    return KEYS.renew(request, actor, key_id, response, overlap_hours)


@router.post(
    "/oauth-clients",
    status_code=201,
    operation_id="createOAuthClient",
    openapi_extra=_BODY,
    responses=refusals("scope_not_held"),
)
def create_client(
    request: Request, actor: KeyWriter, asked: KeyAsked, response: Response
) -> ClientOut:
    """A new OAuth2 client, which fetches tokens at /oauth/token; its secret is shown this once."""
    return CLIENTS.create(request, actor, asked, response)


@router.get("/oauth-clients", operation_id="listOAuthClients")
def list_clients(
    request: Request, actor: KeyWriter, limit: Limit = 50, after: After = None
) -> ClientsOut:
    """The tenant's OAuth2 clients, without their secrets."""
    items, following = CLIENTS.page(request, actor, limit, after)
    return ClientsOut(items=items, next=following)


@router.delete("/oauth-clients/{client_id}", status_code=204, operation_id="disableOAuthClient")
def disable_client(request: Request, client_id: CredentialId, actor: KeyWriter) -> Response:
    """Disables a client; within five seconds its tokens open nothing."""
    return CLIENTS.disable(request, actor, client_id)


@router.post(
    "/oauth-clients/{client_id}/rotate",
    operation_id="rotateOAuthClient",
    responses=refusals("conflict"),
)
def rotate_client(
    request: Request,
    client_id: CredentialId,
    actor: KeyWriter,
    response: Response,
    overlap_hours: Overlap = 24,
) -> ClientOut:
    """A new secret of a client, shown this once; the old one stays good for the overlap."""
    return CLIENTS.renew(request, actor, client_id, response, overlap_hours)


# -- tokens --------------------------------------------------------------------------------------

_FORM = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"const": "client_credentials"},
        "scope": {"type": "string", "description": "Separated by spaces; without: all of them."},
    },
}
_ASKED = {"grant_type": "client_credentials", "scope": "sessions:write sessions:read"}
_REFUSED = {
    "error": OAuthCode.INVALID_CLIENT.value,
    "error_description": "The client or its secret is not good.",
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": "No token (RFC 6749, section 5.2).",
        "model": TokenRefusedOut,
        "content": {"application/json": {"examples": {"refused": {"value": _REFUSED}}}},
    }
    for status in (400, 401)
}


@token_router.post(
    "/oauth/token",
    operation_id="issueToken",
    response_model=TokenOut,
    responses={**refusals(), **_REFUSALS},
    openapi_extra=takes(("application/x-www-form-urlencoded", _FORM, _ASKED)),
)
async def issue(request: Request) -> Response:
    """A token of ten minutes; the client's id and secret come by HTTP Basic (RFC 6749, 4.4)."""
    body = await request.body()
    try:
        fields = _fields(media_type(request), body)
        issued = await asyncio.to_thread(_issue, request, fields)
    except TokenRefused as error:
        basic = {"WWW-Authenticate": "Basic"} if error.status == 401 else {}
        return JSONResponse(error.body(), error.status, {"Cache-Control": "no-store", **basic})
    return JSONResponse(issued.body(), 200, {"Cache-Control": "no-store"})


def _fields(kind: str, body: bytes) -> dict[str, str]:
    """The form's fields. Raises: TokenRefused: no form, or a field is there twice."""
    said = "Send a form: grant_type=client_credentials, each field once."
    refused = TokenRefused(OAuthCode.INVALID_REQUEST, said)
    if kind != "application/x-www-form-urlencoded" or len(body) > MOST_ASKED:
        raise refused
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise refused from None
    if len(dict(pairs)) != len(pairs):
        raise refused
    return dict(pairs)


def _issue(request: Request, fields: dict[str, str]) -> oauth.IssuedToken:
    house, now = house_of(request), house_of(request).clock()
    client_id, secret = oauth.read_basic(request.headers.get("authorization", ""))
    with house.store.system() as tx:
        is_one = _ID.fullmatch(client_id) is not None
        own = tables.credentials.c.id == client_id
        rows = tx.select(tables.credentials, own) if is_one else ()
    row = next((row for row in rows if row["kind"] == "client"), None)
    found, request_id = read_client(row) if row else None, request.scope["state"]["request_id"]
    try:
        issued = oauth.issue_token(
            found,
            secret=secret.value,
            grant_type=fields.get("grant_type", ""),
            scope=fields.get("scope", ""),
            keys=house.signing,
            issuer=ISSUER,
            audience=AUDIENCE,
            now=now,
        )
    except TokenRefused:
        if row and found and (why := ended(found, secret, now, "client")):
            note_ended(house, row, why, request_id)
        raise
    if found is not None:
        actor = Actor(found.tenant_id, "oauth_client", client_id, request_id)
        with house.store.transaction(found.tenant_id) as tx:
            note(tx, request, actor, "token.issued", "oauth_client", client_id)
    return issued
