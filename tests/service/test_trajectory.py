"""A client's sessions stand beside those before them, and what is not known stays visible."""

import dataclasses
import json
import math
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import Invalid
from service.records import summary_of
from service.trajectory import (
    MEASURES,
    MIN_BASELINE,
    Scored,
    SessionPoint,
    Trajectory,
    scored_of,
    trajectory,
)
from service.trajectory_csv import as_csv


def withdrawals(made: Trajectory) -> list[Any]:
    return [one.changes["withdrawal"] for one in made.points]


def faults(*sessions: SessionPoint) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        trajectory(sessions)
    return [(fault.pointer, fault.code) for fault in caught.value.errors]


def test_no_session_makes_an_empty_trajectory() -> None:
    made = trajectory([])
    assert (made.points, made.missing_numbers, made.n_scored) == ((), (), 0)
    assert json.loads(json.dumps(made.as_dict()))["points"] == []


def test_one_session_is_shown_and_compared_with_nothing(point: Any) -> None:
    [only] = trajectory([point(1)]).points
    assert set(only.changes) == set(MEASURES)
    for change in only.changes.values():
        assert (change.mean, change.difference, change.reason) == (None, None, "few_earlier")
        assert change.n_earlier == 0
    assert only.changes["withdrawal"].value == 2.0
    assert (only.days_since_previous, only.is_break) == (None, False)


def test_sessions_are_put_in_order_of_their_numbers(point: Any) -> None:
    made = trajectory([point(3), point(1), point(2)])
    assert [one.session.number for one in made.points] == [1, 2, 3]


def test_the_order_in_which_sessions_come_in_changes_nothing(point: Any) -> None:
    sessions = [point(n, 1.0 + n / 4) for n in range(1, 8)]
    assert trajectory(sessions[::-1]) == trajectory(sessions)


def test_the_first_three_are_marked_by_their_numbers(point: Any) -> None:
    made = trajectory([point(n) for n in (2, 3, 4, 9)])
    assert [one.is_first_three for one in made.points] == [True, True, False, False]


def test_a_baseline_is_the_mean_and_spread_of_the_sessions_before(point: Any) -> None:
    made = trajectory([point(1, 1.0), point(2, 2.0), point(3, 3.0), point(4, 4.5)])
    change = withdrawals(made)[3]
    assert (change.mean, change.spread, change.difference) == (2.0, 1.0, 2.5)
    assert (change.n_earlier, change.reason) == (3, None)


def test_there_is_no_baseline_below_three_earlier_sessions(point: Any) -> None:
    made = trajectory([point(n, 1.0 + n / 2) for n in range(1, 6)])
    assert [one.reason for one in withdrawals(made)] == ["few_earlier"] * MIN_BASELINE + [None] * 2
    assert [one.n_earlier for one in withdrawals(made)] == [0, 1, 2, 3, 4]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1, 5), min_size=5, max_size=9), st.floats(1, 5), st.integers(4, 8))
def test_a_later_session_never_changes_an_earlier_one(
    point: Any, values: list[float], later: float, at: int
) -> None:
    at = min(at, len(values) - 1)
    before = trajectory([point(n + 1, value) for n, value in enumerate(values)])
    changed = [*values[:at], later, *values[at + 1 :]]
    after = trajectory([point(n + 1, value) for n, value in enumerate(changed)])
    assert before.points[:at] == after.points[:at]


def test_every_measure_has_its_own_baseline(point: Any, scored: Any) -> None:
    sessions = [
        point(n, scored=scored(bond_strain=0.1 * n, n_moments=n + 1, n_unrepaired=n))
        for n in range(1, 5)
    ]
    last = trajectory(sessions).points[3].changes
    assert last["bond_strain"].mean == pytest.approx(0.2)
    assert last["bond_strain"].difference == pytest.approx(0.2)
    assert (last["n_moments"].difference, last["n_unrepaired"].difference) == (2.0, 2.0)
    assert last["resolution"].difference == 0.0


