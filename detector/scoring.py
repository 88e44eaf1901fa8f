"""Where rules, timing and network meet: two logistic steps whose every weight can be read.

First each turn is scored from its own row of rule and timing features. Then the scores of the
turns around it and of the whole session correct it: strain comes in stretches, and a therapist's
pressure goes before a client's push-back. Where there is a network, the second step hears it too.
Both steps are fitted on labelled sessions, by `rupture fit` without a network and by `rupture
fuse` with one, and stand in `weights/rules.toml` or the checkpoint's `scoring.toml` with their
source. The labels come from a language model under our
codebook, adjudicated, not from clinicians.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from detector.codebook import Codebook
from detector.errors import CodebookError
from detector.features import ReadSession
from detector.findings import find_markers
from detector.network import NetworkReading
from detector.report import CLIENT_LABELS, THERAPIST_LABELS, Evidence, MarkerFinding
from detector.transcript import Role
from detector.weights import NETWORK, Array, LinearModel, Weights

FITTED = ("withdrawal", "confrontation", "resolution", "contribution")
"""The labels that have weights; `rupture` follows from the first two."""

ROLE_OF = {
    **dict.fromkeys(CLIENT_LABELS, Role.CLIENT),
    **dict.fromkeys(THERAPIST_LABELS, Role.THERAPIST),
}

HALF_LIFE_TURNS = 2.0
"""Turns after which a neighbour's score counts half: one exchange, a judgement. Compared on
AnnoMI train, 1.5 and 10 turns gave the same for ruptures, and 1.5 more for resolution."""

LEAST_RATED = 10
"""Scored turns of a speaker below which a session has no rating of what that speaker shows: one
short answer would decide it. A judgement; 19 of AnnoMI's 103 sessions are that short, and rated
all the same by our labels."""

LEAST_RATED_OF_SEGMENT = 3
"""The same for a segment of five minutes, in which few turns may be much talk. A judgement."""

_MOST_EVIDENCE = 4
_LEAST_PULL = 0.25
"""Log-odds below which a feature is not worth showing as evidence."""


@dataclass(frozen=True)
class ScoredSession:
    """Probabilities of every turn, and why.

    `scores` has shape (n_turns,) by label, 0..1; 0 where the label is not the speaker's.
    `abstained` gives the reason by turn index. `ratings` are 1..5 by label.
    """

    read: ReadSession = field(repr=False)
    scores: Mapping[str, Array] = field(repr=False)
    abstained: Mapping[int, str] = field(repr=False)
    findings: tuple[tuple[MarkerFinding, ...], ...] = field(repr=False)
    weights: Weights = field(repr=False)
    codebook: Codebook = field(repr=False)
    network: NetworkReading | None = field(default=None, repr=False)

    def evidence(self, index: int) -> tuple[Evidence, ...]:
        """The features that pulled this turn's labels up most, strongest first."""
        turn = self.read.turns[index]
        labels = [label for label in FITTED if ROLE_OF[label] is turn.role]
        found = [evidence for label in labels for evidence in self._pulled(label, index)]
        return tuple(sorted(found, key=lambda one: (-one.contribution, one.label, one.feature)))

    def _pulled(self, label: str, index: int) -> Iterator[Evidence]:
        """The strongest reasons; what is one thing to a reader (a marker, the words) is one.

        A feature's pull counts as much as the second step trusts the first one's log-odds.
        """
        model, row = self.weights.own[label], self.read.features[index]
        reasons, reason_of = _reasons(model.names)
        trusted = self.weights.context[label].weight_of("own") * model.pulls([row])[0]
        totals = np.bincount(reason_of, weights=trusted, minlength=len(reasons))
        order = sorted(
            np.flatnonzero(totals >= _LEAST_PULL), key=lambda i: (-totals[i], reasons[i])
        )
        for place in order[:_MOST_EVIDENCE]:
            named = (row.get(model.names[i], 0.0) for i in np.flatnonzero(reason_of == place))
            yield Evidence(label, reasons[place], float(max(named)), float(totals[place]))
        if self.network is not None:
            heard = float(self.network.labels[label][index])
            pull = self.weights.context[label].pull_of(NETWORK, heard)
            if pull >= _LEAST_PULL:
                yield Evidence(label, f"{NETWORK}.{label}", heard, pull)

    def is_heard(self, label: str, indexes: Iterable[int]) -> bool:
        """Whether one of these turns is a scored one of the speaker who could show the label."""
        turns = self.read.turns
        return any(
            turns[index].role is ROLE_OF[label] and index not in self.abstained for index in indexes
        )

    def rating(self, label: str, indexes: Sequence[int] | None = None) -> float | None:
        """The 3RS-style 1..5 for these turns, or for the session.

        None where too little is scored of those who could show the label: fewer than
        `LEAST_RATED` turns of the session, or `LEAST_RATED_OF_SEGMENT` of these. Resolution is
        shown by two: by the therapist who mends, and by the client who comes back.
        """
        chosen = range(len(self.read.turns)) if indexes is None else indexes
        kept = [index for index in chosen if index not in self.abstained]
        least = LEAST_RATED if indexes is None else LEAST_RATED_OF_SEGMENT
        shown_by = {ROLE_OF[label], Role.CLIENT} if label == "resolution" else {ROLE_OF[label]}
        said = Counter(self.read.turns[index].role for index in kept)
        if any(said[role] < least for role in shown_by):
            return None
        row = summary_row({name: values[kept] for name, values in self.scores.items()})
        model = self.weights.ratings[label]
        if indexes is None and self.network is not None and self.weights.session_ratings:
            # The network rates whole sessions only; a segment keeps to its turns' scores.
            row |= rating_row(self.network.ratings)
            model = self.weights.session_ratings[label]
        return float(np.clip(model.value([row])[0], 1.0, 5.0))


