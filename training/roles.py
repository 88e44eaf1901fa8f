"""Fits and measures who is the therapist, told from the talk: `python -m training.roles`.

AnnoMI's roles are the release's own, given by people. Roles are not rupture labels, so all 103
sessions serve, and every figure comes from sessions that the fit did not see. The labels only
choose excerpts: a client who attacks asks and says "you", much as a therapist does.
"""

import datetime
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from detector.roles import ENOUGH, FEWEST_TURNS
from detector.signs import RoleSigns, Tally, differences, load_signs, probability, tally
from detector.transcript import Role
from training.corpus import LabelledSession, load_annomi, load_synthetic, told

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""What stands between these lines of a page is replaced by the measured tables."""

_Z = 1.959964
"""Two-sided 95 % of the normal distribution, for Wilson's interval."""


@dataclass(frozen=True, slots=True)
class FitConfig:
    """What the fit depends on.

    `variance` is the prior variance of a weight (scikit-learn's C), chosen among 0.1, 0.15, 0.3
    and 1 by the errors at 0.95 confidence on excerpts: more makes some, less abstains more. Each
    session counts whole, as `n_windows` excerpts, and as the excerpts with most confrontation, so
    that the probability fits little talk and strained talk too; and so again without question
    marks, which many recognisers do not write.
    """

    variance: float = 0.15
    n_windows: int = 6
    window_turns: tuple[int, ...] = (4, 6, 8, 10, 14, 20, 30, 40, 60)
    strained_turns: tuple[int, ...] = (6, 10, 16, 24)
    synthetic_weight: float = 0.5
    pseudo_count: float = 2.0
    n_folds: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Talk:
    """One session as the signs see it: for each turn whether it is the therapist's, and counts."""

    session_id: str
    source: str
    group: str
    turns: tuple[tuple[bool, Tally], ...] = field(repr=False)
    unmarked: tuple[tuple[bool, Tally], ...] = field(repr=False)
    """The same turns read without question marks."""
    strained: tuple[bool, ...] = field(repr=False)
    """Whether a turn is labelled as a confrontation."""


Turns = Sequence[tuple[bool, Tally]]
Array = NDArray[np.float64]


def read_talks(sessions: Iterable[LabelledSession], signs: RoleSigns) -> list[Talk]:
    """The talk of sessions; invented ones are grouped by the batch they were written in."""
    talks = []
    for session in sessions:
        batch = re.match("[a-z]+", session.session_id)
        group = session.group if session.source == "annomi" or not batch else batch[0]
        turns, unmarked = (
            tuple(
                (turn.role is Role.THERAPIST, tally(turn.text.replace(mark, " "), signs))
                for turn in session.transcript.turns
            )
            for mark in ("\0", "?")
        )
        strained = tuple(session.carries(t, ["confrontation"]) for t in session.transcript.turns)
        talks.append(Talk(session.session_id, session.source, group, turns, unmarked, strained))
    return talks


def therapist_minus_client(turns: Turns, signs: RoleSigns) -> list[float]:
    """The signs' differences, therapist against client."""
    nothing = Tally(0, 0, (0,) * len(signs.signs))
    therapist = sum((counts for is_therapist, counts in turns if is_therapist), nothing)
    client = sum((counts for is_therapist, counts in turns if not is_therapist), nothing)
    return differences(therapist, client, turns[0][0], signs)


def fit_signs(talks: Sequence[Talk], signs: RoleSigns, config: FitConfig) -> RoleSigns:
    """The same signs with rates and weights fitted on these sessions.

    A logistic regression without an intercept, on every example and its mirror image, so that
    swapping two speakers turns p into 1 - p.
    """
    from sklearn.linear_model import LogisticRegression

    signs = replace(_with_rates(talks, signs), pseudo_count=config.pseudo_count)
    rng = random.Random(config.seed)  # noqa: S311 - draws excerpts, guards nothing
    rows, counts = [], []
    for talk in talks:
        for turns in (talk.turns, talk.unmarked):
            strained = (most_strained(talk, turns, length) for length in config.strained_turns)
            for excerpt in (turns, *_windows(turns, rng, config), *filter(None, strained)):
                rows.append(therapist_minus_client(excerpt, signs))
                counts.append(1.0 if talk.source == "annomi" else config.synthetic_weight)
    x, weight = np.array(rows), np.array(counts)
    model = LogisticRegression(C=config.variance, fit_intercept=False, max_iter=2000)
    model.fit(
        np.vstack([x, -x]),
        np.repeat([1, 0], len(x)),
        sample_weight=np.concatenate([weight, weight]),
    )
    fitted = zip(signs.signs, model.coef_[0], strict=True)
    return replace(
        signs, signs=tuple(replace(sign, weight=round(float(w), 4)) for sign, w in fitted)
    )


