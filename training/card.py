"""The model card, written by the run that wrote the weights: for readers, and as XML.

The XML follows the sections of the Applied Model Card of the Coalition for Health AI as far as
they are known to us. It was not held to their schema, and does not claim to conform to it.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detector.codebook import load_codebook
from detector.network import NetworkReader
from detector.pipeline import LIMITS, code_version
from detector.report import LABELS
from detector.scoring import FITTED, score_session
from detector.weights import read_weights
from training.card_views import Section, as_markdown, as_xml
from training.evaluation_text import show
from training.rules import Example

MOST_FAILURES = 2
"""Failure examples of each label and kind (missed, flagged for nothing)."""

MOST_INVENTED = 60
"""Invented sessions that are looked through for failures, evenly over all of them."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A turn of an invented session on which score and label disagree. `text` is ours to show."""

    session_id: str
    turn_index: int
    label: str
    score: float
    is_labelled: bool
    text: str = field(repr=False)


def write_cards(folder: Path, run: Path, invented: Sequence[Example]) -> None:
    """Writes `MODEL_CARD.md` and `model_card.xml` into a checkpoint that is not yet sealed.

    Args:
        folder: of the checkpoint, with everything else of it.
        run: the training run's folder; its `config.toml` says how it was trained.
        invented: the invented sessions, among which failures are looked for.
    """
    record = json.loads((folder / "evaluation.json").read_text("utf-8"))
    path = run / "config.toml"
    config = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    sections = card(record, config, find_failures(folder, invented))
    (folder / "MODEL_CARD.md").write_text(as_markdown(sections), "utf-8")
    (folder / "model_card.xml").write_bytes(as_xml(sections))


