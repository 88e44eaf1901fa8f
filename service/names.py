"""Finds names in a transcript by word lists, capitals, and what stands beside a word."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from detector.transcript import Role, Transcript, Turn
from service.identifiers import identifiers
from service.name_lists import (
    CAPITALISED_ANYWAY,
    FAMILY,
    FUNCTION,
    GIVEN,
    GREETINGS,
    I_WORDS,
    KIN,
    KIN_TITLES,
    NOUNS_CALLED,
    OPENERS,
    PARTICLES,
    POSSESSIVE,
    PRONOUNS,
    SPEECH,
    STANDING_ALONE,
    SURE_GREETINGS,
    SURE_TITLES,
    TITLES,
    WORDS_TOO,
    YOU_WORDS,
    plain_key,
)
from service.tags import People, Span

_WORD = re.compile(
    r"(?<![^\W\d_]['’])[^\W\d_](?:[^\W\d_]|[\u0300-\u036f])*"
    r"(?:['’](?!(?:s|ll|d|ve|re|m)\b)[^\W\d_]+)*",
    re.IGNORECASE,
)


class Place(NamedTuple):
    """A place `[start, end)` in a turn's old text, in code points."""

    turn_index: int
    start: int
    end: int


class _Token(NamedTuple):
    """A word at its place. `opens`: a capital says nothing, as it begins a sentence or a cue."""

    start: int
    end: int
    text: str
    key: str
    opens: bool


class _Mention(NamedTuple):
    """A name at its place, title included: tokens `[first, last)`. `kind` is PERSON or NAME."""

    start: int
    end: int
    words: tuple[str, ...]
    kind: str
    is_titled: bool
    first: int
    last: int


_OPENING = frozenset(".?!…:;—–-\"“”‘'([*\n")


def _tokens(turn: Turn) -> list[_Token]:
    starts, offset = set(), 0
    for cue in turn.cues:
        starts.add(offset)
        offset += len(cue.text.strip()) + 1
    tokens = []
    for found in _WORD.finditer(turn.text):
        before = turn.text[max(0, found.start() - 3) : found.start()].rstrip()
        opens = found.start() in starts or not before or before[-1] in _OPENING
        tokens.append(_Token(found.start(), found.end(), found[0], plain_key(found[0]), opens))
    return tokens


