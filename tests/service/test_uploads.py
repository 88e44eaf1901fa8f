"""What is handed in broken: each time a clear refusal; and where no word of it turns up."""

import base64
import io
import json
import logging
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import limits, uploads
from service.jobs import Worker
from service.observe import set_up_logging

Make = Callable[..., dict[str, Any]]
JSON = "application/json"


def refused(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The problem document of an answer with one of these statuses."""
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == answer.status_code
    assert found["code"] != "internal"
    assert found["detail"]
    assert found["request_id"]
    return dict(found)


def send(api: Any, kind: str, body: Any, path: str = "/v1/sessions", **head: Any) -> httpx.Response:
    """A body of a stated type; headers are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in head.items()}
    return api.client.post(path, content=body, headers={"content-type": kind, **named})


# -- bodies that are no JSON, or not the JSON that is meant ---------------------------------------

TAKES_JSON = (
    "/v1/sessions",
    "/v1/sessions:batch",
    "/v1/score",
    "/v1/sessions/ses_1/rescore",
    "/v1/webhooks",
    "/v1/keys",
    "/v1/oauth-clients",
)
NO_JSON = {
    "nothing": b"",
    "words": b"hello",
    "half": b'{"client": "x',
    "null": b"null",
    "a number": b"12",
    "a huge number": b"1" * 5000,
    "infinity": b"Infinity",
    "NaN in it": b'{"transcript": NaN}',
    "a string": b'"x"',
    "bytes that are no UTF-8": b'{"client": "\xff\xfe"}',
    "UTF-16": '{"client": "x"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a lone surrogate": b'{"client": "\\ud800", "transcript": "\\udfff"}',
    "a NUL": b'{"client": "a\\u0000b"}',
    "a bare NUL": b'{"client": "a\x00b"}',
    "deep lists": b"[" * 5000 + b"]" * 5000,
    "deep objects": b'{"transcript":' * 3000 + b"1" + b"}" * 3000,
    "many values": b"[" + b"1," * 5_100_000 + b"1]",
    "unknown fields": b'{"nonsense": 1}',
    "a field twice": b'{"client": "a", "client": "b"}',
    "proto": b'{"__proto__": {"x": 1}, "constructor": 1}',
}


@pytest.mark.parametrize("path", TAKES_JSON)
@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_what_is_not_the_json_that_is_meant_is_refused(
    shared_api: Any, path: str, body: bytes
) -> None:
    found = refused(send(shared_api, JSON, body, path), 422)
    assert found["code"] in ("invalid", "json_too_deep", "json_too_many_values")


@pytest.mark.parametrize("path", TAKES_JSON[1:])
@pytest.mark.parametrize("kind", ["", "text/plain", "application/xml", "application/jsonp", "x"])
def test_what_is_called_something_else_is_not_read(shared_api: Any, path: str, kind: str) -> None:
    refused(send(shared_api, kind, b"{}", path), 415)


def test_a_charset_beside_the_type_does_no_harm(shared_api: Any, make_session: Make) -> None:
    body = json.dumps(make_session())
    assert send(shared_api, "Application/JSON; charset=utf-8", body).status_code == 202


BAD_FIELDS: list[tuple[str, Any, str]] = [
    ("client", "", "/client"),
    ("client", "x" * 201, "/client"),
    ("client", 7, "/client"),
    ("number", 0, "/number"),
    ("number", 10**30, "/number"),
    ("number", 1.5, "/number"),
    ("number", "1", "/number"),
    ("number", True, "/number"),
    ("day", "yesterday", "/day"),
    ("day", "2026-02-30", "/day"),
    ("day", 1770000000, "/day"),
    ("attendance", "maybe", "/attendance"),
    ("modality", "dream", "/modality"),
    ("sensitivity", "secret", "/sensitivity"),
    ("roles", {"A": "boss"}, "/roles/*"),
    ("roles", [], "/roles"),
    ("roles", {f"s{n}": "client" for n in range(101)}, "/roles"),
    ("therapist", "x" * 201, "/therapist"),
    ("segment_minutes", 0, "/segment_minutes"),
    ("segment_minutes", 1e400, "/segment_minutes"),
    ("segment_minutes", "5", "/segment_minutes"),
    ("checkpoint", "../../etc", "/checkpoint"),
    ("checkpoint", "..", "/checkpoint"),
    ("consent", None, "/consent"),
    ("consent", "yes", "/consent"),
    ("transcript", 1, "/transcript/*"),
]


