"""What is past its end is due once, in UTC, whatever a clock or a sweeper does."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import Invalid
from service.retention import Erasure, Part, Retention, SessionFacts, due

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TEXT, SCORES = frozenset({Part.TEXT}), frozenset({Part.SCORES})


def facts(**more: Any) -> SessionFacts:
    return SessionFacts(**{"id": "ses_1", "received_at": NOW - DAY, **more})


@pytest.mark.parametrize("days", [0, -1, 36_501, 1.5, True, "30"])
def test_a_retention_of_no_sensible_days_is_refused(days: Any) -> None:
    with pytest.raises(Invalid) as caught:
        Retention(text_days=days)
    assert caught.value.errors[0].pointer == "/retention/text_days"


def parts_due(session: SessionFacts, now: datetime, retention: Retention | None = None) -> Any:
    found = [one for batch in due([session], retention or Retention(), now) for one in batch]
    return found[0].parts if found else frozenset()


def test_text_goes_after_30_days_and_scores_after_365() -> None:
    start = facts(received_at=NOW)
    assert parts_due(start, NOW + 30 * DAY - timedelta(microseconds=1)) == frozenset()
    assert parts_due(start, NOW + 30 * DAY) == TEXT
    without_text = replace(start, erased=TEXT)
    assert parts_due(without_text, NOW + 364 * DAY) == frozenset()
    assert parts_due(without_text, NOW + 365 * DAY) == SCORES


def test_the_last_part_to_go_says_that_nothing_is_left() -> None:
    (batch,) = due([facts(received_at=NOW - 400 * DAY)], Retention(), NOW)
    assert batch == (Erasure("ses_1", TEXT | SCORES, all_gone=True),)


def test_what_is_kept_for_ever_is_never_due() -> None:
    for_ever = Retention(text_days=None, scores_days=None)
    assert parts_due(facts(received_at=datetime.min.replace(tzinfo=UTC)), NOW, for_ever) == set()


def test_the_end_of_the_calendar_is_no_error() -> None:
    late = facts(received_at=datetime.max.replace(tzinfo=UTC) - DAY)
    assert parts_due(late, NOW) == frozenset()


@pytest.mark.parametrize(
    "received",
    [datetime(2026, 3, 7, 12), datetime(2026, 10, 31, 12)],
    ids=["spring", "autumn"],
)
def test_a_change_of_summer_time_makes_no_day_shorter(received: datetime) -> None:
    chicago = ZoneInfo("America/Chicago")
    start = facts(received_at=received.replace(tzinfo=chicago))
    end = start.received_at.astimezone(UTC) + DAY
    one = Retention(text_days=1)
    before, at = end - timedelta(seconds=1), end
    assert parts_due(start, before.astimezone(chicago), one) == frozenset()
    assert parts_due(start, at.astimezone(chicago), one) == TEXT


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=0)
    second = first.replace(fold=1)
    start = facts(received_at=first.astimezone(UTC) - DAY)
    later = facts(received_at=second.astimezone(UTC) - DAY)
    assert parts_due(start, first, Retention(text_days=1)) == TEXT
    assert parts_due(later, first, Retention(text_days=1)) == frozenset()
    assert parts_due(later, second, Retention(text_days=1)) == TEXT


def test_a_leap_day_is_a_day() -> None:
    start = facts(received_at=datetime(2028, 2, 29, tzinfo=UTC), erased=TEXT)
    assert parts_due(start, datetime(2029, 2, 27, tzinfo=UTC)) == frozenset()
    assert parts_due(start, datetime(2029, 2, 28, tzinfo=UTC)) == SCORES


def test_batches_are_taken_lazily_and_hold_what_was_asked_for() -> None:
    read: list[int] = []

    def rows() -> Any:
        for number in range(10):
            read.append(number)
            yield facts(id=f"ses_{number}", received_at=NOW - 31 * DAY)

    batches = due(rows(), Retention(), NOW, batch=4)
    assert [one.session_id for one in next(batches)] == ["ses_0", "ses_1", "ses_2", "ses_3"]
    assert len(read) == 4
    assert [len(batch) for batch in batches] == [4, 2]


def test_a_sweep_without_a_time_or_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        due([], Retention(), datetime(2026, 3, 1))
    with pytest.raises(ValueError, match="batch"):
        due([], Retention(), NOW, batch=0)
    with pytest.raises(ValueError, match="aware"):
        facts(received_at=datetime(2026, 3, 1))


# What must hold of any sessions and any clock

zones = st.sampled_from(
    [UTC, ZoneInfo("America/Chicago"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kolkata")]
)
times = st.datetimes(datetime(2024, 1, 1), datetime(2028, 12, 31), timezones=zones)
parts = st.frozensets(st.sampled_from(list(Part)))
retentions = st.builds(
    Retention,
    text_days=st.none() | st.integers(1, 400),
    scores_days=st.none() | st.integers(1, 900),
)
some_facts = st.builds(
    SessionFacts,
    id=st.just("x"),
    received_at=times,
    legal_hold=st.booleans(),
    erased=parts,
    erase_from=st.dictionaries(st.sampled_from(list(Part)), times),
)
many = st.lists(some_facts, max_size=8).map(
    lambda rows: [replace(row, id=f"ses_{place}") for place, row in enumerate(rows)]
)


def pairs(rows: Sequence[SessionFacts], retention: Retention, now: datetime) -> set[Any]:
    found = due(rows, retention, now, batch=3)
    return {(one.session_id, part) for batch in found for one in batch for part in one.parts}


@given(many, retentions, times)
@settings(max_examples=60, deadline=None)
def test_nothing_on_hold_and_nothing_erased_is_ever_due(
    rows: list[SessionFacts], retention: Retention, now: datetime
) -> None:
    by_id = {row.id: row for row in rows}
    for session_id, part in pairs(rows, retention, now):
        assert not by_id[session_id].legal_hold
        assert part not in by_id[session_id].erased


@given(many, retentions, times, times)
@settings(max_examples=60, deadline=None)
def test_a_clock_that_goes_back_never_erases_early(
    rows: list[SessionFacts], retention: Retention, one: datetime, other: datetime
) -> None:
    early, late = sorted((one.astimezone(UTC), other.astimezone(UTC)))
    assert pairs(rows, retention, early) <= pairs(rows, retention, late)


@given(many, retentions, st.lists(times, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_whatever_the_clock_does_what_is_past_is_erased_exactly_once(
    rows: list[SessionFacts], retention: Retention, clock: list[datetime]
) -> None:
    erased: list[Any] = []
    left = {row.id: row for row in rows}
    for now in clock:
        for batch in due(list(left.values()), retention, now, batch=2):
            for one in batch:
                row = left[one.session_id]
                left[one.session_id] = replace(row, erased=row.erased | one.parts)
                erased.extend((one.session_id, part) for part in one.parts)
    latest = max(now.astimezone(UTC) for now in clock)
    past = {
        (row.id, part)
        for row in rows
        if not row.legal_hold
        for part in row.kept
        if (end := row.end_of(part, retention)) is not None and end <= latest
    }
    assert len(erased) == len(set(erased))
    assert set(erased) == past


@given(some_facts, st.integers(1, 60), times)
@settings(max_examples=40, deadline=None)
def test_a_shorter_retention_never_keeps_longer(
    row: SessionFacts, days: int, now: datetime
) -> None:
    ends = [row.end_of(Part.TEXT, Retention(text_days=n)) for n in (days, days + 1, None)]
    told = [end for end in ends if end is not None]
    assert all(one <= next_one for one, next_one in pairwise(told))
