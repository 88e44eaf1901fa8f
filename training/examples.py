"""From labelled sessions to rows that a network learns from: text, role, features, targets.

Every row is one session. Targets are what the codebook's markers say of its turns; where raw
codings are kept, their mean can soften them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from detector.codebook import PILLARS, load_codebook
from detector.features import as_matrix
from detector.report import RATINGS
from detector.transcript import Role, Turn
from training.corpus import LabelledSession, TrainingDataError
from training.rules import Example

if TYPE_CHECKING:
    from datasets import Dataset

LABELS = ("withdrawal", "confrontation", "resolution", "contribution", "repair_disclosure")
"""Columns of the labels head."""

SPEAKER_OF = (Role.CLIENT, Role.CLIENT, Role.THERAPIST, Role.THERAPIST, Role.CLIENT)
"""Whose turns can carry each of LABELS."""

TALK = ("neutral", "change", "sustain")
BEHAVIOUR = ("question", "reflection", "therapist_input", "other")
"""AnnoMI's own codes of a client's and a therapist's utterance (Wu et al. 2022)."""

FEATURES = ("hit.", "said.", "before.", "after.", "time.")
"""Beginnings of the features that the network sees. Words and single patterns are left out: it
reads the words itself."""

UNKNOWN_FEATURES = ("time.", "said.words_vs_own")
"""Beginnings of the features that may be NaN: no clock, or nothing to compare with."""

FloatArray = npt.NDArray[np.float64]


def known_markers(names: Iterable[Any], where: str) -> frozenset[str]:
    """These markers, each of which the codebook knows as a sign of strain or repair.

    Raises: TrainingDataError: one is unknown; names it.
    """
    found = frozenset(map(str, names))
    kinds = {_kind(label) for label in LABELS}
    known = {m.id for m in load_codebook().markers.values() if m.kind in kinds}
    if unknown := sorted(found - known):
        raise TrainingDataError(
            f"{where}: unknown label {unknown[0]!r}; the codebook has {', '.join(sorted(known))}"
        )
    return found


def _kind(label: str) -> str:
    """The codebook's kind of marker behind a label."""
    return "repair" if label == "repair_disclosure" else label


def marker_columns() -> tuple[str, ...]:
    """Columns of the markers head: signs of both kinds of rupture, in codebook order."""
    known = load_codebook().markers.values()
    return tuple(m.id for m in known if m.kind in ("withdrawal", "confrontation"))


def strategy_columns() -> tuple[str, ...]:
    """Columns of the strategies head: the therapist's ways to mend, in codebook order."""
    return tuple(m.id for m in load_codebook().markers.values() if m.kind == "resolution")


def feature_names(examples: Iterable[Example]) -> tuple[str, ...]:
    """Names of the features that occur in these sessions and that the network sees, sorted."""
    names = {name for ex in examples for row in ex.read.features for name in row}
    return tuple(sorted(name for name in names if name.startswith(FEATURES)))


def as_dataset(examples: Sequence[Example], names: Sequence[str], *, soft: float) -> "Dataset":
    """One row a session, in memory.

    Args:
        examples: the sessions, read by the rules.
        names: columns of `features`.
        soft: share of a label's target that the raw codings' mean gives, 0..1; the rest is the
            settled label's. Sessions without raw codings have their labels alone.

    Returns: columns session_id, source, group, client, is_real; text and role by turn; features
        (n_turns, n_names), NaN unknown; labels (n_turns, 5), markers, strategies 0..1; intensity
        0..3; pillar, talk, behaviour: places in their names, -1 none; sure and coded 0 or 1;
        ratings 1..5, NaN unknown. float64 and int64.

    Raises: TrainingDataError: an unknown marker, or a number that is not finite and should be.
    """
    from datasets import Array2D, Dataset, Features, List, Value

    wide = {
        "features": len(names),
        "labels": len(LABELS),
        "markers": len(marker_columns()),
        "strategies": len(strategy_columns()),
    }
    kinds = {
        **dict.fromkeys(("session_id", "source", "group", "client"), Value("string")),
        "is_real": Value("bool"),
        **dict.fromkeys(("text", "role"), List(Value("string"))),
        **{name: Array2D((None, width), "float64") for name, width in wide.items()},
        **dict.fromkeys(("intensity", "sure", "coded", "ratings"), List(Value("float64"))),
        **dict.fromkeys(("pillar", "talk", "behaviour"), List(Value("int64"))),
    }
    rows = [_row(ex, names, soft) for ex in examples]
    return Dataset.from_list(rows, features=Features(kinds))


