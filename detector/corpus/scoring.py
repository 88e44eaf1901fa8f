"""What a worker does with a chunk, in whatever process or machine it runs."""

import dataclasses
import functools
import io
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from detector import batch, pool
from detector.codebook import load_codebook
from detector.corpus import rows
from detector.corpus.errors import WorkerFailed
from detector.corpus.sessions import Chunk, Problem, Session
from detector.errors import (
    DetectorError,
    EmptyTranscript,
    MalformedTranscript,
    TranscriptTooLarge,
    UnknownFormat,
    UnknownRole,
)
from detector.formats import read_transcript
from detector.pipeline import RULES, code_version
from detector.weights import load_weights
from models import ModelError, list_checkpoints, load_checkpoint

CODES: Mapping[type[DetectorError], str] = {
    UnknownFormat: "unknown_format",
    MalformedTranscript: "malformed",
    TranscriptTooLarge: "too_large",
    EmptyTranscript: "empty",
    UnknownRole: "unknown_role",
}

KILLED = Problem("killed", batch.KILLED)


@dataclass(frozen=True, slots=True)
class Scored:
    """A chunk's outcome: a Parquet part in bytes, one row a session in the chunk's order."""

    part: bytes = dataclasses.field(repr=False)
    n_sessions: int
    n_turns: int
    n_problems: int
    upto: int


@dataclass(frozen=True, slots=True)
class Work:
    """How sessions of a corpus are scored. Called with a chunk, in any process.

    `request` is as for `rupture score`; `made_by` is `made_by` of the process that asks, which a
    worker of another version cannot match.
    """

    request: batch.Request
    keeps_text: bool = True
    made_by: str = ""

    def __call__(self, chunk: Chunk) -> Scored:
        """The chunk's part. Raises: WorkerFailed: this worker can score no session as asked."""
        if self.made_by != made_by(self.request, keeps_text=self.keeps_text):
            raise WorkerFailed(
                "a worker has another version of the code, the codebook or the checkpoint"
            )
        pairs = zip(chunk.sessions, chunk.keys, strict=True)
        return packed([self._row(session, key) for session, key in pairs], chunk.upto)

    def alone(self, chunk: Chunk) -> Scored:
        """The chunk's part where its process was killed: each session in a process of its own."""
        found = []
        for session, key in zip(chunk.sessions, chunk.keys, strict=True):
            try:
                found.append(pool.alone(self, Chunk((session,), (key,))).part)
            except BrokenProcessPool:
                found.append(packed([problem_row(session, key, KILLED)], 0).part)
        return joined(found, chunk.upto)

    def _row(self, session: Session, key: bytes) -> dict[str, Any]:
        if session.problem is not None:
            return problem_row(session, key, session.problem)
        try:
            report = batch.analyze(read_transcript(session.data), self._request_of(session))
            return rows.row_of(session, key, report, keeps_text=self.keeps_text)
        except ModelError as error:
            raise WorkerFailed(f"{error}; or --checkpoint rules") from None
        except DetectorError as error:
            return problem_row(session, key, problem_of(error))
        except MemoryError:
            said = "reading it takes more memory than there is"
            return problem_row(session, key, Problem("out_of_memory", said))

    def _request_of(self, session: Session) -> batch.Request:
        return dataclasses.replace(
            self.request,
            roles={**self.request.roles, **session.roles},
            therapist=session.therapist or self.request.therapist,
            attendance=session.attendance,
        )


def problem_of(error: DetectorError) -> Problem:
    """The error as the side list has it: without the speakers' names that a person is shown."""
    code = next((code for kind, code in CODES.items() if isinstance(error, kind)), "unusable")
    if isinstance(error, UnknownRole):
        return Problem(code, f"{error.reason}; {len(error.speakers)} speakers")
    line = error.line if isinstance(error, MalformedTranscript) else None
    return Problem(code, str(error), line)


def problem_row(session: Session, key: bytes, problem: Problem) -> dict[str, Any]:
    """The row of a session that could not be scored."""
    said = (problem.code, problem.reason, problem.line)
    return {**rows.named(session, key), **dict(zip(rows.PROBLEM, said, strict=True))}


def packed(found: Sequence[Mapping[str, Any]], upto: int) -> Scored:
    """Rows as the bytes of a part."""
    import pyarrow as pa

    return _packed(pa.Table.from_pylist(list(found), schema=rows.schema(part=True)), upto)


def joined(parts: Sequence[bytes], upto: int) -> Scored:
    """Several parts as one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return _packed(pa.concat_tables(pq.read_table(io.BytesIO(part)) for part in parts), upto)


def _packed(table: Any, upto: int) -> Scored:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return Scored(
        part=buffer.getvalue(),
        n_sessions=len(table),
        n_turns=pc.sum(table["n_turns"]).as_py() or 0,
        n_problems=len(table) - table["problem_code"].null_count,
        upto=upto,
    )


@functools.cache
def _scorer(checkpoint: str | None) -> tuple[str, str]:
    """Name and sha256 of what scores. Raises: ModelError."""
    is_named = checkpoint is not None or any(entry.is_current for entry in list_checkpoints())
    if checkpoint == RULES or not is_named:
        weights = load_weights()
        return weights.name, weights.sha256
    found = load_checkpoint(checkpoint)
    return found.name, found.sha256


def made_by(request: batch.Request, *, keeps_text: bool) -> str:
    """Everything beside a session that its row depends on. Raises: ModelError."""
    known = (rows.SCHEMA, code_version(), load_codebook().version, *_scorer(request.checkpoint))
    asked = (request.window_s, sorted(request.roles.items()), request.therapist, keeps_text)
    return "|".join(map(str, (*known, *asked)))
