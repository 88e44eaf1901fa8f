"""Exports and Label Studio files become labelled sessions; what cannot be used is named."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from detector.transcript import Role
from training.corpus import TrainingDataError, load_synthetic
from training.sources import (
    DataConfig,
    check_parted,
    load_sessions,
    read_export,
    read_label_studio,
)

CANARY = "zyzzyva"


def session(**changed: Any) -> dict[str, Any]:
    turns = [
        {"role": "therapist", "text": "How was it?", "start_s": 1.0, "end_s": 2.5},
        {"role": "client", "text": CANARY, "markers": ["denial"], "intensity": 2, "pillar": "task"},
        {"role": "client", "text": "Fine.", "speaker": "B", "sure": False},
    ]
    return {"session_id": "s1", "client": "c1", "turns": turns, **changed}


def written(folder: Path, *records: Any) -> Path:
    path = folder / "export.jsonl"
    path.write_text("\n".join(map(json.dumps, records)) + "\n", encoding="utf-8")
    return path


def task(*annotations: Any, **data: Any) -> dict[str, Any]:
    said = [{"author": "Ann", "text": "How was it?"}, {"author": "Bo", "text": CANARY}]
    about = {"dialogue": said, "roles": {"Ann": "therapist", "Bo": "client"}, **data}
    return {"id": 7, "data": about, "annotations": list(annotations)}


def annotation(label: str, start: Any = "1", end: Any = "1", **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "paragraphlabels": [label]}
    return {"result": [{"type": "paragraphlabels", "value": value}], **more}


def studio(folder: Path, *tasks: Any) -> Path:
    path = folder / "studio.json"
    path.write_text(json.dumps(list(tasks)), encoding="utf-8")
    return path


def test_an_export_keeps_turns_labels_and_ratings(tmp_path: Path) -> None:
    (found,) = read_export(written(tmp_path, session(ratings={"withdrawal": 3})))
    assert [cue.role for cue in found.transcript.cues] == [Role.THERAPIST, Role.CLIENT, Role.CLIENT]
    label = found.labels["2"]
    assert (label.markers, label.intensity, label.pillar) == ({"denial"}, 2, "task")
    assert not found.labels["3"].sure
    assert found.ratings == {"withdrawal": 3.0}


def test_a_session_without_a_group_is_grouped_by_its_client(tmp_path: Path) -> None:
    (found,) = read_export(written(tmp_path, session()))
    assert (found.group, found.client, found.split) == ("c1", "c1", "train")


@pytest.mark.parametrize(
    ("record", "named"),
    [
        (session(session_id=3), "session_id"),
        (session(mood="bad"), "mood"),
        ({"session_id": "s1"}, "turns"),
        (session(split="elsewhere"), "split"),
        (session(ratings={"withdrawal": 9}), "withdrawal"),
        (session(ratings={"warmth": 2}), "rating"),
        (session(turns=[]), "line 1"),
        (session(turns=[{"role": "client", "text": " "}]), "turn 1"),
        (session(turns=[{"role": "boss", "text": CANARY}]), "role"),
        (session(turns=[{"role": "client", "text": CANARY, "pillar": "hope"}]), "pillar"),
        ([CANARY], "line 1"),
    ],
)
def test_a_line_that_is_no_session_is_named_and_not_quoted(
    tmp_path: Path, record: Any, named: str
) -> None:
    with pytest.raises(TrainingDataError, match=named) as error:
        read_export(written(tmp_path, record))
    assert "line 1" in str(error.value)
    assert CANARY not in str(error.value)


def test_an_unknown_marker_is_named_with_those_there_are(tmp_path: Path) -> None:
    turns = [{"role": "client", "text": CANARY, "markers": ["sulks"]}]
    with pytest.raises(TrainingDataError, match=r"turn 1: unknown label 'sulks'.*denial"):
        read_export(written(tmp_path, session(turns=turns)))


def test_what_is_not_json_is_told_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(session()) + f"\n{CANARY}\n", encoding="utf-8")
    with pytest.raises(TrainingDataError, match=r"x\.jsonl, line 2: not JSON") as error:
        read_export(path)
    assert CANARY not in str(error.value)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"absent\.jsonl"):
        read_export(tmp_path / "absent.jsonl")


def test_label_studio_paragraphs_become_cues_with_their_labels(tmp_path: Path) -> None:
    (found,) = read_label_studio(studio(tmp_path, task(annotation("denial"))))
    assert [cue.role for cue in found.transcript.cues] == [Role.THERAPIST, Role.CLIENT]
    assert found.labels["1"].markers == {"denial"}
    assert found.session_id == "studio-7"


def test_whole_numbers_and_strings_name_paragraphs_alike(tmp_path: Path) -> None:
    (found,) = read_label_studio(studio(tmp_path, task(annotation("denial", 0, 1))))
    assert set(found.labels) == {"0", "1"}


def test_cancelled_annotations_and_bare_tasks_are_skipped(tmp_path: Path) -> None:
    cancelled = task(annotation("denial", was_cancelled=True))
    assert read_label_studio(studio(tmp_path, cancelled, task())) == []


def test_two_annotations_that_differ_are_unsure_and_kept_as_codings(tmp_path: Path) -> None:
    both = task(annotation("denial"), {"result": []})
    (found,) = read_label_studio(studio(tmp_path, both))
    assert found.labels["1"].markers == {"denial"}
    assert not found.labels["1"].sure
    assert len(found.codings) == 2


def test_an_unknown_label_studio_label_is_named_with_its_task(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"task 1: unknown label 'sulks'"):
        read_label_studio(studio(tmp_path, task(annotation("sulks"))))


def test_a_label_outside_the_dialogue_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="outside the dialogue"):
        read_label_studio(studio(tmp_path, task(annotation("denial", 1, 5))))


@pytest.mark.parametrize("content", [{"id": 1}, {"id": 1, "data": {}, "annotations": []}, "x"])
def test_what_is_no_dialogue_task_is_an_error(tmp_path: Path, content: Any) -> None:
    with pytest.raises(TrainingDataError, match="not a dialogue task"):
        read_label_studio(studio(tmp_path, content))


def test_a_client_in_two_splits_is_named_with_them() -> None:
    one, two = (dataclasses.replace(s, client="c9") for s in load_synthetic()[:2])
    with pytest.raises(
        TrainingDataError, match=r"client c9 is in train and dev \(sessions sa01, sa02\)"
    ):
        check_parted({"train": [one], "dev": [two]})


def test_one_video_in_two_splits_is_an_error() -> None:
    one, two = (dataclasses.replace(s, group="v9") for s in load_synthetic()[:2])
    with pytest.raises(TrainingDataError, match="group v9"):
        check_parted({"fold 0": [one], "fold 1": [two]})


def test_one_text_under_two_names_is_an_error() -> None:
    one = load_synthetic()[0]
    with pytest.raises(TrainingDataError, match="transcript"):
        check_parted({"train": [one], "test": [dataclasses.replace(one, group="other")]})


def test_sessions_of_the_test_split_are_never_loaded(tmp_path: Path) -> None:
    path = written(tmp_path, session(), session(session_id="s2", client="c2", split="test"))
    path.write_text(path.read_text().replace(CANARY, "Well.", 1))
    config = DataConfig(annomi=False, synthetic=False, exports=(str(path),))
    assert [found.session_id for found in load_sessions(config)] == ["s1"]


def test_a_split_can_be_left_out_of_what_is_learned_from(tmp_path: Path) -> None:
    path = written(tmp_path, session(), session(session_id="s2", client="c2", split="dev"))
    path.write_text(path.read_text().replace(CANARY, "Well.", 1))
    config = DataConfig(annomi=False, synthetic=False, splits=("train",), exports=(str(path),))
    assert [found.session_id for found in load_sessions(config)] == ["s1"]


def test_an_id_that_comes_twice_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, session(), session())
    config = DataConfig(annomi=False, synthetic=False, exports=(str(path),))
    with pytest.raises(TrainingDataError, match="s1 comes twice"):
        load_sessions(config)
