"""What ended stays ended after a restore; nobody without the key ends anything with a line."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service import audit, tombstones

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_tombstones_say_what_ended_and_nothing_else(clinic: Any) -> None:
    whole, text, alive = clinic.add(consent_id="con_1"), clinic.add(consent_id="con_2"), "con_3"
    clinic.add(consent_id=alive)
    clinic.records.erase(clinic.actor, whole)
    clinic.records.revoke(clinic.actor, "con_2")
    found = list(tombstones.tombstones(clinic.house))
    assert {(one.kind, one.id) for one in found} == {
        ("session", whole),
        ("text", text),
        ("consent", "con_2"),
    }
    assert all(one.is_signed_by(clinic.house.audit_key) for one in found)
    assert not any(one.is_signed_by(audit.Key.generate("main")) for one in found)


def test_the_list_grows_by_what_is_new_and_survives_a_torn_line(
    clinic: Any, tmp_path: Path
) -> None:
    first, second, third = (clinic.add(consent_id=f"con_{n}") for n in range(3))
    path = tmp_path / "ended.ndjson"
    clinic.records.erase(clinic.actor, first)
    assert tombstones.append_tombstones(clinic.house, path) == 1
    assert tombstones.append_tombstones(clinic.house, path) == 0
    clinic.records.erase(clinic.actor, second)
    assert tombstones.append_tombstones(clinic.house, path) == 1
    path.write_text(path.read_text("utf-8")[:-30], "utf-8")
    clinic.records.erase(clinic.actor, third)
    assert tombstones.append_tombstones(clinic.house, path) == 2
    lines = path.read_text("utf-8").splitlines()
    redone = tombstones.redo_erasures(clinic.house, lines, NOW)
    assert redone == tombstones.Redone(n_already=3, bad_lines=(2,))
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace('"session"', '"text"'),
        lambda line: line.replace('"ses_', '"sesx'),
        lambda line: line[:-5] + "0000}",
        lambda _: "{}",
        lambda _: "no JSON",
        lambda _: '["tenant_id"]',
        lambda _: '{"tenant_id":1,"kind":"session","id":"","at":"","key_id":"","signature":""}',
    ],
)
def test_a_line_that_is_not_ours_erases_nothing_and_stops_nothing(
    clinic: Any, change: Callable[[str], str]
) -> None:
    alive, ended = clinic.add(), clinic.add()
    line = (
        tombstones.Tombstone(clinic.tenant_id, "session", alive, audit.time_text(NOW), "", "")
        .signed(clinic.house.audit_key)
        .to_line()
    )
    good = (
        tombstones.Tombstone(clinic.tenant_id, "session", ended, audit.time_text(NOW), "", "")
        .signed(clinic.house.audit_key)
        .to_line()
    )
    redone = tombstones.redo_erasures(clinic.house, [change(line), good], NOW)
    assert redone == tombstones.Redone(n_again=1, bad_lines=(1,))
    assert clinic.row(alive)["status"] == "done"
    assert clinic.row(ended)["status"] == "erased"
