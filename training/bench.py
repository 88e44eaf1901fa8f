"""Speed, cold start and memory on this machine: `make bench`. Nothing is asserted.

Every figure is a median of alternating runs in fresh processes or one warm process, as said.
"""

import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from detector.formats import read_transcript
from detector.pipeline import Detector
from detector.transcript import Cue, Role, Transcript
from training.corpus import load_synthetic

N_TURNS = 400
N_RUNS = 9
SLOPE = (100, 400, 2000, 20000)
"""Turns of the sessions on which the cost a turn is compared."""


def session_of(n_turns: int) -> Transcript:
    """A session of this many turns, made of invented ones end to end, with its times."""
    cues: list[Cue] = []
    offset = 0.0
    sessions = [session.transcript for session in load_synthetic()]
    while True:
        for transcript in sessions:
            for turn in transcript.turns:
                if len(cues) == n_turns:
                    return Transcript("bench", tuple(cues))
                start, end = (turn.start_s or 0.0) + offset, (turn.end_s or 0.0) + offset
                name = "Dr. Rivera" if turn.role is Role.THERAPIST else "Sam"
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


def median_s(run: Callable[[], object], n_runs: int = N_RUNS) -> float:
    """Median wall seconds of a call, after one that is not counted."""
    run()
    taken = []
    for _ in range(n_runs):
        begun = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def cold_start(path: Path) -> Iterator[str]:
    """A fresh `rupture score` on one file, beside Python's own start, alternating."""
    scoring = [sys.executable, "-m", "detector", "score", str(path), "--therapist", "Dr. Rivera"]
    starts: dict[str, list[float]] = {"python": [], "score": []}
    for _ in range(N_RUNS):
        for name, command in (("python", [sys.executable, "-c", ""]), ("score", scoring)):
            begun = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603
            starts[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(taken) for name, taken in starts.items()}
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    yield f"| cold start of `rupture score`, {N_TURNS} turns | {medians['score']:.2f} s |"
    yield f"| Python's own start | {medians['python']:.2f} s |"
    yield f"| peak memory of that process | {peak_kib / 1024:.0f} MiB |"


def command() -> None:
    """Turns a second, cold start and peak memory of the rules-and-timing scorer."""
    transcript = session_of(N_TURNS)
    vtt = as_vtt(transcript)
    detector = Detector.load()
    lines = [
        f"Python {platform.python_version()}, {platform.machine()}, "
        f"medians of {N_RUNS} runs. Absolute times are of this machine alone.",
        "",
        "| what | measured |",
        "|---|---|",
    ]

    def whole() -> str:
        return detector.analyze(read_transcript(vtt), therapist="Dr. Rivera").to_json()

    taken = median_s(whole)
    lines.append(f"| {N_TURNS} turns, VTT to report JSON, warm | {taken * 1000:.0f} ms |")
    lines.append(f"| turns a second | {N_TURNS / taken:,.0f} |")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "session.vtt"
        path.write_text(vtt, encoding="utf-8")
        lines += cold_start(path)
    for n_turns in SLOPE:
        longer = session_of(n_turns)
        one = median_s(lambda longer=longer: detector.analyze(longer), 3)  # type: ignore[misc]
        lines.append(f"| {n_turns:,} turns, warm: ms a turn | {one / n_turns * 1000:.2f} |")
    typer.echo("\n".join(lines))


if __name__ == "__main__":
    command()
