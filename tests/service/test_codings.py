"""Annotations, differences and figures as values, and as rows on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from service import tables, upkeep
from service.adjudications import Adjudications, Agreed
from service.annotations import Annotation, Coding, annotate, undo
from service.caseload import View
from service.codings import Assignment, Kept
from service.differences import differences, gap_of, settled
from service.entrance import Visitor
from service.errors import Conflict, Invalid, NotPermitted, ServiceError, Stale
from service.figures import NOTHING, confusion, figures, reasons
from service.keys import Secret
from service.scopes import Role
from service.sheets import Sheet, codes_of, sheet_of

AT = "2026-03-02T09:00:00+00:00"


@pytest.fixture
def sheet(make_transcript: Any) -> Sheet:
    lines = [f"{who}: Line {n}." for n, who in enumerate("TCTCTCTC")]
    return sheet_of(make_transcript(*lines), window_turns=4)


def coded(sheet: Sheet, **said: Any) -> Coding:
    """A coding of turns by their numbers: `coded(sheet, t1=["denial"])`."""
    made = Coding()
    for name, markers in said.items():
        item = f"turn-{name[1:]}"
        made = annotate(made, sheet, item, {"markers": markers}, lead_s=1.0, at=AT)
    return made


# -- a sheet -----------------------------------------------------------------------------------


def test_a_sheet_without_times_has_segments_of_turns(sheet: Sheet) -> None:
    assert [one.turn_indexes for one in sheet.segments] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert sheet.items[-3:] == ("segment-0", "segment-1", "session")
    assert Sheet.from_dict(sheet.to_dict()) == sheet


def test_every_key_of_a_role_has_one_marker() -> None:
    for role, n in (("client", 16), ("therapist", 10), ("other", 0)):
        keys = codes_of(role)
        assert len(keys) == len(set(keys.values())) == n
    client = codes_of("client")
    assert (client["minimal_response"], client["complaint_therapist"]) == ("1", "shift+1")


# -- annotations -------------------------------------------------------------------------------


def test_coded_as_absent_is_not_the_same_as_not_coded(sheet: Sheet) -> None:
    made = coded(sheet, t1=[])
    assert made.annotations["turn-1"].markers == ()
    assert "turn-3" not in made.annotations
    assert (
        "turn-1"
        not in annotate(made, sheet, "turn-1", {"clear": True}, lead_s=0, at=AT).annotations
    )


def test_what_was_passed_over_is_absent_only_when_it_is_said(sheet: Sheet) -> None:
    made = coded(sheet, t1=["denial"])
    made = annotate(made, sheet, "turn-4", {"nothing_up_to": True}, lead_s=9.0, at=AT)
    assert sorted(made.annotations) == ["turn-0", "turn-1", "turn-2", "turn-3", "turn-4"]
    assert made.annotations["turn-1"].markers == ("denial",)
    assert made.annotations["turn-3"].lead_s == 0
    assert sorted(undo(made).annotations) == ["turn-1"]


@pytest.mark.parametrize(
    ("item", "given"),
    [
        ("turn-9", {"markers": []}),
        ("turn-1", {}),
        ("turn-1", {"markers": ["redirects"]}),
        ("turn-1", {"markers": ["denial", "denial"]}),
        ("turn-1", {"markers": "denial"}),
        ("turn-1", {"pillar": "hope"}),
        ("turn-1", {"intensity": 4}),
        ("turn-1", {"intensity": True}),
        ("turn-1", {"sure": 1}),
        ("turn-1", {"answers": 1}),
        ("turn-1", {"start": 3, "end": 2}),
        ("turn-1", {"start": 3}),
        ("turn-1", {"ratings": {"withdrawal": 3}}),
        ("turn-1", {"reason": "words"}),
        ("segment-0", {"markers": []}),
        ("segment-0", {"ratings": {"withdrawal": 6}}),
        ("segment-0", {"ratings": {"mood": 1}}),
        ("session", {"ratings": 3}),
    ],
)
def test_what_cannot_be_said_of_an_item_is_refused(
    sheet: Sheet, item: str, given: dict[str, Any]
) -> None:
    with pytest.raises(Invalid):
        annotate(Coding(), sheet, item, given, lead_s=1.0, at=AT)


@pytest.mark.parametrize("lead_s", [-1.0, 1e9, float("nan")])
def test_a_time_that_cannot_be_is_refused(sheet: Sheet, lead_s: float) -> None:
    with pytest.raises(Invalid):
        annotate(Coding(), sheet, "turn-1", {"markers": []}, lead_s=lead_s, at=AT)


def test_ratings_come_one_by_one_and_can_be_taken_back(sheet: Sheet) -> None:
    made = Coding()
    for given in ({"withdrawal": 3}, {"resolution": 2}, {"withdrawal": None}):
        made = annotate(made, sheet, "session", {"ratings": given}, lead_s=1.0, at=AT)
    assert dict(made.annotations["session"].ratings) == {"resolution": 2}
    made = annotate(made, sheet, "session", {"ratings": {"resolution": None}}, lead_s=1.0, at=AT)
    assert "session" not in made.annotations
    assert Coding.from_dict(made.to_dict()) == made


def test_nothing_is_left_to_undo_when_all_is_undone(sheet: Sheet) -> None:
    assert undo(coded(sheet, t1=[])).annotations == {}
    with pytest.raises(Conflict):
        undo(Coding())


# -- differences -------------------------------------------------------------------------------


def test_gaps_are_wider_where_kinds_differ_than_where_markers_or_strength_do() -> None:
    def turn(*markers: str, **more: Any) -> Annotation:
        return Annotation(markers=markers, **more)

    kinds = gap_of([turn("denial"), turn()])
    markers = gap_of([turn("denial"), turn("minimal_response")])
    rest = gap_of([turn("denial", intensity=1), turn("denial", intensity=2)])
    assert kinds > markers > rest > 0
    assert gap_of([turn("denial", sure=True), turn("denial", sure=False)]) == 0
    assert gap_of([turn("denial")]) == 0
    rated = [Annotation(ratings={"withdrawal": n}) for n in (2, 4)]
    assert gap_of(rated) == 0.5


def test_differences_come_widest_first_and_what_one_did_not_code_is_none(sheet: Sheet) -> None:
    mine = coded(sheet, t1=["denial"], t3=["denial"], t5=["denial"])
    theirs = coded(sheet, t1=["minimal_response"], t3=[])
    found = differences(sheet, {"a": mine, "b": theirs})
    assert [one.item for one in found] == ["turn-3", "turn-1"]


def test_what_stands_is_what_was_settled_and_what_all_agree_on(sheet: Sheet) -> None:
    mine = coded(sheet, t1=["denial"], t3=["denial"], t5=[])
    theirs = coded(sheet, t1=["denial"], t3=[], t5=["denial"])
    given = {"markers": [], "reason": "A plain no."}
    settling = annotate(Coding(), sheet, "turn-3", given, lead_s=2, at=AT, may_reason=True)
    stands = settled(sheet, {"a": mine, "b": theirs}, settling)
    assert {item: one.markers for item, one in stands.items()} == {
        "turn-1": ("denial",),
        "turn-3": (),
    }


# -- figures -----------------------------------------------------------------------------------


def agreed(sheet: Sheet, session_id: str, **by: Coding) -> Agreed:
    assignment = Assignment("asg_1", session_id, "", View.RESEARCH, sheet, tuple(by))
    kept = tuple(Kept(f"cod_{name}", name, 1, None, one) for name, one in by.items())
    return Agreed(assignment, kept, Kept("cod_x", "x", 0, None, Coding()))


def figure(found: Any, unit: str, code: str) -> Any:
    [one] = [f for f in found if (f.unit, f.code, f.is_scale) == (unit, code, False)]
    return one.agreement


def test_figures_count_what_two_coded_and_no_more(sheet: Sheet) -> None:
    mine = coded(sheet, t1=["denial"], t3=[], t5=["denial"], t7=["denial"])
    theirs = coded(sheet, t1=["denial"], t3=[], t5=[])
    found = figures([agreed(sheet, "s1", a=mine, b=theirs)])
    denial = figure(found, "turn", "denial")
    assert denial.n_shared == 3
    assert denial.percent.value == pytest.approx(2 / 3)
    assert denial.kappa.value == pytest.approx(0.4)  # (2/3 - 4/9) / (1 - 4/9)
    assert denial.percent.low is None
    assert "fewer than two sessions" in reasons(found)
    assert not [one for one in found if one.code == "complaint_progress"]


def test_a_segment_has_what_a_turn_of_it_has_and_is_unknown_where_one_was_not_coded(
    sheet: Sheet,
) -> None:
    mine = coded(sheet, t0=[], t1=["denial"], t4=[], t5=[])
    theirs = coded(sheet, t0=[], t1=[], t2=[], t3=[])
    withdrawal = figure(figures([agreed(sheet, "s1", a=mine, b=theirs)]), "segment", "withdrawal")
    assert (withdrawal.n_units, withdrawal.n_shared) == (1, 1)
    assert withdrawal.percent.value == 0


def test_two_sessions_have_intervals(sheet: Sheet) -> None:
    mine, theirs = coded(sheet, t1=["denial"], t3=[]), coded(sheet, t1=["denial"], t3=["denial"])
    two = [agreed(sheet, name, a=mine, b=theirs) for name in ("s1", "s2")]
    percent = figure(figures(two), "turn", "denial").percent
    assert (percent.value, percent.low) == (0.5, 0.5)


def test_markers_taken_for_one_another_are_counted_by_two(sheet: Sheet) -> None:
    mine = coded(sheet, t1=["denial"], t3=["denial"], t5=["denial"])
    theirs = coded(sheet, t1=["denial"], t3=["minimal_response"], t5=[])
    found = confusion([agreed(sheet, "s1", a=mine, b=theirs)])
    assert found.names == ("minimal_response", "denial", NOTHING)
    assert found.counts == {
        ("denial", "denial"): 1,
        ("denial", "minimal_response"): 1,
        ("denial", NOTHING): 1,
    }


# -- rows --------------------------------------------------------------------------------------


def person(clinic: Any, name: str) -> Visitor:
    """A researcher of the clinic's."""
    with clinic.house.store.transaction(clinic.tenant_id) as tx:
        tx.add(
            tables.people,
            id=f"acc_{name}",
            kind="oidc",
            roles=["researcher"],
            key_blob=b"x",
            secrets=b"x",
            visits_since=clinic.clock(),
            created_at=clinic.clock(),
        )
    roles = frozenset({Role.RESEARCHER})
    return Visitor(clinic.tenant_id, f"acc_{name}", roles, Secret("x"))


