"""The agreement's record as Markdown for the documentation, and as a table of disagreements."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detector.agreement import Estimate
from detector.annotation import UNITS
from training.agreement_record import NONE, Record

UNIT_NAMES = {
    "turn": "turn",
    "segment_1min": "one minute",
    "segment_5min": "five minutes",
    "session": "session",
}

COLUMNS = {
    "prevalence": "prevalence",
    "percent": "at one",
    "kappa": "kappa",
    "ac1": "AC1",
    "alpha": "alpha",
    "icc_single": "ICC(2,1)",
    "icc_mean": "ICC(2,k)",
}

_HEAD = """# How far coders agree

<!-- Written by `rupture label agree`; what you change here goes with the next run. -->

`rupture label agree FILE…` takes annotations in any format that `rupture label import` reads and
says, for each code and each unit, how far the coders agree: prevalence, share of pairs at one,
Cohen's kappa (with three coders and more its mean over the pairs), Gwet's AC1, Krippendorff's
alpha, ICC(2,1) and ICC(2,k). Every figure has a 95 % interval by bootstrap over sessions, since
the turns of one session are alike; a session is drawn whole or not at all.

- **Not seen is not absent.** A coder who did not read a turn has no value there. A row with the
  code `seen` says that they did.
- **Kappa beside AC1.** Where a code is rare kappa falls, however well the coders do; AC1 hardly
  does, and flatters. Read both beside the prevalence.
- **Segments** carry a code where one of their turns does. Their ICC, and a session's, is of how
  many turns carry it.
- **Not estimable** stands where a figure would mean nothing, with the reason: one class only, a
  code that nobody used, no unit that two coders rated, one coder.

Every coefficient is held to 1e-6 against `krippendorff`, `irrCAC`, `pingouin`, scikit-learn and R's
`psych` (tests/detector/test_agreement.py).
"""


def as_markdown(record: Record, example: str) -> str:
    """The documentation's page: how to read it, and this record as the worked example."""
    return "\n".join([_HEAD, f"## The worked example: `{example}`", "", *_lines(record)]) + "\n"


def as_table(record: Record) -> str:
    """The same without the words on how to read it, for a terminal."""
    return "\n".join(_lines(record)) + "\n"


def _lines(record: Record) -> Iterator[str]:
    how = record["how"]
    if how["labels_from"]:
        yield f"**Who the coders are: {how['labels_from']}.**"
        yield ""
    yield (
        f"{len(how['coders'])} coders ({', '.join(how['coders'])}), {how['n_sessions']} sessions, "
        f"{how['n_annotations']} annotations of pass {how['stage']}; {how['n_draws']} resamples."
    )
    yield from (f"\n{note}" for note in how["notes"])
    for unit in UNITS:
        own = [one for one in record["codes"] if unit in one["units"]]
        shown = own if unit == "turn" else [one for one in own if one["kind"] != "marker"]
        if shown:
            left_out = "" if unit == "turn" else " (single markers stand in the JSON)"
            yield f"\n### By {UNIT_NAMES[unit]}{left_out}\n"
            yield from _table(shown, unit)
    yield from _confused(record["confusion"])
    yield f"\n{len(record['disagreements'])} disagreements are listed for adjudication."


def _table(codes: Sequence[Mapping[str, Any]], unit: str) -> Iterator[str]:
    yield from _row(["code", "units", *COLUMNS.values()])
    yield from _row(["---", "---:", *["---"] * len(COLUMNS)])
    for one in codes:
        found = one["units"][unit]
        figures = [str(Estimate(**found[name])) for name in COLUMNS]
        yield from _row([one["code"], str(found["n_shared"]), *figures])


def _row(cells: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"


def _confused(confusion: Mapping[str, Any], most: int = 10) -> Iterator[str]:
    """The pairs of markers that are taken for each other most often."""
    names, counts = confusion["codes"], confusion["counts"]
    pairs = [
        (counts[i][j] + counts[j][i], names[i], names[j])
        for i in range(len(names))
        for j in range(i)
    ]
    if pairs:
        yield f"\n### Most often taken for each other ({NONE}: the other coder saw nothing)\n"
        yield from _row(["one", "other", "turns"])
        yield from _row(["---", "---", "---:"])
        for n, one, other in sorted(pairs, reverse=True)[:most]:
            if n:
                yield from _row([other, one, str(n)])


def disagreements_csv(record: Record) -> str:
    """One line a disagreement, the widest first, a column a coder; NA: the coder did not see it."""
    coders = record["how"]["coders"]
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["session_id", "turn", "turn_id", "start_s", "about", "gap", *coders])
    for one in record["disagreements"]:
        said = ["|".join(one["codes"][c]) if c in one["codes"] else "NA" for c in coders]
        start = "NA" if one["start_s"] is None else f"{one['start_s']:g}"
        head = [one["session_id"], one["turn"], one["turn_id"], start, one["group"]]
        lines.writerow([*head, f"{one['gap']:g}", *said])
    return text.getvalue()
