"""Coding in Debian's chromium: from giving a session out to the table, keys alone; and axe."""

import csv
import io
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
from service.caseload import BLIND
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

_ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_SIZES = [
    {"width": 390, "height": 844},
    {"width": 1280, "height": 900},
    {"width": 1920, "height": 1080},
]
EXAMPLE = Path(__file__).parents[2] / "examples" / "session.vtt"
CODERS = ("rosa", "sam", "tess")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGS)
        yield browser
        browser.close()


class Study:
    """The pages served, with a session for research and three researchers."""

    def __init__(self, desk: Any, make_consent: Any) -> None:
        self.desk = desk
        agreed = {"analyse": True, "human_review": True, "research": True}
        self.session_id = desk.front.scored(
            transcript=EXAMPLE.read_text("utf-8"),
            therapist="Dr. Rivera",
            consent=make_consent(scopes=agreed),
        )
        self.cookies = {
            name: desk.signed_in(name, Role.RESEARCHER).cookies["rupture"] for name in CODERS
        }
        config = uvicorn.Config(desk.front.app, port=0, log_config=None, lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()

    @property
    def assignment(self) -> str:
        with self.desk.house.store.system() as tx:
            return str(tx.select(tables.assignments, whole=False)[-1]["id"])


@pytest.fixture
def study(desk: Any, make_consent: Any) -> Iterator[Study]:
    made = Study(desk, make_consent)
    yield made
    made.stop()


@contextmanager
def opened(chromium: Any, study: Study, login: str, **options: Any) -> Iterator[Any]:
    """Somebody's page, which must neither complain nor ask anybody else."""
    context = chromium.new_context(**{"viewport": _SIZES[1], "base_url": study.url, **options})
    context.add_cookies([{"name": "rupture", "value": study.cookies[login], "url": study.url}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda said: trouble.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith((study.url, "data:")) else trouble.append("away")
        ),
    )
    yield page
    context.close()
    assert [one for one in trouble if "the server responded with a status" not in one] == []


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def saved(page: Any) -> None:
    """Waits until nothing is on its way."""
    expected = re.compile(r"Saved\.$")
    playwright_api.expect(page.locator("#saved")).to_have_text(expected, timeout=60_000)


def tab_to(page: Any, fits: str) -> None:
    """Goes on by Tab until the element that has the focus fits a selector."""
    for _ in range(120):
        press(page, "Tab")
        if page.evaluate("fits => document.activeElement.matches(fits)", fits):
            return
    raise AssertionError(f"{fits} is not reached by Tab")


def says(page: Any, item: str) -> str:
    return str(page.locator(f"#{item} [data-says]").inner_text()).replace("\n", " ")


def give_out(page: Any, study: Study) -> None:
    """The form, by Tab, Space and typing alone."""
    ids = study.desk.ids
    page.goto("/review/coding")
    tab_to(page, "#session")
    for name in ("rosa", "sam"):
        tab_to(page, f"#coder-{ids[name]}")
        press(page, "Space")
    tab_to(page, "#adjudicator")
    page.keyboard.type("tess")
    tab_to(page, "#study")
    page.keyboard.type("pilot")
    tab_to(page, "form.narrow button.main")
    press(page, "Enter")
    page.wait_for_selector("table")


def commit(page: Any) -> None:
    tab_to(page, "#commit")
    press(page, "Enter")
    page.wait_for_selector("#committing[open]")
    tab_to(page, "#commit-send")
    press(page, "Enter")
    page.wait_for_url(re.compile(r"/review/coding$"))


def test_from_giving_out_to_the_table_with_the_keyboard_alone(chromium: Any, study: Study) -> None:
    with opened(chromium, study, "tess") as page:
        give_out(page, study)
    at = f"/review/coding/{study.assignment}"
    with opened(chromium, study, "rosa") as page:
        page.goto(at)
        press(page, "j", " ")  # the therapist's opening: nothing
        press(page, "1", "t", "i", "i", "s")
        saved(page)
        assert says(page, "turn-1") == "Minimal response Task strength 2 sure"
        press(page, "j", " ", "Shift+Digit1")
        saved(page)
        assert "Complaint about the therapist" in says(page, "turn-3")
        press(page, "u")
        playwright_api.expect(page.locator("#turn-3 [data-says]")).to_have_text(
            "not coded", timeout=60_000
        )
        press(page, "n", "z")
        saved(page)
        while not page.evaluate("document.activeElement.id.startsWith('segment')"):
            press(page, "j")
        press(page, "4", "1", "3", "2")
        saved(page)
        assert says(page, "segment-0").split() == (
            ["Withdrawal", "4", "Confrontation", "1", "Resolution", "3", "Contribution", "2"]
        )
        commit(page)
    with opened(chromium, study, "sam") as page:
        page.goto(at)
        assert "Minimal response" not in page.locator("#transcript").inner_text()
        press(page, "j", " ", " ")
        saved(page)
        assert says(page, "turn-1") == "nothing here"
        commit(page)
    with opened(chromium, study, "tess") as page:
        page.goto("/review/coding")
        tab_to(page, f"main a[href$='{study.assignment}/agreement']")
        press(page, "Enter")
        page.wait_for_selector("#turn-1.difference")
        settle_all(page)
        page.locator("#close").focus()
        tab_to(page, "#close button.main")
        press(page, "Enter")
        page.wait_for_selector("#close .notice.good")
        with page.expect_download() as loading:
            tab_to(page, "a[download]")
            press(page, "Enter")
        told = Path(loading.value.path()).read_text("utf-8")
    check_table(study, told)


def settle_all(page: Any) -> None:
    """Every difference: as coder A said, by keys."""
    while page.locator("form.settle input[type=radio]").count():
        tab_to(page, "form.settle input[type=radio]")
        press(page, "Space")
        tab_to(page, ".reason input")
        page.keyboard.type("It closes the question.")
        with page.expect_navigation():
            press(page, "Enter")


def coder_a(study: Study) -> str:
    """Who is called A where one settles: whose coding has the lower id, and ids are drawn."""
    with study.desk.house.store.system() as tx:
        at = tx.select(tables.assignments, tables.assignments.c.study == "pilot", whole=False)
        mine = tables.codings.c.assignment_id == at[-1]["id"]
        kept = tx.select(tables.codings, mine, whole=False)
    return str(next(one["person_id"] for one in kept if one["pass"] == BLIND))


def check_table(study: Study, told: str) -> None:
    rows = list(csv.DictReader(io.StringIO(told)))
    ids = study.desk.ids
    found = {
        (one["rater_id"], one["pass"]): one["value"]
        for one in rows
        if (one["turn_id"], one["code"]) == ("turn-1", "minimal_response")
    }
    said = {(ids["rosa"], "blind"): "1", (ids["sam"], "blind"): "0"}
    stands = said[coder_a(study), "blind"]
    assert found == {**said, (ids["tess"], "adjudicated"): stands}
    sams = [one for one in rows if one["rater_id"] == ids["sam"] and one["turn_id"] == "turn-5"]
    assert {one["value"] for one in sams} == {"NA"}
    assert {one["study_id"] for one in rows} == {"pilot"}


def test_words_are_marked_and_a_strategy_linked_by_keys(chromium: Any, study: Study) -> None:
    with opened(chromium, study, "tess") as page:
        give_out(page, study)
    with opened(chromium, study, "rosa") as page:
        page.goto(f"/review/coding/{study.assignment}")
        press(page, "j", "j", "1", "m", "ArrowRight", "Shift+ArrowRight", "Enter")
        saved(page)
        words = page.locator("#turn-1 .said").inner_text().split()
        assert page.locator("#turn-1 mark").inner_text().split() == words[1:3]
        press(page, "j", "8", "r")
        saved(page)
        assert says(page, "turn-2") == "Validates the defence answers turn 1"
        page.reload()
        assert page.locator("#turn-1 mark").inner_text().split() == words[1:3]


def test_time_counts_while_somebody_looks_and_stops_when_idle(chromium: Any, study: Study) -> None:
    with opened(chromium, study, "tess") as page:
        give_out(page, study)
    with opened(chromium, study, "rosa") as page:
        page.clock.install()
        page.goto(f"/review/coding/{study.assignment}")
        press(page, "j")
        page.clock.run_for(10_000)
        press(page, "1")
        saved(page)
        assert lead_s(study, "turn-0") == pytest.approx(10, abs=1)
        press(page, "j")
        page.clock.run_for(300_000)
        press(page, "1")
        saved(page)
        assert lead_s(study, "turn-1") == pytest.approx(30, abs=2)


def lead_s(study: Study, item: str) -> float:
    """What is kept of how long an item took the only coder who has begun."""
    from service.codings import Codings
    from service.entrance import Visitor
    from service.keys import Secret

    desk = study.desk
    who = Visitor(desk.front.tenant_id, desk.ids["rosa"], frozenset({Role.RESEARCHER}), Secret("x"))
    codings = Codings(desk.house, desk.front.queue)
    _, kept = codings.read(who.actor(), who, study.assignment)
    return kept.coding.annotations[item].lead_s


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_coding_fits_every_width_and_axe_finds_nothing(
    chromium: Any, study: Study, scheme: str
) -> None:
    source = Path(axe_api.AXE_FILE_PATH).read_text("utf-8")
    with opened(chromium, study, "tess") as page:
        give_out(page, study)
    at = f"/review/coding/{study.assignment}"
    for name, code in (("rosa", "1"), ("sam", " ")):
        with opened(chromium, study, name, color_scheme=scheme) as page:
            page.goto("/review/coding")
            examine(page, source)
            page.goto(at)
            press(page, "j", " ", code, "k", "j")
            examine(page, source)
            if name == "rosa":
                press(page, "?")
                examine(page, source)
                press(page, "Escape")
            commit(page)
            page.goto(at)
            examine(page, source)
    with opened(chromium, study, "tess", color_scheme=scheme) as page:
        page.goto(f"{at}/agreement")
        examine(page, source)


def examine(page: Any, source: str) -> None:
    page.evaluate(source)
    for viewport in _SIZES:
        page.set_viewport_size(viewport)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], page.url
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        at = [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found]
        assert (page.url, viewport["width"], at) == (page.url, viewport["width"], [])
    page.set_viewport_size(_SIZES[1])
