"""An annotation as one flat record: the columns of the long table and the keys of our JSON lines.

The names are those that researchers' files have: `rater_id` is the coder, `pass` the pass. In
text, a value that is not known is `NA`, never empty and never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detector.annotation import Annotation
from detector.errors import AnnotationError

NA = "NA"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in files, the annotation's field, its type, what stands for nothing."""

    name: str
    field: str
    type: type
    default: Any
    needed: bool = False


COLUMNS = (
    Column("study_id", "study_id", str, ""),
    Column("session_id", "session_id", str, "", needed=True),
    Column("unit_type", "unit_type", str, "", needed=True),
    Column("unit_index", "unit_index", int, None, needed=True),
    Column("turn_id", "turn_id", str, ""),
    Column("start_ms", "start_ms", int, None),
    Column("end_ms", "end_ms", int, None),
    Column("speaker_role", "speaker_role", str, ""),
    Column("rater_id", "coder", str, "", needed=True),
    Column("pass", "stage", str, "blind"),
    Column("code", "code", str, "", needed=True),
    Column("value", "value", int, None, needed=True),
    Column("confidence", "confidence", float, None),
    Column("lead_time_s", "lead_time_s", float, None),
    Column("codebook_version", "codebook_version", str, ""),
    Column("transcript_sha256", "transcript_sha256", str, ""),
    Column("intensity", "intensity", int, None),
    Column("pillar", "pillar", str, None),
    Column("resolution", "resolution", int, None),
    Column("sure", "sure", bool, None),
)
BY_NAME = {column.name: column for column in COLUMNS}
BY_FIELD = {column.field: column for column in COLUMNS}


def as_record(one: Annotation) -> dict[str, Any]:
    """Every column of an annotation, None where nothing is known."""
    return {column.name: getattr(one, column.field) for column in COLUMNS}


def from_record(record: Mapping[str, Any], where: str) -> Annotation:
    """The annotation of a record; columns that may be left out stand at their default.

    Raises: AnnotationError: a column is unknown, missing, or of another kind; by `where`.
    """
    if unknown := sorted(set(record) - set(BY_NAME)):
        raise AnnotationError(
            f"{len(unknown)} columns that are not ours; we have {', '.join(BY_NAME)}", where=where
        )
    values = {}
    for column in COLUMNS:
        if column.needed and column.name not in record:
            raise AnnotationError(f"{column.name} is missing", where=where)
        value = record.get(column.name, column.default)
        if not _fits(value, column):
            raise AnnotationError(f"{column.name} is not {column.type.__name__}", where=where)
        if value is not None and column.type is float:
            value = float(value)
        values[column.field] = value
    return made(values, where)


def made(values: Mapping[str, Any], where: str) -> Annotation:
    """An annotation of these fields; what is wrong with one says where it stood."""
    try:
        return Annotation(**values)
    except AnnotationError as error:
        raise AnnotationError(error.reason, where=where) from None


def _fits(value: Any, column: Column) -> bool:
    if value is None:
        return column.default is None and column.name != "unit_index"
    if column.type in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if column.type is float else column.type)


def as_text(value: Any) -> str:
    """A value as a table of text holds it: NA for None, 1 and 0 for a bool, exact decimals."""
    if value is None:
        return NA
    return str(int(value)) if isinstance(value, bool) else str(value)


def from_text(text: str, column: Column, where: str) -> Any:
    """The value that a table's cell holds.

    Raises: AnnotationError: not a number, or empty where only NA may say that it is not known.
    """
    if text == NA and column.default is None:
        return None
    if text == "" and column.name == "value":
        raise AnnotationError("value is empty: write 0, 1, a rating, or NA", where=where)
    if text == "":
        return column.default
    try:
        if column.type is bool:
            return {"0": False, "1": True}[text]
        return column.type(text)
    except (ValueError, KeyError):
        kind = "0 or 1" if column.type is bool else column.type.__name__
        raise AnnotationError(f"{column.name} is not {kind}, nor NA", where=where) from None
