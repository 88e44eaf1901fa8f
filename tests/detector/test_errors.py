import inspect

import pytest

from detector import errors
from detector.errors import (
    CodebookError,
    DetectorError,
    EmptyTranscript,
    MalformedTranscript,
    MissingTiming,
    TranscriptError,
    TranscriptTooLarge,
    UnknownFormat,
    UnknownRole,
)

CLASSES = [one for _, one in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("error", [c for c in CLASSES if c.__module__ == "detector.errors"])
def test_every_error_is_drawn_in_the_tree_and_comes_from_the_base(error: type) -> None:
    assert issubclass(error, DetectorError)
    assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    "error",
    [
        UnknownFormat,
        MalformedTranscript,
        TranscriptTooLarge,
        EmptyTranscript,
        UnknownRole,
        MissingTiming,
    ],
)
def test_what_the_caller_can_mend_is_a_transcript_error(error: type) -> None:
    assert issubclass(error, TranscriptError)


def test_a_fault_of_our_own_files_is_no_transcript_error() -> None:
    assert not issubclass(CodebookError, TranscriptError)


def test_an_unknown_format_names_the_reason_and_the_readers_that_looked() -> None:
    assert str(UnknownFormat(["vtt", "srt"], reason="binary content")) == (
        "binary content (tried: vtt, srt)"
    )
    assert str(UnknownFormat()) == "no known transcript format"


def test_a_malformed_transcript_says_the_line_or_the_element() -> None:
    assert str(MalformedTranscript("a time is expected", line=3)) == "line 3: a time is expected"
    assert str(MalformedTranscript("odd", element="turns[2].text")) == "turns[2].text: odd"
    assert str(MalformedTranscript("odd")) == "odd"


def test_too_large_says_how_much_was_found_and_how_much_is_accepted() -> None:
    assert str(TranscriptTooLarge(2_000_000, 1_000, "cues")) == (
        "2,000,000 cues, and the limit is 1,000"
    )


def test_an_empty_transcript_counts_what_was_dropped() -> None:
    assert str(EmptyTranscript(4)) == "no speech in the file (4 cues dropped)"
    assert str(EmptyTranscript()) == "no speech in the file"


def test_an_unknown_role_names_the_speakers_and_keeps_the_confidence() -> None:
    error = UnknownRole(["Ann", "Bo"], "nobody says it", 0.7)
    assert str(error) == "nobody says it; speakers found: Ann, Bo"
    assert error.confidence == 0.7
    assert str(UnknownRole([], "no labels")) == "no labels; speakers found: none"


def test_missing_timing_and_codebook_errors_name_what_is_at_fault() -> None:
    assert "pause_before_s" in str(MissingTiming("pause_before_s", "none"))
    assert str(CodebookError("denial.a", "unknown marker")) == "denial.a: unknown marker"


def test_a_message_names_a_dozen_speakers_in_short_and_counts_the_others() -> None:
    error = UnknownRole(["A" * 5000, *(f"S{n}" for n in range(40))], "not told")
    assert len(error.speakers) == 41
    assert len(str(error)) < 250
    assert str(error).endswith("S10 and 29 more")
