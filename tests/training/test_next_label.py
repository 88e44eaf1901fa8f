"""`rupture label next`: ids and numbers of what to code next, and never what was said."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from training.next_label import command
from training.own import example_sessions, write_export

ROOT = Path(__file__).parent.parent.parent
SAID = "canaryword"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, dialogue: tuple[str, ...]) -> list[str]:
    """Three sessions that can be used and one that cannot."""
    folder = tmp_path_factory.mktemp("uncoded")
    shutil.copy(ROOT / "examples" / "session.vtt", folder / "a.vtt")
    (folder / "b.txt").write_text("\n".join(dialogue) + f"\nT: So {SAID} it is.\n")
    (folder / "c.txt").write_text("\n".join(dialogue[2:]) + f"\nC: Yes, {SAID}.\n")
    (folder / "d.txt").write_text("")
    return [str(folder / name) for name in ("a.vtt", "b.txt", "c.txt", "d.txt")]


def asked(*words: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [*words, "--checkpoint", "rules"])


def test_every_session_that_can_be_used_is_ordered_with_its_reasons(files: list[str]) -> None:
    done = asked(*files, "--json")
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["session_id"] for one in found} == {"a", "b", "c"}
    ranks = [one["rank"] for one in found]
    assert 0 < ranks[0] <= 1
    for one in found:
        assert one["why"] in one["signs"]
        assert set(one["signs"]) == {"uncertainty", "disagreement", "novelty"}
    assert "d.txt: left out" in done.stderr


def test_turns_are_named_by_session_and_index(files: list[str]) -> None:
    done = asked(*files, "--by", "turn", "--count", "5", "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({(one["session_id"], one["turn"]) for one in found}) == 5


def test_nothing_that_was_said_is_printed(files: list[str]) -> None:
    for more in ((), ("--by", "turn"), ("--json",)):
        done = asked(*files, "--count", "50", *more)
        assert SAID not in done.output + done.stderr
        assert "listening" not in done.output


def test_coded_sessions_make_what_is_like_them_less_new(files: list[str], tmp_path: Path) -> None:
    coded = tmp_path / "coded.jsonl"
    write_export(coded, example_sessions(10))
    without, with_ = (
        json.loads(asked(*files, "--json", "--count", "1", *more).stdout.splitlines()[0])
        for more in ((), ("--coded", str(coded)))
    )
    assert without["signs"]["novelty"]["value"] == 0
    assert with_["signs"]["novelty"]["value"] > 0


def test_no_usable_file_is_an_error_that_says_so(files: list[str]) -> None:
    done = asked(files[-1])
    assert done.exit_code == 3
    assert "none of the files can be used" in done.stderr
