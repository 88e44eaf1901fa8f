"""What the OpenAPI document says beside the routes' signatures: bodies, examples, refusals."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic.json_schema import models_json_schema

from service.errors import PROBLEM_TYPE
from service.schemas import (
    KeyIn,
    PolicyIn,
    Problem,
    RescoreIn,
    ScoreIn,
    SessionIn,
    SessionWithTranscript,
    WebhookIn,
)

_CONSENT = {
    "id": "consent-17",
    "scopes": {"analyse": True, "human_review": True},
    "basis": "written",
    "text_version": "2026-01",
    "given_by": "client",
    "given_at": "2026-01-05T09:00:00Z",
    "jurisdiction": "DE",
}
_ABOUT = {"client": "your-ref-17", "number": 3, "therapist": "Dr. Rivera", "consent": _CONSENT}
_WEBVTT = (
    "WEBVTT\n\n00:00:04.600 --> 00:00:09.900\nDr. Rivera: What would help today?\n\n"
    "00:00:10.400 --> 00:00:15.700\nSam Lee: I don't know. Fine, I guess.\n"
)
_SRT = (
    "1\n00:00:04,600 --> 00:00:09,900\nDr. Rivera: What would help today?\n\n"
    "2\n00:00:10,400 --> 00:00:15,700\nSam Lee: I don't know. Fine, I guess.\n"
)
_ROWS = (
    ("speaker", "start_s", "end_s", "text"),
    ("Dr. Rivera", "4.6", "9.9", "What would help today?"),
    ("Sam Lee", "10.4", "15.7", "I don't know. Fine I guess."),
)
BARE_EXAMPLES = {
    "text/vtt": _WEBVTT,
    "application/x-subrip": _SRT,
    "text/plain": "Dr. Rivera: What would help today?\nSam Lee: I don't know. Fine, I guess.\n"
    "Dr. Rivera: You sound unsure.\n",
    "text/csv": "".join(",".join(row) + "\n" for row in _ROWS),
    "text/tab-separated-values": "".join("\t".join(row) + "\n" for row in _ROWS),
}
"""A file of each type that is short as text; the others are XML or archives."""

EXAMPLES: dict[str, Any] = {
    "json": {**_ABOUT, "transcript": _WEBVTT},
    "metadata": json.dumps(_ABOUT),
    "multipart": {"file": _WEBVTT, "session": json.dumps(_ABOUT)},
    "score": {"therapist": "Dr. Rivera", "transcript": _WEBVTT},
    "rescore": {"checkpoint": "rules"},
    "webhook": {"url": "https://example.org/hooks/rupture", "events": ["session.completed"]},
    "policy": {"text_days": 7, "report_days": 180, "revocation_erases": "all"},
    "key": {"name": "uploads", "scopes": ["sessions:write", "sessions:read"], "days": 90},
}
"""An example of each request, as the document shows it; all invented."""

_TAKEN_IN = (
    SessionIn,
    SessionWithTranscript,
    RescoreIn,
    ScoreIn,
    WebhookIn,
    KeyIn,
    PolicyIn,
    Problem,
)
_PLACE = "#/components/schemas/"


def ref(name: str) -> dict[str, str]:
    """A reference to a component of the document."""
    return {"$ref": f"{_PLACE}{name}"}


@cache
def components() -> dict[str, Any]:
    """Schemas that no route's signature names: bodies that we read ourselves, and the report."""
    made = models_json_schema(
        [(kind, "validation") for kind in _TAKEN_IN], ref_template=_PLACE + "{model}"
    )[1]["$defs"]
    text = (files("detector") / "report.schema.json").read_text("utf-8")
    report = json.loads(text.replace('"#/$defs/', f'"{_PLACE}report.'))
    parts = {f"report.{name}": one for name, one in report.pop("$defs").items()}
    # Without the scope `text:read` a turn comes without what was said, and by whom.
    turn = parts["report.turn"]["properties"]
    turn["text"] = {"type": ["string", "null"]}
    turn["cue_ids"].pop("minItems", None)
    for name in ("$schema", "$id"):
        report.pop(name, None)
    return {**made, **parts, "Report": report}


