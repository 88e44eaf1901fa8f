"""What the service refuses, as values and as RFC 9457 problem documents.

    ServiceError
    ├── NotAuthenticated   401  nobody, or nobody we know, asks
    ├── NotPermitted       403  known, but not allowed: scope, consent, jurisdiction, sensitivity
    ├── NotFound           404  no such thing in this tenant; another tenant's is the same
    ├── Conflict           409  it is still running, or is there already
    ├── Gone               410  erased, or past its retention
    ├── Stale              412  somebody changed it meanwhile
    ├── TooLarge           413  more than the stated limit
    ├── UnknownMedia       415  no such content type
    ├── Invalid            422  the content cannot be used; `errors` say where
    ├── MissingCondition   428  a change needs If-Match
    ├── TooMany            429  more than the caller's share; `retry_after_s` says when
    └── Unavailable        503  the database, or the model, is away for a while

Every argument is data: a code, a field, a limit. Nothing here ever quotes what somebody said, and
`detail` is shown to the caller as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Fault:
    """One place of the input that cannot be used.

    Args:
        pointer: where, as a JSON pointer, a header's or parameter's name, or `line 12`.
        code: for programs, snake_case.
        message: for people; quotes nothing.
    """

    pointer: str
    code: str
    message: str


class ServiceError(Exception):
    """Base of what the service refuses.

    Args:
        detail: one sentence for the caller; quotes nothing of the content.
        code: for programs, snake_case; default: the kind's own.
        errors: the places at fault.
        more: further members of the problem document; whole numbers, words, lists of them.
    """

    status = 500
    code = "internal"
    title = "Something went wrong here"

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        errors: Sequence[Fault] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.detail, self.errors, self.more = detail, tuple(errors), dict(more or {})
        self.code = code or type(self).code
        super().__init__(detail)


class NotAuthenticated(ServiceError):
    """Nobody, or nobody we know, asks."""

    status, code, title = 401, "not_authenticated", "Say who you are"


class NotPermitted(ServiceError):
    """The caller is known and may not do this."""

    status, code, title = 403, "not_permitted", "Not allowed"


class NotFound(ServiceError):
    """There is no such thing in this tenant. Another tenant's looks the same."""

    status, code, title = 404, "not_found", "Not found"


class Conflict(ServiceError):
    """What is asked for contradicts what is there."""

    status, code, title = 409, "conflict", "It contradicts what is there"


class Gone(ServiceError):
    """It was here and was erased."""

    status, code, title = 410, "gone", "Erased"


class Stale(ServiceError):
    """Somebody changed it since the caller read it."""

    status, code, title = 412, "stale", "Changed meanwhile"


class TooLarge(ServiceError):
    """More than the stated limit."""

    status, code, title = 413, "too_large", "Too large"


class UnknownMedia(ServiceError):
    """The content type is none that we read."""

    status, code, title = 415, "unknown_media_type", "No such content type"


class Invalid(ServiceError):
    """The content cannot be used."""

    status, code, title = 422, "invalid", "It cannot be used as it is"


class MissingCondition(ServiceError):
    """A change must say which version it changes."""

    status, code, title = 428, "if_match_required", "If-Match is needed"


class TooMany(ServiceError):
    """More than the caller's share. `retry_after_s` is in whole seconds."""

    status, code, title = 429, "too_many_requests", "Too many at once"

    def __init__(self, detail: str, *, retry_after_s: int, code: str = "") -> None:
        self.retry_after_s = retry_after_s
        super().__init__(detail, code=code)


class Unavailable(ServiceError):
    """Something that is needed is away; trying again may help."""

    status, code, title = 503, "unavailable", "Not now"

    def __init__(self, detail: str, *, retry_after_s: int = 5, code: str = "") -> None:
        self.retry_after_s = retry_after_s
        super().__init__(detail, code=code)


def code_of(error: Exception) -> str:
    """An error's kind as a code word, never what it says."""
    if isinstance(error, ServiceError):
        return error.code
    name = type(error).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")


def problem(error: ServiceError, *, request_id: str) -> dict[str, Any]:
    """The problem document of an error (RFC 9457)."""
    return {
        "type": f"urn:rupture:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        **error.more,
        **(
            {
                "errors": [
                    {"pointer": one.pointer, "code": one.code, "message": one.message}
                    for one in error.errors
                ]
            }
            if error.errors
            else {}
        ),
    }
