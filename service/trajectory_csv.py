"""A client's trajectory as a table for people with spreadsheets."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from detector.views import csv_cell
from service.trajectory import Trajectory, TrajectoryPoint

CSV_COLUMNS = (
    "session_id",
    "number",
    "day",
    "attendance",
    "modality",
    "is_first_three",
    "days_since_previous",
    "n_missing_before",
    "unscored",
    "checkpoint",
    "checkpoint_sha256",
    "codebook",
    "is_break",
    "measure",
    "value",
    "baseline_mean",
    "baseline_spread",
    "difference",
    "n_earlier",
    "reason",
)


def as_csv(made: Trajectory) -> str:
    """The trajectory as a long table: one row a point × measure, one for a point without scores.

    UTF-8 text, dot decimals, `NA` for what is not known. A cell that a spreadsheet would run as a
    formula begins with an apostrophe. Sessions without a place are not in it.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for point in made.points:
        for row in _rows(point):
            writer.writerow(_cell(row.get(column)) for column in CSV_COLUMNS)
    return buffer.getvalue()


def _rows(point: TrajectoryPoint) -> Iterator[dict[str, Any]]:
    plain = point.as_dict()
    measures = plain.pop("measures")
    if not measures:
        yield plain
    for name, change in measures.items():
        baseline = change["baseline"] or {"mean": None, "spread": None}
        yield {
            **plain,
            "measure": name,
            "value": change["value"],
            "baseline_mean": baseline["mean"],
            "baseline_spread": baseline["spread"],
            "difference": change["difference"],
            "n_earlier": change["n_earlier"],
            "reason": change["reason"],
        }


def _cell(value: object) -> object:
    """A cell of one line that is read as what it is."""
    cell = csv_cell(value)
    return " ".join(cell.splitlines()) if isinstance(cell, str) else cell
