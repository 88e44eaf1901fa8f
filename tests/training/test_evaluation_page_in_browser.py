"""The evaluation's page in Debian's chromium: both schemes, a phone, no request."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from training.evaluation_page import as_html

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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    assert _CHROMIUM, "chromium is not here (RUPTURE_NEEDS_CHROMIUM is set)"
    with playwright_api.sync_playwright() as playwright:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=arguments)
        yield browser
        browser.close()


@contextmanager
def opened(
    chromium: Any, record: dict[str, Any], folder: Path, width: int, scheme: str
) -> Iterator[Any]:
    """The page, which must neither complain nor ask for anything."""
    path = folder / "evaluation.html"
    path.write_text(as_html(record), "utf-8")
    size = {"width": width, "height": 900}
    context = chromium.new_context(viewport=size, color_scheme=scheme)
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("request", lambda asked: trouble.append(asked.url) if asked.url != path.as_uri() else 0)
    page.goto(path.as_uri())
    yield page
    context.close()
    assert trouble == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_and_nothing_is_fetched(
    chromium: Any, record: dict[str, Any], tmp_path: Path, width: int, scheme: str
) -> None:
    with opened(chromium, record, tmp_path, width, scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.querySelectorAll('svg').length") == 12


_CONTRAST = """() => {
  const shine = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const card = shine(getComputedStyle(document.querySelector('figure')).backgroundColor);
  return [...document.querySelectorAll('svg text, svg .dot')].map(one => {
    const own = shine(getComputedStyle(one).fill);
    return (Math.max(own, card) + .05) / (Math.min(own, card) + .05);
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_dots_stand_out_from_the_card_in_both_schemes(
    chromium: Any, record: dict[str, Any], tmp_path: Path, scheme: str
) -> None:
    many = [{"id": f"s{n}", "name": f"scorer {n}", "claim": ""} for n in range(8)]
    first = record["turns"]["floor"]
    whole = {
        **record,
        "scorers": many,
        **{part: {one["id"]: record[part]["best"] for one in many} for part in ("turns", "agreed")},
        "dev": {one["id"]: first for one in many},
        "segments": {one["id"]: record["segments"]["best"] for one in many},
        "moments": {},
        "ratings": {},
        "markers": [],
        "subgroups": [],
        "differences": [],
    }
    with opened(chromium, whole, tmp_path, 1280, scheme) as page:
        found = page.evaluate(_CONTRAST)
        assert len(found) > 100
        # WCAG 2.1: 4.5 for text, and we hold dots to it as well.
        assert min(found) >= 4.5
