"""The audit trail: a chain that was touched is found out, one that was not is left in peace."""

import csv
import io
import json
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from service import audit_check
from service.audit import (
    _VERBS,
    ACTIONS,
    COLUMNS,
    GENESIS,
    MOST_DETAILS,
    Entry,
    Event,
    Key,
    Unauditable,
    append,
    read_keys,
)
from service.audit_check import Checkpoint, Unreadable, check, checkpoint, read_rows, verify
from service.audit_commands import app
from service.audit_lines import (
    checkpoint_entries,
    export_entries,
    read_lines,
    verify_entries,
)

KEY = Key("first", bytes(range(32)))
NEXT_KEY = Key("next", bytes(range(1, 33)))
FORGER = Key("first", b"f" * 32)
NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
CANARY = "zyxcanary said this"


def event(action: str = "session.read", **changed: Any) -> Event:
    given: dict[str, Any] = {
        "at": NOW,
        "actor_kind": "api_key",
        "actor_id": "key_1",
        "target_kind": "session",
        "target_id": "ses_1",
        "request_id": "req_1",
        **changed,
    }
    return Event(action, **given)


def chain(
    n: int, *, key: Key = KEY, tenant: str = "ten_1", before: Sequence[Entry] = (), **changed: Any
) -> list[Entry]:
    """`n` entries more, after those before."""
    made = list(before)
    for place in range(n):
        one = event(at=NOW + timedelta(seconds=len(made)), details={"place": place}, **changed)
        made.append(append(made[-1] if made else None, tenant, one, key))
    return made


def kinds(entries: Sequence[Any], **more: Any) -> list[tuple[str, int]]:
    found = verify(entries, more.pop("keys", [KEY]), more.pop("checkpoints", ()), **more)
    assert all("sequence" in one.message for one in found)
    return [(one.kind, one.sequence) for one in found]


# What an event may hold


# Few draws each: a chain is cheap to make, and what is done to it is what counts.
details = st.fixed_dictionaries(
    {},
    optional={
        "is_retry": st.booleans(),
        "n_turns": st.integers(-(2**53) + 1, 2**53 - 1),
        "took_s": st.floats(allow_nan=False, allow_infinity=False),
        "format": st.sampled_from(["vtt", "transcripts:write", "2026.1"]),
        "report_id": st.sampled_from(["rep_1", "3f0c9a52-7d0e-4c6b-9a55-0a3b1f2c4d5e"]),
    },
)
ids = st.sampled_from(["key_1", "A", "3f0c9a52-7d0e-4c6b-9a55-0a3b1f2c4d5e", "a.b:c"])
events = st.builds(
    Event,
    action=st.sampled_from(sorted(ACTIONS)),
    at=st.datetimes(timezones=st.just(UTC)),
    actor_kind=st.sampled_from(["api_key", "oauth_client", "user", "system", "anonymous"]),
    actor_id=ids,
    target_kind=st.sampled_from(["session", "report", "key"]),
    target_id=ids | st.just(""),
    outcome=st.sampled_from(["done", "denied", "failed"]),
    reason=st.sampled_from(["scope_missing", "consent_missing"]),
    request_id=ids | st.just(""),
    details=details,
)


@st.composite
def chains(draw: st.DrawFn, least: int = 1) -> list[Entry]:
    """A chain of one tenant whose key was changed once, or never."""
    made: list[Entry] = []
    n_first = draw(st.integers(0, 6))
    for place, one in enumerate(draw(st.lists(events, min_size=least, max_size=6))):
        key = KEY if place < n_first else NEXT_KEY
        made.append(append(made[-1] if made else None, "ten_1", one, key))
    return made


few = settings(max_examples=30, deadline=None, derandomize=True)
BOTH = [KEY, NEXT_KEY]


@few
@given(st.text(min_size=1).filter(lambda text: not text.isascii() or " " in text.strip()))
def test_free_text_is_refused_as_a_detail(text: str) -> None:
    with pytest.raises(Unauditable):
        event(details={"note": text})