def _row(ex: Example, names: Sequence[str], soft: float) -> dict[str, Any]:
    session, turns = ex.session, ex.read.turns
    for cue_id, label in session.labels.items():
        known_markers(label.markers, f"{session.session_id}, cue {cue_id}")
    said = [session.markers_of(turn) for turn in turns]
    return {
        "session_id": session.session_id,
        "source": session.source,
        "group": session.group,
        "client": session.client,
        "is_real": ex.is_real,
        "text": [turn.text for turn in turns],
        "role": [str(turn.role) for turn in turns],
        "features": _features(ex, names),
        "labels": (1 - soft) * _has_kinds(said) + soft * _raw_mean(session, turns, said),
        "markers": _has(said, marker_columns()),
        "strategies": _has(said, strategy_columns()),
        "sure": ex.sure.astype(np.float64),
        "coded": ex.coded.astype(np.float64),
        "ratings": [session.ratings.get(name, np.nan) for name in RATINGS],
        **_by_cue(session, turns),
    }


def _features(ex: Example, names: Sequence[str]) -> FloatArray:
    """The session's feature matrix, every number of it one that may be."""
    matrix = as_matrix(ex.read.features, names)
    may = np.array([name.startswith(UNKNOWN_FEATURES) for name in names], dtype=bool)
    wrong = np.isinf(matrix) | (np.isnan(matrix) & ~may)
    if wrong.any():
        turn, column = np.argwhere(wrong)[0]
        raise TrainingDataError(
            f"{ex.session.session_id}, turn {turn}: the feature {names[column]} is not a number"
        )
    return matrix


def _has(said: Sequence[frozenset[str]], columns: Sequence[str]) -> FloatArray:
    return np.array([[float(name in own) for name in columns] for own in said])


def _has_kinds(said: Sequence[frozenset[str]]) -> FloatArray:
    """Which of LABELS each turn's markers are signs of: shape (n_turns, n_labels)."""
    kinds = {marker.id: marker.kind for marker in load_codebook().markers.values()}
    return _has([frozenset(kinds[m] for m in own) for own in said], [_kind(x) for x in LABELS])


def _raw_mean(
    session: LabelledSession, turns: Sequence[Turn], said: Sequence[frozenset[str]]
) -> FloatArray:
    """Share of the raw codings that give each label: shape (n_turns, n_labels)."""
    if not session.codings:
        return _has_kinds(said)
    each = [
        _has_kinds([session.markers_of(turn, coding) for turn in turns])
        for coding in session.codings
    ]
    return np.mean(each, axis=0)  # type: ignore[no-any-return]


def _by_cue(session: LabelledSession, turns: Sequence[Turn]) -> dict[str, list[Any]]:
    """What is written of cues and holds for their turn: the strongest, or the last."""
    found: dict[str, list[Any]] = defaultdict(list)
    for turn in turns:
        labels = [session.labels[c] for c in turn.cue_ids if c in session.labels]
        pillars = [PILLARS.index(x.pillar) for x in labels if x.pillar in PILLARS]
        codes = [session.talk.get(cue_id, "") for cue_id in turn.cue_ids]
        found["intensity"].append(float(max((x.intensity for x in labels), default=0)))
        found["pillar"].append(pillars[-1] if pillars else -1)
        found["talk"].append(max((TALK.index(c) for c in codes if c in TALK), default=-1))
        behaviour = [BEHAVIOUR.index(c) for c in codes if c in BEHAVIOUR]
        found["behaviour"].append(behaviour[-1] if behaviour else -1)
    return found


def missing_labels(dataset: "Dataset") -> Iterator[str]:
    """Labels that no turn of these sessions carries."""
    for place, label in enumerate(LABELS):
        if not any((np.asarray(table)[:, place] > 0).any() for table in dataset["labels"]):
            yield label
