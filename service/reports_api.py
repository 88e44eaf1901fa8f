"""The routes of reports: as JSON, page, table and FHIR Bundle, whole or in part."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from detector import Detector, Report
from detector.errors import DetectorError
from detector.page import render
from detector.views import as_csv
from models.errors import ModelError
from service import fhir, policy, uploads
from service.answers import (
    REPORT,
    UNCHANGED,
    Csv,
    Fhir,
    Recorded,
    ReportReader,
    TextReader,
    note_alone,
    shown,
    tagged,
)
from service.auth import needs
from service.deeds import Actor
from service.errors import (
    Invalid,
    Unavailable,
)
from service.openapi import EXAMPLES, ref, refusals, takes
from service.schemas import Id, ScoreIn
from service.scopes import Scope
from service.uploads import json_body

MOST_SCORED_AT_ONCE = 2_000
"""Turns of a transcript that POST /v1/score takes: some two seconds. Longer ones are sessions."""

MOST_WAITING = 8
"""Who may wait for POST /v1/score, which scores one at a time. A judgement: beyond, a caller would
wait longer than most do."""

router = APIRouter(prefix="/v1", responses=refusals())

ReportId = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,80}$", description="Of several, one.")]
_NOT_READ = refusals("consent_revoked", "not_found", "no_report", "gone")


def _of(kind: str) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that gives a report's content in another form than JSON."""
    told = {"description": "The report.", "content": {kind: {"schema": {"type": "string"}}}}
    return {200: told, **UNCHANGED, **_NOT_READ}


@router.get(
    "/sessions/{session_id}/report",
    operation_id="getReport",
    tags=["reports"],
    responses={**REPORT, **UNCHANGED, **_NOT_READ},
)
def get_report(
    request: Request, session_id: Id, actor: ReportReader, records: Recorded, report: ReportId = ""
) -> Response:
    """The whole report; what was said is in it for who may read text."""
    row, found = records.report(actor, session_id, report_id=report)
    return tagged(request, "report", row, lambda: JSONResponse(shown(request, found)))


_PART = {**UNCHANGED, **_NOT_READ}


@router.get(
    "/sessions/{session_id}/segments",
    operation_id="getSegments",
    tags=["reports"],
    responses=_PART,
)
def get_segments(
    request: Request, session_id: Id, actor: ReportReader, records: Recorded, report: ReportId = ""
) -> Response:
    """Scores by segment, and the session's ratings."""
    row, found = records.report(actor, session_id, report_id=report, action="segments.read")
    named = ("session", "segments", "timing_quality", "provenance")
    return tagged(
        request, "segments", row, lambda: JSONResponse({name: found[name] for name in named})
    )


@router.get(
    "/sessions/{session_id}/moments", operation_id="getMoments", tags=["reports"], responses=_PART
)
def get_moments(
    request: Request, session_id: Id, actor: ReportReader, records: Recorded, report: ReportId = ""
) -> Response:
    """The moments worth a look, and the strengths, by the codebook's names."""
    row, found = records.report(actor, session_id, report_id=report, action="moments.read")
    named = ("moments", "strengths", "notes", "limits", "provenance")
    return tagged(
        request, "moments", row, lambda: JSONResponse({name: found[name] for name in named})
    )


@router.get(
    "/sessions/{session_id}/report.html",
    operation_id="getReportPage",
    tags=["reports"],
    response_class=HTMLResponse,
    responses=_of("text/html"),
)
def get_page(
    request: Request, session_id: Id, actor: TextReader, records: Recorded, report: ReportId = ""
) -> Response:
    """The report as a page that needs nothing from elsewhere."""
    row, found = records.report(
        actor, session_id, report_id=report, purpose=policy.Purpose.HUMAN_REVIEW
    )
    rules = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    fields = {"Content-Security-Policy": rules, "X-Content-Type-Options": "nosniff"}
    page, language = Report.from_dict(found), request.app.state.house.settings.language
    return tagged(
        request,
        f"page {language}",
        row,
        lambda: HTMLResponse(render(page, language=language), headers=fields),
    )


@router.get(
    "/sessions/{session_id}/report.csv",
    operation_id="getReportTable",
    tags=["reports"],
    response_class=Csv,
    responses=_of("text/csv; charset=utf-8"),
)
def get_csv(
    request: Request, session_id: Id, actor: TextReader, records: Recorded, report: ReportId = ""
) -> Response:
    """One row a turn, for a spreadsheet."""
    row, found = records.report(
        actor,
        session_id,
        report_id=report,
        action="report.exported",
        purpose=policy.Purpose.EXPORT,
    )
    return tagged(request, "csv", row, lambda: Csv(as_csv(Report.from_dict(found))))


@router.get(
    "/sessions/{session_id}/fhir",
    operation_id="getFhirBundle",
    tags=["reports"],
    response_class=Fhir,
    responses=_PART,
)
def get_fhir(
    request: Request, session_id: Id, actor: ReportReader, records: Recorded, report: ReportId = ""
) -> Response:
    """The report as a FHIR Bundle; holds no word of what was said."""
    row, found = records.report(
        actor, session_id, report_id=report, action="fhir.exported", purpose=policy.Purpose.FHIR
    )
    session = records.session(actor, session_id)
    about = fhir.BundleFacts(
        session_id=session_id,
        analysed_at=row["created_at"],
        session_number=session["number"],
        modality=session["modality"],
        sensitivity=session["sensitivity"],
        consent_id=session["consent_id"],
    )
    return tagged(request, "fhir", row, lambda: Fhir(fhir.bundle(found, about)))


@router.post(
    "/score",
    operation_id="score",
    tags=["sessions"],
    responses={**REPORT, **refusals("body_too_large", "unknown_format", "malformed_transcript")},
    openapi_extra=takes(("application/json", ref("ScoreIn"), EXAMPLES["score"])),
)
async def score(
    request: Request,
    actor: Annotated[Actor, Depends(needs(Scope.SCORE_RUN))],
    asked: Annotated[ScoreIn, Depends(json_body(ScoreIn))],
) -> Response:
    """Scores a short transcript at once; nothing of it is kept but that it was done."""
    state = request.app.state
    if state.n_scoring >= MOST_WAITING:
        raise Unavailable("Too many are waiting to be scored.", code="busy", retry_after_s=2)
    state.n_scoring += 1
    try:
        async with state.scoring:  # one at a time, and who waits holds no thread
            report = await asyncio.to_thread(_score_now, state.detector, asked)
    finally:
        state.n_scoring -= 1
    await asyncio.to_thread(note_alone, request, actor, "score.made")
    return JSONResponse(shown(request, report), headers={"Cache-Control": "no-store"})


def _score_now(load: Callable[[], Detector], asked: ScoreIn) -> dict[str, Any]:
    read = uploads.read_file(uploads.as_file(asked.transcript))
    if len(read.turns) > MOST_SCORED_AT_ONCE:
        raise Invalid(
            f"More than {MOST_SCORED_AT_ONCE} turns: hand it in as a session.",
            code="too_long_for_now",
        )
    try:
        report = load().analyze(
            read,
            roles=asked.roles,
            therapist=asked.therapist,
            window_s=60.0 * asked.segment_minutes,
        )
        return report.to_dict()
    except DetectorError as error:
        raise uploads.refusal(error) from None
    except ModelError:
        raise Unavailable("The checkpoint cannot be used.", code="no_checkpoint") from None
