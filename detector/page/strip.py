"""Where everything stands on the time strip: two lanes of bars, flags above, repairs below.

Positions across are per cent of the strip's width, so that one drawing serves a phone and a
desk without a script; positions down are CSS pixels.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from detector.page.words import Words, clock
from detector.report import Report, TurnReport
from detector.transcript import Role, TimingQuality

FLAG_PX = 26
"""Height of a row of flags: a target of 24 pixels (WCAG 2.2, 2.5.8) and its gap."""

LANE_PX = 26
LINK_PX = 18

_SLOT = 8.4
"""Width that a flag needs, in per cent: 24 of the 290 pixels that a 390-pixel phone leaves."""

_LABEL = 4.6
_DIGIT = 2.7
"""Width of a link's number, and of each of its digits, in per cent of the same phone."""

_MOST_ROWS = 5
_LEAST_BAR = 0.25
_TICK_GAP = 17.0
"""Least per cent between two tick labels: `1:05:00` at 11 pixels, on a phone."""

_STEPS_S = (10, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200)
_STEPS_TURNS = (5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000)


@dataclass(frozen=True, slots=True)
class Bar:
    """One turn. `kind` is the moment's it belongs to, or empty. `title` shows on hovering."""

    turn: int
    lane: int
    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Flag:
    """One moment: its shape stands at `x` in `row`; its stem ends at `foot`."""

    number: int
    kind: str
    resolution: str
    x: float
    foot: float
    row: int


@dataclass(frozen=True, slots=True)
class Link:
    """From a moment to the turns that answer it. Its number stands before or after the line."""

    number: int
    resolution: str
    start: float
    end: float
    ticks: tuple[float, ...]
    is_label_after: bool
    row: int


@dataclass(frozen=True, slots=True)
class Tick:
    """One label of the axis. `anchor` is SVG's text-anchor."""

    x: float
    label: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Strip:
    """The whole drawing.

    `n_hidden` moments, and the repairs of `n_hidden_links`, found no room: the list beside the
    strip has them all.
    """

    bars: tuple[Bar, ...]
    flags: tuple[Flag, ...]
    links: tuple[Link, ...]
    ticks: tuple[Tick, ...]
    lanes: tuple[str, ...]
    caption: str
    n_hidden: int
    n_hidden_links: int

    @property
    def lanes_y(self) -> int:
        """Top of the first lane, below the flags."""
        return FLAG_PX * max((flag.row + 1 for flag in self.flags), default=0) + 8

    @property
    def links_y(self) -> int:
        """Top of the first row of links, below the lanes."""
        return self.lanes_y + LANE_PX * len(self.lanes)

    @property
    def axis_y(self) -> int:
        """Where the axis stands, below the links."""
        return self.links_y + LINK_PX * max((link.row + 1 for link in self.links), default=0) + 6

    @property
    def height(self) -> int:
        """Height of the drawing in pixels."""
        return self.axis_y + 22


def draw(report: Report, words: Words) -> Strip:
    """Places a session's turns, moments and repairs."""
    timed = report.timing_quality is not TimingQuality.NONE
    places = _by_time(report.turns) if timed else _by_words(report.turns)
    flags = tuple(_flags(report, places))
    links = tuple(_links(report, places, {flag.number for flag in flags}))
    lanes: tuple[str, ...] = tuple(words.text(f"top.role.{one}") for one in ("therapist", "client"))
    if any(turn.role in (Role.OTHER, Role.UNKNOWN) for turn in report.turns):
        lanes = (*lanes, words.text("top.strip.others"))
    return Strip(
        bars=tuple(_bars(report, places, words)),
        flags=flags,
        links=links,
        ticks=tuple(_time_ticks(report.turns) if timed else _turn_ticks(places, words)),
        lanes=lanes,
        caption=words.text(f"top.strip.{_caption(report)}"),
        n_hidden=len(report.moments) - len(flags),
        n_hidden_links=sum(bool(m.repair_turn_indexes) for m in report.moments) - len(links),
    )


Places = Mapping[int, tuple[float, float]]
"""Start and end of each turn, in per cent, by its index."""


def _caption(report: Report) -> str:
    """What the length of a bar is, as a key of `top.strip`."""
    quality = report.timing_quality
    if quality is TimingQuality.NONE:
        return "by_words"
    if quality is TimingQuality.START_ONLY:
        return "by_starts"
    if "pause_before_s" in report.features_unavailable:
        return "by_file"
    return "by_clock"


def reach(turns: Sequence[TurnReport]) -> tuple[float, float]:
    """First and last second that the turns name; (0, 0) where none names any."""
    known = [s for turn in turns for s in (turn.start_s, turn.end_s) if s is not None]
    return (min(known), max(known)) if known else (0.0, 0.0)


