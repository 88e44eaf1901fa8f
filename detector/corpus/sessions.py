"""One session on its way to be scored: its bytes, what is known of it, and its key."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from detector.report import ATTENDANCE
from detector.transcript import Role

MAX_SESSIONS = 16
"""Sessions in a chunk: what a killed run does again at most, for each process. A judgement."""

MAX_CHUNK_BYTES = 4_000_000
"""Size from which a chunk takes no more sessions, so that a few fit into any memory."""

ROLES = tuple(role.value for role in Role if role is not Role.UNKNOWN)

FIELDS = ("session_id", "client_id", "session_number", "attendance", "therapist", "roles")
"""What a row of a JSONL or Parquet corpus may say beside the transcript."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a session could not be scored.

    `code` is one of the codes in docs/corpus.md; `reason` a sentence without speech or names;
    `line` a line of the transcript's own, where it has lines.
    """

    code: str
    reason: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a corpus, unread.

    `source` is the file as it was named, `line` the line of a JSONL file or the row of a Parquet
    file, from 1, None where a file is one session. `data` is a transcript in any format that
    read_transcript knows. `problem` says that it is known already that it cannot be used.
    """

    source: str
    line: int | None = None
    data: bytes = field(default=b"", repr=False)
    session_id: str = field(default="", repr=False)
    client_id: str | None = field(default=None, repr=False)
    session_number: int | None = None
    attendance: str | None = None
    therapist: str | None = field(default=None, repr=False)
    roles: Mapping[str, str] = field(default_factory=dict, repr=False)
    problem: Problem | None = None

    def key(self, made_by: str) -> bytes:
        """16 bytes that are the same only for the same session, named alike, scored alike."""
        known = (
            made_by,
            self.source,
            self.line,
            self.session_id,
            self.client_id,
            self.session_number,
            self.attendance,
            self.therapist,
            sorted(self.roles.items()),
            self.problem and self.problem.code,
        )
        digest = hashlib.sha256(json.dumps(known).encode())
        digest.update(self.data)
        return digest.digest()[:16]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sessions that one worker scores in one go, with their keys.

    `upto` is how many bytes of the input are read where it ends: for the progress.
    """

    sessions: tuple[Session, ...]
    keys: tuple[bytes, ...]
    upto: int = 0


class BadField(ValueError):
    """A field that a row may not carry like this. The message names it and not its value."""


def session_of(found: Mapping[str, Any], source: str, line: int, data: bytes) -> Session:
    """A session with what its row says of it. Raises: BadField."""
    return Session(
        source=source,
        line=line,
        data=data,
        session_id=_text(found, "session_id") or f"{source}:{line}",
        client_id=_text(found, "client_id"),
        session_number=_number(found.get("session_number")),
        attendance=_one_of(found.get("attendance"), "attendance", ATTENDANCE),
        therapist=_text(found, "therapist"),
        roles=_roles(found.get("roles")),
    )


def _text(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadField(f"{name} must be a text or a whole number")


def _number(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise BadField("session_number must be a whole number from 1")


def _one_of(value: Any, name: str, known: tuple[str, ...]) -> str | None:
    if value is None or value in known:
        return None if value is None else str(value)
    raise BadField(f"{name} must be one of {', '.join(known)}")


def _roles(value: Any) -> dict[str, str]:
    """Labels with roles; Parquet gives a map as pairs, and a struct with all labels of all rows."""
    if value is None:
        return {}
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        roles = {str(label): role for label, role in pairs if role is not None}
    except (TypeError, ValueError):
        raise BadField("roles must map a speaker's label to a role") from None
    if any(role not in ROLES for role in roles.values()):
        raise BadField(f"roles must be one of {', '.join(ROLES)}")
    return roles


def chunks(
    sessions: Iterable[tuple[Session, bytes, int]], most: int = MAX_SESSIONS
) -> Iterator[Chunk]:
    """Sessions with their keys and how far the input is read, gathered up to a chunk's size."""
    held: list[tuple[Session, bytes]] = []
    size = upto = 0
    for session, key, upto in sessions:
        held.append((session, key))
        size += len(session.data)
        if len(held) >= most or size >= MAX_CHUNK_BYTES:
            yield _chunk(held, upto)
            held, size = [], 0
    if held:
        yield _chunk(held, upto)


def _chunk(held: list[tuple[Session, bytes]], upto: int) -> Chunk:
    return Chunk(tuple(one for one, _ in held), tuple(key for _, key in held), upto)