@functools.cache
def _reasons(names: tuple[str, ...]) -> tuple[tuple[str, ...], npt.NDArray[np.intp]]:
    """The reasons that a model's features are grouped into, and each feature's place in them."""
    reasons = tuple(sorted({_reason(name) for name in names}))
    place = {reason: number for number, reason in enumerate(reasons)}
    return reasons, np.array([place[_reason(name)] for name in names], dtype=np.intp)


def _reason(feature: str) -> str:
    """What a feature is to a reader: a pattern its marker, any word the choice of words."""
    where, _, what = feature.partition(".")
    if where == "pattern":
        return f"hit.{what.partition('.')[0]}"
    return "said.words" if where == "word" else feature


def score_session(
    read: ReadSession,
    weights: Weights,
    codebook: Codebook,
    *,
    abstained: Mapping[int, str] | None = None,
    network: NetworkReading | None = None,
) -> ScoredSession:
    """Scores every turn of a session that was read.

    Args:
        read: words, hits, clock and features of the session.
        weights: what `rupture fit` or `rupture fuse` learned.
        codebook: must be the version the weights were fitted with.
        abstained: reasons by turn index; these turns count nowhere.
        network: what the network says, where the weights were fitted with one.

    Raises: CodebookError: the weights belong to another codebook version, or need a network.
    """
    if weights.codebook != codebook.version:
        reason = f"fitted with codebook {weights.codebook}, this code has {codebook.version}"
        raise CodebookError(weights.name, f"{reason}: fit it again, or use --checkpoint rules")
    if weights.needs_network and network is None:
        raise CodebookError(weights.name, "fitted with a network, and there is none")
    skip = dict(abstained or {})
    roles = np.array([turn.role for turn in read.turns])
    heard = np.array([index not in skip for index in range(len(roles))], dtype=bool)
    first = own_logits(read, weights.own, roles, heard)
    rows = context_rows(first, roles, heard, network)
    scores = turn_scores(rows, weights.context, roles, heard)
    scores["rupture"] = 1.0 - (1.0 - scores["withdrawal"]) * (1.0 - scores["confrontation"])
    findings = tuple(
        find_markers(read, index, scores, weights, codebook) for index in range(len(roles))
    )
    return ScoredSession(read, scores, skip, findings, weights, codebook, network)


