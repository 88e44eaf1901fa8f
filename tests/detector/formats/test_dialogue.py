"""One invented dialogue in every recogniser's and linguist's format."""

from pathlib import Path

import pytest

from detector.formats import read_transcript
from detector.transcript import Role, TimingQuality

FIXTURES = Path(__file__).parents[2] / "fixtures" / "formats"

DIALOGUE = (
    (12.0, 17.4, "So last week we agreed you'd try the thought record."),
    (21.9, 22.6, "Yeah."),
    (23.1, 25.0, "How did it go?"),
    (31.2, 32.0, "Fine, I guess."),
    (32.6, 36.8, "It sounds like maybe it wasn't that helpful?"),
    (
        37.0,
        44.5,
        "Honestly, I don't see the point. You keep giving me homework & you don't listen.",
    ),
    (
        47.2,
        55.9,
        "Thank you for telling me. I think I pushed ahead at 10:30 without checking with you, "
        "and I'm sorry.",
    ),
    (58.0, 61.3, "I appreciate you saying that."),
)

# path, format, the two speakers, timing
TOLD_APART = (
    ("assemblyai/constructed_two_speakers.json", "assemblyai", ("A", "B"), "cue"),
    ("aws_call_analytics/constructed.json", "aws_call_analytics", ("AGENT", "CUSTOMER"), "word"),
    ("aws_healthscribe/constructed.json", "aws_healthscribe", ("CLINICIAN_0", "PATIENT_0"), "cue"),
    ("aws_transcribe/constructed_diarized.json", "aws_transcribe", ("spk_0", "spk_1"), "word"),
    (
        "aws_transcribe/constructed_audio_segments.json",
        "aws_transcribe",
        ("spk_0", "spk_1"),
        "word",
    ),
    ("aws_transcribe/constructed_channels.json", "aws_transcribe", ("ch_0", "ch_1"), "word"),
    ("azure_batch/constructed.json", "azure_batch", ("1", "2"), "cue"),
    ("azure_batch/constructed_fast_2024-11-15.json", "azure_fast", ("1", "2"), "cue"),
    ("deepgram/constructed_two_speakers.json", "deepgram", ("0", "1"), "cue"),
    ("deepgram/constructed_words_only.json", "deepgram", ("0", "1"), "word"),
    ("deepgram/constructed_paragraphs_only.json", "deepgram", ("0", "1"), "cue"),
    ("deepgram/constructed_multichannel.json", "deepgram", ("0", "1"), "word"),
    ("elan/constructed.eaf", "elan", ("Rivera", "Sam"), "cue"),
    ("google_stt/constructed_v1_nanos.json", "google_speech", ("1", "2"), "word"),
    ("google_stt/constructed_v1_strings.json", "google_speech", ("1", "2"), "word"),
    ("google_stt/constructed_v2.json", "google_speech", ("1", "2"), "word"),
    ("revai/constructed.json", "revai", ("Dr. Rivera", "Sam Lee"), "cue"),
    ("textgrid/constructed_long.TextGrid", "textgrid", ("Rivera", 'Sam "S" Lee'), "cue"),
    ("textgrid/constructed_short.TextGrid", "textgrid", ("Rivera", 'Sam "S" Lee'), "cue"),
    ("twilio/sentences.constructed.json", "twilio", ("1", "2"), "cue"),
    ("vonage/constructed_unverified.json", "vonage", ("0", "1"), "cue"),
)
NO_SPEAKERS = (
    ("whisper/constructed_openai.json", "whisper", "word"),
    ("whisper/constructed_timestamped.json", "whisper", "word"),
    ("whisper/constructed_segments_only.json", "whisper", "cue"),
)
ONE_CUE = (
    ("aws_transcribe/constructed_undiarized.json", "aws_transcribe"),
    ("assemblyai/constructed_words_only.json", "assemblyai"),
)


