"""The review page without a browser: who sees what, what is on record, what stays text."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from service import tables
from service.app import PAGES
from service.auth import make_tenant
from service.judgements import Review
from service.reviews import Reviews
from service.scopes import Role

EXAMPLE = Path(__file__).parents[2] / "examples" / "session.vtt"
"""An invented session with a withdrawal and a confrontation."""

NASTY = "<img src=x onerror=alert(1)>\"'</script><b>"
JSON = {"Accept": "application/json"}


def mine(
    desk: Any, login: str, *roles: Role, client: str = "ref-1", **about: Any
) -> tuple[Any, str]:
    """Somebody's browser, and a scored session of a client of theirs."""
    browser = desk.signed_in(login, *roles)
    given = {"transcript": EXAMPLE.read_text("utf-8"), "therapist": "Dr. Rivera", **about}
    session_id = desk.front.scored(client=client, **given)
    give(desk, login, client)
    return browser, session_id


def give(desk: Any, login: str, client: str) -> None:
    """Makes somebody the client's clinician."""
    client_id = desk.house.client_id(desk.front.tenant_id, client)
    with desk.house.store.transaction(desk.front.tenant_id) as tx:
        tx.add(
            tables.care,
            id=f"car_{login}_{client}",
            client_id=client_id,
            person_id=desk.ids[login],
            role="clinician",
            given_by="test",
            created_at=desk.clock(),
        )


def report_of(desk: Any, session_id: str) -> str:
    with desk.house.store.system() as tx:
        [row] = tx.select(tables.reports, tables.reports.c.session_id == session_id)
    return str(row["id"])


def change(desk: Any, browser: Any, session_id: str, version: int, **given: Any) -> Any:
    report = report_of(desk, session_id)
    return browser.patch(
        f"/review/sessions/{session_id}/review/{report}",
        json={"report": report, "given": given},
        headers={**JSON, "X-CSRF-Token": desk.csrf(browser), "If-Match": f'"{version}"'},
    )


def note(desk: Any, browser: Any, session_id: str, text: str, version: int = 0) -> Any:
    return browser.put(
        f"/review/sessions/{session_id}/comment",
        json={"item": "moment-1", "text": text},
        headers={**JSON, "X-CSRF-Token": desk.csrf(browser), "If-Match": f'"{version}"'},
    )


# -- who sees what -----------------------------------------------------------------------------


def test_a_clinician_sees_their_own_clients_alone(desk: Any) -> None:
    ada, hers = mine(desk, "ada", client="ref-ada")
    grace, others = mine(desk, "grace", client="ref-grace")
    for browser, own, foreign in ((ada, hers, others), (grace, others, hers)):
        listed = browser.get("/review").text
        assert own in listed
        assert foreign not in listed
        assert browser.get(f"/review/sessions/{own}").status_code == 200


def ways(desk: Any, session_id: str, client: str) -> list[tuple[str, str, Any]]:
    """Every way to a session or a client on the pages: method, path, body."""
    report = report_of(desk, session_id)
    client_id = desk.house.client_id(desk.front.tenant_id, client)
    place = f"/review/sessions/{session_id}"
    said = {"report": report, "given": {"item": "moment-1", "verdict": "agree"}}
    return [
        ("GET", place, None),
        ("GET", f"{place}/progress", None),
        ("GET", f"{place}/review/{report}", None),
        ("PATCH", f"{place}/review/{report}", said),
        ("POST", f"{place}/review/{report}/undo", {}),
        ("PUT", f"{place}/comment", {"item": "moment-1", "text": "x"}),
        ("GET", f"{place}/share", None),
        ("POST", f"{place}/share", None),
        ("POST", f"{place}/share/leave", None),
        ("POST", f"{place}/blind", {}),
        ("GET", f"/review/clients/{client_id}", None),
        ("POST", f"/review/clients/{client_id}/supervision", None),
    ]


