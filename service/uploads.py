"""A request's body to a session that can be taken in: JSON, multipart, or the bare file.

Everything that a caller can mend is found here, before anything is kept: a format that nobody
reads, a broken line, speakers whose roles nobody knows.
"""

import hashlib
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from python_multipart import create_form_parser
from python_multipart.exceptions import FormParserError
from starlette.requests import Request

from detector import Transcript, read_transcript
from detector.errors import (
    DetectorError,
    MalformedTranscript,
    TranscriptTooLarge,
    UnknownFormat,
    UnknownRole,
)
from detector.roles import assign_roles
from models import registry
from models.errors import ModelError
from service.bombs import check_archive, check_json
from service.errors import (
    Fault,
    Invalid,
    ServiceError,
    TooLarge,
    Unavailable,
    UnknownMedia,
    code_of,
)
from service.records import Upload
from service.schemas import SessionIn, SessionWithTranscript

METADATA_HEADER = "Rupture-Session"
"""Carries the metadata as JSON where the body is the bare file."""

BARE_TYPES = frozenset(
    {
        "text/vtt",
        "application/x-subrip",
        "text/plain",
        "text/csv",
        "text/tab-separated-values",
        "application/xml",
        "text/xml",
        "text/html",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/octet-stream",
    }
)
"""Types of a bare file. The format is told by content; the type only says that it is one."""


@dataclass(frozen=True, slots=True)
class Given:
    """A body, parted: the file, its name, the metadata's JSON."""

    data: bytes = field(repr=False)
    name: str = field(repr=False)
    about: SessionIn = field(repr=False)


def from_json(body: bytes) -> Given:
    """Metadata and transcript in one document. Raises: Invalid."""
    found = parse(SessionWithTranscript, body)
    about = SessionIn(**found.model_dump(exclude={"transcript"}))
    return Given(as_file(found.transcript), "", about)


MOST_PARTS = 8
"""Of a form; two are needed."""


def from_parts(content_type: str, body: bytes) -> Given:
    """A form's parts: `file`, a transcript, and `session`, its metadata as JSON. Raises: Invalid.

    All of it stays in memory, where the body's limit bounds it: on a disk it would lie in clear.
    """
    parts: list[tuple[str, str, bytes]] = []
    try:
        parser = create_form_parser(
            {"Content-Type": content_type.encode("latin-1", "replace")},
            lambda field: parts.append((_name(field.field_name), "", field.value or b"")),
            lambda file: parts.append((_name(file.field_name), _name(file.file_name), _all(file))),
            config={"MAX_MEMORY_FILE_SIZE": math.inf},
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError, LookupError):  # the last two: an odd name or encoding
        raise Invalid("The body is no multipart form.", code="malformed_multipart") from None
    if len(parts) > MOST_PARTS:
        raise Invalid(f"At most {MOST_PARTS} parts.", code="malformed_multipart")
    name, data = _part(parts, "file")
    _, about = _part(parts, "session")
    return Given(data, name, parse(SessionIn, about))


def _name(given: bytes | None) -> str:
    return (given or b"").decode("utf-8", "replace")


def _all(file: Any) -> bytes:
    file.file_object.seek(0)
    return bytes(file.file_object.read())


def _part(parts: list[tuple[str, str, bytes]], name: str) -> tuple[str, bytes]:
    """A part's file name and bytes, whether it came as a file or as a field."""
    found = [(file, content) for own, file, content in parts if own == name]
    if len(found) != 1:
        fault = Fault(name, "missing", "this part is needed once, and whole")
        raise Invalid("The parts `file` and `session` are needed.", errors=[fault])
    return found[0]


def from_bare(content_type: str, body: bytes, metadata: bytes) -> Given:
    """The file as the body, the metadata in its header. Raises: UnknownMedia; Invalid."""
    if content_type not in BARE_TYPES:
        raise UnknownMedia("Send JSON, multipart/form-data, or a transcript's own type.")
    if not metadata:
        fault = Fault(METADATA_HEADER, "missing", "the session's metadata, as JSON")
        raise Invalid("The metadata is missing.", errors=[fault])
    return Given(body, "", parse(SessionIn, metadata))


def as_file(transcript: str | dict[str, Any] | list[Any]) -> bytes:
    """A transcript out of JSON as the bytes of a file."""
    text = transcript if isinstance(transcript, str) else json.dumps(transcript)
    return text.encode("utf-8", "replace")


def parse(kind: type[Any], body: bytes) -> Any:
    """A pydantic value from JSON. Raises: Invalid: says where, and quotes nothing."""
    check_json(body)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise Invalid("Some fields cannot be used.", errors=faults_of(error.errors())) from None


def media_type(request: Request) -> str:
    """The body's type without its parameters, in small letters; "" where none is stated."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def json_body(kind: type[Any]) -> Callable[[Request], Awaitable[Any]]:
    """A route's dependency: its JSON body as a value of this kind.

    Raises: UnknownMedia: the body is stated to be something else. Invalid.
    """

    async def read(request: Request) -> Any:
        if media_type(request) != "application/json":
            raise UnknownMedia("Send JSON: Content-Type: application/json.")
        return parse(kind, await request.body())

    return read


def faults_of(found: Any) -> list[Fault]:
    """Pydantic's errors without the input that they quote."""
    faults = []
    for one in found[:20]:
        place = "/" + "/".join(_step(step) for step in one.get("loc", ()))
        # Messages of our own checks name what is allowed; others may quote the input.
        said = one["msg"] if one["type"] in _PLAIN else "is not of the right form"
        faults.append(Fault(place, one["type"], said))
    return faults


