"""An OpenID provider: its endpoints, keys and answers, and all that may be wrong with them."""

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from service import oidc
from service.errors import Unavailable
from service.keys import Secret
from service.oidc_provider import Provider

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())


def test_a_token_signed_on_the_p256_curve_is_good(fake: Any, provider: Provider) -> None:
    fake.keys = [fake.ec, fake.rsa[0]]
    assert fake.sign_in(provider)


def test_a_token_without_a_key_name_is_good_where_only_one_key_fits(
    fake: Any, provider: Provider
) -> None:
    fake.keys = [fake.rsa[0], fake.ec]
    fake.sign = lambda claims: fake.signed(claims, fake.rsa[0], kid=None)
    assert fake.sign_in(provider)
    fake.keys = [fake.rsa[0], fake.rsa[1]]
    assert fake.refusal(Provider(provider.settings)).code == "bad_id_token"


def test_endpoints_and_keys_are_read_once_an_hour(fake: Any, provider: Provider) -> None:
    for _ in range(3):
        fake.sign_in(provider)
    assert (fake.asked["openid-configuration"], fake.asked["keys"]) == (1, 1)
    fake.claims = {"iat": NOW_S + 3600, "exp": NOW_S + 3900}
    fake.sign_in(provider, NOW + timedelta(hours=1))
    assert (fake.asked["openid-configuration"], fake.asked["keys"]) == (2, 2)


def test_a_new_key_name_makes_us_read_the_keys_again(fake: Any, provider: Provider) -> None:
    fake.sign_in(provider)
    fake.keys = [fake.rsa[1]]
    assert fake.sign_in(provider)
    assert fake.asked["keys"] == 2
    assert fake.asked["openid-configuration"] == 1


def test_a_key_name_that_stays_unknown_is_asked_for_once(fake: Any, provider: Provider) -> None:
    fake.sign_in(provider)
    fake.sign = lambda claims: fake.signed(claims, fake.rsa[1])
    assert fake.refusal(provider).code == "bad_id_token"
    assert fake.asked["keys"] == 2


def test_a_withdrawn_key_is_trusted_no_longer_once_the_keys_are_read_again(
    fake: Any, provider: Provider
) -> None:
    fake.sign_in(provider)
    fake.keys = [fake.rsa[1]]
    fake.sign_in(provider)
    fake.sign = lambda claims: fake.signed(claims, fake.rsa[0])
    assert fake.refusal(provider).code == "bad_id_token"


def test_keys_that_are_none_of_ours_are_passed_by(fake: Any, provider: Provider) -> None:
    weak = {"kty": "RSA", "kid": "weak", "e": "AQAB", "n": "x" * 171}
    strange: list[Any] = [
        {"kty": "AKP", "kid": "later"},
        {"kty": "oct", "kid": "rsa1", "k": "AAAA"},
        {"kty": "RSA", "kid": "broken"},
        {"kty": "RSA", "kid": "odd", "n": 7, "e": "AQAB"},
        {"kty": "fake.ec", "kid": "off", "crv": "P-256", "x": "AA", "y": "AA"},
        weak,
        {**fake.rsa[0].as_dict(False), "use": "enc", "kid": "rsa1"},
        {**fake.rsa[1].as_dict(False), "alg": "RS512", "kid": "rsa1"},
    ]
    fake.keys = [fake.rsa[0], *strange]
    assert fake.sign_in(provider)
    fake.keys = [*strange, {"not": "a key"}]
    fake.sign = lambda claims: fake.signed(claims, fake.rsa[0])
    assert fake.refusal(Provider(provider.settings)).code == "bad_id_token"


def test_the_client_secret_goes_as_the_provider_takes_it(fake: Any) -> None:
    fake.sign_in(Provider(fake.settings()))
    assert "client_secret" not in fake.form
    fake.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    fake.sign_in(Provider(fake.settings()))
    assert fake.form["client_secret"] == fake.secret


def test_a_client_the_provider_does_not_know_is_a_fault_of_the_settings(
    fake: Any,
) -> None:
    provider = Provider(fake.settings(client_secret=Secret("another")))
    assert fake.refusal(provider, Unavailable).code == "provider_unusable"


