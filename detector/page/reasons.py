"""The scorer's reasons in plain words: what a feature's name stands for.

detector.features names them `where.what`; a name that this file does not know is spelled out as
it is, never hidden.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from detector.codebook import Codebook
from detector.page.words import MEASURES, marker
from detector.report import Evidence, TurnReport

_SAID: Mapping[str, str] = {
    "log_words": "how long the turn is",
    "few_words": "three words or fewer",
    "backchannel": "a sound of listening",
    "question": "a question",
    "cut_off": "a turn that breaks off",
    "goes_on": "a turn that goes on from before",
    "first_person": "“I” and “me”",
    "second_person": "“you”",
    "negations": "“not” and “never”",
    "event[laughs]": "laughter",
    "event[sighs]": "a sigh",
    "words": "the choice of words as a whole",
    "words_vs_own": "how long the turn is for this speaker",
}

_AROUND: Mapping[str, str] = {
    "none": "nobody else speaking",
    "backchannels": "sounds of listening",
    "log_words": "how long that turn is",
    "question": "a question",
    "cut": "a turn that breaks off",
}

_WHERE = {"before": "the therapist's turn before", "after": "the therapist's turn after"}
"""Reasons are shown for the client's labels only, so the other is the therapist."""

_RELATIVE = "_vs_own"

_LEAST_LATENCY_S = 2.0
_TIMES_USUAL = 2.0
_LEAST_PAUSE_S = 3.0
"""Silences shorter than these are not worth a line; in conversation a lapse is felt after about
a second (Jefferson 1989), and video links add to it. An answer also has to take twice as long as
is usual for this speaker, a judgement: less would be told of every other turn."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that weighed for a label. `strength` is strong, clear or slight."""

    label: str
    words: str
    strength: str


def reasons(evidence: Iterable[Evidence], codebook: Codebook) -> tuple[Reason, ...]:
    """What spoke for a turn's labels, strongest first, each thing once.

    The steps are odds ratios of about 3 and 1.6 (log-odds 1.1 and 0.5): a judgement.
    """
    kept: dict[str, Reason] = {}
    for one in sorted(evidence, key=lambda each: -each.contribution):
        if one.contribution > 0:
            steps = ((1.1, "strong"), (0.5, "clear"))
            strength = next((w for least, w in steps if one.contribution >= least), "slight")
            words = feature_words(one.feature, codebook)
            kept.setdefault(words, Reason(one.label, words, strength))
    return tuple(kept.values())


def feature_words(feature: str, codebook: Codebook) -> str:
    """A feature's name as a phrase."""
    where, _, what = feature.partition(".")
    if where == "hit":
        return f"wording of “{marker(codebook, what).title}”"
    if where == "pattern":
        return f"wording of “{marker(codebook, what.partition('.')[0]).title}”"
    if where == "said" and what.startswith("opens_"):
        return f"opens with “{what.removeprefix('opens_').capitalize()}”"
    if where == "said" and what in _SAID:
        return _SAID[what]
    if where == "network":
        return f"the network reads this turn as {what.replace('_', ' ')}"
    if where in _WHERE:
        said = _AROUND.get(what) or f"“{marker(codebook, what).title}”"
        return f"{_WHERE[where]}: {said}"
    measure = what.removesuffix(_RELATIVE)
    if where == "time" and measure in MEASURES:
        usual = " against this speaker's usual" if what.endswith(_RELATIVE) else ""
        return MEASURES[measure].lower() + usual
    if where == "time":
        return "how far into the session"
    return feature.replace("_", " ").replace(".", ": ")


def silences(turn: TurnReport, usual_s: float | None = None) -> Iterator[str]:
    """What the clock says of one turn, where it is long enough to be told.

    `usual_s` is this speaker's middle time before an answer, or None where it is unknown.
    """
    latency = turn.timing.get("response_latency_s")
    least = max(_LEAST_LATENCY_S, _TIMES_USUAL * (usual_s or 0.0))
    if latency is not None and latency >= least:
        usual = "" if usual_s is None else f" (usual here: {_s(usual_s)})"
        yield f"Answered after {_s(latency)}{usual}."
    left = turn.timing.get("unanswered_s")
    if left is not None and left >= _LEAST_PAUSE_S:
        yield f"The therapist had left {_s(left)} of silence that was let pass."
    within = turn.timing.get("pause_within_s")
    if within is not None and within >= _LEAST_PAUSE_S:
        yield f"A silence of {_s(within)} inside the turn."


def _s(seconds: float) -> str:
    """Seconds with one decimal, never below 0, which a listener would not hear as a wait."""
    return f"{max(0.0, seconds):.1f} s"
