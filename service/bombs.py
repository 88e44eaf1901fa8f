"""Small bodies that would grow large where they are parsed: JSON that nests, archives that lie."""

import io
import re
import struct
import zipfile
import zlib
from contextlib import suppress

from detector.formats.source import MAX_JSON_VALUES, MAX_UNZIPPED
from service.errors import Invalid, TooLarge

MAX_DEPTH = 64
"""Deepest JSON that is read; the deepest format we know nests ten levels."""
MAX_MEMBERS = 4096
"""Most files in a zip archive; a Word document with pictures has some dozens."""

_PIECE = 1024 * 1024
_JSON_MARKS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def check_json(body: bytes, *, max_depth: int = MAX_DEPTH, most: int = MAX_JSON_VALUES) -> None:
    """Refuses JSON that nests too deeply or holds too many values, before it is parsed.

    Malformed JSON is left to its parser. Takes time in proportion to the body's length.

    Raises: Invalid: `json_too_deep` or `json_too_many_values`.
    """
    n_opening = body.count(b"[") + body.count(b"{")
    if n_opening + body.count(b",") > most:
        raise Invalid("The JSON holds too many values.", code="json_too_many_values")
    depth = 0
    for match in _JSON_MARKS.finditer(body) if n_opening > max_depth else ():
        depth += (match[0] in (b"[", b"{")) - (match[0] in (b"]", b"}"))
        if depth > max_depth:
            raise Invalid(f"The JSON nests more than {max_depth} deep.", code="json_too_deep")


def check_archive(data: bytes, *, max_bytes: int = MAX_UNZIPPED) -> None:
    """Refuses a zip file (an office document) that unpacks to more than it says, or too much.

    What its directory states is compared with what unpacks, a piece at a time and nothing kept:
    374 bytes of bzip2 that claim to be 1 kB fill gigabytes where they are believed. What is no
    zip file is left alone.

    Raises: Invalid: `archive_unsound`: damaged, packed otherwise than office files are, or other
        sizes than stated. TooLarge.
    """
    if not data.startswith(b"PK\x03\x04"):
        return
    size, is_sound = 0, False
    # An error of zipfile quotes names of files: it must not be the context of ours.
    with suppress(zipfile.BadZipFile, zlib.error, struct.error, ValueError, OSError, RuntimeError):
        if data.count(b"PK\x01\x02") > MAX_MEMBERS:
            size = max_bytes + 1
        else:
            members = zipfile.ZipFile(io.BytesIO(data)).infolist()
            size = sum(member.file_size for member in members)
            is_sound = size > max_bytes or all(_is_as_stated(data, one) for one in members)
    if size > max_bytes:
        raise TooLarge("The file unpacks to too much.", code="archive_too_large")
    if not is_sound:
        raise Invalid("The zip or office file cannot be trusted.", code="archive_unsound")


def _is_as_stated(data: bytes, member: zipfile.ZipInfo) -> bool:
    lengths = struct.unpack_from("<HH", data, member.header_offset + 26)
    start = member.header_offset + 30 + sum(lengths)
    end = start + member.compress_size
    if member.compress_type != zipfile.ZIP_DEFLATED:
        return member.compress_type == zipfile.ZIP_STORED and end - start == member.file_size
    inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    for at in range(start, end, 65536):
        piece = data[at : min(at + 65536, end)]
        while piece and size <= member.file_size:
            size += len(inflate.decompress(piece, _PIECE))
            piece = inflate.unconsumed_tail
    return size + len(inflate.decompress(b"", _PIECE)) == member.file_size
