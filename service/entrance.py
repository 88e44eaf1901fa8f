"""Who comes in and how long they stay: every sign-in, refusal and end of a visit on record.

What makes a password or a code good is in service/accounts.py, how long a visit lasts in
service/visits.py, and what a provider's answer is worth in service/oidc.py.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import RowMapping

from service import accounts, audit, oidc, tables, visits
from service.accounts import Failures
from service.deeds import Actor
from service.errors import NotAuthenticated, Unavailable
from service.keys import Secret
from service.passwords import normal_login
from service.people import People
from service.scopes import Role
from service.store import EVERYONE, Transaction
from service.visits import Visit

AT_ONCE = 2
"""Passwords that are looked at in one process at a time: each costs 19 MiB and a core for some
tens of milliseconds. A judgement: a clinic's morning passes through it."""

WAIT_S = 5.0
_passwords = threading.BoundedSemaphore(AT_ONCE)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is here: a person of a tenant, with the roles that the visit was opened with."""

    tenant_id: str
    person_id: str
    roles: frozenset[Role]
    visit_id: Secret = field(repr=False)

    def actor(self, request_id: str = "") -> Actor:
        """The person as the audit trail knows them."""
        return Actor(self.tenant_id, "user", self.person_id, request_id)


class Entrance(People):
    """Where people come in."""

    def sign_in(
        self, login: str, password: str, code: str, request_id: str
    ) -> tuple[Visit, Secret]:
        """A visit of who knows login, password and code; and its id, for the cookie.

        Raises: NotAuthenticated; TooMany: see `accounts.sign_in`. Unavailable: many try just now.
        """
        if not _passwords.acquire(timeout=WAIT_S):
            raise Unavailable("Many people sign in just now: try again.", code="busy")
        try:
            return self._try(login, password, code, request_id)
        finally:
            _passwords.release()

    def _try(self, login: str, password: str, code: str, request_id: str) -> tuple[Visit, Secret]:
        now, name = self._now(), normal_login(login)
        with self.house.store.system() as tx:
            found = self._find(tx, name)
            tenants = tx.connection.execute(sa.select(tables.tenants.c.tenant_id).limit(2)).all()
        # Nobody's tries are put on record where they can only have been meant for one tenant.
        noted_in = found["tenant_id"] if found else (tenants[0][0] if len(tenants) == 1 else "")
        with self.house.store.transaction(noted_in or EVERYONE) as tx:
            key, failed = self._failed(tx, name)
            row = tx.get(tables.people, found["id"], lock=True) if found else None
            record = self._record(tx, row) if row else None
            tried = accounts.sign_in(record, failed, password=password, code=code, now=now)
            change = tables.failures.update().where(tables.failures.c.id == key)
            values = {"count": tried.failures.count, "last_at": tried.failures.last_at}
            tx.connection.execute(change.values(**values))
            opened = None
            if tried.account is not None and row is not None:
                kept = self._columns(tx, tried.account, row["key_blob"])
                tx.change(tables.people, row["id"], **kept)
                opened = self._open(tx, row["id"], tried.account.roles, request_id)
            elif noted_in and tried.error is not None:
                self._note_failure(tx, row["id"] if row else "", tried.error.code, request_id)
            else:
                _log.warning("sign_in", outcome="denied", request_id=request_id)
        if opened is None:
            raise tried.error or NotAuthenticated("Sign in.")
        return opened

    def _failed(self, tx: Transaction, login: str) -> tuple[str, Failures]:
        """The row of a login's failures, locked: tries side by side count each."""
        key = accounts.failures_key("", login, self.house.signing)
        tx.add_failures(key)
        query = sa.select(tables.failures).where(tables.failures.c.id == key).with_for_update()
        row = tx.connection.execute(query).mappings().one()
        return key, Failures(row["count"], row["last_at"])

    def came_back(self, person: oidc.Person, request_id: str) -> tuple[Visit, Secret]:
        """A visit of somebody whom the OpenID provider knows; their row is made or renewed.

        Raises: NotAuthenticated: the person is disabled here. Invalid: see `oidc_tenant`.
        """
        tenant_id, person_id = self.oidc_tenant(), person.person_id
        with self.house.store.transaction(tenant_id) as tx:
            found = tx.select(tables.people, tables.people.c.id == person_id, lock=True)
            if found and found[0]["disabled_at"] is not None:
                self._note_failure(tx, person_id, "disabled", request_id)
            else:
                self._keep_person(tx, person, found[0] if found else None)
                return self._open(tx, person_id, person.roles, request_id)
        raise NotAuthenticated("An administrator has ended this access.", code="disabled")

    def _keep_person(self, tx: Transaction, person: oidc.Person, row: RowMapping | None) -> None:
        now, person_id = self._now(), person.person_id
        key = row["key_blob"] if row else None
        if key is None:
            blob = tx.tenant()["key_blob"]
            key = self.house.vault.new_session_key(blob, tx.tenant_id, person_id)
        values: dict[str, Any] = {
            "roles": sorted(person.roles),
            "secrets": self._sealed(tx, person_id, key, {"name": person.name or person.subject}),
        }
        if row is not None:
            tx.change(tables.people, person_id, **values)
            return
        tx.add(
            tables.people,
            id=person_id,
            kind="oidc",
            login_key=None,
            key_blob=key,
            visits_since=now,
            created_at=now,
            **values,
        )
        self._note(tx, "account.created", person_id)

    def oidc_tenant(self) -> str:
        """The tenant of the provider's people. Raises: Invalid: there are several, and none set."""
        return self.house.settings.oidc_tenant or self.only_tenant()

    def refused(self, code: str, request_id: str) -> None:
        """Puts on record that the provider's answer, or its absence, let nobody in."""
        with self.house.store.transaction(self.oidc_tenant()) as tx:
            self._note_failure(tx, "", code, request_id)

    def _open(
        self, tx: Transaction, person_id: str, roles: Iterable[Role], request_id: str
    ) -> tuple[Visit, Secret]:
        now = self._now()
        visit, visit_id = visits.open_visit(
            tenant_id=tx.tenant_id, person_id=person_id, roles=roles, now=now
        )
        over = tables.visits.c.opened_at < now - visits.ABSOLUTE
        own = tables.visits.c.tenant_id == tx.tenant_id
        tx.connection.execute(tables.visits.delete().where(own, over))
        tx.add(
            tables.visits,
            id=visit.visit_hash,
            person_id=person_id,
            roles=sorted(visit.roles),
            opened_at=now,
            seen_at=now,
        )
        self._note(
            tx, "sign_in.done", person_id, Actor(tx.tenant_id, "user", person_id, request_id)
        )
        return visit, visit_id

    # -- visits -----------------------------------------------------------------------------------

    def visitor(self, cookie: str, request_id: str) -> Visitor:
        """Whose cookie it is; the visit goes on, or ends here and now.

        Raises: NotAuthenticated: see `visits.check_visit`.
        """
        visit_id = visits.read_cookie(cookie, self.house.signing)
        own = visits.visit_hash(visit_id)
        with self.house.store.system() as tx:
            found = tx.select(tables.visits, tables.visits.c.id == own)
            people = tx.select(
                tables.people,
                tables.people.c.tenant_id == (found[0]["tenant_id"] if found else ""),
                tables.people.c.id == (found[0]["person_id"] if found else ""),
                whole=False,
            )
        if not found or not people or people[0]["disabled_at"] is not None:
            raise NotAuthenticated("Sign in.", code="signed_off")
        row, since = found[0], people[0]["visits_since"]
        times = {name: row[name] for name in ("tenant_id", "person_id", "opened_at", "seen_at")}
        visit = Visit(own, roles=frozenset(map(Role, row["roles"])), **times)
        try:
            later = visits.check_visit(visit, self._now(), visits_since=since)
        except NotAuthenticated as error:
            self._end(
                visit, "sign_in.idled" if error.code == "idle" else "sign_in.ended", request_id
            )
            raise
        if later is not visit:
            with self.house.store.transaction(visit.tenant_id) as tx:
                tx.change(tables.visits, own, seen_at=later.seen_at)
        return Visitor(visit.tenant_id, visit.person_id, visit.roles, visit_id)

    def sign_out(self, who: Visitor, request_id: str) -> None:
        """Ends a visit."""
        own, now = visits.visit_hash(who.visit_id), self._now()
        visit = Visit(own, who.tenant_id, who.person_id, who.roles, now, now)
        self._end(visit, "sign_in.ended", request_id)

    def _end(self, visit: Visit, action: str, request_id: str) -> None:
        with self.house.store.transaction(visit.tenant_id) as tx:
            own = tables.visits.c.id == visit.visit_hash
            gone = tables.visits.delete().where(tables.visits.c.tenant_id == visit.tenant_id, own)
            if tx.connection.execute(gone).rowcount == 1:
                actor = Actor(visit.tenant_id, "user", visit.person_id, request_id)
                self._note(tx, action, visit.person_id, actor)

    def _note_failure(self, tx: Transaction, id_: str, code: str, request_id: str) -> None:
        event = audit.Event(
            "sign_in.failed",
            self._now(),
            "anonymous",
            target_kind="account" if id_ else "",
            target_id=id_,
            outcome="denied",
            reason=code,
            request_id=request_id,
        )
        tx.note(event, self.house.audit_key)
