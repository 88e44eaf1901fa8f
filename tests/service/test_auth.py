"""Who asks: keys, tokens, scopes; and what is refused before anything else happens."""

import base64
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service import auth, keys, oauth, signing, tables
from service.auth import credential_row
from service.deeds import Actor
from service.errors import NotAuthenticated, Unavailable
from service.scopes import Scope

UNKNOWN = keys.make_key(
    tenant_id="ten_x", name="x", scopes=[Scope.ADMIN], now=datetime(2026, 1, 1, tzinfo=UTC)
)[1].value
"""Written as keys are, and nobody's."""


def refused(answer: httpx.Response, status: int, code: str) -> None:
    """The answer is this problem."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.fixture(autouse=True)
def _nothing_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request is looked up anew, so that a test need not wait."""
    monkeypatch.setattr(auth, "BELIEVED_S", 0.0)


# -- who it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "not_authenticated"),
        ({"authorization": ""}, "not_authenticated"),
        ({"authorization": "Bearer"}, "not_authenticated"),
        ({"authorization": "Bearer "}, "not_authenticated"),
        ({"authorization": f"Basic {UNKNOWN}"}, "not_authenticated"),
        ({"authorization": UNKNOWN}, "not_authenticated"),
        ({"authorization": f"Bearer {UNKNOWN}"}, "bad_key"),
        ({"authorization": f"Bearer {UNKNOWN[:-1]}"}, "malformed_key"),
        ({"authorization": "Bearer rupture_live_x"}, "malformed_key"),
        ({"authorization": "Bearer " + "x" * 5000}, "malformed_key"),
        ({"authorization": "Bearer é".encode("latin-1")}, "malformed_key"),
        ({"authorization": "Bearer a.b.c"}, "invalid_token"),
        ({"authorization": "Bearer .."}, "invalid_token"),
    ],
)
def test_who_says_nothing_that_we_know_is_nobody(
    shared_api: Any, given: dict[str, Any], code: str
) -> None:
    answer = shared_api.as_(address="10.1.0.1").get("/v1/sessions", headers=given)
    refused(answer, 401, code)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_in_the_url_opens_nothing(shared_api: Any) -> None:
    for name in ("key", "api_key", "access_token", "authorization"):
        answer = shared_api.as_().get("/v1/sessions", params={name: shared_api.key})
        refused(answer, 401, "not_authenticated")


def test_of_two_credentials_neither_counts(shared_api: Any) -> None:
    two = [("authorization", f"Bearer {shared_api.key}"), ("authorization", f"Bearer {UNKNOWN}")]
    refused(shared_api.as_().get("/v1/sessions", headers=two), 401, "not_authenticated")


@pytest.mark.parametrize("given", ["-starts-with-1", "_12345678", "a" * 64 + "1", "x y 1", "1"])
def test_an_odd_request_id_breaks_nothing(shared_api: Any, given: str) -> None:
    answer = shared_api.client.get("/v1/keys", headers={"x-request-id": given})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != given


def test_a_request_id_of_the_callers_own_is_kept(api: Any) -> None:
    head = {"x-request-id": "0191c7a0-5b1e-7c3e"}
    assert api.client.get("/v1/keys", headers=head).headers["x-request-id"] == head["x-request-id"]
    with api.house.store.transaction(api.tenant_id) as tx:
        assert [one.event.request_id for one in tx.audit_trail()][-1] == head["x-request-id"]


