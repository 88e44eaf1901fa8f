"""Turns cut where their evidence begins and ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.codebook import load_codebook
from detector.page import marked
from detector.page.marked import Mark
from detector.report import Span

_MARKS = st.lists(
    st.builds(
        lambda start, size, marker: Mark(Span(start, start + size), marker),
        st.integers(0, 60),
        st.integers(0, 30),
        st.sampled_from(["denial", "rejects_intervention", "bond_warmth", "unknown_marker"]),
    ),
    max_size=6,
)


@given(text=st.text(max_size=60), marks=_MARKS)
def test_cut_text_joins_to_the_text(text: str, marks: list[Mark]) -> None:
    pieces = marked.cut(text, marks, load_codebook())
    assert "".join(piece.text for piece in pieces) == text
    assert all(piece.text for piece in pieces)


@given(text=st.text(max_size=60), marks=_MARKS)
def test_exactly_the_marked_code_points_are_marked(text: str, marks: list[Mark]) -> None:
    pieces = marked.cut(text, marks, load_codebook())
    found = [bool(piece.kind) for piece in pieces for _ in piece.text]
    wanted = [any(m.span.start <= at < m.span.end for m in marks) for at in range(len(text))]
    assert found == wanted


def test_offsets_count_code_points_not_bytes_or_utf_16() -> None:
    pieces = marked.cut("🙂🙂 fine", [Mark(Span(3, 7), "denial")], load_codebook())
    assert [(piece.text, piece.kind) for piece in pieces] == [("🙂🙂 ", ""), ("fine", "withdrawal")]


def test_overlapping_marks_are_all_named() -> None:
    marks = [Mark(Span(0, 4), "denial"), Mark(Span(2, 6), "rejects_intervention")]
    pieces = marked.cut("abcdef", marks, load_codebook())
    assert [(piece.text, piece.kind) for piece in pieces] == [
        ("ab", "withdrawal"),
        ("cd", "confrontation"),
        ("ef", "confrontation"),
    ]
    assert pieces[1].title == "Denial, Rejects the intervention"


@given(start=st.integers(0, 1990), size=st.integers(1, 9))
def test_a_quote_of_a_long_turn_is_short_and_shows_its_mark(start: int, size: int) -> None:
    text = "word " * 400
    found = marked.quote(text, [Mark(Span(start, start + size), "denial")], load_codebook())
    assert sum(len(piece.text) for piece in found.pieces) <= marked.MOST_QUOTED + 40
    shown = "".join(piece.text for piece in found.pieces if piece.kind)
    assert shown == text[start : start + size]
    assert found.is_cut_before or found.is_cut_after


def test_what_the_therapist_said_last_is_what_is_quoted() -> None:
    found = marked.ending("first " * 200 + "last words")
    assert found.is_cut_before
    assert found.pieces[0].text.endswith("last words")
    assert found.pieces[0].text.startswith("first")


@pytest.mark.timeout(60)
def test_a_turn_with_thousands_of_marks_is_cut() -> None:
    marks = [Mark(Span(at, at + 3), "denial") for at in range(0, 120_000, 4)]
    pieces = marked.cut("you " * 30_000, marks, load_codebook())
    assert len(pieces) == 60_000
