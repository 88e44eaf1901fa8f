"""What a reviewer says of a moment: what is taken, what is refused, and how it is taken back."""

import json
from pathlib import Path
from typing import Any

import pytest

from detector import Detector, read_transcript
from detector.report import Report
from service.errors import Conflict, Invalid
from service.judgements import Judgement, Review, judge, undo

AT = "2026-03-02T09:00:00+00:00"


@pytest.fixture(scope="module")
def report(rules_detector: Detector) -> Report:
    data = (Path(__file__).parents[2] / "examples" / "session.vtt").read_bytes()
    return rules_detector.analyze(read_transcript(data), therapist="Dr. Rivera")


def say(review: Review, report: Report, item: str, by: str = "ada", **given: Any) -> Review:
    return judge(review, report, item, given, by=by, at=AT)


def test_what_is_said_stands_beside_what_was_said_before(report: Report) -> None:
    made = say(Review(), report, "moment-1", verdict="agree")
    made = say(made, report, "moment-1", intensity=4, by="grace")
    assert made.judgements["moment-1"] == Judgement("agree", intensity=4, by="grace", at=AT)
    assert made.n_judged == 1


def test_a_moment_that_was_added_counts_for_none_of_the_tools(report: Report) -> None:
    made = say(Review(), report, "turn-3", verdict="agree", start=0, end=4)
    assert made.n_judged == 0
    assert judge(made, report, "turn-3", {"remove": True}, by="ada", at=AT).judgements == {}


@pytest.mark.parametrize(
    ("item", "given"),
    [
        ("moment-0", {"verdict": "agree"}),
        ("moment-999", {"verdict": "agree"}),
        ("turn-999", {"verdict": "agree"}),
        ("session", {"verdict": "agree"}),
        ("moment-1", {}),
        ("moment-1", {"verdict": "maybe"}),
        ("moment-1", {"verdict": True}),
        ("moment-1", {"marker": "warmth"}),
        ("moment-1", {"pillar": "trust"}),
        ("moment-1", {"intensity": 6}),
        ("moment-1", {"intensity": True}),
        ("moment-1", {"intensity": "4"}),
        ("moment-1", {"repair": 999}),
        ("moment-1", {"remove": True}),
        ("moment-1", {"by": "somebody"}),
        ("turn-1", {"verdict": "agree", "start": 3, "end": 3}),
        ("turn-1", {"verdict": "agree", "start": 0, "end": 99_999}),
        ("turn-1", {"start": 1}),
    ],
)
def test_what_cannot_be_said_is_refused(report: Report, item: str, given: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        judge(Review(), report, item, given, by="ada", at=AT)


def test_undo_goes_back_step_by_step(report: Report) -> None:
    made = say(Review(), report, "moment-1", verdict="agree")
    made = say(made, report, "moment-1", verdict="disagree")
    made = undo(made, by="ada", at=AT)
    assert made.judgements["moment-1"].verdict == "agree"
    made = undo(made, by="ada", at=AT)
    assert made == Review()
    assert not made.can_undo("ada")
    with pytest.raises(Conflict):
        undo(made, by="ada", at=AT)


def test_undo_takes_back_only_ones_own(report: Report) -> None:
    made = say(Review(), report, "moment-1", verdict="agree")
    made = say(made, report, "moment-2", verdict="unsure", by="grace")
    made = undo(made, by="ada", at=AT)
    assert set(made.judgements) == {"moment-2"}


def test_undo_does_not_overwrite_what_somebody_else_said_since(report: Report) -> None:
    made = say(Review(), report, "moment-1", verdict="agree")
    made = say(made, report, "moment-1", verdict="disagree", by="grace")
    with pytest.raises(Conflict) as caught:
        undo(made, by="ada", at=AT)
    assert caught.value.code == "changed_since"


def test_a_review_is_read_as_it_was_written(report: Report) -> None:
    made = say(Review(), report, "moment-1", verdict="agree", pillar="bond")
    made = say(made, report, "turn-3", verdict="agree", start=0, end=4)
    made = judge(made, report, "turn-3", {"remove": True}, by="ada", at=AT)
    assert Review.from_dict(json.loads(json.dumps(made.to_dict()))) == made
