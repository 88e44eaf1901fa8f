import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models import registry
from models.commands import EXIT_UNUSABLE, app


@pytest.fixture
def root(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of checkpoints of our own, with "one" and "two" listed and none in use."""
    monkeypatch.setenv(registry.SETTING, str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("one", "two"):
        shutil.copytree(tiny_checkpoint, tmp_path / name)
        registry.register(name, published=date(2026, 11, 25))
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.usefixtures("root")
def test_a_list_marks_the_one_in_use() -> None:
    run("use", "two")
    rows = [line.split() for line in run("list").splitlines()]
    assert [row[:3] for row in rows if "two" in row[:2]] == [["*", "two", "2026-11-25"]]
    assert [row[:2] for row in rows if "one" in row[:2]] == [["one", "2026-11-25"]]


def test_an_empty_list_says_what_happens_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_roots", lambda: (tmp_path,))
    assert "rules and timing alone" in run("list")


@pytest.mark.usefixtures("root")
def test_use_and_rollback_say_what_is_in_use() -> None:
    assert run("use", "one") == "one is in use.\n"
    run("use", "two")
    assert run("rollback") == "one is in use again.\n"
    assert registry.current_name() == "one"


@pytest.mark.usefixtures("root")
def test_an_unknown_name_is_one_line_and_a_code() -> None:
    said = run("use", "three", code=EXIT_UNUSABLE)
    assert said.startswith("no checkpoint 'three'; there are: ")
    assert said.count("\n") == 1


@pytest.mark.usefixtures("root")
def test_a_rollback_without_one_before_is_one_line_and_a_code() -> None:
    assert "before this one" in run("rollback", code=EXIT_UNUSABLE)


def test_a_checkpoint_that_was_changed_is_not_taken_into_use(root: Path) -> None:
    (root / "one" / "scoring.toml").write_text("changed")
    assert "scoring.toml: its sha256" in run("use", "one", code=EXIT_UNUSABLE)
    assert registry.current_name() != "one"


def test_a_broken_registry_is_one_line_and_a_code(root: Path) -> None:
    (root / "registry.toml").write_text("=")
    assert "it is broken" in run("list", code=EXIT_UNUSABLE)


@pytest.mark.usefixtures("root")
def test_the_command_line_offers_the_commands_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['rupture', 'models', 'list']\n"
        "from detector.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([n for n in ('torch', 'onnxruntime', 'training', 'spacy') if n in sys.modules])"
    )
    lines = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert any("one" in line for line in lines)
    assert lines[-1] == "[]"