def test_a_poll_looks_its_key_up_once(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(auth, "BELIEVED_S", 5.0)
    monkeypatch.setattr(auth, "find", lambda *given, f=auth.find: asked.append(1) or f(*given))
    for _ in range(3):
        assert api.client.get("/v1/models").status_code == 200
    assert len(asked) == 1


def test_while_the_database_is_away_nobody_is_taken_for_a_stranger(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise Unavailable("the database is away")

    monkeypatch.setattr(auth, "find", away)
    refused(api.client.get("/v1/models"), 503, "unavailable")


# -- what was good once --------------------------------------------------------------------------


def denials(api: Any) -> list[tuple[str, str, str]]:
    """Who was denied access to the first tenant, and why, in order."""
    with api.house.store.transaction(api.tenant_id) as tx:
        events = [entry.event for entry in tx.audit_trail()]
    denied = [one for one in events if one.action == "access.denied"]
    assert {one.outcome for one in denied} <= {"denied"}
    return [(one.actor_kind, one.actor_id, one.reason) for one in denied]


def test_a_key_that_expired_is_on_record_when_it_is_tried(api: Any) -> None:
    now = api.house.clock()
    past = add_key(api, now=now - timedelta(days=2), lifetime=timedelta(days=1))
    answer = api.as_(past).get("/v1/sessions")
    refused(answer, 401, "expired_key")
    assert denials(api) == [("api_key", keys.parse(past).key_id, "expired_key")]
    with api.house.store.transaction(api.tenant_id) as tx:
        last = list(tx.audit_trail())[-1].event
    assert last.request_id == answer.headers["x-request-id"]
    assert past not in str(last)


def test_a_key_that_was_disabled_is_on_record_when_it_is_tried(api: Any) -> None:
    made = api.client.post("/v1/keys", json={"name": "k", "scopes": ["sessions:read"]}).json()
    api.client.delete(f"/v1/keys/{made['id']}")
    api.as_(made["key"]).get("/v1/sessions")
    assert denials(api) == [("api_key", made["id"], "disabled_key")]


def test_a_secret_that_a_rotation_ended_is_on_record_when_it_is_tried(api: Any) -> None:
    made = api.client.post("/v1/keys", json={"name": "k", "scopes": ["sessions:read"]}).json()
    place = f"/v1/keys/{made['id']}/rotate"
    new = api.client.post(place, params={"overlap_hours": 0}).json()["key"]
    for _ in range(2):
        refused(api.as_(made["key"]).get("/v1/sessions"), 401, "bad_key")
        assert api.as_(new).get("/v1/sessions").status_code == 200  # noting the use keeps the time
    assert denials(api) == [("api_key", made["id"], "rotated_key")]


def test_what_was_never_good_is_on_no_tenants_record(api: Any) -> None:
    made = api.client.post("/v1/keys", json={"name": "k", "scopes": ["sessions:read"]}).json()
    api.client.delete(f"/v1/keys/{made['id']}")
    guess = keys._key_text(  # of the disabled key's id, with a secret of one's own
        dataclasses.replace(auth.read_key(row_of(api, made["id"])), key_id=made["id"]),
        keys.random_secret(),
    ).value
    for text in (guess, UNKNOWN, "rupture_live_x"):
        assert api.as_(text).get("/v1/sessions").status_code == 401
    assert denials(api) == []


def row_of(api: Any, id_: str) -> Any:
    with api.house.store.transaction(api.tenant_id) as tx:
        return tx.get(tables.credentials, id_)


def test_however_often_an_ended_key_is_tried_it_is_on_record_once_an_hour(place: Any) -> None:
    tenant_id, text = auth.make_tenant(place.house, "clinic")
    actor = Actor(tenant_id)
    place.house.clock.move(days=366)  # it lives a year
    for minutes in (0, 1, 58, 1, 0):  # the fourth is an hour after the first
        place.house.clock.move(minutes=minutes)
        with pytest.raises(NotAuthenticated):
            auth.find(place.house, text.value)
    assert place.actions(actor).count("access.denied") == 2


def test_an_ended_key_that_many_try_at_once_is_on_record_once(place: Any) -> None:
    tenant_id, text = auth.make_tenant(place.house, "clinic")
    place.house.clock.move(days=366)

    def tries(_: int) -> None:
        with pytest.raises(NotAuthenticated):
            auth.find(place.house, text.value)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tries, range(8)))
    assert place.actions(Actor(tenant_id)).count("access.denied") == 1


def test_a_client_that_ended_is_on_record_when_it_asks_or_its_token_is_tried(
    api: Any, client: dict[str, Any]
) -> None:
    token = ask(api, client["id"], client["secret"]).json()["access_token"]
    place = f"/v1/oauth-clients/{client['id']}"
    new = api.client.post(f"{place}/rotate", params={"overlap_hours": 0}).json()["secret"]
    assert ask(api, client["id"], client["secret"]).status_code == 401
    assert denials(api) == [("oauth_client", client["id"], "rotated_client")]
    api.client.delete(place)
    refused(api.as_(token).get("/v1/sessions"), 401, "invalid_token")
    assert ask(api, client["id"], new).status_code == 401
    assert ask(api, client["id"], "nobody's").status_code == 401
    told = denials(api)[1:]
    assert told == [("oauth_client", client["id"], "disabled_client")]


