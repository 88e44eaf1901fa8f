"""How good the scorers are, beside the floors: `rupture evaluate`.

Everything is measured in one run, by 5-fold cross-validation over all labelled AnnoMI sessions,
sessions of one video together; the dev split's figures are those same predictions. The labels
come from a language model under our codebook, adjudicated, not from clinicians. The patterns were
written with the train split in sight, so the figures over all sessions flatter the rules; dev
does not. Without `--run` the rules-and-timing scorer stands alone beside the floors. A run that
learned from files of one's own is measured on those sessions, and can be compared with a published
checkpoint there (`--checkpoint`).
"""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from detector.markers import MarkerRules
from training.config import read_config
from training.corpus import TrainingDataError, load_annomi, load_synthetic, told
from training.evaluation import Question, Scorer, evaluate
from training.evaluation_page import as_html
from training.evaluation_text import as_markdown
from training.floors import Scores, embed, fit_frozen, fit_length, fit_tfidf
from training.folds import (
    RulesFold,
    by_session,
    cross_validate,
    fit_folds,
    rate,
    rules_markers,
)
from training.fuse import cross_fuse, readings
from training.predictions import FOLD_SEED, N_FOLDS, RunPredictions, read_predictions
from training.published import score_published
from training.rules import Example, FitConfig, fit_rules, read_examples
from training.sources import DataConfig, load_sessions
from training.subgroups import session_facts, subgroups

SEED = FOLD_SEED
__all__ = [
    "N_FOLDS",
    "SEED",
    "Sessions",
    "all_scorers",
    "command",
    "questions",
    "read_sessions",
]


@dataclass(frozen=True)
class Sessions:
    """What is measured on: the real sessions, and the invented ones that only training sees."""

    real: Sequence[Example] = field(repr=False)
    invented: Sequence[Example] = field(repr=False)


def fit_without_words(examples: Sequence[Example]) -> Callable[[Example], Scores]:
    """The same scorer with patterns, dialogue state and clock alone, no weights on words."""
    return fit_rules(examples, FitConfig(least_seen_word=len(examples) + 1)).predict


def all_scorers(
    sessions: Sessions,
    runs: Sequence[RunPredictions] = (),
    *,
    plain: RunPredictions | None = None,
    base: str | None = None,
    checkpoint: str | None = None,
) -> Iterator[Scorer]:
    """Every scorer with its cross-validated predictions, from the plainest to the whole.

    Args:
        sessions: what is measured on.
        runs: of networks; each stands alone, and with the rules.
        plain: a run without context and features, the usual fine-tuned turn classifier.
        base: the encoder for the floor of frozen vectors, a folder or a name that is on this
            machine; None leaves the floor out.
        checkpoint: a published one to compare with.
    """
    real = sessions.real
    if checkpoint is not None:
        yield score_published(checkpoint, real)
    yield from _floors(real, base)
    if plain is not None:
        yield Scorer(
            "plain",
            "plain turn classifier",
            "the same encoder fine-tuned on one turn at a time, no context, no features",
            [plain.scores(ex) for ex in real],
        )
    yield Scorer(
        "rules_without_words",
        "the rules without words",
        "patterns, dialogue state and clock; no weights on single words",
        cross_validate(real, sessions.invented, fit_without_words),
    )
    rules = fit_folds(real, sessions.invented)
    yield _rules_scorer(real, rules)
    for place, run in enumerate(runs, start=1):
        tag, said = ("", "") if len(runs) == 1 else (f"_{place}", f" {place}")
        yield _network_scorer(real, run, f"network{tag}", f"the network{said}")
        yield _fused_scorer(real, run, rules, f"fused{tag}", f"network{said} and rules")


def _floors(real: Sequence[Example], base: str | None) -> Iterator[Scorer]:
    yield Scorer(
        "length",
        "length and timing",
        "logistic regression on the lengths of the turn and its neighbours, and the clock",
        cross_validate(real, (), fit_length),
    )
    yield Scorer(
        "tfidf",
        "TF-IDF",
        "logistic regression on words and word pairs of the turn alone",
        cross_validate(real, (), fit_tfidf),
    )
    if base is not None:
        yield Scorer(
            "frozen",
            "frozen vectors",
            "logistic regression on the untouched base encoder's mean vector of the turn alone",
            cross_validate(real, (), fit_frozen(embed(real, base))),
        )


def _rules_scorer(real: Sequence[Example], rules: Sequence[RulesFold]) -> Scorer:
    scores = by_session(rules, real, lambda fold, ex: fold.fitted.predict(ex))
    places = {id(ex): place for place, ex in enumerate(real)}

    def markers(fold: RulesFold, ex: Example) -> Scores:
        return rules_markers(fold, ex, scores[places[id(ex)]])

    def ratings(fold: RulesFold, ex: Example) -> dict[str, float]:
        return rate(fold.fitted.ratings, scores[places[id(ex)]])

    return Scorer(
        "rules",
        "the rules",
        "the rules-and-timing scorer: patterns, dialogue state, clock and single words",
        scores,
        by_session(rules, real, ratings),
        by_session(rules, real, markers),
    )


def _network_scorer(real: Sequence[Example], run: RunPredictions, id_: str, name: str) -> Scorer:
    return Scorer(
        id_,
        name,
        f"run {run.name}: the session network alone, as it comes out, not calibrated",
        [run.scores(ex) for ex in real],
        [run.ratings(ex) for ex in real],
        [run.markers(ex) for ex in real],
    )


