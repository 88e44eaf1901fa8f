import json
from typing import Any

from detector import read_transcript


def ids(*turns: dict[str, Any]) -> list[str]:
    data = json.dumps({"turns": [{"speaker": "A", "text": "hello", **turn} for turn in turns]})
    return [cue.cue_id for cue in read_transcript(data.encode()).cues]


def test_ids_that_are_given_come_back() -> None:
    assert ids({"cue_id": "x-1"}, {"cue_id": 7}) == ["x-1", "7"]


def test_a_turn_without_an_id_is_known_by_its_place() -> None:
    assert ids({}, {"cue_id": "x"}, {"cue_id": None}) == ["1", "x", "3"]


def test_a_given_id_stays_where_it_is_also_another_turns_place() -> None:
    assert ids({"cue_id": "2"}, {}, {"cue_id": 1}) == ["2", "turns[1]", "1"]
