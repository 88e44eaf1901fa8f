"""What the page says in plain words where that takes more than a text: which, and of what.

A clinician reads these words, so they claim no more than the scores do: "may be worth a look",
how likely before how many, and what was not measured beside what was. The texts themselves stand
in `words/<language>/*.toml`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from detector.codebook import Codebook, Marker
from detector.page.wording import REPORT_WORDS, Wording
from detector.report import Moment, Report, Roles

KINDS = ("withdrawal", "confrontation", "mixed")
RESOLUTIONS = ("repaired", "partly", "unrepaired")
"""Kinds of moment and how they went on, in the order in which they are listed."""

SCALES = ("withdrawal", "confrontation", "resolution", "contribution")
"""Session ratings, 1..5, in the order of the page."""

_LIKELY = (
    (0.9, "from_90"),
    (0.66, "from_66"),
    (0.5, "from_50"),
    (0.33, "from_33"),
    (0.1, "from_10"),
)


class Words(Wording):
    """The words of one language, with the sentences of the report's page."""

    def likelihood(self, score: float) -> str:
        """A probability in words, on the scale of the IPCC's guidance (Mastrandrea et al. 2010)."""
        key = next((key for least, key in _LIKELY if score >= least), "from_0")
        return self.text(f"top.likely.{key}")

    def in_hundred(self, score: float) -> str:
        """A probability as a natural frequency, "72 in 100"; never 0 or 100, which none is."""
        return self.text("top.likely.in_hundred", n=min(99, max(1, round(100 * score))))

    def strain(self, share: float | None) -> str:
        """The expected share of client turns that strain a part of the alliance."""
        if share is None:
            return self.text("alliance.strain_in.not_scored")
        if share < 0.005:
            return self.text("alliance.strain_in.fewer")
        return self.text("alliance.strain_in.about", share=self.in_hundred(share))

    def rated(self, scale: str, value: float) -> str:
        """A session rating between its scale's anchors, as a sentence without its end."""
        low, middle, high = (self.text(f"alliance.scale.{scale}.{at}") for at in _ANCHORS)
        below = self.text("alliance.rating.between", low=low, high=middle)
        above = self.text("alliance.rating.between", low=middle, high=high)
        steps = (low, below, middle, above, high)
        return _opened(steps[min(4, max(0, round(value) - 1))])

    def length(self, seconds: float) -> str:
        """A duration to the minute, "52 minutes", or to the second below two minutes."""
        if seconds < 120:
            return self.text("top.time.n_seconds", n=round(seconds))
        n_hours, n_minutes = divmod(round(seconds / 60), 60)
        minutes = self.text("top.time.n_minutes", n=n_minutes)
        if not n_hours:
            return minutes
        hours = self.text("top.time.n_hours", n=n_hours)
        return self.text("top.time.hours_minutes", hours=hours, minutes=minutes)

    def turn(self, index: int, start_s: float | None) -> str:
        """Where a turn is: on the recording's clock, or by its number where there is none."""
        return clock(start_s) or self.text("top.place.turn", index=index)

    def measured(self, value: float, unit: str) -> str:
        """A middle value with its unit, a key of `record.clock.unit`."""
        if unit == "words":
            return self.text("record.clock.unit.words", n=round(value))
        return self.text(f"record.clock.unit.{unit}", value=self.decimal(value))

    def overview(self, report: Report) -> str:
        """The session in one or two sentences."""
        if reasons := self._reasons_unscored(report):
            return self.text("top.overview.unscored", reasons=reasons)
        if not report.moments:
            return self.text("top.overview.unmarked")
        return f"{self._found(report.moments)} {self._repairs(report.moments)}"

    def _reasons_unscored(self, report: Report) -> str:
        """Why no turn is scored; empty where one is."""
        said = [turn.abstained for turn in report.turns]
        if not said:
            return self.text("top.overview.no_turns")
        return "" if None in said else "; ".join(sorted({one for one in said if one}))

    def _found(self, moments: Sequence[Moment]) -> str:
        found = Counter(moment.kind for moment in moments)
        if len(moments) == 1:
            kinds = self.text(f"top.overview.alone.{moments[0].kind}")
        elif len(found) == 1:
            kinds = self.text(f"top.overview.all.{moments[0].kind}")
        else:
            kinds = self._numbered("top.overview.some", KINDS, found)
        return self.text("top.overview.found", n=len(moments), kinds=kinds)

    def _repairs(self, moments: Sequence[Moment]) -> str:
        if len(moments) == 1:
            said = self.text(f"top.resolution.{moments[0].resolution}")
        else:
            found = Counter(moment.resolution for moment in moments)
            said = _opened(self._numbered("top.overview.answered", RESOLUTIONS, found))
        return self.text("top.overview.sentence", said=said)

    def _numbered(self, start: str, names: Iterable[str], found: Counter[str]) -> str:
        """How many there are of each."""
        return self.joined(
            [self.text(f"{start}.{name}", n=found[name]) for name in names if found[name]]
        )

    def roles(self, assigned: Roles) -> str:
        """How roles came about, with the confidence where they were inferred."""
        if assigned.source in ("given", "labelled"):
            return self.text(f"top.roles_from.{assigned.source}")
        if assigned.source != "inferred":
            return self.text("top.roles_from.other_source", source=assigned.source)
        if not assigned.confidence:
            return self.text("top.roles_from.inferred")
        share = self.in_hundred(assigned.confidence)
        return self.text("top.roles_from.inferred_sure", share=share)

    def limits(self, own: Iterable[str] = ()) -> tuple[str, ...]:
        """What the report cannot tell: the page's list, then what only this report says."""
        known = self.first_under("record.limits.said").values()
        only = [one for one in own if one not in known]
        return tuple(dict.fromkeys((*self.under("record.limits.said").values(), *only)))

    def unavailable(self, names: Iterable[str]) -> tuple[str, ...]:
        """Measures that this file cannot carry, in words; an unknown name is spelled out."""
        known = self.under("record.measure")
        return tuple(known.get(name, name.replace("_", " ").capitalize()) for name in names)

    def attendance(self, said: str) -> str:
        """Whether the client came; a word that is none of ours stays as it is."""
        return self.under("top.attendance").get(said, said)


_ANCHORS = ("low", "middle", "high")


@cache
def words_in(language: str) -> Words:
    """The words of the report's page in a language, read once. Raises: WordingError."""
    return Words(language, REPORT_WORDS)


def clock(seconds: float | None) -> str:
    """Seconds as the recording's clock, `m:ss` or `h:mm:ss`; empty where there is none."""
    if seconds is None:
        return ""
    hours, rest = divmod(int(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def marker(codebook: Codebook, marker_id: str) -> Marker:
    """The codebook's entry, or a bare one for a marker of another codebook version."""
    title = marker_id.replace("_", " ").capitalize()
    return codebook.markers.get(marker_id) or Marker(marker_id, "other", "any", title, "")


def _opened(said: str) -> str:
    """A phrase as it opens a sentence."""
    return said[:1].upper() + said[1:]
