import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detector.corpus import rows
from detector.corpus.errors import NotReports
from detector.corpus.stats import MIN_SESSIONS, Resampled, measure, not_estimable, ratio
from detector.corpus.stats_page import as_html

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def moment(kind: str, strategies: list[str], resolution: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "start_s": 1.0,
        "end_s": 2.0,
        "score": 0.9,
        "pillar": "bond",
        "markers": [],
        "strategies": strategies,
        "resolution": resolution,
    }


def written(path: Path, n_sessions: int, **changed: Any) -> Path:
    """Reports of invented figures: every second session has a moment that is repaired."""
    found = []
    for n in range(n_sessions):
        moments = [moment("withdrawal", ["validates_defense"], "repaired")] if n % 2 else []
        moments += [moment("confrontation", [], "unrepaired")] if n % 3 == 0 else []
        markers = [{"marker": "denial", "n_turns": 2}] if n % 2 else []
        markers += [{"marker": "minimal_response", "n_turns": 1}] if n % 2 else []
        found.append(
            {
                "key": n.to_bytes(16, "big"),
                "session_id": f"s{n}",
                "client_id": f"c{n // 3}",
                "session_number": n % 3 + 1,
                "duration_s": 1800.0,
                "moments": moments,
                "markers": markers,
                "n_moments": len(moments),
                "withdrawal": 1.0 + n % 3,
                "checkpoint": "rules-1",
                "checkpoint_sha256": "ab" * 32,
                "codebook": "1.1",
                **changed,
            }
        )
    pq.write_table(pa.Table.from_pylist(found, schema=rows.schema()), path)
    return path


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    return measure(written(tmp_path / "r.parquet", 60), n_resamples=200)


def rate(record: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in record["rates"] if row["name"] == name)


def test_a_rate_is_what_counting_by_hand_gives_with_an_interval(record: dict[str, Any]) -> None:
    found = rate(record, "all")
    assert found["per_session"]["value"] == pytest.approx(50 / 60)
    assert found["per_hour"]["value"] == pytest.approx(50 / 30)
    assert found["per_session"]["low"] < 50 / 60 < found["per_session"]["high"]
    assert rate(record, "denial")["per_session"]["value"] == pytest.approx(1.0)
    assert rate(record, "denial")["n_sessions"] == 30


def test_the_interval_is_that_of_resampled_sessions() -> None:
    """Beside the known error of a share: half of 400 sessions."""
    values = np.tile([0.0, 1.0], 200)[:, None]
    totals = Resampled(np.arange(400), 2000, 1).sums(np.hstack([values, np.ones((400, 1))]))
    figure = ratio(totals[:, 0], totals[:, 1])
    assert figure["value"] == 0.5
    half = (figure["high"] - figure["low"]) / 2
    assert half == pytest.approx(1.96 * (0.25 / 400) ** 0.5, rel=0.1)


