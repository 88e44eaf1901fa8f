"""The agreement's page in Debian's chromium: both schemes, a phone, no request."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from detector.annotation import Annotation, Labels
from training.agreement_page import as_html
from training.agreement_record import measure
from training.coding import lay_out

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


def labels() -> Labels:
    """Two coders of six sessions who are at one three times of four."""
    found = []
    for session in range(6):
        for turn in range(1, 17, 2):
            for coder in "ab":
                there = (turn + session) % 4 == 1 or (coder == "b" and turn == 7)
                own = (f"s{session}", "turn", turn, coder)
                found.append(Annotation(*own, "denial", int(there), start_ms=turn * 20_000))
                found.append(Annotation(*own, "seen"))
    return Labels(tuple(found))


@pytest.fixture(scope="module")
def html() -> str:
    return as_html(measure(labels(), lay_out(labels()), labels_from="nobody: <b>invented</b>"))


def test_the_page_holds_on_a_phone_and_at_a_desk_and_fetches_nothing(
    html: str, tmp_path: Path
) -> None:
    assert _CHROMIUM, "chromium is not here (RUPTURE_NEEDS_CHROMIUM is set)"
    path = tmp_path / "agreement.html"
    path.write_text(html, "utf-8")
    trouble: list[str] = []
    with playwright_api.sync_playwright() as playwright:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=arguments)
        for width, scheme in ((390, "light"), (1280, "dark")):
            page = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme
            ).new_page()
            page.on("console", lambda message: trouble.append(message.text))
            page.on("request", lambda one: trouble.append(one.url) if "file:" not in one.url else 0)
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("svg .dot").count() >= 12
            assert page.locator("#confusion td.other").count() >= 1
            assert page.locator("#disagreements tbody tr").count() >= 1
            assert page.locator("header b").count() == 0
        browser.close()
    assert trouble == []


def test_the_page_says_why_a_figure_is_missing(html: str) -> None:
    assert "not estimable (no coder used it: one class only)" in html


def test_a_record_without_marks_still_makes_a_page() -> None:
    only: Any = Labels((Annotation("s", "turn", 1, "a", "seen"),))
    page = as_html(measure(only, lay_out(only)))
    assert "No coefficient could be estimated" in page
