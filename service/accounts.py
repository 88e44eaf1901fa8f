"""Local accounts of people, where no OpenID provider is: second factors, lock-out, sign-in.

    make_account -> (record to keep, what to show once); change_password, change_roles, disable,
                    renew_second_factor
    sign_in(account, failures, ...) -> Attempt, with what to store

Values and functions of values, like `service.keys`. `service.passwords` says which passwords are
taken, and `service.visits` what follows a sign-in.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

import pyotp

from service.errors import Invalid, NotAuthenticated, ServiceError, TooMany
from service.keys import LONG_AGO, Secret, hash_secret, random_id, random_secret
from service.passwords import COST, Cost, hash_password, normal_login, renewed, verify_password
from service.scopes import Role
from service.signing import SigningKeys, epoch_s

_LONGEST_LOGIN = 254
"""Characters: the longest mail address (RFC 5321 with its erratum 1690)."""


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """A person's local account, where no OpenID provider is.

    Args:
        login: as `normal_login` gives it.
        totp: the shared secret of the one-time codes, base32. It has to be read to be used: the
            store keeps it encrypted.
        totp_step: the last step whose code was used; none at or before it is good.
        recovery: SHA-256 of the recovery codes that are left.
        visits_since: visits opened before are void: the password or the roles have changed.
    """

    account_id: str
    tenant_id: str
    login: str = field(repr=False)
    roles: frozenset[Role]
    password: Secret
    totp: Secret
    created_at: datetime
    visits_since: datetime
    totp_step: int = -1
    recovery: tuple[Secret, ...] = ()
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a person is shown once: the otpauth URI for the app, and the recovery codes."""

    uri: Secret
    recovery_codes: tuple[Secret, ...]


def make_account(
    *,
    tenant_id: str,
    login: str,
    password: str,
    roles: Iterable[Role],
    now: datetime,
    cost: Cost = COST,
) -> tuple[AccountRecord, Enrolment]:
    """A new account with its second factor: the record to keep and what to show once.

    Raises: Invalid: a weak password, no login, or no role.
    """
    name, granted = normal_login(login), frozenset(roles)
    if not 0 < len(name) <= _LONGEST_LOGIN or not granted:
        raise Invalid("An account needs a login and a role.", code="bad_account")
    codes = _recovery_codes()
    record = AccountRecord(
        account_id=random_id(),
        tenant_id=tenant_id,
        login=name,
        roles=granted,
        password=hash_password(password, login=name, cost=cost),
        totp=Secret(pyotp.random_base32()),
        created_at=now,
        visits_since=now,
        recovery=_recovery_hashes(codes),
    )
    return record, Enrolment(_otp_uri(record), codes)


def change_password(
    account: AccountRecord, password: str, *, now: datetime, cost: Cost = COST
) -> AccountRecord:
    """The account with another password; its visits end.

    Raises: Invalid: a weak password.
    """
    hashed = hash_password(password, login=account.login, cost=cost)
    return replace(account, password=hashed, visits_since=now)


def change_roles(account: AccountRecord, roles: Iterable[Role], *, now: datetime) -> AccountRecord:
    """The account with other roles; its visits end, as each keeps the roles it was opened with.

    Raises: Invalid: no role; see `disable`.
    """
    granted = frozenset(roles)
    if not granted:
        raise Invalid("An account needs a role.", code="bad_account")
    return replace(account, roles=granted, visits_since=now)


def disable(account: AccountRecord, *, now: datetime) -> AccountRecord:
    """The account that nobody can sign in to; its visits end."""
    return replace(account, disabled_at=now, visits_since=now)


def renew_second_factor(
    account: AccountRecord, *, now: datetime
) -> tuple[AccountRecord, Enrolment]:
    """The account with a new shared secret and new recovery codes; its visits end."""
    codes = _recovery_codes()
    renewed = replace(
        account,
        totp=Secret(pyotp.random_base32()),
        totp_step=-1,
        recovery=_recovery_hashes(codes),
        visits_since=now,
    )
    return renewed, Enrolment(_otp_uri(renewed), codes)


def _otp_uri(account: AccountRecord) -> Secret:
    totp = pyotp.TOTP(account.totp.value)
    return Secret(totp.provisioning_uri(name=account.login, issuer_name="Rupture detector"))


TOTP_STEP_S = 30
"""RFC 6238 §5.2."""

TOTP_WINDOW = 1
"""Steps before and after that are good too: RFC 6238 §5.2 advises one at most."""


def totp_step(account: AccountRecord, code: str, now: datetime) -> int | None:
    """The step that the code is of, if it is good now and no later one was used.

    A code is good once (RFC 6238 §5.2): keep the step as `totp_step` of the account.
    """
    totp, current = pyotp.TOTP(account.totp.value), epoch_s(now) // TOTP_STEP_S
    given, found = Secret(code.replace(" ", "")), None
    for step in range(max(0, current - TOTP_WINDOW), current + TOTP_WINDOW + 1):
        if given == Secret(totp.generate_otp(step)) and step > account.totp_step:
            found = step
    return found


RECOVERY_CODES = 8
"""How many a person gets; ours."""

_RECOVERY_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_RECOVERY_LENGTH = 25
"""Of 32 letters: 125 bits. From 112 on a fast hash is enough (SP 800-63B-4 §3.1.2.2)."""