_PLAIN_TYPES = (
    "missing extra_forbidden bool_type int_type string_type float_type dict_type list_type "
    "greater_than_equal less_than_equal string_too_long string_too_short too_short too_long "
    "literal_error enum string_pattern_mismatch int_parsing date_type datetime_type finite_number"
)
"""Pydantic's kinds whose messages name what is allowed and not what came."""
_PLAIN = frozenset(_PLAIN_TYPES.split())


def _step(step: object) -> str:
    """A step of a place. A key of the caller's own, such as a speaker's name, is not shown."""
    text = str(step)
    return text if isinstance(step, int) or text in _FIELDS else "*"


_FURTHER = (
    "scopes analyse human_review research train id basis text_version given_by given_at "
    "jurisdiction redisclosure checkpoint url events name days body query path header limit after "
    "status format report overlap_hours session_id consent_id webhook_id delivery_id job_id key_id "
    "client_id idempotency-key prefer rupture-session"
)
_FIELDS = frozenset(
    name
    for kind in (SessionWithTranscript, *SessionWithTranscript.__mro__)
    if isinstance(kind, type) and issubclass(kind, BaseModel)
    for name in kind.model_fields
) | frozenset(_FURTHER.split())


def check_checkpoint(name: str) -> None:
    """Refuses a name that no checkpoint here has, before a job fails for it. Raises: Invalid."""
    if name not in ("", "rules", *checkpoints()):
        fault = Fault("/checkpoint", "unknown", "GET /v1/models lists those there are")
        detail = "There is no such checkpoint."
        raise Invalid(detail, code="unknown_checkpoint", errors=[fault])


def checkpoints() -> dict[str, Path]:
    """The checkpoints that a registry lists, and where. Raises: Unavailable: it cannot be read."""
    try:
        return {one.name: one.folder for one in registry.list_checkpoints()}
    except (ModelError, OSError):
        raise Unavailable("The registry of checkpoints cannot be read.") from None


def usable(given: Given, *, idempotency_key: str = "") -> Upload:
    """The upload, read once to see that it can be. Raises: ServiceError: see `refusal`."""
    about = given.about
    check_checkpoint(about.checkpoint)
    read = read_file(given.data, given.name)
    _check_roles(read, about)
    parts = [given.data, about.model_dump_json().encode(), given.name.encode("utf-8", "replace")]
    fingerprint = hashlib.sha256()
    for part in parts:
        fingerprint.update(hashlib.sha256(part).digest())
    return Upload(
        data=given.data,
        name=given.name,
        n_turns=len(read.turns),
        options={
            "roles": about.roles,
            "therapist": about.therapist,
            "window_s": 60.0 * about.segment_minutes,
        },
        client=about.client,
        consent=about.consent.value(),
        number=about.number,
        day=about.day.isoformat() if about.day else None,
        attendance=about.attendance,
        modality=about.modality,
        sensitivity=about.sensitivity,
        checkpoint=about.checkpoint,
        # Its hash: a caller may have made it of a name.
        idempotency_key=hashlib.sha256(idempotency_key.encode()).hexdigest()
        if idempotency_key
        else "",
        fingerprint=fingerprint.hexdigest(),
    )


def read_file(data: bytes, name: str = "") -> Transcript:
    """The transcript as the file has it. Raises: ServiceError: see `refusal`."""
    check_archive(data)
    try:
        return read_transcript(data, filename=name or None)
    except DetectorError as error:
        raise refusal(error) from None


def _check_roles(read: Transcript, about: SessionIn) -> None:
    """Refuses a session whose roles cannot be told. Raises: ServiceError: see `refusal`."""
    try:
        assign_roles(read, role_map=about.roles, therapist=about.therapist, is_noted=False)
    except DetectorError as error:
        raise refusal(error) from None


def refusal(error: DetectorError) -> ServiceError:
    """What a caller is told of a transcript that cannot be used."""
    code = code_of(error)
    if isinstance(error, TranscriptTooLarge):
        return TooLarge(str(error), code=code)
    if isinstance(error, UnknownFormat):
        return UnknownMedia(str(error), code=code)
    if isinstance(error, UnknownRole):
        # Its reason may name a speaker, and an error's body is kept where no transcript is.
        detail = "Who is the therapist cannot be told: say it in `roles` or `therapist`, by the "
        detail += "names in the file."
        return Invalid(detail, code=code, more={"n_speakers": len(error.speakers)})
    if isinstance(error, MalformedTranscript):
        place = f"line {error.line}" if error.line else error.element or "the file"
        fault = Fault(place, "malformed", error.reason)
        return Invalid("The transcript cannot be read.", code=code, errors=[fault])
    return Invalid(str(error), code=code)
