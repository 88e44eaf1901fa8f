"""How often each pattern hits, and how often it is right: `rupture patterns`.

A hit is right where the turn carries the pattern's marker, nearly right where it carries one of
the same kind. The labels on AnnoMI come from a language model under our codebook, adjudicated,
not from clinicians. Moves, strengths and technical events have no labels: only hits are counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from detector.codebook import load_codebook
from detector.markers import MarkerRules
from training.corpus import LabelledSession, load_annomi, load_synthetic, told

UNLABELLED = ("strength", "move", "technical")
"""Kinds of marker that the labels do not name."""


@dataclass(frozen=True, slots=True)
class PatternCount:
    """One row of the table: counts of turns.

    `n_hit` turns were hit, `n_right` of them carry the marker, `n_near` one of its kind, and
    `n_marked` turns carry the marker at all.
    """

    pattern_id: str
    n_hit: int
    n_right: int
    n_near: int
    n_marked: int

    @property
    def precision(self) -> float | None:
        """Share of hit turns that carry the marker; None where nothing was hit."""
        return self.n_right / self.n_hit if self.n_hit else None

    @property
    def recall(self) -> float | None:
        """Share of the marker's turns that were hit; None where no turn carries it."""
        return self.n_right / self.n_marked if self.n_marked else None


def count_hits(sessions: Iterable[LabelledSession], rules: MarkerRules) -> list[PatternCount]:
    """One count for each pattern, in the codebook's order, and one for each marker as a whole.

    The row of a whole marker has the marker's id as its `pattern_id`.
    """
    kinds = {marker.id: marker.kind for marker in rules.codebook.markers.values()}
    tallies: dict[str, Counter[str]] = defaultdict(Counter)
    marked: Counter[str] = Counter()
    for session in sessions:
        turns = session.transcript.turns
        for turn, hits in zip(turns, rules.find(turns), strict=True):
            carried = session.markers_of(turn)
            marked.update(carried)
            near = {kinds[marker] for marker in carried}
            for name, marker in {(h.pattern_id, h.marker) for h in hits} | {
                (h.marker, h.marker) for h in hits
            }:
                tallies[name]["hit"] += 1
                tallies[name]["right"] += marker in carried
                tallies[name]["near"] += kinds[marker] in near
    rows = [(pattern.id, pattern.marker) for pattern in rules.codebook.patterns.values()]
    rows += [(marker, marker) for marker in rules.codebook.markers]
    return [
        PatternCount(name, t["hit"], t["right"], t["near"], marked[marker])
        for name, marker in rows
        for t in [tallies[name]]
    ]


def as_markdown(named: Sequence[tuple[str, list[PatternCount]]]) -> Iterator[str]:
    """The table's lines: one row a pattern, and for each named corpus its four figures."""
    known = load_codebook()
    yield (
        "| pattern | "
        + " | ".join(f"{name}: hits | precision | same kind | recall" for name, _ in named)
        + " |"
    )
    yield "|---" * (1 + 4 * len(named)) + "|"
    for row in zip(*(counts for _, counts in named), strict=True):
        name = row[0].pattern_id
        is_marker = name in known.markers
        kind = known.markers[name if is_marker else known.patterns[name].marker].kind
        cells = [cell for count in row for cell in _cells(count, kind in UNLABELLED)]
        yield f"| {f'**{name}**' if is_marker else name} | " + " | ".join(cells) + " |"


def _cells(count: PatternCount, is_unlabelled: bool) -> list[str]:
    if is_unlabelled:
        return [str(count.n_hit), "–", "–", "–"]
    near = count.n_near / count.n_hit if count.n_hit else None
    shares = (count.precision, near, count.recall)
    return [str(count.n_hit), *("–" if share is None else f"{share:.2f}" for share in shares)]


def _told() -> Iterator[str]:
    """What the table is, from this file's own first lines."""
    yield "Written by `rupture patterns`. " + " ".join((__doc__ or "").split("\n\n")[1].split())
    yield "The patterns were written with these sessions in sight, so the figures flatter them."
    yield "A row in bold is a marker as a whole. Recall is of the marker's turns."


@told()
def command(
    out: Annotated[Path | None, typer.Option(help="Write the Markdown table here.")] = None,
    marker: Annotated[str, typer.Option(help="Only patterns whose id starts so.")] = "",
) -> None:
    """Each pattern's hits, precision and recall on AnnoMI train and on the invented sessions."""
    rules = MarkerRules()
    real = load_annomi("train")
    named = [
        ("AnnoMI train", count_hits(real, rules)),
        ("invented", count_hits(load_synthetic(), rules)),
    ]
    kept = [(name, [c for c in rows if c.pattern_id.startswith(marker)]) for name, rows in named]
    head = ["# How often each pattern hits, and how often it is right", "", *_told(), ""]
    text = "\n".join([*head, *as_markdown(kept)]) + "\n"
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(command)
