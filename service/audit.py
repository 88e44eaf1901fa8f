"""The audit trail: who did what to what, when, and with what outcome, as a chain of hashes.

One chain for each tenant. An entry's hash is HMAC-SHA256, under a key of this service, of
everything in the entry: tenant, sequence, event, the key's id and the hash of the entry before.
Sequences run from 1 without gaps. Who keeps the rows appends in the transaction of the change it
is about, holding a lock on the head: else two entries take one sequence.

What a chain shows, to somebody who has the key (service.audit_check finds it):

- Without the key nobody can alter a field, put an entry in, take one out from between others, or
  change the order, and stay unnoticed.

What a chain alone cannot show:

- That its end, or all of it, was cut off: what is left is a good chain. A checkpoint, kept where
  who can write the database cannot, shows it for everything up to the checkpoint. What was cut off
  after the last checkpoint stays unseen, so the time between two is what can be lost unnoticed.
- That who holds the key wrote it all anew. Again a checkpoint kept elsewhere shows it, as a hash
  that is no longer the same. A retired key that is still accepted counts: whoever has its secret
  can write with it.
- That something was never recorded, that what is recorded is true, or that the clock was right.

HMAC is symmetric: who can check can also forge. So a checkpoint proves nothing to somebody who
was not given the key, and nothing in a dispute against its holder, unless a third party kept it.

Nothing that anybody said, and no name, can be in an entry by accident: every field has a strict
pattern without spaces, and what does not fit is refused. A single word would still fit; so ids are
ours and never the platform's own reference, and details come from code, never from a caller.
"""

import hashlib
import hmac
import json
import math
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Self

from service.errors import ServiceError

ACTOR_KINDS = ("api_key", "oauth_client", "user", "system", "anonymous")
"""Who may act. `user` is a person who signed in; `system` is a sweeper, a worker, an operator's
command; `anonymous` is nobody we know. A therapy client never acts here."""

OUTCOMES = ("done", "denied", "failed")
"""`denied` was not allowed; `failed` was allowed and did not come about. Both need a reason."""

_VERBS = {
    "access": "denied limited",
    "account": "created changed removed factor_set locked",
    "adjudication": "read changed undone committed",
    "agreement": "read",
    "audit": "read exported verified checkpointed",
    "backup": "made restored",
    "batch": "created read",
    "break_glass": "used",
    "caseload": "read",
    "coding": "assigned listed read changed undone committed exported removed",
    "comment": "read written removed",
    "consent": "given read changed revoked expired",
    "data_key": "rotated destroyed",
    "fhir": "exported",
    "hold": "set lifted",
    "job": "listed read retried died replayed",
    "key": "created listed rotated revoked expired",
    "model": "listed read changed",
    "moments": "read",
    "oauth_client": "created listed changed removed",
    "page": "printed shared quoted",
    "report": "read exported",
    "retention": "changed swept",
    "review": "created read changed undone",
    "roles": "assigned",
    "score": "made revealed",
    "segments": "read",
    "session": "created listed read changed scored rescored failed blocked erased expired",
    "settings": "changed",
    "sign_in": "done failed ended idled",
    "supervision": "given revoked",
    "tenant": "created read changed removed",
    "token": "issued revoked",
    "training": "exported",
    "trajectory": "read",
    "transcript": "read exported",
    "webhook": "registered listed read changed removed disabled secret_rotated delivered replayed",
}

ACTIONS = frozenset(f"{noun}.{verb}" for noun, verbs in _VERBS.items() for verb in verbs.split())
"""What is recorded, as `noun.verb`. `append` takes no other, so that a misspelt name is found when
it is written; reading takes any name of the form, since a newer version knows more."""

GENESIS = "0" * 64
"""The previous hash of a chain's first entry."""

