"""One annotation a line: our JSON lines, and the long table as CSV and as Parquet.

These three carry every field of an annotation. JSON lines alone carry adjudications too: such a
line has `settles`, the coders whose judgements it settles, and `reason`.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from detector.annotation import Adjudication, Annotation, Labels
from detector.errors import AnnotationError
from training.labels.records import BY_NAME, COLUMNS, as_record, as_text, from_record, from_text

_OF_DECISION = ("settles", "reason")


def read_jsonl(path: Path) -> Labels:
    """Annotations and adjudications of a file of JSON lines.

    Raises: AnnotationError: a line is not such a record; by its number.
    """
    found: list[Annotation] = []
    places, decisions = [], []
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        record = json_object(line, where)
        extra = {name: record.pop(name) for name in _OF_DECISION if name in record}
        found.append(from_record(record, where))
        places.append(where)
        if extra:
            decisions.append(_decision(found[-1], extra, where))
    return Labels(tuple(found), tuple(places), tuple(decisions))


def _decision(made: Annotation, extra: Mapping[str, Any], where: str) -> Adjudication:
    settles, reason = extra.get("settles", []), extra.get("reason", "")
    if not (isinstance(settles, list) and all(isinstance(one, str) for one in settles)):
        raise AnnotationError("settles is not a list of coders", where=where)
    if not isinstance(reason, str):
        raise AnnotationError("reason is not a text", where=where)
    try:
        return Adjudication(made, tuple(settles), reason)
    except AnnotationError as error:
        raise AnnotationError(error.reason, where=where) from None


def write_jsonl(labels: Labels, path: Path) -> tuple[str, ...]:
    """Writes all there is, one annotation a line; what is at its default is left out."""
    decisions = {one.decision: one for one in labels.adjudications}
    lines = []
    for one in labels.annotations:
        record = {
            name: value
            for name, value in as_record(one).items()
            if BY_NAME[name].needed or value != BY_NAME[name].default
        }
        if one in decisions:
            record |= {"settles": list(decisions[one].settles), "reason": decisions[one].reason}
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
    return ()


def read_csv(path: Path) -> Labels:
    """Annotations of a long table, UTF-8, with a line of names.

    Raises: AnnotationError: a column or a cell is not one of ours; by the line.
    """
    found, places = [], []
    for number, row in rows_of(path):
        where = f"{path.name}, line {number}"
        record = {
            name: from_text(text, BY_NAME[name], where) if name in BY_NAME else text
            for name, text in row.items()
        }
        found.append(from_record(record, where))
        places.append(where)
    return Labels(tuple(found), tuple(places))


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows by name, each with its line; a row of another width is refused."""
    text = text_of(path).removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        names = next(reader, [])
        for row in reader:
            if len(row) != len(names):
                raise AnnotationError(
                    f"{len(row)} cells under {len(names)} names; is the file whole?",
                    where=f"{path.name}, line {reader.line_num}",
                )
            yield reader.line_num, dict(zip(names, row, strict=True))
    except csv.Error:
        raise AnnotationError("not CSV", where=f"{path.name}, line {reader.line_num}") from None


def write_csv(labels: Labels, path: Path) -> tuple[str, ...]:
    """Writes the long table. Returns: what it does not carry."""
    with path.open("w", encoding="utf-8", newline="") as file:
        # With the line ends of RFC 4180 a lone carriage return in a cell is quoted too.
        table = csv.writer(file, lineterminator="\r\n")
        table.writerow(BY_NAME)
        for one in labels.annotations:
            table.writerow([as_text(value) for value in as_record(one).values()])
    return without_decisions(labels)


def read_parquet(path: Path) -> Labels:
    """Annotations of a long table in Parquet.

    Raises: AnnotationError: the file is cut short or no Parquet, or a row is not one of ours.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except FileNotFoundError:
        raise AnnotationError("no such file", where=path.name) from None
    except (pa.ArrowException, OSError):
        raise AnnotationError(
            "not a whole Parquet file: its end is missing or damaged; write it again",
            where=path.name,
        ) from None
    places = tuple(f"{path.name}, row {number}" for number, _ in enumerate(rows, start=1))
    found = tuple(from_record(row, place) for row, place in zip(rows, places, strict=True))
    return Labels(found, places)


def write_parquet(labels: Labels, path: Path) -> tuple[str, ...]:
    """Writes the long table, nulls where nothing is known. Returns: what it does not carry."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(column.name, kinds[column.type]) for column in COLUMNS])
    table = pa.Table.from_pylist([as_record(one) for one in labels.annotations], schema=schema)
    pq.write_table(table, path)
    return without_decisions(labels)


def without_decisions(labels: Labels) -> tuple[str, ...]:
    """What a format loses that knows no adjudication: the decision itself stays."""
    n = len(labels.adjudications)
    return (f"settles and reason of {n} adjudications",) if n else ()


def text_of(path: Path) -> str:
    """A file's text. Raises: AnnotationError: not readable, or not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise AnnotationError(error.strerror or "cannot be read", where=path.name) from None
    except UnicodeDecodeError:
        raise AnnotationError("not UTF-8", where=path.name) from None


def json_object(text: str, where: str) -> dict[str, Any]:
    """A JSON object. Raises: AnnotationError: it is none; the file may be cut short."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        # The library's own error holds the text, so it is not passed on.
        raise AnnotationError("not JSON; is the file whole?", where=where) from None
    if not isinstance(record, dict):
        raise AnnotationError("not a JSON object", where=where)
    return record
