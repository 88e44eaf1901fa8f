"""Requests of service/client.py: sent again while that may help, and never beyond a deadline."""

import itertools
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any

import httpx

from service.errors import Fault, ServiceError

TRIES_S, MOST_WAIT_S = 0.5, 30.0
"""The first wait between tries, and the longest that it doubles to. A judgement."""

_AGAIN = frozenset({429, 502, 503, 504})
"""With these the service, or what stands before it, says that another try may help."""

_NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})

_FAULT = ("pointer", "code", "message")


class Problem(ServiceError):
    """The service refused. `status`, `code`, `detail`, `errors` and `more` are its document's.

    Args:
        status: of HTTP.
        document: the problem document; {} where something else answered, such as a proxy.
        retry_after_s: seconds after which another try may help; None: nothing was said.
    """

    def __init__(
        self, status: int, document: Mapping[str, Any], retry_after_s: float | None = None
    ) -> None:
        found = {**document}
        self.request_id = str(found.pop("request_id", ""))
        self.retry_after_s = retry_after_s
        listed = found.pop("errors", ())
        places = [one for one in listed if isinstance(one, dict)] if type(listed) is list else []
        super().__init__(
            str(found.pop("detail", "no problem document came with it")),
            code=str(found.pop("code", f"http_{status}")),
            errors=[Fault(*(str(one.get(name, "")) for name in _FAULT)) for one in places],
        )
        self.title = str(found.pop("title", type(self).title))
        self.status = status
        self.more = {name: found[name] for name in found if name not in ("type", "status")}

    def __str__(self) -> str:
        asked = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.status} {self.code}: {self.detail}{asked}"


class Unreachable(ServiceError):
    """No answer came, or none that can be read. `kind` is the failure's, such as ConnectError."""

    status, code, title = 503, "unreachable", "No answer"

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"the service did not answer ({kind})")


class Asker:
    """Sends requests with a key. The arguments are those of service.client.Client."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        patience_s: float,
        allow_http: bool,
        transport: httpx.BaseTransport | None,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        place = httpx.URL(url)
        if place.scheme not in ("https", "http") or not place.host or place.userinfo:
            raise ValueError("the URL is to be https://HOST, without a name or password")
        if place.scheme == "http" and not (allow_http or _is_here(place.host)):
            raise ValueError("an API key does not go out unencrypted: use https, or allow_http")
        self.host = place.host
        self._timeout_s, self._patience_s = timeout_s, patience_s
        self.clock, self.sleep = clock, sleep
        self._http = httpx.Client(
            base_url=place, headers=headers, timeout=timeout_s, transport=transport
        )

    def close(self) -> None:
        """Lets go of its connections."""
        self._http.close()

    def document(self, method: str, place: str, **more: Any) -> Any:
        """The JSON of an answer of success. Raises: as `ask`."""
        answer = self.ask(method, place, **more)
        try:
            return answer.json()
        except ValueError:  # a proxy's page; the error would hold it
            pass
        raise Unreachable("NotJson")

    def ask(
        self,
        method: str,
        place: str,
        *,
        is_safe: bool = True,
        until: float | None = None,
        **more: Any,
    ) -> httpx.Response:
        """The answer, if it is one of success, after as many tries as the time allows.

        Args:
            method: of HTTP.
            place: the URL's path, percent-encoded.
            is_safe: whether it may arrive twice. If not, it is sent again only after a 429 and
                where no connection came about.
            until: when to give up, by the clock; default: `patience_s` from now.
            more: of httpx's `build_request`.

        Raises: Problem; Unreachable.
        """
        until = self.clock() + self._patience_s if until is None else until
        for n in itertools.count():
            answer = self._once(method, place, until, **more)
            if isinstance(answer, httpx.Response) and answer.is_success:
                return answer
            refused = answer if isinstance(answer, Unreachable) else _problem(answer)
            wait = TRIES_S * 2 ** min(n, 20) * random.uniform(0.5, 1.0)  # noqa: S311
            wait = max(min(wait, MOST_WAIT_S), getattr(refused, "retry_after_s", None) or 0.0)
            if not _may_help(refused, is_safe) or self.clock() + wait >= until:
                raise refused
            self.sleep(wait)
        raise AssertionError("count() does not end")

    def _once(
        self, method: str, place: str, until: float, **more: Any
    ) -> httpx.Response | Unreachable:
        patience_s = min(self._timeout_s, max(until - self.clock(), 0.001))
        request = self._http.build_request(method, place, timeout=patience_s, **more)
        body = bytearray()
        try:
            answer = self._http.send(request, stream=True)
            try:
                for piece in answer.iter_bytes():
                    body += piece
                    if self.clock() > until:  # an answer that drips
                        return Unreachable("Deadline")
            finally:
                answer.close()
        except httpx.RequestError as error:
            # Not raised from: it holds the request, and with it the transcript and the key.
            return Unreachable(type(error).__name__)
        kept = {n: v for n, v in answer.headers.items() if n not in _OF_THE_WIRE}
        return httpx.Response(answer.status_code, headers=kept, content=bytes(body))


_OF_THE_WIRE = ("content-encoding", "content-length", "transfer-encoding")


def _may_help(refused: Problem | Unreachable, is_safe: bool) -> bool:
    if isinstance(refused, Unreachable):
        return is_safe or refused.kind in _NEVER_SENT
    return refused.status in _AGAIN and (is_safe or refused.status == 429)


def _problem(answer: httpx.Response) -> Problem:
    try:
        found = answer.json()
    except ValueError:
        found = {}
    document = found if isinstance(found, dict) else {}
    return Problem(answer.status_code, document, retry_after(answer.headers.get("retry-after")))


def retry_after(text: str | None) -> float | None:
    """Seconds of a Retry-After, in seconds or as a date (RFC 9110 §10.2.3); None: it says none."""
    if text and text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
