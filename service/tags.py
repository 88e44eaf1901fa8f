"""Tags that stand in the place of names, and whose tag a name gets: one person has one, always."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from detector.transcript import Role, Transcript
from service.name_lists import GENERIC, PARTICLES, plain_key

TAG = re.compile(
    r"\[(CLIENT|THERAPIST|PERSON|NAME|SPEAKER|EMAIL|URL|ACCOUNT|DATE|PHONE|NUMBER|ADDRESS|SPELLING)"
    r"(?:_(\d{1,6}))?\]"
)
"""A tag as it stands in a text: its kind and its number."""

Span = tuple[int, int, str]
"""A place `[start, end)` of a turn's text, and its tag."""


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Names that the caller knows to be said, in any order and with or without titles.

    `others` holds people who are neither: one entry is one person, with all their names.
    """

    client: tuple[str, ...] = field(default=(), repr=False)
    therapist: tuple[str, ...] = field(default=(), repr=False)
    others: tuple[tuple[str, ...], ...] = field(default=(), repr=False)


class Tags:
    """Hands out tags, each thing the same one again, and remembers what they stand for.

    A transcript that has tags already keeps them, and new ones count on from there.
    """

    def __init__(self, transcript: Transcript) -> None:
        self.originals: dict[str, list[str]] = {}
        self._given: dict[tuple[str, str], str] = {}
        self._last: Counter[str] = Counter()
        for turn in transcript.turns:
            for found in TAG.finditer(f"{turn.speaker or ''} {turn.text}"):
                self._last[found[1]] = max(self._last[found[1]], int(found[2] or 1))

    def new(self, kind: str) -> str:
        """The next tag of a kind."""
        self._last[kind] += 1
        return f"[{kind}_{self._last[kind]}]"

    def of(self, kind: str, text: str) -> str:
        """The tag of something that is told by its letters and digits alone."""
        plain = "".join(one for one in text.casefold() if one.isalnum())
        if (kind, plain) not in self._given:
            self._given[kind, plain] = self.new(kind)
        return self._given[kind, plain]

    def stands_for(self, tag: str, text: str) -> None:
        """Remembers that the tag stands for this, as it was written or said."""
        self.originals.setdefault(tag, []).append(text)


def kind_of(tag: str) -> str:
    """What kind of thing a tag stands for, small; "" where it is no tag."""
    found = TAG.fullmatch(tag)
    return found[1].lower() if found else ""


def named_speakers(transcript: Transcript, tags: Tags) -> dict[str, str]:
    """The new label of each speaker label; one label has one, so that turns stay as they are."""
    labels: dict[str, str] = {}
    taken: Counter[Role] = Counter()
    for label in transcript.speakers:
        role = transcript.roles[label]
        taken[role] += 1
        if role in (Role.CLIENT, Role.THERAPIST):
            number = "" if taken[role] == 1 else f"_{taken[role]}"
            labels[label] = f"[{role.upper()}{number}]"
        else:
            labels[label] = tags.new("PERSON" if role is Role.OTHER else "SPEAKER")
        tags.stands_for(labels[label], label)
    return labels


class People:
    """Whose name a name is. One person has one tag, however they are called.

    A word that two known people share ("Anna" and "Anna", or one family's name) tells neither.
    """

    def __init__(
        self, tags: Tags, transcript: Transcript, speakers: Mapping[str, str], known: KnownNames
    ) -> None:
        self.tags = tags
        self._by_word: dict[str, str | None] = {}
        self._by_phrase: dict[tuple[str, ...], str] = {}
        self.one_of = _single_tags(transcript, speakers)
        for label, tag in speakers.items():
            self._know(tag, label)
        for name in known.client:
            self._know(self.one_of.get(Role.CLIENT, "[CLIENT]"), name)
        for name in known.therapist:
            self._know(self.one_of.get(Role.THERAPIST, "[THERAPIST]"), name)
        for names in known.others:
            tag = self._tag_known(names) or tags.new("PERSON")
            for name in names:
                self._know(tag, name)

    @property
    def words(self) -> frozenset[str]:
        """Every word that is part of a known name."""
        return frozenset(self._by_word)

    def _tag_known(self, names: Iterable[str]) -> str | None:
        known = (self._by_phrase.get(name_words(name)) for name in names)
        return next((tag for tag in known if tag), None)

    def _know(self, tag: str, name: str) -> None:
        words = name_words(name)
        if not words:
            return
        self._by_phrase.setdefault(words, tag)
        for word in words:
            if word in PARTICLES:
                continue
            is_shared = word in self._by_word and self._by_word[word] != tag
            self._by_word[word] = None if is_shared else tag

    def claim(self, words: Sequence[str], tag: str) -> None:
        """Gives the words of a name to whom the talk shows them to be, unless they have one."""
        for word in words:
            self._by_word.setdefault(word, tag)
        self._by_phrase.setdefault(tuple(words), tag)

    def tag(self, words: tuple[str, ...], kind: str) -> str:
        """The tag of a name, as words without titles. A new one where nobody has it yet."""
        first, last = self._by_word.get(words[0]), self._by_word.get(words[-1])
        found = self._by_phrase.get(words) or first or (last if len(words) == 1 else None)
        tag = found or self.tags.new(kind)
        self._by_phrase[words] = tag
        for word in words:
            if word not in PARTICLES:
                self._by_word.setdefault(word, tag)
        return tag


def _single_tags(transcript: Transcript, speakers: Mapping[str, str]) -> dict[Role, str]:
    """The tags of the client and the therapist, where the session has one speaker of each."""
    roles = Counter(transcript.roles.values())
    return {
        role: speakers[label]
        for label, role in transcript.roles.items()
        if role in (Role.CLIENT, Role.THERAPIST) and roles[role] == 1
    }


def name_words(name: str) -> tuple[str, ...]:
    """The words of a name or a label that name somebody: none of "Speaker 1", "C" or "Dr."."""
    plain = re.sub(r"[(\[{][^)\]}]*[)\]}]", " ", name.replace("_", " "))
    words = [plain_key(word) for word in re.findall(r"[^\W\d_]+(?:['’][^\W\d_]{2,})?", plain)]
    named = [word for word in words if len(word) > 1 and word not in GENERIC]
    return tuple(named)
