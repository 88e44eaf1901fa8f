"""How therapists and clients talk differently, counted: who of two speakers is the therapist.

Therapists ask, reflect, structure and say "you"; clients tell, and say "I" and "they". The signs
and their fitted weights stand in `weights/roles.toml`; how well they tell is in docs/roles.md.
Words are told by a plain split: this file loads neither spaCy nor numpy.
"""

import dataclasses
import functools
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from detector.errors import CodebookError
from detector.transcript import Transcript

MOST_SURE = 0.99
"""No inference claims more. It was measured on 323 sessions; even without one error among them
the rule of three (3 / 323) supports an error rate of no less than about 1 %."""

SHORT_TURN = 3
"""Words of the longest turn that counts as short: "mm-hmm, yeah, okay"."""

_ENGLISH_SHARE = 0.12
"""Least share of words that are English function words. No session of AnnoMI or of the invented
ones has less than 0.25; samples of eight other languages had none, romanised Tamil 0.05."""

_TOO_FEW_WORDS = 20
"""Below this many words in Latin script, talk is not said to be another language."""

_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\S+",
        "the and you your that that's it it's are were be have has with this they what how when "
        "where why who but not just like yeah know think would could should about there can't "
        "don't didn't i'm i've i'd you're she his because if really well right get got going "
        "thing things can from did him their which than",
    )
)
"""English words that other languages in Latin script hardly have: no "is", "was", "of" or "we",
which are Dutch too, no "to", "do" or "a"."""

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\?")
_LATIN = re.compile(r"[a-zà-öø-ÿ]", re.IGNORECASE)
_PERS = ("word", "opening", "turn", "session")


@dataclass(frozen=True, slots=True)
class Sign:
    """One way in which therapists and clients talk differently.

    `per` says what is counted: phrases a "word", turns that open with one ("opening"), turns of
    a kind ("turn"), or a fact of the session ("session"). `rate` is how often it comes with
    speakers of both roles; `weight` is the log-odds of being the therapist for each unit of
    difference (see `differences`). Both are fitted by `training.roles`.
    """

    id: str
    per: str
    phrases: tuple[str, ...]
    rate: float
    weight: float


@dataclass(frozen=True)
class RoleSigns:
    """All signs, in the order of the file, and how strongly few observations are drawn to 0.

    `pseudo_count` is added to what was counted and to what was expected: a sign seen once where
    one was expected says little, and no talk at all says nothing.
    """

    name: str
    pseudo_count: float
    signs: tuple[Sign, ...]

    @functools.cached_property
    def by_first_word(self) -> Mapping[str, tuple[tuple[tuple[str, ...], int, bool], ...]]:
        """Phrases by their first word: (words, place of the sign, only at a turn's opening)."""
        found: dict[str, list[tuple[tuple[str, ...], int, bool]]] = {}
        for place, sign in enumerate(self.signs):
            for phrase in sign.phrases:
                words = tuple(phrase.split())
                found.setdefault(words[0], []).append((words, place, sign.per == "opening"))
        return {word: tuple(entries) for word, entries in found.items()}

    @functools.cached_property
    def places(self) -> Mapping[str, int]:
        """Place of each sign by its id."""
        return {sign.id: place for place, sign in enumerate(self.signs)}


@functools.cache
def load_signs() -> RoleSigns:
    """The signs and weights of `weights/roles.toml`. Raises: CodebookError: it is broken."""
    path = files("detector") / "weights" / "roles.toml"
    return read_signs(tomllib.loads(path.read_text("utf-8")))


def read_signs(document: Mapping[str, object]) -> RoleSigns:
    """Signs from a parsed TOML document. Raises: CodebookError: an entry is missing or wrong."""
    entries = document.get("sign")
    if not isinstance(entries, list) or not entries:
        raise CodebookError("roles", "there are no signs")
    signs = tuple(_read_sign(entry) for entry in entries)
    pseudo_count = document.get("pseudo_count")
    if not isinstance(pseudo_count, float) or pseudo_count <= 0:
        raise CodebookError("roles", "pseudo_count must be above 0")
    return RoleSigns(str(document.get("name", "")), pseudo_count, signs)


