"""What the page says in plain words: every label and sentence that is not the session's talk.

A clinician reads these words, so they claim no more than the scores do: "may be worth a look",
how likely before how many, and what was not measured beside what was.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from detector.codebook import Codebook, Marker
from detector.report import Moment, Report, Roles
from detector.transcript import Role, TimingQuality

KINDS: Mapping[str, str] = {
    "withdrawal": "Withdrawal",
    "confrontation": "Confrontation",
    "mixed": "Withdrawal and confrontation",
}

KIND_MEANINGS: Mapping[str, str] = {
    "withdrawal": "the client moves away from the therapist or the work",
    "confrontation": "the client moves against the therapist or the work",
    "mixed": "both in one stretch",
}

_IN_SENTENCE = {
    "withdrawal": "withdrawal",
    "confrontation": "confrontation",
    "mixed": "both together",
}

RESOLUTIONS: Mapping[str, str] = {
    "repaired": "Repair seen",
    "partly": "Repair tried",
    "unrepaired": "No repair seen",
}

RESOLUTION_MEANINGS: Mapping[str, str] = {
    "repaired": "The tool read these turns as an answer to the moment, and what the client says "
    "next as calmer. Whether it mended anything is for you to judge.",
    "partly": "The tool read these turns as an answer to the moment, but nothing the client says "
    "next as calmer.",
    "unrepaired": "No turn that follows was read as an answer to this moment. "
    "One may have come without words, or in another session.",
}

PILLARS: Mapping[str, str] = {
    "goal": "what therapist and client work towards",
    "task": "what they do together to get there",
    "bond": "trust and regard between the two",
}

ROLES: Mapping[Role, str] = {
    Role.THERAPIST: "Therapist",
    Role.CLIENT: "Client",
    Role.OTHER: "Other",
    Role.UNKNOWN: "Unknown",
}

ATTENDANCE: Mapping[str, str] = {
    "attended": "Attended",
    "late": "Came late",
    "cancelled": "Cancelled",
    "no_show": "Did not come",
}

TIMING: Mapping[TimingQuality, str] = {
    TimingQuality.NONE: "No times in the file. The order of turns is known, silence and pace "
    "are not.",
    TimingQuality.START_ONLY: "Starts only. The file says when speech starts, not when it stops, "
    "so silence is not measured.",
    TimingQuality.CUE: "Start and end of each piece of speech.",
    TimingQuality.WORD: "Start and end of every word.",
}

MEASURES: Mapping[str, str] = {
    "response_latency_s": "Time before an answer",
    "pause_before_s": "Silence before a turn",
    "pause_within_s": "Longest silence inside a turn",
    "unanswered_s": "Silence that the therapist left and the client let pass",
    "overlap_s": "Both speaking at once",
    "speech_rate_wps": "Pace of speech",
    "n_words": "Words in a turn",
}
"""Names of detector.timing's measures, for a person."""

SOURCES: Mapping[str, str] = {
    "rule": "by its wording",
    "network": "by the network alone",
    "timing": "by the clock",
    "dialogue": "by its place in the talk",
}

LIMITS = (
    "Decision support about interaction behaviour in the text. It does not diagnose, does not "
    "detect emotions, is not monitored for crisis or risk, and does not rate the therapist.",
    "Nobody is alerted by this report: for risk of harm, read the session itself. It must not be "
    "used to judge staff.",
    "The labels it learned from come from a language model under our codebook, adjudicated; no "
    "clinician has checked them. The sessions were demonstrations of motivational interviewing "
    "and invented dialogues.",
    "It misses moments, and some that it marks are none. What reads as a repair may have mended "
    "nothing. Recognition errors hide short replies first.",
    "It reads words and, where the file has them, times. Tone, face, posture and what both know "
    "about each other are not in a transcript.",
    "Directness, deference and silence differ between people and cultures: a flagged moment may "
    "be worth a look, and may be nothing.",
    "It was made for one adult client and one therapist who speak English. Couples, groups, "
    "children and interpreted sessions have not been tested.",
)
"""Said on every page; research on how clinicians read such reports asks for each of them. Those
that the pipeline puts into every report stand here in the same words, and are listed once."""


def limits(own: Iterable[str]) -> tuple[str, ...]:
    """What the report cannot tell: the page's list, then what only this report says."""
    return tuple(dict.fromkeys((*LIMITS, *own)))


_LIKELY = (
    (0.9, "Very likely"),
    (0.66, "Likely"),
    (0.5, "More likely than not"),
    (0.33, "As likely as not"),
    (0.1, "Unlikely"),
)


def likelihood(score: float) -> str:
    """A probability in words, on the scale of the IPCC's guidance (Mastrandrea et al. 2010)."""
    return next((word for least, word in _LIKELY if score >= least), "Very unlikely")


def in_hundred(score: float) -> str:
    """A probability as a natural frequency, "72 in 100"; never 0 or 100, which none is."""
    return f"{min(99, max(1, round(100 * score)))} in 100"


def strain(share: float | None) -> str:
    """The expected share of client turns that strain a part of the alliance."""
    if share is None:
        return "Not scored."
    if share < 0.005:
        return "Fewer than 1 in 100 client turns."
    return f"About {in_hundred(share)} client turns."