def _recovery_codes() -> tuple[Secret, ...]:
    return tuple(
        Secret(
            "-".join(
                "".join(secrets.choice(_RECOVERY_LETTERS) for _ in range(5))
                for _ in range(_RECOVERY_LENGTH // 5)
            )
        )
        for _ in range(RECOVERY_CODES)
    )


def _recovery_hashes(codes: Iterable[Secret]) -> tuple[Secret, ...]:
    return tuple(_recovery_hash(code.value) for code in codes)


def _recovery_hash(text: str) -> Secret:
    """Of the letters of a recovery code, with those that look alike read as the one we use."""
    letters = text.casefold().translate(str.maketrans("oil", "011"))
    return hash_secret(Secret("".join(one for one in letters if one in _RECOVERY_LETTERS)))


def use_second_factor(account: AccountRecord, code: str, now: datetime) -> AccountRecord | None:
    """The account after the use of a one-time or recovery code; None where it is not good."""
    step = totp_step(account, code, now)
    if step is not None:
        return replace(account, totp_step=step)
    given = _recovery_hash(code)
    left = tuple(one for one in account.recovery if one != given)
    if len(left) == len(account.recovery):
        return None
    return replace(account, recovery=left)


FREE_FAILURES = 5
"""So many failures in a row cost no wait; ours."""

FIRST_WAIT_S = 30
LONGEST_WAIT_S = 3600
"""The wait doubles with every further failure from 30 s to an hour; ours."""

MOST_FAILURES = 100
"""In a row; then only an administrator opens the login again (SP 800-63B-4 §3.2.2)."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed tries in a row for one login, whether or not it is somebody's.

    The store keeps it under `failures_key`, so that the table holds no logins, and reads and
    writes it in one transaction that locks the row: tries side by side count each. Rows of
    unknown logins may be swept when they are a month old.
    """

    count: int = 0
    last_at: datetime | None = None

    def wait_s(self, now: datetime) -> int:
        """Whole seconds until the next try is looked at; 0: now."""
        if self.last_at is None or self.count < FREE_FAILURES:
            return 0
        if self.count >= MOST_FAILURES:
            return LONGEST_WAIT_S
        delay = min(LONGEST_WAIT_S, FIRST_WAIT_S << (self.count - FREE_FAILURES))
        # A clock that was set back must not lock a login for longer than the delay.
        passed = max(0, epoch_s(now) - epoch_s(self.last_at))
        return max(0, delay - passed)

    def one_more(self, now: datetime) -> "Failures":
        """After another failure."""
        return Failures(self.count + 1, now)


def failures_key(tenant_id: str, login: str, keys: SigningKeys) -> str:
    """What failures of a login are kept under: a keyed hash, hex.

    It hangs on the first signing key: a rotation forgives all failures.
    """
    return keys.signing.sign("failures", f"{tenant_id}\n{normal_login(login)}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a sign-in went. Store `failures`, and `account` where there is one; then raise `error`.

    Args:
        account: who has signed in, as to be stored; None where nobody has.
        error: None where somebody has.
    """

    account: AccountRecord | None
    failures: Failures
    error: ServiceError | None


def sign_in(
    account: AccountRecord | None,
    failures: Failures,
    *,
    password: str,
    code: str,
    now: datetime,
    cost: Cost = COST,
) -> Attempt:
    """One try to sign in with password and one-time (or recovery) code.

    An unknown login, a wrong password, a wrong code and a disabled account get the same answer
    after the same work, and the same waits. A code is used up only beside the right password.
    A hash of other parameters than `cost` is made anew.

    The work is `cost`, some tens of milliseconds and MiB: let few run at once.

    `account` is what the store has under `normal_login`, None where it has nothing, and
    `failures` what it has under `failures_key`.

    Raises: Unavailable: there is no memory for the hash now.
    """
    wait_s = failures.wait_s(now)
    if wait_s:
        return Attempt(None, failures, _too_many(failures, wait_s))
    someone = account or _nobody(cost)
    is_right = verify_password(someone.password, password, cost=cost)
    after = use_second_factor(someone, code, now)
    if not is_right or after is None or account is None or account.disabled_at is not None:
        error = NotAuthenticated("The login, password or code is wrong.", code="bad_sign_in")
        return Attempt(None, failures.one_more(now), error)
    hashed = renewed(after.password, password, cost=cost)
    return Attempt(replace(after, password=hashed), Failures(), None)


def _too_many(failures: Failures, wait_s: int) -> TooMany:
    if failures.count >= MOST_FAILURES:
        words, code = "Too many failed tries: ask an administrator.", "locked"
    else:
        words, code = "Too many failed tries: wait before the next.", "sign_in_wait"
    return TooMany(words, retry_after_s=wait_s, code=code)


@lru_cache(maxsize=4)
def _nobody(cost: Cost) -> AccountRecord:
    """With a password that nobody has, so that an unknown login takes as long as a known."""
    return AccountRecord(
        account_id="",
        tenant_id="",
        login="",
        roles=frozenset(),
        password=hash_password(random_secret().value, login="", cost=cost),
        totp=Secret(pyotp.random_base32()),
        created_at=LONG_AGO,
        visits_since=LONG_AGO,
        recovery=_recovery_hashes(_recovery_codes()),
    )


def warm(cost: Cost = COST) -> None:
    """Makes the hash that unknown logins are compared with.

    Call it once at start: the first unknown login would else take twice as long.
    """
    _nobody(cost)
