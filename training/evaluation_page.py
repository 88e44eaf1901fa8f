"""The evaluation's record as one page of HTML with plots, nothing fetched from elsewhere.

The plots are drawn here as SVG: dots with their intervals, and the reliability of each scorer.
They take their colours from the page's style, so that they follow light and dark.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detector.scoring import FITTED
from training.evaluation_text import MEASURED_BEFORE, band_name, show
from training.predictions import LABELS

Record = Mapping[str, Any]

N_COLOURS = 8
"""Colours of the style sheet; a ninth scorer takes the first again, and its name stands there."""

_ROW = 22
_LEFT, _WIDTH = 190, 620
_SIDE = 230


@dataclass(frozen=True, slots=True)
class Dot:
    """One row of a dot plot: a name, a figure with its interval, and the colour's number."""

    name: str
    value: float
    low: float
    high: float
    colour: int

    @property
    def shown(self) -> str:
        """The figure as a reader says it."""
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Plot:
    """A label's dots on one axis, with the mark of the base rate or of chance."""

    title: str
    dots: tuple[Dot, ...]
    least: float
    most: float
    mark: float | None
    mark_name: str

    @property
    def height(self) -> int:
        """Of the drawing, in its own units."""
        return _ROW * len(self.dots) + 34

    def y(self, place: int) -> float:
        """Middle of a row."""
        return _ROW * place + 14.0

    def x(self, value: float) -> float:
        """Where a value stands, held to the axis."""
        share = (value - self.least) / ((self.most - self.least) or 1.0)
        return _LEFT + min(max(share, 0.0), 1.0) * (_WIDTH - _LEFT - 20)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Values that are written below the axis."""
        step = (self.most - self.least) / 5
        return tuple(round(self.least + step * n, 3) for n in range(6))


@dataclass(frozen=True, slots=True)
class Curve:
    """A scorer's reliability: points of mean score and share that is true, and the colour."""

    name: str
    points: tuple[tuple[float, float, int], ...]
    colour: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """A label's reliability plot; both axes run from 0 to `most`."""

    title: str
    curves: tuple[Curve, ...]
    most: float

    def x(self, value: float) -> float:
        """Where a score stands."""
        return 34 + value / self.most * (_SIDE - 44)

    def y(self, value: float) -> float:
        """Where a share stands."""
        return _SIDE - 30 - value / self.most * (_SIDE - 44)

    def path(self, curve: Curve) -> str:
        """The line through the points."""
        return " ".join(
            f"{self.x(score):.1f},{self.y(share):.1f}" for score, share, _ in curve.points
        )


def as_html(record: Record) -> str:
    """The whole record as a page that needs nothing else."""
    from importlib.resources import files

    from detector.page import environment

    folder = files("training") / "page"
    names = {scorer["id"]: scorer["name"] for scorer in record["scorers"]}
    template = environment(lambda name: (folder / name).read_text("utf-8")).get_template(
        "evaluation.html.j2"
    )
    return template.render(
        record=record,
        measured_on=record["how"].get("measured_on", MEASURED_BEFORE.format(**record["how"])),
        names=names,
        colours={scorer: place % N_COLOURS for place, scorer in enumerate(names)},
        show=show,
        band_name=band_name,
        labels=FITTED,
        every_label=LABELS,
        precision=[*dot_plots(record, names, "average_precision")],
        auroc=[*dot_plots(record, names, "auroc")],
        reliability=[*reliability_plots(record, names)],
    )


def dot_plots(record: Record, names: Mapping[str, str], metric: str) -> Iterator[Plot]:
    """One plot a label: every scorer's cross-validated figure over all sessions.

    Args:
        record: the evaluation's.
        names: of the scorers by id, in order.
        metric: "average_precision", marked at the base rate, or "auroc", marked at chance.
    """
    for label in FITTED:
        measured = {i: record["turns"][i][label] for i in names if label in record["turns"][i]}
        dots = tuple(_dots(measured, names, metric))
        if not dots:
            continue
        first = next(iter(measured.values()))
        if metric == "auroc":
            least = 0.5 if min(dot.low for dot in dots) >= 0.5 else 0.0
            yield Plot(label, dots, least, 1.0, 0.5, "chance")
        else:
            yield Plot(label, dots, 0.0, 1.0, first["n_true"] / first["n"], "base rate")


def _dots(measured: Record, names: Mapping[str, str], metric: str) -> Iterator[Dot]:
    for place, scorer in enumerate(names):
        found = measured.get(scorer, {}).get(metric)
        if found and None not in (found["value"], found["low"], found["high"]):
            colour = place % N_COLOURS
            yield Dot(names[scorer], found["value"], found["low"], found["high"], colour)


def reliability_plots(record: Record, names: Mapping[str, str]) -> Iterator[Reliability]:
    """One plot a label: the scorers that score whole sessions, or all where none does."""
    shown = [scorer for scorer in names if scorer in record["moments"]] or [*names]
    for label in FITTED:
        curves = tuple(_curves(record["turns"], names, shown, label))
        highest = max((max(s, t) for curve in curves for s, t, _ in curve.points), default=1.0)
        if curves:
            yield Reliability(label, curves, _round_up(highest))


def _curves(
    turns: Record, names: Mapping[str, str], shown: Sequence[str], label: str
) -> Iterator[Curve]:
    for place, scorer in enumerate(names):
        if scorer in shown and label in turns[scorer]:
            points = tuple(
                (bin_["score"], bin_["share"], bin_["n"])
                for bin_ in turns[scorer][label]["reliability"]
            )
            yield Curve(names[scorer], points, place % N_COLOURS)


def _round_up(value: float) -> float:
    """The next tenth, so that the axis ends on a round number."""
    tenths = min(int(value * 10) + 1, 10)
    return max(tenths, 2) / 10
