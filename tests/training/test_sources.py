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
    region = {"id": "r", "from_name": "label", "type": "paragraphlabels", "value": value}
    return {"completed_by": 1, "result": [region], **more}


def control(name: str, type_: str, **value: Any) -> dict[str, Any]:
    """What Label Studio keeps of a control beside the labels; `r` is the labelled region."""
    return {"id": "r", "from_name": name, "type": type_, "value": value}


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


def test_a_clients_marker_on_a_therapists_turn_is_named(tmp_path: Path) -> None:
    turns = [{"role": "therapist", "text": CANARY, "markers": ["denial"]}]
    said = "line 1, turn 1: denial is the client's, and this is the therapist's"
    with pytest.raises(TrainingDataError, match=said) as error:
        read_export(written(tmp_path, session(turns=turns)))
    assert CANARY not in str(error.value)
    turns[0]["role"] = "unknown"
    assert read_export(written(tmp_path, session(turns=turns)))


def test_what_is_not_json_is_told_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(session()) + f"\n{CANARY}\n", encoding="utf-8")
    with pytest.raises(TrainingDataError, match=r"x\.jsonl, line 2: not JSON") as error:
        read_export(path)
    assert CANARY not in str(error.value)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"absent\.jsonl"):
        read_export(tmp_path / "absent.jsonl")


def test_a_line_ends_at_a_line_feed_alone(tmp_path: Path) -> None:
    turns = [{"role": "client", "text": "Fine.\u2028I guess.\x85"}]
    path = tmp_path / "export.jsonl"
    path.write_text(json.dumps(session(turns=turns), ensure_ascii=False), encoding="utf-8")
    (found,) = read_export(path)
    assert found.transcript.cues[0].text == "Fine.\u2028I guess.\x85"


def test_label_studio_paragraphs_become_cues_with_their_labels(tmp_path: Path) -> None:
    (found,), _ = read_label_studio(studio(tmp_path, task(annotation("denial"))))
    assert [cue.role for cue in found.transcript.cues] == [Role.THERAPIST, Role.CLIENT]
    assert found.labels["1"].markers == {"denial"}
    assert found.session_id == "studio-7"


def test_a_label_studio_task_says_whose_session_it_is(tmp_path: Path) -> None:
    about = {"session_id": "s1", "group": "g", "client": "c", "split": "dev"}
    (found,), _ = read_label_studio(studio(tmp_path, task(annotation("denial"), **about)))
    assert (found.session_id, found.group, found.client, found.split) == ("s1", "g", "c", "dev")


def test_whole_numbers_and_strings_name_paragraphs_alike(tmp_path: Path) -> None:
    (found,), _ = read_label_studio(studio(tmp_path, task(annotation("denial", 0, 1))))
    assert set(found.labels) == {"0", "1"}


def test_cancelled_annotations_and_bare_tasks_are_left_out_and_counted(tmp_path: Path) -> None:
    cancelled = task(annotation("denial", was_cancelled=True))
    marked = {**task(), "predictions": [{"model_version": "m@1", "result": []}]}
    found, notes = read_label_studio(studio(tmp_path, cancelled, task(), marked))
    assert found == []
    assert notes == (
        "studio.json: skipped by their coder, and so not seen: 1",
        "studio.json: tasks that nobody has coded: 2",
        "studio.json: tasks that only a model has marked: 1",
    )


def test_what_is_passed_over_is_said_where_sessions_are_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = studio(tmp_path, task(annotation("denial")), task())
    load_sessions(DataConfig(annomi=False, synthetic=False, label_studio=(str(path),)))
    assert capsys.readouterr().err == "studio.json: tasks that nobody has coded: 1\n"


def test_a_models_marks_teach_nothing(tmp_path: Path) -> None:
    guess = annotation("minimal_response")
    predicted = {"model_version": "m@1", "result": guess["result"]}
    both = {**task(annotation("denial")), "predictions": [predicted]}
    (found,), _ = read_label_studio(studio(tmp_path, both))
    assert found.labels["1"].markers == {"denial"}
    assert found.codings == ()


def test_two_annotations_that_differ_are_unsure_and_kept_as_codings(tmp_path: Path) -> None:
    both = task(annotation("denial"), {"completed_by": 2, "result": []})
    (found,), _ = read_label_studio(studio(tmp_path, both))
    assert found.labels["1"].markers == {"denial"}
    assert not found.labels["1"].sure
    assert len(found.codings) == 2


def test_what_was_adjudicated_stands_and_the_coders_stay_raw_codings(tmp_path: Path) -> None:
    decided = annotation("minimal_response", completed_by=3)
    decided["result"].append(control("pass", "choices", choices=["adjudicated"]))
    given = task(annotation("denial"), annotation("denial", completed_by=2), decided)
    (found,), _ = read_label_studio(studio(tmp_path, given))
    assert found.labels["1"].markers == {"minimal_response"}
    assert [coding["1"].markers for coding in found.codings] == [{"denial"}, {"denial"}]


def test_what_a_coder_says_of_a_mark_and_of_the_session_is_learned_from(tmp_path: Path) -> None:
    one = annotation("denial")
    one["result"] += [
        control("intensity", "rating", rating=3),
        control("pillar", "choices", choices=["bond"]),
        control("sure", "choices", choices=["no"]),
        control("withdrawal", "rating", rating=4),
    ]
    other = annotation("denial", completed_by=2)
    other["result"].append(control("withdrawal", "rating", rating=3))
    (found,), _ = read_label_studio(studio(tmp_path, task(one, other)))
    label = found.labels["1"]
    assert (label.intensity, label.pillar, label.sure) == (2, "bond", False)
    assert found.ratings == {"withdrawal": 3.5}


def test_one_coder_twice_on_one_task_is_an_error_that_names_both_places(tmp_path: Path) -> None:
    twice = task(annotation("denial"), annotation("denial"))
    with pytest.raises(TrainingDataError, match=r"task 1 \(id 7\), annotation 2.*annotation 1"):
        read_label_studio(studio(tmp_path, twice))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (task(annotation("sulks")), "annotation 1, result 1: a label that the codebook does not"),
        (task(annotation("denial", 1, 5)), "a label on turns 1 to 5: the dialogue has 2"),
        (task(annotation("denial"), roles={}), "paragraph 0: its author is none of"),
        ({"id": 7, "data": {}, "annotations": []}, "not a task with paragraph labels"),
    ],
)
def test_a_label_studio_error_names_file_task_and_id_and_quotes_nothing(
    tmp_path: Path, given: Any, said: str
) -> None:
    with pytest.raises(
        TrainingDataError, match=rf"^studio\.json, task 1 \(id 7\).*{said}"
    ) as error:
        read_label_studio(studio(tmp_path, given))
    assert CANARY not in str(error.value)


def test_a_region_over_both_speakers_says_what_of_it_teaches_nothing(tmp_path: Path) -> None:
    _, notes = read_label_studio(studio(tmp_path, task(annotation("denial", 0, 1))))
    assert "studio.json: markers on paragraphs whose speaker cannot show them: 1" in notes
    _, notes = read_label_studio(studio(tmp_path, task(annotation("denial"))))
    assert not [one for one in notes if "cannot show" in one]


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
