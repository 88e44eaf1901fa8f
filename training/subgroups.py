"""For whom the figures hold: sessions parted by topic, quality, and how the client talks.

Topic and quality are AnnoMI's own; quality is how well the therapist keeps to motivational
interviewing. The groups are made without a look at any score.
"""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.transcript import Role
from detector.weights import Array
from training.corpus import annomi_csv
from training.rules import Example

LEAST_SESSIONS = 5
"""A topic with fewer is counted among the other topics: its figure would be one session's."""


@dataclass(frozen=True, slots=True)
class Subgroup:
    """Some of the sessions. `by` says what they are parted by; `places` which they are."""

    by: str
    name: str
    places: tuple[int, ...]


def subgroups(
    examples: Sequence[Example], facts: Mapping[str, Mapping[str, str]]
) -> list[Subgroup]:
    """Every parting of the sessions into groups that we report.

    Args:
        examples: the sessions.
        facts: `topic` and `mi_quality` by session id, as `session_facts` reads them; a session
            without them is counted as unknown.
    """
    topics = [_topic(facts.get(ex.session.session_id, {}).get("topic", "")) for ex in examples]
    often = Counter(topics)
    named = [topic if often[topic] >= LEAST_SESSIONS else "other topics" for topic in topics]
    quality = [
        facts.get(ex.session.session_id, {}).get("mi_quality") or "unknown" for ex in examples
    ]
    words = np.array([median_words(ex) for ex in examples])
    turns = np.array([len(ex.read.turns) for ex in examples], dtype=np.float64)
    return [
        *_parted("topic", named),
        *_parted("therapy quality", quality),
        *_parted("client", _halves(words, "terse", "talkative", "words a turn")),
        *_parted("session", _halves(turns, "short", "long", "turns")),
    ]


def session_facts(path: Path | None = None) -> dict[str, dict[str, str]]:
    """AnnoMI's `topic` and `mi_quality` by session id. Raises: AnnomiAbsent."""
    facts: dict[str, dict[str, str]] = {}
    with (path or annomi_csv()).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            kept = {key: row.get(key) or "" for key in ("topic", "mi_quality")}
            facts.setdefault(f"annomi-{row['transcript_id']}", kept)
    return facts


def median_words(ex: Example) -> float:
    """Words of the client's middle turn; 0 where the client says nothing."""
    lengths = [len(turn.text.split()) for turn in ex.read.turns if turn.role is Role.CLIENT]
    return float(np.median(lengths)) if lengths else 0.0


def _topic(text: str) -> str:
    """The first of several topics, in one spelling."""
    return text.split(";")[0].strip().lower() or "unknown"


def _halves(values: Array, low: str, high: str, unit: str) -> list[str]:
    """The name of each session's half; the middle value belongs to the lower."""
    cut = float(np.median(values))
    names = f"{low} (at most {cut:g} {unit})", f"{high} (more)"
    return [names[int(value > cut)] for value in values]


def _parted(by: str, names: Sequence[str]) -> list[Subgroup]:
    """One group a name, the largest first, `other` and `unknown` last."""
    counts = Counter(names)
    last = {"other topics", "unknown"}
    order = sorted(counts, key=lambda name: (name in last, -counts[name], name))
    return [
        Subgroup(by, name, tuple(i for i, own in enumerate(names) if own == name)) for name in order
    ]