def test_a_provider_that_is_down_makes_the_sign_in_unavailable(
    fake: Any, provider: Provider
) -> None:
    url, kept = oidc.begin(provider, NOW)
    params = fake.come_back(url)
    fake.stop()
    with pytest.raises(Unavailable) as caught:
        oidc.finish(provider, kept, params, NOW)
    assert caught.value.code == "provider_away"
    assert caught.value.__suppress_context__
    with pytest.raises(Unavailable):
        oidc.begin(Provider(provider.settings), NOW)


def test_a_provider_that_comes_back_is_used_again(fake: Any, provider: Provider) -> None:
    fake.raw = {"openid-configuration": (503, b"away")}
    assert fake.refusal(provider, Unavailable).code == "provider_away"
    fake.raw = {"keys": (500, b"")}
    assert fake.refusal(provider, Unavailable).code == "provider_away"
    fake.raw = {}
    assert fake.sign_in(provider)


def test_a_provider_that_never_answers_is_given_up(fake: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        issuer = f"http://127.0.0.1:{silent.getsockname()[1]}"
        provider = Provider(fake.settings(issuer=issuer, timeout_s=0.2))
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            oidc.begin(provider, NOW)
    assert caught.value.code == "provider_away"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("page", ["openid-configuration", "keys", "token"])
@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b"7", b"\xff", b"[" * 100_000, b'{"a":"' + b"x" * 1_000_001 + b'"}'],
    ids=["empty", "html", "list", "number", "bytes", "deep", "long"],
)
def test_an_answer_that_cannot_be_read_is_the_providers_fault(
    fake: Any, provider: Provider, page: str, content: bytes
) -> None:
    fake.raw = {page: (200, content)}
    assert fake.refusal(provider, Unavailable).code == "provider_unusable"


@pytest.mark.parametrize("page", ["openid-configuration", "keys", "token"])
def test_no_redirect_is_followed(fake: Any, provider: Provider, page: str) -> None:
    fake.raw = {page: (307, f"{fake.issuer}/elsewhere".encode())}
    assert fake.refusal(provider, Unavailable).code == "provider_unusable"
    assert fake.asked["elsewhere"] == 0


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "https://evil.example/x",
        "http://127.0.0.1:1/x",
        "http://[bad",
        "file:///etc/passwd",
        "http://ISSUER@evil.example/x",
    ],
)
def test_an_endpoint_at_another_host_is_refused(
    fake: Any, provider: Provider, name: str, url: Any
) -> None:
    place = url.replace("ISSUER", urlsplit(fake.issuer).netloc) if isinstance(url, str) else url
    fake.discovery = {name: place}
    with pytest.raises(Unavailable) as caught:
        oidc.begin(provider, NOW)
    assert caught.value.code == "provider_unusable"
    assert "evil" not in str(caught.value)


def test_an_endpoint_at_a_host_of_the_settings_is_used(fake: Any) -> None:
    fake.discovery = {"authorization_endpoint": "https://login.example/authorize"}
    provider = Provider(fake.settings(further_hosts=frozenset({"login.example"})))
    url, _ = oidc.begin(provider, NOW)
    assert url.startswith("https://login.example/authorize?")


@pytest.mark.parametrize(
    "document",
    [{"issuer": "https://evil.example"}, {"code_challenge_methods_supported": ["plain"]}],
)
def test_a_discovery_document_of_another_issuer_or_without_pkce_is_refused(
    fake: Any, provider: Provider, document: dict[str, Any]
) -> None:
    fake.discovery = document
    with pytest.raises(Unavailable) as caught:
        oidc.begin(provider, NOW)
    assert caught.value.code == "provider_unusable"


@pytest.mark.parametrize(
    "answer", [{}, {"id_token": 7}, {"id_token": "no.token"}, {"id_token": ""}]
)
def test_an_answer_without_a_readable_token_signs_nobody_in(
    fake: Any, provider: Provider, answer: dict[str, Any]
) -> None:
    fake.raw = {"token": (200, json.dumps(answer).encode())}
    assert fake.refusal(provider).code in {"sign_in_refused", "bad_id_token"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://clinic.example"},
        {"issuer": "https://clinic.example?x=1"},
        {"issuer": "https://a:b@clinic.example"},
        {"issuer": "clinic.example"},
        {"redirect_uri": "http://here.example/signed-in"},
        {"client_id": ""},
        {"roles": {}},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(fake: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be an https URL|are needed"):
        fake.settings(**wrong)