def _with_rates(talks: Sequence[Talk], signs: RoleSigns) -> RoleSigns:
    nothing = Tally(0, 0, (0,) * len(signs.signs))
    total = sum((counts for talk in talks for _, counts in talk.turns), nothing)
    rated = []
    for sign, count in zip(signs.signs, total.counts, strict=True):
        chances = total.n_words if sign.per == "word" else total.n_turns
        is_counted = sign.per != "session" and count
        rated.append(replace(sign, rate=round(count / chances, 5) if is_counted else sign.rate))
    return replace(signs, signs=tuple(rated))


def _windows(turns: Turns, rng: random.Random, config: FitConfig) -> Iterator[Turns]:
    """Excerpts, every other one from the beginning; none that is the whole."""
    for number in range(config.n_windows):
        length = rng.choice(config.window_turns)
        if length < len(turns):
            start = 0 if number % 2 else rng.randrange(len(turns) - length + 1)
            yield turns[start : start + length]


def most_strained(talk: Talk, turns: Turns, length: int) -> Turns:
    """The excerpt with most confrontations; empty where none holds two, or it is the whole."""
    starts = range(len(turns) - length)
    start = max(starts, key=lambda place: sum(talk.strained[place : place + length]), default=0)
    is_strained = sum(talk.strained[start : start + length]) >= 2
    return turns[start : start + length] if len(starts) and is_strained else ()


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer on unseen talk: the probability given to the true therapist."""

    source: str
    what: str
    session_id: str
    p_true: float
    n_turns: int

    @property
    def confidence(self) -> float:
        """Probability of the answer, right or wrong, 0.5..1."""
        return max(self.p_true, 1 - self.p_true)

    @property
    def is_right(self) -> bool:
        """Whether the true therapist was named."""
        return self.p_true > 0.5

    @property
    def is_used(self) -> bool:
        """Whether the detector would use the answer, by its own two limits."""
        return self.confidence >= ENOUGH and self.n_turns >= FEWEST_TURNS


def cross_validate(talks: Sequence[Talk], signs: RoleSigns, config: FitConfig) -> list[Judged]:
    """Every session judged whole and in excerpts by a fit that saw nothing of its group."""
    from sklearn.model_selection import GroupKFold

    groups = [talk.group for talk in talks]
    judged = []
    for train, test in GroupKFold(config.n_folds).split(talks, groups=groups):
        fitted = fit_signs([talks[place] for place in train], signs, config)
        judged += [answer for place in test for answer in judge(talks[place], fitted, config)]
    return judged


def judge(talk: Talk, signs: RoleSigns, config: FitConfig) -> Iterator[Judged]:
    """One session's answers: whole, in excerpts, and damaged as recognisers damage talk."""
    middle = len(talk.turns) // 2
    rng = random.Random(f"{config.seed} {talk.session_id}")  # noqa: S311 - damages one turn in ten
    excerpts = {
        "whole": talk.turns,
        "first 40 turns": talk.turns[:40],
        "first 20 turns": talk.turns[:20],
        "first 10 turns": talk.turns[:10],
        "first 6 turns": talk.turns[:6],
        "middle 20 turns": talk.turns[max(middle - 10, 0) : middle + 10],
        "20 turns with most confrontation": most_strained(talk, talk.turns, 20),
        "10 turns with most confrontation": most_strained(talk, talk.turns, 10),
        "whole, no question marks": talk.unmarked,
        "whole, one turn in ten with the wrong speaker": [
            (is_therapist != (rng.random() < 0.1), counts) for is_therapist, counts in talk.turns
        ],
    }
    for what, turns in excerpts.items():
        if turns and (what.startswith("whole") or len(turns) < len(talk.turns)):
            p = probability(therapist_minus_client(turns, signs), signs)
            yield Judged(talk.source, what, talk.session_id, p, len(turns))


def across(talks: Sequence[Talk], signs: RoleSigns, config: FitConfig) -> list[Judged]:
    """Each corpus judged by a fit that saw only the other one."""
    judged = []
    for source in ("annomi", "synthetic"):
        fitted = fit_signs([talk for talk in talks if talk.source != source], signs, config)
        for talk in talks:
            if talk.source == source:
                answers = judge(talk, fitted, config)
                judged += [
                    replace(a, what=f"{a.what}, fitted on the other corpus") for a in answers
                ]
    return [answer for answer in judged if answer.what.startswith(("whole, fitted", "first 20"))]


