"""What API and workers share: settings, database, keys and clock, opened once a process."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from service import audit
from service.errors import Invalid, ServiceError
from service.policy import GATED, PolicySettings
from service.retention import Part, Retention
from service.root_keys import RootKeys, UnsafeKeyFile, create_key_file
from service.settings import Settings
from service.signing import SigningKey, SigningKeys
from service.store import Store, Transaction
from service.tables import tenants
from service.vault import Vault

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


REVOCATION_ERASES: Mapping[str, frozenset[Part]] = MappingProxyType(
    {"text": frozenset({Part.TEXT}), "all": frozenset(Part)}
)
"""What a tenant may say of a consent that is taken back: the deployer's own, or more."""


def _fewer(days: int | None, most: int | None) -> int | None:
    return min((one for one in (days, most) if one is not None), default=None)


@dataclass(frozen=True)
class House:
    """Everything that a request or a job needs. `open_house` makes it."""

    settings: Settings
    store: Store
    vault: Vault = field(repr=False)
    audit_key: audit.Key = field(repr=False)
    signing: SigningKeys = field(repr=False)
    clock: Clock = utc_now

    @property
    def policy(self) -> PolicySettings:
        """What the deployer allows, where a tenant says nothing else."""
        kept = Retention(text_days=self.settings.text_days, scores_days=self.settings.report_days)
        gated = {place: GATED.get(place, "gated by the deployer") for place in self.settings.gated}
        return PolicySettings(retention=kept, gated=gated)

    @property
    def longest(self) -> Retention:
        """The most that the deployer lets a tenant choose."""
        ours = self.settings
        return Retention(
            text_days=ours.most_text_days or ours.text_days,
            scores_days=ours.most_report_days or ours.report_days,
        )

    def policy_of(self, tenant: Mapping[str, Any]) -> PolicySettings:
        """The policy of a tenant's row: the deployer's, and within it what the tenant chose.

        Its `policy` may hold `{"retention": {"text_days": 7, "report_days": 90},
        "revocation_erases": "all"}`. What is missing or null is the deployer's. Days beyond
        `longest` count as the longest: a deployer may lower it later.

        Raises: Invalid: it holds something else there.
        """
        ours, most, said = self.policy, self.longest, tenant["policy"] or {}
        days = said.get("retention") or {}
        if not isinstance(days, Mapping) or set(days) - {"text_days", "report_days"}:
            raise Invalid("The tenant's retention is not text_days and report_days.")
        erases = said.get("revocation_erases")
        if erases not in (None, *REVOCATION_ERASES):
            raise Invalid("What a revocation erases is neither text nor all.")
        chosen = Retention(text_days=days.get("text_days"), scores_days=days.get("report_days"))
        kept = Retention(
            text_days=_fewer(chosen.text_days or ours.retention.text_days, most.text_days),
            scores_days=_fewer(chosen.scores_days or ours.retention.scores_days, most.scores_days),
        )
        parts = REVOCATION_ERASES[erases] if erases else ours.revocation_erases
        return replace(ours, retention=kept, revocation_erases=parts)

    def client_id(self, tenant_id: str, reference: str) -> str:
        """What stands for a client: a keyed hash, so that the table names nobody."""
        key = self.signing.signing.derive("client-reference")
        return hmac.digest(key, f"{tenant_id}\n{reference}".encode(), hashlib.sha256).hex()[:40]


class OtherKeys(ServiceError):
    """A key of this machine is not the one that the database is used with. `kind`: audit, signing.

    With another audit key the trail no longer holds; with another signing key the same client is
    somebody else.
    """

    code, title = "other_keys", "Not this database's keys"

    def __init__(self, kind: str, path: Path) -> None:
        self.kind = kind
        super().__init__(
            f"{path}: this is not the {kind} key that the database is used with: bring root.key, "
            "audit.keys and signing.key from the folder of the machine that began it"
        )


def open_house(settings: Settings, *, clock: Clock = utc_now) -> House:
    """The house of these settings; what an embedded one lacks is made: folder, keys, tables.

    Keys are made for a new database alone; any other is used with those that it was begun with.

    Raises: VaultError: the root key cannot be used. Unauditable: nor the audit key. OtherKeys:
        a key is not the database's, or is missing. Unavailable: the database is away.
    """
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store.open(settings.database_url)
    try:
        store.migrate()
        return _furnished(settings, store, clock)
    except BaseException:  # also where it is interrupted: the pool must not be left open
        store.close()
        raise


def _furnished(settings: Settings, store: Store, clock: Clock) -> House:
    with store.system() as tx:
        is_new = not tx.select(tenants, limit=1)
    root = _root_keys(settings, is_new=is_new)
    lines = _kept(
        settings.home / "audit.keys", is_new, lambda: audit.Key.generate("main").to_line()
    )
    text = _kept(settings.home / "signing.key", is_new, lambda: secrets.token_hex(32))
    auditing = audit.read_keys(lines)
    signing = SigningKeys((SigningKey("main", bytes.fromhex(text.strip())),))
    with store.system() as tx:
        _mark(tx, "audit", [key.id for key in auditing], settings.home / "audit.keys")
        mark = signing.signing.derive("mark").hex()[:12]
        _mark(tx, "signing", [mark], settings.home / "signing.key")
    return House(settings, store, Vault(root), auditing[0], signing, clock)


def _root_keys(settings: Settings, *, is_new: bool) -> RootKeys:
    if settings.root_key is not None:
        return RootKeys.from_value(settings.root_key.get_secret_value())
    if is_new and not settings.key_file.exists():
        try:
            create_key_file(settings.key_file)
        except UnsafeKeyFile:
            if not settings.key_file.exists():  # else another process was first, and it is ours
                raise
    return RootKeys.from_files(settings.key_file)


def _mark(tx: Transaction, kind: str, ids: list[str], path: Path) -> None:
    """Sees to it that one of these keys, the first of which is in use, is the database's."""
    known = tx.marked(kind, lock=True)
    if known and known.isdisjoint(ids):
        raise OtherKeys(kind, path)
    tx.mark(kind, ids[0])


def _kept(path: Path, is_new: bool, make: Callable[[], str]) -> str:
    """A secret's file, made (mode 0600) where there is none, whole or not at all."""
    if path.exists():
        return path.read_text("utf-8")
    if not is_new:
        raise OtherKeys(path.name.partition(".")[0], path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, it leaves alone what another made meanwhile
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    return path.read_text("utf-8")
