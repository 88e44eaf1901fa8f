"""A trajectory as small drawings: one line a measure, with the client's own earlier band."""

from dataclasses import dataclass

from service.trajectory import Trajectory

WIDTH, HEIGHT, PAD = 640, 96, 12
"""Of one drawing, in pixels of its own; it grows with the page."""

SHOWN = (
    ("withdrawal", "Withdrawal", 1.0, 5.0),
    ("confrontation", "Confrontation", 1.0, 5.0),
    ("resolution", "Resolution", 1.0, 5.0),
    ("goal_strain", "Strain on goals", 0.0, 1.0),
    ("task_strain", "Strain on tasks", 0.0, 1.0),
    ("bond_strain", "Strain on the bond", 0.0, 1.0),
)
"""Measure, title, and the scale's ends. A share of turns is drawn up to its own highest."""

LEAST_TOP = 0.1
"""A scale of shares reaches at least so far, or a tenth of a percent would look like a cliff."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One session: its place, its value in words, and why there is none."""

    session_id: str
    x: float
    y: float | None
    said: str
    is_first_three: bool
    is_break: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One measure over the sessions. `band` is x, top and height of a piece of the own band."""

    measure: str
    title: str
    top: str
    bottom: str
    dots: tuple[Dot, ...]
    segments: tuple[str, ...]
    band: tuple[tuple[float, float, float, float], ...]


def lines(made: Trajectory) -> tuple[Line, ...]:
    """The drawings, in the order of SHOWN."""
    return tuple(_line(made, *one) for one in SHOWN) if made.n_scored else ()


def _line(made: Trajectory, measure: str, title: str, low: float, high: float) -> Line:
    values = [_value(made, n, measure) for n in range(len(made.points))]
    if high == 1.0:
        high = max([LEAST_TOP, *(one for one in values if one is not None)])
    step = (WIDTH - 2 * PAD) / max(1, len(values) - 1)
    room = HEIGHT - 2 * PAD

    def y(value: float) -> float:
        return round(PAD + room * (high - min(high, max(low, value))) / (high - low), 1)

    dots = []
    for place, (point, value) in enumerate(zip(made.points, values, strict=True)):
        name = f"session {point.session.number}" if point.session.number else "session"
        said = (point.unscored or "not rated").replace("_", " ") if value is None else _said(value)
        dots.append(
            Dot(
                session_id=point.session.session_id,
                x=round(PAD + step * place, 1),
                y=None if value is None else y(value),
                said=f"{name}: {said}",
                is_first_three=point.is_first_three,
                is_break=point.is_break,
            )
        )
    bands = []
    for dot, point in zip(dots, made.points, strict=True):
        change = point.changes.get(measure)
        if change is not None and change.mean is not None and change.spread is not None:
            top, bottom = y(change.mean + change.spread), y(change.mean - change.spread)
            left, right = max(PAD, dot.x - step / 2), min(WIDTH - PAD, dot.x + step / 2)
            height = round(max(bottom - top, 2), 1)
            bands.append((round(left, 1), top, round(right - left, 1), height))
    return Line(
        measure, title, _said(high), _said(low), tuple(dots), tuple(_segments(dots)), tuple(bands)
    )


def _segments(dots: list[Dot]) -> list[str]:
    """Points of the polylines: a gap, or another model, breaks the line."""
    parts: list[list[str]] = [[]]
    for dot in dots:
        if dot.y is None or dot.is_break:
            parts.append([])
        if dot.y is not None:
            parts[-1].append(f"{dot.x},{dot.y}")
    return [" ".join(part) for part in parts if len(part) > 1]


def _value(made: Trajectory, place: int, measure: str) -> float | None:
    change = made.points[place].changes.get(measure)
    return change.value if change is not None else None


def _said(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"
