"""Where sessions come from: files, folders, globs, JSON lines, Parquet, ConvoKit; one by one.

A file that cannot be read gives one session with a problem, so that it stands in the side list.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from detector.corpus.errors import NothingToRead
from detector.corpus.inputs import Unread, columns_of
from detector.corpus.sessions import BadField, Problem, Session, session_of
from detector.formats import MAX_BYTES
from detector.targets import expand

JSONL = (".jsonl", ".ndjson")
PARQUET = ".parquet"
_SHOWN = 5
"""Lines of a JSONL file that are looked at to tell a corpus from the cues of one session: a first
line that is broken shall not hide the others. A judgement."""

_AT_ONCE = 16
"""Rows of a Parquet file that are taken into memory at once."""


@dataclass(slots=True)
class Walk:
    """The sessions of what was named, in a fixed order: as named, and by name in a folder.

    `n_bytes` is how much there is to read and `n_read` how much of it is read, for the progress.
    A file that is named twice is read once. `skip` are paths that are never read: the run's own.
    `unread` is what rows had beside. Iterating again starts anew.
    """

    names: tuple[str, ...]
    skip: frozenset[str] = frozenset()
    n_bytes: int = 0
    n_read: int = 0
    unread: Unread = field(default_factory=Unread)
    _ids: set[int] = field(default_factory=set, repr=False)

    def __iter__(self) -> Iterator[Session]:
        self.n_read = 0
        self._ids.clear()
        self.unread.by_file.clear()
        for path, stem in self._files():
            before, size = self.n_read, _size(path)
            for session, share in _sessions(path, stem, self.unread):
                self.n_read = before + int(share * size)
                yield self._once(session)
            self.n_read = before + size

    def _files(self) -> Iterator[tuple[Path, str]]:
        """Each file, and the session's id where the file is one session."""
        seen: set[str] = set()
        for name in self.names:
            for path in _within(Path(name)):
                place = os.path.realpath(path)
                if place not in seen and place not in self.skip:
                    seen.add(place)
                    is_in_folder = path != Path(name)
                    stem = path.relative_to(name) if is_in_folder else path
                    yield path, stem.with_suffix("").as_posix() if is_in_folder else path.as_posix()

    def _once(self, session: Session) -> Session:
        """The second session of one id is a problem: counted twice it would weigh double."""
        if session.problem is not None:
            return session
        found = hash(session.session_id)
        if found in self._ids:
            said = Problem("duplicate", "another session has the same session_id")
            return replace(session, data=b"", problem=said)
        self._ids.add(found)
        return session


def walk(names: Iterable[str], *, skip: Iterable[Path] = ()) -> Walk:
    """The sessions of files, folders and globs.

    Raises: NothingToRead: a glob that matches nothing, a name that is not there, an empty folder.
    """
    found: list[str] = []
    for name in names:
        matches = [one for one in expand([name]) if Path(one).exists()]
        if not matches:
            raise NothingToRead(name)
        found += matches
    own = frozenset(os.path.realpath(path) for path in skip)
    made = Walk(tuple(found), own)
    made.n_bytes = sum(_size(path) for path, _ in made._files())
    if not any(True for _ in made._files()):
        raise NothingToRead(", ".join(found))
    return made


def _size(path: Path) -> int:
    try:
        if path.is_dir():
            return (path / "utterances.jsonl").stat().st_size
        return path.stat().st_size
    except OSError:
        return 0


def _within(path: Path) -> Iterator[Path]:
    """The file itself, or a folder's files by name; a ConvoKit folder is one corpus."""
    if not path.is_dir():
        yield path
        return
    if (path / "utterances.jsonl").is_file():
        yield path
        return
    for entry in sorted(path.iterdir(), key=lambda one: one.name):
        if not entry.name.startswith(".") and not entry.name.endswith(".parts"):
            yield from _within(entry)


