"""The simulation's figures as text and plot: `rupture label simulate`.

A curve is a seed's mean average precision over both kinds and five held-out folds, at a number of
coded client turns. Ways of picking are compared on the same seeds: the same folds, the same draw to
begin with. Intervals: 95 %, bootstrap over seeds. They say how much the draws change a figure, not
how much other sessions would.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from detector.markers import MarkerRules
from detector.weights import Array
from training.corpus import TrainingDataError, load_annomi, told
from training.floors import embed
from training.rules import Example, read_examples
from training.simulate import MOST_CODED, UNITS, WAYS, Unit, client_turns, on_grid, run

GRID = np.arange(100.0, MOST_CODED + 1, 20.0)
"""Coded client turns at which curves are read."""

SHOWN = (200, 400, 600, 800, 1000, 1200, 1400)
LOT = "by lot"

_SEEN = 0.001
"""Average precision below which two curves count as one."""

_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"
_SIDE = (640, 300)
_COLOURS = ("#6b7280", "#0f766e", "#b45309", "#6d28d9", "#be123c")


@dataclass(frozen=True)
class Curves:
    """Of one unit and pair of readers: by way, shape (n_seeds, len(GRID))."""

    unit: str
    readers: str
    by_way: Mapping[str, Array] = field(repr=False)

    @property
    def title(self) -> str:
        """What was picked, and what learned."""
        return f"{self.unit.capitalize()}s are picked; readers: {self.readers}"


@dataclass(frozen=True, slots=True)
class Gain:
    """How much higher than by lot: the mean over seeds, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def gain(ours: Array, theirs: Array) -> Gain:
    """Paired by seed: arrays of shape (n_seeds,)."""
    apart = ours - theirs
    rng = np.random.default_rng(20)
    drawn = apart[rng.integers(len(apart), size=(2000, len(apart)))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Gain(float(apart.mean()), float(low), float(high))


def simulate(
    examples: Sequence[Example],
    vectors: Mapping[str, Array] | None,
    n_seeds: int,
    units: Sequence[Unit],
) -> Iterator[Curves]:
    """Every way of picking, for sessions and for turns, on the same seeds."""
    from threadpoolctl import threadpool_limits

    readers = "rules' signs, and counts and clock" if vectors is None else "rules, and base encoder"
    turns = client_turns(examples, vectors)
    for unit in units:
        found: dict[str, list[Array]] = {way: [] for way in WAYS}
        seeds = track(range(n_seeds), f"By {unit.name}", console=Console(stderr=True))
        # Fits this small wait longer for a second thread than they take.
        with threadpool_limits(1):
            for seed in seeds:
                for way, steps in run(examples, turns, unit, seed).items():
                    found[way].append(on_grid(steps, GRID))
        yield Curves(unit.name, readers, {way: np.array(one) for way, one in found.items()})


def as_markdown(found: Sequence[Curves], n_sessions: int) -> str:
    """The figures, one table for each unit and pair of readers."""
    n_seeds = len(next(iter(found[0].by_way.values())))
    lines = [
        f"{n_sessions} AnnoMI train sessions, {n_seeds} seeds, five folds each, by source video. "
        "Average precision: the mean of withdrawal and confrontation on held-out folds. Labels: a "
        "language model's under our codebook, adjudicated, not clinicians'.",
    ]
    for curves in found:
        lines += ["", f"**{curves.title}.**", "", *_table(curves), "", *_verdict(curves)]
    return "\n".join(lines)


def _table(curves: Curves) -> Iterator[str]:
    places = [int(np.flatnonzero(n == GRID)[0]) for n in SHOWN]
    yield "| way | " + " | ".join(f"{n} turns" for n in SHOWN) + " | gain over lot, mean |"
    yield "|---|" + "---|" * (len(SHOWN) + 1)
    lot = curves.by_way[LOT]
    for way, one in curves.by_way.items():
        cells = [f"{one[:, place].mean():.3f}" for place in places]
        last = "–" if way == LOT else str(gain(one.mean(axis=1), lot.mean(axis=1)))
        yield f"| {way} | {' | '.join(cells)} | {last} |"


def _verdict(curves: Curves) -> Iterator[str]:
    """Where picking together is ahead of lot and where behind, and whether that is chance."""
    lot, ours = curves.by_way[LOT], curves.by_way["together"]
    apart = {n: (ours - lot)[:, np.flatnonzero(n == GRID)[0]].mean() for n in SHOWN}
    ahead = ", ".join(str(n) for n, one in apart.items() if one >= _SEEN) or "none"
    behind = ", ".join(str(n) for n, one in apart.items() if one <= -_SEEN) or "none"
    found = gain(ours.mean(axis=1), lot.mean(axis=1))
    said = f"Together is ahead of lot at these numbers of turns: {ahead}; behind at: {behind}."
    if found.low > 0:
        yield f"{said} Over the whole course the gain's interval is above 0."
    elif found.high < 0:
        yield f"{said} **Over the whole course it is worse than lot**: the interval is below 0."
    else:
        yield f"{said} The gain's interval reaches 0: **no saving is shown**."


def as_svg(found: Sequence[Curves]) -> str:
    """A panel for each unit and pair of readers: mean curves, and the lot's 95 % band of seeds."""
    width, height = _SIDE
    high = max(float(one.mean(axis=0).max()) for c in found for one in c.by_way.values())
    top = float(np.ceil(high * 20 + 0.5) / 20)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height * len(found)}" '
        'font-family="sans-serif" font-size="12" role="img" '
        'aria-label="Average precision by coded turns, for each way of picking">',
        f'<rect width="{width}" height="{height * len(found)}" fill="white"/>',
    ]
    for number, curves in enumerate(found):
        parts += _panel(curves, number * height, top)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(curves: Curves, offset: int, top: float) -> Iterator[str]:
    width, height = _SIDE
    left, right, above, below = 48, width - 150, offset + 34, offset + height - 40

    def x(n: float) -> float:
        return left + float(n - GRID[0]) / float(GRID[-1] - GRID[0]) * (right - left)

    def y(value: float) -> float:
        return float(below - value / top * (below - above))

    yield f'<text x="{left}" y="{offset + 18}" font-weight="bold">{curves.title}</text>'
    for step in range(6):
        value = top * step / 5
        yield (
            f'<path d="M{left} {y(value):.1f}H{right}" stroke="#e5e7eb"/>'
            f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>'
        )
    for n in SHOWN:
        yield f'<text x="{x(n):.1f}" y="{below + 16}" text-anchor="middle">{n}</text>'
    yield (
        f'<text x="{(left + right) / 2:.0f}" y="{below + 32}" text-anchor="middle">'
        "coded client turns</text>"
    )
    for place, (way, one) in enumerate(curves.by_way.items()):
        mean = one.mean(axis=0)
        points = " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in zip(GRID, mean, strict=True))
        colour, thick = _COLOURS[place], 3 if way in (LOT, "together") else 1.2
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{thick}"/>'
        yield f'<text x="{right + 10}" y="{above + 16 * place + 8}" fill="{colour}">{way}</text>'