def test_a_measure_that_was_not_rated_stays_unknown_and_out_of_the_baseline(point: Any) -> None:
    values = [1.0, None, 2.0, 3.0, None, 4.0]
    made = withdrawals(trajectory([point(n + 1, value) for n, value in enumerate(values)]))
    assert (made[1].value, made[1].reason) == (None, "not_rated")
    assert (made[4].mean, made[4].difference, made[4].reason) == (2.0, None, "not_rated")
    assert (made[5].mean, made[5].n_earlier, made[5].difference) == (2.0, 3, 2.0)


@pytest.mark.parametrize("attendance", ["no_show", "cancelled"])
def test_a_session_that_was_not_held_is_attendance_and_has_no_scores(
    attendance: str, point: Any
) -> None:
    sessions = [*(point(n) for n in range(1, 4)), point(4, 5.0, attendance=attendance), point(5)]
    made = trajectory(sessions)
    absent, after = made.points[3], made.points[4]
    assert (absent.session.attendance, absent.unscored) == (attendance, attendance)
    assert (absent.session.scored, dict(absent.changes)) == (None, {})
    assert (after.changes["withdrawal"].n_earlier, after.changes["withdrawal"].mean) == (3, 2.0)
    assert "5.0" not in json.dumps(made.as_dict()["points"][3])
    assert made.n_scored == 4


def test_a_client_who_never_came_has_points_and_no_scores(point: Any) -> None:
    made = trajectory([point(n, attendance="no_show") for n in (1, 2, 3)])
    assert [one.unscored for one in made.points] == ["no_show"] * 3
    assert (made.n_scored, made.n_breaks) == (0, 0)


def test_late_sessions_and_those_nobody_spoke_of_are_scored(point: Any) -> None:
    made = trajectory([point(1, attendance="late"), point(2, attendance=None)])
    assert made.n_scored == 2


def test_a_session_without_a_report_says_so(point: Any) -> None:
    made = trajectory([point(1), point(2, scored=None), point(3)])
    assert [one.unscored for one in made.points] == [None, "no_report", None]


def test_another_checkpoint_is_a_break_and_is_compared_with_its_own_only(
    point: Any, scored: Any
) -> None:
    other = {"checkpoint": "net-2", "checkpoint_sha256": "b" * 64}
    sessions = [point(n, 1.0) for n in range(1, 5)]
    sessions += [point(n, scored=scored(4.0, **other)) for n in range(5, 9)]
    made = trajectory(sessions)
    assert [one.is_break for one in made.points] == [False] * 4 + [True] + [False] * 3
    assert [one.n_earlier for one in withdrawals(made)] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert withdrawals(made)[7].mean == 4.0
    assert made.n_breaks == 1


@pytest.mark.parametrize("changed", [{"codebook": "1.2"}, {"checkpoint_sha256": "c" * 64}])
def test_a_new_codebook_or_new_weights_under_the_old_name_are_a_break(
    changed: dict[str, Any], point: Any, scored: Any
) -> None:
    sessions = [point(n) for n in range(1, 4)]
    made = trajectory([*sessions, point(4, scored=scored(**changed))])
    assert made.points[3].is_break
    assert made.points[3].changes["withdrawal"].reason == "few_earlier"


def test_going_back_to_a_checkpoint_finds_its_sessions_again(point: Any, scored: Any) -> None:
    other = scored(5.0, checkpoint_sha256="b" * 64)
    made = trajectory([*(point(n) for n in range(1, 4)), point(4, scored=other), point(5)])
    assert [one.is_break for one in made.points] == [False, False, False, True, True]
    assert (withdrawals(made)[4].n_earlier, withdrawals(made)[4].mean) == (3, 2.0)


def test_missing_numbers_stay_visible(point: Any) -> None:
    made = trajectory([point(2), point(5)])
    assert made.missing_numbers == (1, 3, 4)
    assert [one.n_missing_before for one in made.points] == [1, 2]


def test_gaps_are_in_days_and_an_unknown_day_makes_no_gap(point: Any) -> None:
    made = trajectory([point(1), point(2, day=None), point(4)])
    assert [one.days_since_previous for one in made.points] == [None, None, 21]


def test_a_day_that_contradicts_the_number_is_shown_and_the_number_keeps_its_place(
    point: Any,
) -> None:
    made = trajectory([point(1), point(2, day=date(2025, 12, 1)), point(3)])
    assert [one.session.number for one in made.points] == [1, 2, 3]
    assert [one.is_before_previous for one in made.points] == [False, True, False]


