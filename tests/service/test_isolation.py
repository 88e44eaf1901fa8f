"""Two tenants, every route of the document: none finds, changes or lists what is the other's."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from service import tables
from service.deeds import Actor
from service.scopes import Scope

OPEN = {"livez", "readyz", "version", "metrics"}
NOBODYS = {"name"}
"""Parameters of a path that name what belongs to no tenant: checkpoints."""


@dataclass
class Operation:
    """An operation of the document."""

    method: str
    path: str
    id: str
    scopes: frozenset[str]
    is_open: bool
    body: Any
    needs_tag: bool

    @property
    def names(self) -> list[str]:
        """Parameters of its path."""
        return re.findall(r"{(\w+)}", self.path)

    def send(self, client: Any, ids: dict[str, str]) -> httpx.Response:
        """The request with these ids."""
        path = self.path.format(**ids, name="rules")
        more = {} if self.body is None else {"json": self.body}
        head = {"if-match": "*"} if self.needs_tag else {}
        return client.request(self.method, path, headers=head, **more)


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            content = found.get("requestBody", {}).get("content", {})
            scopes = [s for way in found["security"] for s in way.get("oauth2", ())]
            is_open = not any("bearer" in way for way in found["security"])
            yield Operation(
                method.upper(),
                path,
                found["operationId"],
                frozenset(scopes),
                is_open,
                content.get("application/json", {}).get("example"),
                any(one["name"] == "if-match" for one in found.get("parameters", ())),
            )


@pytest.fixture(scope="module")
def everything(shared_api: Any) -> list[Operation]:
    """Every operation; reading before writing, and what removes at the end."""
    order = ["GET", "POST", "PUT", "DELETE"]
    found = list(operations(shared_api.app.openapi()))
    assert len(found) > 40
    return sorted(found, key=lambda one: (order.index(one.method), one.id))


def belongings(api: Any) -> dict[str, str]:
    """One of everything that a tenant can have, by the names that paths call it."""
    owner = Actor(api.tenant_id)
    hook_id, _ = api.records.register(owner, "https://example.org/x", ["session.completed"])
    scored = api.scored(client="ref-of-first", number=1, day="2026-02-03")
    dead = api.hand_in(client="ref-of-first", number=2)
    with api.house.store.transaction(api.tenant_id) as tx:
        job = next(one for one in tx.select(tables.jobs) if one["session_id"] == dead)
        row = tx.get(tables.sessions, dead)
        api.records.fail(tx, job, row, {"code": "too_many_attempts"}, "dead", api.house.clock())
        told = tx.select(tables.deliveries)[0]["id"]
        tx.change(tables.deliveries, told, status="given_up")
        report = tx.select(tables.reports)[0]["id"]
    asked = {"name": "k", "scopes": ["sessions:read"]}
    return {
        "session_id": scored,
        "report_id": report,
        "consent_id": "con-1",
        "client": "ref-of-first",
        "webhook_id": hook_id,
        "delivery_id": told,
        "job_id": job["id"],
        "key_id": api.client.post("/v1/keys", json=asked).json()["id"],
        "client_id": api.client.post("/v1/oauth-clients", json=asked).json()["id"],
    }


@pytest.fixture(scope="module")
def ids(shared_api: Any) -> dict[str, str]:
    """What the first tenant has."""
    return belongings(shared_api)


@pytest.fixture(scope="module")
def other(shared_api: Any) -> Any:
    """Another tenant's owner, with every scope."""
    return shared_api.other_tenant()


def trail(api: Any) -> int:
    """How long the first tenant's audit trail is."""
    with api.house.store.transaction(api.tenant_id) as tx:
        return len(list(tx.audit_trail()))


def test_the_tests_know_every_parameter_of_every_path(
    everything: list[Operation], ids: dict[str, str]
) -> None:
    assert {name for one in everything for name in one.names} <= set(ids) | NOBODYS


def test_another_tenants_things_are_not_found_by_any_route(
    shared_api: Any, everything: list[Operation], ids: dict[str, str], other: Any
) -> None:
    before = trail(shared_api)
    tried = [one for one in everything if set(one.names) - NOBODYS]
    assert len(tried) >= 23
    for one in tried:
        answer = one.send(other, ids)
        found = answer.json()
        assert (answer.status_code, found["code"]) == (404, "not_found"), (one.id, answer.text)
        assert set(found) == {"type", "title", "status", "detail", "code", "request_id"}
        for value in ids.values():
            assert value not in answer.text, one.id
    assert trail(shared_api) == before


def test_lists_and_totals_show_nothing_of_another_tenant(
    shared_api: Any, everything: list[Operation], ids: dict[str, str], other: Any
) -> None:
    listing = [one for one in everything if one.method == "GET" and not one.names]
    closed = [one for one in listing if one.id not in OPEN]
    assert len(closed) >= 7
    for one in closed:
        for asked in ({}, {"after": ids["session_id"]}, {"after": "zzzz"}):
            given = {} if one.id == "listEvents" else asked
            answer = other.get(one.path, params=given)
            assert answer.status_code == 200, (one.id, answer.text)
            for value in ids.values():
                assert value not in answer.text, one.id
            assert shared_api.tenant_id not in answer.text, one.id


