"""An annotation as a few words, for tools whose labels are text: `denial intensity=2 sure=0`.

What is the same for all that a coder said of a session stands once, in a head line:
`coder=c1 pass=blind codebook_version=1.0`. Values are percent-encoded where a blank, a `=` or a
sign that the tool keeps for itself would be misread.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from detector.annotation import Annotation
from detector.errors import AnnotationError
from training.labels.records import BY_NAME, COLUMNS, as_text, from_text, made

HEAD = ("rater_id", "pass", "study_id", "codebook_version", "transcript_sha256")
"""Columns that the head gives."""

_OWN = ("session_id", "unit_type", "unit_index", "code")
_SAFE = ".@+"


def head_of(own: Sequence[Annotation]) -> dict[str, Any]:
    """What a coder's annotations of one session have in common: the first one's, by column."""
    return {name: getattr(own[0], BY_NAME[name].field) for name in HEAD}


def pack_head(head: Mapping[str, Any]) -> str:
    """A head as text."""
    return " ".join(f"{name}={quote(value, safe=_SAFE)}" for name, value in head.items() if value)


def unpack_head(text: str, where: str) -> dict[str, Any]:
    """The head of a text. Raises: AnnotationError: it is none."""
    found = _pairs(text.split(), where)
    if "rater_id" not in found or set(found) - set(HEAD):
        raise AnnotationError("not a head of labels: rater_id=… pass=…", where=where)
    return {name: found.get(name, BY_NAME[name].default) for name in HEAD}


def pack(one: Annotation, head: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """An annotation as text: its code, and what head and context do not say."""
    known = {column.name: column.default for column in COLUMNS} | {"value": 1}
    known |= {**head, **context}
    said = [
        f"{column.name}={quote(as_text(value), safe=_SAFE)}"
        for column in COLUMNS
        if column.name not in _OWN and (value := getattr(one, column.field)) != known[column.name]
    ]
    return " ".join([one.code, *said])


def unpack(text: str, head: Mapping[str, Any], own: Mapping[str, Any], where: str) -> Annotation:
    """The annotation of a text.

    Args:
        text: what `pack` made.
        head: what all of the coder's have in common, by column.
        own: session, unit and context, by column.
        where: for the error.

    Raises: AnnotationError: it is none, or has a value that its field cannot have.
    """
    code, *rest = text.split() or [""]
    values = {"value": 1, **head, **own, "code": code, **_pairs(rest, where)}
    return made({BY_NAME[name].field: value for name, value in values.items()}, where)


def _pairs(words: Sequence[str], where: str) -> dict[str, Any]:
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in BY_NAME or name in _OWN:
            raise AnnotationError("a label is CODE NAME=VALUE …", where=where)
        found[name] = from_text(unquote(text), BY_NAME[name], where)
    return found
