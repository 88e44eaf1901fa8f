"""Codings as the long table that researchers expect: one row a unit, rater and code. No text."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from detector.annotation import SEEN
from detector.report import RATINGS
from detector.views import csv_cell
from service.adjudications import Agreed
from service.annotations import Annotation
from service.caseload import ADJUDICATED, BLIND
from service.differences import settled
from service.sheets import UNITS, Sheet, codes_of

COLUMNS = (
    "study_id",
    "session_id",
    "unit_type",
    "unit_index",
    "turn_id",
    "start_ms",
    "end_ms",
    "speaker_role",
    "rater_id",
    "pass",
    "code",
    "value",
    "confidence",
    "lead_time_s",
    "codebook_version",
    "transcript_sha256",
    "intensity",
    "pillar",
    "resolution",
    "sure",
)
"""As `rupture label` reads them; what people here do not say stands as NA."""


def as_csv(agreed: Agreed) -> str:
    """All codings of a session, and what stands after adjudication where that was committed.

    UTF-8 text, dot decimals. Of an item that was coded there is a row `seen`, and one for each
    code that it can carry: 1 there, 0 not, 1 to 5 for a rating, `NA` for a rating not given. Of
    one that was not coded every code is `NA`, and nothing is `seen`. `intensity` and `pillar`
    stand with the markers that are there, `sure` is 1, 0, or `NA` not said, and `lead_time_s` is
    the item's, on each of its rows.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in _rows(agreed):
        writer.writerow(csv_cell(row.get(column)) for column in COLUMNS)
    return buffer.getvalue()


def _rows(agreed: Agreed) -> Iterator[dict[str, Any]]:
    sheet = agreed.assignment.sheet
    for kept in agreed.codings:
        yield from _of_rater(agreed, kept.person_id, BLIND, kept.coding.annotations)
    if agreed.adjudication.committed_at is not None:
        stands = settled(sheet, agreed.by_coder, agreed.adjudication.coding)
        yield from _of_rater(agreed, agreed.adjudication.person_id, ADJUDICATED, stands)


def _of_rater(
    agreed: Agreed, rater: str, which: str, annotations: Mapping[str, Annotation]
) -> Iterator[dict[str, Any]]:
    sheet = agreed.assignment.sheet
    for item in sheet.items:
        one = annotations.get(item)
        about = {
            "study_id": agreed.assignment.study,
            "session_id": agreed.assignment.session_id,
            **_unit(sheet, item),
            "rater_id": rater,
            "pass": which,
            "lead_time_s": one.lead_s if one else None,
            "codebook_version": sheet.codebook,
            "transcript_sha256": sheet.transcript_sha256,
            "sure": None if one is None or one.sure is None else int(one.sure),
        }
        if one is not None:
            yield {**about, "code": SEEN, "value": 1}
        for code, value in _values(sheet, item, one).items():
            is_there = one is not None and code in one.markers
            more = {"intensity": one.intensity, "pillar": one.pillar} if one and is_there else {}
            yield {**about, "code": code, "value": value, **more}


def _values(sheet: Sheet, item: str, one: Annotation | None) -> dict[str, int | None]:
    """What an annotation says of an item, by code; None: not coded, or not rated."""
    turn = sheet.turn(item)
    if turn is None:
        rated = one.ratings if one else {}
        return {name: rated.get(name) for name in RATINGS}
    return {code: None if one is None else int(code in one.markers) for code in codes_of(turn.role)}


def _unit(sheet: Sheet, item: str) -> dict[str, Any]:
    kind, _, number = item.partition("-")
    named = {"unit_type": UNITS[kind], "unit_index": int(number or 0)}
    if kind == "turn":
        turn = sheet.turns[int(number)]
        times: tuple[float | None, float | None] = (turn.start_s, turn.end_s)
        named |= {"turn_id": item, "speaker_role": turn.role}
    else:
        held = sheet.segments[int(number) :][:1] if kind == "segment" else sheet.segments
        times = (held[0].start_s, held[-1].end_s) if held else (None, None)
        named |= {"turn_id": "", "speaker_role": ""}
    return {**named, "start_ms": _ms(times[0]), "end_ms": _ms(times[1])}


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
