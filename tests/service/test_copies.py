"""Copies are whole and for their owner alone; a restore brings no ended thing back to life."""

import os
import shutil
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service import copies, store, tables
from service.audit_check import checkpoint, verify
from service.auth import make_tenant
from service.errors import Conflict, NotFound
from service.house import House, open_house
from service.root_keys import create_key_file
from service.settings import Settings
from service.tombstones import Redone, append_tombstones, tombstones

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CANARY = "zyxcanary"


def test_a_backup_is_one_whole_file_for_its_owner_alone(clinic: Any, tmp_path: Path) -> None:
    session_id = clinic.add()
    out = tmp_path / "copy.db"
    copy = copies.back_up(clinic.house, out)
    assert copy.n_bytes == out.stat().st_size > 0
    assert out.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(f"file:{out}?mode=ro", uri=True) as kept:
        assert kept.execute("SELECT id FROM sessions").fetchall() == [(session_id,)]
        assert kept.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    kept.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy.db", "home"]
    last = clinic.trail()[-1].event
    assert (last.action, last.details["sha256"]) == ("backup.made", copy.sha256)
    assert CANARY.encode() not in out.read_bytes()


def test_a_backup_writes_over_nothing(clinic: Any, tmp_path: Path) -> None:
    out = tmp_path / "copy.db"
    out.write_text("mine", "utf-8")
    with pytest.raises(Conflict):
        copies.back_up(clinic.house, out)
    assert out.read_text("utf-8") == "mine"


def moved_away(clinic: Any, tmp_path: Path) -> Settings:
    """The disaster: the database is gone, the keys are not."""
    clinic.house.store.close()
    home = clinic.house.settings.home
    for path in home.glob("rupture.db*"):
        path.rename(tmp_path / f"lost-{path.name}")
    return clinic.house.settings


def test_the_drill_that_the_operations_page_describes(clinic: Any, tmp_path: Path) -> None:
    kept, ended, short = (clinic.add(consent_id=f"con_{name}") for name in ("a", "b", "c"))
    early = checkpoint(clinic.trail()[-1], clinic.house.audit_key, NOW)
    copy = copies.back_up(clinic.house, tmp_path / "copy.db")
    # After the copy: one is erased, a consent is taken back, one comes in.
    clinic.records.erase(clinic.actor, ended)
    clinic.records.revoke(clinic.actor, "con_c")
    added = clinic.add(consent_id="con_d")
    ends = tmp_path / "ended.ndjson"
    assert append_tombstones(clinic.house, ends) == 3
    late = checkpoint(clinic.trail()[-1], clinic.house.audit_key, NOW)
    n_lost = len(clinic.trail())

    settings = moved_away(clinic, tmp_path)
    later = NOW + timedelta(hours=1)
    lines = ends.read_text("utf-8").splitlines()
    house, redone = copies.restore(settings, copy.path, lines, now=later)
    back = clinic.in_(house)

    assert redone == Redone(n_again=3)
    assert back.row(ended)["key_blob"] is back.row(ended)["transcript"] is None
    assert back.row(short)["transcript"] is None
    row = back.row(kept)
    assert CANARY.encode() in back.read(row)
    with pytest.raises(NotFound):
        back.row(added)  # came after the copy, and is lost: whoever handed it in does so again
    # The trail says what happened, and against a later checkpoint, that something is gone.
    assert {"backup.restored", "session.erased", "consent.revoked"} <= set(back.actions())
    keys = [house.audit_key]
    assert verify(back.trail(), keys) == []
    assert verify(back.trail(), keys, [early]) == []
    found = verify(back.trail(), keys, [early, late])
    assert [one.kind for one in found] == ["truncated"]
    assert found[0].last == n_lost
    back.add(consent_id="con_e")  # life goes on, over the numbers of what was lost
    found = verify(back.trail(), keys, [early, late])
    assert [(one.kind, one.sequence) for one in found] == [("rewritten", n_lost)]
    house.store.close()


def test_without_the_list_a_restore_brings_the_erased_back(clinic: Any, tmp_path: Path) -> None:
    # Why the list is kept at all.
    session_id = clinic.add()
    copy = copies.back_up(clinic.house, tmp_path / "copy.db")
    clinic.records.erase(clinic.actor, session_id)
    house, _ = copies.restore(moved_away(clinic, tmp_path), copy.path, [], now=NOW)
    back = clinic.in_(house)
    row = back.row(session_id)
    assert CANARY.encode() in back.read(row)
    house.store.close()


