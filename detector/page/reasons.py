"""The scorer's reasons in plain words: what a feature's name stands for.

detector.features names them `where.what`; a name that `moments.reason` has no text of is spelled
out as it is, never hidden.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from detector.codebook import Codebook
from detector.page.words import Words, marker
from detector.report import Evidence, TurnReport

_RELATIVE = "_vs_own"

_LEAST_LATENCY_S = 2.0
_TIMES_USUAL = 2.0
_LEAST_PAUSE_S = 3.0
"""Silences shorter than these are not worth a line; in conversation a lapse is felt after about
a second (Jefferson 1989), and video links add to it. An answer also has to take twice as long as
is usual for this speaker, a judgement: less would be told of every other turn."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that weighed for a label. `strength`: a key of `moments.strength`."""

    label: str
    words: str
    strength: str


def reasons(evidence: Iterable[Evidence], codebook: Codebook, words: Words) -> tuple[Reason, ...]:
    """What spoke for a turn's labels, strongest first, each thing once.

    The steps are odds ratios of about 3 and 1.6 (log-odds 1.1 and 0.5): a judgement.
    """
    kept: dict[str, Reason] = {}
    for one in sorted(evidence, key=lambda each: -each.contribution):
        if one.contribution > 0:
            steps = ((1.1, "strong"), (0.5, "clear"))
            strength = next((w for least, w in steps if one.contribution >= least), "slight")
            said = feature_words(one.feature, codebook, words)
            kept.setdefault(said, Reason(one.label, said, strength))
    return tuple(kept.values())


def feature_words(feature: str, codebook: Codebook, words: Words) -> str:
    """A feature's name as a phrase."""
    where, _, what = feature.partition(".")
    if where in ("hit", "pattern"):
        title = marker(codebook, what if where == "hit" else what.partition(".")[0]).title
        return words.text("moments.reason.wording", marker=title)
    if where == "said" and what.startswith("opens_"):
        word = what.removeprefix("opens_").capitalize()
        return words.text("moments.reason.opens", word=word)
    if where == "said" and (said := words.under("moments.reason.said").get(what)):
        return said
    if where == "network":
        return words.text("moments.reason.network", kind=what.replace("_", " "))
    if where in _WHERE:
        return words.text(f"moments.reason.{where}", said=_around(what, codebook, words))
    if where == "time":
        return _measured(what, words)
    return feature.replace("_", " ").replace(".", ": ")


_WHERE = ("before", "after")
"""Reasons are shown for the client's labels only, so the turn around it is the therapist's."""


def _around(what: str, codebook: Codebook, words: Words) -> str:
    known = words.under("moments.reason.around").get(what)
    return known or words.text("moments.reason.marker", marker=marker(codebook, what).title)


def _measured(what: str, words: Words) -> str:
    measure = words.under("moments.reason.time").get(what.removesuffix(_RELATIVE))
    if not measure:
        return words.text("moments.reason.progress")
    if what.endswith(_RELATIVE):
        return words.text("moments.reason.measure_vs_own", measure=measure)
    return measure


def silences(turn: TurnReport, words: Words, usual_s: float | None = None) -> Iterator[str]:
    """What the clock says of one turn, where it is long enough to be told.

    `usual_s` is this speaker's middle time before an answer, or None where it is unknown.
    """
    latency = turn.timing.get("response_latency_s")
    least = max(_LEAST_LATENCY_S, _TIMES_USUAL * (usual_s or 0.0))
    if latency is not None and latency >= least:
        after = _s(latency, words)
        if usual_s is None:
            yield words.text("moments.silence.after", time=after)
        else:
            usual = _s(usual_s, words)
            yield words.text("moments.silence.after_usual", time=after, usual=usual)
    left = turn.timing.get("unanswered_s")
    if left is not None and left >= _LEAST_PAUSE_S:
        yield words.text("moments.silence.let_pass", time=_s(left, words))
    within = turn.timing.get("pause_within_s")
    if within is not None and within >= _LEAST_PAUSE_S:
        yield words.text("moments.silence.inside", time=_s(within, words))


def _s(seconds: float, words: Words) -> str:
    """Seconds with one decimal, never below 0, which a listener would not hear as a wait."""
    return words.text("top.time.seconds", value=words.decimal(max(0.0, seconds)))
