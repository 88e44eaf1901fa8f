"""A client's consent as a value: what was said yes to, how, where, and whether it was taken back.

What follows from it is in service/policy.py.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from service.errors import Fault, Invalid
from service.retention import is_aware, utc

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_CODE_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")
JURISDICTION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
_NO_COUNTRY = {"UK": "GB", "EU": "a member state, such as DE"}
"""Codes that people write and that ISO 3166 gives to no country, and what to write instead."""

WRITTEN = frozenset({"written", "written_electronic"})
"""Bases that are consent in writing."""


class ConsentScope(StrEnum):
    """What a client can say yes to, each for itself."""

    ANALYSE = "analyse"
    HUMAN_REVIEW = "human_review"
    RESEARCH = "research"
    TRAIN = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scopes:
    """What the client said yes to. The first two must be said, the last two are no until said."""

    analyse: bool
    human_review: bool
    research: bool = False
    train: bool = False

    def __post_init__(self) -> None:
        faults = [
            Fault(f"/consent/scopes/{scope}", "not_a_boolean", "true or false is expected")
            for scope in ConsentScope
            # "false" and 0 are no answers to a question of consent.
            if not isinstance(getattr(self, scope), bool)
        ]
        if faults:
            raise Invalid("The consent's scopes are not clear.", errors=faults)

    def __contains__(self, scope: object) -> bool:
        return isinstance(scope, ConsentScope) and bool(getattr(self, scope))


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One consent as it was given, and when it was taken back, if it was.

    Args:
        id: opaque id, at most 64 letters, digits and `_.:-`.
        scopes: what it allows.
        basis: code word for how it was given, such as `written`, `written_electronic`, `verbal`.
        text_version: id of the text that the client agreed to.
        given_by: code word: `client`, `guardian`, `representative`, …
        given_at: from when it holds; aware.
        revoked_at: when it was taken back; aware, not before `given_at`; None: it was not. Once
            it is set the consent is void at every time: a clock that goes back, or runs behind
            that of the machine that wrote it, brings no consent back to life.
        jurisdiction: ISO 3166-2 (`US-IL`) or ISO 3166-1 alpha-2 (`DE`): where the client is.
        redisclosure: id of the consent under which a Part 2 record may be passed on; may be
            this one's own id. None: it may not.

    Raises: Invalid: with a fault for every field that cannot be used.
    """

    id: str
    scopes: Scopes
    basis: str
    text_version: str
    given_by: str
    given_at: datetime
    jurisdiction: str
    revoked_at: datetime | None = None
    redisclosure: str | None = None

    def __post_init__(self) -> None:
        faults = [*_faults_of_words(self), *_faults_of_place(self), *_faults_of_times(self)]
        if not isinstance(self.scopes, Scopes):
            faults.append(Fault("/consent/scopes", "no_scopes", "say what is consented to"))
        if faults:
            raise Invalid("The consent cannot be used as it is.", errors=faults)

    @property
    def country(self) -> str:
        """ISO 3166-1 alpha-2."""
        return self.jurisdiction[:2]

    def holds_at(self, now: datetime) -> bool:
        """Whether it was given by then and was not taken back."""
        return self.revoked_at is None and utc(self.given_at) <= utc(now)


def _faults_of_words(consent: Consent) -> Iterator[Fault]:
    for name, pattern, said in (
        ("id", _ID, "an id of letters, digits and _.:-, at most 64, is expected"),
        ("text_version", _ID, "an id of letters, digits and _.:-, at most 64, is expected"),
        ("basis", _CODE_WORD, "a code word such as written or verbal is expected"),
        ("given_by", _CODE_WORD, "a code word such as client or guardian is expected"),
    ):
        value = getattr(consent, name)
        if not (isinstance(value, str) and pattern.fullmatch(value)):
            yield Fault(f"/consent/{name}", "malformed", said)
    other = consent.redisclosure
    if other is not None and not (isinstance(other, str) and _ID.fullmatch(other)):
        yield Fault("/consent/redisclosure", "malformed", "the id of a consent is expected")


def _faults_of_place(consent: Consent) -> Iterator[Fault]:
    place = consent.jurisdiction
    if not (isinstance(place, str) and JURISDICTION.fullmatch(place)):
        said = "an ISO 3166 code such as US-IL or DE is expected"
        yield Fault("/consent/jurisdiction", "malformed", said)
    elif place[:2] in _NO_COUNTRY:
        said = f"ISO 3166 has no such country; write {_NO_COUNTRY[place[:2]]}"
        yield Fault("/consent/jurisdiction", "no_country", said)


def _faults_of_times(consent: Consent) -> Iterator[Fault]:
    given, revoked = consent.given_at, consent.revoked_at
    aware = "a time with its offset from UTC is expected"
    if not is_aware(given):
        yield Fault("/consent/given_at", "no_offset", aware)
    if revoked is None:
        return
    if not is_aware(revoked):
        yield Fault("/consent/revoked_at", "no_offset", aware)
    elif is_aware(given) and utc(revoked) < utc(given):
        yield Fault("/consent/revoked_at", "before_given", "it cannot be before given_at")


def consent_record(consent: Consent) -> dict[str, Any]:
    """A consent as its row keeps it."""
    return {
        "id": consent.id,
        "scopes": {str(scope): scope in consent.scopes for scope in ConsentScope},
        "basis": consent.basis,
        "text_version": consent.text_version,
        "given_by": consent.given_by,
        "given_at": consent.given_at.isoformat(),
        "jurisdiction": consent.jurisdiction,
        "redisclosure": consent.redisclosure,
    }


def standing(row: Mapping[str, Any]) -> Consent:
    """A row's consent, with its revocation where there was one."""
    revoked = row["revoked_at"].isoformat() if row["revoked_at"] else None
    return read_consent({**row["record"], "revoked_at": revoked})


def read_consent(record: Mapping[str, Any]) -> Consent:
    """A consent from its row. Raises: Invalid: it is none."""
    revoked = record.get("revoked_at")
    return Consent(
        id=record["id"],
        scopes=Scopes(**record["scopes"]),
        basis=record["basis"],
        text_version=record["text_version"],
        given_by=record["given_by"],
        given_at=datetime.fromisoformat(record["given_at"]),
        jurisdiction=record["jurisdiction"],
        revoked_at=datetime.fromisoformat(revoked) if revoked else None,
        redisclosure=record.get("redisclosure"),
    )