def _read_sign(entry: Mapping[str, object]) -> Sign:
    try:
        sign = Sign(**{"phrases": (), **entry})  # type: ignore[arg-type]
    except TypeError:
        raise CodebookError(f"roles.{entry.get('id')}", "a key is missing or unknown") from None
    if sign.per not in _PERS or not 0 < sign.rate < 1 or not math.isfinite(sign.weight):
        raise CodebookError(f"roles.{sign.id}", "per, rate or weight is out of range")
    return dataclasses.replace(sign, phrases=tuple(sign.phrases))


@dataclass(frozen=True, slots=True)
class Tally:
    """What one speaker's turns hold: `counts` has one number for each sign."""

    n_words: int
    n_turns: int
    counts: tuple[int, ...]

    def __add__(self, other: "Tally") -> "Tally":
        counts = tuple(
            mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)
        )
        return Tally(self.n_words + other.n_words, self.n_turns + other.n_turns, counts)


def tally(text: str, signs: RoleSigns) -> Tally:
    """The signs in one turn's text."""
    found = _WORD.findall(_plain(text))
    words = [word for word in found if word != "?"]
    counts = [0] * len(signs.signs)
    for start, word in enumerate(words):
        for phrase, place, opens in signs.by_first_word.get(word, ()):
            if start and opens:
                continue
            if tuple(words[start : start + len(phrase)]) == phrase:
                counts[place] += 1
    kinds = {"question_turn": "?" in found, "short_turn": 0 < len(words) <= SHORT_TURN}
    for kind, is_so in kinds.items():
        if kind in signs.places:
            counts[signs.places[kind]] = int(is_so)
    return Tally(len(words), 1, tuple(counts))


def _plain(text: str) -> str:
    return text.lower().replace("’", "'")


def differences(one: Tally, other: Tally, one_is_first: bool, signs: RoleSigns) -> list[float]:
    """How much more one speaker shows each sign than the other.

    Returns: for each sign the difference of log(counted / expected at the sign's rate), drawn to
        0 by the pseudo count; for "session" signs +1 or -1. Swapping the speakers negates every
        number exactly.
    """
    found = []
    for place, sign in enumerate(signs.signs):
        if sign.per == "session":
            found.append(1.0 if one_is_first else -1.0)
            continue
        logs = []
        for speaker in (one, other):
            n_chances = speaker.n_words if sign.per == "word" else speaker.n_turns
            expected = n_chances * sign.rate + signs.pseudo_count
            logs.append(math.log((speaker.counts[place] + signs.pseudo_count) / expected))
        found.append(logs[0] - logs[1])
    return found


def therapist_probability(transcript: Transcript, one: str, other: str) -> float:
    """Calibrated probability that `one` is the therapist, if one of the two is. 0.01..0.99.

    Swapping the speakers gives 1 - p. Little talk gives a value near 0.5. How it was fitted and
    measured stands in docs/roles.md.
    """
    signs = load_signs()
    nothing = Tally(0, 0, (0,) * len(signs.signs))
    tallies = {one: nothing, other: nothing}
    first = None
    for turn in transcript.turns:
        if turn.speaker in tallies:
            first = first or turn.speaker
            tallies[turn.speaker] += tally(turn.text, signs)
    found = differences(tallies[one], tallies[other], first == one, signs)
    return probability(found, signs)


def probability(found: Sequence[float], signs: RoleSigns) -> float:
    """Probability from the signs' differences, kept within 1 - MOST_SURE and MOST_SURE."""
    logit = sum(sign.weight * value for sign, value in zip(signs.signs, found, strict=True))
    sure = min(1 / (1 + math.exp(-min(abs(logit), 50.0))), MOST_SURE)
    return sure if logit >= 0 else 1 - sure


def is_english(texts: Iterable[str]) -> bool:
    """Whether the talk is English, as far as its function words and letters tell.

    Too little talk to tell passes as English.
    """
    joined = " ".join(texts)
    letters = [character for character in joined if character.isalpha()]
    if letters and len(_LATIN.findall(joined)) < len(letters) / 2:
        return False
    words = [word for word in _WORD.findall(_plain(joined)) if word != "?"]
    n_english = sum(word in _FUNCTION_WORDS for word in words)
    if len(words) < _TOO_FEW_WORDS:
        return True
    return n_english >= _ENGLISH_SHARE * len(words)
