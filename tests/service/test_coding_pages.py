"""Coding without a browser: who is blind to what, what is kept, what leaves."""

import csv
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from detector.annotation import SEEN, check
from service import tables
from service.auth import make_tenant
from service.caseload import BLIND
from service.scopes import Role
from training.labels.long import read_csv

EXAMPLE = Path(__file__).parents[2] / "examples" / "session.vtt"
"""An invented session with a withdrawal and a confrontation."""

NASTY = "<img src=x onerror=alert(1)>\"'</script><b>"
JSON = {"Accept": "application/json"}
AGREED = {"analyse": True, "human_review": True, "research": True}


SHORT = """T: How have you been feeling about the work we do here?
C: Fine, I guess.
T: Tell me more about that.
C: You never listen to me. This is not helping.
T: I'm sorry. I pushed you too hard.
C: Okay. It is a relief to tell you.
"""
"""Invented: two moments, and no clock."""

NUMBERS = itertools.count()
_BROWSERS: dict[tuple[int, str], Any] = {}


def browser_of(desk: Any, name: str, *roles: Role) -> Any:
    """Somebody's browser: they sign in once for all tests."""
    key = (id(desk), name)
    if key not in _BROWSERS:
        _BROWSERS[key] = desk.signed_in(name, *(roles or (Role.RESEARCHER,)))
    return _BROWSERS[key]


class Study:
    """A session that two coders code and a third settles."""

    def __init__(self, desk: Any, make_consent: Any, **about: Any) -> None:
        self.desk = desk
        self.consent = f"agreed-{next(NUMBERS)}"
        consent = make_consent(id=self.consent, scopes=AGREED)
        given = {"transcript": SHORT, **about}
        self.session_id = desk.front.scored(client=self.consent, consent=consent, **given)
        self.browsers = {name: browser_of(desk, name) for name in ("rosa", "sam", "tess")}

    def form(self, by: Any, **given: str) -> dict[str, str]:
        ids = self.desk.ids
        return {
            "csrf": self.desk.csrf(by),
            "session": self.session_id,
            f"coder-{ids['rosa']}": "yes",
            f"coder-{ids['sam']}": "yes",
            "adjudicator": ids["tess"],
            "study": "pilot_1",
            "window_turns": "6",
            **given,
        }

    def assign(self, by: str = "tess", **given: str) -> str:
        browser = self.browsers[by]
        answer = browser.post("/review/coding", data=self.form(browser, **given))
        assert answer.status_code == 303, answer.text
        with self.desk.house.store.system() as tx:
            return str(tx.select(tables.assignments, whole=False)[-1]["id"])

    def say(
        self, by: str, at: str, version: int, item: str, lead_s: float = 1.0, **given: Any
    ) -> Any:
        browser = self.browsers[by]
        return browser.patch(
            f"/review/coding/{at}/codes",
            json={"item": item, "given": given, "lead_s": lead_s},
            headers={
                **JSON,
                "X-CSRF-Token": self.desk.csrf(browser),
                "If-Match": f'"{version}"',
            },
        )

    def post(self, by: str, path: str, **given: Any) -> Any:
        browser = self.browsers[by]
        form = {"csrf": self.desk.csrf(browser), **given}
        return browser.post(f"/review/coding/{path}", data=form)

    def commit(self, by: str, at: str, version: int) -> None:
        assert self.post(by, f"{at}/commit", version=version).status_code == 303

    def coded(self, **given: str) -> str:
        """An assignment that both have coded, and differ on one turn."""
        at = self.assign(**given)
        for name, markers in (("rosa", ["minimal_response"]), ("sam", [])):
            assert self.say(name, at, 0, "turn-1", markers=markers).is_success
            assert self.say(name, at, 1, "session", ratings={"withdrawal": 3}).is_success
            self.commit(name, at, 2)
        return at


@pytest.fixture
def study(shared_desk: Any, make_consent: Any) -> Study:
    return Study(shared_desk, make_consent)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# -- who sees what -----------------------------------------------------------------------------


