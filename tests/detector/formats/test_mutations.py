"""Thousands of damaged files: only a `TranscriptError` may come out, and no words with it."""

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import TranscriptError
from detector.formats import read_transcript

FIXTURES = Path(__file__).parents[2] / "fixtures" / "formats"
FILES = sorted(
    path.relative_to(FIXTURES).as_posix()
    for path in FIXTURES.rglob("*")
    if path.is_file() and not path.name.startswith(".")
)
N_MUTATIONS = 400
ODD_BYTES = b"\x00\xff\xfe\xef\xbb\xbf\n\r\t \"'{}[]<>,.:;-&\\/#0159TC"


def mutate(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to four things done to them: flip, cut, double, swap, insert, drop."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        here = chance.randrange(len(changed) + 1)
        there = min(len(changed), here + chance.choice((1, 2, 8, 64, 512)))
        match chance.randrange(6):
            case 0 if here < len(changed):
                changed[here] = chance.randrange(256)
            case 1:
                del changed[here:there]
            case 2:
                changed[here:here] = changed[here:there] * chance.choice((1, 2, 50))
            case 3:
                del changed[here:]
            case 4:
                changed[here:there] = changed[here:there][::-1]
            case _:
                changed[here:here] = bytes(chance.choices(ODD_BYTES, k=chance.randint(1, 4)))
    return bytes(changed)


@pytest.mark.parametrize("path", FILES)
def test_a_damaged_file_ends_in_a_transcript_or_a_transcript_error(path: str) -> None:
    data = (FIXTURES / path).read_bytes()
    seed = int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big")
    chance = random.Random(seed)
    for _ in range(N_MUTATIONS):
        damaged = mutate(data, chance)
        try:
            transcript = read_transcript(damaged)
        except TranscriptError as error:
            assert "thought record" not in str(error)  # noqa: PT017
        else:
            assert transcript.cues
            assert "thought record" not in " ".join(transcript.notes)
            assert "thought record" not in repr(transcript)


PIECES = (
    *("WEBVTT", "NOTE", "STYLE", "-->", "00:01.000 --> 00:02.000", "<v Ann>", "</v>", "1", "2"),
    *("0:04", "00:01:02", "[00:01:02]", "-00:00:02.000", "00:01.0-00:02.0", "[SPEAKER_00]:"),
    *("T:", "C:", "T1:", "C1:", "Ann:", "Ann  0:12", "From Ann to Bob:", "[Ann] 10:00:12"),
    *("speaker,text", "speaker\ttext", '{"speaker": "A", "text": "b"}', "{", "}", '"', ",", "# {"),
    *("*THE:", "@Begin", "<?xml", "File type", "otter.ai", "word", "\u200f", "😀", "&amp;", "&"),
    *("\n", "\n", "\n\n", "\r", " ", "  ", "\t", ":", "\x00", "\ud83d", "\ufeff"),
)


@settings(max_examples=1_000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_pieces_of_formats_in_any_order_end_the_same_way(text: str) -> None:
    try:
        transcript = read_transcript(text)
    except TranscriptError:
        return
    assert transcript.cues


def test_there_are_files_to_damage() -> None:
    assert len(FILES) > 50
