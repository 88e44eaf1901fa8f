import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.episodes import REACH_TURNS, RESOLUTION_WORDS, find_moments, pillar_shares, stretches
from detector.features import read_session
from detector.markers import MarkerRules
from detector.report import LABELS, MarkerFinding, Moment
from detector.scoring import FITTED, ScoredSession
from detector.segmentation import WINDOW_S
from detector.weights import LinearModel, Weights

NOTHING = LinearModel(0.0, (), np.zeros(0), np.zeros(0))
MODELS = dict.fromkeys(FITTED, NOTHING)

WEIGHTS = Weights(
    name="tiny",
    sha256="",
    codebook="",
    source={},
    own=MODELS,
    context=MODELS,
    ratings=MODELS,
    pattern_precision={},
    pillar_shares={
        "withdrawal": {"goal": 0.0, "task": 1.0, "bond": 0.0},
        "confrontation": {"goal": 0.0, "task": 0.0, "bond": 1.0},
    },
    flag_threshold=0.5,
    repair_threshold=0.5,
)

LONG = "canary words of some length"


@pytest.fixture(scope="module")
def scored(rules: MarkerRules, make_transcript: Any) -> Any:
    """A session of 30 turns, therapist on the even ones, with these scores and findings.

    `withdrawal={5: 0.9}` gives turn 5 that score; all others are 0.
    """

    def scored(
        *,
        found: dict[int, tuple[str, ...]] | None = None,
        abstained: tuple[int, ...] = (),
        short: tuple[int, ...] = (),
        n_turns: int = 30,
        is_timed: bool = True,
        **scores: dict[int, float],
    ) -> ScoredSession:
        lines = [
            f"{'C' if n % 2 else 'T'}: {'mhm' if n in short else LONG}" for n in range(n_turns)
        ]
        times = [(4.0 * n, 4.0 * n + 3) for n in range(n_turns)] if is_timed else None
        read = read_session(make_transcript(*lines, times=times), rules)
        values = {label: np.zeros(n_turns) for label in LABELS}
        for label, by_turn in scores.items():
            for index, value in by_turn.items():
                values[label][index] = value
        values["rupture"] = 1 - (1 - values["withdrawal"]) * (1 - values["confrontation"])
        findings = tuple(
            tuple(MarkerFinding(name, 0.6, None, (), "rule") for name in (found or {}).get(n, ()))
            for n in range(n_turns)
        )
        reasons = dict.fromkeys(abstained, "a reason")
        return ScoredSession(read, values, reasons, findings, WEIGHTS, rules.codebook)

    return scored


def only(session: ScoredSession) -> Moment:
    (moment,) = find_moments(session)
    return moment


def test_a_calm_session_has_no_moment(scored: Any) -> None:
    assert find_moments(scored(withdrawal={5: 0.49})) == ()


def test_a_moment_holds_its_turns_its_times_and_its_highest_score(scored: Any) -> None:
    moment = only(scored(withdrawal={5: 0.5, 7: 0.9}))
    assert moment.turn_indexes == (5, 7)
    assert (moment.start_s, moment.end_s) == (20.0, 31.0)
    assert moment.score == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("away", "against", "kind"),
    [
        (0.9, 0.1, "withdrawal"),
        (0.1, 0.9, "confrontation"),
        (0.6, 0.6, "mixed"),
        (0.8, 0.4, "withdrawal"),
        (0.39, 0.77, "mixed"),
    ],
)
def test_a_moment_is_of_one_kind_where_that_is_twice_the_other(
    scored: Any, away: float, against: float, kind: str
) -> None:
    assert only(scored(withdrawal={5: away}, confrontation={5: against})).kind == kind


def test_an_attempt_and_a_client_who_comes_back_is_repaired(scored: Any) -> None:
    moment = only(scored(withdrawal={5: 0.9}, resolution={6: 0.5}))
    assert (moment.resolution, moment.repair_turn_indexes) == ("repaired", (6,))


def test_a_turn_that_strains_more_than_it_mends_is_no_attempt(scored: Any) -> None:
    session = scored(withdrawal={5: 0.9}, resolution={6: 0.5}, contribution={6: 0.6})
    assert only(session).resolution == "unrepaired"


def test_an_attempt_without_a_calm_client_is_partly_repaired(scored: Any) -> None:
    strained = {5: 0.9, 9: 0.4, 11: 0.4}
    assert only(scored(withdrawal=strained, resolution={6: 0.9})).resolution == "partly"


def test_an_attempt_met_with_a_few_words_only_is_partly_repaired(scored: Any) -> None:
    session = scored(withdrawal={5: 0.9}, resolution={6: 0.9}, short=(7, 9, 11))
    assert only(session).resolution == "partly"


def test_the_return_is_looked_for_after_the_attempt(scored: Any) -> None:
    strained = {5: 0.9, 7: 0.4, 9: 0.4, 11: 0.4}
    assert only(scored(withdrawal=strained, resolution={12: 0.9})).resolution == "repaired"
    assert only(scored(withdrawal=strained, resolution={6: 0.9})).resolution == "partly"


