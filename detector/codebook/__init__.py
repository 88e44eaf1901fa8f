"""What the labels mean: markers, their definitions, and the patterns that look for them.

Words and logic are apart: a clinician edits the TOML files beside this one, not Python. The
operational rules are our own, after the 3RS (Eubanks, Muran & Safran 2015, revised 2022) and
Bordin (1979); they are narrowed to what a timed transcript can show.
"""

import functools
import itertools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from detector.errors import CodebookError

KINDS = (
    "withdrawal",
    "confrontation",
    "repair",
    "resolution",
    "contribution",
    "strength",
    "move",
    "technical",
)
"""What a marker is a sign of. `move` is what a therapist's turn invites (an open question,
advice); `technical` is trouble with the connection, which is never a sign of the alliance."""

PILLARS = ("goal", "task", "bond")
"""The three parts of the working alliance (Bordin 1979)."""

ROLES = ("client", "therapist", "any")

_MAX_PHRASES = 4096
"""Most phrases one pattern may spell out: a guard against a slip in its alternatives."""


@dataclass(frozen=True, slots=True)
class Marker:
    """One code of the codebook.

    `definition` and `not_when` are for people. `pillar` is the part of the alliance that is
    strained unless a pattern says another; None where a marker strains none.
    """

    id: str
    kind: str
    role: str
    title: str
    definition: str
    not_when: str = ""
    pillar: str | None = None

    def can_be_of(self, role: str) -> bool:
        """Whether a speaker of this role can show it; one whose role is "unknown" may."""
        return role == "unknown" or self.role in ("any", role)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way of saying something that a marker names.

    Args:
        id: `marker.name`, unique.
        marker: the code it is a sign of.
        phrases: wordings, all spelled out from their `(a|b|)` alternatives.
        tokens: spaCy Matcher patterns over the spoken words, where phrases cannot say it; in
            the files also in the short form of `read_slots`.
        pillar: overrides the marker's.
        whole_turn: the match must be all that was said, hesitations aside.
        at_start: the match must open the turn, or follow only short replies such as "no".
        max_words: the turn may not be longer, in words without hesitations.
        not_after: words, one of which directly before the match makes it void ("what do you").
        not_before: phrases of at most four words, one of which directly after the match makes
            it void ("I hear that, but").
        after: moves, one of which the therapist's last turn must have made.
        floor_given: the therapist must not be mid-speech: the turn before does not break off
            with a dash or comma, and the turn after does not go on with one.
        question: True, the sentence must end with "?"; False, it must not; None, either.
        negatable: a "not" or "never" shortly before the match makes it void.
        reportable: the match counts although somebody else's words are reported.
        examples, counterexamples: lines that must and must not be hit; `<hit>…</hit>` marks
            the match; `T:` and `C:` lines before the last give the context.
        source: where the rule comes from.
        added_in: codebook version that brought it.
    """

    id: str
    marker: str
    source: str
    added_in: str
    examples: tuple[str, ...]
    counterexamples: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    tokens: tuple[tuple[dict[str, Any], ...], ...] = ()
    pillar: str | None = None
    whole_turn: bool = False
    at_start: bool = False
    max_words: int | None = None
    not_after: tuple[str, ...] = ()
    not_before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    floor_given: bool = False
    question: bool | None = None
    negatable: bool = True
    reportable: bool = False


@dataclass(frozen=True, slots=True)
class Spoken:
    """How spoken English is brought to one form before a pattern looks at it.

    `fillers` are dropped; `forms` maps a spoken form to the words it stands for; `events` maps
    what stands in brackets to one word such as `[laughs]`; `negations` void a negatable match;
    `reporting` are verbs, and `narrators` subjects, that introduce somebody else's words;
    `replies` may stand before a match that must open the turn; `backchannels` invite nothing.
    """

    fillers: frozenset[str]
    forms: dict[str, tuple[str, ...]]
    events: dict[str, str]
    negations: frozenset[str]
    reporting: frozenset[str]
    narrators: frozenset[str]
    replies: frozenset[str]
    backchannels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Codebook:
    """All markers and patterns of one version, in the order of the files."""

    version: str
    markers: dict[str, Marker]
    patterns: dict[str, Pattern]
    spoken: Spoken

    def of_kind(self, *kinds: str) -> tuple[str, ...]:
        """Ids of the markers of these kinds, in order."""
        return tuple(marker.id for marker in self.markers.values() if marker.kind in kinds)

    def pillar_of(self, pattern: Pattern) -> str | None:
        """The part of the alliance a hit of this pattern strains, or None."""
        return pattern.pillar or self.markers[pattern.marker].pillar


@functools.cache
def load_codebook() -> Codebook:
    """The codebook that this version of the code carries.

    Raises: CodebookError: an entry is incomplete, unknown or twice there.
    """
    folder = files("detector.codebook")
    head = _read_toml(folder / "codebook.toml")
    try:
        markers = {entry["id"]: Marker(**entry) for entry in head["marker"]}
        version, spoken = head["version"], _read_spoken(head["spoken"])
    except (KeyError, TypeError, AttributeError) as error:
        raise CodebookError("codebook.toml", "a part is missing, unknown or malformed") from error
    patterns: dict[str, Pattern] = {}
    for path in sorted((folder / "patterns").iterdir(), key=lambda path: path.name):
        if path.name.endswith(".toml"):
            for entry in _read_toml(path).get("pattern", []):
                pattern = _read_pattern(entry)
                if pattern.id in patterns:
                    raise CodebookError(pattern.id, "the id is there twice")
                patterns[pattern.id] = pattern
    codebook = Codebook(version, markers, patterns, spoken)
    _check(codebook)
    return codebook


def _read_toml(path: Traversable) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CodebookError(path.name, "not TOML") from error


def _read_pattern(entry: dict[str, Any]) -> Pattern:
    """One TOML entry, its phrases spelled out."""
    pattern_id = str(entry.get("id", "an entry without id"))
    unknown = set(entry) - {field.name for field in fields(Pattern)}
    if unknown:
        raise CodebookError(pattern_id, f"unknown keys {sorted(unknown)}")
    values = dict(entry)
    spelled = [phrase for text in entry.get("phrases", []) for phrase in spell_out(text)]
    if len(spelled) > _MAX_PHRASES:
        raise CodebookError(pattern_id, f"spells out {len(spelled)} phrases")
    values["phrases"] = tuple(dict.fromkeys(spelled))
    values["tokens"] = tuple(
        read_slots(row) if isinstance(row, str) else tuple(row) for row in entry.get("tokens", [])
    )
    for key in ("after", "not_after", "not_before", "examples", "counterexamples"):
        values[key] = tuple(entry.get(key, ()))
    try:
        return Pattern(**values)
    except TypeError as error:
        raise CodebookError(
            pattern_id, "id, marker, source, added_in or examples missing"
        ) from error


def spell_out(text: str) -> Iterator[str]:
    """Every wording of a phrase with alternatives: `(that|it) (will not|won't) work`.

    An empty alternative makes a part optional: `(really|) helps`. Groups do not nest.
    """
    parts = [part.split("|") for part in re.split(r"[()]", text)]
    for choice in itertools.product(*parts):
        yield " ".join(" ".join(choice).split())


def read_slots(text: str) -> tuple[dict[str, Any], ...]:
    """A Matcher pattern from its short form: `i just|really* do not want|need`.

    Blanks part the slots. A slot is one word of several; a last `?` makes it optional, `*` lets
    it come any number of times, `+` at least once. `_` is any word. Words are matched as the
    speech reader leaves them, contractions open.
    """
    return tuple(_slot(part) for part in text.split())


def _slot(part: str) -> dict[str, Any]:
    words = part.rstrip("?*+")
    slot: dict[str, Any] = {"ORTH": {"IN": words.split("|")}}
    if words == "_":
        slot = {"ORTH": {"NOT_IN": [".", "?", "!", "…"]}}
    elif "|" not in words:
        slot = {"ORTH": words}
    return {**slot, "OP": part[-1]} if part != words else slot


def _read_spoken(entry: dict[str, Any]) -> Spoken:
    forms = {form: tuple(words.split()) for form, words in entry["forms"].items()}
    events = {word: name for name, words in entry["events"].items() for word in words}
    sets = {
        key: frozenset(entry[key])
        for key in ("fillers", "negations", "reporting", "narrators", "replies", "backchannels")
    }
    return Spoken(forms=forms, events=events, **sets)


def _check(codebook: Codebook) -> None:
    """Every entry names only things that exist."""
    for marker in codebook.markers.values():
        if marker.kind not in KINDS or marker.role not in ROLES:
            raise CodebookError(marker.id, "unknown kind or role")
    moves = set(codebook.of_kind("move"))
    for pattern in codebook.patterns.values():
        if pattern.marker not in codebook.markers:
            raise CodebookError(pattern.id, f"unknown marker {pattern.marker}")
        if codebook.pillar_of(pattern) not in (None, *PILLARS):
            raise CodebookError(pattern.id, "unknown pillar")
        if set(pattern.after) - moves:
            raise CodebookError(pattern.id, f"unknown moves {sorted(set(pattern.after) - moves)}")
        if not pattern.examples or not (pattern.phrases or pattern.tokens):
            raise CodebookError(pattern.id, "needs examples, and phrases or tokens")
