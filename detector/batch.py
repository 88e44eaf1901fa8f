"""Many transcripts on one machine: one process a core, one bad file never stops the others."""

import functools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path

from detector.codebook import load_codebook
from detector.errors import DetectorError, UnknownRole
from detector.formats import MAX_BYTES, read_transcript
from detector.pipeline import Detector
from detector.pool import alone, in_order
from detector.report import Report
from detector.targets import STDIN, targets_of
from detector.transcript import Transcript
from detector.views import as_csv, as_table, csv_header, for_terminal
from models import ModelError

_FEWEST_FOR_PROCESSES = 4
"""Files from which starting processes costs less than it saves: each loads the rules anew."""

KILLED = "the process that read it was killed; too little memory?"
"""What is said of a file whose process died, twice."""

_LONG_BYTES = 1_000_000
"""Size from which a single file is announced: some 10,000 cues, ten seconds. A judgement."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of every file.

    `out` is a folder, or None for standard output; `is_many` where that takes several reports.
    `checkpoint` is as for Detector.load; `threads` that one process's network may use, None for
    all cores.
    """

    format: str = "json"
    roles: Mapping[str, str] = field(default_factory=dict, repr=False)
    therapist: str | None = field(default=None, repr=False)
    attendance: str | None = None
    window_s: float = 300.0
    out: Path | None = None
    is_many: bool = False
    checkpoint: str | None = None
    threads: int | None = None

    @property
    def shares_output(self) -> bool:
        """Whether several reports go to one standard output."""
        return self.out is None and self.is_many


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: `text` to print, or the path `written`, or a `problem`.

    `problem` is a sentence without speech; `needs_roles` says that naming the therapist would
    help, and `speakers` are then the labels found. `ends_all` says that no file can be scored:
    the checkpoint cannot be used, whatever the transcript.
    """

    name: str
    text: str = field(default="", repr=False)
    written: Path | None = None
    problem: str = ""
    needs_roles: bool = False
    speakers: tuple[str, ...] = field(default=(), repr=False)
    ends_all: bool = False


def run(
    names: Sequence[str],
    request: Request,
    *,
    jobs: int | None = None,
    ask: Callable[[UnknownRole], str | None] = lambda error: None,
) -> Iterator[Outcome]:
    """Scores every file, in the given order, until a checkpoint that cannot be used ends all.

    Args:
        names: paths, or "-" for standard input.
        request: what to make of each.
        jobs: processes; all cores where it is None.
        ask: called where a single file does not say who is who; answers the therapist's label.
    """
    ending = "txt" if request.format == "table" else request.format
    targets = targets_of(names, request.out, ending)
    request = replace(request, is_many=len(names) > 1)
    if request.out:
        request.out.mkdir(parents=True, exist_ok=True)
    workers = min(jobs or os.cpu_count() or 1, len(names))
    if len(names) == 1:
        _announce(names[0])
    if len(names) < _FEWEST_FOR_PROCESSES or workers == 1:
        asking = ask if len(names) == 1 else (lambda error: None)
        outcomes = (_score_asking(pair, request, asking) for pair in targets)
        yield from _headed(_with_progress(_until_end(outcomes), len(names)), request)
        return
    # Each process has a network: together they take the cores there are, and no more.
    shared = replace(request, threads=max(1, (os.cpu_count() or 1) // workers))
    scored = in_order(
        functools.partial(_score_one, request=shared),
        targets,
        workers,
        killed=functools.partial(_score_alone, request=shared),
    )
    yield from _headed(_with_progress(_until_end(scored), len(names)), request)


def _until_end(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        yield outcome
        if outcome.ends_all:
            return


def _score_alone(target: tuple[str, Path | None], request: Request) -> Outcome:
    try:
        return alone(functools.partial(_score_one, request=request), target)
    except BrokenProcessPool:
        return Outcome(target[0], problem=KILLED)


def _headed(outcomes: Iterable[Outcome], request: Request) -> Iterator[Outcome]:
    """Where several reports make one CSV, its header before the first that could be made."""
    is_headless = request.shares_output and request.format == "csv"
    for outcome in outcomes:
        if is_headless and not outcome.problem:
            is_headless = False
            outcome = replace(outcome, text=csv_header(file=True) + outcome.text)
        yield outcome


def _announce(name: str) -> None:
    """Says of one long file that it takes a while: it has no parts that a bar could count."""
    if name == STDIN or not sys.stderr.isatty():
        return
    try:
        size = Path(name).stat().st_size
    except OSError:
        return  # reading it says what is wrong
    if size >= _LONG_BYTES:
        sys.stderr.write(f"scoring {size / 1e6:.1f} MB, which may take a minute …\n")
        sys.stderr.flush()


def _with_progress(outcomes: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    """Passes outcomes on, with a bar on standard error where a person can see it."""
    if total < 2 or not sys.stderr.isatty():
        yield from outcomes
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(outcomes, "scoring", total=total, console=Console(stderr=True))


@functools.cache
def detector_of(checkpoint: str | None, threads: int | None) -> Detector:
    """A process's one detector for these, loaded at its first session."""
    return Detector.load(checkpoint, threads=threads)


