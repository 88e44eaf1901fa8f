"""A corpus's figures as one page of HTML with plots, nothing fetched from elsewhere.

The plots are drawn here as SVG and take their colours from the page's style, so that they follow
light and dark. A figure that is not estimable leaves its place empty, and stands in the list at
the end with its reason.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from detector.codebook import load_codebook
from detector.corpus.counts import KINDS, MEASURES
from detector.corpus.rows import OUTCOMES
from detector.corpus.stats import not_estimable

Record = Mapping[str, Any]

_ROW, _LEFT, _WIDTH = 22, 236, 640
_CELL, _SIDE, _HEAD = 34, 262, 230
_FLOW_WIDTH, _FLOW_HEIGHT, _BAR, _GAP = 860, 420, 14, 10
_PLOT_WIDTH, _PLOT_HEIGHT, _EDGE = 300, 170, 34

GROUPS = {
    "moments": "Moments of strain",
    "outcomes": "How they ended",
    "withdrawal": "Withdrawal markers",
    "confrontation": "Confrontation markers",
    "resolution": "Strategies that mend",
    "repair": "The client's own repair",
    "contribution": "What the therapist adds to strain",
    "strength": "Signs of a good alliance",
}

TITLES = {
    "withdrawal": "Withdrawal, 1 to 5",
    "confrontation": "Confrontation, 1 to 5",
    "resolution": "Resolution, 1 to 5",
    "contribution": "Contribution, 1 to 5",
    "goal_strain": "Strain on goals, share of turns",
    "task_strain": "Strain on tasks, share of turns",
    "bond_strain": "Strain on the bond, share of turns",
    "n_moments": "Moments a session",
}


@dataclass(frozen=True, slots=True)
class Dot:
    """One row of a dot plot, at `y`; places along the axis are in the drawing's units."""

    title: str
    y: float
    x: float
    low: float
    high: float
    said: str


@dataclass(frozen=True, slots=True)
class Dots:
    """Rates of one group on one axis that begins at 0."""

    title: str
    dots: tuple[Dot, ...]
    ticks: tuple[tuple[float, str], ...]
    height: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A pair of markers in the table of co-occurrence; `shade` 0..1, `is_more` than chance."""

    x: int
    y: int
    shade: float
    is_more: bool
    text: str
    said: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A kind, strategy or outcome in the drawing of transitions."""

    name: str
    x: float
    y: float
    height: float
    n_moments: int
    colour: int


@dataclass(frozen=True, slots=True)
class Ribbon:
    """Moments that go from one bar to the next."""

    path: str
    width: float
    colour: int
    said: str


@dataclass(frozen=True, slots=True)
class Line:
    """A measure by session number: points, the band of its interval, and the axis."""

    title: str
    points: tuple[tuple[float, float, str], ...]
    line: str
    band: str
    ticks: tuple[tuple[float, str], ...]
    numbers: tuple[tuple[float, str], ...]


def as_html(record: Record) -> str:
    """The whole record as a page that needs nothing else."""
    from detector.page import environment

    folder = files("detector.corpus") / "page"
    template = environment(lambda name: (folder / name).read_text("utf-8")).get_template(
        "stats.html.j2"
    )
    is_counted = "rates" in record
    unit = (
        "per_hour" if is_counted and record["how"]["n_timed"] >= _least(record) else "per_session"
    )
    return template.render(
        record=record,
        unit="an hour" if unit == "per_hour" else "a session",
        rates=[*_rates(record, unit)] if is_counted else [],
        together=_together(record) if is_counted else None,
        flow=_flow(record["transitions"]) if is_counted else None,
        lines=[*_lines(record)] if is_counted else [],
        missing=[*not_estimable(record)],
        show=show,
        in_table=lambda figure: show(figure) if "value" in figure else "not estimable",
    )


def _least(record: Record) -> int:
    return int(record["how"]["min_sessions"])


