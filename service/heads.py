"""How long a request's head may be: its line and its headers, before anything is read of it.

uvicorn's fast parser has no limit of its own: it would keep what comes until the memory is full.
"""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.errors import PROBLEM_TYPE, ServiceError, problem

MOST_BYTES = 65_536
"""Of a whole head: what uvicorn's other parser (h11) allows by default."""
LINGER_S = 5.0
"""How long a refused head is still read and thrown away: a line that is closed while its sender
sends loses him the answer. As for bodies, see service.limits."""


class HeadTooLarge(ServiceError):
    """The request's line and headers are longer than the stated limit."""

    status, code, title = 431, "head_too_large", "The headers are too large"

    def __init__(self) -> None:
        detail = f"The request's line and headers may have {MOST_BYTES:,} bytes."
        super().__init__(detail, more={"max_bytes": MOST_BYTES})


class LimitedHttp(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 over httptools, with a limit for heads: `uvicorn.Config(http=…)`.

    A head that is whole is measured exactly. One that does not end is ended when so many bytes
    have come beyond the chunk in which it began.
    """

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._is_head, self._n_came, self._is_refused = True, 0, False
        self._closing: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """What came; of a head that was refused the rest is thrown away."""
        if self._is_refused:
            return
        self._n_came += len(data)
        super().data_received(data)
        if self._is_head and self._n_came > MOST_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        """A head begins."""
        if self._is_refused:
            return
        if self.cycle is not None:  # not the line's first: what came before it is no part of it
            self._n_came = 0
        self._is_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._is_head = False
        if self._is_refused:
            return
        # ": " and a line's end of each, as it would be written.
        n_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if n_bytes > MOST_BYTES:
            self._refuse()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._is_head, self._n_came = True, 0
        if not self._is_refused:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes any more."""
        if self._closing is not None:
            self._closing.cancel()
        super().connection_lost(exc)

    def _refuse(self) -> None:
        self._is_refused = True
        self.logger.warning("a request's head was too large")
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering:  # a request before this one on the same line: its answer breaks off
            self.transport.close()
            return
        body = json.dumps(problem(HeadTooLarge(), request_id="")).encode()
        head = (
            "HTTP/1.1 431 Request Header Fields Too Large\r\n"
            f"content-type: {PROBLEM_TYPE}\r\ncontent-length: {len(body)}\r\n"
            "cache-control: no-store\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self._closing = self.loop.call_later(LINGER_S, self.transport.close)
