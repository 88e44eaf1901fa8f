"""Whether a hit is the client's own word: cases are invented, each with one complaint in it."""

import pytest

from detector.codebook import load_codebook
from detector.quotation import Quotation
from detector.speech import SpeechReader

COMPLAINTS = (["you", "never", "listen"], ["you", "do", "not", "get", "it"], ["this", "is", "mad"])


@pytest.fixture(scope="module")
def reader() -> SpeechReader:
    return SpeechReader(load_codebook().spoken)


@pytest.fixture(scope="module")
def quotation() -> Quotation:
    return Quotation(load_codebook().spoken)


def _is_quoted(quotation: Quotation, reader: SpeechReader, text: str) -> bool:
    words = reader.read(text)
    texts = [word.text for word in words.words]
    for complaint in COMPLAINTS:
        for first in range(len(texts)):
            if texts[first : first + len(complaint)] == complaint:
                return quotation.holds(text, words, first, first + len(complaint))
    raise AssertionError("the case holds no complaint")


@pytest.mark.parametrize(
    "text",
    [
        "I was like, you don't get it.",
        "And I'm like you never listen, man.",
        "My wife's always like you never listen.",
        "She was all, you don't get it.",
        "He's like, this is mad.",
        "She believes you never listen.",
        "My husband shouts you never listen and leaves.",
        "Telling me, over and over, that you never listen.",
        "The guy at the garage told me you don't get it.",
        "My wife tells me every single day of my life, rain or shine, that you never listen.",
        "According to my mum you never listen.",
        "According to her, you never listen.",
    ],
)
def test_what_another_says_or_the_client_once_said_is_quoted(
    quotation: Quotation, reader: SpeechReader, text: str
) -> None:
    assert _is_quoted(quotation, reader, text)


@pytest.mark.parametrize(
    "text",
    [
        "You never listen, that's what my wife says.",
        "You never listen. That's what she tells me, every day.",
        "You never listen to a word I say - that's how my dad says it.",
        "You never listen, my wife always says.",
        "You never listen, or so my boss thinks.",
        "You don't get it, says my husband.",
        "You don't get it according to my wife.",
    ],
)
def test_what_is_ascribed_to_another_afterwards_is_quoted(
    quotation: Quotation, reader: SpeechReader, text: str
) -> None:
    assert _is_quoted(quotation, reader, text)


@pytest.mark.parametrize(
    "text",
    [
        "You never listen.",
        "I feel like you never listen.",
        "Just like my mother, you never listen.",
        "He is like that. You never listen.",
        "My husband is like the rest, you never listen.",
        "She was all in tears and you never listen.",
        "I was like a child and this is mad.",
        "I told my wife I'd come, but you never listen.",
        "They said it would help, but you don't get it.",
        "Stop telling me that, you don't get it.",
        "You told me you never listen.",
        "I'm telling you, you don't get it.",
        "According to you, you never listen badly.",
        "You never listen, and that is what I hate.",
        "You never listen, my wife says she would have left.",
        "You never listen, I say it every week.",
    ],
)
def test_what_the_client_says_to_the_therapist_is_not_quoted(
    quotation: Quotation, reader: SpeechReader, text: str
) -> None:
    assert not _is_quoted(quotation, reader, text)


def test_a_quotation_far_before_the_match_is_over(
    quotation: Quotation, reader: SpeechReader
) -> None:
    far = "My wife said I ought to come and see whether it helps at all and you never listen."
    assert not _is_quoted(quotation, reader, far)
