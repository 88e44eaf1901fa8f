"""What the rows of a corpus must have, what else of them is understood, and what nobody reads."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from detector.corpus.rows import SCHEMA, SCHEMA_KEY
from detector.corpus.sessions import FIELDS, BadField

TURN = ("speaker", "text", "role", "start_s", "end_s", "cue_id")
"""What a turn may say."""

_MOST_NAMED = 12
_PLAIN = re.compile(r"[A-Za-z_]\w{0,39}", re.ASCII)
"""A name that is shown. Another may be a speaker's, or what was said."""

_OTHERS = ""


@dataclass(slots=True)
class Unread:
    """Names of keys and columns that nobody reads, by file; those of a turn as `turns.NAME`.

    A name that is no plain word is not kept, only that there are such. Never a value.
    """

    by_file: dict[str, set[str]] = field(default_factory=dict, repr=False)

    def of_row(self, source: str, row: Mapping[str, Any]) -> None:
        """Notes the keys of a JSONL row; where it has a transcript, its turns are not read."""
        is_text = row.get("transcript") is not None
        own = (*FIELDS, "transcript") if is_text else (*FIELDS, "transcript", "turns")
        self._add(source, row.keys(), own)
        turns = row.get("turns")
        for turn in turns if isinstance(turns, list) and not is_text else ():
            if isinstance(turn, dict) and not turn.keys() <= {*TURN}:
                self._add(source, turn.keys(), TURN, "turns.")

    def of_schema(self, source: str, schema: Any) -> None:
        """Notes the columns of a pyarrow.Schema, and the fields of its turns."""
        self._add(source, schema.names, (*FIELDS, "transcript", "turns"))
        if "turns" in schema.names and "transcript" not in schema.names:
            kind = schema.field("turns").type.value_type
            names = [kind.field(place).name for place in range(kind.num_fields)]
            self._add(source, names, TURN, "turns.")

    def _add(
        self, source: str, names: Iterable[str], known: tuple[str, ...], before: str = ""
    ) -> None:
        for name in names:
            if name not in known:
                said = f"{before}{name}" if _PLAIN.fullmatch(name) else _OTHERS
                self.by_file.setdefault(source, set()).add(said)

    def __str__(self) -> str:
        """All of them, each once; empty where there are none."""
        return _listed(set().union(*self.by_file.values()))

    def problems(self) -> Iterator[dict[str, Any]]:
        """A line of the side list for each file."""
        for source, names in self.by_file.items():
            reason = f"keys or columns that are not read: {_listed(names)}"
            yield {"path": source, "line": None, "code": "ignored", "reason": reason}


def _listed(names: set[str]) -> str:
    shown = sorted(names - {_OTHERS})[:_MOST_NAMED]
    return ", ".join([*shown, "others"] if len(names) > len(shown) else shown)


def columns_of(schema: Any) -> list[str]:
    """The columns that are read, of a pyarrow.Schema.

    Raises: BadField: neither `turns` nor `transcript` is there or has the type it must have; or
        the file is one of reports.
    """
    import pyarrow as pa

    if (schema.metadata or {}).get(SCHEMA_KEY.encode(), b"").decode() == SCHEMA:
        raise BadField("this file holds reports, not transcripts")
    types = {name: schema.field(name).type for name in schema.names}
    if "transcript" in types:
        kind = types["transcript"]
        texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
        if not any(is_kind(kind) for is_kind in (*texts, pa.types.is_large_binary)):
            raise BadField("transcript must be a column of texts or bytes")
    elif "turns" in types:
        kind = types["turns"]
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        if not (is_list and pa.types.is_struct(kind.value_type)):
            raise BadField("turns must be a list of structs: speaker, text, role, start_s, end_s")
    else:
        shown = ", ".join(schema.names[:_MOST_NAMED]) or "none"
        raise BadField(f"neither a column turns nor transcript; columns found: {shown}")
    return [name for name in ("transcript", "turns", *FIELDS) if name in types]
