"""Coming and going: the sign-in page, its cookies, what is refused, and what is on record."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute

from service import tables
from service.accounts import FREE_FAILURES
from service.app import PAGES
from service.rotation import rotate_tenant
from service.scopes import Role
from service.visits import ABSOLUTE, IDLE


def test_somebody_with_login_password_and_code_comes_in(desk: Any) -> None:
    browser = desk.signed_in("Ada@example.org")
    assert browser.get("/review/help").status_code == 200
    done = desk.trail()[-1]
    assert (done.action, done.actor_kind, done.actor_id) == (
        "sign_in.done",
        "user",
        desk.ids["Ada@example.org"],
    )


@pytest.mark.parametrize(
    "given",
    [
        {"password": "not the right one"},
        {"code": "000000"},
        {"login": "somebody.else"},
        {"password": ""},
    ],
)
def test_whatever_is_wrong_gets_one_answer_and_is_on_record(
    desk: Any, given: dict[str, str]
) -> None:
    desk.person("ada")
    browser = desk.browser()
    answer = desk.try_in(browser, "ada", **{"code": desk.code("ada"), **given})
    assert answer.status_code == 401
    assert "The login, password or code is wrong." in answer.text
    assert "rupture" not in browser.cookies
    failed = desk.trail()[-1]
    assert (failed.action, failed.outcome, failed.reason) == (
        "sign_in.failed",
        "denied",
        "bad_sign_in",
    )
    known = given.get("login") is None
    assert failed.target_id == (desk.ids["ada"] if known else "")


def test_a_code_is_good_once(desk: Any) -> None:
    desk.person("ada")
    code = desk.code("ada")
    assert desk.try_in(desk.browser(), "ada", code=code).status_code == 303
    assert desk.try_in(desk.browser(), "ada", code=code).status_code == 401


def test_a_recovery_code_is_good_once(desk: Any) -> None:
    desk.person("ada")
    code = desk.enrolled["ada"].recovery_codes[0].value
    assert desk.try_in(desk.browser(), "ada", code=code).status_code == 303
    assert desk.try_in(desk.browser(), "ada", code=code).status_code == 401


def test_the_wait_is_told_and_passes(desk: Any) -> None:
    desk.person("ada")
    for _ in range(FREE_FAILURES):
        desk.try_in(desk.browser(), "ada", code="1")
    refused = desk.try_in(desk.browser(), "ada", code="1")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    desk.clock.move(seconds=31)
    assert desk.try_in(desk.browser(), "ada", code=desk.code("ada")).status_code == 303


def test_the_table_of_failures_holds_no_login(desk: Any) -> None:
    desk.try_in(desk.browser(), "grace@example.org", code="1")
    with desk.house.store.system() as tx:
        rows = tx.connection.execute(sa.select(tables.failures)).all()
    assert len(rows) == 1
    assert "grace" not in str(rows)


def test_a_login_and_its_secrets_are_sealed_at_rest(desk: Any) -> None:
    desk.person("grace@example.org")
    with desk.house.store.system() as tx:
        row = dict(tx.select(tables.people)[0])
    assert b"grace" not in row["secrets"]
    assert "grace" not in str(row)


def test_a_tenants_new_key_locks_nobody_out(desk: Any) -> None:
    desk.person("ada")
    rotate_tenant(desk.house, desk.front.tenant_id)
    desk.signed_in("ada")


def test_a_visit_ends_where_nothing_happens(desk: Any) -> None:
    browser = desk.signed_in("ada")
    desk.clock.move(seconds=IDLE.total_seconds() - 1)
    assert browser.get("/review/help").status_code == 200
    desk.clock.move(seconds=IDLE.total_seconds())
    led = browser.get("/review/help")
    assert led.headers["location"] == "/review/sign-in?next=/review/help&over=idle"
    assert desk.trail()[-1].action == "sign_in.idled"
    assert browser.get("/review/help").status_code == 303


def test_a_visit_ends_after_a_working_day(desk: Any) -> None:
    browser = desk.signed_in("ada")
    for _ in range(int(ABSOLUTE.total_seconds() // 600)):
        desk.clock.move(seconds=599)
        assert browser.get("/review/help").status_code == 200
    desk.clock.move(seconds=600)
    assert "over=visit_over" in browser.get("/review/help").headers["location"]


def test_who_signs_out_is_out_even_with_the_old_cookie(desk: Any) -> None:
    browser = desk.signed_in("ada")
    kept = dict(browser.cookies)
    answer = browser.post("/review/sign-out", data={"csrf": desk.csrf(browser)})
    assert answer.headers["location"] == "/review/sign-in"
    assert desk.trail()[-1].action == "sign_in.ended"
    browser.cookies.update(kept)
    assert browser.get("/review/help").status_code == 303


def test_a_new_sign_in_closes_the_visit_that_the_browser_had(desk: Any) -> None:
    browser = desk.signed_in("ada")
    kept = browser.cookies["rupture"]
    browser.cookies.delete("rupture", domain="localhost.local")
    page = browser.get("/review/sign-in").text
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token
    form = {"token": token[1], "login": "ada", "password": desk.password}
    browser.cookies.set("rupture", kept, domain="localhost.local")
    assert (
        browser.post("/review/sign-in", data={**form, "code": desk.code("ada")}).status_code == 303
    )
    old = desk.browser()
    old.cookies.set("rupture", kept)
    assert old.get("/review/help").status_code == 303


@pytest.mark.parametrize(
    ("name", "url", "is_secure"),
    [
        ("rupture", "", False),
        ("__Host-rupture", "https://review.example.org", True),
    ],
)
def test_the_cookie_is_for_this_host_and_no_script(
    make_desk: Callable[..., Any], name: str, url: str, is_secure: bool
) -> None:
    desk = make_desk(public_url=url)
    desk.person("ada")
    browser = desk.browser()
    browser.base_url = url or "http://localhost"
    answer = desk.try_in(browser, "ada", code=desk.code("ada"))
    [said] = [one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{name}=")]
    parts = {one.strip().lower() for one in said.split(";")[1:]}
    assert {"httponly", "path=/", "samesite=lax"} <= parts
    assert ("secure" in parts) is is_secure
    assert not any(one.startswith("domain") for one in parts)


def test_without_a_public_url_nobody_signs_in_from_elsewhere(desk: Any) -> None:
    answer = desk.browser("review.example.org").get("/review/sign-in")
    assert answer.status_code == 403
    assert "RUPTURE_PUBLIC_URL" in answer.text


def test_another_site_cannot_sign_a_browser_in(desk: Any) -> None:
    desk.person("ada")
    form = {"login": "ada", "password": desk.password, "code": desk.code("ada"), "token": "x.y.z"}
    browser = desk.browser()
    assert browser.post("/review/sign-in", data=form).status_code == 403
    elsewhere = desk.browser()
    token = re.search(r'name="token" value="([^"]+)"', elsewhere.get("/review/sign-in").text)
    assert token
    browser.get("/review/sign-in")
    assert browser.post("/review/sign-in", data={**form, "token": token[1]}).status_code == 403
    assert "sign_in.done" not in desk.actions()


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example/review",
        "/review/../../x",
        "/reviewer",
        "\\\\evil",
        "/review\\@evil",
        "javascript:alert(1)",
        "",
    ],
)
def test_signing_in_leads_to_no_other_place(desk: Any, to: str) -> None:
    desk.person("ada")
    answer = desk.try_in(desk.browser(), "ada", code=desk.code("ada"), next=to)
    assert answer.status_code == 303
    assert re.fullmatch(r"/review(/[\w./-]*)?", answer.headers["location"])


def test_who_changes_a_password_ends_the_visits(desk: Any) -> None:
    from service.accounts import change_password

    browser = desk.signed_in("ada")
    desk.clock.move(seconds=1)
    now = desk.clock()
    desk.people.change("ada", lambda kept: change_password(kept, "another long way", now=now))
    assert browser.get("/review/help").status_code == 303


def test_an_account_that_was_ended_lets_nobody_in(desk: Any) -> None:
    from service.accounts import disable

    browser = desk.signed_in("ada")
    now = desk.clock()
    desk.people.change("ada", lambda kept: disable(kept, now=now), "account.removed")
    assert browser.get("/review/help").status_code == 303
    assert desk.try_in(desk.browser(), "ada", code=desk.code("ada")).status_code == 401


def pages() -> list[APIRoute]:
    """Every route under /review."""
    found = [one for router in PAGES for one in router.routes if isinstance(one, APIRoute)]
    assert all(one.path.startswith("/review") for one in found)
    return found


OPEN = frozenset(
    {"/review/sign-in", "/review/sign-in/start", "/review/signed-in", "/review/static/{name}"}
)


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "ses_0", path)


def test_every_page_is_closed_to_who_has_not_signed_in(desk: Any) -> None:
    browser = desk.browser()
    tried = [one for one in pages() if one.path not in OPEN]
    assert tried
    for one in tried:
        for method in one.methods:
            answer = browser.request(method, filled(one.path))
            assert answer.status_code == 303, one.path
            assert answer.headers["location"].startswith("/review/sign-in?"), one.path


def test_no_key_of_the_api_opens_a_page(desk: Any) -> None:
    browser = desk.browser()
    browser.headers["Authorization"] = f"Bearer {desk.front.key}"
    for one in pages():
        if one.path not in OPEN and "GET" in one.methods:
            assert browser.get(filled(one.path)).status_code == 303, one.path


def test_the_cookie_of_a_page_opens_nothing_of_the_api(desk: Any) -> None:
    browser = desk.signed_in("ada", *Role)
    for path in ("/v1/sessions", "/v1/events", "/v1/models"):
        assert browser.get(path).status_code == 401


def test_every_change_needs_the_token_of_the_visit(desk: Any) -> None:
    browser, other = desk.signed_in("ada", *Role), desk.signed_in("grace", *Role)
    foreign = desk.csrf(other)
    changing = [one for one in pages() if one.methods - {"GET", "HEAD"}]
    tried = [one for one in changing if one.path not in OPEN]
    assert tried
    for one in tried:
        for method in one.methods - {"GET", "HEAD"}:
            for token in ({}, {"X-CSRF-Token": foreign}, {"X-CSRF-Token": "main.x.y"}):
                answer = browser.request(method, filled(one.path), headers=token)
                assert answer.status_code == 403, one.path
                assert "load the page again" in answer.text, one.path
            good = {"X-CSRF-Token": desk.csrf(browser), "Sec-Fetch-Site": "cross-site"}
            assert browser.request(method, filled(one.path), headers=good).status_code == 403


def test_pages_forbid_what_is_not_ours(desk: Any) -> None:
    browser = desk.signed_in("ada")
    for path in ("/review/sign-in", "/review/help", "/review/nowhere"):
        fields = browser.get(path).headers
        policy = fields["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert fields["cache-control"] == "no-store"
        assert fields["x-frame-options"] == "DENY"


def test_scripts_and_styles_are_kept_by_their_content(desk: Any) -> None:
    browser = desk.browser()
    page = browser.get("/review/sign-in").text
    assert "<style" not in page
    for place in re.findall(r'(?:href|src)="(/review/static/[^"]+)"', page):
        answer = browser.get(place)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert browser.get("/review/static/..%2fsettings.py").status_code == 404


# -- an OpenID provider ------------------------------------------------------------------------


@pytest.fixture
def clinic_desk(make_desk: Callable[..., Any], fake: Any) -> Any:
    return make_desk(
        public_url="http://localhost",
        oidc_issuer=fake.issuer,
        oidc_client_id="us",
        oidc_client_secret=fake.secret,
        oidc_roles={"clinic-therapists": "clinician"},
    )


def test_somebody_whom_the_provider_knows_comes_in(clinic_desk: Any, fake: Any) -> None:
    browser = clinic_desk.browser()
    assert "/review/sign-in/start" in browser.get("/review/sign-in").text
    away = browser.get("/review/sign-in/start").headers["location"]
    assert away.startswith(fake.issuer)
    back = browser.get("/review/signed-in", params=fake.come_back(away))
    assert (back.status_code, back.headers["location"]) == (303, "/review")
    assert browser.get("/review/help").status_code == 200
    assert clinic_desk.actions()[-2:] == ["account.created", "sign_in.done"]
    [person] = clinic_desk.people.listed(clinic_desk.front.tenant_id)
    assert (person["kind"], person["roles"], person["name"]) == ("oidc", ["clinician"], "Ada")


def test_an_answer_that_another_browser_began_lets_nobody_in(clinic_desk: Any, fake: Any) -> None:
    browser = clinic_desk.browser()
    params = fake.come_back(browser.get("/review/sign-in/start").headers["location"])
    refused = clinic_desk.browser().get("/review/signed-in", params=params)
    assert refused.status_code == 401
    failed = clinic_desk.trail()[-1]
    assert (failed.action, failed.reason) == ("sign_in.failed", "bad_state")


def test_an_answer_is_good_once(clinic_desk: Any, fake: Any) -> None:
    browser = clinic_desk.browser()
    params = fake.come_back(browser.get("/review/sign-in/start").headers["location"])
    assert browser.get("/review/signed-in", params=params).status_code == 303
    assert browser.get("/review/signed-in", params=params).status_code == 401


def test_who_has_no_group_with_a_role_is_refused_on_record(clinic_desk: Any, fake: Any) -> None:
    fake.claims = {"groups": ["everybody"]}
    browser = clinic_desk.browser()
    params = fake.come_back(browser.get("/review/sign-in/start").headers["location"])
    refused = browser.get("/review/signed-in", params=params)
    assert (refused.status_code, fake.canary in refused.text) == (403, False)
    assert clinic_desk.trail()[-1].reason == "no_role"


def test_without_a_provider_its_routes_are_not_there(desk: Any) -> None:
    for path in ("/review/sign-in/start", "/review/signed-in"):
        assert desk.browser().get(path).status_code == 404


def test_the_form_is_not_there_where_local_accounts_are_off(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(local_accounts=False)
    browser = desk.browser()
    assert 'name="password"' not in browser.get("/review/sign-in").text
    assert browser.post("/review/sign-in", data={"login": "a"}).status_code == 404
