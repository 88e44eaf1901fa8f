"""Where a webhook may go: a stranger's URL, checked to its addresses, and a POST to one of them.

A tenant writes the URL; our network answers the call. So every address of its host is resolved
and judged, and the connection is made to an address that was judged, not to the name: a name
server that says something else a moment later is not asked again (DNS rebinding). Host and SNI
are still the name's. No redirect is followed, no proxy of the environment is used.
"""

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

import httpcore
import httpx

from service.errors import Invalid, ServiceError

if TYPE_CHECKING:  # the client signs and checks with this, and has no settings
    from service.settings import Settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Iterable[str]]

_MOST_READ = 16_384  # bytes of an answer: the status and headers are in them, the rest is dropped
_MOST_TRIED = 8  # addresses of one host
_MOST_URL = 2_048
_CHECK_S = 5.0
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")

# Ports from 1024 up that a web request may not go to (Fetch standard, port blocking). Below that
# only the scheme's own is allowed.
_BAD_PORTS = {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 10080}
_BAD_PORTS |= {6665, 6666, 6667, 6668, 6669, 6679, 6697}

_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
_GLOBAL_V6 = ip_network("2000::/3")  # all of IPv6 that is given out as global unicast (RFC 4291)
# IANA's special-purpose registries (RFC 6890 and later entries), written out because what
# ipaddress calls global changes with the version of Python. 168.63.129.16 is public by number,
# and by use the host of every Azure machine.
_SPECIAL = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
        *("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20"),
    )
)


class DestinationRefused(Invalid):
    """Nothing is sent to this URL: its form, its port or an address of its host is not allowed."""

    code, title = "webhook_url_refused", "No webhook goes there"


class HostUnknown(Invalid):
    """The URL's host has no address now; it may have one later."""

    code, title = "webhook_host_unknown", "The host is not known"


class NoAnswer(ServiceError):
    """The receiver gave no status in time. `reason`: timeout, connection, tls or protocol."""

    status, code, title = 502, "no_answer", "No answer"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__("the receiver gave no answer", more={"reason": reason})


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host as the system's resolver gives them. Raises: OSError: none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL that was checked, and the addresses it was checked to. Its repr shows no URL."""

    url: httpx.URL = field(repr=False)
    addresses: tuple[str, ...] = field(repr=False)
    tls: ssl.SSLContext = field(repr=False)


