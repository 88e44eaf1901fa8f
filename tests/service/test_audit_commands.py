"""`rupture audit` out of the database: what a file's chain shows, a database's shows too."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service import audit_commands
from service.audit import Entry, Key
from service.audit_commands import app


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(
        app, [str(one) for one in arguments], env={"RUPTURE_AUDIT_KEYS": ""}
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def home(clinic: Any) -> Path:
    """A database whose first tenant has eight entries."""
    for n in range(3):
        clinic.add(consent_id=f"con_{n}")
    assert len(clinic.trail()) == 8
    found: Path = clinic.house.settings.home
    return found


def tamper(home: Path, *statements: str) -> None:
    """Writes into the database as somebody would who has its file."""
    with sqlite3.connect(home / "rupture.db") as connection:
        for what in ("update", "delete"):
            connection.execute(f"DROP TRIGGER IF EXISTS append_only_{what}")
        for one in statements:
            connection.execute(one)
    connection.close()


def test_a_whole_chain_is_said_to_be_whole_and_that_is_on_record(home: Path, clinic: Any) -> None:
    code, out, _ = call("verify", "--home", home)
    assert code == 0
    assert out.splitlines()[0] == f"checked  the chain of {clinic.tenant_id}"
    assert "found    nothing wrong" in out
    assert clinic.actions()[-1] == "audit.verified"
    assert call("verify", "--home", home, "--tenant", clinic.tenant_id)[0] == 0


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE audit_entries SET actor_id='somebody' WHERE sequence=4", "altered"),
        ("UPDATE audit_entries SET details='no JSON' WHERE sequence=4", "altered"),
        ("DELETE FROM audit_entries WHERE sequence=4", "deleted"),
        ("UPDATE audit_entries SET sequence=99 WHERE sequence=4", "deleted"),
    ],
)
def test_what_was_done_to_the_rows_is_found_and_nothing_is_added_to_the_chain(
    home: Path, clinic: Any, statement: str, kind: str
) -> None:
    tamper(home, statement)
    before = clinic.house.settings.home.joinpath("rupture.db").read_bytes()
    code, out, _ = call("verify", "--home", home)
    assert code == 1
    assert f"the first bad sequence is 4: {kind}" in out
    assert call("checkpoint", "--home", home)[0] == 1
    assert home.joinpath("rupture.db").read_bytes() == before


def test_an_end_that_was_cut_off_is_found_against_a_checkpoint(home: Path, tmp_path: Path) -> None:
    code, out, _ = call("checkpoint", "--home", home)
    assert code == 0
    kept = tmp_path / "kept"
    kept.write_text(out, "utf-8")
    tamper(home, "DELETE FROM audit_entries WHERE sequence > 6")
    assert call("verify", "--home", home)[0] == 0  # alone it cannot be seen; this writes 7
    tamper(home, "DELETE FROM audit_entries WHERE sequence > 6")
    code, out, _ = call("verify", "--home", home, "--checkpoints", kept)
    assert code == 1
    assert "truncated" in out


def test_each_tenants_chain_is_checked_and_the_worst_decides(home: Path, clinic: Any) -> None:
    other = clinic.other()
    bad = f"UPDATE audit_entries SET reason='x' WHERE sequence=1 AND tenant_id='{other.tenant_id}'"  # noqa: S608
    tamper(home, bad)
    code, out, _ = call("verify", "--home", home)
    assert code == 1
    assert out.count("checked  ") == 2
    assert out.count("found    nothing wrong") == 1
    assert call("verify", "--home", home, "--tenant", clinic.tenant_id)[0] == 0


def test_a_tenant_that_was_removed_chain_and_all_is_found_by_its_checkpoint(
    home: Path, clinic: Any, tmp_path: Path
) -> None:
    other = clinic.other()
    kept = tmp_path / "kept"
    kept.write_text(call("checkpoint", "--home", home)[1], "utf-8")
    tables = ("audit_entries", "tenants", "credentials")
    tamper(home, *(f"DELETE FROM {t} WHERE tenant_id='{other.tenant_id}'" for t in tables))  # noqa: S608
    code, out, said = call("verify", "--home", home, "--checkpoints", kept)
    assert code == 1
    assert "truncated" in out
    assert f"There is no tenant {other.tenant_id} here." in said
    assert call("verify", "--home", home)[0] == 0  # nobody knows of it any more


def test_a_tenant_that_is_not_there_is_no_good_chain_and_none_is_begun(home: Path) -> None:
    for name in ("verify", "checkpoint"):
        code, _, said = call(name, "--home", home, "--tenant", "ten_none")
        assert code == 1
        assert "There is no tenant ten_none here." in said
    with sqlite3.connect(home / "rupture.db") as connection:
        found = connection.execute("SELECT count(*) FROM audit_entries WHERE tenant_id='ten_none'")
        assert found.fetchone() == (0,)
    connection.close()


def test_a_chain_is_read_in_pages(home: Path, clinic: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in (1, 3, 4, 8):
        monkeypatch.setattr(audit_commands, "PAGE", page)
        with audit_commands.kept_chains(None, home, None) as kept:
            found = [one.sequence for one in kept.entries(clinic.tenant_id) if type(one) is Entry]
        assert found == list(range(1, 9))


def test_what_is_exported_is_what_verify_takes_from_a_file(
    home: Path, clinic: Any, tmp_path: Path
) -> None:
    out = tmp_path / "chain.ndjson"
    where = ("--home", home, "--format", "ndjson", "--out")
    code, _, said = call("export", *where, out)
    assert (code, said) == (0, "8 entries written\n")
    assert clinic.actions()[-1] == "audit.exported"
    assert json.loads(out.read_text("utf-8").splitlines()[0])["tenant_id"] == clinic.tenant_id
    code, said, _ = call("verify", "--file", out, "--keys", home / "audit.keys")
    assert code == 0
    assert said.splitlines()[0] == f"checked  {out}"
    clinic.other()
    assert call("export", *where, out)[0] == 2  # whose, of two?
    assert call("export", *where, tmp_path / "x", "--tenant", clinic.tenant_id)[0] == 0


def test_another_key_is_said(home: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(Key.generate("main").to_line(), "utf-8")
    code, out, _ = call("verify", "--home", home, "--keys", keys)
    assert code == 1
    assert "wrong_key" in out


def test_neither_the_root_key_nor_the_signing_key_is_needed(home: Path) -> None:
    (home / "root.key").unlink()
    (home / "signing.key").unlink()
    assert call("verify", "--home", home)[0] == 0
    assert not (home / "root.key").exists()


def test_no_command_makes_a_database_where_there_is_none(tmp_path: Path) -> None:
    for name in (("verify",), ("checkpoint",), ("export", "--out", "-")):
        code, _, said = call(*name, "--home", tmp_path / "nowhere")
        assert (code, said) == (
            3,
            "audit: database is not here: say --home, --database or --file\n",
        )
    assert list(tmp_path.iterdir()) == []


def test_a_file_and_a_database_at_once_is_wrong_usage(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "chain"
    file.touch()
    assert call("verify", "--file", file, "--home", home, "--keys", home / "audit.keys")[0] == 2
    assert call("verify", "--file", file)[0] == 2
    assert call("export", "--file", file, "--home", home, "--out", "-")[0] == 2


def test_postgresqls_chains_are_read_too(either_clinic: Any) -> None:
    session_id = either_clinic.add()
    settings = either_clinic.house.settings
    where = ("--database", settings.database_url, "--home", settings.home)
    code, out, _ = call("verify", *where)
    assert code == 0
    assert "found    nothing wrong" in out
    code, out, _ = call("export", *where, "--tenant", either_clinic.tenant_id, "--out", "-")
    assert code == 0
    assert session_id in out