# -- keys ----------------------------------------------------------------------------------------


def add_key(api: Any, **given: Any) -> str:
    """A key of the first tenant that was made at another time; its text."""
    record, text = keys.make_key(
        **{"tenant_id": api.tenant_id, "name": "k", "scopes": list(Scope), **given}
    )
    with api.house.store.transaction(api.tenant_id) as tx:
        row = credential_row(record)
        tx.add(
            tables.credentials, id=record.key_id, kind="key", record=row, created_at=given["now"]
        )
    return text.value


def test_a_key_opens_until_it_expires(api: Any) -> None:
    now = api.house.clock()
    good = add_key(api, now=now - timedelta(days=2), lifetime=timedelta(days=3))
    past = add_key(api, now=now - timedelta(days=2), lifetime=timedelta(days=1))
    assert api.as_(good).get("/v1/keys").status_code == 200
    refused(api.as_(past).get("/v1/keys"), 401, "expired_key")


def test_a_disabled_key_opens_nothing_and_stays_listed(api: Any) -> None:
    made = api.client.post("/v1/keys", json={"name": "k", "scopes": ["sessions:read"]}).json()
    other = api.as_(made["key"])
    assert other.get("/v1/sessions").status_code == 200
    assert [api.client.delete(f"/v1/keys/{made['id']}").status_code for _ in "ab"] == [204, 204]
    refused(other.get("/v1/sessions"), 401, "disabled_key")
    listed = {one["id"]: one for one in api.client.get("/v1/keys").json()["items"]}
    assert listed[made["id"]]["disabled_at"] is not None
    assert listed[made["id"]]["last_used_at"] is not None
    assert {one["key"] for one in listed.values()} == {None}


def test_a_new_key_is_not_cached_on_its_way(api: Any) -> None:
    answer = api.client.post("/v1/keys", json={"name": "k", "scopes": ["sessions:read"]})
    assert answer.headers["cache-control"] == "no-store"


def test_after_a_rotation_both_secrets_open_for_the_overlap(api: Any) -> None:
    made = api.client.post("/v1/keys", json={"name": "k", "scopes": ["sessions:read"]}).json()
    new = api.client.post(f"/v1/keys/{made['id']}/rotate").json()
    assert new["id"] == made["id"]
    later = dataclasses.replace(api.house, clock=lambda: api.house.clock() + timedelta(hours=25))
    for text in (made["key"], new["key"]):
        assert api.as_(text).get("/v1/sessions").status_code == 200
    assert auth.find(later, new["key"]).id == made["id"]
    with pytest.raises(NotAuthenticated):
        auth.find(later, made["key"])


def test_a_rotation_without_overlap_ends_the_old_secret(api: Any) -> None:
    made = api.client.post("/v1/keys", json={"name": "k", "scopes": ["sessions:read"]}).json()
    place = f"/v1/keys/{made['id']}/rotate"
    new = api.client.post(place, params={"overlap_hours": 0}).json()["key"]
    refused(api.as_(made["key"]).get("/v1/sessions"), 401, "bad_key")
    assert api.as_(new).get("/v1/sessions").status_code == 200
    refused(api.client.post(place, params={"overlap_hours": 169}), 422, "invalid")


def test_a_key_that_ended_is_not_rotated(api: Any) -> None:
    made = api.client.post("/v1/keys", json={"name": "k", "scopes": ["sessions:read"]}).json()
    api.client.delete(f"/v1/keys/{made['id']}")
    refused(api.client.post(f"/v1/keys/{made['id']}/rotate"), 409, "key_ended")


def test_noting_a_use_keeps_a_rotation(api: Any) -> None:
    made = api.client.post("/v1/keys", json={"name": "k", "scopes": ["sessions:read"]}).json()
    new = api.client.post(f"/v1/keys/{made['id']}/rotate").json()["key"]
    api.as_(made["key"]).get("/v1/sessions")
    assert api.as_(new).get("/v1/sessions").status_code == 200