@pytest.mark.parametrize(("name", "value", "pointer"), BAD_FIELDS)
def test_a_field_that_cannot_be_used_is_named(
    shared_api: Any, make_session: Make, name: str, value: Any, pointer: str
) -> None:
    body = json.dumps({**make_session(), name: value}).replace("Infinity", "1e400")
    found = refused(send(shared_api, JSON, body), 422)
    assert pointer in [one["pointer"] for one in found["errors"]]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"scopes": {"analyse": "yes", "human_review": True}}, "scopes/analyse"),
        ({"scopes": {"analyse": 1, "human_review": True}}, "scopes/analyse"),
        ({"scopes": {"human_review": True}}, "scopes/analyse"),
        ({"id": "a b"}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"basis": "By word of mouth"}, "basis"),
        ({"text_version": ""}, "text_version"),
        ({"given_at": "2026-01-05T09:00:00"}, "given_at"),
        ({"given_at": "9999-12-31T23:59:59-12:00"}, "given_at"),
        ({"given_at": "0001-01-01T00:00:00+14:00"}, "given_at"),
        ({"given_at": 1770000000}, "given_at"),
        ({"jurisdiction": "Germany"}, "jurisdiction"),
        ({"jurisdiction": "UK"}, "jurisdiction"),
        ({"redisclosure": "a b"}, "redisclosure"),
    ],
)
def test_a_consent_that_is_not_clear_is_none(
    shared_api: Any, make_session: Make, make_consent: Make, said: dict[str, Any], name: str
) -> None:
    body = json.dumps(make_session(consent={**make_consent(), **said}))
    found = refused(send(shared_api, JSON, body), 422)
    assert [one["pointer"] for one in found["errors"]] == [f"/consent/{name}"]


# -- forms and bare files ------------------------------------------------------------------------


