"""`rupture invent`: a corpus of any number of invented sessions, to try a big run with.

They are the shipped invented sessions over and over, each under an id of its own: good for time
and memory, good for nothing that is counted in them.
"""

import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from training.corpus import LabelledSession, load_synthetic, told

MOST_OF_A_CLIENT = 16
"""Sessions that an invented client has at most."""


def command(
    n_sessions: Annotated[int, typer.Argument(min=1, help="How many.")],
    out: Annotated[Path, typer.Option(help="The JSONL file to write.")] = Path("invented.jsonl"),
    seed: Annotated[int, typer.Option(help="The same seed gives the same file.")] = 0,
) -> None:
    """Write a corpus of invented sessions, one a line, to try `rupture corpus score` with."""
    waiting = out.with_name(f".{out.name}.tmp")
    with told():
        try:
            with waiting.open("w", encoding="utf-8") as file:
                for session in itertools.islice(sessions(seed), n_sessions):
                    file.write(json.dumps(session, ensure_ascii=False) + "\n")
            os.replace(waiting, out)
        except OSError as error:
            typer.echo(f"{out}: {error.strerror or 'cannot be written'}", err=True)
            raise typer.Exit(3) from None
        finally:
            waiting.unlink(missing_ok=True)
    typer.echo(f"{n_sessions:,} invented sessions in {out}")


def sessions(seed: int = 0) -> Iterator[dict[str, Any]]:
    """Sessions without end, as lines of a JSONL corpus hold them, clients one after the other."""
    draw = random.Random(seed)  # noqa: S311 - nothing secret hangs on it
    shipped = load_synthetic()
    ids = itertools.count(1)
    for client in itertools.count(1):
        for number in range(1, draw.randint(1, MOST_OF_A_CLIENT) + 1):
            yield {
                "session_id": f"invented-{next(ids):07}",
                "client_id": f"client-{client:06}",
                "session_number": number,
                "turns": _turns(draw.choice(shipped)),
            }


def _turns(session: LabelledSession) -> list[dict[str, Any]]:
    return [
        {
            "speaker": cue.speaker,
            "role": cue.role.value,
            "start_s": cue.start_s,
            "end_s": cue.end_s,
            "text": cue.text,
        }
        for cue in session.transcript.cues
    ]