def test_every_route_with_an_id_is_among_the_ways(desk: Any) -> None:
    _, session_id = mine(desk, "ada")
    known = ways(desk, session_id, "ref-1")
    routes = [one for router in PAGES for one in router.routes if "{" in one.path]
    for route in routes:
        is_coding = route.path.startswith("/review/coding/")  # see test_coding_pages
        if route.path != "/review/static/{name}" and not is_coding:
            fits = [path for method, path, _ in known if method in route.methods]
            assert any(route.path_regex.fullmatch(path) for path in fits), route.path


@pytest.mark.parametrize("role", list(Role))
def test_what_is_somebody_elses_is_nowhere_and_the_try_on_record(desk: Any, role: Role) -> None:
    _, foreign = mine(desk, "grace", client="ref-grace")
    desk.person("ada", role)
    browser = desk.signed_in("ada")
    token = desk.csrf(browser)
    for method, path, body in ways(desk, foreign, "ref-grace"):
        headers = {**JSON, "X-CSRF-Token": token, "If-Match": '"0"'}
        answer = browser.request(method, path, json=body, headers=headers)
        if path.endswith("/supervision") and role is not Role.CLINICIAN:
            assert (answer.status_code, answer.json()["code"]) == (403, "role_missing")
            continue
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        denied = desk.trail()[-1]
        assert (denied.action, denied.reason) == ("access.denied", "not_ones_own"), path
        assert denied.actor_id == desk.ids["ada"]


def test_another_tenants_things_are_found_by_no_page(desk: Any) -> None:
    _, theirs = mine(desk, "grace", client="ref-grace")
    other, _ = make_tenant(desk.house, "other")
    desk.person("ada", *Role, tenant_id=other)
    browser = desk.signed_in("ada")
    token, before = desk.csrf(browser), len(desk.trail())
    tried = ways(desk, theirs, "ref-grace")
    tried.append(("GET", f"/review/sessions/ses_{'0' * 26}", None))
    told = []
    for method, path, body in tried:
        headers = {**JSON, "X-CSRF-Token": token, "If-Match": '"0"'}
        answer = browser.request(method, path, json=body, headers=headers)
        assert answer.status_code == 404, path
        told.append({k: v for k, v in answer.json().items() if k != "request_id"})
    assert all(one == told[0] for one in told)
    assert len(desk.trail()) == before
    for path in ("/review", "/review/week", "/review/people", "/review/upload"):
        page = browser.get(path).text
        assert theirs not in page
        assert "ref-grace" not in page
        assert "grace" not in page


def test_a_supervisor_reads_a_client_while_the_clinician_lets_them(desk: Any) -> None:
    clinician, session_id = mine(desk, "ada")
    supervisor = desk.signed_in("grace", Role.SUPERVISOR)
    client_id = desk.house.client_id(desk.front.tenant_id, "ref-1")
    place = f"/review/clients/{client_id}/supervision"
    assert supervisor.get(f"/review/sessions/{session_id}").status_code == 404
    form = {"csrf": desk.csrf(clinician), "person": desk.ids["grace"]}
    assert clinician.post(place, data={**form, "give": "yes"}).status_code == 303
    assert desk.trail()[-1].action == "supervision.given"
    assert supervisor.get(f"/review/sessions/{session_id}").status_code == 200
    assert session_id in supervisor.get("/review").text
    own = {"csrf": desk.csrf(supervisor), "person": desk.ids["grace"], "give": "yes"}
    assert supervisor.post(place, data=own).status_code == 403
    assert clinician.post(place, data={**form, "give": "no"}).status_code == 303
    assert desk.trail()[-1].action == "supervision.revoked"
    assert supervisor.get(f"/review/sessions/{session_id}").status_code == 404


def test_nobody_who_is_no_supervisor_is_given_a_client_to_read(desk: Any) -> None:
    clinician, _ = mine(desk, "ada")
    desk.person("grace", Role.CLINICIAN)
    client_id = desk.house.client_id(desk.front.tenant_id, "ref-1")
    form = {"csrf": desk.csrf(clinician), "person": desk.ids["grace"], "give": "yes"}
    answer = clinician.post(f"/review/clients/{client_id}/supervision", data=form)
    assert answer.status_code == 403


