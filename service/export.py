"""Sessions whose clients said yes, with tags for names, as files for research or for training.

    DIR/export.jsonl    one session on each line, in the form that training reads
    DIR/manifest.json   what is in it: hashes, counts, notices, and who has read it: nobody yet

A session is in it when its consent's own scope says so now, `research` or `train`, when its place,
its sensitivity and its retention allow it (service.policy), and when it can be read. Every other
is counted by the reason, and none is named.

What a line says: turns with their roles, times and texts, names replaced (service.pseudonyms says
how well), under references that no other export shares. In an export for training, what people
said of the tool's moments is on their turns (service.feedback); every other turn is not `coded`:
silence is no label. Notes are in no export. A client's sessions are all of one split,
which is the same in every export, since it hangs on the client's keyed hash and on nothing else.

The export's key is never kept: it is derived from this service's own secret and the export's id.
So whoever has the files cannot go back, and we can, to say which of its sessions have been taken
back since (`withdrawn`): they are to be dropped, and what was trained on them is to be marked.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from detector import Transcript
from detector.errors import DetectorError
from detector.report import Report
from service import audit, policy, tables
from service.consent import Consent, read_consent
from service.deeds import Actor, Enqueue, facts_of
from service.errors import Conflict, Invalid
from service.feedback import Label, labels
from service.house import House
from service.judgements import Review
from service.policy import Material, Outlet, Purpose
from service.pseudonyms import ASSISTIVE, ExportKey, Pseudonymised, pseudonymise
from service.records import Records, as_scored
from service.store import Transaction, new_id
from service.vault import Kind

SCHEMA = "rupture-export/1"

FILE, MANIFEST = "export.jsonl", "manifest.json"

PURPOSES = {"research": Purpose.RESEARCH, "train": Purpose.TRAIN}

SPLITS = ("test", "dev", "train", "train", "train", "train", "train", "train", "train", "train")
"""A client's split by the last digit of its hash: 10 % test, 10 % dev. A judgement."""

LABELS = (
    "Verdicts of people on moments that the tool had marked, who saw its marks and how sure it "
    "was: no blind coding, and it leans towards the tool. Turns that nobody spoke of have no label."
)

LEAST_REFERENCE = 4
"""Letters and digits of a caller's reference of a client that are looked for in what was said; a
shorter one, as `17`, stands in many sentences without naming anybody. A judgement."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of an export.

    Args:
        id: of the export.
        folder: where its two files are.
        n_sessions: in it.
        n_clients: in it.
        left_out: sessions that are not, by the reason's code.
        n_coded: pieces of speech that carry what people said in review.
    """

    id: str
    folder: Path
    n_sessions: int
    n_clients: int
    left_out: Mapping[str, int]
    n_coded: int


def export_sessions(house: House, actor: Actor, purpose: str, folder: Path) -> Exported:
    """Writes a tenant's consented sessions into a new folder (mode 0700).

    What may go is decided twice: before a session is read, and for all of them together at the
    end, in the transaction that notes each as `training.exported`. The folder has its name only
    after that is committed.

    Args:
        house: whose.
        actor: who exports, and of which tenant.
        purpose: one of PURPOSES.
        folder: what is not there yet.

    Raises: Invalid: no such purpose. Conflict: the folder is there, or a consent or a session
        changed meanwhile. NotFound: no such tenant. OSError: it cannot be written.
    """
    if purpose not in PURPOSES:
        raise Invalid(f"an export is for {' or '.join(PURPOSES)}", code="unknown_purpose")
    if folder.exists():
        raise Conflict(f"{folder.name}: it is there already: nothing is written over")
    work = _Export(house, actor, PURPOSES[purpose], new_id("exp"))
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    draft.mkdir(mode=0o700, parents=True)
    try:
        work.write(draft)
        work.note()
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    n_clients = len({one.client for one in work.taken})
    n_coded = sum(one.about["n_coded"] for one in work.taken)
    return Exported(work.id, folder, len(work.taken), n_clients, dict(work.left_out), n_coded)


def split_of(client_id: str) -> str:
    """The split of a client, from its keyed hash: the same in every export."""
    return SPLITS[int(client_id, 16) % len(SPLITS)]