def find_failures(folder: Path, invented: Sequence[Example]) -> list[Failure]:
    """Turns of invented sessions on which the checkpoint and the labels are furthest apart.

    Raises: ValueError: a session is not invented; what people said is not ours to show.
    """
    if any(ex.is_real for ex in invented):
        raise ValueError("failures are shown of invented sessions alone")
    from models.runtime import open_network

    book = load_codebook()
    weights = read_weights((folder / "scoring.toml").read_bytes())
    reader = NetworkReader(open_network(folder), book)
    step = max(1, len(invented) // MOST_INVENTED)
    found: list[Failure] = []
    for ex in invented[::step]:
        scored = score_session(ex.read, weights, book, network=reader.read(ex.read))
        found += _of_session(ex, scored.scores)
    return [one for label in FITTED for one in _furthest(found, label)]


def _of_session(ex: Example, scores: Mapping[str, Any]) -> Iterator[Failure]:
    for label in FITTED:
        for place in ex.mine(label):
            yield Failure(
                ex.session.session_id,
                int(place),
                label,
                float(scores[label][place]),
                bool(ex.targets[label][place]),
                ex.read.turns[place].text,
            )


def _furthest(found: Sequence[Failure], label: str) -> list[Failure]:
    mine = [one for one in found if one.label == label]
    missed = sorted((f for f in mine if f.is_labelled), key=lambda f: f.score)
    flagged = sorted((f for f in mine if not f.is_labelled), key=lambda f: -f.score)
    return [*missed[:MOST_FAILURES], *flagged[:MOST_FAILURES]]


def card(
    record: Mapping[str, Any], config: Mapping[str, Any], failures: Sequence[Failure]
) -> tuple[Section, ...]:
    """The card's sections, in the order of the Applied Model Card.

    Args:
        record: `evaluation.json` of the checkpoint, with its `serving` part.
        config: of the training run; empty where it is not known.
        failures: what `find_failures` gave.
    """
    return (
        _identification(record),
        _release(record),
        _uses(),
        _warnings(record, failures),
        _ingredients(record, config),
        _metrics(record),
        _subgroups(record),
    )


def _identification(record: Mapping[str, Any]) -> Section:
    name = record["serving"]["name"]
    return Section(
        "BasicInfo",
        "Identification",
        (
            f"Rupture detector, checkpoint {name}, for version {code_version()} of the code "
            f"and version {load_codebook().version} of its codebook.",
            "Reads the transcript of a therapy session and gives each turn calibrated scores for "
            f"{', '.join(LABELS)}: signs, in what is said, that the alliance of client and "
            "therapist is strained, and of its repair.",
        ),
    )


def _release(record: Mapping[str, Any]) -> Section:
    serving = record["serving"]
    lines = [
        f"Published: {serving['published']}. Licence: Apache-2.0.",
        f"Encoder stored in {serving['precision']}. Predictions that were evaluated: sha256 "
        f"{serving['predictions_sha256']}.",
    ]
    lines += [
        f"Stored in {one['precision']}, the network alone loses at most {one['worst']:+.4f} of "
        "average precision on held-out sessions, of all labels."
        for one in serving["cost"]
    ]
    lines.append("A changed model gets a name and a card of its own; `rupture models rollback`.")
    return Section("ReleaseInfo", "Release", tuple(lines), is_list=True)


def _uses() -> Section:
    return Section(
        "UsesAndDirections",
        "Uses and directions",
        parts=(
            Section(
                "IntendedUseAndWorkflow",
                "Intended use",
                (
                    "To show a clinician, supervisor or researcher the few moments of a session "
                    "that may be worth a look, with the words and signs each score rests on. A "
                    "person reads the passage and decides; nothing follows from a score alone.",
                ),
            ),
            Section(
                "PrimaryIntendedUsers",
                "Users",
                ("Clinicians reviewing their own sessions, supervisors, researchers.",),
            ),
            Section(
                "HowToUse",
                "How to use it",
                (
                    "`rupture score session.vtt`: English transcripts of one client and one "
                    "therapist, speakers named. Read the evidence before the number. Code a "
                    "passage yourself before you look where you use it in training.",
                ),
            ),
            Section(
                "TargetedPatientPopulation",
                "For whom",
                ("Adults in individual talking therapy or counselling, in English.",),
            ),
            Section(
                "CautionedOutOfScopeSettings",
                "Not for",
                (
                    "Diagnosis, risk or crisis: it does not look for them and nobody watches it.",
                    "Emotion recognition: it reads behaviour in text, and no voice or face.",
                    "Rating, ranking or monitoring therapists or other staff.",
                    "Decisions about treatment, payment, employment or access to care.",
                    "Children, couples, families, groups, and languages other than English.",
                ),
                is_list=True,
            ),
        ),
    )


def _warnings(record: Mapping[str, Any], failures: Sequence[Failure]) -> Section:
    how = record["how"]
    return Section(
        "Warnings",
        "Warnings",
        parts=(
            Section(
                "KnownRisksAndLimitations",
                "Known risks and limits",
                (
                    *LIMITS,
                    f"It was measured on {how['n_sessions']} sessions of one kind; the intervals "
                    "below say how other sessions of that kind would differ, not other kinds.",
                    "Speech recognition loses the short replies that withdrawal often shows in; "
                    "swapped speakers turn a repair into a rupture.",
                    "Most ruptures are not found at a flag rate that a reader bears: a session "
                    "without a flag is no proof of a good alliance.",
                ),
                is_list=True,
            ),
            Section(
                "KnownBiasesOrEthicalConsiderations",
                "Known biases",
                (
                    "People who speak tersely, bluntly, or in a dialect or second language were "
                    "few in training; lengths of replies are therefore also compared with the "
                    "client's own. Nobody has yet measured whether that is enough.",
                ),
            ),
            Section(
                "FailureExamples",
                "Where it fails: invented sessions",
                (
                    "Turns of invented sessions, which are ours to show. They were part of the "
                    "training, so that it errs more often on new talk than here.",
                ),
                table=_failure_table(failures),
            ),
        ),
    )


def _failure_table(failures: Sequence[Failure]) -> tuple[tuple[str, ...], ...]:
    rows = [
        (
            f"{one.session_id}, turn {one.turn_index}",
            one.label,
            "missed" if one.is_labelled else "flagged for nothing",
            f"{one.score:.2f}",
            one.text,
        )
        for one in failures
    ]
    return (("where", "label", "failure", "score", "said"), *rows)


def _ingredients(record: Mapping[str, Any], config: Mapping[str, Any]) -> Section:
    how = record["how"]
    encoder, schedule = config.get("encoder", {}), config.get("schedule", {})
    trained = [
        "A pre-trained encoder reads each turn once; a bidirectional network over the session "
        "sees all turns, their speakers' roles, rule hits and timing. A second, logistic step "
        "weighs its log-odds against the rules' and was fitted on cross-validated scores alone."
    ]
    if encoder:
        trained.append(
            f"{_origin(encoder)}. Seed "
            f"{config.get('seed')}; {schedule.get('pretrain_epochs')} passes over invented "
            f"sessions, {schedule.get('epochs')} over real ones."
        )
    return Section(
        "TrustIngredients",
        "What it is made of",
        parts=(
            Section("HowTrained", "Training", tuple(trained)),
            Section(
                "Data",
                "Data",
                (
                    f"{_measured_on(how)} And {how.get('n_invented', 0)} invented sessions, which "
                    "only training sees.",
                    _whose_labels(record),
                ),
            ),
            Section(
                "BiasMitigation",
                "Against bias",
                (
                    "Sessions of one source video are never on both sides of a split. Figures "
                    "are cross-validated and given for subgroups. Where a transcript does not "
                    "support a claim (no clock, not English, unknown speaker), none is made.",
                ),
            ),
        ),
    )


def _origin(encoder: Mapping[str, Any]) -> str:
    """What the network began with, without a folder of somebody's machine."""
    if encoder.get("start"):
        return f"Goes on from the checkpoint {Path(str(encoder['start'])).name}"
    return f"Base encoder: {Path(str(encoder.get('base', 'unknown'))).name}"


def _measured_on(how: Mapping[str, Any]) -> str:
    if how.get("is_own"):
        return f"{how['measured_on']}. Whoever published this checkpoint knows what they are."
    return (
        f"{how['n_sessions']} sessions of AnnoMI: demonstrations of motivational interviewing, "
        "good and bad, from public videos, in English."
    )


def _whose_labels(record: Mapping[str, Any]) -> str:
    finds = "A figure below says how well the detector finds those labels, not how well it finds "
    if record["how"].get("is_own"):
        return f"Who set the labels: {record['labels_from']}. {finds}ruptures."
    return (
        "Who set the labels: a large language model, twice, following our codebook (after the "
        "Rupture Resolution Rating System), and a third pass where the two differed. No clinician "
        f"has checked them. {finds}ruptures."
    )


def _metrics(record: Mapping[str, Any]) -> Section:
    scorer = record["serving"]["scorer"]
    return Section(
        "KeyMetrics",
        "Key metrics",
        (
            "Cross-validated over all labelled sessions; in brackets the 95 % interval by "
            "bootstrap over sessions. Goal: over all labels above the rules without the network, "
            "and on no label worse than them.",
        ),
        table=(
            ("label", "turns", "labelled", "average precision", "the rules'", "AUROC", "ECE"),
            *(_metric_row(record["turns"], scorer, label) for label in FITTED),
        ),
        parts=(_ratings(record, scorer),),
    )


def _metric_row(turns: Mapping[str, Any], scorer: str, label: str) -> tuple[str, ...]:
    ours, rules = turns[scorer][label], turns["rules"][label]
    return (
        label,
        str(ours["n"]),
        str(ours["n_true"]),
        show(ours["average_precision"]),
        show(rules["average_precision"]),
        show(ours["auroc"]),
        show(ours["calibration_error"]),
    )


def _ratings(record: Mapping[str, Any], scorer: str) -> Section:
    found = record.get("ratings", {}).get(scorer, {})
    rows = [(name, str(one["n"]), show(one["spearman"])) for name, one in found.items()]
    return Section(
        "SessionRatings",
        "Session ratings, 1–5",
        table=(("rating", "sessions", "Spearman"), *rows),
    )


def _subgroups(record: Mapping[str, Any]) -> Section:
    scorer = record["serving"]["scorer"]
    rows = []
    for group in record.get("subgroups", ()):
        found = group["scorers"].get(scorer, {})
        figures = [
            show(found[label]["average_precision"]) if label in found else "–" for label in FITTED
        ]
        rows.append((f"{group['by']}: {group['name']}", str(group["n_sessions"]), *figures))
    return Section(
        "FairnessEquity",
        "Subgroups: average precision",
        ("Where few sessions stand behind a figure, its interval says so: read that.",),
        table=(("subgroup", "sessions", *FITTED), *rows),
    )
