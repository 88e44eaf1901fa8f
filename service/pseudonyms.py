"""A session's transcript with tags in the place of names, for research that was consented to.

"Dr. Rivera, you don't listen" becomes "[THERAPIST], you don't listen": who is addressed is what
the session is about, so roles stay, and one person has one tag all through.

It is ASSISTIVE. It finds what its rules and word lists know, no more, and its output is never
de-identified under 45 CFR 164.514(b) (Safe Harbor) until a person has read it and signed: every
export says `reviewed_by: null`. Share of mentions of people that is found, with no name told to
it, as tests/service/test_pseudonyms.py measures it:

                                                     with capitals   all small, no marks
    names that 18 of our invented sessions say           .98               .59
    planted: usual names                                 .99               .99
    planted: names that are in hardly any list           .79               .12
    planted: names that are words ("will", "grace")      .87               .12

A name that the caller knows is found nearly always; only a name that is a word, in text without
capitals, stays at .12, and the places where one may stand are listed as `doubtful` for the person
who reads. About one in five of the different things that get a `[NAME_n]` is no name at all.

Missed by design: places, employers and schools without capitals; ages; years alone; what tells
who somebody is without a name ("the only midwife on the island"); names that a recogniser
misheard; languages other than English. Two people of one name, and a Mr and a Mrs, share a tag.

Two exports of one session share no reference, but who has both texts can lay them side by side,
and times, which are kept, are a fingerprint too. The map that leads back is a value of its own,
`HeldApart`: it is kept encrypted, or not at all, and never beside the export.

It works with words and patterns alone: no model, no network, no state between calls, and no
spaCy, whose blank tokenizer would add nothing to a look at single words. Names are found in
service/names.py, numbers, dates and addresses in service/identifiers.py; service/tags.py says
which tag each gets.
"""

import base64
import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from detector.transcript import Cue, Transcript, Turn, Word
from service.names import NameReader, Place
from service.tags import KnownNames, People, Span, Tags, kind_of, named_speakers

SCHEMA = "rupture-pseudonymised/1"

ASSISTIVE = (
    "Pseudonymised by rules that miss names. Not de-identified under 45 CFR 164.514(b): a person"
    " must read it and sign."
)

KEY_BYTES = 32
"""Bytes of an export's key, as long as the digest of its HMAC (RFC 2104, section 3)."""


@dataclass(frozen=True, slots=True)
class ExportKey:
    """The secret of one export; another export has another, so that their references differ.

    Raises: ValueError: it is not KEY_BYTES long.
    """

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) != KEY_BYTES:
            raise ValueError(f"an export's key has {KEY_BYTES} bytes")

    @classmethod
    def new(cls) -> "ExportKey":
        """A fresh key from the system's randomness."""
        return cls(secrets.token_bytes(KEY_BYTES))

    def reference(self, kind: str, own: str) -> str:
        """What stands for an id in this export: the same id, the same reference; no way back.

        Args:
            kind: `client` or `session`; the same id of two kinds has two references.
            own: the id as the tenant knows it.
        """
        digest = hmac.digest(self.value, f"{kind}\0{own}".encode(), hashlib.sha256)
        return f"{kind}_{base64.b32encode(digest[:20]).decode().lower()}"


class Replacement(NamedTuple):
    """A place `[start, end)` of a turn's old text, and what it became in the new one."""

    start: int
    end: int
    new_start: int
    new_end: int


@dataclass(frozen=True, slots=True)
class HeldApart:
    """What leads back to the names, and must never travel with the export.

    Args:
        originals: what each tag stands for, as it was written or said.
        speakers: the old speaker labels by their new ones.
        cue_ids: the old cue ids in the order of the new, which count from 1.
        replacements: by turn, in order.
        doubtful: places left alone where a name of this session may stand as a plain word.
    """

    originals: Mapping[str, tuple[str, ...]] = field(repr=False)
    speakers: Mapping[str, str] = field(repr=False)
    cue_ids: tuple[str, ...] = field(repr=False)
    replacements: tuple[tuple[Replacement, ...], ...] = field(repr=False)
    doubtful: tuple[Place, ...] = ()

    def place(self, turn_index: int, start: int, end: int) -> tuple[int, int]:
        """Where a span `[start, end)` of a turn's old text lies in its new text.

        A span that begins or ends inside a name grows to hold the whole tag.
        """
        return self._moved(turn_index, start, False), self._moved(turn_index, end, True)

    def _moved(self, turn_index: int, offset: int, is_end: bool) -> int:
        shift = 0
        for one in self.replacements[turn_index]:
            if one.start < offset < one.end:
                return one.new_end if is_end else one.new_start
            if offset < one.end:
                break
            shift = one.new_end - one.end
        return offset + shift