def test_a_hold_that_only_the_copy_knows_of_keeps_nothing_alive(
    clinic: Any, tmp_path: Path
) -> None:
    session_id = clinic.add()
    clinic.change(session_id, hold=True)
    copy = copies.back_up(clinic.house, tmp_path / "copy.db")
    clinic.change(session_id, hold=False)
    clinic.records.erase(clinic.actor, session_id)
    lines = [one.to_line() for one in tombstones(clinic.house)]
    house, redone = copies.restore(moved_away(clinic, tmp_path), copy.path, lines, now=NOW)
    assert redone.n_again == 1
    assert clinic.in_(house).row(session_id)["status"] == "erased"
    house.store.close()


def test_a_disabled_key_stays_disabled(clinic: Any, tmp_path: Path) -> None:
    copy = copies.back_up(clinic.house, tmp_path / "copy.db")
    with clinic.house.store.system() as tx:
        (key,) = tx.select(tables.credentials)
        record = {**key["record"], "disabled_at": NOW.isoformat()}
        tx.change(tables.credentials, key["id"], record=record)
    lines = [one.to_line() for one in tombstones(clinic.house)]
    house, redone = copies.restore(moved_away(clinic, tmp_path), copy.path, lines, now=NOW)
    assert redone.n_again == 1
    with house.store.system() as tx:
        assert tx.get(tables.credentials, key["id"])["record"]["disabled_at"]
    house.store.close()


def test_nothing_of_what_is_erased_again_is_left_in_the_restored_file(
    clinic: Any, tmp_path: Path
) -> None:
    session_id = clinic.add()
    row = clinic.row(session_id)
    copy = copies.back_up(clinic.house, tmp_path / "copy.db")
    assert row["transcript"] in copy.path.read_bytes()
    clinic.records.erase(clinic.actor, session_id)
    lines = [one.to_line() for one in tombstones(clinic.house)]
    house, _ = copies.restore(moved_away(clinic, tmp_path), copy.path, lines, now=NOW)
    assert row["transcript"][-48:] not in clinic.files()
    assert row["key_blob"][-48:] not in clinic.files()
    house.store.close()


def test_a_restore_writes_over_no_database(clinic: Any, tmp_path: Path) -> None:
    session_id = clinic.add()
    copy = copies.back_up(clinic.house, tmp_path / "copy.db")
    with pytest.raises(Conflict):
        copies.restore(clinic.house.settings, copy.path, [], now=NOW)
    assert clinic.row(session_id)["status"] == "done"


def test_a_restore_without_the_keys_says_which_are_missing(clinic: Any, tmp_path: Path) -> None:
    copy = copies.back_up(clinic.house, tmp_path / "copy.db")
    settings = moved_away(clinic, tmp_path)
    (settings.home / "root.key").unlink()
    with pytest.raises(copies.CannotCopy, match=r"root\.key"):
        copies.restore(settings, copy.path, [], now=NOW)
    assert not list(settings.home.glob("*rupture.db*"))


def test_a_restore_with_another_root_key_leaves_nothing_behind(clinic: Any, tmp_path: Path) -> None:
    copy = copies.back_up(clinic.house, tmp_path / "copy.db")
    settings = moved_away(clinic, tmp_path)
    (settings.home / "root.key").unlink()
    create_key_file(settings.home / "root.key")
    with pytest.raises(copies.CannotCopy, match="root key"):
        copies.restore(settings, copy.path, [], now=NOW)
    assert not list(settings.home.glob("*rupture.db*"))


