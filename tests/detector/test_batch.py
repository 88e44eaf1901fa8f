import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detector import batch
from detector.batch import Outcome, Request, analyze, explain, render, run
from detector.errors import UnknownFormat, UnknownRole
from detector.formats import read_transcript
from detector.transcript import Transcript

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, dialogue: tuple[str, ...]) -> Write:
    """Writes a session of these lines as canonical JSON; returns its path."""

    def write(name: str, *lines: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        turns = [{"speaker": line[0], "text": line[3:]} for line in lines or dialogue]
        path.write_text(json.dumps({"turns": turns}), "utf-8")
        return str(path)

    return write


def test_outcomes_come_in_the_order_given(write: Write) -> None:
    names = [write("b.json"), write("a.json")]
    assert [outcome.name for outcome in run(names, Request())] == names


@pytest.mark.parametrize(("digits", "is_tty"), [(9, True), (1, False)])
def test_a_short_file_or_one_that_nobody_watches_is_not_announced(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Any, digits: int, is_tty: bool
) -> None:
    monkeypatch.setattr(batch, "_LONG_BYTES", 10**digits)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_tty, raising=False)
    list(run([write("a.json")], Request()))
    assert capsys.readouterr().err == ""


def test_one_long_file_is_announced_where_a_person_watches(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(batch, "_LONG_BYTES", 10)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    list(run([write("canary.json")], Request()))
    said = capsys.readouterr().err
    assert said.startswith("scoring 0.0 MB")
    assert "canary" not in said


def test_each_file_is_written_under_its_own_stem(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    outcomes = list(run([write("a.json"), write("b.json")], Request(out=out)))
    assert [outcome.written for outcome in outcomes] == [out / "a.json", out / "b.json"]
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "b.json"]
    assert json.loads((out / "a.json").read_text("utf-8"))["turns"]


def test_files_that_would_meet_in_one_path_keep_their_endings(write: Write, tmp_path: Path) -> None:
    names = [write("a.json"), write("a.jsn"), write("x/a.json"), write("b.json")]
    outcomes = list(run(names, Request(out=tmp_path / "out"), jobs=1))
    made = [outcome.written.name for outcome in outcomes if outcome.written]
    assert made == ["a.json.json", "a.jsn.json", "a.json-2.json", "b.json"]
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_one_bad_file_does_not_stop_the_others(write: Write, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{", "utf-8")
    names = [write("a.json"), str(tmp_path / "bad.json"), str(tmp_path / "none"), write("c.json")]
    outcomes = list(run(names, Request(out=tmp_path / "out"), jobs=1))
    assert [bool(outcome.problem) for outcome in outcomes] == [False, True, True, False]
    assert "line 1" in outcomes[1].problem
    assert outcomes[2].problem == "No such file or directory"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "c.json"]


def test_a_folder_is_no_transcript(tmp_path: Path) -> None:
    (outcome,) = run([str(tmp_path)], Request())
    assert outcome.problem == "Is a directory"


def test_many_files_are_scored_in_processes_as_in_one(write: Write, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{", "utf-8")
    names = [write(f"{n}.json") for n in range(3)] + [str(tmp_path / "bad.json")]
    many = list(run(names, Request(), jobs=2))
    assert many == list(run(names, Request(), jobs=1))
    assert [bool(outcome.problem) for outcome in many] == [False, False, False, True]


def test_a_report_is_written_whole_or_not_at_all(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    (outcome,) = run([write("a.json")], Request(out=tmp_path / "out"))
    assert outcome.problem == "No space left on device"
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupted_write_leaves_nothing_behind(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(run([write("a.json")], Request(out=tmp_path / "out")))
    assert list((tmp_path / "out").iterdir()) == []


def test_an_older_report_stays_where_the_new_one_fails(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    list(run([write("a.json")], Request(out=out)))
    before = (out / "a.json").read_bytes()
    (outcome,) = run([write("a.json", "A: hello", "B: hello")], Request(out=out))
    assert outcome.needs_roles
    assert (out / "a.json").read_bytes() == before


def test_where_roles_are_unknown_the_speakers_are_named(write: Write) -> None:
    (outcome,) = run([write("a.json", "Ann: hello", "Bo: hello")], Request())
    assert outcome.needs_roles
    assert outcome.speakers == ("A", "B")
    assert outcome.problem.endswith("say who the therapist is with --therapist NAME")


def test_where_no_speaker_is_named_no_name_is_asked_for(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "nobody.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n", "utf-8")
    (outcome,) = run([str(path)], Request())
    assert outcome.needs_roles
    assert outcome.problem == "no cue says who speaks; speakers found: none"


def test_a_single_file_asks_who_the_therapist_is(write: Write) -> None:
    asked: list[UnknownRole] = []

    def ask(error: UnknownRole) -> str:
        asked.append(error)
        return "A"

    (outcome,) = run([write("a.json", "A: hello", "B: hello")], Request(), ask=ask)
    assert json.loads(outcome.text)["roles"]["assigned"] == {"A": "therapist", "B": "client"}
    assert asked[0].speakers == ("A", "B")


def test_among_many_files_nobody_is_asked(write: Write) -> None:
    names = [write("a.json", "A: hello", "B: hello"), write("b.json")]

    def ask(error: UnknownRole) -> str:
        raise AssertionError("asked")

    assert [outcome.needs_roles for outcome in run(names, Request(), ask=ask)] == [True, False]


def test_several_json_reports_are_json_lines_with_their_file(write: Write) -> None:
    names = [write("a.json"), write("b.json")]
    lines = [outcome.text for outcome in run(names, Request())]
    assert all(text.count("\n") == 1 for text in lines)
    assert [json.loads(text)["file"] for text in lines] == names


def test_several_csv_reports_are_one_table(write: Write) -> None:
    names = [write("a.json"), write("b.json")]
    text = "".join(outcome.text for outcome in run(names, Request(format="csv")))
    lines = text.splitlines()
    assert lines[0].startswith("file,transcript_sha256")
    assert sum(line.startswith("file,") for line in lines) == 1
    assert {line.split(",")[0] for line in lines[1:]} == set(names)


def test_csv_files_in_a_folder_each_have_their_header(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    list(run([write("a.json"), write("b.json")], Request(format="csv", out=out)))
    heads = {path.read_text("utf-8").splitlines()[0] for path in out.iterdir()}
    assert len(heads) == 1
    assert heads.pop().startswith("transcript_sha256")


@pytest.mark.parametrize(
    ("format", "start", "end"),
    [
        ("json", '{\n  "schema"', "}\n"),
        ("csv", "transcript_sha256,", "\n"),
        ("html", "<!doctype html>", "</html>"),
        ("table", "", "\n"),
    ],
)
def test_a_report_is_rendered_in_every_format(
    dialogue: tuple[str, ...], format: str, start: str, end: str
) -> None:
    report = analyze(read_transcript("\n".join(dialogue)), Request())
    text = render(report, Request(format=format))
    assert text.lower().startswith(start.lower())
    assert text.endswith(end) or text.rstrip("\n").endswith(end)


def test_explaining_a_turn_says_its_scores_and_their_reasons(write: Write) -> None:
    text = explain(write("a.json"), 3, Request())
    assert text.startswith("turn 3, client, cues 4\n")
    for part in ("scores", "rupture", "markers", "what pulled the scores up, in log-odds"):
        assert part in text


def test_explaining_a_turn_without_scores_says_why(write: Write, dialogue: tuple[str, ...]) -> None:
    name = write("a.json", *dialogue, "T: ...")
    assert explain(name, 12, Request()).endswith("not scored: no words")


@pytest.mark.parametrize("index", [-1, 12])
def test_there_must_be_such_a_turn_to_explain(write: Write, index: int) -> None:
    with pytest.raises(IndexError):
        explain(write("a.json"), index, Request())


def test_explaining_a_bad_file_raises_its_error(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"\x00\x01")
    with pytest.raises(UnknownFormat):
        explain(str(tmp_path / "bad"), 0, Request())


def test_neither_a_request_nor_an_outcome_shows_names_or_speech() -> None:
    request = Request(roles={"Canary": "client"}, therapist="Canary")
    outcome = Outcome("a.vtt", text="canary", speakers=("Canary",))
    assert "anary" not in repr(request) + repr(outcome)


def test_standard_input_is_read_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        asked = 0

        def read(self, size: int) -> bytes:
            self.asked = size
            return b"x" * min(size, 200)

    endless = Endless()
    monkeypatch.setattr(batch, "MAX_BYTES", 100)
    monkeypatch.setattr("detector.formats.MAX_BYTES", 100)
    monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": endless})())
    (outcome,) = run(["-"], Request())
    assert endless.asked == 101
    assert "the limit is 100" in outcome.problem


def test_a_report_never_replaces_a_file_that_is_to_be_read(write: Write, tmp_path: Path) -> None:
    names = [write("a.json"), write("b.json"), write("b.json.json")]
    before = [Path(name).read_bytes() for name in names]
    written = [outcome.written for outcome in run(names, Request(out=tmp_path))]
    assert [Path(name).read_bytes() for name in names] == before
    assert [path.name for path in written if path] == [
        "a.json.json",
        "b.json-2.json",
        "b.json.json.json",
    ]


def test_names_that_differ_only_in_case_get_reports_of_their_own(
    write: Write, tmp_path: Path
) -> None:
    outcomes = run([write("a.json"), write("A.vtt")], Request(out=tmp_path / "out"))
    assert [outcome.written and outcome.written.name for outcome in outcomes] == [
        "a.json.json",
        "A.vtt.json",
    ]


def test_too_little_memory_for_one_file_stops_no_other(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [write("a.json"), write("b.json")]
    real = read_transcript

    def read(path: Path) -> Transcript:
        if path.name == "a.json":
            raise MemoryError
        return real(path)

    monkeypatch.setattr(batch, "read_transcript", read)
    first, second = run(names, Request())
    assert first.problem == "reading it takes more memory than there is"
    assert second.text


def test_a_file_that_kills_its_process_stops_no_other(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Spawned processes read this in place of what the package would import.
    killer = "import os, signal, sys, pathlib\nreal = pathlib.Path.stat\n"
    killer += "def stat(path, **more):\n    path.name == 'b.json' and os._exit(9)\n"
    killer += "    return real(path, **more)\n"
    killer += "if '--multiprocessing-fork' in sys.argv: pathlib.Path.stat = stat\n"
    (tmp_path / "sitecustomize.py").write_text(killer)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    names = [write(f"{letter}.json") for letter in "abcd"]
    outcomes = list(run(names, Request(), jobs=2))
    assert [outcome.name for outcome in outcomes] == names
    assert [bool(outcome.text) for outcome in outcomes] == [True, False, True, True]
    assert "killed" in outcomes[1].problem


_BATCH = """
import multiprocessing, sys
from detector.batch import Request, run
if __name__ == "__main__":
    for outcome in run(sys.argv[1:], Request(), jobs=2):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux what still runs")
def test_a_killed_batch_leaves_no_process_behind(write: Write, tmp_path: Path) -> None:
    def runs(pid: str) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    (tmp_path / "main.py").write_text(_BATCH)
    names = [write(f"{letter}.json") for letter in "abcd"]
    command = [sys.executable, str(tmp_path / "main.py"), *names]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as batch_of_four:
        assert batch_of_four.stdout
        children = batch_of_four.stdout.readline().decode().split()
        assert len(children) == 2
        assert all(map(runs, children))
        batch_of_four.kill()
    until = time.monotonic() + 60
    while any(map(runs, children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(runs, children))
