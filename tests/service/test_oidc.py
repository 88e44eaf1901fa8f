"""Sign-in through OpenID Connect, against a small provider that really answers on 127.0.0.1."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from service import oidc
from service.errors import NotAuthenticated, NotPermitted
from service.keys import Secret
from service.oidc import Kept, Person
from service.oidc_provider import Provider
from service.scopes import Role
from service.signing import SigningKey, SigningKeys

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
KEYS = SigningKeys((SigningKey("k1", b"1" * 32),))


def test_a_person_signs_in_with_the_role_of_their_group(fake: Any, provider: Provider) -> None:
    person = fake.sign_in(provider)
    assert (person.issuer, person.subject, person.name) == (fake.issuer, "person-7", "Ada")
    assert person.roles == {Role.CLINICIAN}


def test_the_browser_is_sent_with_state_nonce_and_challenge_and_without_the_verifier(
    fake: Any, provider: Provider
) -> None:
    url, kept = oidc.begin(provider, NOW)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(fake.issuer + "/authorize?")
    assert asked["scope"] == "openid profile"
    assert asked["redirect_uri"] == "https://here.example/signed-in"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert (asked["state"], asked["nonce"]) == (kept.state.value, kept.nonce.value)
    assert kept.verifier.value not in url
    assert len(kept.verifier.value) >= 43


def test_every_sign_in_has_a_state_nonce_and_verifier_of_its_own(provider: Provider) -> None:
    (_, one), (_, two) = oidc.begin(provider, NOW), oidc.begin(provider, NOW)
    assert {one.state, one.nonce, one.verifier}.isdisjoint({two.state, two.nonce, two.verifier})


def test_what_is_kept_and_who_came_show_neither_secret_nor_name(
    fake: Any, provider: Provider
) -> None:
    url, kept = oidc.begin(provider, NOW)
    person = oidc.finish(provider, kept, fake.come_back(url), NOW)
    shown = repr([kept, person, provider.settings])
    hidden = [
        kept.state.value,
        kept.nonce.value,
        kept.verifier.value,
        fake.secret,
        "person-7",
        "Ada",
    ]
    assert [one for one in hidden if one in shown] == []
    assert "person-7" not in person.person_id


def test_the_same_subject_at_two_issuers_is_two_people() -> None:
    one = Person("https://one", "7", None, frozenset({Role.CLINICIAN}))
    assert one.person_id == replace(one, name="Ada").person_id
    assert one.person_id != replace(one, issuer="https://two").person_id


@pytest.mark.parametrize("wrong", [{"state": "another"}, {"state": ""}, {"state": "\ud800"}])
def test_an_answer_with_another_state_is_refused_before_the_provider_is_asked(
    fake: Any, provider: Provider, wrong: dict[str, str]
) -> None:
    url, kept = oidc.begin(provider, NOW)
    with pytest.raises(NotAuthenticated) as caught:
        oidc.finish(provider, kept, {**fake.come_back(url), **wrong}, NOW)
    assert caught.value.code == "bad_state"
    assert fake.asked["token"] == 0


def test_an_answer_without_a_state_is_refused(fake: Any, provider: Provider) -> None:
    url, kept = oidc.begin(provider, NOW)
    with pytest.raises(NotAuthenticated):
        oidc.finish(provider, kept, {"code": fake.come_back(url)["code"]}, NOW)


@pytest.mark.parametrize("passed", [timedelta(minutes=10, seconds=1), timedelta(seconds=-1)])
def test_an_answer_that_is_late_or_early_is_refused(
    fake: Any, provider: Provider, passed: timedelta
) -> None:
    url, kept = oidc.begin(provider, NOW)
    with pytest.raises(NotAuthenticated) as caught:
        oidc.finish(provider, kept, fake.come_back(url), NOW + passed)
    assert caught.value.code == "bad_state"


def test_a_refusal_of_the_provider_is_not_quoted(fake: Any, provider: Provider) -> None:
    _, kept = oidc.begin(provider, NOW)
    params = {"state": kept.state.value, "error": "access_denied", "error_description": fake.canary}
    with pytest.raises(NotAuthenticated) as caught:
        oidc.finish(provider, kept, params, NOW)
    assert caught.value.code == "sign_in_refused"
    assert fake.canary not in str(caught.value)


def test_an_answer_that_names_another_issuer_is_refused(fake: Any, provider: Provider) -> None:
    url, kept = oidc.begin(provider, NOW)
    params = fake.come_back(url)
    with pytest.raises(NotAuthenticated):
        oidc.finish(provider, kept, {**params, "iss": "https://evil.example"}, NOW)
    assert oidc.finish(provider, kept, {**params, "iss": fake.issuer}, NOW)


def test_an_answer_must_name_the_issuer_where_the_provider_says_it_does(
    fake: Any, provider: Provider
) -> None:
    fake.discovery = {"authorization_response_iss_parameter_supported": True}
    assert fake.refusal(provider).code == "bad_state"


def test_a_code_is_good_once(fake: Any, provider: Provider) -> None:
    url, kept = oidc.begin(provider, NOW)
    params = fake.come_back(url)
    assert oidc.finish(provider, kept, params, NOW)
    with pytest.raises(NotAuthenticated) as caught:
        oidc.finish(provider, kept, params, NOW)
    assert caught.value.code == "sign_in_refused"
    assert fake.canary not in str(caught.value)


def test_a_code_stolen_from_another_sign_in_fails_for_want_of_its_verifier(
    fake: Any, provider: Provider
) -> None:
    url, _ = oidc.begin(provider, NOW)
    stolen = fake.come_back(url)["code"]
    _, mine = oidc.begin(provider, NOW)
    with pytest.raises(NotAuthenticated) as caught:
        oidc.finish(provider, mine, {"code": stolen, "state": mine.state.value}, NOW)
    assert caught.value.code == "sign_in_refused"


@pytest.mark.parametrize(
    ("claims", "claim"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": ["another"]}, "nonce"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "another"}, "aud"),
        ({"aud": ["another", "third"]}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": ["us", "another"]}, "azp"),
        ({"azp": "another"}, "azp"),
        ({"exp": NOW_S - 60}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": "never"}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"iat": NOW_S + 61}, "iat"),
        ({"iat": None}, "iat"),
        ({"nbf": NOW_S + 61}, "nbf"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "sub"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "at_hash"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused_by_its_name(
    fake: Any, provider: Provider, claims: dict[str, Any], claim: str
) -> None:
    fake.claims = claims
    refused = fake.refusal(provider)
    assert (refused.code, refused.more) == ("bad_id_token", {"claim": claim})


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW_S - 59},
        {"iat": NOW_S + 60},
        {"aud": ["us"]},
        {"aud": ["us", "another"], "azp": "us"},
    ],
)
def test_a_token_within_the_clock_skew_or_of_several_audiences_is_good(
    fake: Any, provider: Provider, claims: dict[str, Any]
) -> None:
    fake.claims = claims
    assert fake.sign_in(provider)


def test_the_hash_of_the_access_token_may_be_in_the_token(fake: Any, provider: Provider) -> None:
    half = hashlib.sha256(fake.canary.encode()).digest()[:16]
    fake.claims = {"at_hash": base64.urlsafe_b64encode(half).decode().rstrip("=")}
    assert fake.sign_in(provider)


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


@pytest.mark.parametrize("algorithm", ["none", "None", "", None, 7])
def test_an_unsigned_token_is_refused_before_the_keys_are_asked_for(
    fake: Any, provider: Provider, algorithm: Any
) -> None:
    fake.sign = lambda claims: encoded({"alg": algorithm, "kid": "rsa1"}) + f".{encoded(claims)}."
    assert fake.refusal(provider).code == "bad_id_token"
    assert fake.asked["keys"] == 0


@pytest.mark.parametrize("form", ["PEM", "DER", "JWK"])
def test_a_token_signed_by_hmac_with_the_public_key_is_refused(
    fake: Any, provider: Provider, form: str
) -> None:
    public = (
        json.dumps(fake.rsa[0].as_dict(False)).encode()
        if form == "JWK"
        else fake.rsa[0].as_bytes(encoding=form, private=False)  # type: ignore[arg-type]
    )

    def forge(claims: dict[str, Any]) -> str:
        head = encoded({"alg": "HS256", "kid": "rsa1"})
        signed = f"{head}.{encoded(claims)}"
        mac = hmac.digest(public, signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    fake.sign = forge
    assert fake.refusal(provider).code == "bad_id_token"


def test_a_token_signed_by_hmac_with_our_client_secret_is_refused(
    fake: Any, provider: Provider
) -> None:
    key = OctKey.import_key(fake.secret)
    fake.sign = lambda claims: jwt.encode({"alg": "HS256", "kid": "rsa1"}, claims, key)
    assert fake.refusal(provider).code == "bad_id_token"


def test_a_token_of_a_good_key_but_an_algorithm_off_the_list_is_refused(
    fake: Any, provider: Provider
) -> None:
    fake.sign = lambda claims: jwt.encode(
        {"alg": "PS256", "kid": "rsa1"}, claims, fake.rsa[0], algorithms=["PS256"]
    )
    assert fake.refusal(provider).code == "bad_id_token"


def test_a_token_that_somebody_else_signed_under_the_name_is_refused(
    fake: Any, provider: Provider
) -> None:
    fake.sign = lambda claims: fake.signed(claims, fake.rsa[1], kid="rsa1")
    assert fake.refusal(provider).code == "bad_id_token"


def test_a_key_that_comes_in_the_header_is_not_used(fake: Any, provider: Provider) -> None:
    key = ECKey.generate_key("P-256")
    header = {"alg": "ES256", "kid": None, "jwk": key.as_dict(False)}
    fake.sign = lambda claims: fake.signed(claims, key, **header)
    assert fake.refusal(provider).code == "bad_id_token"


def test_a_header_field_that_nobody_knows_is_passed_by(fake: Any, provider: Provider) -> None:
    def sign(claims: dict[str, Any]) -> str:
        registry = oidc._registry()
        head = {"alg": "RS256", "kid": "rsa1", "vendor": "x"}
        return jwt.encode(head, claims, fake.rsa[0], registry=registry)

    fake.sign = sign
    assert fake.sign_in(provider)


@pytest.mark.parametrize(
    ("groups", "roles"),
    [
        (["clinic-leads", "clinic-therapists"], {Role.CLINICIAN, Role.SUPERVISOR}),
        ("clinic-leads", {Role.SUPERVISOR}),
        (["clinic-leads", 7, None], {Role.SUPERVISOR}),
    ],
)
def test_groups_give_their_roles(
    fake: Any, provider: Provider, groups: Any, roles: set[Role]
) -> None:
    fake.claims = {"groups": groups}
    assert fake.sign_in(provider).roles == roles


@pytest.mark.parametrize(
    "groups", [None, [], ["everybody"], "", ["CLINIC-LEADS"], {"clinic-leads": True}, 7]
)
def test_no_group_with_a_role_means_no_access(fake: Any, provider: Provider, groups: Any) -> None:
    fake.claims = {"groups": groups}
    assert fake.refusal(provider, NotPermitted).code == "no_role"


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["clinic-leads"]}}),
        ("https://clinic.example/roles", {"https://clinic.example/roles": ["clinic-leads"]}),
    ],
)
def test_the_groups_may_lie_deeper_or_under_a_name_with_dots(
    fake: Any, name: str, claims: dict[str, Any]
) -> None:
    fake.claims = {"groups": None, **claims}
    person = fake.sign_in(Provider(fake.settings(groups_claim=name)))
    assert person.roles == {Role.SUPERVISOR}


def test_a_second_factor_is_asked_for_where_the_settings_do(fake: Any) -> None:
    provider = Provider(fake.settings(second_factor=frozenset({"mfa", "otp"})))
    for methods in (None, ["pwd"]):
        fake.claims = {"amr": methods}
        assert fake.refusal(provider, NotPermitted).code == "second_factor_needed"
    fake.claims = {"amr": ["pwd", "otp"]}
    assert fake.sign_in(provider)


def some_kept() -> Kept:
    return Kept(Secret("state"), Secret("nonce"), Secret("verifier"), NOW)


def test_what_is_kept_comes_back_from_its_cookie() -> None:
    assert oidc.read_kept(oidc.seal_kept(some_kept(), KEYS).value, KEYS) == some_kept()


def test_a_cookie_that_we_did_not_seal_is_refused() -> None:
    kid, text, seal = oidc.seal_kept(some_kept(), KEYS).value.split(".")
    other = SigningKeys((SigningKey("k1", b"2" * 32),))
    forged = oidc.seal_kept(some_kept(), other).value
    wrong = ["", "..", f"{kid}.{text}x.{seal}", f"k2.{text}.{seal}", f"{kid}.\ud800.{seal}", forged]
    for cookie in wrong:
        with pytest.raises(NotAuthenticated) as caught:
            oidc.read_kept(cookie, KEYS)
        assert caught.value.code == "bad_state"
