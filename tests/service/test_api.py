"""Every route of the API: what it takes, gives, remembers and refuses."""

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service import reports_api as routes
from service import tables, uploads

Make = Callable[..., dict[str, Any]]
VTT = (
    "WEBVTT\n\n00:00:01.000 --> 00:00:05.000\nT: How was it?\n\n"
    "00:00:06.000 --> 00:00:09.000\nC: Fine.\n"
)


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal."""
    found = answer.json()
    assert (answer.status_code, found["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert found["status"] == status
    assert found["type"] == f"urn:rupture:problem:{code}"
    assert found["title"]
    assert found["detail"]
    assert found["request_id"] == answer.headers["x-request-id"]
    return dict(found)


def actions(api: Any) -> list[str]:
    """What is on record of the first tenant, in order."""
    with api.house.store.transaction(api.tenant_id) as tx:
        return [entry.event.action for entry in tx.audit_trail()]


# -- taking in -----------------------------------------------------------------------------------


def test_a_session_is_taken_in_and_says_where_it_is(api: Any, make_session: Make) -> None:
    answer = api.client.post("/v1/sessions", json=make_session(number=3, day="2026-02-01"))
    assert answer.status_code == 202
    found = answer.json()
    assert answer.headers["location"] == f"/v1/sessions/{found['id']}"
    assert answer.headers["retry-after"] == "2"
    assert (found["status"], found["number"], found["day"]) == ("queued", 3, "2026-02-01")
    assert found["n_turns"] == 4
    assert "session.created" in actions(api)


def test_the_three_ways_of_handing_in_bring_the_same_report(api: Any, make_session: Make) -> None:
    whole = make_session()
    about = {name: value for name, value in whole.items() if name != "transcript"}
    file = whole["transcript"].encode()
    ways = (
        {"json": whole},
        {"files": {"file": ("s.vtt", file, "text/vtt")}, "data": {"session": json.dumps(about)}},
        {
            "content": file,
            "headers": {"content-type": "text/vtt", "rupture-session": json.dumps(about)},
        },
    )
    ids = [api.client.post("/v1/sessions", **way).json()["id"] for way in ways]
    assert api.work() == ["done"] * 3
    reports = [api.client.get(f"/v1/sessions/{one}/report").json() for one in ids]
    assert reports[0] == reports[1] == reports[2]


def test_the_metadata_may_come_as_a_file_of_the_form(api: Any, make_session: Make) -> None:
    whole = make_session()
    file = whole.pop("transcript").encode()
    parts = {
        "file": ("s.vtt", file, "text/vtt"),
        "session": ("session.json", json.dumps(whole).encode(), "application/json"),
    }
    assert api.client.post("/v1/sessions", files=parts).status_code == 202


def test_names_beyond_ascii_pass_through_the_metadata_header(api: Any, make_session: Make) -> None:
    whole = make_session(therapist="Zoë", client="кли\u00e9nt")
    file = whole.pop("transcript").replace("<v T>", "<v Zoë>").encode()
    head = {
        "content-type": "text/vtt",
        "rupture-session": json.dumps(whole, ensure_ascii=False).encode(),
    }
    session_id = api.client.post("/v1/sessions", content=file, headers=head).json()["id"]
    assert api.work() == ["done"]
    found = api.client.get(f"/v1/sessions/{session_id}/report").json()
    assert found["roles"]["assigned"]["Zoë"] == "therapist"
    assert api.client.get("/v1/clients/кли\u00e9nt/trajectory").status_code == 200


def test_a_transcript_may_be_json_in_json(api: Any, make_session: Make) -> None:
    turns = [
        {"start": 1.0, "end": 3.0, "text": "How was your week?", "speaker": "T"},
        {"start": 4.0, "end": 6.0, "text": "Fine, I guess.", "speaker": "C"},
    ]
    api.scored(transcript={"segments": turns})


def test_with_prefer_wait_the_report_comes_at_once(api: Any, make_session: Make) -> None:
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.02):
            api.work()

    worker = threading.Thread(target=work)
    worker.start()
    answer = api.client.post("/v1/sessions", json=make_session(), headers={"prefer": "wait=20"})
    done.set()
    worker.join()
    assert answer.status_code == 200
    assert answer.json()["schema"] == "rupture-report/1"
    assert answer.headers["preference-applied"] == "wait=20"
    place = answer.headers["content-location"]
    again = api.client.get(place, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_prefer_wait_ends_when_the_time_is_over(api: Any, make_session: Make) -> None:
    answer = api.client.post("/v1/sessions", json=make_session(), headers={"prefer": "wait=1"})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


@pytest.mark.parametrize("prefer", ["", "wait", "wait=x", "wait=-1", "respond-async", "wait=²"])
def test_a_preference_that_says_nothing_waits_for_nothing(
    shared_api: Any, make_session: Make, prefer: str
) -> None:
    head = {"prefer": prefer.encode()}
    answer = shared_api.client.post("/v1/sessions", json=make_session(), headers=head)
    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers


def test_who_may_only_hand_in_waits_for_no_report(api: Any, make_session: Make) -> None:
    writer = api.with_scopes("sessions:write")
    key = {"idempotency-key": "one"}
    assert writer.post("/v1/sessions", json=make_session(), headers=key).status_code == 202
    api.work()
    again = writer.post("/v1/sessions", json=make_session(), headers={**key, "prefer": "wait=5"})
    assert (again.status_code, again.json()["status"]) == (202, "done")
    assert "turns" not in again.json()


# -- idempotency ---------------------------------------------------------------------------------


def test_the_same_key_and_request_bring_one_session(api: Any, make_session: Make) -> None:
    head = {"idempotency-key": '"a key"'}
    one, two = (api.client.post("/v1/sessions", json=make_session(), headers=head) for _ in "ab")
    assert one.status_code == two.status_code == 202
    assert one.json()["id"] == two.json()["id"]
    assert len(api.client.get("/v1/sessions").json()["items"]) == 1
    assert api.work() == ["done"]


def test_a_used_key_with_another_request_is_refused(api: Any, make_session: Make) -> None:
    head = {"idempotency-key": "k"}
    api.client.post("/v1/sessions", json=make_session(), headers=head)
    other = api.client.post("/v1/sessions", json=make_session(number=2), headers=head)
    refused(other, 422, "idempotency_key_reused")
    assert len(api.client.get("/v1/sessions").json()["items"]) == 1


def test_a_refused_request_leaves_its_key_free(
    api: Any, make_session: Make, make_consent: Make
) -> None:
    head = {"idempotency-key": "k"}
    no = make_consent(id="con-no", scopes={"analyse": False, "human_review": False})
    answer = api.client.post("/v1/sessions", json=make_session(consent=no), headers=head)
    refused(answer, 403, "not_in_scope")
    assert api.client.post("/v1/sessions", json=make_session(), headers=head).status_code == 202


def test_of_duplicates_at_once_one_becomes_a_session(api: Any, make_session: Make) -> None:
    head, told = {"idempotency-key": "race"}, []
    gate = threading.Barrier(4)

    def send() -> None:
        gate.wait()
        told.append(api.as_(api.key).post("/v1/sessions", json=make_session(), headers=head))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [one.status_code for one in told] == [202] * 4
    assert len({one.json()["id"] for one in told}) == 1
    with api.house.store.system() as tx:
        assert len(tx.select(tables.sessions)) == len(tx.select(tables.jobs)) == 1


def test_a_key_is_a_tenants_own(api: Any, make_session: Make) -> None:
    head = {"idempotency-key": "k"}
    one = api.client.post("/v1/sessions", json=make_session(), headers=head).json()["id"]
    other = api.other_tenant().post("/v1/sessions", json=make_session(), headers=head)
    assert other.status_code == 202
    assert other.json()["id"] != one


# -- batches -------------------------------------------------------------------------------------


def test_a_batch_says_of_each_session_what_became_of_it(api: Any, make_session: Make) -> None:
    sent = [make_session(), make_session(transcript="no words"), make_session(number=0), "x"]
    answer = api.client.post("/v1/sessions:batch", json=sent)
    assert answer.status_code == 207
    items = answer.json()["items"]
    assert [one["status"] for one in items] == [202, 415, 422, 422]
    assert items[1]["problem"]["code"] == "unknown_format"
    assert items[2]["problem"]["errors"][0]["pointer"] == "/number"
    assert len(api.client.get("/v1/sessions").json()["items"]) == 1


def test_lines_go_in_and_come_out(api: Any, make_session: Make) -> None:
    lines = "\n".join(json.dumps(make_session(number=n)) for n in (1, 2)) + "\n\n{broken\n"
    head = {"content-type": "application/x-ndjson"}
    answer = api.client.post("/v1/sessions:batch", content=lines, headers=head)
    assert answer.headers["content-type"] == "application/x-ndjson"
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["status"] for one in told] == [202, 202, 422]


def test_a_batch_that_is_sent_again_doubles_nothing(api: Any, make_session: Make) -> None:
    head, sent = {"idempotency-key": "batch"}, [make_session(number=n) for n in (1, 2)]
    one, two = (
        api.client.post("/v1/sessions:batch", json=sent, headers=head).json()["items"] for _ in "ab"
    )
    assert one == two
    assert len(api.client.get("/v1/sessions").json()["items"]) == 2


def test_a_batch_has_a_longest_length(shared_api: Any) -> None:
    answer = shared_api.client.post("/v1/sessions:batch", json=[{}] * 101)
    refused(answer, 422, "batch_too_long")


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("application/json", "{}", 422, "invalid"),
        ("application/json", "[", 422, "invalid"),
        ("text/csv", "[]", 415, "unknown_media_type"),
        ("application/json", "[" * 100 + "]" * 100, 422, "json_too_deep"),
    ],
)
def test_what_is_no_batch_is_refused(
    shared_api: Any, kind: str, body: str, status: int, code: str
) -> None:
    head = {"content-type": kind}
    answer = shared_api.client.post("/v1/sessions:batch", content=body, headers=head)
    refused(answer, status, code)


# -- scoring at once -----------------------------------------------------------------------------


def test_the_report_of_a_short_transcript_says_that_its_roles_were_given(api: Any) -> None:
    answer = api.client.post("/v1/score", json={"transcript": VTT, "therapist": "T"})
    assert answer.json()["roles"]["source"] == "given"


def test_a_short_transcript_is_scored_at_once_and_not_kept(api: Any) -> None:
    answer = api.client.post("/v1/score", json={"transcript": VTT, "therapist": "T"})
    assert answer.status_code == 200
    assert len(answer.json()["turns"]) == 2
    assert api.client.get("/v1/sessions").json()["items"] == []
    assert "score.made" in actions(api)


def test_a_long_transcript_is_no_matter_for_at_once(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MOST_SCORED_AT_ONCE", 1)
    answer = api.client.post("/v1/score", json={"transcript": VTT, "therapist": "T"})
    refused(answer, 422, "too_long_for_now")


def test_who_comes_when_many_wait_is_asked_to_come_again(api: Any) -> None:
    api.app.state.n_scoring = routes.MOST_WAITING
    answer = api.client.post("/v1/score", json={"transcript": VTT, "therapist": "T"})
    refused(answer, 503, "busy")
    assert answer.headers["retry-after"] == "2"


def test_without_a_role_nobody_is_guessed_and_nobody_named(shared_api: Any) -> None:
    answer = shared_api.client.post(
        "/v1/score", json={"transcript": VTT.replace("T:", "Ann:").replace("C:", "Bea:")}
    )
    found = refused(answer, 422, "unknown_role")
    assert found["n_speakers"] == 2
    assert "Ann" not in answer.text


# -- reading -------------------------------------------------------------------------------------

VIEWS = ("report", "segments", "moments", "report.html", "report.csv", "fhir")


@pytest.fixture(scope="module")
def kept(shared_api: Any) -> str:
    """A scored session that tests only read."""
    return str(shared_api.scored(client="ref-kept", number=1))


@pytest.mark.parametrize("view", ["", *(f"/{one}" for one in VIEWS)])
def test_whoever_has_it_already_gets_it_no_second_time(
    shared_api: Any, kept: str, view: str
) -> None:
    place = f"/v1/sessions/{kept}{view}"
    first = shared_api.client.get(place)
    assert first.status_code == 200, first.text
    etag = first.headers["etag"]
    for given in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = shared_api.client.get(place, headers={"if-none-match": given})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    assert shared_api.client.get(place, headers={"if-none-match": '"x"'}).status_code == 200


def test_every_view_has_a_tag_of_its_own(shared_api: Any, kept: str) -> None:
    tags = {shared_api.client.get(f"/v1/sessions/{kept}/{one}").headers["etag"] for one in VIEWS}
    assert len(tags) == len(VIEWS)


def test_the_views_say_what_kind_they_are(shared_api: Any, kept: str) -> None:
    kinds = {
        one: shared_api.client.get(f"/v1/sessions/{kept}/{one}").headers["content-type"]
        for one in VIEWS
    }
    assert kinds == {
        "report": "application/json",
        "segments": "application/json",
        "moments": "application/json",
        "report.html": "text/html; charset=utf-8",
        "report.csv": "text/csv; charset=utf-8",
        "fhir": "application/fhir+json",
    }


def test_a_sessions_tag_changes_when_it_is_scored(api: Any) -> None:
    session_id = api.hand_in()
    before = api.client.get(f"/v1/sessions/{session_id}")
    api.work()
    head = {"if-none-match": before.headers["etag"]}
    after = api.client.get(f"/v1/sessions/{session_id}", headers=head)
    assert (after.status_code, after.json()["status"]) == (200, "done")
    assert [one["checkpoint"] for one in after.json()["reports"]] == ["rules-1"]


def test_a_session_shows_no_score_to_who_may_read_its_state(api: Any) -> None:
    session_id = api.scored()
    reader = api.with_scopes("sessions:read")
    assert "withdrawal" not in reader.get(f"/v1/sessions/{session_id}").text
    refused(reader.get(f"/v1/sessions/{session_id}/report"), 403, "scope_missing")


def test_without_the_scope_for_text_no_word_and_no_name_comes(shared_api: Any, kept: str) -> None:
    reader = shared_api.with_scopes("reports:read")
    for view in ("report", "segments", "moments", "fhir"):
        told = reader.get(f"/v1/sessions/{kept}/{view}").text
        for word in ("helping me", "pushed you", '"T"', '"C"'):
            assert word not in told
    found = reader.get(f"/v1/sessions/{kept}/report").json()
    assert {(one["text"], one["speaker"]) for one in found["turns"]} == {(None, None)}
    whole = shared_api.client.get(f"/v1/sessions/{kept}/report").json()
    assert [one["scores"] for one in found["turns"]] == [one["scores"] for one in whole["turns"]]
    for view in ("report.html", "report.csv"):
        refused(reader.get(f"/v1/sessions/{kept}/{view}"), 403, "scope_missing")


def test_who_reads_is_on_record(api: Any) -> None:
    session_id = api.scored()
    for view in VIEWS:
        api.client.get(f"/v1/sessions/{session_id}/{view}")
    noted = actions(api)
    for action in ("segments.read", "moments.read", "report.exported", "fhir.exported"):
        assert noted.count(action) == 1
    assert noted.count("report.read") == 2


def test_before_it_is_scored_there_is_no_report(api: Any) -> None:
    session_id = api.hand_in()
    for view in VIEWS:
        refused(api.client.get(f"/v1/sessions/{session_id}/{view}"), 404, "no_report")


def test_sessions_come_page_by_page_newest_first(api: Any) -> None:
    made = [api.hand_in(number=n) for n in range(1, 6)]
    seen, after = [], None
    while True:
        asked = {"limit": 2, **({"after": after} if after else {})}
        page = api.client.get("/v1/sessions", params=asked).json()
        seen += [one["id"] for one in page["items"]]
        if (after := page["next"]) is None:
            break
    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen, reverse=True)


def test_sessions_are_chosen_by_status(api: Any) -> None:
    done = api.scored(number=1)
    waits = api.hand_in(number=2)
    for status, ids in (("done", [done]), ("queued", [waits]), ("failed", [])):
        found = api.client.get("/v1/sessions", params={"status": status}).json()["items"]
        assert [one["id"] for one in found] == ids
    refused(api.client.get("/v1/sessions", params={"status": "odd"}), 422, "invalid")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/sessions", {"limit": 0}),
        ("/v1/sessions", {"limit": 201}),
        ("/v1/sessions", {"after": "no id"}),
        ("/v1/sessions", {"after": "x\0"}),
        ("/v1/keys", {"limit": "many"}),
        ("/v1/events", {"after": -1}),
        ("/v1/events", {"after": 2**64}),
        ("/v1/events", {"limit": 1001}),
        ("/v1/clients/c/trajectory", {"format": "xml"}),
    ],
)
def test_odd_parameters_are_named_and_refused(
    shared_api: Any, path: str, asked: dict[str, Any]
) -> None:
    found = refused(shared_api.client.get(path, params=asked), 422, "invalid")
    assert [one["pointer"] for one in found["errors"]] == [f"/query/{name}" for name in asked]


# -- scoring again -------------------------------------------------------------------------------


class _Other:
    """A detector of another checkpoint: its reports say so, and strain is rated higher."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def analyze(self, *given: Any, **more: Any) -> "_Other":
        self._report = self._detector.analyze(*given, **more).to_dict()
        return self

    def to_dict(self) -> dict[str, Any]:
        made = {**self._report["provenance"], "checkpoint": "other-2"}
        session = {**self._report["session"], "withdrawal": 4.5}
        return {**self._report, "provenance": made, "session": session}