def test_clients_with_all_their_sessions_are_resampled_where_asked_for(tmp_path: Path) -> None:
    """Three sessions of a client that are all alike say as much as one."""
    path = tmp_path / "r.parquet"
    found = written(path, 90)
    table = pq.read_table(found).to_pylist()
    for n, row in enumerate(table):
        row["n_moments"] = n // 3 % 2
        row["moments"] = [moment("mixed", [], "partly")] * (n // 3 % 2)
    pq.write_table(pa.Table.from_pylist(table, schema=rows.schema()), path)
    wide, narrow = (
        rate(measure(path, by=by, n_resamples=500), "all")["per_session"]
        for by in ("client", "session")
    )
    assert wide["value"] == narrow["value"]
    assert (wide["high"] - wide["low"]) > 1.4 * (narrow["high"] - narrow["low"])


def test_the_same_seed_gives_the_same_figures(tmp_path: Path) -> None:
    path = written(tmp_path / "r.parquet", 30)
    one, same, other = (measure(path, seed=seed, n_resamples=50) for seed in (4, 4, 5))
    assert one == same
    assert one["rates"] != other["rates"]


def test_two_markers_that_go_together_lie_above_chance(record: dict[str, Any]) -> None:
    (pair,) = record["together"]["pairs"]
    assert pair["markers"] == ["denial", "minimal_response"]
    assert pair["n_sessions"] == 30
    assert pair["ratio"]["value"] == pytest.approx(2.0)


def test_transitions_go_from_strain_over_the_answer_to_the_outcome(record: dict[str, Any]) -> None:
    flows = {
        (one["kind"], one["strategy"], one["outcome"]): one["n_moments"]
        for one in record["transitions"]["flows"]
    }
    assert flows == {
        ("withdrawal", "validates_defense", "repaired"): 30,
        ("confrontation", "none named", "unrepaired"): 20,
    }
    share = {one["strategy"]: one["share"] for one in record["transitions"]["repaired"]}
    assert share["validates_defense"]["value"] == 1.0
    assert share["none named"]["value"] == 0.0
    assert share["redirects"] == {"not_estimable": "0 sessions took it, and 5 are needed"}


def test_trajectories_are_means_by_session_number(record: dict[str, Any]) -> None:
    followed = record["trajectories"]["withdrawal"]
    assert [point["mean"]["value"] for point in followed] == [1.0, 2.0, 3.0]
    assert [point["n_sessions"] for point in followed] == [20, 20, 20]
    assert "not_estimable" in record["trajectories"]["resolution"][0]["mean"]


def test_nothing_is_made_of_too_few_sessions(tmp_path: Path) -> None:
    record = measure(written(tmp_path / "r.parquet", MIN_SESSIONS - 1))
    assert "rates" not in record
    assert record["not_estimable"] == {"not_estimable": "9 sessions, and 10 are needed"}
    assert "9 sessions, and 10 are needed" in as_html(record)


def test_a_file_without_sessions_is_not_estimable(tmp_path: Path) -> None:
    assert "0 sessions" in str(measure(written(tmp_path / "r.parquet", 0))["not_estimable"])


def test_without_a_clock_there_is_no_rate_by_the_hour(tmp_path: Path) -> None:
    record = measure(written(tmp_path / "r.parquet", 20, duration_s=None), n_resamples=50)
    assert record["how"]["hours"] is None
    said = {row["per_hour"]["not_estimable"] for row in record["rates"]}
    assert said == {"0 sessions with a clock, and 10 are needed"}
    assert "How often, a session" in as_html(record)


def test_without_session_numbers_there_is_no_trajectory(tmp_path: Path) -> None:
    record = measure(written(tmp_path / "r.parquet", 20, session_number=None), n_resamples=50)
    assert "session_number" in record["trajectories"]["not_estimable"]
    assert "session_number" in as_html(record)


def test_counting_by_client_needs_clients(tmp_path: Path) -> None:
    path = written(tmp_path / "r.parquet", 20, client_id=None)
    with pytest.raises(NotReports, match="20 sessions name no client_id"):
        measure(path, by="client")


def test_two_checkpoints_in_one_file_are_not_mixed(tmp_path: Path) -> None:
    one, other = tmp_path / "1.parquet", tmp_path / "2.parquet"
    tables = [pq.read_table(written(one, 9)), pq.read_table(written(other, 9, codebook="2"))]
    pq.write_table(pa.concat_tables(tables), one)
    with pytest.raises(NotReports, match="2 checkpoints or codebooks"):
        measure(one)


def test_no_figure_is_nan_and_every_gap_has_its_reason(record: dict[str, Any]) -> None:
    json.dumps(record, allow_nan=False)
    gaps = list(not_estimable(record))
    assert gaps
    assert all(where and reason for where, reason in gaps)


def test_the_page_loads_nothing_and_says_whose_labels_these_are(record: dict[str, Any]) -> None:
    page = as_html(record)
    assert page.count("<svg") >= 6
    for absent in ("http", "src=", "<script", "@import", "url("):
        assert absent not in page.replace("http-equiv", "")
    assert "not from clinicians" in page


@pytest.mark.browser
@pytest.mark.skipif(
    _CHROMIUM is None and not os.environ.get("RUPTURE_NEEDS_CHROMIUM"),
    reason="BROWSER TESTS NOT RUN: no chromium on this machine (apt-get install chromium)",
)
def test_nothing_sticks_out_on_a_phone_or_a_desk_and_nothing_is_fetched(
    record: dict[str, Any], tmp_path: Path
) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = tmp_path / "page.html"
    path.write_text(as_html(record), "utf-8")
    trouble: list[str] = []
    with api.sync_playwright() as playwright:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=arguments)
        for width, scheme in ((390, "dark"), (1280, "light")):
            size = {"width": width, "height": 900}
            page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
            page.on("console", lambda message: trouble.append(message.text))
            page.on("request", lambda asked: trouble.append(asked.url))
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()
    assert trouble == [path.as_uri()] * 2