def test_a_researcher_reads_what_was_agreed_to_with_names_replaced(
    desk: Any, make_consent: Any
) -> None:
    agreed = {"analyse": True, "human_review": True, "research": True}
    talk = (
        "Dr. Umbra: How are you, Lux Fenwick?\nLux Fenwick: Fine, I guess, Dr. Umbra.\n"
        "Dr. Umbra: Tell me more, Lux Fenwick.\nLux Fenwick: You never listen to me.\n"
    )
    open_to_all = desk.front.scored(
        client="Fenwick", consent=make_consent(id="con-r", scopes=agreed), transcript=talk,
        therapist="Dr. Umbra",
    )  # fmt: skip
    closed = desk.front.scored()
    browser = desk.signed_in("rosa", Role.RESEARCHER)
    listed = browser.get("/review").text
    assert open_to_all in listed
    assert closed not in listed
    page = browser.get(f"/review/sessions/{open_to_all}").text
    with desk.house.store.system() as tx:
        hashed = {row["transcript_sha256"] for row in tx.select(tables.sessions)}
    assert not [one for one in hashed if one in page]
    assert "[THERAPIST]" in page
    assert "Umbra" not in page
    assert "Fenwick" not in page + listed
    refused = change(desk, browser, open_to_all, 0, item="moment-1", verdict="agree")
    assert refused.status_code == 403


def test_an_administrator_opens_no_session_and_says_who_cares_for_whom(desk: Any) -> None:
    session_id = desk.front.scored(client="ref-api")
    admin, ada = desk.signed_in("root", Role.ADMIN), desk.signed_in("ada")
    assert admin.get(f"/review/sessions/{session_id}").status_code == 404
    assert admin.get("/review").headers["location"] == "/review/people"
    form = {"csrf": desk.csrf(admin), "client": "ref-api", "person": desk.ids["ada"]}
    assert admin.post("/review/people/care", data=form).status_code == 200
    assert desk.trail()[-1].action == "roles.assigned"
    assert ada.get(f"/review/sessions/{session_id}").status_code == 200
    nowhere = {**form, "csrf": desk.csrf(admin), "client": "ref-nobody"}
    assert admin.post("/review/people/care", data=nowhere).status_code == 404
    assert ada.get("/review/people").status_code == 403


