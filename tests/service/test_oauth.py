"""OAuth2 clients and tokens: what is issued, and every forgery refused."""

import base64
import dataclasses
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from service import oauth, visits
from service.errors import Conflict, NotAuthenticated
from service.keys import OVERLAP, Secret
from service.oauth import AccessToken, ClientRecord, IssuedToken, OAuthCode, TokenRefused
from service.scopes import Scope
from service.signing import SigningKey, SigningKeys

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
KEYS = SigningKeys((SigningKey("k1", b"1" * 32),))
OTHER_KEYS = SigningKeys((SigningKey("k1", b"2" * 32),))


def make_client(**more: object) -> tuple[ClientRecord, Secret]:
    scopes = [Scope.SESSIONS_WRITE, Scope.REPORTS_READ]
    asked = {"tenant_id": "t1", "name": "platform", "scopes": scopes, "now": NOW}
    return oauth.make_client(**{**asked, **more})


def issue(client: ClientRecord | None, secret: str, **more: object) -> IssuedToken:
    asked = {
        "grant_type": "client_credentials",
        "keys": KEYS,
        "issuer": "https://us",
        "audience": "api",
        "now": NOW,
    }
    return oauth.issue_token(client, secret=secret, **{**asked, **more})


def read(text: str, **more: object) -> AccessToken:
    asked = {"keys": KEYS, "issuer": "https://us", "audience": "api", "now": NOW}
    return oauth.read_token(text, **{**asked, **more})


def test_no_client_or_token_shows_a_secret_or_its_hash_in_repr_or_dict() -> None:
    client, secret = make_client()
    issued = issue(client, secret.value)
    shown = repr([client, secret, issued, KEYS]) + str(dataclasses.asdict(client))
    hidden = [secret.value, client.secret.current.value, issued.access_token.value, "1" * 32]
    assert [one for one in hidden if one in shown] == []


def test_a_client_gets_a_token_that_says_who_it_is_and_what_it_may() -> None:
    client, secret = make_client()
    issued = issue(client, secret.value)
    token = read(issued.access_token.value)
    assert (token.client_id, token.tenant_id) == (client.client_id, "t1")
    assert token.scopes == client.scopes == issued.scopes
    body = issued.body()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 600)
    assert body["scope"] == "reports:read sessions:write"


def test_a_token_carries_the_scopes_that_were_asked_for_only() -> None:
    client, secret = make_client()
    issued = issue(client, secret.value, scope="reports:read")
    assert read(issued.access_token.value).scopes == {Scope.REPORTS_READ}


def refusal(client: ClientRecord | None, secret: str, **more: object) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        issue(client, secret, **more)
    return caught.value


@pytest.mark.parametrize("scope", ["text:read", "reports:read text:read", "nonsense"])
def test_no_token_carries_more_than_its_client_holds(scope: str) -> None:
    client, secret = make_client()
    refused = refusal(client, secret.value, scope=scope)
    assert (refused.error, refused.status) == (OAuthCode.INVALID_SCOPE, 400)


def test_another_grant_is_refused_by_its_code() -> None:
    client, secret = make_client()
    refused = refusal(client, secret.value, grant_type="password")
    assert refused.body()["error"] == "unsupported_grant_type"


def test_an_unknown_disabled_or_expired_client_and_a_wrong_secret_are_refused_alike() -> None:
    client, secret = make_client(lifetime=HOUR)
    disabled = dataclasses.replace(client, disabled_at=NOW)
    refused = [
        refusal(None, secret.value),
        refusal(client, secret.value + "x"),
        refusal(client, "\ud800"),
        refusal(disabled, secret.value),
        refusal(client, secret.value, now=NOW + HOUR),
    ]
    assert {(one.error, one.status) for one in refused} == {(OAuthCode.INVALID_CLIENT, 401)}
    assert len({one.detail for one in refused}) == 1


def test_both_secrets_of_a_client_are_good_during_the_overlap() -> None:
    client, old = make_client()
    rotated, new = oauth.rotate_client(client, now=NOW)
    assert issue(rotated, old.value)
    assert issue(rotated, new.value, now=NOW + OVERLAP)
    assert refusal(rotated, old.value, now=NOW + OVERLAP).error is OAuthCode.INVALID_CLIENT


def test_a_client_that_has_ended_is_not_rotated() -> None:
    client, _ = make_client(lifetime=HOUR)
    for ended in (dataclasses.replace(client, disabled_at=NOW), client):
        with pytest.raises(Conflict):
            oauth.rotate_client(ended, now=NOW + HOUR)


def token_text() -> str:
    client, secret = make_client()
    return issue(client, secret.value).access_token.value


def assert_refused(text: str, **more: object) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        read(text, **more)
    assert caught.value.code == "invalid_token"
    if len(text) > 2:
        assert text not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_token_ends_after_ten_minutes_and_a_minute_of_skew() -> None:
    text = token_text()
    assert read(text, now=NOW + 11 * MINUTE - SECOND)
    assert_refused(text, now=NOW + 11 * MINUTE)


def test_a_token_from_the_future_is_good_within_a_minute_of_skew() -> None:
    text = token_text()
    assert read(text, now=NOW - MINUTE)
    assert_refused(text, now=NOW - MINUTE - SECOND)


@pytest.mark.parametrize("wrong", [{"audience": "another"}, {"issuer": "https://another"}])
def test_a_token_for_somebody_else_is_refused(wrong: dict[str, Any]) -> None:
    assert_refused(token_text(), **wrong)


def test_a_token_that_another_key_of_the_same_name_signed_is_refused() -> None:
    assert_refused(token_text(), keys=OTHER_KEYS)


