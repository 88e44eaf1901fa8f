from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.consent import Consent, Scopes
from service.errors import Conflict, Gone, Invalid, NotPermitted
from service.policy import (
    EU_NOTE,
    PART2_NOTICE,
    Decision,
    Material,
    Outlet,
    PolicySettings,
    Purpose,
    decide,
    decide_erasure,
    decide_material,
    effects_of_revocation,
)
from service.retention import Erasure, Part, Retention, Sensitivity, SessionFacts, due

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TEXT, SCORES = frozenset({Part.TEXT}), frozenset({Part.SCORES})
times = st.datetimes(
    datetime(2024, 1, 1),
    datetime(2028, 12, 31),
    timezones=st.sampled_from([UTC, ZoneInfo("America/Chicago"), ZoneInfo("Asia/Kolkata")]),
)
days = st.none() | st.integers(1, 900)
LEAVING = [Purpose.EXPORT, Purpose.FHIR, Purpose.RESEARCH, Purpose.TRAIN]


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


def facts(**more: Any) -> SessionFacts:
    return SessionFacts(**{"id": "ses_1", "received_at": NOW - DAY, **more})


def code(purpose: Purpose = Purpose.ANALYSE, **more: Any) -> str:
    return decision(purpose, **more).code


def decision(
    purpose: Purpose = Purpose.ANALYSE,
    *,
    consent_: Consent | None = None,
    facts_: SessionFacts | None = None,
    policy: PolicySettings | None = None,
    now: datetime = NOW,
    redisclosure: Consent | None = None,
) -> Decision:
    return decide(
        purpose,
        consent_ or consent(),
        facts_ or facts(),
        policy or PolicySettings(),
        now,
        redisclosure=redisclosure,
    )


# --- decide


@pytest.mark.parametrize("purpose", list(Purpose))
def test_full_consent_allows_every_purpose(purpose: Purpose) -> None:
    assert decision(purpose).allowed


@pytest.mark.parametrize("purpose", list(Purpose))
def test_without_consent_nothing_is_allowed(purpose: Purpose) -> None:
    assert decide(purpose, None, facts(), PolicySettings(), NOW).code == "no_consent"


@pytest.mark.parametrize(
    ("purpose", "scope"),
    [
        (Purpose.ANALYSE, "analyse"),
        (Purpose.HUMAN_REVIEW, "human_review"),
        (Purpose.RESEARCH, "research"),
        (Purpose.TRAIN, "train"),
        (Purpose.EXPORT, "analyse"),
        (Purpose.FHIR, "analyse"),
    ],
)
def test_a_purpose_hangs_on_its_own_scope_alone(purpose: Purpose, scope: str) -> None:
    names = ("analyse", "human_review", "research", "train")
    only = Scopes(**{name: name == scope for name in names})
    without = Scopes(**{name: name != scope for name in names})
    assert code(purpose, consent_=consent(scopes=only)) == "allowed"
    assert code(purpose, consent_=consent(scopes=without)) == "not_in_scope"


def test_a_revoked_consent_allows_nothing() -> None:
    assert {code(p, consent_=consent(revoked_at=NOW)) for p in Purpose} == {"consent_revoked"}


def test_a_clock_that_goes_back_revives_no_revoked_consent() -> None:
    revoked = consent(revoked_at=NOW)
    assert code(consent_=revoked, now=NOW - DAY) == "consent_revoked"
    assert code(consent_=revoked, now=NOW - 20 * DAY) == "consent_revoked"


def test_a_consent_holds_from_the_moment_it_was_given() -> None:
    later = consent(given_at=NOW)
    assert code(consent_=later, now=NOW - timedelta(microseconds=1)) == "consent_not_yet_valid"
    assert code(consent_=later) == "allowed"


def test_consent_times_of_other_zones_are_compared_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert code(consent_=consent(given_at=datetime(2026, 3, 1, 20, 59, tzinfo=tokyo))) == "allowed"
    late = consent(given_at=datetime(2026, 3, 1, 21, 1, tzinfo=tokyo))
    assert code(consent_=late) == "consent_not_yet_valid"


def test_illinois_is_off_until_the_deployer_switches_it_on() -> None:
    there = consent(jurisdiction="US-IL", basis="written")
    off = decision(consent_=there)
    assert (off.code, "104-0054" in off.sentence) == ("jurisdiction_gated", True)
    on = PolicySettings(switched_on=frozenset({"US-IL"}))
    assert code(consent_=there, policy=on) == "allowed"


def test_in_illinois_only_written_consent_counts() -> None:
    on = PolicySettings(switched_on=frozenset({"US-IL"}))
    verbal = consent(jurisdiction="US-IL", basis="verbal")
    assert code(consent_=verbal, policy=on) == "consent_not_written"
    electronic = consent(jurisdiction="US-IL", basis="written_electronic")
    assert code(consent_=electronic, policy=on) == "allowed"