@pytest.fixture
def with_other(api: Any, rules_detector: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The API where there is a second checkpoint, `other-2`."""
    api.worker._detectors["other-2"] = _Other(rules_detector)
    monkeypatch.setattr(uploads, "checkpoints", lambda: {"other-2": None})
    return api


def test_another_checkpoint_makes_a_report_beside_the_old_one(with_other: Any) -> None:
    api, session_id = with_other, with_other.scored(number=1)
    place = f"/v1/sessions/{session_id}"
    old = api.client.get(f"{place}/report").json()
    answer = api.client.post(f"{place}/rescore", json={"checkpoint": "other-2"})
    assert (answer.status_code, answer.headers["location"]) == (202, place)
    assert api.client.get(place).json()["status"] == "queued"
    assert api.client.get(f"{place}/report").json() == old
    assert api.work() == ["done"]
    reports = api.client.get(place).json()["reports"]
    assert [one["checkpoint"] for one in reports] == ["rules-1", "other-2"]
    assert api.client.get(f"{place}/report").json()["provenance"]["checkpoint"] == "other-2"
    first = api.client.get(f"{place}/report", params={"report": reports[0]["id"]})
    assert first.json() == old


def test_a_trajectory_shows_the_newest_report(with_other: Any) -> None:
    api, session_id = with_other, with_other.scored(number=1)
    api.client.post(f"/v1/sessions/{session_id}/rescore", json={"checkpoint": "other-2"})
    api.work()
    (point,) = api.client.get("/v1/clients/ref-1/trajectory").json()["points"]
    assert point["checkpoint"] == "other-2"
    assert point["measures"]["withdrawal"]["value"] == 4.5


def test_a_checkpoint_that_is_not_there_is_refused(api: Any, make_session: Make) -> None:
    session_id = api.scored()
    answer = api.client.post(f"/v1/sessions/{session_id}/rescore", json={"checkpoint": "none-9"})
    refused(answer, 422, "unknown_checkpoint")
    handed = api.client.post("/v1/sessions", json=make_session(checkpoint="none-9"))
    refused(handed, 422, "unknown_checkpoint")


def test_what_is_being_scored_is_not_scored_again(api: Any) -> None:
    session_id = api.hand_in()
    answer = api.client.post(f"/v1/sessions/{session_id}/rescore", json={"checkpoint": "rules"})
    refused(answer, 409, "conflict")


# -- clients -------------------------------------------------------------------------------------


def test_a_trajectory_has_a_clients_sessions_in_order(api: Any) -> None:
    for number in (2, 1):
        api.scored(client="a/b c", number=number, attendance="attended")
    api.scored(client="other", number=1)
    found = api.client.get("/v1/clients/a%2Fb%20c/trajectory").json()
    assert [one["number"] for one in found["points"]] == [1, 2]
    assert found["n_scored"] == 2
    table = api.client.get("/v1/clients/a%2Fb%20c/trajectory", params={"format": "csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert table.text.startswith("session_id,number,day")
    assert "trajectory.read" in actions(api)


def test_of_two_sessions_with_one_number_the_newer_counts(api: Any) -> None:
    old, new = api.scored(number=1), api.scored(number=1)
    found = api.client.get("/v1/clients/ref-1/trajectory").json()
    assert [one["session_id"] for one in found["points"]] == [new]
    assert found["superseded"] == [old]


def test_a_client_without_sessions_is_not_found(shared_api: Any) -> None:
    refused(shared_api.client.get("/v1/clients/nobody/trajectory"), 404, "not_found")


# -- consent, holds, erasure ---------------------------------------------------------------------


def test_a_revoked_consent_ends_scoring_and_reading(api: Any, make_consent: Make) -> None:
    scored = api.scored(number=1)
    waits = api.hand_in(number=2)
    answer = api.client.post("/v1/consents/con-1/revoke")
    assert answer.json() == {"n_sessions": 2}
    assert api.work() == []
    assert api.client.get(f"/v1/sessions/{waits}").json()["status"] == "cancelled"
    for view in VIEWS:
        told = (410, "erased") if view == "report.html" else (403, "consent_revoked")
        refused(api.client.get(f"/v1/sessions/{scored}/{view}"), *told)
    again = api.client.post(f"/v1/sessions/{scored}/rescore", json={"checkpoint": "rules"})
    refused(again, 410, "erased")
    points = api.client.get("/v1/clients/ref-1/trajectory").json()["points"]
    assert [one["unscored"] for one in points] == ["no_report", "no_report"]
    assert api.client.post("/v1/consents/con-1/revoke").json() == {"n_sessions": 0}


def test_a_revoked_consent_carries_no_new_session(api: Any, make_session: Make) -> None:
    api.hand_in()
    api.client.post("/v1/consents/con-1/revoke")
    refused(api.client.post("/v1/sessions", json=make_session()), 403, "consent_revoked")


def test_a_consents_id_stands_for_what_it_first_said(
    api: Any, make_session: Make, make_consent: Make
) -> None:
    api.hand_in()
    wider = make_consent(scopes={"analyse": True, "human_review": True, "train": True})
    answer = api.client.post("/v1/sessions", json=make_session(consent=wider))
    refused(answer, 422, "consent_differs")
    same = make_consent(given_at="2026-01-05T10:00:00+01:00")
    assert api.client.post("/v1/sessions", json=make_session(consent=same)).status_code == 202


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"scopes": {"analyse": False, "human_review": True}}, "not_in_scope"),
        ({"jurisdiction": "US-IL"}, "jurisdiction_gated"),
        ({"jurisdiction": "US"}, "jurisdiction_unclear"),
        ({"given_at": "2100-01-01T00:00:00Z"}, "consent_not_yet_valid"),
    ],
)
def test_what_consent_and_place_do_not_allow_is_refused_and_on_record(
    api: Any, make_session: Make, make_consent: Make, said: dict[str, Any], code: str
) -> None:
    answer = api.client.post("/v1/sessions", json=make_session(consent=make_consent(**said)))
    refused(answer, 403, code)
    with api.house.store.transaction(api.tenant_id) as tx:
        last = [entry.event for entry in tx.audit_trail()][-1]
    assert (last.action, last.outcome, last.reason) == ("access.denied", "denied", code)


def test_a_part_2_record_is_read_here_and_leaves_with_leave_alone(
    api: Any, make_consent: Make
) -> None:
    kept = api.scored(sensitivity="part2")
    assert api.client.get(f"/v1/sessions/{kept}/report").status_code == 200
    for view in ("report.csv", "fhir"):
        refused(api.client.get(f"/v1/sessions/{kept}/{view}"), 403, "part2_no_redisclosure")
    may = make_consent(id="con-2", redisclosure="con-2")
    leaves = api.scored(sensitivity="part2", consent=may)
    assert api.client.get(f"/v1/sessions/{leaves}/fhir").status_code == 200


def test_a_held_session_is_not_erased_until_it_is_let_go(api: Any) -> None:
    session_id = api.scored()
    place = f"/v1/sessions/{session_id}"
    assert [api.client.put(f"{place}/hold").status_code for _ in "ab"] == [204, 204]
    assert api.client.get(place).json()["hold"] is True
    refused(api.client.delete(place), 409, "legal_hold")
    assert api.client.delete(f"{place}/hold").status_code == 204
    assert api.client.delete(place).status_code == 204
    noted = actions(api)
    assert [noted.count(one) for one in ("hold.set", "hold.lifted", "access.denied")] == [1, 1, 1]


def test_what_a_revocation_could_not_erase_goes_when_the_hold_ends(api: Any) -> None:
    session_id = api.scored()
    api.client.put(f"/v1/sessions/{session_id}/hold")
    api.client.post("/v1/consents/con-1/revoke")
    refused(api.client.get(f"/v1/sessions/{session_id}/report"), 403, "consent_revoked")
    with api.house.store.system() as tx:
        assert tx.get(tables.sessions, session_id)["transcript"] is not None
    api.client.delete(f"/v1/sessions/{session_id}/hold")
    with api.house.store.system() as tx:
        row = tx.get(tables.sessions, session_id)
        (report,) = tx.select(tables.reports)
    assert (row["transcript"], row["options"]) == (None, None)
    assert report["sealed"] is not None  # its scores are left, and not a word


def test_holds_are_an_administrators(api: Any) -> None:
    session_id = api.hand_in()
    other = api.with_scopes("sessions:write", "sessions:read", "sessions:erase")
    refused(other.put(f"/v1/sessions/{session_id}/hold"), 403, "scope_missing")


def test_an_erased_session_is_gone_and_says_so(api: Any) -> None:
    session_id = api.scored(number=1)
    assert api.client.delete(f"/v1/sessions/{session_id}").status_code == 204
    assert api.client.delete(f"/v1/sessions/{session_id}").status_code == 204
    assert api.client.get(f"/v1/sessions/{session_id}").json()["status"] == "erased"
    for view in VIEWS:
        refused(api.client.get(f"/v1/sessions/{session_id}/{view}"), 410, "gone")
    again = api.client.post(f"/v1/sessions/{session_id}/rescore", json={"checkpoint": "rules"})
    refused(again, 410, "gone")
    refused(api.client.get("/v1/clients/ref-1/trajectory"), 404, "not_found")


# -- jobs ----------------------------------------------------------------------------------------


def test_what_waits_can_be_taken_back(api: Any) -> None:
    session_id = api.hand_in()
    assert api.client.post(f"/v1/sessions/{session_id}/cancel").status_code == 204
    assert api.client.get(f"/v1/sessions/{session_id}").json()["status"] == "cancelled"
    assert api.work() == []
    refused(api.client.post(f"/v1/sessions/{session_id}/cancel"), 409, "conflict")


def test_taking_a_second_scoring_back_leaves_the_first_report(api: Any) -> None:
    session_id = api.scored()
    place = f"/v1/sessions/{session_id}"
    api.client.post(f"{place}/rescore", json={"checkpoint": "rules"})
    assert api.client.post(f"{place}/cancel").status_code == 204
    found = api.client.get(place).json()
    assert (found["status"], len(found["reports"])) == ("done", 1)


@pytest.fixture
def dead(api: Any) -> tuple[str, str]:
    """A session whose job is dead, and the job."""
    session_id = api.hand_in()
    with api.house.store.transaction(api.tenant_id) as tx:
        (job,) = tx.select(tables.jobs)
        row = tx.get(tables.sessions, session_id)
        api.records.fail(tx, job, row, {"code": "too_many_attempts"}, "dead", api.house.clock())
    return session_id, str(job["id"])


def test_a_dead_job_is_listed_and_replayed_once(api: Any, dead: tuple[str, str]) -> None:
    session_id, job_id = dead
    (listed,) = api.client.get("/v1/jobs/dead").json()["items"]
    assert (listed["id"], listed["session_id"]) == (job_id, session_id)
    assert listed["problem"] == {"code": "too_many_attempts"}
    answer = api.client.post(f"/v1/jobs/{job_id}/replay")
    assert answer.status_code == 202
    assert answer.json()["id"] != job_id
    refused(api.client.post(f"/v1/jobs/{job_id}/replay"), 409, "conflict")
    assert api.client.get("/v1/jobs/dead").json()["items"] == []
    assert api.work() == ["done"]
    assert api.client.get(f"/v1/sessions/{session_id}/report").status_code == 200
    refused(api.client.post(f"/v1/jobs/{job_id}/replay"), 409, "conflict")
    assert "job.replayed" in actions(api)


def test_dead_letters_are_an_administrators(api: Any, dead: tuple[str, str]) -> None:
    other = api.with_scopes("sessions:write", "sessions:read")
    refused(other.get("/v1/jobs/dead"), 403, "scope_missing")
    refused(other.post(f"/v1/jobs/{dead[1]}/replay"), 403, "scope_missing")


# -- webhooks ------------------------------------------------------------------------------------


@pytest.fixture
def hooked(api: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, Any]]:
    """The API with a webhook whose host is not looked up."""
    monkeypatch.setattr(type(api.app.state.guard), "check", lambda self, url: None)
    asked = {"url": "https://example.org/hook", "events": ["session.completed", "session.erased"]}
    made = api.client.post("/v1/webhooks", json=asked)
    assert made.status_code == 201
    return api, made.json()


def test_a_webhooks_secret_is_shown_when_it_is_made_and_rotated(
    hooked: tuple[Any, dict[str, Any]],
) -> None:
    api, hook = hooked
    assert hook["secret"].startswith("whsec_")
    (listed,) = api.client.get("/v1/webhooks").json()["items"]
    assert listed == {**hook, "secret": None}
    rotated = api.client.post(f"/v1/webhooks/{hook['id']}/rotate").json()
    assert rotated["secret"] not in (hook["secret"], None)


def test_deliveries_are_listed_and_replayed_under_ids_of_their_own(
    hooked: tuple[Any, dict[str, Any]],
) -> None:
    api, hook = hooked
    session_id = api.scored()
    place = f"/v1/webhooks/{hook['id']}/deliveries"
    (told,) = api.client.get(place).json()["items"]
    assert (told["event"], told["session_id"]) == ("session.completed", session_id)
    again = api.client.post(f"/v1/deliveries/{told['id']}/replay")
    refused(again, 409, "conflict")
    with api.house.store.transaction(api.tenant_id) as tx:
        tx.change(tables.deliveries, told["id"], status="given_up")
    again = api.client.post(f"/v1/deliveries/{told['id']}/replay")
    assert again.status_code == 202
    ids = [one["id"] for one in api.client.get(place).json()["items"]]
    assert sorted(ids) == sorted([told["id"], again.json()["id"]])


def test_a_removed_webhook_is_gone(hooked: tuple[Any, dict[str, Any]]) -> None:
    api, hook = hooked
    assert api.client.delete(f"/v1/webhooks/{hook['id']}").status_code == 204
    assert api.client.get("/v1/webhooks").json()["items"] == []
    refused(api.client.delete(f"/v1/webhooks/{hook['id']}"), 404, "not_found")
    refused(api.client.get(f"/v1/webhooks/{hook['id']}/deliveries"), 404, "not_found")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.org/x", "webhook_url_refused"),
        ("https://127.0.0.1/x", "webhook_url_refused"),
        ("https://169.254.169.254/latest", "webhook_url_refused"),
        ("https://u:p@example.org/", "webhook_url_refused"),
        ("ftp://example.org/", "invalid"),
        ("no url", "invalid"),
        ("https://example.org/" + "x" * 3000, "invalid"),
    ],
)
def test_no_webhook_goes_where_none_may(shared_api: Any, url: str, code: str) -> None:
    asked = {"url": url, "events": ["session.completed"]}
    found = refused(shared_api.client.post("/v1/webhooks", json=asked), 422, code)
    assert url not in json.dumps(found)


# -- models, events, operations ------------------------------------------------------------------


def test_the_rules_are_always_among_the_models(shared_api: Any) -> None:
    items = shared_api.client.get("/v1/models").json()["items"]
    assert {"id": "rules", "is_current": True} in items
    card = shared_api.client.get("/v1/models/rules/card")
    assert card.headers["content-type"].startswith("text/markdown")
    for name in ("none-1", "..", "models"):
        assert shared_api.client.get(f"/v1/models/{name}/card").status_code in (404, 422)


def test_the_audit_trail_comes_page_by_page_and_holds(api: Any) -> None:
    api.scored()
    seen: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None and len(seen) < 100:
        page = api.client.get("/v1/events", params={"after": after, "limit": 3}).json()
        seen += page["items"]
        after = (
            page["next"]
            if len(page["items"]) == 3 and page["items"][-1]["action"] != "audit.read"
            else None
        )
    assert [one["sequence"] for one in seen] == list(range(1, len(seen) + 1))
    assert [one["prev_hash"] for one in seen[1:]] == [one["hash"] for one in seen[:-1]]


def test_the_health_checks_need_nobody(shared_api: Any) -> None:
    anybody = shared_api.as_()
    assert anybody.get("/livez").text == "ok"
    assert anybody.get("/readyz").json() == {"ready": True, "lacking": []}
    assert anybody.get("/version").json()["checkpoint"] == "rules"
    assert "rupture_requests_total" in anybody.get("/metrics").text


def test_without_a_database_it_is_alive_and_not_ready(api: Any) -> None:
    api.house.store.engine.dispose()
    path = api.house.settings.home / "rupture.db"
    path.rename(path.with_suffix(".away"))
    path.mkdir()
    assert api.as_().get("/livez").status_code == 200
    answer = api.as_().get("/readyz")
    assert (answer.status_code, answer.json()["lacking"]) == (503, ["database"])
    away = api.client.get("/v1/sessions")
    refused(away, 503, "unavailable")
    assert away.headers["retry-after"]


def test_what_is_not_there_and_what_is_not_so_called_are_told_apart(shared_api: Any) -> None:
    refused(shared_api.client.get("/v1/nothing"), 404, "no_such_route")
    refused(shared_api.client.get("/v1/sessions/"), 404, "no_such_route")
    wrong = shared_api.client.put("/v1/sessions", json={})
    refused(wrong, 405, "wrong_method")
    assert wrong.headers["allow"]


def test_a_callers_share_is_told_and_kept(api: Any) -> None:
    answer = api.client.get("/v1/models")
    assert '"key";q=100000' in answer.headers["ratelimit-policy"]
    anybody = api.as_(address="10.9.9.9")
    assert [anybody.get("/v1/models").status_code for _ in range(60)] == [401] * 60
    # The share grows by one a second, so that a slow machine may ask a few times more.
    last = next(
        answer for _ in range(200) if (answer := anybody.get("/v1/models")).status_code != 401
    )
    refused(last, 429, "too_many_requests")
    assert int(last.headers["retry-after"]) >= 1
