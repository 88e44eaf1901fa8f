"""The report's published JSON, its rows, and that both stay what the schema says."""

import copy
import dataclasses
import json
import math
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from detector import Detector, TranscriptError, read_transcript
from detector import report as values
from detector.page import render
from detector.report import LABELS, Report

_SCHEMA = json.loads((files("detector") / "report.schema.json").read_text("utf-8"))
_VALIDATOR = Draft202012Validator(_SCHEMA)


def _complaints(document: dict[str, Any]) -> list[str]:
    return [error.json_path for error in _VALIDATOR.iter_errors(document)]


def test_the_published_schema_is_itself_valid() -> None:
    Draft202012Validator.check_schema(_SCHEMA)


def test_a_report_is_what_the_schema_says(invented_report: Report) -> None:
    assert _complaints(json.loads(invented_report.to_json())) == []


@pytest.mark.parametrize(
    ("value", "definition"),
    [
        (values.Span, "span"),
        (values.MarkerFinding, "finding"),
        (values.Evidence, "evidence"),
        (values.TurnReport, "turn"),
        (values.SegmentReport, "segment"),
        (values.Moment, "moment"),
        (values.Strength, "strength"),
        (values.SessionReport, "session"),
        (values.Roles, "roles"),
        (values.Provenance, "provenance"),
    ],
)
def test_the_schema_names_every_field_of_every_value(value: type, definition: str) -> None:
    names = [field.name for field in dataclasses.fields(value)]
    assert list(_SCHEMA["$defs"][definition]["properties"]) == names
    assert _SCHEMA["$defs"][definition]["required"] == names


def test_the_schema_names_every_field_of_the_report() -> None:
    names = ["schema", *(field.name for field in dataclasses.fields(Report))]
    assert list(_SCHEMA["properties"]) == names
    assert _SCHEMA["required"] == names


def test_the_schema_names_every_label() -> None:
    assert tuple(_SCHEMA["$defs"]["scores"]["properties"]) == LABELS


def _drop(*path: str | int) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return change


def _put(value: object, *path: str | int) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _put("rupture-report/2", "schema"),
        _put([], "turns"),
        _put(1.01, "turns", 0, "scores", "rupture"),
        _put(0.5, "turns", 0, "scores", "anger"),
        _drop("turns", 0, "scores", "resolution"),
        _put("coach", "turns", 0, "role"),
        _put(-1, "turns", 5, "markers", 0, "spans", 0, "start"),
        _put(0.5, "turns", 5, "markers", 0, "spans", 0, "end"),
        _put("guess", "turns", 5, "markers", 0, "source"),
        _put(-0.1, "turns", 0, "start_s"),
        _put(0.9, "turns", 46, "scores", "rupture"),
        _put("", "turns", 46, "abstained"),
        _put(0.5, "session", "withdrawal"),
        _put("absent", "session", "attendance"),
        _drop("session", "pillars", "bond"),
        _put([], "moments", 0, "turn_indexes"),
        _put("ongoing", "moments", 0, "resolution"),
        _put("trust", "moments", 0, "pillar"),
        _put(6, "segments", 0, "significance", "withdrawal"),
        _put("cue-ish", "timing_quality"),
        _put("xyz", "provenance", "transcript_sha256"),
        _drop("provenance", "flag_threshold"),
        _put("server", "roles", "source"),
    ],
)
def test_the_schema_refuses_a_broken_report(
    invented_report: Report, change: Callable[[Any], None]
) -> None:
    document = json.loads(invented_report.to_json())
    change(document)
    assert _complaints(document)


@pytest.mark.parametrize("path", [(), ("session",), ("turns", 0), ("moments", 0), ("provenance",)])
def test_a_reader_of_this_schema_takes_what_later_versions_add(
    invented_report: Report, path: tuple[str | int, ...]
) -> None:
    document = json.loads(invented_report.to_json())
    _put("something", *path, "a_later_name")(document)
    assert _complaints(document) == []


def test_markers_of_another_codebook_are_valid(invented_report: Report) -> None:
    document = json.loads(invented_report.to_json())
    document["turns"][5]["markers"][0]["marker"] = "a_marker_of_tomorrow"
    assert _complaints(document) == []


