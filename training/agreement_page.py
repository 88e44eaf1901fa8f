"""The agreement's record as one page of HTML with plots, nothing fetched from elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detector.agreement import Estimate
from detector.annotation import UNITS
from training.agreement_record import Record
from training.agreement_text import UNIT_NAMES
from training.coding import GROUPS
from training.evaluation_page import Dot, Plot

SHOWN = {"kappa": "kappa", "ac1": "AC1", "alpha": "alpha"}
"""The coefficients that are drawn; each has its colour. Percent flatters a rare code."""


N_LISTED = 100
"""Disagreements on the page; the JSON and the CSV hold all."""


def as_html(record: Record) -> str:
    """The whole record as a page that needs nothing else."""
    from importlib.resources import files

    from detector.page import environment

    folder = files("training") / "page"
    template = environment(lambda name: (folder / name).read_text("utf-8")).get_template(
        "agreement.html.j2"
    )
    return template.render(
        record=record,
        plots=[*dot_plots(record)],
        shown=SHOWN,
        unit_names=UNIT_NAMES,
        told=told_estimate,
        clock=clock,
        n_listed=N_LISTED,
        darkest=max((max(row) for row in off_diagonal(record)), default=0),
    )


def told_estimate(found: Mapping[str, Any]) -> str:
    """An estimate as a table's cell shows it."""
    return str(Estimate(**found))


def clock(seconds: float | None) -> str:
    """Minutes and seconds, or a dash where there is no clock."""
    return "–" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def dot_plots(record: Record) -> Iterator[Plot]:
    """One plot a unit: each group's coefficients that have an interval."""
    groups = [one for one in record["codes"] if one["code"] in GROUPS]
    for unit in UNITS:
        dots = tuple(_dots(groups, unit))
        if dots:
            least = min(0.0, *(dot.low for dot in dots)) if len(dots) > 1 else 0.0
            yield Plot(UNIT_NAMES[unit], dots, min(least, 0.0), 1.0, None, "")


def _dots(groups: Sequence[Mapping[str, Any]], unit: str) -> Iterator[Dot]:
    for one in groups:
        for colour, (name, shown) in enumerate(SHOWN.items(), start=5):
            found = one["units"].get(unit, {}).get(name)
            if found and None not in (found["value"], found["low"], found["high"]):
                label = f"{one['code'].removeprefix('any ')}, {shown}"
                yield Dot(label, found["value"], found["low"], found["high"], colour)


def off_diagonal(record: Record) -> list[list[int]]:
    """The confusion's counts with 0 where both coders gave the same marker."""
    counts = record["confusion"]["counts"]
    return [[n if i != j else 0 for j, n in enumerate(row)] for i, row in enumerate(counts)]