def form(about: str, file: bytes = b"", boundary: str = "xyz") -> bytes:
    """A form's body, as it goes over the wire."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="session"\r\n\r\n{about}\r\n'
    part = 'Content-Disposition: form-data; name="file"; filename="s.vtt"'
    middle = f"--{boundary}\r\n{part}\r\nContent-Type: text/vtt\r\n\r\n"
    return head.encode() + middle.encode() + file + f"\r\n--{boundary}--\r\n".encode()


@pytest.fixture
def whole_form(make_session: Make) -> bytes:
    """A form that is taken in."""
    about = make_session()
    file = about.pop("transcript").encode()
    return form(json.dumps(about), file)


def test_a_form_that_breaks_off_is_refused_wherever_it_does(
    shared_api: Any, whole_form: bytes
) -> None:
    kind = "multipart/form-data; boundary=xyz"
    assert send(shared_api, kind, whole_form).status_code == 202
    end = whole_form.rindex(b"\r\n--xyz--") + len(b"\r\n--xyz")
    for place in [*range(0, end, 61), end - 1]:
        refused(send(shared_api, kind, whole_form[:place]), 422)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
        'multipart/form-data; boundary="x\x01y"',
        "multipart/form-data; boundary=" + "x" * 4000,
        "multipart/form-data; boundary=xyz; charset=hex",
        "multipart/form-data; boundary=xyz; charset=utf-16",
        "multipart/form-data; boundary=xyz; charset=no-such",
    ],
)
def test_a_form_with_an_odd_head_is_no_error_of_ours(
    shared_api: Any, whole_form: bytes, kind: str
) -> None:
    answer = send(shared_api, kind, whole_form)
    assert answer.status_code in (202, 422), answer.text


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"file": ("s.vtt", b"x")},
        {"session": (None, b"{}")},
        {"file": ("s.vtt", b"x"), "session": (None, b"{")},
        {"file": ("s.vtt", b"x"), "session": (None, b"\xff")},
        {"file": ("s.vtt", b"x"), "session": (None, b"[]")},
        [("file", ("a", b"x")), ("file", ("b", b"y")), ("session", (None, b"{}"))],
        [("file", (f"{n}", b"x")) for n in range(9)],
        [(f"field{n}", (None, b"x")) for n in range(9)],
    ],
)
def test_a_form_without_its_two_parts_is_refused(shared_api: Any, parts: Any) -> None:
    if not parts:
        answer = send(shared_api, "multipart/form-data; boundary=xyz", b"--xyz--\r\n")
    else:
        answer = shared_api.client.post("/v1/sessions", files=parts)
    refused(answer, 422)


def test_a_large_file_of_a_form_touches_no_disk(
    api: Any, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    def no_disk(*_: Any, **__: Any) -> None:
        raise AssertionError("a temporary file was opened")

    monkeypatch.setattr(tempfile, "_TemporaryFileWrapper", no_disk)
    monkeypatch.setattr(tempfile, "TemporaryFile", no_disk)
    about = make_session()
    file = about.pop("transcript") + "\nNOTE\n" + ("x" * 999 + "\n") * 3_000
    parts = {"file": ("s.vtt", file.encode(), "text/vtt")}
    given = {"files": parts, "data": {"session": json.dumps(about)}}
    assert api.client.post("/v1/sessions", **given).status_code == 202


@pytest.mark.parametrize(
    "metadata",
    [b"", b"{", b"[]", b"\xff\xff", b'{"client": "\\ud800"}', b"x" * 20_001, b'{"a":' * 90],
)
def test_a_bare_file_with_broken_metadata_is_refused(
    shared_api: Any, make_session: Make, metadata: bytes
) -> None:
    file = make_session()["transcript"]
    refused(send(shared_api, "text/vtt", file, rupture_session=metadata), 422)


@pytest.mark.parametrize(
    "kind", ["", "image/png", "audio/wav", "application/x-ndjson", "text", "/"]
)
def test_a_type_that_no_transcript_has_is_refused(
    shared_api: Any, make_session: Make, kind: str
) -> None:
    about = make_session()
    file = about.pop("transcript")
    found = refused(send(shared_api, kind, file, rupture_session=json.dumps(about)), 415)
    assert found["code"] == "unknown_media_type"


# -- files that cannot be read -------------------------------------------------------------------


def zipped(**members: bytes) -> bytes:
    """A zip file of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


