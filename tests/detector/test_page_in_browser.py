"""The report's page in Debian's chromium: keys, sizes, schemes, print, no network."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from detector.page import render, render_for_notebook
from detector.report import Report

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        # Where it is asked for, as in CI, the tests fail for want of it.
        _CHROMIUM is None and not os.environ.get("RUPTURE_NEEDS_CHROMIUM"),
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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    assert _CHROMIUM, "chromium is not here (RUPTURE_NEEDS_CHROMIUM is set)"
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report_file(invented_report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(invented_report), "utf-8")
    return path


@contextmanager
def _opened(chromium: Any, path: Path, **options: Any) -> Iterator[Any]:
    """The file in a page that must neither complain nor ask for anything."""
    context = chromium.new_context(**{"viewport": _DESK, **options})
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda asked: trouble.append(asked.url) if asked.url != path.as_uri() else 0)
    page.goto(path.as_uri())
    yield page
    context.close()
    assert trouble == []


_IN_VIEW = """element => {
  const box = element.getBoundingClientRect();
  return box.bottom > 0 && box.top < innerHeight && box.top > -2;
}"""


def _focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.id"))


@pytest.mark.parametrize("viewport", [_PHONE, _DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_quietly_and_never_scrolls_sideways(
    chromium: Any, report_file: Path, viewport: dict[str, int], scheme: str
) -> None:
    with _opened(chromium, report_file, viewport=viewport, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        inside = page.evaluate(
            "[...document.querySelectorAll('main *')].filter(e => !e.closest('svg'))"
            ".filter(e => !e.classList.contains('sr'))"
            ".every(e => e.getBoundingClientRect().right <= innerWidth + 1)"
        )
        assert inside


def test_every_moment_comes_into_view_by_n_and_back_by_p(
    chromium: Any, report_file: Path, invented_report: Report
) -> None:
    names = [f"moment-{number}" for number, _ in enumerate(invented_report.moments, start=1)]
    with _opened(chromium, report_file) as page:
        for key, wanted in (("n", names), ("p", names[-2::-1])):
            for name in wanted:
                page.keyboard.press(key)
                assert _focused(page) == name
                assert page.locator(f"#{name}").evaluate(_IN_VIEW)


def test_n_stays_at_the_last_moment(
    chromium: Any, report_file: Path, invented_report: Report
) -> None:
    last = len(invented_report.moments)
    with _opened(chromium, report_file) as page:
        for _ in range(last + 2):
            page.keyboard.press("n")
        assert _focused(page) == f"moment-{last}"


def test_j_and_k_walk_the_turns(chromium: Any, report_file: Path) -> None:
    with _opened(chromium, report_file) as page:
        walked = []
        for key in "jjjk":
            page.keyboard.press(key)
            walked.append(_focused(page))
            assert page.locator(f"#{walked[-1]}").evaluate(_IN_VIEW)
        assert walked == ["turn-0", "turn-1", "turn-2", "turn-1"]


def test_j_goes_from_a_moment_to_its_turn_and_n_from_there_to_the_next_moment(
    chromium: Any, report_file: Path, invented_report: Report
) -> None:
    with _opened(chromium, report_file) as page:
        page.keyboard.press("n")
        page.keyboard.press("n")
        page.keyboard.press("j")
        assert _focused(page) == f"turn-{invented_report.moments[1].turn_indexes[0]}"
        page.keyboard.press("n")
        assert _focused(page) == "moment-3"


def test_help_opens_by_key_and_closes_by_escape(chromium: Any, report_file: Path) -> None:
    with _opened(chromium, report_file) as page:
        page.keyboard.press("?")
        assert page.locator("#help").is_visible()
        page.keyboard.press("n")
        assert _focused(page) != "moment-1"
        page.keyboard.press("Escape")
        assert not page.locator("#help").is_visible()
        page.get_by_role("button", name="Keys").click()
        assert page.locator("#help").is_visible()


def test_keys_can_be_turned_off_and_leave_the_browsers_own_alone(
    chromium: Any, report_file: Path
) -> None:
    with _opened(chromium, report_file) as page:
        page.keyboard.press("Control+j")
        assert _focused(page) == ""
        page.keyboard.press("?")
        page.get_by_label("Single-letter keys are on").uncheck()
        page.keyboard.press("Escape")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("n")
        assert not _focused(page).startswith("moment")


def test_escape_leaves_a_moment(chromium: Any, report_file: Path) -> None:
    with _opened(chromium, report_file) as page:
        page.keyboard.press("n")
        page.keyboard.press("Escape")
        assert _focused(page) == ""


def test_focus_is_always_seen(chromium: Any, report_file: Path) -> None:
    outlined = "getComputedStyle(document.activeElement).outlineStyle"
    with _opened(chromium, report_file) as page:
        page.keyboard.press("Tab")
        assert page.locator(".skip:focus").evaluate("e => e.getBoundingClientRect().top") >= 0
        for _ in range(40):
            assert page.evaluate(outlined) == "solid"
            assert page.evaluate("document.activeElement.getBoundingClientRect().width") > 0
            page.keyboard.press("Tab")
        page.keyboard.press("n")
        assert page.evaluate(outlined) == "solid"


def test_the_skip_link_leads_to_the_moments(chromium: Any, report_file: Path) -> None:
    with _opened(chromium, report_file) as page:
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.locator("#moments").evaluate(_IN_VIEW)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('section').id") == "moments"


def test_landmarks_and_headings_tell_the_page(chromium: Any, report_file: Path) -> None:
    with _opened(chromium, report_file) as page:
        assert page.get_by_role("main").count() == 1
        assert page.get_by_role("banner").count() == 1
        assert page.get_by_role("navigation").count() == 1
        assert page.get_by_role("heading", level=1).count() == 1
        levels = page.evaluate(
            "[...document.querySelectorAll('main h2, main h3, main h4')].map(e => +e.tagName[1])"
        )
        steps = zip([1, *levels], levels, strict=False)
        assert all(level - before <= 1 for before, level in steps)


def test_a_click_on_the_strip_leads_to_the_turn_and_the_moment(
    chromium: Any, report_file: Path
) -> None:
    with _opened(chromium, report_file) as page:
        page.locator(".bars a[href='#turn-30'] rect").click()
        assert page.locator("#turn-30").evaluate(_IN_VIEW)
        page.locator(".bars a[href='#moment-3'] .hit").click()
        assert page.locator("#moment-3").evaluate(_IN_VIEW)


_TOUCHING = """selector => {
  const boxes = [...document.querySelectorAll(selector)].map(e => e.getBoundingClientRect());
  const touching = [];
  boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, j) => {
    const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
    if (!apart) touching.push([i, i + 1 + j]);
  }));
  return touching;
}"""


@pytest.mark.parametrize("n_turns", [59, 400, 2000])
@pytest.mark.parametrize("viewport", [_PHONE, _DESK], ids=["phone", "desk"])
def test_labels_of_the_strip_do_not_overlap(
    chromium: Any,
    make_longer: Callable[[int], Report],
    tmp_path: Path,
    viewport: dict[str, int],
    n_turns: int,
) -> None:
    path = tmp_path / "long.html"
    path.write_text(render(make_longer(n_turns)), "utf-8")
    with _opened(chromium, path, viewport=viewport) as page:
        assert page.evaluate(_TOUCHING, ".flag .hit, .strip .tick") == []
        assert page.evaluate(_TOUCHING, ".strip :not(.flag) > text") == []
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


_CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b]
    .map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) return colour;
    }
    return [255, 255, 255, 255];
  };
  const low = {};
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || element.closest('svg, script, style, dialog:not([open])')) continue;
    const [a, b] = [luminance(rgb(getComputedStyle(element).color)), luminance(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low[element.tagName + '.' + element.className] = ratio;
  }
  return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_as_drawn_stands_out_from_its_ground(
    chromium: Any, report_file: Path, scheme: str
) -> None:
    with _opened(chromium, report_file, color_scheme=scheme) as page:
        page.keyboard.press("?")
        assert page.evaluate(_CONTRASTS) == {}


def test_the_two_schemes_differ(chromium: Any, report_file: Path) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        with _opened(chromium, report_file, color_scheme=scheme) as page:
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


def test_the_page_is_whole_without_its_script(
    chromium: Any, report_file: Path, invented_report: Report
) -> None:
    with _opened(chromium, report_file, java_script_enabled=False) as page:
        assert page.locator(".moment").count() == len(invented_report.moments)
        assert page.locator("#transcript .turn").count() == len(invented_report.turns)
        assert not page.locator("#show-help").is_visible()
        page.locator(".index a").first.click()
        assert page.url.endswith("#moment-1")


def test_markup_in_a_session_does_nothing(chromium: Any, report_file: Path, tmp_path: Path) -> None:
    # Even unescaped it could not run: the page's policy knows only our script.
    path = tmp_path / "broken.html"
    planted = "<img src=x onerror='document.title=1'><script>document.title=2</script>"
    path.write_text(report_file.read_text("utf-8").replace("<main>", f"<main>{planted}"), "utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    assert page.title() == "Session report"
    page.close()


def test_two_thousand_turns_open(
    chromium: Any, make_longer: Callable[[int], Report], tmp_path: Path
) -> None:
    path = tmp_path / "very-long.html"
    path.write_text(render(make_longer(2000)), "utf-8")
    with _opened(chromium, path, viewport=_PHONE) as page:
        assert page.locator("#transcript .turn").count() == 2000
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.keyboard.press("n")
        assert _focused(page) == "moment-1"


def test_a_moment_is_not_broken_across_printed_pages(
    chromium: Any, report_file: Path, tmp_path: Path
) -> None:
    with _opened(chromium, report_file) as page:
        page.emulate_media(media="print")
        assert page.locator(".moment").first.evaluate("e => getComputedStyle(e).breakInside") == (
            "avoid"
        )
        assert not page.locator("nav").is_visible()
        pdf = tmp_path / "report.pdf"
        page.pdf(path=str(pdf), format="A4")
        n_pages = len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))
        # A4 less its margins is 1000 pixels high: no card may be higher, or it would be broken.
        page.set_viewport_size({"width": 688, "height": 1000})
        heights = page.locator(".moment").evaluate_all("all => all.map(e => e.offsetHeight)")
    assert n_pages >= 4
    assert max(heights) <= 1000


def test_dark_screens_print_on_white(chromium: Any, report_file: Path) -> None:
    with _opened(chromium, report_file, color_scheme="dark") as page:
        page.emulate_media(media="print", color_scheme="dark")
        colour = page.evaluate("getComputedStyle(document.body).color")
    assert colour == "rgb(34, 38, 43)"


def test_links_work_in_a_notebooks_frame(
    chromium: Any, invented_report: Report, tmp_path: Path
) -> None:
    path = tmp_path / "notebook.html"
    path.write_text(f"<p>cell</p>{render_for_notebook(invented_report)}", "utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator(".index a").nth(1).click()
    assert frame.locator("#moment-2").evaluate("e => e === document.activeElement")
    assert page.url == path.as_uri()
    page.close()
