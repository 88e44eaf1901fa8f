"""A tenant reads and sets its own policy, within what the deployer allows."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from service import tables
from service.audit_check import verify
from service.retention import MOST_DAYS

NOTHING = {"text_days": None, "report_days": None, "revocation_erases": None}
DEPLOYERS = {"text_days": 30, "report_days": 365, "revocation_erases": "text"}


def put(api: Any, asked: Any, tag: str = "*", by: Any = None) -> httpx.Response:
    answer: httpx.Response = (by or api.client).put(
        "/v1/policy", json=asked, headers={"if-match": tag}
    )
    return answer


def trail(api: Any) -> list[Any]:
    with api.house.store.transaction(api.tenant_id) as tx:
        return list(tx.audit_trail())


def test_who_chose_nothing_has_the_deployers(shared_api: Any) -> None:
    found = shared_api.client.get("/v1/policy")
    assert found.status_code == 200
    assert found.json() == {
        "chosen": NOTHING,
        "in_force": DEPLOYERS,
        "longest": {"text_days": 30, "report_days": 365},
    }


def test_what_is_chosen_is_in_force_and_the_rest_is_the_deployers(api: Any) -> None:
    answer = put(api, {"text_days": 7})
    assert answer.status_code == 200
    assert answer.json()["chosen"] == {**NOTHING, "text_days": 7}
    assert answer.json()["in_force"] == {**DEPLOYERS, "text_days": 7}
    assert api.client.get("/v1/policy").text == answer.text
    again = put(api, {"report_days": 30, "revocation_erases": "all"}).json()["in_force"]
    assert again == {"text_days": 30, "report_days": 30, "revocation_erases": "all"}
    assert put(api, {}).json()["in_force"] == DEPLOYERS


def test_the_chosen_days_decide_over_what_is_read(api: Any) -> None:
    session_id = api.scored(number=1)
    place = f"/v1/sessions/{session_id}/report"
    assert put(api, {"report_days": 1, "text_days": 1}).status_code == 200
    assert api.client.get(place).status_code == 200
    with api.house.store.system() as tx:
        old = tx.get(tables.sessions, session_id)["created_at"] - timedelta(days=1)
        tx.change(tables.sessions, session_id, created_at=old)
    answer = api.client.get(place)
    assert (answer.status_code, answer.json()["code"]) == (410, "past_retention")
    points = api.client.get("/v1/clients/ref-1/trajectory").json()["points"]
    assert [one["unscored"] for one in points] == ["no_report"]


def test_a_change_says_what_it_changes(api: Any) -> None:
    without = api.client.put("/v1/policy", json={"text_days": 7})
    assert (without.status_code, without.json()["code"]) == (428, "if_match_required")
    read = api.client.get("/v1/policy").headers["etag"]
    first = put(api, {"text_days": 7}, read)
    assert first.status_code == 200
    stale = put(api, {"text_days": 8}, read)
    assert (stale.status_code, stale.json()["code"]) == (412, "stale")
    assert put(api, {"text_days": 8}, f'"other", {first.headers["etag"]}').status_code == 200
    # A weak tag is none here (RFC 9110, 13.1.1).
    weak = f"W/{api.client.get('/v1/policy').headers['etag']}"
    assert put(api, {"text_days": 9}, weak).status_code == 412


def test_who_has_it_already_is_told_so(api: Any) -> None:
    tag = api.client.get("/v1/policy").headers["etag"]
    assert api.client.get("/v1/policy", headers={"if-none-match": tag}).status_code == 304
    put(api, {"text_days": 7})
    assert api.client.get("/v1/policy", headers={"if-none-match": tag}).status_code == 200


@pytest.mark.parametrize(("name", "days"), [("text_days", 31), ("report_days", 366)])
def test_more_days_than_the_deployer_allows_are_refused(
    shared_api: Any, name: str, days: int
) -> None:
    answer = put(shared_api, {name: days})
    assert (answer.status_code, answer.json()["code"]) == (422, "longer_than_allowed")
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == f"/{name}"
    assert str(days - 1) in fault["message"]


@pytest.mark.parametrize(
    "asked",
    [
        {"text_days": 0},
        {"text_days": -1},
        {"report_days": MOST_DAYS + 1},
        {"text_days": 1.5},
        {"text_days": True},
        {"text_days": "7"},
        {"revocation_erases": "nothing"},
        {"revocation_erases": ["text"]},
        {"days": 7},
        [],
        7,
    ],
)
def test_odd_policies_are_refused(shared_api: Any, asked: Any) -> None:
    assert put(shared_api, asked).status_code == 422
    assert shared_api.client.get("/v1/policy").json()["chosen"] == NOTHING


def test_reading_and_changing_are_on_record_with_what_was_before(api: Any) -> None:
    n = len(trail(api))
    api.client.get("/v1/policy")
    put(api, {"text_days": 7})
    put(api, {"text_days": 7})  # changes nothing
    put(api, {"text_days": 31})
    events = [entry.event for entry in trail(api)[n:]]
    assert [one.action for one in events] == ["tenant.read", "retention.changed"]
    assert events[1].target_id == api.tenant_id
    before = {f"{name}_before": value for name, value in DEPLOYERS.items()}
    assert events[1].details == {**before, **DEPLOYERS, "text_days": 7}
    assert verify(trail(api), [api.house.audit_key]) == []


def test_it_is_an_administrators(api: Any) -> None:
    other = api.with_scopes("sessions:write", "sessions:read", "consents:write", "keys:write")
    for answer in (other.get("/v1/policy"), put(api, {"text_days": 7}, by=other)):
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


def test_what_the_deployer_lowers_later_is_in_force_though_more_was_chosen(api: Any) -> None:
    assert put(api, {"text_days": 20}).status_code == 200
    fewer = api.house.settings.model_copy(update={"text_days": 10})
    api.app.state.house = type(api.house)(**{**vars(api.house), "settings": fewer})
    found = api.client.get("/v1/policy").json()
    assert (found["chosen"]["text_days"], found["in_force"]["text_days"]) == (20, 10)
