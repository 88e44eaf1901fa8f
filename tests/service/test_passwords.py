"""Passwords: which are taken, how they are hashed, and the same letters typed another way."""

import pytest

from service import passwords
from service.errors import Invalid
from service.keys import Secret
from service.passwords import Cost

CHEAP = Cost(passes=1, memory_kib=8, lanes=1)
PHRASE = "violet harbour lantern"


def hashed(password: str = PHRASE, cost: Cost = CHEAP) -> Secret:
    return passwords.hash_password(password, login="ada@clinic.example", cost=cost)


def test_the_hash_is_argon2id_with_the_stated_parameters() -> None:
    kept = passwords.hash_password(PHRASE, login="ada")
    assert kept.value.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_the_same_password_is_hashed_to_another_hash_each_time() -> None:
    assert hashed() != hashed()


def test_the_same_letters_typed_another_way_are_the_same_password_and_login() -> None:
    phrase, typed = "Zoë’s ﬁne harbour", "Zoe\u0308’s fine harbour"
    assert passwords.verify_password(hashed(phrase), typed, cost=CHEAP)
    assert passwords.normal_login("  ADA@Clinic.example ") == "ada@clinic.example"


@pytest.mark.parametrize(
    "password",
    [
        "short pass",
        "x" * 20,
        "abababababababab",
        "Ada@clinic.example!",
        "long word" * 40,
        "a" * 10**6,
        "",
    ],
)
def test_a_weak_password_is_refused_without_quoting_it(password: str) -> None:
    with pytest.raises(Invalid) as caught:
        hashed(password)
    assert caught.value.code == "weak_password"
    assert not password or password not in str([caught.value, *caught.value.errors])


def test_a_hash_is_made_anew_where_the_cost_is_another_and_else_kept() -> None:
    kept, dearer = hashed(), Cost(passes=2, memory_kib=16, lanes=1)
    assert passwords.renewed(kept, PHRASE, cost=CHEAP) is kept
    anew = passwords.renewed(kept, PHRASE, cost=dearer)
    assert "m=16,t=2" in anew.value
    assert passwords.verify_password(anew, PHRASE, cost=dearer)


@pytest.mark.parametrize("password", ["", "\ud800" * 20, "a" * 10**6, PHRASE + " " * 10**6])
def test_a_password_that_nobody_could_have_is_wrong(password: str) -> None:
    assert not passwords.verify_password(hashed(), password, cost=CHEAP)