def bomb() -> bytes:
    """A document of 300 MB in 300 kB."""
    return zipped(word__document_xml=b"0" * 300_000_000)


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<ANNOTATION_DOCUMENT><TIER TIER_ID="&c;"/></ANNOTATION_DOCUMENT>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<ANNOTATION_DOCUMENT><TIER TIER_ID="&a;"/></ANNOTATION_DOCUMENT>"""
BROKEN_FILES = {
    "nothing": b"",
    "spaces": b" \n\n ",
    "noise": bytes(range(256)) * 4,
    "NULs": b"\0" * 1000,
    "no cue": b"WEBVTT\n\n",
    "a cue that ends too soon": b"WEBVTT\n\n00:00:05.000 --> 00:00:01.000\nT: x\n",
    "a broken time": b"WEBVTT\n\n00:99:99 --> x\nT: x\n",
    "half a zip": zipped(word__document_xml=b"<w/>")[:40],
    "a zip of nothing": zipped(),
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
    "laughs": LAUGHS,
    "an outside entity": OUTSIDE,
    "a half surrogate": b"WEBVTT\n\n00:01.000 --> 00:02.000\nT: \xed\xa0\x80\n",
    "one word": b"hello",
    "json of nothing we know": b'{"a": [1, 2, {"b": null}]}',
}


@pytest.mark.parametrize("file", BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_a_file_that_is_no_transcript_is_refused(
    shared_api: Any, make_session: Make, file: bytes
) -> None:
    about = make_session()
    about.pop("transcript")
    kind = "application/octet-stream"
    answer = send(shared_api, kind, file, rupture_session=json.dumps(about))
    found = refused(answer, 413, 415, 422)
    assert found["code"] not in ("invalid",)


def test_a_bomb_is_refused_before_it_goes_off(shared_api: Any, make_session: Make) -> None:
    about = make_session()
    about.pop("transcript")
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    began = time.monotonic()
    answer = send(shared_api, kind, bomb(), rupture_session=json.dumps(about))
    assert refused(answer, 413)["code"] == "archive_too_large"
    assert time.monotonic() - began < 30


def test_a_body_beyond_the_limit_is_not_read(shared_api: Any) -> None:
    answer = send(shared_api, "text/vtt", b"x" * 51_000_000)
    assert refused(answer, 413)["code"] == "body_too_large"


def test_nor_is_one_that_does_not_say_how_long_it_is(
    shared_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINGER_S", 0.05)

    def pieces() -> Iterator[bytes]:
        for _ in range(51):
            yield b"x" * 1_000_000

    answer = send(shared_api, "text/vtt", pieces())
    assert refused(answer, 413)["code"] == "body_too_large"


def test_a_turn_as_long_as_a_book_is_refused(shared_api: Any, make_session: Make) -> None:
    book = "WEBVTT\n\n00:01.000 --> 00:02.000\nT: " + "word " * 70_000
    refused(shared_api.client.post("/v1/sessions", json=make_session(transcript=book)), 413)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.binary(max_size=300),
    kind=st.sampled_from(
        [JSON, "multipart/form-data; boundary=b", "text/vtt", "application/octet-stream"]
    ),
    path=st.sampled_from(TAKES_JSON),
)
def test_no_bytes_whatever_are_an_error_of_ours(
    shared_api: Any, body: bytes, kind: str, path: str
) -> None:
    head = '{"client":"c"}'
    refused(send(shared_api, kind, body, path, rupture_session=head), 415, 422)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    file=st.one_of(
        st.binary(max_size=400), st.text(max_size=300).map(lambda t: t.encode("utf-8", "replace"))
    )
)
def test_no_file_whatever_is_an_error_of_ours(
    shared_api: Any, make_session: Make, file: bytes
) -> None:
    about = make_session()
    about.pop("transcript")
    answer = send(shared_api, "application/octet-stream", file, rupture_session=json.dumps(about))
    assert answer.status_code in (202, 413, 415, 422), answer.text


# -- odd names -----------------------------------------------------------------------------------

ODD_NAMES = [
    "<script>alert(1)</script>",
    "'; DROP TABLE sessions; --",
    "=cmd|' /C calc'!A0",
    "\u202eevil\u2066",
    "Zoë 🙂",
    "a" * 150,
    "..\\..\\x",
    "{{7*7}}${7*7}%s%n",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_a_name_whatever_is_in_it(api: Any, make_session: Make, name: str) -> None:
    turns = [
        {"start": 1.0, "end": 3.0, "text": f"How was {name}?", "speaker": name},
        {"start": 4.0, "end": 6.0, "text": "Fine, I guess.", "speaker": "C"},
    ]
    about = make_session(client=name, roles={name: "therapist", "C": "client"})
    about.pop("therapist")
    about.pop("transcript")
    parts = {"file": (name, json.dumps({"segments": turns}).encode(), "application/json")}
    given = {"files": parts, "data": {"session": json.dumps(about)}}
    answer = api.client.post("/v1/sessions", **given)
    assert answer.status_code == 202, answer.text
    assert api.work() == ["done"]
    place = f"/v1/sessions/{answer.json()['id']}"
    assert api.client.get(f"{place}/report").json()["turns"][0]["speaker"] == name
    page = api.client.get(f"{place}/report.html")
    assert page.status_code == 200
    assert "<script>alert(1)" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    table = api.client.get(f"{place}/report.csv").text
    assert not any(cell.startswith("=") for row in table.splitlines() for cell in row.split(","))


# -- where no word turns up ----------------------------------------------------------------------

SAID, NAMED, REFERENCE, FILE = "xylographcanary", "Quenbycanary", "refzcanary-77", "filewcanary.vtt"
CANARIES = (SAID, NAMED, REFERENCE, FILE)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Logging as the service sets it up, at its most talkative, and put back afterwards."""
    loggers = [one for one in logging.root.manager.loggerDict.values() if hasattr(one, "handlers")]
    kept = [(one, one.handlers, one.propagate, one.disabled, one.level) for one in loggers]
    root = (logging.root.handlers, logging.root.level)
    hooks = (sys.excepthook, sys.unraisablehook, threading.excepthook)
    stream = io.StringIO()
    set_up_logging("debug", stream=stream)
    yield stream
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    logging.captureWarnings(False)
    logging.setLogRecordFactory(logging.LogRecord)
    logging.raiseExceptions = True
    logging.root.handlers = root[0]
    logging.root.setLevel(root[1])
    for one, *state in kept:
        one.handlers, one.propagate, one.disabled, _ = state
        one.setLevel(state[-1])
    structlog.reset_defaults()


