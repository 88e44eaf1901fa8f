"""Moments: ruptures with the repair that answers them.

A moment is a stretch of client turns whose rupture score passes the threshold, no longer than
the five minutes that the 3RS codes at once, and parted where withdrawal turns to confrontation or
back for good. The turns that follow, up to ten as in our codebook, are searched for an attempt to
mend it and for the client coming back. An attempt and a return is repaired, an attempt alone
partly, no attempt unrepaired: going on as if nothing had happened mends nothing (3RS; session
rating 2 of the codebook).
"""

import itertools
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from detector.codebook import Codebook
from detector.report import Moment
from detector.scoring import ScoredSession
from detector.segmentation import WINDOW_S, WINDOW_TURNS
from detector.transcript import Role, Turn
from detector.weights import Array

REACH_TURNS = 10
"""Turns after a moment in which a strategy still answers it (codebook: the last ten utterances)."""

_BRIDGE_CLIENT_TURNS = 1
"""Unflagged client turns that do not part a moment in two: one backchannel is not an end."""

_RETURN_TURNS = 3
"""Client turns looked at for a return to the work. A judgement."""

_RETURN_SHARE = 0.5
"""A return needs these turns to score, on average, below this share of the threshold."""

_ONE_SIDED = 2.0
"""A moment is of one kind where that kind's scores sum to this many times the other's."""

_LEAST_CHANGE = 2
"""Flagged turns of the other kind from which the kind has changed for good. A judgement: one
sharp answer in a withdrawal is a turn of it, two are a confrontation."""

RESOLUTION_WORDS = {
    "repaired": "the client comes back to the work",
    "partly": "no clear return of the client is seen",
    "unrepaired": "no attempt to mend it is seen",
}


@dataclass(frozen=True, slots=True)
class _Repair:
    """What answers a moment: its turns, and the markers found on them."""

    turn_indexes: tuple[int, ...]
    markers: tuple[str, ...]
    returned: bool

    @property
    def resolution(self) -> str:
        """One of `RESOLUTION_WORDS`: by whether there was an attempt, and the client came back."""
        if not self.turn_indexes:
            return "unrepaired"
        return "repaired" if self.returned else "partly"


def find_moments(scored: ScoredSession) -> tuple[Moment, ...]:
    """The session's moments, in order of time; every flagged turn is in exactly one."""
    turns, threshold = scored.read.turns, scored.weights.flag_threshold
    whole = stretches(turns, scored.scores["rupture"], threshold, scored.abstained)
    found = [part for stretch in whole for part in _parts(scored, stretch)]
    ends = [*(stretch[0].index for stretch in found), len(turns)][1:]
    return tuple(_moment(scored, own, until) for own, until in zip(found, ends, strict=True))


def stretches(
    turns: Sequence[Turn], rupture: Array, threshold: float, skip: Container[int] = ()
) -> Iterator[list[Turn]]:
    """Client turns whose rupture score reaches the threshold, those that belong together in one.

    Args:
        turns: the session's turns, in order.
        rupture: scores, shape (n_turns,), 0..1.
        threshold: score from which a turn is flagged.
        skip: indexes of turns that are abstained from.
    """
    stretch: list[Turn] = []
    quiet = 0
    for turn in turns:
        if turn.role is not Role.CLIENT or turn.index in skip:
            continue
        if rupture[turn.index] < threshold:
            quiet += 1
            continue
        if stretch and quiet > _BRIDGE_CLIENT_TURNS:
            yield stretch
            stretch = []
        stretch.append(turn)
        quiet = 0
    if stretch:
        yield stretch


def _parts(scored: ScoredSession, stretch: Sequence[Turn]) -> Iterator[list[Turn]]:
    """The stretch, parted where its kind changes for good and where five minutes are over."""
    for part in _by_kind(scored, stretch):
        yield from _by_length(part)


def _by_kind(scored: ScoredSession, stretch: Sequence[Turn]) -> list[list[Turn]]:
    """Runs of one kind. A turn of neither goes on with the run; so does a change too short."""
    parts: list[list[Turn]] = [[]]
    kind = "mixed"
    for leaning, group in itertools.groupby(stretch, key=lambda turn: _kind(scored, (turn.index,))):
        run = list(group)
        if leaning not in ("mixed", kind) and len(run) >= _LEAST_CHANGE:
            if kind != "mixed":
                parts.append([])
            kind = leaning
        parts[-1] += run
    return parts


def _by_length(part: Sequence[Turn]) -> Iterator[list[Turn]]:
    """The part in pieces in which no turn starts five minutes after the first; as segments are."""
    piece: list[Turn] = []
    for turn in part:
        if piece and _is_over(piece[0], turn):
            yield piece
            piece = []
        piece.append(turn)
    if piece:
        yield piece


def _is_over(first: Turn, turn: Turn) -> bool:
    if first.start_s is None or turn.start_s is None:
        return turn.index - first.index >= WINDOW_TURNS
    return turn.start_s - first.start_s >= WINDOW_S


def _moment(scored: ScoredSession, stretch: Sequence[Turn], until: int) -> Moment:
    indexes = tuple(turn.index for turn in stretch)
    kind = _kind(scored, indexes)
    markers = _client_markers(scored, indexes)
    pillar = _pillar(scored, indexes, kind)
    repair = _find_repair(scored, indexes, until)
    ends = [turn.end_s for turn in stretch if turn.end_s is not None]
    return Moment(
        kind=kind,
        turn_indexes=indexes,
        start_s=stretch[0].start_s,
        end_s=max(ends, default=None),
        score=float(max(scored.scores["rupture"][index] for index in indexes)),
        markers=markers,
        pillar=pillar,
        resolution=repair.resolution,
        repair_turn_indexes=repair.turn_indexes,
        summary=_summary(scored.codebook, kind, markers, repair),
    )