def test_a_country_without_its_state_does_not_slip_past_the_gate() -> None:
    somewhere = consent(jurisdiction="US")
    assert code(consent_=somewhere) == "jurisdiction_unclear"
    on = PolicySettings(switched_on=frozenset({"US-IL"}))
    assert code(consent_=somewhere, policy=on) == "consent_not_written"
    assert code(consent_=consent(jurisdiction="US", basis="written"), policy=on) == "allowed"


def test_a_gated_country_gates_all_of_it_but_what_is_switched_on() -> None:
    policy = PolicySettings(
        gated={"CA": "counsel has not agreed"}, switched_on=frozenset({"CA-ON"})
    )
    assert code(consent_=consent(jurisdiction="CA-QC"), policy=policy) == "jurisdiction_gated"
    assert code(consent_=consent(jurisdiction="CA"), policy=policy) == "jurisdiction_gated"
    assert code(consent_=consent(jurisdiction="CA-ON"), policy=policy) == "allowed"
    assert code(consent_=consent(jurisdiction="US-CA"), policy=policy) == "allowed"


def test_in_the_eea_a_note_comes_with_the_permission() -> None:
    assert decision(consent_=consent(jurisdiction="DE-BY")).notices == (EU_NOTE,)
    assert decision(consent_=consent(jurisdiction="GB")).notices == ()


@pytest.mark.parametrize("purpose", LEAVING)
def test_a_part_2_record_leaves_only_with_a_consent_to_pass_it_on(purpose: Purpose) -> None:
    part2 = facts(sensitivity=Sensitivity.PART2)
    assert code(purpose, facts_=part2) == "part2_no_redisclosure"
    own = consent(redisclosure="con_1")
    allowed = decision(purpose, consent_=own, facts_=part2)
    assert allowed.allowed
    assert allowed.notices == (PART2_NOTICE,)


@pytest.mark.parametrize("purpose", [Purpose.ANALYSE, Purpose.HUMAN_REVIEW])
def test_a_part_2_record_may_be_read_in_house(purpose: Purpose) -> None:
    inside = decision(purpose, facts_=facts(sensitivity=Sensitivity.PART2))
    assert (inside.allowed, inside.notices) == (True, ())


def test_the_id_of_a_redisclosure_consent_alone_allows_nothing() -> None:
    part2, naming = facts(sensitivity=Sensitivity.PART2), consent(redisclosure="con_2")

    def export(other: Consent | None) -> str:
        return code(Purpose.EXPORT, consent_=naming, facts_=part2, redisclosure=other)

    assert export(None) == "part2_redisclosure_unknown"
    assert export(consent(id="con_3")) == "part2_redisclosure_unknown"
    assert export(consent(id="con_2", revoked_at=NOW)) == "part2_redisclosure_revoked"
    assert export(consent(id="con_2", given_at=NOW + DAY)) == "part2_redisclosure_revoked"
    assert export(consent(id="con_2")) == "allowed"


def test_the_part_2_notice_can_be_the_prescribed_statement() -> None:
    policy = PolicySettings(part2_notice="the statement that counsel chose")
    allowed = decision(
        Purpose.EXPORT,
        consent_=consent(redisclosure="con_1"),
        facts_=facts(sensitivity=Sensitivity.PART2),
        policy=policy,
    )
    assert allowed.notices == ("the statement that counsel chose",)


def test_the_part_2_notice_names_its_source() -> None:
    assert "42 CFR 2.32" in PART2_NOTICE


def test_erased_text_leaves_the_scores_to_export() -> None:
    gone = facts(erased=TEXT)
    assert code(Purpose.ANALYSE, facts_=gone) == "erased"
    assert code(Purpose.EXPORT, facts_=gone) == "allowed"
    assert code(Purpose.EXPORT, facts_=facts(erased=TEXT | SCORES)) == "erased"


def test_past_retention_is_denied_before_the_sweeper_comes() -> None:
    old = facts(received_at=NOW - 30 * DAY)
    assert code(Purpose.ANALYSE, facts_=old) == "past_retention"
    assert code(Purpose.FHIR, facts_=old) == "allowed"
    assert code(Purpose.ANALYSE, facts_=old, now=NOW - timedelta(seconds=1)) == "allowed"


def test_what_only_a_hold_keeps_is_used_for_nothing_else() -> None:
    assert code(facts_=facts(legal_hold=True)) == "allowed"
    held = facts(legal_hold=True, received_at=NOW - 31 * DAY)
    assert code(facts_=held) == "legal_hold"


def test_a_naive_now_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        decision(now=datetime(2026, 3, 1))


