"""Where a codebook's wordings stand in a turn, before anything else is asked of them.

All phrases are looked up in one pass (spaCy's PhraseMatcher). A token pattern is many times
dearer, so it is tried only on turns that hold every word it cannot do without, and in an order
that a regular expression of the same words finds.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from detector.codebook import Codebook, Pattern
from detector.speech import SENTENCE_ENDS, SpeechReader, SpokenTurn

if TYPE_CHECKING:
    from spacy.matcher import Matcher
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

Match = tuple[int, int, str]
"""A range of words `[first, last)` of a SpokenTurn, and the pattern's id."""


@dataclass(slots=True)
class _TokenRow:
    """One token pattern, compiled on the first turn that may hold it.

    `needs` are sets of words; a turn without a word of each cannot match. `shape` finds a place
    wherever the row matches (and maybe where it does not), in a fiftieth of the matcher's time;
    None where the row asks for more than words.
    """

    pattern_id: str
    row: Sequence[dict[str, Any]]
    needs: tuple[frozenset[str], ...]
    matcher: "Matcher | None" = field(default=None)
    shape: re.Pattern[str] | None = field(default=None)
    is_shaped: bool = field(default=False)

    def find(self, doc: "Doc", spaced: str, vocab: "Vocab") -> Iterator[Match]:
        """The row's matches in `doc`, whose words `spaced` holds with a blank after each."""
        if not self.is_shaped:
            self.shape, self.is_shaped = _shape(self.row), True
        if self.shape and not self.shape.search(spaced):
            return
        if self.matcher is None:
            from spacy.matcher import Matcher

            self.matcher = Matcher(vocab)
            self.matcher.add(self.pattern_id, [list(self.row)])
        for _, first, last in self.matcher(doc):
            yield first, last, self.pattern_id


class PatternLookup:
    """The phrases and token patterns of a codebook, compiled. Building it imports spaCy."""

    def __init__(self, codebook: Codebook, speech: SpeechReader) -> None:
        from spacy.matcher import PhraseMatcher

        self._speech = speech
        self._vocab = speech.vocab
        self._phrases = PhraseMatcher(self._vocab)
        self._written: dict[str, tuple[str, ...]] = {}
        self._rows: defaultdict[str, list[_TokenRow]] = defaultdict(list)
        self._free_rows: list[_TokenRow] = []
        for pattern in codebook.patterns.values():
            if pattern.phrases:
                self._phrases.add(pattern.id, self._phrase_keys(pattern))
            for row in pattern.tokens:
                self._add_row(_TokenRow(pattern.id, row, _needed_words(row)))

    def find(self, words: SpokenTurn) -> list[Match]:
        """All matches in one turn, in no particular order, unchecked."""
        if not words.words:
            return []
        said = [word.text for word in words.words]
        doc, spaced = self._doc(said), "".join(f"{word} " for word in said)
        found = [
            (first, last, self._vocab.strings[key])
            for key, first, last in (self._phrases(doc) if len(self._phrases) else ())
        ]
        for row in self._rows_for(set(said)):
            found += row.find(doc, spaced, self._vocab)
        return found

    def _add_row(self, row: _TokenRow) -> None:
        """Files a row under each word of its smallest need: one of them must be said."""
        if not row.needs:
            self._free_rows.append(row)
            return
        for word in min(row.needs, key=len):
            self._rows[word].append(row)

    def _rows_for(self, said: set[str]) -> Iterator[_TokenRow]:
        """Rows whose needs are all met, each once."""
        yield from self._free_rows
        asked = {id(row): row for word in said if word in self._rows for row in self._rows[word]}
        for row in asked.values():
            if all(not need.isdisjoint(said) for need in row.needs):
                yield row

    def _doc(self, words: list[str]) -> "Doc":
        from spacy.tokens import Doc

        return Doc(self._vocab, words=words)

    def _phrase_keys(self, pattern: Pattern) -> Any:
        """The pattern's phrases as spoken words, each word by its key in the vocabulary.

        `add` takes keys as well as Docs (a copied PhraseMatcher is rebuilt from them), and tens
        of thousands of Docs would cost most of a cold start.
        """
        add = self._vocab.strings.add
        return [
            [add(word) for written in phrase.split() for word in self._spoken_words(written)]
            for phrase in pattern.phrases
        ]

    def _spoken_words(self, written: str) -> tuple[str, ...]:
        known = self._written.get(written)
        if known is None:
            known = tuple(word.text for word in self._speech.read(written).words)
            if written in SENTENCE_ENDS:  # alone it ends nothing, and would be dropped
                known = (written,)
            self._written[written] = known
        return known


def _needed_words(row: Sequence[dict[str, Any]]) -> tuple[frozenset[str], ...]:
    """For each token that must be there, the words it may be; tokens that may be any are left."""
    needs = []
    for token in row:
        allowed = token.get("ORTH", token.get("LOWER"))
        if token.get("OP", "1") not in ("1", "+"):
            continue
        if isinstance(allowed, str):
            needs.append(frozenset({allowed}))
        elif isinstance(allowed, dict) and set(allowed) == {"IN"}:
            needs.append(frozenset(allowed["IN"]))
    return tuple(needs)


def _shape(row: Sequence[dict[str, Any]]) -> re.Pattern[str] | None:
    """The row as a regular expression over words with a blank after each.

    None for a row that asks for anything but words, or for a token that is not there ("!").
    """
    parts: list[str] = []
    for token in row:
        operator = token.get("OP", "1")
        allowed = token.get("ORTH", token.get("LOWER"))
        known = set(token) <= {"ORTH", "OP"} or set(token) <= {"LOWER", "OP"}
        word = _word_shape(allowed)
        if not known or word is None or not re.fullmatch(r"[1?*+]|\{\d*,?\d*\}", operator):
            return None
        parts.append(f"(?:{word} ){'' if operator == '1' else operator}")
    return re.compile("(?:(?<= )|^)" + "".join(parts), re.IGNORECASE)


def _word_shape(allowed: object) -> str | None:
    """One word as a regular expression; None where the pattern's condition is another."""
    if allowed is None:
        return "[^ ]+"
    if isinstance(allowed, str):
        return re.escape(allowed)
    if isinstance(allowed, dict) and set(allowed) == {"IN"}:
        return f"(?:{'|'.join(map(re.escape, allowed['IN']))})"
    if isinstance(allowed, dict) and set(allowed) == {"NOT_IN"}:
        # A word that differs only in case is let through: the matcher decides.
        return "[^ ]+"
    return None
