"""A real Label Studio takes our tasks and gives an export that we read: `make label-studio`.

RUPTURE_LABEL_STUDIO names its program, which stands in an environment of its own. It is started
on the loopback address, on SQLite in a folder of the test's, and asked to tell nobody of it.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from detector.annotation import Labels, check
from detector.transcript import Transcript
from training.labels.label_studio import config, read_tasks, write_tasks

_PROGRAM = os.environ.get("RUPTURE_LABEL_STUDIO", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # `make label-studio` sets it, and CI runs that.
    pytest.mark.skipif(not _PROGRAM, reason="LABEL STUDIO NOT STARTED: run `make label-studio`"),
]

_TOKEN = "0123456789abcdef" * 2 + "01234567"
_QUIET = {
    "COLLECT_ANALYTICS": "False",
    "LATEST_VERSION_CHECK": "False",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
}
_START_S = 600


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The API of a Label Studio with one user; ended with the module."""
    folder = tmp_path_factory.mktemp("studio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = [_PROGRAM, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    asked += ["--data-dir", str(folder), "--username", "coder@example.org"]
    asked += ["--password", "only-in-a-test-1", "--user-token", _TOKEN, "--enable-legacy-api-token"]
    env = {**os.environ, **_QUIET, "LABEL_STUDIO_BASE_DATA_DIR": str(folder)}
    # It would import our rooms for packages of its own.
    env.pop("PYTHONPATH", None)
    log = folder / "log.txt"
    with log.open("wb") as written:
        server = subprocess.Popen(asked, cwd=folder, env=env, stdout=written, stderr=written)
    headers = {"Authorization": f"Token {_TOKEN}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as api:
            _wait(api, server, log)
            yield api
    finally:
        server.terminate()
        server.wait(30)


def _wait(api: httpx.Client, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text("utf-8", "replace")[-2000:]
        try:
            if api.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise AssertionError(log.read_text("utf-8", "replace")[-2000:])


def _asked(api: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    answer = api.request(method, path, json=body)
    assert answer.status_code < 300, answer.text[:500]
    return answer.json()


@pytest.fixture(scope="module")
def project(
    studio: httpx.Client,
    tmp_path_factory: pytest.TempPathFactory,
    labels: Labels,
    transcripts: dict[str, Transcript],
) -> str:
    """A project with our interface, and our tasks with what two coders and a model said."""
    path = tmp_path_factory.mktemp("tasks") / "tasks.json"
    write_tasks(labels, path, transcripts)
    made = _asked(studio, "POST", "/api/projects/", {"title": "labels", "label_config": config()})
    tasks = json.loads(path.read_text("utf-8"))
    taken = _asked(studio, "POST", f"/api/projects/{made['id']}/import", tasks)
    assert (taken["task_count"], taken["annotation_count"], taken["prediction_count"]) == (2, 3, 1)
    return f"/api/projects/{made['id']}"


def _export(api: httpx.Client, project: str, path: Path) -> list[Any]:
    tasks = _asked(api, "GET", f"{project}/export?exportType=JSON&download_all_tasks=true")
    path.write_text(json.dumps(tasks), "utf-8")
    return list(tasks)


def test_what_coders_said_comes_back_from_the_server(
    studio: httpx.Client,
    project: str,
    tmp_path: Path,
    labels: Labels,
    transcripts: dict[str, Transcript],
) -> None:
    _export(studio, project, tmp_path / "export.json")
    found = read_tasks(tmp_path / "export.json")
    check(found, transcripts)
    blind = [one for one in labels.annotations if one.stage == "blind"]
    assert set(found.annotations) == set(blind)
    # The export has predictions by number alone, and says so.
    assert found.notes == ("export.json: predictions that the export has by number alone: 1",)


def test_the_prediction_is_kept_as_we_gave_it(
    studio: httpx.Client, project: str, tmp_path: Path, labels: Labels
) -> None:
    numbers = [one["id"] for one in _export(studio, project, tmp_path / "export.json")]
    tasks = [_asked(studio, "GET", f"/api/tasks/{number}/") for number in numbers]
    for task in tasks:
        task["annotations"] = []
    path = tmp_path / "predicted.json"
    path.write_text(json.dumps(tasks), "utf-8")
    model = {one for one in labels.annotations if one.stage == "model"}
    assert set(read_tasks(path).annotations) == model


def test_what_a_person_marks_and_skips_there_is_read(
    studio: httpx.Client, project: str, tmp_path: Path
) -> None:
    first, second = _export(studio, project, tmp_path / "before.json")
    at = {"start": "3", "end": "3", "startOffset": 0, "endOffset": 4}
    mark = {"type": "paragraphlabels", "from_name": "label", "to_name": "dialogue", "id": "x"}
    mark["value"] = {**at, "text": "what", "paragraphlabels": ["denial"]}
    said = {"result": [mark], "lead_time": 12.5}
    _asked(studio, "POST", f"/api/tasks/{first['id']}/annotations/", said)
    skipped = {"result": [], "was_cancelled": True}
    _asked(studio, "POST", f"/api/tasks/{second['id']}/annotations/", skipped)
    _export(studio, project, tmp_path / "after.json")
    found = read_tasks(tmp_path / "after.json")
    new = [one for one in found.annotations if one.coder.startswith("label-studio-")]
    assert [(one.session_id, one.unit_index, one.code) for one in new] == [
        ("s1", 0, "seen"),
        ("s1", 3, "denial"),
    ]
    assert new[0].lead_time_s == 12.5
    assert "after.json: skipped by their coder, and so not seen: 1" in found.notes