def _kind(scored: ScoredSession, indexes: Sequence[int]) -> str:
    away = sum(float(scored.scores["withdrawal"][index]) for index in indexes)
    against = sum(float(scored.scores["confrontation"][index]) for index in indexes)
    if away >= _ONE_SIDED * against:
        return "withdrawal"
    return "confrontation" if against >= _ONE_SIDED * away else "mixed"


def _client_markers(scored: ScoredSession, indexes: Sequence[int]) -> tuple[str, ...]:
    """Rupture markers found in these turns, the surest first."""
    wanted = set(scored.codebook.of_kind("withdrawal", "confrontation"))
    best: dict[str, float] = {}
    for index in indexes:
        for finding in scored.findings[index]:
            if finding.marker in wanted:
                best[finding.marker] = max(finding.score, best.get(finding.marker, 0.0))
    return tuple(sorted(best, key=lambda marker: (-best[marker], marker)))


def _pillar(scored: ScoredSession, indexes: Sequence[int], kind: str) -> str | None:
    """The pillar that the findings name most; where none does, the one usual for the kind."""
    votes: defaultdict[str, float] = defaultdict(float)
    for index in indexes:
        for pillar, share in pillar_shares(scored, index).items():
            votes[pillar] += share * float(scored.scores["rupture"][index])
    return max(sorted(votes), key=lambda pillar: votes[pillar]) if votes else None


def pillar_shares(scored: ScoredSession, index: int) -> dict[str, float]:
    """How a turn's strain is shared among goal, task and bond; sums to 1.

    By the scores of its rupture findings; without any, as labelled turns of its kind were.
    """
    wanted = set(scored.codebook.of_kind("withdrawal", "confrontation"))
    votes: defaultdict[str, float] = defaultdict(float)
    for finding in scored.findings[index]:
        if finding.marker in wanted and finding.pillar:
            votes[finding.pillar] += finding.score
    if not sum(votes.values()):
        for label in ("withdrawal", "confrontation"):
            for pillar, share in scored.weights.pillar_shares[label].items():
                votes[pillar] += share * float(scored.scores[label][index])
    total = sum(votes.values()) or 1.0
    return {pillar: count / total for pillar, count in votes.items()}


def _find_repair(scored: ScoredSession, indexes: Sequence[int], until: int) -> _Repair:
    """Attempts between the moment's first turn and ten turns after its last, and the return."""
    last = min(indexes[-1] + REACH_TURNS, until - 1, len(scored.read.turns) - 1)
    attempts: list[int] = []
    markers: list[str] = []
    for index in range(indexes[0] + 1, last + 1):
        found = tuple(_repair_markers(scored, index))
        if found or _is_attempt(scored, index):
            attempts.append(index)
            markers += found
    after = max(attempts[0] if attempts else 0, indexes[-1])
    return _Repair(tuple(attempts), tuple(dict.fromkeys(markers)), _returns(scored, after, until))


def _repair_markers(scored: ScoredSession, index: int) -> Iterator[str]:
    """Repair disclosures, and strategies on a turn that is likely enough to mend."""
    turn, kinds = scored.read.turns[index], scored.codebook.markers
    if index in scored.abstained:
        return
    likely = _is_attempt(scored, index)
    for finding in scored.findings[index]:
        kind = kinds[finding.marker].kind
        if kind == "repair" or (kind == "resolution" and likely and turn.role is Role.THERAPIST):
            yield finding.marker


def _is_attempt(scored: ScoredSession, index: int) -> bool:
    """Whether a turn is likely to mend, and likelier to mend than to strain: both share words."""
    mends = scored.scores["resolution"][index]
    strains = scored.scores["contribution"][index]
    return bool(mends >= scored.weights.repair_threshold and mends > strains)


def _returns(scored: ScoredSession, after: int, until: int) -> bool:
    """Whether the client's next turns are calm, and at least one says something."""
    following = [
        turn
        for turn in scored.read.turns[after + 1 : until]
        if turn.role is Role.CLIENT and turn.index not in scored.abstained
    ][:_RETURN_TURNS]
    if not following:
        return False
    mean = sum(float(scored.scores["rupture"][t.index]) for t in following) / len(following)
    says_something = any(scored.read.spoken[turn.index].n_words > 3 for turn in following)
    return says_something and mean < _RETURN_SHARE * scored.weights.flag_threshold


def _summary(codebook: Codebook, kind: str, markers: Sequence[str], repair: _Repair) -> str:
    """The moment in the codebook's words: no speech, no name."""

    def titles(ids: Sequence[str]) -> str:
        return ", ".join(codebook.markers[marker].title.lower() for marker in ids)

    what = f"{kind.capitalize()}: {titles(markers) or 'no single marker, but the talk around it'}."
    how = (
        f" Answered by: {titles(repair.markers) or 'the therapist'};" if repair.turn_indexes else ""
    )
    said = RESOLUTION_WORDS[repair.resolution]
    return f"{what}{how} {said}." if how else f"{what} {said.capitalize()}."
