"""Annotations laid out for measuring: by code, units × coders, with what nobody saw left open.

A coder's value of a code is what they said of it; 0 where they saw the unit and did not say it;
and not known elsewhere.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from detector import segmentation
from detector.agreement import Array, Ratings
from detector.annotation import SEEN, SEGMENTS_S, Annotation, Labels
from detector.codebook import load_codebook
from detector.errors import AnnotationError
from detector.report import RATINGS
from detector.transcript import Role, Transcript

GROUPS: Mapping[str, tuple[str, ...]] = {
    "any rupture": ("withdrawal", "confrontation"),
    "any withdrawal": ("withdrawal",),
    "any confrontation": ("confrontation",),
    "any repair disclosure": ("repair",),
    "any resolution": ("resolution",),
    "any contribution": ("contribution",),
}
"""What is measured beside single markers: whether any marker of these kinds is there."""

UNTIMED_TURNS = {"segment_1min": segmentation.WINDOW_TURNS // 5, "segment_5min": 40}
"""Turns of a segment where a session has no clock; see segmentation.WINDOW_TURNS."""


@dataclass(frozen=True)
class Sheet:
    """One session as its coders saw it.

    Args:
        session_id: whose.
        turns: indexes of the turns that are known, in order.
        roles, starts_s, turn_ids: of each; UNKNOWN, None and empty where nobody says.
        said: what each coder said, by (coder, unit_type, index, code).
        seen: the turns that each coder read, as places in `turns`.
    """

    session_id: str
    turns: tuple[int, ...]
    roles: tuple[Role, ...]
    starts_s: tuple[float | None, ...]
    turn_ids: tuple[str, ...]
    said: Mapping[tuple[str, str, int, str], Annotation] = field(repr=False)
    seen: Mapping[str, frozenset[int]] = field(repr=False)

    @property
    def is_timed(self) -> bool:
        """Whether every turn has a start."""
        return None not in self.starts_s

    @cached_property
    def place(self) -> Mapping[int, int]:
        """The place of each turn by its index."""
        return {turn: place for place, turn in enumerate(self.turns)}

    @cached_property
    def marked(self) -> frozenset[int]:
        """Places of the turns that some coder said anything of."""
        return frozenset(self.place[index] for (_, unit, index, _) in self.said if unit == "turn")

    @cached_property
    def of_units(self) -> Mapping[tuple[str, str], Sequence[Annotation]]:
        """What was said, by kind of unit and code."""
        found: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
        for one in self.said.values():
            found[one.unit_type, one.code].append(one)
        return found


@dataclass(frozen=True)
class Codings:
    """All sessions of a set of labels, and its coders in order."""

    sheets: tuple[Sheet, ...]
    coders: tuple[str, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """Markers in codebook order that people code, and the ratings that somebody gave."""
        known = load_codebook()
        markers = known.of_kind(*{kind for kinds in GROUPS.values() for kind in kinds})
        given = {code for sheet in self.sheets for (_, _, _, code) in sheet.said}
        return (*markers, *(name for name in RATINGS if name in given))


def lay_out(
    labels: Labels, transcripts: Mapping[str, Transcript] | None = None, *, stage: str = "blind"
) -> Codings:
    """The annotations of one pass by session.

    Args:
        labels: checked ones.
        transcripts: by session id. Without them only those turns are known that somebody names,
            and that a coder saw a whole session says nothing of the others.
        stage: which pass is laid out.

    Raises: AnnotationError: no annotation is of this pass.
    """
    by_session: dict[str, list[Annotation]] = defaultdict(list)
    for one in labels.annotations:
        if one.stage == stage:
            by_session[one.session_id].append(one)
    if not by_session:
        raise AnnotationError(f"no annotation of pass {stage}: name another by --pass")
    sheets = tuple(
        _sheet(session_id, own, (transcripts or {}).get(session_id))
        for session_id, own in by_session.items()
    )
    coders = tuple(sorted({one.coder for own in by_session.values() for one in own}))
    return Codings(sheets, coders)


def _sheet(session_id: str, own: Sequence[Annotation], transcript: Transcript | None) -> Sheet:
    facts = _facts_of(transcript) if transcript is not None else _facts_said(own)
    turns = tuple(sorted(facts))
    place = {turn: number for number, turn in enumerate(turns)}
    seen: dict[str, set[int]] = defaultdict(set)
    for one in own:
        if one.code == SEEN and one.unit_type == "session":
            seen[one.coder] |= set(range(len(turns)))
        elif one.code == SEEN and one.unit_type == "turn":
            seen[one.coder].add(place[one.unit_index])
    said = {(one.coder, one.unit_type, one.unit_index, one.code): one for one in own}
    columns = zip(*(facts[turn] for turn in turns), strict=True) if turns else ((), (), ())
    roles, starts, ids = columns
    frozen = {coder: frozenset(places) for coder, places in seen.items()}
    return Sheet(session_id, turns, tuple(roles), tuple(starts), tuple(ids), said, frozen)


_Facts = tuple[Role, float | None, str]


def _facts_of(transcript: Transcript) -> dict[int, _Facts]:
    return {turn.index: (turn.role, turn.start_s, turn.cue_ids[0]) for turn in transcript}


def _facts_said(own: Sequence[Annotation]) -> dict[int, _Facts]:
    """What the annotations say of the turns they are about."""
    facts: dict[int, _Facts] = {}
    for one in own:
        if one.unit_type == "turn":
            role, start_s, turn_id = facts.get(one.unit_index, (Role.UNKNOWN, None, ""))
            if one.speaker_role:
                role = Role(one.speaker_role)
            if one.start_ms is not None:
                start_s = one.start_ms / 1000
            facts[one.unit_index] = (role, start_s, one.turn_id or turn_id)
    return facts


@dataclass(frozen=True)
class Table:
    """Units × coders of one code: presence or rating, and how often, with who each unit is.

    `values` are 0 or 1 of a code, 1..5 of a rating; `counts` how many turns of the unit carry
    the code. Both NaN where the coder did not see the unit.
    """

    units: tuple[tuple[str, int], ...]
    values: Array = field(repr=False)
    counts: Array = field(repr=False)

    @property
    def ratings(self) -> Ratings:
        """The values, clustered by session."""
        return Ratings(self.values, self._sessions)

    @property
    def counted(self) -> Ratings:
        """The counts, clustered by session."""
        return Ratings(self.counts, self._sessions)

    @property
    def _sessions(self) -> npt.NDArray[np.str_]:
        return np.array([session for session, _ in self.units], dtype=np.str_)


def table(codings: Codings, code: str, unit: str) -> Table:
    """One code over all units of a kind.

    Args:
        codings: what was said.
        code: a marker, a rating's name, or one of GROUPS.
        unit: "turn" (only turns whose speaker can show the code), a segment, or "session".
    """
    units: list[tuple[str, int]] = []
    rows: list[Array] = []
    counts: list[Array] = []
    for sheet in codings.sheets:
        if code in RATINGS:
            found = _rated(sheet, codings.coders, code, unit)
        else:
            found = _coded(sheet, codings.coders, code, unit)
        for index, values, count in found:
            units.append((sheet.session_id, index))
            rows.append(values)
            counts.append(count)
    shape = (len(rows), len(codings.coders))
    return Table(tuple(units), np.reshape(rows, shape), np.reshape(counts, shape))


_Row = tuple[int, Array, Array]


def _rated(sheet: Sheet, coders: Sequence[str], code: str, unit: str) -> Iterator[_Row]:
    indexes = sorted({i for (_, kind, i, said) in sheet.said if (kind, said) == (unit, code)})
    for index in indexes:
        given = [sheet.said.get((coder, unit, index, code)) for coder in coders]
        values = np.array([np.nan if one is None else _value(one) for one in given])
        yield index, values, values


def _value(one: Annotation) -> float:
    return np.nan if one.value is None else float(one.value)


def _coded(sheet: Sheet, coders: Sequence[str], code: str, unit: str) -> Iterator[_Row]:
    codes = markers_of(code)
    turns = _turn_values(sheet, coders, codes)
    can = _can_show(sheet, codes[0])
    if unit == "turn":
        for place in np.flatnonzero(can):
            yield sheet.turns[place], turns[place], turns[place]
        return
    windows = _windows(sheet, unit)
    known = ~np.isnan(turns) & can[:, None]
    direct = [one for name in codes for one in sheet.of_units.get((unit, name), ())]
    # Without its transcript a session may have units that no known turn lies in.
    last = max([*windows, *(one.unit_index for one in direct)], default=-1)
    shape = (last + 1, len(coders))
    n_known, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(n_known, windows, known)
    np.add.at(counts, windows, np.where(known, turns, 0.0))
    counts[n_known == 0] = np.nan
    values = np.minimum(counts, 1.0)
    columns = {coder: column for column, coder in enumerate(coders)}
    # What was said of the unit itself stands before what its turns add up to.
    for one in sorted(direct, key=lambda one: -1 if one.value is None else one.value):
        values[one.unit_index, columns[one.coder]] = _value(one)
        counts[one.unit_index, columns[one.coder]] = _value(one)
    for index, (value, count) in enumerate(zip(values, counts, strict=True)):
        yield index, value, count


def _windows(sheet: Sheet, unit: str) -> list[int]:
    """The unit of each turn, counted from 0 without a gap."""
    if unit == "session":
        return [0] * len(sheet.turns)
    found = segmentation.windows(
        sheet.starts_s, window_s=SEGMENTS_S[unit], window_turns=UNTIMED_TURNS[unit]
    )
    numbers = {window: number for number, window in enumerate(dict.fromkeys(found))}
    return [numbers[window] for window in found]


def markers_of(code: str) -> tuple[str, ...]:
    """The markers behind a code: itself, or all of a group."""
    return load_codebook().of_kind(*GROUPS[code]) if code in GROUPS else (code,)


def _can_show(sheet: Sheet, code: str) -> npt.NDArray[np.bool_]:
    """Whether each turn's speaker can show the code; one whose role nobody knows may."""
    marker = load_codebook().markers[code]
    return np.array([marker.can_be_of(role) for role in sheet.roles], dtype=np.bool_)


def _turn_values(sheet: Sheet, coders: Sequence[str], codes: Sequence[str]) -> Array:
    """Whether any of the codes is there: shape (n_turns, n_coders), NaN not known.

    One that is there makes it 1, whatever is not known of the others.
    """
    values = np.full((len(sheet.turns), len(coders)), np.nan)
    for column, coder in enumerate(coders):
        values[list(sheet.seen.get(coder, ())), column] = 0.0
    columns = {coder: column for column, coder in enumerate(coders)}
    given = [one for code in codes for one in sheet.of_units.get(("turn", code), ())]
    # What is there comes last, so that it stands.
    for one in sorted(given, key=lambda one: -1 if one.value is None else one.value):
        values[sheet.place[one.unit_index], columns[one.coder]] = _value(one)
    return values