@few
@given(st.lists(st.from_regex(r"[A-Za-z']{1,9}", fullmatch=True), min_size=2, max_size=12))
def test_a_sentence_is_refused_in_every_field(words: list[str]) -> None:
    said = " ".join(words)
    for name in (one.name for one in fields(Event) if one.name not in ("at", "details")):
        with pytest.raises(Unauditable) as caught:
            event(**{"outcome": "denied", "reason": "why", "action": "session.read", name: said})
        assert said not in str(caught.value)
    with pytest.raises(Unauditable):
        event(details={said: 1})


@pytest.mark.parametrize(
    "value",
    [
        "I felt hurt",
        "i_felt_so_hurt_by_you",
        "i.felt.so.hurt.by.you",
        "Maria",
        "maria@example.org",
        "",
        "line\nline",
        "code\n",
        "x" * 65,
        "ünfair",
        "=1+1",
        float("nan"),
        float("inf"),
        2**53,
        None,
        ["code"],
        {"a": 1},
        b"code",
    ],
)
def test_what_is_no_number_code_or_identifier_is_refused_as_a_detail(value: Any) -> None:
    with pytest.raises(Unauditable) as caught:
        event(details={"note": value})
    assert caught.value.detail == (
        "audit: a detail's value is neither number, code word nor identifier"
    )


@pytest.mark.parametrize(
    "value",
    [
        *(True, 0, -3, 0.25, 2**53 - 1, "csv", "transcripts:write", "2026.1"),
        *("ses_01HXYZ4", "3f0c9a52-7d0e-4c6b-9a55-0a3b1f2c4d5e"),
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_numbers_code_words_and_identifiers_are_taken_as_details(value: Any) -> None:
    assert event(details={"note": value}).details["note"] == value


def test_more_details_than_the_most_are_refused() -> None:
    event(details={f"n{place}": place for place in range(MOST_DETAILS)})
    with pytest.raises(Unauditable):
        event(details={f"n{place}": place for place in range(MOST_DETAILS + 1)})


def test_details_cannot_be_changed_after() -> None:
    given = {"place": 1}
    made = event(details=given)
    given["place"] = 2
    assert made.details["place"] == 1
    with pytest.raises(TypeError):
        made.details["place"] = 3  # type: ignore[index]


@pytest.mark.parametrize(
    "changed",
    [
        {"at": NOW.replace(tzinfo=None)},
        {"at": NOW.astimezone(timezone(timedelta(hours=1)))},
        {"at": "2026-03-01"},
        {"actor_kind": "therapist"},
        {"actor_id": ""},
        {"target_kind": ""},
        {"outcome": "maybe"},
        {"outcome": "denied"},
        {"outcome": "failed"},
        {"action": "read"},
        {"target_id": "x" * 101},
        {"request_id": 7},
        {"details": [("a", 1)]},
    ],
)
def test_an_event_of_another_form_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Unauditable):
        event(**changed)


def test_nobody_and_the_system_need_no_id() -> None:
    assert event(actor_kind="anonymous", actor_id="").actor_id == ""
    assert event(actor_kind="system", actor_id="").actor_id == ""


def test_every_action_has_the_form_of_one_and_stands_once() -> None:
    assert all(event(name).action == name for name in ACTIONS)
    assert len(ACTIONS) == sum(len(verbs.split()) for verbs in _VERBS.values())


def test_a_misspelt_action_is_not_written() -> None:
    with pytest.raises(Unauditable):
        append(None, "ten_1", event("session.raed"), KEY)


def test_an_error_shows_nothing_of_what_was_handed_in() -> None:
    for changed in ({"reason": CANARY}, {"details": {"a": CANARY}}, {"details": {CANARY: 1}}):
        with pytest.raises(Unauditable) as caught:
            event(**changed)
        error: BaseException | None = caught.value
        while error is not None:
            assert CANARY not in f"{error!r} {vars(error)}"
            error = error.__cause__ or error.__context__


# Keys


def test_a_key_shows_no_secret() -> None:
    assert "secret" not in repr(KEY)
    assert KEY.secret.hex()[:12] not in KEY.id


def test_another_secret_under_one_name_is_another_id() -> None:
    assert KEY.id != FORGER.id
    assert KEY.id == Key("first", bytes(range(32))).id


def test_a_key_file_is_read_back() -> None:
    text = f"# in use first\n{NEXT_KEY.to_line()}\n\n{KEY.to_line()}\n"
    assert read_keys(text) == (NEXT_KEY, KEY)
    assert len(Key.generate("new").secret) == 32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# none\n",
        "first\n",
        "first c2hvcnQ=\n",
        "first !!!\n",
        "Ünname AAAA\n",
        f"{KEY.to_line()}\n{FORGER.to_line()}\n",
    ],
)
def test_a_key_file_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Unauditable, match="key file"):
        read_keys(text)


