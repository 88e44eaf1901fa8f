"""Facts of a session that are no judgement."""

from detector.page import facts
from detector.page.words import words_in
from detector.report import Report


def test_turns_are_counted_by_role(invented_report: Report) -> None:
    assert (
        facts.count(invented_report, words_in("en"))
        == "59 turns: 30 therapist and 29 client; 1 not scored"
    )


def test_a_measure_that_nobody_has_is_left_out(invented_report: Report) -> None:
    titles = [pace.title for pace in facts.paces(invented_report, words_in("en"))]
    assert titles == ["Time before an answer", "Words in a turn"]