def _fused_scorer(
    real: Sequence[Example], run: RunPredictions, rules: Sequence[RulesFold], id_: str, name: str
) -> Scorer:
    found = cross_fuse(real, rules, readings(run, real))
    return Scorer(
        id_,
        name,
        f"run {run.name} with the rules, calibrated: what a published checkpoint says",
        [one.scores for one in found],
        [one.ratings for one in found],
    )


def questions(scorers: Sequence[Scorer]) -> list[Question]:
    """Which scorers are compared: the whole with its parts, each with the floors, two runs."""
    ids = [scorer.id for scorer in scorers]
    wholes = [i for i in ids if i.startswith("fused")]
    networks = [i for i in ids if i.startswith("network")]
    asked = [
        *(Question(whole, part) for whole in wholes for part in (*networks, "rules", "published")),
        *(
            Question(network, rival)
            for network in networks
            for rival in ("rules", "plain", "frozen", "tfidf")
        ),
        Question("rules", "rules_without_words"),
        Question("rules", "tfidf"),
    ]
    for group in (wholes, networks):
        asked += [Question(one, other) for one, other in zip(group[1:], group[:-1], strict=True)]
    own = {f"fused{network.removeprefix('network')}": network for network in networks}
    return [
        q for q in asked if q.other not in networks or q.one not in own or own[q.one] == q.other
    ]


@told()
def command(
    run: Annotated[
        list[Path] | None, typer.Option(help="Folder of a training run; two are compared.")
    ] = None,
    plain: Annotated[
        Path | None, typer.Option(help="Run of a turn classifier without context.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(envvar="RUPTURE_BASE", help="The base encoder; default: the run's."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the Markdown report here.")] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Published checkpoint to compare with, on own sessions.")
    ] = None,
    json_out: Annotated[
        Path | None, typer.Option("--json", help="Write every figure here.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page with plots here.")] = None,
) -> None:
    """Average precision, AUROC and calibration of every scorer beside the floors."""
    real, invented = read_sessions(run[0] if run else None)
    runs = [read_predictions(folder, real) for folder in run or ()]
    other = read_predictions(plain, real) if plain is not None else None
    for path in (out, json_out, html):
        if path is not None and not path.parent.is_dir():
            raise TrainingDataError(f"{path}: no such folder")
    sessions = Sessions(real, invented)
    record = _measure(sessions, runs, other, base or _base_of(run or ()), checkpoint)
    text = as_markdown(record)
    if out is None and html is None and json_out is None:
        typer.echo(text)
    for path, content in ((out, text), (json_out, _as_json(record)), (html, as_html(record))):
        if path is not None:
            path.write_text(content, encoding="utf-8")


def read_sessions(run: Path | None) -> tuple[list[Example], list[Example]]:
    """Real and invented sessions to measure on: AnnoMI's, or those that a run learned from.

    Raises: TrainingDataError: the run's configuration or a file it names cannot be used.
    """
    rules, data = MarkerRules(), _own_data(run)
    if data is None:
        return read_examples(load_annomi(), rules), read_examples(load_synthetic(), rules)
    examples = read_examples(load_sessions(data), rules)
    return [ex for ex in examples if ex.is_real], [ex for ex in examples if not ex.is_real]


def _own_data(run: Path | None) -> DataConfig | None:
    """What a run learned from, where files of one's own were among it."""
    if run is None or not (run / "config.toml").is_file():
        return None
    data = read_config(run / "config.toml").data
    return data if data.exports or data.label_studio else None


def _base_of(folders: Sequence[Path]) -> str | None:
    """The encoder that the first run started from, as its `config.toml` names it.

    None where it went on from a checkpoint: that is no untouched encoder.
    """
    for folder in folders[:1]:
        try:
            config = tomllib.loads((folder / "config.toml").read_text("utf-8"))
            encoder = config["encoder"]
            return None if encoder.get("start") else str(encoder["base"])
        except (OSError, ValueError, KeyError) as error:
            raise TrainingDataError(
                f"{folder / 'config.toml'}: it names no base encoder; name one by --base"
            ) from error
    return None


def _measure(
    sessions: Sessions,
    runs: Sequence[RunPredictions],
    plain: RunPredictions | None,
    base: str | None,
    checkpoint: str | None,
) -> dict[str, Any]:
    """The record, with a line on standard error for each scorer that is done."""
    scorers = []
    for scorer in all_scorers(sessions, runs, plain=plain, base=base, checkpoint=checkpoint):
        typer.echo(f"predicted: {scorer.name}", err=True)
        scorers.append(scorer)
    typer.echo("measuring, with intervals", err=True)
    left_out = [
        *(["frozen vectors (--base)"] if base is None else []),
        *(["plain turn classifier (--plain)"] if plain is None else []),
        *(["network (--run)"] if not runs else []),
    ]
    how = {
        "n_invented": len(sessions.invented),
        "runs": [{"name": one.name, **one.about} for one in runs],
        "left_out": left_out,
    }
    has_annomi = any(ex.session.source == "annomi" for ex in sessions.real)
    groups = subgroups(sessions.real, session_facts() if has_annomi else {})
    return evaluate(sessions.real, scorers, groups, questions(scorers), how)


def _as_json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


if __name__ == "__main__":
    typer.run(command)
