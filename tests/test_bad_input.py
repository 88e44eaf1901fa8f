"""Whatever comes in: a clear error with a place and no speech, or a result with a note."""

import json
import math
import os
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import detector.formats
from detector import (
    Detector,
    EmptyTranscript,
    MalformedTranscript,
    TranscriptError,
    TranscriptTooLarge,
    UnknownFormat,
    UnknownRole,
    read_transcript,
)
from detector.formats import MAX_BYTES

TYPED = "T: How have you been since we met?\nC: Fine, I guess. Canary naïve café.\n"


def canonical(*turns: Any) -> bytes:
    return json.dumps({"turns": turns}).encode()


def said(text: str, speaker: str = "C", **more: Any) -> dict[str, Any]:
    return {"speaker": speaker, "text": text, **more}


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n ", b"\xef\xbb\xbf"])
def test_an_empty_file_is_called_empty(data: bytes) -> None:
    with pytest.raises(TranscriptError, match=r"empty|no known transcript format|no speech"):
        read_transcript(data)


def test_a_file_of_no_bytes_is_called_empty() -> None:
    with pytest.raises(UnknownFormat, match="the file is empty"):
        read_transcript(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(32),
        b"%PDF-1.7\n\x00\x01\x02\x03" + bytes(range(32)) * 4,
        random.Random(7).randbytes(4096),
        TYPED.encode("utf-16-le"),
    ],
)
def test_binary_content_is_called_binary(data: bytes) -> None:
    with pytest.raises(UnknownFormat, match="binary content"):
        read_transcript(data)


def test_a_damaged_office_file_is_called_damaged() -> None:
    with pytest.raises(TranscriptError, match="damaged"):
        read_transcript(b"PK\x03\x04" + bytes(200))


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("latin-1", "Windows-1252"),
        ("utf-8-sig", None),
    ],
)
def test_another_encoding_is_read_and_noted(encoding: str, note: str | None) -> None:
    bom = b"\xfe\xff" if encoding == "utf-16-be" else b""
    transcript = read_transcript(bom + TYPED.encode(encoding))
    assert "naïve café" in transcript.turns[1].text
    assert any(note in one for one in transcript.notes) if note else transcript.notes == ()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_json_that_breaks_off_is_named_with_its_line(share: float) -> None:
    whole = json.dumps({"turns": [said("Canary one."), said("Canary two.")]}, indent=1)
    with pytest.raises(
        UnknownFormat, match=r"JSON that breaks off or is malformed at line \d+"
    ) as e:
        read_transcript(whole[: int(len(whole) * share)])
    assert "anary" not in str(e.value)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"turns": ' * 50_000, '{"turns": [' + "9" * 5000 + "]}"]
)
def test_json_that_would_break_a_parser_is_refused(text: str) -> None:
    with pytest.raises(TranscriptError):
        read_transcript(text)


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ("canary", r"turns\[1\]: an object is expected"),
        ({"speaker": "C"}, r"turns\[1\]\.text: a text is expected"),
        (said("canary") | {"text": 5}, r"turns\[1\]\.text: a text is expected"),
        (said("canary", speaker=""), r"turns\[1\]\.speaker: a speaker is expected"),
        (said("canary", role="boss"), r"turns\[1\]\.role: role must be one of"),
        (said("canary", start_s="canary"), r"turns\[1\]\.start_s: a number is expected"),
        (said("canary", start_s=True), r"turns\[1\]\.start_s: a number is expected"),
        (said("canary", start_s=1e300), r"turns\[1\]\.start_s: a time must be a finite number"),
        (said("canary", start_s=math.nan), r"turns\[1\]\.start_s: a time must be a finite number"),
    ],
)
def test_one_broken_element_is_named_and_not_quoted(turn: Any, message: str) -> None:
    with pytest.raises(MalformedTranscript, match=message) as caught:
        read_transcript(canonical(said("Hello."), turn))
    assert "anary" not in str(caught.value)


def test_turns_without_any_text_are_counted() -> None:
    with pytest.raises(EmptyTranscript, match=r"no speech in the file \(2 cues dropped\)"):
        read_transcript(canonical(said(" "), said("\n")))