_FORMATS = Path(__file__).parents[1] / "fixtures" / "formats"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load()


@pytest.mark.parametrize("folder", ["plain", "tabular", "webvtt", "aws_healthscribe", "teams_docx"])
def test_what_the_detector_says_of_real_files_is_valid_and_makes_a_page(
    detector: Detector, folder: str
) -> None:
    made = 0
    for path in sorted((_FORMATS / folder).iterdir()):
        try:
            transcript = read_transcript(path.read_bytes(), filename=path.name)
            found = detector.analyze(transcript)
        except TranscriptError:
            continue
        assert _complaints(json.loads(found.to_json())) == []
        assert render(found).count('<li class="turn ') == len(found.turns)
        made += 1
    assert made


def test_the_same_report_gives_the_same_bytes(invented_report: Report) -> None:
    again = copy.deepcopy(invented_report)
    assert again.to_json() == invented_report.to_json()


def test_json_ends_with_a_newline_and_keeps_every_letter_as_it_is(invented_report: Report) -> None:
    turn = dataclasses.replace(invented_report.turns[0], text="Ça va? שלום 🙂")
    text = dataclasses.replace(invented_report, turns=(turn,)).to_json()
    assert text.endswith("}\n")
    assert "Ça va? שלום 🙂" in text


def test_json_refuses_a_number_that_is_none(invented_report: Report) -> None:
    session = dataclasses.replace(invented_report.session, withdrawal=math.nan)
    with pytest.raises(ValueError, match="not JSON compliant"):
        dataclasses.replace(invented_report, session=session).to_json()


@given(score=st.floats(0.0, 1.0))
def test_rounding_never_takes_a_score_out_of_its_range(score: float) -> None:
    assert 0.0 <= values._plain({"score": score})["score"] <= 1.0


def test_a_report_has_one_row_a_turn_and_label(invented_report: Report) -> None:
    rows = invented_report.to_rows()
    found = [(row["turn_index"], row["label"]) for row in rows]
    assert found == [(turn.index, label) for turn in invented_report.turns for label in LABELS]


def test_rows_of_an_abstained_turn_have_no_score_and_say_why(invented_report: Report) -> None:
    rows = [row for row in invented_report.to_rows() if row["turn_index"] == 46]
    assert {row["score"] for row in rows} == {None}
    assert {row["abstained"] for row in rows} == {"the recogniser heard no words"}


def test_rows_are_what_a_dataset_takes(invented_report: Report) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list(invented_report.to_rows())
    assert table.num_rows == len(LABELS) * len(invented_report.turns)
    assert table.features["score"].dtype == "float64"
    assert table.features["role"].dtype == "string"
    assert table[0]["role"] == "therapist"


def test_no_repr_of_a_report_carries_speech_or_names(invented_report: Report) -> None:
    shown = repr(invented_report)
    assert "Halloran" not in shown
    assert "speaker=" not in shown
    assert "assigned=" not in shown


def test_a_notebook_shows_the_report_in_a_frame(invented_report: Report) -> None:
    assert invented_report._repr_html_().startswith("<iframe ")


def test_a_report_can_be_read_back_from_its_json(
    detector: Any, make_transcript: Any, dialogue: Any
) -> None:
    times = [(6.0 * n, 6.0 * n + 5.0) for n in range(len(dialogue))]
    report = detector.analyze(make_transcript(*dialogue, times=times))
    again = Report.from_dict(json.loads(report.to_json()))
    assert again.to_json() == report.to_json()
    assert again.turns[3].role is report.turns[3].role
    assert again.timing_quality is report.timing_quality
    assert render(again) == render(Report.from_dict(again.to_dict()))


@pytest.mark.parametrize("spoilt", [{}, {"schema": "rupture-report/1"}, {"schema": "other/9"}])
def test_what_is_no_report_is_refused_and_not_quoted(spoilt: Any) -> None:
    with pytest.raises(ValueError, match="rupture-report/1"):
        Report.from_dict({**spoilt, "turns": "canary"})
