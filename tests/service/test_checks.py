"""`rupture check`: every line can turn, and looking changes nothing."""

import itertools
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service import checks, queues
from service.auth import make_tenant
from service.house import open_house
from service.root_keys import create_key_file
from service.settings import Settings


def at(home: Path, **more: Any) -> Settings:
    return Settings(**{"home": home, "checkpoint": "rules", "_env_file": None, **more})


def said(settings: Settings, *, now: datetime | None = None, **environment: str) -> dict[str, str]:
    return dict(checks.run(settings, environment, now or datetime.now(UTC)))


def line(settings: Settings, about: str, *, now: datetime | None = None, **environment: str) -> str:
    """What is said of one thing; the checks after it are not made."""
    found = checks.run(settings, environment, now or datetime.now(UTC))
    return next(text for what, text in found if what == about)


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a service that was started once; copy it before you change it."""
    settings = at(tmp_path_factory.mktemp("begun") / "home")
    house = open_house(settings)
    queues.make_tables(settings.database_url)
    make_tenant(house, "first")
    house.store.close()
    return settings.home


@pytest.fixture
def home(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "home"))


def snapshot(folder: Path) -> Mapping[str, bytes]:
    kept = (one for one in folder.rglob("*") if one.is_file() and "-shm" not in one.name)
    return {str(one): one.read_bytes() for one in kept}


def test_where_nothing_is_yet_all_is_well_and_nothing_is_made(tmp_path: Path) -> None:
    found = said(at(tmp_path / "home"))
    assert all(line.startswith("yes") for line in found.values()), found
    assert not (tmp_path / "home").exists()


def test_a_service_that_was_started_is_well_and_is_not_changed(home: Path) -> None:
    before = snapshot(home)
    found = said(at(home))
    assert all(line.startswith("yes") for line in found.values()), found
    assert "opens the keys of 1 tenants" in found["root key"]
    assert {"folder", "database", "queue", "audit key", "signing key", "clock"} <= set(found)
    assert snapshot(home) == before


@pytest.mark.parametrize("name", ["root.key", "audit.keys", "signing.key"])
def test_a_key_that_others_can_read_is_no(home: Path, name: str) -> None:
    (home / name).chmod(0o644)
    found = line(at(home), f"{name.partition('.')[0]} key")
    assert found.startswith("NO")
    assert "chmod 600" in found


@pytest.mark.parametrize("name", ["root.key", "audit.keys", "signing.key"])
def test_a_key_that_is_missing_is_no(home: Path, name: str) -> None:
    (home / name).unlink()
    assert line(at(home), f"{name.partition('.')[0]} key").startswith("NO: it is missing")


@pytest.mark.parametrize("name", ["audit.keys", "signing.key", "root.key"])
def test_a_file_that_holds_no_key_is_no_and_is_not_quoted(home: Path, name: str) -> None:
    (home / name).write_text("swordfish")
    found = line(at(home), f"{name.partition('.')[0]} key")
    assert found.startswith("NO")
    assert "swordfish" not in found


def test_another_installations_keys_are_no(home: Path, tmp_path: Path) -> None:
    open_house(at(tmp_path / "other")).store.close()
    for name in ("root.key", "audit.keys", "signing.key"):
        (home / name).write_bytes((tmp_path / "other" / name).read_bytes())
    found = dict(itertools.islice(checks.run(at(home), {}, datetime.now(UTC)), 7))
    for kind in ("root", "audit", "signing"):
        assert found[f"{kind} key"].startswith("NO"), kind


def test_tenants_under_an_older_root_key_are_worth_a_care(home: Path, tmp_path: Path) -> None:
    create_key_file(tmp_path / "new.key")
    both = f"{(tmp_path / 'new.key').read_text()} {(home / 'root.key').read_text()}"
    found = line(at(home, root_key=both), "root key")
    assert found.startswith("care: 1 tenants are under an older one")


def test_a_home_that_others_can_enter_is_no(home: Path) -> None:
    home.chmod(0o755)
    assert "chmod 700" in line(at(home), "folder")


def test_tables_of_a_newer_version_are_no_and_older_ones_a_care(home: Path) -> None:
    engine = sa.create_engine(at(home).database_url)
    for revision, begins in (("m999", "NO"), ("m001", "care")):
        with engine.begin() as connection:
            is_at = sa.text("UPDATE alembic_version SET version_num = :revision")
            connection.execute(is_at, {"revision": revision})
        assert line(at(home), "database").startswith(begins)
    engine.dispose()


def test_a_queue_without_tables_is_a_care(tmp_path: Path) -> None:
    open_house(at(tmp_path / "home")).store.close()
    assert line(at(tmp_path / "home"), "queue").startswith("care")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://somebody:hunter2@127.0.0.1:9/x",
        "postgresql://somebody:hunter2@[127/x",
    ],
)
def test_a_database_that_cannot_be_used_is_no_and_its_url_is_not_said(home: Path, url: str) -> None:
    found = line(at(home, database=url), "database")
    assert found.startswith("NO")
    assert "hunter2" not in found


def test_a_file_that_is_no_database_is_no(home: Path) -> None:
    (home / "rupture.db").write_bytes(b"x" * 8192)
    assert line(at(home), "database").startswith("NO")


def test_a_clock_behind_what_stands_in_the_database_is_no(home: Path) -> None:
    settings = at(home)
    assert line(settings, "clock").startswith("yes")
    assert line(settings, "clock", now=datetime.now(UTC) - timedelta(days=1)).startswith("NO")


def test_a_checkpoint_that_is_not_there_is_no(home: Path) -> None:
    assert line(at(home, checkpoint="nowhere"), "checkpoint").startswith("NO")


def test_a_misspelt_setting_is_named_and_its_value_is_not(home: Path) -> None:
    found = line(at(home), "settings", RUPTURE_WORKER="hunter2", RUPTURE_PORT="1", HOME="x")
    assert found == "care: no such settings: RUPTURE_WORKER"


def test_webhooks_into_all_networks_are_no_and_into_some_a_care(home: Path) -> None:
    for networks, begins in (((), "yes"), (("10.0.0.0/8",), "care"), (("0.0.0.0/0",), "NO")):
        allowed = tuple(map(ip_network, networks))
        assert line(at(home, webhook_networks=allowed), "webhooks").startswith(begins)
    assert line(at(home, webhook_http=True), "webhooks").startswith("care")


def test_how_people_sign_in_is_said_and_the_provider_is_not_asked(home: Path) -> None:
    named = {"oidc_issuer": "https://id.invalid", "oidc_client_id": "rupture"}
    whole = {**named, "oidc_roles": {"t": "clinician"}, "public_url": "https://r.invalid"}
    factor = {**whole, "oidc_second_factor": ("mfa",)}
    for given, begins in (
        ({}, "yes: local accounts"),
        ({"local_accounts": False}, "care: nobody can"),
        (named, "NO: RUPTURE_OIDC_"),
        (whole, "care: local accounts and the OpenID provider"),
        (factor, "yes: local accounts and the OpenID provider"),
    ):
        assert line(at(home, **given), "sign-in").startswith(begins), given


def test_an_address_that_others_reach_is_a_care(home: Path) -> None:
    assert line(at(home, host="0.0.0.0"), "address").startswith("care")  # noqa: S104


@pytest.mark.parametrize(
    ("owner", "mode", "is_well"),
    [
        ("us", 0o600, True),
        ("us", 0o400, True),
        ("us", 0o640, False),
        ("us", 0o604, False),
        ("root", 0o440, True),
        ("root", 0o460, False),
        ("root", 0o444, False),
        ("other", 0o600, False),
    ],
)
def test_who_may_read_a_key(owner: str, mode: int, is_well: bool) -> None:
    user = {"us": 10001, "root": 0, "other": 10002}[owner]
    found = os.stat_result((0o100000 | mode, 0, 0, 1, user, 0, 0, 0, 0, 0))
    assert (checks.why_open(found, 10001) == "") is is_well


# -- PostgreSQL --------------------------------------------------------------------------------


def test_an_ordinary_role_is_well_and_sees_its_own_walls(postgres_url: str, tmp_path: Path) -> None:
    settings = at(tmp_path / "home", database=postgres_url)
    house = open_house(settings)
    make_tenant(house, "first")
    house.store.close()
    found = said(settings)
    assert found["role"] == "yes: neither superuser nor bypassrls"
    assert found["rows"].startswith("yes")
    assert found["clock"].startswith("yes")
    assert "opens the keys of 1 tenants" in found["root key"]


def test_a_superuser_is_no(postgres_url: str, tmp_path: Path) -> None:
    found = said(at(tmp_path / "home", database=postgres_url.replace("rupture@", "postgres@")))
    assert found["role"].startswith("NO: it is superuser")


def test_a_role_that_passes_by_the_walls_is_no(
    postgres: Any, postgres_url: str, tmp_path: Path
) -> None:
    postgres.ask("CREATE ROLE by_passing LOGIN BYPASSRLS IN ROLE rupture")
    found = said(at(tmp_path / "home", database=postgres_url.replace("rupture@", "by_passing@")))
    assert found["role"].startswith("NO: it is bypassrls")


def test_a_wall_that_was_taken_down_is_no(postgres_url: str, tmp_path: Path) -> None:
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE sessions NO FORCE ROW LEVEL SECURITY"))
    engine.dispose()
    found = said(at(tmp_path / "home", database=postgres_url))
    assert found["rows"] == "NO: no row-level security on sessions"


def test_a_clock_that_is_not_the_databases_is_no(postgres_url: str, tmp_path: Path) -> None:
    settings = at(tmp_path / "home", database=postgres_url)
    found = line(settings, "clock", now=datetime.now(UTC) + timedelta(minutes=2))
    assert found.startswith("NO: it differs from the database's by 1")
