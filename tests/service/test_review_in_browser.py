"""The review page in Debian's chromium: keys alone, two at once, markup, sizes, and axe."""

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service import tables
from service.scopes import Role

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_api = pytest.importorskip("axe_playwright_python.base", reason="axe-core is not installed")

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        _CHROMIUM is None,
        reason="BROWSER TESTS NOT RUN: no chromium on this machine (apt-get install chromium)",
    ),
]

_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PHONE = {"width": 390, "height": 844}
_DESK = {"width": 1280, "height": 900}
_WIDE = {"width": 1920, "height": 1080}
EXAMPLE = Path(__file__).parents[2] / "examples" / "session.vtt"
NASTY = "<img src=x onerror=\"document.title='ran'\">"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGS)
        yield browser
        browser.close()


class Site:
    """The pages served, and sessions scored as they come in."""

    def __init__(self, desk: Any) -> None:
        self.desk = desk
        config = uvicorn.Config(desk.front.app, port=0, log_config=None, lifespan="off")
        self.server = uvicorn.Server(config)
        self.is_over = threading.Event()
        self.is_held = threading.Event()
        self.threads = [threading.Thread(target=one) for one in (self.server.run, self._score)]
        for one in self.threads:
            one.start()
        while not self.server.started:
            time.sleep(0.02)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def _score(self) -> None:
        while not self.is_over.wait(0.2):
            if not self.is_held.is_set():
                self.desk.front.work()

    def stop(self) -> None:
        self.is_over.set()
        self.server.should_exit = True
        for one in self.threads:
            one.join()


@pytest.fixture
def site(desk: Any) -> Iterator[Site]:
    made = Site(desk)
    yield made
    made.stop()


