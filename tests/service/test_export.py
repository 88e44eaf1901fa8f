"""Only what was consented to leaves, with tags for names, and training reads it."""

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from service import export, export_commands, tables
from service.deeds import Actor
from service.errors import Conflict, Invalid, NotFound

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CANARY = "zyxcanary"


def ours(clinic: Any, folder: Path, purpose: str = "research") -> tuple[Any, list[Any], Any]:
    """An export: what came of it, its lines, its manifest."""
    made = export.export_sessions(clinic.house, clinic.actor, purpose, folder)
    lines = (folder / "export.jsonl").read_text("utf-8").splitlines()
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    return made, [json.loads(line) for line in lines], manifest


def test_only_sessions_of_the_scope_are_in_it(clinic: Any, tmp_path: Path) -> None:
    clinic.add(consent_id="con_no")
    clinic.add(consent_id="con_research", scopes=("research",))
    clinic.add(consent_id="con_train", scopes=("train",))
    made, lines, manifest = ours(clinic, tmp_path / "a")
    assert len(lines) == made.n_sessions == manifest["n_sessions"] == 1
    assert manifest["left_out"] == made.left_out == {"not_in_scope": 2}
    _, lines, manifest = ours(clinic, tmp_path / "b", "train")
    assert len(lines) == 1
    assert manifest["purpose"] == "train"


def test_no_name_and_no_id_of_ours_or_the_callers_is_in_it(clinic: Any, tmp_path: Path) -> None:
    session_id = clinic.add(scopes=("research",), client="mrn-99817")
    row = clinic.row(session_id)
    ours(clinic, tmp_path / "out")
    found = "".join(path.read_text("utf-8") for path in (tmp_path / "out").iterdir())
    for name in (
        "Umbra",
        "Lux",
        "99817",
        session_id,
        row["client_id"],
        "con_1",
        "s.vtt",
        row["transcript_sha256"],
        clinic.tenant_id,
    ):
        assert name.casefold() not in found.casefold(), name
    assert CANARY in found  # it is a word and no name: what was said is what is exported
    assert "[THERAPIST]" in found


def test_a_line_is_a_session_as_training_reads_it(clinic: Any, tmp_path: Path) -> None:
    clinic.add(scopes=("research",))
    _, (line,), manifest = ours(clinic, tmp_path / "out")
    assert set(line) == {"session_id", "group", "client", "split", "turns"}
    assert line["group"] == line["client"]
    assert [turn["role"] for turn in line["turns"]] == ["therapist", "client"] * 3
    assert line["turns"][1]["start_s"] == 4.0
    assert not any(turn["sure"] or "markers" in turn for turn in line["turns"])
    (about,) = manifest["sessions"]
    assert about["session_id"] == line["session_id"]
    assert about["n_turns"] == 6


def test_training_reads_it(clinic: Any, tmp_path: Path) -> None:
    sources = pytest.importorskip(
        "training.sources",
        reason="THE EXPORT WAS NOT READ BY TRAINING: datasets is not here",
        exc_type=ImportError,
    )
    for n in range(3):
        clinic.add(consent_id=f"con_{n}", client=f"ref-{n}-long", scopes=("train",))
    _, lines, _ = ours(clinic, tmp_path / "out", "train")
    read = sources.read_export(tmp_path / "out" / "export.jsonl")
    assert [one.session_id for one in read] == [line["session_id"] for line in lines]
    assert [one.split for one in read] == [line["split"] for line in lines]
    said = [cue.text for cue in read[0].transcript.cues]
    assert said == [turn["text"] for turn in lines[0]["turns"]]
    assert not any(label.sure or label.markers for label in read[0].labels.values())


def test_the_manifest_counts_hashes_and_is_reviewed_by_nobody(clinic: Any, tmp_path: Path) -> None:
    for n in range(2):
        clinic.add(consent_id=f"con_{n}", scopes=("research",))
    made, _, manifest = ours(clinic, tmp_path / "out")
    data = (tmp_path / "out" / "export.jsonl").read_bytes()
    assert manifest["file"] == {
        "name": "export.jsonl",
        "sha256": hashlib.sha256(data).hexdigest(),
        "n_bytes": len(data),
    }
    for about, line in zip(manifest["sessions"], data.splitlines(keepends=True), strict=True):
        assert about["sha256"] == hashlib.sha256(line).hexdigest()
    assert manifest["reviewed_by"] is None
    assert manifest["labelled"] is False
    assert "164.514" in manifest["assistive"]
    assert (manifest["export_id"], manifest["n_clients"]) == (made.id, 1)


