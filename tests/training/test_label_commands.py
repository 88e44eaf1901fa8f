"""`rupture label`: what it writes, and what it says where labels cannot be used."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from training.label_commands import app

SESSION = Path(__file__).parents[2] / "examples" / "session.vtt"
HEAD = "session_id,unit_type,unit_index,rater_id,code,value\n"


def run(*asked: Any) -> Result:
    return CliRunner().invoke(app, [str(one) for one in asked])


def table(path: Path, *rows: str) -> Path:
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows), "utf-8")
    return path


def seen(*coders: str) -> list[str]:
    return [f"session,session,0,{coder},seen,1" for coder in coders]


def test_agreement_of_two_coders_is_written_in_every_form(tmp_path: Path) -> None:
    rows = [f"session,turn,{n},{c},minimal_response,1" for n in (9, 11, 13) for c in "ab"]
    labels = table(tmp_path / "l.csv", *seen("a", "b"), *rows, "session,turn,1,b,denial,1")
    out = {name: tmp_path / name for name in ("a.md", "a.json", "a.html", "d.csv")}
    done = run(
        *("agree", labels, "--transcripts", SESSION, "--out", out["a.md"]),
        *("--json", out["a.json"], "--html", out["a.html"], "--disagreements", out["d.csv"]),
    )
    assert done.exit_code == 0, done.output
    record = json.loads(out["a.json"].read_text("utf-8"))
    found = {one["code"]: one["units"]["turn"] for one in record["codes"]}
    assert found["minimal_response"]["kappa"]["value"] == 1.0
    assert found["denial"]["kappa"]["value"] == 0.0
    assert "not estimable (no coder used it: one class only)" in out["a.md"].read_text("utf-8")
    assert "no coder used it" in out["a.html"].read_text("utf-8")
    with out["d.csv"].open(encoding="utf-8", newline="") as file:
        (line,) = csv.DictReader(file)
    assert (line["turn"], line["about"], line["a"], line["b"]) == ("1", "withdrawal", "", "denial")


def test_without_a_file_to_write_the_table_is_printed(tmp_path: Path) -> None:
    labels = table(tmp_path / "l.csv", "s,turn,1,a,denial,1", "s,turn,1,b,denial,0")
    done = run("agree", labels)
    assert done.exit_code == 0
    assert "| denial | 1 |" in done.stdout


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("session,turn,999,a,denial,1", "l.csv, line 2: turn 999 does not exist"),
        ("session,turn,1,a,sulks,1", "l.csv, line 2: unknown code sulks"),
        ("other,turn,1,a,denial,1", "l.csv, line 2: no transcript for session other"),
        ("session,turn,0,a,denial,1", "denial is the client's, and turn 0"),
    ],
)
def test_labels_that_cannot_be_used_end_in_one_line(tmp_path: Path, row: str, said: str) -> None:
    done = run("agree", table(tmp_path / "l.csv", row), "--transcripts", SESSION)
    assert done.exit_code == 3
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_files_of_two_codebook_versions_are_refused_with_both_names(tmp_path: Path) -> None:
    for name, version in (("a", "1.1"), ("b", "2.0")):
        text = f"{HEAD.strip()},codebook_version\ns,turn,1,{name},denial,1,{version}\n"
        (tmp_path / f"{name}.csv").write_text(text, "utf-8")
    done = run("agree", tmp_path / "a.csv", tmp_path / "b.csv")
    assert done.exit_code == 3
    assert "two codebook versions: 1.1 (a.csv, line 2) and 2.0 (b.csv, line 2)" in done.stderr


def test_coders_without_overlap_are_not_estimable_and_not_an_error(tmp_path: Path) -> None:
    labels = table(tmp_path / "l.csv", "s,turn,1,a,denial,1", "s,turn,3,b,denial,0")
    done = run("agree", labels, "--json", tmp_path / "a.json")
    assert done.exit_code == 0
    record = json.loads((tmp_path / "a.json").read_text("utf-8"))
    denial = next(one for one in record["codes"] if one["code"] == "denial")
    assert denial["units"]["turn"]["alpha"]["reason"].startswith("no overlap")


def test_labels_go_to_another_tool_and_come_back(tmp_path: Path) -> None:
    labels = table(tmp_path / "l.csv", *seen("a"), "session,turn,9,a,minimal_response,1")
    done = run(
        *("export", labels, "--to", "doccano", "--out", tmp_path / "d.jsonl"),
        *("--transcripts", SESSION),
    )
    assert done.exit_code == 0, done.output
    back = run("import", tmp_path / "d.jsonl", "--out", tmp_path / "l.jsonl")
    assert back.exit_code == 0, back.output
    lines = [json.loads(x) for x in (tmp_path / "l.jsonl").read_text("utf-8").splitlines()]
    assert [(one["unit_index"], one["code"]) for one in lines] == [
        (0, "seen"),
        (9, "minimal_response"),
    ]


def test_what_a_format_does_not_carry_is_said(tmp_path: Path) -> None:
    labels = table(tmp_path / "l.csv", *seen("a"), "session,session,0,a,withdrawal,3")
    done = run(
        *("export", labels, "--to", "prodigy", "--out", tmp_path / "p.jsonl"),
        *("--transcripts", SESSION),
    )
    assert done.exit_code == 0
    assert "not carried by prodigy: session withdrawal of 1 annotations" in done.stderr


def test_tasks_hold_the_detectors_marks_as_predictions(tmp_path: Path) -> None:
    shutil.copy(SESSION, tmp_path / "s1.vtt")
    done = run(
        *("tasks", tmp_path / "s1.vtt", "--out", tmp_path / "t.json", "--checkpoint", "rules"),
        *("--config", tmp_path / "c.xml"),
    )
    assert done.exit_code == 0, done.output
    (task,) = json.loads((tmp_path / "t.json").read_text("utf-8"))
    marks = [x for x in task["predictions"][0]["result"] if x["from_name"] == "label"]
    assert all(0 <= one["score"] <= 1 for one in marks)
    assert {"minimal_response"} <= {one["value"]["paragraphlabels"][0] for one in marks}
    assert 'value="minimal_response"' in (tmp_path / "c.xml").read_text("utf-8")
    assert "Sam" not in json.dumps(task["data"]["dialogue"][0]["author"])


def test_labels_go_into_a_convokit_corpus_and_come_back_checked_against_it(tmp_path: Path) -> None:
    labels = table(tmp_path / "l.csv", *seen("a"), "session,turn,9,a,minimal_response,1")
    corpus, out = tmp_path / "corpus", tmp_path / "back.jsonl"
    done = run("export", labels, "--to", "convokit", "--out", corpus, "--transcripts", SESSION)
    assert done.exit_code == 0, done.output
    done = run("import", corpus, "--out", out, "--transcripts", corpus)
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert {(one["unit_index"], one["code"]) for one in found} == {
        (0, "seen"),
        (9, "minimal_response"),
    }
    again = run("export", labels, "--to", "convokit", "--out", corpus, "--transcripts", SESSION)
    assert (again.exit_code, again.stderr) == (3, "corpus: File exists\n")