def _sessions(path: Path, stem: str, unread: Unread) -> Iterator[tuple[Session, float]]:
    """A file's sessions, each with the share of the file that is read by then."""
    source = path.as_posix()
    try:
        if path.is_dir():
            from detector.corpus.convokit import read_folder

            yield from read_folder(path)
        elif path.suffix.lower() == PARQUET:
            yield from _of_parquet(path, source, unread)
        elif path.suffix.lower() in JSONL and _is_corpus(path):
            yield from _of_jsonl(path, source, unread)
        else:
            yield _of_file(path, source, stem), 1.0
    except OSError as error:
        reason = error.strerror or "cannot be read"
        yield Session(source, problem=Problem("unreadable", reason)), 1.0


def _of_file(path: Path, source: str, stem: str) -> Session:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    # What is too large says so when it is read as a transcript.
    return Session(source, data=data, session_id=stem)


def _is_corpus(path: Path) -> bool:
    """Whether one of the first lines is a whole session; else the lines are one session's cues."""
    with path.open("rb") as file:
        for line in islice((line for line in file if line.strip()), _SHOWN):
            try:
                found = json.loads(line[:MAX_BYTES])
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict) and not found.keys().isdisjoint(("turns", "transcript")):
                return True
    return False


def _of_jsonl(path: Path, source: str, unread: Unread) -> Iterator[tuple[Session, float]]:
    size = path.stat().st_size or 1
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), start=1):
            if line.strip():
                yield _of_line(line, source, number, unread), file.tell() / size


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines, each cut where it is longer than any transcript; the rest of it is passed over."""
    while line := file.readline(MAX_BYTES + 1):
        yield line
        while len(line) > MAX_BYTES and not line.endswith(b"\n"):
            line = file.readline(MAX_BYTES + 1)


def _of_line(line: bytes, source: str, number: int, unread: Unread) -> Session:
    if len(line) > MAX_BYTES:
        return _bad(source, number, "too_large", f"a line of more than {MAX_BYTES:,} bytes")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return _bad(source, number, "not_json", "the line is not JSON")
    if not isinstance(found, dict):
        return _bad(source, number, "not_json", "the line is not a JSON object")
    unread.of_row(source, found)
    text = found.get("transcript")
    if text is not None and not isinstance(text, str):
        return _bad(source, number, "bad_field", "transcript must be a text")
    # A half surrogate pair is told by the reader, not here.
    data = line if text is None else text.encode("utf-8", "surrogatepass")
    return _made(found, source, number, data)


def _made(found: Mapping[str, Any], source: str, number: int, data: bytes) -> Session:
    try:
        return session_of(found, source, number, data)
    except BadField as error:
        return _bad(source, number, "bad_field", str(error))


def _bad(source: str, line: int | None, code: str, reason: str) -> Session:
    return Session(source, line, problem=Problem(code, reason))


def _of_parquet(path: Path, source: str, unread: Unread) -> Iterator[tuple[Session, float]]:
    """Rows of a Parquet corpus; a file that is none, or ends too early, gives one problem."""
    from pyarrow import ArrowException, ArrowInvalid
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            try:
                wanted = columns_of(file.schema_arrow)
            except BadField as error:
                yield _bad(source, None, "unknown_columns", str(error)), 1.0
                return
            unread.of_schema(source, file.schema_arrow)
            n_rows = file.metadata.num_rows or 1
            for batch in file.iter_batches(_AT_ONCE, columns=wanted):
                for found in batch.to_pylist():
                    number += 1
                    yield session_of_row(found, source, number), number / n_rows
    except (ArrowException, ArrowInvalid, OSError):
        # Its message may quote a value.
        reason = "no whole Parquet file: it was cut short, or is none"
        yield _bad(source, number + 1 if number else None, "unreadable", reason), 1.0


def session_of_row(found: Mapping[str, Any], source: str, number: int) -> Session:
    """The session of a row of a Parquet corpus; with a problem where it is none."""
    text, turns = found.get("transcript"), found.get("turns")
    if text is not None:
        data = text if isinstance(text, bytes) else str(text).encode()
    elif turns is not None:
        kept = [{k: v for k, v in turn.items() if v is not None} for turn in turns if turn]
        data = json.dumps({"turns": kept}, ensure_ascii=False).encode()
    else:
        return _bad(source, number, "bad_field", "the row has no transcript")
    return _made(found, source, number, data)
