"""`rupture serve` as whoever starts it meets it: real processes, an embedded database."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service import commands
from service.client import Client, Consent, Problem
from service.processes import EXIT_UNUSABLE

EXAMPLE = Path(__file__).parents[2] / "examples" / "session.vtt"
CONSENT = Consent(
    id="consent-1",
    analyse=True,
    human_review=True,
    jurisdiction="DE",
    given_at=datetime(2026, 1, 1, tzinfo=UTC),
    basis="written",
    given_by="client",
    text_version="1",
)
Serve = Callable[..., Any]
RUNNER = CliRunner()


def lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        time.sleep(0.05)


# -- the first start ---------------------------------------------------------------------------


def test_the_curl_line_of_the_first_start_gives_the_examples_report(served: Any) -> None:
    line = next(one for one in served.said.splitlines() if "curl" in one)
    told = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert json.loads(told)["schema"] == "rupture-report/1"


def test_it_runs_on_the_fast_loop_and_parser(served: Any) -> None:
    loaded = Path(f"/proc/{served.process.pid}/maps").read_text()
    assert "uvloop" in loaded
    assert "httptools" in loaded


def test_its_log_holds_no_key_and_no_word_of_the_session(served: Any) -> None:
    log = served.log
    assert '"route": "/v1/sessions"' in log
    for name in ("root.key", "signing.key", "audit.keys"):
        assert (served.home / name).read_text().split()[-1] not in log
    assert served.key not in log
    for word in ("Rivera", "breathing", "example-client", "example-consent"):
        assert word not in log


def test_its_folder_is_its_own_alone(served: Any) -> None:
    assert served.home.stat().st_mode & 0o077 == 0


# -- ends and further starts -------------------------------------------------------------------


def test_a_second_start_prints_no_key_and_keeps_everything(tmp_path: Path, serve: Serve) -> None:
    first = serve(tmp_path / "home").until("curl")
    key, workers = first.key, first.children()
    with Client(first.url, key) as client:
        [example] = client.sessions()
    assert len(workers) == 1
    assert first.stop() == 0
    assert not any(map(lives, workers))

    said = first.said
    second = serve(tmp_path / "home")
    with Client(second.url, key) as client:
        assert [one.id for one in client.sessions()] == [example.id]
        assert client.report(example.id).turns
    assert second.stop() == 0
    assert "rupture_live_" in said
    assert "rupture_live_" not in second.said + second.log


def test_a_kill_leaves_no_worker_and_loses_nothing_that_was_accepted(
    tmp_path: Path, serve: Serve
) -> None:
    first = serve(tmp_path / "home", "--workers", "2")
    key = first.key
    with Client(first.url, key) as client:
        taken = [client.upload(EXAMPLE, client=f"c-{n}", consent=CONSENT) for n in range(5)]
    workers = first.children()
    assert len(workers) == 2
    first.kill()
    wait_until(lambda: not any(map(lives, workers)))

    with Client(serve(tmp_path / "home").url, key) as client:
        for one in taken:
            assert client.wait(one.id, timeout_s=50).status == "done"
            assert len(client.session(one.id).reports) == 1


def test_a_worker_that_dies_is_started_again(served: Any) -> None:
    [worker] = served.until("curl").children()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: served.children() not in ([], [worker]))
    with Client(served.url, served.key) as client:
        taken = client.upload(EXAMPLE, client="c-1", consent=CONSENT)
        assert client.wait(taken.id, timeout_s=50).status == "done"
    assert "a worker ended and is started again" in served.log


def test_a_tenant_made_on_the_command_line_can_ask_and_sees_no_other(served: Any) -> None:
    made = RUNNER.invoke(commands.tenant_app, ["create", "second", "--home", str(served.home)])
    assert made.exit_code == 0
    theirs = made.stdout.split()[-1]
    with Client(served.url, served.key) as client, Client(served.url, theirs) as other:
        mine = next(client.sessions())
        assert list(other.sessions()) == []
        with pytest.raises(Problem) as caught:
            other.session(mine.id)
    assert caught.value.status == 404


# -- refusals to start -------------------------------------------------------------------------


def test_without_its_checkpoint_it_does_not_stay(tmp_path: Path, serve: Serve) -> None:
    one = serve(tmp_path / "home", "--checkpoint", "nowhere")
    assert one.process.wait() == EXIT_UNUSABLE
    assert "nowhere" in one.log
    assert "Traceback" not in one.log


def test_a_port_that_is_taken_is_one_line_and_an_exit_code(tmp_path: Path, serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        one = serve(tmp_path / "home", "--port", port)
        assert one.process.wait() == EXIT_UNUSABLE
    assert f"127.0.0.1:{port}: Address already in use" in one.log
    assert "Traceback" not in one.log
    assert not (tmp_path / "home").exists()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Without settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("RUPTURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUPTURE_PORT", "hunter2"),
        ("RUPTURE_GATED", "hunter2"),
        ("RUPTURE_WEBHOOK_NETWORKS", "hunter2"),
        ("RUPTURE_WEBHOOK_NETWORKS", '["hunter2"]'),
        ("RUPTURE_DATABASE", "mysql://somebody:hunter2@somewhere/x"),
        ("RUPTURE_SECRETS", "hunter2"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named_and_not_quoted(
    alone: pytest.MonkeyPatch, name: str, value: str
) -> None:
    alone.setenv(name, value)
    ended = RUNNER.invoke(commands.tenant_app, ["create", "somebody"])
    assert ended.exit_code == EXIT_UNUSABLE
    assert name in ended.stderr
    assert "hunter2" not in ended.output


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RUPTURE_DATABASE", "postgresql://somebody:hunter2@[somewhere/x", "database"),
        ("RUPTURE_DATABASE", "postgresql://somebody:hunter2@127.0.0.1:9/x", "database"),
        ("RUPTURE_ROOT_KEY", "hunter2", "RUPTURE_ROOT_KEY"),
    ],
)
def test_a_setting_that_does_not_work_ends_the_command_and_is_not_quoted(
    alone: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    alone.setenv(name, value)
    ended = RUNNER.invoke(commands.tenant_app, ["create", "somebody"])
    assert ended.exit_code == EXIT_UNUSABLE
    assert said in ended.stderr
    assert "hunter2" not in ended.output


def test_a_setting_in_a_secrets_folder_counts(alone: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rupture_text_days").write_text("7\n")
    assert commands.read_settings().text_days == 30
    alone.setenv("RUPTURE_SECRETS", str(tmp_path))
    assert commands.read_settings().text_days == 7


def test_an_empty_setting_is_one_that_is_not_set(alone: pytest.MonkeyPatch) -> None:
    for name in ("RUPTURE_THREADS", "RUPTURE_ROOT_KEY_FILE", "RUPTURE_GATED"):
        alone.setenv(name, "")
    settings = commands.read_settings()
    assert (settings.threads, settings.root_key_file, settings.gated) == (None, None, ("US-IL",))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104
        ("::", "http://[::1]:80"),
        ("rupture.example", "http://rupture.example:80"),
    ],
)
def test_the_url_that_is_shown_can_be_asked(host: str, url: str) -> None:
    assert commands._url(host, 80) == url