def spelled(word: str) -> Iterator[bytes]:
    """The word in ways that a row may hold it."""
    yield word.encode()
    yield word.encode("utf-16-le")
    yield word.encode().hex().encode()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + word.encode())
        yield text[4 if shift else 0 : -4]


def files_with_a_canary(home: Path) -> list[str]:
    """Files below the folder that hold one of the words."""
    return [
        f"{path.name}: {CANARIES.index(word)}"
        for path in sorted(home.rglob("*"))
        if path.is_file()
        for word in CANARIES
        if any(one in path.read_bytes() for one in spelled(word))
    ]


def canary_session(make_session: Make, **about: Any) -> dict[str, Any]:
    """A session with a word in every place that could leak one."""
    transcript = (
        f"WEBVTT\n\n{FILE}\n00:00:01.000 --> 00:00:05.000\n{NAMED}: How was the {SAID} {SAID}?\n\n"
        f"00:00:06.000 --> 00:00:09.000\nC: You never listen, {SAID}. This is not helping me.\n"
    )
    given = {"client": REFERENCE, "therapist": NAMED, "transcript": transcript}
    return {**make_session(**given), **about}


def failing(api: Any, make_session: Make, make_consent: Make) -> Iterator[httpx.Response]:
    """Answers to requests that are refused, each with the words somewhere in it."""
    whole = canary_session(make_session)
    about = {name: value for name, value in whole.items() if name != "transcript"}
    text = whole["transcript"]

    def post(**more: Any) -> httpx.Response:
        return api.client.post("/v1/sessions", **more)

    for broken in (
        {"transcript": f"{NAMED}: {SAID}"},
        {"transcript": text.replace("00:00:05.000", SAID)},
        {"transcript": {"segments": [{"text": SAID, "speaker": NAMED, "start": SAID}]}},
        {"transcript": f"<x>{SAID}</x>"},
        {"therapist": f"{NAMED} not there"},
        {"therapist": None},
        {"roles": {NAMED: SAID}},
        {"roles": {f"{NAMED} {SAID}": "therapist"}, "therapist": None},
        {"number": SAID},
        {SAID: NAMED},
        {"attendance": SAID},
        {"day": SAID},
        {"checkpoint": SAID},
        {"consent": {**make_consent(), "id": f"{SAID} {NAMED}"}},
        {"consent": {**make_consent(), SAID: SAID}},
        {"consent": {**make_consent(), "jurisdiction": SAID}},
        {"consent": {**make_consent(), "basis": f"{SAID} {NAMED}"}},
        {"consent": make_consent(id="con-no", scopes={"analyse": False, "human_review": False})},
    ):
        yield post(json={**whole, **broken})
        yield api.client.post("/v1/score", json={"transcript": text, **broken})
    yield post(content=json.dumps(whole)[:-20], headers={"content-type": JSON})
    yield post(content=text, headers={"content-type": SAID})
    yield post(content=text, headers={"content-type": "text/vtt", "rupture-session": SAID})
    bad = json.dumps({**about, SAID: SAID})
    yield post(content=text, headers={"content-type": "text/vtt", "rupture-session": bad})
    odd = {"file": (FILE, f"{SAID} {NAMED}".encode())}
    yield post(files=odd, data={"session": json.dumps(about)})
    yield post(files={"file": (FILE, text.encode())}, data={"session": f"{SAID}{{"})
    yield post(files={SAID: (FILE, text.encode())})
    yield post(content=zipped(**{SAID: b"x"})[:-9], headers={"content-type": SAID})
    yield api.client.get(f"/v1/sessions/{SAID}")
    yield api.client.get(f"/v1/sessions/{SAID}.{NAMED}")
    yield api.client.get(f"/v1/clients/{REFERENCE}-not/trajectory")
    yield api.client.get("/v1/sessions", params={"status": SAID, "after": f"{NAMED} {SAID}"})
    yield api.client.get(f"/v1/{SAID}/{NAMED}")
    yield api.client.put(f"/v1/models/{SAID}/card")
    yield api.client.post("/v1/webhooks", json={"url": f"http://{SAID}/", "events": [SAID]})
    yield api.client.post("/v1/keys", json={"name": NAMED, "scopes": [SAID]})
    yield api.as_(SAID, address="10.6.0.1").get("/v1/sessions")
    yield api.as_(address="10.6.0.2").post("/v1/sessions", json=whole)


