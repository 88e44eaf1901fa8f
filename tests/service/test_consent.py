"""A consent says everything that counts, or is refused with the places at fault."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.consent import Consent, Scopes
from service.errors import Invalid

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def consent(**more: Any) -> Consent:
    said: dict[str, Any] = {
        "id": "con_1",
        "scopes": Scopes(analyse=True, human_review=True, research=True, train=True),
        "basis": "verbal",
        "text_version": "2026-01",
        "given_by": "client",
        "given_at": NOW - 10 * DAY,
        "jurisdiction": "US-CA",
    }
    return Consent(**{**said, **more})


def test_research_and_training_are_no_until_said() -> None:
    scopes = Scopes(analyse=True, human_review=True)
    assert not scopes.research
    assert not scopes.train


def test_the_other_scopes_must_be_said() -> None:
    with pytest.raises(TypeError, match="human_review"):
        Scopes(analyse=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("answer", ["false", 1, None, "yes"])
def test_a_scope_that_is_no_boolean_is_refused(answer: Any) -> None:
    with pytest.raises(Invalid) as caught:
        Scopes(analyse=True, human_review=True, train=answer)
    assert [fault.pointer for fault in caught.value.errors] == ["/consent/scopes/train"]


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("id", "", "malformed"),
        ("id", "a b", "malformed"),
        ("id", "x" * 65, "malformed"),
        ("basis", "He said yes.", "malformed"),
        ("given_by", "Maria Lopez", "malformed"),
        ("text_version", None, "malformed"),
        ("jurisdiction", "Illinois", "malformed"),
        ("jurisdiction", "us-il", "malformed"),
        ("jurisdiction", "US-IL\n", "malformed"),
        ("jurisdiction", None, "malformed"),
        ("jurisdiction", "UK", "no_country"),
        ("jurisdiction", "EU", "no_country"),
        ("given_at", datetime(2026, 1, 1), "no_offset"),
        ("given_at", "2026-01-01", "no_offset"),
        ("revoked_at", datetime(2026, 2, 25), "no_offset"),
        ("revoked_at", NOW - 11 * DAY, "before_given"),
        ("redisclosure", "", "malformed"),
        ("scopes", {"analyse": True}, "no_scopes"),
    ],
)
def test_a_consent_with_a_broken_field_is_refused_with_its_place(
    field: str, value: Any, fault: str
) -> None:
    with pytest.raises(Invalid) as caught:
        consent(**{field: value})
    assert [(one.pointer, one.code) for one in caught.value.errors] == [
        (f"/consent/{field}", fault)
    ]


def test_all_faults_of_a_consent_are_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        consent(id="", jurisdiction="UK", given_at=None)
    assert len(caught.value.errors) == 3


def test_a_refused_consent_quotes_nothing() -> None:
    with pytest.raises(Invalid) as caught:
        consent(given_by="Maria Lopez", basis="my sister said so")
    shown = repr(caught.value) + repr(caught.value.errors)
    assert "Maria" not in shown
    assert "sister" not in shown
