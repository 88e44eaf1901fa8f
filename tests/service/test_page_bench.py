"""The measure of the page in a browser: every line is there, of a session with moments."""

import shutil

import pytest

from detector import Detector, read_transcript
from service import load, page_bench

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        _CHROMIUM is None,
        reason="BROWSER TESTS NOT RUN: no chromium on this machine (apt-get install chromium)",
    ),
]


def test_its_session_has_the_turns_asked_for_and_moments(rules_detector: Detector) -> None:
    report = rules_detector.analyze(read_transcript(page_bench.strained(160)))
    assert len(report.turns) == 160
    assert report.moments


def test_every_figure_has_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUPTURE_DATABASE", raising=False)
    with load.a_place("rules") as place:
        rows = list(page_bench.measure(place, n_turns=160, n_frames=3))
    assert [row.split("|")[1].strip() for row in rows] == [
        "first contentful paint",
        "loaded, scripts run",
        "elements, moments among them",
        "scrolling, 3 frames",
    ]
