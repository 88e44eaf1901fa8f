"""What an annotation may be, and which sets of them are refused."""

from typing import Any

import pytest

from detector.annotation import Adjudication, Annotation, Labels, check, count_units, known_codes
from detector.codebook import load_codebook
from detector.errors import AnnotationError
from detector.transcript import Cue, Role, Transcript


def annotation(**more: Any) -> Annotation:
    own = {"session_id": "s1", "unit_type": "turn", "unit_index": 1, "coder": "c1"}
    return Annotation(**{**own, "code": "denial", **more})


@pytest.fixture(scope="module")
def transcripts() -> dict[str, Transcript]:
    roles = (Role.THERAPIST, Role.CLIENT)
    cues = [Cue(str(n), "AB"[n % 2], "…so", 90.0 * n, role=roles[n % 2]) for n in range(4)]
    return {"s1": Transcript("made", tuple(cues))}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"unit_type": "word"}, "unit_type is none of"),
        ({"stage": "second"}, "pass is none of blind"),
        ({"pillar": "hope"}, "pillar is none of goal, task, bond"),
        ({"intensity": 6}, "intensity is none of"),
        ({"resolution": 0}, "resolution is none of"),
        ({"value": 2}, "denial takes 0 or 1, or NA"),
        ({"code": "withdrawal"}, "withdrawal rates a segment or a session"),
        ({"code": "withdrawal", "unit_type": "session", "unit_index": 0, "value": 6}, "1 to 5"),
        ({"code": "seen", "value": 0}, "seen has no other value"),
        ({"unit_index": -1}, "unit_index counts from 0"),
        ({"unit_type": "session"}, "a session's is 0"),
        ({"confidence": 1.5}, "confidence is not a number from 0 to 1"),
        ({"lead_time_s": float("nan")}, "lead_time_s is not a number"),
        ({"start_ms": -1}, "start_ms lies before the session"),
        ({"coder": "Anna Smith"}, "coder must be 1 to 80 letters"),
        ({"coder": ""}, "use a pseudonym"),
    ],
)
def test_a_value_that_its_field_cannot_have_is_refused(wrong: Any, reason: str) -> None:
    with pytest.raises(AnnotationError, match=reason):
        annotation(**wrong)


def refused(*annotations: Annotation, texts: Any = None) -> str:
    places = tuple(f"labels.csv, line {n}" for n in range(2, 2 + len(annotations)))
    with pytest.raises(AnnotationError) as caught:
        check(Labels(annotations, places), texts)
    return str(caught.value)


def test_an_unknown_code_is_refused_by_file_and_line() -> None:
    said = refused(annotation(), annotation(code="sulks"))
    assert said.startswith("labels.csv, line 3: unknown code sulks; the codebook has minimal_")


def test_two_codebook_versions_are_refused_with_both_places() -> None:
    said = refused(
        annotation(codebook_version="1.0"), annotation(codebook_version="9", unit_index=2)
    )
    assert "two codebook versions: 1.0 (labels.csv, line 2) and 9 (labels.csv, line 3)" in said


def test_another_codebook_version_than_ours_is_refused() -> None:
    said = refused(annotation(codebook_version="9"))
    assert said == f"labels.csv, line 2: codebook version 9, and ours is {load_codebook().version}"


def test_two_values_of_one_coder_for_one_code_are_refused_with_both_places() -> None:
    said = refused(annotation(), annotation(value=0))
    assert said.startswith("labels.csv, line 3: coder c1 judges denial of turn 1 of session s1 twi")
    assert said.endswith("first at labels.csv, line 2")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"unit_index": 4}, "turn 4 does not exist: session s1 has 4, counted from 0"),
        ({"unit_type": "segment_5min", "unit_index": 1}, "segment_5min 1 does not exist"),
        ({"session_id": "s2"}, "no transcript for session s2"),
        ({"transcript_sha256": "0"}, "session s1 was judged on another text"),
        ({"unit_index": 0}, "denial is the client's, and turn 0 of session s1 is the therapist's"),
    ],
)
def test_a_label_that_the_transcript_contradicts_is_refused_by_its_line(
    wrong: Any, reason: str, transcripts: dict[str, Transcript]
) -> None:
    said = refused(annotation(**wrong), texts=transcripts)
    assert said.startswith("labels.csv, line 2: ")
    assert reason in said


def test_labels_that_fit_their_transcript_pass(transcripts: dict[str, Transcript]) -> None:
    fits = annotation(transcript_sha256=transcripts["s1"].sha256)
    check(Labels((fits, annotation(code="minimal_response"))), transcripts)


def test_units_are_counted_by_their_kind(transcripts: dict[str, Transcript]) -> None:
    counted = [count_units(transcripts["s1"], unit) for unit in ("turn", "segment_1min", "session")]
    assert counted == [4, 4, 1]


def test_an_adjudication_is_of_its_own_pass_and_keeps_its_reason_out_of_its_name() -> None:
    with pytest.raises(AnnotationError, match="pass is adjudicated"):
        Adjudication(annotation(), ("c1",))
    decision = annotation(stage="adjudicated", coder="lead")
    with pytest.raises(AnnotationError, match="at least one coder"):
        Adjudication(decision, ())
    assert "canary" not in repr(Adjudication(decision, ("c1",), "canary"))


def test_machine_only_markers_are_no_codes_of_a_coder() -> None:
    assert "open_question" not in known_codes(load_codebook())
    assert {"denial", "validates_defense", "contribution", "seen"} <= {
        *known_codes(load_codebook())
    }
