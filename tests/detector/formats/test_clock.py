import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.formats.clock import parse_clock, parse_timing_line


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("00:00:17.400", 17.4),
        ("00:00:17,4", 17.4),
        ("00:00:17,40", 17.4),
        ("00:00:17.04", 17.04),
        ("0:0:17.4", 17.4),
        ("0:0:12", 12.0),
        ("01:02.5", 62.5),
        ("1:02", 62.0),
        ("90:00", 5400.0),
        ("123:00:00.000", 442_800.0),
        ("0:0:0.0", 0.0),
        ("00:00:05.1234567", 5.1234567),
        ("-00:00:02.000", -2.0),
        ("0:0:-2.5", -2.5),
    ],
)
def test_a_time_is_read_in_every_way_that_it_is_written(written: str, seconds: float) -> None:
    assert parse_clock(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "12",
        "12.5",
        "00:60",
        "00:60:00",
        "1:2:3:4",
        "00:0x:00",
        "٠٠:١٢",
        "00:00:12.",
        "00::12",
        "00:4",
    ],
)
def test_what_no_clock_shows_is_no_time(written: str) -> None:
    assert parse_clock(written) is None


@given(st.integers(0, 400_000_000))
def test_milliseconds_survive_being_written(ms: int) -> None:
    hours, rest = divmod(ms, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    written = f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
    assert parse_clock(written) == ms / 1000


@pytest.mark.parametrize(
    "line",
    [
        "00:01.000 --> 00:02.500",
        "00:01.000-->00:02.500",
        "  00:01.000\t-->\t00:02.500  ",
        "00:01,000 --> 00:02,5 align:start position:10%,line-left line:-1",
        "00:00:01.000 --> 00:00:02.500 X1:40 X2:600 Y1:20 Y2:50",
    ],
)
def test_times_and_cue_settings_make_a_timing_line(line: str) -> None:
    assert parse_timing_line(line) == (1.0, 2.5)


@pytest.mark.parametrize(
    "line",
    [
        "00:01.000 --> ",
        "--> 00:02.000",
        "00:01.000 --> later",
        "00:01.000 -> 00:02.000",
        "00:01.000 --> 00:02.000 speech that would be lost",
        "00:01.000 --> 00:02.000 --> 00:03.000",
    ],
)
def test_anything_else_around_an_arrow_is_no_timing_line(line: str) -> None:
    assert parse_timing_line(line) is None
