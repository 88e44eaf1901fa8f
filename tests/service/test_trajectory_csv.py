"""The table has a row for each measure, `NA` for what is not known, and no cell that runs."""

import csv
import io
from typing import Any

import pytest

from service.trajectory import MEASURES, SessionPoint, trajectory
from service.trajectory_csv import CSV_COLUMNS, as_csv


def test_no_session_makes_a_header_alone() -> None:
    assert as_csv(trajectory([])) == ",".join(CSV_COLUMNS) + "\n"


def test_sessions_that_were_not_held_have_a_row_each(point: Any) -> None:
    made = trajectory([point(n, 2.0, attendance="no_show") for n in (1, 2, 3)])
    assert len(as_csv(made).splitlines()) == 4


def test_csv_has_a_row_a_measure_and_one_for_a_session_without_scores(point: Any) -> None:
    made = trajectory([*(point(n, n) for n in range(1, 5)), point(5, 2.0, attendance="no_show")])
    rows = list(csv.DictReader(io.StringIO(as_csv(made))))
    assert len(rows) == 4 * len(MEASURES) + 1
    [row] = [one for one in rows if one["number"] == "4" and one["measure"] == "withdrawal"]
    assert (row["value"], row["baseline_mean"], row["difference"]) == ("4", "2.0", "2.0")
    assert (rows[-1]["unscored"], rows[-1]["value"]) == ("no_show", "NA")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", " =", "\r=", "\n=", "＝", "\u3000="])
def test_no_cell_runs_as_a_formula(start: str, scored: Any) -> None:
    told = f"{start}cmd|' /C calc'!A0"
    odd = scored(checkpoint=told, codebook=told)
    session = SessionPoint(told, 1, attendance="attended", modality=told, scored=odd)
    for row in csv.DictReader(io.StringIO(as_csv(trajectory([session])))):
        for column in ("session_id", "modality", "checkpoint", "codebook"):
            assert row[column].startswith("'")


def test_a_line_break_in_a_cell_makes_no_row(scored: Any) -> None:
    session = SessionPoint("a\r\nb\u2028c", 1, scored=scored())
    assert len(as_csv(trajectory([session])).splitlines()) == 1 + len(MEASURES)


def test_a_negative_difference_stays_a_number(point: Any) -> None:
    made = trajectory([*(point(n, 3.0) for n in range(1, 4)), point(4, 1.0)])
    rows = list(csv.DictReader(io.StringIO(as_csv(made))))
    assert {row["difference"] for row in rows if row["measure"] == "withdrawal"} == {"NA", "-2.0"}
