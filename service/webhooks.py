"""Webhooks that go out, after Standard Webhooks 1.0.0: signed, thin, and never to a private host.

Pure of any database: endpoints, secrets and deliveries are kept elsewhere and handed in. An
`attempt` may be made twice without harm, since the receiver knows a message by its `webhook-id`.

    payload ─► attempt(url, …) ─► Guard.check ─► post, to an address that was checked
                               ─► Attempt: delivered | retry | disabled | refused
    retry ─► schedule(delivery_id, n): seconds until the next; None: given up
"""

import base64
import binascii
import hashlib
import hmac
import json
import math
import re
import secrets as randomness
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

from standardwebhooks import Webhook

from service.destinations import DestinationRefused, Guard, HostUnknown, NoAnswer, post
from service.errors import Conflict, Invalid, NotAuthenticated

EventType = Literal["session.completed", "session.failed", "session.erased"]
Status = Literal["done", "failed", "dead", "erased"]
STATUSES: Mapping[EventType, tuple[Status, ...]] = {
    "session.completed": ("done",),
    "session.failed": ("failed", "dead"),
    "session.erased": ("erased",),
}
"""The events there are, and the statuses a session can have in each."""

DELAYS_S = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each attempt, from the one before it (Standard Webhooks 1.0.0, example)."""
DEADLINE_S = 15.0
"""Seconds of an attempt, all of it: names, connection, TLS, answer (the standard: 15 to 30)."""
TOLERANCE = timedelta(minutes=5)
"""How far a message's clock may be from the receiver's (as the standard's own libraries)."""
OVERLAP = timedelta(hours=24)
"""How long an old secret signs beside the new one, where nobody says otherwise; at most a week."""

_JITTER = 0.1  # of the wait, upward only: never earlier than the receiver asked for
_MOST_WAIT_S = DELAYS_S[-1]  # no Retry-After holds a delivery longer than the schedule itself
_LONGEST_OVERLAP = timedelta(days=7)
_MOST_SECRETS = 5  # signatures in one header; more is somebody rotating in a loop
_MOST_SIGNATURES = 16  # that a receiver looks at
_SECRET_BYTES = (24, 64)  # the standard: 192 to 512 bits
# A full stop would let an id and a timestamp be read in two ways (the standard, signature scheme).
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class BadSignature(NotAuthenticated):
    """A webhook that came in is not from who holds the secret, or is too old or too new."""

    code, title = "bad_webhook_signature", "The signature does not hold"


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret of one endpoint; shown by no repr.

    Args:
        text: `whsec_` and 24 to 64 random bytes in base64.
        expires_at: when it stops signing, UTC; None while it is the newest.

    Raises: ValueError: it is no such text, or the time has no zone.
    """

    text: str = field(repr=False)
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        try:
            key = base64.b64decode(self.text.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not self.text.startswith("whsec_") or not _is_long_enough(key):
            raise ValueError("a webhook secret is whsec_ and 24 to 64 bytes in base64") from None
        if self.expires_at is not None:
            _utc(self.expires_at)


def _is_long_enough(key: bytes) -> bool:
    return _SECRET_BYTES[0] <= len(key) <= _SECRET_BYTES[1]


def new_secret() -> Secret:
    """A fresh random secret of 256 bits, for one endpoint and no other."""
    return Secret("whsec_" + base64.b64encode(randomness.token_bytes(32)).decode("ascii"))


def live(secrets: Iterable[Secret], now: datetime) -> tuple[Secret, ...]:
    """Those that sign at this moment, in the given order."""
    at = _utc(now)
    return tuple(one for one in secrets if one.expires_at is None or one.expires_at > at)


def rotate(
    secrets: Iterable[Secret], now: datetime, *, overlap: timedelta = OVERLAP
) -> tuple[Secret, ...]:
    """A fresh secret, and after it the old ones, which sign for the overlap and no longer.

    Args:
        secrets: of one endpoint, newest first.
        now: the moment of the rotation.
        overlap: zero, where the old secret is known to others, to a week.

    Raises: Invalid: another overlap. Conflict: five are live already; an overlap of zero is
        always possible.
    """
    if not timedelta(0) <= overlap <= _LONGEST_OVERLAP:
        raise Invalid("the overlap is 0 to 168 hours", code="bad_overlap")
    end = _utc(now) + overlap
    old = tuple(replace(one, expires_at=min(one.expires_at or end, end)) for one in secrets)
    kept = live(old, now)
    if len(kept) >= _MOST_SECRETS:
        raise Conflict("five secrets are live; wait, or rotate without overlap")
    return (new_secret(), *kept)


def payload(event_type: EventType, session_id: str, status: Status, at: datetime) -> bytes:
    """The body of a webhook: ids and a status and never anything else; under 300 bytes.

    The same event gives the same bytes, however often it is sent.

    Args:
        event_type: one of STATUSES.
        session_id: letters, digits, `_` and `-`; 64 at most.
        status: one that the event can have, see STATUSES.
        at: when it happened, with a zone.

    Raises: ValueError: an argument is not of that form. It quotes none.
    """
    if status not in STATUSES.get(event_type, ()):
        raise ValueError("no such event, or it has no such status")
    if not _ID.fullmatch(session_id):
        raise ValueError("a session id is 1 to 64 letters, digits, _ and -")
    stamp = _utc(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = {"session_id": session_id, "status": status}
    event = {"type": event_type, "timestamp": stamp, "data": data}
    return json.dumps(event, separators=(",", ":")).encode("ascii")


def signed(
    message_id: str, body: bytes, secrets: Iterable[Secret], now: datetime
) -> dict[str, str]:
    """The three `webhook-` headers of one attempt, with a signature of each live secret.

    Raises: ValueError: no secret is live, or the id is not 1 to 64 letters, digits, `_` and `-`.
    """
    keys = live(secrets, now)
    if not keys:
        raise ValueError("no live secret to sign with")
    if not _ID.fullmatch(message_id):
        raise ValueError("a message id is 1 to 64 letters, digits, _ and -")
    at = _utc(now).replace(microsecond=0)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(_sign(one, message_id, at, body) for one in keys),
    }


def verify(headers: Mapping[str, str], body: bytes, secrets: Iterable[str], now: datetime) -> str:
    """The message's id, once one of the secrets has signed this body within five minutes of now.

    For receivers. Whoever keeps the ids for ten minutes takes no message twice.

    Args:
        headers: of the request; upper and lower case are the same.
        body: as it came, unparsed.
        secrets: one, or two while a rotation lasts.
        now: the receiver's clock.

    Raises: BadSignature: a header is missing or malformed, the clock is off, or none has signed.
        ValueError: a secret is not of the form `whsec_…`.
    """
    keys = [Secret(text) for text in secrets]
    lower = {name.lower(): value for name, value in headers.items()}
    message_id, stamp = lower.get("webhook-id", ""), lower.get("webhook-timestamp", "")
    if not _ID.fullmatch(message_id) or not re.fullmatch(r"[0-9]{1,11}", stamp):
        raise BadSignature("webhook-id or webhook-timestamp is missing or malformed")
    at = datetime.fromtimestamp(int(stamp), UTC)
    if abs(_utc(now) - at) > TOLERANCE:
        raise BadSignature("webhook-timestamp is more than five minutes off")
    given = lower.get("webhook-signature", "").split(" ")[:_MOST_SIGNATURES]
    if not _is_text(body):
        raise BadSignature("the body is not UTF-8")
    expected = [_sign(one, message_id, at, body).encode() for one in keys]
    # Every pair is compared: how long it takes tells nothing of which one fits.
    fits = [
        hmac.compare_digest(ours, theirs.encode("utf-8", "replace"))
        for ours in expected
        for theirs in given
    ]
    if not any(fits):
        raise BadSignature("no signature fits")
    return message_id


def _sign(secret: Secret, message_id: str, at: datetime, body: bytes) -> str:
    # The library takes any datetime for UTC, whatever its zone: `at` has to be in UTC already.
    return Webhook(secret.text).sign(message_id, at, body.decode("utf-8"))


def _is_text(body: bytes) -> bool:
    # The error of decoding holds the body: it must not hang on ours.
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC)


Outcome = Literal["delivered", "retry", "disabled", "refused"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt ended. Plain values: `Attempt(**asdict(it))` is the same, by way of JSON.

    Args:
        outcome: delivered: 2xx came. retry: anything that may pass. disabled: the receiver said
            410, the endpoint wants no more. refused: the guard let nothing go out.
        reason: for a delivery log, snake_case: `ok`, `gone`, `status`, `redirect`, `busy` (429,
            502, 503, 504), `timeout`, `connection`, `tls`, `protocol`, `webhook_host_unknown`,
            `webhook_url_refused`.
        status: of HTTP, where an answer came.
        retry_after_s: what the receiver asked for with 429 or 503; at most a day.
        took_ms: of the whole attempt.
    """

    outcome: Outcome
    reason: str
    status: int | None = None
    retry_after_s: int | None = None
    took_ms: int = 0


def attempt(
    url: str,
    *,
    message_id: str,
    body: bytes,
    secrets: Iterable[Secret],
    now: datetime,
    guard: Guard,
    deadline_s: float = DEADLINE_S,
) -> Attempt:
    """Delivers once, or says why not. Blocks for the deadline at most, whatever the receiver does.

    The status decides: an answer that breaks off after it is an answer. No redirect is followed.

    Args:
        url: the endpoint's; it is checked anew each time.
        message_id: the same in every attempt of one delivery.
        body: what `payload` gave.
        secrets: of the endpoint; each that is live signs.
        now: the moment of this attempt, which is signed.
        guard: which URLs may be posted to.
        deadline_s: seconds; longer than 30 is a worker lost to a slow receiver.

    Raises: ValueError: no secret is live, or the id is malformed; nothing went out.
    """
    headers = signed(message_id, body, secrets, now)
    headers |= {"content-type": "application/json", "user-agent": "rupture-webhooks"}
    started = time.monotonic()
    until = started + deadline_s
    try:
        destination = guard.check(url, until=until)
        answer = post(destination, headers, body, until=until)
        ended = _read(answer.status, answer.retry_after, now)
    except DestinationRefused as error:
        ended = Attempt("refused", error.code)
    except HostUnknown as error:
        ended = Attempt("retry", error.code)
    except NoAnswer as error:
        ended = Attempt("retry", error.reason)
    return replace(ended, took_ms=round((time.monotonic() - started) * 1000))


def _read(status: int, retry_after: str, now: datetime) -> Attempt:
    if 200 <= status < 300:
        return Attempt("delivered", "ok", status)
    if status == 410:
        return Attempt("disabled", "gone", status)
    if 300 <= status < 400:
        return Attempt("retry", "redirect", status)
    reason = "busy" if status in (429, 502, 503, 504) else "status"
    wait = _seconds(retry_after, now) if status in (429, 503) else None
    return Attempt("retry", reason, status, wait)


def _seconds(retry_after: str, now: datetime) -> int | None:
    """Of a Retry-After, in seconds or as a date (RFC 9110 §10.2.3); None: it says nothing."""
    if re.fullmatch(r"[0-9]{1,12}", retry_after):
        return min(int(retry_after), _MOST_WAIT_S)
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, TypeError, OverflowError):
        return None
    # A date in the form of RFC 850 or "-0000" has no zone; HTTP's are all UTC.
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return min(max(0, math.ceil((at - _utc(now)).total_seconds())), _MOST_WAIT_S)


def schedule(
    delivery_id: str, n_attempts: int, *, retry_after_s: int | None = None
) -> float | None:
    """Seconds from the last attempt to the next; None: ten were made and it is given up.

    The jitter, up to a tenth more, is drawn from the delivery and the number: whoever computes it
    again after a crash finds the same moment, and two deliveries find two.

    Args:
        delivery_id: of one message to one endpoint.
        n_attempts: made so far; 0 before the first, which is due at once.
        retry_after_s: what the last attempt brought; the wait is not shorter than that.

    Raises: ValueError: a negative number.
    """
    if n_attempts < 0:
        raise ValueError("a number of attempts is not negative")
    if n_attempts >= len(DELAYS_S):
        return None
    wait = max(DELAYS_S[n_attempts], min(retry_after_s or 0, _MOST_WAIT_S))
    drawn = hashlib.sha256(f"{delivery_id}.{n_attempts}".encode()).digest()[:8]
    return wait * (1 + _JITTER * int.from_bytes(drawn) / 2**64)