class NameReader:
    """Finds the names of one transcript, in two readings.

    The first learns what is a name here: what a title, a relation or "my name is" stands beside,
    and capitals inside a sentence. The second finds those words wherever they stand.
    """

    def __init__(self, transcript: Transcript, people: People) -> None:
        self._turns = transcript.turns
        self._people = people
        self._tags = people.tags
        self._tokens = [_tokens(turn) for turn in self._turns]
        self._shaped = [identifiers(turn) for turn in self._turns]
        self._case = _Case.of(self._tokens)
        self._small = {
            token.key for tokens in self._tokens for token in tokens if token.text.islower()
        }
        self._persons: set[str] = set(people.words)
        self._proper: set[str] = set()
        self.doubtful: list[Place] = []
        self._learn()

    def _learn(self) -> None:
        mentions = [(place, one) for place in range(len(self._turns)) for one in self._read(place)]
        for _, mention in mentions:
            known = self._persons if mention.kind == "PERSON" else self._proper
            known.update(set(mention.words) - PARTICLES)
        claims: dict[tuple[str, ...], set[str]] = {}
        for place, mention in mentions:
            role = self._shown_role(place, mention)
            if role in self._people.one_of:
                claims.setdefault(mention.words, set()).add(self._people.one_of[role])
        for words, tags in claims.items():
            if len(tags) == 1:
                self._people.claim(words, next(iter(tags)))

    def find(self, place: int) -> list[Span]:
        """The places of one turn with their tags, in order."""
        turn, spans = self._turns[place], []
        mentions = list(self._read(place))
        for start, end, kind in self._shaped[place]:
            if kind:
                spans.append((start, end, self._tags.of(kind, turn.text[start:end])))
        for mention in mentions:
            is_person = mention.kind == "PERSON" or self._persons.intersection(mention.words)
            kind = "PERSON" if is_person else "NAME"
            spans.append((mention.start, mention.end, self._people.tag(mention.words, kind)))
        for start, end, tag in spans:
            self._tags.stands_for(tag, turn.text[start:end])
        self._doubt(place, mentions)
        return sorted(spans)

    def _doubt(self, place: int, mentions: Sequence[_Mention]) -> None:
        """Notes where a word stands that is a name elsewhere in this session, and is left here."""
        covered = {at for one in mentions for at in range(one.first, one.last)}
        for at, token in enumerate(self._tokens[place]):
            if at not in covered and token.key in self._persons and _is_a_word(token.key):
                self.doubtful.append(Place(place, token.start, token.end))

    def _read(self, place: int) -> Iterator[_Mention]:
        """The mentions of one turn, by what is known now."""
        text, tokens = self._turns[place].text, self._tokens[place]
        taken = bytearray(len(text))
        for start, end, _ in self._shaped[place]:
            taken[start:end] = b"\1" * (end - start)
        at = 0
        while at < len(tokens):
            kind = None if taken[tokens[at].start] else self._kind(text, tokens, at)
            if kind is None:
                at += 1
                continue
            last = at + 1
            while last < len(tokens) and not taken[tokens[last].start]:
                longer = self._joined(text, tokens, last)
                if longer is None:
                    break
                kind, last = ("PERSON" if "PERSON" in (kind, longer[0]) else "NAME"), longer[1]
            yield self._mention(text, tokens, at, last, kind)
            at = last

    def _joined(self, text: str, tokens: list[_Token], at: int) -> tuple[str, int] | None:
        """The kind and the end of a name that goes on at this word, over "de la" too."""
        first = at
        while at < len(tokens) and _is_joint(text, tokens, at):
            token = tokens[at]
            kind = self._kind(text, tokens, at)
            if kind is None and self._is_capital(token) and not _is_plain(token.key):
                kind = "NAME"
            if kind is not None:
                return kind, at + 1
            if token.key not in PARTICLES or at - first > 2:
                return None
            at += 1
        return None

    def _mention(
        self, text: str, tokens: list[_Token], first: int, last: int, kind: str
    ) -> _Mention:
        words = tuple(token.key for token in tokens[first:last])
        start = tokens[first].start
        is_titled = first > 0 and tokens[first - 1].key in TITLES
        is_titled = is_titled and _is_joint(text, tokens, first, dotted=True)
        if is_titled:
            start = tokens[first - 1].start
        elif initial := re.search(r"\b[A-Z]\. ?$", text[max(0, start - 4) : start]):
            start -= len(initial[0])
        elif cut := re.search(r"\b([^\W\d_]{1,10})-+ ?$", text[max(0, start - 14) : start]):
            # "Gar- Gareth": the stutter tells the name as well.
            start -= len(cut[0]) if words[0].startswith(plain_key(cut[1])) else 0
        return _Mention(start, tokens[last - 1].end, words, kind, is_titled, first, last)

    def _is_capital(self, token: _Token) -> bool:
        return self._case.great_tells and token.text[0].isupper()

    def _is_opening(self, token: _Token) -> bool:
        """Whether a capital here says nothing."""
        return token.opens and not self._case.opening_tells

    def _kind(self, text: str, tokens: list[_Token], at: int) -> str | None:
        """PERSON, NAME (a capital that we cannot tell), or None for no name."""
        key = tokens[at].key
        is_known = key in self._people.words
        if _is_cut_off(text, tokens, at):
            return None
        if len(key) < 2 or (not is_known and (key in FUNCTION or key in STANDING_ALONE)):
            return None
        cue = self._cue(text, tokens, at)
        if _is_a_word(key) or (is_known and _is_always_great(key)):
            return self._kind_of_word(text, tokens, at, cue)
        if key in GIVEN or key in FAMILY or key in self._persons:
            return "PERSON"
        if _is_always_great(key):
            return None
        return self._kind_of_unknown(text, tokens, at, cue)

    def _kind_of_word(self, text: str, tokens: list[_Token], at: int, cue: str) -> str | None:
        """The same for a name that is a word too."""
        token = tokens[at]
        is_known = token.key in self._people.words
        is_great_anyway = _is_always_great(token.key) and not is_known
        is_sure_cue = cue in ("name", "title", "greeting")
        if not (self._is_capital(token) or self._case.small_tells):
            # "thanks will do", "this morning will be": less is sure without capitals.
            is_sure_cue &= cue != "greeting" or tokens[at - 1].key in SURE_GREETINGS
            is_called = cue == "kin" and _next_key(tokens, at) in SPEECH
            is_vocative = is_known and _is_vocative(text, token)
            return "PERSON" if is_sure_cue or is_called or is_vocative else None
        if not self._is_capital(token):
            return None
        if is_sure_cue or (cue == "kin" and token.key not in FUNCTION):
            return "PERSON"
        if not self._is_opening(token):
            # 'I said, Will you' is a question told without quotation marks.
            is_verb = _next_key(tokens, at) in PRONOUNS and not is_known
            return None if is_verb or is_great_anyway else "PERSON"
        does = _next_key(tokens, at) in SPEECH or _is_vocative(text, token)
        return "PERSON" if does and not is_great_anyway else None

    def _kind_of_unknown(self, text: str, tokens: list[_Token], at: int, cue: str) -> str | None:
        """The same for a word of no list of ours."""
        token = tokens[at]
        speaks = _next_key(tokens, at) in SPEECH
        if self._is_capital(token):
            if cue:
                return "PERSON"
            if self._is_opening(token) or (token.text.isupper() and len(token.text) < 6):
                return "NAME" if token.key in self._proper else None
            if token.key in self._small:
                return None
            return "PERSON" if speaks else "NAME"
        if self._case.small_tells:
            return None
        is_odd = not token.key.endswith(("ly", "ed", "ing"))
        is_cued = cue in ("name", "title") or (cue in ("kin", "called") and speaks)
        return "PERSON" if is_cued and is_odd else None

    def _cue(self, text: str, tokens: list[_Token], at: int) -> str:
        """What stands before a word and says that it may be a name, or nothing."""
        before = [token.key for token in tokens[max(0, at - 3) : at]]
        if not before or not _is_near(text, tokens, at):
            return ""
        last, rest = before[-1], before[:-1]
        is_s = tokens[at].start - tokens[at - 1].end == 3
        if last in SURE_TITLES or (last in TITLES and self._is_titling(text, tokens, at)):
            return "title"
        if last in KIN_TITLES and self._is_titling(text, tokens, at):
            return "title"
        is_said = before[-2:] in (["name", "is"], ["call", "me"]) or (last == "name" and is_s)
        if last == "named" or is_said:
            return "name"
        if last == "called":
            return "name" if rest and rest[-1] in NOUNS_CALLED else "called"
        if last in KIN and (POSSESSIVE.intersection(rest) or self._is_capital(tokens[at])):
            return "kin"
        return "greeting" if last in GREETINGS else ""

    def _is_titling(self, text: str, tokens: list[_Token], at: int) -> bool:
        """Whether "doctor" or "uncle" goes with the next word: it has a capital or is a name."""
        token = tokens[at]
        if self._is_capital(token):
            return not _is_plain(token.key)
        is_listed = token.key in GIVEN or token.key in FAMILY or token.key in self._persons
        return not self._case.small_tells and is_listed

    def _shown_role(self, place: int, mention: _Mention) -> Role | None:
        """Whose name the talk shows it to be: the one who is addressed, or who says "I am".

        Only at the head of a turn: further in, a vocative may be told of somebody else's talk.
        """
        turn, tokens = self._turns[place], self._tokens[place]
        other = {Role.CLIENT: Role.THERAPIST, Role.THERAPIST: Role.CLIENT}.get(turn.role)
        if other is None or mention.kind != "PERSON":
            return None
        n_before = mention.first - mention.is_titled
        head = [token.key for token in tokens[max(0, n_before - 4) : n_before]]
        if head[-3:] == ["my", "name", "is"] or (
            head[-1:] == ["im"] and (mention.is_titled or set(mention.words) & GIVEN)
        ):
            return turn.role
        after = turn.text[mention.end : mention.end + 1]
        if n_before > 4 or not set(head) <= OPENERS | GREETINGS or after in ("'", "’"):
            return None
        following = tokens[mention.last].key if mention.last < len(tokens) else ""
        goes_on = following in YOU_WORDS or (turn.role is Role.THERAPIST and following in I_WORDS)
        is_greeted = bool(head) and head[-1] in GREETINGS
        return other if goes_on or (is_greeted and after in ("", ",", ".", "!", "?")) else None