@contextmanager
def opened(chromium: Any, site: Site, login: str = "", **options: Any) -> Iterator[Any]:
    """A page that must neither complain nor ask anybody else; of somebody, where that is said."""
    context = chromium.new_context(**{"viewport": _DESK, "base_url": site.url, **options})
    if login:
        cookie = site.desk.signed_in(login).cookies["rupture"]
        context.add_cookies([{"name": "rupture", "value": cookie, "url": site.url}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda said: trouble.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((site.url, "data:")) else trouble.append("away"),
    )
    yield page
    context.close()
    # A refusal that a test brings about is told by chromium itself.
    assert [one for one in trouble if "the server responded with a status" not in one] == []


def brought(site: Site, login: str, client: str = "ref-1", **about: Any) -> str:
    """A scored session of a client whom this person cares for; its path."""
    desk = site.desk
    if login not in desk.ids:
        desk.person(login)
    given = {"transcript": EXAMPLE.read_text("utf-8"), "therapist": "Dr. Rivera", **about}
    session_id = desk.front.hand_in(client=client, **given)
    client_id = desk.house.client_id(desk.front.tenant_id, client)
    with desk.house.store.transaction(desk.front.tenant_id) as tx:
        tx.add_once(
            tables.care,
            id=f"car_{login}_{client_id[:8]}",
            client_id=client_id,
            person_id=desk.ids[login],
            role="clinician",
            given_by="test",
            created_at=desk.clock(),
        )
    while desk.front.client.get(f"/v1/sessions/{session_id}").json()["status"] != "done":
        time.sleep(0.05)
    return f"/review/sessions/{session_id}"


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def saved(page: Any) -> None:
    """Waits until nothing is on its way."""
    told(page, re.compile(r"^(Note s|S)aved\.$"))


def told(page: Any, words: Any, at: str = "#saved") -> None:
    """Waits until the page says this."""
    playwright_api.expect(page.locator(at)).to_have_text(words, timeout=60_000)


def pressed(page: Any, item: str) -> str | None:
    """The verdict that a panel shows."""
    found = page.locator(f'.judge[data-item="{item}"] [aria-pressed="true"]')
    return found.get_attribute("data-verdict") if found.count() else None


# -- keys alone --------------------------------------------------------------------------------


def test_from_signing_in_to_a_finished_review_with_the_keyboard_alone(
    chromium: Any, site: Site
) -> None:
    site.desk.person("ada")
    site.is_held.set()
    with opened(chromium, site) as page:
        page.goto("/review")
        # The browser puts the cursor there by itself, and may do so after the page has loaded.
        playwright_api.expect(page.locator("#login")).to_be_focused(timeout=60_000)
        for words in ("ada", site.desk.password, site.desk.code("ada")):
            page.keyboard.type(words)
            press(page, "Tab")
        press(page, "Enter")
        page.wait_for_url(re.compile(r"/review$"))
        page.locator("main a.button").first.focus()
        press(page, "Enter")
        page.wait_for_url("**/review/upload")
        # The dialog that chooses a file is the system's own.
        page.set_input_files("#file", str(EXAMPLE))
        page.wait_for_selector("#speaker-list select")
        page.locator("#file").focus()
        _fill_in(page)
        press(page, "Enter")
        page.wait_for_url(re.compile(r"/review/sessions/\w+$"))
        page.wait_for_selector(".steps .now")
        site.is_held.clear()
        page.wait_for_selector("#moments")  # it came by itself
        press(page, "n", "a", "4", "n", "x")
        saved(page)
        press(page, "c")
        page.keyboard.type("To be looked at together.")
        press(page, "Escape")
        told(page, "Note saved.")
        page.reload()
        assert (pressed(page, "moment-1"), pressed(page, "moment-2")) == ("agree", "disagree")
        weighed = page.locator('[data-item="moment-1"] [data-field="intensity"]')
        assert weighed.input_value() == "4"
        assert page.locator('[data-item="moment-2"] textarea').input_value().startswith("To be")
        assert page.locator("#progress-of").inner_text() == "2 of 2 moments looked at"
        _share_one(page)
    assert site.desk.actions().count("page.quoted") == 1


def _share_one(page: Any) -> None:
    """From the session to one quote that leaves, by Tab, Space and Enter."""
    page.locator("#share").focus()
    press(page, "Enter")
    page.wait_for_url(re.compile("/share$"))
    page.locator(".where a").focus()
    press(page, "Tab", "Space")
    assert page.locator("input:checked").count() == 1
    for _ in range(40):
        press(page, "Tab")
        if page.evaluate("document.activeElement.matches('main button')"):
            break
    press(page, "Enter")
    page.wait_for_selector("form[action$='/leave']")
    page.locator(".where a").last.focus()
    press(page, "Tab", "Enter")
    page.wait_for_selector(".as-text")
    assert page.locator(".leaving blockquote").count() == 1


def _fill_in(page: Any) -> None:
    """The rest of the upload's form, by Tab and by typing."""
    typed = {
        "client": "ref-1",
        "number": "1",
        "given_at": "01052026",
        "jurisdiction": "DE",
    }
    checked = {"analyse", "human_review"}
    for _ in range(60):
        press(page, "Tab")
        at = page.evaluate("document.activeElement.id")
        if at in typed:
            page.keyboard.type(typed.pop(at))
        elif at in checked:
            checked.discard(at)
            press(page, "Space")
        elif at.startswith("role-"):
            name = page.evaluate("document.activeElement.dataset.name")
            page.keyboard.type("therapist" if "Rivera" in name else "client")
        elif at == "send":
            assert not typed
            assert not checked
            return
    raise AssertionError("the button is not reached by Tab")


def test_undo_takes_back_step_by_step_and_again_takes_a_verdict_back(
    chromium: Any, site: Site
) -> None:
    path = brought(site, "ada")
    with opened(chromium, site, "ada") as page:
        page.goto(path)
        press(page, "n", "a", "x")
        told(page, "Saved.")
        page.wait_for_selector(
            '.judge[data-item="moment-1"] [data-verdict="disagree"][aria-pressed="true"]'
        )
        press(page, "u")
        page.wait_for_selector(
            '.judge[data-item="moment-1"] [data-verdict="agree"][aria-pressed="true"]'
        )
        press(page, "a")
        page.wait_for_selector(
            '.judge[data-item="moment-1"] [data-verdict="agree"][aria-pressed="false"]'
        )
        assert pressed(page, "moment-1") is None


def test_a_repair_is_linked_and_a_moment_added_by_keys(chromium: Any, site: Site) -> None:
    path = brought(site, "ada")
    with opened(chromium, site, "ada") as page:
        page.goto(path)
        press(page, "n", "r", "j", "j", "j")
        turn = page.evaluate("document.activeElement.id")
        assert turn.startswith("turn-")
        press(page, "Enter")
        saved(page)
        repair = page.locator('[data-item="moment-1"] [data-field="repair"]')
        kept = page.evaluate("JSON.parse(document.getElementById('state').textContent).version")
        assert kept == 0  # the page as it came; what is shown now came by script
        if repair.input_value():
            assert repair.input_value() == turn.removeprefix("turn-")
        press(page, "Escape", "j", "j", "m")
        page.wait_for_selector("#added-list .moment")
        added = page.locator("#added-list .moment").get_attribute("data-added")
        page.reload()
        assert page.locator("#added-list .moment").get_attribute("data-added") == added
        page.locator("#added-list [data-remove]").click()
        page.wait_for_selector("#added-list .moment", state="detached")


def test_selected_words_are_marked_by_code_points(chromium: Any, site: Site) -> None:
    lines = (
        "How are you 😀😀 today?",
        "You never listen 😀 to me.",
        "I'm sorry.",
        "Fine, I guess.",
    )
    turns = [{"speaker": who, "text": line} for who, line in zip("TCTC", lines, strict=True)]
    path = brought(site, "ada", transcript={"turns": turns}, therapist="T")
    with opened(chromium, site, "ada") as page:
        page.goto(path)
        page.evaluate(
            """() => {
              const said = document.querySelector('#turn-1 .said');
              const walker = document.createTreeWalker(said, NodeFilter.SHOW_TEXT);
              const nodes = []; while (walker.nextNode()) nodes.push(walker.currentNode);
              const last = nodes[nodes.length - 1];
              const range = document.createRange();
              range.setStart(last, last.data.indexOf('to me'));
              range.setEnd(last, last.data.indexOf('to me') + 5);
              getSelection().removeAllRanges(); getSelection().addRange(range);
            }"""
        )
        press(page, "m")
        page.wait_for_selector("#added-list blockquote")
        assert page.locator("#added-list blockquote").inner_text() == "to me"


def test_keys_do_nothing_while_somebody_types(chromium: Any, site: Site) -> None:
    path = brought(site, "ada")
    with opened(chromium, site, "ada") as page:
        page.goto(path)
        press(page, "n", "c")
        page.keyboard.type("axum")
        assert pressed(page, "moment-1") is None
        assert page.locator('[data-item="moment-1"] textarea').input_value() == "axum"


def test_a_key_of_ones_own_holds_and_one_that_is_taken_is_refused(
    chromium: Any, site: Site
) -> None:
    path = brought(site, "ada")
    with opened(chromium, site, "ada") as page:
        page.goto(path)
        press(page, "?")
        page.locator(".own-keys summary").press("Enter")
        page.locator('[data-action="agree"]').press("Enter")
        press(page, "x")
        told(page, re.compile("x is for “disagree” already"), "#own-keys-said")
        press(page, "g")
        told(page, "“agree” is at g now.", "#own-keys-said")
        press(page, "Escape")
        page.reload()
        press(page, "n", "a", "g")
        saved(page)
        assert pressed(page, "moment-1") == "agree"
        assert page.locator('[data-item="moment-1"] [data-key="agree"]').inner_text() == "g"
        press(page, "?")
        page.locator(".own-keys summary").press("Enter")
        page.locator("#reset-keys").press("Enter")
        press(page, "Escape", "a")
        page.wait_for_selector(
            '.judge[data-item="moment-1"] [data-verdict="agree"][aria-pressed="false"]'
        )


# -- a part of the session ---------------------------------------------------------------------


def shown(page: Any, what: str) -> int:
    """How many of these the page shows."""
    return int(page.locator(f"{what}:not([hidden])").count())


def test_a_part_of_the_session_is_chosen_by_dragging_or_by_keys_and_left_by_escape(
    chromium: Any, site: Site
) -> None:
    path = brought(site, "ada")
    with opened(chromium, site, "ada") as page:
        page.goto(path)
        n_turns, n_moments = shown(page, "#transcript .turn"), shown(page, "#moments .moment")
        assert n_moments > 1
        box = page.locator(".strip .bars").bounding_box()
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 1, y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.2, y, steps=4)
        page.mouse.up()
        told(page, re.compile(r"^0:\d\d to .* turns\. Esc shows all\.$"), "#brush-said")
        assert 0 < shown(page, "#transcript .turn") < n_turns / 2
        assert shown(page, "#moments .moment") < n_moments
        assert page.url.endswith(path)  # a drag follows no link
        press(page, "Escape")
        told(page, "The whole session is shown.", "#brush-said")
        assert shown(page, "#transcript .turn") == n_turns
        page.locator("#brush-from").focus()
        press(page, "End", "ArrowLeft")
        told(page, re.compile(", 2 turns\\. Esc"), "#brush-said")
        assert page.locator("#brush-from").get_attribute("aria-valuetext")
        page.keyboard.press("Shift+Tab")
        press(page, "k", "k", "k")
        assert page.evaluate("document.activeElement.hidden") is False
        assert shown(page, "#transcript .turn") == 2