MOST_DETAILS = 12
"""Details of one event. A judgement: more would be a record of its own."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_ACTION = re.compile(r"[a-z][a-z0-9_]{0,31}\.[a-z][a-z0-9_]{0,31}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
# At most five parts: a code is short, and a sentence with underscores is not one.
_CODE = re.compile(r"[a-z0-9]{1,24}(?:[_.:/-][a-z0-9]{1,24}){0,4}")
_IDENTIFIER = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\.[0-9a-f]{12}")
_KEY_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_MOST_WHOLE = 2**53 - 1  # what every reader of JSON holds exactly (RFC 8259, section 6)
_LEAST_SECRET_BYTES = 32  # the hash's own length; RFC 2104, section 3, discourages less


class Unauditable(ServiceError):
    """Something that cannot stand in the audit trail; names the field, quotes nothing.

    An error of ours and not of the caller: the change that it is about is not made either.
    """

    status, code, title = 500, "unauditable", "It cannot be put on record"

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        super().__init__(f"audit: {field} {reason}")


@dataclass(frozen=True, slots=True)
class Key:
    """A secret that entries and checkpoints are signed with.

    Args:
        name: small letters, digits, hyphens; 32 at most.
        secret: 32 bytes or more, random.

    Raises: Unauditable: the name has another form, or the secret is too short.
    """

    name: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _must(_KEY_NAME, self.name, "key name")
        if len(self.secret) < _LEAST_SECRET_BYTES:
            raise Unauditable("key", f"needs {_LEAST_SECRET_BYTES} bytes or more")

    @classmethod
    def generate(cls, name: str) -> Self:
        """A new random key."""
        return cls(name, secrets.token_bytes(_LEAST_SECRET_BYTES))

    @property
    def id(self) -> str:
        """The name and twelve hex digits that only this secret gives.

        So another secret under the same name is told from an entry that was altered.
        """
        return f"{self.name}.{self.sign('key', '')[:12]}"

    def sign(self, kind: str, text: str) -> str:
        """64 hex digits of HMAC-SHA256. `kind` keeps one statement from passing as another."""
        message = f"rupture.audit/1/{kind}\n{text}".encode()
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()

    def to_line(self) -> str:
        """The key as a line of a key file, secret and all: `name base64`."""
        return f"{self.name} {b64encode(self.secret).decode()}"


def read_keys(text: str) -> tuple[Key, ...]:
    """The keys of a key file: `name base64` on each line; the first is the one in use.

    Empty lines and lines that begin with # are passed over.

    Raises: Unauditable: a line is none, a name is there twice, or there is no key at all.
    """
    keys: list[Key] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, coded = line.split()
            keys.append(Key(name, b64decode(coded, validate=True)))
        except (ValueError, Unauditable):
            raise Unauditable(f"line {number} of the key file", "is not a key") from None
    if not keys or len({key.name for key in keys}) < len(keys):
        raise Unauditable("key file", "has a name twice" if keys else "has no key")
    return tuple(keys)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was done, or that somebody tried to do.

    Args:
        action: `noun.verb`, one of ACTIONS where it is written.
        at: when; aware, UTC.
        actor_kind: one of ACTOR_KINDS.
        actor_id: our id of who acted; may be empty for `system` and `anonymous` alone.
        target_kind: what kind of thing it was done to, such as `session`; empty where none.
        target_id: our id of it; empty where it was many, or none.
        outcome: one of OUTCOMES.
        reason: a code word, such as `consent_missing`; needed unless it was done.
        request_id: our id of the HTTP request; empty where there was none.
        details: at most MOST_DETAILS; names are snake_case, values are True and False, finite
            numbers (whole ones within 2**53), code words (small letters and digits, at most five
            parts joined by `_ . : / -`) and identifiers (at most 64 letters, digits, `_`, `-`,
            with at least one digit). Nothing with a space, so no sentence.

    Raises: Unauditable: a field has another form.
    """

    action: str
    at: datetime
    actor_kind: str
    actor_id: str = ""
    target_kind: str = ""
    target_id: str = ""
    outcome: str = "done"
    reason: str = ""
    request_id: str = ""
    details: Mapping[str, str | int | float | bool] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        _must(_ACTION, self.action, "action")
        if not isinstance(self.at, datetime) or self.at.utcoffset() != timedelta(0):
            raise Unauditable("at", "is not an aware time in UTC")
        if self.actor_kind not in ACTOR_KINDS or self.outcome not in OUTCOMES:
            raise Unauditable("actor_kind or outcome", "is none of those there are")
        needs_id = self.actor_kind not in ("system", "anonymous")
        _must(_ID, self.actor_id, "actor_id", may_be_empty=not needs_id)
        _must(_NAME, self.target_kind, "target_kind", may_be_empty=not self.target_id)
        _must(_ID, self.target_id, "target_id", may_be_empty=True)
        _must(_CODE, self.reason, "reason", may_be_empty=self.outcome == "done")
        _must(_ID, self.request_id, "request_id", may_be_empty=True)
        object.__setattr__(self, "details", MappingProxyType(_checked(self.details)))


