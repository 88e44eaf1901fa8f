"""Writes the scorer's weights as a file that can be read: `rupture fit`.

Beside the two fitted steps it holds how often each pattern was right, which pillar each kind of
rupture strains, and the two thresholds, each learned from the same sessions.
"""

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from detector.codebook import PILLARS, load_codebook
from detector.episodes import stretches
from detector.markers import MarkerRules
from detector.weights import LinearModel
from training.corpus import load_annomi, load_synthetic, told
from training.rules import Example, FitConfig, FittedRules, fit_rules, read_examples

TURN_S = 7.5
"""Seconds that a turn counts for where a session has no clock: 40 turns for five minutes, as a
moment is cut (detector.episodes)."""


def pattern_precision(examples: Sequence[Example], config: FitConfig) -> dict[str, float]:
    """Share of each pattern's findings that the labels confirm, drawn to the marker's own share.

    Invented sessions count as in the fit. A pattern that was seen little keeps near the share
    of all patterns of its marker, and that near the share of its kind: five findings' worth.
    Strengths have no labels; they get 0.5, which claims nothing.
    """
    known = load_codebook()
    right: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for ex in examples:
        weight = 1.0 if ex.is_real else config.synthetic_weight
        for turn, found in zip(ex.read.turns, ex.read.hits, strict=True):
            carried = ex.session.markers_of(turn)
            for pattern_id, marker in {(hit.pattern_id, hit.marker) for hit in found}:
                for name in (pattern_id, marker, known.markers[marker].kind):
                    hits[name] += weight  # type: ignore[assignment]
                    right[name] += weight * (marker in carried)  # type: ignore[assignment]
    shares = {}
    for name, marker in _pattern_markers(examples):
        kind = known.markers[marker].kind
        if kind == "strength":
            shares[name] = 0.5
        elif kind not in ("move", "technical"):
            share = (right[kind] + 0.5) / (hits[kind] + 1)
            for level in (marker, name):
                share = (right[level] + 5 * share) / (hits[level] + 5)
            shares[name] = share
    return shares


def _pattern_markers(examples: Sequence[Example]) -> list[tuple[str, str]]:
    """Every pattern of the codebook, and what else made hits, with its marker."""
    pairs = {(p.id, p.marker) for p in load_codebook().patterns.values()}
    pairs |= {(h.pattern_id, h.marker) for ex in examples for found in ex.read.hits for h in found}
    return sorted(pairs)


def pillar_shares(examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """How the labelled real turns of each rupture kind are shared among the pillars."""
    known = load_codebook().markers
    shares = {}
    for kind in ("withdrawal", "confrontation"):
        counts = Counter(
            label.pillar
            for ex in examples
            if ex.is_real
            for label in ex.session.labels.values()
            if label.pillar and any(known[marker].kind == kind for marker in label.markers)
        )
        total = max(counts.total(), 1)
        shares[kind] = {pillar: counts[pillar] / total for pillar in PILLARS}
    return shares


def thresholds(
    examples: Sequence[Example], fitted: FittedRules, config: FitConfig
) -> tuple[float, float]:
    """The rupture score that flags a turn, and the resolution score that is an attempt to mend.

    The first lets through as many moments an hour as a reviewer is to be shown; the second as
    many therapist turns as the labels name. Both on real sessions, scored unseen.
    """
    real = [(ex, s) for ex, s in zip(examples, fitted.unseen, strict=True) if ex.is_real]
    hours = sum(duration_s(ex) for ex, _ in real) / 3600
    ruptures = [
        (ex.read.turns, 1 - (1 - s["withdrawal"]) * (1 - s["confrontation"])) for ex, s in real
    ]
    candidates = np.unique(np.concatenate([scores for _, scores in ruptures]).round(3))[::-1]
    flag = next(
        (
            float(cut)
            for cut in candidates
            if sum(len(list(stretches(turns, scores, cut))) for turns, scores in ruptures)
            >= config.flags_an_hour * hours
        ),
        0.5,
    )
    mending = np.concatenate([s["resolution"][ex.mine("resolution")] for ex, s in real])
    n_named = int(sum(ex.targets["resolution"].sum() for ex, _ in real))
    return flag, float(np.sort(mending)[::-1][max(n_named - 1, 0)])


def duration_s(ex: Example) -> float:
    """Seconds from the session's first start to its last; without a clock by its turns."""
    starts = [turn.start_s for turn in ex.read.turns if turn.start_s is not None]
    return max(starts) - min(starts) if starts else TURN_S * len(ex.read.turns)


def as_toml(
    fitted: FittedRules,
    examples: Sequence[Example],
    config: FitConfig,
    source: Mapping[str, str],
    *,
    name: str = "rules-1",
    session_ratings: Mapping[str, LinearModel] | None = None,
) -> str:
    """The weights as `detector/weights/rules.toml` holds them: strongest features first.

    A checkpoint's `scoring.toml` has its `name`, and `session_ratings` that hear the network.
    """
    flag, repair = thresholds(examples, fitted, config)
    lines = [
        f"# Weights of the scorer. Written by `{source.get('command')}`; do not edit by hand.",
        "# weight: log-odds (or rating points) that a unit adds; mean: of the feature in training.",
        f'name = "{name}"',
        f'codebook = "{load_codebook().version}"',
        "[source]",
        *(f'{key} = "{value}"' for key, value in source.items()),
        "[thresholds]",
        f"flag = {flag:.4f}",
        f"repair = {repair:.4f}",
        "[pattern_precision]",
        *(f'"{name}" = {share:.3f}' for name, share in pattern_precision(examples, config).items()),
    ]
    for kind, shares in pillar_shares(examples).items():
        lines += [f"[pillar_shares.{kind}]", *(f"{k} = {v:.3f}" for k, v in shares.items())]
    steps = {"own": fitted.own, "context": fitted.context, "ratings": fitted.ratings}
    for step, models in {**steps, "session_ratings": session_ratings or {}}.items():
        for label, model in models.items():
            lines += _model_lines(f"{step}.{label}", model)
    return "\n".join(lines) + "\n"


def _model_lines(name: str, model: LinearModel) -> Iterator[str]:
    yield f"[{name}]"
    yield f"intercept = {model.intercept:.5f}"
    yield f"[{name}.features]"
    for place in np.argsort(-np.abs(model.weights), kind="stable"):
        weight, mean = model.weights[place], model.means[place]
        yield f'"{model.names[place]}" = {{ weight = {weight:.5f}, mean = {mean:.5f} }}'


@told()
def command(
    out: Annotated[Path, typer.Option(help="Where the weights are written.")] = Path(
        "detector/weights/rules.toml"
    ),
) -> None:
    """Fit the rules-and-timing scorer on AnnoMI train and the invented sessions."""
    config = FitConfig()
    rules = MarkerRules()
    sessions = [*load_annomi("train"), *load_synthetic()]
    examples = read_examples(sessions, rules)
    fitted = fit_rules(examples, config)
    n_real = sum(ex.is_real for ex in examples)
    source = {
        "command": "rupture fit",
        "date": datetime.date.today().isoformat(),
        "data": f"{n_real} AnnoMI train sessions, {len(examples) - n_real} invented sessions",
        "labels": "a language model under our codebook, adjudicated; not clinicians",
        "config": ", ".join(f"{key} {value}" for key, value in asdict(config).items()),
    }
    out.write_text(as_toml(fitted, examples, config, source), encoding="utf-8")
    typer.echo(f"{out}: fitted on {source['data']}")


if __name__ == "__main__":
    typer.run(command)
