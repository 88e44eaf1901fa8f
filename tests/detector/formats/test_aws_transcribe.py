import json
from pathlib import Path
from typing import Any

import pytest

from detector.errors import MalformedTranscript
from detector.formats import read_transcript
from detector.transcript import Transcript

FIXTURES = Path(__file__).parents[2] / "fixtures" / "formats" / "aws_transcribe"


def word(text: str, start: str, end: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "pronunciation",
        "start_time": start,
        "end_time": end,
        "alternatives": [{"content": text, "confidence": "0.99"}],
        **more,
    }


def mark(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "punctuation", "alternatives": [{"content": text, "confidence": "0.0"}], **more}


def read(items: list[dict[str, Any]], **more: Any) -> Transcript:
    return read_transcript(
        json.dumps({"results": {"transcripts": [{"transcript": ""}], "items": items, **more}})
    )


def labels(*words: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "segments": [
            {
                "speaker_label": speaker,
                "start_time": start,
                "end_time": end,
                "items": [{"speaker_label": speaker, "start_time": start, "end_time": end}],
            }
            for speaker, start, end in words
        ]
    }


def test_numbers_are_strings_and_punctuation_has_no_times() -> None:
    (cue,) = read([word("Yes", "4.87", "5.02"), mark(",", id=1), word("sir", "5.1", "5.5")]).cues
    assert (cue.text, cue.start_s, cue.end_s) == ("Yes, sir", 4.87, 5.5)
    assert [w.text for w in cue.words] == ["Yes,", "sir"]


def test_speakers_come_from_speaker_labels_by_start_time() -> None:
    transcript = read(
        [word("Yes", "1.0", "1.5"), mark("."), word("No", "2.00", "2.5"), mark(".")],
        speaker_labels=labels(("spk_0", "1.00", "1.50"), ("spk_1", "2.0", "2.50")),
    )
    assert [(cue.speaker, cue.text) for cue in transcript.cues] == [
        ("spk_0", "Yes."),
        ("spk_1", "No."),
    ]


def test_newer_files_name_the_speaker_on_the_item() -> None:
    items = [
        word("Yes", "1.0", "1.5", speaker_label="spk_0"),
        mark(".", speaker_label="spk_0"),
        word("No", "2.0", "2.5", speaker_label="spk_1"),
    ]
    assert [cue.speaker for cue in read(items).cues] == ["spk_0", "spk_1"]


def test_two_segments_of_one_speaker_stay_two_cues() -> None:
    transcript = read(
        [word("Well", "1.0", "1.5"), word("yes", "6.0", "6.5")],
        speaker_labels=labels(("spk_0", "1.0", "1.5"), ("spk_0", "6.0", "6.5")),
    )
    assert [cue.text for cue in transcript.cues] == ["Well", "yes"]
    assert len(transcript.turns) == 1


def test_a_word_outside_every_segment_is_kept_without_speaker() -> None:
    transcript = read(
        [word("Yes", "1.0", "1.5"), word("no", "9.0", "9.5")],
        speaker_labels=labels(("spk_0", "1.0", "1.5")),
    )
    assert [(cue.speaker, cue.text) for cue in transcript.cues] == [("spk_0", "Yes"), (None, "no")]


def test_audio_segments_are_the_cues_with_their_ids_and_words() -> None:
    transcript = read_transcript(FIXTURES / "constructed_audio_segments.json")
    assert transcript.cues[0].cue_id == "0"
    assert transcript.cues[0].words[0].text == "So"
    assert transcript.cues[0].words[-1].end_s == 17.4


def test_audio_segments_that_name_nobody_give_way_to_speaker_labels() -> None:
    document = json.loads((FIXTURES / "constructed_audio_segments.json").read_text())
    for segment in document["results"]["audio_segments"]:
        del segment["speaker_label"]
    transcript = read_transcript(json.dumps(document))
    assert transcript.speakers == ("spk_0", "spk_1")


def test_items_of_another_audio_segment_are_not_its_words() -> None:
    document = json.loads((FIXTURES / "constructed_audio_segments.json").read_text())
    document["results"]["audio_segments"][0]["items"] = [1, 2]
    transcript = read_transcript(json.dumps(document))
    assert transcript.cues[0].words == ()


def test_leading_punctuation_is_dropped_and_counted() -> None:
    transcript = read([mark("-"), word("Yes", "1.0", "1.5")])
    assert [drop.reason for drop in transcript.dropped] == ["punctuation before the first word"]
    assert transcript.cues[0].text == "Yes"


def test_overlapping_channels_do_not_cut_each_other_into_words() -> None:
    left = [word("I", "1.0", "1.4"), word("really", "1.5", "2.0"), word("tried", "2.1", "2.6")]
    right = [word("Mhm", "1.6", "1.9")]
    channels = [
        {"channel_label": "ch_0", "items": left},
        {"channel_label": "ch_1", "items": right},
    ]
    transcript = read(left + right, channel_labels={"channels": channels})
    assert [(cue.speaker, cue.text) for cue in transcript.cues] == [
        ("ch_0", "I really tried"),
        ("ch_1", "Mhm"),
    ]


def test_an_item_without_an_alternative_is_named() -> None:
    broken = {"type": "pronunciation", "start_time": "1", "end_time": "2", "alternatives": []}
    with pytest.raises(MalformedTranscript) as caught:
        read([broken])
    assert caught.value.element == "results.items[0].alternatives"
