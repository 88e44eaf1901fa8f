"""Files that cannot be used: every error names the file and its line, and quotes no speech."""

import json
from pathlib import Path
from typing import Any

import pytest

from detector.annotation import Labels
from detector.errors import AnnotationError
from detector.transcript import Transcript
from training.labels import FORMATS, told_format

CANARY = "zebracanary"
HEAD = "session_id,unit_type,unit_index,rater_id,code,value"


def refused(name: str, path: Path) -> str:
    with pytest.raises(AnnotationError) as caught:
        FORMATS[name].read(path)
    assert CANARY not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("s1,turn,1,c1,denial", "line 3: 5 cells under 6 names; is the file whole?"),
        ("s1,turn,1,c1,denial,", "line 3: value is empty: write 0, 1, a rating, or NA"),
        ("s1,turn,x,c1,denial,1", "line 3: unit_index is not int, nor NA"),
        (f"s1,turn,1,{CANARY} a,denial,1", "line 3: coder must be 1 to 80 letters"),
        ("s1,turn,1,c1,denial,7", "line 3: denial takes 0 or 1, or NA"),
    ],
)
def test_a_broken_line_of_the_long_table_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "long.csv"
    path.write_text(f"{HEAD}\ns1,turn,1,c1,denial,1\n{line}\n", "utf-8")
    assert refused("csv", path).startswith(f"long.csv, {said}")


def test_a_column_that_is_not_ours_is_refused_and_ours_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(f"{HEAD},{CANARY}\ns1,turn,1,c1,denial,1,x\n", "utf-8")
    assert "1 columns that are not ours; we have study_id" in refused("csv", path)


def test_half_a_parquet_file_is_refused(tmp_path: Path, labels: Labels) -> None:
    path = tmp_path / "long.parquet"
    FORMATS["parquet"].write(labels, path, {})
    path.write_bytes(path.read_bytes()[:-200])
    assert refused("parquet", path).startswith("long.parquet: not a whole Parquet file")


@pytest.mark.parametrize("name", ["jsonl", "doccano", "prodigy"])
def test_half_a_line_of_json_is_refused_by_its_number(
    tmp_path: Path, name: str, labels: Labels, transcripts: dict[str, Transcript]
) -> None:
    path = tmp_path / "labels.jsonl"
    FORMATS[name].write(labels, path, transcripts)
    lines = path.read_text("utf-8").splitlines()
    path.write_text(f"{lines[0]}\n{lines[1][:-20]}", "utf-8")
    assert refused(name, path) == "labels.jsonl, line 2: not JSON; is the file whole?"


@pytest.mark.parametrize("name", ["doccano", "prodigy"])
def test_a_record_without_our_keys_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "theirs.jsonl"
    path.write_text(json.dumps({"text": CANARY, "label": [], "spans": []}), "utf-8")
    assert "theirs.jsonl, line 1: not a coding" in refused(name, path)


def studio(result: list[Any], **more: Any) -> list[Any]:
    dialogue = [{"author": "client", "text": CANARY}, {"author": "therapist", "text": "so"}]
    own = {"completed_by": 4, "result": result, **more}
    return [{"id": 7, "data": {"session_id": "s1", "dialogue": dialogue}, "annotations": [own]}]


def region(start: Any, end: Any, label: str = "denial") -> dict[str, Any]:
    value = {"start": start, "end": end, "paragraphlabels": [label]}
    return {"id": "r", "from_name": "label", "type": "paragraphlabels", "value": value}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[{},\n{", "e.json, line 2: not JSON; is the file whole?"),
        ({"tasks": []}, "e.json: not a list of tasks"),
        ([{"data": {"x": CANARY}}], "e.json, task 1: not a task with paragraph labels"),
        (studio([region("1", "2")]), "result 1: a label on turns 1 to 2: the dialogue has 2"),
        (studio([region(0, 0, CANARY)]), "a label that the codebook does not have"),
        (studio([{"from_name": "label"}]), "e.json, task 1 (id 7): not a task"),
    ],
)
def test_a_label_studio_file_that_is_none_is_refused(
    tmp_path: Path, content: Any, said: str
) -> None:
    path = tmp_path / "e.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    assert said in refused("label-studio", path)


