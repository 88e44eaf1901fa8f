"""A platform's side of the API: hand a session in, wait for it, read what was found.

    with Client("https://rupture.example", key) as client:
        taken = client.upload(Path("session.vtt"), client="c-17", consent=consent)
        client.wait(taken.id, timeout_s=300)
        for moment in client.moments(taken.id):
            print(moment.kind, moment.turn_indexes, moment.resolution)

What may be sent twice without harm is sent again while the service is busy or away: after
`Retry-After`, else after a wait that doubles, for `patience_s` in all. An upload may, since each
carries an `Idempotency-Key`. Needs httpx and no other part of the service's install.

    ServiceError
    ├── Problem         the service refused; its document (RFC 9457) as fields
    ├── Unreachable     no answer came, or it broke off
    ├── NoReport        a session that is waited for ended without a report
    ├── NotYet          or did not end in time
    └── BadSignature    a webhook that nobody with the secret sent
"""

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from detector.report import Moment, Report, SegmentReport
from service.asking import Asker, Problem, Unreachable
from service.client_values import (
    Consent,
    Event,
    NoReport,
    NotYet,
    Policy,
    Session,
    Trajectory,
    Webhook,
    known,
    verify_webhook,
)
from service.webhooks import BadSignature

__all__ = [
    "BadSignature",
    "Client",
    "Consent",
    "Event",
    "NoReport",
    "NotYet",
    "Policy",
    "Problem",
    "Session",
    "Trajectory",
    "Unreachable",
    "Webhook",
    "verify_webhook",
]