def key_of(house: House, tenant_id: str, export_id: str) -> ExportKey:
    """The key of an export, which only this service can derive."""
    own = house.signing.signing.derive("export")
    return ExportKey(hmac.digest(own, f"{tenant_id}\n{export_id}".encode(), hashlib.sha256))


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A session of an export that may no longer be used: its reference there, and why."""

    session: str
    reason: Literal["erased", "consent_revoked"]


def withdrawn(house: House, tenant_id: str, manifest: Mapping[str, Any]) -> tuple[Withdrawn, ...]:
    """Which sessions of an export were erased on request, or their consent taken back, since.

    What only came to the end of its retention here is not among them: an export has its own.

    Args:
        house: whose.
        tenant_id: whose export it was.
        manifest: its content.

    Raises: Invalid: it is no manifest, or none of this tenant's.
    """
    if manifest.get("schema") != SCHEMA or not isinstance(manifest.get("export_id"), str):
        raise Invalid("this is no manifest of an export")
    listed = {one["session_id"] for one in manifest["sessions"]}
    key = key_of(house, tenant_id, manifest["export_id"])
    of, gone = tables.sessions.c, tables.audit_entries.c
    found: dict[str, Literal["erased", "consent_revoked"]] = {}
    with house.store.transaction(tenant_id) as tx:
        mine = sa.select(of.id).where(of.tenant_id == tenant_id)
        own = {key.reference("session", one): one for one in tx.connection.execute(mine).scalars()}
        if not listed <= set(own):
            raise Invalid("this export is not of this tenant, or not of this service")
        erased = sa.select(gone.target_id).where(
            gone.tenant_id == tenant_id, gone.action == "session.erased"
        )
        revoked = sa.select(of.id).where(
            of.tenant_id == tenant_id,
            of.consent_id.in_(
                sa.select(tables.consents.c.id).where(
                    tables.consents.c.tenant_id == tenant_id,
                    tables.consents.c.revoked_at.is_not(None),
                )
            ),
        )
        found |= dict.fromkeys(tx.connection.execute(erased).scalars(), "erased")
        # The reason of both: what a consent taken back erases is on record as erased too.
        found |= dict.fromkeys(tx.connection.execute(revoked).scalars(), "consent_revoked")
    return tuple(Withdrawn(one, found[own[one]]) for one in sorted(listed) if own[one] in found)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A session that is in the export."""

    id: str
    client: str
    about: dict[str, Any] = field(repr=False)
    notices: tuple[str, ...]