class _Case(NamedTuple):
    """What letters' case tells in a transcript.

    `great_tells`: a capital says something, as most words have none; nothing where all is
    written great. `small_tells`: a word without one is no name, as sentences begin with capitals;
    recognisers that write all small leave it open. `opening_tells`: sentences begin small, so
    that a capital says something there too.
    """

    great_tells: bool
    small_tells: bool
    opening_tells: bool

    @classmethod
    def of(cls, tokens: Sequence[Sequence[_Token]]) -> "_Case":
        """A third of the words and half of the openings are judgements; "I" is no sign."""
        words = [token for turn in tokens for token in turn if token.key not in ("i", "im", "ive")]
        opening = [token for token in words if token.opens]
        n_small = sum(token.text.islower() for token in words)
        n_great = sum(token.text[0].isupper() for token in opening)
        great_tells = 3 * n_small >= len(words)
        begins_great = 2 * n_great >= len(opening) > 0
        return cls(great_tells, great_tells and begins_great, not begins_great)


def _is_a_word(key: str) -> bool:
    return key in WORDS_TOO or key in FUNCTION


def _is_always_great(key: str) -> bool:
    return key in CAPITALISED_ANYWAY or (key[-1:] == "s" and key[:-1] in CAPITALISED_ANYWAY)