@dataclass(frozen=True, slots=True)
class Guard:
    """Which URLs may be posted to.

    Args:
        allow_http: whether plain http is allowed; https always is.
        networks: that are allowed though they are not public, for receivers in the same house.
        resolve: host and port to addresses; OSError where there is none.
        tls: whom to trust; None: the public authorities that certifi lists.
    """

    allow_http: bool = False
    networks: tuple[Network, ...] = ()
    resolve: Resolver = field(default=resolve, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def check(self, url: str, *, until: float | None = None) -> Destination:
        """The URL with the addresses of its host, all of which are allowed.

        Asks name servers, so it blocks: until `until` of time.monotonic, or for five seconds.

        Raises: DestinationRefused: the URL's form or port, or one of its addresses.
            HostUnknown: the host has no address, or none came in time.
        """
        parsed = self._parse(url)
        port = _port(parsed)
        left = (time.monotonic() + _CHECK_S if until is None else until) - time.monotonic()
        addresses = _within(left, self.resolve, parsed.raw_host.decode("ascii"), port)
        if not all(self._allows(one) for one in addresses):
            # Which address it is would tell a stranger about the network we are in.
            raise DestinationRefused("the host has an address that webhooks may not go to")
        return Destination(parsed, tuple(map(str, addresses)), self.tls or _public_tls())

    def _parse(self, url: str) -> httpx.URL:
        """Read by the parser that the request is made with: two parsers may read two hosts."""
        if len(url) > _MOST_URL:
            raise DestinationRefused(f"a URL has at most {_MOST_URL} characters")
        parsed = _url(url)
        if parsed is None:
            raise DestinationRefused("this is not a URL")
        host = parsed.raw_host.decode("ascii")
        if parsed.scheme != "https" and not (parsed.scheme == "http" and self.allow_http):
            raise DestinationRefused("the URL must begin with https://")
        if parsed.userinfo:
            raise DestinationRefused("a name or password may not be in the URL")
        if not _HOST.fullmatch(host) and not _is_address(host):
            raise DestinationRefused("the URL has no host, or one that is malformed")
        own = 443 if parsed.scheme == "https" else 80
        port = _port(parsed)
        if port != own and (not 1024 <= port <= 65535 or port in _BAD_PORTS):
            raise DestinationRefused("webhooks do not go to this port")
        return parsed

    def _allows(self, address: Address) -> bool:
        meant = _meant(address)
        if any(one in network for one in (address, meant) for network in self.networks):
            return True
        if isinstance(meant, IPv6Address) and meant not in _GLOBAL_V6:
            return False
        return not any(meant in network for network in _SPECIAL)


class NoAuthorities(ServiceError):
    """The file of further authorities cannot be read, or holds none."""

    code, title = "webhook_ca_unusable", "The authorities cannot be read"

    def __init__(self, path: object) -> None:
        super().__init__(f"RUPTURE_WEBHOOK_CA_FILE: {path}: no certificates (PEM) can be read")


def guard_of(settings: "Settings") -> Guard:
    """The guard that an operator has set. Raises: NoAuthorities."""
    tls, path = None, settings.webhook_ca_file
    if path is not None:
        tls = httpx.create_ssl_context(trust_env=False)
        try:
            tls.load_verify_locations(cafile=path)
        except (OSError, ssl.SSLError):  # its words may quote what is no certificate
            raise NoAuthorities(path) from None
    return Guard(allow_http=settings.webhook_http, networks=settings.webhook_networks, tls=tls)


def _meant(address: Address) -> Address:
    """The IPv4 address that a mapped, 6to4 or NAT64 one leads to; any other as it is."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in _NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def _url(text: str) -> httpx.URL | None:
    # Its error quotes the URL, which may hold a key: it is let go of before ours is raised.
    try:
        return httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        return None


def _port(url: httpx.URL) -> int:
    return (443 if url.scheme == "https" else 80) if url.port is None else url.port


def _is_address(host: str) -> bool:
    if "%" in host:  # a zone is a card of this machine, and no business of a stranger
        return False
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@cache
def _public_tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _within(seconds: float, ask: Resolver, host: str, port: int) -> list[Address]:
    """A name server's answer, or HostUnknown when the time is over.

    The system's resolver cannot be interrupted, and may take half a minute: it runs in a thread
    that is left behind where it is too slow.
    """
    answers: SimpleQueue[list[Address]] = SimpleQueue()

    def work() -> None:
        try:
            answers.put([ip_address(one) for one in ask(host, port)])
        except (OSError, ValueError):
            answers.put([])

    Thread(target=work, name="webhook-host", daemon=True).start()
    try:
        found = answers.get(timeout=max(0.0, seconds))
    except Empty:
        found = []
    if not found:
        raise HostUnknown("the host has no address now")
    return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What is kept of a receiver's answer: the status, and `Retry-After` as it came."""

    status: int
    retry_after: str = ""


def post(
    destination: Destination, headers: Mapping[str, str], body: bytes, *, until: float
) -> Answer:
    """Posts once to an address that was checked, and reads the answer's status and headers.

    Args:
        destination: what `Guard.check` gave.
        headers: beside Host and Content-Length.
        body: as it is sent.
        until: of time.monotonic; the whole of it is over then, also where bytes drip in.

    Raises: NoAnswer.
    """
    url = destination.url
    target = httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )
    own = {"host": url.netloc.decode("ascii"), "content-length": str(len(body))}
    sent: list[tuple[bytes | str, bytes | str]] = [*own.items(), *headers.items()]
    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=destination.tls, network_backend=_Checked(destination, until)
            ) as pool,
            pool.stream("POST", target, headers=sent, content=body) as response,
        ):
            found = {name.lower(): value for name, value in response.headers}
            return Answer(response.status, found.get(b"retry-after", b"").decode("latin-1"))
    except httpcore.TimeoutException:
        raise NoAnswer("timeout") from None
    except httpcore.ProtocolError:
        raise NoAnswer("protocol") from None
    except _NoTls:
        raise NoAnswer("tls") from None
    except (httpcore.NetworkError, OSError):
        raise NoAnswer("connection") from None


class _NoTls(httpcore.ConnectError):
    """The host was reached and did not prove its name."""


class _Checked(httpcore.NetworkBackend):
    """Connects to the addresses that were checked, whatever host it is asked for."""

    def __init__(self, destination: Destination, until: float) -> None:
        self._addresses = destination.addresses[:_MOST_TRIED]
        self._until = until
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address that answers; each has a fair share of the time."""
        failure: Exception = httpcore.ConnectError("no address")
        for place, address in enumerate(self._addresses):
            share = _left(self._until) / (len(self._addresses) - place)
            try:
                stream = self._sockets.connect_tcp(address, port, share, local_address)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Line(stream, self._until)
        raise failure


class _Line(httpcore.NetworkStream):
    """A connection that ends at a moment, and after so many bytes, however slowly they come.

    httpcore's own timeouts begin anew with every byte.
    """

    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream = stream
        self._until = until
        self._n_read = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Bytes that came, within the bounds."""
        most = min(max_bytes, _MOST_READ - self._n_read)
        if most <= 0:
            raise httpcore.RemoteProtocolError("headers without end")
        got = self._stream.read(most, _left(self._until))
        self._n_read += len(got)
        return got

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Sends, within the time."""
        self._stream.write(buffer, _left(self._until))

    def close(self) -> None:
        """Ends it; what comes after that is not read."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """The same connection under TLS, for the name and not for the address."""
        try:
            inner = self._stream.start_tls(ssl_context, server_hostname, _left(self._until))
        except httpcore.ConnectError as error:
            raise _NoTls from error
        return _Line(inner, self._until)

    def get_extra_info(self, info: str) -> object:
        """What httpcore asks of a connection."""
        return self._stream.get_extra_info(info)


def _left(until: float) -> float:
    """Seconds that are left, more than none. Raises: httpcore.ReadTimeout."""
    left = until - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline is over")
    return left