def own_logits(
    read: ReadSession, models: Mapping[str, LinearModel], roles: Array, heard: Array
) -> dict[str, Array]:
    """First step: log-odds by label, shape (n_turns,); NaN where the label is not the speaker's."""
    logits = {}
    for label in FITTED:
        mine = np.flatnonzero((roles == ROLE_OF[label]) & heard)
        logits[label] = np.full(len(roles), np.nan)
        logits[label][mine] = models[label].value([read.features[index] for index in mine])
    return logits


def context_rows(
    logits: Mapping[str, Array],
    roles: Array,
    heard: Array,
    network: NetworkReading | None = None,
) -> dict[str, list[dict[str, float]]]:
    """Second step's features of every turn, by label.

    They are the turn's own log-odds, how likely each label is before it, after it and in the
    rest of the session (log of a mean probability), and the network's log-odds of the label,
    which has seen the whole session already.
    """
    shared: list[dict[str, float]] = [{} for _ in roles]
    for label in FITTED:
        chances = np.nan_to_num(sigmoid(logits[label]), nan=0.0)
        counted = ~np.isnan(logits[label])
        before, after, rest = _surroundings(chances, counted)
        for index, row in enumerate(shared):
            row[f"{label}.before"] = before[index]
            row[f"{label}.after"] = after[index]
            row[f"{label}.session"] = rest[index]
    rows = {
        label: [{"own": float(logits[label][index]), **row} for index, row in enumerate(shared)]
        for label in FITTED
    }
    if network is not None:
        for label, own in rows.items():
            for row, said in zip(own, network.labels[label], strict=True):
                row[NETWORK] = float(said)
    return rows


def turn_scores(
    rows: Mapping[str, Sequence[Mapping[str, float]]],
    models: Mapping[str, LinearModel],
    roles: Array,
    heard: Array,
) -> dict[str, Array]:
    """Second step: probabilities by label, shape (n_turns,); 0 where it is not the speaker's."""
    scores = {}
    for label in FITTED:
        mine = np.flatnonzero((roles == ROLE_OF[label]) & heard)
        scores[label] = np.zeros(len(roles))
        scores[label][mine] = sigmoid(
            models[label].value([rows[label][int(index)] for index in mine])
        )
    return scores


def _surroundings(chances: Array, counted: Array) -> tuple[Array, Array, Array]:
    """Log mean chance before, after and in all other turns: three arrays, shape (n_turns,)."""
    keep = 0.5 ** (1.0 / HALF_LIFE_TURNS)
    before = _decayed(chances, counted, keep)
    after = _decayed(chances[::-1], counted[::-1], keep)[::-1]
    others = (chances.sum() - chances) / np.maximum(counted.sum() - counted, 1)
    return before, after, np.log(others + 0.01)


def _decayed(chances: Array, counted: Array, keep: float) -> Array:
    """Log of the mean chance of earlier turns, the nearest weighing most."""
    result = np.empty(len(chances))
    total = weight = 0.0
    for index in range(len(chances)):
        # Half a turn's worth of a low prior keeps the first turns from jumping.
        result[index] = math.log((total + 0.5 * 0.03) / (weight + 0.5) + 0.01)
        total = keep * (total + chances[index])
        weight = keep * (weight + float(counted[index]))
    return result


def summary_row(scores: Mapping[str, Array]) -> dict[str, float]:
    """What a rating is read from: mean, highest and expected count of each label's scores."""
    row = {}
    for label in FITTED:
        values = scores[label]
        row[f"{label}.mean"] = math.sqrt(float(values.mean()))
        row[f"{label}.highest"] = float(values.max())
        row[f"{label}.count"] = math.log1p(float(values.sum()))
    return row


def rating_row(ratings: Mapping[str, float]) -> dict[str, float]:
    """The network's own ratings as features of a session's rating."""
    return {f"{NETWORK}.{name}": value for name, value in ratings.items()}


def sigmoid(logits: Array) -> Array:
    """Probability of log-odds, safe for large ones; NaN stays NaN."""
    chance: Array = 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))
    return chance