def test_going_on_as_if_nothing_had_happened_is_unrepaired(scored: Any) -> None:
    moment = only(scored(withdrawal={5: 0.9}, resolution={6: 0.49}))
    assert (moment.resolution, moment.repair_turn_indexes) == ("unrepaired", ())


def test_a_rupture_in_the_last_words_is_unrepaired_or_partly(scored: Any) -> None:
    assert only(scored(withdrawal={29: 0.9})).resolution == "unrepaired"
    assert only(scored(withdrawal={27: 0.9}, resolution={28: 0.9}, abstained=(29,))).resolution == (
        "partly"
    )


def test_an_attempt_answers_within_ten_turns_and_no_further(scored: Any) -> None:
    assert REACH_TURNS == 10
    near = only(scored(withdrawal={4 + 1: 0.9}, resolution={14: 0.9}))
    assert near.repair_turn_indexes == (14,)
    assert only(scored(withdrawal={5: 0.9}, resolution={16: 0.9})).repair_turn_indexes == ()


def test_the_reach_counts_from_the_last_turn_of_the_moment(scored: Any) -> None:
    moment = only(scored(withdrawal={5: 0.9, 9: 0.9}, resolution={18: 0.9}))
    assert moment.repair_turn_indexes == (18,)


def test_an_attempt_inside_the_moment_counts(scored: Any) -> None:
    moment = only(scored(withdrawal={5: 0.9, 7: 0.9}, resolution={6: 0.9}))
    assert (moment.resolution, moment.repair_turn_indexes) == ("repaired", (6,))


def test_what_follows_the_next_moment_answers_the_next_moment(scored: Any) -> None:
    first, second = find_moments(scored(withdrawal={5: 0.9, 11: 0.9}, resolution={12: 0.9}))
    assert first.resolution == "unrepaired"
    assert second.repair_turn_indexes == (12,)


def test_one_unflagged_client_turn_does_not_part_a_moment_and_two_do(scored: Any) -> None:
    assert only(scored(withdrawal={5: 0.9, 9: 0.9})).turn_indexes == (5, 9)
    parts = find_moments(scored(withdrawal={5: 0.9, 11: 0.9}))
    assert [moment.turn_indexes for moment in parts] == [(5,), (11,)]


def turns_of(session: ScoredSession) -> list[tuple[int, ...]]:
    return [moment.turn_indexes for moment in find_moments(session)]


def test_a_moment_parts_where_its_kind_changes_for_good(scored: Any) -> None:
    away, against = dict.fromkeys((1, 3, 5), 0.9), dict.fromkeys((7, 9), 0.9)
    moments = find_moments(scored(withdrawal=away, confrontation=against))
    assert [moment.turn_indexes for moment in moments] == [(1, 3, 5), (7, 9)]
    assert [moment.kind for moment in moments] == ["withdrawal", "confrontation"]


def test_a_kind_that_comes_back_parts_again(scored: Any) -> None:
    away, against = dict.fromkeys((1, 3, 9, 11), 0.9), dict.fromkeys((5, 7), 0.9)
    assert turns_of(scored(withdrawal=away, confrontation=against)) == [(1, 3), (5, 7), (9, 11)]


@pytest.mark.parametrize("sharp", [1, 5, 11])
def test_one_turn_of_another_kind_parts_nothing(scored: Any, sharp: int) -> None:
    away = {index: 0.9 for index in (1, 3, 5, 7, 9, 11) if index != sharp}
    assert turns_of(scored(withdrawal=away, confrontation={sharp: 0.9})) == [(1, 3, 5, 7, 9, 11)]


def test_a_turn_of_no_kind_goes_on_with_the_one_before(scored: Any) -> None:
    away, against = {1: 0.9, 3: 0.9, 5: 0.6}, {5: 0.6, 7: 0.9, 9: 0.9}
    assert turns_of(scored(withdrawal=away, confrontation=against)) == [(1, 3, 5), (7, 9)]


def test_no_turn_of_a_moment_starts_five_minutes_after_its_first(scored: Any) -> None:
    session = scored(n_turns=240, withdrawal=dict.fromkeys(range(1, 240, 2), 0.9))
    moments = find_moments(session)
    assert [moment.turn_indexes[0] for moment in moments] == [1, 77, 153, 229]
    turns = session.read.turns
    for moment in moments:
        starts = [turns[index].start_s for index in moment.turn_indexes]
        assert starts[-1] - starts[0] < WINDOW_S


def test_without_a_clock_a_moment_is_as_long_as_a_segment(scored: Any) -> None:
    session = scored(n_turns=100, withdrawal=dict.fromkeys(range(1, 100, 2), 0.9), is_timed=False)
    assert [moment.turn_indexes[0] for moment in find_moments(session)] == [1, 41, 81]


