import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from detector.corpus.convokit import open_folder
from detector.corpus.convokit_folder import annotate, reports_of, write_folder
from detector.corpus.errors import NotConvokit, NotReports
from detector.corpus.run import Summary
from detector.corpus.sources import walk
from detector.formats import read_transcript

Score = Callable[..., Summary]
Write = Callable[[Path, Sequence[Any]], Path]

SAID = ("How was your week?", "Fine, I guess.", "Tell me more.", "You never listen to me.")


def corpus_at(folder: Path, **changed: Any) -> Path:
    """A ConvoKit corpus of two conversations whose lines are mixed; `changed` are whole files."""
    folder.mkdir()
    lines = [
        {
            "id": f"{talk}{n}",
            "conversation_id": talk,
            "text": text,
            "speaker": f"{'ann' if n % 2 == 0 else 'bo'}-{talk}",
            "meta": {"mine": {"deep": [1, 2.5, None]}, "start_s": 5.0 * n, "end_s": 5.0 * n + 4},
            "reply-to": f"{talk}{n - 1}" if n else None,
            "timestamp": 100 + n,
            "vectors": [],
        }
        for n, text in reversed([*enumerate(SAID)])
        for talk in "xy"
    ]
    speakers = {
        f"{who}-{talk}": {"meta": {"role": role, "age": 40}, "vectors": []}
        for talk in "xy"
        for who, role in (("ann", "therapist"), ("bo", "client"))
    }
    talks = {talk: {"meta": {"client_id": "c1", "topic": talk}, "vectors": []} for talk in "xy"}
    index = {
        "utterances-index": {"mine": ["<class 'dict'>"]},
        "speakers-index": {},
        "conversations-index": {},
        "overall-index": {},
        "version": 3,
        "vectors": [],
    }
    files = {
        "utterances.jsonl": "".join(json.dumps(line) + "\n" for line in lines),
        "speakers.json": json.dumps(speakers),
        "conversations.json": json.dumps(talks),
        "corpus.json": json.dumps({"name": "ours"}),
        "index.json": json.dumps(index),
    }
    for name, text in (files | changed).items():
        (folder / name).write_text(text, "utf-8")
    return folder


def test_a_conversation_is_a_session_in_the_order_of_its_timestamps(tmp_path: Path) -> None:
    first, second = walk([str(corpus_at(tmp_path / "corpus"))])
    assert [(one.session_id, one.client_id) for one in (first, second)] == [
        ("x", "c1"),
        ("y", "c1"),
    ]
    transcript = read_transcript(first.data)
    assert [cue.text for cue in transcript.cues] == list(SAID)
    assert [cue.cue_id for cue in transcript.cues] == ["x0", "x1", "x2", "x3"]
    assert [cue.role.value for cue in transcript.cues][:2] == ["therapist", "client"]
    assert (transcript.cues[1].start_s, transcript.cues[1].end_s) == (5.0, 9.0)


def test_a_corpus_of_the_first_version_is_read(tmp_path: Path) -> None:
    old = [
        {"id": f"{n}", "root": "0", "user": "TC"[n % 2], "text": text, "reply-to": None}
        for n, text in enumerate(SAID)
    ]
    folder = corpus_at(
        tmp_path / "corpus",
        **{
            "utterances.jsonl": "".join(json.dumps(line) + "\n" for line in old),
            "users.json": json.dumps({"T": {"role": "therapist"}, "C": {"role": "client"}}),
            "conversations.json": "{}",
        },
    )
    (folder / "speakers.json").unlink()
    (session,) = walk([str(folder)])
    assert [cue.role.value for cue in read_transcript(session.data).cues][:2] == [
        "therapist",
        "client",
    ]


def test_reports_written_as_a_corpus_come_back_as_they_were(reports: Path, tmp_path: Path) -> None:
    assert write_folder(reports, tmp_path / "corpus") == 48
    before = {
        row["session_id"]: json.loads(row["report"])
        for row in pq.read_table(reports, columns=["session_id", "report"]).to_pylist()
    }
    after = {name: report.to_dict() for name, report in reports_of(tmp_path / "corpus")}
    assert after == before


