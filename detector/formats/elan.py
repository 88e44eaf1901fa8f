"""ELAN annotation documents (.eaf): one tier for each speaker, times in slots.

Read with the standard library's XML parser. pympi-ling 1.71 was tried first: it opens paths only,
so that an upload would have to be written to disk, and on a foreign or damaged file it ends in
`KeyError`, `IndexError`, `ValueError` or a bare `Exception`.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from detector.errors import MalformedTranscript
from detector.formats.source import Reader, Reading, Source, labelled_role, number
from detector.transcript import Cue

_DECLARATION = re.compile(r"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_ANNOTATIONS = ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION")
_ON_DEPENDENT = "on a dependent tier"
DEPENDENT = (
    "Annotations on dependent tiers left out: {n}. If the speech stands there and not on the "
    "tiers above them, export those tiers alone."
)


def recognises(source: Source) -> bool:
    """XML whose root is an annotation document."""
    head = (source.text or "")[:4096]
    return head.lstrip().startswith("<") and "<ANNOTATION_DOCUMENT" in head


def read(source: Source) -> Reading:
    """Reads every annotation of an independent tier as one cue.

    The speaker is the tier's PARTICIPANT, else its name. A slot without a time gives none.
    Tiers follow each other in the file; the cues come back in the order of the talk.
    """
    root = _parse(source.text or "")
    reading = Reading(n_found=sum(element.tag in _ANNOTATIONS for element in root.iter()))
    slots = _read_slots(root)
    timed: list[tuple[float, Cue]] = []
    for tier in root.iter("TIER"):
        if tier.get("PARENT_REF"):
            _drop_tier(reading, tier)
        else:
            timed.extend(_in_place(_read_tier(reading, tier, slots)))
    reading.cues = [cue for _, cue in sorted(timed, key=lambda pair: pair[0])]
    reading.n_understood = len(reading.cues)
    n_dependent = sum(dropped.reason == _ON_DEPENDENT for dropped in reading.dropped)
    if n_dependent:
        reading.notes.append(DEPENDENT.format(n=n_dependent))
    return reading


def _parse(text: str) -> ET.Element:
    """The document's root. A document type is refused unread: entities can blow up in memory."""
    declaration = _DECLARATION.search(text)
    if declaration is not None:
        line = text.count("\n", 0, declaration.start()) + 1
        raise MalformedTranscript("a document type declaration is not accepted", line=line)
    try:
        return ET.fromstring(text)  # noqa: S314 - without a document type there is no entity
    except ET.ParseError as error:
        raise MalformedTranscript("XML that is malformed", line=error.position[0]) from None
    except ValueError:
        raise MalformedTranscript("XML that is malformed") from None


def _read_slots(root: ET.Element) -> dict[str, float | None]:
    """Seconds of every time slot, None where ELAN was left to guess it from its neighbours."""
    header = root.find("HEADER")
    if header is not None and header.get("TIME_UNITS", "milliseconds") != "milliseconds":
        raise MalformedTranscript("times in another unit than milliseconds", element="HEADER")
    slots: dict[str, float | None] = {}
    for slot in root.iter("TIME_SLOT"):
        name, value = slot.get("TIME_SLOT_ID", ""), slot.get("TIME_VALUE")
        where = f"TIME_SLOT {name}"
        slots[name] = None if value is None else number(value, where, per_second=1000)
    return slots


def _drop_tier(reading: Reading, tier: ET.Element) -> None:
    """Dependent tiers translate, gloss or cut up what the tier above them says."""
    for annotation in _annotations(tier):
        reading.drop(_where(annotation), _ON_DEPENDENT)


def _annotations(tier: ET.Element) -> Iterator[ET.Element]:
    return (element for element in tier.iter() if element.tag in _ANNOTATIONS)


def _where(annotation: ET.Element) -> str:
    return f"annotation {annotation.get('ANNOTATION_ID', '')}".rstrip()


def _read_tier(reading: Reading, tier: ET.Element, slots: dict[str, float | None]) -> Iterator[Cue]:
    speaker = (tier.get("PARTICIPANT") or tier.get("TIER_ID") or "").strip() or None
    for annotation in _annotations(tier):
        where = _where(annotation)
        text = (annotation.findtext("ANNOTATION_VALUE") or "").strip()
        if annotation.tag == "REF_ANNOTATION" or not text:
            reading.drop(where, "empty text" if not text else "refers to another annotation")
            continue
        span = reading.span(
            _slot(annotation, "TIME_SLOT_REF1", slots),
            _slot(annotation, "TIME_SLOT_REF2", slots),
            where,
        )
        cue_id = annotation.get("ANNOTATION_ID") or str(len(reading.cues) + 1)
        yield Cue(cue_id, speaker, text, *span, role=labelled_role(speaker))


def _slot(annotation: ET.Element, key: str, slots: dict[str, float | None]) -> float | None:
    name = annotation.get(key)
    if name is None or name not in slots:
        raise MalformedTranscript(f"{key} names no time slot", element=_where(annotation))
    return slots[name]


def _in_place(cues: Iterator[Cue]) -> Iterator[tuple[float, Cue]]:
    """Each cue with the start to sort it by; one without stays behind the one before it."""
    start = 0.0
    for cue in cues:
        start = start if cue.start_s is None else cue.start_s
        yield start, cue


READERS = (
    Reader(
        name="elan",
        title="ELAN annotation document (.eaf)",
        recognises=recognises,
        read=read,
        example='<ANNOTATION_DOCUMENT … ><TIER TIER_ID="therapist" PARTICIPANT="…"> …',
    ),
)
