"""Sessions of one's own as JSON lines, the form that training reads: `rupture own-example`.

`write_export` is the other direction of training.sources.read_export. The command writes some of
the invented sessions as if they were one's own, to try the way through before real labels exist.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from detector.transcript import Cue
from models.sealing import write_whole
from training.corpus import CueLabel, LabelledSession, TrainingDataError, load_synthetic, told

DEV_EVERY = 5
"""Every fifth session is kept for the split `dev`, whose figures are shown apart."""


def write_export(path: Path, sessions: Iterable[LabelledSession]) -> None:
    """Writes sessions, one a line, so that `read_export` gives the same labels. Whole or not."""
    lines = (json.dumps(as_record(session), ensure_ascii=False) for session in sessions)
    write_whole(path, "".join(f"{line}\n" for line in lines))


def as_record(session: LabelledSession) -> dict[str, Any]:
    """One session as training.sources describes it; raw codings are not carried."""
    record: dict[str, Any] = {
        "session_id": session.session_id,
        "group": session.group,
        "split": session.split,
        "turns": [_turn(session, cue) for cue in session.transcript.cues],
    }
    if session.client:
        record["client"] = session.client
    if session.ratings:
        record["ratings"] = dict(session.ratings)
    return record


def _turn(session: LabelledSession, cue: Cue) -> dict[str, Any]:
    label = session.labels.get(cue.cue_id, CueLabel())
    turn: dict[str, Any] = {
        "speaker": cue.speaker,
        "role": str(cue.role),
        "text": cue.text,
        "start_s": cue.start_s,
        "end_s": cue.end_s,
    }
    if label.markers:
        turn |= {"markers": sorted(label.markers), "intensity": label.intensity}
        turn |= {"pillar": label.pillar, "sure": label.sure}
    return turn


def example_sessions(count: int) -> Sequence[LabelledSession]:
    """Invented sessions that pass for one's own: evenly over all, each with a client of its own.

    Raises: TrainingDataError: there are not as many.
    """
    every = load_synthetic()
    if count > len(every):
        raise TrainingDataError(f"there are {len(every)} invented sessions, not {count}")
    chosen = [every[place * len(every) // count] for place in range(count)]
    return [
        replace(
            session,
            session_id=f"own-{place:03}",
            group=f"client-{place:03}",
            client=f"client-{place:03}",
            split="dev" if place % DEV_EVERY == 0 else "train",
        )
        for place, session in enumerate(chosen)
    ]


@told()
def command(
    out: Annotated[Path, typer.Option(help="Where the JSON lines are written.")],
    sessions: Annotated[int, typer.Option(help="How many.", min=10)] = 40,
) -> None:
    """Write invented sessions as if they were your own, to try training with."""
    made = example_sessions(sessions)
    write_export(out, made)
    n_turns = sum(len(session.transcript.cues) for session in made)
    n_coded = sum(bool(label.markers) for one in made for label in one.labels.values())
    typer.echo(f"{out}: {len(made)} invented sessions, {n_turns} turns, {n_coded} with a marker")


if __name__ == "__main__":
    typer.run(command)