POLLS_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits between two looks at a session; the last one stays. A session takes a second or two."""

_ENDED = frozenset({"done", "failed", "cancelled", "erased"})


class Client:
    """The API under one key; safe to use from many threads. Close it, or use it with `with`.

    Args:
        url: where the service is. https, unless the host is this machine or `allow_http`.
        key: an API key; goes out in `Authorization` alone and is in no repr.
        timeout_s: longest silence of a connection.
        patience_s: for how long a request is tried again in all.
        allow_http: whether the key may go unencrypted to another machine.
        transport, clock, sleep: for tests.

    Raises: ValueError: the URL is none, holds a name or password, or is plain http to elsewhere.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
        allow_http: bool = False,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {
            "Authorization": f"Bearer {key}",
            "User-Agent": f"rupture-client/{version('rupture-detector')}",
        }
        self._asker = Asker(
            url,
            headers,
            timeout_s=timeout_s,
            patience_s=patience_s,
            allow_http=allow_http,
            transport=transport,
            clock=clock,
            sleep=sleep,
        )

    def __repr__(self) -> str:
        return f"<Client {self._asker.host}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of its connections."""
        self._asker.close()

    # -- sessions ------------------------------------------------------------------------------

    def upload(
        self,
        transcript: bytes | Path,
        *,
        client: str,
        consent: Consent,
        number: int | None = None,
        day: date | None = None,
        attendance: str | None = None,
        modality: str | None = None,
        sensitivity: str = "standard",
        roles: Mapping[str, str] | None = None,
        therapist: str | None = None,
        segment_minutes: float = 5.0,
        checkpoint: str = "",
        idempotency_key: str | None = None,
    ) -> Session:
        """Hands a session in; it is scored in the background. See `wait`.

        A file's name is not sent: names of files tend to name people.

        Args:
            transcript: the file or its bytes, in any format that `rupture formats` lists.
            client: your reference of the client.
            consent: under which it is analysed.
            number: of the session in its series, from 1.
            day: it was held on.
            attendance: `attended`, `late`, `cancelled` or `no_show`.
            modality: `in_person`, `video`, `phone` or `chat`.
            sensitivity: `standard`, or `part2` (42 CFR Part 2).
            roles: `therapist`, `client` or `other` by speaker, as the file names them.
            therapist: or only this.
            segment_minutes: length of a segment.
            checkpoint: which one scores; "": the one in use.
            idempotency_key: for 48 hours the same key gives the same session. Default: a new one,
                so that this call makes one session however often it must be sent.

        Raises: Problem; Unreachable. OSError: the file cannot be read.
        """
        about = {
            "client": client,
            "consent": consent.to_dict(),
            "number": number,
            "day": day.isoformat() if day else None,
            "attendance": attendance,
            "modality": modality,
            "sensitivity": sensitivity,
            "roles": dict(roles or {}),
            "therapist": therapist,
            "segment_minutes": segment_minutes,
            "checkpoint": checkpoint,
        }
        data = transcript.read_bytes() if isinstance(transcript, Path) else transcript
        key = idempotency_key or str(uuid.uuid4())
        answer = self._asker.document(
            "POST",
            "/v1/sessions",
            headers={"Idempotency-Key": key},
            files={"file": ("transcript", data)},
            data={"session": json.dumps(about)},
        )
        return Session.from_dict(answer)

    def session(self, session_id: str) -> Session:
        """How far a session is. Raises: Problem; Unreachable."""
        return Session.from_dict(self._asker.document("GET", _at(session_id)))

    def sessions(self, *, status: str | None = None, page: int = 100) -> Iterator[Session]:
        """All sessions of the tenant, newest first, fetched `page` at a time (200 at most).

        Raises: Problem; Unreachable.
        """
        asked = {"limit": page, **({"status": status} if status else {})}
        return map(Session.from_dict, self._pages("/v1/sessions", asked))

    def wait(self, session_id: str, timeout_s: float = 300.0) -> Session:
        """The session, once its report is there.

        Never longer than `timeout_s`, whatever the service does: it bounds each request too.

        Raises: NoReport: it failed, was cancelled or was erased. NotYet: it is still under way.
            Problem: such as 404. Unreachable: the service was away all the time that was left.
        """
        until, last = self._asker.clock() + timeout_s, "unknown"
        for n in itertools.count():
            try:
                found = Session.from_dict(self._asker.document("GET", _at(session_id), until=until))
            except Unreachable:
                if last == "unknown":
                    raise
                break
            last = found.status
            if last == "done":
                return found
            if last in _ENDED:
                raise NoReport(found)
            pause = POLLS_S[min(n, len(POLLS_S) - 1)]
            if self._asker.clock() + pause >= until:
                break
            self._asker.sleep(pause)
        raise NotYet(session_id, last)

    def erase(self, session_id: str) -> None:
        """Erases a session for good; twice is as once. Raises: Problem; Unreachable."""
        self._asker.ask("DELETE", _at(session_id))

    def rescore(self, session_id: str, checkpoint: str) -> None:
        """Scores again; the new report stands beside the old. Raises: Problem; Unreachable."""
        self._asker.ask(
            "POST", _at(session_id, "rescore"), is_safe=False, json={"checkpoint": checkpoint}
        )

    def revoke_consent(self, consent_id: str) -> int:
        """Takes a consent back; how many sessions it reached. Raises: Problem; Unreachable."""
        place = f"/v1/consents/{quote(consent_id, safe='')}/revoke"
        return int(
            self._asker.document("POST", place)["n_sessions"]
        )  # a second time it reaches none

    # -- what was found ------------------------------------------------------------------------

    def report(self, session_id: str, *, report_id: str = "") -> Report:
        """The report; `text` and `speaker` of its turns are None for a key without `text:read`.

        Args:
            session_id: of the session.
            report_id: of several reports this one; default: the newest.

        Raises: Problem; Unreachable. ValueError: it is of a schema that this version cannot read.
        """
        return Report.from_dict(self._document(session_id, "report", report_id))

    def moments(self, session_id: str, *, report_id: str = "") -> tuple[Moment, ...]:
        """The moments worth a look. Raises: as `report`."""
        found = self._document(session_id, "moments", report_id)["moments"]
        return tuple(known(Moment, one) for one in found)

    def segments(self, session_id: str, *, report_id: str = "") -> tuple[SegmentReport, ...]:
        """Scores by segment. Raises: as `report`."""
        found = self._document(session_id, "segments", report_id)["segments"]
        return tuple(known(SegmentReport, one) for one in found)

    def page(self, session_id: str, *, report_id: str = "") -> str:
        """The report as an HTML page, with what was said. Raises: Problem; Unreachable."""
        return self._text(session_id, "report.html", report_id)

    def table(self, session_id: str, *, report_id: str = "") -> str:
        """The report as CSV, one row a turn. Raises: Problem; Unreachable."""
        return self._text(session_id, "report.csv", report_id)

    def fhir(self, session_id: str, *, report_id: str = "") -> Mapping[str, Any]:
        """The report as a FHIR Bundle. Raises: Problem; Unreachable."""
        found: dict[str, Any] = self._document(session_id, "fhir", report_id)
        return found

    def _text(self, session_id: str, form: str, report_id: str) -> str:
        return self._asker.ask("GET", _at(session_id, form), params=_named(report_id)).text

    def _document(self, session_id: str, form: str, report_id: str) -> Any:
        return self._asker.document("GET", _at(session_id, form), params=_named(report_id))

    def trajectory(self, client: str) -> Trajectory:
        """One client's sessions, by your reference. Raises: Problem; Unreachable."""
        place = f"/v1/clients/{quote(client, safe='')}/trajectory"
        return known(Trajectory, self._asker.document("GET", place))

    # -- how long it is kept -------------------------------------------------------------------

    def policy(self) -> Policy:
        """How long the tenant's sessions are kept. Raises: Problem; Unreachable."""
        return _policy(self._asker.ask("GET", "/v1/policy"))

    def set_policy(
        self,
        read: Policy,
        *,
        text_days: int | None = None,
        report_days: int | None = None,
        revocation_erases: str | None = None,
    ) -> Policy:
        """Chooses anew, all of it: what is None goes back to the deployer's own.

        What ends sooner by it is erased by the next sweep, for good.

        Args:
            read: the policy as it was read; where somebody changed it since, nothing is done.
            text_days: days that what was said is kept.
            report_days: days that scores are kept.
            revocation_erases: what a consent that is taken back erases at once: `text` or `all`.

        Raises: Problem: such as `stale`, or longer than is allowed. Unreachable.
        """
        asked = {
            "text_days": text_days,
            "report_days": report_days,
            "revocation_erases": revocation_erases,
        }
        kept = {name: value for name, value in asked.items() if value is not None}
        headers = {"If-Match": read.etag}
        return _policy(self._asker.ask("PUT", "/v1/policy", headers=headers, json=kept))

    # -- webhooks ------------------------------------------------------------------------------

    def register_webhook(self, url: str, events: Iterable[str]) -> Webhook:
        """Registers where to tell of `session.completed`, `.failed`, `.erased`.

        Not sent again after an answer that broke off: it could be there twice.

        Raises: Problem; Unreachable.
        """
        asked = {"url": url, "events": list(events)}
        return Webhook.from_dict(
            self._asker.document("POST", "/v1/webhooks", is_safe=False, json=asked)
        )

    def webhooks(self) -> tuple[Webhook, ...]:
        """The tenant's webhooks, without their secrets. Raises: Problem; Unreachable."""
        return tuple(map(Webhook.from_dict, self._pages("/v1/webhooks", {})))

    def rotate_webhook(self, webhook_id: str) -> Webhook:
        """A new secret; the old one signs beside it for a day. Raises: Problem; Unreachable."""
        place = f"/v1/webhooks/{quote(webhook_id, safe='')}/rotate"
        return Webhook.from_dict(self._asker.document("POST", place, is_safe=False))

    def remove_webhook(self, webhook_id: str) -> None:
        """Removes a webhook. Raises: Problem; Unreachable."""
        self._asker.ask("DELETE", f"/v1/webhooks/{quote(webhook_id, safe='')}")

    def deliveries(self, webhook_id: str) -> Iterator[Mapping[str, Any]]:
        """What was sent to it and what came of that, newest first. Raises: Problem; Unreachable."""
        return self._pages(f"/v1/webhooks/{quote(webhook_id, safe='')}/deliveries", {})

    def _pages(self, place: str, asked: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """What a list holds, over all its pages."""
        after: str | None = None
        while True:
            given = {**asked, **({"after": after} if after else {})}
            found = self._asker.document("GET", place, params=given)
            yield from found["items"]
            after = found.get("next")
            if after is None:
                return


def _policy(answer: httpx.Response) -> Policy:
    return known(Policy, {**answer.json(), "etag": answer.headers.get("etag", "")})


def _at(session_id: str, part: str = "") -> str:
    return f"/v1/sessions/{quote(session_id, safe='')}" + (f"/{part}" if part else "")


def _named(report_id: str) -> dict[str, str]:
    return {"report": report_id} if report_id else {}