def test_what_one_tenant_chooses_is_no_others_policy(
    shared_api: Any, ids: dict[str, str], other: Any
) -> None:
    before = shared_api.client.get("/v1/policy")
    asked = {"text_days": 3, "report_days": 4, "revocation_erases": "all"}
    assert other.put("/v1/policy", json=asked, headers={"if-match": "*"}).status_code == 200
    after = shared_api.client.get("/v1/policy")
    assert (after.text, after.headers["etag"]) == (before.text, before.headers["etag"])
    assert other.get("/v1/policy").json()["chosen"] == asked


def test_the_metrics_and_health_checks_name_nobody(shared_api: Any, ids: dict[str, str]) -> None:
    for path in ("/livez", "/readyz", "/version", "/metrics"):
        text = shared_api.as_(address="10.4.0.1").get(path).text
        for value in (*ids.values(), shared_api.tenant_id):
            assert value not in text


def test_a_foreign_report_is_not_read_through_a_session_of_ones_own(
    shared_api: Any, ids: dict[str, str], other: Any
) -> None:
    own = shared_api.scored(other)
    for view in ("report", "segments", "moments", "report.html", "report.csv", "fhir"):
        place = f"/v1/sessions/{own}/{view}"
        assert other.get(place).status_code == 200
        answer = other.get(place, params={"report": ids["report_id"]})
        assert (answer.status_code, answer.json()["code"]) == (404, "no_report")


def test_the_same_consent_id_and_client_are_two_in_two_tenants(
    shared_api: Any, ids: dict[str, str]
) -> None:
    stranger = shared_api.other_tenant()
    shared_api.hand_in(stranger, client=ids["client"])
    answer = stranger.get(f"/v1/clients/{ids['client']}/trajectory")
    assert ids["session_id"] not in answer.text
    assert stranger.post("/v1/consents/con-1/revoke").json() == {"n_sessions": 1}
    place = f"/v1/sessions/{ids['session_id']}/report"
    assert shared_api.client.get(place).status_code == 200


def test_without_credentials_every_route_but_the_health_checks_is_closed(
    shared_api: Any, everything: list[Operation], ids: dict[str, str]
) -> None:
    for place, one in enumerate(everything):
        answer = one.send(shared_api.as_(address=f"10.5.0.{place}"), ids)
        if one.id in OPEN:
            assert answer.status_code == 200, one.id
        else:
            assert answer.status_code == 401 or one.id == "issueToken", one.id
            for value in ids.values():
                assert value not in answer.text, one.id


def test_every_route_needs_each_of_its_scopes(
    shared_api: Any, everything: list[Operation], ids: dict[str, str]
) -> None:
    closed = [one for one in everything if not one.is_open]
    keys: dict[frozenset[str], Any] = {}
    for one in closed:
        for scope in one.scopes:
            rest = frozenset({known.value for known in Scope} - {scope})
            if rest not in keys:
                keys[rest] = shared_api.with_scopes(*sorted(rest))
            answer = one.send(keys[rest], ids)
            told = answer.json()
            assert (answer.status_code, told["code"]) == (403, "scope_missing"), one.id
            assert told["detail"].endswith(f": {scope}")


def test_every_route_is_open_to_who_holds_its_scopes(api: Any) -> None:
    ids = belongings(api)
    order = ["GET", "POST", "PUT", "DELETE"]
    last = {"revokeConsent", "cancelSession"}
    found = [one for one in operations(api.app.openapi()) if not one.is_open]
    found.sort(key=lambda one: (order.index(one.method), one.id in last, one.id))
    for one in found:
        if one.id in ("createWebhook", "eraseSession"):
            continue  # a name is looked up for the one; the other comes last
        handed_out = (one.body or {}).get("scopes", ()) if isinstance(one.body, dict) else ()
        answer = one.send(api.with_scopes(*sorted(one.scopes), *handed_out), ids)
        assert answer.status_code < 400, (one.id, answer.status_code, answer.text)
    one = next(one for one in found if one.id == "eraseSession")
    assert one.send(api.with_scopes(*sorted(one.scopes)), ids).status_code == 204


def test_what_is_foreign_and_what_is_nowhere_look_alike(
    shared_api: Any, ids: dict[str, str], other: Any
) -> None:
    foreign = other.get(f"/v1/sessions/{ids['session_id']}").json()
    nowhere = other.get(f"/v1/sessions/ses_{'0' * 26}").json()
    for one in (foreign, nowhere):
        one.pop("request_id")
    assert foreign == nowhere


@pytest.mark.parametrize(
    "odd",
    [
        "x" * 5000,
        "é",
        "%00",
        "a%00b",
        "' OR '1'='1",
        "ses_1;DROP TABLE sessions",
        "..%2F..%2Fetc",
        "<b>x</b>",
        "%F0%9F%98%80",
        "%ED%A0%80",
        "*",
        "%25",
        "{x}",
    ],
)
def test_odd_ids_are_a_clear_refusal_on_every_route(
    shared_api: Any, everything: list[Operation], odd: str
) -> None:
    for one in everything:
        if not one.names:
            continue
        path = one.path
        for name in one.names:
            path = path.replace(f"{{{name}}}", odd)
        more = {} if one.body is None else {"json": one.body}
        answer = shared_api.client.request(one.method, path, **more)
        assert answer.status_code in (404, 422), (one.id, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.content) < 1000
        assert json.loads(answer.content)["detail"]
