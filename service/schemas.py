"""What goes over the border, in pydantic: requests read strictly, answers as the documents say.

Answers may gain fields; a client must pass over those it does not know. Reports have their own
schema (`detector/report.schema.json`). What the OpenAPI document says beside these is in
service/openapi.py.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, HttpUrl

from detector.report import Attendance
from service.consent import Consent, Scopes
from service.fhir_elements import Modality
from service.scopes import Scope

Event = Literal["session.completed", "session.failed", "session.erased"]
Status = Literal["queued", "running", "done", "failed", "cancelled", "erased"]

_Reference = Annotated[str, Field(min_length=1, max_length=200)]
_Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]
_Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Roles = dict[str, Literal["therapist", "client", "other"]]
_Minutes = Annotated[float, Field(ge=0.1, le=120, allow_inf_nan=False)]
_Transcript = str | dict[str, Any] | list[Any]


ID = r"^[A-Za-z0-9_-]{1,80}$"
Id = Annotated[str, Path(pattern=ID)]
Limit = Annotated[int, Query(ge=1, le=200)]
After = Annotated[str | None, Query(pattern=ID, description="`next` of the page before.")]


def _whole(value: Any) -> Any:
    """1.0 is a whole number in JSON (JSON Schema, 6.1.1), however it is written."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_WHOLE = BeforeValidator(_whole)


def _in_our_time(moment: datetime) -> datetime:
    """Times at the calendar's ends cannot be brought to UTC."""
    if not 1900 <= moment.year <= 2200:
        raise ValueError("is to be a time of our own")
    return moment


_Moment = Annotated[datetime, AfterValidator(_in_our_time)]


class _Strict(BaseModel):
    """Nothing is taken for something else: "yes" is no answer to a question of consent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ScopesIn(_Strict):
    """What the client said yes to."""

    analyse: bool
    human_review: bool
    research: bool = False
    train: bool = False


class ConsentIn(_Strict):
    """The client's consent, as the caller holds it."""

    id: _Id
    scopes: ScopesIn
    basis: _Code = Field(examples=["written"])
    text_version: _Id
    given_by: _Code = Field(examples=["client", "guardian"])
    given_at: _Moment
    jurisdiction: Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]
    redisclosure: _Id | None = None

    def value(self) -> Consent:
        """The consent as policy knows it. Raises: Invalid."""
        return Consent(
            id=self.id,
            scopes=Scopes(**self.scopes.model_dump()),
            basis=self.basis,
            text_version=self.text_version,
            given_by=self.given_by,
            given_at=self.given_at,
            jurisdiction=self.jurisdiction,
            redisclosure=self.redisclosure,
        )


class SessionIn(_Strict):
    """A session's metadata; the transcript comes with it or beside it."""

    client: _Reference = Field(description="Your reference of the client; kept sealed.")
    consent: ConsentIn
    number: Annotated[int, Field(ge=1, le=10_000), _WHOLE] | None = None
    day: date | None = None
    attendance: Attendance | None = None
    modality: Modality | None = None
    sensitivity: Literal["standard", "part2"] = "standard"
    roles: _Roles = Field(
        default_factory=dict,
        max_length=100,
        description="Who is who, by the speakers' names in the file.",
    )
    therapist: Annotated[str, Field(max_length=200)] | None = None
    segment_minutes: _Minutes = 5.0
    checkpoint: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,79})?$")] = ""


class SessionWithTranscript(SessionIn):
    """Metadata and transcript in one JSON document."""

    transcript: _Transcript = Field(
        description="The file's text, or the JSON of a recogniser or of our own form."
    )


class RescoreIn(_Strict):
    """Which checkpoint is to score again."""

    checkpoint: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]


class ScoreIn(_Strict):
    """A transcript that is scored at once; nothing of it is kept."""

    transcript: _Transcript
    roles: _Roles = Field(default_factory=dict, max_length=100)
    therapist: Annotated[str, Field(max_length=200)] | None = None
    segment_minutes: _Minutes = 5.0


class WebhookIn(_Strict):
    """Where to tell, and of what."""

    url: Annotated[HttpUrl, Field(max_length=1900)]
    events: list[Event] = Field(min_length=1, max_length=3)


class KeyIn(_Strict):
    """A key, or an OAuth2 client, to be made."""

    name: _Name
    scopes: list[Scope] = Field(min_length=1, max_length=40)
    days: Annotated[int, Field(ge=1, le=3650), _WHOLE] | None = 365


