import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from detector.cli import app
from detector.codebook import load_codebook
from detector.formats import readers

Rupture = Callable[..., Result]


@pytest.fixture(scope="module")
def rupture() -> Rupture:
    """Runs the command line in this process; a fresh one is started only where it matters."""
    runner = CliRunner()

    def rupture(*arguments: object, stdin: bytes | None = None) -> Result:
        result = runner.invoke(app, [str(one) for one in arguments], input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return rupture


@pytest.fixture
def session(tmp_path: Path, dialogue: tuple[str, ...]) -> Path:
    return write(tmp_path / "a.txt", *dialogue)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def unlabelled(path: Path) -> Path:
    """A session in which nobody says who is who, and the talk does not tell."""
    turns = [{"speaker": who, "text": "canary hello"} for who in ("Ann", "Bo=2")]
    path.write_text(json.dumps({"turns": turns}), "utf-8")
    return path


def in_folder(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_table_is_shown_where_no_format_is_asked_for(rupture: Rupture, session: Path) -> None:
    result = rupture("score", session)
    assert result.exit_code == 0
    assert "may be worth a look, in 12 turns." in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("format", "start"), [("json", "{"), ("csv", "transcript_sha256,"), ("html", "<!doctype html")]
)
def test_every_format_goes_to_standard_output(
    rupture: Rupture, session: Path, format: str, start: str
) -> None:
    result = rupture("score", session, "--format", format)
    assert result.exit_code == 0
    assert result.stdout.lower().startswith(start)


@pytest.mark.parametrize(
    ("format", "ending"), [("json", "json"), ("csv", "csv"), ("html", "html"), ("table", "txt")]
)
def test_out_writes_one_file_a_transcript_and_names_it(
    rupture: Rupture,
    session: Path,
    tmp_path: Path,
    dialogue: tuple[str, ...],
    format: str,
    ending: str,
) -> None:
    other = write(tmp_path / "b.txt", *dialogue)
    out = tmp_path / "out"
    result = rupture("score", session, other, "--format", format, "--out", out)
    assert result.exit_code == 0
    assert in_folder(out) == [f"a.{ending}", f"b.{ending}"]
    assert result.stdout.splitlines() == [str(out / f"a.{ending}"), str(out / f"b.{ending}")]


def test_json_written_and_json_shown_are_the_same(
    rupture: Rupture, session: Path, tmp_path: Path
) -> None:
    shown = rupture("score", session, "--format", "json").stdout
    rupture("score", session, "--format", "json", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "a.json").read_text("utf-8") == shown


def test_standard_input_is_a_transcript_too(rupture: Rupture, session: Path) -> None:
    result = rupture("score", "-", "--format", "json", stdin=session.read_bytes())
    assert result.exit_code == 0
    assert result.stdout == rupture("score", session, "--format", "json").stdout


def test_standard_input_is_written_as_stdin(
    rupture: Rupture, session: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    rupture("score", "-", "--format", "json", "--out", out, stdin=session.read_bytes())
    assert in_folder(out) == ["stdin.json"]


def test_a_glob_stands_for_all_its_files(
    rupture: Rupture, session: Path, tmp_path: Path, dialogue: tuple[str, ...]
) -> None:
    write(tmp_path / "b.txt", *dialogue)
    result = rupture("score", tmp_path / "*.txt", "--format", "json")
    files = [json.loads(line)["file"] for line in result.stdout.splitlines()]
    assert files == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]


def test_a_glob_that_matches_nothing_is_wrong_usage(rupture: Rupture, tmp_path: Path) -> None:
    result = rupture("score", tmp_path / "*.none")
    assert result.exit_code == 2
    assert "no file matches" in result.stderr


def test_several_csv_reports_share_one_header(
    rupture: Rupture, session: Path, tmp_path: Path, dialogue: tuple[str, ...]
) -> None:
    other = write(tmp_path / "b.txt", *dialogue)
    result = rupture("score", session, other, "--format", "csv")
    found = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["file"] for row in found} == {str(session), str(other)}
    assert len(found) == 2 * 12 * 5


