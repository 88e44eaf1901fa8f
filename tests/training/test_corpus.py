import csv
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import typer

from detector.codebook import load_codebook
from detector.report import RATINGS
from detector.transcript import Role, TimingQuality
from training.corpus import (
    ANNOMI_SETTING,
    AnnomiAbsent,
    LabelledSession,
    TrainingDataError,
    annomi_csv,
    load_annomi,
    load_synthetic,
    read_synthetic,
    told,
)

COLUMNS = (
    "transcript_id",
    "utterance_id",
    "video_url",
    "interlocutor",
    "timestamp",
    "utterance_text",
)


def own_rows(name: str) -> list[dict[str, str]]:
    text = (files("training") / "data" / "annomi" / name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


SPLIT = {row["transcript_id"]: row["split"] for row in own_rows("splits.csv")}

Release = Callable[..., Path]


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """A file in the release's columns, with invented text and our labels' own ids."""

    def release(*more: dict[str, str], leave_out: str = "") -> Path:
        rows = [*more]
        labelled = {(row["transcript_id"], row["utterance_id"]): row["role"] for row in _marked()}
        for tid in SPLIT:
            ids = sorted({0, 1, *(int(u) for t, u in labelled if t == tid)})
            for uid in ids:
                role = labelled.get((tid, str(uid)), "client" if uid % 2 else "therapist")
                rows.append(_row(tid, uid, role))
        path = tmp_path / "annomi.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(row for row in rows if row["transcript_id"] != leave_out)
        return path

    return release


def _marked() -> list[dict[str, str]]:
    return own_rows("labels.csv")


def _row(tid: str, uid: int, role: str, **more: str) -> dict[str, str]:
    return {
        "transcript_id": tid,
        "utterance_id": str(uid),
        "video_url": f"video-{tid}",
        "interlocutor": role,
        "timestamp": f"00:{uid // 60 % 60:02}:{uid % 60:02}",
        "utterance_text": f"invented words {uid}",
    } | more


def kinds_of(sessions: list[LabelledSession]) -> Counter[str]:
    known = load_codebook().markers
    return Counter(
        kind
        for session in sessions
        for label in session.labels.values()
        for kind in {known[marker].kind for marker in label.markers}
    )


def test_the_shipped_labels_have_the_counts_that_were_published(release: Release) -> None:
    sessions = load_annomi(path=release())
    assert len(sessions) == 103
    assert sum(len(session.labels) for session in sessions) == 626
    assert kinds_of(sessions) == {
        "confrontation": 224,
        "resolution": 132,
        "contribution": 130,
        "withdrawal": 128,
        "repair": 21,
    }


def test_every_label_belongs_to_a_speaker_whose_marker_it_is(release: Release) -> None:
    known = load_codebook().markers
    for session in load_annomi(path=release()):
        roles = {cue.cue_id: cue.role for cue in session.transcript.cues}
        for cue_id, label in session.labels.items():
            assert {known[marker].role for marker in label.markers} == {roles[cue_id]}


@pytest.mark.parametrize(("split", "n"), [("train", 83), ("dev", 20), (None, 103)])
def test_the_splits_have_their_sessions(release: Release, split: str | None, n: int) -> None:
    sessions = load_annomi(split, path=release())
    assert len(sessions) == n
    assert {session.split for session in sessions} == ({split} if split else {"train", "dev"})


def test_sessions_are_in_order_of_their_number_and_rated(release: Release) -> None:
    sessions = load_annomi(path=release())
    numbers = [int(session.session_id.removeprefix("annomi-")) for session in sessions]
    assert numbers == sorted(numbers)
    for session in sessions:
        assert set(session.ratings) == set(RATINGS)
        assert all(1 <= rating <= 5 for rating in session.ratings.values())


def test_an_utterance_that_the_release_repeats_is_read_once(release: Release) -> None:
    tid = next(iter(SPLIT))
    again = [_row(tid, 0, "therapist"), _row(tid, 0, "therapist", utterance_text="repeated")]
    (session,) = (s for s in load_annomi(path=release(*again)) if s.session_id == f"annomi-{tid}")
    cues = [cue.text for cue in session.transcript.cues if cue.cue_id == "0"]
    assert cues == ["invented words 0"]


def test_an_empty_utterance_is_no_cue_and_starts_are_all_the_clock(release: Release) -> None:
    tid = next(iter(SPLIT))
    empty = _row(tid, 9999, "client", utterance_text="  ")
    for session in load_annomi(path=release(empty)):
        assert "9999" not in [cue.cue_id for cue in session.transcript.cues]
        assert session.transcript.timing_quality is TimingQuality.START_ONLY


def test_a_labelled_transcript_that_is_missing_is_counted(release: Release) -> None:
    with pytest.raises(TrainingDataError, match="1 labelled transcripts are not in"):
        load_annomi(path=release(leave_out=next(iter(SPLIT))))


def test_cues_on_which_the_codings_differ_are_contested(release: Release) -> None:
    codings: list[dict[tuple[str, str], set[str]]] = []
    known = load_codebook().markers
    for name in ("coder_1.csv", "coder_2.csv"):
        kinds: dict[tuple[str, str], set[str]] = {}
        for row in own_rows(name):
            codes = {*row["markers"].split("|"), *row["resolution"].split("|")} - {""}
            found = {known[code].kind for code in codes}
            found |= {"contribution"} if row["contributes"] == "1" else set()
            kinds[row["transcript_id"], row["utterance_id"]] = found
        codings.append(kinds)
    one, other = codings
    differ = {key for key in {*one, *other} if one.get(key, set()) != other.get(key, set())}
    found = {
        (session.session_id.removeprefix("annomi-"), cue_id)
        for session in load_annomi(path=release())
        for cue_id in session.contested
    }
    assert found == {key for key in differ if key[0] in SPLIT}
    assert found


def test_without_the_setting_the_text_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ANNOMI_SETTING, raising=False)
    with pytest.raises(AnnomiAbsent, match=ANNOMI_SETTING):
        load_annomi()


