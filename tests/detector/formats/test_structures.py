"""Every JSON fixture there is, broken in hundreds of places."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from detector.errors import TranscriptError
from detector.formats import read_transcript
from detector.formats.source import open_source
from detector.transcript import Transcript

FIXTURES = Path(__file__).parents[2] / "fixtures" / "formats"
JSON_FIXTURES = sorted(FIXTURES.rglob("*.json"))
N_BROKEN = 400
VALUES: tuple[Any, ...] = (
    None, [], {}, -1, 1e400, float("nan"), "x", True, "", 0, "\ud83d", 10**400, [None], {"a": 1}
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every way into the document, leaves and branches."""
    inside: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    return [path] * bool(path) + [
        place for key, child in inside for place in places(child, (*path, key))
    ]


def breaks(document: Any, path: tuple[Any, ...], chance: random.Random) -> None:
    """Deletes what stands at the path, or puts something else there."""
    for key in path[:-1]:
        document = document[key]
    if chance.random() < 0.3:
        del document[path[-1]]
    else:
        document[path[-1]] = copy.deepcopy(chance.choice(VALUES))


@pytest.mark.parametrize("path", JSON_FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_broken_structure_gives_a_transcript_or_a_transcript_error(path: Path) -> None:
    chance = random.Random(path.name)
    text = path.read_text("utf-8")
    ways = places(json.loads(text))
    short = [way for way in ways if len(way) <= 4]
    outcomes: list[Transcript | str] = []
    for _ in range(N_BROKEN):
        document = json.loads(text)
        breaks(document, chance.choice(short if chance.random() < 0.5 else ways), chance)
        try:
            outcomes.append(read_transcript(json.dumps(document)))
        except TranscriptError as error:
            outcomes.append(str(error))
    messages = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert 0 < len(messages) < N_BROKEN
    assert not any("homework" in message for message in messages)


@pytest.mark.parametrize("path", JSON_FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_each_fixture_is_recognised_by_one_reader_only(path: Path) -> None:
    from detector.formats import readers

    source = open_source(path.read_bytes())
    names = [reader.name for reader in readers() if reader.recognises(source)]
    # Whisper's shape is part of WhisperX's, which is asked first.
    assert names in (["whisperx", "whisper"], [read_transcript(path).format])


@pytest.mark.parametrize("value", VALUES)
def test_a_document_that_is_only_a_value_is_no_format(value: Any) -> None:
    for document in (value, [value], {"results": value}, {"segments": value}, {"channels": value}):
        with pytest.raises(TranscriptError):
            read_transcript(json.dumps(document))


@pytest.mark.parametrize("key", ["results", "segments", "utterances", "Transcript", "phrases"])
def test_deep_nesting_is_refused(key: str) -> None:
    with pytest.raises(TranscriptError):
        read_transcript('{"' + key + '":' + "[" * 100_000 + "]" * 100_000 + "}")


def test_an_integer_of_ten_thousand_digits_is_refused() -> None:
    document = '{"segments": [{"start": 1, "end": ' + "9" * 10_000 + ', "text": "x"}]}'
    with pytest.raises(TranscriptError):
        read_transcript(document)


def test_half_an_emoji_is_replaced() -> None:
    transcript = read_transcript('{"segments": [{"start": 1, "end": 2, "text": "a \\ud83d b"}]}')
    assert transcript.cues[0].text == "a � b"


def test_a_whole_emoji_survives() -> None:
    transcript = read_transcript(
        '{"segments": [{"start": 1, "end": 2, "text": "a \\ud83d\\ude00 b"}]}'
    )
    assert transcript.cues[0].text == "a 😀 b"
