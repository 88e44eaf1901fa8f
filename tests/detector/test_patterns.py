"""Every pattern is tested on its own examples: adding a pattern adds its tests.

A case is named by the pattern and the example's number, never by what is said in it.
"""

import re

import pytest

from detector.codebook import Pattern, load_codebook
from detector.markers import MarkerRules
from detector.transcript import Cue, Role, Transcript

ROLES = {"T": Role.THERAPIST, "C": Role.CLIENT}
CODEBOOK = load_codebook()


@pytest.fixture(scope="module")
def rules() -> MarkerRules:
    return MarkerRules()


def _cases(which: str) -> list:
    return [
        pytest.param(pattern, text, id=f"{pattern.id}-{number}")
        for pattern in CODEBOOK.patterns.values()
        for number, text in enumerate(getattr(pattern, which))
    ]


def _read(example: str) -> tuple[Transcript, list[tuple[int, int]]]:
    """The dialogue without its marks, and the marked places of its last line."""
    *context, last = example.strip().split("\n")
    marked: list[tuple[int, int]] = []
    plain, role = "", last[0]
    for part in re.split(r"(<hit>.*?</hit>)", last[3:]):
        said = re.sub(r"</?hit>", "", part)
        if part.startswith("<hit>"):
            marked.append((len(plain), len(plain) + len(said)))
        plain += said
    lines = [(line[0], line[3:]) for line in context] + [(role, plain)]
    cues = tuple(
        Cue(str(number), who, text, role=ROLES[who]) for number, (who, text) in enumerate(lines)
    )
    return Transcript("example", cues), marked


def _found(rules: MarkerRules, pattern: Pattern, transcript: Transcript) -> list[tuple[int, int]]:
    assert all(len(turn.cues) == 1 for turn in transcript.turns), "T: and C: lines must alternate"
    last = rules.find(transcript.turns)[-1]
    return [(hit.start, hit.end) for hit in last if hit.pattern_id == pattern.id]


@pytest.mark.parametrize(("pattern", "example"), _cases("examples"))
def test_an_example_is_hit_exactly_where_it_is_marked(
    rules: MarkerRules, pattern: Pattern, example: str
) -> None:
    transcript, marked = _read(example)
    assert marked, "an example marks its hit with <hit>…</hit>"
    assert _found(rules, pattern, transcript) == marked


@pytest.mark.parametrize(("pattern", "example"), _cases("counterexamples"))
def test_a_counterexample_is_not_hit(rules: MarkerRules, pattern: Pattern, example: str) -> None:
    transcript, marked = _read(example)
    assert not marked, "a counterexample marks nothing"
    assert _found(rules, pattern, transcript) == []


def test_every_marker_that_text_can_show_has_a_pattern() -> None:
    with_patterns = {pattern.marker for pattern in CODEBOOK.patterns.values()}
    assert set(CODEBOOK.markers) - with_patterns == set()


def test_every_pattern_is_named_after_its_marker() -> None:
    for pattern in CODEBOOK.patterns.values():
        assert pattern.id.split(".")[0] == pattern.marker
