"""Who asks, and what they may: a request's bearer token to a caller, and a route's scopes.

A caller comes by an API key or by a token of OAuth2 client credentials, in `Authorization:
Bearer`, never in a URL. What was found is believed for BELIEVED_S, so that a poll costs no query;
a key that is disabled stops within that time.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request
from sqlalchemy.engine import RowMapping
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from service import audit, deeds, keys, oauth, tables
from service.deeds import Actor
from service.errors import NotAuthenticated, NotPermitted, ServiceError
from service.house import House
from service.keys import ApiKeyRecord, Secret, SecretHash
from service.limits import header
from service.oauth import ClientRecord
from service.scopes import Scope, stored_scopes
from service.store import Transaction, new_id

AUDIENCE = ISSUER = "urn:rupture:api"

BELIEVED_S = 5.0
_MOST_BELIEVED = 10_000

REFUSED_EVERY = timedelta(hours=1)
"""What has ended is put on record at most this often, for each key and client, however often it is
tried and by how many processes: who holds one fills nobody's trail. A judgement: 24 entries a day
are seen, and are no flood."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a key or an OAuth client of one tenant, with what it may do."""

    tenant_id: str
    kind: str
    id: str
    scopes: frozenset[Scope]

    def actor(self, request_id: str) -> Actor:
        """The caller as the audit trail knows it."""
        return Actor(self.tenant_id, self.kind, self.id, request_id)


def credential_row(record: ApiKeyRecord | ClientRecord) -> dict[str, Any]:
    """A key or client as its row keeps it: hashes, and never a secret."""
    secret = record.secret
    return {
        "name": record.name,
        "scopes": sorted(record.scopes),
        "current": secret.current.value,
        "previous": secret.previous.value if secret.previous else None,
        "previous_until": _text(secret.previous_until),
        "created_at": _text(record.created_at),
        "expires_at": _text(record.expires_at),
        "disabled_at": _text(record.disabled_at),
        "last_used_at": _text(record.last_used_at),
        **({"environment": record.environment} if isinstance(record, ApiKeyRecord) else {}),
    }


def read_key(row: Mapping[str, Any] | RowMapping) -> ApiKeyRecord:
    """An API key from its row."""
    return ApiKeyRecord(key_id=row["id"], environment=row["record"]["environment"], **_common(row))


def read_client(row: Mapping[str, Any] | RowMapping) -> ClientRecord:
    """An OAuth2 client from its row."""
    return ClientRecord(client_id=row["id"], **_common(row))


