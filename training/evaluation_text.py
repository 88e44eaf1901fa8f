"""The evaluation's record as Markdown: `docs/evaluation.md`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from detector.scoring import FITTED
from training.figures import Difference, Figure

Record = Mapping[str, Any]

MEASURED_BEFORE = "{n_sessions} AnnoMI sessions (demonstrations of motivational interviewing)"
"""What records were measured on that do not say it."""

HEAD = """# Evaluation of the scorers

Written by `rupture evaluate`. {labels} All scorers are measured on the same {n_folds} folds over \
{measured_on}, sessions of one {group} together, each by models that saw neither the session nor \
its group; {n_invented} invented sessions are added to training only. {flattered}

Intervals: 95 %, bootstrap over sessions, {n_resamples} resamples; they say how much other \
sessions of this kind would change a figure, not how much other kinds of sessions would. \
"–": not defined. Python {python}."""


ANNOMI_WORDS = {
    "labels": "**The labels come from a language model under our codebook, adjudicated, not from "
    "clinicians**: every figure says how well a scorer finds those labels, not how well it finds "
    "ruptures.",
    "group": "video",
    "flattered": "The patterns were written with the train split in sight, so the figures over all "
    "sessions flatter the rules; the dev split's do not.",
}
OWN_WORDS = {
    "labels": "**The labels come from {}**: every figure says how well a scorer finds those "
    "labels.",
    "group": "client or group",
    "flattered": "A published checkpoint was trained elsewhere: if it has met these sessions "
    "before, its figures flatter it.",
}


def head(record: Record) -> str:
    """What was measured on what, and whose labels they are."""
    how = {"measured_on": MEASURED_BEFORE.format(**record["how"]), **record["how"]}
    words = OWN_WORDS if how.get("is_own") else ANNOMI_WORDS
    labels = words["labels"].format(record.get("labels_from", ""))
    return HEAD.format(**{**how, **words, "labels": labels})


def as_markdown(record: Record) -> str:
    """The whole record as one page of Markdown."""
    return "\n".join(_lines(record)) + "\n"


def show(found: Mapping[str, Any]) -> str:
    """A figure with its interval, e.g. `0.304 (0.202–0.423)`; a dash where it is not defined."""
    if found["value"] is None:
        return "–"
    if found["low"] is None:
        return f"{found['value']:.3f}"
    kind = Difference if "above_zero" in found else Figure
    return str(kind(**{field.name: found[field.name] for field in fields(kind)}))


def band_name(band: Mapping[str, Any]) -> str:
    """How many ruptures a session of this band has, e.g. `1–2` or `11 or more`."""
    if band["most"] == 0:
        return "none"
    if band["most"] is None:
        return f"{band['least']} or more"
    return f"{band['least']}–{band['most']}"


def _lines(record: Record) -> Iterator[str]:
    names = {scorer["id"]: scorer["name"] for scorer in record["scorers"]}
    yield head(record)
    yield "\nThe scorers:"
    yield from (f"- **{one['name']}**: {one['claim']}" for one in record["scorers"])
    if record["how"]["left_out"]:
        yield f"\nNot asked for in this run: {', '.join(record['how']['left_out'])}."
    yield "\n## Turns, 5-fold cross-validation over all labelled sessions"
    yield from _ranking(record["turns"], names)
    yield from _differences(record, names)
    yield "\n## Calibration and balanced accuracy, cross-validated"
    yield from _calibration(record["turns"], names)
    yield "\n## The same folds, only turns on which both codings agreed"
    yield from _ranking(record["agreed"], names)
    yield f"\n## The same predictions, dev split only ({record['how']['n_dev_sessions']} sessions)"
    yield from _ranking(record["dev"], names)
    yield "\n## Segments, cross-validated"
    yield from _segments(record["segments"], names)
    yield from _moments(record["moments"], names)
    yield "\n## Session ratings 1–5, cross-validated, against the mean of the two codings"
    yield from _ratings(record["ratings"], names)
    yield "\n## Markers, cross-validated: average precision on the turns of their speaker"
    yield from _markers(record["markers"], names)
    yield "\n## Subgroups, cross-validated: average precision"
    yield from _subgroups(record["subgroups"], names)


def _table(*heads: str) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _by_label(table: Record, names: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    """Label, scorer's name and what was measured, label by label."""
    labels = dict.fromkeys(label for found in table.values() for label in found)
    for label in labels:
        for scorer, name in names.items():
            if label in table.get(scorer, {}):
                yield label, name, table[scorer][label]


def _ranking(table: Record, names: Mapping[str, str]) -> Iterator[str]:
    yield from _table("label", "turns", "base rate", "scorer", "average precision", "AUROC")
    for label, name, found in _by_label(table, names):
        rate = found["n_true"] / max(found["n"], 1)
        cells = show(found["average_precision"]), show(found["auroc"])
        yield _row(label, found["n"], f"{rate:.3f}", name, *cells)


