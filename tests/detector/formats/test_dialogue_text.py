"""The invented dialogue in every caption, office and text format."""

from pathlib import Path

import pytest

from detector.formats import read_transcript
from detector.transcript import Role

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
NAMES = ("Dr. Rivera", "Sam Lee")

# path, format, the two speakers, which times it carries, how much else it holds
FILES = (
    ("zoom_vtt/constructed.vtt", "zoom_vtt", NAMES, "cue", 0),
    ("teams_vtt/graph_content.constructed.vtt", "teams_vtt", NAMES, "cue", 0),
    ("teams_vtt/ui_download.constructed.vtt", "teams_vtt", NAMES, "cue", 0),
    ("teams_vtt/metadataContent.constructed.vtt", "teams_metadata", NAMES, "cue", 0),
    ("teams_docx/constructed.docx", "teams_docx", NAMES, "seconds", 4),
    ("teams_docx/constructed_arrow.docx", "teams_docx_arrows", NAMES, "cue", 0),
    ("google_meet/constructed.docx", "google_meet_docx", NAMES, "few", 15),
    ("daily/constructed.vtt", "daily_vtt", NAMES, "cue", 0),
    ("webvtt/constructed.vtt", "webvtt", NAMES, "cue", 0),
    ("srt/constructed_prefix.srt", "srt", NAMES, "cue", 0),
    ("srt/constructed_whisperx.srt", "srt", ("SPEAKER_00", "SPEAKER_01"), "cue", 0),
    ("srt/utf16.srt", "srt", NAMES, "cue", 0),
    ("otter/constructed.txt", "otter", NAMES, "seconds", 1),
    ("zoom_text/chat_tabs.txt", "zoom_chat", NAMES, "seconds", 0),
    ("zoom_text/chat_from.txt", "zoom_chat", NAMES, "from_first", 0),
    ("zoom_text/saved_names.txt", "zoom_saved", NAMES, "from_first", 0),
    ("zoom_text/saved.txt", "zoom_saved", (None, None), "from_first", 0),
    ("plain/constructed.txt", "plain", ("T", "C"), "none", 0),
    ("plain/constructed_numbered.txt", "plain", ("T", "C"), "none", 0),
    ("plain/constructed_full.txt", "plain", ("THERAPIST", "CLIENT"), "seconds", 0),
    ("plain/names_wrapped.txt", "plain", NAMES, "none", 1),
    ("session_text/constructed.txt", "session_text", ("T", "C"), "cue", 2),
    ("tabular/constructed.csv", "csv", NAMES, "cue", 0),
    ("tabular/constructed.tsv", "csv", NAMES, "cue", 0),
    ("tabular/constructed.jsonl", "jsonl", NAMES, "cue", 0),
    ("tabular/annomi_columns.csv", "csv", ("therapist", "client"), "seconds", 0),
)
WITH_ROLES = {"plain", "session_text", "csv", "jsonl"}


def expected_times(kind: str) -> list[tuple[float | None, float | None]]:
    """Starts and ends of the eight cues, as far as this kind of file carries them."""
    starts = [int(start) for start, _, _ in DIALOGUE]
    if kind == "cue":
        return [(start, end) for start, end, _ in DIALOGUE]
    if kind == "none":
        return [(None, None)] * 8
    if kind == "few":
        return [(start if start in (12, 47) else None, None) for start in starts]
    return [(start - (12 if kind == "from_first" else 0), None) for start in starts]


@pytest.mark.parametrize(("path", "name", "speakers", "kind", "n_dropped"), FILES)
def test_texts_speakers_and_times_of_the_dialogue_come_out(
    path: str, name: str, speakers: tuple[str | None, str | None], kind: str, n_dropped: int
) -> None:
    transcript = read_transcript(FIXTURES / path)
    assert transcript.format == name
    assert [cue.text for cue in transcript.cues] == [text for _, _, text in DIALOGUE]
    found = [cue.speaker for cue in transcript.cues]
    if name == "zoom_vtt":
        # Zoom left the name out of this cue, and the reader can only go on with the last one.
        assert found.pop(6) == speakers[1]
        found.insert(6, speakers[0])
    assert found == list(speakers) * 4
    assert [(cue.start_s, cue.end_s) for cue in transcript.cues] == expected_times(kind)
    assert len(transcript.dropped) == n_dropped


@pytest.mark.parametrize("path", [path for path, *_ in FILES])
def test_roles_are_set_where_the_file_states_them_and_nowhere_else(path: str) -> None:
    transcript = read_transcript(FIXTURES / path)
    stated = transcript.format in WITH_ROLES and "names" not in path
    expected = [Role.THERAPIST, Role.CLIENT] * 4 if stated else [Role.UNKNOWN] * 8
    assert [cue.role for cue in transcript.cues] == expected


def test_a_negative_offset_of_teams_is_read() -> None:
    transcript = read_transcript(FIXTURES / "teams_vtt" / "negative_offset.constructed.vtt")
    assert [(c.start_s, c.end_s) for c in transcript.cues] == [(0.0, 1.5), (3.0, 4.0)]


@pytest.mark.parametrize("path", [path for path, *_ in FILES])
def test_the_name_of_the_file_changes_nothing(path: str) -> None:
    data = (FIXTURES / path).read_bytes()
    as_json = read_transcript(data, filename="a.json")
    assert as_json == read_transcript(FIXTURES / path)