_Days = Annotated[int, Field(ge=1, le=36_500), _WHOLE] | None


class PolicyIn(_Strict):
    """What a tenant chooses; null, or left out: whatever the deployer says."""

    text_days: _Days = Field(None, description="Days that a transcript is kept.")
    report_days: _Days = Field(None, description="Days that a session is kept at all.")
    revocation_erases: Literal["text", "all"] | None = Field(
        None, description="What goes when a client takes the consent back."
    )


class Problem(BaseModel):
    """A problem document (RFC 9457). It may have further members."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, str]] = Field(default_factory=list)


class ReportOut(BaseModel):
    """That there is a report, and which reader made it; no score of it."""

    id: str
    checkpoint: str
    checkpoint_sha256: str
    codebook: str
    created_at: datetime


class SessionOut(BaseModel):
    """A session's state; no word and no score of it."""

    id: str
    status: Status
    number: int | None
    day: str | None
    attendance: str | None
    modality: str | None
    sensitivity: str
    hold: bool
    n_turns: int | None
    problem: dict[str, Any] | None
    reports: list[ReportOut] = Field(default_factory=list)
    created_at: datetime
    updated_at: datetime


class SessionsOut(BaseModel):
    """A page of sessions, newest first."""

    items: list[SessionOut]
    next: str | None


class MadeOut(BaseModel):
    """The id of what was made or put into the queue."""

    id: str


class BatchItemOut(BaseModel):
    """What became of one session of a batch: its id, or why it was refused."""

    status: int
    id: str | None = None
    problem: dict[str, Any] | None = None


class BatchOut(BaseModel):
    """What became of a batch's sessions, in their order."""

    items: list[BatchItemOut]


class RevokedOut(BaseModel):
    """How many sessions a revocation reached."""

    n_sessions: int


class DaysOut(BaseModel):
    """Days that each part is kept; null: until somebody erases it."""

    text_days: int | None
    report_days: int | None


class InForceOut(DaysOut):
    """What holds now: the tenant's choice, else the deployer's, and no more than is allowed."""

    revocation_erases: Literal["text", "all"]


class PolicyOut(BaseModel):
    """A tenant's policy: its choice, what holds now, and the most that it may choose."""

    chosen: PolicyIn
    in_force: InForceOut
    longest: DaysOut


class ModelOut(BaseModel):
    """A checkpoint that can score."""

    id: str
    is_current: bool


class ModelsOut(BaseModel):
    """The checkpoints that can score."""

    items: list[ModelOut]


class JobOut(BaseModel):
    """A job that failed too often."""

    id: str
    session_id: str
    n_attempts: int
    problem: dict[str, Any] | None


class JobsOut(BaseModel):
    """A page of dead jobs, newest first."""

    items: list[JobOut]
    next: str | None


class EventsOut(BaseModel):
    """A page of the audit trail, in order."""

    items: list[dict[str, Any]]
    next: int | None


class WebhookOut(BaseModel):
    """A webhook. `secret` is there when it was just made or rotated, and never again."""

    id: str
    url: str
    events: list[str]
    disabled_at: datetime | None
    created_at: datetime
    secret: str | None = None


class WebhooksOut(BaseModel):
    """A page of webhooks, newest first."""

    items: list[WebhookOut]
    next: str | None


class DeliveryOut(BaseModel):
    """What became of one message to one webhook."""

    id: str
    event: str
    session_id: str
    status: str
    n_attempts: int
    last_reason: str | None
    created_at: datetime
    updated_at: datetime


class DeliveriesOut(BaseModel):
    """A page of deliveries, newest first."""

    items: list[DeliveryOut]
    next: str | None


class KeyOut(BaseModel):
    """A key. `key` is there when it was just made or rotated, and never again."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    disabled_at: datetime | None
    last_used_at: datetime | None
    key: str | None = None


class KeysOut(BaseModel):
    """A page of keys, in the order of their ids."""

    items: list[KeyOut]
    next: str | None


class ClientOut(BaseModel):
    """An OAuth2 client. `secret` is there when it was just made or rotated, and never again."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    disabled_at: datetime | None
    secret: str | None = None


class ClientsOut(BaseModel):
    """A page of OAuth2 clients, in the order of their ids."""

    items: list[ClientOut]
    next: str | None


class TokenOut(BaseModel):
    """A token (RFC 6749, section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    scope: str


class TokenRefusedOut(BaseModel):
    """No token (RFC 6749, section 5.2)."""

    error: str
    error_description: str