def _common(row: Mapping[str, Any] | RowMapping) -> dict[str, Any]:
    kept = row["record"]
    previous = Secret(kept["previous"]) if kept["previous"] else None
    return {
        "tenant_id": row["tenant_id"],
        "name": kept["name"],
        "scopes": stored_scopes(kept["scopes"]),
        "secret": SecretHash(Secret(kept["current"]), previous, _time(kept["previous_until"])),
        "created_at": datetime.fromisoformat(kept["created_at"]),
        "expires_at": _time(kept["expires_at"]),
        "disabled_at": _time(kept["disabled_at"]),
        "last_used_at": _time(kept["last_used_at"]),
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def find(house: House, token: str, request_id: str = "") -> Caller:
    """The caller of a bearer token, looked up now.

    Raises: NotAuthenticated. Where it was good once, the refusal is on record, see `note_ended`.
    """
    now = house.clock()
    if token.count(".") == 2:
        return _of_token(house, token, now, request_id)
    parsed = keys.parse(token)
    with house.store.system() as tx:
        row = _row(tx, parsed.key_id, "key")
    try:
        record = keys.check(read_key(row) if row else None, token, now)
    except NotAuthenticated:
        if row and (why := ended(read_key(row), parsed.secret, now, "key")):
            note_ended(house, row, why, request_id)
        raise
    if keys.used(record, now):
        with house.store.system() as tx:
            # Read again under a lock: a rotation meanwhile would be written over.
            fresh = tx.get(tables.credentials, record.key_id, lock=True)["record"]
            later = {**fresh, "last_used_at": _text(now)}
            tx.change(tables.credentials, record.key_id, record=later)
    return Caller(record.tenant_id, "api_key", record.key_id, record.scopes)


def ended(record: ApiKeyRecord | ClientRecord, secret: Secret, now: datetime, kind: str) -> str:
    """How the key or client ended that this is, or was, the secret of, as a code word.

    `disabled_`, `expired_` or `rotated_` and its kind; "": it has not, or it is another's secret.
    """
    is_it, was_it = record.secret.matches(secret, now), record.secret.was_before(secret)
    if not is_it and not was_it:
        return ""
    for how, since in (("disabled", record.disabled_at), ("expired", record.expires_at)):
        if since is not None and since <= now:
            return f"{how}_{kind}"
    return "" if is_it else f"rotated_{kind}"


def note_ended(
    house: House, row: Mapping[str, Any] | RowMapping, why: str, request_id: str
) -> None:
    """Puts on record, for the tenant whose it was, that somebody tried a key that has ended.

    At most once in REFUSED_EVERY: the time stands in the key's own row, so all processes share it.
    """
    now = house.clock()
    if _is_noted(row, now):
        return
    with house.store.transaction(row["tenant_id"]) as tx:
        fresh = tx.get(tables.credentials, row["id"], lock=True)
        if _is_noted(fresh, now):
            return
        later = {**fresh["record"], "refused_at": _text(now)}
        tx.change(tables.credentials, row["id"], record=later)
        kind = {"key": "api_key", "client": "oauth_client"}[row["kind"]]
        event = audit.Event(
            "access.denied",
            now,
            kind,
            row["id"],
            outcome="denied",
            reason=why,
            request_id=request_id,
        )
        tx.note(event, house.audit_key)


def _is_noted(row: Mapping[str, Any] | RowMapping, now: datetime) -> bool:
    last = _time(row["record"].get("refused_at"))
    return last is not None and abs(now - last) < REFUSED_EVERY


def _of_token(house: House, token: str, now: datetime, request_id: str) -> Caller:
    read = oauth.read_token(token, keys=house.signing, issuer=ISSUER, audience=AUDIENCE, now=now)
    with house.store.system() as tx:
        row = _row(tx, read.client_id, "client")
    # A token lives ten minutes; its client may have been taken away meanwhile.
    client = read_client(row) if row else None
    if row and client and client.disabled_at and client.disabled_at <= now:
        note_ended(house, row, "disabled_client", request_id)
        client = None
    if client is None:
        raise NotAuthenticated("This token's client is gone.", code="invalid_token")
    return Caller(read.tenant_id, "oauth_client", read.client_id, read.scopes & client.scopes)


def _row(tx: Transaction, id_: str, kind: str) -> Mapping[str, Any] | None:
    rows = tx.select(tables.credentials, tables.credentials.c.id == id_)
    return next((dict(row) for row in rows if row["kind"] == kind), None)


class Authenticate:
    """Finds the caller of each request, or why there is none, before anything else is done.

    Writes `caller` or `refused`, `tenant_id` and `key_id` into the scope's state. Refusing is the
    route's: `needs` does it, and the health checks need nobody.
    """

    def __init__(self, app: ASGIApp, house: House) -> None:
        self._app, self._house = app, house
        self._believed: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """One request; what is no request is passed on as it is."""
        if scope["type"] == "http":
            state = scope.setdefault("state", {})
            try:
                given = header(scope, b"authorization")
                caller = await self._caller(given, state.get("request_id", ""))
                state |= {
                    "caller": caller,
                    "tenant_id": caller.tenant_id,
                    "key_id": caller.id,
                }
            except ServiceError as error:
                state["refused"] = error
        await self._app(scope, receive, send)

    async def _caller(self, given: str, request_id: str) -> Caller:
        kind, _, token = given.partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise NotAuthenticated("Send an API key or a token: Authorization: Bearer …")
        token = token.strip()
        digest, now = hashlib.sha256(token.encode()).digest(), asyncio.get_running_loop().time()
        known = self._believed.get(digest)
        if known and now - known[0] < BELIEVED_S:
            return known[1]
        caller = await asyncio.to_thread(find, self._house, token, request_id)
        self._believed[digest] = (now, caller)
        if len(self._believed) > _MOST_BELIEVED:
            self._believed.popitem(last=False)
        return caller


def needs(*scopes: Scope) -> Callable[[Request], Awaitable[Actor]]:
    """A route's dependency: the caller as an actor, who holds all these scopes.

    Raises: NotAuthenticated; NotPermitted: a scope is lacking.
    """

    async def check(request: Request) -> Actor:  # no thread is needed to look into a dictionary
        state = request.scope["state"]
        caller: Caller | None = state.get("caller")
        if caller is None:
            raise state.get("refused") or NotAuthenticated("Say who you are.")
        lacking = sorted(set(scopes) - caller.scopes)
        if lacking:
            raise NotPermitted(f"The key lacks a scope: {', '.join(lacking)}", code="scope_missing")
        return caller.actor(state["request_id"])

    check.scopes = scopes  # type: ignore[attr-defined]
    return check


def holds(request: Request, scope: Scope) -> bool:
    """Whether the caller holds a scope that the route does not need."""
    caller: Caller = request.scope["state"]["caller"]
    return scope in caller.scopes


def house_of(request: Request) -> House:
    """The house that the application stands over."""
    house: House = request.app.state.house
    return house


def note(
    tx: Transaction,
    request: Request,
    actor: Actor,
    action: str,
    kind: str = "",
    id_: str = "",
    **details: Any,
) -> None:
    """Puts what a route does on record, in the transaction that does it."""
    deeds.note(tx, house_of(request), actor, action, kind, id_, **details)


def note_denial(request: Request, error: ServiceError) -> None:
    """Puts on record that a known caller was refused for what it is or for what policy says."""
    denied_as = getattr(error, "denied_as", "")
    is_denial = isinstance(error, NotPermitted) or error.code == "legal_hold" or denied_as
    caller: Caller | None = request.scope["state"].get("caller")
    if caller is None or not is_denial:
        return
    house, session_id = house_of(request), request.path_params.get("session_id", "")
    event = audit.Event(
        "access.denied",
        house.clock(),
        caller.kind,
        caller.id,
        target_kind="session" if session_id else "",
        target_id=session_id,
        outcome="denied",
        reason=denied_as or error.code,
        request_id=request.scope["state"]["request_id"],
    )
    with house.store.transaction(caller.tenant_id) as tx:
        tx.note(event, house.audit_key)


def make_tenant(house: House, name: str) -> tuple[str, Secret]:
    """A new tenant with its first API key, which may do everything; the key is shown this once."""
    tenant_id, now = new_id("ten"), house.clock()
    record, text = keys.make_key(tenant_id=tenant_id, name="first key", scopes=Scope, now=now)
    with house.store.transaction(tenant_id) as tx:
        tx.add(
            tables.tenants,
            name=name,
            key_blob=house.vault.new_tenant_key(tenant_id),
            policy={},
            created_at=now,
        )
        tx.add(
            tables.credentials,
            id=record.key_id,
            kind="key",
            record=credential_row(record),
            created_at=now,
        )
        made = audit.Event(
            "tenant.created", now, "system", target_kind="tenant", target_id=tenant_id
        )
        tx.note(made, house.audit_key)
        given = replace(made, action="key.created", target_kind="key", target_id=record.key_id)
        tx.note(given, house.audit_key)
    return tenant_id, text
