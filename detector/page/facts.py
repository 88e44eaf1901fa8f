"""Facts of a session that are no judgement: how long, how many turns, at what pace."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from detector.page.strip import reach
from detector.page.words import Words, clock
from detector.report import Report, TurnReport
from detector.transcript import Role, TimingQuality

_RARE = ("overlap_s", "unanswered_s", "pause_within_s")
"""Measures that are 0 in most turns, so that a middle value says nothing."""

_UNITS = {"speech_rate_wps": "words_a_second", "n_words": "words"}


@dataclass(frozen=True, slots=True)
class Pace:
    """A measure's middle value for therapist and client; None where it was not measured.

    `unit` is a key of `record.clock.unit`.
    """

    title: str
    unit: str
    therapist: float | None
    client: float | None


def length(report: Report, words: Words) -> str:
    """How long the session was and between which times; empty where no time is known."""
    first, last = reach(report.turns)
    if report.timing_quality is TimingQuality.NONE or last <= first:
        return ""
    lasted = words.length(last - first)
    return words.text("top.fact.length_of", length=lasted, first=clock(first), last=clock(last))


def count(report: Report, words: Words) -> str:
    """How many turns, whose, and how many were not scored."""
    parts = [
        words.text(f"top.n_of_role.{role.value}", n=number)
        for role in Role
        if (number := sum(turn.role is role for turn in report.turns))
    ]
    skipped = sum(turn.abstained is not None for turn in report.turns)
    told = {"n": len(report.turns), "roles": words.joined(parts)}
    if not skipped:
        return words.text("top.n_turns", **told)
    return words.text("top.n_turns_skipped", **told, skipped=words.number(skipped))


def paces(report: Report, words: Words) -> tuple[Pace, ...]:
    """Middle values of what was measured, by role."""
    found = []
    for name, title in words.under("record.measure").items():
        therapist, client = (middle(report.turns, name, r) for r in (Role.THERAPIST, Role.CLIENT))
        if name not in _RARE and not (therapist is None and client is None):
            found.append(Pace(title, _UNITS.get(name, "s"), therapist, client))
    return tuple(found)


def middle(turns: Sequence[TurnReport], name: str, role: Role) -> float | None:
    """The median of a measure over the turns of one role; None where none was measured."""
    known = [
        value
        for turn in turns
        if turn.role is role and (value := turn.timing.get(name)) is not None
    ]
    return statistics.median(known) if known else None