def test_the_files_are_for_their_owner_alone(clinic: Any, tmp_path: Path) -> None:
    clinic.add(scopes=("research",))
    ours(clinic, tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert {one.stat().st_mode & 0o777 for one in (tmp_path / "out").iterdir()} == {0o600}


def test_every_session_that_leaves_is_on_record_and_the_export_once(
    clinic: Any, tmp_path: Path
) -> None:
    sessions = [clinic.add(consent_id=f"con_{n}", scopes=("research",)) for n in range(2)]
    clinic.add(consent_id="con_no")
    n = len(clinic.trail())
    made, _, _ = ours(clinic, tmp_path / "out")
    events = [entry.event for entry in clinic.trail()[n:]]
    assert {one.action for one in events} == {"training.exported"}
    assert [one.target_id for one in events] == [*sessions, made.id]
    assert events[-1].details == {
        "export": made.id,
        "purpose": "research",
        "n_sessions": 2,
        "n_left_out": 1,
    }


def test_two_exports_share_no_reference_and_every_client_keeps_its_split(
    clinic: Any, tmp_path: Path
) -> None:
    for n in range(8):
        clinic.add(consent_id=f"con_{n}", client=f"ref-{n // 2}-long", scopes=("research",))
    _, first, _ = ours(clinic, tmp_path / "a")
    _, second, _ = ours(clinic, tmp_path / "b")
    for name in ("session_id", "client"):
        assert {line[name] for line in first}.isdisjoint({line[name] for line in second})
    assert [line["split"] for line in first] == [line["split"] for line in second]
    assert len({line["client"] for line in first}) == 4
    assert len({(line["client"], line["split"]) for line in first}) == 4


def test_one_client_in_ten_is_for_testing_and_one_for_choosing() -> None:
    hashed = [hashlib.sha256(str(n).encode()).hexdigest()[:40] for n in range(2_000)]
    found = [export.split_of(one) for one in hashed]
    assert 150 < found.count("test") < 250
    assert 150 < found.count("dev") < 250
    assert found.count("train") == 2_000 - found.count("test") - found.count("dev")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"jurisdiction": "US-IL"}, "jurisdiction_gated"),
        ({"sensitivity": "part2"}, "part2_no_redisclosure"),
        ({"sensitivity": "part2", "redisclosure": "con_other"}, "part2_redisclosure_unknown"),
    ],
)
def test_what_policy_forbids_is_left_out_and_counted(
    clinic: Any, tmp_path: Path, given: dict[str, Any], code: str
) -> None:
    if code == "jurisdiction_gated":  # such a session is not taken in at all, so it comes by row
        clinic.add(scopes=("research",))
        with clinic.house.store.transaction(clinic.tenant_id) as tx:
            record = tx.get(tables.consents, "con_1")["record"]
            tx.change(tables.consents, "con_1", record={**record, **given})
    else:
        clinic.add(scopes=("research",), **given)
    made, lines, _ = ours(clinic, tmp_path / "out")
    assert lines == []
    assert made.left_out == {code: 1}


def test_a_part_2_record_leaves_with_its_notice_where_it_may(clinic: Any, tmp_path: Path) -> None:
    clinic.add(scopes=("research",), sensitivity="part2", redisclosure="con_1")
    _, lines, manifest = ours(clinic, tmp_path / "out")
    assert len(lines) == 1
    assert any("42 CFR Part 2" in notice for notice in manifest["notices"])


def test_a_consent_to_pass_on_that_was_taken_back_lets_nothing_out(
    clinic: Any, tmp_path: Path
) -> None:
    clinic.add(consent_id="con_other")
    clinic.add(scopes=("research",), sensitivity="part2", redisclosure="con_other")
    assert ours(clinic, tmp_path / "a")[0].n_sessions == 1
    clinic.records.revoke(clinic.actor, "con_other")
    left_out = ours(clinic, tmp_path / "b")[0].left_out
    assert left_out["part2_redisclosure_revoked"] == 1


def test_what_was_taken_back_erased_or_is_past_its_days_is_left_out(
    clinic: Any, tmp_path: Path
) -> None:
    back, gone, kept = (
        clinic.add(consent_id=f"con_{name}", scopes=("research",)) for name in "abc"
    )
    clinic.records.revoke(clinic.actor, "con_a")
    clinic.records.erase(clinic.actor, gone)
    made, lines, _ = ours(clinic, tmp_path / "a")
    assert len(lines) == 1
    assert sum(made.left_out.values()) == 2
    assert {back, gone, kept}.isdisjoint(json.dumps(lines))
    clinic.clock.move(days=31)  # and the sweeper has not come yet
    made, lines, _ = ours(clinic, tmp_path / "b")
    assert lines == []
    assert made.left_out["past_retention"] == 1


def test_a_reference_of_the_callers_that_is_said_keeps_the_session_back(
    clinic: Any, tmp_path: Path
) -> None:
    clinic.add(scopes=("research",), client=CANARY)
    clinic.add(consent_id="con_2", scopes=("research",), client="ref-17")
    made, lines, _ = ours(clinic, tmp_path / "out")
    assert made.left_out == {"reference_in_text": 1}
    assert len(lines) == 1


