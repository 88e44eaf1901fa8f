"""A canary word is said in every turn; then it may stand in no error, log, note or repr."""

import dataclasses
import json
import logging
import subprocess
import sys
import traceback
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from detector import (
    Detector,
    DetectorError,
    Report,
    Role,
    Transcript,
    TranscriptError,
    UnknownRole,
    read_transcript,
)
from detector.batch import Request, run
from detector.cli import app
from detector.episodes import find_moments
from training.corpus import TrainingDataError, read_synthetic

CANARY = "zyxcanary"
FIXTURES = Path(__file__).parent / "fixtures" / "formats"
TEXT_FILES = sorted(
    p for p in FIXTURES.rglob("*.*") if p.suffix not in (".docx", "") and p.is_file()
)


def shows(error: BaseException) -> bool:
    """Whether the canary is in an error as a log would print it, causes and all."""
    printed = "".join(traceback.format_exception(error))
    # Lines of source are ours; what counts is what the program adds to them.
    here = CANARY in printed or CANARY in repr(error) or CANARY in repr(vars(error))
    # A traceback leaves out a suppressed context; what collects errors may not.
    return here or (error.__context__ is not None and shows(error.__context__))


@pytest.fixture(scope="module")
def transcript(make_transcript: Any, dialogue: tuple[str, ...]) -> Transcript:
    lines = [f"{line[:3]}{CANARY}, {line[3:]} {CANARY}." for line in dialogue]
    times = [(6.0 * n, 6.0 * n + 5.0) for n in range(len(lines))]
    made: Transcript = make_transcript(*lines, f"O: {CANARY}", times=[*times, (80.0, 81.0)])
    return made


@pytest.fixture(scope="module")
def report(detector: Detector, transcript: Transcript) -> Report:
    return detector.analyze(transcript)


def test_the_canary_is_in_every_turn(report: Report) -> None:
    assert all(CANARY in turn.text for turn in report.turns)
    assert report.to_json().count(CANARY) >= len(report.turns)


def test_a_report_says_it_nowhere_but_in_its_turns_text(report: Report) -> None:
    plain = report.to_dict()
    for turn in plain["turns"]:
        assert CANARY in turn.pop("text")
    assert CANARY not in json.dumps(plain, ensure_ascii=False)


def test_no_repr_says_it(detector: Detector, report: Report, transcript: Transcript) -> None:
    scored = detector.score(transcript)
    values: list[Any] = [
        detector,
        report,
        transcript,
        scored,
        scored.read,
        *report.turns,
        *report.moments,
        *report.segments,
        *report.strengths,
        *transcript.cues,
        *scored.read.spoken,
        *scored.read.hits,
        *find_moments(scored),
    ]
    for value in values:
        assert CANARY not in repr(value), type(value).__name__
        assert CANARY not in str(value), type(value).__name__


def test_nothing_is_logged_or_printed_on_the_way(
    detector: Detector,
    transcript: Transcript,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.DEBUG):
        detector.analyze(transcript).to_json()
        for data in malformed():
            with pytest.raises(TranscriptError):
                read_transcript(data)
    assert CANARY not in caplog.text
    assert capfd.readouterr() == ("", "")


def malformed() -> Iterator[bytes]:
    """Files that hold the canary and cannot be read."""
    said = {"speaker": "C", "text": CANARY}
    for turn in (
        CANARY,
        {"speaker": "C", "text": [CANARY]},
        said | {"speaker": [CANARY]},
        said | {"role": CANARY},
        said | {"start_s": CANARY},
        said | {"end_s": {CANARY: CANARY}},
        said | {"start_s": [CANARY]},
    ):
        yield json.dumps({"turns": [said, turn]}).encode()
    yield json.dumps({CANARY: CANARY}).encode()
    yield json.dumps([CANARY]).encode()
    yield f'{{"turns": [{{"text": "{CANARY}'.encode()
    yield f"{CANARY} ".encode() * 50
    yield CANARY.encode() + bytes(100)
    yield f"WEBVTT\n\n00:00.000 --> {CANARY}\n{CANARY}\n".encode()
    yield b"PK\x03\x04" + CANARY.encode()


@pytest.mark.parametrize("data", [pytest.param(d, id=str(n)) for n, d in enumerate(malformed())])
def test_a_file_that_cannot_be_read_is_refused_without_it(data: bytes) -> None:
    with pytest.raises(TranscriptError) as caught:
        read_transcript(data)
    assert not shows(caught.value)


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON document that holds a value, as its container and key."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from leaves(inner)


def damaged_json(path: Path) -> Iterator[str]:
    """The document with one value after the other replaced by the canary, alone or nested."""
    text = path.read_text("utf-8")
    document = json.loads(text)
    for container, key in list(leaves(document))[:150]:
        kept = container[key]
        for odd in (CANARY, [CANARY], {CANARY: CANARY}):
            container[key] = odd
            yield json.dumps(document)
        container[key] = kept


