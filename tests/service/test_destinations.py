import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from service.destinations import (
    Destination,
    DestinationRefused,
    Guard,
    HostUnknown,
    NoAnswer,
    post,
    resolve,
)

PUBLIC = ("93.184.215.14", "1.1.1.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "8.8.8.8")
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


def answering(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda host, port: list(addresses)


def check(url: str, *addresses: str, **more: Any) -> Destination:
    return Guard(resolve=answering(*(addresses or PUBLIC[:1])), **more).check(url)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert check("https://hooks.example.com/in", address).addresses == (address,)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - refused, not listened on
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::10.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(DestinationRefused):
        check("https://hooks.example.com", address)


@pytest.mark.parametrize("address", ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"])
def test_a_public_address_in_another_is_allowed(address: str) -> None:
    assert check("https://hooks.example.com", address).addresses


def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    with pytest.raises(DestinationRefused):
        check("https://hooks.example.com", PUBLIC[0], "10.0.0.1", PUBLIC[1])


def test_a_network_in_the_settings_is_allowed_and_no_other() -> None:
    networks = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00:1::/32"))
    assert check("https://hooks.example.com", "10.1.2.3", networks=networks)
    assert check("https://hooks.example.com", "::ffff:10.1.2.3", networks=networks)
    assert check("https://hooks.example.com", "fd00:1::9", networks=networks)
    for other in ("10.2.0.1", "fd00:2::1", "127.0.0.1"):
        with pytest.raises(DestinationRefused):
            check("https://hooks.example.com", other, networks=networks)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "//hooks.example.com",
        "https://",
        "https:///in",
        "http://hooks.example.com",
        "ftp://hooks.example.com",
        "file:///etc/passwd",
        "gopher://hooks.example.com",
        "unix:///run/docker.sock",
        "https://user:word@hooks.example.com",
        "https://user@hooks.example.com",
        "https://hooks.example.com\\@10.0.0.1/",
        "https://.example.com",
        "https://hooks..example.com",
        "https://-hooks.example.com",
        "https://hooks.example.com.",
        "https://hooks example.com",
        "https://hooks.example.com/\n",
        "https://%31%32%37.0.0.1/",
        "https://[fe80::1%25eth0]/",
        "https://[::1",
        "https://hooks.example.com:port",
        "https://hooks.example.com:99999",
        "https://\ud800.example.com",
        f"https://{'a' * 64}.example.com",
        f"https://{'a.' * 130}com",
        f"https://hooks.example.com/{'a' * 2048}",
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(DestinationRefused):
        check(url)


@pytest.mark.parametrize(
    "port", [0, 1, 22, 25, 80, 442, 465, 587, 993, 2049, 5060, 6000, 6667, 10080]
)
def test_a_port_of_another_service_is_refused(port: int) -> None:
    with pytest.raises(DestinationRefused):
        check(f"https://hooks.example.com:{port}")


@pytest.mark.parametrize("port", [443, 1024, 8443, 65535])
def test_the_scheme_s_port_and_high_ports_are_allowed(port: int) -> None:
    assert check(f"https://hooks.example.com:{port}")


def test_http_is_allowed_by_a_setting_alone() -> None:
    assert check("http://hooks.example.com", allow_http=True)
    with pytest.raises(DestinationRefused):
        check("http://hooks.example.com:443", allow_http=True)
    with pytest.raises(DestinationRefused):
        check("ftp://hooks.example.com", allow_http=True)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]", "[::ffff:7f00:1]"],
)
def test_a_loopback_address_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises((DestinationRefused, HostUnknown)):
        Guard(resolve=resolve).check(f"https://{host}/")


def test_the_system_s_own_name_resolves_to_a_loopback_and_is_refused() -> None:
    with pytest.raises(DestinationRefused):
        Guard().check("https://localhost/")


def test_a_name_of_another_script_is_resolved_as_the_request_names_it() -> None:
    asked: list[str] = []

    def note(host: str, port: int) -> list[str]:
        asked.append(host)
        return [PUBLIC[0]]

    Guard(resolve=note).check("https://bücher.example/in")
    assert asked == ["xn--bcher-kva.example"]


@pytest.mark.parametrize("addresses", [[], ["no address"], [PUBLIC[0], ""]])
def test_a_host_without_a_usable_answer_is_unknown(addresses: list[str]) -> None:
    with pytest.raises(HostUnknown):
        Guard(resolve=answering(*addresses)).check("https://hooks.example.com")


def test_a_resolver_that_fails_leaves_the_host_unknown() -> None:
    def fail(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(HostUnknown):
        Guard(resolve=fail).check("https://hooks.example.com")


def test_a_resolver_that_hangs_is_left_behind_at_the_deadline() -> None:
    gate = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        gate.wait(30)
        return [PUBLIC[0]]

    started = time.monotonic()
    try:
        with pytest.raises(HostUnknown):
            Guard(resolve=hang).check("https://hooks.example.com", until=started + 0.1)
        assert time.monotonic() - started < 10
    finally:
        gate.set()


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80), st.sampled_from(["", "https://", "https://a.example/", "https://["]))
def test_any_text_is_a_url_or_refused(text: str, before: str) -> None:
    try:
        found = check(before + text)
    except DestinationRefused:
        return
    assert found.url.scheme == "https"
    assert not found.url.userinfo


