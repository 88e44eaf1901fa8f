"""The columns of a Parquet corpus: what must be there, and what else is understood."""

from typing import Any

from detector.corpus.rows import SCHEMA, SCHEMA_KEY
from detector.corpus.sessions import FIELDS, BadField

_MOST_NAMED = 12


def columns_of(schema: Any) -> list[str]:
    """The columns that are read, of a pyarrow.Schema. Others are left alone.

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
