"""CHAT transcripts (.cha) of TalkBank: `*THE:` lines, `@` headers and `%` tiers.

Own reader. pylangacq 0.23.0 was tried first: it refuses a file whose participant has a role
that TalkBank does not list (Client is one), or one utterance without a terminator, and its
tokens leave out `xxx` and keep the index of an overlap mark.

Source of the codes: MacWhinney, The CHILDES Project, Tools for Analyzing Talk, part 1: CHAT.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from detector.errors import MalformedTranscript
from detector.formats.source import ROLE_WORDS, Reader, Reading, Source, number
from detector.transcript import Cue, Role

_UTTERANCE = re.compile(r"\*([^:\t]{1,64}):[ \t]*(.*)", re.DOTALL)
_BULLET = re.compile(r"\x15[^\x15]*?([0-9]{1,12})_([0-9]{1,12})-?\x15")
_REMARK = re.compile(r"\[=! ([^\]]{1,40})\]")
_BRACKETED = re.compile(r"\[(?!inaudible\])[^\[\]]*\]")
_NO_SOUND = re.compile(
    r"[⌈⌉⌊⌋][0-9]?|[<>‹›↑↓⇗↗→↘⇘∞≈≋≡∙∆∇°▁▔☺♋⁇∬Ϋ∮↫↻⤆⤇⤈◉§⁎∾⁑ˈˌ^]|\x15[^\x15]{0,80}\x15|\x15"
)
_PAUSE = re.compile(r"\((?:\.{1,3}|[0-9:]{0,9}\.?[0-9]{0,9}\.?)\)")
_FORM = re.compile(r"(?<=\w)@[a-z]{1,3}(?::[\w&+]++|\$\w++)?(?=\W*$)")
_UNCLEAR = re.compile(r"(xxx|xx|yyy|yy|www)(\W*)")
_OMITTED = re.compile(r"0[^\W\d]\w*")
_PARTLY_SAID = re.compile(r"(?<=\w)\(([^()\s]*)\)|\(([^()\s]*)\)(?=\w)")
_LENGTHENED = re.compile(r"(?<=[^\W\d]):+(?!\d)")
_JOINED = re.compile(r"(?<=[^\W\d_])[_+](?=[^\W\d_])")
_TERMINATORS = {
    "+...": "…",
    "+..?": "…?",
    "+!?": "?!",
    "+/.": "—",
    "+//.": "—",
    "+/?": "—?",
    "+//?": "—?",
    '+"/.': ":",
    '+".': ".",
    "+.": ".",
}
_MARKS = frozenset({",", ";", ".", "?", "!", *_TERMINATORS.values()})
_STOPS = (".", "?", "!", "…", "—")


@dataclass(frozen=True, slots=True)
class Line:
    """A header, utterance or tier with its continuation lines, and where it starts."""

    number: int
    text: str


def recognises(source: Source) -> bool:
    """`@UTF8` or `@Begin` before anything else."""
    head = (source.text or "")[:200].lstrip()
    return head.startswith(("@UTF8", "@Begin"))


def read(source: Source) -> Reading:
    """Reads every utterance as one cue, in readable text; `%` tiers are dropped and counted.

    The speaker is the code on the line. A role is set where `@Participants` or `@ID` name one.
    """
    physical = source.lines
    reading = Reading(n_found=sum(line.startswith(("*", "%")) for line in physical))
    lines = list(logical_lines(physical))
    roles = _read_roles(lines)
    for line in lines:
        if line.text.startswith("*"):
            _read_utterance(reading, line, roles)
        elif line.text.startswith("%"):
            reading.drop(f"line {line.number}", "a dependent tier")
    if not any(line.text.startswith("@End") for line in lines):
        reading.notes.append("The file has no @End; its last utterances may be missing.")
    return reading


def logical_lines(physical: list[str]) -> Iterator[Line]:
    """Lines joined with the ones below them that start with white space."""
    start, parts = 0, [""]
    for place, line in enumerate(physical, start=1):
        if line[:1] in ("\t", " "):
            parts.append(line.strip())
        elif line[:1] in ("*", "%", "@"):
            yield Line(start, " ".join(parts))
            start, parts = place, [line]
        elif line.strip():
            raise MalformedTranscript("a line that begins with none of * % @ and tab", line=place)
    yield Line(start, " ".join(parts))


def _read_roles(lines: list[Line]) -> dict[str, Role]:
    """Roles by speaker code; none for a code that is labelled as both.

    Investigator and Participant are roles in a study, not in a therapy, and label nothing.
    """
    found: dict[str, set[Role]] = {}
    for code, words in _participants(lines):
        named = {ROLE_WORDS[word] for word in words if word in ROLE_WORDS}
        found.setdefault(code, set()).update(named)
    return {code: next(iter(roles)) for code, roles in found.items() if len(roles) == 1}


def _participants(lines: list[Line]) -> Iterator[tuple[str, list[str]]]:
    """Each speaker code with the words of its name and role, in lower case."""
    for line in lines:
        header, _, value = line.text.partition(":")
        if header == "@Participants":
            for entry in value.split(","):
                code, *words = entry.split()[:8] or [""]
                yield code, re.split(r"[\s_]+", " ".join(words).lower())
        elif header == "@ID":
            fields = [field.strip() for field in value.split("|")]
            if len(fields) > 7:
                yield fields[2], [fields[7].lower()]


def _read_utterance(reading: Reading, line: Line, roles: dict[str, Role]) -> None:
    match = _UTTERANCE.match(line.text)
    if match is None:
        raise MalformedTranscript("an utterance without a speaker code", line=line.number)
    code, said = match[1].strip(), match[2]
    where = f"line {line.number}"
    text = clean(said)
    if not is_speech(text):
        reading.drop(where, "no speech in the utterance")
        return
    times = [
        (number(start, where, per_second=1000), number(end, where, per_second=1000))
        for start, end in _BULLET.findall(said)
    ]
    start, end = (times[0][0], times[-1][1]) if times else (None, None)
    span = reading.span(start, end, where)
    role = roles.get(code, Role.UNKNOWN)
    reading.add(Cue(str(reading.n_understood + 1), code or None, text, *span, role=role))


def is_speech(text: str) -> bool:
    """Whether a cleaned utterance says anything."""
    return any(character.isalnum() for character in text)


def clean(said: str) -> str:
    """An utterance as one would read it out, without CHAT's codes and bullets.

    What was said stays: fillers (`&-um`), false starts (`<I want> [//]`), fragments. What was
    not said goes: replacements, errors, pauses, overlap marks, words that were left out
    (`0is`). Unclear speech becomes `[inaudible]`, a sound becomes a remark such as `[laughs]`.
    """
    text = _BULLET.sub(" ", said)
    text = _REMARK.sub(lambda match: f" &={match[1].replace(' ', '_')} ", text)
    text = _NO_SOUND.sub("", _BRACKETED.sub(" ", text))
    words: list[str] = []
    for piece in text.split():
        word = _read_piece(piece)
        if words and word in _MARKS:
            # Recognisers' full stops are kept on the word, and CHAT's terminator follows.
            words[-1] += "" if word == "." and words[-1].endswith(_STOPS) else word
        elif word:
            words.append(word)
    return " ".join(words)


def _read_piece(piece: str) -> str:
    """One word or mark as it is read; empty where nothing was said."""
    if piece.startswith("+") and not piece[1:2].isalnum():
        return _TERMINATORS.get(piece, "")
    if piece.startswith("&="):
        return f"[{piece[2:].split(':')[0].replace('_', ' ')}]"
    if piece.startswith("&") and len(piece) > 1:
        return "" if piece[1] in "*{}" else piece[1:].lstrip("-+~")
    unclear = _UNCLEAR.fullmatch(piece)
    if unclear:
        kind = "untranscribed" if unclear[1] == "www" else "inaudible"
        return f"[{kind}]{unclear[2]}"
    if piece in ("‡", "„"):
        return ","
    if piece == "0" or _OMITTED.fullmatch(piece) or _PAUSE.fullmatch(piece):
        return ""
    piece = _PARTLY_SAID.sub(r"\1\2", _FORM.sub("", piece))
    return _JOINED.sub(" ", _LENGTHENED.sub("", piece))


READERS = (
    Reader(
        name="chat",
        title="CHAT transcript (.cha)",
        recognises=recognises,
        read=read,
        example="@UTF8 / @Begin / @Participants: THE Therapist, CLI Client / *THE:\\t… .",
    ),
)