def test_a_file_above_the_limit_is_refused_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector.formats, "MAX_BYTES", 40)
    with pytest.raises(TranscriptTooLarge, match="bytes, and the limit is 40"):
        read_transcript(TYPED.encode())
    assert read_transcript(TYPED[:38].encode()).cues


def test_a_file_of_two_hundred_megabytes_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *mode: str) -> None:
        raise AssertionError("the file was read")

    path = tmp_path / "big.vtt"
    with path.open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(TranscriptTooLarge, match="209,715,200 bytes, and the limit is 26,214,400"):
        read_transcript(path)
    assert MAX_BYTES == 26_214_400


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_that_never_ends_is_read_to_the_limit_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector.formats, "MAX_BYTES", 40)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    # Opened both ways the pipe stays open: reading it to its end would never come back.
    writing = os.open(path, os.O_RDWR)
    os.write(writing, b"x" * 60_000)
    try:
        with pytest.raises(TranscriptTooLarge):
            read_transcript(path)
    finally:
        os.close(writing)


def test_more_cues_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector.formats, "MAX_CUES", 3)
    with pytest.raises(TranscriptTooLarge, match="4 cues, and the limit is 3"):
        read_transcript(canonical(*[said("hello")] * 4))


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_transcript(tmp_path / "none.vtt")


def test_a_hundred_thousand_turns_are_scored(detector: Detector) -> None:
    turns = [
        said("Yes." if n % 2 else "No.", "TC"[n % 2], start_s=2.0 * n, end_s=2.0 * n + 1.5)
        for n in range(100_000)
    ]
    transcript = read_transcript(canonical(*turns))
    assert len(transcript.cues) == 100_000
    report = detector.analyze(transcript)
    assert len(report.turns) == 100_000
    assert len(report.segments) == 667


def test_fifty_thousand_words_in_one_cue_are_scored(detector: Detector) -> None:
    text = "well I do not really know what to say about that today " * 4_167
    report = detector.analyze(read_transcript(canonical(said("How is it?", "T"), said(text))))
    assert [turn.role for turn in report.turns] == ["therapist", "client"]
    assert report.turns[1].timing["n_words"] == 12 * 4_167


def test_all_text_in_one_cue_without_a_speaker_is_refused_for_its_roles(
    detector: Detector,
) -> None:
    data = b"WEBVTT\n\n00:00.000 --> 50:00.000\n" + b"canary and so on " * 500 + b"\n"
    with pytest.raises(UnknownRole) as caught:
        detector.analyze(read_transcript(data))
    assert "anary" not in str(caught.value)


def test_cues_with_ends_are_sorted_by_their_start_and_noted() -> None:
    rows = [(10.0, 12.0), (0.0, 2.0), (5.0, 7.0)]
    data = canonical(*[said(f"at {s:.0f}", start_s=s, end_s=e) for s, e in rows])
    transcript = read_transcript(data)
    assert [cue.start_s for cue in transcript.cues] == [0.0, 5.0, 10.0]
    assert any("out of order" in note for note in transcript.notes)


def test_typed_starts_that_jump_back_keep_the_order_of_the_lines() -> None:
    data = canonical(*[said(f"at {s}", start_s=s) for s in (10.0, 0.0, 5.0)])
    transcript = read_transcript(data)
    assert [cue.start_s for cue in transcript.cues] == [10.0, 0.0, 5.0]
    assert any("order kept" in note for note in transcript.notes)


def test_an_end_before_its_start_is_left_out_and_noted() -> None:
    transcript = read_transcript(canonical(said("hello", start_s=5.0, end_s=4.0)))
    assert transcript.cues[0].end_s is None
    assert any("ends before their start" in note for note in transcript.notes)


def test_a_start_below_zero_becomes_zero_and_is_noted() -> None:
    transcript = read_transcript(canonical(said("hello", start_s=-3.0, end_s=-1.0)))
    assert (transcript.cues[0].start_s, transcript.cues[0].end_s) == (0.0, 0.0)
    assert any("below 0" in note for note in transcript.notes)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("x x x", "x x#2 x#3"),
        ("x y x y", "x y x#2 y#2"),
        ("x x x#2", "x x#3 x#2"),
        ("x#2 x x x#2", "x#2 x x#3 x#2#2"),
    ],
)
def test_of_repeated_ids_the_first_stays_and_no_given_one_is_taken(given: str, known: str) -> None:
    turns = [said("a", cue_id=one) for one in given.split()]
    transcript = read_transcript(canonical(*turns))
    assert [cue.cue_id for cue in transcript.cues] == known.split()
    n_renamed = sum(one != other for one, other in zip(given.split(), known.split(), strict=True))
    assert any(note.startswith(f"{n_renamed} cues repeat an id") for note in transcript.notes)


