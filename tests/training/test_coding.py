"""Annotations laid out as units × coders: what is 0, what is not known, and by which unit."""

from typing import Any

import numpy as np
import pytest

from detector.annotation import Annotation, Labels
from detector.errors import AnnotationError
from detector.transcript import Cue, Role, Transcript
from training.agreement_record import confusion, disagreements, measure
from training.coding import lay_out, table

NAN = np.nan
ROLES = (Role.THERAPIST, Role.CLIENT)


def turn(index: int, code: str, coder: str, **more: Any) -> Annotation:
    return Annotation("s1", "turn", index, coder, code, **more)


def saw(coder: str, **more: Any) -> Annotation:
    return Annotation("s1", "session", 0, coder, "seen", **more)


@pytest.fixture(scope="module")
def texts() -> dict[str, Transcript]:
    """Eight turns, one each half minute: four of the client's."""
    cues = [Cue(str(n), "AB"[n % 2], "so", 30.0 * n, role=ROLES[n % 2]) for n in range(8)]
    return {"s1": Transcript("made", tuple(cues))}


def test_a_code_that_was_not_given_is_0_only_where_the_coder_looked(
    texts: dict[str, Transcript],
) -> None:
    labels = Labels((saw("a"), turn(1, "denial", "a"), turn(3, "seen", "b")))
    found = table(lay_out(labels, texts), "denial", "turn")
    assert [index for _, index in found.units] == [1, 3, 5, 7]
    np.testing.assert_array_equal(found.values, [[1, NAN], [0, 0], [0, NAN], [0, NAN]])


def test_a_row_that_says_0_or_na_is_believed_before_seen(texts: dict[str, Transcript]) -> None:
    said = (turn(1, "denial", "b", value=0), turn(3, "denial", "a", value=None))
    found = table(lay_out(Labels((saw("a"), *said)), texts), "denial", "turn")
    np.testing.assert_array_equal(found.values, [[0, 0], [NAN, NAN], [0, NAN], [0, NAN]])


def test_only_turns_whose_speaker_can_show_the_code_are_units(texts: dict[str, Transcript]) -> None:
    codings = lay_out(Labels((saw("a"), saw("b"))), texts)
    assert [i for _, i in table(codings, "contributes", "turn").units] == [0, 2, 4, 6]


def test_a_segment_has_a_code_where_a_turn_of_it_does_and_counts_them(
    texts: dict[str, Transcript],
) -> None:
    labels = Labels((saw("a"), saw("b"), turn(1, "denial", "a"), turn(7, "denial", "a")))
    codings = lay_out(labels, texts)
    by_minute = table(codings, "denial", "segment_1min")
    np.testing.assert_array_equal(by_minute.values, [[1, 0], [0, 0], [0, 0], [1, 0]])
    whole = table(codings, "denial", "session")
    np.testing.assert_array_equal(whole.values, [[1, 0]])
    np.testing.assert_array_equal(whole.counts, [[2, 0]])


def test_what_is_said_of_a_segment_itself_counts_where_no_turn_is_known() -> None:
    said = [
        Annotation("s1", "segment_5min", n, coder, "denial", value)
        for n, values in enumerate([(1, 1), (0, 1)])
        for coder, value in zip("ab", values, strict=True)
    ]
    found = table(lay_out(Labels(tuple(said))), "denial", "segment_5min")
    np.testing.assert_array_equal(found.values, [[1, 1], [0, 1]])


def test_a_group_is_there_where_any_of_its_markers_is(texts: dict[str, Transcript]) -> None:
    said = (turn(1, "denial", "a"), turn(1, "minimal_response", "b"), turn(3, "defends_self", "b"))
    codings = lay_out(Labels((saw("a"), saw("b"), *said)), texts)
    withdrawal = table(codings, "any withdrawal", "turn").values
    rupture = table(codings, "any rupture", "turn").values
    np.testing.assert_array_equal(withdrawal[:2], [[1, 1], [0, 0]])
    np.testing.assert_array_equal(rupture[:2], [[1, 1], [0, 1]])


