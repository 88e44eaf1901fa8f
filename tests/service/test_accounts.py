"""Local accounts: signing in with two factors, and being locked out; the clock is a fake one."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest

from service import accounts, visits
from service.accounts import (
    FREE_FAILURES,
    LONGEST_WAIT_S,
    MOST_FAILURES,
    AccountRecord,
    Attempt,
    Enrolment,
    Failures,
)
from service.errors import Invalid, NotAuthenticated, TooMany
from service.keys import Secret
from service.passwords import Cost, verify_password
from service.scopes import Role
from service.signing import SigningKey, SigningKeys

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
CHEAP = Cost(passes=1, memory_kib=8, lanes=1)
PHRASE = "violet harbour lantern"
OTHER_PHRASE = "copper meadow signal"
KEYS = SigningKeys((SigningKey("k1", b"1" * 32),))
OTHER_KEYS = SigningKeys((SigningKey("k1", b"2" * 32),))


def make_account(**more: object) -> tuple[AccountRecord, Enrolment]:
    asked = {
        "tenant_id": "t1",
        "login": "ada@clinic.example",
        "password": PHRASE,
        "roles": [Role.CLINICIAN],
        "now": NOW,
        "cost": CHEAP,
    }
    return accounts.make_account(**{**asked, **more})


@pytest.fixture(scope="module")
def account() -> AccountRecord:
    return make_account()[0]


def code_of(account: AccountRecord, at: datetime = NOW) -> str:
    return pyotp.TOTP(account.totp.value).at(at)


def sign_in(
    account: AccountRecord | None, failures: Failures | None = None, **more: object
) -> Attempt:
    asked = {"password": PHRASE, "code": "", "now": NOW, "cost": CHEAP}
    return accounts.sign_in(account, failures or Failures(), **{**asked, **more})


def test_no_account_shows_a_secret_or_its_hash_in_repr_or_dict() -> None:
    account, enrolment = make_account()
    shown = repr([account, enrolment])
    shown += str([dataclasses.asdict(one) for one in (account, enrolment)])
    hidden = [account.password, account.totp, *account.recovery, *enrolment.recovery_codes]
    assert [one.value for one in hidden if one.value in shown] == []


def test_somebody_signs_in_with_password_and_code(account: AccountRecord) -> None:
    attempt = sign_in(account, Failures(3, NOW), code=code_of(account))
    assert attempt.error is None
    assert attempt.failures == Failures()
    assert attempt.account is not None
    assert attempt.account.totp_step == int(NOW.timestamp()) // 30


def test_an_unknown_login_wrong_password_wrong_code_and_disabled_account_look_alike(
    account: AccountRecord,
) -> None:
    code, disabled = code_of(account), accounts.disable(account, now=NOW)
    attempts = [
        sign_in(None, code=code),
        sign_in(account, code=code, password=OTHER_PHRASE),
        sign_in(account, code="000000" if code != "000000" else "111111"),
        sign_in(account, code=""),
        sign_in(disabled, code=code),
    ]
    for attempt in attempts:
        assert attempt.account is None
        assert attempt.failures == Failures(1, NOW)
        assert isinstance(attempt.error, NotAuthenticated)
    assert len({str(attempt.error) for attempt in attempts}) == 1


def test_an_unknown_login_costs_as_many_hashes_as_a_known_one(
    account: AccountRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.warm(CHEAP)
    checked: list[str] = []

    def counted(kept: Secret, password: str, *, cost: Cost) -> bool:
        checked.append(kept.value.rpartition("$")[0].rpartition("$")[0])
        return verify_password(kept, password, cost=cost)

    monkeypatch.setattr(accounts, "verify_password", counted)
    sign_in(None)
    sign_in(account, password=OTHER_PHRASE)
    assert len(checked) == 2
    assert checked[0] == checked[1]


def test_a_hash_of_other_parameters_is_made_anew_at_the_next_sign_in(
    account: AccountRecord,
) -> None:
    dearer = Cost(passes=2, memory_kib=16, lanes=1)
    attempt = sign_in(account, code=code_of(account), cost=dearer)
    assert attempt.account is not None
    assert "m=16,t=2" in attempt.account.password.value
    assert verify_password(attempt.account.password, PHRASE, cost=dearer)


@pytest.mark.parametrize("wrong", [{"login": " "}, {"roles": []}, {"login": "a" * 255}])
def test_an_account_without_a_login_or_role_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        make_account(**wrong)


@pytest.mark.parametrize("password", ["", "\ud800" * 20, "a" * 10**6, PHRASE + " " * 10**6])
def test_a_password_that_nobody_could_have_is_wrong(account: AccountRecord, password: str) -> None:
    attempt = sign_in(account, password=password, code=code_of(account))
    assert isinstance(attempt.error, NotAuthenticated)


@pytest.mark.parametrize("code", ["\ud800", "٣" * 6, "1" * 10**5, "x", "12345", "-"])
def test_a_code_that_is_none_is_wrong(account: AccountRecord, code: str) -> None:
    assert isinstance(sign_in(account, code=code).error, NotAuthenticated)


def test_a_code_is_good_once(account: AccountRecord) -> None:
    first = sign_in(account, code=code_of(account))
    again = sign_in(first.account, code=code_of(account), now=NOW + SECOND)
    assert again.account is None


@pytest.mark.parametrize(("steps", "is_good"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_a_code_is_good_one_step_early_or_late(
    account: AccountRecord, steps: int, is_good: bool
) -> None:
    code = code_of(account, NOW + steps * timedelta(seconds=30))
    assert (sign_in(account, code=code).error is None) is is_good


def test_no_earlier_code_is_good_after_a_later_one(account: AccountRecord) -> None:
    early = code_of(account, NOW - timedelta(seconds=30))
    after = sign_in(account, code=code_of(account)).account
    assert sign_in(after, code=early).account is None


def test_a_code_may_be_typed_with_a_space(account: AccountRecord) -> None:
    code = code_of(account)
    assert sign_in(account, code=f"{code[:3]} {code[3:]}").error is None


def test_a_code_beside_a_wrong_password_is_not_used_up(account: AccountRecord) -> None:
    code = code_of(account)
    assert sign_in(account, code=code, password=OTHER_PHRASE).account is None
    assert sign_in(account, code=code).error is None


def test_a_recovery_code_is_good_once_however_it_is_typed() -> None:
    account, enrolment = make_account()
    code = enrolment.recovery_codes[2].value
    attempt = sign_in(account, code=code.upper().replace("-", " ").replace("0", "O"))
    assert attempt.account is not None
    assert len(attempt.account.recovery) == len(account.recovery) - 1
    assert sign_in(attempt.account, code=code).account is None
    assert sign_in(attempt.account, code=enrolment.recovery_codes[0].value).error is None


def test_what_is_shown_at_enrolment_sets_up_an_app_that_makes_good_codes() -> None:
    account, enrolment = make_account()
    app = pyotp.parse_uri(enrolment.uri.value)
    assert isinstance(app, pyotp.TOTP)
    assert sign_in(account, code=app.at(NOW)).error is None


def test_a_new_second_factor_ends_the_old_one() -> None:
    account, enrolment = make_account()
    renewed, _ = accounts.renew_second_factor(account, now=NOW + HOUR)
    assert renewed.visits_since == NOW + HOUR
    for old in (code_of(account), enrolment.recovery_codes[0].value):
        assert sign_in(renewed, code=old).account is None
    assert sign_in(renewed, code=code_of(renewed)).error is None


def test_a_new_password_ends_the_old_one() -> None:
    account, _ = make_account()
    changed = accounts.change_password(account, OTHER_PHRASE, now=NOW + HOUR, cost=CHEAP)
    assert sign_in(changed, code=code_of(account)).account is None
    right = sign_in(changed, code=code_of(account), password=OTHER_PHRASE)
    assert right.error is None


def test_the_wait_doubles_with_every_failure_up_to_an_hour() -> None:
    waits = [Failures(n, NOW).wait_s(NOW) for n in range(FREE_FAILURES + 9)]
    assert waits[:FREE_FAILURES] == [0] * FREE_FAILURES
    assert waits[FREE_FAILURES:] == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_within_the_wait_nothing_is_looked_at_and_after_it_the_right_ones_open(
    account: AccountRecord,
) -> None:
    failures, code = Failures(FREE_FAILURES, NOW), code_of(account, NOW + timedelta(seconds=30))
    early = sign_in(account, failures, code=code, now=NOW + timedelta(seconds=29))
    assert isinstance(early.error, TooMany)
    assert early.error.retry_after_s == 1
    assert early.failures == failures
    late = sign_in(account, failures, code=code, now=NOW + timedelta(seconds=30))
    assert late.error is None


def test_an_unknown_login_waits_as_a_known_one_does(account: AccountRecord) -> None:
    failures = Failures(FREE_FAILURES + 2, NOW)
    known, unknown = sign_in(account, failures), sign_in(None, failures)
    assert isinstance(known.error, TooMany)
    assert isinstance(unknown.error, TooMany)
    assert (known.error.retry_after_s, str(known.error)) == (
        unknown.error.retry_after_s,
        str(unknown.error),
    )


def test_after_a_hundred_failures_no_wait_is_long_enough(account: AccountRecord) -> None:
    later = NOW + timedelta(days=365)
    attempt = sign_in(
        account, Failures(MOST_FAILURES, NOW), code=code_of(account, later), now=later
    )
    assert isinstance(attempt.error, TooMany)
    assert attempt.error.code == "locked"
    assert attempt.error.retry_after_s == LONGEST_WAIT_S


def test_a_clock_that_was_set_back_locks_nobody_for_longer_than_the_wait() -> None:
    assert Failures(FREE_FAILURES, NOW).wait_s(NOW - timedelta(days=30)) == 30


def test_failures_are_kept_by_tenant_and_login_without_naming_it() -> None:
    key = accounts.failures_key("t1", "Ada@clinic.example", KEYS)
    assert key == accounts.failures_key("t1", " ada@clinic.example", KEYS)
    others = [("t2", "ada@clinic.example", KEYS), ("t1", "ada@clinic.example", OTHER_KEYS)]
    assert key not in [accounts.failures_key(*other) for other in others]
    assert "ada" not in key


def test_the_login_is_kept_in_one_spelling() -> None:
    account, _ = make_account(login="  ADA@Clinic.example ")
    assert account.login == "ada@clinic.example"


@pytest.mark.parametrize("change", ["change_roles", "disable"])
def test_other_roles_and_disabling_end_the_visits(account: AccountRecord, change: str) -> None:
    more = {"roles": [Role.RESEARCHER]} if change == "change_roles" else {}
    changed = getattr(accounts, change)(account, now=NOW + SECOND, **more)
    visit, _ = visits.open_visit(tenant_id="t1", person_id="p1", roles=account.roles, now=NOW)
    with pytest.raises(NotAuthenticated) as caught:
        visits.check_visit(visit, NOW + SECOND, visits_since=changed.visits_since)
    assert caught.value.code == "signed_off"