# The chain


def test_the_first_entry_has_sequence_one_and_nothing_before() -> None:
    first = append(None, "ten_1", event(), KEY)
    assert (first.sequence, first.prev_hash, first.key_id) == (1, GENESIS, KEY.id)


def test_each_entry_names_the_hash_before_it() -> None:
    entries = chain(4)
    assert [one.sequence for one in entries] == [1, 2, 3, 4]
    assert all(after.prev_hash == before.hash for before, after in pairwise(entries))


def test_the_hash_is_what_it_was_in_the_first_version() -> None:
    # Fixed here: a change of form would make every chain that was written look altered.
    entry = append(None, "ten_1", event(details={"format": "vtt", "n_turns": 12}), KEY)
    assert json.loads(entry.to_line())["at"] == "2026-03-01T09:00:00.000000Z"
    assert entry.hash == "9f815afe4e11d1006266e518b85796fc50f4115412fe491c4ef61778f50f351d"


def test_one_tenants_head_does_not_carry_anothers_entry() -> None:
    with pytest.raises(Unauditable):
        append(chain(1)[0], "ten_2", event(), KEY)


@few
@given(chains())
def test_an_entry_is_read_back_from_its_columns(entries: list[Entry]) -> None:
    for entry in entries:
        columns = json.loads(json.dumps(entry.to_columns()))
        assert tuple(entry.to_columns()) == COLUMNS
        assert Entry.from_columns(columns) == entry
        assert entry.to_line() == Entry.from_columns(columns).to_line()


def test_an_action_of_a_newer_version_is_read() -> None:
    entry = replace(chain(1)[0], event=event("session.dreamt"))
    assert Entry.from_columns(entry.to_columns()) == entry


@pytest.mark.parametrize(
    "changed",
    [
        {"more": 1},
        {"sequence": True},
        {"sequence": "1"},
        {"sequence": 0},
        {"sequence": 1.0},
        {"at": "2026-03-01T09:00:00Z"},
        {"at": "2026-03-01T09:00:00.000000+00:00"},
        {"at": 7},
        {"details": '{"place": 0}'},
        {"details": '{"place":0,"place":0}'},
        {"details": '{"place":NaN}'},
        {"details": "[]"},
        {"details": "[" * 100_000},
        {"details": None},
        {"hash": "A" * 64},
        {"key_id": "first"},
        {"actor_kind": None},
    ],
)
def test_a_row_that_is_written_in_another_way_is_refused(changed: dict[str, Any]) -> None:
    row = {**chain(1)[0].to_columns(), **changed}
    with pytest.raises(Unauditable):
        Entry.from_columns(row)
    assert list(read_rows([row])) == [Unreadable()]


# What is found


@few
@given(chains())
def test_an_untouched_chain_passes(entries: list[Entry]) -> None:
    stated = [checkpoint(one, NEXT_KEY, NOW) for one in entries[::2]]
    assert verify(iter(entries), BOTH, stated, tenant_id="ten_1") == []


def test_a_chain_without_entries_passes_where_no_checkpoint_knows_better() -> None:
    assert verify([], [KEY]) == []


