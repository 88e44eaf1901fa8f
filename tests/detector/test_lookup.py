from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.matcher import Matcher
from spacy.tokens import Doc

from detector.codebook import Codebook, Marker, Pattern, load_codebook
from detector.lookup import PatternLookup
from detector.speech import SpeechReader, SpokenTurn, SpokenWord

ROWS: tuple[tuple[dict[str, Any], ...], ...] = (
    ({"ORTH": "a"}, {"ORTH": "b"}),
    ({"LOWER": {"IN": ["a", "c"]}}, {"OP": "?"}, {"LOWER": "d"}),
    ({"ORTH": "b", "OP": "?"}, {"ORTH": "d"}),
    ({"ORTH": "c", "OP": "+"},),
    ({"ORTH": {"NOT_IN": ["a", "b"]}}, {"ORTH": "a"}),
    ({"ORTH": "a"}, {"ORTH": "b", "OP": "!"}),
    ({"ORTH": "c", "OP": "{2}"},),
    ({"IS_ALPHA": True}, {"ORTH": "?"}),
    ({"ORTH": "a"}, {"ORTH": {"IN": ["b", "c"]}, "OP": "*"}, {"ORTH": "d"}),
    ({"ORTH": {"NOT_IN": ["d"]}, "OP": "{1,3}"}, {"ORTH": {"IN": ["d", "?"]}}),
    ({"OP": "?"}, {"ORTH": "e"}, {"OP": "+"}),
)


def entry(name: str, **more: Any) -> Pattern:
    return Pattern(name, "m", "a test", "0", ("C: x",), **more)


@pytest.fixture(scope="module")
def speech() -> SpeechReader:
    return SpeechReader(load_codebook().spoken)


def lookup(speech: SpeechReader, *patterns: Pattern) -> PatternLookup:
    markers = {"m": Marker("m", "denial", "client", "M", "M.")}
    known = {pattern.id: pattern for pattern in patterns}
    return PatternLookup(Codebook("0", markers, known, load_codebook().spoken), speech)


def spoken(words: list[str]) -> SpokenTurn:
    return SpokenTurn(tuple(SpokenWord(word, n, n + 1) for n, word in enumerate(words)))


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e", "?"]), max_size=10))
def test_trying_token_patterns_only_where_their_words_are_misses_none(
    speech: SpeechReader, words: list[str]
) -> None:
    patterns = [entry(f"m.{n}", tokens=(row,)) for n, row in enumerate(ROWS)]
    everything = Matcher(speech.vocab)
    for pattern in patterns:
        everything.add(pattern.id, [list(row) for row in pattern.tokens])
    plain = (
        {
            (first, last, speech.vocab.strings[key])
            for key, first, last in everything(Doc(speech.vocab, words=words))
        }
        if words
        else set()
    )
    assert set(lookup(speech, *patterns).find(spoken(words))) == plain


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        ("i do not know", "I don't know."),
        ("I don't know", "I do not know"),
        ("it is gonna rain", "It's going to rain"),
        ("is that so ?", "is that so?"),
    ],
)
def test_a_phrase_is_read_as_speech_is(speech: SpeechReader, phrase: str, said: str) -> None:
    found = lookup(speech, entry("m.a", phrases=(phrase,))).find(speech.read(said))
    assert [pattern_id for _, _, pattern_id in found] == ["m.a"]


def test_a_turn_without_words_has_no_match(speech: SpeechReader) -> None:
    assert lookup(speech, entry("m.a", phrases=("a",))).find(spoken([])) == []


def test_a_codebook_without_phrases_finds_its_token_patterns(speech: SpeechReader) -> None:
    only = lookup(speech, entry("m.a", tokens=(({"ORTH": "a"},),)))
    assert only.find(spoken(["b", "a"])) == [(1, 2, "m.a")]