def into_page(page: str, text: str) -> str:
    """The page with its measured part replaced.

    Raises: TrainingDataError: the page has no marks for it.
    """
    if page.count(_BEGIN) != 1 or page.count(_END) != 1:
        raise TrainingDataError(f"the page needs one {_BEGIN} and one {_END}")
    before, rest = page.split(_BEGIN)
    return f"{before}{_BEGIN}\n{text}\n{_END}{rest.split(_END)[1]}"


@told()
def command(
    seeds: Annotated[int, typer.Option(help="Draws; ten at the least.", min=2)] = 12,
    base: Annotated[
        str | None, typer.Option(envvar="RUPTURE_BASE", help="Folder of an untrained encoder.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Page whose measured part is written anew.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the curves here, SVG.")] = None,
) -> None:
    """Simulate whether picking what to code saves coding, on AnnoMI's train split."""
    examples = read_examples(load_annomi("train"), MarkerRules())
    found: list[Curves] = []
    for curves in _both(examples, base, seeds):
        # What is done is written at once: the next part takes as long again.
        found.append(curves)
        text = as_markdown(found, len(examples))
        if out is None:
            typer.echo(text)
        else:
            out.write_text(into_page(out.read_text("utf-8"), text), "utf-8")
        if plot is not None:
            plot.write_text(as_svg(found), "utf-8")


def _both(examples: Sequence[Example], base: str | None, n_seeds: int) -> Iterator[Curves]:
    """Without an encoder, and then with one where it is named."""
    yield from simulate(examples, None, n_seeds, UNITS)
    if base:
        yield from simulate(examples, embed(examples, base), n_seeds, UNITS)


if __name__ == "__main__":
    typer.run(command)
