"""Labels and sentences of the page."""

import dataclasses

import pytest

from detector.codebook import load_codebook
from detector.page import words
from detector.report import Moment, Report
from detector.timing import MEASURES


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, ""), (0.0, "0:00"), (59.9, "0:59"), (754.2, "12:34"), (3661.0, "1:01:01")],
)
def test_a_clock_reads_as_the_recording_does(seconds: float | None, said: str) -> None:
    assert words.clock(seconds) == said


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
    assert words.length(seconds) == said


@pytest.mark.parametrize(
    ("score", "word", "number"),
    [
        (1.0, "Very likely", "99 in 100"),
        (0.9, "Very likely", "90 in 100"),
        (0.7, "Likely", "70 in 100"),
        (0.5, "As likely as not", "50 in 100"),
        (0.2, "Unlikely", "20 in 100"),
        (0.0, "Very unlikely", "1 in 100"),
    ],
)
def test_how_sure_is_said_in_words_and_as_a_frequency(score: float, word: str, number: str) -> None:
    assert words.likelihood(score) == word
    assert words.in_hundred(score) == number


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
            "1 moment may be worth a look: of withdrawal. It was repaired.",
        ),
        (
            [("confrontation", "unrepaired")],
            "1 moment may be worth a look: of confrontation. No repair of it was seen in the "
            "transcript.",
        ),
        (
            [("withdrawal", "unrepaired"), ("withdrawal", "unrepaired")],
            "2 moments may be worth a look: all of withdrawal. No repair of any of them was seen "
            "in the transcript.",
        ),
        (
            [
                ("withdrawal", "repaired"),
                ("confrontation", "partly"),
                ("mixed", "unrepaired"),
                ("withdrawal", "unrepaired"),
            ],
            "4 moments may be worth a look: 2 of withdrawal, 1 of confrontation and 1 of both "
            "together. 1 was repaired, 1 was partly repaired and for 2 no repair was seen.",
        ),
    ],
)
def test_the_overview_is_a_sentence(
    invented_report: Report, moments: list[tuple[str, str]], said: str
) -> None:
    report = dataclasses.replace(invented_report, moments=_moments(invented_report, *moments))
    assert words.overview(report) == said


def test_a_calm_session_is_not_called_free_of_strain(invented_report: Report) -> None:
    said = words.overview(dataclasses.replace(invented_report, moments=()))
    assert said.startswith("No moment stood out")
    assert "would not be seen here" in said


def test_a_session_that_could_not_be_scored_says_so(invented_report: Report) -> None:
    turns = tuple(dataclasses.replace(t, abstained="not English") for t in invented_report.turns)
    said = words.overview(dataclasses.replace(invented_report, turns=turns, moments=()))
    assert said.startswith("No turn could be scored")


def test_every_measure_of_the_clock_has_words() -> None:
    assert list(words.MEASURES) == [measure.name for measure in MEASURES]


def test_an_unknown_measure_is_spelled_out() -> None:
    assert words.unavailable(["laughter_rate"]) == ("Laughter rate",)


def test_a_marker_of_another_codebook_is_spelled_out() -> None:
    assert words.marker(load_codebook(), "walks_out").title == "Walks out"
