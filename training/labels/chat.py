"""CHAT (.cha): a session's turns as utterances, each coder's labels on `%xrup` tiers below them.

    %xrup:  coder_1/blind denial intensity=2 ; coder_2/blind minimal_response

What is about a segment or the session, and what all labels of a coder have in common, stands in
`@Comment` headers. Everything is carried. What was said is written without the signs that CHAT
keeps for itself: the file is for the labels, not the transcript to keep.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from detector.annotation import UNITS, Annotation, Labels
from detector.errors import AnnotationError, TranscriptError
from detector.formats import chat, read_transcript
from detector.transcript import Transcript
from training.labels.codings import context_of, milliseconds, transcript_of
from training.labels.long import text_of
from training.labels.marks import pack, pack_head, unpack, unpack_head
from training.labels.voices import (
    Heads,
    by_coder,
    by_session,
    files_of,
    head_for,
    joined,
    own_of,
    places_of_cues,
    turns_as_read,
    voices_of,
    without_decisions,
)

_HEAD, _LABEL, _TIER = "@Comment:\trupture-coder ", "@Comment:\trupture-label ", "%xrup:\t"
_BETWEEN = " ; "
_CODES = {"client": "CLI", "therapist": "THE", "other": "OTH", "unknown": "UNK"}
_ROLES = {"client": "Client", "therapist": "Therapist", "other": "Other", "unknown": "Unidentified"}
_NOT_WORDS = re.compile(r"[^\w\s.,?!'’\-]|_")


def write_chat(
    labels: Labels, folder: Path, transcripts: Mapping[str, Transcript]
) -> tuple[str, ...]:
    """Writes SESSION.cha for each session. Returns: what is not carried.

    Raises: AnnotationError: no transcript of a session.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for session_id, own in by_session(labels).items():
        transcript = transcript_of(transcripts, session_id)
        head, lines = _skeleton(transcript)
        plain = "\n".join([*head, *lines, "@End", ""]).encode()
        context = turns_as_read(plain, transcript, session_id)
        heads = by_coder(own)
        told = [_HEAD + pack_head(one) for one in heads.values()]
        told += [_LABEL + _said(one, heads) for one in own if one.unit_type != "turn"]
        for place, line in enumerate(lines):
            here = [one for one in own if (one.unit_type, one.unit_index) == ("turn", place)]
            packed = [
                f"{one.coder}/{one.stage} {pack(one, heads[one.coder, one.stage], context[place])}"
                for one in here
            ]
            lines[place] = line + (f"\n{_TIER}{_BETWEEN.join(packed)}" if packed else "")
        text = "\n".join([*head, *told, *lines, "@End", ""])
        (folder / f"{session_id}.cha").write_text(text, "utf-8", newline="\n")
    return without_decisions(labels)


def _said(one: Annotation, heads: Heads) -> str:
    packed = pack(one, heads[one.coder, one.stage], {})
    return f"{one.coder}/{one.stage} {one.unit_type} {one.unit_index} {packed}"


def _skeleton(transcript: Transcript) -> tuple[list[str], list[str]]:
    """Headers, and one utterance a turn."""
    voices = voices_of(transcript)
    codes = {voice: _code(voice) for voice in dict.fromkeys(voices)}
    people = [(code, _ROLES[voice.split("_")[0]]) for voice, code in codes.items()]
    head = [
        "@UTF8",
        "@Begin",
        "@Languages:\teng",
        f"@Participants:\t{', '.join(f'{code} {role}' for code, role in people)}",
        *(f"@ID:\teng|rupture|{code}|||||{role}|||" for code, role in people),
    ]
    lines = []
    for turn, voice in zip(transcript, voices, strict=True):
        words = " ".join(_NOT_WORDS.sub(" ", turn.text).split())
        said = words if chat.is_speech(chat.clean(words)) else "xxx"
        start, end = milliseconds(turn.start_s), milliseconds(turn.end_s)
        bullet = "" if start is None or end is None else f" \x15{start}_{end}\x15"
        lines.append(f"*{codes[voice]}:\t{said} .{bullet}")
    return head, lines


def _code(voice: str) -> str:
    role, _, number = voice.partition("_")
    return _CODES[role] if not number else f"{_CODES[role][:2]}{number}"


def read_chat(path: Path) -> Labels:
    """The labels of a file, or of every .cha of a folder; a file's name is its session's id.

    Raises: AnnotationError: not such a file, or a label that is none; by its line.
    """
    return joined([_read(file) for file in files_of(path, ".cha")])


def _read(path: Path) -> Labels:
    text = text_of(path)
    try:
        transcript = read_transcript(text.encode())
        lines = list(chat.logical_lines(text.split("\n")))
    except TranscriptError as error:
        raise AnnotationError(str(error), where=path.name) from None
    heads = {}
    for line in lines:
        if line.text.startswith(_HEAD):
            head = unpack_head(line.text[len(_HEAD) :], f"{path.name}, line {line.number}")
            heads[head["rater_id"], head["pass"]] = head
    found = list(_labels(lines, heads, path, transcript))
    return Labels(tuple(one for one, _ in found), tuple(at for _, at in found))


def _labels(
    lines: Sequence[chat.Line], heads: Heads, path: Path, transcript: Transcript
) -> Iterator[tuple[Annotation, str]]:
    places, n_cues, turn = places_of_cues(transcript), 0, None
    for line in lines:
        where = f"{path.name}, line {line.number}"
        if line.text.startswith("*"):
            speech = chat.is_speech(chat.clean(line.text.partition(":")[2]))
            n_cues += speech
            turn = places.get(str(n_cues)) if speech else None
        elif line.text.startswith("%xrup:"):
            if turn is None:
                raise AnnotationError("labels below no speech", where=where)
            own = own_of(path.stem, ("turn", turn), context_of(transcript.turns[turn]))
            for said in line.text.partition(":")[2].split(";"):
                who, _, packed = said.strip().partition(" ")
                yield unpack(packed, head_for(heads, who, where), own, where), where
        elif line.text.startswith(_LABEL):
            who, unit, index, packed = [*line.text[len(_LABEL) :].split(" ", 3), "", "", ""][:4]
            if unit not in UNITS or not index.isdecimal():
                raise AnnotationError("not CODER/PASS UNIT NUMBER CODE", where=where)
            own = own_of(path.stem, (unit, int(index)), {})
            yield unpack(packed, head_for(heads, who, where), own, where), where