@pytest.mark.parametrize(
    ("denial", "kind"),
    [
        (decision(facts_=facts(erased=TEXT)), Gone),
        (decision(facts_=facts(received_at=NOW - 31 * DAY)), Gone),
        (decide_erasure(facts(legal_hold=True)), Conflict),
        (decision(consent_=consent(revoked_at=NOW)), NotPermitted),
    ],
    ids=["erased", "past_retention", "legal_hold", "revoked"],
)
def test_a_denial_becomes_the_error_of_its_kind_with_its_code(
    denial: Decision, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        denial.require()
    assert getattr(caught.value, "code", None) == denial.code


def test_a_permission_requires_nothing_more() -> None:
    decision().require()


# --- settings


def test_a_policy_with_a_broken_jurisdiction_is_refused() -> None:
    with pytest.raises(Invalid):
        PolicySettings(switched_on=frozenset({"Illinois"}))
    with pytest.raises(Invalid):
        PolicySettings(gated={"us-il": "…"})


def test_a_policy_cannot_do_without_the_part_2_notice() -> None:
    with pytest.raises(Invalid):
        PolicySettings(part2_notice=" ")


# --- psychotherapy notes


@pytest.mark.parametrize("outlet", [one for one in Outlet if one is not Outlet.REVIEW])
@pytest.mark.parametrize("may_read", [True, False])
def test_comments_never_leave_the_review(outlet: Outlet, may_read: bool) -> None:
    asked = decide_material(Material.COMMENT, outlet, PolicySettings(), may_read_notes=may_read)
    assert asked.code == "psychotherapy_notes"


def test_comments_are_read_in_the_review_with_the_scope_for_them() -> None:
    def ask(may_read: bool) -> str:
        policy = PolicySettings()
        asked = decide_material(Material.COMMENT, Outlet.REVIEW, policy, may_read_notes=may_read)
        return asked.code

    assert (ask(True), ask(False)) == ("allowed", "notes_scope_needed")


def test_a_transcript_is_notes_only_where_the_tenant_says_so() -> None:
    def ask(policy: PolicySettings) -> str:
        return decide_material(
            Material.TRANSCRIPT, Outlet.EXPORT, policy, may_read_notes=False
        ).code

    assert ask(PolicySettings()) == "allowed"
    assert ask(PolicySettings(transcript_is_notes=True)) == "psychotherapy_notes"


# --- revocation and erasure


def test_revocation_stops_what_the_consent_carried_and_erases_the_text() -> None:
    narrow = consent(scopes=Scopes(analyse=True, human_review=False))
    effects = effects_of_revocation(narrow, facts(), PolicySettings())
    assert effects.stops == {Purpose.ANALYSE, Purpose.EXPORT, Purpose.FHIR}
    assert effects.cancel_jobs
    assert (effects.erase, effects.erase_later) == (TEXT, frozenset())
    assert not effects.drop_from_manifests


def test_revocation_of_research_takes_the_session_off_the_manifests() -> None:
    scopes = Scopes(analyse=True, human_review=False, research=True)
    effects = effects_of_revocation(consent(scopes=scopes), facts(), PolicySettings())
    assert effects.drop_from_manifests


def test_revocation_erases_what_the_policy_says() -> None:
    keeps = PolicySettings(revocation_erases=frozenset())
    both = PolicySettings(revocation_erases=TEXT | SCORES)
    assert effects_of_revocation(consent(), facts(), keeps).erase == frozenset()
    assert effects_of_revocation(consent(), facts(), both).erase == TEXT | SCORES


def test_revocation_under_a_hold_erases_when_the_hold_ends() -> None:
    held = facts(legal_hold=True)
    effects = effects_of_revocation(consent(), held, PolicySettings())
    assert (effects.erase, effects.erase_later) == (frozenset(), TEXT)
    waiting = replace(held, erase_from=dict.fromkeys(effects.erase_later, NOW))
    assert list(due([waiting], Retention(), NOW)) == []
    released = replace(waiting, legal_hold=False)
    assert list(due([released], Retention(), NOW)) == [(Erasure("ses_1", TEXT, all_gone=False),)]


def test_revocation_a_second_time_erases_nothing_more() -> None:
    again = effects_of_revocation(consent(), facts(erased=TEXT), PolicySettings())
    assert (again.erase, again.erase_later) == (frozenset(), frozenset())


def test_a_held_session_is_not_erased_on_request() -> None:
    assert decide_erasure(facts(legal_hold=True)).code == "legal_hold"
    assert decide_erasure(facts(erased=TEXT | SCORES)).allowed


@given(
    st.builds(
        SessionFacts,
        id=st.just("ses_1"),
        received_at=times,
        erased=st.frozensets(st.sampled_from(list(Part))),
        erase_from=st.dictionaries(st.sampled_from(list(Part)), times),
    ),
    st.builds(Retention, text_days=days, scores_days=days),
    times,
)
@settings(max_examples=60, deadline=None)
def test_what_is_due_is_denied_already(
    row: SessionFacts, retention: Retention, now: datetime
) -> None:
    policy = PolicySettings(retention=retention)
    early = consent(given_at=datetime(2020, 1, 1, tzinfo=UTC))
    batches = due([row], retention, now)
    for part in (part for batch in batches for one in batch for part in one.parts):
        purpose = Purpose.ANALYSE if part is Part.TEXT else Purpose.FHIR
        assert decide(purpose, early, row, policy, now).code == "past_retention"
