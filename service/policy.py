"""What may be done with a session: consent, jurisdiction, sensitivity, retention, erasure.

Pure functions over frozen values; nothing here reads a database, a clock or a file. The store
keeps the rows, the API asks before it acts and writes the answer, denials included, to the audit.

    decide                    may this purpose be served with this session now?
    decide_material           may a comment or a transcript go this way out?
    decide_erasure            may it be erased, or does a legal hold pin it?
    effects_of_revocation     what stops, and what is erased, when a consent is taken back

What the sweeper must erase is in service/retention.py. It is engineering and no legal advice:
whether a rule applies, and whether a setting may be changed, is the deployer's to find out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from service.consent import JURISDICTION, WRITTEN, Consent, ConsentScope
from service.errors import Conflict, Fault, Gone, Invalid, NotPermitted, ServiceError
from service.retention import Part, Retention, Sensitivity, SessionFacts, checked_now


class Purpose(StrEnum):
    """What somebody wants to do with a session."""

    ANALYSE = "analyse"
    HUMAN_REVIEW = "human_review"
    RESEARCH = "research"
    TRAIN = "train"
    EXPORT = "export"
    FHIR = "fhir"


_SCOPE_FOR = {
    Purpose.ANALYSE: ConsentScope.ANALYSE,
    Purpose.HUMAN_REVIEW: ConsentScope.HUMAN_REVIEW,
    Purpose.RESEARCH: ConsentScope.RESEARCH,
    Purpose.TRAIN: ConsentScope.TRAIN,
    Purpose.EXPORT: ConsentScope.ANALYSE,
    Purpose.FHIR: ConsentScope.ANALYSE,
}

_PART_FOR = {
    Purpose.ANALYSE: Part.TEXT,
    Purpose.HUMAN_REVIEW: Part.TEXT,
    Purpose.RESEARCH: Part.TEXT,
    Purpose.TRAIN: Part.TEXT,
    Purpose.EXPORT: Part.SCORES,
    Purpose.FHIR: Part.SCORES,
}
"""What a purpose needs: reports can be exported after their text is gone."""

_LEAVES = frozenset({Purpose.EXPORT, Purpose.FHIR, Purpose.RESEARCH, Purpose.TRAIN})
"""Purposes that pass the record on: research and training write files that others read."""

PART2_NOTICE = (
    "These are substance use disorder treatment records under 42 CFR Part 2. Federal law forbids"
    " using them or passing them on without authorisation, and using them against the patient in"
    " civil, criminal, administrative or legislative proceedings without the patient's consent or"
    " a court's order. A copy of the consent, or a clear account of its scope, goes with them"
    " (notice under 42 CFR 2.32)."
)
"""In our own words. 42 CFR 2.32(a) prescribes the wording of the statement: a Part 2 programme
puts the statement that its counsel chose into `PolicySettings.part2_notice`."""

EU_NOTE = (
    "In the European Economic Area session content is health data (GDPR Art. 9): explicit consent"
    " or another ground of Art. 9(2) and an impact assessment (Art. 35) are the deployer's to"
    " have, nobody is decided on by scores alone (Art. 22), people are told that a machine reads"
    " along (AI Act Art. 50), and staff are not watched with it (AI Act Art. 5(1)(f))."
)

_EEA_CODES = (
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"
)
EEA = frozenset(_EEA_CODES.split())
"""Countries of the European Economic Area, ISO 3166-1."""

GATED: Mapping[str, str] = MappingProxyType(
    {
        "US-IL": "Illinois Public Act 104-0054 limits what a machine may do in therapy; the"
        " deployer switches the state on when counsel agrees"
    }
)
"""Jurisdictions that are off until the deployer switches them on, and why."""

WRITTEN_ONLY = frozenset({"US-IL"})
"""Jurisdictions where the consent must be in writing (Illinois Public Act 104-0054)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """A tenant's policy within what its deployer allows.

    Args:
        retention: how long parts are kept.
        gated: jurisdictions that are off, and why. A country's code gates all of it.
        switched_on: gated jurisdictions that the deployer switched on.
        written_only: jurisdictions where a consent counts only in writing.
        part2_notice: what goes with every Part 2 record that leaves.
        revocation_erases: the parts that are erased when a consent is taken back.
        transcript_is_notes: whether whole transcripts are treated as psychotherapy notes too.
    """

    retention: Retention = field(default_factory=Retention)
    gated: Mapping[str, str] = field(default_factory=lambda: GATED)
    switched_on: frozenset[str] = frozenset()
    written_only: frozenset[str] = WRITTEN_ONLY
    part2_notice: str = PART2_NOTICE
    revocation_erases: frozenset[Part] = frozenset({Part.TEXT})
    transcript_is_notes: bool = False

    def __post_init__(self) -> None:
        named = {"gated": self.gated, "switched_on": self.switched_on}
        faults = [
            Fault(f"/policy/{name}", "malformed", "ISO 3166 codes such as US-IL are expected")
            for name, places in {**named, "written_only": self.written_only}.items()
            if not all(JURISDICTION.fullmatch(place) for place in places)
        ]
        if not self.part2_notice.strip():
            faults.append(Fault("/policy/part2_notice", "empty", "42 CFR 2.32 wants a notice"))
        if faults:
            raise Invalid("The policy cannot be used as it is.", errors=faults)