def test_a_coder_sees_neither_the_tools_findings_nor_anothers_codes(study: Study) -> None:
    at = study.assign()
    assert study.say("sam", at, 0, "turn-1", markers=["denial"], pillar="bond").is_success
    rosa = study.browsers["rosa"]
    page = rosa.get(f"/review/coding/{at}").text
    state = json.loads(re.search(r'id="state">(.*?)</script>', page)[1])  # type: ignore[index]
    assert state["annotations"] == {}
    assert rosa.get(f"/review/coding/{at}/codes", headers=JSON).json()["annotations"] == {}
    for word in ("score", "moment-", " in 100", "rules-"):
        assert word not in page.lower(), word
    report = f"/review/sessions/{study.session_id}"
    closed = [report, f"{report}/progress", f"/review/coding/{at}/agreement"]
    closed.append(f"/review/coding/{at}/codings.csv")
    for path in closed:
        answer = rosa.get(path, headers=JSON)
        assert answer.status_code == 403, path
        assert answer.json()["code"] in ("coded_blind", "not_committed")
    listed = rosa.get("/review").text
    assert study.session_id in listed
    assert "moment" not in listed.partition("<ol")[2]


def test_what_the_tool_found_opens_when_ones_own_coding_is_committed(study: Study) -> None:
    at = study.assign()
    assert study.say("rosa", at, 0, "turn-1", markers=[]).is_success
    study.commit("rosa", at, 1)
    rosa = study.browsers["rosa"]
    assert rosa.get(f"/review/sessions/{study.session_id}").status_code == 200
    assert rosa.get(f"/review/coding/{at}/agreement", headers=JSON).status_code == 403
    blind = study.browsers["sam"].get(f"/review/sessions/{study.session_id}")
    assert blind.headers["location"] == f"/review/coding/{at}"


def test_who_has_opened_the_report_or_treats_the_client_cannot_code_it(study: Study) -> None:
    sam = study.browsers["sam"]
    assert sam.get(f"/review/sessions/{study.session_id}").status_code == 200
    tess = study.browsers["tess"]
    refused = tess.post("/review/coding", data=study.form(tess), headers=JSON)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_blind")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"study": "what he said"}, "invalid"),
        ({"window_turns": "1"}, "invalid"),
        ({"adjudicator": "acc_nobody"}, "not_found"),
        ({"session": "ses_nothing"}, "not_found"),
    ],
)
def test_an_assignment_that_cannot_be_is_refused(
    study: Study, given: dict[str, str], code: str
) -> None:
    tess = study.browsers["tess"]
    refused = tess.post("/review/coding", data=study.form(tess, **given), headers=JSON)
    assert refused.json()["code"] == code


def test_one_coder_alone_is_no_double_coding(study: Study) -> None:
    tess = study.browsers["tess"]
    form = study.form(tess)
    del form[f"coder-{study.desk.ids['sam']}"]
    refused = tess.post("/review/coding", data=form, headers=JSON)
    assert refused.json()["code"] == "too_few_coders"


def test_a_session_that_is_not_for_research_is_given_to_nobody(study: Study) -> None:
    closed = study.desk.front.scored(client="ref-closed")
    tess = study.browsers["tess"]
    assert closed not in tess.get("/review/coding").text
    refused = tess.post("/review/coding", data=study.form(tess, session=closed), headers=JSON)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_in_scope")


def test_an_administrator_gives_out_and_reads_nothing(study: Study) -> None:
    study.browsers["root"] = root = browser_of(study.desk, "root", Role.ADMIN)
    at = study.assign("root")
    assert "0 of 2 coders" in root.get("/review/coding").text
    for path in (at, f"{at}/agreement", f"{at}/codings.csv", f"{at}/codes"):
        assert root.get(f"/review/coding/{path}").status_code == 404


def test_coders_read_tags_in_the_place_of_names(shared_desk: Any, make_consent: Any) -> None:
    talk = (
        "Dr. Umbra: How are you, Lux Fenwick?\nLux Fenwick: Fine, I guess, Dr. Umbra.\n"
        "Dr. Umbra: Tell me more, Lux Fenwick.\nLux Fenwick: You never listen to me.\n"
    )
    study = Study(shared_desk, make_consent, transcript=talk, therapist="Dr. Umbra")
    page = study.browsers["rosa"].get(f"/review/coding/{study.assign()}").text
    assert "[CLIENT]" in page
    assert "Fenwick" not in page
    assert "Umbra" not in page


def ways(at: str) -> list[tuple[str, str]]:
    """Every way to an assignment."""
    place = f"/review/coding/{at}"
    return [
        ("GET", place),
        ("GET", f"{place}/codes"),
        ("PATCH", f"{place}/codes"),
        ("POST", f"{place}/undo"),
        ("POST", f"{place}/commit"),
        ("POST", f"{place}/take-back"),
        ("GET", f"{place}/agreement"),
        ("POST", f"{place}/adjudication"),
        ("POST", f"{place}/adjudication/undo"),
        ("POST", f"{place}/adjudication/commit"),
        ("GET", f"{place}/codings.csv"),
    ]


