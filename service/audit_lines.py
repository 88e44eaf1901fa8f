"""An audit chain as lines: read from a file, told of after a check, written as NDJSON or CSV."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import BinaryIO, Literal

from service.audit import COLUMNS, Entry, Key, Unauditable, canonical
from service.audit_check import Checked, Checkpoint, Item, Unreadable, check, checkpoint

EXIT_FOUND = 1

_MOST_LINE_BYTES = 16_384
"""Of a line in a file; an entry at its longest is a quarter of it."""

_MOST_SHOWN = 20
"""Findings that a terminal shows. A judgement: the first says where to look."""


def read_lines(file: BinaryIO) -> Iterator[Item]:
    """The entries of a file with one on each line, as `Entry.to_line` writes them.

    A line that is written in any other way is unreadable: a second value under one name could else
    show a reader something that the hash does not cover. Empty lines are passed over.
    """
    while line := file.readline(_MOST_LINE_BYTES):
        is_whole = len(line) < _MOST_LINE_BYTES or line.endswith(b"\n")
        rest = line
        while not is_whole and rest and not rest.endswith(b"\n"):
            rest = file.readline(_MOST_LINE_BYTES)
        if text := line.rstrip(b"\r\n"):
            yield _entry_of(text) if is_whole else Unreadable()


def _entry_of(line: bytes) -> Item:
    try:
        row = json.loads(line)
        if isinstance(row, dict) and canonical(row).encode() == line:
            return Entry.from_columns(row)
    except (ValueError, RecursionError, Unauditable):
        pass
    return Unreadable()


def verify_entries(
    entries: Iterable[Item],
    keys: Iterable[Key],
    checkpoints: Iterable[Checkpoint] = (),
    *,
    tenant_id: str | None = None,
) -> tuple[int, tuple[str, ...]]:
    """Checks one chain: the exit code, and lines for a terminal.

    The arguments are those of service.audit_check.check.
    """
    checked = check(entries, keys, checkpoints, tenant_id=tenant_id)
    return (EXIT_FOUND if checked.findings else 0), tuple(_told(checked))


def checkpoint_entries(
    entries: Iterable[Item],
    keys: tuple[Key, ...],
    now: datetime,
    checkpoints: Iterable[Checkpoint] = (),
    *,
    tenant_id: str | None = None,
) -> tuple[int, Checkpoint | None, tuple[str, ...]]:
    """Checks one chain and states what it is, with the first key.

    Of a chain with anything wrong, or none at all, there is no checkpoint: it would vouch for it.

    Returns: the exit code, the checkpoint, and the lines of `verify_entries`.
    """
    checked = check(entries, keys, checkpoints, tenant_id=tenant_id)
    lines = tuple(_told(checked))
    if checked.findings or checked.head is None:
        return EXIT_FOUND, None, lines
    return 0, checkpoint(checked.head, keys[0], now), lines


def export_entries(
    entries: Iterable[Entry], form: Literal["ndjson", "csv"] = "ndjson"
) -> Iterator[str]:
    """The entries as text, line by line with their ends; CSV has a header and CRLF (RFC 4180).

    No field can begin with a sign that a spreadsheet takes for a formula: the forms of an event's
    fields do not allow it.
    """
    if form == "ndjson":
        yield from (f"{entry.to_line()}\n" for entry in entries)
        return
    yield _csv_line(COLUMNS)
    for entry in entries:
        columns = entry.to_columns()
        yield _csv_line(columns[name] for name in COLUMNS)


def _csv_line(values: Iterable[str | int]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()


def _told(checked: Checked) -> Iterator[str]:
    """What was checked, against what, and what was found."""
    head = checked.head
    whose = f"tenant {checked.tenant_id}" if checked.tenant_id else "no tenant known"
    until = f", up to sequence {head.sequence} of {_at(head)}" if head else ""
    yield f"read     {count(checked.n_read, 'entry', 'entries')}, {whose}{until}"
    for key_id, use in sorted(checked.uses.items(), key=lambda one: one[1].first):
        good = count(use.n, "good entry", "good entries")
        yield f"key      {key_id}: {good}, sequences {use.first} to {use.last}"
    yield f"against  {_against(checked)}"
    if not checked.findings:
        yield "found    nothing wrong" if checked.n_read else "found    no entry to check"
        return
    first = checked.findings[0]
    n = count(len(checked.findings), "finding")
    yield f"FOUND    {n}; the first bad sequence is {first.sequence}: {first.kind}"
    yield from (f"  {found.kind:14} {found.message}" for found in checked.findings[:_MOST_SHOWN])
    if (more := len(checked.findings) - _MOST_SHOWN) > 0:
        yield f"  and {more} more"


def _against(checked: Checked) -> str:
    unseen = "cannot be seen"
    if not checked.checkpoints:
        return f"no checkpoint: an end cut off, or all written anew with the key, {unseen}"
    last = checked.checkpoints[-1]
    given = count(len(checked.checkpoints), "checkpoint")
    since = f"what was cut off after it {unseen}"
    return f"{given}, the last of sequence {last.sequence} at {last.at}: {since}"


def _at(entry: Entry) -> str:
    return entry.event.at.strftime("%Y-%m-%d %H:%M:%S UTC")


def count(n: int, one: str, many: str = "") -> str:
    """A number with its noun, in the plural where it is not one."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