def test_a_session_without_a_number_stands_where_its_day_is(point: Any) -> None:
    between = point(None, day=date(2026, 1, 17))
    first = dataclasses.replace(point(None, day=date(2025, 12, 24)), session_id="intake")
    made = trajectory([between, point(3), first, point(1), point(2)])
    ids = [one.session.session_id for one in made.points]
    assert ids == ["intake", "s-1", "s-2", "s-None", "s-3"]
    assert not made.points[0].is_first_three
    assert made.missing_numbers == ()


def test_a_session_with_neither_number_nor_day_has_no_place_and_is_named(point: Any) -> None:
    made = trajectory([point(1), point(None)])
    assert made.unplaced == ("s-None",)
    assert [one.session.number for one in made.points] == [1]


def test_bad_sessions_are_refused_all_at_once_with_their_places(point: Any) -> None:
    assert faults(point(1), point(1)) == [
        ("/1/session_id", "duplicate"),
        ("/1/number", "duplicate"),
    ]
    assert faults(point(0)) == [("/0/number", "too_small")]
    assert faults(point(1), point(2, attendance="ill")) == [("/1/attendance", "unknown")]
    assert faults(point(1, day=datetime(2026, 1, 1, 9))) == [("/0/day", "not_a_day")]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"withdrawal": 0.5}, "withdrawal"),
        ({"resolution": 5.1}, "resolution"),
        ({"contribution": math.nan}, "contribution"),
        ({"bond_strain": 1.5}, "bond_strain"),
        ({"n_moments": -1, "n_unrepaired": -2}, "n_moments"),
        ({"n_unrepaired": 3}, "n_unrepaired"),
    ],
)
def test_a_value_outside_its_scale_is_refused(
    changed: dict[str, Any], name: str, point: Any, scored: Any
) -> None:
    found = faults(point(1, scored=scored(**changed)))
    assert (f"/0/scored/{name}", "outside") in found


def test_an_error_names_no_session(point: Any) -> None:
    with pytest.raises(Invalid) as caught:
        trajectory([point(1), point(1)])
    assert "s-1" not in repr(caught.value) + repr(caught.value.errors)


def test_numbers_are_rounded_and_no_change_has_no_sign(point: Any) -> None:
    made = trajectory([point(n, value) for n, value in enumerate((1.1, 1.2, 1.3, 1.2), start=1)])
    plain = made.as_dict()["points"][3]["measures"]["withdrawal"]
    assert plain == {
        "value": 1.2,
        "baseline": {"mean": 1.2, "spread": 0.1},
        "difference": 0.0,
        "n_earlier": 3,
        "reason": None,
    }
    assert "-0.0" not in json.dumps(made.as_dict())


def test_a_trajectory_has_no_word_of_verdict_rank_or_forecast(point: Any) -> None:
    made = trajectory([point(n, 1.0 + n / 3) for n in range(1, 8)])
    words = json.dumps(made.as_dict()).lower() + as_csv(made).lower()
    banned = ("better", "worse", "improv", "deterior", "risk", "rank", "predict", "forecast",
              "alarm", "warning", "good", "bad", "poor", "percentile", "trend")  # fmt: skip
    assert [word for word in banned if word in words] == []


def test_a_point_is_read_from_a_report() -> None:
    strain = {"goal": 0.1, "task": 0.2, "bond": None}
    report = {
        "session": {
            "withdrawal": 2.5,
            "confrontation": None,
            "resolution": 3.0,
            "contribution": 1.0,
            "pillars": {name: {"strain": s, "strengths": 0} for name, s in strain.items()},
        },
        "moments": [
            {"resolution": word, "pillar": None} for word in ("repaired", "unrepaired", "partly")
        ],
        "turns": [],
        "provenance": {"checkpoint": "c", "checkpoint_sha256": "d" * 64, "codebook": "1.1"},
    }
    assert scored_of(summary_of(report), report["provenance"]) == Scored(
        2.5, None, 3.0, 1.0, 0.1, 0.2, None, 3, 1, "c", "d" * 64, "1.1"
    )
