"""What a format carries comes back exactly; what it does not is refused or named."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.annotation import FIELDS, SEEN, Adjudication, Annotation, Labels, check
from detector.codebook import PILLARS, load_codebook
from detector.errors import AnnotationError
from detector.report import RATINGS
from detector.transcript import Transcript
from training.labels import FORMATS
from training.labels.codings import context_of

CLIENT = load_codebook().of_kind("withdrawal", "confrontation")
TOOLS = ("label-studio", "doccano", "prodigy", "elan", "chat", "convokit")
ALL = ("jsonl", "csv", "parquet", "elan", "chat", "convokit")


def back(
    labels: Labels, name: str, transcripts: Mapping[str, Transcript]
) -> tuple[Labels, tuple[str, ...]]:
    """The labels after they were written and read, and what was said to be missing."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{FORMATS[name].suffix}"
        lost = FORMATS[name].write(labels, path, transcripts)
        return FORMATS[name].read(path), lost


def as_set(labels: Labels) -> set[Annotation]:
    found = set(labels.annotations)
    assert len(found) == len(labels.annotations)
    return found


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"wide"}))
def test_whole_codings_come_back_from_every_format(
    name: str, labels: Labels, transcripts: dict[str, Transcript]
) -> None:
    found, lost = back(labels, name, transcripts)
    assert lost == ()
    assert as_set(found) == as_set(labels)
    assert len(found.places) == len(found.annotations)
    check(found, transcripts)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.from_regex(r"[\w.@+-]{1,8}", fullmatch=True)
maybe = st.none() | st.integers(1, 5)


def details(draw: Any) -> dict[str, Any]:
    return {
        "intensity": draw(maybe),
        "resolution": draw(maybe),
        "pillar": draw(st.sampled_from((None, *PILLARS))),
        "sure": draw(st.sampled_from((None, True, False))),
        "confidence": draw(st.none() | st.floats(0, 1)),
    }


@st.composite
def anything(draw: Any) -> Labels:
    """Annotations of any unit and coder, whatever can stand in their fields."""
    found: dict[Any, Annotation] = {}
    for _ in range(draw(st.integers(1, 6))):
        unit = draw(st.sampled_from(("turn", "segment_5min", "session")))
        code = draw(st.sampled_from((*CLIENT[:3], *(RATINGS if unit != "turn" else ()))))
        value = draw(st.none() | (st.integers(1, 5) if code in RATINGS else st.integers(0, 1)))
        one = Annotation(
            session_id="s1",
            unit_type=unit,
            unit_index=0 if unit == "session" else draw(st.integers(0, 5)),
            coder=draw(names),
            code=code,
            value=value,
            stage=draw(st.sampled_from(("blind", "adjudicated", "model"))),
            lead_time_s=draw(st.none() | st.floats(0, 1e9)),
            codebook_version=draw(text),
            transcript_sha256=draw(text),
            study_id=draw(text),
            turn_id=draw(text),
            start_ms=draw(st.none() | st.integers(0, 10**9)),
            end_ms=draw(st.none() | st.integers(0, 10**9)),
            speaker_role=draw(st.sampled_from(("", "client", "therapist"))),
            **details(draw),
        )
        found[one.key] = one
    return Labels(tuple(found.values()))


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(labels=anything())
def test_these_formats_carry_every_field_of_every_annotation(
    name: str, transcripts: dict[str, Transcript], labels: Labels
) -> None:
    found, lost = back(labels, name, transcripts)
    assert lost == ()
    assert as_set(found) == as_set(labels)