def test_one_speaker_only_is_refused_for_the_roles(detector: Detector) -> None:
    with pytest.raises(UnknownRole, match="speakers found: Ann"):
        detector.analyze(read_transcript(canonical(said("canary", "Ann"), said("more", "Ann"))))


def test_three_speakers_are_named_and_nobody_is_guessed(detector: Detector) -> None:
    turns = [said("Canary talk of some length here.", name) for name in ("Ann", "Bo", "Cy") * 4]
    with pytest.raises(UnknownRole) as caught:
        detector.analyze(read_transcript(canonical(*turns)))
    assert sorted(caught.value.speakers) == ["Ann", "Bo", "Cy"]
    assert "anary" not in str(caught.value)


def test_emoji_and_right_to_left_text_keep_their_places(detector: Detector) -> None:
    turns = [
        said("How do you feel about the work that we do here? 👩‍👩‍👧", "T"),
        said("🙂🙂 שלום עליכם — You're not listening to me. e\u0301 مرحبا", "C"),
    ]
    report = detector.analyze(read_transcript(canonical(*turns)))
    assert report.turns[1].text == turns[1]["text"]
    for turn in report.turns:
        for marker in turn.markers:
            for span in marker.spans:
                assert turn.text[span.start : span.end].strip()
    assert json.loads(report.to_json())["turns"][1]["text"] == turns[1]["text"]


@pytest.mark.parametrize(
    "lines",
    [
        ("你今天感觉怎么样？上次之后发生了什么？", "我不知道，这个星期很难。我没有睡好觉。"),
        (
            "¿Cómo se siente usted hoy y qué ha cambiado desde la última vez que hablamos?",
            "No lo sé, la semana fue muy difícil para mí y no pude dormir casi nada.",
        ),
    ],
)
def test_talk_in_another_language_is_noted_and_not_scored(
    detector: Detector, lines: tuple[str, str]
) -> None:
    turns = [said(lines[0], "T", role="therapist"), said(lines[1], "C", role="client")]
    report = detector.analyze(read_transcript(canonical(*turns)))
    assert any("not English" in note for note in report.notes)
    assert all(turn.abstained for turn in report.turns)


def test_half_an_emoji_in_json_can_still_be_written(detector: Detector) -> None:
    data = b'{"turns": [{"speaker": "T", "text": "How is it? \\ud83d"}, ' + (
        b'{"speaker": "C", "text": "Fine, I guess."}]}'
    )
    assert detector.analyze(read_transcript(data)).to_json().encode("utf-8")


def outcome_of(data: bytes) -> str:
    """What became of a file in words: its cues' number, or the error's message."""
    try:
        return f"{len(read_transcript(data).cues)} cues"
    except TranscriptError as error:
        return str(error)


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_raise_only_transcript_errors(data: bytes) -> None:
    assert outcome_of(data)


@given(st.data())
def test_a_damaged_file_raises_only_transcript_errors(data: st.DataObject) -> None:
    whole = bytearray(canonical(*[said("hello", start_s=1.0, cue_id="x")] * 3))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    assert outcome_of(bytes(whole))


def test_a_turn_longer_than_anyone_talks_is_refused() -> None:
    cues = [said("canary " * 30_000, "Ann"), said("canary " * 30_000, "Ann")]
    with pytest.raises(TranscriptTooLarge, match="characters in one turn") as caught:
        read_transcript(canonical(*cues))
    assert "canary" not in str(caught.value)
    assert read_transcript(canonical(cues[0], said("So?", "Ben"), cues[1])).cues


def test_json_of_millions_of_values_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(UnknownFormat, match="more than 5,000,000 values"):
        read_transcript(b"[" + b"[]," * 3_000_000 + b"[]]")
