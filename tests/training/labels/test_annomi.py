"""The two raw codings that we ship, over the transcripts that we do not."""

from importlib.resources import files
from pathlib import Path

import pytest

from detector.agreement import cohen_kappa
from detector.annotation import Labels, check
from detector.errors import AnnotationError
from detector.transcript import Cue, Role, Transcript
from training.coding import lay_out, table
from training.corpus import AnnomiAbsent, LabelledSession, load_annomi
from training.labels.annomi import NAMES, is_coding, read_codings, transcripts_of

SHIPPED = [Path(str(files("training") / "data" / "annomi" / f"coder_{n}.csv")) for n in (1, 2)]


@pytest.fixture(scope="module")
def sessions() -> list[LabelledSession]:
    """The real text, where the machine has it."""
    try:
        return load_annomi()
    except AnnomiAbsent as error:
        pytest.skip(f"THE CODINGS' AGREEMENT WAS NOT MEASURED: {error}")


@pytest.fixture(scope="module")
def codings(sessions: list[LabelledSession]) -> Labels:
    return read_codings(SHIPPED, sessions)


def test_every_label_has_its_turn_and_its_speaker(
    codings: Labels, sessions: list[LabelledSession]
) -> None:
    check(codings, transcripts_of(sessions))


@pytest.mark.parametrize(
    ("group", "told"),
    [
        # What their readme says, of all 133 transcripts and by utterance.
        ("any withdrawal", 0.81),
        ("any confrontation", 0.88),
        ("any contribution", 0.90),
        ("any resolution", 0.80),
    ],
)
def test_they_agree_about_as_their_readme_says(
    codings: Labels, sessions: list[LabelledSession], group: str, told: float
) -> None:
    laid_out = lay_out(codings, transcripts_of(sessions))
    found = cohen_kappa(table(laid_out, group, "turn").ratings)
    assert found.value == pytest.approx(told, abs=0.02)


def made(tmp_path: Path, *rows: str) -> tuple[Path, list[LabelledSession]]:
    """A coding of one session whose client says two utterances in a row."""
    path = tmp_path / "anna.csv"
    path.write_text("\n".join([",".join(NAMES), *rows, ""]), "utf-8")
    roles = (Role.THERAPIST, Role.CLIENT, Role.CLIENT)
    cues = [Cue(str(n), str(role), "so", role=role) for n, role in enumerate(roles)]
    text = Transcript("made", tuple(cues))
    return path, [LabelledSession("annomi-5", "annomi", "v", "train", text, {}, {})]


def test_utterances_of_one_turn_are_joined(tmp_path: Path) -> None:
    rows = ("5,1,client,denial,1,task,,,1,", "5,2,client,denial|minimal_response,3,bond,,,0,")
    path, sessions = made(tmp_path, *rows)
    assert is_coding(path)
    seen, *marks = read_codings([path], sessions).annotations
    assert (seen.coder, seen.code, seen.unit_type) == ("anna", "seen", "session")
    assert [(one.unit_index, one.code, one.intensity, one.sure) for one in marks] == [
        (1, "denial", 3, False),
        (1, "minimal_response", 3, False),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("9,1,client,denial,1,,,,1,", "anna.csv, line 2: its transcript_id is not among"),
        ("5,9,client,denial,1,,,,1,", "anna.csv, line 2: its utterance_id does not exist"),
        ("5,1,client,denial", "anna.csv, line 2: 4 cells under 10 names"),
    ],
)
def test_a_row_that_leads_nowhere_is_named(tmp_path: Path, row: str, said: str) -> None:
    path, sessions = made(tmp_path, row)
    with pytest.raises(AnnotationError) as caught:
        read_codings([path], sessions)
    assert str(caught.value).startswith(said)
