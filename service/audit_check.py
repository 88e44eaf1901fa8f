"""Whether an audit chain is whole: checkpoints of it, and what is wrong with it.

What is found rests on one fact: an entry whose hash verifies was written by who has the key, with
this sequence, at this place. Such entries are the fixed points; what stands between two of them
fits the sequences between them, or it is too much, too little, or not what was written. Which of
two altered neighbours stood first, nobody can tell, so a finding names the range.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hmac import compare_digest
from typing import Any, Self

from service.audit import GENESIS, Entry, Key, Unauditable, canonical, time_text

KINDS = {
    "altered": "altered, or made up without the key",
    "wrong_key": "signed with another secret than the one given under the key's name",
    "unknown_key": "under a key that was not given, or the key's name was altered",
    "inserted": "put in before it: there is no place for that in the sequence",
    "deleted": "missing: taken out",
    "reordered": "after a later one: the order was changed",
    "duplicate": "there more than once",
    "foreign": "another tenant's entry, put here",
    "forked": "following another entry than the one before: two histories under one key",
    "rewritten": "another entry than a checkpoint says: written anew with the key",
    "truncated": "missing at the end: a checkpoint knows of it",
    "bad_checkpoint": "a checkpoint that is signed by none of the keys given",
    "stopped": "too much is wrong: nothing from here on was looked at",
}
"""What can be wrong, and how it is said of a sequence."""

MOST_FINDINGS = 1000
"""Findings after which reading stops, so that memory stays bounded. A run of one kind counts as
one. A judgement: nobody mends a chain with so many one by one."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement of what a tenant's chain was at a time, to be kept elsewhere.

    `at` is when it was stated, as service.audit.time_text writes it.
    """

    tenant_id: str
    sequence: int
    hash: str
    at: str
    key_id: str
    signature: str

    def to_line(self) -> str:
        """The checkpoint as one line of JSON, without its end."""
        return canonical(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Self:
        """The checkpoint of a line. Raises: Unauditable: it is none."""
        try:
            made = cls(**json.loads(line))
        except (TypeError, ValueError, RecursionError):
            raise Unauditable("line", "is not a checkpoint") from None
        texts = (made.tenant_id, made.hash, made.at, made.key_id, made.signature)
        if type(made.sequence) is not int or not all(isinstance(text, str) for text in texts):
            raise Unauditable("line", "is not a checkpoint")
        return made

    def is_signed_by(self, key: Key) -> bool:
        """Whether this key signed it as it is."""
        signature = key.sign("checkpoint", _stated(self))
        return compare_digest(self.signature.encode(errors="replace"), signature.encode())


def _stated(one: Checkpoint) -> str:
    return canonical({name: value for name, value in asdict(one).items() if name != "signature"})


def checkpoint(head: Entry, key: Key, now: datetime) -> Checkpoint:
    """States what the chain is at its head, as it is handed in: check the chain first.

    Args:
        head: the last entry.
        key: the one in use.
        now: aware.

    Raises: Unauditable: `now` is not aware.
    """
    if now.utcoffset() is None:
        raise Unauditable("now", "is not an aware time")
    one = Checkpoint(head.tenant_id, head.sequence, head.hash, time_text(now), key.id, "")
    return replace(one, signature=key.sign("checkpoint", _stated(one)))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that stands where an entry should, and is none."""


Item = Entry | Unreadable


