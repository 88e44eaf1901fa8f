"""The detector as a function over rows of sessions: `datasets.Dataset.map(SessionMap())`.

    from datasets import load_dataset
    from detector.mapping import SessionMap

    rows = load_dataset("json", data_files="sessions.jsonl", split="train")
    scored = rows.map(SessionMap(), num_proc=2)

A SessionMap holds names alone, so it travels to other processes; each of them loads the rules and
the network once, at its first session. Nothing of `datasets` is imported here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detector import batch
from detector.corpus import rows
from detector.corpus.scoring import problem_of
from detector.corpus.sessions import Session
from detector.corpus.sources import session_of_row
from detector.errors import DetectorError
from detector.formats import read_transcript
from detector.report import LABELS

PREFIX = "rupture_"
"""Stands before every new column, so that none of yours is overwritten."""

COLUMNS = tuple(PREFIX + name for name in (*rows.FIGURES, "scores", "problem"))
"""What is added to a row."""


@dataclass(frozen=True, slots=True)
class SessionMap:
    """Callable with one row, and with a batch of rows as `SessionMap.batch`.

    A row is as in a Parquet corpus (docs/corpus.md): `turns` or `transcript`, and what is known
    of the session. The answer has the report's flat figures, `rupture_markers` and
    `rupture_moments` as lists, `rupture_scores` by turn, and `rupture_problem`: the code of the
    side list where the session cannot be scored, and all else is None then.

    Args:
        checkpoint: as for Detector.load.
        threads: that one process's network may use; 1 where several processes run.
        window_s: seconds of a segment.

    Raises, when called: ModelError: the checkpoint cannot be used.
    """

    checkpoint: str | None = None
    threads: int | None = 1
    window_s: float = 300.0

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The new columns of one row."""
        session = session_of_row(row, "row", 1)
        problem = session.problem
        if problem is None:
            try:
                return self._scored(session)
            except DetectorError as error:
                problem = problem_of(error)
        return {**dict.fromkeys(COLUMNS), PREFIX + "problem": problem.code}

    def batch(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """The new columns of several rows: for `Dataset.map(….batch, batched=True)`."""
        names = list(batch)
        found = [
            self(dict(zip(names, row, strict=True))) for row in zip(*batch.values(), strict=True)
        ]
        return {name: [one[name] for one in found] for name in COLUMNS}

    def features(self, before: Any) -> Any:
        """The dataset's Features with the new columns.

        Without them a first batch of nothing but problems would leave the columns without a type.

        Args:
            before: `dataset.features`.
        """
        import pyarrow as pa

        ours = {PREFIX + name: rows.schema().field(name).type for name in rows.FIGURES}
        ours[PREFIX + "scores"] = pa.list_(pa.struct({label: pa.float64() for label in LABELS}))
        ours[PREFIX + "problem"] = pa.string()
        # By its own class: the detector does not import `datasets`.
        kind = type(before)
        return kind({**before, **kind.from_arrow_schema(pa.schema(ours))})

    def _scored(self, session: Session) -> dict[str, Any]:
        request = batch.Request(
            checkpoint=self.checkpoint, threads=self.threads, window_s=self.window_s
        )
        request = dataclasses.replace(
            request, roles=session.roles, therapist=session.therapist, attendance=session.attendance
        )
        report = batch.analyze(read_transcript(session.data), request)
        found = {PREFIX + name: value for name, value in rows.figures(report).items()}
        scores = [{label: turn.scores[label] for label in LABELS} for turn in report.turns]
        return {**found, PREFIX + "scores": scores, PREFIX + "problem": None}
