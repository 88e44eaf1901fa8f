"""Labels and sentences of the page."""

import dataclasses

import pytest

from detector.codebook import load_codebook
from detector.page.words import clock, marker, words_in
from detector.pipeline import LIMITS
from detector.report import Moment, Report
from detector.timing import MEASURES

ENGLISH = words_in("en")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, ""), (0.0, "0:00"), (59.9, "0:59"), (754.2, "12:34"), (3661.0, "1:01:01")],
)
def test_a_clock_reads_as_the_recording_does(seconds: float | None, said: str) -> None:
    assert clock(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1.0, "1 second"),
        (119.0, "119 seconds"),
        (3000.0, "50 minutes"),
        (3600.0, "1 hour 0 minutes"),
        (7320.0, "2 hours 2 minutes"),
    ],
)
def test_a_length_is_said_in_words(seconds: float, said: str) -> None:
    assert ENGLISH.length(seconds) == said


@pytest.mark.parametrize(
    ("score", "word", "number"),
    [
        (1.0, "Very likely", "99 in 100"),
        (0.9, "Very likely", "90 in 100"),
        (0.7, "Likely", "70 in 100"),
        (0.6, "More likely than not", "60 in 100"),
        (0.4, "As likely as not", "40 in 100"),
        (0.2, "Unlikely", "20 in 100"),
        (0.0, "Very unlikely", "1 in 100"),
    ],
)
def test_how_sure_is_said_in_words_and_as_a_frequency(score: float, word: str, number: str) -> None:
    assert ENGLISH.likelihood(score) == word
    assert ENGLISH.in_hundred(score) == number


def _moments(report: Report, *kinds_and_resolutions: tuple[str, str]) -> tuple[Moment, ...]:
    return tuple(
        dataclasses.replace(report.moments[0], kind=kind, resolution=resolution)
        for kind, resolution in kinds_and_resolutions
    )


@pytest.mark.parametrize(
    ("moments", "said"),
    [
        (
            [("withdrawal", "repaired")],
            "1 moment may be worth a look: a withdrawal. Repair seen.",
        ),
        (
            [("confrontation", "unrepaired")],
            "1 moment may be worth a look: a confrontation. No repair seen.",
        ),
        (
            [("mixed", "partly")],
            "1 moment may be worth a look: withdrawal and confrontation together. Repair tried.",
        ),
        (
            [("withdrawal", "unrepaired"), ("withdrawal", "unrepaired")],
            "2 moments may be worth a look: all withdrawal. No repair seen for 2.",
        ),
        (
            [
                ("withdrawal", "repaired"),
                ("confrontation", "partly"),
                ("mixed", "unrepaired"),
                ("withdrawal", "unrepaired"),
            ],
            "4 moments may be worth a look: 2 of withdrawal, 1 of confrontation and 1 of both "
            "together. Repair seen for 1, repair tried for 1 and no repair seen for 2.",
        ),
    ],
)
def test_the_overview_is_a_sentence(
    invented_report: Report, moments: list[tuple[str, str]], said: str
) -> None:
    report = dataclasses.replace(invented_report, moments=_moments(invented_report, *moments))
    assert ENGLISH.overview(report) == said


def test_a_calm_session_is_not_called_free_of_strain(invented_report: Report) -> None:
    said = ENGLISH.overview(dataclasses.replace(invented_report, moments=()))
    assert said.startswith("No moment was marked.")
    assert "does not make it a session without strain" in said


def test_a_session_that_could_not_be_scored_says_so(invented_report: Report) -> None:
    turns = tuple(dataclasses.replace(t, abstained="not English") for t in invented_report.turns)
    said = ENGLISH.overview(dataclasses.replace(invented_report, turns=turns, moments=()))
    assert said.startswith("No turn could be scored (not English)")


def test_a_session_without_turns_says_so(invented_report: Report) -> None:
    said = ENGLISH.overview(dataclasses.replace(invented_report, turns=(), moments=()))
    assert said.startswith("No turn could be scored (there is none)")


def test_what_every_report_says_of_itself_is_listed_once_among_the_limits() -> None:
    own = (*LIMITS, "Overlap was not measured.")
    assert ENGLISH.limits(own) == (*ENGLISH.limits(), "Overlap was not measured.")


def test_every_measure_of_the_clock_has_words() -> None:
    assert ENGLISH.under("moments.reason.time").keys() == ENGLISH.under("record.measure").keys()
    assert list(ENGLISH.under("record.measure")) == [measure.name for measure in MEASURES]


def test_an_unknown_measure_is_spelled_out() -> None:
    assert ENGLISH.unavailable(["laughter_rate"]) == ("Laughter rate",)


def test_a_marker_of_another_codebook_is_spelled_out() -> None:
    assert marker(load_codebook(), "walks_out").title == "Walks out"
