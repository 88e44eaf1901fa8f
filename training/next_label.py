"""Which sessions, or turns, to code next: `rupture label next`.

Transcripts that nobody has coded are scored by the checkpoint in use and by the rules alone, and
ordered by training.picking: where the scorer doubts, where network and rules are apart, and what is
unlike everything coded so far. What is said of each is numbers and ids, never what was said. Only
the client's turns count: withdrawal and confrontation are what is learned.

Order is not truth: docs/active-learning.md says what this order was worth in a simulation.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from detector.errors import DetectorError
from detector.features import as_matrix, read_session
from detector.formats import read_transcript
from detector.markers import MarkerRules
from detector.pipeline import RULES, Detector
from detector.roles import assign_roles
from detector.transcript import Role, Transcript
from detector.weights import Array
from models.errors import ModelError
from training.corpus import TrainingDataError, told
from training.picking import SIGNS, Pick, Pool, pick
from training.simulate import COUNTED, HITS, KINDS
from training.sources import read_export


class By(StrEnum):
    """What is picked."""

    SESSION = "session"
    TURN = "turn"


@dataclass(frozen=True)
class Candidate:
    """An uncoded session's client turns: their indexes, chances by two readers, and features."""

    session_id: str
    turns: tuple[int, ...]
    chances: Array = field(repr=False)
    others: Array = field(repr=False)
    features: tuple[Any, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A session to code next, or a turn of it by its index (None: the whole session)."""

    session_id: str
    turn: int | None
    n_turns: int
    pick: Pick

    def as_record(self) -> dict[str, Any]:
        """Ids and numbers."""
        place = {} if self.turn is None else {"turn": self.turn}
        signs = {
            name: {"value": round(self.pick.values[name], 4), "rank": round(rank, 4)}
            for name, rank in self.pick.ranks.items()
        }
        about = {"session_id": self.session_id, **place, "n_client_turns": self.n_turns}
        return {**about, "rank": round(self.pick.rank, 4), "why": self.pick.why, "signs": signs}


def read_candidate(
    session_id: str, transcript: Transcript, scorer: Detector, rules: Detector
) -> Candidate | None:
    """What two readers say of a session's client turns; None where none of them is scored."""
    scored, other = scorer.score(transcript), rules.score(transcript)
    mine = tuple(
        turn.index
        for turn in transcript.turns
        if turn.role is Role.CLIENT and turn.index not in scored.abstained
    )
    if not mine:
        return None
    chances, others = (
        np.stack([one.scores[kind][list(mine)] for kind in KINDS], axis=1)
        for one in (scored, other)
    )
    features = tuple(scored.read.features[index] for index in mine)
    return Candidate(session_id, mine, chances, others, features)


def coded_features(path: Path) -> list[Any]:
    """Features of the client turns of sessions that are coded, as training reads them."""
    rules = MarkerRules()
    found: list[Any] = []
    for session in read_export(path):
        read = read_session(session.transcript, rules)
        pairs = zip(read.turns, read.features, strict=True)
        found += [row for turn, row in pairs if turn.role is Role.CLIENT]
    return found


def suggest(
    candidates: Sequence[Candidate], coded: Sequence[Any], count: int, by: By
) -> list[Suggestion]:
    """The sessions or turns to code next, the first first.

    Args:
        candidates: at least one.
        coded: features of turns that are coded; none: everything is as new as everything else.
        count: how many.
        by: what is picked.
    """
    rows = [row for one in candidates for row in one.features]
    names = tuple(sorted({n for row in rows for n in row if n.startswith((*HITS, *COUNTED))}))
    table = np.nan_to_num(as_matrix([*rows, *coded], names))
    spread = table.std(axis=0)
    table = np.clip((table - table.mean(axis=0)) / np.where(spread < 1e-9, 1.0, spread), -5, 5)
    whose = np.repeat(np.arange(len(candidates)), [len(one.turns) for one in candidates])
    owner = whose if by is By.SESSION else np.arange(len(rows))
    chances = np.concatenate([one.chances for one in candidates])
    others = np.concatenate([one.others for one in candidates])
    pool = Pool(owner, chances, others, table[: len(rows)], table[len(rows) :])
    indexes = [index for one in candidates for index in one.turns]
    found = []
    for one in pick(pool, count):
        session = candidates[one.unit if by is By.SESSION else int(whose[one.unit])]
        turn = None if by is By.SESSION else indexes[one.unit]
        found.append(Suggestion(session.session_id, turn, len(session.turns), one))
    return found


def as_table(found: Sequence[Suggestion]) -> Iterator[str]:
    """A line for each: what, by which sign, and every sign with its rank among all."""
    for place, one in enumerate(found, start=1):
        what = one.session_id if one.turn is None else f"{one.session_id}, turn {one.turn}"
        signs = ", ".join(
            f"{name} {one.pick.values[name]:.3f} (above {one.pick.ranks[name]:.0%})"
            for name in SIGNS
            if name in one.pick.ranks
        )
        yield f"{place:3}. {what}: {one.n_turns} client turns; {one.pick.why} first. {signs}"


def _read_all(files: Sequence[Path], checkpoint: str | None) -> Iterator[Candidate]:
    """Every file that can be used; of each other a line on standard error says why not."""
    try:
        scorer, rules = Detector.load(checkpoint), Detector.load(RULES)
    except ModelError as error:
        raise TrainingDataError(str(error)) from None
    for path in files:
        try:
            assigned = assign_roles(read_transcript(path)).transcript
        except (DetectorError, OSError) as error:
            reason = str(error) if isinstance(error, DetectorError) else type(error).__name__
            typer.echo(f"{path.name}: left out: {reason}", err=True)
            continue
        candidate = read_candidate(path.stem, assigned, scorer, rules)
        if candidate is None:
            typer.echo(f"{path.name}: left out: no client turn can be scored", err=True)
        else:
            yield candidate


@told()
def command(
    files: Annotated[list[Path], typer.Argument(help="Transcripts that nobody has coded.")],
    coded: Annotated[
        Path | None, typer.Option(help="Sessions that are coded, JSON lines as training reads.")
    ] = None,
    by: Annotated[By, typer.Option(help="What is picked.")] = By.SESSION,
    count: Annotated[int, typer.Option(help="How many.", min=1)] = 10,
    checkpoint: Annotated[
        str | None, typer.Option(help="Name or folder. Default: the one in use.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON line for each.")] = False,
) -> None:
    """Say which sessions or turns to code next, and why: ids and numbers, never text."""
    candidates = [*_read_all(files, checkpoint)]
    if not candidates:
        raise TrainingDataError("none of the files can be used: nothing to pick from")
    found = suggest(candidates, coded_features(coded) if coded else [], count, by)
    lines = map(json.dumps, (one.as_record() for one in found)) if as_json else as_table(found)
    for line in lines:
        typer.echo(line)


if __name__ == "__main__":
    typer.run(command)
