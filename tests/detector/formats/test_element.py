import pytest

from detector.errors import MalformedTranscript
from detector.formats.element import Element, is_object, peek, spoken
from detector.formats.source import Reading, labelled_role, number
from detector.transcript import Role


def element(value: object) -> Element:
    return Element({"list": [{"key": value}]}).elements("list")[0]


def test_an_element_names_its_path() -> None:
    assert str(element(1).child("key")) == "list[0].key"
    assert str(Element({})) == "document"


def test_an_error_names_the_path_and_never_the_value() -> None:
    with pytest.raises(MalformedTranscript) as caught:
        element("my boss").seconds("key")
    assert caught.value.element == "list[0].key"
    assert "boss" not in str(caught.value)


@pytest.mark.parametrize("value", [None, True, [], {}, "x", "nan", float("inf"), 10**400, -1e12])
def test_a_time_must_be_a_finite_number(value: object) -> None:
    with pytest.raises(MalformedTranscript):
        element(value).seconds("key")


@pytest.mark.parametrize(("value", "seconds"), [("4.87", 4.87), (0, 0.0), ("0", 0.0), (-2, -2.0)])
def test_a_number_may_be_written_as_a_string(value: object, seconds: float) -> None:
    assert element(value).seconds("key") == seconds


def test_units_are_brought_to_seconds() -> None:
    assert element(17400).seconds("key", per_second=1000) == 17.4
    assert number(36_000_000_000.0, "ticks of an hour", per_second=1e7) == 3600.0


def test_an_optional_time_may_be_missing_but_not_wrong() -> None:
    assert element(None).clock("key") is None
    assert element(None).clock("other") is None
    with pytest.raises(MalformedTranscript):
        element("soon").clock("key")


@pytest.mark.parametrize(
    ("value", "label"), [(0, "0"), ("0", "0"), (1.0, "1"), (" A ", "A"), ("", None), (None, None)]
)
def test_zero_is_a_label_and_blank_is_none(value: object, label: str | None) -> None:
    assert element(value).label("key") == label


@pytest.mark.parametrize("value", [True, False, [], {}, 0.5, float("nan"), float("inf")])
def test_a_label_of_another_kind_is_refused(value: object) -> None:
    with pytest.raises(MalformedTranscript):
        element(value).label("key")


@pytest.mark.parametrize("value", [None, "x", 1, [], True])
def test_what_is_not_an_object_has_no_children(value: object) -> None:
    with pytest.raises(MalformedTranscript):
        element(value).child("key").text("deeper")


@pytest.mark.parametrize("value", ["x", 1, {}, True])
def test_what_is_not_a_list_has_no_elements(value: object) -> None:
    with pytest.raises(MalformedTranscript):
        element(value).elements("key")


def test_null_is_an_empty_list() -> None:
    assert element(None).elements("key") == []


def test_empty_texts_are_dropped_and_counted() -> None:
    reading = Reading()
    elements = Element({"a": [{"t": "yes"}, {"t": " \n"}]}).elements("a")
    assert [(place, text) for place, _, text in spoken(reading, elements, "t")] == [("1", "yes")]
    assert reading.n_found == 2
    assert [(drop.where, drop.reason) for drop in reading.dropped] == [("a[1]", "empty text")]


def test_a_word_without_times_keeps_its_text() -> None:
    word = Element({"word": "10:30"}).word(Reading(), ("word",), "start", "end")
    assert (word.text, word.start_s, word.end_s) == ("10:30", None, None)


def test_a_word_that_ends_before_it_starts_loses_its_end_with_a_note() -> None:
    reading = Reading()
    word = Element({"word": "so", "start": 3, "end": 2}).word(reading, ("word",), "start", "end")
    assert (word.start_s, word.end_s) == (3.0, None)
    assert len(reading.mended) == 1


@pytest.mark.parametrize("document", [None, 1, "text", [], {}, {"a": 1}, {"a": []}])
def test_peeking_never_raises(document: object) -> None:
    assert peek(document, "a", 0, "b") is None
    assert not is_object(document, "b")


@pytest.mark.parametrize(
    ("label", "role"),
    [
        ("Therapist", Role.THERAPIST),
        ("COUNSELOR_1", Role.THERAPIST),
        ("client", Role.CLIENT),
        ("Patient 2", Role.CLIENT),
        ("patient's mother", Role.UNKNOWN),
        ("Client Eastwood", Role.UNKNOWN),
        ("Interviewer", Role.UNKNOWN),
        ("AGENT", Role.UNKNOWN),
        ("", Role.UNKNOWN),
        (None, Role.UNKNOWN),
    ],
)
def test_a_label_that_is_a_role_and_nothing_else_labels_it(label: str | None, role: Role) -> None:
    assert labelled_role(label) is role