def test_no_refusal_no_log_line_and_no_row_holds_what_was_said_or_who_it_is(
    api: Any, make_session: Make, make_consent: Make, log: io.StringIO
) -> None:
    bodies = list(failing(api, make_session, make_consent))
    assert len(bodies) > 45
    for answer in bodies:
        assert answer.status_code >= 400, answer.request.url
        assert answer.status_code < 500, answer.text
        for word in CANARIES:
            assert word not in answer.text, (answer.status_code, answer.json()["code"])
            assert word not in str(answer.headers)
    about = canary_session(make_session)
    parts = {"file": (FILE, about.pop("transcript").encode())}
    head = {"idempotency-key": REFERENCE}
    given = {"files": parts, "data": {"session": json.dumps(about)}, "headers": head}
    place = api.client.post("/v1/sessions", **given).headers["location"]
    batch = [canary_session(make_session, number=2)]
    assert api.client.post("/v1/sessions:batch", json=batch).status_code == 207
    worker = Worker(api.house)
    worker.start(warm=False)
    try:
        for _ in range(600):
            if api.client.get(place).json()["status"] == "done":
                break
            time.sleep(0.1)
    finally:
        worker.stop(grace_s=20)
    report = api.client.get(f"{place}/report").text
    assert SAID in report
    assert NAMED in report
    for view in ("segments", "moments", "report.html", "report.csv", "fhir"):
        assert api.client.get(f"{place}/{view}").status_code == 200
    assert api.client.get(f"/v1/clients/{REFERENCE}/trajectory").status_code == 200
    home = api.house.settings.home
    assert files_with_a_canary(home) == []
    told = log.getvalue()
    assert told.count("request") > 40
    for word in CANARIES:
        assert word not in told
    metrics = api.client.get("/metrics").text
    assert not any(word in metrics for word in CANARIES)


def test_the_search_for_canaries_finds_one(tmp_path: Path) -> None:
    for place, held in enumerate(spelled(SAID)):
        (tmp_path / str(place)).write_bytes(b"..." + held + b"...")
    assert len(files_with_a_canary(tmp_path)) == 6


def test_an_upload_shows_no_content_in_its_repr(make_session: Make) -> None:
    whole = canary_session(make_session)
    found = uploads.from_json(json.dumps(whole).encode())
    shown = f"{found!r} {uploads.usable(found)!r}"
    assert not any(word in shown for word in CANARIES)
