"""Where bars, flags, repairs and ticks stand on the time strip."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.page import strip
from detector.page.words import words_in
from detector.report import Report
from detector.transcript import Role, TimingQuality

ENGLISH = words_in("en")


def test_bars_follow_the_clock(invented_report: Report) -> None:
    bars = strip.draw(invented_report, ENGLISH).bars
    first, last = invented_report.turns[0], invented_report.turns[-1]
    whole_s = (last.end_s or 0.0) - (first.start_s or 0.0)
    assert bars[0].x == 0.0
    assert bars[0].width == pytest.approx(
        100 * ((first.end_s or 0.0) - (first.start_s or 0.0)) / whole_s
    )
    assert bars[-1].x + bars[-1].width == pytest.approx(100.0)
    assert [bar.lane for bar in bars[:2]] == [0, 1]


def test_bars_count_words_where_there_is_no_clock(invented_report: Report) -> None:
    report = dataclasses.replace(invented_report, timing_quality=TimingQuality.NONE)
    drawing = strip.draw(report, ENGLISH)
    counts = [len(turn.text.split()) for turn in invented_report.turns]
    widths = [bar.width for bar in drawing.bars]
    assert widths[1] / widths[0] == pytest.approx(counts[1] / counts[0])
    assert drawing.ticks[0].label == "turn 0"


def test_bars_run_to_the_next_turn_where_only_starts_are_known(invented_report: Report) -> None:
    turns = tuple(dataclasses.replace(turn, end_s=None) for turn in invented_report.turns)
    report = dataclasses.replace(
        invented_report, turns=turns, timing_quality=TimingQuality.START_ONLY
    )
    bars = strip.draw(report, ENGLISH).bars
    assert bars[0].x + bars[0].width == pytest.approx(bars[1].x)


def test_gaps_are_not_called_silence_where_the_clock_cannot_tell(invented_report: Report) -> None:
    assert strip.draw(invented_report, ENGLISH).caption.endswith("gaps are silence.")
    report = dataclasses.replace(invented_report, features_unavailable=("pause_before_s",))
    assert strip.draw(report, ENGLISH).caption.endswith("may not be silence.")


def test_a_turn_without_a_start_stands_after_the_one_before(invented_report: Report) -> None:
    turns = list(invented_report.turns)
    turns[4] = dataclasses.replace(turns[4], start_s=None, end_s=None)
    bars = strip.draw(dataclasses.replace(invented_report, turns=tuple(turns)), ENGLISH).bars
    assert bars[4].x == pytest.approx(bars[3].x + bars[3].width)


def test_speakers_of_other_roles_get_a_lane(invented_report: Report) -> None:
    turn = dataclasses.replace(invented_report.turns[0], role=Role.OTHER)
    turns = (turn, *invented_report.turns[1:])
    drawing = strip.draw(dataclasses.replace(invented_report, turns=turns), ENGLISH)
    assert drawing.lanes == ("Therapist", "Client", "Others")
    assert drawing.bars[0].lane == 2


def _moments_at(report: Report, indexes: list[int]) -> Report:
    moments = tuple(
        dataclasses.replace(
            report.moments[0],
            turn_indexes=(index,),
            repair_turn_indexes=tuple(i for i in (index + 1, index + 6) if i < len(report.turns)),
        )
        for index in sorted(indexes)
    )
    return dataclasses.replace(report, moments=moments)


@given(indexes=st.lists(st.integers(0, 58), unique=True, max_size=59))
def test_flags_and_labels_never_touch(indexes: list[int]) -> None:
    report = _moments_at(_INVENTED[0], indexes)
    drawing = strip.draw(report, ENGLISH)
    assert len(drawing.flags) + drawing.n_hidden == len(report.moments)
    rows: dict[int, list[float]] = {}
    for flag in drawing.flags:
        rows.setdefault(flag.row, []).append(flag.x)
        assert 4.0 <= flag.x <= 96.0
    for xs in rows.values():
        gaps = [b - a for a, b in itertools.pairwise(sorted(xs))]
        assert all(gap >= 8.4 - 1e-9 for gap in gaps)
    assert len(rows) <= 5


_INVENTED: list[Report] = []


@pytest.fixture(autouse=True, scope="module")
def _keep(invented_report: Report) -> None:
    # Hypothesis draws its examples inside one call of the test, so it cannot take the fixture.
    _INVENTED.append(invented_report)


@given(first=st.floats(0, 90_000), span=st.floats(0.0, 40_000))
def test_ticks_are_few_and_apart(first: float, span: float) -> None:
    turns = tuple(
        dataclasses.replace(turn, start_s=first + span * share, end_s=first + span * share)
        for turn, share in zip(_INVENTED[0].turns[:3], (0.0, 0.5, 1.0), strict=True)
    )
    ticks = strip.draw(dataclasses.replace(_INVENTED[0], turns=turns, moments=()), ENGLISH).ticks
    assert len(ticks) <= 6
    gaps = [b.x - a.x for a, b in itertools.pairwise(ticks)]
    assert all(gap >= 17.0 for gap in gaps)
    assert all(0.0 <= tick.x <= 100.0 for tick in ticks)
