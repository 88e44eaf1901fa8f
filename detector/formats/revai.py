"""Rev.ai transcripts: `monologues[]` made of `elements[]`, text and punctuation.

A space is an element too, so the values are joined as they are. Only text elements have times
(`ts`, `end_ts`). Speakers count from 0; `speaker_info.display_name` may name them.
"""

from detector.formats.element import Element, peek
from detector.formats.source import Reader, Reading, Source, labelled_role
from detector.transcript import Cue, Word

_STOPS = (".", "?", "!")


def recognises(source: Source) -> bool:
    """`monologues` whose first has elements, or none at all."""
    monologues = peek(source.document, "monologues")
    return isinstance(monologues, list) and (
        not monologues or isinstance(peek(monologues, 0, "elements"), list)
    )


def read(source: Source) -> Reading:
    """Reads every monologue as one cue."""
    reading = Reading()
    monologues = Element(source.document).elements("monologues")
    reading.n_found = len(monologues)
    names = _names(monologues)
    for place, monologue in enumerate(monologues, start=1):
        elements = monologue.child("elements").items()
        text = _join(elements)
        if not text:
            reading.drop(str(monologue), "empty text")
            continue
        speaker = monologue.label("speaker")
        words = _read_words(reading, elements)
        reading.add(_cue(names.get(speaker, speaker), text, words, str(place)))
    return reading


def _cue(speaker: str | None, text: str, words: tuple[Word, ...], cue_id: str) -> Cue:
    start = next((word.start_s for word in words if word.start_s is not None), None)
    end = max((word.end_s for word in words if word.end_s is not None), default=None)
    if end is not None and (start is None or end < start):
        end = None
    # A text element that holds a whole sentence has the sentence's times, not its words'.
    single = all(len(word.text.split()) == 1 for word in words)
    own = words if single else ()
    return Cue(cue_id, speaker, text, start, end, own, labelled_role(speaker))


def _names(monologues: list[Element]) -> dict[str | None, str]:
    """Display name of each speaker; none at all if two speakers share one."""
    names: dict[str | None, str] = {}
    for monologue in monologues:
        info = monologue.child("speaker_info")
        name = info.label("display_name") if info.value is not None else None
        if name is not None:
            names.setdefault(monologue.label("speaker"), name)
    return names if len(set(names.values())) == len(names) else {}


def _join(elements: list[Element]) -> str:
    """The values as they are, but no second full stop where a text ends with its own."""
    text = ""
    pieces: list[str] = []
    for element in elements:
        value = element.child("value").value
        if not isinstance(value, str):
            raise element.child("value").malformed("a text is expected")
        if value.strip() in _STOPS and text.rstrip().endswith(_STOPS):
            continue
        pieces.append(value)
        text = value if value.strip() else text
    return "".join(pieces).strip()


def _read_words(reading: Reading, elements: list[Element]) -> tuple[Word, ...]:
    return tuple(
        element.word(reading, ("value",), "ts", "end_ts")
        for element in elements
        if element.label("type") == "text"
    )


READERS = (
    Reader(
        name="revai",
        title="Rev.ai transcript JSON",
        recognises=recognises,
        read=read,
        example='{"monologues": [{"speaker": 0, "elements": '
        '[{"type": "text", "value": "…", "ts": 1.0, "end_ts": 1.4}]}]}',
    ),
)