def test_a_rotated_key_verifies_until_it_is_taken_out() -> None:
    text, new = token_text(), SigningKey("k2", b"3" * 32)
    both = SigningKeys((new, *KEYS.keys))
    assert read(text, keys=both)
    assert both.signing is new
    assert_refused(text, keys=SigningKeys((new,)))


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def forged(
    *, key: OctKey | None = None, claims: dict | None = None, drop: str = "", **header: object
) -> str:
    """A token as ours, with a header, claims or a key of somebody's own."""
    _, payload, _ = token_text().split(".")
    ours = json.loads(base64.urlsafe_b64decode(payload + "=="))
    mine = {name: value for name, value in {**ours, **(claims or {})}.items() if name != drop}
    head = {"alg": "HS256", "typ": "at+jwt", "kid": "k1", **header}
    signing = key or oauth._token_key(KEYS.signing.secret)
    return jwt.encode(head, mine, signing, algorithms=["HS256", "HS512", "none"])


def test_the_forger_of_these_tests_can_make_a_good_token() -> None:
    assert read(forged())


@pytest.mark.filterwarnings("ignore:JWS algorithm")
@pytest.mark.parametrize("algorithm", ["none", "HS512"])
def test_a_token_of_another_algorithm_is_refused(algorithm: str) -> None:
    assert_refused(forged(alg=algorithm))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 7, ["HS256"]])
def test_an_unsigned_token_is_refused(algorithm: Any) -> None:
    header, payload, _ = token_text().split(".")
    mine = encoded({"alg": algorithm, "typ": "at+jwt", "kid": "k1"})
    assert_refused(f"{mine}.{payload}.")
    assert_refused(f"{header}.{payload}.")


def test_a_token_signed_with_an_rsa_key_is_refused() -> None:
    key = RSAKey.generate_key(2048)
    claims = {"iss": "https://us", "aud": "api"}
    text = jwt.encode({"alg": "RS256", "typ": "at+jwt", "kid": "k1"}, claims, key)
    assert_refused(text)


@pytest.mark.parametrize("header", [{"kid": "k9"}, {"typ": "JWT"}, {"kid": ""}])
def test_a_token_with_another_header_is_refused(header: dict[str, Any]) -> None:
    assert_refused(forged(**header))


def test_a_token_that_asks_for_an_extension_we_lack_is_refused() -> None:
    _, payload, _ = token_text().split(".")
    header = {"alg": "HS256", "typ": "at+jwt", "kid": "k1", "crit": ["ours"], "ours": 1}
    signed = f"{encoded(header)}.{payload}"
    key = oauth._token_key(KEYS.signing.secret).raw_value
    mac = base64.urlsafe_b64encode(hmac.digest(key, signed.encode(), "sha256")).decode()
    assert_refused(f"{signed}.{mac.rstrip('=')}")


def test_a_key_that_comes_in_the_header_is_not_used() -> None:
    key = OctKey.generate_key(256)
    assert_refused(forged(key=key, jwk=key.as_dict(private=True)))


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "iat", "jti", "sub", "tenant", "scope"])
def test_a_token_that_lacks_a_claim_is_refused(claim: str) -> None:
    assert_refused(forged(drop=claim))


@pytest.mark.parametrize(
    "claims",
    [{"exp": "never"}, {"exp": None}, {"exp": float("nan")}, {"sub": 7}, {"scope": ["text:read"]}],
)
def test_a_token_with_a_claim_of_another_kind_is_refused(claims: dict[str, Any]) -> None:
    assert_refused(forged(claims=claims))


def test_a_scope_that_was_withdrawn_from_the_list_grants_nothing() -> None:
    assert read(forged(claims={"scope": "reports:read old:scope"})).scopes == {Scope.REPORTS_READ}


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "é.é.é",
        "\ud800",
        "x" * 100_000,
        encoded([[[]]]) + ".e30.",
        base64.urlsafe_b64encode(b"[" * 380).decode() + ".e30.AA",
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    assert_refused(text)


@settings(max_examples=50, deadline=None)
@given(place=st.integers(0, 5000), letter=st.sampled_from("Ab.-"))
def test_a_token_with_one_changed_letter_is_refused(place: int, letter: str) -> None:
    place %= TOKEN_TEXT.rindex(".") + 42  # the last letter holds bits that do not count
    text = TOKEN_TEXT[:place] + letter + TOKEN_TEXT[place + 1 :]
    if text != TOKEN_TEXT:
        assert_refused(text)


def test_a_cookie_or_form_token_is_no_access_token_and_the_other_way_round() -> None:
    visit_id = Secret("v" * 43)
    assert_refused(visits.seal_cookie(visit_id, KEYS).value)
    assert_refused(visits.csrf_token(visit_id, KEYS))
    for wrong in (token_text(), visits.csrf_token(visit_id, KEYS)):
        with pytest.raises(NotAuthenticated):
            visits.read_cookie(wrong, KEYS)


def test_a_time_without_a_zone_is_a_mistake_of_ours() -> None:
    client, secret = make_client()
    with pytest.raises(ValueError, match="aware"):
        issue(client, secret.value, now=NOW.replace(tzinfo=None))


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


def test_client_id_and_secret_are_read_from_http_basic_and_unescaped() -> None:
    client_id, secret = oauth.read_basic(basic(b"a%3Ab+c:d%25:e"))
    assert (client_id, secret.value) == ("a:b c", "d%:e")


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic ???", "Bearer YTpi", basic(b"nocolon"), basic(b"\xff:\xff")]
)
def test_a_field_that_is_no_http_basic_is_an_invalid_client(header: str) -> None:
    with pytest.raises(TokenRefused) as caught:
        oauth.read_basic(header)
    assert caught.value.error is OAuthCode.INVALID_CLIENT
    assert caught.value.__suppress_context__


TOKEN_TEXT = token_text()
