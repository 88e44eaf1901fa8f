"""Whose words a match is: what a client quotes, disowns or ascribes is no strain with us.

"My wife says you never listen" is about a marriage. A hit counts only where the client speaks
for themselves, and where its "you" can be the therapist. Words alone decide, so that a quotation
without its narrator ("You never listen!", told as a scene) still passes for the client's own.
"""

import re

from detector.codebook import Spoken
from detector.speech import SpokenTurn, is_word

_REPORT_REACH = 8
"""Words before a match in which a reporting verb with its narrator turns it into quotation."""

_CLAUSE_REACH = 14
"""The same where "that" stands before the match: "tells me every day of my life that you …"."""

_NARRATOR_REACH = 4
"""Words before a reporting verb in which its narrator stands."""

_AFTER_REACH = 16
"""Words after a match in which the talk may say whose words it was."""

_QUOTE_REACH = 400
"""Code points before a match in which an open quotation mark is looked for."""

_LINKING = frozenset({"am", "is", "are", "was", "were", "be", "being"})
_LINKED = frozenset({"always", "just", "constantly", "forever", "basically", "all", "so", "often"})
_LIKENED = frozenset({"that", "this", "a", "an", "the", "me", "him", "her", "them"})
_DISOWNED = frozenset({"say", "said", "saying", "mean", "meaning"})
_DENIED = frozenset({"not", "never", "no"})
_TOLD = frozenset({"told", "tell", "telling", "said", "say", "asked", "texted", "yelled"})
_TOLD_ME = frozenset({"told", "tells", "telling", "texts", "texted", "texting", "asks", "asking"})
_BIDS = frozenset({"you", "stop", "quit", "keep", "not", "please"})
"""Before "telling me" they show that it is the therapist who tells: "stop telling me that"."""

_SUBJECTS = frozenset({"he", "she", "they"})
_OBJECTS = frozenset({"him", "her", "them"})


class Quotation:
    """Tells the client's own words from those that they only pass on."""

    def __init__(self, spoken: Spoken) -> None:
        self._spoken = spoken
        self._others = (spoken.narrators - _SUBJECTS) | _OBJECTS
        self._ascribes = _ascribing(spoken)

    def holds(self, text: str, words: SpokenTurn, first: int, last: int) -> bool:
        """Whether the words `[first, last)` are quoted, disowned or somebody else's.

        Args:
            text: the turn's text, for the quotation marks and commas that words do not keep.
            words: the turn as read.
            first: the match's first word.
            last: the word after the match.
        """
        is_to_you = any(word.text == "you" for word in words.words[first:last])
        return (
            self._is_reported(text, words, first, is_to_you=is_to_you)
            or (is_to_you and self._is_told_to_another(words, first))
            or _is_disowned(words, first)
            or bool(self._ascribes.match(_following(text, words, last)))
            or _is_in_quotes(text, words.words[first].start)
        )

    def _is_reported(self, text: str, words: SpokenTurn, first: int, *, is_to_you: bool) -> bool:
        """Whether it follows "my boss said", "she's always like", "I was like"."""
        start = max(words.sentence(first).start, first - _CLAUSE_REACH)
        texts = [word.text for word in words.words[start:first]]
        for place in range(_own_clause(text, words, start, first), len(texts)):
            is_near = len(texts) - place <= _REPORT_REACH or texts[-1] == "that"
            if is_near and self._reports(texts, place, is_to_you=is_to_you):
                return True
        return texts[-3:-1] == ["according", "to"] or (
            texts[-4:-2] == ["according", "to"] and texts[-1] in self._spoken.narrators
        )

    def _reports(self, texts: list[str], place: int, *, is_to_you: bool) -> bool:
        """Whether the word at this place introduces somebody else's words, or the client's past."""
        said, before = texts[place], texts[max(0, place - _NARRATOR_REACH) : place]
        has_narrator = not self._spoken.narrators.isdisjoint(before)
        if _is_like(texts, place):
            return has_narrator or (is_to_you and "i" in before[-3:])
        if said in _TOLD_ME and texts[place + 1 : place + 2] == ["me"]:
            return _BIDS.isdisjoint(before)
        return said in self._spoken.reporting and has_narrator

    def _is_told_to_another(self, words: SpokenTurn, first: int) -> bool:
        """Whether its "you" is somebody whom the client told so: "I told my wife you never"."""
        before = words.words[max(words.sentence(first).start, first - _REPORT_REACH) : first]
        texts = [word.text for word in before]
        if "but" in texts[-1:]:
            return False
        return any(
            said in _TOLD
            and "i" in texts[max(0, place - 2) : place]
            and texts[place + 1 : place + 2] != ["you"]
            and not self._others.isdisjoint(texts[place + 1 : place + 5])
            for place, said in enumerate(texts)
        )


