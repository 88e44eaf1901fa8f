"""What can be counted in a corpus, each figure with an interval or with the reason for none.

Intervals are of 95 %, percentiles over resamples of whole sessions (or of clients with all their
sessions, which is right where one client has several). Nothing is shown of fewer sessions than
MIN_SESSIONS, and nothing of a marker that fewer than MIN_CARRIERS carry. No figure is made for a
therapist, and none ranks anybody: a corpus has no column that names the therapist.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector.codebook import load_codebook
from detector.corpus.counts import KINDS, MEASURES, Corpus, Whole, read_corpus
from detector.corpus.errors import NotReports
from detector.corpus.rows import OUTCOMES
from detector.weights import Array

SCHEMA = "rupture-corpus-stats/1"

MIN_SESSIONS = 10
"""Sessions (or clients) from which a figure is made. Of fewer, a mean speaks of persons and not of
a corpus, and the interval by resampling is too narrow. A judgement."""

MIN_CARRIERS = 5
"""Sessions that must carry a marker, or take a strategy, before anything is said of it: a cell of
fewer can point at a person. A judgement, after the usual rule for small cells in health tables."""

MOST_NUMBERS = 24
"""Session numbers that are followed; later ones are too few in any corpus we know of."""

MOST_PAIRED = 12
"""Markers whose co-occurrence is shown: the rupture markers that most sessions carry."""

N_RESAMPLES = 1000

Figure = dict[str, Any]
"""`value`, `low`, `high`, or `not_estimable` with the reason."""

CAUTIONS = (
    "Every count is of what the detector found. Its labels come from a language model under our "
    "codebook, adjudicated, not from clinicians; it misses moments and finds some that are none.",
    "A higher rate is no worse therapy: strain that is seen can be mended, and sessions differ "
    "in length, clients and recording. No figure is of a therapist, and none may be made of it.",
    "Later session numbers hold only the clients who stayed: a line that falls may be people "
    "leaving.",
)


class Resampled:
    """Sums of columns over all units, and over each resample of them.

    Args:
        units: of each session, which unit it belongs to, 0..n_units-1.
        seed: of the resamples; the same for every set of columns, so that figures agree.
    """

    def __init__(self, units: Whole, n_resamples: int, seed: int) -> None:
        self._units, self._seed = units, seed
        self._n_resamples = n_resamples
        self.n_units = int(units.max()) + 1 if len(units) else 0

    def sums(self, columns: Array) -> Array:
        """Shape (1 + n_resamples, n_columns): the sums as they are, then those of the resamples.

        Args:
            columns: shape (n_sessions, n_columns).
        """
        whole = np.zeros((self.n_units, columns.shape[1]))
        np.add.at(whole, self._units, columns)
        draw = np.random.default_rng(self._seed)
        found = np.empty((1 + self._n_resamples, columns.shape[1]))
        found[0] = whole.sum(axis=0)
        for place in range(1, len(found)):
            taken = draw.integers(0, self.n_units, self.n_units)
            found[place] = np.bincount(taken, minlength=self.n_units) @ whole
        return found


def ratio(over: Array, under: Array) -> Figure:
    """A quotient of two sums, each of shape (1 + n_resamples,), with its interval."""
    values = np.divide(over, under, out=np.full_like(over, np.nan), where=under != 0)
    kept = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or len(kept) < 0.95 * (len(values) - 1):
        return _none("too few resamples hold any such session")
    low, high = np.percentile(kept, [2.5, 97.5])
    return {"value": _rounded(values[0]), "low": _rounded(low), "high": _rounded(high)}


def _rounded(value: float) -> float:
    """Eight digits: the rest hangs on the order in which a library sums."""
    return float(f"{value:.8g}")


def _none(reason: str) -> Figure:
    return {"not_estimable": reason}


def _too_few(n: int, what: str, least: int) -> Figure:
    return _none(f"{n} {what}, and {least} are needed")


def measure(
    path: Path, *, by: str = "session", seed: int = 0, n_resamples: int = N_RESAMPLES
) -> dict[str, Any]:
    """Everything that docs/corpus.md names, as plain values for JSON and for the page.

    Args:
        path: a file of reports.
        by: "session" or "client": what is resampled.
        seed: of the resamples.
        n_resamples: how many.

    Raises: NotReports: broken, scored by several checkpoints, or `by` client where a session
        names none.
    """
    corpus = read_corpus(path)
    units = _units(corpus, by, path)
    sampled = Resampled(units, n_resamples, seed)
    named = sorted(set(corpus.clients[corpus.clients >= 0].tolist()))
    is_timed = np.isfinite(corpus.hours)
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "how": {
            "reports": path.name,
            "by": by,
            "seed": seed,
            "n_resamples": n_resamples,
            "min_sessions": MIN_SESSIONS,
            "min_carriers": MIN_CARRIERS,
            "n_sessions": len(corpus),
            "n_units": sampled.n_units,
            "n_clients": len(named) or None,
            "n_timed": int(is_timed.sum()),
            "hours": float(np.nansum(corpus.hours)) if is_timed.any() else None,
            **dict(
                zip(("checkpoint", "checkpoint_sha256", "codebook"), corpus.reader, strict=True)
            ),
        },
        "cautions": list(CAUTIONS),
    }
    if sampled.n_units < MIN_SESSIONS:
        return record | {"not_estimable": _too_few(sampled.n_units, f"{by}s", MIN_SESSIONS)}
    return record | {
        "rates": list(_rates(corpus, sampled)),
        "together": _together(corpus, sampled),
        "transitions": _transitions(corpus, sampled),
        "trajectories": _trajectories(corpus, sampled),
    }


def _units(corpus: Corpus, by: str, path: Path) -> Whole:
    if by == "session":
        return np.arange(len(corpus), dtype=np.int64)
    if (corpus.clients < 0).any():
        n_without = int((corpus.clients < 0).sum())
        raise NotReports(str(path), f"{n_without} sessions name no client_id: count by session")
    return corpus.clients


def _rates(corpus: Corpus, sampled: Resampled) -> Iterator[dict[str, Any]]:
    """Moments by kind and outcome, and turns with each marker: per session and per hour."""
    kinds = load_codebook().markers
    names = [("moments", "all", "Moments of strain")]
    names += [("moments", kind, f"Moments: {kind}") for kind in KINDS]
    names += [("outcomes", outcome, f"Moments: {outcome}") for outcome in OUTCOMES]
    names += [(kinds[name].kind, name, kinds[name].title) for name in corpus.names]
    every = corpus.moments[:, : len(KINDS)].sum(axis=1, keepdims=True)
    counts = np.hstack([every, corpus.moments, corpus.markers]).astype(float)
    is_timed = np.isfinite(corpus.hours)
    totals = sampled.sums(np.hstack([counts, np.ones((len(corpus), 1))]))
    timed = sampled.sums(
        np.hstack([counts * is_timed[:, None], np.nan_to_num(corpus.hours)[:, None]])
    )
    for place, (group, name, title) in enumerate(names):
        n_with = int((counts[:, place] > 0).sum())
        n_timed = int((counts[is_timed, place] > 0).sum())
        yield {
            "group": group,
            "name": name,
            "title": title,
            "n_sessions": n_with,
            "per_session": _rate(totals, place, n_with),
            "per_hour": _too_few(int(is_timed.sum()), "sessions with a clock", MIN_SESSIONS)
            if is_timed.sum() < MIN_SESSIONS
            else _rate(timed, place, n_timed),
        }


def _rate(totals: Array, place: int, n_with: int) -> Figure:
    if n_with < MIN_CARRIERS:
        return _too_few(n_with, "sessions have one", MIN_CARRIERS)
    return ratio(totals[:, place], totals[:, -1])


def _together(corpus: Corpus, sampled: Resampled) -> dict[str, Any]:
    """How often two rupture markers stand in one session, over what chance would give.

    1: as often as if they did not know of each other. Long sessions carry more of everything,
    so that most pairs lie above 1.
    """
    wanted = load_codebook().of_kind("withdrawal", "confrontation")
    carried = corpus.markers > 0
    often = {name: int(carried[:, place].sum()) for place, name in enumerate(corpus.names)}
    shown = sorted((n for n in wanted if often[n] >= MIN_CARRIERS), key=lambda n: (-often[n], n))
    shown = shown[:MOST_PAIRED]
    alone = carried[:, [corpus.names.index(name) for name in shown]]
    pairs = list(itertools.combinations(range(len(shown)), 2))
    both = [alone[:, [one]] & alone[:, [other]] for one, other in pairs]
    columns = np.hstack([alone, *both, np.ones((len(corpus), 1), bool)]).astype(float)
    totals = sampled.sums(columns)
    return {
        "markers": shown,
        "pairs": [
            {
                "markers": [shown[one], shown[other]],
                "n_sessions": int(totals[0, len(shown) + place]),
                "ratio": _over_chance(totals, one, other, len(shown) + place),
            }
            for place, (one, other) in enumerate(pairs)
        ],
    }


def _over_chance(totals: Array, one: int, other: int, both: int) -> Figure:
    if totals[0, both] < MIN_CARRIERS:
        return _too_few(int(totals[0, both]), "sessions have both", MIN_CARRIERS)
    return ratio(totals[:, both] * totals[:, -1], totals[:, one] * totals[:, other])


def _transitions(corpus: Corpus, sampled: Resampled) -> dict[str, Any]:
    """From the kind of a moment over the first strategy that answers it to its outcome."""
    kind, strategy, outcome = corpus.flows[:, 1], corpus.flows[:, 2], corpus.flows[:, 3]
    n_strategies = len(corpus.strategies)
    columns = np.zeros((len(corpus), 2 * n_strategies))
    np.add.at(columns, (corpus.flows[:, 0], strategy), 1.0)
    is_repaired = outcome == OUTCOMES.index("repaired")
    mended = corpus.flows[is_repaired]
    np.add.at(columns, (mended[:, 0], n_strategies + mended[:, 2]), 1.0)
    totals = sampled.sums(columns)
    taking = [len(np.unique(corpus.flows[strategy == place, 0])) for place in range(n_strategies)]
    triples = np.unique(np.stack([kind, strategy, outcome], axis=1), axis=0, return_counts=True)
    flows = [
        _flow(corpus, (int(k), int(s), int(o)), int(n), taking[s])
        for (k, s, o), n in zip(*triples, strict=True)
    ]
    return {
        "n_moments": len(corpus.flows),
        "flows": flows,
        "repaired": [
            {
                "strategy": name,
                "n_moments": int(totals[0, place]),
                "n_sessions": taking[place],
                "share": _too_few(taking[place], "sessions took it", MIN_CARRIERS)
                if taking[place] < MIN_CARRIERS
                else ratio(totals[:, n_strategies + place], totals[:, place]),
            }
            for place, name in enumerate(corpus.strategies)
        ],
    }


def _flow(corpus: Corpus, place: tuple[int, int, int], n: int, n_taking: int) -> dict[str, Any]:
    kind, strategy, outcome = place
    known = {"kind": KINDS[kind], "strategy": corpus.strategies[strategy]}
    is_shown = n_taking >= MIN_CARRIERS
    return {**known, "outcome": OUTCOMES[outcome], "n_moments": n if is_shown else None}


def _trajectories(corpus: Corpus, sampled: Resampled) -> dict[str, Any]:
    """Means by session number, over all clients who had such a session."""
    if not (corpus.numbers > 0).any():
        return _none("no session says which of its client's it is (session_number)")
    numbers = range(1, min(int(corpus.numbers.max()), MOST_NUMBERS) + 1)
    return {name: _followed(corpus, sampled, name, numbers) for name in MEASURES}


def _followed(
    corpus: Corpus, sampled: Resampled, name: str, numbers: Sequence[int]
) -> list[dict[str, Any]]:
    values = corpus.measures[:, MEASURES.index(name)]
    is_there = np.isfinite(values)[:, None] & (corpus.numbers[:, None] == np.array(numbers))
    totals = sampled.sums(np.hstack([is_there * np.nan_to_num(values)[:, None], is_there]))
    return [
        {"number": number, "n_sessions": int(n), "mean": _mean(totals, place, int(n))}
        for place, number in enumerate(numbers)
        for n in [totals[0, len(numbers) + place]]
    ]


def _mean(totals: Array, place: int, n: int) -> Figure:
    if n < MIN_SESSIONS:
        return _too_few(n, "such sessions", MIN_SESSIONS)
    return ratio(totals[:, place], totals[:, totals.shape[1] // 2 + place])


def not_estimable(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every figure that could not be made, by its place in the record, with the reason."""

    def look(where: str, found: Any) -> Iterator[tuple[str, str]]:
        if isinstance(found, Mapping):
            if isinstance(found.get("not_estimable"), str):
                yield where, found["not_estimable"]
                return
            own = found.get("title") or found.get("strategy") or found.get("number")
            here = f"{where}: {own}" if own else where
            if "markers" in found and "ratio" in found:
                here = f"{where}: {' and '.join(found['markers'])}"
            for name, inner in found.items():
                yield from look(f"{here}, {name}" if here else str(name), inner)
        elif isinstance(found, list):
            for inner in found:
                yield from look(where, inner)

    parts = ("rates", "together", "transitions", "trajectories")
    yield from look("", {name: record[name] for name in parts if name in record})
