"""Our own canonical JSON: `{"turns": [{"speaker", "role", "start_s", "end_s", "text", "cue_id"}]}`.

Only `speaker` and `text` are required. Other keys are left alone.
"""

from typing import Any

from detector.errors import MalformedTranscript
from detector.formats.source import Reader, Reading, Source, number
from detector.transcript import Cue, Role


def recognises(source: Source) -> bool:
    """A JSON object whose `turns` is a list of objects, the first with a text."""
    document = source.document
    turns = document.get("turns") if isinstance(document, dict) else None
    return isinstance(turns, list) and all(isinstance(t, dict) and "text" in t for t in turns[:1])


def read(source: Source) -> Reading:
    """Reads every turn as one cue; a turn with empty text is dropped and counted.

    A turn without an id is known by its place; where another turn was given that very id, by
    its element, so that ids which are given stay as they are.
    """
    turns: list[Any] = source.document["turns"]  # type: ignore[index]
    reading = Reading(n_found=len(turns))
    given = {str(turn.get("cue_id")) for turn in turns if isinstance(turn, dict)}
    for place, turn in enumerate(turns):
        element = f"turns[{place}]"
        if not isinstance(turn, dict):
            raise MalformedTranscript("an object is expected", element=element)
        text = turn.get("text")
        if not isinstance(text, str):
            raise MalformedTranscript("a text is expected", element=f"{element}.text")
        if not text.strip():
            reading.drop(element, "empty text")
            continue
        own_id = element if str(place + 1) in given else str(place + 1)
        reading.add(_read_turn(reading, turn, text, element, own_id))
    return reading


def _read_turn(reading: Reading, turn: dict[str, Any], text: str, element: str, own_id: str) -> Cue:
    start, end = (
        None if turn.get(key) is None else number(turn[key], f"{element}.{key}")
        for key in ("start_s", "end_s")
    )
    start, end = reading.span(start, end, element)
    cue_id = turn.get("cue_id")
    return Cue(
        cue_id=own_id if cue_id is None else str(cue_id),
        speaker=_read_speaker(turn.get("speaker"), element),
        text=text,
        start_s=start,
        end_s=end,
        role=_read_role(turn.get("role"), element),
    )


def _read_speaker(value: object, element: str) -> str:
    """The label as text; a number such as 0 is a label too."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise MalformedTranscript("a speaker is expected", element=f"{element}.speaker")
    return str(value)


def _read_role(value: Any, element: str) -> Role:
    if value is None:
        return Role.UNKNOWN
    role = next((role for role in Role if role == value), None)
    if role is None:
        known = ", ".join(Role)
        raise MalformedTranscript(f"role must be one of {known}", element=f"{element}.role")
    return role


READERS = (
    Reader(
        name="canonical",
        title="Our canonical JSON",
        recognises=recognises,
        read=read,
        example='{"turns": [{"speaker": "A", "text": "…", "start_s": 1.0, "end_s": 2.5}]}',
    ),
)
