"""People who sign in, as rows: their local accounts, and those whom the provider knows.

What makes a password or a code good is in service/accounts.py; how somebody comes in is in
service/entrance.py.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from service import accounts, audit, tables
from service.accounts import AccountRecord, Enrolment
from service.deeds import Actor
from service.errors import Conflict, Invalid, NotFound
from service.house import House
from service.keys import Secret
from service.passwords import normal_login
from service.scopes import Role
from service.store import Transaction
from service.vault import Kind, Place


class People:
    """The people of a house."""

    def __init__(self, house: House) -> None:
        self.house = house

    # -- accounts ---------------------------------------------------------------------------------

    def add(
        self, tenant_id: str, login: str, password: str, roles: Iterable[Role]
    ) -> tuple[str, Enrolment]:
        """A new local account: its id, and what its owner is shown once.

        Raises: Invalid: see `make_account`. Conflict: the login is taken. NotFound: no tenant.
        """
        record, enrolment = accounts.make_account(
            tenant_id=tenant_id, login=login, password=password, roles=roles, now=self._now()
        )
        with self.house.store.system() as tx:
            if self._find(tx, record.login) is not None:
                raise Conflict("There is an account of this login already.")
        with self.house.store.transaction(tenant_id) as tx:
            blob = tx.tenant()["key_blob"]
            key = self.house.vault.new_session_key(blob, tenant_id, record.account_id)
            tx.add(
                tables.people,
                id=record.account_id,
                kind="local",
                login_key=self._login_key(record.login),
                key_blob=key,
                created_at=record.created_at,
                **self._columns(tx, record, key),
            )
            self._note(tx, "account.created", record.account_id)
        return record.account_id, enrolment

    def change(self, login: str, make: Any, action: str = "account.changed") -> Any:
        """Puts what `make` makes of an account in its place; what else it made is returned.

        Args:
            login: whose.
            make: a function of service.accounts that takes a record and gives one, or one with
                what its owner is shown.
            action: what the audit trail calls it.

        Raises: NotFound: no such login. What `make` raises.
        """
        with self.house.store.system() as tx:
            found = self._find(tx, login)
        if found is None:
            raise NotFound("there is no account of this login")
        with self.house.store.transaction(found["tenant_id"]) as tx:
            row = tx.get(tables.people, found["id"], lock=True)
            made = make(self._record(tx, row))
            record, shown = made if isinstance(made, tuple) else (made, None)
            tx.change(tables.people, row["id"], **self._columns(tx, record, row["key_blob"]))
            self._note(tx, action, row["id"])
        return shown

    def forgive(self, login: str) -> None:
        """Forgets a login's failed tries, where an administrator has been asked."""
        key = accounts.failures_key("", login, self.house.signing)
        with self.house.store.system() as tx:
            tx.connection.execute(tables.failures.delete().where(tables.failures.c.id == key))

    def listed(self, tenant_id: str) -> list[dict[str, Any]]:
        """A tenant's people: id, kind, roles, name (a login, or the provider's), times."""
        with self.house.store.transaction(tenant_id) as tx:
            return [
                {
                    **{name: row[name] for name in ("id", "kind", "created_at", "disabled_at")},
                    "roles": sorted(row["roles"]),
                    "name": self.name_in(self._opened(tx, row)),
                }
                for row in tx.select(tables.people)
            ]

    @staticmethod
    def name_in(kept: dict[str, Any]) -> str:
        """What a person is called on the page."""
        return str(kept.get("name") or kept.get("login") or "")

    def name(self, tenant_id: str, person_id: str) -> str:
        """What a person is called on the page; "" where the row is gone."""
        with self.house.store.transaction(tenant_id) as tx:
            found = tx.select(tables.people, tables.people.c.id == person_id)
            return self.name_in(self._opened(tx, found[0])) if found else ""

    def only_tenant(self) -> str:
        """The tenant, where there is one. Raises: Invalid: there are several, or none."""
        with self.house.store.system() as tx:
            found = tx.connection.execute(sa.select(tables.tenants.c.tenant_id).limit(2)).all()
        if len(found) != 1:
            raise Invalid("There is not one tenant: say which is meant.", code="which_tenant")
        return str(found[0][0])

    # -- rows -------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return self.house.clock()

    def _login_key(self, login: str) -> str:
        return self.house.signing.signing.sign("login", normal_login(login))

    def _find(self, tx: Transaction, login: str) -> RowMapping | None:
        found = tx.select(tables.people, tables.people.c.login_key == self._login_key(login))
        return found[0] if found else None

    def _columns(self, tx: Transaction, record: AccountRecord, key: bytes) -> dict[str, Any]:
        sealed = {
            "login": record.login,
            "password": record.password.value,
            "totp": record.totp.value,
            "totp_step": record.totp_step,
            "recovery": [one.value for one in record.recovery],
        }
        return {
            "roles": sorted(record.roles),
            "secrets": self._sealed(tx, record.account_id, key, sealed),
            "visits_since": record.visits_since,
            "disabled_at": record.disabled_at,
        }

    def _record(self, tx: Transaction, row: RowMapping) -> AccountRecord:
        kept = self._opened(tx, row)
        return AccountRecord(
            account_id=row["id"],
            tenant_id=row["tenant_id"],
            login=kept["login"],
            roles=frozenset(map(Role, row["roles"])),
            password=Secret(kept["password"]),
            totp=Secret(kept["totp"]),
            created_at=row["created_at"],
            visits_since=row["visits_since"],
            totp_step=kept["totp_step"],
            recovery=tuple(map(Secret, kept["recovery"])),
            disabled_at=row["disabled_at"],
        )

    def _sealed(self, tx: Transaction, id_: str, key: bytes, kept: dict[str, Any]) -> bytes:
        return self.house.vault.seal(
            json.dumps(kept).encode(),
            Place(tx.tenant_id, id_, Kind.SECRETS),
            tenant_blob=tx.tenant()["key_blob"],
            session_blob=key,
        )

    def _opened(self, tx: Transaction, row: RowMapping) -> dict[str, Any]:
        content = self.house.vault.open(
            row["secrets"],
            Place(row["tenant_id"], row["id"], Kind.SECRETS),
            tenant_blob=tx.tenant()["key_blob"],
            session_blob=row["key_blob"],
        )
        kept: dict[str, Any] = json.loads(content)
        return kept

    def _note(self, tx: Transaction, action: str, id_: str, actor: Actor | None = None) -> None:
        who = actor or Actor(tx.tenant_id)
        event = audit.Event(
            action,
            self._now(),
            who.kind,
            who.id,
            target_kind="account",
            target_id=id_,
            request_id=who.request_id,
        )
        tx.note(event, self.house.audit_key)
