"""One session as a FHIR Bundle: what an electronic health record may know of a report.

    Encounter                the session; virtual where the modality says so
    DocumentReference        the transcript, known by its hash alone
    Observation × segments   a component for every score and every 1..5 rating of the window
    Observation × 4          withdrawal, confrontation, resolution, contribution over the session
    Device, DocumentReference   the model, and where its card is read
    Provenance               the model made the Observations; a second one where a clinician
                             confirmed them

The version is R4B (4.3.0). Of the versions that `fhir.resources` 8 can validate (R5, R4B, STU3) it
is the one that receivers of R4 read too: every element used here is the same in both. HL7's *AI
Transparency on FHIR*, whose Device type, model card and `AIAST` label are followed, is made for R4
as well. That guide still changes, so no resource claims its profiles.

What was said never leaves: no text of a turn, no speaker's name, no cue id (a file may write a name
into it) and no free sentence of the report is read here. Of words the Bundle has only ours, the
codebook's ids and the names of the model, the format and the code. There is no RiskAssessment:
it would claim an outcome, and we only have a rating.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from detector.report import RATINGS
from service.errors import Fault, Invalid, NotPermitted
from service.fhir_elements import (
    AI,
    AI_MADE,
    CODES,
    DATA_ABSENT,
    MODALITIES,
    PART2_LABELS,
    RATING,
    RESTRICTED,
    SESSION_TEXTS,
    TAKES_PART,
    TERMS,
    Resource,
    absent,
    card,
    coded,
    components,
    concept,
    device,
    encounter_class,
    extension,
    extensions,
    id_in,
    instant,
    markers,
    period,
    quantity,
    reader,
    reference,
    resource_id,
    segment_place,
)
from service.policy import PART2_NOTICE
from service.retention import Sensitivity

FHIR_VERSION = "4.3.0"

REPORT_SCHEMA = "rupture-report/1"
"""The only form of report that is read here: `detector.report.SCHEMA`."""

SENSITIVITIES = tuple(Sensitivity)

_PARTS = ("session", "turns", "segments", "provenance")


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """What the service knows of a session beside its report.

    Args:
        session_id: the service's own; ids of the Bundle are made from it.
        analysed_at: when the report was made; every time here has a zone.
        client_ref: the platform's own reference of the client, never a name; None: no subject.
        client_system: URI of the system that the reference is from.
        session_number: which session of this client it is, from 1.
        modality: one of MODALITIES, or None where nobody said.
        started_at: when the session began.
        ended_at: when it ended.
        sensitivity: one of SENSITIVITIES, as in service.retention.
        notices: sentences that must go with it: those of the policy's decision. A Part 2 session
            without one has `service.policy.PART2_NOTICE`.
        consent_id: the consent that this disclosure rests on.
        confirmed_by: account of the clinician who confirmed the report, never a name.
        confirmed_at: when that was; given with `confirmed_by`, or neither.
        card_url: where the model's card is read.
    """

    session_id: str
    analysed_at: datetime
    client_ref: str | None = field(default=None, repr=False)
    client_system: str = "urn:rupture:client-ref"
    session_number: int | None = None
    modality: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    sensitivity: str = Sensitivity.STANDARD
    notices: tuple[str, ...] = ()
    consent_id: str | None = None
    confirmed_by: str | None = None
    confirmed_at: datetime | None = None
    card_url: str | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether a clinician confirmed the report."""
        return self.confirmed_by is not None


def bundle(report: Mapping[str, Any], about: BundleFacts) -> Resource:
    """The session's Bundle, of type `collection`. The same input gives the same value.

    Ids are made from the session's id and a resource's place; those of what the model made, from
    the checkpoint, codebook and code too, so that a second reading stands beside the first in a
    record. Device and card have one id for all sessions.

    Args:
        report: `Report.to_dict()`, or `Report.to_json()` read again.
        about: what the report does not know.

    Raises:
        NotPermitted: a Part 2 session without a consent.
        Invalid: no report of this form, or facts that contradict themselves.
    """
    _check(report, about)
    session = _Session(report, about)
    made = [*session.segments(), *session.ratings()]
    resources = [
        session.encounter(),
        session.transcript(),
        session.device,
        session.card,
        *made,
        session.provenance(made),
        *session.confirmation(made),
    ]
    return {
        "resourceType": "Bundle",
        "id": session.id_of("bundle", session.version),
        "meta": {"security": session.labels},
        "identifier": {"system": "urn:rupture:session", "value": about.session_id},
        "type": "collection",
        "timestamp": instant(about.confirmed_at or about.analysed_at),
        "entry": [
            {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}
            for resource in resources
        ],
    }