@given(
    st.lists(st.tuples(st.sampled_from((0.0, 0.6, 0.9)), st.sampled_from((0.0, 0.6, 0.9)))),
    st.booleans(),
)
def test_every_flagged_turn_is_in_exactly_one_moment(
    scored: Any, rows: list[tuple[float, float]], is_timed: bool
) -> None:
    session = scored(
        n_turns=2 * len(rows) + 1,
        withdrawal={2 * place + 1: away for place, (away, _) in enumerate(rows)},
        confrontation={2 * place + 1: against for place, (_, against) in enumerate(rows)},
        is_timed=is_timed,
    )
    flagged = [2 * place + 1 for place, row in enumerate(rows) if max(row) >= 0.5]
    assert [index for moment in turns_of(session) for index in moment] == flagged


def test_turns_that_are_abstained_from_neither_strain_nor_mend(scored: Any) -> None:
    assert find_moments(scored(withdrawal={5: 0.9}, abstained=(5,))) == ()
    session = scored(withdrawal={5: 0.9}, found={7: ("repair_disclosure",)}, abstained=(7,))
    assert only(session).repair_turn_indexes == ()


def test_a_clients_own_disclosure_mends_without_a_score(scored: Any) -> None:
    moment = only(scored(withdrawal={5: 0.9}, found={7: ("repair_disclosure",)}))
    assert moment.repair_turn_indexes == (7,)
    assert moment.resolution == "repaired"


def test_a_strategy_counts_only_on_a_turn_that_likely_mends(scored: Any, rules: Any) -> None:
    strategy = rules.codebook.of_kind("resolution")[0]
    title = rules.codebook.markers[strategy].title.lower()
    unlikely = only(scored(withdrawal={5: 0.9}, found={6: (strategy,)}, resolution={6: 0.4}))
    assert unlikely.repair_turn_indexes == ()
    likely = only(scored(withdrawal={5: 0.9}, found={6: (strategy,)}, resolution={6: 0.6}))
    assert likely.repair_turn_indexes == (6,)
    assert f"Answered by: {title};" in likely.summary


def test_the_surest_rupture_markers_come_first_and_no_others(scored: Any) -> None:
    session = scored(
        withdrawal={5: 0.9},
        found={5: ("self_criticism_hopelessness", "denial", "repair_disclosure")},
    )
    assert only(session).markers == ("denial", "self_criticism_hopelessness")
    surer = list(session.findings)
    surer[5] = tuple(
        dataclasses.replace(one, score=0.9 if one.marker == "self_criticism_hopelessness" else 0.5)
        for one in surer[5]
    )
    session = dataclasses.replace(session, findings=tuple(surer))
    assert only(session).markers == ("self_criticism_hopelessness", "denial")


def with_pillars(session: ScoredSession, index: int, **scores: float) -> ScoredSession:
    """The session with one denial for each pillar on this turn, so sure each."""
    findings = list(session.findings)
    findings[index] = tuple(
        MarkerFinding("denial", score, pillar, (), "rule") for pillar, score in scores.items()
    )
    return dataclasses.replace(session, findings=tuple(findings))


def test_a_moments_pillar_is_the_one_that_the_findings_name_most(scored: Any) -> None:
    session = with_pillars(scored(withdrawal={5: 0.9}), 5, goal=0.6, task=0.2)
    assert only(session).pillar == "goal"
    assert pillar_shares(session, 5) == pytest.approx({"goal": 0.75, "task": 0.25})


@pytest.mark.parametrize(("label", "pillar"), [("withdrawal", "task"), ("confrontation", "bond")])
def test_without_a_finding_the_pillar_is_the_usual_one_of_its_kind(
    scored: Any, label: str, pillar: str
) -> None:
    session = scored(**{label: {5: 0.9}})
    assert only(session).pillar == pillar
    assert sum(pillar_shares(session, 5).values()) == pytest.approx(1.0)


@pytest.mark.parametrize("resolution", sorted(RESOLUTION_WORDS))
def test_a_summary_says_kind_marker_and_outcome_in_the_codebooks_words(
    scored: Any, rules: Any, resolution: str
) -> None:
    scores: dict[str, Any] = {"withdrawal": {5: 0.9}}
    if resolution != "unrepaired":
        scores["resolution"] = {6: 0.9}
    if resolution == "partly":
        scores["short"] = tuple(range(7, 30))
    moment = only(scored(found={5: ("denial",)}, **scores))
    assert moment.resolution == resolution
    assert moment.summary.startswith("Withdrawal: denial.")
    assert RESOLUTION_WORDS[resolution].lower() in moment.summary.lower()


def test_a_summary_holds_no_speech(scored: Any) -> None:
    for moment in find_moments(scored(withdrawal={5: 0.9, 15: 0.9}, resolution={6: 0.9})):
        assert "canary" not in repr(moment)


def test_stretches_are_only_of_the_clients_turns(make_transcript: Any) -> None:
    turns = make_transcript("T: a", "C: b", "X: c", "O: d", "C: e").turns
    found = list(stretches(turns, np.ones(5), 0.5))
    assert [[turn.index for turn in stretch] for stretch in found] == [[1, 4]]


def test_a_session_without_turns_of_the_client_has_no_stretch(make_transcript: Any) -> None:
    assert list(stretches(make_transcript("T: a").turns, np.ones(1), 0.5)) == []
