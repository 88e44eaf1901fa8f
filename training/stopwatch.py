"""What is timed, and how: a long invented session, and calls that take turns."""

import statistics
import time
from collections.abc import Callable, Mapping

from detector.transcript import Cue, Role, Transcript
from training.corpus import load_synthetic

N_RUNS = 9
THERAPIST = "Dr. Rivera"


def session_of(n_turns: int) -> Transcript:
    """A session of this many cues, made of invented ones end to end, with its times.

    Where two meet, neighbours of one speaker can become one turn: one in a thousand, at most.
    """
    cues: list[Cue] = []
    offset = 0.0
    sessions = [session.transcript for session in load_synthetic()]
    while True:
        for transcript in sessions:
            for turn in transcript.turns:
                if len(cues) == n_turns:
                    return Transcript("bench", tuple(cues))
                start, end = (turn.start_s or 0.0) + offset, (turn.end_s or 0.0) + offset
                name = THERAPIST if turn.role is Role.THERAPIST else "Sam"
                cues.append(Cue(str(len(cues)), name, turn.text, start, end, role=turn.role))
            offset = cues[-1].end_s or offset


def as_vtt(transcript: Transcript) -> str:
    """The session as a platform would hand it over."""
    blocks = [
        f"{_clock(cue.start_s or 0.0)} --> {_clock(cue.end_s or 0.0)}\n{cue.speaker}: {cue.text}"
        for cue in transcript.cues
    ]
    return "\n\n".join(["WEBVTT", *blocks]) + "\n"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    thousandths = int((seconds - whole) * 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{thousandths:03}"


def median_s(run: Callable[[], object], n_runs: int = N_RUNS, *, is_warm: bool = False) -> float:
    """Median wall seconds of a call, after one that is not counted unless it is warm."""
    return alternating({"": run}, n_runs, is_warm=is_warm)[""]


def alternating(
    runs: Mapping[str, Callable[[], object]], n_runs: int, *, is_warm: bool = False
) -> dict[str, float]:
    """Median wall seconds of each call, taken in turn, after one of each that is not counted.

    In turn, so that what else the machine does meanwhile falls on all alike. Where all are warm
    already, every call counts.
    """
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(n_runs if is_warm else n_runs + 1):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            if number or is_warm:
                taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(each) for name, each in taken.items()}