def test_the_csv_header_stands_although_the_first_file_is_bad(
    rupture: Rupture, session: Path, tmp_path: Path
) -> None:
    bad = write(tmp_path / "0.json", "{")
    result = rupture("score", bad, session, "--format", "csv")
    assert result.exit_code == 3
    assert result.stdout.startswith("file,transcript_sha256,")


def test_several_html_pages_need_a_folder(rupture: Rupture, session: Path) -> None:
    result = rupture("score", session, session, "--format", "html")
    assert result.exit_code == 2
    assert "--out" in result.stderr


def test_one_bad_file_among_many_is_named_and_the_others_are_written(
    rupture: Rupture, session: Path, tmp_path: Path, dialogue: tuple[str, ...]
) -> None:
    bad = write(tmp_path / "bad.json", '{"turns": [{"speaker": "Bo", "text": 5, "x": "canary"}]}')
    other = write(tmp_path / "b.txt", *dialogue)
    out = tmp_path / "out"
    result = rupture("score", session, bad, other, "--format", "json", "--out", out)
    assert result.exit_code == 3
    assert in_folder(out) == ["a.json", "b.json"]
    assert result.stderr.splitlines() == [
        f"{bad}: turns[0].text: a text is expected",
        "2 of 3 files scored.",
    ]
    assert "canary" not in result.output


def test_a_missing_file_is_named(rupture: Rupture, tmp_path: Path) -> None:
    result = rupture("score", tmp_path / "none.vtt")
    assert result.exit_code == 3
    assert result.stderr == f"{tmp_path}/none.vtt: No such file or directory\n"


def test_unknown_roles_have_an_exit_code_of_their_own_and_name_the_speakers(
    rupture: Rupture, tmp_path: Path
) -> None:
    result = rupture("score", unlabelled(tmp_path / "a.json"))
    assert result.exit_code == 4
    assert "speakers found: Ann, Bo=2" in result.stderr
    assert "--therapist NAME" in result.stderr
    assert "canary" not in result.output
    assert result.stdout == ""


def test_a_bad_file_weighs_more_than_an_unknown_role(rupture: Rupture, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.json", "{")
    assert rupture("score", unlabelled(tmp_path / "a.json"), bad).exit_code == 3


def roles_of(result: Result) -> dict[str, str]:
    assert result.exit_code == 0, result.stderr
    assigned: dict[str, str] = json.loads(result.stdout)["roles"]["assigned"]
    return assigned


def test_therapist_names_the_therapist(rupture: Rupture, tmp_path: Path) -> None:
    path = unlabelled(tmp_path / "a.json")
    result = rupture("score", path, "--format", "json", "--therapist", "Ann")
    assert roles_of(result) == {"Ann": "therapist", "Bo=2": "client"}


def test_a_name_with_an_equals_sign_takes_a_role(rupture: Rupture, tmp_path: Path) -> None:
    path = unlabelled(tmp_path / "a.json")
    result = rupture("score", path, "--format", "json", "--role", "Bo=2=therapist")
    assert roles_of(result) == {"Ann": "client", "Bo=2": "therapist"}


@pytest.mark.parametrize("pair", ["Ann", "Ann=boss", "=", "Ann=unknown"])
def test_a_role_that_is_none_is_wrong_usage(rupture: Rupture, session: Path, pair: str) -> None:
    result = rupture("score", session, "--role", pair)
    assert result.exit_code == 2
    assert "--role" in result.stderr


def test_a_therapist_who_is_not_in_the_file_is_refused_with_the_speakers(
    rupture: Rupture, session: Path
) -> None:
    result = rupture("score", session, "--therapist", "Nobody")
    assert result.exit_code == 4
    assert "speakers found: T, C" in result.stderr


@pytest.mark.parametrize("given", ["attended", "late", "cancelled", "no-show"])
def test_attendance_comes_into_the_report(rupture: Rupture, session: Path, given: str) -> None:
    result = rupture("score", session, "--format", "json", "--attendance", given)
    assert json.loads(result.stdout)["session"]["attendance"] == given.replace("-", "_")


def test_segment_minutes_set_the_window(rupture: Rupture, tmp_path: Path) -> None:
    turns = [
        {
            "speaker": "TC"[n % 2],
            "text": "Well, so it is.",
            "start_s": 60.0 * n,
            "end_s": 60.0 * n + 5,
        }
        for n in range(4)
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"turns": turns}), "utf-8")
    result = rupture("score", path, "--format", "json", "--segment-minutes", "1")
    assert len(json.loads(result.stdout)["segments"]) == 4
    assert rupture("score", path, "--segment-minutes", "0").exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["score"],
        ["score", "a.vtt", "--colour"],
        ["score", "a.vtt", "--format", "pdf"],
        ["score", "a.vtt", "--attendance", "bored"],
        ["score", "a.vtt", "--jobs", "0"],
        ["markers", "--kind", "weather"],
        ["explain", "a.vtt"],
        ["sing"],
    ],
)
def test_wrong_usage_has_exit_code_2(rupture: Rupture, arguments: list[str]) -> None:
    assert rupture(*arguments).exit_code == 2


