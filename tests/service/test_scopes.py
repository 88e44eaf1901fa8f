"""Scopes and roles: read by name, handed out by who holds them, the least for each role."""

import pytest

from service import scopes
from service.errors import Invalid, NotPermitted
from service.scopes import ROLE_SCOPES, Role, Scope


def test_scopes_are_read_by_name_and_an_unknown_one_is_refused_by_its_place() -> None:
    assert scopes.read_scopes(["text:read"]) == {Scope.TEXT_READ}
    with pytest.raises(Invalid) as caught:
        scopes.read_scopes(["text:read", "text:everything"])
    assert [fault.pointer for fault in caught.value.errors] == ["/scopes/1"]
    assert "everything" not in str(caught.value.errors)


def test_a_stored_scope_of_a_later_version_grants_nothing() -> None:
    assert scopes.stored_scopes(["text:read", "mind:read"]) == {Scope.TEXT_READ}


def test_nobody_hands_out_a_scope_they_do_not_hold() -> None:
    held = {Scope.KEYS_WRITE, Scope.SESSIONS_READ}
    assert scopes.grant([Scope.SESSIONS_READ], held) == {Scope.SESSIONS_READ}
    with pytest.raises(NotPermitted):
        scopes.grant([Scope.TEXT_READ], held)


def test_an_administrator_hands_out_any_scope() -> None:
    assert scopes.grant([Scope.TEXT_READ], {Scope.ADMIN}) == {Scope.TEXT_READ}


def test_every_role_has_scopes_and_no_administrator_or_researcher_reads_text() -> None:
    assert set(ROLE_SCOPES) == set(Role)
    without = scopes.scopes_of_roles([Role.ADMIN, Role.RESEARCHER])
    assert Scope.TEXT_READ not in without
    assert Scope.REPORTS_READ not in without
    assert Scope.TEXT_READ in scopes.scopes_of_roles([Role.ADMIN, Role.SUPERVISOR])