_KINDS: Mapping[str, type[ServiceError]] = {
    "erased": Gone,
    "past_retention": Gone,
    "legal_hold": Conflict,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it is allowed, and what must go with it.

    `code` is `allowed` or the denial's own; `sentence` is for a person and names nobody.
    `notices` must be shown with what is handed out, or be in it.
    """

    allowed: bool
    code: str
    sentence: str
    notices: tuple[str, ...] = ()

    @property
    def may_be_read(self) -> bool:
        """Whether it may be read here. Who reads passes nothing on: Part 2 binds what leaves."""
        return self.allowed or self.code.startswith("part2_")

    def require(self) -> None:
        """Nothing where it is allowed.

        Raises: Gone: erased, or past retention. Conflict: pinned by a legal hold. NotPermitted:
            any other denial. The error's code is the decision's.
        """
        if not self.allowed:
            raise _KINDS.get(self.code, NotPermitted)(self.sentence, code=self.code)


def _denied(code: str, sentence: str) -> Decision:
    return Decision(False, code, sentence)


def _allowed(*notices: str) -> Decision:
    return Decision(True, "allowed", "It is allowed.", notices)


def decide(
    purpose: Purpose,
    consent: Consent | None,
    facts: SessionFacts,
    settings: PolicySettings,
    now: datetime,
    *,
    redisclosure: Consent | None = None,
) -> Decision:
    """Whether a purpose may be served with a session now.

    The first denial counts, in this order: `erased`, `no_consent`, `consent_revoked`,
    `consent_not_yet_valid`, `jurisdiction_unclear`, `jurisdiction_gated`, `consent_not_written`,
    `not_in_scope`, `legal_hold` (kept past its end for a hold alone), `past_retention`,
    `part2_no_redisclosure`, `part2_redisclosure_unknown`, `part2_redisclosure_revoked`.

    Args:
        purpose: what somebody wants to do. Exports and FHIR rest on the scope `analyse` and need
            only the scores; what is written of them holds no text.
        consent: the session's consent as it stands, or None.
        facts: the session.
        settings: the tenant's policy.
        now: aware.
        redisclosure: the consent that `consent.redisclosure` names, where it is another one. An
            id alone allows nothing: what it names may have been taken back.

    Returns: the decision; where it is allowed, with the notices for Part 2 and for the EEA.
    Raises: ValueError: `now` has no offset.
    """
    now = checked_now(now)
    part = _PART_FOR[purpose]
    if part in facts.erased:
        return _denied("erased", f"The session's {part} was erased.")
    denied = (
        _denied_by_consent(consent, now)
        or _denied_by_place(consent, settings)
        or _denied_by_scope(purpose, consent)
        or _denied_by_retention(part, facts, settings, now)
        or _denied_by_part2(purpose, consent, facts, redisclosure, now)
    )
    if denied is not None:
        return denied
    is_part2 = facts.sensitivity is Sensitivity.PART2 and purpose in _LEAVES
    is_eea = consent is not None and consent.country in EEA
    return _allowed(*[settings.part2_notice] * is_part2, *[EU_NOTE] * is_eea)


def _denied_by_consent(consent: Consent | None, now: datetime) -> Decision | None:
    if consent is None:
        return _denied("no_consent", "There is no consent for this session.")
    if consent.revoked_at is not None:
        return _denied("consent_revoked", "The consent was taken back.")
    if not consent.holds_at(now):
        return _denied("consent_not_yet_valid", "The consent holds only from a later time.")
    return None


def _denied_by_place(consent: Consent | None, settings: PolicySettings) -> Decision | None:
    if consent is None:
        return None
    place, off = consent.jurisdiction, set(settings.gated) - settings.switched_on
    # "US" may be Illinois: whoever does not say the state gets no further than Illinois.
    if place not in off and any(gate.startswith(f"{place}-") for gate in off):
        said = "Part of that country is switched off here; say which state or province it is."
        return _denied("jurisdiction_unclear", said)
    if {place, consent.country} & off and place not in settings.switched_on:
        why = settings.gated.get(place) or settings.gated[consent.country]
        return _denied("jurisdiction_gated", f"{place} is switched off here: {why}.")
    may_need_writing = any(_may_lie_in(place, one) for one in settings.written_only)
    if may_need_writing and consent.basis not in WRITTEN:
        return _denied("consent_not_written", f"In {place} the consent must be in writing.")
    return None


def _may_lie_in(place: str, region: str) -> bool:
    """Whether it is the region, lies in it, or is a country of which the region is a part."""
    return place in (region, region[:2]) or place[:2] == region


def _denied_by_scope(purpose: Purpose, consent: Consent | None) -> Decision | None:
    scope = _SCOPE_FOR[purpose]
    if consent is not None and scope in consent.scopes:
        return None
    return _denied("not_in_scope", f"The consent does not cover {scope}.")


def _denied_by_retention(
    part: Part, facts: SessionFacts, settings: PolicySettings, now: datetime
) -> Decision | None:
    """What the sweeper has not come to yet, and what only a hold keeps, is of no further use."""
    if not facts.is_past(part, settings.retention, now):
        return None
    if facts.legal_hold:
        return _denied("legal_hold", f"The session's {part} is kept for a legal hold alone.")
    return _denied("past_retention", f"The session's {part} is past its retention.")


def _denied_by_part2(
    purpose: Purpose,
    consent: Consent | None,
    facts: SessionFacts,
    redisclosure: Consent | None,
    now: datetime,
) -> Decision | None:
    if facts.sensitivity is not Sensitivity.PART2 or purpose not in _LEAVES or consent is None:
        return None
    if consent.redisclosure is None:
        said = "A 42 CFR Part 2 record leaves only with a consent to pass it on."
        return _denied("part2_no_redisclosure", said)
    named = consent if consent.redisclosure == consent.id else redisclosure
    if named is None or named.id != consent.redisclosure:
        said = "The consent to pass a 42 CFR Part 2 record on is not known here."
        return _denied("part2_redisclosure_unknown", said)
    if not named.holds_at(now):
        said = "The consent to pass a 42 CFR Part 2 record on does not hold now."
        return _denied("part2_redisclosure_revoked", said)
    return None


class Material(StrEnum):
    """What may be notes under 45 CFR 164.501. `COMMENT` is what reviewers write on a session."""

    COMMENT = "comment"
    TRANSCRIPT = "transcript"


class Outlet(StrEnum):
    """Where material may go."""

    REVIEW = "review"
    CLIENT = "client"
    EXPORT = "export"
    FHIR = "fhir"
    RESEARCH = "research"
    TRAIN = "train"


def decide_material(
    material: Material, outlet: Outlet, settings: PolicySettings, *, may_read_notes: bool
) -> Decision:
    """Whether material may go out this way, beside what `decide` says of the session.

    Reviewers' comments are psychotherapy notes, always: kept apart, read in the review by those
    whose scope says so, and never in an export, a FHIR bundle, training data or the client's
    view. A transcript is not notes by itself; a tenant may say that it is.

    Args:
        material: what it is.
        outlet: where it would go.
        settings: the tenant's policy.
        may_read_notes: whether the caller has the scope for psychotherapy notes.

    Returns: the decision, with code `psychotherapy_notes` or `notes_scope_needed` where denied.
    Source: 45 CFR 164.501 and 164.508(a)(2); product research, §4.1.
    """
    if material is Material.TRANSCRIPT and not settings.transcript_is_notes:
        return _allowed()
    if outlet is not Outlet.REVIEW:
        said = f"Psychotherapy notes are kept apart and never go to {outlet}."
        return _denied("psychotherapy_notes", said)
    if not may_read_notes:
        return _denied("notes_scope_needed", "Psychotherapy notes need a scope of their own.")
    return _allowed()


def decide_erasure(facts: SessionFacts) -> Decision:
    """Whether a session may be erased on request now: denied, `legal_hold`, while it is pinned.

    What is gone already may be asked for again: erasing is idempotent.
    """
    if facts.legal_hold:
        return _denied("legal_hold", "A legal hold pins this session; it is erased afterwards.")
    return _allowed()


@dataclass(frozen=True, slots=True)
class Revocation:
    """What follows when a consent is taken back.

    Args:
        stops: purposes that the consent carried and that end.
        cancel_jobs: whether queued and running jobs of the session are cancelled; always true,
            so that a job which no row knows of yet finds the consent revoked and stops too.
        erase: parts to erase now.
        erase_later: parts to erase when the legal hold ends: set `SessionFacts.erase_from`.
        drop_from_manifests: whether the session leaves the manifests of exports and training
            sets; a model that saw it is marked "trained before erasure".
    """

    stops: frozenset[Purpose]
    cancel_jobs: bool
    erase: frozenset[Part]
    erase_later: frozenset[Part]
    drop_from_manifests: bool


def effects_of_revocation(
    consent: Consent, facts: SessionFacts, settings: PolicySettings
) -> Revocation:
    """What must stop and what must be erased when this consent is taken back.

    Doing it twice changes nothing: what is erased already is in neither set. What was handed out
    before stays out; the revocation works from now on.

    Args:
        consent: the consent that is taken back.
        facts: a session under it.
        settings: the tenant's policy; `revocation_erases` says which parts go.
    """
    parts = settings.revocation_erases & facts.kept
    return Revocation(
        stops=frozenset(purpose for purpose in Purpose if _SCOPE_FOR[purpose] in consent.scopes),
        cancel_jobs=True,
        erase=frozenset() if facts.legal_hold else parts,
        erase_later=parts if facts.legal_hold else frozenset(),
        drop_from_manifests=consent.scopes.research or consent.scopes.train,
    )
