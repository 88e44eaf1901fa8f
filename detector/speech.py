"""Spoken English brought to one form, so that a pattern need not know how people stumble.

"I, um, I-I don't-- don't think so" is read as the words `i do not think so`, each with its
place in the text. Fillers and stutters go, contractions open, what stands in brackets becomes
one event word. Only sentence ends stay of the punctuation: recognisers set commas at random.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from detector.codebook import Spoken

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

SENTENCE_ENDS = frozenset({".", "?", "!", "…"})

_SAME_LENGTH = str.maketrans({"-": " ", "–": " ", "—": " ", "’": "'", "‘": "'", "`": "'"})
"""Dashes part words (people stutter with them), curly apostrophes become straight; no
character is added or lost, so that offsets into the text stay true."""

_BRACKET = re.compile(r"[\[(]\s*([a-z]+)[^\])]{0,40}[\])]", re.IGNORECASE)
"""A transcriber's remark such as `[laughs]` or `(long pause)`."""

_UNBROKEN = re.compile(r"(\S{199})\S")
"""A stretch without white space longer than anyone speaks or types. spaCy takes marks off both
ends of a stretch one at a time, and copies the rest each time: 200,000 question marks in one
would take hours."""

_SENTENCE_REACH = 60

_LONGEST_STUTTER = 4
"""Words of the longest repeat that counts as a stutter ("do you do you")."""


class SpokenWord(NamedTuple):
    """One word after normalising, and its place `[start, end)` in the text, in code points."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """One turn's words. `words` hold sentence ends too; `n_words` leaves them and events out."""

    words: tuple[SpokenWord, ...] = field(repr=False)
    n_words: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_words", sum(is_word(word.text) for word in self.words))

    def sentence(self, position: int) -> range:
        """Positions of the sentence that holds this word, its end mark included.

        Looks no further than 60 words to either side: recognisers may set no full stops.
        """
        floor, ceiling = position - _SENTENCE_REACH, position + _SENTENCE_REACH
        first = position
        while first > max(0, floor) and self.words[first - 1].text not in SENTENCE_ENDS:
            first -= 1
        last = position
        while (
            last < min(len(self.words) - 1, ceiling) and self.words[last].text not in SENTENCE_ENDS
        ):
            last += 1
        return range(first, last + 1)


def is_word(text: str) -> bool:
    """Whether a normalised word is speech, not a sentence end or an event."""
    return text not in SENTENCE_ENDS and not text.startswith("[")


def _import_spacy() -> Any:
    """The spaCy module, imported without torch.

    thinc, under spaCy, imports torch wherever it is installed: seconds and hundreds of MiB for a
    tokenizer. While spaCy is first imported, torch therefore passes for not installed (None in
    `sys.modules` is Python's own way to say so), and thinc does without. Afterwards it can be
    imported as ever. A process that has torch or spaCy already, as in training, is left alone.
    """
    if "torch" in sys.modules or "spacy" in sys.modules:
        import spacy

        return spacy
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        import spacy
    finally:
        del sys.modules["torch"]
    return spacy


class SpeechReader:
    """Turns text into spoken words. Holds spaCy's blank English tokenizer.

    spaCy is imported when the first reader is built, not when this file is.
    """

    def __init__(self, spoken: Spoken) -> None:
        nlp = _import_spacy().blank("en")
        self.vocab: Vocab = nlp.vocab
        self._tokenizer: Any = nlp.tokenizer
        self._spoken = spoken

    def read(self, text: str) -> SpokenTurn:
        """The words of one turn."""
        return next(self.read_all([text]))

    def read_all(self, texts: Iterable[str]) -> Iterator[SpokenTurn]:
        """The words of many turns, in order."""
        originals = list(texts)
        masked = (self._mask(text) for text in originals)
        for text, doc in zip(originals, self._tokenizer.pipe(masked), strict=True):
            events = {match.start(): match for match in _BRACKET.finditer(text)}
            words = [*self._words(doc), *self._events(events.values())]
            yield SpokenTurn(tuple(self._tidy(sorted(words, key=lambda word: word.start))))

    def _mask(self, text: str) -> str:
        """The text with remarks blanked out and endless stretches parted, equally long.

        Square brackets are a transcriber's; what stands in round ones may have been said, so
        only a known remark goes.
        """

        def hide(match: re.Match[str]) -> str:
            is_remark = match[0].startswith("[") or match[1].lower() in self._spoken.events
            return " " * len(match[0]) if is_remark else match[0]

        return _UNBROKEN.sub(r"\1 ", _BRACKET.sub(hide, text).translate(_SAME_LENGTH))

    def _events(self, matches: Iterable[re.Match[str]]) -> Iterator[SpokenWord]:
        for match in matches:
            name = self._spoken.events.get(match.group(1).lower())
            if name:
                yield SpokenWord(name, match.start(), match.end())

    def _words(self, doc: "Doc") -> Iterator[SpokenWord]:
        for token in doc:
            # spaCy reads "didn't" as "do not", which would lose that it is over.
            text = "did" if token.lower_ == "did" else token.norm_.lower()
            start, end = token.idx, token.idx + len(token)
            if text and text[0] in SENTENCE_ENDS:
                yield SpokenWord(text[0], start, end)
            elif any(character.isalnum() for character in text):
                for form in self._spoken.forms.get(text, (text,)):
                    yield SpokenWord(form, start, end)

    def _tidy(self, words: Sequence[SpokenWord]) -> list[SpokenWord]:
        """Without fillers, unless there is nothing else, and without stutters."""
        spoken = [word for word in words if word.text not in self._spoken.fillers]
        if not any(is_word(word.text) for word in spoken):
            spoken = list(words)
        tidy: list[SpokenWord] = []
        for word in spoken:
            if word.text in SENTENCE_ENDS and (not tidy or tidy[-1].text in SENTENCE_ENDS):
                continue
            tidy.append(word)
            _drop_stutter(tidy)
        return tidy


def _drop_stutter(words: list[SpokenWord]) -> None:
    """If the last few words repeat the few before them, only the later ones stay."""
    for length in range(1, _LONGEST_STUTTER + 1):
        later, earlier = words[-length:], words[-2 * length : -length]
        same = [word.text for word in later] == [word.text for word in earlier]
        if same and is_word(later[-1].text):
            del words[-2 * length : -length]
            return