def show(figure: Mapping[str, Any]) -> str:
    """A figure as a reader says it."""
    if "value" not in figure:
        return f"not estimable: {figure['not_estimable']}"
    return f"{_short(figure['value'])} ({_short(figure['low'])}–{_short(figure['high'])})"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _rates(record: Record, unit: str) -> Iterator[Dots]:
    for group, title in GROUPS.items():
        found = [row for row in record["rates"] if row["group"] == group and "value" in row[unit]]
        if not found:
            continue
        if group not in ("moments", "outcomes"):
            found.sort(key=lambda row: -row[unit]["value"])
        most = _round_up(max(row[unit]["high"] for row in found))
        ticks = tuple((_along(most * n / 4, most), _short(most * n / 4)) for n in range(5))
        dots = tuple(_dot(row, unit, place, most) for place, row in enumerate(found))
        yield Dots(title, dots, ticks, _ROW * len(dots) + 30)


def _dot(row: Mapping[str, Any], unit: str, place: int, most: float) -> Dot:
    figure = row[unit]
    x, low, high = (_along(figure[name], most) for name in ("value", "low", "high"))
    title = row["title"].removeprefix("Moments: ").capitalize()
    return Dot(title, _ROW * place + 14.0, x, low, high, show(figure))


def _along(value: float, most: float) -> float:
    return round(_LEFT + value / most * (_WIDTH - _LEFT - 20), 1)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5 or 8 times a power of ten, so that quarters of it are short."""
    if value <= 0:
        return 1.0
    size: float = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1, 2, 4, 5, 8, 10) if step * size >= value)


def _together(record: Record) -> dict[str, Any]:
    """The lower half of the table of markers by markers."""
    found = record["together"]
    names, kinds = found["markers"], load_codebook().markers
    cells = []
    for pair in found["pairs"]:
        one, other = sorted(names.index(name) for name in pair["markers"])
        titles = f"{kinds[names[one]].title} and {kinds[names[other]].title}"
        said = f"{titles}: {show(pair['ratio'])}, {pair['n_sessions']} sessions with both"
        value = pair["ratio"].get("value")
        strength = 0.0 if not value else min(abs(math.log2(value)) / 2, 1.0)
        text = "–" if value is None else f"{value:.1f}"
        cells.append(
            Cell(_SIDE + _CELL * one, _CELL * other, strength, (value or 0) > 1, text, said)
        )
    heads = [(kinds[name].title, _CELL * place + _CELL / 2 + 4) for place, name in enumerate(names)]
    size = {"width": _SIDE + _CELL * (len(names) - 1) + _HEAD, "height": _CELL * len(names) + 4}
    return {"cells": cells, "titles": heads, "cell": _CELL, "side": _SIDE, "n": len(names), **size}


def _flow(found: Record) -> dict[str, Any] | None:
    """Three columns of bars with ribbons between them; moments of rare strategies are left out."""
    shown = [flow for flow in found["flows"] if flow["n_moments"] is not None]
    total = sum(flow["n_moments"] for flow in shown)
    if not total:
        return None
    columns = [
        _bars(_counted(shown, "kind"), KINDS, 0.0),
        _bars(_counted(shown, "strategy"), None, (_FLOW_WIDTH - _BAR) / 2),
        _bars(_counted(shown, "outcome"), OUTCOMES, float(_FLOW_WIDTH - _BAR)),
    ]
    ribbons = [
        *_ribbons(shown, ("kind", "strategy"), columns[0], columns[1]),
        *_ribbons(shown, ("strategy", "outcome"), columns[1], columns[2]),
    ]
    bars = [bar for column in columns for bar in column.values()]
    height = max(bar.y + bar.height for bar in bars) + 14
    size = {"width": _FLOW_WIDTH, "height": height, "bar": _BAR}
    return {"bars": bars, "ribbons": ribbons, "n_left_out": found["n_moments"] - total, **size}


def _counted(flows: Iterable[Mapping[str, Any]], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for flow in flows:
        found[flow[name]] = found.get(flow[name], 0) + flow["n_moments"]
    return found


def _bars(counted: Mapping[str, int], order: Sequence[str] | None, x: float) -> dict[str, Bar]:
    """Bars of one column from the top, as high as their share; in the order, or by size."""
    names = (
        [n for n in order if n in counted] if order else sorted(counted, key=lambda n: -counted[n])
    )
    total = sum(counted.values())
    known = load_codebook().markers
    y, made = 0.0, {}
    for place, name in enumerate(names):
        height = max(counted[name] / total * _FLOW_HEIGHT, 1.0)
        title = known[name].title if name in known else name
        made[name] = Bar(title, x, y, height, counted[name], place if order else -1)
        y += max(height, 13.0 if not order else 0.0) + _GAP
    return made


def _ribbons(
    flows: Sequence[Mapping[str, Any]],
    names: tuple[str, str],
    left: Mapping[str, Bar],
    right: Mapping[str, Bar],
) -> Iterator[Ribbon]:
    """Bands from the bars on the left to those on the right, in the order of both."""
    counted: dict[tuple[str, str], int] = {}
    for flow in flows:
        pair = (flow[names[0]], flow[names[1]])
        counted[pair] = counted.get(pair, 0) + flow["n_moments"]
    from_y, to_y = ({n: bar.y for n, bar in side.items()} for side in (left, right))
    for one in left:
        for other in right:
            n = counted.get((one, other), 0)
            if not n:
                continue
            start, end = left[one], right[other]
            width = n / start.n_moments * start.height
            y1, y2 = from_y[one] + width / 2, to_y[other] + width / 2
            from_y[one] += width
            to_y[other] += width
            x1, x2 = start.x + _BAR, end.x
            middle = (x1 + x2) / 2
            path = (
                f"M{x1:.1f},{y1:.1f} C{middle:.1f},{y1:.1f} {middle:.1f},{y2:.1f} {x2:.1f},{y2:.1f}"
            )
            colour = start.colour if start.colour >= 0 else end.colour + len(KINDS)
            yield Ribbon(path, round(width, 1), colour, f"{start.name} → {end.name}: {n:,} moments")


def _lines(record: Record) -> Iterator[Line]:
    found = record["trajectories"]
    for name in MEASURES if "not_estimable" not in found else ():
        points = [point for point in found[name] if "value" in point["mean"]]
        if len(points) > 1:
            yield _line(TITLES[name], points, is_rating=name in MEASURES[:4])


def _line(title: str, points: Sequence[Mapping[str, Any]], *, is_rating: bool) -> Line:
    last = max(point["number"] for point in points)
    least = 1.0 if is_rating else 0.0
    most = 5.0 if is_rating else _round_up(max(point["mean"]["high"] for point in points))

    def x(number: float) -> float:
        share: float = (number - 1) / max(last - 1, 1)
        return round(_EDGE + share * (_PLOT_WIDTH - _EDGE - 12), 1)

    def y(value: float) -> float:
        share: float = (value - least) / (most - least)
        return round(_PLOT_HEIGHT - 26 - share * (_PLOT_HEIGHT - 36), 1)

    means = [(x(point["number"]), point["mean"], point) for point in points]
    above = [f"{at},{y(mean['high'])}" for at, mean, _ in means]
    below = [f"{at},{y(mean['low'])}" for at, mean, _ in reversed(means)]
    step = 1 if last <= 12 else 3
    return Line(
        title=title,
        points=tuple(
            (
                at,
                y(mean["value"]),
                f"session {point['number']}: {show(mean)}, n = {point['n_sessions']}",
            )
            for at, mean, point in means
        ),
        line=" ".join(f"{at},{y(mean['value'])}" for at, mean, _ in means),
        band=" ".join([*above, *below]),
        ticks=tuple((y(v), _short(v)) for v in (least + (most - least) * n / 4 for n in range(5))),
        numbers=tuple((x(number), str(number)) for number in range(1, last + 1, step)),
    )
