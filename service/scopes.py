"""What callers may do: scopes of keys and tokens, and the roles of people."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from service.errors import Fault, Invalid, NotPermitted


class Scope(StrEnum):
    """What a caller may be allowed to do. The list is open: later versions add to it.

    No scope implies another. DELETE has its own, because a key that uploads has no need to
    erase; the text has its own, because most callers need the scores only; `admin` opens no
    session, so that who runs the service need not read what was said. (An administrator can make
    a key that may, see `grant`; the audit shows it.)
    """

    SESSIONS_WRITE = "sessions:write"
    """POST sessions, sessions:batch and rescore."""
    SESSIONS_READ = "sessions:read"
    """Lists, status and progress of sessions and jobs, without any score."""
    SESSIONS_ERASE = "sessions:erase"
    """DELETE of a session."""
    SCORE_RUN = "score:run"
    """POST score: scored at once, nothing stored."""
    REPORTS_READ = "reports:read"
    """report, segments, moments, csv, fhir; without quotations unless `text:read` is there too."""
    TEXT_READ = "text:read"
    """What was said: in report.html, quotations, the transcript itself."""
    CLIENTS_READ = "clients:read"
    """The trajectory of a client over sessions."""
    CONSENTS_WRITE = "consents:write"
    """Recording and revoking a client's consent."""
    ANNOTATIONS_READ = "annotations:read"
    """Coders' judgements and comments; kept apart from the record (45 CFR 164.501)."""
    ANNOTATIONS_WRITE = "annotations:write"
    """Coding and commenting on the review page."""
    EXPORT_READ = "export:read"
    """The pseudonymised export."""
    WEBHOOKS_READ = "webhooks:read"
    """Webhooks and their deliveries."""
    WEBHOOKS_WRITE = "webhooks:write"
    """Registering, rotating the secret, replaying a delivery."""
    KEYS_WRITE = "keys:write"
    """API keys and OAuth2 clients; see `grant`: nobody hands out more than they hold."""
    AUDIT_READ = "audit:read"
    """The tenant's audit entries."""
    ADMIN = "admin"
    """The tenant's settings, people, legal holds and dead letters."""


class Role(StrEnum):
    """What a person is to the tenant."""

    CLINICIAN = "clinician"
    SUPERVISOR = "supervisor"
    RESEARCHER = "researcher"
    ADMIN = "admin"


_READING = frozenset(
    {
        Scope.SESSIONS_READ,
        Scope.REPORTS_READ,
        Scope.TEXT_READ,
        Scope.CLIENTS_READ,
        Scope.ANNOTATIONS_READ,
        Scope.ANNOTATIONS_WRITE,
    }
)
ROLE_SCOPES: Mapping[Role, frozenset[Scope]] = MappingProxyType(
    {
        Role.CLINICIAN: _READING | {Scope.SESSIONS_WRITE, Scope.CONSENTS_WRITE},
        Role.SUPERVISOR: _READING,
        Role.RESEARCHER: frozenset({Scope.EXPORT_READ}),
        Role.ADMIN: frozenset(
            {
                Scope.ADMIN,
                Scope.AUDIT_READ,
                Scope.KEYS_WRITE,
                Scope.SESSIONS_READ,
                Scope.SESSIONS_ERASE,
                Scope.WEBHOOKS_READ,
                Scope.WEBHOOKS_WRITE,
            }
        ),
    }
)
"""What each role may do: the least each needs (45 CFR 164.502(b), minimum necessary)."""


def scopes_of_roles(roles: Iterable[Role]) -> frozenset[Scope]:
    """Everything that one of the roles may do."""
    return frozenset(scope for role in roles for scope in ROLE_SCOPES[role])


def read_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Scopes by name, as a caller asks for them.

    Raises: Invalid: a name is none of ours; the fault gives its place, not the name.
    """
    found, faults = set(), []
    for place, name in enumerate(names):
        try:
            found.add(Scope(name))
        except ValueError:
            faults.append(Fault(f"/scopes/{place}", "unknown_scope", "no such scope"))
    if faults:
        raise Invalid("Some scopes are not known here.", code="unknown_scope", errors=faults)
    return frozenset(found)


def stored_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Scopes by name, as a row holds them. A later version's are left out: that grants less."""
    known = set(Scope)
    return frozenset(Scope(name) for name in names if name in known)


def grant(asked: Iterable[Scope], held: Iterable[Scope]) -> frozenset[Scope]:
    """The scopes that are asked for, if who hands them out holds each.

    `admin` may hand out every scope: the first key of a platform has to come from somebody.

    Raises: NotPermitted: more is asked for than is held.
    """
    wanted, own = frozenset(asked), frozenset(held)
    if Scope.ADMIN not in own and not wanted <= own:
        raise NotPermitted("Nobody hands out scopes they do not hold.", code="scope_not_held")
    return wanted
