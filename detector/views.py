"""A report as a table for the terminal and as CSV; the page is in detector.page."""

import csv
import io
import re
from collections.abc import Iterable

from detector.codebook import load_codebook
from detector.report import Moment, Report

CSV_COLUMNS = (
    "transcript_sha256",
    "turn_index",
    "cue_ids",
    "speaker",
    "role",
    "start_s",
    "end_s",
    "text",
    "label",
    "score",
    "markers",
    "abstained",
    "checkpoint",
    "codebook",
)
"""Columns of the long CSV, one row a turn × label; `file` stands before them where asked for."""

_FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""What a spreadsheet may take for a formula, white space before it or not (OWASP, CSV injection:
the wide forms are brought to the narrow ones by some)."""

_STEERS_TERMINAL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that move the cursor, colour, rename or turn round what a terminal shows."""


def as_csv(report: Report, *, file: str | None = None, header: bool = True) -> str:
    """The long table: UTF-8 text, dot decimals, `NA` where nothing is known.

    NA is not 0: not seen is not the same as not there. A cell that a spreadsheet would run as a
    formula gets an apostrophe before it.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = CSV_COLUMNS if file is None else ("file", *CSV_COLUMNS)
    if header:
        buffer.write(csv_header(file=file is not None))
    for row in report.to_rows():
        writer.writerow(csv_cell({**row, "file": file}[column]) for column in columns)
    return buffer.getvalue()


def csv_header(*, file: bool = False) -> str:
    """The first line of `as_csv`, with a `file` column or without."""
    return ",".join(("file", *CSV_COLUMNS) if file else CSV_COLUMNS) + "\n"


def csv_cell(value: object) -> object:
    """A value as a spreadsheet may read it: `NA` for None, and no text that runs or breaks lines.

    White space before a formula does not hide it.
    """
    if value is None:
        return "NA"
    if not isinstance(value, str):
        return value
    # The csv module leaves a carriage return unquoted, and readers take it for a line's end.
    text = value.replace("\r", " ")
    is_formula = value.startswith(_FORMULA_STARTS) or value.lstrip().startswith(_FORMULA_STARTS)
    return f"'{text}" if is_formula else text


def for_terminal(text: str) -> str:
    """The text as a terminal may show it: what would steer the terminal becomes U+FFFD.

    A transcript comes from anywhere, and a speaker's name may hold an escape sequence.
    """
    return _STEERS_TERMINAL.sub("\ufffd", text)


def as_table(report: Report, *, width: int = 100) -> str:
    """The few moments, the ratings and the limits, for a terminal of this width.

    Quotes the turns of the moments: it is a view for whoever may read the session.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    console = Console(file=io.StringIO(), width=width, highlight=False, no_color=True)
    for line in _head(report):
        console.print(escape(line))
    for number, moment in enumerate(report.moments, start=1):
        console.print(escape(f"\n{number}. {_when(moment)}  {moment.summary}"))
        pillar = f", pillar: {moment.pillar}" if moment.pillar else ""
        console.print(escape(f"   score {moment.score:.2f}{pillar}, {moment.resolution}"))
        for index in moment.turn_indexes:
            turn = report.turns[index]
            said = f"[{index}] {_one_line(turn.speaker or '?')}: {turn.text}"
            console.print(Padding(escape(said), (0, 3)))
    for line in _foot(report):
        console.print(escape(line))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return for_terminal("\n".join(line.rstrip() for line in lines) + "\n")


def _one_line(label: str) -> str:
    """A speaker's label without the line ends that a table or JSON file may hold in it."""
    return " ".join(label.split())


def _head(report: Report) -> Iterable[str]:
    n = len(report.moments)
    worth = "1 moment" if n == 1 else f"{n} moments"
    yield f"{worth} may be worth a look, in {len(report.turns)} turns."
    assigned = ", ".join(
        f"{_one_line(name)}: {role}" for name, role in report.roles.assigned.items()
    )
    sure = f", confidence {report.roles.confidence:.3f}" if report.roles.confidence else ""
    yield f"Roles ({report.roles.source}{sure}): {assigned}"


def _foot(report: Report) -> Iterable[str]:
    session = report.session
    rated = {
        "withdrawal": session.withdrawal,
        "confrontation": session.confrontation,
        "resolution": session.resolution,
        "contribution": session.contribution,
    }
    said = ", ".join(f"{k} {'NA' if v is None else f'{v:.1f}'}" for k, v in rated.items())
    yield f"\nSession, 1–5 as in the 3RS: {said}"
    if report.strengths:
        titles = load_codebook().markers
        found = dict.fromkeys(titles[strength.marker].title for strength in report.strengths)
        yield f"Strengths: {', '.join(found)} ({len(report.strengths)} signs)"
    yield from (f"Note: {note}" for note in report.notes)
    yield report.limits[0]


def _when(moment: Moment) -> str:
    """Minutes and seconds of the moment's start, or its first turn where there is no clock."""
    if moment.start_s is None:
        return f"turn {moment.turn_indexes[0]}"
    return clock(moment.start_s)


def clock(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss` from an hour on."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}"
