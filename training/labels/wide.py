"""Wide matrices: one file a code, one line a unit, one column a coder, as R's irr and psych want.

A cell is a value, or NA where the coder did not see the unit; a code that a coder who saw the
unit did not give is 0. `irr::kripp.alpha` takes the coders' columns transposed, `psych::ICC` and
`irr::icc` take them as they are. What is read back is a value for each cell that is not NA.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from detector.annotation import UNITS, Annotation, Labels, known_codes, tally
from detector.codebook import load_codebook
from detector.errors import AnnotationError
from detector.transcript import Transcript
from training.coding import Codings, lay_out, table
from training.labels.long import rows_of, without_decisions
from training.labels.records import BY_FIELD, BY_NAME, NA, from_text, made

NAMES = ("session_id", "unit_type", "unit_index")
CARRIES = ("session_id", "unit_type", "unit_index", "coder", "code", "value")


def write_wide(
    labels: Labels, folder: Path, transcripts: Mapping[str, Transcript]
) -> tuple[str, ...]:
    """Writes CODE.csv for each code that somebody gave, at the units it was given at.

    Args:
        labels: of one pass.
        folder: made where it is not there.
        transcripts: by session id, so that every turn that was seen has a line; without them
            only the turns that somebody names have one.

    Returns: what the matrices do not carry.
    """
    passes = sorted({one.stage for one in labels.annotations})
    if len(passes) > 1:
        raise AnnotationError(f"matrices hold one pass, and this is {' and '.join(passes)}")
    codings = lay_out(labels, transcripts, stage=passes[0])
    folder.mkdir(parents=True, exist_ok=True)
    for code in codings.codes:
        units = [u for u in UNITS if any((k, c) == (u, code) for _, k, c in _given(codings))]
        if units:
            _write(folder / f"{code}.csv", codings, code, units)
    lost = {name: n for name, n in tally(labels.annotations).items() if name not in CARRIES}
    said = [f"{BY_FIELD[name].name} of {n} annotations" for name, n in lost.items()]
    return (*said, *without_decisions(labels))


def _given(codings: Codings) -> list[tuple[str, str, str]]:
    """Coder, kind of unit and code of everything that was said."""
    return list(
        dict.fromkeys((c, k, code) for sheet in codings.sheets for c, k, _, code in sheet.said)
    )


def _write(path: Path, codings: Codings, code: str, units: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow([*NAMES, *codings.coders])
        for unit in units:
            found = table(codings, code, unit)
            for (session_id, index), row in zip(found.units, found.values, strict=True):
                cells = [NA if np.isnan(value) else str(int(value)) for value in row]
                lines.writerow([session_id, unit, index, *cells])


def read_wide(folder: Path) -> Labels:
    """One annotation for each cell that is not NA, of every CODE.csv of a folder.

    Raises: AnnotationError: no such file, a code that is unknown, or a cell that is no value.
    """
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise AnnotationError("no CODE.csv in it", where=folder.name)
    known = known_codes(load_codebook())
    found: list[Annotation] = []
    places = []
    for path in paths:
        if path.stem not in known:
            raise AnnotationError("the file's name is no code of the codebook", where=path.name)
        for number, row in rows_of(path):
            where = f"{path.name}, line {number}"
            if missing := [name for name in NAMES if name not in row]:
                raise AnnotationError(f"{missing[0]} is missing", where=where)
            unit = {name: from_text(row.pop(name), BY_NAME[name], where) for name in NAMES}
            for coder, cell in row.items():
                value = from_text(cell, BY_NAME["value"], where)
                if value is not None:
                    own = {**unit, "coder": coder, "code": path.stem, "value": value}
                    found.append(made(own, where))
                    places.append(where)
    return Labels(tuple(found), tuple(places))
