import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detector.corpus.errors import NothingToRead
from detector.corpus.sessions import Session
from detector.corpus.sources import walk
from detector.formats import read_transcript

LINE = "T: How are you today?\nC: Fine, I guess.\n"
TURNS = [
    {"speaker": "T", "role": "therapist", "text": "How are you?", "start_s": 0.0, "end_s": 1.0},
    {"speaker": "C", "role": "client", "text": "Fine, I guess.", "start_s": None, "end_s": None},
]
Write = Callable[[Path, Sequence[Any]], Path]


def found(*names: Path | str, **more: Any) -> list[Session]:
    return list(walk(map(str, names), **more))


def codes(sessions: Sequence[Session]) -> list[str | None]:
    return [session.problem and session.problem.code for session in sessions]


def test_a_folder_is_read_by_name_through_all_its_folders(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/10.txt", "a.txt", ".hidden.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(LINE)
    assert [session.session_id for session in found(tmp_path)] == ["a", "b/10", "b/2"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LINE)
    assert len(found(tmp_path, tmp_path / "a.txt", tmp_path / "*.txt")) == 1


def test_the_runs_own_files_are_never_input(tmp_path: Path) -> None:
    for name in ("a.txt", "reports.parquet", "reports.problems.jsonl"):
        (tmp_path / name).write_text(LINE)
    (tmp_path / "reports.parquet.parts").mkdir()
    (tmp_path / "reports.parquet.parts" / "x.parquet").write_text(LINE)
    own = [tmp_path / "reports.parquet", tmp_path / "reports.problems.jsonl"]
    assert [one.session_id for one in found(tmp_path, skip=own)] == ["a"]


@pytest.mark.parametrize("name", ["*.vtt", "none.jsonl", "empty"])
def test_a_name_that_leads_nowhere_is_an_error_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToRead):
        walk([str(tmp_path / name)])


def test_a_line_is_a_session_with_what_is_known_of_it(tmp_path: Path, write_corpus: Write) -> None:
    row = {"session_id": "s1", "client_id": 7, "session_number": 3, "attendance": "late"}
    path = write_corpus(tmp_path / "a.jsonl", [{**row, "turns": TURNS}, {"transcript": LINE}])
    first, second = found(path)
    assert (first.session_id, first.client_id, first.session_number) == ("s1", "7", 3)
    assert (first.attendance, first.line, second.line) == ("late", 1, 2)
    assert second.session_id == f"{path}:2"
    assert [len(read_transcript(one.data).turns) for one in (first, second)] == [2, 2]


def test_a_broken_line_hides_no_other(tmp_path: Path, write_corpus: Write) -> None:
    rows = ["{", {"turns": TURNS}, "[1]", {"turns": TURNS, "session_number": "three"}]
    rows += [{"turns": TURNS, "attendance": "ill"}, {"transcript": 5}, {"turns": TURNS}]
    sessions = found(write_corpus(tmp_path / "a.jsonl", rows))
    bad = ["not_json", None, "not_json", "bad_field", "bad_field", "bad_field", None]
    assert codes(sessions) == bad
    assert [session.line for session in sessions] == [1, 2, 3, 4, 5, 6, 7]


def test_cues_in_lines_are_one_session_and_no_corpus(tmp_path: Path, write_corpus: Write) -> None:
    cues = [{"speaker": turn["speaker"], "text": turn["text"]} for turn in TURNS]
    (session,) = found(write_corpus(tmp_path / "cues.jsonl", cues))
    assert session.line is None
    assert len(read_transcript(session.data).turns) == 2


def test_the_second_session_of_one_id_is_a_problem(tmp_path: Path, write_corpus: Write) -> None:
    row = {"session_id": "canary", "turns": TURNS}
    path = write_corpus(tmp_path / "a.jsonl", [row, {**row, "session_number": 2}])
    first, second = found(path)
    assert codes([first, second]) == [None, "duplicate"]
    assert "canary" not in repr(second)


def test_a_table_of_turns_and_one_of_texts_are_read_row_by_row(tmp_path: Path) -> None:
    turns = pa.table({"session_id": ["a", "b"], "turns": [TURNS, TURNS], "more": [1, 2]})
    kinds = [("session_id", pa.string()), ("transcript", pa.string())]
    kinds.append(("roles", pa.map_(pa.string(), pa.string())))
    row = {"session_id": "c", "transcript": LINE, "roles": [("T", "therapist")]}
    texts = pa.Table.from_pylist([row], schema=pa.schema(kinds))
    pq.write_table(turns, tmp_path / "1.parquet")
    pq.write_table(texts, tmp_path / "2.parquet")
    sessions = found(tmp_path)
    assert [session.session_id for session in sessions] == ["a", "b", "c"]
    assert [len(read_transcript(session.data).turns) for session in sessions] == [2, 2, 2]
    assert sessions[2].roles == {"T": "therapist"}