@settings(max_examples=50, deadline=None)
@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_every_dress(address: ipaddress.IPv4Address) -> None:
    def allowed(text: str) -> bool:
        try:
            return bool(check("https://hooks.example.com", text))
        except DestinationRefused:
            return False

    number = int(address)
    dressed = (
        f"::ffff:{address}",
        str(ipaddress.IPv6Address((0x0064FF9B << 96) | number)),
        str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))),
    )
    assert [allowed(one) for one in dressed] == [allowed(str(address))] * 3
    # Python 3.11 and its successors agree that none of these is out in the world.
    if address.is_private or address.is_multicast or address.is_reserved:
        assert not allowed(str(address))


def test_no_refusal_and_no_repr_shows_the_url_or_the_address() -> None:
    urls = (
        "https://zyxcanary.example:1/zyxcanary?key=zyxcanary",
        "https://zyxcanary.example:zyxcanary/",
        "https://zyxcanary:zyxcanary@hooks.example.com",
        "https://zyxcanary.example/zyxcanary",
        "zyxcanary",
    )
    for url in urls:
        with pytest.raises(DestinationRefused) as caught:
            check(url, "10.11.12.13")
        error: BaseException | None = caught.value
        while error is not None:
            shown = f"{error!r} {vars(error)} {''.join(traceback.format_exception_only(error))}"
            assert "zyxcanary" not in shown
            assert "10.11" not in shown
            error = error.__context__
    found = check("https://zyxcanary.example/zyxcanary")
    assert "zyxcanary" not in repr(found)
    assert PUBLIC[0] not in repr(found)


def _whole(line: ssl.SSLSocket) -> bytes:
    """A request with its body; closing before it is read would break the answer off."""
    got = b""
    while not got.endswith(b"{}"):
        got += line.recv(65536) or b"{}"
    return got


class Speaker:
    """A receiver of TLS on 127.0.0.1 that notes the name each client asks for."""

    def __init__(self, folder: Path, name: str) -> None:
        certificate = self._certificate(folder, name)
        self.names: list[str | None] = []
        self.requests: list[bytes] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda one, asked, its: self.names.append(asked)
        self.trusted = ssl.create_default_context(cafile=str(certificate))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=(context,), daemon=True)
        self._thread.start()

    def _serve(self, context: ssl.SSLContext) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            line.settimeout(5)
            try:
                with context.wrap_socket(line, server_side=True) as spoken:
                    self.requests.append(_whole(spoken))
                    spoken.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            except OSError:
                line.close()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    @staticmethod
    def _certificate(folder: Path, name: str) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        path = folder / "receiver.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + made.public_bytes(serialization.Encoding.PEM)
        )
        return path


@pytest.fixture
def speaker(tmp_path: Path) -> Iterator[Speaker]:
    made = Speaker(tmp_path, "hooks.example.com")
    yield made
    made.close()


def send(speaker: Speaker, host: str, tls: ssl.SSLContext | None) -> int:
    guard = Guard(networks=(LOOPBACK,), resolve=answering("127.0.0.1"), tls=tls)
    found = guard.check(f"https://{host}:{speaker.port}/in?a=b")
    return post(found, {"webhook-id": "m1"}, b"{}", until=time.monotonic() + 5).status


def test_sni_certificate_and_host_are_the_name_s_though_the_address_is_connected_to(
    speaker: Speaker,
) -> None:
    assert send(speaker, "hooks.example.com", speaker.trusted) == 204
    assert speaker.names == ["hooks.example.com"]
    assert f"host: hooks.example.com:{speaker.port}\r\n".encode() in speaker.requests[0].lower()
    assert speaker.requests[0].startswith(b"POST /in?a=b HTTP/1.1\r\n")


def test_a_certificate_for_another_name_or_by_nobody_known_ends_it_before_anything_is_said(
    speaker: Speaker,
) -> None:
    for host, tls in (("other.example.com", speaker.trusted), ("hooks.example.com", None)):
        with pytest.raises(NoAnswer) as caught:
            send(speaker, host, tls)
        assert caught.value.reason == "tls"
    assert speaker.requests == []


def test_a_receiver_that_never_shakes_hands_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        guard = Guard(networks=(LOOPBACK,), resolve=answering("127.0.0.1"))
        found = guard.check(f"https://hooks.example.com:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(NoAnswer) as caught:
            post(found, {}, b"{}", until=started + 0.2)
    assert caught.value.reason == "timeout"
    assert time.monotonic() - started < 10


def test_the_next_address_is_tried_where_the_first_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[tuple[str, float]] = []

    def unreachable(address: tuple[str, int], timeout: float, **more: Any) -> socket.socket:
        tried.append((address[0], timeout))
        raise OSError("unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    found = check("https://hooks.example.com", *PUBLIC)
    with pytest.raises(NoAnswer) as caught:
        post(found, {}, b"{}", until=time.monotonic() + 8)
    assert caught.value.reason == "connection"
    assert [one for one, _ in tried] == list(PUBLIC)
    assert tried[0][1] == pytest.approx(2, abs=0.5)  # a fourth of the time, and no more


def test_the_public_authorities_are_read_once_and_hosts_are_verified() -> None:
    first = check("https://hooks.example.com").tls
    assert first is check("https://other.example.com").tls
    assert first.check_hostname
    assert first.verify_mode is ssl.CERT_REQUIRED