def _calibration(table: Record, names: Mapping[str, str]) -> Iterator[str]:
    yield (
        "The calibration error is over ten bins of equal count; its interval leans upward, as "
        "resampling adds noise to its bins. Slope 1 and intercept 0 (log-odds) are right. The "
        "balanced accuracy's threshold is chosen on the other folds. A floor whose fit weighs "
        "the classes alike, or a network as it comes out, claims no calibration.\n"
    )
    yield from _table(
        "label", "scorer", "Brier", "calibration error", "slope", "intercept", "balanced accuracy"
    )
    keys = "brier", "calibration_error", "calibration_slope", "calibration_intercept"
    for label, name, found in _by_label(table, names):
        yield _row(label, name, *(show(found[key]) for key in (*keys, "balanced_accuracy")))


def _differences(record: Record, names: Mapping[str, str]) -> Iterator[str]:
    if not record["differences"]:
        return
    yield "\n## Does one scorer find more than another? Paired bootstrap over sessions"
    yield (
        "Both are drawn together, so what the sessions have in common cancels. Where 0 is outside "
        "the interval the two differ; the last column is the share of resamples above 0.\n"
    )
    yield from _table("one", "other", "label", "metric", "one minus other", "above 0")
    for found in record["differences"]:
        metric = {"average_precision": "average precision", "auroc": "AUROC"}[found["metric"]]
        above = "–" if found["above_zero"] is None else f"{found['above_zero']:.3f}"
        sides = names[found["one"]], names[found["other"]]
        yield _row(*sides, found["label"], metric, show(found), above)


def _segments(table: Record, names: Mapping[str, str]) -> Iterator[str]:
    yield "A segment is true where one of its turns is.\n"
    yield from _table("label", "scorer", "AUROC 1 min", "AP 1 min", "AUROC 5 min", "AP 5 min")
    for label, name, found in _by_label(table, names):
        cells = [show(found[w][key]) for w in found for key in ("auroc", "average_precision")]
        yield _row(label, name, *cells)


def _moments(table: Record, names: Mapping[str, str]) -> Iterator[str]:
    yield "\n## Flagged moments, cross-validated, the flag set on the other folds"
    for scorer, found in table.items():
        n_moments, hours = found["n_moments"], found["hours"]
        yield (
            f"{names[scorer].capitalize()}: {n_moments} moments in {hours:.1f} hours "
            f"({n_moments / max(hours, 1e-9):.1f} an hour); {found['n_right']} of them "
            f"({found['n_right'] / max(n_moments, 1):.0%}) hold a turn that is labelled a rupture. "
            f"{found['n_found']} of the {found['n_labelled']} such turns are flagged "
            f"({found['n_found'] / max(found['n_labelled'], 1):.0%}).\n"
        )
    yield (
        "By the number of ruptures in the session. The AUROC is of a session's own client turns, "
        "averaged over sessions: one that only knows which sessions are strained has .5.\n"
    )
    yield from _table(
        "ruptures",
        "sessions",
        "scorer",
        "turns flagged",
        "flagged of labelled",
        "share",
        "AUROC within",
    )
    n_bands = max((len(found["by_ruptures"]) for found in table.values()), default=0)
    for place in range(n_bands):
        for scorer, found in table.items():
            band = found["by_ruptures"][place]
            counted = f"{band['n_found']} of {band['n_labelled']}"
            shares = show(band["found"]), show(band["within_auroc"])
            told = band_name(band), band["n_sessions"], names[scorer], band["n_flagged"], counted
            yield _row(*told, *shares)


def _ratings(table: Record, names: Mapping[str, str]) -> Iterator[str]:
    yield (
        "ICC(2,1) asks for the same rating, ICC(3,1) for the same but for a constant shift "
        "(Shrout & Fleiss 1979); both take the coders' mean for one rater and the scorer for "
        "another.\n"
    )
    yield from _table("rating", "scorer", "Spearman", "ICC(2,1)", "ICC(3,1)")
    for label, name, found in _by_label(table, names):
        keys = "spearman", "icc_agreement", "icc_consistency"
        yield _row(label, name, *(show(found[key]) for key in keys))


def _markers(rows: Sequence[Record], names: Mapping[str, str]) -> Iterator[str]:
    shown = [i for i in names if any(i in row["scorers"] for row in rows)]
    yield from _table("marker", "kind", "turns", *(names[scorer] for scorer in shown))
    for row in rows:
        cells = [
            show(row["scorers"][scorer]["average_precision"]) if scorer in row["scorers"] else "–"
            for scorer in shown
        ]
        yield _row(row["marker"], row["kind"], row["n_true"], *cells)


def _subgroups(rows: Sequence[Record], names: Mapping[str, str]) -> Iterator[str]:
    yield (
        "The base rate differs between groups, and average precision with it: compare scorers "
        "within a group, and groups by AUROC (in the JSON). In brackets the labelled turns.\n"
    )
    yield from _table("by", "group", "sessions", "scorer", *FITTED)
    for row in rows:
        for scorer, found in row["scorers"].items():
            cells = [
                f"{show(found[label]['average_precision'])} [{found[label]['n_true']}]"
                for label in FITTED
            ]
            yield _row(row["by"], row["name"], row["n_sessions"], names[scorer], *cells)