def edited(row: dict[str, Any], name: str) -> dict[str, Any]:
    """The row with another value in one column, of the form that the column has."""
    others: dict[str, tuple[Any, Any]] = {
        "tenant_id": ("ten_2", "ten_3"),
        "sequence": (row["sequence"] + 1, 999),
        "action": ("session.erased", "report.read"),
        "at": ("2025-01-01T00:00:00.000000Z", "2025-01-02T00:00:00.000000Z"),
        "actor_kind": ("user", "api_key"),
        "target_kind": ("comment", "consent"),
        "outcome": ("failed", "denied"),
        "reason": ("mended", "amended"),
        "details": ('{"zz":1}', '{"zz":2}'),
        "key_id": (KEY.id, NEXT_KEY.id),
        "prev_hash": ("a" * 64, "b" * 64),
        "hash": ("a" * 64, "b" * 64),
    }
    one, other = others.get(name, ("forged_1", "forged_2"))
    return {**row, name: other if row[name] == one else one}


@few
@given(chains(), st.data(), st.sampled_from(COLUMNS))
def test_an_edit_of_any_column_is_found_where_it_is(
    entries: list[Entry], data: st.DataObject, name: str
) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    rows = [one.to_columns() for one in entries]
    rows[place] = edited(rows[place], name)
    items = list(read_rows(rows))
    assert isinstance(items[place], Entry), "the edit has the form of an entry"
    found = verify(items, BOTH)
    assert [(one.kind, one.sequence) for one in found] == [("altered", place + 1)]


@few
@given(chains(least=2), st.data())
def test_an_entry_taken_out_is_found(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 2))
    left = entries[:place] + entries[place + 1 :]
    assert kinds(left, keys=BOTH) == [("deleted", place + 1)]


@few
@given(chains(least=2), st.data())
def test_two_entries_that_changed_places_are_found(
    entries: list[Entry], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(entries) - 2))
    second = data.draw(st.integers(first + 1, len(entries) - 1))
    moved = list(entries)
    moved[first], moved[second] = moved[second], moved[first]
    found = verify(moved, BOTH)
    assert {one.kind for one in found} == {"reordered"}
    assert found[0].sequence == first + 1


@few
@given(chains(), st.data())
def test_an_entry_put_in_without_the_key_is_found(
    entries: list[Entry], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(entries)))
    before = entries[place - 1] if place else None
    forged = replace(append(before, "ten_1", event(), FORGER), key_id=KEY.id)
    found = kinds([*entries[:place], forged, *entries[place:]], keys=BOTH)
    assert found == [("inserted" if place < len(entries) else "altered", place + 1)]


