import dataclasses
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from detector.codebook import Pattern
from detector.markers import MarkerRules
from detector.transcript import Transcript
from training import patterns
from training.corpus import CueLabel, LabelledSession
from training.patterns import PatternCount, as_markdown, count_hits


def made_up(name: str, *phrases: str) -> Pattern:
    return Pattern(name, name.split(".")[0], "a test", "0", ("C: x",), phrases=phrases)


@pytest.fixture(scope="module")
def small(rules: MarkerRules) -> MarkerRules:
    """The shipped markers with three patterns of our own."""
    known = {
        one.id: one
        for one in (
            made_up("denial.nothing", "nothing happened"),
            made_up("denial.no_idea", "no idea at all"),
            made_up("open_question.how", "how was it"),
        )
    }
    return MarkerRules(dataclasses.replace(rules.codebook, patterns=known))


@pytest.fixture(scope="module")
def session(make_transcript: Any) -> LabelledSession:
    transcript: Transcript = make_transcript(
        "T: How was it?",
        "C: Nothing happened. Nothing happened.",
        "T: How was it?",
        "C: Well, nothing happened.",
        "T: How was it?",
        "C: Nothing happened, I have no idea at all.",
        "T: How was it?",
        "C: I would rather talk about the weather.",
    )
    codes = {"2": "denial", "4": "minimal_response", "8": "denial"}
    labels = {cue_id: CueLabel(frozenset({code})) for cue_id, code in codes.items()}
    return LabelledSession("x", "synthetic", "x", "train", transcript, labels, {})


def test_turns_are_counted_not_hits(small: MarkerRules, session: LabelledSession) -> None:
    found = {count.pattern_id: count for count in count_hits([session], small)}
    assert found["denial.nothing"] == PatternCount("denial.nothing", 3, 1, 2, 2)
    assert found["denial.no_idea"] == PatternCount("denial.no_idea", 1, 0, 0, 2)


def test_a_marker_as_a_whole_counts_a_turn_once(
    small: MarkerRules, session: LabelledSession
) -> None:
    found = {count.pattern_id: count for count in count_hits([session], small)}
    assert found["denial"] == PatternCount("denial", 3, 1, 2, 2)
    assert set(found) == {*small.codebook.patterns, *small.codebook.markers}


def test_precision_and_recall_are_shares_of_turns() -> None:
    count = PatternCount("denial.x", n_hit=4, n_right=1, n_near=2, n_marked=5)
    assert (count.precision, count.recall) == (0.25, 0.2)


def test_a_share_of_nothing_is_none() -> None:
    count = PatternCount("denial.x", 0, 0, 0, 0)
    assert count.precision is None
    assert count.recall is None


def test_the_table_has_a_row_for_each_count_and_four_figures_a_corpus() -> None:
    rows = [PatternCount("denial", 4, 1, 2, 5), PatternCount("open_question", 7, 0, 0, 0)]
    head, line, *body = as_markdown([("one", rows), ("two", rows)])
    assert head.count("|") == line.count("|") == body[0].count("|") == 10
    assert body[0] == "| **denial** | 4 | 0.25 | 0.50 | 0.20 | 4 | 0.25 | 0.50 | 0.20 |"


def test_what_has_no_labels_has_only_hits() -> None:
    (*_, row) = as_markdown([("one", [PatternCount("open_question", 7, 0, 0, 0)])])
    assert row == "| **open_question** | 7 | – | – | – |"


def test_the_command_says_in_one_line_where_the_text_is_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import typer

    monkeypatch.delenv("RUPTURE_ANNOMI", raising=False)
    app = typer.Typer()
    app.command()(patterns.command)
    result = CliRunner().invoke(app, ["--out", str(tmp_path / "table.md")])
    assert result.exit_code == 3
    assert "RUPTURE_ANNOMI" in result.stderr
    assert not (tmp_path / "table.md").exists()
