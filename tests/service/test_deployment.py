"""What is deployed, and what is written about it, are what the code is."""

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from service import (
    audit_commands,
    errors,
    reports_api,
    sessions_api,
    settings,
    upkeep_commands,
    webhooks,
)
from service import commands as service_commands
from service.errors import ServiceError
from service.house import open_house
from service.settings import Settings

ROOT = Path(__file__).parents[2]
PORT = Settings.model_fields["port"].default
PROBED = 8400
"""The port at which the manifests let a worker answer."""
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
MANIFESTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text("utf-8"))
)
OURS = {name: one for name, one in COMPOSE["services"].items() if name != "postgres"}
KEYS = {"root.key", "audit.keys", "signing.key"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, of its last stage."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE))
    found = [
        (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line
    ]
    last = max(place for place, (word, _) in enumerate(found) if word == "FROM")
    return found[last:]


# -- the image ---------------------------------------------------------------------------------


def test_the_image_runs_as_a_user_by_number_who_is_not_root() -> None:
    [user] = [value for word, value in instructions() if word == "USER"]
    assert user == "10001:10001"


def test_the_image_keeps_its_data_in_a_volume_that_is_its_users_alone() -> None:
    words = instructions()
    assert ("VOLUME", "/data") in words
    assert re.search(r"--owner 10001 --group 10001 --mode 0700 /data", dict(words)["RUN"])
    assert "RUPTURE_HOME=/data" in dict(words)["ENV"]


def test_the_image_has_the_base_and_the_services_install_and_no_training() -> None:
    assert "pip install --no-cache-dir --disable-pip-version-check '.[service]'" in DOCKERFILE
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", DOCKERFILE)
    assert {word for line in copied for word in line.split()} == {
        *("pyproject.toml", "README.md", "LICENSE", "models", "detector", "service"),
    }
    assert not re.search(r"torch|transformers|\[train|\[dev", DOCKERFILE.replace("no torch", ""))


def test_what_is_no_part_of_the_image_does_not_come_near_it() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert lines[0] == "*"
    assert not any("secrets" in line or "training" in line for line in lines[1:])


def test_the_images_port_is_the_services_own() -> None:
    words = dict(instructions())
    assert words["EXPOSE"] == str(PORT)
    assert f":{PORT}/readyz" in words["HEALTHCHECK"]


# -- compose -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_container_is_not_root_and_cannot_write_its_root(name: str) -> None:
    one = OURS[name]
    assert one["user"] == "10001:10001"
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in one["security_opt"]
    assert [mount.partition(":")[0] for mount in one["tmpfs"]] == ["/tmp"]  # noqa: S108
    assert "privileged" not in one


def test_compose_starts_an_api_and_two_workers_and_postgres() -> None:
    assert OURS["api"]["command"] == ["serve", "--workers", "0"]
    assert OURS["worker"]["command"] == ["worker"]
    assert OURS["worker"]["deploy"]["replicas"] == 2
    assert all(
        one["depends_on"]["postgres"]["condition"] == "service_healthy" for one in OURS.values()
    )
    assert "pg_isready" in COMPOSE["services"]["postgres"]["healthcheck"]["test"]
    assert f":{PORT}/readyz" in str(OURS["api"]["healthcheck"]["test"])


def test_only_the_api_is_reached_and_only_from_this_machine() -> None:
    published = {n: one["ports"] for n, one in COMPOSE["services"].items() if "ports" in one}
    assert published == {"api": [f"127.0.0.1:{PORT}:{PORT}"]}
    assert COMPOSE["services"]["postgres"]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_composes_secrets_are_files_and_all_that_are_named_are_there() -> None:
    assert all(one.keys() == {"file"} for one in COMPOSE["secrets"].values())
    for one in COMPOSE["services"].values():
        assert set(one["secrets"]) <= set(COMPOSE["secrets"])
    for one in OURS.values():
        assert {*KEYS, "rupture_database"} == set(one["secrets"])
        assert one["environment"]["RUPTURE_HOME"] == one["environment"]["RUPTURE_SECRETS"]


# -- Kubernetes --------------------------------------------------------------------------------


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in MANIFESTS if one["kind"] == kind]


def pods() -> dict[str, dict[str, Any]]:
    """Every pod's spec, by the name of what makes it."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in of_kind("Deployment")
    }


def test_the_manifest_has_an_api_and_workers_which_keep_up_by_themselves() -> None:
    assert {name: one["containers"][0]["args"][0] for name, one in pods().items()} == {
        "rupture-api": "serve",
        "rupture-worker": "worker",
    }
    said = {one["name"] for pod in pods().values() for one in pod["containers"][0]["env"]}
    assert "RUPTURE_UPKEEP_MINUTES" not in said  # as the settings have it: every hour
    assert Settings.model_fields["upkeep_minutes"].default == 60


@pytest.mark.parametrize("name", sorted(pods()))
def test_a_pod_is_not_root_and_cannot_write_its_root(name: str) -> None:
    pod = pods()[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert "hostNetwork" not in pod
    for container in pod["containers"]:
        locked = container["securityContext"]
        assert locked["readOnlyRootFilesystem"] is True
        assert locked["allowPrivilegeEscalation"] is False
        assert locked["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", sorted(pods()))
def test_a_pods_keys_are_a_secrets_files_and_nothing_else_is_mounted_to_stay(name: str) -> None:
    pod = pods()[name]
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert volumes["keys"]["secret"] == {"secretName": "rupture-keys", "defaultMode": 0o440}
    assert volumes["tmp"]["emptyDir"]["medium"] == "Memory"
    assert set(volumes) == {"keys", "tmp"}
    [container] = pod["containers"]
    mounted = {one["name"]: one for one in container["volumeMounts"]}
    assert mounted["keys"]["readOnly"] is True
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["RUPTURE_HOME"] == mounted["keys"]["mountPath"]
    assert environment["RUPTURE_SECRETS"] == mounted["keys"]["mountPath"]


def test_the_manifests_ports_and_probes_are_the_services_own() -> None:
    [container] = pods()["rupture-api"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": PORT}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert container["startupProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    [service] = of_kind("Service")
    assert service["spec"]["ports"][0]["targetPort"] == "http"
    [api_deployment] = [o for o in of_kind("Deployment") if o["metadata"]["name"] == "rupture-api"]
    labels = api_deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels


def test_a_worker_is_asked_whether_it_lives_at_its_own_port() -> None:
    [container] = pods()["rupture-worker"]["containers"]
    assert {"name": "RUPTURE_WORKER_PORT", "value": str(PROBED)} in container["env"]
    assert {"name": "RUPTURE_HOST", "value": "0.0.0.0"} in container["env"]  # noqa: S104
    assert container["ports"] == [{"name": "probe", "containerPort": PROBED}]
    for probe in ("livenessProbe", "startupProbe"):
        assert container[probe]["httpGet"] == {"path": "/livez", "port": "probe"}
    composed = OURS["worker"]
    assert composed["environment"]["RUPTURE_WORKER_PORT"] == str(PROBED)
    assert f":{PROBED}/livez" in str(composed["healthcheck"]["test"])
    assert "ports" not in composed


def test_nothing_comes_in_or_goes_out_but_what_is_said() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in of_kind("NetworkPolicy")}
    nothing = policies.pop("rupture-nothing")
    assert nothing["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(nothing)
    assert nothing["podSelector"]["matchLabels"] == {"app": "rupture"}
    ways_in = [rule for one in policies.values() for rule in one.get("ingress", ())]
    assert [port["port"] for rule in ways_in for port in rule["ports"]] == [PORT, PORT, PROBED]
    assert all(rule["from"] for rule in ways_in)
    [tells] = [one for one in policies.values() if "ipBlock" in str(one)]
    [way] = tells["egress"]
    assert tells["podSelector"]["matchLabels"]["part"] == "worker"
    assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"} <= set(
        way["to"][0]["ipBlock"]["except"]
    )


def strings(found: Any) -> Iterator[tuple[str, str]]:
    """Every word of a document with the name it stands under."""
    if isinstance(found, Mapping):
        if {"name", "value"} <= set(found):
            yield str(found["name"]), str(found["value"])
        for name, value in found.items():
            if isinstance(value, str):
                yield str(name), value
            yield from strings(value)
    elif isinstance(found, list):
        for one in found:
            yield from strings(one)


@pytest.mark.parametrize("found", [COMPOSE, MANIFESTS], ids=["compose", "kubernetes"])
def test_no_secrets_value_stands_in_a_manifest(found: Any) -> None:
    said = list(strings(found))
    assert said
    assert not of_kind("Secret")
    for name, value in said:
        secret = re.search(r"(?i)password|secret|token|root_key$|database$|passwd", name)
        is_place = value.startswith(("/", "./")) or name in ("secretName", "name")
        assert not secret or is_place, name
        assert not re.search(r"://[^/\s]*:[^/\s]*@", value), name
        assert not re.fullmatch(r"[A-Za-z0-9+/_-]{32,}={0,2}", value), name


@pytest.mark.parametrize("found", [COMPOSE, MANIFESTS], ids=["compose", "kubernetes"])
def test_every_setting_in_a_manifest_is_one(found: Any) -> None:
    keys = re.findall(r"RUPTURE_\w+", json.dumps(found))
    known = {f"RUPTURE_{name.upper()}" for name in Settings.model_fields} | {"RUPTURE_SECRETS"}
    assert keys
    assert set(keys) <= known


# -- docs/operations.md ------------------------------------------------------------------------

OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
API = (ROOT / "docs" / "api.md").read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", page)


def test_the_table_of_settings_is_that_of_the_code() -> None:
    assert settings.as_table() in OPERATIONS, "write it anew: python -m service.settings"


def test_every_setting_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert len(field.description or "") > 10, name


@pytest.mark.skipif(shutil.which("openssl") is None, reason="NOT TESTED: no openssl")
def test_the_secrets_that_operations_makes_open_a_house(tmp_path: Path) -> None:
    [making] = [one for one in blocks(OPERATIONS, "sh") if "openssl" in one]
    subprocess.run(["sh", "-eu", "-c", making], cwd=tmp_path, check=True)
    made = tmp_path / "secrets"
    assert {one.name for one in made.iterdir()} == {
        Path(one["file"]).name for one in COMPOSE["secrets"].values()
    }
    assert all(one.stat().st_mode & 0o077 == 0 for one in made.iterdir())
    before = {name: (made / name).read_bytes() for name in KEYS}
    database = f"sqlite:///{tmp_path}/rupture.db"
    open_house(Settings(home=made, database=database, _env_file=None)).store.close()
    assert {name: (made / name).read_bytes() for name in KEYS} == before
    url = Settings(database=(made / "rupture_database").read_text(), _env_file=None).database
    assert url.startswith("postgresql+psycopg://rupture:")


def commands() -> dict[str, Any]:
    """The service's commands by their words."""
    apps = {"upkeep": upkeep_commands.app, "audit": audit_commands.app}
    apps["tenant"] = service_commands.tenant_app
    made: dict[str, Any] = {}
    for name in ("serve", "worker", "check"):
        one = typer.Typer()
        one.command(name)(getattr(service_commands, name))
        made[name] = typer.main.get_command(one)
    for name, app in apps.items():
        for inner, one in typer.main.get_group(app).commands.items():
            made[f"{name} {inner}"] = one
    return made


@pytest.mark.parametrize("page", [OPERATIONS, API], ids=["operations", "api"])
def test_every_command_in_the_docs_is_there_with_its_options(page: str) -> None:
    known = commands()
    groups = {name.split()[0] for name in known if " " in name}
    found = re.findall(r"rupture (audit|check|serve|tenant|upkeep|worker)\b([^`\n>,;]*)", page)
    assert found
    for first, rest in found:
        words = rest.split()
        name = f"{first} {words[0]}" if first in groups else first
        options = {option for one in known[name].params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= options, name


def test_capacity_claims_nothing_that_the_benchmarks_do_not_show() -> None:
    capacity = OPERATIONS.split("## Capacity")[1]
    rows = [line for line in capacity.splitlines() if line.startswith("|")][2:]
    benchmarks = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    shown = set(re.findall(r"\d+(?:\.\d+)?", benchmarks.split("## The service")[1]))
    assert len(rows) == 5
    for row in rows:
        measured = row.split("|")[3]
        assert set(re.findall(r"\d+(?:\.\d+)?", measured)) <= shown, row


# -- docs/api.md -------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("curl") is None, reason="NOT TESTED: no curl")
def test_the_walk_through_the_api_goes_as_it_is_pasted(
    served: Any, receiver: Any, tmp_path: Path
) -> None:
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "session.vtt", tmp_path / "examples")
    walk = "\n".join(blocks(API, "sh"))
    done = subprocess.run(
        ["sh", "-eu", "-c", walk],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "RUPTURE_URL": served.url,
            "RUPTURE_KEY": served.key,
            "HOOK_URL": receiver.url,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert json.loads((tmp_path / "report.json").read_text())["schema"] == "rupture-report/1"
    assert json.loads((tmp_path / "bundle.json").read_text())["resourceType"] == "Bundle"
    assert (tmp_path / "report.html").read_text().lstrip().lower().startswith("<!doctype")
    assert len((tmp_path / "report.csv").read_text().splitlines()) > 10
    assert re.search(r"(?m)^304$", done.stdout)
    assert '"code":"gone"' in done.stdout.splitlines()[-1].replace(" ", "")


def signature_of_the_docs() -> Any:
    [code] = [one for one in blocks(API, "python") if "hmac" in one]
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own page
    return names["is_from_rupture"]


def test_the_receiver_that_the_docs_show_takes_ours_and_no_other() -> None:
    from datetime import UTC, datetime, timedelta

    is_from_rupture = signature_of_the_docs()
    now, secret, older = datetime.now(UTC), webhooks.new_secret(), webhooks.new_secret()
    body = webhooks.payload("session.completed", "ses_1", "done", now)
    headers = webhooks.signed("msg_1", body, [secret, older], now)
    assert is_from_rupture(headers, body, secret.text)
    assert is_from_rupture(headers, body, older.text)
    assert not is_from_rupture(headers, body + b" ", secret.text)
    assert not is_from_rupture(headers, body, webhooks.new_secret().text)
    late = webhooks.signed("msg_1", body, [secret], now - timedelta(minutes=6))
    assert not is_from_rupture(late, body, secret.text)
    assert len(base64.b64decode(secret.text.removeprefix("whsec_"))) == 32
    assert abs(time.time() - now.timestamp()) < 300


def kinds_of_refusals() -> list[type[ServiceError]]:
    found = [one for one in vars(errors).values() if isinstance(one, type)]
    return [one for one in found if issubclass(one, ServiceError)]


@pytest.mark.parametrize("kind", kinds_of_refusals(), ids=lambda one: one.code)
def test_every_kind_of_refusal_is_in_the_docs_table(kind: type[ServiceError]) -> None:
    assert f"| {kind.status} | `{kind.code}` |" in API


def test_the_limits_in_the_docs_are_those_of_the_code() -> None:
    from detector.formats.source import MAX_CUES

    own = {name: field.default for name, field in Settings.model_fields.items()}
    for said in (
        f"{own['max_bytes']:,} bytes, {MAX_CUES:,} cues",
        f"remembered for {own['idempotency_hours']} hours",
        f"| a batch | {sessions_api.MOST_IN_BATCH} sessions |",
        f"| `POST /v1/score` | {reports_api.MOST_SCORED_AT_ONCE:,} turns |",
        f"| `Prefer: wait` | {own['max_wait_s']} seconds |",
        f"| requests of a key | {own['requests_per_minute']} a minute |",
        f"| bytes of a tenant | {own['bytes_per_minute']:,} a minute |",
        f"| a webhook's answer | {webhooks.DEADLINE_S:.0f} seconds |",
    ):
        assert said in API, said