@few
@given(chains(), st.data())
def test_an_entry_that_is_there_twice_is_found(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    again = data.draw(st.integers(place + 1, len(entries)))
    found = kinds([*entries[:again], entries[place], *entries[again:]], keys=BOTH)
    assert found == [("duplicate", place + 1)]


@few
@given(chains(least=2), st.data())
def test_an_end_cut_off_is_found_against_a_checkpoint_and_not_without(
    entries: list[Entry], data: st.DataObject
) -> None:
    left = entries[: data.draw(st.integers(0, len(entries) - 1))]
    stated = [checkpoint(entries[-1], NEXT_KEY, NOW)]
    found = verify(left, BOTH, stated)
    assert [(one.kind, one.sequence) for one in found] == [("truncated", len(left) + 1)]
    assert found[0].n == len(entries) - len(left)
    assert verify(left, BOTH) == []


@few
@given(chains(), st.data())
def test_a_chain_written_anew_with_the_key_is_found_against_a_checkpoint_and_not_without(
    entries: list[Entry], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    other = chain(len(entries) - place, before=entries[:place], reason="anew")
    stated = [checkpoint(one, KEY, NOW) for one in entries]
    assert [name for name, _ in kinds(other, keys=BOTH)] == []
    found = verify(other, BOTH, stated)
    assert [(one.kind, one.sequence, one.last) for one in found] == [
        ("rewritten", place + 1, len(entries))
    ]


@few
@given(st.permutations(range(6)))
def test_every_other_order_is_found(order: list[int]) -> None:
    entries = chain(6)
    found = verify([entries[place] for place in order], [KEY])
    assert bool(found) == (list(order) != sorted(order))
    assert {one.kind for one in found} <= {"reordered"}
    if found:
        assert found[0].sequence <= next(at + 1 for at, place in enumerate(order) if at != place)


@few
@given(chains(least=3), st.data())
def test_no_two_changes_at_once_hide_each_other(entries: list[Entry], data: st.DataObject) -> None:
    rows = [one.to_columns() for one in entries[:-1]]
    out = data.draw(st.integers(0, len(rows) - 1))
    del rows[out]
    if rows:
        place = data.draw(st.integers(0, len(rows) - 1))
        rows[place] = edited(rows[place], data.draw(st.sampled_from(COLUMNS)))
    assert verify(read_rows([*rows, entries[-1].to_columns()]), BOTH)


def test_a_chain_checked_with_another_secret_says_so_once() -> None:
    found = verify(chain(500), [FORGER])
    assert [(one.kind, one.sequence, one.last, one.n) for one in found] == [
        ("wrong_key", 1, 500, 500)
    ]


def test_a_key_that_was_not_given_is_told_from_an_edit() -> None:
    entries = chain(3, before=chain(3), key=NEXT_KEY)
    assert kinds(entries, keys=[NEXT_KEY]) == [("unknown_key", 1)]
    assert kinds(entries, keys=[KEY]) == [("unknown_key", 4)]


def test_a_good_entry_of_another_tenant_is_found() -> None:
    ours, theirs = chain(3), chain(3, tenant="ten_2")
    assert kinds([ours[0], theirs[1], ours[2]]) == [("foreign", 2), ("deleted", 2)]
    assert kinds(theirs, tenant_id="ten_1") == [("foreign", 1)]


def test_two_histories_under_one_key_are_found() -> None:
    """As when a backup is restored and the service goes on from there."""
    ours, other = chain(5), chain(3, reason="restored")
    assert kinds([*ours[:3], *chain(1, before=other)[3:], *ours[4:]])[0] == ("forked", 4)
    assert kinds([*ours[:3], other[2]]) == [("forked", 3)]


def test_checkpoints_of_another_tenant_are_passed_over() -> None:
    stated = [checkpoint(chain(9, tenant="ten_2")[-1], KEY, NOW)]
    assert verify(chain(2), [KEY], stated) == []
    assert check(chain(2), [KEY], stated).checkpoints == ()


def test_a_chain_that_was_removed_whole_is_found_against_a_checkpoint() -> None:
    assert kinds([], checkpoints=[checkpoint(chain(3)[-1], KEY, NOW)]) == [("truncated", 1)]


@few
@given(st.sampled_from([one.name for one in fields(Checkpoint)]))
def test_a_checkpoint_that_was_altered_is_found(name: str) -> None:
    one = checkpoint(chain(3)[-1], KEY, NOW)
    other = replace(one, **{name: 2 if name == "sequence" else "é"})
    assert kinds(chain(3), checkpoints=[Checkpoint.from_line(other.to_line())]) == [
        ("bad_checkpoint", other.sequence)
    ]


def test_an_entrys_hash_does_not_pass_as_a_checkpoints_signature() -> None:
    head = chain(1)[0]
    assert not replace(checkpoint(head, KEY, NOW), signature=head.hash).is_signed_by(KEY)


@pytest.mark.parametrize("line", ["", "7", "[]", "{}", '{"sequence":1}', "[" * 100_000, "nul"])
def test_a_line_that_is_no_checkpoint_is_refused(line: str) -> None:
    with pytest.raises(Unauditable):
        Checkpoint.from_line(line)
    whole = json.loads(checkpoint(chain(1)[0], KEY, NOW).to_line())
    with pytest.raises(Unauditable):
        Checkpoint.from_line(json.dumps({**whole, "sequence": line}))


def test_a_checkpoint_needs_an_aware_time_and_is_one_line() -> None:
    head = chain(2)[-1]
    line = checkpoint(head, KEY, NOW).to_line()
    assert "\n" not in line
    assert Checkpoint.from_line(line) == checkpoint(head, KEY, NOW)
    with pytest.raises(Unauditable):
        checkpoint(head, KEY, NOW.replace(tzinfo=None))


def test_reading_stops_where_too_much_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_check, "MOST_FINDINGS", 10)
    read = 0

    def every_second() -> Iterator[Entry]:
        nonlocal read
        for one in chain(100)[::2]:
            read += 1
            yield one

    found = verify(every_second(), [KEY], [checkpoint(chain(100)[-1], KEY, NOW)])
    assert found[-1].kind == "stopped"
    assert len(found) == 11
    assert read == 12


def test_memory_does_not_grow_with_the_chain() -> None:
    def endless(n: int) -> Iterator[Entry]:
        head: Entry | None = None
        for _ in range(n):
            head = append(head, "ten_1", event(), KEY)
            yield head

    def peak(n: int) -> int:
        tracemalloc.start()
        assert verify(endless(n), [KEY]) == []
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(2000) < peak(100) + 20_000


# The command line


def written(tmp_path: Path, entries: Sequence[Entry], name: str = "chain.ndjson") -> Path:
    path = tmp_path / name
    path.write_text("".join(export_entries(entries)), "utf-8")
    return path


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{KEY.to_line()}\n", "utf-8")
    return path


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def test_verify_says_what_was_checked_and_that_nothing_was_found(
    tmp_path: Path, keys: Path
) -> None:
    path = written(tmp_path, chain(3))
    code, out, _ = call("verify", "--file", path, "--keys", keys)
    assert code == 0
    assert out.splitlines() == [
        f"checked  {path}",
        "read     3 entries, tenant ten_1, up to sequence 3 of 2026-03-01 09:00:02 UTC",
        f"key      {KEY.id}: 3 good entries, sequences 1 to 3",
        "against  no checkpoint: an end cut off, or all written anew with the key, cannot be seen",
        "found    nothing wrong",
    ]


def test_verify_says_the_first_bad_sequence_and_its_kind(tmp_path: Path, keys: Path) -> None:
    entries = chain(9)
    path = written(tmp_path, [*entries[:3], *entries[4:6]])
    kept = tmp_path / "kept"
    kept.write_text(checkpoint(entries[-1], KEY, NOW).to_line() + "\n", "utf-8")
    code, out, _ = call("verify", "--file", path, "--keys", keys, "--checkpoints", kept)
    assert code == 1
    assert out.splitlines()[3:] == [
        "against  1 checkpoint, the last of sequence 9 at 2026-03-01T09:00:00.000000Z: "
        "what was cut off after it cannot be seen",
        "FOUND    2 findings; the first bad sequence is 4: deleted",
        "  deleted        sequence 4: missing: taken out",
        "  truncated      sequences 7 to 9, 3 of them: missing at the end: "
        "a checkpoint knows of it",
    ]


def test_many_findings_are_counted_and_the_first_shown() -> None:
    code, lines = verify_entries(chain(100)[::2], [KEY])
    assert code == 1
    assert lines[-1] == "  and 29 more"


def test_checkpoint_prints_one_line_that_verify_takes(tmp_path: Path, keys: Path) -> None:
    path = written(tmp_path, chain(3))
    code, line, said = call("checkpoint", "--file", path, "--keys", keys)
    stated = Checkpoint.from_line(line)
    assert code == 0
    assert stated.sequence == 3
    assert stated.is_signed_by(KEY)
    assert "nothing wrong" in said


@pytest.mark.parametrize("entries", [[], chain(3)[1:]], ids=["empty", "begins with the second"])
def test_there_is_no_checkpoint_of_a_chain_that_is_empty_or_bad(
    tmp_path: Path, keys: Path, entries: list[Entry]
) -> None:
    code, out, said = call("checkpoint", "--file", written(tmp_path, entries), "--keys", keys)
    assert (code, out) == (1, "")
    assert "no checkpoint" in said
    assert checkpoint_entries(entries, (KEY,), NOW)[:2] == (1, None)


def test_a_lines_trick_with_a_second_value_is_found(tmp_path: Path, keys: Path) -> None:
    path = written(tmp_path, chain(3))
    lines = path.read_text("utf-8").splitlines()
    lines[1] = '{"action":"report.read",' + lines[1][1:]
    assert json.loads(lines[1]) == chain(3)[1].to_columns()
    path.write_text("\n".join(lines), "utf-8")
    code, out, _ = call("verify", "--file", path, "--keys", keys)
    assert code == 1
    assert "the first bad sequence is 2: altered" in out


def test_lines_that_are_no_entry_are_found_and_quoted_nowhere(tmp_path: Path, keys: Path) -> None:
    path = written(tmp_path, chain(2))
    rubbish = [CANARY.encode(), b"\xff\xfe", b"7", b"{}", b"[" * 40_000, b'"' + b"x" * 40_000]
    with path.open("ab") as file:
        file.write(b"\n" + b"\n".join(rubbish))
    with path.open("rb") as file:
        assert sum(isinstance(item, Unreadable) for item in read_lines(file)) == len(rubbish)
    code, out, said = call("verify", "--file", path, "--keys", keys)
    assert code == 1
    assert "sequences 3 to 8, 6 of them: altered" in out
    assert CANARY not in out + said


def test_lines_that_end_as_on_windows_are_read(tmp_path: Path, keys: Path) -> None:
    path = written(tmp_path, chain(2))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert call("verify", "--file", path, "--keys", keys)[0] == 0


def test_export_writes_a_table_for_people(tmp_path: Path) -> None:
    out = tmp_path / "chain.csv"
    code, _, said = call("export", "--file", written(tmp_path, chain(3)), "--out", out)
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert code == 0
    assert said == "3 entries written\n"
    assert [{**row, "sequence": int(row["sequence"])} for row in rows] == [
        one.to_columns() for one in chain(3)
    ]


@few
@given(chains())
def test_no_cell_of_the_table_begins_a_formula(entries: list[Entry]) -> None:
    cells = [
        cell
        for row in csv.reader(io.StringIO("".join(export_entries(entries, "csv"))))
        for cell in row
    ]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


def test_export_says_what_it_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, chain(2))
    path.write_text(path.read_text("utf-8") + "{}\n", "utf-8")
    code, out, said = call("export", "--file", path, "--out", "-", "--format", "ndjson")
    assert code == 1
    assert out == "".join(export_entries(chain(2)))
    assert said == "2 entries written\n1 line left out: no entry\n"


def test_export_does_not_write_over_what_it_reads(tmp_path: Path) -> None:
    path = written(tmp_path, chain(2))
    before = path.read_bytes()
    assert call("export", "--file", path, "--out", path)[0] == 3
    assert path.read_bytes() == before


def test_files_that_cannot_be_used_are_one_line_and_exit_three(tmp_path: Path, keys: Path) -> None:
    path = written(tmp_path, chain(1))
    broken = tmp_path / "broken"
    broken.write_bytes(f"{CANARY}\n".encode())
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for arguments in (
        ("verify", "--file", tmp_path / "none", "--keys", keys),
        ("verify", "--file", path, "--keys", tmp_path / "none"),
        ("verify", "--file", path, "--keys", broken),
        ("verify", "--file", path, "--keys", binary),
        ("verify", "--file", path, "--keys", keys, "--checkpoints", broken),
        ("checkpoint", "--file", tmp_path, "--keys", keys),
        ("export", "--file", path, "--out", tmp_path / "none" / "out"),
    ):
        code, out, said = call(*arguments)
        assert (code, out, said.count("\n")) == (3, "", 1)
        assert CANARY not in said