def test_without_transcripts_only_the_turns_that_somebody_names_are_units() -> None:
    said = (turn(1, "denial", "a"), turn(3, "denial", "b", value=0))
    found = table(lay_out(Labels((saw("a"), *said))), "denial", "turn")
    assert [index for _, index in found.units] == [1, 3]
    np.testing.assert_array_equal(found.values, [[1, NAN], [0, 0]])


def test_a_session_without_a_clock_is_cut_by_turns_and_the_record_says_so() -> None:
    cues = [Cue(str(n), "AB"[n % 2], "so", role=ROLES[n % 2]) for n in range(20)]
    labels = Labels((saw("a"), saw("b"), turn(1, "denial", "a")))
    codings = lay_out(labels, {"s1": Transcript("made", tuple(cues))})
    assert len(table(codings, "denial", "segment_1min").units) == 3
    notes = measure(labels, codings)["how"]["notes"]
    assert notes == [
        "1 sessions have turns without a start: there a segment is 8 turns for a minute and "
        "40 for five."
    ]


def test_a_pass_that_nobody_made_is_refused(texts: dict[str, Transcript]) -> None:
    with pytest.raises(AnnotationError, match="no annotation of pass model"):
        lay_out(Labels((saw("a"),)), texts, stage="model")


def test_what_cannot_be_estimated_says_why_in_the_record(texts: dict[str, Transcript]) -> None:
    labels = Labels((turn(1, "denial", "a"), turn(3, "denial", "b"), turn(5, "seen", "a")))
    found = {one["code"]: one["units"] for one in measure(labels, lay_out(labels, texts))["codes"]}
    assert found["denial"]["turn"]["kappa"]["reason"].startswith("no overlap")
    both = Labels((saw("a"), saw("b"), turn(1, "denial", "a")))
    found = {one["code"]: one["units"] for one in measure(both, lay_out(both, texts))["codes"]}
    assert found["defends_self"]["turn"]["kappa"]["reason"].startswith("no coder used it")
    assert found["defends_self"]["turn"]["kappa"]["value"] is None
    alone = Labels((saw("a"), turn(1, "denial", "a")))
    found = {one["code"]: one["units"] for one in measure(alone, lay_out(alone, texts))["codes"]}
    assert found["denial"]["turn"]["ac1"]["reason"] == "fewer than two coders"


def test_ratings_are_measured_as_ordinal_numbers() -> None:
    labels = Labels(
        tuple(
            Annotation(f"s{n}", "session", 0, coder, "withdrawal", value)
            for n, values in enumerate([(1, 1), (2, 3), (5, 5), (4, 4)])
            for coder, value in zip("ab", values, strict=True)
        )
    )
    codes = measure(labels, lay_out(labels))["codes"]
    found = next(one for one in codes if one["code"] == "withdrawal")
    assert found["kind"] == "rating"
    assert found["units"]["session"]["level"] == "ordinal"
    assert found["units"]["session"]["percent"]["value"] == 0.75


def test_confusion_counts_what_one_gave_where_the_other_gave_another(
    texts: dict[str, Transcript],
) -> None:
    said = (
        turn(1, "denial", "a"),
        turn(1, "denial", "b"),
        turn(3, "denial", "a"),
        turn(3, "minimal_response", "b"),
        turn(5, "denial", "b"),
    )
    found = confusion(lay_out(Labels((saw("a"), saw("b"), *said)), texts))
    assert found["codes"] == ["minimal_response", "denial", "none"]
    assert found["counts"] == [[0, 0, 0], [1, 1, 0], [0, 1, 0]]


def test_disagreements_come_the_widest_first(texts: dict[str, Transcript]) -> None:
    said = (
        turn(1, "denial", "a", intensity=2, sure=False),
        turn(3, "denial", "a", intensity=3),
        turn(3, "minimal_response", "b", intensity=2),
        turn(5, "defends_self", "b", intensity=3),
        turn(7, "denial", "a"),
        turn(7, "denial", "b"),
    )
    found = disagreements(lay_out(Labels((saw("a"), saw("b"), *said)), texts))
    assert [(one["turn"], one["group"], one["gap"]) for one in found] == [
        (5, "confrontation", 3.0),
        (3, "withdrawal", 1.5),
        (1, "withdrawal", 1.0),
    ]
    assert found[0]["codes"] == {"a": [], "b": ["defends_self"]}