def _check(report: Mapping[str, Any], about: BundleFacts) -> None:
    if report.get("schema") != REPORT_SCHEMA or any(part not in report for part in _PARTS):
        raise Invalid(f"It is no report of the form {REPORT_SCHEMA}.", code="unknown_report")
    faults = list(_faults(about))
    if faults:
        raise Invalid("The session's facts do not make a Bundle.", errors=faults)
    if about.sensitivity == Sensitivity.PART2 and not about.consent_id:
        raise NotPermitted(
            "Records under 42 CFR part 2 leave only with a consent.", code="part2_consent_required"
        )


def _faults(about: BundleFacts) -> Iterator[Fault]:
    for name in ("analysed_at", "started_at", "ended_at", "confirmed_at"):
        time = getattr(about, name)
        if time is not None and time.tzinfo is None:
            yield Fault(f"/{name}", "no_zone", "a time has a zone")
            return
    if about.started_at and about.ended_at and about.ended_at < about.started_at:
        yield Fault("/ended_at", "ends_before_start", "the session ends before it starts")
    # What is not known may be more sensitive than what is: it does not leave as if it were normal.
    if about.sensitivity not in SENSITIVITIES:
        yield Fault("/sensitivity", "unknown", f"one of {', '.join(SENSITIVITIES)}")
    if about.modality is not None and about.modality not in MODALITIES:
        yield Fault("/modality", "unknown", f"one of {', '.join(MODALITIES)}, or none")
    if about.session_number is not None and about.session_number < 1:
        yield Fault("/session_number", "too_small", "sessions are counted from 1")
    if (about.confirmed_by is None) != (about.confirmed_at is None):
        yield Fault("/confirmed_at", "half_confirmed", "who confirmed it and when go together")


