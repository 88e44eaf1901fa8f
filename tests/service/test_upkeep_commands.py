"""`rupture upkeep`, as who runs the service calls it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from service import copies
from service.settings import Settings
from service.upkeep_commands import app

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def moved_away(clinic: Any, tmp_path: Path) -> Settings:
    """The disaster: the database is gone, the keys are not."""
    clinic.house.store.close()
    for path in clinic.house.settings.home.glob("rupture.db*"):
        path.rename(tmp_path / f"lost-{path.name}")
    settings: Settings = clinic.house.settings
    return settings


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_commands_do_what_the_functions_do(clinic: Any, tmp_path: Path) -> None:
    session_id = clinic.add()
    home = clinic.house.settings.home
    where = ("--home", home)
    code, out, _ = call("sweep", *where)
    assert (code, out.splitlines()[0]) == (0, "erased    1 text, 0 sessions")  # it is years later
    code, out, _ = call("rotate-tenant", clinic.tenant_id, *where)
    assert (code, out) == (0, "1 session and 0 webhooks are under the tenant's new key\n")
    code, out, _ = call("backup", "--out", tmp_path / "copy.db", *where)
    assert code == 0
    assert out.startswith("copied    ")
    ends = tmp_path / "ended.ndjson"
    clinic.records.erase(clinic.actor, session_id)
    assert call("tombstones", "--out", ends, *where)[0] == 0
    code, out, _ = call("drill", *where)
    assert code == 0
    assert "sessions    yes" in out
    moved_away(clinic, tmp_path)
    code, out, _ = call("restore", tmp_path / "copy.db", "--ended", ends, *where)
    assert code == 0
    assert "1 ended again" in out
    code, out, _ = call("rotate-root", "--to", tmp_path / "new.key", *where)
    assert code == 0
    assert str(tmp_path / "new.key") in out


def test_a_restore_is_told_what_ended_or_that_nobody_knows(clinic: Any, tmp_path: Path) -> None:
    copies.back_up(clinic.house, tmp_path / "copy.db")
    settings = moved_away(clinic, tmp_path)
    code, _, said = call("restore", tmp_path / "copy.db", "--home", settings.home)
    assert code == 2
    assert "--ended" in said
    code, _, _ = call("restore", tmp_path / "copy.db", "--no-ended", "--home", settings.home)
    assert code == 0


def test_a_list_with_a_bad_line_is_applied_and_said(clinic: Any, tmp_path: Path) -> None:
    copies.back_up(clinic.house, tmp_path / "copy.db")
    settings = moved_away(clinic, tmp_path)
    ends = tmp_path / "ended"
    ends.write_text("torn\n", "utf-8")
    code, _, said = call("restore", tmp_path / "copy.db", "--ended", ends, "--home", settings.home)
    assert code == 1
    assert "line 1" in said


def test_no_command_makes_a_database_where_there_is_none(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for name in (
        ("sweep",),
        ("drill",),
        ("rotate-tenant", "ten_1"),
        ("backup", "--out", tmp_path / "x"),
        ("tombstones", "--out", tmp_path / "y"),
        ("rotate-root", "--to", tmp_path / "z"),
    ):
        code, _, said = call(*name, "--home", nowhere)
        assert code == 3, name
        assert "no database" in said
    assert list(tmp_path.iterdir()) == []
