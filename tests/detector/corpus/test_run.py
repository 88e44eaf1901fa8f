import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from detector import batch
from detector.batch import Request
from detector.corpus import rows, run, store
from detector.corpus.errors import NotReports, OutputFull, OutputInUse
from detector.corpus.run import Summary, Workers
from detector.corpus.scoring import Work, made_by
from detector.corpus.sessions import Chunk
from detector.errors import UnknownRole
from detector.report import Report

ROOT = Path(__file__).parents[3]
UNNAMED = "Canary: hello\nSparrow: hello you\n" * 4
Score = Callable[..., Summary]
Write = Callable[[Path, Sequence[Any]], Path]
Rows = Callable[[int], list[dict[str, Any]]]


def test_every_session_has_its_row_in_the_order_of_the_input(reports: Path) -> None:
    table = pq.read_table(reports)
    assert table["session_id"].to_pylist() == [f"s{n:03}" for n in range(48)]
    assert table.schema.equals(rows.schema(), check_metadata=True)
    row = table.slice(0, 1).to_pylist()[0]
    report = Report.from_dict(json.loads(row["report"]))
    assert row["n_turns"] == len(report.turns) == 12
    assert row["withdrawal"] == report.session.withdrawal
    assert row["n_moments"] == len(row["moments"]) == len(report.moments) > 0
    assert row["duration_s"] == 118.0
    assert (row["checkpoint"], row["backend"]) == ("rules-1", None)


def test_the_bytes_are_the_same_with_any_number_of_workers_and_any_size_of_chunk(
    corpus: Path, reports: Path, tmp_path: Path, score_corpus: Score
) -> None:
    for n, more in enumerate([{"workers": Workers(2), "most": 3}, {"most": 7}]):
        score_corpus([corpus], tmp_path / f"{n}.parquet", **more)
        assert (tmp_path / f"{n}.parquet").read_bytes() == reports.read_bytes()


def test_what_is_scored_already_is_not_scored_again(
    corpus: Path, reports: Path, tmp_path: Path, score_corpus: Score, monkeypatch: Any
) -> None:
    out = tmp_path / "reports.parquet"
    out.write_bytes(reports.read_bytes())
    monkeypatch.setattr(batch, "analyze", None)
    done = score_corpus([corpus], out)
    assert (done.n_rows, done.n_known, done.n_problems) == (48, 48, 0)
    assert out.read_bytes() == reports.read_bytes()