def test_what_is_no_backup_is_refused_and_quoted_nowhere(clinic: Any, tmp_path: Path) -> None:
    copy = copies.back_up(clinic.house, tmp_path / "copy.db")
    whole = copy.path.read_bytes()
    settings = moved_away(clinic, tmp_path)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as made:
        made.execute("CREATE TABLE secrets (said TEXT)")
    made.close()
    torn = tmp_path / "torn.db"
    torn.write_bytes(whole[: len(whole) // 2])
    text = tmp_path / "text.db"
    text.write_text(CANARY * 500, "utf-8")
    for bad in (other, torn, text):
        with pytest.raises(copies.CannotCopy) as caught:
            copies.restore(settings, bad, [], now=NOW)
        assert CANARY not in str(caught.value)
        assert caught.value.__cause__ is None
    assert not list(settings.home.glob("*rupture.db*"))


def test_the_drill_changes_nothing_but_that_it_is_on_record(clinic: Any, tmp_path: Path) -> None:
    sessions = [clinic.add(), clinic.add()]
    clinic.records.erase(clinic.actor, sessions[0])
    before = [clinic.row(one) for one in sessions]
    place = tmp_path / "drill"
    place.mkdir()
    checks = copies.drill(clinic.house, place, NOW)
    assert all(one.is_well for one in checks), checks
    assert [one.what for one in checks] == ["backup", "tombstones", "audit", "sessions"]
    assert checks[-1].said == "1 of 1 that were not erased open"
    assert [clinic.row(one) for one in sessions] == before
    assert clinic.actions()[-1] == "backup.made"


def test_the_drill_finds_a_session_that_does_not_open(clinic: Any, tmp_path: Path) -> None:
    session_id = clinic.add()
    clinic.change(session_id, transcript=clinic.row(session_id)["transcript"][:-1] + b"!")
    checks = {one.what: one for one in copies.drill(clinic.house, tmp_path, NOW)}
    assert not checks["sessions"].is_well
    assert checks["audit"].is_well


@pytest.fixture
def shared(clinic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    fake = tmp_path / "bin" / "pg_dump"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\nenv > "$SAW"\necho "$@" >> "$SAW"\n'
        'while [ $# -gt 1 ]; do [ "$1" = --file ] && echo dump > "$2"; shift; done\n',
        "utf-8",
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SAW", str(tmp_path / "saw"))
    monkeypatch.setattr(store.Store, "is_postgresql", property(lambda _: True))
    url = "postgresql+psycopg://us:pass word@127.0.0.1:5433/kept?sslmode=require"
    return replace(
        clinic.house,
        settings=clinic.house.settings.model_copy(update={"database": url.replace(" ", "%20")}),
    )


def test_a_password_is_given_to_pg_dump_where_ps_does_not_show_it(
    shared: House, tmp_path: Path
) -> None:
    copies._dump(shared, tmp_path / "draft")
    saw = (tmp_path / "saw").read_text("utf-8").splitlines()
    assert saw[-1] == (
        f"--format=custom --no-password --enable-row-security --file {tmp_path / 'draft'}"
    )
    assert {
        "PGHOST=127.0.0.1",
        "PGPORT=5433",
        "PGUSER=us",
        "PGPASSWORD=pass word",
        "PGDATABASE=kept",
        "PGSSLMODE=require",
        "PGOPTIONS=-c rupture.tenant=*",
    } <= set(saw)


def test_without_pg_dump_it_says_what_to_do(
    shared: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(copies.CannotCopy, match="install PostgreSQL's client programs"):
        copies._dump(shared, tmp_path / "draft")


def test_a_dump_of_postgresql_holds_all_tenants_and_comes_back_without_what_ended(
    postgres: Any, postgres_url: str, canary_report: Any, clock: Any, tmp_path: Path, clinic: Any
) -> None:
    if shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not here: apt-get install postgresql-client")
    given = {"home": tmp_path / "shared", "checkpoint": "rules", "_env_file": None}
    settings = Settings(database=postgres_url, **given)
    here = clinic.in_(open_house(settings, clock=clock))
    here.tenant_id = make_tenant(here.house, "clinic")[0]
    there = here.other()
    kept, ended = there.add(), here.add()
    copy = copies.back_up(here.house, tmp_path / "copy.dump")
    assert copy.path.stat().st_mode & 0o777 == 0o600
    here.records.erase(here.actor, ended)
    lines = [one.to_line() for one in tombstones(here.house)]
    with pytest.raises(Conflict):
        copies.restore(settings, copy.path, lines, now=NOW)
    here.house.store.close()
    with postgres.database("template0") as url:
        house, redone = copies.restore(Settings(database=url, **given), copy.path, lines, now=NOW)
        assert redone.n_again == 1
        assert here.in_(house).row(ended)["transcript"] is None
        assert CANARY.encode() in there.in_(house).read(there.in_(house).row(kept))
        assert verify(there.in_(house).trail(), [house.audit_key]) == []
        with house.store.transaction(here.tenant_id) as tx:  # the wall stands again
            assert tx.connection.execute(sa.select(tables.sessions.c.id)).scalars().all() == [ended]
        house.store.close()
