"""What FHIR resources are made of: ids, codings, times, labels, scores and places.

The two resources that are about the model alone, and so about no client, are here too.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

CODES = "urn:rupture:codes"
"""Our code system: measures, codebook markers, formats. Its version is the codebook's."""

Modality = Literal["in_person", "video", "phone", "chat"]
MODALITIES: tuple[str, ...] = get_args(Modality)
VIRTUAL = ("video", "phone", "chat")

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:rupture:fhir")
TERMS = "http://terminology.hl7.org/CodeSystem/"
_AI_GUIDE = "http://hl7.org/fhir/uv/aitransparency/"
AI = (f"{_AI_GUIDE}CodeSystem/AIdeviceTypeCS", "Artificial-Intelligence")
TAKES_PART = f"{TERMS}provenance-participant-type"
DATA_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

AI_MADE = {
    "system": f"{TERMS}v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}
RESTRICTED = {"system": f"{TERMS}v3-Confidentiality", "code": "R", "display": "restricted"}
PART2_LABELS = (
    {"system": f"{TERMS}v3-ActCode", "code": "42CFRPart2", "display": "42 CFR Part2"},
    {
        "system": f"{TERMS}v3-ActCode",
        "code": "NORDSCLCD",
        "display": "no redisclosure without consent directive",
    },
)

_SCORES = {
    "withdrawal": "Chance that a turn of the client shows withdrawal",
    "confrontation": "Chance that a turn of the client shows confrontation",
    "rupture": "Chance that a turn of the client shows either",
    "resolution": "Chance that a turn of the therapist shows a resolution strategy",
    "contribution": "Chance that a turn of the therapist contributes to a rupture",
}
_SIGNIFICANCE = {
    "withdrawal": "Significance of withdrawal in the segment, 1 to 5 as in the 3RS",
    "confrontation": "Significance of confrontation in the segment, 1 to 5 as in the 3RS",
}
SESSION_TEXTS = {
    "withdrawal": "Withdrawal over the session, 1 to 5 as in the 3RS",
    "confrontation": "Confrontation over the session, 1 to 5 as in the 3RS",
    "resolution": "Resolution over the session, 1 to 5 as in the 3RS",
    "contribution": "Therapist's contribution over the session, 1 to 5 as in the 3RS",
}

_UCUM = "http://unitsofmeasure.org"
CHANCE = {"unit": "chance, 0 to 1", "system": _UCUM, "code": "1"}
RATING = {"unit": "1 to 5", "system": _UCUM, "code": "{score}"}

Resource = dict[str, Any]


def resource_id(*place: str) -> str:
    """The id of what is at this place: the same place, the same id."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(place)))


def reference(identity: str, kind: str) -> dict[str, str]:
    """A reference to a resource of the same Bundle."""
    return {"reference": f"urn:uuid:{identity}", "type": kind}


def id_in(reference: Mapping[str, str]) -> str:
    """The id that a reference points at."""
    return reference["reference"].removeprefix("urn:uuid:")


def quantity(value: float, unit: Mapping[str, str]) -> Resource:
    """A value with its unit: CHANCE or RATING."""
    return {"valueQuantity": {"value": value, **unit}}


def instant(time: datetime) -> str:
    """A time in UTC, to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def period(name: str, start: datetime | None, end: datetime | None) -> Resource:
    """From when until when, as far as it is known."""
    known = {"start": start, "end": end}
    times = {edge: instant(time) for edge, time in known.items() if time is not None}
    return {name: times} if times else {}


def coded(system: str, code: str) -> Resource:
    """A concept of one coding."""
    return {"coding": [{"system": system, "code": code}]}


def encounter_class(modality: str | None) -> dict[str, str]:
    """VR where they met at a distance, AMB where in a room; it must say something: UNK."""
    if modality is None:
        return {"system": f"{TERMS}v3-NullFlavor", "code": "UNK", "display": "unknown"}
    if modality in VIRTUAL:
        return {"system": f"{TERMS}v3-ActCode", "code": "VR", "display": "virtual"}
    return {"system": f"{TERMS}v3-ActCode", "code": "AMB", "display": "ambulatory"}


def extension(name: str, kind: str, value: Any) -> Resource:
    """An extension of ours, or nothing where there is no value."""
    return {} if value is None else {"url": f"urn:rupture:fhir:{name}", kind: value}


def extensions(*extensions: Resource) -> Resource:
    """Those extensions that have a value."""
    kept = [one for one in extensions if one]
    return {"extension": kept} if kept else {}


def segment_place(segment: Mapping[str, Any]) -> Resource:
    """Where the window is: its turns, half-open, and its seconds from the recording's start.

    Not a clock time: nobody says that the recording started when the session did.
    """
    turns = segment["turn_indexes"]
    return {
        "url": "urn:rupture:fhir:segment",
        **extensions(
            extension("index", "valueInteger", segment["index"]),
            extension("first-turn", "valueInteger", turns[0]),
            extension("end-turn", "valueInteger", turns[-1] + 1),
            extension("start-s", "valueDecimal", segment["start_s"]),
            extension("end-s", "valueDecimal", segment["end_s"]),
        ),
    }


def absent(turns: Sequence[Mapping[str, Any]]) -> Resource:
    """That nothing was rated, in numbers: the reasons' own words stay in the report."""
    abstained = sum(turn["abstained"] is not None for turn in turns)
    reason = coded(f"{TERMS}data-absent-reason", "not-performed")
    text = (
        "Too little was heard of the speaker who could show it; "
        f"{abstained} of {len(turns)} turns were abstained from."
    )
    return {"dataAbsentReason": {**reason, "text": text}}


def markers(turns: Sequence[Mapping[str, Any]]) -> Iterator[Resource]:
    """Codebook markers of these turns with their places, and without the words there."""
    for turn in turns:
        for found in turn["markers"]:
            for span in found["spans"] or ({"start": None, "end": None},):
                yield {
                    "url": "urn:rupture:fhir:marker",
                    **extensions(
                        extension("marker", "valueCode", found["marker"]),
                        extension("turn", "valueInteger", turn["index"]),
                        extension("start", "valueInteger", span["start"]),
                        extension("end", "valueInteger", span["end"]),
                        extension("score", "valueDecimal", found["score"]),
                        extension("source", "valueCode", found["source"]),
                    ),
                }


def concept(code: str, text: str, codebook: str) -> Resource:
    """One of our measures."""
    return {"coding": [{"system": CODES, "version": codebook, "code": code}], "text": text}


def components(
    segment: Mapping[str, Any], turns: Sequence[Mapping[str, Any]], codebook: str
) -> Iterator[Resource]:
    """A component for each score of a segment and each of its 1..5 ratings."""
    missing = absent(turns)
    kinds = (
        ("scores", "chance", _SCORES, CHANCE),
        ("significance", "significance", _SIGNIFICANCE, RATING),
    )
    for values, ending, texts, unit in kinds:
        for name, text in texts.items():
            value = segment[values][name]
            yield {
                "code": concept(f"{name}-{ending}", text, codebook),
                **(missing if value is None else quantity(value, unit)),
            }


def reader(made: Mapping[str, Any]) -> str:
    """What read the session: checkpoint, codebook and code of a report's provenance."""
    return f"{made['checkpoint_sha256']}/{made['codebook']}/{made['code']}"


def device(made: Mapping[str, Any]) -> Resource:
    """The model. It is about no client: it has no label, and one id for all sessions."""
    described = f"{_AI_GUIDE}StructureDefinition/aitransparency.modelCardDescription"
    its_card = reference(_card_id(made), "DocumentReference")
    return {
        "resourceType": "Device",
        "id": resource_id("device", reader(made)),
        "extension": [{"url": described, "valueReference": its_card}],
        "identifier": [
            {"system": "urn:rupture:checkpoint-sha256", "value": made["checkpoint_sha256"]}
        ],
        "status": "active",
        "deviceName": [{"name": made["checkpoint"], "type": "model-name"}],
        "type": coded(*AI),
        "version": [
            {"type": {"text": "code"}, "value": made["code"]},
            {"type": {"text": "codebook"}, "value": made["codebook"]},
        ],
    }


def card(made: Mapping[str, Any], url: str | None) -> Resource:
    """The model's card, of which only the address is told; about no client either."""
    inputs = f"{_AI_GUIDE}CodeSystem/AIinputsCS"
    unknown = {"extension": [{"url": DATA_ABSENT, "valueCode": "unknown"}]}
    place = {"url": url} if url else {"_url": unknown}
    return {
        "resourceType": "DocumentReference",
        "id": _card_id(made),
        "status": "current",
        "type": coded(inputs, "AIModelCard"),
        "category": [coded(inputs, "AIModelCardMarkdownFormat")],
        "description": f"Model card of {made['checkpoint']}",
        "content": [{"attachment": {"contentType": "text/markdown", **place}}],
    }


def _card_id(made: Mapping[str, Any]) -> str:
    return resource_id("card", made["checkpoint_sha256"])