def test_what_cannot_be_read_any_more_is_counted(clinic: Any, tmp_path: Path) -> None:
    clinic.add(scopes=("research",), data=b"WEBVTT\n\n")
    assert ours(clinic, tmp_path / "out")[0].left_out == {"unreadable": 1}


def test_a_consent_that_is_taken_back_while_it_is_written_stops_the_export(
    clinic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.add(scopes=("research",))
    pseudonymise = export.pseudonymise

    def meanwhile(*given: Any, **more: Any) -> Any:
        clinic.records.revoke(clinic.actor, "con_1")
        return pseudonymise(*given, **more)

    monkeypatch.setattr(export, "pseudonymise", meanwhile)
    with pytest.raises(Conflict):
        export.export_sessions(clinic.house, clinic.actor, "research", tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["home"]
    assert "training.exported" not in clinic.actions()


def test_nothing_is_written_over_and_no_other_purpose_is_known(clinic: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(Conflict):
        export.export_sessions(clinic.house, clinic.actor, "research", tmp_path / "out")
    with pytest.raises(Invalid):
        export.export_sessions(clinic.house, clinic.actor, "fhir", tmp_path / "new")
    with pytest.raises(NotFound):
        export.export_sessions(clinic.house, Actor("ten_none"), "research", tmp_path / "new")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["home", "out"]


def test_another_tenants_sessions_are_not_in_it(clinic: Any, tmp_path: Path) -> None:
    clinic.add(scopes=("research",))
    assert ours(clinic.other(), tmp_path / "out")[1] == []


def test_what_was_taken_back_since_is_told_by_its_reference(clinic: Any, tmp_path: Path) -> None:
    kept, gone, back, old = (
        clinic.add(consent_id=f"con_{name}", scopes=("research",)) for name in "abcd"
    )
    made, _, manifest = ours(clinic, tmp_path / "out")
    key = export.key_of(clinic.house, clinic.tenant_id, made.id)
    assert export.withdrawn(clinic.house, clinic.tenant_id, manifest) == ()
    clinic.records.erase(clinic.actor, gone)
    clinic.records.revoke(clinic.actor, "con_c")
    found = export.withdrawn(clinic.house, clinic.tenant_id, manifest)
    assert {(one.session, one.reason) for one in found} == {
        (key.reference("session", gone), "erased"),
        (key.reference("session", back), "consent_revoked"),
    }
    assert {key.reference("session", one) for one in (kept, old)}.isdisjoint(
        one.session for one in found
    )


@pytest.mark.parametrize(
    "change",
    [{"schema": "other/1"}, {"export_id": 7}, {"export_id": "exp_other"}],
)
def test_a_manifest_of_somebody_else_is_refused(
    clinic: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    clinic.add(scopes=("research",))
    _, _, manifest = ours(clinic, tmp_path / "out")
    with pytest.raises(Invalid):
        export.withdrawn(clinic.house, clinic.tenant_id, {**manifest, **change})


def test_names_nowhere_stand_in_a_repr(clinic: Any, tmp_path: Path) -> None:
    clinic.add(scopes=("research",))
    made, _, _ = ours(clinic, tmp_path / "out")
    assert not re.search("umbra|lux|zyx", repr(made), re.IGNORECASE)


def call(*arguments: object) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(export_commands.command)
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_command_writes_and_says_what_it_left_out(clinic: Any, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    clinic.clock.now = now  # the command's clock is the machine's
    clinic.add(consent_id="con_1", scopes=("research",), given_at=now - timedelta(days=1))
    clinic.add(consent_id="con_2", given_at=now - timedelta(days=1))
    where = ("--home", clinic.house.settings.home, "--tenant", clinic.tenant_id)
    code, out, _ = call(*where, "--out", tmp_path / "out")
    assert code == 0
    assert out.splitlines()[:2] == [
        f"written   1 session of 1 client to {tmp_path / 'out'}",
        "left out  1: not_in_scope",
    ]
    assert "a person" in out
    code, _, said = call(*where, "--out", tmp_path / "out", "--withdrawn")
    assert (code, said) == (0, "0 of 1 were taken back\n")
    clinic.records.revoke(clinic.actor, "con_1")
    code, out, said = call(*where, "--out", tmp_path / "out", "--withdrawn")
    assert (code, said) == (1, "1 of 1 were taken back\n")
    assert out.endswith("consent_revoked\n")
    assert call(*where, "--out", tmp_path / "out")[0] == 3
    assert call(*where, "--out", tmp_path / "x", "--purpose", "fun")[0] == 3
    (tmp_path / "out" / "manifest.json").write_text("no JSON", "utf-8")
    assert call(*where, "--out", tmp_path / "out", "--withdrawn")[0] == 3
