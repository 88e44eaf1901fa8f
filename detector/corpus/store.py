"""What is scored already: parts on the disk, written whole or not at all, and their joining.

Beside `reports.parquet` stands the folder `reports.parquet.parts` while a run goes on. A session
is known by its key (of its bytes, its name and what scored it), so that a run that was killed
goes on where it was, and a run over a corpus in which a file was changed scores that file alone.
"""

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from detector.corpus.errors import NotReports, OutputFull, OutputInUse
from detector.corpus.rows import PROBLEM, SCHEMA, SCHEMA_KEY, schema

KEY_BYTES = 16
GROUP_ROWS = 128
"""Rows of the result that are held at once when it is written: some 10 to 50 MB. A judgement."""

_ROW_BITS = 24


def problems_path(out: Path) -> Path:
    """The side list beside a file of reports."""
    return out.with_name(f"{out.stem}.problems.jsonl")


def own_paths(out: Path) -> tuple[Path, ...]:
    """What a run writes, so that it is never taken for input."""
    return out, _parts_of(out), problems_path(out), _lock_of(out)


def _parts_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.parts")


def _lock_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.lock")


@contextmanager
def opened(out: Path) -> Iterator["Store"]:
    """The store of an output, held by this run alone.

    Raises: OutputInUse; OutputFull: its folder cannot be written; NotReports: `out` is another
        file, which is not overwritten.
    """
    from filelock import FileLock, Timeout

    with _told(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_of(out), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise OutputInUse(str(out)) from None
    try:
        store = Store(out)
        with _told(out):
            store.read()
        yield store
    finally:
        lock.release()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """A disk that takes no more, or a folder that takes nothing, in one sentence."""
    try:
        yield
    except OSError as error:
        raise OutputFull(str(path), error.strerror or "cannot be written") from None


@dataclass(slots=True)
class Store:
    """Rows on the disk, and where each session's is: some 150 bytes of memory a session."""

    out: Path
    files: list[Path] = field(default_factory=list)
    places: dict[bytes, int] = field(default_factory=dict, repr=False)

    def read(self) -> None:
        """Takes up what an earlier run left. Raises: NotReports: `out` is another file."""
        _group.cache_clear()
        _lengths.cache_clear()
        folder = _parts_of(self.out)
        folder.mkdir(exist_ok=True)
        for left in folder.glob(".*.tmp"):
            left.unlink()
        if self.out.exists():
            self._take_up(self.out)
        for path in sorted(folder.glob("[!.]*.parquet")):
            try:
                self._take_up(path)
            except NotReports:
                path.unlink()  # a disk's fault: what stood in it is scored again

    def _take_up(self, path: Path) -> None:
        with reports_file(path) as file:
            keys = file.read(["key"])["key"].to_pylist()
        self._place(path, keys)

    def _place(self, path: Path, keys: Iterable[bytes]) -> None:
        first = len(self.files) << _ROW_BITS
        self.files.append(path)
        self.places.update((key, first + row) for row, key in enumerate(keys))

    def __contains__(self, key: bytes) -> bool:
        return key in self.places

    def add(self, part: bytes, keys: tuple[bytes, ...]) -> None:
        """Keeps a part, named by its content. Raises: OutputFull: nothing of it is left then."""
        path = _parts_of(self.out) / f"{hashlib.sha256(part).hexdigest()[:32]}.parquet"
        with written(path) as file:
            file.write(part)
        self._place(path, keys)

    def join(self, order: bytes, beside: Iterable[Mapping[str, Any]] = ()) -> int:
        """Writes the result and the side list in the order of the keys; returns its sessions.

        The bytes depend on the rows and their order alone, not on how they came to be parts.

        Args:
            order: keys of the input's sessions, one after the other.
            beside: further lines of the side list, which stand at its end.

        Raises: OutputFull: the result before, if there was one, stays, and so do the parts.
        """
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        n_rows = 0
        with (
            written(self.out) as file,
            written(problems_path(self.out)) as side,
            ParquetWriter(file, schema(), compression="zstd") as writer,
        ):
            for table in self._groups(order, side):
                writer.write_table(pa.table(table.columns, schema=schema()), GROUP_ROWS)
                n_rows += len(table)
            for said in beside:
                _note(side, said)
        with _told(self.out):
            shutil.rmtree(_parts_of(self.out))
        return n_rows

    def _groups(self, order: bytes, side: IO[bytes]) -> Iterator[Any]:
        """The good rows, GROUP_ROWS at a time; the others go to the side list on the way."""
        import pyarrow as pa

        held: list[Any] = []
        n_held = 0
        for table in self._slices(order):
            good = _without_problems(table, side)
            while len(good) + n_held >= GROUP_ROWS:
                need = GROUP_ROWS - n_held
                yield pa.concat_tables([*held, good.slice(0, need)]).combine_chunks()
                good, held, n_held = good.slice(need), [], 0
            if len(good):
                held.append(good)
                n_held += len(good)
        if n_held:
            yield pa.concat_tables(held).combine_chunks()

    def _slices(self, order: bytes) -> Iterator[Any]:
        """Rows in this order, those that follow each other on the disk together."""
        first = last = -1
        for start in range(0, len(order), KEY_BYTES):
            place = self.places[order[start : start + KEY_BYTES]]
            if place == last and (place >> _ROW_BITS) == (first >> _ROW_BITS):
                last += 1
                continue
            if first >= 0:
                yield from self._between(first, last)
            first, last = place, place + 1
        if first >= 0:
            yield from self._between(first, last)

    def _between(self, first: int, last: int) -> Iterator[Any]:
        """The rows of one file, group by group."""
        mask = (1 << _ROW_BITS) - 1
        path = self.files[first >> _ROW_BITS]
        row, end = first & mask, (last - 1 & mask) + 1
        start = 0
        for group, length in enumerate(_lengths(path)):
            low, high = max(row, start), min(end, start + length)
            if low < high:
                yield _group(path, group).slice(low - start, high - low)
            start += length


@functools.lru_cache(maxsize=4)
def _group(path: Path, group: int) -> Any:
    """A row group with all columns of a part."""
    import pyarrow as pa

    with reports_file(path) as file:
        table = file.read_row_group(group)
    for name in PROBLEM:
        if name not in table.schema.names:
            kind = schema(part=True).field(name).type
            table = table.append_column(name, pa.nulls(len(table), kind))
    return table


@functools.lru_cache(maxsize=4)
def _lengths(path: Path) -> tuple[int, ...]:
    with reports_file(path) as file:
        whole = file.metadata
        return tuple(whole.row_group(n).num_rows for n in range(whole.num_row_groups))


def _without_problems(table: Any, side: IO[bytes]) -> Any:
    import pyarrow.compute as pc

    good = pc.is_null(table["problem_code"])
    for row in table.filter(pc.invert(good)).select(["source", "line", *PROBLEM]).to_pylist():
        line = row["line"] if row["line"] is not None else row["problem_line"]
        said = {
            "path": row["source"],
            "line": line,
            "code": row["problem_code"],
            "reason": row["problem_reason"],
        }
        _note(side, said)
    return table.filter(good).drop_columns(list(PROBLEM))


def _note(side: IO[bytes], said: Mapping[str, Any]) -> None:
    side.write(json.dumps(said, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


@contextmanager
def reports_file(path: Path) -> Iterator[Any]:
    """A pyarrow ParquetFile of reports. Raises: NotReports: cut short, or something else."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(path)
    except FileNotFoundError:
        raise NotReports(str(path), "no such file") from None
    except (ArrowException, OSError):
        reason = "no whole Parquet file: it was cut short, or is none"
        raise NotReports(str(path), reason) from None
    with file:
        found = (file.schema_arrow.metadata or {}).get(SCHEMA_KEY.encode(), b"").decode()
        if found != SCHEMA:
            said = f"is {found}, not {SCHEMA}" if found else "holds no reports"
            raise NotReports(str(path), said)
        try:
            yield file
        except (ArrowException, OSError):
            raise NotReports(str(path), "its pages are broken: score the corpus anew") from None


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its place when it is whole. Raises: OutputFull."""
    waiting = path.with_name(f".{path.name}.tmp")
    try:
        with _told(path):
            with waiting.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(waiting, path)
    finally:
        waiting.unlink(missing_ok=True)
