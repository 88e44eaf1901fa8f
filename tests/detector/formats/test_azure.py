import json
from typing import Any

import pytest

from detector.errors import MalformedTranscript
from detector.formats import read_transcript
from detector.transcript import Transcript


def phrase(text: str = "Yes.", **more: Any) -> dict[str, Any]:
    return {"recognitionStatus": "Success", "nBest": [{"display": text}], **more}


def ticks(start: float, length: float) -> dict[str, Any]:
    return {"offsetInTicks": start, "durationInTicks": length}


def read(*phrases: dict[str, Any]) -> Transcript:
    return read_transcript(json.dumps({"recognizedPhrases": phrases}))


def read_fast(*phrases: dict[str, Any]) -> Transcript:
    return read_transcript(json.dumps({"phrases": phrases, "combinedPhrases": []}))


def fast(text: str = "Yes.", start: int = 1000, length: int = 500, **more: Any) -> dict[str, Any]:
    return {"text": text, "offsetMilliseconds": start, "durationMilliseconds": length, **more}


@pytest.mark.parametrize(
    "times",
    [
        ticks(219000000.0, 7000000.0),
        {"offsetMilliseconds": 21900, "durationMilliseconds": 700},
        {"offset": "PT21.9S", "duration": "PT0.70S"},
        {**ticks(219000000, 7000000), "offset": "PT21.9S", "duration": "PT0.7S"},
    ],
)
def test_ticks_milliseconds_and_iso_durations_mean_the_same(times: dict[str, Any]) -> None:
    (cue,) = read(phrase(**times)).cues
    assert (cue.start_s, cue.end_s) == (21.9, 22.6)


@pytest.mark.parametrize(
    ("offset", "seconds"), [("PT1M1.3S", 61.3), ("PT1H2M3S", 3723.0), ("P1DT1S", 86401.0)]
)
def test_iso_durations_have_minutes_hours_and_days(offset: str, seconds: float) -> None:
    assert read(phrase(offset=offset, duration="PT1S")).cues[0].start_s == pytest.approx(seconds)


@pytest.mark.parametrize("offset", ["PT", "P", "12", "PT1.2.3S", "PT-1S", 12, None])
def test_what_is_no_duration_is_named(offset: Any) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read(phrase(offset=offset, duration="PT1S"))
    assert caught.value.element == "recognizedPhrases[0].offset"


def test_an_hour_in_ticks_is_not_too_long() -> None:
    assert read(phrase(**ticks(3.6e10, 1e7))).cues[0].start_s == 3600.0


def test_channels_after_each_other_are_put_in_the_order_of_the_talk() -> None:
    transcript = read(
        phrase("One.", channel=0, **ticks(1e7, 1e7)),
        phrase("Three.", channel=0, **ticks(5e7, 1e7)),
        phrase("Two.", channel=1, **ticks(3e7, 1e7)),
    )
    assert [(cue.text, cue.speaker) for cue in transcript.cues] == [
        ("One.", "0"),
        ("Two.", "1"),
        ("Three.", "0"),
    ]
    assert transcript.notes == ()


def test_a_single_channel_without_speakers_names_nobody() -> None:
    assert read(phrase(channel=0, **ticks(0, 1))).speakers == ()


def test_a_failed_phrase_is_dropped_and_counted() -> None:
    failed = {"recognitionStatus": "Failure", "nBest": [], **ticks(0, 1)}
    transcript = read(failed, phrase(**ticks(1e7, 1e7)))
    assert [drop.reason for drop in transcript.dropped] == ["not recognised"]


def test_words_have_times_in_ticks() -> None:
    best = {"display": "Yes.", "words": [{"word": "yes", **ticks(1e7, 2e6)}]}
    (cue,) = read({"nBest": [best], **ticks(1e7, 1e7)}).cues
    assert [(word.text, word.start_s, word.end_s) for word in cue.words] == [("yes", 1.0, 1.2)]


def test_display_words_are_better_than_words() -> None:
    best = {
        "display": "Yes.",
        "words": [{"word": "yes", **ticks(1e7, 2e6)}],
        "displayWords": [{"displayText": "Yes.", **ticks(1e7, 2e6)}],
    }
    assert read({"nBest": [best], **ticks(1e7, 1e7)}).cues[0].words[0].text == "Yes."


def test_the_fast_api_counts_milliseconds() -> None:
    word = {"text": "Yes.", "offsetMilliseconds": 1000, "durationMilliseconds": 400}
    (cue,) = read_fast(fast(speaker=1, words=[word])).cues
    assert (cue.start_s, cue.end_s, cue.speaker) == (1.0, 1.5, "1")
    assert cue.words[0].end_s == 1.4


def test_a_negative_duration_leaves_the_end_out() -> None:
    transcript = read_fast(fast(length=-500))
    assert transcript.cues[0].end_s is None
    assert len(transcript.notes) == 1