def test_a_setting_that_leads_nowhere_is_absent_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ANNOMI_SETTING, str(tmp_path))
    with pytest.raises(AnnomiAbsent):
        annomi_csv()


@pytest.mark.parametrize("name", ["annomi.csv", "AnnoMI-full.csv", "AnnoMI-simple.csv"])
def test_the_setting_names_a_folder_or_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.touch()
    for value in (tmp_path, path):
        monkeypatch.setenv(ANNOMI_SETTING, str(value))
        assert annomi_csv() == path


def test_a_command_tells_an_absence_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, told():
        raise AnnomiAbsent
    assert caught.value.exit_code == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_a_command_names_the_extra_that_brings_a_missing_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as caught, told():
        raise ModuleNotFoundError(name="sklearn")
    assert caught.value.exit_code == 3
    assert capsys.readouterr().err == "sklearn is not installed: pip install -e '.[train]'\n"


@pytest.fixture(scope="module")
def annomi() -> list[LabelledSession]:
    """The real text, where the machine has it."""
    try:
        return load_annomi()
    except AnnomiAbsent as error:
        pytest.skip(f"NOT TESTED: {error}")


def test_every_label_has_its_cue_in_the_real_text(annomi: list[LabelledSession]) -> None:
    for session in annomi:
        assert set(session.labels) <= {cue.cue_id for cue in session.transcript.cues}


def test_splits_keep_the_transcripts_of_a_video_together(annomi: list[LabelledSession]) -> None:
    splits: dict[str, set[str]] = {}
    for session in annomi:
        splits.setdefault(session.group, set()).add(session.split)
    assert all(len(found) == 1 for found in splits.values())
    assert len(splits) < len(annomi)


def test_the_real_text_has_the_base_rates_that_were_published(
    annomi: list[LabelledSession],
) -> None:
    client = [
        (session, turn)
        for session in annomi
        for turn in session.transcript.turns
        if turn.role is Role.CLIENT
    ]
    share = sum(session.carries(turn, ["confrontation"]) for session, turn in client) / len(client)
    assert 0.04 < share < 0.08