class _Session:
    """The resources of one session, each made once."""

    def __init__(self, report: Mapping[str, Any], about: BundleFacts) -> None:
        self._report, self._about = report, about
        self._made_by: Mapping[str, Any] = report["provenance"]
        self.version = reader(self._made_by)
        self.device, self.card = device(self._made_by), card(self._made_by, about.card_url)
        is_part2 = about.sensitivity == Sensitivity.PART2
        # Psychotherapy is restricted also where no law names it: our judgement, as R stands for
        # what stigmatises (v3-Confidentiality).
        self.labels = [dict(label) for label in (RESTRICTED, *(PART2_LABELS if is_part2 else ()))]
        self._notices = about.notices or ((PART2_NOTICE,) if is_part2 else ())
        self._encounter = reference(self.id_of("encounter"), "Encounter")
        self._transcript = reference(
            self.id_of("transcript", self._made_by["transcript_sha256"]), "DocumentReference"
        )
        self._card = reference(self.card["id"], "DocumentReference")
        self._device = reference(self.device["id"], "Device")

    def id_of(self, *place: str) -> str:
        return resource_id(self._about.session_id, *place)

    def encounter(self) -> Resource:
        about, attendance = self._about, self._report["session"]["attendance"]
        # Where nobody said, there is a transcript: they met.
        was_held = attendance not in ("cancelled", "no_show")
        return self._labelled(
            {
                "resourceType": "Encounter",
                "id": id_in(self._encounter),
                **extensions(
                    extension("attendance", "valueCode", attendance),
                    extension("session-number", "valuePositiveInt", about.session_number),
                ),
                "identifier": [{"system": "urn:rupture:session", "value": about.session_id}],
                "status": "finished" if was_held else "cancelled",
                "class": encounter_class(about.modality),
                **self._subject(),
                **period("period", about.started_at, about.ended_at),
            }
        )

    def transcript(self) -> Resource:
        """The transcript by its hash. Its text is withheld, and the Bundle says so.

        The hash is an identifier: `Attachment.hash` is SHA-1 in R4.
        """
        about, made = self._about, self._made_by
        withheld = {"extension": [{"url": DATA_ABSENT, "valueCode": "masked"}]}
        return self._labelled(
            {
                "resourceType": "DocumentReference",
                "id": id_in(self._transcript),
                "masterIdentifier": {
                    "system": "urn:rupture:transcript-sha256",
                    "value": made["transcript_sha256"],
                },
                "status": "current",
                "type": {"text": "Transcript of a session"},
                **self._subject(),
                "description": "Known by its hash alone; its text is not disclosed here.",
                "securityLabel": [{"coding": [label]} for label in self.labels],
                "content": [
                    {
                        "attachment": {"_url": withheld},
                        "format": {"system": CODES, "code": made["format"]},
                    }
                ],
                "context": {
                    "encounter": [self._encounter],
                    **period("period", about.started_at, about.ended_at),
                },
            }
        )

    def segments(self) -> Iterator[Resource]:
        for segment in self._report["segments"]:
            turns = [self._report["turns"][index] for index in segment["turn_indexes"]]
            parts = list(components(segment, turns, self._made_by["codebook"]))
            is_silent = all("dataAbsentReason" in part for part in parts)
            yield self._observation(
                f"segment/{segment['index']}",
                "segment",
                "Ruptures and their resolution in one segment of a session",
                extensions(segment_place(segment), *markers(turns)),
                absent(turns) if is_silent else {},
                {"component": parts},
            )

    def ratings(self) -> Iterator[Resource]:
        turns = self._report["turns"]
        for name in RATINGS:
            rating = self._report["session"][name]
            yield self._observation(
                f"session/{name}",
                f"{name}-session",
                SESSION_TEXTS[name],
                absent(turns) if rating is None else quantity(rating, RATING),
            )

    def provenance(self, made: Sequence[Resource]) -> Resource:
        """The model made these Observations from that transcript."""
        about = self._about
        named = {"system": "urn:rupture:consent", "value": about.consent_id}
        consent = {"type": "Consent", "identifier": named} if about.consent_id else None
        return self._labelled(
            {
                "resourceType": "Provenance",
                "id": self.id_of("provenance", self.version),
                **extensions(extension("consent", "valueReference", consent)),
                "target": [reference(one["id"], "Observation") for one in made],
                "recorded": instant(about.analysed_at),
                "reason": [{"coding": [AI_MADE]}],
                "agent": [
                    {
                        "type": coded(TAKES_PART, "author"),
                        "role": [coded(*AI)],
                        "who": self._device,
                    }
                ],
                "entity": [
                    {"role": "source", "what": self._transcript},
                    {"role": "derivation", "what": self._card},
                ],
            },
            AI_MADE,
        )

    def confirmation(self, made: Sequence[Resource]) -> Iterator[Resource]:
        """That a clinician confirmed them, where one did."""
        about = self._about
        if about.confirmed_at is None:
            return
        yield self._labelled(
            {
                "resourceType": "Provenance",
                "id": self.id_of("confirmation", self.version),
                "target": [reference(one["id"], "Observation") for one in made],
                "recorded": instant(about.confirmed_at),
                "agent": [
                    {
                        "type": coded(TAKES_PART, "verifier"),
                        "who": {
                            "type": "Practitioner",
                            "identifier": {
                                "system": "urn:rupture:account",
                                "value": about.confirmed_by,
                            },
                        },
                    }
                ],
            }
        )

    def _observation(self, place: str, code: str, text: str, *more: Mapping[str, Any]) -> Resource:
        made, about = self._made_by, self._about
        read_by = "rules, timing and network" if made["backend"] else "rules and timing"
        merged: Resource = {key: value for part in more for key, value in part.items()}
        return self._labelled(
            {
                "resourceType": "Observation",
                "id": self.id_of(self.version, place),
                "status": "final" if about.is_confirmed else "preliminary",
                "category": [coded(f"{TERMS}observation-category", "survey")],
                "code": concept(code, text, made["codebook"]),
                **self._subject(),
                "encounter": self._encounter,
                **period("effectivePeriod", about.started_at, about.ended_at),
                "issued": instant(about.analysed_at),
                "method": {
                    "coding": [{"system": CODES, "version": made["codebook"], "code": "codebook"}],
                    "text": f"Codebook {made['codebook']}, after the 3RS, read by {read_by}",
                },
                "device": self._device,
                "derivedFrom": [self._transcript],
                **merged,
            },
            AI_MADE,
        )

    def _subject(self) -> Resource:
        about = self._about
        if about.client_ref is None:
            return {}
        identifier = {"system": about.client_system, "value": about.client_ref}
        return {"subject": {"type": "Patient", "identifier": identifier}}

    def _labelled(self, resource: Resource, *more: Mapping[str, str]) -> Resource:
        """The resource with its labels, and with the notices in its narrative.

        Each has them, not the Bundle alone: a record keeps the resources and throws that away.
        """
        kind, identity = resource.pop("resourceType"), resource.pop("id")
        said = "".join(f"<p>{html.escape(notice)}</p>" for notice in self._notices)
        div = f'<div xmlns="http://www.w3.org/1999/xhtml">{said}</div>'
        return {
            "resourceType": kind,
            "id": identity,
            "meta": {"security": [*self.labels, *(dict(label) for label in more)]},
            **({"text": {"status": "additional", "div": div}} if said else {}),
            **resource,
        }