def tried(desk: Any, browser: Any, method: str, path: str) -> Any:
    token = desk.csrf(browser)
    headers = {**JSON, "X-CSRF-Token": token, "If-Match": '"0"'}
    said = {"item": "turn-1", "given": {"markers": []}} if method == "PATCH" else None
    return browser.request(method, path, json=said, headers=headers)


def test_every_route_of_coding_is_among_the_ways() -> None:
    from service import agreement_page, coding_page

    known = ways("asg_1")
    for router in (coding_page.router, agreement_page.router):
        for route in router.routes:
            if "{" in route.path:
                fits = [path for method, path in known if method in route.methods]
                assert any(route.path_regex.fullmatch(path) for path in fits), route.path


@pytest.mark.parametrize("role", list(Role))
def test_an_assignment_of_others_is_nowhere_and_the_try_on_record(study: Study, role: Role) -> None:
    at = study.assign()
    ada = browser_of(study.desk, f"nobody_{role}", role)
    for method, path in ways(at):
        answer = tried(study.desk, ada, method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        denied = study.desk.trail()[-1]
        assert (denied.action, denied.reason) == ("access.denied", "not_ones_own"), path
        assert denied.actor_id == study.desk.ids[f"nobody_{role}"]


def test_another_tenants_assignments_are_found_by_no_page(study: Study) -> None:
    at = study.assign()
    other, _ = make_tenant(study.desk.house, "other")
    study.desk.person("eve", *Role, tenant_id=other)
    eve = browser_of(study.desk, "eve")
    for method, path in ways(at):
        assert tried(study.desk, eve, method, path).status_code == 404, path
    page = eve.get("/review/coding").text
    assert study.session_id[-6:] not in page
    assert "rosa" not in page


# -- what is said ------------------------------------------------------------------------------


def test_not_coded_and_coded_as_absent_are_two_things(study: Study) -> None:
    at = study.coded()
    told = rows(study.browsers["tess"].get(f"/review/coding/{at}/codings.csv").text)
    mine = [one for one in told if one["rater_id"] == study.desk.ids["sam"]]
    value = {(one["turn_id"], one["code"]): one["value"] for one in mine}
    assert value["turn-1", "minimal_response"] == "0"
    assert value["turn-3", "minimal_response"] == "NA"


def test_the_table_is_one_that_the_labels_commands_read(study: Study, tmp_path: Path) -> None:
    at = study.coded()
    settle(study, at, 0, take="A", reason="It closes the question.")
    study.post("tess", f"{at}/adjudication/commit", version=1)
    file = tmp_path / "codings.csv"
    file.write_text(study.browsers["tess"].get(f"/review/coding/{at}/codings.csv").text, "utf-8")
    found = read_csv(file)
    check(found)
    assert {one.stage for one in found.annotations} == {"blind", "adjudicated"}
    seen = {one.unit_index for one in found.annotations if one.code == SEEN and not one.turn_id}
    assert seen == {0}


def test_windows_of_one_coder_never_overwrite_each_other(study: Study) -> None:
    at = study.assign()
    assert study.say("rosa", at, 0, "turn-1", markers=["denial"]).is_success
    late = study.say("rosa", at, 0, "turn-1", markers=[])
    assert (late.status_code, late.json()["code"]) == (412, "stale")
    again = study.say("rosa", at, 1, "turn-3", markers=[])
    assert again.json()["changed"].keys() == {"turn-3"}


def test_two_coders_at_once_change_their_own_alone(study: Study) -> None:
    at = study.assign()
    for name in ("rosa", "sam"):
        assert study.say(name, at, 0, "turn-1", markers=["denial"]).json()["version"] == 1


def test_undo_takes_a_change_back_and_what_was_committed_stays(study: Study) -> None:
    at = study.assign()
    assert study.say("rosa", at, 0, "turn-1", markers=["denial"]).is_success
    rosa = study.browsers["rosa"]
    headers = {**JSON, "X-CSRF-Token": study.desk.csrf(rosa), "If-Match": '"1"'}
    undone = rosa.post(f"/review/coding/{at}/undo", headers=headers).json()
    assert undone == {"version": 2, "changed": {"turn-1": None}, "can_undo": False}
    study.commit("rosa", at, 2)
    refused = study.say("rosa", at, 2, "turn-1", markers=[])
    assert (refused.status_code, refused.json()["code"]) == (409, "committed")


def test_time_on_an_item_adds_up(study: Study) -> None:
    at = study.assign()
    study.say("rosa", at, 0, "turn-1", lead_s=4.5, markers=[])
    told = study.say("rosa", at, 1, "turn-1", lead_s=2.0, sure=True).json()
    assert told["changed"]["turn-1"]["lead_s"] == 6.5


def test_codes_are_sealed_and_in_no_file_in_clear(study: Study) -> None:
    at = study.assign()
    study.say("rosa", at, 0, "turn-1", markers=["content_affect_split"])
    files = b"".join(one.read_bytes() for one in study.desk.house.settings.home.glob("*.db*"))
    assert b"content_affect_split" not in files


def test_an_erased_session_takes_its_codings_with_it(study: Study) -> None:
    study.coded()
    assert study.desk.front.client.delete(f"/v1/sessions/{study.session_id}").status_code == 204
    with study.desk.house.store.system() as tx:
        for table in (tables.codings, tables.assignments):
            own = table.c.session_id == study.session_id
            assert tx.select(table, own) == []


def test_a_consent_that_is_taken_back_takes_the_codings_too(study: Study) -> None:
    at = study.coded()
    study.desk.front.client.post(f"/v1/consents/{study.consent}/revoke")
    with study.desk.house.store.system() as tx:
        assert tx.select(tables.codings, tables.codings.c.session_id == study.session_id) == []
    assert study.browsers["rosa"].get(f"/review/coding/{at}").status_code == 404


def test_every_step_is_on_record(study: Study) -> None:
    before = len(study.desk.trail())
    at = study.coded()
    tess = study.browsers["tess"]
    assert tess.get(f"/review/coding/{at}/agreement").status_code == 200
    assert tess.get(f"/review/coding/{at}/codings.csv").status_code == 200
    seen = {one.action for one in study.desk.trail()[before:]}
    assert seen >= {
        "coding.assigned",
        "coding.changed",
        "coding.committed",
        "agreement.read",
        "coding.exported",
    }


# -- somebody's own session, coded before they look ----------------------------------------------


def own_session(desk: Any) -> tuple[Any, str]:
    """A clinician, and a scored session of their client."""
    ada = desk.signed_in("ada")
    session_id = desk.front.scored(
        transcript=EXAMPLE.read_text("utf-8"), therapist="Dr. Rivera", client="ref-1"
    )
    with desk.house.store.transaction(desk.front.tenant_id) as tx:
        tx.add(
            tables.care,
            id="car_1",
            client_id=desk.house.client_id(desk.front.tenant_id, "ref-1"),
            person_id=desk.ids["ada"],
            role="clinician",
            given_by="test",
            created_at=desk.clock(),
        )
    return ada, session_id


def test_a_session_of_ones_own_is_coded_before_its_scores_are_seen(desk: Any) -> None:
    ada, session_id = own_session(desk)
    offer = f'action="/review/sessions/{session_id}/blind"'
    assert offer in ada.get("/review").text
    begun = ada.post(f"/review/sessions/{session_id}/blind", data={"csrf": desk.csrf(ada)})
    assert offer not in ada.get("/review").text
    coding = begun.headers["location"]
    place = f"/review/sessions/{session_id}"
    assert ada.get(place).headers["location"] == coding
    client = desk.house.client_id(desk.front.tenant_id, "ref-1")
    with desk.house.store.system() as tx:
        report = tx.select(tables.reports)[0]["id"]
    for path in (f"{place}/review/{report}", f"{place}/progress"):
        assert ada.get(path, headers=JSON).json()["code"] == "coded_blind", path
    for path in ("/review", f"/review/clients/{client}", "/review/week"):
        page = ada.get(path).text
        assert "without repair" not in page.partition("<ol")[2], path
    assert "[CLIENT]" not in ada.get(coding).text
    assert ada.get(f"{coding}/agreement").status_code == 404
    done = ada.post(f"{coding}/commit", data={"csrf": desk.csrf(ada), "version": 0})
    assert done.headers["location"] == place
    assert "moment-1" in ada.get(place).text
    assert offer not in ada.get("/review").text
    late = ada.post(f"{place}/blind", data={"csrf": desk.csrf(ada)})
    assert late.status_code == 403


def test_nobody_codes_a_session_of_others_so(desk: Any) -> None:
    _, session_id = own_session(desk)
    for role in Role:
        other = desk.signed_in(f"other_{role}", role)
        path = f"/review/sessions/{session_id}/blind"
        assert other.post(path, data={"csrf": desk.csrf(other)}).status_code == 404


def test_who_gave_a_session_out_takes_it_back_until_somebody_commits(study: Study) -> None:
    at = study.assign()
    study.say("rosa", at, 0, "turn-1", markers=[])
    assert study.post("rosa", f"{at}/take-back").status_code == 404
    assert study.post("tess", f"{at}/take-back").status_code == 303
    assert study.browsers["rosa"].get(f"/review/coding/{at}").status_code == 404
    assert study.browsers["rosa"].get(f"/review/sessions/{study.session_id}").status_code == 200


# -- settling ----------------------------------------------------------------------------------


def settle(study: Study, at: str, version: int, **given: str) -> Any:
    form = {"item": "turn-1", "version": str(version), **given}
    return study.post("tess", f"{at}/adjudication", **form)


def letter_of(study: Study, at: str, name: str) -> str:
    """What a coder is called where one settles: in the order of their codings' ids, drawn ones."""
    with study.desk.house.store.system() as tx:
        kept = tx.select(tables.codings, tables.codings.c.assignment_id == at, whole=False)
    coders = [one["person_id"] for one in kept if one["pass"] == BLIND]
    return "AB"[coders.index(study.desk.ids[name])]


def test_a_difference_is_settled_and_both_codings_stay(study: Study) -> None:
    at = study.coded()
    page = study.browsers["tess"].get(f"/review/coding/{at}/agreement").text
    assert 'id="turn-1"' in page
    assert 'id="turn-3"' not in page
    rosas = letter_of(study, at, "rosa")
    settled = settle(study, at, 0, take=rosas, reason="It closes the question.")
    assert settled.status_code == 303
    closed = study.post("tess", f"{at}/adjudication/commit", version=1)
    assert closed.status_code == 303
    told = rows(study.browsers["rosa"].get(f"/review/coding/{at}/codings.csv").text)
    found = {
        (one["rater_id"], one["pass"]): one["value"]
        for one in told
        if (one["turn_id"], one["code"]) == ("turn-1", "minimal_response")
    }
    ids = study.desk.ids
    blind = {(ids["rosa"], "blind"): "1", (ids["sam"], "blind"): "0"}
    assert found == {**blind, (ids["tess"], "adjudicated"): "1"}
    assert "closes the question" not in str(told)
    assert {"adjudication.changed", "adjudication.committed"} <= set(study.desk.actions())


def test_a_settlement_needs_a_reason_and_a_difference(study: Study) -> None:
    at = study.coded()
    assert settle(study, at, 0, take="A", reason=" ").status_code == 422
    assert settle(study, at, 0, take="", reason="why").status_code == 422
    assert settle(study, at, 0, item="turn-3", take="A", reason="why").status_code in (409, 422)
    assert study.post("tess", f"{at}/adjudication/commit", version=0).status_code == 409


def test_only_who_was_named_settles(study: Study) -> None:
    at = study.coded()
    form = {"item": "turn-1", "version": "0", "take": "A", "reason": "mine"}
    assert study.post("rosa", f"{at}/adjudication", **form).status_code == 404


def test_a_settlement_in_another_window_is_not_overwritten(study: Study) -> None:
    at = study.coded()
    given = {"take": "other", "code-denial": "yes", "pillar": "bond", "reason": "Neither."}
    assert settle(study, at, 0, **given).status_code == 303
    assert settle(study, at, 0, take="A", reason="late").status_code == 412
    assert study.post("tess", f"{at}/adjudication/undo", version=1).status_code == 303


def test_markup_stays_text_on_every_page_of_coding(shared_desk: Any, make_consent: Any) -> None:
    turns = [
        {"speaker": who, "text": f"{line} {NASTY}"}
        for who, line in zip("TCTC", ("How are you?", "Fine.", "Sorry.", "No."), strict=True)
    ]
    talk = {"schema": "rupture-transcript/1", "turns": turns}
    study = Study(shared_desk, make_consent, transcript=talk)
    at = study.coded()
    settle(study, at, 0, take="A", reason=NASTY)
    for path in (at, f"{at}/agreement", ""):
        page = study.browsers["rosa"].get(f"/review/coding/{path}".rstrip("/")).text
        page += study.browsers["tess"].get(f"/review/coding/{at}/agreement").text
        assert "<img" not in page
        assert "</script><b>" not in page
    assert "onerror" in page