# -- two at once -------------------------------------------------------------------------------


def test_two_browsers_never_overwrite_each_other(chromium: Any, site: Site) -> None:
    path = brought(site, "ada")
    brought(site, "grace")
    with opened(chromium, site, "ada") as ada, opened(chromium, site, "grace") as grace:
        ada.goto(path)
        grace.goto(path)
        press(ada, "n", "a")
        saved(ada)
        press(grace, "n", "x")
        told(grace, re.compile("^Somebody else"))
        assert pressed(grace, "moment-1") == "agree"
        assert "by ada" in grace.locator('[data-item="moment-1"] [data-by]').inner_text()
        press(grace, "x")
        saved(grace)
        ada.reload()
        assert pressed(ada, "moment-1") == "disagree"


def test_a_visit_that_is_over_loses_nothing_silently(chromium: Any, site: Site) -> None:
    path = brought(site, "ada")
    with opened(chromium, site, "ada") as page:
        page.goto(path)
        site.desk.clock.move(hours=1)
        press(page, "n", "a")
        told(page, re.compile("^You are signed out"))


# -- markup ------------------------------------------------------------------------------------


def test_markup_runs_nowhere(chromium: Any, site: Site, tmp_path: Path) -> None:
    lines = (f"How are you? {NASTY}", f"You never listen. {NASTY}", "I'm sorry.", "Fine, I guess.")
    turns = [
        {"speaker": f"{who} {NASTY}", "text": line} for who, line in zip("TCTC", lines, strict=True)
    ]
    login = f"ada {NASTY}"
    path = brought(
        site, login, f"ref {NASTY}", transcript={"turns": turns}, therapist=f"T {NASTY}", number=1
    )
    nasty_file = tmp_path / "<img src=x onerror=alert(1)>.json"
    nasty_file.write_text(json.dumps({"turns": turns}), "utf-8")
    with opened(chromium, site, login) as page:
        page.on("dialog", lambda dialog: pytest.fail("something ran"))
        page.goto(path)
        page.locator('[data-item="session"] textarea').focus()
        page.keyboard.type(NASTY)
        press(page, "Escape")
        told(page, "Note saved.")
        client = page.locator(".where a").nth(1).get_attribute("href")
        for place in (path, "/review", client, "/review/week", "/review/upload"):
            page.goto(place)
            assert page.title() != "ran"
            assert page.locator("img").count() == 0
        page.set_input_files("#file", str(nasty_file))
        told(page, re.compile("turn"), "#file-said")
        assert page.locator("img").count() == 0
        assert "<img" in page.locator("#speaker-list").inner_text()


