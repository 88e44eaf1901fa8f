"""The documentation as a site: it builds without a warning, asks nobody, and its steps run."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detector.codebook import load_codebook

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_the_site_has_a_page_for_each_of_the_three_users(site: Path) -> None:
    start = (site / "index.html").read_text("utf-8")
    for name in ("clinician", "platform", "researcher"):
        assert f'href="{name}.html"' in start
        assert (site / f"{name}.html").is_file()


def test_the_codebooks_page_has_every_marker_with_its_definition(site: Path) -> None:
    page = (site / "codebook.html").read_text("utf-8")
    for marker in load_codebook().markers.values():
        assert f"<code>{marker.id}</code>" in page
        assert marker.title in page


def test_the_model_cards_page_is_the_shipped_checkpoints(site: Path) -> None:
    card = (ROOT / "models" / "checkpoints" / "default" / "MODEL_CARD.md").read_text("utf-8")
    [sha256] = re.findall(r"sha256 ([0-9a-f]{64})", card)
    assert sha256 in (site / "model-card.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("detector", "detector.pipeline.Detector.analyze"),
        ("models", "models.registry.load_checkpoint"),
        ("training", "training.config.TrainConfig"),
        ("client", "service.client.Client.upload"),
    ],
)
def test_the_reference_is_made_from_the_docstrings(site: Path, page: str, name: str) -> None:
    assert f'id="{name}"' in (site / "reference" / f"{page}.html").read_text("utf-8")


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    asked = re.compile(r"""<(?:script|img|iframe|source)[^>]*\ssrc="?(https?:)?//""")
    linked = re.compile(
        r"""<link[^>]*rel="?(?:stylesheet|icon|preconnect|preload)[^>]*href="?(https?:)?//"""
    )
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        assert not asked.search(text), page.name
        assert not linked.search(text), page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?https?:", sheet.read_text("utf-8")), sheet.name


@pytest.mark.browser
@pytest.mark.skipif(
    shutil.which("chromium") is None and not os.environ.get("RUPTURE_NEEDS_CHROMIUM"),
    reason="BROWSER TESTS NOT RUN: no chromium on this machine (apt-get install chromium)",
)
def test_every_page_opens_without_a_complaint_or_a_look_elsewhere(site: Path) -> None:
    """On a phone and on a desk: no script fails, nothing is asked for, no page is too wide."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        trouble: list[str] = []
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda one: trouble.append(one.url) if outside(one.url) else None)
        for path in sorted(site.rglob("*.html")):
            page.goto(path.as_uri(), wait_until="domcontentloaded")
            for width in (390, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                wide = page.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    trouble.append(f"{path.name} is {wide} wide in {width}")
        browser.close()
    assert trouble == []


def outside(url: str) -> bool:
    """Whether a URL is no file of this machine."""
    return not url.startswith(("file:", "data:", "blob:"))


Paste = Callable[[str], Path]


@pytest.fixture
def paste(tmp_path: Path) -> Iterator[Paste]:
    """Runs a page's `sh` blocks one after the other, as pasted, where the examples are."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    own = tmp_path / "bin"
    own.mkdir()
    (own / "rupture").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m detector "$@"\n')
    (own / "rupture").chmod(0o755)
    kept = {name: v for name, v in os.environ.items() if name != "PORT"}
    path = f"{own}:{os.environ['PATH']}"

    def run(name: str) -> Path:
        text = (DOCS / f"{name}.md").read_text("utf-8")
        steps = "\n".join(re.findall(r"(?ms)^```sh\n(.*?)^```$", text))
        assert steps
        done = subprocess.run(
            ["sh", "-eu", "-c", steps],
            cwd=tmp_path,
            env={**kept, "PATH": path, "PYTHONPATH": str(ROOT), "PORT": free_port()},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return tmp_path

    yield run
    if (pid := tmp_path / "serve.pid").is_file():
        subprocess.run(["kill", pid.read_text().strip()], stderr=subprocess.DEVNULL)


def free_port() -> str:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def test_the_clinicians_ten_minutes_go_as_they_are_pasted(paste: Paste) -> None:
    page = (paste("clinician") / "reports" / "session.html").read_text("utf-8")
    assert page.lstrip().lower().startswith("<!doctype")


@pytest.mark.skipif(shutil.which("curl") is None, reason="NOT TESTED: no curl")
def test_the_platforms_ten_minutes_go_as_they_are_pasted(paste: Paste) -> None:
    report: Any = (paste("platform") / "report.json").read_text("utf-8")
    assert '"rupture-report/1"' in report


def test_the_researchers_ten_minutes_go_as_they_are_pasted(paste: Paste) -> None:
    assert len((paste("researcher") / "reports" / "session.csv").read_text().splitlines()) > 10


@pytest.mark.parametrize("page", ["researcher"])
def test_the_python_of_the_ten_minutes_runs_as_it_stands(page: str) -> None:
    code = "\n".join(
        re.findall(r"(?ms)^```python\n(.*?)^```$", (DOCS / f"{page}.md").read_text("utf-8"))
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
