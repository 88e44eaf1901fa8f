import json
from pathlib import Path
from typing import Any

import pytest

from detector.errors import MalformedTranscript, UnknownFormat
from detector.formats import read_transcript
from detector.transcript import Transcript

FIXTURES = Path(__file__).parents[2] / "fixtures" / "formats" / "google_stt"


def word(text: str, start: Any = "1s", end: Any = "1.5s", **more: Any) -> dict[str, Any]:
    return {"word": text, "startTime": start, "endTime": end, **more}


def result(*words: dict[str, Any], transcript: str | None = None, **more: Any) -> dict[str, Any]:
    best: dict[str, Any] = {"words": words}
    if transcript is not None:
        best["transcript"] = transcript
    return {"alternatives": [best], **more}


def read(*results: dict[str, Any], **more: Any) -> Transcript:
    return read_transcript(json.dumps({"results": results, **more}))


def test_words_repeated_in_the_last_result_are_said_once() -> None:
    transcript = read_transcript(FIXTURES / "constructed_v1_nanos.json")
    said = " ".join(cue.text for cue in transcript.cues)
    assert said.count("homework") == 1
    assert [drop.reason for drop in transcript.dropped] == ["repeated in the last result"] * 2


def test_a_last_result_of_another_length_is_noted() -> None:
    transcript = read(
        result(word("Yes"), word("no"), transcript="Yes no"),
        result(word("Yes", speakerTag=1)),
    )
    assert [cue.text for cue in transcript.cues] == ["Yes"]
    assert any("holds 1 words and those before it 2" in note for note in transcript.notes)


def test_every_growing_result_with_speakers_is_superseded_by_the_last() -> None:
    first = word("Yes.", "1s", "2s", speakerTag=1)
    transcript = read(result(first), result(first, word("No.", "3s", "4s", speakerTag=2)))
    assert [(cue.speaker, cue.text) for cue in transcript.cues] == [("1", "Yes."), ("2", "No.")]


def test_a_last_result_that_begins_later_repeats_nothing() -> None:
    transcript = read(
        result(word("Yes.", "1s", "2s"), transcript="Yes."),
        result(word("No.", "3s", "4s", speakerTag=2)),
    )
    assert [(cue.speaker, cue.text) for cue in transcript.cues] == [(None, "Yes."), ("2", "No.")]


def test_without_word_times_a_shorter_last_result_repeats_nothing() -> None:
    transcript = read(
        result({"word": "Yes"}, {"word": "sir."}, transcript="Yes sir."),
        result({"word": "No.", "speakerTag": 2}),
    )
    assert [cue.text for cue in transcript.cues] == ["Yes sir.", "No."]


def test_results_that_repeat_nothing_are_all_read() -> None:
    transcript = read(
        result(word("Yes.", "1s", "2s", speakerLabel="1")),
        result(word("No.", "3s", "4s", speakerLabel="2")),
    )
    assert [cue.text for cue in transcript.cues] == ["Yes.", "No."]
    assert transcript.dropped == ()


def test_an_empty_result_behind_the_last_changes_nothing() -> None:
    transcript = read(
        result(word("Yes."), transcript="Yes."), result(word("Yes.", speakerTag=2)), {}
    )
    assert [(cue.speaker, cue.text) for cue in transcript.cues] == [("2", "Yes.")]


def test_tag_zero_beside_others_is_a_speaker() -> None:
    transcript = read(result(word("Yes.", speakerTag=0), word("No.", speakerTag=1)))
    assert [cue.speaker for cue in transcript.cues] == ["0", "1"]


def test_tags_that_are_all_zero_name_nobody() -> None:
    transcript = read(result(word("Yes.", speakerTag=0), transcript="Yes."))
    assert transcript.speakers == ()


@pytest.mark.parametrize(
    "time", ["12.900s", {"seconds": "12", "nanos": 900000000}, {"seconds": 12, "nanos": 9e8}, 12.9]
)
def test_a_time_is_read_in_each_of_its_forms(time: Any) -> None:
    (cue,) = read(result(word("Yes.", time, "13s", speakerTag=1))).cues
    assert cue.start_s == pytest.approx(12.9)


def test_half_a_second_has_no_seconds() -> None:
    (cue,) = read(result(word("Yes.", {"nanos": 500000000}, {"seconds": "1"}, speakerTag=1))).cues
    assert (cue.start_s, cue.end_s) == (0.5, 1.0)


def test_keys_of_the_python_client_are_read_too() -> None:
    said = {"word": "Yes.", "start_time": "1s", "end_time": "2s", "speaker_tag": 2}
    (cue,) = read(result(said)).cues
    assert (cue.speaker, cue.start_s, cue.end_s) == ("2", 1.0, 2.0)


def test_without_speakers_each_result_is_a_cue_timed_by_its_words() -> None:
    transcript = read(result(word("Yes", "1s", "2s"), transcript=" Yes."), result(transcript="No."))
    assert [(cue.text, cue.start_s, cue.end_s) for cue in transcript.cues] == [
        ("Yes.", 1.0, 2.0),
        ("No.", None, None),
    ]


def test_channels_are_speakers_where_there_are_several() -> None:
    both = read(result(transcript="Yes.", channelTag=1), result(transcript="No.", channelTag=2))
    assert [cue.speaker for cue in both.cues] == ["1", "2"]
    assert read(result(transcript="Yes.", channelTag=1)).speakers == ()


def test_a_result_without_alternatives_is_dropped() -> None:
    transcript = read(result(transcript="Yes."), {})
    assert [drop.where for drop in transcript.dropped] == ["results[1]"]


def test_the_shape_of_another_vendor_is_not_taken() -> None:
    with pytest.raises(UnknownFormat):
        read(result(transcript="Yes."), result_index=0, speaker_labels=[])


def entry(start: str, end: str | None, text: str = "Yes.") -> dict[str, Any]:
    return {"name": "e", "participant": "p/1", "text": text, "startTime": start, "endTime": end}


def read_entries(*entries: dict[str, Any], **more: Any) -> Transcript:
    return read_transcript(json.dumps({"transcriptEntries": entries, **more}))


def test_meet_times_are_relative_to_the_first_entry_across_midnight_and_zones() -> None:
    transcript = read_entries(
        entry("2026-01-01T23:59:59.5Z", "2026-01-02T00:00:01Z"),
        entry("2026-01-02T01:00:02.250000001+01:00", None),
    )
    assert [(cue.start_s, cue.end_s) for cue in transcript.cues] == [(0.0, 1.5), (2.75, None)]


def test_a_further_page_of_meet_entries_is_noted() -> None:
    transcript = read_entries(entry("2026-01-01T10:00:00Z", None), nextPageToken="x")
    assert any("more entries follow" in note for note in transcript.notes)


@pytest.mark.parametrize("start", ["10:00", "2026-13-01T10:00:00Z", "2026-01-01T10:00:00", 5, None])
def test_a_time_that_is_no_rfc_3339_is_named(start: Any) -> None:
    with pytest.raises(MalformedTranscript) as caught:
        read_entries(entry(start, None))
    assert caught.value.element == "transcriptEntries[0].startTime"