# -- how it looks, and for whom ----------------------------------------------------------------


@pytest.fixture(scope="module")
def axe_source() -> str:
    return Path(axe_api.AXE_FILE_PATH).read_text("utf-8")


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("scheme", "viewport"), [("light", _PHONE), ("dark", _DESK)])
def test_every_page_fits_every_width_and_axe_finds_nothing(
    chromium: Any, site: Site, axe_source: str, scheme: str, viewport: dict[str, int]
) -> None:
    path = brought(site, "ada", number=1)
    site.desk.person("root", Role.ADMIN)
    look = {"color_scheme": scheme, "viewport": viewport}
    with opened(chromium, site, "ada", **look) as page:
        page.goto(path)
        client = page.locator(".where a").nth(1).get_attribute("href")
        places = [path, "/review", client, "/review/week", "/review/upload", "/review/help"]
        places += ["/review/sessions/ses_0", "/nothing", f"{path}/share"]
        _examine(page, places, axe_source)
        page.locator("input[type=checkbox]").first.check()
        for _ in ("what will leave", "what leaves"):
            page.locator("main button.main").click()
            _look_at(page, "shared", axe_source)
        page.goto(path)
        press(page, "?")
        page.locator(".own-keys summary").press("Enter")
        _look_at(page, "keys", axe_source)
    with opened(chromium, site, "root", **look) as page:
        _examine(page, ["/review/people"], axe_source)
    with opened(chromium, site, **look) as page:
        _examine(page, ["/review/sign-in"], axe_source)


def _examine(page: Any, places: list[str], axe_source: str) -> None:
    for place in places:
        page.goto(place)
        _look_at(page, place, axe_source)


def _look_at(page: Any, place: str, axe_source: str) -> None:
    page.evaluate(axe_source)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    at = [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found]
    assert (place, at) == (place, [])
    for viewport in (_PHONE, _DESK, _WIDE):
        page.set_viewport_size(viewport)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], place


def test_print_shows_the_session_without_controls(chromium: Any, site: Site) -> None:
    path = brought(site, "ada")
    with opened(chromium, site, "ada") as page:
        page.goto(path)
        press(page, "n", "a")
        saved(page)
        page.emulate_media(media="print")
        shown = page.evaluate(
            "[...document.querySelectorAll('button, textarea, select, nav')]"
            ".filter(e => e.getClientRects().length).map(e => e.textContent.trim())"
        )
        assert [re.sub(r"\s+", " ", one) for one in shown] == ["Agree a"]
        # Nothing that was said leaves with a print: see “Share quotes”.
        said = page.locator("#transcript .said").all_text_contents()
        printed = page.evaluate("document.body.innerText")
        assert [one for one in said if len(one) > 20 and one in printed] == []
        assert page.locator("#moments blockquote").first.is_hidden()
