"""Visits of the review page: how they end, their cookie and the tokens of their forms."""

from datetime import UTC, datetime, timedelta

import pytest

from service import visits
from service.errors import NotAuthenticated, NotPermitted
from service.keys import Secret
from service.scopes import Role
from service.signing import SigningKey, SigningKeys
from service.visits import ABSOLUTE, IDLE, Visit

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
KEYS = SigningKeys((SigningKey("k1", b"1" * 32),))
OTHER_KEYS = SigningKeys((SigningKey("k1", b"2" * 32),))


def open_visit(now: datetime = NOW) -> tuple[Visit, Secret]:
    return visits.open_visit(tenant_id="t1", person_id="p1", roles=[Role.CLINICIAN], now=now)


def test_no_visit_shows_its_id_or_the_hash_in_its_repr() -> None:
    visit, visit_id = open_visit()
    shown = repr([visit, visit_id])
    assert visit_id.value not in shown
    assert visit.visit_hash not in shown


def test_every_sign_in_opens_a_visit_under_another_id() -> None:
    (one, first), (two, second) = open_visit(), open_visit()
    assert first != second
    assert one.visit_hash != two.visit_hash
    assert visits.visit_hash(first) == one.visit_hash


def visit_refusal(visit: Visit | None, now: datetime, **more: object) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        visits.check_visit(visit, now, **more)
    return caught.value.code


def test_a_visit_ends_after_fifteen_minutes_without_a_request() -> None:
    visit, _ = open_visit()
    assert visits.check_visit(visit, NOW + IDLE - SECOND)
    assert visit_refusal(visit, NOW + IDLE) == "idle"


def test_a_visit_ends_after_twelve_hours_however_busy() -> None:
    visit, _ = open_visit()
    now = NOW
    while now + 10 * MINUTE < NOW + ABSOLUTE:
        now += 10 * MINUTE
        visit = visits.check_visit(visit, now)
        assert visit.seen_at == now
    assert visit_refusal(visit, NOW + ABSOLUTE) == "visit_over"


def test_the_lengths_of_a_visit_are_the_settings() -> None:
    visit, _ = open_visit()
    assert visit_refusal(visit, NOW + MINUTE, idle=MINUTE) == "idle"
    assert visit_refusal(visit, NOW + MINUTE, absolute=MINUTE) == "visit_over"


def test_a_request_soon_after_another_gives_nothing_to_store() -> None:
    visit, _ = open_visit()
    assert visits.check_visit(visit, NOW + SECOND) is visit


def test_no_visit_and_one_from_before_the_password_changed_are_signed_off() -> None:
    visit, _ = open_visit()
    assert visit_refusal(None, NOW) == "signed_off"
    assert visit_refusal(visit, NOW + SECOND, visits_since=NOW + SECOND) == "signed_off"
    assert visits.check_visit(visit, NOW + SECOND, visits_since=NOW)


def test_a_cookie_gives_the_id_back_and_a_forged_one_nothing() -> None:
    _, visit_id = open_visit()
    cookie = visits.seal_cookie(visit_id, KEYS).value
    assert visits.read_cookie(cookie, KEYS) == visit_id
    kid, _, signature = cookie.split(".")
    wrong = [
        "",
        "...",
        cookie + ".",
        cookie[:-1],
        visit_id.value,
        f"{kid}.{'x' * 43}.{signature}",
        f"k2.{visit_id.value}.{signature}",
        f"{kid}.\ud800.{signature}",
        "." * 10_000,
    ]
    for text in wrong:
        with pytest.raises(NotAuthenticated):
            visits.read_cookie(text, KEYS)
    with pytest.raises(NotAuthenticated):
        visits.read_cookie(cookie, OTHER_KEYS)


def test_a_cookie_of_the_key_before_is_still_read() -> None:
    _, visit_id = open_visit()
    cookie = visits.seal_cookie(visit_id, KEYS).value
    both = SigningKeys((SigningKey("k2", b"3" * 32), *KEYS.keys))
    assert visits.read_cookie(cookie, both) == visit_id


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_hosts() -> None:
    attributes = visits.cookie_attributes(is_https=True)
    assert attributes["key"] == "__Host-rupture"
    assert attributes["secure"] is attributes["httponly"] is True
    assert (attributes["samesite"], attributes["path"]) == ("lax", "/")


def test_a_form_token_is_good_for_its_visit_and_differs_each_time() -> None:
    _, visit_id = open_visit()
    one, two = (visits.csrf_token(visit_id, KEYS) for _ in range(2))
    assert one != two
    for token in (one, two):
        visits.check_csrf(visit_id, token, KEYS)


def test_a_form_token_of_another_visit_or_key_or_none_is_refused() -> None:
    _, visit_id = open_visit()
    _, other_id = open_visit()
    token = visits.csrf_token(other_id, KEYS)
    foreign = visits.csrf_token(visit_id, OTHER_KEYS)
    good = visits.csrf_token(visit_id, KEYS)
    kid, salt, signature = good.split(".")
    shifted = f"{kid}.{salt[:-1]}.{signature}"
    for text in ("", "..", token, foreign, shifted, good + ".", "\ud800.x.y"):
        with pytest.raises(NotPermitted) as caught:
            visits.check_csrf(visit_id, text, KEYS)
        assert caught.value.code == "bad_csrf"