def test_a_session_that_changed_is_scored_again_and_no_other(
    make_rows: Rows, tmp_path: Path, score_corpus: Score, write_corpus: Write, monkeypatch: Any
) -> None:
    found = make_rows(6)
    path, out = tmp_path / "a.jsonl", tmp_path / "reports.parquet"
    score_corpus([write_corpus(path, found)], out)
    before = pq.read_table(out)
    found[3]["turns"] = found[3]["turns"][:-2]
    scored = counted(monkeypatch)
    done = score_corpus([write_corpus(path, found)], out)
    assert (done.n_known, done.n_rows, len(scored)) == (5, 6, 1)
    after = pq.read_table(out)
    same = [n for n in range(6) if after.slice(n, 1).equals(before.slice(n, 1))]
    assert same == [0, 1, 2, 4, 5]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Turns of each session that is scored from now on."""
    found: list[int] = []
    real = batch.analyze

    def analyze(transcript: Any, request: Request) -> Report:
        found.append(len(transcript.turns))
        return real(transcript, request)

    monkeypatch.setattr(batch, "analyze", analyze)
    return found


def test_another_window_scores_all_anew(
    make_rows: Rows, tmp_path: Path, score_corpus: Score, write_corpus: Write
) -> None:
    path, out = write_corpus(tmp_path / "a.jsonl", make_rows(3)), tmp_path / "reports.parquet"
    score_corpus([path], out)
    wide = Request(checkpoint="rules", window_s=60.0)
    assert run.score([str(path)], out, wide, workers=Workers(1)).n_known == 0
    assert pq.read_table(out).num_rows == 3


def test_bad_sessions_stand_in_the_side_list_and_hide_no_other(
    make_rows: Rows, tmp_path: Path, score_corpus: Score, write_corpus: Write
) -> None:
    found: list[Any] = make_rows(3)
    found[1:1] = ["{canary", {"turns": []}, {"transcript": UNNAMED}]
    path, out = write_corpus(tmp_path / "a.jsonl", found), tmp_path / "reports.parquet"
    (tmp_path / "bad.vtt").write_text("WEBVTT\n\n00:01 --> canary\ncanary\n")
    done = score_corpus([path, tmp_path / "bad.vtt"], out)
    assert (done.n_rows, done.n_problems) == (3, 4)
    text = done.problems.read_text("utf-8")
    listed = [json.loads(line) for line in text.splitlines()]
    assert [one["code"] for one in listed] == ["not_json", "empty", "unknown_role", "malformed"]
    assert [one["line"] for one in listed] == [2, 3, 4, 3]
    assert set(listed[0]) == {"path", "line", "code", "reason"}
    assert "anary" not in text.replace(str(tmp_path), "")
    assert pq.read_table(out)["session_id"].to_pylist() == ["s000", "s001", "s002"]


def test_an_unknown_role_names_no_speaker() -> None:
    from detector.corpus.scoring import problem_of

    problem = problem_of(UnknownRole(["Canary", "B"], "nobody says who is who"))
    assert problem.reason == "nobody says who is who; 2 speakers"


def test_who_the_therapist_is_and_what_is_not_scored_go_into_the_row(
    tmp_path: Path, score_corpus: Score, write_corpus: Write
) -> None:
    turns = [{"speaker": name, "text": f"Well, hello {name}, how are you?"} for name in "ABC" * 3]
    row = {"turns": turns, "roles": {"A": "therapist", "B": "client", "C": "other"}}
    out = tmp_path / "reports.parquet"
    score_corpus([write_corpus(tmp_path / "a.jsonl", [row])], out)
    (found,) = pq.read_table(out).to_pylist()
    assert (found["roles_source"], found["n_client_turns"]) == ("given", 3)
    assert found["abstained"] == [{"reason": "the speaker's role is other", "n_turns": 3}]
    assert (found["n_abstained"], found["duration_s"]) == (3, None)


def test_without_text_no_word_and_no_name_is_kept(
    make_rows: Rows, tmp_path: Path, score_corpus: Score, write_corpus: Write
) -> None:
    path, out = write_corpus(tmp_path / "a.jsonl", make_rows(2)), tmp_path / "reports.parquet"
    score_corpus([path], out, keeps_text=False)
    report = json.loads(pq.read_table(out)["report"][0].as_py())
    assert {turn["text"] for turn in report["turns"]} == {""}
    assert {turn["speaker"] for turn in report["turns"]} == {None}
    assert report["roles"]["assigned"] == {}
    assert report["turns"][1]["scores"]["rupture"] is not None


def test_sessions_are_taken_only_as_workers_need_them(
    corpus: Path, tmp_path: Path, score_corpus: Score, monkeypatch: Any
) -> None:
    """Those that are read and not yet written: two chunks a worker, whatever the corpus."""
    read, most = [0], [0]
    real = run.chunks

    def chunks(found: Iterator[Any], size: int) -> Iterator[Chunk]:
        def counting() -> Iterator[Any]:
            for one in found:
                read[0] += 1
                yield one

        return real(counting(), size)

    def advance(progress: run.Progress) -> None:
        most[0] = max(most[0], read[0] - progress.n_done)

    monkeypatch.setattr(run, "chunks", chunks)
    monkeypatch.setattr(run, "scored", lambda work, found, workers: map(work, found))
    score_corpus([corpus], tmp_path / "one.parquet", most=2, advance=advance)
    assert read[0] == 48
    assert most[0] <= 2


def test_a_pool_holds_two_items_a_worker_at_most() -> None:
    from detector import pool

    taken = [0]

    def items() -> Iterator[float]:
        for n in range(12):
            taken[0] += 1
            yield float(n)

    ahead = []
    for done, value in enumerate(pool.in_order(abs, items(), 2, killed=abs), start=1):
        assert value == done - 1
        ahead.append(taken[0] - done)
    assert max(ahead) <= 2 * 2
    assert taken[0] == 12


CHILD = """
import sys
from detector.batch import Request
from detector.corpus import run
from detector.corpus.run import Workers
if __name__ == "__main__":
    done = run.score([sys.argv[1]], run.Path(sys.argv[2]), Request(checkpoint="rules"),
                     workers=Workers(int(sys.argv[3])), most=1)
    print(done.n_known, done.n_rows)
