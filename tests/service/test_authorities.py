"""Webhooks to receivers whose certificate an authority of one's own has signed."""

import datetime as dt
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service import checks, tables
from service.destinations import NoAuthorities, guard_of
from service.settings import Settings
from service.work import Work

PEM = serialization.Encoding.PEM


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def begun(subject: str, issuer: str, key: Any) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
    )


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, Path]:
    """The authority's certificate, and a receiver's with its key that it has signed."""
    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    known = x509.SubjectKeyIdentifier.from_public_key(root.public_key())
    signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    top = (
        begun("authority of the house", "authority of the house", root)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(known, critical=False)
        .add_extension(signs, critical=True)
        .sign(root, hashes.SHA256())
    )
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    leaf = (
        begun("receiver", "authority of the house", own)
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known), critical=False
        )
        .sign(root, hashes.SHA256())
    )
    ca, receiver = tmp_path / "ca.pem", tmp_path / "receiver.pem"
    ca.write_bytes(top.public_bytes(PEM))
    none = serialization.NoEncryption()
    private = own.private_bytes(PEM, serialization.PrivateFormat.PKCS8, none)
    receiver.write_bytes(private + leaf.public_bytes(PEM))
    return ca, receiver


class Receiver(ThreadingHTTPServer):
    """A platform's endpoint over TLS: keeps the ids that came."""

    daemon_threads = True

    def __init__(self, certificate: Path) -> None:
        receiver, self.ids = self, list[str]()

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                receiver.ids.append(self.headers["webhook-id"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        super().__init__(("127.0.0.1", 0), Answering)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server_port}/hook"

    def handle_error(self, *_: object) -> None:
        """Who does not trust it goes away."""


@pytest.fixture
def receiver(authority: tuple[Path, Path]) -> Iterator[Receiver]:
    server = Receiver(authority[1])
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


# What is sent hangs on no database.
pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_receiver_of_ones_own_authority_is_told_where_it_is_trusted_and_else_not(
    place: Any, receiver: Receiver, authority: tuple[Path, Path], is_trusted: bool
) -> None:
    given = {
        "webhook_networks": (ip_network("127.0.0.0/8"),),
        "webhook_ca_file": authority[0] if is_trusted else None,
    }
    object.__setattr__(place.house, "settings", place.house.settings.model_copy(update=given))
    work = Work(place.house, place.records, place.queue)
    actor = place.tenant()
    place.records.register(actor, receiver.url, ["session.completed"])
    assert work.score("ten_a", place.job_of(place.hand_in(actor))["id"]) == "done"
    (told,) = place.rows(tables.deliveries)
    assert work.deliver("ten_a", told["id"]) == ("delivered" if is_trusted else "again")
    assert receiver.ids == ([told["id"]] if is_trusted else [])
    assert place.rows(tables.deliveries)[0]["last_reason"] == ("ok" if is_trusted else "tls")


def test_the_public_authorities_are_trusted_all_the_same(
    settings: Settings, authority: tuple[Path, Path]
) -> None:
    given = settings.model_copy(update={"webhook_ca_file": authority[0]})
    tls = guard_of(given).tls
    assert tls is not None
    subjects = [dict(part for rdn in one["subject"] for part in rdn) for one in tls.get_ca_certs()]
    names = [one.get("commonName") for one in subjects]
    assert "authority of the house" in names
    assert len(names) > 20


@pytest.mark.parametrize("content", [None, b"", b"no certificate: hunter2"])
def test_a_file_that_holds_no_authority_is_refused_and_not_quoted(
    settings: Settings, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    given = settings.model_copy(update={"webhook_ca_file": path})
    with pytest.raises(NoAuthorities) as caught:
        guard_of(given)
    assert str(path) in str(caught.value)
    said = dict(checks.run(given, {}, datetime.now(UTC)))["authorities"]
    assert said.startswith("NO: RUPTURE_WEBHOOK_CA_FILE")
    assert "hunter2" not in said


def test_check_says_that_further_authorities_are_trusted(
    settings: Settings, authority: tuple[Path, Path]
) -> None:
    given = settings.model_copy(update={"webhook_ca_file": authority[0]})
    assert dict(checks.run(given, {}, datetime.now(UTC)))["authorities"].startswith("yes")
