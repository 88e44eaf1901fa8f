import csv
import dataclasses
import io
from typing import Any

import pytest

from detector import Detector, Report
from detector.report import LABELS, Moment
from detector.views import CSV_COLUMNS, as_csv, as_table, clock, for_terminal


@pytest.fixture(scope="module")
def report(detector: Detector, make_transcript: Any, dialogue: tuple[str, ...]) -> Report:
    lines = (*dialogue, "O: [inaudible]", "C: =SUM(A1) [laughs] and [/bold] of it")
    made = detector.analyze(make_transcript(*lines, every_s=6.0))
    moment = Moment(
        kind="withdrawal",
        turn_indexes=(1, 13),
        start_s=6.0,
        end_s=None,
        score=0.87,
        markers=("denial",),
        pillar="bond",
        resolution="unrepaired",
        repair_turn_indexes=(),
        summary="Withdrawal: denial. No attempt to mend it is seen.",
    )
    return dataclasses.replace(made, moments=(moment,))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_one_row_for_each_turn_and_label(report: Report) -> None:
    found = rows(as_csv(report))
    assert len(found) == len(report.turns) * len(LABELS)
    assert tuple(found[0]) == CSV_COLUMNS


def test_csv_may_leave_its_header_out_and_name_its_file(report: Report) -> None:
    assert as_csv(report, header=False).splitlines() == as_csv(report).splitlines()[1:]
    found = rows(as_csv(report, file="a.vtt"))
    assert {row["file"] for row in found} == {"a.vtt"}
    assert next(iter(found[0])) == "file"


def test_what_is_not_known_is_na_and_never_zero(report: Report) -> None:
    found = rows(as_csv(report))
    unscored = [row for row in found if row["role"] == "other"]
    assert {row["score"] for row in unscored} == {"NA"}
    assert {row["end_s"] for row in found} == {"NA"}
    assert all(row["score"] != "NA" for row in found if row["role"] == "client")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_a_spreadsheet_would_run_is_quoted(report: Report, start: str) -> None:
    turn = dataclasses.replace(report.turns[1], text=f"{start}SUM(A1)", speaker=f"{start}x")
    (row, *_) = rows(as_csv(dataclasses.replace(report, turns=(turn,))))
    assert row["text"] == f"'{start}SUM(A1)".replace("\r", " ")
    assert row["speaker"].startswith("'")


def test_text_with_quotes_commas_and_line_ends_comes_back_from_csv(report: Report) -> None:
    said = 'he said, "no"\nand left 🙂 שלום'
    turn = dataclasses.replace(report.turns[1], text=said)
    assert rows(as_csv(dataclasses.replace(report, turns=(turn,))))[0]["text"] == said


def test_the_table_shows_moments_with_quotes_ratings_roles_and_limits(report: Report) -> None:
    table = as_table(report)
    assert table.startswith("1 moment may be worth a look, in 14 turns.")
    assert "Roles (labelled): T: therapist, C: client, O: other" in table
    assert "1. 0:06  Withdrawal: denial. No attempt to mend it is seen." in table
    assert "score 0.87, pillar: bond, unrepaired" in table
    assert "[1] C: Fine, I guess." in table
    assert "Session, 1–5 as in the 3RS: withdrawal" in table
    assert report.limits[0].split()[0] in table


def test_brackets_in_speech_are_shown_and_not_read_as_markup(report: Report) -> None:
    assert "=SUM(A1) [laughs] and [/bold] of it" in as_table(report)


def test_the_table_has_no_colour_codes_and_keeps_its_width(report: Report) -> None:
    table = as_table(report, width=60)
    assert "\x1b" not in table
    assert max(len(line) for line in table.splitlines()) <= 60


def test_without_a_clock_a_moment_is_named_by_its_turn(report: Report) -> None:
    untimed = dataclasses.replace(report.moments[0], start_s=None)
    assert "1. turn 1  Withdrawal" in as_table(dataclasses.replace(report, moments=(untimed,)))


def test_a_rating_that_is_unknown_is_na_in_the_table(report: Report) -> None:
    session = dataclasses.replace(report.session, withdrawal=None)
    assert "withdrawal NA" in as_table(dataclasses.replace(report, session=session))


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0, "0:00"), (65.9, "1:05"), (3599, "59:59"), (3661, "1:01:01")]
)
def test_a_clock_shows_minutes_and_from_an_hour_on_hours(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize("start", ["=", "＝", "\n=", " ="])
def test_no_cell_of_the_csv_can_be_run_as_a_formula(report: Report, start: str) -> None:
    turn = dataclasses.replace(report.turns[1], speaker=f"{start}1+1")
    (name, *_) = {
        row["speaker"] for row in rows(as_csv(dataclasses.replace(report, turns=(turn,))))
    }
    assert name == f"'{start}1+1"


def test_nothing_in_a_session_steers_the_terminal(report: Report) -> None:
    turn = dataclasses.replace(report.turns[1], speaker="C\x1b]0;x\x07", text="\u202efine\x9b2J")
    turns = (report.turns[0], turn, *report.turns[2:])
    table = as_table(dataclasses.replace(report, turns=turns))
    assert not set(table) & set("\x1b\x07\u202e\x9b")
    assert "�fine�2J" in table


def test_a_label_that_holds_a_line_end_breaks_no_line_of_the_table(report: Report) -> None:
    turn = dataclasses.replace(report.turns[1], speaker="An\n\nna\r C", text="Fine.")
    roles = dataclasses.replace(report.roles, assigned={"An\n\nna\r C": turn.role})
    turns = (report.turns[0], turn, *report.turns[2:])
    table = as_table(dataclasses.replace(report, turns=turns, roles=roles))
    assert f"[{turn.index}] An na C: Fine." in table
    assert f": An na C: {turn.role}" in table


@pytest.mark.parametrize("text", ["naïve 👩‍👩‍👧 שלום\u200f", "two\nlines\tand a tab"])
def test_what_only_is_text_is_shown_as_it_is(text: str) -> None:
    assert for_terminal(text) == text