def test_label_studio_numbers_may_be_text_or_numbers_and_regions_may_span_turns(
    tmp_path: Path,
) -> None:
    path = tmp_path / "e.json"
    by = {"completed_by": {"id": 9, "email": f"{CANARY}@example.org"}}
    path.write_text(json.dumps(studio([region("0", 1), region(0, 0)], **by)), "utf-8")
    found = FORMATS["label-studio"].read(path)
    assert [(one.coder, one.unit_index, one.code) for one in found.annotations] == [
        ("label-studio-9", 0, "seen"),
        ("label-studio-9", 0, "denial"),
        ("label-studio-9", 1, "denial"),
    ]
    assert found.notes == ("e.json: regions over several turns, each of which has the code: 1",)


def test_a_prodigy_record_that_was_not_accepted_was_not_seen(
    tmp_path: Path, labels: Labels, transcripts: dict[str, Transcript]
) -> None:
    path = tmp_path / "p.jsonl"
    FORMATS["prodigy"].write(labels, path, transcripts)
    first, *rest = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    records = [{**first, "answer": "ignore"}, *rest]
    path.write_text("\n".join(map(json.dumps, records)), "utf-8")
    found = FORMATS["prodigy"].read(path)
    assert ("s1", "c1") not in {(one.session_id, one.coder) for one in found.annotations}
    assert found.notes == ("p.jsonl: not accepted by their coder, and so not seen: 1",)


def test_a_stretch_of_half_a_turn_stands_for_the_turn(
    tmp_path: Path, labels: Labels, transcripts: dict[str, Transcript]
) -> None:
    path = tmp_path / "d.jsonl"
    FORMATS["doccano"].write(labels, path, transcripts)
    record = json.loads(path.read_text("utf-8").splitlines()[0])
    start, end, _ = record["label"][0]
    record["label"] = [[start + 3, end, "denial"]]
    path.write_text(json.dumps(record), "utf-8")
    found = FORMATS["doccano"].read(path)
    assert [(one.unit_index, one.code) for one in found.annotations[1:]] == [(1, "denial")]
    assert "stretches other than one turn" in found.notes[0]


def test_elan_refuses_a_document_type_and_a_label_below_no_turn(
    tmp_path: Path, labels: Labels, transcripts: dict[str, Transcript]
) -> None:
    FORMATS["elan"].write(labels, tmp_path, transcripts)
    path = tmp_path / "s1.eaf"
    text = path.read_text("utf-8")
    path.write_text(text.replace('ANNOTATION_REF="a2"', 'ANNOTATION_REF="a999"'), "utf-8")
    assert refused("elan", path).endswith("a label below no turn")
    bomb = "<!DOCTYPE x [<!ENTITY y 'z'>]>"
    path.write_text(text.replace("<ANNOTATION_DOCUMENT", f"{bomb}<ANNOTATION_DOCUMENT", 1), "utf-8")
    assert "a document type declaration is not accepted" in refused("elan", path)


def test_a_label_that_was_typed_in_elan_is_read(
    tmp_path: Path, labels: Labels, transcripts: dict[str, Transcript]
) -> None:
    FORMATS["elan"].write(labels, tmp_path, transcripts)
    path = tmp_path / "s1.eaf"
    text = path.read_text("utf-8")
    assert text.count(">rejects_intervention turn_id=u3<") == 1
    typed = text.replace(">rejects_intervention turn_id=u3<", ">denial intensity=3<")
    path.write_text(typed, "utf-8")
    found = FORMATS["elan"].read(path).annotations
    assert [(one.unit_index, one.intensity) for one in found if one.intensity] == [(3, 3)]


def test_elan_ids_are_each_given_once_and_every_reference_leads_somewhere(
    tmp_path: Path, labels: Labels, transcripts: dict[str, Transcript]
) -> None:
    from lxml import etree

    FORMATS["elan"].write(labels, tmp_path, transcripts)
    root = etree.parse(tmp_path / "s1.eaf").getroot()
    ids = [one.get("ANNOTATION_ID") for one in root.iter() if one.get("ANNOTATION_ID")]
    slots = {one.get("TIME_SLOT_ID") for one in root.iter("TIME_SLOT")}
    tiers = {one.get("TIER_ID") for one in root.iter("TIER")}
    types = {one.get("LINGUISTIC_TYPE_ID") for one in root.iter("LINGUISTIC_TYPE")}
    assert len(ids) == len(set(ids)) > 0
    for name, known in (
        ("ANNOTATION_REF", set(ids)),
        ("PREVIOUS_ANNOTATION", set(ids)),
        ("TIME_SLOT_REF1", slots),
        ("TIME_SLOT_REF2", slots),
        ("PARENT_REF", tiers),
        ("LINGUISTIC_TYPE_REF", types),
    ):
        used = {one.get(name) for one in root.iter() if one.get(name)}
        assert used, name
        assert used <= known, name


