"""How far coders agree, as one record that JSON can hold.

The record (schema "rupture-agreement/1"). E is {"value", "low", "high", "reason",
"n_undefined"}: a coefficient with its 95 % interval by bootstrap over sessions; null with a
reason where it is not estimable.

    schema, how   {labels_from, stage, coders, n_sessions, n_annotations, n_draws, seed, notes}
    codes         [{code, kind: group|marker|rating, units: {unit: {n_units, n_shared, n_coders,
                  n_sessions, prevalence E, percent E, kappa E, ac1 E, alpha E, icc_single E,
                  icc_mean E}}}]
    confusion     {codes, counts [[n]], coders}: of turns that two coders saw, the first one's
                  marker down and the second one's across; the last row and column is none
    disagreements [{session_id, turn, turn_id, start_s, codes {coder: [code]}, group, gap}],
                  the widest first

A code is measured as there or not, a rating as ordinal numbers. Both ICC of a segment or session
are of how many turns carry the code.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import combinations
from typing import Any

from detector.agreement import N_DRAWS, SEED, Agreement, agree
from detector.annotation import UNITS, Labels
from detector.codebook import load_codebook
from detector.report import RATINGS
from training.coding import GROUPS, UNTIMED_TURNS, Codings, Sheet, markers_of, table

Record = Mapping[str, Any]

SCHEMA = "rupture-agreement/1"
NONE = "none"
LABELS_FROM = {
    "annomi": "one language model under our codebook, twice, in contexts of its own; no clinician. "
    "Agreement is consistency, not validity"
}


def measure(
    labels: Labels, codings: Codings, *, stage: str = "blind", labels_from: str = ""
) -> dict[str, Any]:
    """The record over all units; `labels_from` says who the coders are."""
    named = [*GROUPS, *codings.codes]
    return {
        "schema": SCHEMA,
        "how": {
            "labels_from": labels_from,
            "stage": stage,
            "coders": list(codings.coders),
            "n_sessions": len(codings.sheets),
            "n_annotations": len(labels.annotations),
            "n_draws": N_DRAWS,
            "seed": SEED,
            "notes": [*labels.notes, *_notes(codings)],
        },
        "codes": [
            {"code": code, "kind": _kind(code), "units": dict(_units(codings, code))}
            for code in named
        ],
        "confusion": confusion(codings),
        "disagreements": disagreements(codings),
    }


def _kind(code: str) -> str:
    return "group" if code in GROUPS else "rating" if code in RATINGS else "marker"


def _notes(codings: Codings) -> Iterator[str]:
    untimed = sum(not sheet.is_timed for sheet in codings.sheets)
    if untimed:
        yield (
            f"{untimed} sessions have turns without a start: there a segment is "
            f"{UNTIMED_TURNS['segment_1min']} turns for a minute and "
            f"{UNTIMED_TURNS['segment_5min']} for five."
        )


def _units(codings: Codings, code: str) -> Iterator[tuple[str, dict[str, Any]]]:
    rating = code in RATINGS
    for unit in UNITS:
        found = table(codings, code, unit)
        if len(found.units):
            measured = agree(found.ratings, "ordinal" if rating else "nominal")
            if not rating and unit != "turn":
                counted = agree(found.counted, "interval")
                yield unit, _plain(measured, counted)
            else:
                yield unit, _plain(measured, measured)


def _plain(measured: Agreement, counted: Agreement) -> dict[str, Any]:
    icc = {name: asdict(getattr(counted, name)) for name in ("icc_single", "icc_mean")}
    return {**asdict(measured), **icc}


def confusion(codings: Codings) -> dict[str, Any]:
    """Which marker one coder gives where another gives another, over all pairs of coders.

    A turn counts once for each marker that both give; of what is left, each marker of the one
    counts against each of the other, or against none.
    """
    codes = [code for code in codings.codes if code not in RATINGS]
    names = [*codes, NONE]
    counts: Counter[tuple[str, str]] = Counter()
    for one, other in combinations(codings.coders, 2):
        for sheet in codings.sheets:
            both = sheet.seen.get(one, frozenset()) & sheet.seen.get(other, frozenset())
            for place in both & sheet.marked:
                counts.update(_pairs(*(_given(sheet, c, place) for c in (one, other))))
    used = [name for name in names if any(name in pair for pair in counts)]
    return {
        "coders": list(codings.coders),
        "codes": used,
        "counts": [[counts[down, across] for across in used] for down in used],
    }


def _given(sheet: Sheet, coder: str, place: int) -> frozenset[str]:
    turn, known = sheet.turns[place], load_codebook().markers
    said = sheet.said
    return frozenset(c for c in known if (x := said.get((coder, "turn", turn, c))) and x.value)


def _pairs(one: frozenset[str], other: frozenset[str]) -> Iterator[tuple[str, str]]:
    yield from ((code, code) for code in one & other)
    left, right = one - other, other - one
    yield from ((a, b) for a in left or ({NONE} if right else ()) for b in right or {NONE})


def disagreements(codings: Codings) -> list[dict[str, Any]]:
    """Turns on which coders who saw them are not at one, the widest gap first.

    The gap is the intensity that was given, 1 where none was: all of it where some coder gives no
    code of that group, half where they give different ones; half again where a coder was not
    sure. Ours, to put first what an adjudicator will learn most from.
    """
    found = []
    for sheet in codings.sheets:
        for place in sorted(sheet.marked):
            turn = sheet.turns[place]
            coders = [c for c in codings.coders if place in sheet.seen.get(c, ())]
            codes = {coder: _given(sheet, coder, place) for coder in coders}
            for group in [name for name in GROUPS if name != "any rupture"]:
                own = {coder: codes[coder] & set(markers_of(group)) for coder in coders}
                if len(set(own.values())) > 1:
                    found.append(_disagreement(sheet, place, turn, group, own))
    return sorted(found, key=lambda one: (-one["gap"], one["session_id"], one["turn"]))


def _disagreement(
    sheet: Sheet, place: int, turn: int, group: str, own: Mapping[str, frozenset[str]]
) -> dict[str, Any]:
    said = [sheet.said[coder, "turn", turn, code] for coder in own for code in own[coder]]
    gap = float(max(one.intensity or 1 for one in said))
    gap *= 1.0 if not all(own.values()) else 0.5
    gap *= 0.5 if any(one.sure is False for one in said) else 1.0
    return {
        "session_id": sheet.session_id,
        "turn": turn,
        "turn_id": sheet.turn_ids[place],
        "start_s": sheet.starts_s[place],
        "group": group.removeprefix("any "),
        "codes": {coder: sorted(codes) for coder, codes in own.items()},
        "gap": gap,
    }