def _score_asking(
    target: tuple[str, Path | None],
    request: Request,
    ask: Callable[[UnknownRole], str | None],
) -> Outcome:
    outcome = _score_one(target, request=request)
    if outcome.needs_roles and target[0] != STDIN:
        reason = outcome.problem.partition("; speakers found")[0]
        therapist = ask(UnknownRole(outcome.speakers, reason))
        if therapist is not None:
            return _score_one(target, request=replace(request, therapist=therapist))
    return outcome


def _score_one(target: tuple[str, Path | None], *, request: Request) -> Outcome:
    name, path = target
    try:
        report = analyze(_read(name), request)
        text = render(report, request, name=name)
        if path is None:
            return Outcome(name, text=text)
        _write(path, text)
        return Outcome(name, written=path)
    except UnknownRole as error:
        hint = "; say who the therapist is with --therapist NAME" if error.speakers else ""
        return Outcome(name, "", None, f"{error}{hint}", True, error.speakers)
    except ModelError as error:
        return Outcome(name, problem=f"{error}; or --checkpoint rules", ends_all=True)
    except DetectorError as error:
        return Outcome(name, problem=str(error))
    except OSError as error:
        return Outcome(name, problem=error.strerror or "cannot be read")
    except MemoryError:
        return Outcome(name, problem="reading it takes more memory than there is")


def _read(name: str) -> Transcript:
    if name == STDIN:
        return read_transcript(sys.stdin.buffer.read(MAX_BYTES + 1))
    return read_transcript(Path(name))


def analyze(transcript: Transcript, request: Request) -> Report:
    """The report of one transcript as the request wants it. Raises: DetectorError; ModelError."""
    return detector_of(request.checkpoint, request.threads).analyze(
        transcript,
        roles=request.roles,
        therapist=request.therapist,
        attendance=request.attendance,
        window_s=request.window_s,
    )


def render(report: Report, request: Request, *, name: str = "") -> str:
    """The report in the format asked for.

    Where standard output takes several, JSON reports are JSON lines, each with its `file`, and
    CSV is one table with a `file` column, whose header `run` puts before the first.
    """
    if request.format == "json":
        return _json_line(report, name) if request.shares_output else report.to_json()
    if request.format == "html":
        from detector.page import render as render_page

        titled = {} if name in ("", STDIN) else {"title": f"Session report: {Path(name).stem}"}
        return render_page(report, **titled).rstrip() + "\n"
    if request.format == "csv":
        is_part = request.shares_output
        return as_csv(report, file=name if is_part else None, header=not is_part)
    return (
        f"{for_terminal(name)}\n{as_table(report)}\n" if request.shares_output else as_table(report)
    )


def _json_line(report: Report, name: str) -> str:
    return json.dumps({"file": name, **report.to_dict()}, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    """Writes a file whole or not at all, also where the process is interrupted."""
    file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - it must outlive its own closing
        "w", encoding="utf-8", dir=path.parent, prefix=".", delete=False
    )
    try:
        with file:
            file.write(text)
        os.replace(file.name, path)
    finally:
        Path(file.name).unlink(missing_ok=True)


def explain(name: str, index: int, request: Request) -> str:
    """Why one turn got its scores, for a terminal. Quotes the turn.

    Raises: DetectorError; ModelError; OSError; IndexError: there is no such turn.
    """
    report = analyze(_read(name), request)
    if not 0 <= index < len(report.turns):
        raise IndexError(index)
    return for_terminal("\n".join(_explained(report, index)))


def _explained(report: Report, index: int) -> Iterator[str]:
    turn, codebook = report.turns[index], load_codebook()
    yield f"turn {index}, {turn.role}, cues {', '.join(turn.cue_ids)}"
    yield f"  {turn.text}"
    if turn.abstained:
        yield f"not scored: {turn.abstained}"
        return
    yield "scores"
    yield from (f"  {label:14} {value:.3f}" for label, value in turn.scores.items() if value)
    yield "markers"
    for found in turn.markers:
        said = ", ".join(f"“{turn.text[span.start : span.end]}”" for span in found.spans)
        where = f"{found.source} {' '.join(found.pattern_ids)}"
        yield f"  {found.marker} {found.score:.2f}, {found.pillar or 'no pillar'}: {said} ({where})"
        yield f"    {codebook.markers[found.marker].definition}"
    yield "what pulled the scores up, in log-odds"
    for one in turn.evidence:
        yield f"  {one.label:14} {one.contribution:+.2f}  {one.feature} = {one.value:.2f}"
