from collections.abc import Callable
from pathlib import Path

import pytest

from detector import codebook
from detector.codebook import KINDS, PILLARS, Codebook, load_codebook, read_slots, spell_out
from detector.errors import CodebookError
from detector.transcript import Role

HEAD = """
version = "0.1"
[[marker]]
id = "denial"
kind = "withdrawal"
role = "client"
title = "Denial"
definition = "Denies it."
pillar = "bond"
[[marker]]
id = "advice"
kind = "move"
role = "therapist"
title = "Advice"
definition = "Advises."
[spoken]
fillers = ["um"]
negations = ["not"]
reporting = ["said"]
narrators = ["boss"]
replies = ["no"]
backchannels = ["okay"]
[spoken.forms]
gonna = "going to"
[spoken.events]
"[laughs]" = ["laughs", "laughter"]
"""

PATTERN = """
[[pattern]]
id = "denial.nothing"
marker = "denial"
phrases = ["nothing (happened|is wrong)"]
examples = ["C: <hit>Nothing happened</hit>."]
source = "a test"
added_in = "0.1"
"""

Load = Callable[..., Codebook]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads a codebook from these TOML texts, as the shipped one is loaded."""

    def load(*patterns: str, head: str = HEAD) -> Codebook:
        folder = tmp_path / "patterns"
        folder.mkdir()
        (tmp_path / "codebook.toml").write_text(head, "utf-8")
        for number, text in enumerate(patterns):
            (folder / f"{number}.toml").write_text(text, "utf-8")
        (folder / "README.md").write_text("not a pattern", "utf-8")
        monkeypatch.setattr(codebook, "files", lambda package: tmp_path)
        return load_codebook.__wrapped__()

    return load


def test_the_shipped_codebook_has_every_kind_and_only_known_pillars() -> None:
    shipped = load_codebook()
    assert {marker.kind for marker in shipped.markers.values()} == set(KINDS)
    pillars = {shipped.pillar_of(pattern) for pattern in shipped.patterns.values()}
    assert pillars <= {None, *PILLARS}


def test_the_shipped_codebook_has_the_markers_of_the_3rs() -> None:
    shipped = load_codebook()
    assert len(shipped.of_kind("withdrawal")) == 8
    assert len(shipped.of_kind("confrontation")) == 7
    assert len(shipped.of_kind("resolution")) == 9
    assert shipped.of_kind("repair") == ("repair_disclosure",)
    assert shipped.of_kind("contribution") == ("contributes",)


def test_every_shipped_pattern_has_examples_and_a_source() -> None:
    for pattern in load_codebook().patterns.values():
        assert pattern.examples, pattern.id
        assert pattern.source, pattern.id


def test_a_small_codebook_is_read_whole(load: Load) -> None:
    read = load(PATTERN)
    assert read.version == "0.1"
    assert read.patterns["denial.nothing"].phrases == ("nothing happened", "nothing is wrong")
    assert read.spoken.forms == {"gonna": ("going", "to")}
    assert read.spoken.events == {"laughs": "[laughs]", "laughter": "[laughs]"}
    assert read.of_kind("move", "withdrawal") == ("denial", "advice")


def test_a_patterns_pillar_wins_over_its_markers(load: Load) -> None:
    read = load(PATTERN, PATTERN.replace("denial.nothing", "denial.b") + 'pillar = "task"\n')
    assert read.pillar_of(read.patterns["denial.nothing"]) == "bond"
    assert read.pillar_of(read.patterns["denial.b"]) == "task"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("added_in", "colour = 1\nadded_in"), "unknown keys"),
        (('marker = "denial"', 'marker = "refusal"'), "unknown marker refusal"),
        (("added_in", 'after = ["singing"]\nadded_in'), "unknown moves"),
        (("added_in", 'after = ["denial"]\nadded_in'), "unknown moves"),
        (("added_in", 'pillar = "roof"\nadded_in'), "unknown pillar"),
        (("nothing (happened|is wrong)", "(a|b|c|d|e|f|g|h)" * 5), "spells out 32768 phrases"),
        (('source = "a test"', ""), "missing"),
        (('id = "denial.nothing"', ""), "missing"),
        (('phrases = ["nothing (happened|is wrong)"]', ""), "needs examples, and phrases"),
        (('["C: <hit>Nothing happened</hit>."]', "[]"), "needs examples, and phrases"),
    ],
)
def test_a_broken_entry_is_named_with_its_fault(
    load: Load, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(CodebookError, match=said):
        load(PATTERN.replace(*change))


def test_an_error_names_the_pattern(load: Load) -> None:
    with pytest.raises(CodebookError) as caught:
        load(PATTERN.replace('marker = "denial"', 'marker = "refusal"'))
    assert caught.value.pattern_id == "denial.nothing"


def test_an_id_may_not_be_there_twice(load: Load) -> None:
    with pytest.raises(CodebookError, match=r"denial\.nothing: the id is there twice"):
        load(PATTERN, PATTERN)


@pytest.mark.parametrize(
    "change", [('"withdrawal"', '"weather"'), ('role = "client"', 'role = "parrot"')]
)
def test_a_marker_of_unknown_kind_or_role_is_refused(load: Load, change: tuple[str, str]) -> None:
    with pytest.raises(CodebookError, match="denial: unknown kind or role"):
        load(PATTERN, head=HEAD.replace(*change))


@pytest.mark.parametrize(
    ("text", "wordings"),
    [
        ("it helps", ["it helps"]),
        ("(that|it) helps", ["that helps", "it helps"]),
        ("it (really|) helps", ["it really helps", "it helps"]),
        ("(a|b) (c|d)", ["a c", "a d", "b c", "b d"]),
        ("(|)", ["", ""]),
    ],
)
def test_alternatives_are_spelled_out(text: str, wordings: list[str]) -> None:
    assert list(spell_out(text)) == wordings


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("not", [{"ORTH": "not"}]),
        ("do|did", [{"ORTH": {"IN": ["do", "did"]}}]),
        ("really?", [{"ORTH": "really", "OP": "?"}]),
        ("just|really*", [{"ORTH": {"IN": ["just", "really"]}, "OP": "*"}]),
        ("i _+", [{"ORTH": "i"}, {"ORTH": {"NOT_IN": [".", "?", "!", "…"]}, "OP": "+"}]),
    ],
)
def test_the_short_form_of_a_token_pattern_is_read_slot_by_slot(
    text: str, slots: list[dict[str, object]]
) -> None:
    assert list(read_slots(text)) == slots


def test_a_marker_can_be_of_its_role_and_of_somebody_unknown() -> None:
    markers = load_codebook().markers
    denial = markers["denial"]
    assert [role for role in Role if denial.can_be_of(role)] == [Role.CLIENT, Role.UNKNOWN]
