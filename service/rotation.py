"""New keys over what is kept: another root key for all tenants, another key for one tenant.

Rotating changes locks and not content: nothing is sealed anew. It ends what copies are worth. A
row that was copied before its session was erased opens no more once the tenant's key is another;
a backup opens no more once its root key is destroyed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from service import tables
from service.errors import ServiceError, Unavailable
from service.house import House
from service.root_keys import KeySource, VaultError
from service.store import Transaction
from service.upkeep import all_tenants, flush, note_tenant

MOST_TRIES, LOCK_S = 5, 5
"""Tries of a tenant's rotation, and seconds that each waits for others on PostgreSQL: behind it
everybody waits. Judgements: the service's own transactions take milliseconds."""


class CannotRotate(ServiceError):
    """Something does not open with the key it should be under. Carries its kind and id."""

    status, code, title = 500, "cannot_rotate", "The keys were not changed"

    def __init__(self, kind: str, id_: str, reason: str) -> None:
        self.kind, self.id = kind, id_
        super().__init__(
            f"the key of {kind} {id_} does not open ({reason}): nothing was changed; restore its "
            "row from a backup, or erase it, and do it again"
        )


def rotate_root(house: House, new: KeySource) -> int:
    """Puts every tenant's key under the current root key of `new`; returns how many were changed.

    Each tenant is a transaction of its own. Whoever was stopped in the middle does it again: what
    is done already is only checked. Sessions stay as they are. Until all processes have the new
    root key, they cannot open the tenants that were changed: give them both keys before (the
    setting `root_key` takes several), or stop them.

    Raises: VaultError: a tenant's key does not open with the house's root keys.
    """
    changed = 0
    for tenant in all_tenants(house):
        tenant_id = tenant["tenant_id"]
        with house.store.transaction(tenant_id) as tx:
            query = sa.select(tables.tenants).where(tables.tenants.c.tenant_id == tenant_id)
            row = tx.connection.execute(query.with_for_update()).mappings().one()
            if row["key_blob"] is None:
                continue
            blob = house.vault.rewrap_tenant_key(row["key_blob"], tenant_id, to=new)
            if blob == row["key_blob"]:
                continue
            _set_tenant_key(tx, blob)
            note_tenant(house, tx, "data_key.rotated", layer="root")
            changed += 1
    flush(house.store)
    return changed


@dataclass(frozen=True, slots=True)
class Rotated:
    """How many keys were put under a tenant's new one."""

    n_sessions: int
    n_webhooks: int


def rotate_tenant(house: House, tenant_id: str) -> Rotated:
    """Gives a tenant a new key, and destroys the old one once all of its own are under the new.

    One transaction: whoever is stopped in the middle has changed nothing. On PostgreSQL all
    tenants wait for it, since somebody who has read the old key must not write a row under it
    afterwards: the table is locked even for reading, and it is tried again where others were
    in the way.

    Raises: NotFound. CannotRotate: a key does not open. Erased: the tenant has no key.
        Unavailable: the database is away, or busy.
    """
    for n_tries in range(MOST_TRIES):
        try:
            made = _rotate_tenant(house, tenant_id)
            break
        except Unavailable:
            if n_tries + 1 == MOST_TRIES:
                raise
    house.vault.cache.forget(tenant_id)
    flush(house.store)
    return made


def _rotate_tenant(house: House, tenant_id: str) -> Rotated:
    counts = {}
    with house.store.transaction(tenant_id) as tx:
        if house.store.is_postgresql:
            tx.connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_S}s'"))
            tx.connection.execute(sa.text("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE"))
        old = tx.tenant()["key_blob"]
        house.vault.new_session_key(old, tenant_id, "probe")  # it opens, before all is gone over
        new = house.vault.new_tenant_key(tenant_id)
        for table in (tables.sessions, tables.webhooks, tables.people):
            rewrapped = list(_rewrapped(house, tx, table, old, new))
            counts[table.name] = len(rewrapped)
            if rewrapped:
                held = (table.c.tenant_id == tenant_id, table.c.key_blob.is_not(None))
                change = (
                    table.update()
                    .where(table.c.id == sa.bindparam("own"), *held)
                    .values(key_blob=sa.bindparam("blob"))
                )
                tx.connection.execute(change, rewrapped)
        _set_tenant_key(tx, new)
        note_tenant(
            house,
            tx,
            "data_key.rotated",
            layer="tenant",
            n_sessions=counts["sessions"],
            n_webhooks=counts["webhooks"],
            n_people=counts["people"],
        )
    return Rotated(counts["sessions"], counts["webhooks"])


def _rewrapped(
    house: House, tx: Transaction, table: sa.Table, old: bytes, new: bytes
) -> Iterator[dict[str, Any]]:
    held = (table.c.tenant_id == tx.tenant_id, table.c.key_blob.is_not(None))
    query = sa.select(table.c.id, table.c.key_blob).where(*held)
    for id_, blob in tx.connection.execute(query).all():
        try:
            after = house.vault.rewrap_session_key(
                blob, old=old, new=new, tenant_id=tx.tenant_id, session_id=id_
            )
        except VaultError as error:
            raise CannotRotate(table.name.removesuffix("s"), id_, error.code) from None
        yield {"own": id_, "blob": after}


def _set_tenant_key(tx: Transaction, blob: bytes) -> None:
    own = tables.tenants.c.tenant_id == tx.tenant_id
    tx.connection.execute(tables.tenants.update().where(own).values(key_blob=blob))
