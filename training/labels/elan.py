"""ELAN (.eaf): turns on a tier for each speaker, each coder's labels on a tier below it.

A label is an annotation of its own under its turn (Symbolic_Subdivision), so that it is seen,
changed and added to in ELAN: `denial intensity=2`. The tier's name says whose it is:
`coder/pass/speaker`. What is about a segment or the session stands in the header's properties.
Everything is carried. ELAN needs times: a turn without an end lasts until the next one begins.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lxml import etree

from detector.annotation import STAGES, UNITS, Annotation, Labels
from detector.errors import AnnotationError, TranscriptError
from detector.formats import read_transcript
from detector.transcript import Transcript
from training.labels.codings import context_of, milliseconds, transcript_of
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

_HEAD, _LABEL = "rupture-coder", "rupture-label"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_LAST_TURN_MS = 1000
"""How long the last turn is shown where nothing says when it ends."""

_CONSTRAINTS = {
    "Time_Subdivision": "Time subdivision of parent annotation's time interval, no time gaps "
    "allowed within this interval",
    "Symbolic_Subdivision": "Symbolic subdivision of a parent annotation. Annotations refering to "
    "the same parent are ordered",
    "Symbolic_Association": "1-1 association with a parent annotation",
    "Included_In": "Time alignable annotations within the parent annotation's time interval, gaps "
    "are allowed",
}


def write_elan(
    labels: Labels, folder: Path, transcripts: Mapping[str, Transcript]
) -> tuple[str, ...]:
    """Writes SESSION.eaf for each session. Returns: what is not carried.

    Raises: AnnotationError: no transcript of a session, or one without times.
    """
    folder.mkdir(parents=True, exist_ok=True)
    moved: Counter[str] = Counter()
    for session_id, own in by_session(labels).items():
        transcript = transcript_of(transcripts, session_id)
        root = _skeleton(transcript, session_id, moved)
        context = turns_as_read(_bytes(root), transcript, session_id)
        _add_labels(root, own, context, voices_of(transcript))
        (folder / f"{session_id}.eaf").write_bytes(_bytes(root))
    return (*(f"{what} of {n} turns" for what, n in moved.items()), *without_decisions(labels))


def _bytes(root: Any) -> bytes:
    return bytes(etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True))


def _skeleton(transcript: Transcript, session_id: str, moved: Counter[str]) -> Any:
    """The document with its turns and without labels."""
    voices = voices_of(transcript)
    spans = _spans(transcript, voices, session_id, moved)
    root = etree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "",
            # The same labels make the same file.
            "DATE": "1970-01-01T00:00:00+00:00",
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{_XSI}}}noNamespaceSchemaLocation": _SCHEMA,
        },
        nsmap={"xsi": _XSI},
    )
    etree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    order = etree.SubElement(root, "TIME_ORDER")
    slots = sorted({time for span in spans for time in span})
    names = {time: f"ts{number}" for number, time in enumerate(slots, start=1)}
    for time, name in names.items():
        etree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=name, TIME_VALUE=str(time))
    for voice in dict.fromkeys(voices):
        tier = etree.SubElement(
            root, "TIER", LINGUISTIC_TYPE_REF="turns", PARTICIPANT=voice, TIER_ID=voice
        )
        for turn in transcript:
            if voices[turn.index] == voice:
                start, end = (names[time] for time in spans[turn.index])
                _annotate(
                    tier,
                    "ALIGNABLE_ANNOTATION",
                    _xml_text(turn.text),
                    ANNOTATION_ID=f"a{turn.index + 1}",
                    TIME_SLOT_REF1=start,
                    TIME_SLOT_REF2=end,
                )
    _add_types(root)
    return root


def _spans(
    transcript: Transcript, voices: Sequence[str], session_id: str, moved: Counter[str]
) -> list[tuple[int, int]]:
    """Start and end of each turn in milliseconds: later than the one before, none of no length."""
    starts: list[int] = []
    for turn in transcript:
        start = milliseconds(turn.start_s)
        if start is None:
            raise AnnotationError(
                f"session {session_id}: turn {turn.index} has no start, and ELAN needs times"
            )
        least = starts[-1] + 1 if starts else 0
        moved.update(["the start"] if start < least else [])
        starts.append(max(start, least))
    spans = []
    for turn, start in zip(transcript, starts, strict=True):
        after = range(turn.index + 1, len(starts))
        same = [starts[i] for i in after if voices[i] == voices[turn.index]]
        end = milliseconds(turn.end_s)
        if end is None:
            end = starts[after[0]] if after else start + _LAST_TURN_MS
        else:
            # Annotations of one tier may not overlap.
            held = max(min([end, *same[:1]]), start + 1)
            moved.update(["the end"] if held != end else [])
            end = held
        spans.append((start, end))
    return spans


def _annotate(tier: Any, kind: str, text: str, **attributes: str) -> None:
    own = etree.SubElement(etree.SubElement(tier, "ANNOTATION"), kind, attributes)
    etree.SubElement(own, "ANNOTATION_VALUE").text = text


def _xml_text(text: str) -> str:
    """Text without the control characters that XML cannot hold."""
    return "".join(c if c >= " " and c not in "\ufffe\uffff" else " " for c in text)


def _add_types(root: Any) -> None:
    plain = {"GRAPHIC_REFERENCES": "false"}
    etree.SubElement(
        root, "LINGUISTIC_TYPE", plain, LINGUISTIC_TYPE_ID="turns", TIME_ALIGNABLE="true"
    )
    etree.SubElement(
        root,
        "LINGUISTIC_TYPE",
        plain,
        CONSTRAINTS="Symbolic_Subdivision",
        LINGUISTIC_TYPE_ID="labels",
        TIME_ALIGNABLE="false",
    )
    for name, said in _CONSTRAINTS.items():
        etree.SubElement(root, "CONSTRAINT", DESCRIPTION=said, STEREOTYPE=name)


def _add_labels(
    root: Any,
    own: Sequence[Annotation],
    context: Sequence[Mapping[str, Any]],
    voices: Sequence[str],
) -> None:
    heads, header = by_coder(own), root.find("HEADER")
    for head in heads.values():
        etree.SubElement(header, "PROPERTY", NAME=_HEAD).text = pack_head(head)
    n, before = len(context), root.find("LINGUISTIC_TYPE")
    tiers: dict[str, Any] = {}
    last: dict[tuple[str, int], str] = {}
    for one in sorted(own, key=lambda one: (one.coder, one.stage, one.unit_index)):
        head = heads[one.coder, one.stage]
        if one.unit_type != "turn":
            said = f"{one.coder}/{one.stage} {one.unit_type} {one.unit_index} {pack(one, head, {})}"
            etree.SubElement(header, "PROPERTY", NAME=_LABEL).text = said
            continue
        voice = voices[one.unit_index]
        name = f"{one.coder}/{one.stage}/{voice}"
        if name not in tiers:
            tiers[name] = etree.Element(
                "TIER",
                ANNOTATOR=one.coder,
                LINGUISTIC_TYPE_REF="labels",
                PARENT_REF=voice,
                TIER_ID=name,
            )
            before.addprevious(tiers[name])
        n += 1
        ids = {"ANNOTATION_ID": f"a{n}", "ANNOTATION_REF": f"a{one.unit_index + 1}"}
        if previous := last.get((name, one.unit_index)):
            ids["PREVIOUS_ANNOTATION"] = previous
        last[name, one.unit_index] = f"a{n}"
        text = pack(one, head, context[one.unit_index])
        _annotate(tiers[name], "REF_ANNOTATION", text, **ids)
    etree.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId").text = str(n)


def read_elan(path: Path) -> Labels:
    """The labels of a file, or of every .eaf of a folder; a file's name is its session's id.

    Raises: AnnotationError: not such a document, or a label that is none; by its annotation.
    """
    return joined([_read(file) for file in files_of(path, ".eaf")])


def _read(path: Path) -> Labels:
    try:
        data = path.read_bytes()
        transcript = read_transcript(data)
        # The reader of transcripts has refused a document type, and with it every entity.
        root = etree.fromstring(data, _parser())
    except TranscriptError as error:
        raise AnnotationError(str(error), where=path.name) from None
    except (OSError, etree.XMLSyntaxError):
        raise AnnotationError("not a whole ELAN document", where=path.name) from None
    heads = _heads(root, path.name)
    found = [*_of_header(root, heads, path), *_of_tiers(root, heads, path, transcript)]
    others = sum(
        tier.get("PARENT_REF") is not None and _whose(tier) is None for tier in root.iter("TIER")
    )
    notes = (f"{path.name}: dependent tiers that are no coder's: {others}",) if others else ()
    return Labels(tuple(one for one, _ in found), tuple(at for _, at in found), notes=notes)


def _parser() -> Any:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def _heads(root: Any, name: str) -> dict[tuple[str, str], dict[str, Any]]:
    found = (
        unpack_head(one.text or "", name)
        for one in root.iter("PROPERTY")
        if one.get("NAME") == _HEAD
    )
    return {(head["rater_id"], head["pass"]): head for head in found}


def _of_header(root: Any, heads: Heads, path: Path) -> Iterator[tuple[Annotation, str]]:
    labels = [one for one in root.iter("PROPERTY") if one.get("NAME") == _LABEL]
    for number, one in enumerate(labels, start=1):
        where = f"{path.name}, label {number} of the header"
        who, unit, index, said = [*(one.text or "").split(" ", 3), "", "", ""][:4]
        if unit not in UNITS or not index.isdecimal():
            raise AnnotationError("not CODER/PASS UNIT NUMBER CODE", where=where)
        own = own_of(path.stem, (unit, int(index)), {})
        yield unpack(said, head_for(heads, who, where), own, where), where


def _whose(tier: Any) -> list[str] | None:
    """Coder, pass and speaker of a tier, None where it is no coder's."""
    parts = (tier.get("TIER_ID") or "").split("/")
    return parts if len(parts) == 3 and parts[1] in STAGES else None


def _of_tiers(
    root: Any,
    heads: Heads,
    path: Path,
    transcript: Transcript,
) -> Iterator[tuple[Annotation, str]]:
    places = places_of_cues(transcript)
    for tier in root.iter("TIER"):
        who = _whose(tier)
        if who is None:
            continue
        for one in tier.iter("REF_ANNOTATION"):
            where = f"{path.name}, annotation {one.get('ANNOTATION_ID', '')}"
            text = (one.findtext("ANNOTATION_VALUE") or "").strip()
            if not text:
                continue
            turn = places.get(one.get("ANNOTATION_REF", ""))
            if turn is None:
                raise AnnotationError("a label below no turn", where=where)
            own = own_of(path.stem, ("turn", turn), context_of(transcript.turns[turn]))
            yield unpack(text, head_for(heads, "/".join(who[:2]), where), own, where), where
