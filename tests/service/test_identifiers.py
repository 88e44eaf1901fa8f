"""What tells who somebody is by its shape alone is found as written and as spoken."""

import re

import pytest

from detector.transcript import Cue, Role, Turn
from service.identifiers import identifiers


def found(text: str) -> list[tuple[str, str]]:
    """Kinds and words of what is found in a turn of this text."""
    turn = Turn(0, "C", Role.CLIENT, (Cue("1", "C", text),))
    return [(kind, text[start:end]) for start, end, kind in identifiers(turn)]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Write to <maria.l+x@mail.example.org> then.", "EMAIL"),
        ("It is <maria dot lopez at gmail dot com> I think.", "EMAIL"),
        ("Look at <https://example.org/a?b=c>.", "URL"),
        ("Look at <www.example.org/x>, please.", "URL"),
        ("It was on <mindful-place.co.uk/x> again.", "URL"),
        ("I post as <@night_owl> there.", "ACCOUNT"),
        ("Call <555-123-4567> please.", "PHONE"),
        ("Call <+44 20 7946 0958> please.", "PHONE"),
        ("Call <(312) 555 0188> please.", "PHONE"),
        ("It is <oh seven seven double one nine two> or so.", "NUMBER"),
        ("My social is <123-45-6789> or so.", "NUMBER"),
        ("My file is <MRN1234567> or so.", "NUMBER"),
        ("It was <March 3rd, 1984> that he left.", "DATE"),
        ("It was <the third of March nineteen eighty four> that he left.", "DATE"),
        ("It was <12/03/1984> that he left.", "DATE"),
        ("It was <2024-01-31> that he left.", "DATE"),
        ("It was <the fifth of May> that he left.", "DATE"),
        ("I live at <42 Oak Street> now.", "ADDRESS"),
        ("I live at <forty two oak street> now.", "ADDRESS"),
        ("I live at <apartment 4b, 1600 West Adams Avenue> now.", "ADDRESS"),
        ("I live at <Rosebery Close> now.", "ADDRESS"),
        ("The code is <SW1A 1AA> there.", "ADDRESS"),
        ("It is <G-A-R-T-H> with an H.", "SPELLING"),
    ],
)
def test_what_tells_who_somebody_is_by_its_shape_is_found(line: str, kind: str) -> None:
    [wanted] = re.findall("<(.*)>", line)
    assert found(line.replace("<", "").replace(">", "")) == [(kind, wanted)]


@pytest.mark.parametrize(
    "line",
    [
        "I breathe, two three four five six seven, and out.",
        "Five four three two one, I see the room.",
        "I earn 1,200,000 a year, or 10.55 an hour, since 1998.",
        "The dot in the middle. I was at home.It was late.",
        "I-I-I don't know. [laughs] W-what?",
    ],
)
def test_plain_numbers_and_stutters_have_no_such_shape(line: str) -> None:
    assert found(line) == []


def test_a_tag_is_found_with_no_kind_so_that_it_stays() -> None:
    assert found("[PERSON_4] rang 555-123-4567.") == [("", "[PERSON_4]"), ("PHONE", "555-123-4567")]


def test_what_has_two_shapes_is_found_once() -> None:
    assert found("Write to a@www.example.org now.") == [("EMAIL", "a@www.example.org")]
