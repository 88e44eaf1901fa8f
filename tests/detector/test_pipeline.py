import datetime
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import Detector, Report, Role, UnknownRole, read_transcript
from detector.pipeline import LIMITS, code_version
from detector.report import ATTENDANCE, CLIENT_LABELS, LABELS, THERAPIST_LABELS
from models import UnknownCheckpoint, registry


@pytest.fixture(scope="module")
def report(detector: Detector, make_transcript: Any, dialogue: tuple[str, ...]) -> Report:
    times = [(6.0 * n, 6.0 * n + 5.0) for n in range(len(dialogue))]
    return detector.analyze(make_transcript(*dialogue, times=times))


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads((files("detector") / "report.schema.json").read_text("utf-8"))


def canonical(*turns: dict[str, Any]) -> bytes:
    return json.dumps({"turns": turns}).encode()


def check(report: Report) -> None:
    """What holds of every report, whatever was said."""
    for turn in report.turns:
        if turn.abstained:
            assert set(turn.scores.values()) == {None}
            assert turn.markers == turn.evidence == ()
            continue
        scores: dict[str, Any] = dict(turn.scores)
        assert all(0.0 <= value <= 1.0 for value in scores.values())
        both = 1 - (1 - scores["withdrawal"]) * (1 - scores["confrontation"])
        assert scores["rupture"] == pytest.approx(both)
        others = CLIENT_LABELS if turn.role is Role.THERAPIST else THERAPIST_LABELS
        assert all(scores[label] == 0.0 for label in others)
        for marker in turn.markers:
            assert 0.0 <= marker.score <= 1.0
            assert all(0 <= s.start < s.end <= len(turn.text) for s in marker.spans)
    seen = [index for segment in report.segments for index in segment.turn_indexes]
    assert seen == [turn.index for turn in report.turns]
    for moment in report.moments:
        assert {report.turns[index].role for index in moment.turn_indexes} == {Role.CLIENT}
        assert 0.0 <= moment.score <= 1.0
        assert all(index > moment.turn_indexes[0] for index in moment.repair_turn_indexes)


def test_a_report_holds_what_every_report_must(report: Report) -> None:
    check(report)
    assert [turn.index for turn in report.turns] == list(range(12))


def test_a_report_follows_its_published_schema(report: Report, schema: Any) -> None:
    jsonschema.validate(json.loads(report.to_json()), schema)


def test_the_json_of_a_report_knows_no_nan(report: Report) -> None:
    assert "NaN" not in report.to_json()
    assert json.loads(report.to_json())["schema"] == "rupture-report/1"


def test_a_report_says_what_made_it(report: Report, detector: Detector) -> None:
    made = report.provenance
    assert made.codebook == detector.codebook.version
    assert len(made.checkpoint_sha256) == len(made.transcript_sha256) == 64
    assert made.code == code_version()
    assert report.limits == LIMITS


def test_rows_are_one_for_each_turn_and_label(report: Report) -> None:
    rows = report.to_rows()
    assert len(rows) == len(report.turns) * len(LABELS)
    assert [row["label"] for row in rows[:5]] == list(LABELS)


def test_scores_differ_from_turn_to_turn(report: Report) -> None:
    ruptures = [turn.scores["rupture"] for turn in report.turns if turn.role is Role.CLIENT]
    assert len(set(ruptures)) > 1


def test_given_cue_ids_come_back_each_in_its_turn(detector: Detector) -> None:
    data = canonical(
        {"speaker": "Ann", "role": "therapist", "text": "How are you?", "cue_id": "x-1"},
        {"speaker": "Bo", "role": "client", "text": "Fine, I guess.", "cue_id": "x-2"},
        {"speaker": "Bo", "role": "client", "text": "Not really.", "cue_id": "x-3"},
    )
    report = detector.analyze(read_transcript(data))
    assert [turn.cue_ids for turn in report.turns] == [("x-1",), ("x-2", "x-3")]
    assert report.to_dict()["turns"][1]["cue_ids"] == ["x-2", "x-3"]


