"""Tables of speech: CSV and TSV, and JSON with one object a line.

Columns `speaker, role, start_s, end_s, text` and `cue_id` or `id`; only `text` and one more are
needed. The public AnnoMI release's columns are read too: `interlocutor` is the role,
`timestamp` the start, `utterance_text` the text, `utterance_id` the id. Other columns are kept
as text in `Cue.extra`, and a note counts them.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from detector.errors import MalformedTranscript
from detector.formats.clock import parse_clock
from detector.formats.source import Reader, Reading, Source, parse_json
from detector.formats.speakers import label_roles, named_role
from detector.transcript import Cue, Role

_COLUMNS = {
    "speaker": ("speaker",),
    "role": ("role", "interlocutor"),
    "start": ("start_s", "timestamp"),
    "end": ("end_s",),
    "text": ("text", "utterance_text"),
    "cue_id": ("cue_id", "id", "utterance_id"),
    "session": ("transcript_id", "session_id"),
}
"""What each of our fields may be called, the best name first."""

_DELIMITERS = (",", "\t", ";", "|")
_NUMBER = re.compile(r"-?[0-9]{1,9}(?:[.,][0-9]{1,12})?", re.ASCII)
_ROLE_LETTERS = {
    "t": Role.THERAPIST,
    "th": Role.THERAPIST,
    "c": Role.CLIENT,
    "cl": Role.CLIENT,
    "p": Role.CLIENT,
    "pt": Role.CLIENT,
}


@dataclass(frozen=True, slots=True)
class _Row:
    """One row: its 1-based line, the fields we know, as they are written, and the others."""

    line: int
    fields: Mapping[str, object] = field(repr=False)
    extra: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def recognises_csv(source: Source) -> bool:
    """The first line names a text column and one more that we know."""
    return source.document is None and _sniff(source) is not None


def read_csv(source: Source) -> Reading:
    """Reads every row below the header as one cue."""
    delimiter = _sniff(source) or ","
    table = list(_parse_csv(source.text or "", delimiter))
    (header_line, header), rows = table[0], table[1:]
    names = [name.strip().casefold() for name in header]
    columns = [_column(name, names) for name in names]
    known = {column: at for at, column in enumerate(columns) if column}
    if len(known) < len(columns) - columns.count(None):
        raise MalformedTranscript("the header names a column twice", line=header_line)
    for line, row in rows:
        if len(row) != len(header):
            reason = f"a row of {len(row)} fields under a header of {len(header)}"
            raise MalformedTranscript(reason, line=line)
    others = [at for at, column in enumerate(columns) if column is None]
    cells = [
        _Row(
            line,
            {column: row[at] for column, at in known.items()},
            tuple((header[at].strip(), row[at]) for at in others),
        )
        for line, row in rows
    ]
    return _read_rows(cells)


def _sniff(source: Source) -> str | None:
    """The delimiter with which the first line is a header, or None."""
    first = next((line for line in source.lines if line.strip()), "")
    if len(first) > 10_000:
        return None
    for delimiter in _DELIMITERS:
        names = [name.strip(" \t\"'").casefold() for name in first.split(delimiter)]
        columns = {_column(name, names) for name in names} - {None}
        if "text" in columns and len(columns) > 1:
            return delimiter
    return None


def _column(name: str, names: Sequence[str]) -> str | None:
    """Our field that this column holds, None where it holds none or a better column does."""
    for column, aliases in _COLUMNS.items():
        if name in aliases:
            best = next(alias for alias in aliases if alias in names)
            return column if best == name else None
    return None


def _parse_csv(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line on which each begins; blank lines are none."""
    whole = text.replace("\r\n", "\n").replace("\r", "\n")
    rows = csv.reader(io.StringIO(whole, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for row in rows:
            if row:
                yield begins, row
            begins = rows.line_num + 1
    except csv.Error as error:
        raise MalformedTranscript("a row that is not proper CSV", line=begins) from error


def recognises_jsonl(source: Source) -> bool:
    """The first line is an object with a text and one more key that we know."""
    first = next((line for line in source.lines if line.strip()), "")
    if not first.lstrip().startswith("{"):
        return False
    document, _ = parse_json(first)
    if not isinstance(document, dict):
        return False
    columns = {_column(str(key), list(document)) for key in document} - {None}
    values = (document.get(alias) for alias in _COLUMNS["text"])
    return len(columns) > 1 and any(isinstance(value, str) for value in values)


def read_jsonl(source: Source) -> Reading:
    """Reads every line that holds anything as one cue."""
    rows: list[_Row] = []
    for line, text in enumerate(source.lines, start=1):
        if not text.strip():
            continue
        document, _ = parse_json(text)
        if not isinstance(document, dict):
            raise MalformedTranscript("not a JSON object", line=line)
        keys = {key: _column(key, list(document)) for key in document}
        others = tuple((key, _as_text(document[key])) for key, col in keys.items() if col is None)
        rows.append(_Row(line, {col: document[key] for key, col in keys.items() if col}, others))
    return _read_rows(rows)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_rows(rows: Sequence[_Row]) -> Reading:
    """Cues of the rows; a file with more than one session is refused."""
    sessions = {str(row.fields["session"]) for row in rows if "session" in row.fields}
    if len(sessions) > 1:
        raise MalformedTranscript(
            f"the file holds {len(sessions)} sessions; split it into one file for each"
        )
    reading = Reading(n_found=len(rows))
    speakers = [_label(row, "speaker") or _label(row, "role") for row in rows]
    by_label = label_roles(dict.fromkeys(speaker for speaker in speakers if speaker))
    given = {_label(row, "cue_id") for row in rows}
    n_odd = 0
    for place, (row, speaker) in enumerate(zip(rows, speakers, strict=True), start=1):
        text = _text(row)
        if not text:
            reading.drop(f"line {row.line}", "empty text")
            continue
        start, end = reading.span(_seconds(row, "start"), _seconds(row, "end"), f"line {row.line}")
        stated = _label(row, "role")
        role = _role(stated) if stated else by_label.get(speaker or "", Role.UNKNOWN)
        n_odd += stated is not None and role is Role.UNKNOWN and stated.casefold() != "unknown"
        own_id = f"line {row.line}" if str(place) in given else str(place)
        cue_id = _label(row, "cue_id") or own_id
        reading.add(Cue(cue_id, speaker, text, start, end, role=role, extra=row.extra))
    if n_others := len({name for row in rows for name, _ in row.extra}):
        reading.notes.append(f"{n_others} columns are not ours; they are kept and not scored.")
    if n_odd:
        reading.notes.append(f"{n_odd} rows state a role that is not known; left open.")
    return reading


def _role(stated: str) -> Role:
    """The role that a role column states; there a single letter is a statement too."""
    return _ROLE_LETTERS.get(stated.casefold()) or named_role(stated)


def _text(row: _Row) -> str:
    value = row.fields.get("text")
    if not isinstance(value, str):
        raise MalformedTranscript("a text is expected", line=row.line)
    return " ".join(value.split())


def _label(row: _Row, column: str) -> str | None:
    """The field as a label, 0 as good as any; None where it is missing or blank."""
    value = row.fields.get(column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int))):
        raise MalformedTranscript("a label is expected", line=row.line)
    return None if value is None else str(value).strip() or None


def _seconds(row: _Row, column: str) -> float | None:
    """Seconds from a number, `12,5`, or a clock such as `00:00:12`; None where blank."""
    value = row.fields.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9:
        return float(value)
    if isinstance(value, str):
        written = value.strip()
        clock = parse_clock(written)
        if clock is not None:
            return clock
        if _NUMBER.fullmatch(written):
            return float(written.replace(",", "."))
    raise MalformedTranscript("a time is expected", line=row.line)


READERS = (
    Reader(
        name="jsonl",
        title="JSON Lines with speaker and text",
        recognises=recognises_jsonl,
        read=read_jsonl,
        example='{"speaker": "A", "role": "client", "start_s": 1.0, "end_s": 2.5, "text": "…"}',
    ),
    Reader(
        name="csv",
        title="CSV or TSV with speaker and text",
        recognises=recognises_csv,
        read=read_csv,
        example="speaker,role,start_s,end_s,text",
    ),
)