def test_a_table_without_sessions_names_the_columns_it_has(tmp_path: Path) -> None:
    pq.write_table(pa.table({"words": ["canary"], "who": ["x"]}), tmp_path / "a.parquet")
    (session,) = found(tmp_path / "a.parquet")
    assert session.problem is not None
    assert session.problem.code == "unknown_columns"
    assert session.problem.reason.endswith("columns found: words, who")


def test_a_column_of_another_type_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"turns": ["canary"]}), tmp_path / "a.parquet")
    (session,) = found(tmp_path / "a.parquet")
    assert session.problem is not None
    assert session.problem.reason.startswith("turns must be a list of structs")


@pytest.mark.parametrize("share", [0.5, 0.0])
def test_a_half_written_table_is_one_problem_and_hides_no_other(
    tmp_path: Path, share: float
) -> None:
    pq.write_table(pa.table({"transcript": [LINE] * 3}), tmp_path / "b.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: int(share * len(whole))])
    assert codes(found(tmp_path)) == ["unreadable", None, None, None]


def test_a_table_whose_pages_are_broken_gives_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"{LINE}C: {n}\n" * 20 for n in range(40)]
    pq.write_table(pa.table({"transcript": texts}), path, row_group_size=20)
    place = pq.ParquetFile(path).metadata.row_group(1).column(0).dictionary_page_offset
    broken = bytearray(path.read_bytes())
    broken[place : place + 200] = b"\xff" * 200
    path.write_bytes(broken)
    sessions = found(path)
    assert codes(sessions)[-1] == "unreadable"
    assert len(sessions) >= 17


def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LINE)
    (tmp_path / "b.txt").symlink_to(tmp_path / "none")
    sessions = found(tmp_path)
    assert codes(sessions) == [None, "unreadable"]


def test_neither_a_session_nor_its_problem_shows_speech(tmp_path: Path) -> None:
    rows = [{"turns": "canary"}, {"turns": [], "therapist": ["canary"]}, {"roles": {"a": "canary"}}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"turns": [], **row}) + "\n" for row in rows) + '{"canary\n')
    assert "canary" not in repr(found(path))


def test_a_session_is_known_by_its_bytes_its_name_and_what_scores_it() -> None:
    one = Session("a.vtt", data=b"x", session_id="a")
    others = [
        Session("b.vtt", data=b"x", session_id="a"),
        Session("a.vtt", data=b"y", session_id="a"),
        Session("a.vtt", data=b"x", session_id="a", attendance="late"),
    ]
    keys = {one.key("v1"), one.key("v2"), *(other.key("v1") for other in others)}
    assert len(keys) == 5
    assert one.key("v1") == Session("a.vtt", data=b"x", session_id="a").key("v1")


def test_how_much_is_read_is_told_on_the_way(tmp_path: Path, write_corpus: Write) -> None:
    path = write_corpus(tmp_path / "a.jsonl", [{"turns": TURNS}] * 4)
    sessions = walk([str(path)])
    read = [sessions.n_read for _ in sessions]
    assert sessions.n_bytes == os.path.getsize(path) == sessions.n_read
    assert read == sorted(read)
    assert 0 < read[0] < read[-1]


def test_keys_that_nobody_reads_are_known_by_name_once_and_never_by_value(
    tmp_path: Path, write_corpus: Write
) -> None:
    turns = [{**TURNS[0], "mood": "canary"}, *TURNS]
    rows = [{"turns": turns, "sessionid": "canary"}, {"turns": turns, "I never said that": 1}]
    rows += [{"transcript": LINE, "turns": turns, "x" * 41: 2}]
    path = write_corpus(tmp_path / "a.jsonl", rows)
    sessions = walk([str(path)])
    for _ in range(2):
        assert codes(list(sessions)) == [None, None, None]
        assert str(sessions.unread) == "sessionid, turns, turns.mood, others"
    assert list(sessions.unread.problems()) == [
        {
            "path": str(path),
            "line": None,
            "code": "ignored",
            "reason": "keys or columns that are not read: sessionid, turns, turns.mood, others",
        }
    ]


def test_columns_that_nobody_reads_are_known_by_name(tmp_path: Path) -> None:
    turns = [{**turn, "mood": "canary"} for turn in TURNS]
    pq.write_table(
        pa.table({"turns": [turns], "topic": ["canary"], "client_id": ["c"]}),
        tmp_path / "a.parquet",
    )
    sessions = walk([str(tmp_path / "a.parquet")])
    assert codes(list(sessions)) == [None]
    assert str(sessions.unread) == "topic, turns.mood"


def test_where_every_key_is_read_nothing_is_said(tmp_path: Path, write_corpus: Write) -> None:
    known = {"session_id": "s", "client_id": "c", "roles": {"T": "therapist"}}
    sessions = walk([str(write_corpus(tmp_path / "a.jsonl", [{**known, "turns": TURNS}]))])
    assert codes(list(sessions)) == [None]
    assert str(sessions.unread) == ""
