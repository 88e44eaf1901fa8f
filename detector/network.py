"""What the network says of a session, in the codebook's names.

models/ knows columns of numbers, the codebook knows what they mean: this file holds the one to
the other when a checkpoint is opened, gives the network the session as it was trained on it, and
names what comes back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from detector.codebook import PILLARS, Codebook
from detector.features import ReadSession, as_matrix
from detector.report import LABELS, RATINGS, MarkerFinding, Span
from detector.timing import COLUMNS
from detector.weights import NETWORK, Array
from models.errors import IncompatibleCheckpoint

if TYPE_CHECKING:
    from models.runtime import Prediction, WordEffect
    from models.spec import ModelSpec

NETWORK_LABELS = (*(label for label in LABELS if label != "rupture"), "repair_disclosure")
"""Columns of the network's label head, in order."""

_MOST_WORDS = 6
_LEAST_SHARE = 0.5
_LEAST_EFFECT = 0.05
"""Words that are marked: at most six, each moving the label by at least half as much as the first
one, and by 0.05 log-odds. Judgements: few words are looked at, many are not."""

FEATURE_ROOMS = ("hit", "said", "before", "after", "time")
"""Kinds of detector.features that the network is given. Single words and patterns are left to the
rules' scorer: the network reads the words itself."""


class Network(Protocol):
    """What is asked of a models.runtime.Network."""

    @property
    def spec(self) -> "ModelSpec":
        """The checkpoint's contract."""

    @property
    def backend(self) -> str:
        """What it runs on."""

    def predict(self, texts: Sequence[str], roles: Sequence[str], features: Any) -> "Prediction":
        """Logits of one session."""

    def word_effects(
        self,
        texts: Sequence[str],
        roles: Sequence[str],
        features: Any,
        index: int,
        label: str,
        *,
        vectors: Any = None,
    ) -> "Sequence[WordEffect]":
        """How far each word of a turn moves a label, largest first."""


@dataclass(frozen=True)
class NetworkReading:
    """The network's view of one session.

    `labels` and `markers` are log-odds of shape (n_turns,) by name, not calibrated; `ratings`
    are 1..5 by name, as the session head gives them. `vectors` are the encoder's of the turns,
    shape (n_turns, size), or None where they were not kept.
    """

    labels: Mapping[str, Array] = field(repr=False)
    markers: Mapping[str, Array] = field(repr=False)
    ratings: Mapping[str, float] = field(repr=False)
    vectors: Any = field(default=None, repr=False)


class NetworkReader:
    """A network that was found to speak of this codebook.

    Raises: IncompatibleCheckpoint: it was made for other labels, markers, features or another
        codebook version.
    """

    def __init__(self, network: Network, codebook: Codebook) -> None:
        check(network.spec, codebook)
        self._network = network
        self._codebook = codebook

    @property
    def backend(self) -> str:
        """What the network runs on, e.g. "cpu"."""
        return self._network.backend

    def read(self, read: ReadSession) -> NetworkReading:
        """What the network says of every turn; roles and features are the session's own."""
        spec = self._network.spec
        found = self._network.predict(*session_inputs(read, spec.features))
        return NetworkReading(
            labels=_by_name(spec.labels, found.labels),
            markers=_by_name(spec.markers, found.markers)
            | _by_name(spec.strategies, found.strategies),
            ratings={
                name: float(value) for name, value in zip(spec.ratings, found.ratings, strict=True)
            },
            vectors=found.vectors,
        )

    def finding(
        self, read: ReadSession, said: NetworkReading, index: int, label: str, score: float
    ) -> MarkerFinding:
        """What the network alone finds on a turn: its likeliest marker of this kind, and words.

        Args:
            read: the session.
            said: what `read` gave for it.
            index: of the turn.
            label: withdrawal or confrontation.
            score: the turn's own for the label; no other marker shares it.

        Its places are the words without which the label's log-odds would fall furthest.
        """
        markers = self._codebook.of_kind(label)
        best = max(markers, key=lambda marker: float(said.markers[marker][index]))
        spans = moving_words(read.turns[index].text, self.word_effects(read, said, index, label))
        return MarkerFinding(best, score, self._codebook.markers[best].pillar, spans, NETWORK)

    def word_effects(
        self, read: ReadSession, said: NetworkReading, index: int, label: str
    ) -> "Sequence[WordEffect]":
        """How far the label's log-odds fall without each word of a turn, largest fall first.

        Only the turns that can matter are handed over: else a long session would cost as much
        again for each of its turns that is asked about.
        """
        from models.runtime import AROUND_TURNS

        first, last = max(0, index - AROUND_TURNS), index + AROUND_TURNS + 1
        texts, roles, features = session_inputs(read, self._network.spec.features, first, last)
        vectors = None if said.vectors is None else said.vectors[first:last]
        return self._network.word_effects(
            texts, roles, features, index - first, label, vectors=vectors
        )


def moving_words(text: str, effects: "Sequence[WordEffect]") -> tuple[Span, ...]:
    """Places of the few words that move a label most, in order; neighbours are one place.

    Empty where no word alone moves it: then it is the turn as a whole, or the talk around it.
    """
    least = max(_LEAST_EFFECT, _LEAST_SHARE * max((one.effect for one in effects), default=0.0))
    kept = [one for one in effects if one.effect >= least][:_MOST_WORDS]
    places: list[Span] = []
    for one in sorted(kept, key=lambda word: word.start):
        if places and not text[places[-1].end : one.start].strip():
            places[-1] = Span(places[-1].start, one.end)
        else:
            places.append(Span(one.start, one.end))
    return tuple(places)


def session_inputs(
    read: ReadSession, features: Sequence[str], first: int = 0, last: int | None = None
) -> tuple[list[str], list[str], Array]:
    """A session's turns `[first, last)` as the network takes them.

    Returns: texts, roles, and features of shape (n_turns, n_features), columns as named.
    """
    turns = read.turns[first:last]
    matrix = as_matrix(read.features[first:last], features)
    return [turn.text for turn in turns], [turn.role.value for turn in turns], matrix


def check(spec: "ModelSpec", codebook: Codebook) -> None:
    """Holds a checkpoint's contract to the codebook and to the features that the code makes.

    Raises: IncompatibleCheckpoint: something differs; names it.
    """
    spec.check(
        codebook=codebook.version,
        labels=NETWORK_LABELS,
        markers=tuple(codebook.of_kind("withdrawal", "confrontation")),
        strategies=tuple(codebook.of_kind("resolution")),
        pillars=PILLARS,
        ratings=RATINGS,
    )
    if unknown := tuple(name for name in spec.features if not _is_made(name, codebook)):
        raise IncompatibleCheckpoint("features", ", ".join(unknown[:3]), "features it makes")


def _is_made(feature: str, codebook: Codebook) -> bool:
    """Whether detector.features can make a feature of this name."""
    room, _, what = feature.partition(".")
    if room == "hit":
        return what in codebook.markers
    if room == "time":
        return what in (*COLUMNS, "into_session", "opening")
    return room in FEATURE_ROOMS


def _by_name(names: Sequence[str], values: Any) -> dict[str, Array]:
    columns = np.asarray(values, dtype=np.float64)
    return {name: columns[:, place] for place, name in enumerate(names)}