def damaged_text(path: Path) -> Iterator[str]:
    """The file with one line after the other replaced, spoiled or doubled with the canary."""
    data = path.read_bytes()
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    lines = text.splitlines()
    for place in range(min(len(lines), 60)):
        for odd in (CANARY, f"{lines[place]}{CANARY}", f"{CANARY} --> {CANARY}", f"{CANARY}\t:"):
            yield "\n".join([*lines[:place], odd, *lines[place + 1 :]])


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=f"{p.parent.name}-{p.name}") for p in TEXT_FILES]
)
def test_no_damage_to_a_file_of_any_format_brings_it_into_an_error_or_a_note(path: Path) -> None:
    is_json = path.suffix == ".json"
    for text in damaged_json(path) if is_json else damaged_text(path):
        try:
            read = read_transcript(text)
        except TranscriptError as error:
            assert not shows(error), f"{type(error).__name__} quotes the file"  # noqa: PT017
        else:
            assert CANARY not in repr((read, read.notes, read.dropped)), "a note quotes the file"


def test_an_office_file_that_holds_something_else_is_refused_without_it(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    for member in ("word/document.xml", f"{CANARY}.txt"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, f"<{CANARY}>{CANARY}")
        with pytest.raises(TranscriptError) as caught:
            read_transcript(path)
        assert not shows(caught.value)


@pytest.mark.parametrize(
    "roles",
    [
        {},
        {"T": Role.THERAPIST, "C": Role.THERAPIST},
        {"Nobody": Role.CLIENT},
        {"T": Role.CLIENT, "C": Role.CLIENT},
    ],
)
def test_roles_that_cannot_be_told_are_refused_without_it(
    detector: Detector, make_transcript: Any, roles: dict[str, Role]
) -> None:
    lines = [f"{who}: {CANARY} and so on." for who in ("TC" if roles else "AB")]
    with pytest.raises(UnknownRole) as caught:
        detector.analyze(make_transcript(*lines), roles=roles)
    assert not shows(caught.value)


def test_a_labelled_session_that_is_not_understood_is_refused_without_it() -> None:
    with pytest.raises(TrainingDataError) as caught:
        read_synthetic("x", f"00:01.0-00:02.0 T: {CANARY}\n{CANARY}\n")
    assert not shows(caught.value)


@pytest.fixture
def files(tmp_path: Path, dialogue: tuple[str, ...]) -> list[str]:
    """One file that can be scored, one without roles, one that is broken, and binary."""
    turns = [{"speaker": line[0], "text": f"{line[3:]} {CANARY}"} for line in dialogue]
    contents = {
        "good.json": json.dumps({"turns": turns}).encode(),
        "who.json": json.dumps(
            {"turns": [turn | {"speaker": "AB"[n % 2]} for n, turn in enumerate(turns[:4])]}
        ).encode(),
        **{f"bad{n}.json": data for n, data in enumerate(malformed())},
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    return [str(tmp_path / name) for name in contents]


@pytest.mark.parametrize("format", ["json", "csv", "html", "table"])
def test_the_command_line_says_it_nowhere_where_reports_go_to_a_folder(
    files: list[str], tmp_path: Path, format: str
) -> None:
    arguments = ["score", *files, "--format", format, "--out", str(tmp_path / "out"), "--jobs", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 3
    assert CANARY not in result.output
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_fresh_process_says_it_on_no_error_output(files: list[str]) -> None:
    for name in (files[1], files[2], files[-1]):
        for command in (["score", name], ["explain", name, "0"]):
            result = subprocess.run(
                [sys.executable, "-m", "detector", *command],
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.returncode in (3, 4)
            assert CANARY not in result.stdout + result.stderr


def test_the_outcome_of_a_file_says_it_in_its_text_alone(files: list[str]) -> None:
    for outcome in run(files, Request(), jobs=1):
        assert CANARY not in repr(outcome)
        assert CANARY not in outcome.problem
        assert (CANARY in outcome.text) is not bool(outcome.problem)


def test_every_error_of_ours_keeps_only_places_counts_and_labels() -> None:
    allowed = {
        "tried",
        "reason",
        "line",
        "element",
        "found",
        "limit",
        "unit",
        "n_dropped",
        "speakers",
        "confidence",
        "measure",
        "quality",
        "pattern_id",
        "where",
        # What a corpus's commands were given on their command line.
        "path",
        "name",
        "address",
    }
    kinds = [DetectorError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind.__init__ is not Exception.__init__ and "__init__" in vars(kind):
            names = set(kind.__init__.__annotations__) - {"return"}
            assert names <= allowed, kind.__name__


def test_fields_that_hold_speech_are_kept_out_of_reprs() -> None:
    from detector import report, transcript
    from detector.speech import SpokenTurn

    shown = [
        (kind.__name__, field.name)
        for module in (report, transcript)
        for kind in vars(module).values()
        if dataclasses.is_dataclass(kind)
        for field in dataclasses.fields(kind)
        if field.name in ("text", "speaker", "cues", "words") and field.repr
    ]
    assert shown == []
    assert not SpokenTurn.__dataclass_fields__["words"].repr