def wilson(n_right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; 0 and 1 where n is 0."""
    if n == 0:
        return 0.0, 1.0
    share, square = n_right / n, _Z * _Z
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = _Z * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return centre - half, centre + half


def as_markdown(judged: Sequence[Judged], sources: Mapping[str, str]) -> Iterator[str]:
    """The table of accuracy and coverage, one row a corpus and kind of talk."""
    yield ("| corpus | talk | n | right | answered | right of those | their 95 % interval |")
    yield "|---|---|---|---|---|---|---|"
    for source, title in sources.items():
        for what in dict.fromkeys(j.what for j in judged if j.source == source):
            answers = [j for j in judged if (j.source, j.what) == (source, what)]
            sure = [j for j in answers if j.is_used]
            n_right = sum(j.is_right for j in sure)
            low, high = wilson(n_right, len(sure))
            right = sum(j.is_right for j in answers) / len(answers)
            yield (
                f"| {title} | {what} | {len(answers)} | {right:.1%} "
                f"| {len(sure)} ({len(sure) / len(answers):.1%}) "
                f"| {n_right} ({n_right / max(len(sure), 1):.1%}) | {low:.1%} – {high:.1%} |"
            )


def calibration(judged: Sequence[Judged]) -> Iterator[str]:
    """How often answers of each confidence are right, over all kinds of talk."""
    yield "| confidence | answers | mean confidence | right |"
    yield "|---|---|---|---|"
    edges = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
    for low, high in pairwise(edges):
        some = [j for j in judged if low <= j.confidence < high]
        if some:
            mean = sum(j.confidence for j in some) / len(some)
            right = sum(j.is_right for j in some) / len(some)
            yield f"| {low:.2f} – {high:.2f} | {len(some)} | {mean:.3f} | {right:.3f} |"


def as_toml(signs: RoleSigns, source: Mapping[str, str]) -> str:
    """The signs as `detector/weights/roles.toml` holds them."""
    lines = [
        "# Signs of who is the therapist. Phrases are edited by hand; rates and weights are",
        "# written by `python -m training.roles --weights`. rate: how often both roles show it;",
        "# weight: log-odds of being the therapist for a unit of difference (detector/signs.py).",
        f'name = "{signs.name}"',
        f"pseudo_count = {signs.pseudo_count}",
        "[source]",
        *(f'{key} = "{value}"' for key, value in source.items()),
    ]
    for sign in signs.signs:
        lines += ["[[sign]]", f'id = "{sign.id}"', f'per = "{sign.per}"']
        if sign.phrases:
            lines += ["phrases = [", *_wrapped(sign.phrases), "]"]
        lines += [f"rate = {sign.rate:.5f}", f"weight = {sign.weight:.4f}"]
    return "\n".join(lines) + "\n"


def _wrapped(phrases: Sequence[str]) -> Iterator[str]:
    """Quoted phrases in lines of at most 100 characters."""
    line = "   "
    for phrase in phrases:
        quoted = f' "{phrase}",'
        if len(line) + len(quoted) > 100:
            yield line
            line = "   "
        line += quoted
    yield line


def place_between(page: str, text: str) -> str:
    """The page with what stands between BEGIN and END replaced; the text alone without them."""
    before, begins, rest = page.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not (begins and ends):
        return text
    return f"{before}{BEGIN}\n{text}{END}{after}"


def measured(talks: Sequence[Talk], signs: RoleSigns, config: FitConfig) -> str:
    """The tables of the page, in Markdown."""
    judged = cross_validate(talks, signs, config)
    n_real = sum(talk.source == "annomi" for talk in talks)
    names = {"annomi": "AnnoMI", "synthetic": "invented"}
    missed = sorted({j.session_id for j in judged if j.is_used and not j.is_right})
    wrong = ", ".join(missed) if missed else "none"
    table = "\n".join(as_markdown([*judged, *across(talks, signs, config)], names))
    bins = "\n".join(calibration(judged))
    return (
        f"{n_real} AnnoMI sessions and {len(talks) - n_real} invented ones, labels hidden; "
        f"{config.n_folds}-fold cross-validation, grouped by source video and by batch of "
        f"invented sessions. Excerpts only of sessions that are longer. Answered: confidence "
        f"{ENOUGH} or more and at least {FEWEST_TURNS} turns.\n\n{table}\n\n"
        f"Sessions answered wrongly, whole or in an excerpt: {wrong}.\n\n"
        f"Confidence against truth, all rows by cross-validation together:\n\n{bins}\n"
    )


@told()
def command(
    out: Annotated[Path | None, typer.Option(help="Page to write the tables into.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Where to write fitted weights.")] = None,
) -> None:
    """Measure, and fit, the inference of who is the therapist."""
    config, signs = FitConfig(), load_signs()
    sessions = [*load_annomi(), *load_synthetic()]
    talks = read_talks(sessions, signs)
    if weights is not None:
        n_real = sum(talk.source == "annomi" for talk in talks)
        source = {
            "command": "python -m training.roles --weights",
            "date": datetime.date.today().isoformat(),
            "data": f"{n_real} AnnoMI sessions (the release's own roles, given by people), "
            f"{len(talks) - n_real} invented sessions",
            "config": ", ".join(f"{key} {value}" for key, value in asdict(config).items()),
        }
        weights.write_text(as_toml(fit_signs(talks, signs, config), source), encoding="utf-8")
        typer.echo(f"{weights}: fitted on {source['data']}")
    text = measured(talks, signs, config)
    if out is None:
        typer.echo(text)
    else:
        page = out.read_text("utf-8") if out.exists() else ""
        out.write_text(place_between(page, text), encoding="utf-8")


if __name__ == "__main__":
    typer.run(command)