def test_nobody_hands_out_a_scope_that_they_do_not_hold(api: Any) -> None:
    narrow = api.with_scopes("keys:write", "sessions:read")
    for place in ("/v1/keys", "/v1/oauth-clients"):
        asked = {"name": "k", "scopes": ["sessions:read", "text:read"]}
        refused(narrow.post(place, json=asked), 403, "scope_not_held")
        asked = {"name": "k", "scopes": ["sessions:read"]}
        assert narrow.post(place, json=asked).status_code == 201


@pytest.mark.parametrize(
    "asked",
    [
        {"scopes": ["sessions:read"]},
        {"name": "", "scopes": ["sessions:read"]},
        {"name": "a\x00b", "scopes": ["sessions:read"]},
        {"name": "k", "scopes": []},
        {"name": "k", "scopes": ["everything"]},
        {"name": "k", "scopes": ["sessions:read"], "days": 0},
        {"name": "k", "scopes": ["sessions:read"], "days": 1.5},
        {"name": "k", "scopes": ["sessions:read"], "tenant_id": "ten_x"},
    ],
)
def test_odd_keys_are_not_made(shared_api: Any, asked: dict[str, Any]) -> None:
    refused(shared_api.client.post("/v1/keys", json=asked), 422, "invalid")


def test_a_lacking_scope_is_named_and_on_record(api: Any) -> None:
    narrow = api.with_scopes("sessions:read")
    answer = narrow.get("/v1/events")
    refused(answer, 403, "scope_missing")
    assert "audit:read" in answer.json()["detail"]
    with api.house.store.transaction(api.tenant_id) as tx:
        last = [one.event for one in tx.audit_trail()][-1]
    assert (last.action, last.reason) == ("access.denied", "scope_missing")
    assert last.request_id == answer.headers["x-request-id"]


# -- OAuth2 clients ------------------------------------------------------------------------------


@pytest.fixture
def client(api: Any) -> dict[str, Any]:
    """An OAuth2 client that may read and write sessions."""
    asked = {"name": "platform", "scopes": ["sessions:read", "sessions:write"]}
    made = api.client.post("/v1/oauth-clients", json=asked)
    assert made.status_code == 201
    return dict(made.json())