def takes(*kinds: tuple[str, Any, Any], description: str = "") -> dict[str, Any]:
    """A route's `openapi_extra` for bodies that it reads itself: type, schema, example of each.

    Without an example (None) the type stands alone.
    """
    content = {
        name: {"schema": schema, **({} if example is None else {"example": example})}
        for name, schema, example in kinds
    }
    said = {"description": description} if description else {}
    return {"requestBody": {"required": True, "content": content, **said}}


_PROBLEMS: dict[str, tuple[int, str, str]] = {
    "not_authenticated": (401, "Say who you are", "Send an API key or a token."),
    "expired_key": (401, "Say who you are", "This API key has expired."),
    "scope_missing": (403, "Not allowed", "The key lacks a scope: sessions:write"),
    "scope_not_held": (403, "Not allowed", "Nobody hands out scopes they do not hold."),
    "consent_revoked": (403, "Not allowed", "The consent was taken back."),
    "not_in_scope": (403, "Not allowed", "The consent does not cover analyse."),
    "jurisdiction_gated": (403, "Not allowed", "US-IL is switched off here."),
    "not_found": (404, "Not found", "there is no such thing"),
    "no_report": (404, "Not found", "there is no report of this session yet"),
    "legal_hold": (409, "It contradicts what is there", "A legal hold pins this session."),
    "conflict": (409, "It contradicts what is there", "the session is being scored"),
    "gone": (410, "Erased", "the session was erased"),
    "stale": (412, "Changed meanwhile", "The policy was changed meanwhile: read it again."),
    "body_too_large": (413, "Too large", "The body may have 26,000,000 bytes."),
    "unknown_format": (415, "No such content type", "no known transcript format"),
    "invalid": (422, "It cannot be used as it is", "Some fields cannot be used."),
    "longer_than_allowed": (
        422,
        "It cannot be used as it is",
        "It would be kept longer than whoever runs this service allows.",
    ),
    "malformed_transcript": (422, "It cannot be used as it is", "The transcript cannot be read."),
    "idempotency_key_reused": (
        422,
        "It cannot be used as it is",
        "this Idempotency-Key was used for another request: take a new one",
    ),
    "webhook_url_refused": (422, "No webhook goes there", "the URL must begin with https://"),
    "if_match_required": (428, "If-Match is needed", "Send If-Match with the ETag you read."),
    "too_many_requests": (429, "Too many at once", "Ask again when Retry-After says."),
    "unavailable": (503, "Not now", "the database is away or overloaded: try again"),
}
_PLACES = {
    "invalid": [{"pointer": "/consent/scopes/analyse", "code": "missing", "message": "Required"}],
    "longer_than_allowed": [
        {
            "pointer": "/text_days",
            "code": "longer_than_allowed",
            "message": "at most 30 days are allowed here",
        }
    ],
    "malformed_transcript": [
        {"pointer": "line 12", "code": "malformed", "message": "the cue ends before it begins"}
    ],
}


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """A route's refusals: those that any may give, and its own, each with an example."""
    common = ("not_authenticated", "scope_missing", "invalid", "too_many_requests")
    told = {"4XX": [*dict.fromkeys((*common, *codes))], "5XX": ["unavailable"]}
    said = {"4XX": "Refused; says why, and quotes nothing.", "5XX": "Ours; says what to do."}
    return {
        status: {"description": said[status], "content": {PROBLEM_TYPE: _with_examples(listed)}}
        for status, listed in told.items()
    }


def _with_examples(codes: list[str]) -> dict[str, Any]:
    return {"schema": ref("Problem"), "examples": {c: {"value": _example(c)} for c in codes}}


def _example(code: str) -> dict[str, Any]:
    status, title, detail = _PROBLEMS[code]
    return {
        "type": f"urn:rupture:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "0191c7a0-5b1e-7c3e-9f0a-1d2e3f405162",
        **({"errors": _PLACES[code]} if code in _PLACES else {}),
    }