class _LeftOut(Exception):
    """Why a session is not taken."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class _Export(Records):
    """One export, from the first session to its manifest."""

    def __init__(self, house: House, actor: Actor, purpose: Purpose, export_id: str) -> None:
        super().__init__(house, Enqueue())
        self.actor, self.purpose, self.id = actor, purpose, export_id
        self.key = key_of(house, actor.tenant_id, export_id)
        self.now: datetime = house.clock()
        self.taken: list[_Taken] = []
        self.left_out: Counter[str] = Counter()

    def write(self, folder: Path) -> None:
        """Writes both files."""
        digest, n_bytes = hashlib.sha256(), 0
        with _new_file(folder / FILE) as file:
            for line in self._lines():
                data = line.encode()
                digest.update(data)
                n_bytes += len(data)
                file.write(data)
            _sync(file)
        with _new_file(folder / MANIFEST) as file:
            about = self._manifest(digest.hexdigest(), n_bytes)
            file.write(json.dumps(about, ensure_ascii=False, indent=2).encode() + b"\n")
            _sync(file)

    def note(self) -> None:
        """Decides once more, of all at once, and notes what leaves. Raises: Conflict."""
        with self.house.store.transaction(self.actor.tenant_id) as tx:
            settings = self.house.policy_of(dict(tx.tenant()))
            for one in self.taken:
                row = tx.get(tables.sessions, one.id, whole=False)
                if not self._may_go(tx, row, settings).allowed:
                    raise Conflict("a consent or a session changed meanwhile: export again")
            details = {"export": self.id, "purpose": str(self.purpose)}
            for one in self.taken:
                self._note(tx, self.actor, "training.exported", "session", one.id, **details)
            n_left_out = sum(self.left_out.values())
            counts = {"n_sessions": len(self.taken), "n_left_out": n_left_out}
            self._note(tx, self.actor, "training.exported", "export", self.id, **details, **counts)

    def _lines(self) -> Iterator[str]:
        tenant_id, of = self.actor.tenant_id, tables.sessions.c
        with self.house.store.transaction(tenant_id) as tx:
            settings = self.house.policy_of(dict(tx.tenant()))
            query = sa.select(of.id).where(of.tenant_id == tenant_id).order_by(of.id)
            ids = tx.connection.execute(query).scalars().all()
        for session_id in ids:
            try:
                yield self._line(session_id, settings)
            except _LeftOut as reason:
                self.left_out[reason.code] += 1

    def _line(self, session_id: str, settings: policy.PolicySettings) -> str:
        with self.house.store.transaction(self.actor.tenant_id) as tx:
            row = tx.get(tables.sessions, session_id)
            decided = self._may_go(tx, row, settings)
            if not decided.allowed:
                raise _LeftOut(decided.code)
            data, options = self.read_for_scoring(tx, row)
            said = self._said(tx, row)
        transcript = _read(data, options)
        made, _ = pseudonymise(
            transcript, client=row["client_id"], session=session_id, key=self.key
        )
        if _names(made, str(options.get("client") or "")):
            raise _LeftOut("reference_in_text")
        own = [said.get(cue.cue_id) for cue in transcript.cues]
        record = _record(made, split_of(row["client_id"]), own)
        line = json.dumps(record, ensure_ascii=False) + "\n"
        about = {
            "session_id": made.session,
            "split": split_of(row["client_id"]),
            "sha256": hashlib.sha256(line.encode()).hexdigest(),
            "n_turns": len(made.transcript.cues),
            "n_coded": sum(one is not None for one in own),
            "counts": dict(made.counts),
            "n_doubtful": made.n_doubtful,
        }
        self.taken.append(_Taken(session_id, made.client, about, decided.notices))
        return line

    def _said(self, tx: Transaction, row: RowMapping) -> dict[str, Label]:
        """What people said of the newest report that they reviewed, by the cue's own id."""
        reviewed = tx.select(tables.reviews, tables.reviews.c.session_id == row["id"])
        if self.purpose is not Purpose.TRAIN or not reviewed:
            return {}
        chosen = max(reviewed, key=lambda one: one["id"])
        kept = self._open(tx, row, chosen["sealed"], Kind.REVIEW, chosen["id"])
        sealed = tx.get(tables.reports, chosen["id"])["sealed"]
        content = self._open(tx, row, sealed, Kind.REPORT, chosen["id"])
        report = Report.from_dict(json.loads(content))
        found = labels(report, Review.from_dict(json.loads(kept)))
        return {cue: label for index, label in found.items() for cue in report.turns[index].cue_ids}

    def _may_go(
        self, tx: Transaction, row: RowMapping, settings: policy.PolicySettings
    ) -> policy.Decision:
        consent = self._consent(tx, row)
        decided = policy.decide(
            self.purpose,
            consent,
            facts_of(row),
            settings,
            self.now,
            redisclosure=self._redisclosure(tx, consent),
        )
        if not decided.allowed:
            return decided
        outlet = Outlet.TRAIN if self.purpose is Purpose.TRAIN else Outlet.RESEARCH
        notes = policy.decide_material(Material.TRANSCRIPT, outlet, settings, may_read_notes=False)
        return decided if notes.allowed else notes

    def _redisclosure(self, tx: Transaction, consent: Consent | None) -> Consent | None:
        if consent is None or consent.redisclosure in (None, consent.id):
            return None
        named = tx.select(tables.consents, tables.consents.c.id == consent.redisclosure)
        if not named:
            return None
        revoked_at = named[0]["revoked_at"]
        revoked = revoked_at.isoformat() if revoked_at else None
        return read_consent({**named[0]["record"], "revoked_at": revoked})

    def _manifest(self, sha256: str, n_bytes: int) -> dict[str, Any]:
        notices = [notice for one in self.taken for notice in one.notices]
        return {
            "schema": SCHEMA,
            "export_id": self.id,
            "purpose": str(self.purpose),
            "made_at": audit.time_text(self.now),
            "assistive": ASSISTIVE,
            "reviewed_by": None,
            "labelled": any(one.about["n_coded"] for one in self.taken),
            "labels": LABELS if self.purpose is Purpose.TRAIN else None,
            "notices": list(dict.fromkeys(notices)),
            "file": {"name": FILE, "sha256": sha256, "n_bytes": n_bytes},
            "n_sessions": len(self.taken),
            "n_clients": len({one.client for one in self.taken}),
            "left_out": dict(sorted(self.left_out.items())),
            "sessions": [one.about for one in self.taken],
        }


def _read(data: bytes, options: Mapping[str, Any]) -> Transcript:
    try:
        return as_scored(data, options)
    except DetectorError:
        raise _LeftOut("unreadable") from None


def _names(made: Pseudonymised, reference: str) -> bool:
    """Whether the caller's own reference of the client is left in what was said."""
    sought = _words(reference)
    if sum(map(len, sought)) < LEAST_REFERENCE:
        return False
    said = (word for cue in made.transcript.cues for word in _words(cue.text))
    return f" {' '.join(sought)} " in f" {' '.join(said)} "


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _record(made: Pseudonymised, split: str, said: Sequence[Label | None]) -> dict[str, Any]:
    """A session as training.sources reads it; `said` has what was said of each cue."""
    return {
        "session_id": made.session,
        "group": made.client,
        "client": made.client,
        "split": split,
        "turns": [
            {
                "speaker": cue.speaker or "[SPEAKER]",
                "role": cue.role.value,
                "text": cue.text,
                "start_s": cue.start_s,
                "end_s": cue.end_s,
                **(asdict(label) if label else {"sure": False}),
                "coded": label is not None,
            }
            for cue, label in zip(made.transcript.cues, said, strict=True)
        ],
    }


def _new_file(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


# The command line