def test_two_fresh_processes_give_the_same_bytes(tmp_path: Path, dialogue: tuple[str, ...]) -> None:
    turns = [{"speaker": line[0], "text": line[3:]} for line in dialogue]
    path = tmp_path / "a.json"
    path.write_bytes(canonical(*turns))
    made = [
        subprocess.run(
            [sys.executable, "-m", "detector", "score", str(path), "--format", "json"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert made[0] == made[1]
    assert json.loads(made[0])["turns"]


@pytest.mark.parametrize("attendance", ATTENDANCE)
def test_attendance_is_reported_and_noted_where_it_may_mean_something(
    detector: Detector, make_transcript: Any, dialogue: tuple[str, ...], attendance: str
) -> None:
    report = detector.analyze(make_transcript(*dialogue), attendance=attendance)
    assert report.session.attendance == attendance
    noted = any("Attendance is given" in note for note in report.notes)
    assert noted is (attendance != "attended")


def test_attendance_that_nobody_gave_is_none(report: Report) -> None:
    assert report.session.attendance is None
    assert not any("Attendance" in note for note in report.notes)


def test_an_unknown_attendance_is_refused(detector: Detector, make_transcript: Any) -> None:
    with pytest.raises(ValueError, match="attendance must be one of attended"):
        detector.analyze(make_transcript("T: a", "C: b"), attendance="bored")


def test_a_turn_of_another_role_is_abstained_from(
    detector: Detector, make_transcript: Any, dialogue: tuple[str, ...]
) -> None:
    transcript = make_transcript(*dialogue, "O: I only translate what she has said to you.")
    report = detector.analyze(transcript)
    check(report)
    assert report.turns[-1].abstained == "the speaker's role is other"
    assert any("Not scored, in 1 turn:" in note for note in report.notes)


def test_a_turn_that_nobody_could_hear_is_abstained_from(
    detector: Detector, make_transcript: Any, dialogue: tuple[str, ...]
) -> None:
    report = detector.analyze(make_transcript(*dialogue, "T: [inaudible]", "C: ..."))
    check(report)
    assert [turn.abstained for turn in report.turns[-2:]] == ["inaudible", "no words"]


GERMAN = (
    "T: Wie geht es Ihnen heute, und was hat sich seit dem letzten Mal verändert?",
    "C: Ich weiß nicht so recht, irgendwie war die ganze Woche ziemlich schwer für mich.",
    "T: Erzählen Sie mir bitte mehr davon, was genau war denn so schwer für Sie?",
    "C: Meine Schwester hat nicht angerufen, und ich konnte die ganze Nacht nicht schlafen.",
)


def test_talk_in_another_language_gets_no_scores_and_a_note(
    detector: Detector, make_transcript: Any, schema: Any
) -> None:
    report = detector.analyze(make_transcript(*GERMAN))
    check(report)
    assert all((turn.abstained or "").startswith("not English") for turn in report.turns)
    assert report.moments == report.strengths == ()
    assert report.session.withdrawal is None
    assert report.session.pillars["bond"]["strain"] is None
    assert any("not English" in note for note in report.notes)
    jsonschema.validate(json.loads(report.to_json()), schema)


def test_one_speaker_without_a_role_is_refused(detector: Detector, make_transcript: Any) -> None:
    with pytest.raises(UnknownRole) as caught:
        detector.analyze(make_transcript("A: Hello there.", "A: And again."))
    assert caught.value.speakers == ("A",)


def test_one_speaker_whose_role_is_given_is_scored_with_a_note(
    detector: Detector, make_transcript: Any
) -> None:
    transcript = make_transcript("A: I don't think this is helping me at all.")
    report = detector.analyze(transcript, roles={"A": Role.CLIENT})
    check(report)
    assert report.turns[0].scores["rupture"] is not None
    assert any("one side" in note.lower() for note in report.notes)


def test_three_speakers_without_roles_are_refused_and_named(
    detector: Detector, make_transcript: Any
) -> None:
    lines = [f"{who}: We talked about it for a long time today." for who in "ABDABD"]
    with pytest.raises(UnknownRole) as caught:
        detector.analyze(make_transcript(*lines))
    assert set(caught.value.speakers) == {"A", "B", "D"}


def test_a_third_speaker_mapped_to_other_lets_the_rest_be_scored(
    detector: Detector, make_transcript: Any
) -> None:
    lines = [f"{who}: We talked about it for a long time today." for who in "ABDABD"]
    roles = {"A": Role.THERAPIST, "B": Role.CLIENT, "D": Role.OTHER}
    report = detector.analyze(make_transcript(*lines), roles=roles)
    check(report)
    assert [turn.abstained is None for turn in report.turns] == [True, True, False] * 2


def test_cues_without_any_speaker_are_refused(detector: Detector) -> None:
    transcript = read_transcript(
        b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello there.\n\n00:03.000 --> 00:04.000\nAnd again.\n"
    )
    with pytest.raises(UnknownRole, match="speakers found: none"):
        detector.analyze(transcript)


def test_swapped_roles_swap_whose_labels_they_are(
    detector: Detector, make_transcript: Any, dialogue: tuple[str, ...], report: Report
) -> None:
    roles = {"T": Role.CLIENT, "C": Role.THERAPIST}
    swapped = detector.analyze(make_transcript(*dialogue), roles=roles)
    check(swapped)
    assert swapped.roles.source == "given"
    for one, other in zip(report.turns, swapped.turns, strict=True):
        assert {one.role, other.role} == {Role.CLIENT, Role.THERAPIST}
        assert (one.scores["rupture"] == 0.0) is not (other.scores["rupture"] == 0.0)


def test_a_stray_speaker_of_no_role_is_not_scored_and_noted(
    detector: Detector, make_transcript: Any, dialogue: tuple[str, ...]
) -> None:
    report = detector.analyze(make_transcript(*dialogue, "X: Hm."))
    check(report)
    assert report.turns[-1].abstained == "the speaker's role is unknown"
    assert report.roles.assigned["X"] is Role.UNKNOWN


def test_what_the_clock_cannot_carry_is_none_and_noted(
    detector: Detector, make_transcript: Any, dialogue: tuple[str, ...]
) -> None:
    report = detector.analyze(make_transcript(*dialogue))
    assert report.turns[1].timing["response_latency_s"] is None
    assert report.turns[1].timing["n_words"] == 3.0
    assert "pause_before_s" in report.features_unavailable
    assert any("no times" in note for note in report.notes)


def test_the_window_sets_the_length_of_a_segment(
    detector: Detector, make_transcript: Any, dialogue: tuple[str, ...]
) -> None:
    transcript = make_transcript(*dialogue, every_s=10.0)
    assert len(detector.analyze(transcript).segments) == 1
    assert len(detector.analyze(transcript, window_s=30.0).segments) == 4


def test_a_segment_scores_that_at_least_one_turn_carries_the_label(
    detector: Detector, make_transcript: Any, dialogue: tuple[str, ...]
) -> None:
    report = detector.analyze(make_transcript(*dialogue))
    (segment,) = report.segments
    none_of_them = 1.0
    for turn in report.turns:
        none_of_them *= 1 - (turn.scores["rupture"] or 0.0)
    assert segment.scores["rupture"] == pytest.approx(1 - none_of_them)


def test_a_segment_in_which_the_client_is_not_heard_says_nothing_of_the_client(
    detector: Detector, make_transcript: Any
) -> None:
    report = detector.analyze(make_transcript("T: How was the week?", "C: Fine.", every_s=400.0))
    first, second = report.segments
    assert {label: first.scores[label] for label in CLIENT_LABELS} == dict.fromkeys(CLIENT_LABELS)
    assert first.significance == {"withdrawal": None, "confrontation": None}
    assert second.scores["withdrawal"] is not None
    assert second.scores["resolution"] is None


def test_notes_of_the_reader_and_what_was_dropped_reach_the_report(detector: Detector) -> None:
    data = canonical(
        {"speaker": "T", "role": "therapist", "text": "How are you?", "start_s": -1.0},
        {"speaker": "C", "role": "client", "text": "  "},
        {"speaker": "C", "role": "client", "text": "Fine, I guess."},
    )
    notes = " ".join(detector.analyze(read_transcript(data)).notes)
    assert "1 parts of the file are not speech: empty text." in notes
    assert "starts below 0" in notes


def test_a_detector_keeps_nothing_between_sessions(
    detector: Detector, make_transcript: Any, dialogue: tuple[str, ...]
) -> None:
    first = detector.analyze(make_transcript(*dialogue)).to_json()
    detector.analyze(make_transcript(*GERMAN))
    assert detector.analyze(make_transcript(*dialogue)).to_json() == first


sayings = st.sampled_from(
    [
        "Fine.",
        "I don't think this is helping me.",
        "You never listen.",
        "I'm glad you said that. I pushed too hard.",
        "Sorry, you froze for a second.",
        "[laughs]",
        "🙂",
        "שלום",
        "How do you feel about that?",
        "um",
    ]
)


@given(st.lists(st.tuples(st.sampled_from("TCO"), sayings), min_size=1, max_size=15), st.booleans())
def test_what_every_report_must_hold_holds_whatever_is_said(
    detector: Detector, make_transcript: Any, rows: list[tuple[str, str]], timed: bool
) -> None:
    lines = [
        "T: What is it that you would like to do with the time we have today?",
        "C: I would like to talk about what happened, and how I felt about it.",
        *(f"{who}: {text}" for who, text in rows),
    ]
    times = [(5.0 * n, 5.0 * n + 4.0) for n in range(len(lines))] if timed else ()
    report = detector.analyze(make_transcript(*lines, times=times))
    check(report)
    assert "NaN" not in report.to_json()


def scoring_toml(*, weight: float, flag: float) -> bytes:
    """The shipped rules' weights with a network heard beside them, and another mark."""
    toml = (files("detector") / "weights" / "rules.toml").read_text("utf-8")
    toml = re.sub(r"^flag = .*$", f"flag = {flag}", toml, flags=re.MULTILINE)
    heard = f'\\g<0>\n"network" = {{ weight = {weight}, mean = -0.5 }}'
    return re.sub(r"^\[context\.\w+\.features\]$", heard, toml, flags=re.MULTILINE).encode()


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny network of random weights, beside the rules, with a mark that many turns pass."""
    return make_checkpoint("tiny-fused", scoring=scoring_toml(weight=4.0, flag=0.02))


@pytest.fixture(scope="module")
def networked(checkpoint: Path) -> Detector:
    return Detector.load(str(checkpoint))


@pytest.fixture(scope="module")
def both(networked: Detector, make_transcript: Any, dialogue: tuple[str, ...]) -> Report:
    return networked.analyze(make_transcript(*dialogue))


def test_a_report_with_a_network_holds_what_every_report_must(both: Report, schema: Any) -> None:
    check(both)
    jsonschema.validate(json.loads(both.to_json()), schema)


def test_a_report_names_the_checkpoint_its_hash_and_what_it_ran_on(
    both: Report, checkpoint: Path
) -> None:
    made = both.provenance
    assert (made.checkpoint, made.backend) == ("tiny-fused", "cpu")
    sha256 = hashlib.sha256((checkpoint / "files.json").read_bytes()).hexdigest()
    assert made.checkpoint_sha256 == sha256


def test_the_rules_alone_are_had_by_name_and_where_no_checkpoint_is_in_use(
    make_transcript: Any, dialogue: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced = Detector.load("rules").analyze(make_transcript(*dialogue))
    assert (forced.provenance.checkpoint, forced.provenance.backend) == ("rules-1", None)
    monkeypatch.setattr("detector.pipeline.list_checkpoints", lambda: ())
    assert Detector.load().analyze(make_transcript(*dialogue)) == forced


def test_the_checkpoint_in_use_is_the_one_that_is_loaded(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUPTURE_CHECKPOINTS", str(tmp_path))
    shutil.copytree(checkpoint, tmp_path / "tiny-fused")
    registry.register("tiny-fused", published=datetime.date(2026, 1, 1))
    registry.use("tiny-fused")
    read = read_transcript(b"T: How are you today?\nC: Fine, I guess.\n")
    assert Detector.load().analyze(read).provenance.checkpoint == "tiny-fused"
    assert Detector.load("rules").analyze(read).provenance.checkpoint == "rules-1"


def test_an_unknown_checkpoint_is_refused_by_name() -> None:
    with pytest.raises(UnknownCheckpoint, match="no-such-one"):
        Detector.load("no-such-one")


def test_the_network_changes_scores_and_its_share_is_told(
    both: Report, make_transcript: Any, dialogue: tuple[str, ...]
) -> None:
    alone = Detector.load("rules").analyze(make_transcript(*dialogue))
    assert [turn.scores for turn in both.turns] != [turn.scores for turn in alone.turns]
    told = [one for turn in both.turns for one in turn.evidence if "network" in one.feature]
    assert told
    for one in told:
        assert one.feature == f"network.{one.label}"
        assert one.contribution == pytest.approx(4.0 * (one.value + 0.5), abs=1e-3)


def test_a_flagged_turn_without_a_rule_for_its_kind_has_a_finding_of_the_network(
    both: Report, networked: Detector
) -> None:
    kinds = networked.codebook.markers
    flagged = {index for moment in both.moments for index in moment.turn_indexes}
    n_found = 0
    for turn in both.turns:
        by_network = [one for one in turn.markers if one.source == "network"]
        n_found += len(by_network)
        if turn.index not in flagged:
            assert by_network == []
            continue
        score = {k: turn.scores[k] or 0.0 for k in ("withdrawal", "confrontation")}
        kind = max(score, key=lambda label: score[label])
        of_kind = [one for one in turn.markers if kinds[one.marker].kind == kind]
        assert of_kind, "a flagged turn says what it is flagged for"
        for one in by_network:
            assert of_kind == [one]
            assert one.score == pytest.approx(score[kind])
    assert n_found > 0


def test_a_networks_finding_is_part_of_its_moment(both: Report) -> None:
    found = {
        (turn.index, one.marker)
        for turn in both.turns
        for one in turn.markers
        if one.source == "network"
    }
    for index, marker in found:
        moment = next(one for one in both.moments if index in one.turn_indexes)
        assert marker in moment.markers


def test_a_turn_that_is_abstained_from_is_left_so_by_the_network(
    networked: Detector, make_transcript: Any
) -> None:
    lines = ("T: How are you?", "C: Fine.", "O: I am the sister.", "T: Well.", "C: [inaudible]")
    report = networked.analyze(make_transcript(*lines))
    check(report)
    assert [bool(turn.abstained) for turn in report.turns] == [False, False, True, False, True]


def test_talk_in_another_language_is_not_scored_with_a_network_either(
    networked: Detector, make_transcript: Any
) -> None:
    talk = ("T: Wie geht es Ihnen heute denn so?", "C: Ich weiß nicht, was ich sagen soll.") * 6
    report = networked.analyze(make_transcript(*talk))
    assert all(turn.abstained for turn in report.turns)
    assert report.moments == ()


def test_the_same_input_and_checkpoint_give_the_same_bytes_in_two_processes(
    checkpoint: Path, tmp_path: Path, dialogue: tuple[str, ...]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n".join(dialogue), "utf-8")
    command = [sys.executable, "-m", "detector", "score", str(path), "--format", "json"]
    made = [
        subprocess.run(
            [*command, "--checkpoint", str(checkpoint)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert made[0] == made[1]
    assert json.loads(made[0])["provenance"]["checkpoint"] == "tiny-fused"


def ran(path: Path, *arguments: str) -> list[str]:
    """Modules of `rupture score` that it must not load, in a process where they are installed."""
    unwanted = ("torch", "transformers", "sklearn", "datasets", "training")
    code = (
        f"import sys; sys.argv = ['rupture', 'score', {str(path)!r}, *{list(arguments)!r}]\n"
        "from detector.cli import main\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        f"print([name for name in {unwanted!r} if name in sys.modules])\n"
        "import torch; print(float(torch.ones(1).sum()))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-2:]


def test_scoring_imports_no_torch_though_it_is_installed_and_can_be_imported_after(
    checkpoint: Path, tmp_path: Path, dialogue: tuple[str, ...]
) -> None:
    assert importlib.util.find_spec("torch")
    path = tmp_path / "a.txt"
    path.write_text("\n".join(dialogue), "utf-8")
    for arguments in ((), ("--checkpoint", str(checkpoint))):
        assert ran(path, *arguments) == ["[]", "1.0"]


def test_a_process_that_has_torch_already_keeps_it() -> None:
    code = (
        "import torch, sys; from detector.markers import MarkerRules; MarkerRules(); "
        "assert sys.modules['torch'] is torch"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
