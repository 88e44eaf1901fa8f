"""A trajectory's drawings: a place for each session, a break where nothing is known, the band."""

from typing import Any

from service.trajectory import Scored, SessionPoint, trajectory
from service.trajectory_lines import HEIGHT, PAD, WIDTH, lines


def point(number: int, withdrawal: float | None, **about: Any) -> SessionPoint:
    scored = Scored(
        withdrawal=withdrawal,
        confrontation=1.0,
        resolution=3.0,
        contribution=1.0,
        goal_strain=0.0,
        task_strain=0.02,
        bond_strain=0.0,
        n_moments=1,
        n_unrepaired=0,
        checkpoint=about.pop("checkpoint", "rules"),
        checkpoint_sha256=about.pop("sha", "a"),
        codebook="1",
    )
    return SessionPoint(f"ses_{number}", number, scored=scored, **about)


def drawn(*points: SessionPoint) -> Any:
    return lines(trajectory(points))[0]


def test_every_session_has_its_place_within_the_drawing() -> None:
    line = drawn(*(point(n, float(n)) for n in range(1, 6)))
    assert [dot.x for dot in line.dots] == sorted(dot.x for dot in line.dots)
    assert (line.dots[0].x, line.dots[-1].x) == (PAD, WIDTH - PAD)
    assert (line.dots[0].y, line.dots[-1].y) == (HEIGHT - PAD, PAD)
    assert [dot.is_first_three for dot in line.dots] == [True, True, True, False, False]
    assert len(line.segments) == 1


def test_a_session_that_was_not_held_breaks_the_line_and_says_so() -> None:
    line = drawn(point(1, 2.0), point(2, 2.0), point(3, 2.0, attendance="no_show"), point(4, 2.0))
    assert line.dots[2].y is None
    assert line.dots[2].said == "session 3: no show"
    assert len(line.segments) == 1  # one session alone is a dot and no line


def test_another_model_breaks_the_line() -> None:
    line = drawn(*(point(n, 2.0, sha="a" if n < 3 else "b") for n in range(1, 5)))
    assert len(line.segments) == 2


def test_the_own_band_begins_with_the_fourth_session() -> None:
    line = drawn(*(point(n, 1.0 + n / 2) for n in range(1, 6)))
    assert len(line.band) == 2
    assert all(height > 0 and PAD <= x < WIDTH for x, _, _, height in line.band)


def test_nothing_scored_is_nothing_drawn() -> None:
    assert lines(trajectory([SessionPoint("ses_1", 1)])) == ()