@dataclass(frozen=True, slots=True)
class Entry:
    """One event in its place in a tenant's chain. `append` makes it.

    Raises: Unauditable: a field has another form.
    """

    tenant_id: str
    sequence: int
    event: Event
    key_id: str
    prev_hash: str
    hash: str

    def __post_init__(self) -> None:
        _must(_ID, self.tenant_id, "tenant_id")
        _must_count(self.sequence)
        _must(_KEY_ID, self.key_id, "key_id")
        _must(_HASH, self.prev_hash, "prev_hash")
        _must(_HASH, self.hash, "hash")

    def to_columns(self) -> dict[str, str | int]:
        """The entry as a flat row, every value text but `sequence`; COLUMNS are its names.

        `at` is ISO 8601 with microseconds and Z, which sorts as text; `details` is canonical JSON.
        Both must be kept as text: a database that writes them its own way breaks the hash.
        """
        return {
            "tenant_id": self.tenant_id,
            "sequence": self.sequence,
            **_event_columns(self.event),
            "key_id": self.key_id,
            "prev_hash": self.prev_hash,
            "hash": self.hash,
        }

    def to_line(self) -> str:
        """The entry as one line of JSON, without its end."""
        return canonical(self.to_columns())

    @classmethod
    def from_columns(cls, row: Mapping[str, Any]) -> Self:
        """The entry of a row as `to_columns` gives it, exactly: no column more, none written else.

        So nothing can be changed in a row, nor added to it, that the hash does not cover.

        Raises: Unauditable: it is not such a row.
        """
        if set(row) != set(COLUMNS):
            raise Unauditable("row", "has not the columns of an entry")
        values = dict(row)
        chain = {name: values.pop(name) for name in _CHAIN_COLUMNS}
        try:
            at, details = datetime.fromisoformat(values["at"]), json.loads(values["details"])
            entry = cls(event=Event(**{**values, "at": at, "details": details}), **chain)
        except (TypeError, ValueError, RecursionError):
            raise Unauditable("row", "has a value of another form") from None
        if entry.to_columns() != dict(row):
            raise Unauditable("row", "is written in another way than entries are")
        return entry

    def is_signed_by(self, key: Key) -> bool:
        """Whether the hash is that of this content, before and all, under this key."""
        return hmac.compare_digest(self.hash, key.sign("entry", _signed(self)))


_CHAIN_COLUMNS = ("tenant_id", "sequence", "key_id", "prev_hash", "hash")

COLUMNS = (
    *("tenant_id", "sequence", "action", "at", "actor_kind", "actor_id", "target_kind"),
    *("target_id", "outcome", "reason", "request_id", "details", "key_id", "prev_hash", "hash"),
)
"""Names of an entry's columns, in order."""


def append(head: Entry | None, tenant_id: str, event: Event, key: Key) -> Entry:
    """The entry that comes after `head`, or the first of the chain where that is None.

    Raises: Unauditable: the head is another tenant's, or the action is none of ACTIONS.
    """
    if head is not None and head.tenant_id != tenant_id:
        raise Unauditable("tenant_id", "is not that of the chain")
    if event.action not in ACTIONS:
        raise Unauditable("action", "is none of those there are")
    sequence, before = (1, GENESIS) if head is None else (head.sequence + 1, head.hash)
    unsigned = Entry(tenant_id, sequence, event, key.id, before, GENESIS)
    return replace(unsigned, hash=key.sign("entry", _signed(unsigned)))


def canonical(value: Mapping[str, Any]) -> str:
    """JSON in one way alone: sorted names, no spaces, ASCII. Raises: ValueError: NaN, infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def time_text(at: datetime) -> str:
    """An aware time as entries write it: UTC, ISO 8601 with microseconds and Z."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _signed(entry: Entry) -> str:
    """What the hash is of: every column but itself."""
    return canonical({name: one for name, one in entry.to_columns().items() if name != "hash"})


def _event_columns(event: Event) -> dict[str, str]:
    names = ("actor_kind", "actor_id", "target_kind", "target_id", "outcome", "reason")
    return {
        "action": event.action,
        "at": time_text(event.at),
        **{name: getattr(event, name) for name in names},
        "request_id": event.request_id,
        "details": canonical(dict(event.details)),
    }


def _must(form: re.Pattern[str], value: object, name: str, *, may_be_empty: bool = False) -> None:
    if value == "" and may_be_empty:
        return
    if not isinstance(value, str) or not form.fullmatch(value):
        raise Unauditable(name, "has another form than it may have")


def _must_count(sequence: object) -> None:
    if type(sequence) is not int or not 1 <= sequence <= _MOST_WHOLE:
        raise Unauditable("sequence", "is not a whole number from 1")


def _checked(details: object) -> dict[str, str | int | float | bool]:
    if not isinstance(details, Mapping) or len(details) > MOST_DETAILS:
        raise Unauditable("details", f"are not {MOST_DETAILS} or fewer")
    for name, value in details.items():
        _must(_NAME, name, "a detail's name")
        if not _is_detail(value):
            raise Unauditable("a detail's value", "is neither number, code word nor identifier")
    return dict(details)


def _is_detail(value: object) -> bool:
    if isinstance(value, str):
        return bool(_CODE.fullmatch(value) or _IDENTIFIER.fullmatch(value))
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and abs(value) <= _MOST_WHOLE