def test_a_consent_that_was_taken_back_closes_the_page(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    assert note(desk, browser, session_id, "kept apart").status_code == 200
    desk.front.client.post("/v1/consents/con-1/revoke")
    assert browser.get(f"/review/sessions/{session_id}").status_code in (403, 410)
    with desk.house.store.system() as tx:
        assert tx.connection.execute(sa.select(tables.comments)).all() == []


def test_without_consent_to_review_the_report_is_not_shown(desk: Any, make_consent: Any) -> None:
    said = make_consent(id="con-n", scopes={"analyse": True, "human_review": False})
    browser, session_id = mine(desk, "ada", consent=said)
    refused = browser.get(f"/review/sessions/{session_id}")
    assert refused.status_code == 403
    assert desk.trail()[-1].action == "access.denied"


# -- what is on record -------------------------------------------------------------------------


def test_every_view_is_on_record(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    client_id = desk.house.client_id(desk.front.tenant_id, "ref-1")
    wanted = {
        "/review": ["session.listed"],
        f"/review/sessions/{session_id}": ["report.read", "review.read"],
        f"/review/clients/{client_id}": ["caseload.read"],
        "/review/week": ["session.listed"],
        "/review/upload": ["session.listed"],
    }
    for path, actions in wanted.items():
        before = len(desk.trail())
        assert browser.get(path).status_code == 200
        seen = desk.trail()[before:]
        assert [one.action for one in seen] == actions, path
        assert {(one.actor_kind, one.actor_id) for one in seen} == {("user", desk.ids["ada"])}


# -- saying something --------------------------------------------------------------------------


def test_what_is_said_is_kept_sealed_and_shown_again(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    answer = change(desk, browser, session_id, 0, item="moment-1", verdict="agree", intensity=4)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
    assert answer.json()["judgements"]["moment-1"]["verdict"] == "agree"
    assert '"verdict": "agree"' in browser.get(f"/review/sessions/{session_id}").text
    assert "review.changed" in desk.actions()
    with desk.house.store.system() as tx:
        row = dict(tx.select(tables.reviews)[0])
    assert row["n_judged"] == 1
    assert b"agree" not in row["sealed"]


def test_two_people_never_overwrite_each_other(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    other = desk.signed_in("grace")
    give(desk, "grace", "ref-1")
    assert change(desk, browser, session_id, 0, item="moment-1", verdict="agree").is_success
    late = change(desk, other, session_id, 0, item="moment-1", verdict="disagree")
    assert (late.status_code, late.json()["code"]) == (412, "stale")
    assert change(desk, other, session_id, 1, item="moment-1", verdict="disagree").is_success


def test_a_change_must_say_which_version_it_changes(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    report = report_of(desk, session_id)
    answer = browser.patch(
        f"/review/sessions/{session_id}/review/{report}",
        json={"report": report, "given": {"item": "moment-1", "verdict": "agree"}},
        headers={**JSON, "X-CSRF-Token": desk.csrf(browser)},
    )
    assert answer.status_code == 428


def test_undo_takes_ones_own_last_change_back(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    change(desk, browser, session_id, 0, item="moment-1", verdict="agree")
    answer = browser.post(
        f"/review/sessions/{session_id}/review/{report_of(desk, session_id)}/undo",
        headers={**JSON, "X-CSRF-Token": desk.csrf(browser), "If-Match": '"1"'},
    )
    assert answer.json()["judgements"] == {}
    assert desk.actions()[-1] != "review.changed"
    assert "review.undone" in desk.actions()


def test_a_note_is_sealed_apart_and_its_own_versions_hold(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    assert note(desk, browser, session_id, "zyxcanary of mine").status_code == 200
    assert note(desk, browser, session_id, "another window").status_code == 412
    assert note(desk, browser, session_id, "zyxcanary again", 1).status_code == 200
    assert "zyxcanary again" in browser.get(f"/review/sessions/{session_id}").text
    assert "comment.read" in desk.actions()
    files = b"".join(one.read_bytes() for one in desk.house.settings.home.glob("rupture.db*"))
    assert b"zyxcanary" not in files
    for view in ("report", "report.csv", "report.html", "fhir"):
        assert "zyxcanary" not in desk.front.client.get(f"/v1/sessions/{session_id}/{view}").text


def test_an_erased_session_takes_review_and_notes_with_it(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    change(desk, browser, session_id, 0, item="moment-1", verdict="agree")
    note(desk, browser, session_id, "mine")
    assert desk.front.client.delete(f"/v1/sessions/{session_id}").status_code == 204
    with desk.house.store.system() as tx:
        for table in (tables.reviews, tables.comments):
            assert tx.connection.execute(sa.select(table)).all() == []
    assert browser.get(f"/review/sessions/{session_id}").status_code == 410


def test_reviews_and_notes_open_on_both_databases(either_clinic: Any) -> None:
    session_id = either_clinic.add()
    reviews = Reviews(either_clinic.house, either_clinic.queue)
    actor = either_clinic.actor
    assert reviews.review(actor, session_id, "rep_1") == (0, Review())
    made = reviews.comment(actor, session_id, "session", "of mine", "0")
    assert made.version == 1
    assert [one.text for one in reviews.comments(actor, session_id)] == ["of mine"]


# -- quotes that leave -------------------------------------------------------------------------


def share(desk: Any, browser: Any, session_id: str, *turns: str, step: str = "") -> Any:
    form = {"csrf": desk.csrf(browser), **dict.fromkeys(turns, "on")}
    return browser.post(f"/review/sessions/{session_id}/share{step}", data=form)


def test_quotes_leave_one_by_one_after_they_were_seen_and_it_is_on_record(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    offered = browser.get(f"/review/sessions/{session_id}/share").text
    assert "checked" not in offered
    names = re.findall(r'name="(turn-\d+)"', offered)
    said = dict(
        re.findall(r'name="(turn-\d+)">.*?<span dir="auto">(.*?)</span>', offered, re.DOTALL)
    )
    seen = share(desk, browser, session_id, names[0]).text
    assert "page.quoted" not in desk.actions()
    left = share(desk, browser, session_id, names[0], step="/leave").text
    for page in (seen, left):
        assert said[names[0]] in page
        assert not [one for one in names[1:] if said[one] in page]
        assert "ref-1" not in page
        assert "Rivera" not in page
    [noted] = [one for one in desk.trail() if one.action == "page.quoted"]
    assert (noted.target_id, noted.actor_id) == (session_id, desk.ids["ada"])
    assert noted.details["n_quotes"] == 1


def test_nothing_leaves_where_nothing_or_something_else_is_chosen(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    assert "nothing leaves" in share(desk, browser, session_id, step="/leave").text
    refused = share(desk, browser, session_id, "turn-0", "turn-99999", step="/leave")
    assert refused.status_code == 422
    assert "page.quoted" not in desk.actions()


# -- filters -----------------------------------------------------------------------------------


def test_the_list_shows_what_is_not_reviewed_or_not_repaired(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    with desk.house.store.system() as tx:
        said = tx.select(tables.reports)[0]["summary"]
    assert said["n_moments"] > 0
    assert session_id in browser.get("/review?only=unreviewed").text
    for number in range(said["n_moments"]):
        item = f"moment-{number + 1}"
        assert change(desk, browser, session_id, number, item=item, verdict="agree").is_success
    assert session_id not in browser.get("/review?only=unreviewed").text
    unrepaired = session_id in browser.get("/review?only=unrepaired").text
    assert unrepaired is bool(said["n_unrepaired"])
    for pillar in ("goal", "task", "bond"):
        shown = session_id in browser.get(f"/review?pillar={pillar}").text
        assert shown is (pillar in said["strained"])


# -- markup stays text -------------------------------------------------------------------------


class Seen(HTMLParser):
    """What a browser would make of a page: its elements, and their attributes' names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_markup_in_names_words_and_notes_stays_text(desk: Any) -> None:
    lines = (f"How are you, {NASTY}?", f"You never listen. {NASTY}", "I'm sorry.", "Fine, I guess.")
    talk = {
        "schema": "rupture-transcript/1",
        "turns": [
            {"speaker": f"{who}{NASTY}", "text": line}
            for who, line in zip("TCTC", lines, strict=True)
        ],
    }
    browser, session_id = mine(
        desk, "ada" + NASTY, client=f"ref {NASTY}", transcript=talk, therapist=f"T{NASTY}"
    )
    note(desk, browser, session_id, NASTY)
    client_id = desk.house.client_id(desk.front.tenant_id, f"ref {NASTY}")
    paths = ("/review", f"/review/sessions/{session_id}", f"/review/clients/{client_id}")
    for path in (*paths, "/review/week", "/review/upload"):
        seen = Seen(browser.get(path).text)
        assert "img" not in seen.tags, path
        assert not [name for name in seen.attributes if name.startswith("on")], path
    assert "onerror" in browser.get(paths[1]).text


def test_a_session_page_is_sent_part_by_part_and_its_head_first(desk: Any) -> None:
    browser, session_id = mine(desk, "ada")
    sent: list[bytes] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def noted(message: Any) -> None:
            sent.append(message.get("body", b""))
            await send(message)

        await desk.front.app(scope, receive, noted)

    watching = TestClient(watched, base_url="http://localhost", cookies=browser.cookies)
    answered = watching.get(f"/review/sessions/{session_id}", headers={"Accept": "text/html"})
    parts = [part for part in sent if part]
    assert len(parts) > 2
    assert b"report.css" in parts[0]
    assert b"</html>" not in parts[0]
    assert b"".join(parts) == answered.content
    assert answered.text.rstrip().endswith("</html>")


# -- the front door ----------------------------------------------------------------------------


def test_a_browser_is_led_to_the_pages_and_sees_no_problem_document(desk: Any) -> None:
    browser = desk.browser()
    front = browser.get("/")
    assert (front.status_code, front.headers["location"]) == (303, "/review")
    for path in ("/nothing", "/review/nothing", "/v1/nothing"):
        answer = browser.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"].startswith("text/html"), path
        assert "There is no such page" in answer.text
    assert browser.get("/", headers=JSON).json()["code"] == "no_such_route"