def read_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[Item]:
    """The entries of rows with the columns of `Entry.to_columns`, one at a time."""
    for row in rows:
        try:
            yield Entry.from_columns(row)
        except Unauditable:
            yield Unreadable()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a chain.

    Args:
        kind: one of KINDS.
        sequence: the first that is bad.
        last: the last that may be.
        n: how many from the first to the last.
        place: of the first in what was read, from 1; 0 for what is not there.
    """

    kind: str
    sequence: int
    last: int
    n: int = 1
    place: int = 0

    @property
    def message(self) -> str:
        """One sentence for people; quotes nothing."""
        where = f"sequence {self.sequence}"
        if self.last > self.sequence:
            where = f"sequences {self.sequence} to {self.last}, {self.n} of them"
        elif self.n > 1:
            where += f", {self.n} entries"
        read = f" (as read, from entry {self.place})" if self.place else ""
        return f"{where}: {KINDS[self.kind]}{read}"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What one key signed: entries whose hash verifies, by their first and last sequence."""

    first: int
    last: int
    n: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of checking one chain.

    Args:
        tenant_id: whose chain it is; None where no entry could say.
        n_read: entries read, good and bad.
        head: the last entry by sequence whose hash verifies.
        uses: by key id.
        checkpoints: of this chain that are signed, by sequence.
        findings: by first bad sequence, and what is about checkpoints alone after the others.
    """

    tenant_id: str | None
    n_read: int
    head: Entry | None
    uses: Mapping[str, KeyUse]
    checkpoints: tuple[Checkpoint, ...]
    findings: tuple[Finding, ...]


def verify(
    entries: Iterable[Item],
    keys: Iterable[Key],
    checkpoints: Iterable[Checkpoint] = (),
    *,
    tenant_id: str | None = None,
) -> list[Finding]:
    """What is wrong with one tenant's chain, by first bad sequence; empty where nothing is.

    See `check` for the arguments, and service.audit for what a chain cannot show.
    """
    return list(check(entries, keys, checkpoints, tenant_id=tenant_id).findings)


def check(
    entries: Iterable[Item],
    keys: Iterable[Key],
    checkpoints: Iterable[Checkpoint] = (),
    *,
    tenant_id: str | None = None,
) -> Checked:
    """Reads one tenant's chain from its first entry to its last, each once.

    Memory is bounded by the checkpoints, the keys and MOST_FINDINGS, never by the chain's length.

    Args:
        entries: in the order they are kept in, which is part of what is checked.
        keys: all that the chain was ever signed with.
        checkpoints: of this chain; those of other tenants are passed over.
        tenant_id: whose chain it must be; None takes the first good entry's word for it.
    """
    walk = _Walk(keys, checkpoints, tenant_id)
    for item in entries:
        if walk.gives_up():
            break
        walk.take(item)
    return walk.finish()


@dataclass(slots=True)
class _Gap:
    """Sequences that were jumped over; `late` came after all."""

    first: int
    last: int
    n_absent: int
    late: set[int] = field(default_factory=set)

    def awaits(self, sequence: int) -> bool:
        """Whether this one was jumped over and has not come."""
        is_in = self.first <= sequence <= self.last and sequence not in self.late
        return is_in and len(self.late) < self.n_absent


class _Walk:
    """A walk along one chain: the last good entry, what is doubtful since, what was jumped over."""

    def __init__(
        self, keys: Iterable[Key], checkpoints: Iterable[Checkpoint], tenant_id: str | None
    ) -> None:
        self._keys = {key.id: key for key in keys}
        self._names = {key.name for key in self._keys.values()}
        self._tenant_id = tenant_id
        self._head: Entry | None = None
        self._n_read = 0
        self._doubtful: Counter[str] = Counter()
        self._doubtful_place = 0
        self._gaps: list[_Gap] = []
        self._n_late = 0
        self._uses: dict[str, KeyUse] = {}
        self._findings: list[Finding] = []
        self._stated: dict[int, list[Checkpoint]] = {}
        unsigned = []
        for one in checkpoints:
            key = self._keys.get(one.key_id)
            if key is not None and one.is_signed_by(key):
                self._stated.setdefault(one.sequence, []).append(one)
            else:
                unsigned.append(one.sequence)
        if unsigned:
            self._add("bad_checkpoint", min(unsigned), max(unsigned), len(unsigned))

    def gives_up(self) -> bool:
        """Whether there is too much wrong to go on; then it is a finding, too."""
        if len(self._findings) + len(self._gaps) + self._n_late < MOST_FINDINGS:
            return False
        self._add("stopped", self._position + 1, place=self._n_read + 1)
        return True

    def take(self, item: Item) -> None:
        """The next of what was read."""
        self._n_read += 1
        doubt = self._doubt(item)
        if doubt or isinstance(item, Unreadable):
            self._doubtful_place = self._doubtful_place or self._n_read
            self._doubtful[doubt] += 1
            return
        if self._tenant_id is None:
            self._tenant_id = item.tenant_id
        if item.tenant_id != self._tenant_id:
            self._add("foreign", self._position + 1, place=self._n_read)
            return
        self._note_use(item)
        stated = (one for one in self._stated.get(item.sequence, ()) if self._is_ours(one))
        if any(one.hash != item.hash for one in stated):
            self._add("rewritten", item.sequence, place=self._n_read)
        if item.sequence > self._position:
            self._go_on(item)
        else:
            self._come_late(item)

    def finish(self) -> Checked:
        """What came of it, after the last entry."""
        end = self._position + self._doubtful.total()
        self._tell_doubtful(self._position + 1, end)
        for gap in self._gaps:
            if n := gap.n_absent - len(gap.late):
                left = range(gap.first, gap.last + 1)
                self._add("deleted", next(s for s in left if s not in gap.late), gap.last, n)
        ours = sorted(
            (one for some in self._stated.values() for one in some if self._is_ours(one)),
            key=lambda one: one.sequence,
        )
        is_read_out = all(found.kind != "stopped" for found in self._findings)
        if ours and is_read_out and (n := ours[-1].sequence - end) > 0:
            self._add("truncated", end + 1, ours[-1].sequence, n)
        return Checked(
            self._tenant_id,
            self._n_read,
            self._head,
            self._uses,
            tuple(ours),
            tuple(sorted(self._findings, key=lambda f: (f.kind == "bad_checkpoint", f.sequence))),
        )

    @property
    def _position(self) -> int:
        return self._head.sequence if self._head else 0

    def _is_ours(self, one: Checkpoint) -> bool:
        return self._tenant_id is None or one.tenant_id == self._tenant_id

    def _doubt(self, item: Item) -> str:
        """Why an entry is none that we wrote; empty where it is."""
        if isinstance(item, Unreadable):
            return "altered"
        key = self._keys.get(item.key_id)
        if key is None:
            name = item.key_id.partition(".")[0]
            return "wrong_key" if name in self._names else "unknown_key"
        return "" if item.is_signed_by(key) else "altered"

    def _go_on(self, entry: Entry) -> None:
        first, last = self._position + 1, entry.sequence - 1
        n_places, n_doubtful = entry.sequence - first, self._doubtful.total()
        place = self._doubtful_place
        self._tell_doubtful(first, last)
        if n_doubtful > n_places:
            self._add("inserted", entry.sequence, n=n_doubtful - n_places, place=place)
        if n_doubtful < n_places:
            self._gaps.append(_Gap(first, last, n_places - n_doubtful))
        before = self._head.hash if self._head else GENESIS
        if n_places == 0 and entry.prev_hash != before:
            self._add("forked", entry.sequence, place=self._n_read)
        self._head = entry

    def _come_late(self, entry: Entry) -> None:
        gap = next((gap for gap in self._gaps if gap.awaits(entry.sequence)), None)
        if gap is not None:
            gap.late.add(entry.sequence)
            self._n_late += 1
            self._add("reordered", entry.sequence, place=self._n_read)
            return
        head = self._head
        is_other = head and head.sequence == entry.sequence and head.hash != entry.hash
        self._add("forked" if is_other else "duplicate", entry.sequence, place=self._n_read)

    def _tell_doubtful(self, first: int, last: int) -> None:
        """Says what is doubtful of these places, where there are any, and forgets it."""
        if first <= last:
            for kind, n in self._doubtful.items():
                self._add(kind, first, last, n, self._doubtful_place)
        self._doubtful.clear()
        self._doubtful_place = 0

    def _note_use(self, entry: Entry) -> None:
        use = self._uses.get(entry.key_id, KeyUse(entry.sequence, 0, 0))
        first, last = min(use.first, entry.sequence), max(use.last, entry.sequence)
        self._uses[entry.key_id] = KeyUse(first, last, use.n + 1)

    def _add(
        self, kind: str, sequence: int, last: int | None = None, n: int = 1, place: int = 0
    ) -> None:
        """One finding more, or the last one longer where this goes on with it."""
        last = sequence if last is None else last
        if self._findings and place:
            before = self._findings[-1]
            if before.kind == kind and before.last <= sequence <= before.last + 1:
                self._findings[-1] = replace(before, last=last, n=before.n + n)
                return
        self._findings.append(Finding(kind, sequence, last, n, place))
