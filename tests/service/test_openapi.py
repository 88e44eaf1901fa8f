"""The OpenAPI document: whole, true, and with examples that work."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from service import app
from service.openapi import BARE_EXAMPLES, EXAMPLES
from service.scopes import Scope
from service.uploads import BARE_TYPES

PROBLEM = "application/problem+json"
OPEN = {"livez", "readyz", "version", "metrics"}
"""Operations for whoever keeps the service alive."""


@pytest.fixture(scope="module")
def document(shared_api: Any) -> dict[str, Any]:
    """The document as it is served."""
    answer = shared_api.as_().get("/openapi.json")
    assert answer.status_code == 200
    return dict(answer.json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def validate(document: dict[str, Any], value: Any, schema: Any) -> None:
    """The value is as the schema of the document says."""
    whole = Resource.from_contents({**document, "$id": "urn:doc"}, DRAFT202012)
    registry: Any = Registry().with_resource("urn:doc", whole)
    text = json.dumps(schema).replace('"#/', '"urn:doc#/')
    validator: Any = jsonschema.Draft202012Validator
    validator(json.loads(text), registry=registry).validate(value)


def test_it_is_openapi_3_1_with_a_name_and_a_version(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"]
    assert document["info"]["version"]
    assert "does not diagnose" in document["info"]["description"]


def test_operation_ids_are_there_and_each_is_one(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", one) for one in ids)


def test_every_operation_says_what_it_does_and_where_it_belongs(document: dict[str, Any]) -> None:
    summaries = []
    for method, path, operation in operations(document):
        assert 5 < len(operation["summary"]) <= 80, (method, path, operation["summary"])
        assert operation["description"].endswith("."), (method, path)
        assert len(operation["tags"]) == 1, (method, path)
        summaries.append(operation["summary"])
    assert len(set(summaries)) == len(summaries)


def test_the_paths_parameters_are_those_that_are_described(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        named = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for found in re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)):
        place: Any = document
        for step in found.removeprefix("#/").split("/"):
            place = place[step]


def test_every_schema_is_one(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_operation_but_the_health_checks_says_who_may_ask(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    flow = schemes["oauth2"]["flows"]["clientCredentials"]
    assert (schemes["bearer"]["scheme"], flow["tokenUrl"]) == ("bearer", "/oauth/token")
    assert set(flow["scopes"]) == {scope.value for scope in Scope}
    for _, _, operation in operations(document):
        ways = {name: scopes for way in operation["security"] for name, scopes in way.items()}
        if operation["operationId"] in OPEN:
            assert not ways
        elif operation["operationId"] == "issueToken":
            assert ways == {"client": []}
        else:
            assert set(ways) == {"bearer", "oauth2"}
            assert ways["oauth2"]
            assert set(ways["oauth2"]) <= set(flow["scopes"])


def test_every_operation_shows_its_refusals(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        if operation["operationId"] in OPEN:
            continue
        for status, family in (("4XX", "4"), ("5XX", "5")):
            told = operation["responses"][status]["content"][PROBLEM]
            assert told["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert told["examples"]
            for name, example in told["examples"].items():
                validate(document, example["value"], told["schema"])
                assert example["value"]["code"] == name
                assert str(example["value"]["status"])[0] == family


def test_every_success_says_what_comes(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert answer["description"]
            if status in ("200", "201", "202", "207") and path not in ("/readyz",):
                assert answer["content"], (path, status)
            if status in ("204", "304"):
                assert "content" not in answer, (path, status)


def test_every_body_has_an_example_that_is_as_its_schema_says(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for kind, told in operation.get("requestBody", {}).get("content", {}).items():
            if "example" not in told:
                assert kind in BARE_TYPES - set(BARE_EXAMPLES), (method, path, kind)
                continue
            validate(document, told["example"], told["schema"])


def test_what_takes_a_body_says_so(document: dict[str, Any]) -> None:
    with_body = {o["operationId"] for _, _, o in operations(document) if "requestBody" in o}
    assert with_body == {
        "createSession",
        "createSessions",
        "score",
        "rescore",
        "createWebhook",
        "createKey",
        "createOAuthClient",
        "setPolicy",
        "issueToken",
    }


def test_a_session_is_described_in_all_three_ways(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/sessions"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data", *BARE_TYPES}


@pytest.mark.parametrize("kind", sorted(BARE_EXAMPLES))
def test_the_example_of_a_bare_file_is_taken_in(shared_api: Any, kind: str) -> None:
    head = {"content-type": kind, "rupture-session": EXAMPLES["metadata"]}
    answer = shared_api.client.post("/v1/sessions", content=BARE_EXAMPLES[kind], headers=head)
    assert answer.status_code == 202, answer.text
    assert answer.json()["n_turns"] in (2, 3)


def test_the_other_examples_are_taken_in(shared_api: Any, document: dict[str, Any]) -> None:
    client = shared_api.client
    assert client.post("/v1/sessions", json=EXAMPLES["json"]).status_code == 202
    parts = EXAMPLES["multipart"]
    given = {"files": {"file": parts["file"].encode()}, "data": {"session": parts["session"]}}
    assert client.post("/v1/sessions", **given).status_code == 202
    batch = document["paths"]["/v1/sessions:batch"]["post"]["requestBody"]["content"]
    for kind, told in batch.items():
        body = told["example"] if isinstance(told["example"], str) else json.dumps(told["example"])
        head = {"content-type": kind}
        answer = client.post("/v1/sessions:batch", content=body, headers=head)
        assert answer.status_code == 207
        assert '"status": 202' in answer.text or '"status":202' in answer.text
    assert client.post("/v1/score", json=EXAMPLES["score"]).status_code == 200
    assert client.post("/v1/keys", json=EXAMPLES["key"]).status_code == 201
    assert client.post("/v1/oauth-clients", json=EXAMPLES["key"]).status_code == 201
    head = {"if-match": "*"}
    assert client.put("/v1/policy", json=EXAMPLES["policy"], headers=head).status_code == 200


def test_a_report_is_as_the_document_says(shared_api: Any, document: dict[str, Any]) -> None:
    session_id = shared_api.scored()
    schema = {"$ref": "#/components/schemas/Report"}
    for reader in (shared_api.client, shared_api.with_scopes("reports:read")):
        report = reader.get(f"/v1/sessions/{session_id}/report").json()
        validate(document, report, schema)


def test_the_document_can_be_kept_from_view(api: Any) -> None:
    hidden = api.house.settings.model_copy(update={"docs": False})
    house = type(api.house)(**{**vars(api.house), "settings": hidden})
    api.app = app.create_app(house)
    assert api.as_().get("/openapi.json").status_code == 404
    api.app.state.queue.close()


def test_no_page_brings_scripts_from_elsewhere(shared_api: Any) -> None:
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        assert shared_api.as_(address="10.3.0.1").get(path).status_code == 404


JUDGED_FURTHER = {
    *("createSession", "createSessions", "score", "rescore", "createWebhook", "setPolicy"),
}
"""No schema says whether a text is a transcript, a name a checkpoint, a host somebody's, days as
many as are allowed."""


def answers_are_as_described(operation: Any, head: dict[str, str], left_out: list[Any]) -> None:
    """Five made-up requests, good and bad, with and without credentials."""

    @settings(
        max_examples=5,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def call(case: Any) -> None:
        case.validate_response(case.call(headers=head), excluded_checks=left_out)

    call()


def test_the_service_answers_made_up_requests_as_the_document_says(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    monkeypatch.setattr(app, "ANYBODY_PER_MINUTE", 1_000_000)
    whole = app.create_app(api.house)
    whole.state.detector = api.app.state.detector
    head = {"Authorization": f"Bearer {api.key}"}
    tried = set()
    for found in schemathesis.openapi.from_asgi("/openapi.json", whole).get_all_operations():
        operation = found.ok()
        named = operation.definition.raw["operationId"]
        left_out = [positive_data_acceptance] if named in JUDGED_FURTHER else []
        answers_are_as_described(operation, head, left_out)
        tried.add(named)
    assert {one["operationId"] for _, _, one in operations(whole.openapi())} == tried
    whole.state.queue.close()
