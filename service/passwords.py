"""Passwords of local accounts: which are taken, and what is kept of them."""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError, VerifyMismatchError

from service.errors import Fault, Invalid, Unavailable
from service.keys import Secret


@dataclass(frozen=True, slots=True)
class Cost:
    """What one password hash costs: passes over the memory, KiB of it, lanes."""

    passes: int
    memory_kib: int
    lanes: int


COST = Cost(passes=2, memory_kib=19 * 1024, lanes=1)
"""Argon2id's least in the OWASP Password Storage Cheat Sheet (19 MiB, two passes, one lane)."""

PASSWORD_LENGTH = (12, 256)
"""Characters, least and most. NIST SP 800-63B-4 §3.1.1.2 asks for 8 beside a second factor, 15
without, and that 64 be allowed; ours lies between, as a second factor is always asked for."""

_LONGEST_PASSWORD = 4 * PASSWORD_LENGTH[1]
"""As typed: one character that is seen may be typed as several. More is not even looked at."""


@lru_cache(maxsize=4)
def _hasher(cost: Cost) -> PasswordHasher:
    return PasswordHasher(
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        hash_len=32,
        salt_len=16,
    )


def _normal(text: str) -> str:
    """One spelling of what looks the same (NFKC, as SP 800-63B-4 §3.1.1.2 advises)."""
    return unicodedata.normalize("NFKC", text)


def _hash(password: str, cost: Cost) -> Secret:
    return Secret(_hasher(cost).hash(_encoded(password)))


def _encoded(password: str) -> bytes:
    """Its bytes; lone surrogates too, whose refusal would quote the whole text."""
    return _normal(password).encode("utf-8", "surrogatepass")


def normal_login(login: str) -> str:
    """The login as it is kept and looked up: one spelling, small letters, no space around."""
    return _normal(login).strip().casefold()


def hash_password(password: str, *, login: str, cost: Cost = COST) -> Secret:
    """Argon2id hash of a password, with its parameters and salt.

    Raises: Invalid: `weak_password`: too short, too long, of few letters, or the login.
    """
    least, most = PASSWORD_LENGTH
    plain, words = _normal(password[:_LONGEST_PASSWORD]), ""
    if not least <= len(plain) <= most or len(password) > _LONGEST_PASSWORD:
        words = f"it has between {least} and {most} characters"
    elif len(set(plain)) < 5:
        words = "it has at least five different characters"
    elif normal_login(login) and normal_login(login) in plain.casefold():
        words = "it does not contain the login"
    if words:
        fault = Fault("/password", "weak_password", words)
        raise Invalid("Choose another password.", code="weak_password", errors=[fault])
    return _hash(password, cost)


def verify_password(kept: Secret, password: str, *, cost: Cost = COST) -> bool:
    """Whether this is the password.

    Raises: Unavailable: there is no memory for the hash now.
    """
    is_looked_at = len(password) <= _LONGEST_PASSWORD
    try:
        # "" is nobody's password: the work is done all the same.
        return _hasher(cost).verify(kept.value, _encoded(password if is_looked_at else ""))
    except VerifyMismatchError:
        return False
    except VerificationError:
        raise Unavailable("Passwords cannot be checked now.") from None


def renewed(kept: Secret, password: str, *, cost: Cost = COST) -> Secret:
    """The hash of a password that is right: made anew where `cost` is another by now."""
    return _hash(password, cost) if _hasher(cost).check_needs_rehash(kept.value) else kept