def ask(api: Any, client_id: str, secret: str, **fields: str) -> httpx.Response:
    """A token is asked for."""
    form = {"grant_type": "client_credentials", **fields}
    head = {"authorization": f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"}
    return api.as_().post("/oauth/token", data=form, headers=head)


def test_a_client_fetches_a_token_and_works_with_it(api: Any, client: dict[str, Any]) -> None:
    answer = ask(api, client["id"], client["secret"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 600)
    assert told["scope"] == "sessions:read sessions:write"
    bearer = api.as_(told["access_token"])
    session_id = api.hand_in(bearer)
    assert bearer.get(f"/v1/sessions/{session_id}").status_code == 200
    refused(bearer.get("/v1/keys"), 403, "scope_missing")
    with api.house.store.transaction(api.tenant_id) as tx:
        noted = [(e.event.action, e.event.actor_kind, e.event.actor_id) for e in tx.audit_trail()]
    assert ("token.issued", "oauth_client", client["id"]) in noted
    assert ("session.created", "oauth_client", client["id"]) in noted


def test_a_token_may_be_narrower_than_its_client(api: Any, client: dict[str, Any]) -> None:
    told = ask(api, client["id"], client["secret"], scope="sessions:read").json()
    bearer = api.as_(told["access_token"])
    assert bearer.get("/v1/sessions").status_code == 200
    refused(bearer.post("/v1/sessions", json={}), 403, "scope_missing")


def test_a_token_ends_after_ten_minutes(api: Any, client: dict[str, Any]) -> None:
    token = ask(api, client["id"], client["secret"]).json()["access_token"]
    clock = api.house.clock
    late = dataclasses.replace(api.house, clock=lambda: clock() + timedelta(minutes=12))
    with pytest.raises(NotAuthenticated):
        auth.find(late, token)


def test_a_disabled_clients_token_opens_nothing(api: Any, client: dict[str, Any]) -> None:
    token = ask(api, client["id"], client["secret"]).json()["access_token"]
    assert api.client.delete(f"/v1/oauth-clients/{client['id']}").status_code == 204
    refused(api.as_(token).get("/v1/sessions"), 401, "invalid_token")
    refusal = ask(api, client["id"], client["secret"])
    assert (refusal.status_code, refusal.json()["error"]) == (401, "invalid_client")


def test_a_token_signed_by_another_is_refused(api: Any, client: dict[str, Any]) -> None:
    theirs = signing.SigningKeys((signing.SigningKey("main", bytes(range(32))),))
    with api.house.store.transaction(api.tenant_id) as tx:
        record = auth.read_client(tx.get(tables.credentials, client["id"]))
    issued = oauth.issue_token(
        record,
        secret=client["secret"],
        grant_type="client_credentials",
        keys=theirs,
        issuer=auth.ISSUER,
        audience=auth.AUDIENCE,
        now=api.house.clock(),
    )
    refused(api.as_(issued.access_token.value).get("/v1/sessions"), 401, "invalid_token")


def test_a_clients_secret_is_rotated(api: Any, client: dict[str, Any]) -> None:
    place = f"/v1/oauth-clients/{client['id']}/rotate"
    new = api.client.post(place, params={"overlap_hours": 0}).json()["secret"]
    assert ask(api, client["id"], client["secret"]).status_code == 401
    assert ask(api, client["id"], new).status_code == 200
    (listed,) = api.client.get("/v1/oauth-clients").json()["items"]
    assert (listed["id"], listed["secret"]) == (client["id"], None)


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "unsupported_grant_type"),
        ({"scope": "admin"}, 400, "invalid_scope"),
        ({"scope": "sessions:read nonsense"}, 400, "invalid_scope"),
    ],
)
def test_a_token_that_may_not_be_is_refused_as_rfc_6749_says(
    api: Any, client: dict[str, Any], fields: dict[str, str], status: int, error: str
) -> None:
    answer = ask(api, client["id"], client["secret"], **fields)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("", b"grant_type=client_credentials"),
        ("application/x-www-form-urlencoded", b"grant_type=client_credentials&grant_type=x"),
        ("application/x-www-form-urlencoded", b"grant_type=" + b"x" * 5000),
        ("application/x-www-form-urlencoded", b"grant_type=\xff\xfe"),
        ("application/x-www-form-urlencoded", b"&".join([b"a=%d" % n for n in range(50)])),
        ("multipart/form-data; boundary=x", b"--x\r\n"),
    ],
)
def test_what_is_no_form_asks_for_no_token(shared_api: Any, kind: str, body: bytes) -> None:
    asker = shared_api.as_(address="10.1.0.2")
    answer = asker.post("/oauth/token", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "who",
    ["", "Basic", "Basic !!!", "Basic eA==", "Bearer x", "Basic AAAA", "Basic " + "A" * 8000],
)
def test_who_is_no_client_gets_no_token(shared_api: Any, who: str) -> None:
    form = {"grant_type": "client_credentials"}
    asker = shared_api.as_(address="10.1.0.3")
    answer = asker.post("/oauth/token", data=form, headers={"authorization": who})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"] == "Basic"


@pytest.mark.parametrize("client_id", ["", "nobody", "a\0b", "x" * 500, "' OR 1=1 --", "é"])
def test_odd_client_ids_are_nobody(api: Any, client_id: str) -> None:
    answer = ask(api, client_id, "secret")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_keys_and_clients_are_not_taken_for_each_other(api: Any, client: dict[str, Any]) -> None:
    key = api.client.post("/v1/keys", json={"name": "k", "scopes": ["sessions:read"]}).json()
    calls: list[tuple[Callable[..., httpx.Response], str]] = [
        (api.client.delete, f"/v1/keys/{client['id']}"),
        (api.client.post, f"/v1/keys/{client['id']}/rotate"),
        (api.client.delete, f"/v1/oauth-clients/{key['id']}"),
        (api.client.post, f"/v1/oauth-clients/{key['id']}/rotate"),
    ]
    for call, place in calls:
        refused(call(place), 404, "not_found")
    assert ask(api, client["id"], client["secret"]).status_code == 200
    assert api.as_(key["key"]).get("/v1/sessions").status_code == 200
