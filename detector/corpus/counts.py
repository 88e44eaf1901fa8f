"""The figures of a corpus as arrays: one row a session, a few dozen numbers each, no text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.codebook import PILLARS, load_codebook
from detector.corpus.errors import NotReports
from detector.corpus.rows import OUTCOMES
from detector.corpus.store import reports_file
from detector.report import RATINGS
from detector.weights import Array

Whole = npt.NDArray[np.int64]

KINDS = ("withdrawal", "confrontation", "mixed")
"""Of moments."""

MEASURES = (*RATINGS, *(f"{pillar}_strain" for pillar in PILLARS), "n_moments")
"""What is followed by session number."""

MARKER_KINDS = (
    "withdrawal",
    "confrontation",
    "resolution",
    "repair",
    "contribution",
    "strength",
)
"""Kinds of marker that are counted; what a turn is (a question, advice) is none of them."""

NO_STRATEGY = "none named"
"""Stands for the answer to a moment where no strategy of the codebook was found."""

_READ = (
    *("client_id", "session_number", "duration_s", "markers", "moments", *MEASURES),
    *("checkpoint", "checkpoint_sha256", "codebook"),
)

_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Corpus:
    """Arrays over sessions, in the order of the file.

    `clients` numbers the clients from 0, -1 where a session names none; `numbers` are session
    numbers, 0 where none is known; `hours` NaN where the clock does not tell. `moments` has
    columns KINDS then OUTCOMES; `markers` the turns that carry each marker of `names`; `measures`
    columns MEASURES, NaN where a report gives none. `flows` are moments: session, kind, first
    strategy (of `strategies`) and outcome as numbers. `reader` says what scored them all.
    """

    names: tuple[str, ...]
    strategies: tuple[str, ...]
    clients: Whole
    numbers: Whole
    hours: Array
    moments: Whole
    markers: Whole
    measures: Array
    flows: Whole
    reader: tuple[str, str, str]

    def __len__(self) -> int:
        return len(self.hours)


def read_corpus(path: Path) -> Corpus:
    """The figures of a file of reports. Raises: NotReports: broken, or by several checkpoints."""
    codebook = load_codebook()
    strategies = (*codebook.of_kind("resolution", "repair"), NO_STRATEGY)
    made = _Gathered(codebook.of_kind(*MARKER_KINDS), strategies)
    with reports_file(path) as file:
        for batch in file.iter_batches(_AT_ONCE, columns=list(_READ)):
            made.take(batch.to_pylist())
    if len(made.readers) > 1:
        said = f"{len(made.readers)} checkpoints or codebooks scored it: counts would mix them"
        raise NotReports(str(path), said)
    return made.corpus()


class _Gathered:
    """Rows as they come, in arrays as soon as a batch is whole."""

    def __init__(self, names: tuple[str, ...], strategies: tuple[str, ...]) -> None:
        self.names, self.strategies = names, strategies
        self.readers: set[tuple[str, str, str]] = set()
        self._clients: dict[str, int] = {}
        self._parts: list[dict[str, Any]] = []
        self._n_sessions = 0

    def take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """One batch of rows."""
        flows = [flow for n, row in enumerate(rows) for flow in self._flows(row, n)]
        for row in rows:
            self.readers.add((row["checkpoint"], row["checkpoint_sha256"], row["codebook"]))
        clients = [self._client(row["client_id"]) for row in rows]
        moments = [_moments(row["moments"]) for row in rows]
        markers = [_tally(row["markers"], self.names) for row in rows]
        measures = [[_value(row[name]) for name in MEASURES] for row in rows]
        self._parts.append(
            {
                "clients": np.array(clients, dtype=np.int64),
                "numbers": np.array([row["session_number"] or 0 for row in rows], dtype=np.int64),
                "hours": np.array([_value(row["duration_s"]) / 3600 for row in rows]),
                "moments": _table(moments, len(KINDS) + len(OUTCOMES)),
                "markers": _table(markers, len(self.names)),
                "measures": np.array(measures, dtype=float).reshape(-1, len(MEASURES)),
                "flows": _table(flows, 4),
            }
        )
        self._n_sessions += len(rows)

    def _client(self, name: str | None) -> int:
        return -1 if name is None else self._clients.setdefault(name, len(self._clients))

    def _flows(self, row: Mapping[str, Any], place: int) -> Iterable[tuple[int, int, int, int]]:
        for moment in row["moments"]:
            first = next((s for s in moment["strategies"] if s in self.strategies), NO_STRATEGY)
            yield (
                self._n_sessions + place,
                KINDS.index(moment["kind"]),
                self.strategies.index(first),
                OUTCOMES.index(moment["resolution"]),
            )

    def corpus(self) -> Corpus:
        """All that was taken."""
        if not self._parts:
            self.take([])
        columns: dict[str, Any] = {
            name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]
        }
        reader = next(iter(self.readers), ("", "", ""))
        return Corpus(self.names, self.strategies, **columns, reader=reader)


def _table(rows: Sequence[Sequence[int]], n_columns: int) -> Whole:
    return np.array(rows, dtype=np.int64).reshape(-1, n_columns)


def _value(found: float | None) -> float:
    return np.nan if found is None else float(found)


def _moments(found: Sequence[Mapping[str, Any]]) -> list[int]:
    kinds = [sum(one["kind"] == kind for one in found) for kind in KINDS]
    return kinds + [sum(one["resolution"] == outcome for one in found) for outcome in OUTCOMES]


def _tally(found: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[int]:
    counted = {one["marker"]: one["n_turns"] for one in found}
    return [counted.get(name, 0) for name in names]
