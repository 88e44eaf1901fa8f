"""The README and docs hold: their code runs, their commands exist, their links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = sorted(set(re.findall(r"(rupture (?:score|explain|formats|markers)[^\n`#|]*)", README)))


def test_the_readme_has_code_and_commands_to_check() -> None:
    assert "```python" in README
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_the_readmes_python_runs_as_it_stands(code: str) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readmes_commands_take_the_options_they_are_shown_with(command: str) -> None:
    words = shlex.split(command)
    shown = subprocess.run(
        [sys.executable, "-m", "detector", words[1], "--help"],
        cwd=ROOT,
        env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for option in (word for word in words if word.startswith("--")):
        assert option in shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file_that_is_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https://)([^)#]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readmes_figures_are_those_of_the_evaluation() -> None:
    """Every interval that the README quotes stands in docs/evaluation.md, digit for digit."""
    evaluation = (ROOT / "docs" / "evaluation.md").read_text("utf-8")
    quoted = re.findall(r"(\.\d{3}) \((\.\d{3})–(\.\d{3})\)", README)
    assert len(quoted) >= 12
    for value, low, high in quoted:
        assert f"0{value} (0{low}–0{high})" in evaluation