def test_elan_refuses_a_session_without_times(tmp_path: Path, labels: Labels) -> None:
    from detector.transcript import Cue, Role

    roles = (Role.THERAPIST, Role.CLIENT)
    cues = tuple(Cue(str(n), "AB"[n % 2], "so", role=roles[n % 2]) for n in range(8))
    untimed = Transcript("made", cues)
    with pytest.raises(AnnotationError, match="turn 0 has no start, and ELAN needs times"):
        FORMATS["elan"].write(labels, tmp_path, {"s1": untimed, "s2": untimed})


def test_a_chat_label_that_is_none_is_refused_by_its_line(
    tmp_path: Path, labels: Labels, transcripts: dict[str, Transcript]
) -> None:
    FORMATS["chat"].write(labels, tmp_path, transcripts)
    path = tmp_path / "s1.cha"
    text = path.read_text("utf-8")
    path.write_text(text.replace(" denial", f" denial {CANARY}", 1), "utf-8")
    number = next(n for n, line in enumerate(text.splitlines(), 1) if line.startswith("%xrup"))
    assert refused("chat", path) == f"s1.cha, line {number}: a label is CODE NAME=VALUE …"


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"wide"}))
def test_the_format_of_a_file_is_told_by_what_it_is(
    tmp_path: Path, name: str, labels: Labels, transcripts: dict[str, Transcript]
) -> None:
    path = tmp_path / f"labels{FORMATS[name].suffix}"
    FORMATS[name].write(labels, path, transcripts)
    assert told_format(path).name == name


@pytest.fixture
def corpus(tmp_path: Path, labels: Labels, transcripts: dict[str, Transcript]) -> Path:
    """A ConvoKit corpus with labels."""
    FORMATS["convokit"].write(labels, tmp_path / "corpus", transcripts)
    return tmp_path / "corpus"


def with_label(corpus: Path, label: Any) -> None:
    """Adds a label to the fourth utterance, as somebody does in ConvoKit."""
    path = corpus / "utterances.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    lines[3]["meta"]["rupture_labels"].append(label)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def test_a_label_that_was_added_in_convokit_is_read(corpus: Path) -> None:
    with_label(corpus, {"rater_id": "c3", "code": "denial"})
    new = [one for one in FORMATS["convokit"].read(corpus).annotations if one.coder == "c3"]
    assert [(one.session_id, *one.unit[1:], one.value, one.stage) for one in new] == [
        ("s1", "turn", 3, 1, "blind")
    ]


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ({"rater_id": "c3"}, "code is missing"),
        ({"rater_id": "c3", "code": "denial", CANARY: 1}, "1 columns that are not ours"),
        (CANARY, "not an object"),
    ],
)
def test_a_convokit_label_that_is_none_is_refused_by_its_utterance(
    corpus: Path, label: Any, said: str
) -> None:
    with_label(corpus, label)
    refusal = refused("convokit", corpus)
    assert refusal.startswith("corpus, conversation 1, utterance 3, label 2: ")
    assert said in refusal


def test_a_convokit_corpus_without_labels_is_refused(corpus: Path) -> None:
    for path in corpus.iterdir():
        path.write_text(path.read_text("utf-8").replace("rupture_labels", "mine"), "utf-8")
    assert refused("convokit", corpus) == "corpus: its utterances hold no rupture_labels"


def test_a_folder_that_is_there_is_not_written_into_by_convokit(
    corpus: Path, labels: Labels, transcripts: dict[str, Transcript]
) -> None:
    with pytest.raises(FileExistsError):
        FORMATS["convokit"].write(labels, corpus, transcripts)


def test_a_labelled_convokit_corpus_is_read_as_sessions_with_their_roles(
    corpus: Path, transcripts: dict[str, Transcript]
) -> None:
    from detector.corpus.sources import walk
    from detector.formats import read_transcript

    for session in walk([str(corpus)]):
        found, made = read_transcript(session.data), transcripts[session.session_id]
        assert [(turn.role, turn.start_s) for turn in found] == [
            (turn.role, turn.start_s) for turn in made
        ]