def test_a_written_corpus_has_one_speaker_a_session_and_label(
    reports: Path, tmp_path: Path
) -> None:
    write_folder(reports, tmp_path / "corpus")
    folder = open_folder(tmp_path / "corpus")
    assert len(folder.conversations) == 48
    assert len(folder.speakers) == 96
    assert folder.speakers["s000/T"] == {"role": "therapist"}
    assert folder.conversations["s005"]["client_id"] == "c1"
    first = (tmp_path / "corpus" / "utterances.jsonl").read_text().splitlines()[1]
    found = json.loads(first)
    assert (found["reply-to"], found["conversation_id"]) == ("s000/0", "s000")
    assert found["meta"]["rupture"]["scores"]["rupture"] is not None


def test_reports_without_text_make_no_corpus(
    corpus: Path, tmp_path: Path, score_corpus: Score
) -> None:
    out = tmp_path / "silent.parquet"
    score_corpus([corpus], out, keeps_text=False)
    with pytest.raises(NotReports, match="hold no text"):
        write_folder(out, tmp_path / "corpus")


@pytest.fixture
def annotated(tmp_path: Path, score_corpus: Score) -> tuple[Path, Path]:
    """A corpus, and its copy with scores."""
    source = corpus_at(tmp_path / "corpus")
    (source / "mine-bin.p").write_bytes(b"never opened")
    score_corpus([source], tmp_path / "reports.parquet")
    assert annotate(source, tmp_path / "reports.parquet", tmp_path / "out") == (8, 8)
    return source, tmp_path / "out"


def lines_of(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "utterances.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_an_annotated_corpus_is_the_corpus_and_our_field(annotated: tuple[Path, Path]) -> None:
    source, out = annotated
    lines = lines_of(out)
    found = [line["meta"].pop("rupture") for line in lines]
    assert lines == lines_of(source)
    assert all(set(one["scores"]) >= {"withdrawal", "confrontation"} for one in found)
    talks = json.loads((out / "conversations.json").read_text())
    assert {talk["meta"].pop("rupture")["schema"] for talk in talks.values()} == {
        "rupture-report/1"
    }
    assert talks == json.loads((source / "conversations.json").read_text())
    index = json.loads((out / "index.json").read_text())
    assert index["utterances-index"].pop("rupture") == ["<class 'dict'>"]
    assert index["conversations-index"].pop("rupture") == ["<class 'dict'>"]
    assert index == json.loads((source / "index.json").read_text())
    for name in ("speakers.json", "corpus.json", "mine-bin.p"):
        assert (out / name).read_bytes() == (source / name).read_bytes()


def test_an_utterance_has_the_scores_of_its_own_turn(annotated: tuple[Path, Path]) -> None:
    for line in lines_of(annotated[1]):
        assert line["meta"]["rupture"]["cue_ids"] == [line["id"]]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("speakers.json", "{", "speakers.json: is not JSON"),
        ("conversations.json", "[]", "conversations.json: is no object of objects"),
        ("utterances.jsonl", '{"id": "canary"}\n', "line 1 has no id, or names no conversation"),
        ("utterances.jsonl", '\n{"id": "canary', "line 2 is not JSON"),
    ],
)
def test_a_broken_corpus_is_a_problem_and_says_where(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    folder = corpus_at(tmp_path / "corpus", **{name: text})
    with pytest.raises(NotConvokit, match=said):
        open_folder(folder)
    (session,) = walk([str(folder)])
    assert session.problem is not None
    assert session.problem.code == "not_convokit"
    assert "canary" not in session.problem.reason


def test_a_corpus_without_reports_gives_none_back(tmp_path: Path) -> None:
    with pytest.raises(NotConvokit, match="hold no report"):
        list(reports_of(corpus_at(tmp_path / "corpus")))


def test_a_folder_that_is_there_is_not_written_into(reports: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        write_folder(reports, tmp_path)
