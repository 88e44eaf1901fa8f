import itertools
import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from detector.formats import read_transcript
from training import invent


def invented(path: Path, n_sessions: int, seed: int = 0) -> bytes:
    app = typer.Typer()
    app.command()(invent.command)
    given = [str(n_sessions), "--out", str(path), "--seed", str(seed)]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    return path.read_bytes()


def test_sessions_have_ids_of_their_own_and_are_numbered_by_client(tmp_path: Path) -> None:
    lines = invented(tmp_path / "a.jsonl", 40).splitlines()
    found = [json.loads(line) for line in lines]
    assert len({one["session_id"] for one in found}) == 40
    for before, after in itertools.pairwise(found):
        is_same = before["client_id"] == after["client_id"]
        assert after["session_number"] == (before["session_number"] + 1 if is_same else 1)
    transcript = read_transcript(lines[0])
    assert {cue.role.value for cue in transcript.cues} == {"therapist", "client"}
    assert transcript.timing_quality.has_ends


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    one, same, other = (invented(tmp_path / "a.jsonl", 5, seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(invent.command)
    result = CliRunner().invoke(app, ["1", "--out", str(tmp_path / "none" / "a.jsonl")])
    assert result.exit_code == 3
    assert "No such file or directory" in result.output