def test_coding_from_giving_out_to_settling_on_both_databases(
    either_clinic: Any, sheet: Sheet
) -> None:
    session_id = either_clinic.add(scopes=("research",))
    deeds = Adjudications(either_clinic.house, either_clinic.queue)
    rosa, sam, tess = (person(either_clinic, name) for name in ("rosa", "sam", "tess"))
    coders = (rosa.person_id, sam.person_id)
    at = deeds.give_out(tess.actor(), session_id, sheet, coders, tess.person_id, "pilot")
    for who, markers in ((rosa, ["denial"]), (sam, [])):
        actor = who.actor()
        with pytest.raises(NotPermitted):
            deeds.agreed(actor, who, at)
        deeds.annotate(actor, who, at, "turn-1", {"markers": markers}, 1.0, "0")
        with pytest.raises(Stale):
            deeds.commit(actor, who, at, "0")
        deeds.commit(actor, who, at, "1")
    given = {"markers": ["denial"], "reason": "It is plain."}
    deeds.settle(tess.actor(), tess, at, "turn-1", given, 3.0, "0")
    deeds.close(tess.actor(), tess, at, "1")
    found = deeds.agreed(rosa.actor(), rosa, at)
    assert found.open_items == ()
    assert found.adjudication.committed_at is not None
    assert found.adjudication.coding.annotations["turn-1"].reason == "It is plain."
    assert len(deeds.study(rosa.actor(), rosa, "pilot")) == 1


def test_codings_end_with_the_text_that_they_quote(either_clinic: Any, sheet: Sheet) -> None:
    session_id = either_clinic.add(scopes=("research",))
    deeds = Adjudications(either_clinic.house, either_clinic.queue)
    rosa, sam = (person(either_clinic, name) for name in ("rosa", "sam"))
    coders = (rosa.person_id, sam.person_id)
    at = deeds.give_out(rosa.actor(), session_id, sheet, coders, rosa.person_id, "pilot")
    deeds.annotate(rosa.actor(), rosa, at, "turn-1", {"markers": ["denial"]}, 1.0, "0")
    for days, n_left in ((29, 2), (30, 0)):
        now = either_clinic.clock() + timedelta(days=days)
        upkeep.sweep(either_clinic.house, now, queue=either_clinic.queue)
        with either_clinic.house.store.transaction(either_clinic.tenant_id) as tx:
            left = [one["pass"] for one in tx.select(tables.codings)]
            assert left.count("blind") == n_left
            assert bool(tx.select(tables.assignments)) is bool(n_left)
    with pytest.raises(ServiceError):
        deeds.read(rosa.actor(), rosa, at)
