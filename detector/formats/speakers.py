"""Who speaks: when a `Name:` in front of speech is a name, and which labels state a role.

A colon does not make a speaker. "At 10:30 we left" and "I said: no" are speech. A prefix is a
label where it recurs, or where the file's structure demands it: a `[SPEAKER_00]:` bracket, both
sides of a `T:`/`C:` pair, or a prefix on every single cue.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from detector.transcript import Role

MIN_SHARE = 0.2
"""Share of cues that recurring prefixes must open before they count as speakers. A judgement:
named files name nearly every cue (298 of 300 in a real Zoom file, research/product.md §2.1);
in unnamed ones a chance "Question:" recurs a few times in hundreds."""

_MAX_WORDS = 6
_INVISIBLE = "\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069\ufeff"
_PREFIX = re.compile(
    r"""(?:\[([^\[\]:\n]{1,60})\]
        |([^\s:\[\]{}<>"'“”‘’?!;=|\\*@\#&,.(\-–—•…][^:：\[\]{}<>"“”?!;=|\\*\n]{0,59}))
        [^\S\n]{0,4}(?::(?=\s|$)|：)""",
    re.VERBOSE,
)
_MACHINE_LABEL = re.compile(r"(?:speaker|spk)[_ ]?[0-9]+", re.IGNORECASE | re.ASCII)

_SPEECH_WORD = re.compile(
    r"""(?:a|am|an|and|are|as|asked|at|be|because|been|but|can|did|do|does|for|from|get|go|goes
        |going|got|had|has|have|he|her|him|his|how|i|if|in|is|it|its|just|like|me|mean|my|not|of
        |on|or|our|out|said|say|saying|says|she|so|some|than|that|the|their|them|then|there|these
        |they|thing|think|this|those|thought|to|told|up|was|we|went|were|what|when|which|who|will
        |with|would|you|your)""",
    re.VERBOSE,
)
"""Words that stand, in lower case, in "I said:" or "the thing is:" and in no name."""

_OPENER = re.compile(
    r"""(?:actually|again|also|and|anyway|because|but|example|first|honestly|like|listen|look
        |maybe|meaning|no|note|now|ok|okay|oh|please|plus|right|second|see|so|still|sure|then
        |third|though|thus|well|yeah|yes)""",
    re.VERBOSE,
)
"""Single words that open speech and are followed by a colon now and then."""

_THERAPIST_WORD = re.compile(
    r"(?:psycho)?therapist|counsell?or|clinician|psychologist|psychiatrist|practitioner"
)
_CLIENT_WORDS = frozenset(("client", "patient"))
_OTHER_WORDS = frozenset(("interpreter", "translator", "other"))
_THERAPIST_LETTERS = frozenset(("t", "th"))
_CLIENT_LETTERS = ("c", "cl", "p", "pt")
_WORD_NUMBER = re.compile(r"[\s_#-]*[0-9]{1,3}$", re.ASCII)
_IN_PARENTHESES = re.compile(r"\(([^()]*)\)$")


def split_prefix(text: str) -> tuple[str, str] | None:
    """The label that might stand before the text's first colon, and the text after it.

    None where nothing before a colon can be a name. Square brackets around a label go. Whether
    the label is a speaker is for `find_labels` to say: it needs the whole file.
    """
    text = text.lstrip(_INVISIBLE + " \t")
    found = _PREFIX.match(text)
    if not found:
        return None
    label = " ".join((found[1] or found[2]).split()).strip(_INVISIBLE + " ")
    if not label or _is_speech(label):
        return None
    return label, text[found.end() :].strip()


def _is_speech(label: str) -> bool:
    words = label.split()
    if len(words) == 1:
        return _OPENER.fullmatch(words[0].casefold()) is not None
    opens = words[0].endswith(",") and _OPENER.fullmatch(words[0][:-1].casefold())
    return bool(opens) or len(words) > _MAX_WORDS or any(map(_SPEECH_WORD.fullmatch, words))


def find_labels(texts: Sequence[str]) -> frozenset[str]:
    """Those prefixes of the texts that are speakers, by the rule at the head of this file.

    Args:
        texts: the first line of every cue, or every line of a typed transcript.
    """
    counts = Counter(found[0] for text in texts if (found := split_prefix(text)))
    if len(texts) > 1 and counts.total() == len(texts):
        return frozenset(counts)
    demanded = {label for label in counts if _MACHINE_LABEL.fullmatch(label)}
    roles = label_roles(counts)
    if {Role.THERAPIST, Role.CLIENT} <= set(roles.values()):
        demanded |= {label for label, role in roles.items() if role is not Role.UNKNOWN}
    labels = demanded | {label for label, n in counts.items() if n > 1}
    share = sum(counts[label] for label in labels)
    return frozenset(labels if share >= MIN_SHARE * len(texts) else demanded)


def named_role(word: str) -> Role:
    """The role that a word states by itself: "THERAPIST", "Client 2", "Dr. Rivera (therapist)".

    UNKNOWN for anything else. "Interviewer" stays UNKNOWN: research interviews have one too.
    """
    inner = _IN_PARENTHESES.search(word)
    bare = _WORD_NUMBER.sub("", (inner[1] if inner else word).strip()).casefold()
    if _THERAPIST_WORD.fullmatch(bare):
        return Role.THERAPIST
    if bare in _CLIENT_WORDS:
        return Role.CLIENT
    return Role.OTHER if bare in _OTHER_WORDS else Role.UNKNOWN


def label_roles(labels: Iterable[str]) -> dict[str, Role]:
    """The role that each label states, UNKNOWN where it states none.

    Single letters state a role only as a pair: `T:` or `Th:` beside `C:`, `Cl:`, `P:` or `Pt:`,
    or a letter beside the other side's word. Alone, `C:` may be a counsellor and `P:` a parent.
    Where several client letters stand in one file, only the first of that list is the client.
    """
    roles = {label: named_role(label) for label in labels}
    letters = {label.casefold(): label for label in roles if len(label) <= 2}
    therapists = [letters[key] for key in letters if key in _THERAPIST_LETTERS]
    clients = [letters[key] for key in _CLIENT_LETTERS if key in letters]
    found = set(roles.values())
    if (clients or Role.CLIENT in found) and (therapists or Role.THERAPIST in found):
        roles.update(dict.fromkeys(therapists, Role.THERAPIST))
        if Role.CLIENT not in found:
            roles.update(dict.fromkeys(clients[:1], Role.CLIENT))
    return roles


def split_by_prefix(lines: Iterable[str], labels: Collection[str]) -> list[tuple[str | None, str]]:
    """The lines of one cue as (label, text) pairs; None for text before the first label.

    Only the given labels are taken off; lines that follow one are joined to it by a space.
    """
    voices: list[tuple[str | None, list[str]]] = []
    for line in lines:
        found = split_prefix(line)
        if found and found[0] in labels:
            voices.append((found[0], [found[1]]))
        elif voices:
            voices[-1][1].append(line.strip())
        else:
            voices.append((None, [line.strip()]))
    return [(label, " ".join(filter(None, parts))) for label, parts in voices]