@pytest.mark.parametrize(("path", "name", "speakers", "quality"), TOLD_APART)
def test_texts_speakers_and_times_of_the_dialogue_come_out(
    path: str, name: str, speakers: tuple[str, str], quality: str
) -> None:
    transcript = read_transcript(FIXTURES / path)
    assert transcript.format == name
    assert [cue.text for cue in transcript.cues] == [text for _, _, text in DIALOGUE]
    assert [cue.speaker for cue in transcript.cues] == list(speakers) * 4
    for cue, (start, end, _) in zip(transcript.cues, DIALOGUE, strict=True):
        assert cue.start_s == pytest.approx(start)
        assert cue.end_s == pytest.approx(end, abs=0.0011)
    assert transcript.timing_quality == quality


@pytest.mark.parametrize(("path", "name", "quality"), NO_SPEAKERS)
def test_a_recogniser_without_speakers_names_none(path: str, name: str, quality: str) -> None:
    transcript = read_transcript(FIXTURES / path)
    assert transcript.format == name
    assert [cue.text for cue in transcript.cues] == [text for _, _, text in DIALOGUE]
    assert [cue.start_s for cue in transcript.cues] == [start for start, _, _ in DIALOGUE]
    assert transcript.speakers == ()
    assert transcript.timing_quality == quality


@pytest.mark.parametrize(("path", "name"), ONE_CUE)
def test_words_that_nobody_said_become_one_cue_with_every_word(path: str, name: str) -> None:
    transcript = read_transcript(FIXTURES / path)
    (cue,) = transcript.cues
    assert transcript.format == name
    assert cue.text == " ".join(text for _, _, text in DIALOGUE)
    assert (cue.start_s, cue.end_s, cue.speaker) == (12.0, 61.3, None)
    assert len(cue.words) == len(cue.text.split())


def test_whisperx_leaves_the_cue_without_a_speaker_unlabelled() -> None:
    transcript = read_transcript(FIXTURES / "whisperx" / "constructed_diarized.json")
    assert transcript.format == "whisperx"
    assert [cue.text for cue in transcript.cues] == [text for _, _, text in DIALOGUE]
    a, b = "SPEAKER_00", "SPEAKER_01"
    assert [cue.speaker for cue in transcript.cues] == [a, b, a, None, a, b, a, b]


def test_meet_entries_count_from_the_first() -> None:
    transcript = read_transcript(FIXTURES / "google_meet" / "entries.constructed.json")
    assert [cue.text for cue in transcript.cues] == [text for _, _, text in DIALOGUE]
    starts = [round(start - 12.0, 6) for start, _, _ in DIALOGUE]
    assert [cue.start_s for cue in transcript.cues] == starts
    assert transcript.cues[-1].end_s == pytest.approx(49.3)
    assert transcript.speakers[0].endswith("participants/p1")


def test_chat_gives_the_dialogue_with_its_roles() -> None:
    transcript = read_transcript(FIXTURES / "chat_cha" / "constructed.cha")
    texts = [text.replace(", ", " ") for _, _, text in DIALOGUE]
    assert [cue.text for cue in transcript.cues] == texts
    assert [(cue.start_s, cue.end_s) for cue in transcript.cues] == [
        (start, end) for start, end, _ in DIALOGUE
    ]
    assert transcript.roles == {"THE": Role.THERAPIST, "CLI": Role.CLIENT}


def test_google_without_diarisation_or_word_times_is_untimed_text() -> None:
    transcript = read_transcript(FIXTURES / "google_stt" / "constructed_v1_undiarized.json")
    assert [cue.text for cue in transcript.cues] == [text for _, _, text in DIALOGUE]
    assert transcript.speakers == ()
    assert transcript.timing_quality is TimingQuality.NONE


def test_only_files_that_label_roles_set_roles() -> None:
    labelled = {
        path
        for path, *_ in TOLD_APART
        if set(read_transcript(FIXTURES / path).roles.values()) != {Role.UNKNOWN}
    }
    assert labelled == {"aws_healthscribe/constructed.json"}
