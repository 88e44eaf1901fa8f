"""JSON that nests too deeply and archives that lie are refused before anything is unpacked."""

import io
import json
import random
import struct
import time
import tracemalloc
import zipfile
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.bombs import MAX_DEPTH, MAX_MEMBERS, check_archive, check_json
from service.errors import Invalid, ServiceError, TooLarge

CANARY = "zyxcanary"
KIB = 1024


def test_json_up_to_the_depth_passes_and_one_deeper_is_refused() -> None:
    check_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(Invalid) as caught:
        check_json(b'{"a":' * MAX_DEPTH + b"[]" + b"}" * MAX_DEPTH)
    assert caught.value.code == "json_too_deep"


def test_brackets_that_are_said_or_beside_each_other_are_not_depth() -> None:
    said = json.dumps({"text": '[[[{{{ \\" [[' * 50, "more": [[], {}] * 100})
    check_json(said.encode(), max_depth=3)


def test_json_of_too_many_values_is_refused() -> None:
    check_json(b"[1,1,1]", most=3)
    with pytest.raises(Invalid) as caught:
        check_json(b"[1,1,1,1]", most=3)
    assert caught.value.code == "json_too_many_values"


@pytest.mark.parametrize("unit", [b'"\\"', b'"', b"\\", b"[", b'"[\\'])
def test_damaged_json_takes_no_longer_than_its_length_allows(unit: bytes) -> None:
    began = time.process_time()
    with suppress(Invalid):
        check_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + unit * 300_000)
    assert time.process_time() - began < 2


json_values = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def depth(value: Any) -> int:
    """How deep a value nests; 0 for what is no list and no object."""
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, list | dict) else 0


@given(json_values, st.integers(0, 6), st.booleans())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_depth_is_that_of_the_parsed_value(value: Any, most: int, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    try:
        check_json(body, max_depth=most)
    except Invalid:
        assert depth(value) > most
    else:
        assert depth(value) <= most


def packed(*members: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    """A zip file of these contents."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for place, content in enumerate(members):
            archive.writestr(f"{CANARY}{place}.xml", content)
    return bytearray(written.getvalue())


def lying(archive: bytearray, size: int) -> bytes:
    """The zip file with another unpacked size stated for its first member."""
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<I", archive, archive.find(signature) + offset, size)
    return bytes(archive)


@given(st.lists(st.binary(max_size=300), max_size=4), st.booleans())
def test_an_honest_archive_passes(members: list[bytes], is_stored: bool) -> None:
    method = zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED
    check_archive(bytes(packed(*members, method=method)))


@pytest.mark.parametrize("size", [1024 * KIB - 1, 1024 * KIB, 1024 * KIB + 1, 3 * 1024 * KIB])
@pytest.mark.parametrize("kind", ["zeros", "noise", "words"])
def test_an_honest_archive_passes_at_the_edges_of_pieces(kind: str, size: int) -> None:
    content = {
        "zeros": bytes(size),
        "noise": random.Random(1).randbytes(size),
        "words": (b"some words to say " * (size // 18 + 1))[:size],
    }[kind]
    check_archive(bytes(packed(content)))


def test_what_is_no_archive_is_left_alone() -> None:
    check_archive(b"")
    check_archive(b"T: How are you?\n")


def test_an_archive_that_says_it_unpacks_to_too_much_is_refused() -> None:
    with pytest.raises(TooLarge) as caught:
        check_archive(bytes(packed(bytes(600), bytes(600))), max_bytes=1000)
    assert caught.value.code == "archive_too_large"


def test_an_archive_of_too_many_files_is_refused() -> None:
    with pytest.raises(TooLarge):
        check_archive(b"PK\x03\x04" + b"PK\x01\x02" * (MAX_MEMBERS + 1))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_lies_about_its_sizes_is_refused_without_unpacking_it(method: int) -> None:
    bomb = lying(packed(bytes(16 * 1024 * KIB), method=method), 1000)
    tracemalloc.start()
    try:
        with pytest.raises(Invalid) as caught:
            check_archive(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == "archive_unsound"
    assert peak < 4 * 1024 * KIB


@given(st.data())
def test_a_damaged_archive_is_refused_or_passes_and_names_no_file(data: st.DataObject) -> None:
    archive = packed(CANARY.encode() * 20, b"more")
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(4, len(archive) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(4, len(archive)))
    said: object = None
    try:
        check_archive(bytes(archive[:cut]))
    except ServiceError as error:
        said = (error, error.detail, error.__cause__, error.__context__)
    assert CANARY not in repr(said)