def _is_like(texts: list[str], place: int) -> bool:
    """Whether a "like" quotes: "she was like", "he's always like", not "he is like that"."""
    if texts[place] not in ("like", "all") or place == 0:
        return False
    if texts[place] == "all" and place + 1 < len(texts):
        return False  # "she was all, you never": only directly before what is quoted
    linked = place - 2 if texts[place - 1] in _LINKED else place - 1
    follows = texts[place + 1 : place + 2]
    return linked >= 0 and texts[linked] in _LINKING and not (follows and follows[0] in _LIKENED)


def _own_clause(text: str, words: SpokenTurn, start: int, first: int) -> int:
    """Place, counted from `start`, after the last ", but": there the client speaks again."""
    for place in range(first - 1, start, -1):
        word, before = words.words[place], words.words[place - 1]
        if word.text == "but" and "," in text[before.end : word.start]:
            return place - start
    return 0


def _is_disowned(words: SpokenTurn, first: int) -> bool:
    """Whether the client says that this is not what they say: "I'm not saying you never"."""
    start = words.sentence(first).start
    texts = [word.text for word in words.words[max(start, first - 3) : first]]
    is_that = texts[-1:] == ["that"]
    texts = texts[:-1] if is_that else texts
    is_said = texts[-1:] != [] and texts[-1] in _DISOWNED
    texts = texts[:-1] if is_said else texts
    return (is_that or is_said) and not _DENIED.isdisjoint(texts[-1:])


def _is_in_quotes(text: str, place: int) -> bool:
    """Whether an odd number of double quotation marks stands before this place."""
    before = text[max(0, place - _QUOTE_REACH) : place]
    opened, closed = before.count("“"), before.count("”")
    return before.count('"') % 2 == 1 or opened > closed


def _following(text: str, words: SpokenTurn, last: int) -> str:
    """The words after a match, each with a blank after it; commas and dashes as `,`."""
    parts: list[str] = []
    end = words.words[last - 1].end
    for word in words.words[last : last + _AFTER_REACH]:
        if not {",", "-", "–", "—"}.isdisjoint(text[end : word.start]):
            parts.append(",")
        parts.append(word.text if is_word(word.text) else ".")
        end = word.end
    return "".join(f"{part} " for part in parts)


def _ascribing(spoken: Spoken) -> re.Pattern[str]:
    """What names the speaker afterwards: ", my wife says", "that's what she tells me"."""
    narrator = rf"(?:[^ ,.]+ ){{0,2}}(?:{_any_of(spoken.narrators)}) "
    says = rf"(?:{_any_of(spoken.reporting)}) "
    more = r"(?:always |just |then |often |sometimes |used to )?"
    ends = r"(?:to )?(?:me |us )?(?:[,.]|$)"
    return re.compile(
        r"(?:[^ ,.]+ ){0,6}(?:"
        rf", (?:or )?(?:so )?{narrator}{more}{says}{ends}"
        rf"|, {says}{narrator}{ends}"
        rf"|[,.] (?:at least |or |and )?(?:that|this|which) is (?:just |exactly )?"
        rf"(?:what|how) {narrator}{more}{says}"
        r"|(?:, )?according to (?!you ))"
    )


def _any_of(words: frozenset[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words))
