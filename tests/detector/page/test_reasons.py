"""What weighed, in words."""

import dataclasses

import pytest

from detector.codebook import load_codebook
from detector.page import reasons
from detector.page.words import words_in
from detector.report import Evidence, Report, TurnReport

ENGLISH = words_in("en")


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ("hit.denial", "wording of “Denial”"),
        ("pattern.denial.fine", "wording of “Denial”"),
        ("said.opens_well", "opens with “Well”"),
        ("said.few_words", "three words or fewer"),
        ("before.advice", "the therapist's turn before: “Advice or suggestion”"),
        ("after.none", "the therapist's turn after: nobody else speaking"),
        ("time.response_latency_s_vs_own", "time before an answer against this speaker's usual"),
        ("time.opening", "how far into the session"),
        ("something.quite_new", "something: quite new"),
    ],
)
def test_features_are_said_in_words(feature: str, said: str) -> None:
    assert reasons.feature_words(feature, load_codebook(), ENGLISH) == said


def test_reasons_come_strongest_first_and_once() -> None:
    evidence = [
        Evidence("withdrawal", "said.few_words", 1.0, 0.6),
        Evidence("withdrawal", "hit.denial", 1.0, 1.5),
        Evidence("withdrawal", "pattern.denial.fine", 1.0, 1.2),
        Evidence("confrontation", "said.few_words", 1.0, 0.3),
        Evidence("withdrawal", "said.question", 1.0, -1.0),
    ]
    found = reasons.reasons(evidence, load_codebook(), ENGLISH)
    assert [(one.words, one.strength) for one in found] == [
        ("wording of “Denial”", "strong"),
        ("three words or fewer", "clear"),
    ]


def _turn(report: Report, **timing: float | None) -> TurnReport:
    return dataclasses.replace(report.turns[1], timing=timing)


def test_a_long_wait_is_told_with_what_is_usual(invented_report: Report) -> None:
    turn = _turn(invented_report, response_latency_s=6.24, pause_within_s=None)
    assert list(reasons.silences(turn, ENGLISH, 0.8)) == [
        "Answered after 6.2 s (usual here: 0.8 s)."
    ]
    assert list(reasons.silences(_turn(invented_report, response_latency_s=0.4), ENGLISH)) == []


def test_a_wait_that_is_usual_for_the_speaker_is_not_told(invented_report: Report) -> None:
    turn = _turn(invented_report, response_latency_s=2.9)
    assert list(reasons.silences(turn, ENGLISH, 1.5)) == []
    assert list(reasons.silences(turn, ENGLISH, 1.4)) != []