def clock(seconds: float | None) -> str:
    """Seconds as the recording's clock, `m:ss` or `h:mm:ss`; empty where there is none."""
    if seconds is None:
        return ""
    hours, rest = divmod(int(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def length(seconds: float) -> str:
    """A duration to the minute, "52 minutes", or to the second below two minutes."""
    if seconds < 120:
        return counted(round(seconds), "second")
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return counted(minutes, "minute")
    return f"{counted(hours, 'hour')} {counted(minutes, 'minute')}"


def counted(number: int, noun: str) -> str:
    """A count with its noun, "1 turn", "3 turns"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def listed(parts: Sequence[str]) -> str:
    """Parts as a sentence has them: "a, b and c"."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


def overview(report: Report) -> str:
    """The session in one or two sentences."""
    if reasons := _reasons_unscored(report):
        return f"No turn could be scored ({reasons}), so this report says nothing of the alliance."
    if not report.moments:
        return (
            "No moment was marked. That does not make it a session without strain: what leaves "
            "no trace in the words, or only a faint one, is not marked."
        )
    return f"{_found(report.moments)} {_repairs(report.moments)}"


def _reasons_unscored(report: Report) -> str:
    """Why no turn is scored; empty where one is."""
    said = [turn.abstained for turn in report.turns]
    if not said:
        return "there is none"
    return "" if None in said else "; ".join(sorted({one for one in said if one}))


def _found(moments: Sequence[Moment]) -> str:
    found = Counter(moment.kind for moment in moments)
    if len(moments) == 1:
        one = moments[0].kind
        kinds = "withdrawal and confrontation together" if one == "mixed" else f"a {one}"
    elif len(found) == 1:
        kinds = f"all {_IN_SENTENCE[moments[0].kind]}"
    else:
        kinds = listed([f"{found[kind]} of {_IN_SENTENCE[kind]}" for kind in KINDS if found[kind]])
    return f"{counted(len(moments), 'moment')} may be worth a look: {kinds}."


def _repairs(moments: Sequence[Moment]) -> str:
    if len(moments) == 1:
        return f"{RESOLUTIONS[moments[0].resolution]}."
    found = Counter(moment.resolution for moment in moments)
    said = [f"{RESOLUTIONS[key].lower()} for {found[key]}" for key in RESOLUTIONS if found[key]]
    return f"{listed(said).capitalize()}."


def roles(assigned: Roles) -> str:
    """How roles came about, with the confidence where they were inferred."""
    if assigned.source == "inferred":
        sure = f", {in_hundred(assigned.confidence)} sure" if assigned.confidence else ""
        return (
            f"Inferred from the talk itself{sure}. Please check: if they are swapped, this whole "
            "report is wrong."
        )
    return {
        "given": "As given with the session.",
        "labelled": "As the file names them.",
    }.get(assigned.source, f"Source: {assigned.source}.")


def unavailable(names: Iterable[str]) -> tuple[str, ...]:
    """Measures that this file cannot carry, in words; an unknown name is spelled out."""
    return tuple(MEASURES.get(name, name.replace("_", " ").capitalize()) for name in names)


def marker(codebook: Codebook, marker_id: str) -> Marker:
    """The codebook's entry, or a bare one for a marker of another codebook version."""
    title = marker_id.replace("_", " ").capitalize()
    return codebook.markers.get(marker_id) or Marker(marker_id, "other", "any", title, "")


@dataclass(frozen=True, slots=True)
class Scale:
    """One session rating, 1..5: what it means, which direction is good, and its anchors.

    `anchors` name 1, 3 and 5, after the 3RS (Eubanks, Muran & Safran 2015) and our codebook.
    """

    key: str
    title: str
    definition: str
    direction: str
    anchors: tuple[str, str, str]

    def says(self, value: float) -> str:
        """The value between its anchors, in words."""
        low, middle, high = self.anchors
        below, above = f"between “{low}” and “{middle}”", f"between “{middle}” and “{high}”"
        steps = (low, below, middle, above, high)
        return steps[min(4, max(0, round(value) - 1))]


_IMPACT = ("none", "some", "significant")

SCALES = (
    Scale(
        "withdrawal",
        "Withdrawal",
        "How far moving away from the therapist or the work weighed on the session.",
        "Lower is calmer.",
        _IMPACT,
    ),
    Scale(
        "confrontation",
        "Confrontation",
        "How far moving against the therapist or the work weighed on the session.",
        "Lower is calmer; a confrontation that is worked through can help.",
        _IMPACT,
    ),
    Scale(
        "resolution",
        "Resolution",
        "How far strains were mended within the session.",
        "Higher is better; 3 also stands for “no repair was needed”.",
        ("got worse", "no repair needed, or partly repaired", "well repaired"),
    ),
    Scale(
        "contribution",
        "Contribution to the strain",
        "How far turns of the therapist pressed, argued or dismissed. It describes this talk, "
        "not the therapist.",
        "Lower is calmer.",
        _IMPACT,
    ),
)