SESSION = """# {"id": "x1", "notes": "it is away", "session": {"withdrawal": 4, "confrontation": 1}}
00:01.0-00:02.5 T: So, tell me.

00:03.0-00:03.5 C [minimal_response:2:task] Fine.
00:04.0-00:06.0 T {invites_feelings,!} And how does it feel?
00:05.5-00:08.0 C [denial:1:bond,complaint_progress:3:goal]: [laughs] Nothing.
01:00:00.0-01:00:01.0 C: [sighs] Late.
"""


def read(text: str = SESSION) -> LabelledSession:
    return read_synthetic("x1", text)


def test_an_invented_session_is_read_with_its_times_and_roles() -> None:
    cues = read().transcript.cues
    assert [cue.role.value[0] for cue in cues] == ["t", "c", "t", "c", "c"]
    assert (cues[0].start_s, cues[0].end_s) == (1.0, 2.5)
    assert cues[-1].start_s == 3600.0
    assert [cue.text for cue in cues] == [
        "So, tell me.",
        "Fine.",
        "And how does it feel?",
        "[laughs] Nothing.",
        "[sighs] Late.",
    ]


def test_codes_intensity_and_pillar_come_from_the_line_with_a_colon_or_without() -> None:
    session = read()
    short, asked, both = (session.labels[key] for key in ("4", "5", "6"))
    assert (short.markers, short.intensity, short.pillar) == ({"minimal_response"}, 2, "task")
    assert asked.markers == {"invites_feelings", "contributes"}
    assert (both.markers, both.intensity, both.pillar) == (
        {"denial", "complaint_progress"},
        3,
        "bond",
    )
    assert set(session.labels) == {"4", "5", "6"}


def test_the_header_gives_ratings_and_nothing_that_gives_labels_away() -> None:
    session = read()
    assert session.ratings == {"withdrawal": 4, "confrontation": 1}
    assert all("away" not in cue.text for cue in session.transcript.cues)


def test_a_line_that_is_neither_remark_nor_speech_is_named_by_its_number() -> None:
    with pytest.raises(TrainingDataError, match="x1, line 8: not understood") as caught:
        read(SESSION + "canary words\n")
    assert "canary" not in str(caught.value)


def test_an_end_before_its_start_is_the_start() -> None:
    (cue,) = read("00:05.0-00:04.0 T: Hello.\n").transcript.cues
    assert (cue.start_s, cue.end_s) == (5.0, 5.0)


def test_a_turn_carries_the_labels_of_all_its_cues() -> None:
    session = read()
    last = session.transcript.turns[-1]
    assert session.markers_of(last) == {"denial", "complaint_progress"}
    assert session.carries(last, ["confrontation"])
    assert not session.carries(last, ["repair"])
    assert session.markers_of(session.transcript.turns[0]) == frozenset()


@pytest.fixture(scope="module")
def synthetic() -> list[LabelledSession]:
    return load_synthetic()


def test_the_invented_sessions_are_all_there_and_all_train(
    synthetic: list[LabelledSession],
) -> None:
    assert len(synthetic) == 220
    assert {session.split for session in synthetic} == {"train"}
    assert len({session.group for session in synthetic}) == 220
    assert kinds_of(synthetic) == {
        "withdrawal": 1044,
        "confrontation": 817,
        "resolution": 708,
        "contribution": 613,
        "repair": 134,
    }


def test_every_invented_label_is_of_the_codebook_and_of_its_speaker(
    synthetic: list[LabelledSession],
) -> None:
    known: dict[str, Any] = load_codebook().markers
    for session in synthetic:
        roles = {cue.cue_id: cue.role for cue in session.transcript.cues}
        for cue_id, label in session.labels.items():
            assert {known[marker].role for marker in label.markers} == {roles[cue_id]}, cue_id


def test_no_repr_of_a_labelled_session_shows_speech(synthetic: list[LabelledSession]) -> None:
    assert synthetic[0].transcript.cues[0].text not in repr(synthetic[0])
