"""What several tests of the service share: an OpenID provider, `rupture serve`, a PostgreSQL."""

import base64
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import psycopg
import pyotp
import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from detector import Detector, Transcript, read_transcript
from service import oidc, store, tables
from service.accounts import Enrolment
from service.app import create_app
from service.auth import make_tenant
from service.consent import Consent, Scopes
from service.deeds import Actor, Enqueue
from service.entrance import Entrance
from service.errors import NotAuthenticated, ServiceError
from service.house import House, open_house, utc_now
from service.keys import Secret
from service.oidc import Person
from service.oidc_provider import OidcSettings, Provider
from service.pseudonyms import ExportKey, HeldApart, Pseudonymised, pseudonymise
from service.queues import DurableQueue, make_tables
from service.records import Records, Upload
from service.scopes import Role
from service.settings import Settings
from service.store import Store
from service.tags import KnownNames
from service.trajectory import Scored, SessionPoint
from service.vault import Kind
from service.vault import Place as Sealed
from service.work import Work

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())


class FakeProvider:
    """Discovery, keys and tokens over HTTP; what each says can be changed by a test."""

    canary = "canary-of-the-provider"
    secret = "client secret: 50%+"  # noqa: S105

    def __init__(self, rsa: list[RSAKey], ec: ECKey) -> None:
        provider = self
        self.rsa, self.ec = rsa, ec

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self, None)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                provider.answer(self, self.rfile.read(length))

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.issuer = f"http://127.0.0.1:{self.server.server_port}/realm"
        self.asked: Counter[str] = Counter()
        self.keys: list[Any] = [rsa[0]]
        self.discovery: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.raw: dict[str, tuple[int, bytes]] = {}
        self.begun: dict[str, str] = {}
        self.form: dict[str, str] = {}

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, body: bytes | None) -> None:
        name = request.path.rpartition("/")[2]
        self.asked[name] += 1
        if name in self.raw:
            status, content = self.raw[name]
        elif name == "openid-configuration":
            status, content = 200, json.dumps(self.document()).encode()
        elif name == "keys":
            listed = [one if isinstance(one, dict) else one.as_dict(False) for one in self.keys]
            status, content = 200, json.dumps({"keys": listed}).encode()
        else:
            status, content = self.token(request.headers.get("Authorization", ""), body or b"")
        request.send_response(status)
        if status in (301, 302, 307):
            request.send_header("Location", content.decode())
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def document(self) -> dict[str, Any]:
        ours = {
            "issuer": self.issuer,
            "authorization_endpoint": self.issuer + "/authorize",
            "token_endpoint": self.issuer + "/token",
            "jwks_uri": self.issuer + "/keys",
            "code_challenge_methods_supported": ["S256"],
        }
        return {**ours, **self.discovery}

    def token(self, authorization: str, body: bytes) -> tuple[int, bytes]:
        self.form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        given = (self.form.get("client_id"), self.form.get("client_secret"))
        if authorization.startswith("Basic "):
            client_id, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            given = (unquote_plus(client_id), unquote_plus(secret))
        if given != ("us", self.secret):
            return 401, json.dumps({"error": "invalid_client"}).encode()
        hashed = hashlib.sha256(self.form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(hashed).decode().rstrip("=")
        if self.begun.pop("code", None) != self.form["code"] or challenge != self.begun["pkce"]:
            return 400, json.dumps({"error": "invalid_grant", "why": self.canary}).encode()
        claims = {
            "iss": self.issuer,
            "sub": "person-7",
            "aud": "us",
            "iat": NOW_S,
            "exp": NOW_S + 300,
            "nonce": self.begun["nonce"],
            "groups": ["clinic-therapists", "everybody"],
            "name": "Ada",
        }
        claims = {n: v for n, v in {**claims, **self.claims}.items() if v is not None}
        found = {"access_token": self.canary, "token_type": "Bearer", "id_token": self.sign(claims)}
        return 200, json.dumps(found).encode()

    def signed(self, claims: dict[str, Any], key: Any = None, **header: Any) -> str:
        key = key or self.keys[0]
        head = {"alg": "ES256" if key.key_type == "EC" else "RS256", "kid": key.kid, **header}
        return jwt.encode({n: v for n, v in head.items() if v is not None}, claims, key)

    def come_back(self, url: str) -> dict[str, str]:
        """What the browser brings back after the person has signed in at `url`."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.begun = {
            "code": f"{self.canary}-code",
            "nonce": asked["nonce"],
            "pkce": asked["code_challenge"],
        }
        return {"code": self.begun["code"], "state": asked["state"]}

    def settings(self, **more: Any) -> OidcSettings:
        """Those of a clinic that signs its people in here."""
        asked = {
            "issuer": self.issuer,
            "client_id": "us",
            "client_secret": Secret(self.secret),
            "redirect_uri": "https://here.example/signed-in",
            "roles": {"clinic-therapists": Role.CLINICIAN, "clinic-leads": Role.SUPERVISOR},
            "timeout_s": 5.0,
        }
        return OidcSettings(**{**asked, **more})

    def sign_in(self, provider: Provider, now: datetime = NOW) -> Person:
        url, kept = oidc.begin(provider, now)
        return oidc.finish(provider, kept, self.come_back(url), now)

    def refusal(
        self, provider: Provider, kind: type[ServiceError] = NotAuthenticated
    ) -> ServiceError:
        with pytest.raises(kind) as caught:
            self.sign_in(provider)
        assert self.canary not in str(caught.value)
        assert caught.value.__cause__ is None
        return caught.value


@pytest.fixture(scope="session")
def provider_keys() -> tuple[list[RSAKey], ECKey]:
    rsa = [RSAKey.generate_key(2048, {"kid": f"rsa{n}"}) for n in (1, 2)]
    return rsa, ECKey.generate_key("P-256", {"kid": "ec1"})


@pytest.fixture
def fake(
    provider_keys: tuple[list[RSAKey], ECKey], monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeProvider]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    provider = FakeProvider(*provider_keys)
    yield provider
    provider.stop()


@pytest.fixture
def provider(fake: FakeProvider) -> Provider:
    return Provider(fake.settings())


class Served:
    """A `rupture serve` in a process of its own, without anything of our environment."""

    def __init__(self, home: Path, *options: str, **environment: str) -> None:
        self.home = home
        self.out, self.err = home.parent / f"{home.name}.out", home.parent / f"{home.name}.err"
        kept = {n: v for n, v in os.environ.items() if not n.startswith("RUPTURE_")}
        given = {"RUPTURE_CHECKPOINT": "rules", "RUPTURE_PORT": "0", **environment}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "detector", "serve", "--home", str(home), *options],
                cwd=home.parent,  # where no .env is
                env={**kept, **given},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def said(self) -> str:
        return self.out.read_text()

    @property
    def log(self) -> str:
        return self.err.read_text()

    def until(self, words: str) -> "Served":
        """Waits until the words stand in what it said."""
        while words not in self.said:
            assert self.process.poll() is None, self.log[-2000:]
            time.sleep(0.05)
        return self

    @property
    def url(self) -> str:
        found = re.search(r"Listening on (\S+)", self.until("Listening on").said)
        assert found
        return found[1]

    @property
    def key(self) -> str:
        found = re.search(r"rupture_live_\w+", self.until("curl").said)
        assert found
        return found[0]

    def children(self) -> list[int]:
        """The ids of its workers, whichever thread started them."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return sorted(int(one) for task in tasks for one in task.read_text().split())

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()

    def kill(self) -> None:
        """What nobody can prepare for."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Starts services, and ends them after the test: `serve(home, "--workers", "0", …)`."""
    started: list[Served] = []

    def start(home: Path, *options: str, **environment: str) -> Served:
        started.append(Served(home, *options, **environment))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all tests that only use it; its webhooks may go to this machine."""
    one = Served(
        tmp_path_factory.mktemp("served") / "home",
        RUPTURE_WEBHOOK_HTTP="true",
        RUPTURE_WEBHOOK_NETWORKS='["127.0.0.0/8"]',
    )
    try:
        yield one.until("curl")
    finally:
        one.stop()


PROGRAMS = Path("/usr/lib/postgresql")
"""Where Debian's package puts them, by version."""

_untried: list[str] = []


@dataclass
class Cluster:
    """A PostgreSQL of our own on 127.0.0.1, in a folder that goes with it.

    Databases belong to an ordinary role, so that row-level security holds as in real life.
    """

    programs: Path
    folder: Path
    port: int
    _n: int = field(default=0, init=False)

    def run(self, program: str, *words: str) -> None:
        """One of its programs, as somebody who is not root: it refuses to run as root."""
        # Where root's own programs are not in the path, as in a bare CI, it is found all the same.
        as_other = shutil.which("runuser", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        who = [str(as_other), "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*who, str(self.programs / program), *words]
        done = subprocess.run(command, capture_output=True, cwd=self.folder, timeout=150)
        assert done.returncode == 0, f"{program}: {done.stderr.decode()}"

    def start(self) -> None:
        said = f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -k {self.folder}"
        log = str(self.folder / "log")
        self.run("pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-o", said, "-l", log)

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is what a power cut does: connections break, nothing is tidied up."""
        self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self.folder / "data"))

    def ask(self, *statements: str) -> None:
        """Run by the superuser."""
        where = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            for one in statements:
                connection.execute(one)

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://rupture@127.0.0.1:{self.port}/{name}"

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The URL of a new database, which is dropped at the end."""
        self._n += 1
        name = f"t{self._n}"
        self.ask(f"CREATE DATABASE {name} OWNER rupture TEMPLATE {template}")
        yield self.url(name)
        self.ask(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A running cluster; a test that needs it is skipped, and told of, where there is none."""
    found = sorted(PROGRAMS.glob("*/bin/initdb"))
    if not found:
        if os.environ.get("RUPTURE_NEEDS_POSTGRES"):
            pytest.fail("PostgreSQL's programs are not here (RUPTURE_NEEDS_POSTGRES is set)")
        _untried.append("postgresql")
        pytest.skip("PostgreSQL's programs are not here: apt-get install postgresql")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="rupture-pg-"))
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    cluster = Cluster(found[-1].parent, folder, port)
    try:
        data = str(folder / "data")
        cluster.run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
        cluster.start()
        cluster.ask("CREATE ROLE rupture LOGIN", "CREATE DATABASE ready OWNER rupture")
        _prepare(cluster.url("ready"))
        yield cluster
        cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(url: str) -> None:
    """Our tables and DBOS's: a test that is not about them starts on a copy."""
    prepared = Store.open(url)
    prepared.migrate()
    prepared.close()
    make_tables(url)


@pytest.fixture(scope="session")
def ready_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with our tables and DBOS's."""
    file = tmp_path_factory.mktemp("ready") / "rupture.db"
    _prepare(f"sqlite:///{file}")
    return file


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A run that has not tried PostgreSQL says so."""
    if _untried:
        terminalreporter.write_line(
            "PostgreSQL WAS NOT TRIED: its programs are not here (apt-get install postgresql)",
            red=True,
            bold=True,
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, on each of the two."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/rupture.db"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    with cluster.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path, ready_file: Path) -> str:
    shutil.copy(ready_file, tmp_path / "rupture.db")
    return f"sqlite:///{tmp_path}/rupture.db"


@pytest.fixture
def postgres_url(postgres: Cluster) -> Iterator[str]:
    with postgres.database("ready") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A database with all tables and nothing in them, on each of the two."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(name))


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass
class Place:
    """A house with what a test does in it."""

    house: House
    records: Records
    queue: DurableQueue

    def tenant(self, tenant_id: str = "ten_a") -> Actor:
        """A new tenant, as who acts."""
        with self.house.store.transaction(tenant_id) as tx:
            tx.add(
                tables.tenants,
                name="clinic",
                key_blob=self.house.vault.new_tenant_key(tenant_id),
                policy={},
                created_at=self.house.clock(),
            )
        return Actor(tenant_id)

    def hand_in(self, actor: Actor, data: bytes = b"", **more: Any) -> str:
        """A session is handed in; its id."""
        consent = Consent(
            id="con_1",
            scopes=Scopes(analyse=True, human_review=True),
            basis="written",
            text_version="1",
            given_by="client",
            given_at=NOW - timedelta(days=1),
            jurisdiction="DE",
        )
        given = {"client": "c1", "consent": consent, "options": {"therapist": "T"}, **more}
        upload = Upload(data=data or SESSION, name="s.vtt", **given)
        return self.records.accept(actor, upload).session_id

    def rows(self, table: Any) -> list[dict[str, Any]]:
        """All tenants' rows."""
        with self.house.store.system() as tx:
            return [dict(row) for row in tx.select(table)]

    def row(self, table: Any, id_: str) -> dict[str, Any]:
        return next(one for one in self.rows(table) if one["id"] == id_)

    def job_of(self, session_id: str) -> dict[str, Any]:
        """The session's newest job."""
        return [one for one in self.rows(tables.jobs) if one["session_id"] == session_id][-1]

    def in_queue(self) -> list[dict[str, Any]]:
        """DBOS's rows of work, as they are given out: by priority, then by age."""
        name = "dbos.workflow_status" if self.house.store.is_postgresql else "workflow_status"
        listed = f"SELECT * FROM {name} ORDER BY priority, created_at"  # noqa: S608
        with self.house.store.system() as tx:
            found = tx.connection.exec_driver_sql(listed).mappings()
            return [dict(row) for row in found]

    def actions(self, actor: Actor) -> list[str]:
        """What is on record, in order."""
        with self.house.store.transaction(actor.tenant_id) as tx:
            return [entry.event.action for entry in tx.audit_trail()]


SESSION = b"""WEBVTT

00:00:01.000 --> 00:00:05.000
<v T>How have you been feeling about the work we do here?

00:00:06.000 --> 00:00:09.000
<v C>I don't know. I don't think this is helping me, to be honest.

00:00:10.000 --> 00:00:14.000
<v T>I'm glad you said that. I think I pushed you too hard, and I am sorry.

00:00:15.000 --> 00:00:20.000
<v C>Okay. It is a relief to tell you.
"""
"""Invented."""


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", database=url, checkpoint="rules", _env_file=None)


@pytest.fixture
def place(settings: Settings, clock: Clock) -> Iterator[Place]:
    """A house on each of the two databases, with a clock that a test moves."""
    house = open_house(settings, clock=clock)
    queue = DurableQueue(settings.database_url)
    yield Place(house, Records(house, queue), queue)
    queue.close()
    house.store.close()


@pytest.fixture(scope="session")
def rules_detector() -> Detector:
    """The detector of rules alone, loaded once."""
    return Detector.load("rules")


class Front:
    """The API over a house, whose sessions are scored when `work` is called."""

    def __init__(self, house: House, detector: Detector) -> None:
        self.house, self.app = house, create_app(house)
        self.app.state.detector = lambda: detector
        self.queue: DurableQueue = self.app.state.queue
        self.records: Records = self.app.state.records
        self.worker = Work(house, self.records, self.queue)
        self.worker._detectors["rules"] = detector
        self.tenant_id, key = make_tenant(house, "first")
        self.key = key.value
        self.client = self.as_(self.key)

    def as_(self, key: str = "", *, address: str = "10.0.0.1") -> TestClient:
        """Who asks with this key, or with none."""
        head = {"Authorization": f"Bearer {key}"} if key else {}
        return TestClient(self.app, headers=head, client=(address, 1), follow_redirects=False)

    def with_scopes(self, *scopes: str) -> TestClient:
        """Who asks with a new key of the first tenant that has these scopes alone."""
        made = self.client.post("/v1/keys", json={"name": "narrow", "scopes": scopes})
        assert made.status_code == 201, made.text
        return self.as_(made.json()["key"])

    def other_tenant(self) -> TestClient:
        """Who asks with a key of another tenant, which may do everything there."""
        return self.as_(make_tenant(self.house, "other")[1].value)

    def hand_in(self, by: TestClient | None = None, **about: Any) -> str:
        """A session is handed in; its id."""
        answer = (by or self.client).post("/v1/sessions", json=session(**about))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def scored(self, by: TestClient | None = None, **about: Any) -> str:
        """A session is handed in and scored; its id."""
        session_id = self.hand_in(by, **about)
        assert set(self.work()) == {"done"}
        return session_id

    def work(self) -> list[str]:
        """Every job that waits is tried once; how each try ended."""
        with self.house.store.system() as tx:
            waiting = tx.select(tables.jobs, tables.jobs.c.status == "queued")
        return [
            self.worker.score(one["tenant_id"], one["id"], one["n_failed"] + 1) for one in waiting
        ]

    def close(self) -> None:
        """Lets go of the database."""
        self.queue.close()
        self.house.store.close()


def session(**about: Any) -> dict[str, Any]:
    """A session as the API takes it, in one JSON document; `about` are fields of it."""
    given = {
        "client": "ref-1",
        "therapist": "T",
        "consent": consent(),
        "transcript": SESSION.decode(),
    }
    return {**given, **about}


def consent(**about: Any) -> dict[str, Any]:
    """A consent as the API takes it; `about` are fields of it."""
    given = {
        "id": "con-1",
        "scopes": {"analyse": True, "human_review": True},
        "basis": "written",
        "text_version": "1",
        "given_by": "client",
        "given_at": "2026-01-05T09:00:00Z",
        "jurisdiction": "DE",
    }
    return {**given, **about}


@pytest.fixture(scope="session")
def make_session() -> Callable[..., dict[str, Any]]:
    """`make_session(number=3, …)`: a session as the API takes it."""
    return session


@pytest.fixture(scope="session")
def make_consent() -> Callable[..., dict[str, Any]]:
    """`make_consent(id="con-2", …)`: a consent as the API takes it."""
    return consent


def _front(home: Path, ready: Path, detector: Detector, **given: Any) -> Front:
    home.mkdir(exist_ok=True)
    shutil.copy(ready, home / "rupture.db")
    said = {"checkpoint": "rules", "requests_per_minute": 100_000, **given}
    clock = said.pop("clock", utc_now)
    settings = Settings(home=home, _env_file=None, **said)
    return Front(open_house(settings, clock=clock), detector)


@pytest.fixture
def api(tmp_path: Path, ready_file: Path, rules_detector: Detector) -> Iterator[Front]:
    """The API on an SQLite of its own."""
    front = _front(tmp_path / "home", ready_file, rules_detector)
    yield front
    front.close()


@pytest.fixture(scope="module")
def shared_api(
    tmp_path_factory: pytest.TempPathFactory, ready_file: Path, rules_detector: Detector
) -> Iterator[Front]:
    """The API on an SQLite that a file's tests share: for those that leave nothing behind."""
    front = _front(tmp_path_factory.mktemp("shared") / "home", ready_file, rules_detector)
    yield front
    front.close()


class Desk:
    """The pages over a house: people, and their browsers without a window."""

    password = "a long way to the sea"  # noqa: S105

    def __init__(self, front: Front, clock: Clock) -> None:
        self.front, self.clock, self.house = front, clock, front.house
        self.people = Entrance(front.house)
        self.enrolled: dict[str, Enrolment] = {}
        self.ids: dict[str, str] = {}
        self._n_addresses = 0

    def person(self, login: str, *roles: Role, tenant_id: str = "") -> str:
        """A new account; its id."""
        tenant_id, roles = tenant_id or self.front.tenant_id, roles or (Role.CLINICIAN,)
        made = self.people.add(tenant_id, login, self.password, roles)
        self.ids[login], self.enrolled[login] = made
        return made[0]

    def code(self, login: str) -> str:
        """A one-time code that was not used: the clock goes on to its step."""
        self.clock.move(seconds=30)
        uri = self.enrolled[login].uri.value
        return pyotp.parse_uri(uri).at(self.clock())

    def browser(self, host: str = "localhost") -> TestClient:
        """Nobody yet, from an address of their own."""
        self._n_addresses += 1
        return TestClient(
            self.front.app,
            base_url=f"http://{host}",
            headers={"Accept": "text/html"},
            client=(f"10.9.{self._n_addresses // 200}.{self._n_addresses % 200}", 1),
            follow_redirects=False,
        )

    def try_in(self, browser: TestClient, login: str, /, **given: str) -> Any:
        """The sign-in form, filled in and sent."""
        page = browser.get("/review/sign-in").text
        token = re.search(r'name="token" value="([^"]+)"', page)
        assert token, page
        form = {"token": token[1], "next": "/review", "login": login, "password": self.password}
        return browser.post("/review/sign-in", data={**form, **given})

    def signed_in(self, login: str, *roles: Role, tenant_id: str = "") -> TestClient:
        """The browser of somebody who is here; the account is made where there is none."""
        if login not in self.ids:
            self.person(login, *roles, tenant_id=tenant_id)
        browser = self.browser()
        answer = self.try_in(browser, login, code=self.code(login))
        assert (answer.status_code, answer.headers["location"]) == (303, "/review"), answer.text
        return browser

    def csrf(self, browser: TestClient) -> str:
        """The token of a browser's visit."""
        found = re.search(r'name="csrf" content="([^"]+)"', browser.get("/review/help").text)
        assert found
        return found[1]

    def trail(self) -> list[Any]:
        """The first tenant's audit events."""
        with self.house.store.transaction(self.front.tenant_id) as tx:
            return [entry.event for entry in tx.audit_trail()]

    def actions(self) -> list[str]:
        """What they are of."""
        return [one.action for one in self.trail()]


def _desk(home: Path, ready: Path, detector: Detector, **given: Any) -> Desk:
    clock = Clock()
    return Desk(_front(home, ready, detector, clock=clock, **given), clock)


@pytest.fixture
def desk(tmp_path: Path, ready_file: Path, rules_detector: Detector) -> Iterator[Desk]:
    """The pages on an SQLite of their own, with a clock that a test moves."""
    made = _desk(tmp_path / "home", ready_file, rules_detector)
    yield made
    made.front.close()


@pytest.fixture(scope="module")
def shared_desk(
    tmp_path_factory: pytest.TempPathFactory, ready_file: Path, rules_detector: Detector
) -> Iterator[Desk]:
    """As `desk`, for a file's tests that each bring sessions of their own."""
    made = _desk(tmp_path_factory.mktemp("desk") / "home", ready_file, rules_detector)
    yield made
    made.front.close()


@pytest.fixture
def make_desk(
    tmp_path: Path, ready_file: Path, rules_detector: Detector
) -> Iterator[Callable[..., Desk]]:
    """`make_desk(setting=…)`: as `desk`, with settings of a test's own."""
    made: list[Desk] = []

    def make(**given: Any) -> Desk:
        made.append(_desk(tmp_path / f"home{len(made)}", ready_file, rules_detector, **given))
        return made[-1]

    yield make
    for one in made:
        one.front.close()


CANARY = "zyxcanary"
_TALK = (
    f"Dr. Umbra: How have you been feeling about the work, {CANARY}?",
    f"Lux: Fine, I guess. {CANARY}.",
    f"Dr. Umbra: Tell me more about what {CANARY} means for you.",
    f"Lux: You're not listening to me. You never listen. {CANARY}.",
    f"Dr. Umbra: I'm sorry. I think I pushed you too hard about {CANARY}.",
    "Lux: Okay. It is a relief to tell you.",
)
_CUES = (
    f"00:00:{4 * n:02}.000 --> 00:00:{4 * n + 3:02}.000\n{line}\n" for n, line in enumerate(_TALK)
)
CANARY_FILE = "\n".join(("WEBVTT\n", *_CUES)).encode()
"""A session in which a word is said that nobody else says, by people whom nobody else is."""


@dataclass
class Clinic:
    """A house with one tenant, its sessions reported on as soon as they are taken in."""

    house: House
    clock: Clock
    queue: "Told"
    report: dict[str, Any]
    tenant_id: str = ""
    file: bytes = CANARY_FILE

    def __post_init__(self) -> None:
        self.tenant_id = self.tenant_id or make_tenant(self.house, "clinic")[0]

    @property
    def records(self) -> Records:
        return Records(self.house, self.queue)

    @property
    def actor(self) -> Actor:
        return Actor(self.tenant_id)

    def other(self) -> "Clinic":
        """Another tenant of the same house."""
        return Clinic(self.house, self.clock, self.queue, self.report)

    def in_(self, house: House) -> "Clinic":
        """The same tenant in a house that was opened anew."""
        return Clinic(house, self.clock, self.queue, self.report, self.tenant_id)

    def add(
        self,
        *,
        consent_id: str = "con_1",
        client: str = "lux-7",
        scored: bool = True,
        data: bytes = b"",
        scopes: tuple[str, ...] = (),
        **more: Any,
    ) -> str:
        """A session comes in; `more` are fields of the consent, or the session's sensitivity."""
        sensitivity = more.pop("sensitivity", "standard")
        given = {
            "basis": "written",
            "text_version": "1",
            "given_by": "client",
            "given_at": NOW - timedelta(days=1),
            "jurisdiction": "DE",
            **more,
        }
        allowed = {"analyse": True, "human_review": True, **dict.fromkeys(scopes, True)}
        agreed = Consent(id=consent_id, scopes=Scopes(**allowed), **given)
        upload = Upload(
            data=data or self.file,
            name="s.vtt",
            n_turns=len(_TALK),
            client=client,
            consent=agreed,
            sensitivity=sensitivity,
            options={"therapist": "Dr. Umbra", "roles": {}, "window_s": 300.0},
        )
        session_id = self.records.accept(self.actor, upload).session_id
        if scored:
            with self.house.store.transaction(self.tenant_id) as tx:
                (job,) = tx.select(tables.jobs, tables.jobs.c.session_id == session_id)
                row = tx.get(tables.sessions, session_id)
                self.records.finish(tx, job, row, self.report, self.clock())
        return session_id

    def row(self, session_id: str) -> dict[str, Any]:
        """A session's row, sealed columns and all."""
        with self.house.store.transaction(self.tenant_id) as tx:
            return dict(tx.get(tables.sessions, session_id))

    def change(self, session_id: str, **values: Any) -> None:
        """Changes a session's row behind everybody's back."""
        with self.house.store.transaction(self.tenant_id) as tx:
            assert tx.change(tables.sessions, session_id, **values)

    def trail(self) -> list[Any]:
        """The tenant's audit entries."""
        with self.house.store.transaction(self.tenant_id) as tx:
            return list(tx.audit_trail())

    def actions(self) -> list[str]:
        """What they are of."""
        return [entry.event.action for entry in self.trail()]

    def files(self) -> bytes:
        """All bytes of the embedded database's files."""
        return b"".join(one.read_bytes() for one in self.house.settings.home.glob("rupture.db*"))

    def read(self, row: dict[str, Any], *, transcript: bytes | None = None) -> bytes:
        """The transcript of a row, or another one with the row's key."""
        with self.house.store.transaction(self.tenant_id) as tx:
            tenant_blob = tx.tenant()["key_blob"]
        return self.house.vault.open(
            transcript or row["transcript"],
            Sealed(self.tenant_id, row["id"], Kind.TRANSCRIPT),
            tenant_blob=tenant_blob,
            session_blob=row["key_blob"],
        )


class Told(Enqueue):
    """A queue that keeps what it is given."""

    def __init__(self) -> None:
        self.delivered: list[str] = []

    def score(self, *_: Any) -> None:
        """Nothing scores here."""

    def deliver(self, tx: store.Transaction, delivery_id: str) -> None:
        self.delivered.append(delivery_id)


@pytest.fixture(scope="session")
def canary_report(rules_detector: Detector) -> dict[str, Any]:
    read = read_transcript(CANARY_FILE, filename="s.vtt")
    return rules_detector.analyze(read, therapist="Dr. Umbra").to_dict()


@pytest.fixture
def clinic(
    tmp_path: Path, ready_file: Path, clock: Clock, canary_report: dict[str, Any]
) -> Iterator[Clinic]:
    """On an SQLite file of its own, in `tmp_path`/home."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    shutil.copy(ready_file, home / "rupture.db")
    house = open_house(Settings(home=home, checkpoint="rules", _env_file=None), clock=clock)
    yield Clinic(house, clock, Told(), canary_report)
    house.store.close()


@pytest.fixture
def either_clinic(place: Place, canary_report: dict[str, Any]) -> Clinic:
    """On each of the two databases."""
    assert isinstance(place.house.clock, Clock)
    return Clinic(place.house, place.house.clock, Told(), canary_report)


class Receiver(ThreadingHTTPServer):
    """A platform's endpoint: keeps the headers and the body of what came, answers with `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        receiver, self.status = self, 204
        self.came: list[tuple[dict[str, str], bytes]] = []

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.came.append((dict(self.headers.items()), body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        super().__init__(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def ids(self) -> list[str]:
        """Those of the messages that came."""
        return [headers["webhook-id"] for headers, _ in self.came]

    @property
    def bodies(self) -> list[Any]:
        """The messages that came, read."""
        return [json.loads(body) for _, body in self.came]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.shutdown()
    one.server_close()


@pytest.fixture(scope="session")
def export() -> Callable[..., tuple[Pseudonymised, HeldApart]]:
    """A transcript without its names: `export(transcript, client=("Ana Roe",), …)`."""
    about: Any = {"client": "7", "session": "s", "key": ExportKey(bytes(range(32)))}

    def made(transcript: Transcript, **known: Any) -> tuple[Pseudonymised, HeldApart]:
        return pseudonymise(transcript, **about, known=KnownNames(**known))

    return made


@pytest.fixture(scope="session")
def texts(make_transcript: Any, export: Any) -> Callable[..., list[str]]:
    """What becomes of the `T: …` and `C: …` lines of a session."""

    def made(*lines: str, **known: Any) -> list[str]:
        return [cue.text for cue in export(make_transcript(*lines), **known)[0].transcript.cues]

    return made


@pytest.fixture(scope="session")
def said(texts: Any) -> Callable[..., str]:
    """What becomes of one line of the client's, in a session with ordinary capitals."""
    return lambda line, **known: str(
        texts(f"C: {line}", "T: Mm. That is a lot to carry.", **known)[0]
    )


@pytest.fixture(scope="session")
def scored() -> Callable[..., Scored]:
    """What a report says of a session, for its trajectory: `scored(4.0, n_moments=3, …)`."""

    def made(withdrawal: float | None = 2.0, **changed: Any) -> Scored:
        plain = {"confrontation": 1.5, "resolution": 3.0, "contribution": 1.0, "n_moments": 2}
        strains = {"goal_strain": 0.1, "task_strain": 0.2, "bond_strain": 0.3, "n_unrepaired": 1}
        by = {"checkpoint": "rules-1", "checkpoint_sha256": "a" * 64, "codebook": "1.1"}
        given: Any = {"withdrawal": withdrawal, **plain, **strains, **by, **changed}
        return Scored(**given)

    return made


@pytest.fixture(scope="session")
def point(scored: Callable[..., Scored]) -> Callable[..., SessionPoint]:
    """A scored session; its day is its number's in January, in weeks, where it has one."""

    def made(number: int | None, withdrawal: float | None = 2.0, **changed: Any) -> SessionPoint:
        day = None if number is None else date(2026, 1, 1) + timedelta(weeks=number)
        held = {"day": day, "attendance": "attended", "scored": scored(withdrawal)}
        return SessionPoint(f"s-{number}", number, **{**held, **changed})

    return made