@st.composite
def codings(draw: Any, transcripts: Mapping[str, Transcript]) -> Labels:
    """Whole codings of both sessions, with every detail of a mark and every rating."""
    found = []
    for session_id, coder in (("s1", "c1"), ("s1", "c2"), ("s2", "c1")):
        own = {"session_id": session_id, "coder": coder, "study_id": "x"}
        whole = {**own, "unit_type": "session", "unit_index": 0}
        lead = draw(st.none() | st.floats(0, 1e9))
        found.append(Annotation(**whole, code=SEEN, lead_time_s=lead))
        for name in draw(st.sets(st.sampled_from(RATINGS))):
            found.append(Annotation(**whole, code=name, value=draw(st.integers(1, 5))))
        places = st.sampled_from([1, 3, 5])
        for index, code in draw(st.sets(st.tuples(places, st.sampled_from(CLIENT)), max_size=4)):
            context = context_of(transcripts[session_id].turns[index])
            unit = {**own, **context, "unit_type": "turn", "unit_index": index}
            found.append(Annotation(**unit, code=code, **details(draw)))
    return Labels(tuple(found))


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_label_studio_carries_whole_codings_with_details_and_ratings(
    transcripts: dict[str, Transcript], data: Any
) -> None:
    labels = data.draw(codings(transcripts))
    found, lost = back(labels, "label-studio", transcripts)
    assert lost == ()
    assert as_set(found) == as_set(labels)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("prodigy", ("intensity", "resolution", "pillar", "sure", "confidence")),
        ("doccano", ()),
    ],
)
@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_doccano_and_prodigy_name_each_detail_that_they_lose(
    name: str, kept: tuple[str, ...], transcripts: dict[str, Transcript], data: Any
) -> None:
    labels = data.draw(codings(transcripts))
    found, lost = back(labels, name, transcripts)
    gone = {"intensity", "resolution", "pillar", "sure", "confidence"} - {*kept}
    marks = [one for one in labels.annotations if one.code not in RATINGS]
    bare = {replace(one, **dict.fromkeys(gone)) for one in marks}
    assert as_set(found) == bare
    said = {
        *(field for one in marks for field in gone if getattr(one, field) is not None),
        *(f"session {one.code}" for one in labels.annotations if one.code in RATINGS),
    }
    assert {what.split(" of ")[0] for what in lost} == said


def test_an_adjudication_comes_back_from_json_lines_and_elsewhere_its_reason_is_missed(
    make: Any, see: Any, transcripts: dict[str, Transcript]
) -> None:
    decision = make(1, "denial", "lead", stage="adjudicated")
    seen = see("lead", stage="adjudicated")
    told = Adjudication(decision, ("c1", "c2"), "the tone; not the words")
    labels = Labels((seen, decision), adjudications=(told,))
    found, lost = back(labels, "jsonl", transcripts)
    assert (found.adjudications, lost) == ((told,), ())
    for name in FORMATS:
        if name != "jsonl":
            assert "settles and reason of 1 adjudications" in back(labels, name, transcripts)[1]


@pytest.mark.parametrize("name", ["label-studio", "doccano", "prodigy"])
def test_a_coder_who_has_not_seen_it_all_is_refused_where_the_rest_would_look_empty(
    name: str, make: Any, transcripts: dict[str, Transcript]
) -> None:
    with pytest.raises(AnnotationError, match="coder c1 has not said of session s1"):
        back(Labels((make(1, "denial"),)), name, transcripts)


@pytest.mark.parametrize("name", ["label-studio", "doccano", "prodigy"])
def test_a_code_that_a_coder_could_not_tell_is_refused_where_it_would_come_back_as_0(
    name: str, make: Any, see: Any, transcripts: dict[str, Transcript]
) -> None:
    with pytest.raises(AnnotationError, match="could not tell denial"):
        back(Labels((see(), make(1, "denial", value=None))), name, transcripts)


@pytest.mark.parametrize("name", TOOLS)
def test_a_session_without_its_transcript_is_refused_by_its_id(name: str, labels: Labels) -> None:
    with pytest.raises(AnnotationError, match="session s1: its transcript is needed"):
        back(labels, name, {})


def test_wide_matrices_hold_0_for_what_was_seen_and_na_for_what_was_not(
    tmp_path: Path, labels: Labels, transcripts: dict[str, Transcript]
) -> None:
    blind = Labels(tuple(one for one in labels.annotations if one.stage == "blind"))
    lost = FORMATS["wide"].write(blind, tmp_path, transcripts)
    lines = (tmp_path / "denial.csv").read_text("utf-8").splitlines()
    assert lines[0] == "session_id,unit_type,unit_index,c1,c2"
    assert lines[1:4] == ["s1,turn,1,1,1", "s1,turn,3,0,0", "s1,turn,5,0,0"]
    assert lines[4:] == ["s2,turn,1,0,NA", "s2,turn,3,0,NA", "s2,turn,5,0,NA", "s2,turn,7,0,NA"]
    assert "turn_id of 5 annotations" in lost
    assert [one for one in lost if one.startswith("pass of ")], "by the column's name"
    found = FORMATS["wide"].read(tmp_path)
    cells = {(*one.unit, one.coder, one.code): one.value for one in found.annotations}
    assert cells["s1", "turn", 1, "c2", "denial"] == 1
    assert cells["s2", "turn", 7, "c1", "denial"] == 0
    assert ("s2", "turn", 7, "c2", "denial") not in cells
    again = tmp_path / "again"
    FORMATS["wide"].write(found, again, transcripts)
    for path in tmp_path.glob("*.csv"):
        assert (again / path.name).read_text("utf-8") == path.read_text("utf-8")


def test_every_field_of_an_annotation_has_its_column() -> None:
    from training.labels.records import COLUMNS

    assert {column.field for column in COLUMNS} == set(FIELDS)
