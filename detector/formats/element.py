"""One value of a parsed document that knows where it stands in it.

Recogniser files miss keys and change types. Whatever a reader takes from one it takes through
`Element`, so that a broken place ends in a `MalformedTranscript` with its path and never in a
`KeyError`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from detector.errors import MalformedTranscript
from detector.formats.source import Reading, number
from detector.transcript import Word


class Element:
    """A value inside a document. `str()` gives its path, such as `utterances[3].start`.

    The path is put together only when somebody asks: a session has a hundred thousand words,
    and an error names one of them.
    """

    __slots__ = ("_key", "_parent", "value")

    def __init__(self, value: object, parent: "Element | None" = None, key: str | int = "") -> None:
        self.value: Any = value
        self._parent = parent
        self._key = key

    def __str__(self) -> str:
        steps: list[str] = []
        here = self
        while here._parent is not None:
            steps.append(f"[{here._key}]" if isinstance(here._key, int) else f".{here._key}")
            here = here._parent
        return "".join(reversed(steps)).removeprefix(".") or "document"

    def malformed(self, reason: str) -> MalformedTranscript:
        """An error that names this place. `reason` must quote nothing from the file."""
        return MalformedTranscript(reason, element=str(self))

    def child(self, key: str) -> "Element":
        """What the object has under this key; its value is None where the key is missing.

        Raises: MalformedTranscript: this is not an object.
        """
        if not isinstance(self.value, dict):
            raise self.malformed("an object is expected")
        return Element(self.value.get(key), self, key)

    def has(self, key: str) -> bool:
        """Whether the object has anything but null under this key.

        Raises: MalformedTranscript: this is not an object.
        """
        return self.child(key).value is not None

    def items(self) -> list["Element"]:
        """The elements of the list.

        Raises: MalformedTranscript: this is not a list.
        """
        if not isinstance(self.value, list):
            raise self.malformed("a list is expected")
        return [Element(value, self, place) for place, value in enumerate(self.value)]

    def elements(self, key: str) -> list["Element"]:
        """The elements of the list under this key, none where it is missing or null.

        Raises: MalformedTranscript: there is something else than a list.
        """
        found = self.child(key)
        return [] if found.value is None else found.items()

    def text(self, key: str) -> str:
        """The text under this key, without white space around it; it may be empty.

        Raises: MalformedTranscript: it is missing, null or not a text.
        """
        found = self.child(key)
        if not isinstance(found.value, str):
            raise found.malformed("a text is expected")
        return found.value.strip()

    def label(self, *keys: str) -> str | None:
        """An id or a speaker's label under the first of these keys that has one.

        A number is a label too, 0 as good as any. None where all are missing, null or blank.

        Raises: MalformedTranscript: there is something that is neither text nor whole number.
        """
        for key in keys:
            found = self.child(key)
            value = found.value
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if isinstance(value, bool) or not isinstance(value, (str, int, type(None))):
                raise found.malformed("a label is expected")
            if value is not None and str(value).strip():
                return str(value).strip()
        return None

    def seconds(self, key: str, *, per_second: float = 1.0) -> float:
        """The time under this key, in seconds.

        Args:
            key: where it stands.
            per_second: how many of the file's units make a second, 1,000 for milliseconds.

        Raises: MalformedTranscript: it is missing, null or no finite number.
        """
        found = self.child(key)
        return number(found.value, found, per_second=per_second)

    def clock(self, key: str, *, per_second: float = 1.0) -> float | None:
        """Like `seconds`, and None where the time is missing or null."""
        found = self.child(key)
        if found.value is None:
            return None
        return number(found.value, found, per_second=per_second)

    def word(
        self, reading: Reading, keys: Sequence[str], start: str, end: str, per_second: float = 1.0
    ) -> Word:
        """One recognised word, its times None where the file has none.

        Args:
            reading: where a time that had to be mended is noted.
            keys: where the word may stand, the best first.
            start: key of its start.
            end: key of its end.
            per_second: the unit of both.
        """
        key = next((key for key in keys if self.has(key)), keys[-1])
        span = reading.span(
            self.clock(start, per_second=per_second), self.clock(end, per_second=per_second), self
        )
        return Word(self.text(key), *span)


def spoken(
    reading: Reading, elements: Sequence[Element], key: str
) -> Iterator[tuple[str, Element, str]]:
    """The elements that hold speech, as (1-based place, element, text); the rest is dropped.

    Counts every element into the reading's `n_found`.

    Raises: MalformedTranscript: an element is not an object with a text under this key.
    """
    reading.n_found += len(elements)
    for place, element in enumerate(elements, start=1):
        text = element.text(key)
        if text:
            yield str(place), element, text
        else:
            reading.drop(str(element), "empty text")


def peek(document: object, *keys: str | int) -> Any:
    """What stands at the end of this way into a document, None where the way breaks off.

    For telling formats apart; never raises.
    """
    for key in keys:
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and isinstance(key, int) and len(document) > key:
            document = document[key]
        else:
            return None
    return document


def is_object(value: object, *keys: str) -> bool:
    """Whether this is an object that has all these keys, null or not. Never raises."""
    return isinstance(value, dict) and all(key in value for key in keys)