"""


def started(script: Path, *given: Path | str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, given)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **more,
    )


def until(is_true: Callable[[], bool], process: subprocess.Popen[str], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_true() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)


def test_runs_killed_at_random_points_end_in_the_same_bytes(
    corpus: Path, reports: Path, tmp_path: Path
) -> None:
    """kill -9 of the whole process; what stood on the disk is not scored again by the next."""
    script, out = tmp_path / "child.py", tmp_path / "reports.parquet"
    script.write_text(CHILD)
    parts = tmp_path / "reports.parquet.parts"
    draw = random.Random(6)
    kept = 0
    for n_more in (draw.randint(1, 20), draw.randint(1, 20)):
        with started(script, corpus, out, "1") as child:

            def has_more(least: int = kept + n_more) -> bool:
                return len(list(parts.glob("[!.]*.parquet"))) >= least

            until(has_more, child, 100)
            time.sleep(draw.random() / 50)
            child.send_signal(signal.SIGKILL)
        now = len(list(parts.glob("[!.]*.parquet")))
        assert now >= kept + n_more, child.stderr
        kept = now
    assert 0 < kept < 48
    with started(script, corpus, out, "1") as last:
        said, trouble = last.communicate()
    assert last.returncode == 0, trouble[-2000:]
    assert said.split() == [str(kept), "48"]
    assert out.read_bytes() == reports.read_bytes()
    assert not parts.exists()


JOINS = CHILD.replace(
    'if __name__ == "__main__":',
    "import os, signal\nfrom detector.corpus import store\nreal = os.replace\n"
    "def replace(a, b):\n"
    '    str(b).endswith("s.parquet") and os.kill(os.getpid(), signal.SIGKILL)\n'
    "    real(a, b)\n"
    'os.replace = replace\nif __name__ == "__main__":',
)


def test_a_run_killed_while_it_joins_is_joined_by_the_next(
    corpus: Path, reports: Path, tmp_path: Path, score_corpus: Score, monkeypatch: Any
) -> None:
    script, out = tmp_path / "child.py", tmp_path / "reports.parquet"
    script.write_text(JOINS)
    with started(script, corpus, out, "1") as child:
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert not out.exists()
    monkeypatch.setattr(batch, "analyze", None)
    assert score_corpus([corpus], out).n_known == 48
    assert out.read_bytes() == reports.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".reports.parquet.lock",
        "child.py",
        "reports.parquet",
        "reports.problems.jsonl",
    ]


FULL = CHILD.replace(
    'if __name__ == "__main__":',
    "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, 15_000))\n"
    'if __name__ == "__main__":',
)


def test_a_disk_that_takes_no_more_is_told_and_leaves_no_half_of_a_file(
    corpus: Path, reports: Path, tmp_path: Path, score_corpus: Score
) -> None:
    """A real limit on what a file may hold stands for the disk: it refuses the first part."""
    script, out = tmp_path / "child.py", tmp_path / "reports.parquet"
    script.write_text(FULL)
    with started(script, corpus, out, "1") as child:
        trouble = child.communicate()[1]
    assert "File too large; make room and run the same command: it goes on" in trouble
    assert not out.exists()
    assert list((tmp_path / "reports.parquet.parts").iterdir()) == []
    score_corpus([corpus], out)
    assert out.read_bytes() == reports.read_bytes()


def test_a_result_that_finds_no_room_leaves_the_parts_for_the_next_run(
    corpus: Path, reports: Path, tmp_path: Path, score_corpus: Score, monkeypatch: Any
) -> None:
    out, real = tmp_path / "reports.parquet", os.replace

    def full(before: Any, after: Any) -> None:
        if Path(after) == out:
            raise OSError(28, "No space left on device")
        real(before, after)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OutputFull, match="No space left on device; make room"):
            score_corpus([corpus], out)
    assert not out.exists()
    assert list(tmp_path.glob(".*.tmp")) == []
    monkeypatch.setattr(batch, "analyze", None)
    assert score_corpus([corpus], out).n_known == 48
    assert out.read_bytes() == reports.read_bytes()


def test_two_runs_on_one_output_are_told_apart(
    corpus: Path, tmp_path: Path, score_corpus: Score
) -> None:
    out = tmp_path / "reports.parquet"
    with store.opened(out), pytest.raises(OutputInUse, match="another run writes to it"):
        score_corpus([corpus], out)


def test_another_file_is_never_overwritten(
    corpus: Path, tmp_path: Path, score_corpus: Score
) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 half")
    (tmp_path / "b.parquet").write_bytes(b"")
    pq.write_table(pq.read_table(_other(tmp_path)), tmp_path / "c.parquet")
    for name in "abc":
        path = tmp_path / f"{name}.parquet"
        before = path.read_bytes()
        with pytest.raises(NotReports):
            score_corpus([corpus], path)
        assert path.read_bytes() == before


def _other(folder: Path) -> Path:
    import pyarrow as pa

    pq.write_table(pa.table({"a": [1]}), folder / "other.parquet")
    return folder / "other.parquet"


def test_a_part_that_a_disk_broke_is_scored_again(
    corpus: Path, reports: Path, tmp_path: Path, score_corpus: Score
) -> None:
    out = tmp_path / "reports.parquet"
    (tmp_path / "reports.parquet.parts").mkdir()
    (tmp_path / "reports.parquet.parts" / "broken.parquet").write_bytes(b"PAR1")
    score_corpus([corpus], out)
    assert out.read_bytes() == reports.read_bytes()


def test_a_worker_of_another_version_scores_nothing() -> None:
    from detector.corpus.errors import WorkerFailed

    request = Request(checkpoint="rules")
    with pytest.raises(WorkerFailed, match="another version"):
        Work(request, made_by="another")(Chunk((), ()))
    assert Work(request, made_by=made_by(request, keeps_text=True))(Chunk((), ())).n_sessions == 0


def test_a_session_that_kills_its_process_stands_in_the_side_list_alone(
    make_rows: Rows, tmp_path: Path, score_corpus: Score, write_corpus: Write, monkeypatch: Any
) -> None:
    # Spawned processes read this in place of what the package would import.
    killer = "import os, sys, json\nreal = json.loads\n"
    killer += "def loads(data, **more):\n    'DEADLY' in str(data) and os._exit(9)\n"
    killer += "    return real(data, **more)\n"
    killer += "if '--multiprocessing-fork' in sys.argv: json.loads = loads\n"
    (tmp_path / "sitecustomize.py").write_text(killer)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    found = make_rows(2)
    found[1]["turns"][0]["text"] = "DEADLY"
    path, out = write_corpus(tmp_path / "a.jsonl", found), tmp_path / "reports.parquet"
    done = score_corpus([path], out, workers=Workers(2), most=3)
    assert pq.read_table(out)["session_id"].to_pylist() == ["s000"]
    (line,) = done.problems.read_text().splitlines()
    assert json.loads(line)["code"] == "killed"
    assert json.loads(line)["line"] == 2
