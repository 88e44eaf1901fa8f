"""The measure of load, on a few short sessions: every line is there, and a leak would show."""

import pytest

from detector.formats import read_transcript
from service import bench, load

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> load.Place:
    monkeypatch.delenv("RUPTURE_DATABASE", raising=False)
    with load.a_place("rules") as made:
        yield made


def test_its_sessions_have_the_turns_that_are_asked_for() -> None:
    assert len(read_transcript(load.transcript(40)).turns) == 40


def test_a_percentile_is_the_value_that_so_many_lie_below() -> None:
    assert bench.percentile([float(n) for n in range(100, 0, -1)], 0.95) == 96.0


def test_every_figure_has_its_row(place: load.Place) -> None:
    rows = list(bench.measure(place, n_sessions=2, n_turns=10, seconds=0.2, seeming_workers=(1,)))
    assert [row.split("|")[1].strip() for row in rows] == [
        "`/livez`, 8 connections, nothing scored",
        "a session's status, 8 connections, nothing scored",
        "a report, 8 connections, nothing scored",
        "sessions of 10 turns, end to end, one worker",
        "`/livez` meanwhile",
        "handing a session in while others are scored",
        "two workers against one, on these cores",
        "workers that wait a second for a session in place of scoring it",
    ]


def test_a_soak_tells_what_two_processes_hold_ten_times(place: load.Place) -> None:
    rows = list(bench.soak(place, minutes=0.02, n_turns=10))
    assert len(rows) == 10
    assert all(row.count(" MiB and ") == 2 for row in rows)
