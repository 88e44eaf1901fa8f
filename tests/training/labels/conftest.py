"""An invented session, and annotations of it, for the tests of each format."""

from collections.abc import Callable
from typing import Any

import pytest

from detector.annotation import Annotation, Labels
from detector.codebook import load_codebook
from detector.transcript import Cue, Role, Transcript
from training.labels.codings import context_of

ROLES = (Role.THERAPIST, Role.CLIENT)


def session(n_turns: int = 6, *, timed: bool = True, session: int = 1) -> Transcript:
    """Therapist and client in turn; the words hold signs that formats keep for themselves."""
    cues = tuple(
        Cue(
            f"u{place}",
            "AB"[place % 2],
            f'[{session}] "well; a_b <x> & {place}:\u2028so…',
            start_s=10.0 * place if timed else None,
            end_s=10.0 * place + 8.125 if timed else None,
            role=ROLES[place % 2],
        )
        for place in range(n_turns)
    )
    return Transcript("made", cues)


@pytest.fixture(scope="session")
def transcripts() -> dict[str, Transcript]:
    """Two sessions by id."""
    return {"s1": session(), "s2": session(8, session=2)}


Make = Callable[..., Annotation]


@pytest.fixture(scope="session")
def make(transcripts: dict[str, Transcript]) -> Make:
    """One annotation of a turn, with what its transcript says of the turn."""

    def made(
        index: int, code: str, coder: str = "c1", session: str = "s1", **more: Any
    ) -> Annotation:
        context = context_of(transcripts[session].turns[index])
        own = {"unit_type": "turn", "unit_index": index, "coder": coder, "code": code}
        return Annotation(
            session_id=session, **{**shared(transcripts, session), **own, **context, **more}
        )

    return made


def shared(transcripts: dict[str, Transcript], session: str) -> dict[str, Any]:
    """What every annotation of a session says."""
    return {
        "codebook_version": load_codebook().version,
        "transcript_sha256": transcripts[session].sha256,
        "study_id": "a study; 1=2",
    }


@pytest.fixture(scope="session")
def see(transcripts: dict[str, Transcript]) -> Make:
    """That a coder has seen a whole session."""

    def made(coder: str = "c1", session: str = "s1", **more: Any) -> Annotation:
        own = {"unit_type": "session", "unit_index": 0, "coder": coder, "code": "seen"}
        return Annotation(session_id=session, **{**shared(transcripts, session), **own, **more})

    return made


@pytest.fixture(scope="session")
def labels(make: Make, see: Make) -> Labels:
    """Two coders and a model: what every format carries that shows whole sessions."""
    return Labels(
        (
            see("c1", lead_time_s=61.5),
            make(1, "denial"),
            make(3, "rejects_intervention"),
            see("c2"),
            make(1, "denial", "c2"),
            make(1, "minimal_response", "c2"),
            make(2, "contributes", "c2"),
            see("c1", "s2"),
            see("net@1", "s2", stage="model"),
            make(5, "defends_self", "net@1", "s2", stage="model"),
        )
    )