def _by_time(turns: Sequence[TurnReport]) -> Places:
    """A turn without a start stands where the one before it ended."""
    first, last = reach(turns)
    scale = 100.0 / max(last - first, 0.001)
    places: dict[int, tuple[float, float]] = {}
    reached = first
    for place, turn in enumerate(turns):
        start = reached if turn.start_s is None else turn.start_s
        following = turns[place + 1].start_s if place + 1 < len(turns) else last
        end = turn.end_s if turn.end_s is not None else (following or start)
        reached = max(start, end)
        places[turn.index] = ((start - first) * scale, (reached - first) * scale)
    return places


def _by_words(turns: Sequence[TurnReport]) -> Places:
    counts = [max(1, len(turn.text.split())) for turn in turns]
    scale = 100.0 / max(sum(counts), 1)
    places: dict[int, tuple[float, float]] = {}
    before = 0
    for turn, count in zip(turns, counts, strict=True):
        places[turn.index] = (before * scale, (before + count) * scale)
        before += count
    return places


def _bars(report: Report, places: Places, words: Words) -> Iterator[Bar]:
    kinds = {index: one.kind for one in report.moments for index in one.turn_indexes}
    for turn in report.turns:
        start, end = places[turn.index]
        width = max(end - start, _LEAST_BAR)
        lane = {Role.THERAPIST: 0, Role.CLIENT: 1}.get(turn.role, 2)
        kind = kinds.get(turn.index, "") if turn.role is Role.CLIENT else ""
        title = words.turn(turn.index, turn.start_s)
        yield Bar(turn.index, lane, min(start, 100.0 - width), width, kind, title)


def _flags(report: Report, places: Places) -> Iterator[Flag]:
    """Each flag takes the highest row that has room above its turn, or a little aside."""
    rows: list[float] = []
    for number, moment in enumerate(report.moments, start=1):
        foot = places[moment.turn_indexes[0]][0]
        wanted = min(max(foot, _SLOT / 2), 100.0 - _SLOT / 2)
        row = _free_row(rows, wanted - _SLOT)
        x = wanted
        if row == _MOST_ROWS:
            row = rows.index(min(rows))
            x = rows[row] + _SLOT
            if x > min(wanted + _SLOT, 100.0 - _SLOT / 2):
                continue
        rows[row : row + 1] = [x]
        yield Flag(number, moment.kind, moment.resolution, x, foot, row)


def _free_row(rows: Sequence[float], left: float) -> int:
    """The first row that is taken up to `left` at most; a new one where there is none."""
    return next((row for row, taken in enumerate(rows) if taken <= left + 1e-9), len(rows))


def _links(report: Report, places: Places, shown: Container[int]) -> Iterator[Link]:
    """The repairs of the moments that have a flag, as far as there is room."""
    rows: list[float] = []
    for number, moment in enumerate(report.moments, start=1):
        ticks = tuple(places[index][0] for index in moment.repair_turn_indexes if index in places)
        if not ticks or number not in shown:
            continue
        start, end = places[moment.turn_indexes[0]][0], max(ticks)
        label = _LABEL + _DIGIT * len(str(number))
        after = _is_label_after(start, end, label)
        row = _free_row(rows, min(start, end) - (0.0 if after else label))
        if row < _MOST_ROWS:
            rows[row : row + 1] = [max(start, end) + (label if after else 0.0)]
            yield Link(number, moment.resolution, start, end, ticks, after, row)


def _is_label_after(start: float, end: float, label: float) -> bool:
    """Whether a link's number follows it: unless only the room before it is wide enough."""
    return max(start, end) + label <= 100.0 or min(start, end) < label


def _time_ticks(turns: Sequence[TurnReport]) -> Iterator[Tick]:
    first, last = reach(turns)
    span = max(last - first, 0.001)
    step = next((s for s in _STEPS_S if 100.0 * s / span >= _TICK_GAP), _STEPS_S[-1])
    at = -(-first // step) * step
    marks = []
    while at <= last:
        marks.append((100.0 * (at - first) / span, clock(at)))
        at += step
    return _spaced(marks)


def _turn_ticks(places: Places, words: Words) -> Iterator[Tick]:
    least = len(places) * _TICK_GAP / 100.0
    step = next((s for s in _STEPS_TURNS if s >= least), _STEPS_TURNS[-1])
    marks = [
        (start, str(index) if index else words.turn(0, None))
        for index, (start, _) in places.items()
        if index % step == 0
    ]
    return _spaced(marks)


def _spaced(marks: Iterable[tuple[float, str]]) -> Iterator[Tick]:
    """Ticks whose labels do not touch; those near an edge turn inwards."""
    last = -100.0
    for x, label in marks:
        if x - last >= _TICK_GAP:
            yield Tick(x, label, "start" if x < 6 else "end" if x > 94 else "middle")
            last = x
