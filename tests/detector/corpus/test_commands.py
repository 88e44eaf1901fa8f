import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from detector.corpus import store
from detector.corpus.commands import app
from detector.corpus.plan import Plan

Write = Callable[[Path, Sequence[Any]], Path]
RULES = ("--checkpoint", "rules", "--workers", "1")


def said(*given: Path | str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(one) for one in given])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_scoring_says_how_many_and_where(corpus: Path, reports: Path, tmp_path: Path) -> None:
    out = tmp_path / "reports.parquet"
    out.write_bytes(reports.read_bytes())
    text = said("score", corpus, "--out", out, *RULES)
    assert text == f"48 of 48 sessions in {out}, 48 of them scored before."


def test_a_bad_session_makes_exit_code_3_and_names_the_side_list(
    tmp_path: Path, write_corpus: Write
) -> None:
    path = write_corpus(tmp_path / "a.jsonl", ['{"turns": "canary', {"turns": []}])
    text = said("score", path, "--out", tmp_path / "r.parquet", *RULES, code=3)
    assert "0 of 2 sessions" in text
    assert text.endswith(f"2 sessions were not scored: see {tmp_path / 'r.problems.jsonl'}")
    assert "canary" not in text


def test_keys_that_are_not_read_are_said_at_the_end_and_fail_nothing(
    tmp_path: Path, write_corpus: Write, make_rows: Callable[[int], list[dict[str, Any]]]
) -> None:
    rows = [{**row, "mood": "canary"} for row in make_rows(2)]
    path, out = write_corpus(tmp_path / "a.jsonl", rows), tmp_path / "r.parquet"
    for _ in range(2):
        text = said("score", path, "--out", out, *RULES)
        assert text.startswith("2 of 2 sessions in")
        assert text.endswith("keys or columns of the input that are not read: mood")
        (line,) = (tmp_path / "r.problems.jsonl").read_text("utf-8").splitlines()
        assert json.loads(line)["code"] == "ignored"
        assert "canary" not in line


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("score", "{0}/*.vtt"), "no file matches"),
        (("score", "{1}", "--out", "{1}"), "no file matches"),
        (("score", "{1}", "--scheduler", "nowhere"), "is no address like tcp://HOST:8786"),
        (("score", "{1}", "--checkpoint", "none"), "none"),
        (("stats", "{0}/none.parquet", "--json", "{0}/s.json"), "no such file"),
        (("stats", "{1}", "--json", "{0}/s.json"), "no whole Parquet file"),
        (("convokit", "annotate", "{0}", "{1}", "--out", "{0}/new"), "No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_3(
    corpus: Path, tmp_path: Path, given: Sequence[str], message: str
) -> None:
    filled = [part.format(tmp_path, corpus) for part in given]
    if given[0] == "score" and "--out" not in given:
        filled += ["--out", str(tmp_path / "r.parquet")]
    assert message in said(*filled, code=3)


def test_a_second_run_on_one_output_is_told(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    with store.opened(out):
        assert "another run writes to it" in said("score", corpus, "--out", out, *RULES, code=3)


def test_a_plan_says_the_rate_and_how_long_it_takes(corpus: Path, tmp_path: Path) -> None:
    text = said("score", corpus, "--plan", "--sample", "12", "--for", "1000", *RULES)
    assert text.startswith("scored 12 sessions (108 turns); the first after")
    assert "sessions/s" in text
    assert "this input: about 4" in text
    assert "--for: about 1,000 sessions" in text
    assert list(tmp_path.iterdir()) == []


def test_a_plan_of_too_few_sessions_is_not_estimable(tmp_path: Path, corpus: Path) -> None:
    text = said("score", corpus, "--plan", "--sample", "2", *RULES)
    assert "not estimable: too few sessions" in text


def test_a_plan_is_start_and_rate() -> None:
    plan = Plan(64, 4000, 0, 640_000, start_s=10.0, rate=4.0, share=0.01)
    assert plan.seconds(100_000) == 25_010.0
    assert plan.n_all == 6400
    assert plan.disk(100_000) == 1e9


def test_statistics_are_written_as_json_and_as_a_page(reports: Path, tmp_path: Path) -> None:
    said("stats", reports, "--json", tmp_path / "s.json", "--html", tmp_path / "s.html")
    record = json.loads((tmp_path / "s.json").read_text())
    assert record["how"]["n_sessions"] == 48
    assert (tmp_path / "s.html").read_text().startswith("<!doctype html>")
    assert "--html FILE" in said("stats", reports, code=2)


def test_a_folder_that_is_there_is_wrong_usage(reports: Path, tmp_path: Path) -> None:
    assert "already" in said("convokit", "write", reports, "--out", tmp_path, code=2)
    assert "48 conversations" in said("convokit", "write", reports, "--out", tmp_path / "new")