@dataclass(frozen=True, slots=True)
class Pseudonymised:
    """A transcript with tags for names, ready to be read by a person before it goes anywhere.

    Args:
        transcript: the same turns in the same order, with the same times; new cue ids, no
            columns of the source file, none of its notes, and a hash of its own.
        client: reference of the client in this export.
        session: reference of the session in this export.
        counts: how many places were replaced, by kind of tag.
        n_doubtful: places that a person should look at first.
        reviewed_by: who read and signed it; nobody until somebody did.
    """

    transcript: Transcript
    client: str
    session: str
    counts: Mapping[str, int]
    n_doubtful: int
    reviewed_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The export's JSON, which the reader of canonical transcripts takes."""
        return {
            "schema": SCHEMA,
            "assistive": ASSISTIVE,
            "reviewed_by": self.reviewed_by,
            "client": self.client,
            "session": self.session,
            "counts": dict(self.counts),
            "n_doubtful": self.n_doubtful,
            "turns": [
                {
                    "cue_id": cue.cue_id,
                    "speaker": cue.speaker or "[SPEAKER]",
                    "role": cue.role.value,
                    "start_s": cue.start_s,
                    "end_s": cue.end_s,
                    "text": cue.text,
                }
                for cue in self.transcript.cues
            ],
        }


def pseudonymise(
    transcript: Transcript,
    *,
    client: str,
    session: str,
    key: ExportKey,
    known: KnownNames | None = None,
) -> tuple[Pseudonymised, HeldApart]:
    """The transcript with tags in the place of names, and the map back, apart from it.

    Args:
        transcript: with roles; a speaker without one is `[SPEAKER_n]`.
        client: the tenant's own reference of the client.
        session: the tenant's own id of the session.
        key: this export's.
        known: names that the caller knows; speaker labels that are names are known anyway.

    Returns: the export, not reviewed by anybody, and what is held apart.
    Source: rules and lists of our own; recall in tests/service/test_pseudonyms.py.
    """
    tags = Tags(transcript)
    speakers = named_speakers(transcript, tags)
    people = People(tags, transcript, speakers, known or KnownNames())
    reader = NameReader(transcript, people)
    found = [reader.find(place) for place in range(len(transcript.turns))]
    replaced = [_replaced(turn, spans) for turn, spans in zip(transcript.turns, found, strict=True)]
    cues = [cue for _, new_cues in replaced for cue in new_cues]
    held = HeldApart(
        originals={tag: tuple(dict.fromkeys(said)) for tag, said in tags.originals.items()},
        speakers={new: old for old, new in speakers.items()},
        cue_ids=tuple(cue.cue_id for cue in cues),
        replacements=tuple(places for places, _ in replaced),
        doubtful=tuple(reader.doubtful),
    )
    renamed = tuple(
        replace(
            cue,
            cue_id=str(number),
            speaker=None if cue.speaker is None else speakers[cue.speaker],
            extra=(),
        )
        for number, cue in enumerate(cues, start=1)
    )
    export = Pseudonymised(
        # The old hash would link this to every other place that has it.
        transcript=replace(transcript, cues=renamed, dropped=(), notes=(), sha256=""),
        client=key.reference("client", client),
        session=key.reference("session", session),
        counts=dict(Counter(kind_of(tag) for spans in found for _, _, tag in spans)),
        n_doubtful=len(held.doubtful),
    )
    return export, held


def _replaced(turn: Turn, spans: Sequence[Span]) -> tuple[tuple[Replacement, ...], list[Cue]]:
    """A turn's cues with tags, and where its text moved.

    A span over the border of two cues has its tag in both, so that no cue is left empty.
    """
    bounds: dict[Span, tuple[int, int]] = {}
    cues: list[Cue] = []
    offset = new_offset = 0
    for cue in turn.cues:
        text = cue.text.strip()
        parts: list[str] = []
        inside = []
        at, length = 0, 0
        for span in spans:
            start, end = max(0, span[0] - offset), min(len(text), span[1] - offset)
            if start >= end:
                continue
            inside.append((start, end, span[2]))
            parts += [text[at:start], span[2]]
            length += start - at
            first = bounds.get(span, (new_offset + length, 0))[0]
            length += len(span[2])
            bounds[span] = (first, new_offset + length)
            at = end
        new_text = "".join((*parts, text[at:]))
        cues.append(replace(cue, text=new_text, words=_replaced_words(cue, inside)))
        offset += len(text) + 1
        new_offset += len(new_text) + 1
    return tuple(Replacement(*span[:2], *bounds[span]) for span in spans), cues


def _replaced_words(cue: Cue, spans: Sequence[Span]) -> tuple[Word, ...]:
    """The cue's timed words with tags; none where they do not follow its text."""
    text, at = cue.text.strip(), 0
    words: list[Word] = []
    last: Span | None = None
    for word in cue.words:
        said = word.text.strip()
        start = text.find(said, at)
        if start < 0 or not said or any(one.isalnum() for one in text[at:start]):
            return ()
        at = start + len(said)
        span = next((one for one in spans if start < one[1] and at > one[0]), None)
        if span is None:
            words.append(word)
        elif span is last:
            words[-1] = replace(words[-1], end_s=word.end_s)
        else:
            words.append(replace(word, text=span[2]))
        last = span
    return tuple(words)