def _is_plain(key: str) -> bool:
    return key in FUNCTION or _is_always_great(key)


def _is_near(text: str, tokens: Sequence[_Token], at: int) -> bool:
    """Whether nothing but spaces, a full stop after a title, or a comma parts it from before."""
    between = text[tokens[at - 1].end : tokens[at].start]
    return between in (" ", ", ", "'s ", "’s ") or (
        between in (". ", ".") and tokens[at - 1].key in TITLES
    )


def _is_joint(text: str, tokens: Sequence[_Token], at: int, *, dotted: bool = False) -> bool:
    between = text[tokens[at - 1].end : tokens[at].start]
    return between in (" ", "-") or (dotted and between in (". ", "."))


def _next_key(tokens: Sequence[_Token], at: int) -> str:
    return tokens[at + 1].key if at + 1 < len(tokens) else ""


def _is_cut_off(text: str, tokens: Sequence[_Token], at: int) -> bool:
    """Whether it is a stutter's beginning, "Gar- Gareth": it goes with the word after it."""
    following = _next_key(tokens, at)
    is_start = following.startswith(tokens[at].key) and following != tokens[at].key
    return is_start and text[tokens[at].end : tokens[at + 1].start].strip() in ("-", "--")


def _is_vocative(text: str, token: _Token) -> bool:
    """Whether commas or the turn's ends set the word apart."""
    before = text[max(0, token.start - 2) : token.start].rstrip()
    after = text[token.end : token.end + 1]
    return (not before or before[-1] in ",.?!") and after in ("", ",", "?", "!", ".")
