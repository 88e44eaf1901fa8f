"""What tells who somebody is by its shape: mail and street addresses, numbers, dates, spellings.

Patterns alone, for text as people write it and as recognisers write what was said.
"""

import re
from itertools import pairwise

from detector.transcript import Turn
from service.tags import TAG

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
"""Without May, which is a word: "the first may have been"."""

_UNITS = "one|two|three|four|five|six|seven|eight|nine"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_TEENS = (
    "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|hundred|oh"
)
_ORDINAL = (
    r"(?:[0-3]?\d(?:st|nd|rd|th)?|(?:(?:twenty|thirty)[ -])?(?:first|second|third|fourth|fifth"
    r"|sixth|seventh|eighth|ninth)|tenth|eleventh|twelfth|(?:thir|four|fif|six|seven|eigh|nine)"
    r"teenth|twentieth|thirtieth)"
)
_YEAR = (
    r"(?:,? (?:(?:19|20)\d\d|(?:nineteen|twenty)"
    rf"(?:[ -](?:{_TENS}|{_TEENS}|{_UNITS})){{1,2}}))?"
)
_DIGIT = rf"(?:zero|oh|double|triple|{_UNITS})"
_TLD = r"(?:com|org|net|edu|gov|info|io|co|uk|ie|de|fr|nl|eu|ca|au|nz|app|dev)"
"""Without those that are words ("home.it was"), as a full stop without its space reads so."""

_SPOKEN_TLD = r"(?:com|org|net|edu|gov|io|co dot uk|co uk)"
_SURE_STREET = r"(?:street|road|avenue|lane|boulevard|crescent|terrace)"
_STREET = (
    r"(?:Street|Road|Avenue|Lane|Boulevard|Crescent|Terrace|Drive|Close|Court|Place|Square|Grove"
    r"|Gardens|Way|St|Rd|Ave|Blvd|Ln)"
)
_HOUSE = rf"(?:\d{{1,5}}[A-Za-z]?|(?:(?:{_TENS}|{_UNITS})[ -]?){{1,3}})"

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, flags))
    for kind, pattern, flags in (
        ("EMAIL", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}", 0),
        (
            "EMAIL",
            r"\b\w{1,40}(?: (?:dot|underscore|dash|hyphen) \w{1,40}){0,4} at \w{1,40}"
            rf"(?: dot \w{{1,40}}){{0,2}} dot {_SPOKEN_TLD}\b",
            re.I,
        ),
        ("URL", r"\b(?:https?://|www\.)[^\s<>\"”)\]]{1,2000}(?<![.,;:!?])", re.I),
        (
            "URL",
            rf"(?<![\w.@-])(?:[a-z0-9-]{{1,63}}\.){{1,4}}{_TLD}\b(?:/[^\s<>\"”)\]]{{0,500}})?",
            re.I,
        ),
        ("URL", rf"\b(?:www dot )?\w{{2,40}} dot {_SPOKEN_TLD}\b", re.I),
        ("ACCOUNT", r"(?<![\w@])@[\w.]{1,40}\w\b", 0),
        ("NUMBER", r"(?<![\w-])\d{3}[- ]\d{2}[- ]\d{4}(?![\w-])", 0),
        ("DATE", r"(?<![\d/.-])\d{1,4}([/.-])\d{1,2}\1\d{2,4}(?![\d/-])", 0),
        ("DATE", rf"\b(?:the )?{_ORDINAL}(?: of)? {_MONTH}(?![a-z]){_YEAR}", re.I),
        ("DATE", rf"\b(?:the )?{_ORDINAL} of may\b{_YEAR}", re.I),
        ("DATE", rf"\b{_MONTH} (?:the )?{_ORDINAL}\b{_YEAR}", re.I),
        ("DATE", rf"\bmay (?:the {_ORDINAL}|[0-3]?\d(?:st|nd|rd|th)?)\b{_YEAR}", re.I),
        ("PHONE", r"(?<![\w.,])\+?\(?\d(?:[ ().-]{0,2}\d){6,14}(?!\w)", 0),
        ("NUMBER", rf"\b{_DIGIT}(?:[ ,-]{{1,2}}{_DIGIT}){{5,20}}\b", re.I),
        ("NUMBER", r"(?<![\w.,])[A-Za-z]{0,4}-?\d{5,20}(?:-\d{4})?(?!\w)", 0),
        (
            "ADDRESS",
            r"\b(?:(?:flat|apartment|apt|unit) \w{1,5},? )?"
            rf"{_HOUSE} ?(?:[^\W\d_][\w'’.-]{{0,24}} ){{1,3}}{_SURE_STREET}\b",
            re.I,
        ),
        ("ADDRESS", rf"\b(?:\d{{1,5}}[A-Za-z]? )?(?:[A-Z][\w'’-]{{1,24}} ){{1,3}}{_STREET}\b", 0),
        ("ADDRESS", r"\b[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b", 0),
        ("SPELLING", r"\b([A-Za-z])-(?!\1\b)[A-Za-z](?:-[A-Za-z]){1,14}\b", 0),
    )
)
"""What is found by its shape, the surest first; every repeat is bounded, so that the time grows
with the text and no faster. Spoken forms are those that recognisers write."""


def identifiers(turn: Turn) -> list[tuple[int, int, str]]:
    """What is found by its shape: places and kinds in order, none over another.

    Tags that the text had before are among them, with no kind: they stay as they are.
    """
    taken = bytearray(len(turn.text))
    found: list[tuple[int, int, str]] = []
    for kind, pattern in (("", TAG), *_PATTERNS):
        for match in pattern.finditer(turn.text):
            start, end = match.span()
            if any(taken[start:end]) or (kind == "NUMBER" and _is_counting(match[0])):
                continue
            taken[start:end] = b"\1" * (end - start)
            found.append((start, end, kind))
    return sorted(found)


def _is_counting(text: str) -> bool:
    """Whether digits in words only go up or down by one, as in a breathing exercise."""
    order = ["zero", *_UNITS.split("|")]
    values = [order.index(word) for word in re.findall(r"[a-z]+", text.lower()) if word in order]
    steps = {later - earlier for earlier, later in pairwise(values)}
    return len(values) > 1 and len(steps) == 1 and steps <= {1, -1}