def test_formats_lists_every_reader(rupture: Rupture) -> None:
    result = rupture("formats")
    assert result.exit_code == 0
    names = {line.split()[0] for line in result.stdout.splitlines() if line.strip()}
    assert names >= {reader.name for reader in readers()}


def test_markers_lists_every_marker_or_those_of_one_kind(
    rupture: Rupture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    known = load_codebook()
    shown = rupture("markers").stdout.split()
    assert set(known.markers) <= set(shown)
    some = rupture("markers", "--kind", "withdrawal").stdout.split()
    assert set(known.of_kind("withdrawal")) <= set(some)
    assert not set(known.of_kind("confrontation")) & set(some)


def test_explain_says_why_one_turn_has_its_scores(rupture: Rupture, session: Path) -> None:
    result = rupture("explain", session, "5")
    assert result.exit_code == 0
    assert result.stdout.startswith("turn 5, client, cues 6\n")
    assert "in log-odds" in result.stdout


def test_explain_of_a_turn_that_is_not_there_is_wrong_usage(
    rupture: Rupture, session: Path
) -> None:
    result = rupture("explain", session, "99")
    assert result.exit_code == 2
    assert "no such turn" in result.stderr


def test_explain_of_a_bad_file_has_the_same_exit_codes(rupture: Rupture, tmp_path: Path) -> None:
    assert rupture("explain", tmp_path / "none.vtt", "0").exit_code == 3
    assert rupture("explain", write(tmp_path / "bad.json", "{"), "0").exit_code == 3
    assert rupture("explain", unlabelled(tmp_path / "a.json"), "0").exit_code == 4


def test_nothing_is_left_half_written(rupture: Rupture, session: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bad = write(tmp_path / "bad.json", "{")
    rupture(
        "score", session, bad, unlabelled(tmp_path / "u.json"), "--format", "json", "--out", out
    )
    assert in_folder(out) == ["a.json"]
    assert json.loads((out / "a.json").read_text("utf-8"))["schema"] == "rupture-report/1"


def test_a_folder_that_cannot_be_made_is_told_in_a_line(
    rupture: Rupture, session: Path, tmp_path: Path
) -> None:
    result = rupture("score", session, "--format", "json", "--out", session / "below")
    assert result.exit_code == 2
    assert "--out: Not a directory" in result.stderr


def fresh(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m detector` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "detector", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_our_commands_and_those_of_other_rooms() -> None:
    result = fresh("--help")
    assert result.returncode == 0
    offered = {point.name for point in entry_points(group="rupture.commands")}
    assert offered >= {"patterns", "fit", "evaluate"}
    for name in ("score", "formats", "markers", "explain", *offered):
        assert name in result.stdout
    assert "Exit codes: 0 scored" in result.stdout


def test_a_command_of_another_room_is_loaded_when_it_is_asked_for() -> None:
    result = fresh("patterns", "--help")
    assert result.returncode == 0
    assert "--marker" in result.stdout


def test_many_files_go_through_processes_of_their_own_with_one_exit_code(
    tmp_path: Path, dialogue: tuple[str, ...]
) -> None:
    names = [write(tmp_path / f"{n}.txt", *dialogue) for n in range(4)]
    bad = write(tmp_path / "bad.json", "{")
    out = tmp_path / "out"
    result = fresh("score", *names, bad, "--format", "json", "--out", out, "--jobs", 2)
    assert result.returncode == 3
    assert in_folder(out) == [f"{n}.json" for n in range(4)]
    assert result.stderr.splitlines()[-1] == "4 of 5 files scored."


def test_a_closed_pipe_prints_no_traceback(tmp_path: Path, dialogue: tuple[str, ...]) -> None:
    session = write(tmp_path / "a.txt", *dialogue * 30)  # more than a pipe holds
    command = f"{sys.executable} -m detector score {session} --format csv | head -n 1"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert result.stdout.startswith("transcript_sha256,")
    assert "Traceback" not in result.stderr


def at_a_terminal(answer: str, *arguments: object) -> tuple[str, int]:
    """What the command prints to a person at a terminal who answers so, and its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "detector", *map(str, arguments)])
    shown, answered = b"", False
    while True:
        try:
            more = os.read(terminal, 4096)
        except OSError:  # Linux says so when the other side has gone
            break
        shown += more
        if b"leave it" in shown and not answered:
            os.write(terminal, answer.encode() + b"\n")
            answered = True
    os.close(terminal)
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_person_at_a_terminal_is_asked_once_who_the_therapist_is(tmp_path: Path) -> None:
    shown, code = at_a_terminal("1", "score", unlabelled(tmp_path / "a.txt"))
    assert code == 0
    assert shown.count("speakers found") == 1
    assert "Roles (given)" in shown


def test_a_person_at_a_terminal_may_leave_the_roles_unknown(tmp_path: Path) -> None:
    _, code = at_a_terminal("0", "score", unlabelled(tmp_path / "a.txt"))
    assert code == 4


def test_names_in_errors_and_explanations_steer_no_terminal(
    rupture: Rupture, tmp_path: Path
) -> None:
    path = tmp_path / "a\x1b[31m.json"
    who = ["Ann\x1b[2J", "Bo\nok.json: scored"]
    turns = [{"speaker": one, "text": "hello \x1b]0;x\x07"} for one in who]
    path.write_text(json.dumps({"turns": turns}), "utf-8")
    for command in (
        ["score", path],
        ["explain", path, 0],
        ["explain", path, 0, "--therapist", who[0]],
    ):
        result = rupture(*command)
        assert result.output
        assert not set(result.output) & {"\x1b", "\x07"}
        assert "\nok.json" not in result.output


UNEXPECTED = """
import sys
from detector import batch, cli
def analyze(*arguments):
    try:
        float("canary one")
    except ValueError as error:
        raise KeyError("canary two") from error
batch.analyze = analyze
sys.argv = ["rupture", "score", sys.argv[1]]
cli.main()
"""


def test_an_error_that_nobody_expected_says_where_it_happened_and_no_value(session: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", UNEXPECTED, str(session)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "ValueError" in result.stderr
    assert "KeyError" in result.stderr
    assert "in analyze" in result.stderr
    assert "anary" not in result.stdout + result.stderr


def test_output_is_utf_8_whatever_the_system_says(session: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "detector", "score", str(session), "--format", "table"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
    )
    assert result.returncode == 0
    assert "1–5" in result.stdout.decode("utf-8")


def test_an_unknown_checkpoint_is_one_line_with_those_there_are(
    rupture: Rupture, session: Path
) -> None:
    for command in (("score", session), ("explain", session, 1)):
        result = rupture(*command, "--checkpoint", "no-such-one")
        assert result.exit_code == 3
        assert "no checkpoint 'no-such-one'; there are:" in result.stderr


@pytest.mark.parametrize("n_files", [2, 5])
def test_a_checkpoint_that_cannot_be_used_is_said_once_for_many_files(
    rupture: Rupture, session: Path, tmp_path: Path, n_files: int
) -> None:
    names = [tmp_path / f"{number}.vtt" for number in range(n_files)]
    for name in names:
        name.write_bytes(session.read_bytes())
    result = rupture("score", *names, "--checkpoint", "no-such-one")
    assert result.exit_code == 3
    assert result.stderr.count("no-such-one") == 1
    assert "--checkpoint rules" in result.stderr


def test_the_rules_alone_can_be_asked_for(rupture: Rupture, session: Path) -> None:
    result = rupture("score", session, "--format", "json", "--checkpoint", "rules")
    assert json.loads(result.stdout)["provenance"]["backend"] is None
