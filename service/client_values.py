"""What service/client.py takes and gives back: frozen values, and the event of a webhook."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from service import webhooks
from service.errors import ServiceError
from service.webhooks import BadSignature

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """The client's consent, as you hold it. What it allows is said and never presumed.

    Args:
        id: yours; 1 to 64 letters, digits and `_.:-`. The same consent may cover many sessions.
        analyse: whether the session may be analysed at all.
        human_review: whether people may read the page with what was said.
        jurisdiction: ISO 3166 of where the client is: `DE`, `US-CA`.
        given_at: aware.
        basis: code word: `written`, `written_electronic`, `verbal`.
        given_by: code word: `client`, `guardian`, `representative`.
        text_version: of the text that was agreed to.
        research, train: further uses.
        redisclosure: id of the consent under which a Part 2 record may be passed on.
    """

    id: str
    analyse: bool
    human_review: bool
    jurisdiction: str
    given_at: datetime
    basis: str
    given_by: str
    text_version: str
    research: bool = False
    train: bool = False
    redisclosure: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As the API takes it. Raises: ValueError: `given_at` has no zone."""
        if self.given_at.utcoffset() is None:
            raise ValueError("given_at is to have a zone")
        named = ("analyse", "human_review", "research", "train")
        others = ("id", "jurisdiction", "basis", "given_by", "text_version", "redisclosure")
        return {
            **{name: getattr(self, name) for name in others},
            "scopes": {name: getattr(self, name) for name in named},
            "given_at": self.given_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Session:
    """How far a session is; no word of it.

    `status` is queued, running, done, failed, cancelled or erased. `problem` says by a code why
    it failed. `hold`: a legal hold pins it. `reports` are oldest first, each with its `id` and
    checkpoint; those of a list have none.
    """

    id: str
    status: str
    number: int | None
    day: str | None
    attendance: str | None
    modality: str | None
    sensitivity: str
    n_turns: int | None
    problem: Mapping[str, Any] | None
    created_at: datetime
    updated_at: datetime
    hold: bool = False
    reports: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """The session of an answer; fields that a newer service added are passed over."""
        times = {n: datetime.fromisoformat(found[n]) for n in ("created_at", "updated_at")}
        return known(cls, {**found, **times, "reports": tuple(found.get("reports", ()))})


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One client's sessions in order; see docs/api.md for what a point holds.

    `superseded` are ids of sessions handed in again under the same number.
    """

    points: tuple[Mapping[str, Any], ...] = field(repr=False)
    missing_numbers: tuple[int, ...]
    n_scored: int
    n_breaks: int
    superseded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Webhook:
    """A registered webhook. `secret` is there when it was just made or rotated; keep it then."""

    id: str
    url: str
    events: tuple[str, ...]
    secret: str | None = field(default=None, repr=False)
    disabled_at: datetime | None = None

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """The webhook of an answer."""
        disabled = found.get("disabled_at")
        at = datetime.fromisoformat(disabled) if disabled else None
        return known(cls, {**found, "disabled_at": at})


@dataclass(frozen=True, slots=True)
class Policy:
    """How long the tenant's sessions are kept, in days; None: until somebody erases them.

    `chosen` is the tenant's own choice, `in_force` what holds, `longest` the most that may be
    chosen; each holds `text_days` and `report_days`, the first two `revocation_erases` as well,
    `text` or `all`. `etag` is of what was read: `set_policy` changes nothing else.
    """

    chosen: Mapping[str, Any]
    in_force: Mapping[str, Any]
    longest: Mapping[str, Any]
    etag: str


@dataclass(frozen=True, slots=True)
class Event:
    """What a webhook told. Keep `id` for ten minutes: the same one again is the same message."""

    id: str
    type: str
    at: datetime
    session_id: str
    status: str


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Iterable[str],
    *,
    now: datetime | None = None,
) -> Event:
    """The event of a webhook that came in, once its signature holds.

    Args:
        headers: of the request.
        body: as it came, unparsed.
        secrets: the webhook's; during a rotation the new and the old one.
        now: your clock; default: the machine's.

    Raises: BadSignature: it is not from us, is too old or too new, or is no event.
        ValueError: a secret is not of the form `whsec_…`.
    """
    message_id = webhooks.verify(headers, body, secrets, now or datetime.now(UTC))
    event = _event(message_id, body)
    if event is None:
        raise BadSignature("the body is not an event")
    return event


def _event(message_id: str, body: bytes) -> Event | None:
    try:
        told = json.loads(body)
        at, data = datetime.fromisoformat(told["timestamp"]), told["data"]
        return Event(message_id, told["type"], at, data["session_id"], data["status"])
    except (ValueError, TypeError, KeyError):
        return None


class NoReport(ServiceError):
    """The session ended without a report; `session` says how, and `session.problem` why."""

    status, code, title = 409, "no_report", "It ended without a report"

    def __init__(self, session: "Session") -> None:
        self.session = session
        super().__init__(f"the session {session.id} is {session.status}")


class NotYet(ServiceError, TimeoutError):
    """The session did not end in the time given; it goes on, and can be waited for again."""

    status, code, title = 504, "not_yet", "Not in time"

    def __init__(self, session_id: str, last: str) -> None:
        self.session_id, self.last = session_id, last
        super().__init__(f"the session {session_id} was still {last} when the time was over")


def known(kind: type[T], found: Mapping[str, Any]) -> T:
    """A frozen value of the fields that this version knows; lists become tuples."""
    named = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    given = {n: tuple(v) if isinstance(v, list) else v for n, v in found.items() if n in named}
    return kind(**given)
