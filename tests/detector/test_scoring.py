import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import scoring
from detector.errors import CodebookError
from detector.features import read_session
from detector.markers import MarkerHit, MarkerRules
from detector.network import NETWORK_LABELS, NetworkReading
from detector.report import LABELS
from detector.scoring import (
    FITTED,
    LEAST_RATED,
    LEAST_RATED_OF_SEGMENT,
    ROLE_OF,
    ScoredSession,
    context_rows,
    own_logits,
    score_session,
    sigmoid,
    summary_row,
)
from detector.transcript import Role
from detector.weights import load_weights, read_weights

ABOUT_WORDS = """
[own.{label}]
intercept = {intercept}
[own.{label}.features]
"said.few_words" = {{ weight = 2.0, mean = 0.5 }}
"said.question" = {{ weight = 1.0, mean = 0.0 }}
"time.response_latency_s" = {{ weight = 3.0, mean = 1.0 }}
[context.{label}]
intercept = 0.0
[context.{label}.features]
"own" = {{ weight = 1.0, mean = 0.0 }}
"""

RATING = """
[ratings.{label}]
intercept = 1.5
[ratings.{label}.features]
"{label}.highest" = {{ weight = 8.0, mean = 0.0 }}
"""


def tiny_toml(version: str) -> str:
    """Weights on length, questions and latency alone; the second step passes the first on."""
    head = f"""
name = "tiny"
codebook = "{version}"
[source]
data = "made by hand"
[thresholds]
flag = 0.5
repair = 0.4
[pattern_precision]
"denial.a" = 0.25
"denial.b" = 0.75
[pillar_shares.withdrawal]
goal = 0.0
task = 1.0
bond = 0.0
[pillar_shares.confrontation]
goal = 0.0
task = 0.0
bond = 1.0
"""
    steps = [
        ABOUT_WORDS.format(label=label, intercept=-place) + RATING.format(label=label)
        for place, label in enumerate(FITTED)
    ]
    return head + "".join(steps)


@pytest.fixture(scope="module")
def toml(rules: MarkerRules) -> str:
    return tiny_toml(rules.codebook.version)


@pytest.fixture(scope="module")
def score(rules: MarkerRules, make_transcript: Any, toml: str) -> Any:
    """Scores lines with the tiny weights."""

    def score(*lines: str, abstained: dict[int, str] | None = None, **more: Any) -> ScoredSession:
        read = read_session(make_transcript(*lines, **more), rules)
        weights = read_weights(toml.encode())
        return score_session(read, weights, rules.codebook, abstained=abstained)

    return score


def test_a_probability_is_safe_at_both_ends_and_unknown_stays_unknown() -> None:
    chances = sigmoid(np.array([-1e6, 0.0, 1e6, math.nan]))
    assert chances[1] == 0.5
    assert 0.0 < chances[0] < chances[2] < 1.0
    assert math.isnan(chances[3])


def test_weights_of_another_codebook_are_refused(rules: MarkerRules, make_transcript: Any) -> None:
    read = read_session(make_transcript("T: a", "C: b"), rules)
    weights = read_weights(tiny_toml("0.0").encode())
    with pytest.raises(CodebookError, match=r"tiny: fitted with codebook 0\.0"):
        score_session(read, weights, rules.codebook)


def test_a_turns_score_follows_from_its_own_row(score: Any) -> None:
    scores = score("T: Hello there my friend.", "C: Yes.").scores
    logit = 0.0 + 2.0 * (1.0 - 0.5)
    assert scores["withdrawal"][1] == pytest.approx(1 / (1 + math.exp(-logit)))
    assert scores["confrontation"][1] == pytest.approx(1 / (1 + math.exp(1 - logit)))


def test_an_unknown_latency_pulls_nowhere_and_a_known_one_does(score: Any) -> None:
    lines = ("T: Hello there my friend.", "C: Yes.")
    unknown = score(*lines).scores["withdrawal"][1]
    usual = score(*lines, times=[(0, 1), (1 + math.e - 1, 5)]).scores["withdrawal"][1]
    slow = score(*lines, times=[(0, 1), (11, 12)]).scores["withdrawal"][1]
    assert usual == pytest.approx(unknown, abs=1e-6)
    assert slow > unknown


def test_a_label_that_is_not_the_speakers_scores_zero(score: Any) -> None:
    scores = score("T: Hello?", "C: Yes.", "X: Who is there?").scores
    assert scores["withdrawal"][0] == scores["confrontation"][0] == 0.0
    assert scores["resolution"][1] == scores["contribution"][1] == 0.0
    assert scores["resolution"][0] > 0.0
    assert [scores[label][2] for label in LABELS] == [0.0] * 5


def test_rupture_is_withdrawal_or_confrontation(score: Any) -> None:
    scores = score("T: Hello?", "C: Yes.", "T: So.", "C: Why do you ask me that now?").scores
    neither = (1 - scores["withdrawal"]) * (1 - scores["confrontation"])
    np.testing.assert_allclose(scores["rupture"], 1 - neither)


def test_an_abstained_turn_scores_zero_and_counts_nowhere(score: Any) -> None:
    lines = ["T: Hello?", "C: Yes.", "T: So then.", "C: Why do you ask me that now?"]
    other = [*lines[:3], "C: Sorry."]
    one = score(*lines, abstained={3: "inaudible"})
    two = score(*other, abstained={3: "inaudible"})
    for label in LABELS:
        assert one.scores[label][3] == 0.0
        np.testing.assert_array_equal(one.scores[label], two.scores[label])
    long = ["T: Go on, please.", "C: Yes."] * LEAST_RATED
    one = score(*long, "T: So.", "C: Why do you ask me that now?", abstained={21: "inaudible"})
    two = score(*long, "T: So.", "C: Sorry.", abstained={21: "inaudible"})
    assert one.rating("withdrawal") == two.rating("withdrawal") is not None
    assert one.rating("withdrawal") == one.rating("withdrawal", range(21))


def talk(n_exchanges: int) -> list[str]:
    return ["T: Hello there my friend.", "C: Yes."] * n_exchanges


def test_ratings_stay_on_the_scale(score: Any) -> None:
    assert score(*talk(LEAST_RATED)).rating("withdrawal") == 5.0


@pytest.mark.parametrize("label", FITTED)
def test_too_little_talk_has_no_rating(score: Any, label: str) -> None:
    assert score(*talk(LEAST_RATED)).rating(label) is not None
    assert score(*talk(LEAST_RATED - 1)).rating(label) is None
    segment = list(range(2 * LEAST_RATED_OF_SEGMENT))
    assert score(*talk(LEAST_RATED - 1)).rating(label, segment) is not None
    assert score(*talk(LEAST_RATED - 1)).rating(label, segment[:-2]) is None


def test_a_turn_that_is_abstained_from_makes_no_rating(score: Any) -> None:
    scored = score(*talk(LEAST_RATED), abstained={1: "a reason"})
    assert scored.rating("withdrawal") is None
    assert scored.rating("contribution") is not None


def test_what_nobody_could_show_has_no_rating(score: Any) -> None:
    only_therapist = score(*("T: Hello there my friend.", "X: Hm.") * LEAST_RATED)
    assert only_therapist.rating("withdrawal") is None
    assert only_therapist.rating("contribution") is not None
    only_client = score(*("C: Yes.", "X: Hm.") * LEAST_RATED)
    assert only_client.rating("contribution") is None
    assert only_client.rating("confrontation") is not None


def test_nothing_is_mended_where_no_client_is_heard(score: Any) -> None:
    only_therapist = score(*("T: Hello there my friend.", "X: Hm.") * LEAST_RATED)
    assert only_therapist.rating("resolution") is None


def test_a_summary_holds_mean_highest_and_count() -> None:
    scores = {label: np.array([0.0, 0.5]) for label in FITTED}
    row = summary_row(scores)
    assert row["withdrawal.mean"] == pytest.approx(0.5)
    assert row["withdrawal.highest"] == 0.5
    assert row["withdrawal.count"] == pytest.approx(math.log1p(0.5))
    assert len(row) == 3 * len(FITTED)


ROLES = np.array([Role.THERAPIST, Role.CLIENT, Role.THERAPIST, Role.CLIENT])


def logits_of(values: dict[str, list[float]]) -> dict[str, Any]:
    nowhere = [math.nan] * 4
    return {label: np.array(values.get(label, nowhere)) for label in FITTED}


def test_a_context_row_holds_the_turns_own_log_odds_and_its_surroundings() -> None:
    nan = math.nan
    rows = context_rows(
        logits_of({"withdrawal": [nan, 0.0, nan, -30.0]}), ROLES, np.ones(4, dtype=bool)
    )
    own, alone = rows["withdrawal"][1], rows["withdrawal"][0]
    assert own["own"] == 0.0
    assert math.isnan(alone["own"])
    assert own["withdrawal.before"] == pytest.approx(math.log(0.03 + 0.01))
    assert own["withdrawal.session"] == pytest.approx(math.log(0.01), abs=1e-6)
    assert rows["withdrawal"][3]["withdrawal.session"] == pytest.approx(math.log(0.51))


def test_a_nearer_neighbour_weighs_more() -> None:
    keep = 0.5 ** (1 / scoring.HALF_LIFE_TURNS)
    nan = math.nan
    logits = logits_of({"withdrawal": [nan, 0.0, nan, nan]})
    rows = context_rows(logits, ROLES, np.ones(4, dtype=bool))["confrontation"]
    near, far = (row["withdrawal.before"] for row in (rows[2], rows[3]))
    expected = math.log((keep * 0.5 + 0.015) / (keep + 0.5) + 0.01)
    assert near == pytest.approx(expected)
    assert far < near
    assert rows[0]["withdrawal.after"] == pytest.approx(
        math.log((keep * 0.5 + 0.015) / (keep + 0.5) + 0.01)
    )


def test_every_label_has_its_own_rows_over_the_same_surroundings() -> None:
    rows = context_rows(
        logits_of({"withdrawal": [math.nan, 1.0, math.nan, 2.0]}), ROLES, np.ones(4, dtype=bool)
    )
    for index in range(4):
        shared = [{k: v for k, v in rows[la][index].items() if k != "own"} for la in FITTED]
        assert all(row == shared[0] for row in shared)
        assert all(math.isfinite(value) for value in shared[0].values())


def test_only_heard_turns_of_the_right_speaker_have_log_odds(
    rules: MarkerRules, make_transcript: Any, toml: str
) -> None:
    read = read_session(make_transcript("T: a", "C: b", "C: c", "T: d", "C: e"), rules)
    roles = np.array([turn.role for turn in read.turns])
    heard = np.array([True, False, True, True])
    logits = own_logits(read, read_weights(toml.encode()).own, roles, heard)
    assert np.isnan(logits["withdrawal"]).tolist() == [True, True, True, False]
    assert np.isnan(logits["resolution"]).tolist() == [False, True, False, True]


def test_evidence_is_what_pulled_up_strongest_first(score: Any) -> None:
    scored = score("T: Hello there my friend.", "C: Why?", times=[(0, 1), (11, 12)])
    found = scored.evidence(1)
    pulls = [one.contribution for one in found]
    assert pulls == sorted(pulls, reverse=True)
    assert {one.label for one in found} == {"withdrawal", "confrontation"}
    assert found[0].feature == "time.response_latency_s"
    assert found[0].contribution == pytest.approx(3 * (math.log1p(10) - 1), abs=1e-4)
    assert {one.feature for one in scored.evidence(0)} <= {"said.few_words", "said.question"}


def test_a_weak_pull_is_no_evidence(score: Any) -> None:
    assert score("T: Hello there my friend.", "C: That was a long day.").evidence(1) == ()


def hit(start: int, end: int, name: str, marker: str = "denial", source: str = "rule") -> MarkerHit:
    return MarkerHit(1, start, end, marker, name, source)


@pytest.fixture(scope="module")
def findings(rules: MarkerRules, make_transcript: Any, toml: str) -> Any:
    """The findings of the second turn, as made from these hits."""
    read = read_session(make_transcript("T: a", "C: some words of the client"), rules)

    def findings(*hits: MarkerHit) -> Any:
        given = dataclasses.replace(read, hits=((), hits))
        weights = read_weights(toml.encode())
        return score_session(given, weights, rules.codebook).findings[1]

    findings.scored = score_session(read, read_weights(toml.encode()), rules.codebook)
    return findings


def test_hits_of_one_marker_are_one_finding_with_all_their_places(findings: Any) -> None:
    (found,) = findings(hit(5, 9, "denial.a"), hit(0, 4, "denial.b"), hit(0, 4, "denial.a"))
    assert found.marker == "denial"
    assert [(span.start, span.end) for span in found.spans] == [(0, 4), (5, 9)]
    assert found.pattern_ids == ("denial.a", "denial.b")


def test_the_only_marker_of_a_label_has_the_labels_whole_score(findings: Any) -> None:
    (found,) = findings(hit(0, 4, "denial.a"), hit(5, 9, "denial.b"))
    assert found.score == pytest.approx(findings.scored.scores["withdrawal"][1])


def test_a_rival_whose_pattern_was_never_right_has_no_share_and_is_not_reported(
    findings: Any,
) -> None:
    rival = hit(5, 9, "minimal_response.unheard", "minimal_response")
    assert [found.marker for found in findings(hit(0, 4, "denial.a"), rival)] == ["denial"]


def test_rivals_that_were_never_right_share_alike(findings: Any) -> None:
    names = ("denial", "minimal_response")
    found = findings(*(hit(0, 4, f"{name}.unheard", name) for name in names))
    half = findings.scored.scores["withdrawal"][1] / 2
    assert [one.score for one in found] == pytest.approx([half, half])


def test_moves_and_technical_events_are_no_findings(findings: Any, rules: MarkerRules) -> None:
    names = rules.codebook.of_kind("move", "technical")
    assert findings(*(hit(0, 4, f"{name}.x", name) for name in names)) == ()


def test_a_hit_of_the_clock_has_the_markers_pillar_and_no_place(
    findings: Any, rules: MarkerRules
) -> None:
    (found,) = findings(hit(0, 0, "timing.unanswered", "minimal_response", "timing"))
    assert found.spans == ()
    assert found.source == "timing"
    assert found.pillar == rules.codebook.markers["minimal_response"].pillar


@given(
    st.lists(
        st.tuples(st.sampled_from("TCXO"), st.text("ab? I'\n🙂א.", min_size=1, max_size=20)),
        min_size=1,
        max_size=12,
    )
)
def test_every_score_is_a_probability_whatever_is_said(
    rules: MarkerRules, make_transcript: Any, rows: list[tuple[str, str]]
) -> None:
    transcript = make_transcript(*[f"{who}: a{text}" for who, text in rows])
    scored = score_session(read_session(transcript, rules), load_weights(), rules.codebook)
    for label in LABELS:
        assert np.isfinite(scored.scores[label]).all()
        assert ((scored.scores[label] >= 0) & (scored.scores[label] <= 1)).all()
    for label in FITTED:
        rating = scored.rating(label)
        n_own = sum(turn.role is ROLE_OF[label] for turn in transcript.turns)
        assert rating is None or n_own >= LEAST_RATED
        assert rating is None or 1.0 <= rating <= 5.0


def test_a_repr_of_a_scored_session_shows_no_speech(score: Any) -> None:
    assert "canary" not in repr(score("C: canary canary"))


def hearing(toml: str, *, weight: float = 2.0) -> bytes:
    """The tiny weights with a network in the second step, and in the session's ratings."""
    row = '"own" = { weight = 1.0, mean = 0.0 }'
    heard = f'{row}\n"network" = {{ weight = {weight}, mean = -1.0 }}'
    more = "".join(
        RATING.format(label=label)
        .replace("[ratings", "[session_ratings")
        .replace(f'"{label}.highest" = {{ weight = 8.0', f'"network.{label}" = {{ weight = 1.0')
        for label in FITTED
    )
    return (toml.replace(row, heard) + more).encode()


def says(n_turns: int, logit: float, *, rating: float = 2.0) -> NetworkReading:
    """A network that says the same of every turn."""
    return NetworkReading(
        {label: np.full(n_turns, logit) for label in NETWORK_LABELS},
        {},
        dict.fromkeys(FITTED, rating),
    )


@pytest.fixture(scope="module")
def fused(rules: MarkerRules, make_transcript: Any, toml: str) -> Any:
    """Scores lines with the tiny weights and a network that says `logit` of every turn."""

    def fused(*lines: str, logit: float, **more: Any) -> ScoredSession:
        read = read_session(make_transcript(*lines), rules)
        said = says(len(lines), logit)
        return score_session(
            read, read_weights(hearing(toml)), rules.codebook, network=said, **more
        )

    return fused


def log_odds(chance: float) -> float:
    return math.log(chance / (1 - chance))


def test_the_networks_log_odds_count_by_their_weight_beside_the_rules(
    fused: Any, score: Any
) -> None:
    lines = ("T: Hello there my friend.", "C: Yes.")
    alone, both = score(*lines).scores, fused(*lines, logit=0.25).scores
    for label, index in (("withdrawal", 1), ("confrontation", 1), ("contribution", 0)):
        moved = log_odds(both[label][index]) - log_odds(alone[label][index])
        assert moved == pytest.approx(2.0 * (0.25 - -1.0))


def test_a_network_lends_no_label_to_the_other_speaker_and_none_to_an_abstained_turn(
    fused: Any,
) -> None:
    lines = ("T: Hello?", "C: Yes.", "T: So.", "C: No.")
    scores = fused(*lines, logit=9.0, abstained={3: "inaudible"}).scores
    assert scores["withdrawal"][0] == scores["contribution"][1] == 0.0
    assert [scores[label][3] for label in LABELS] == [0.0] * 5


def test_the_evidence_says_what_the_network_added(fused: Any) -> None:
    evidence = fused("T: Hello there my friend.", "C: Yes.", logit=0.25).evidence(1)
    network = {one.label: one for one in evidence if one.feature.startswith("network.")}
    assert set(network) == {"withdrawal", "confrontation"}
    for label, one in network.items():
        assert (one.feature, one.value) == (f"network.{label}", 0.25)
        assert one.contribution == pytest.approx(2.5)


def test_a_network_that_speaks_against_a_label_is_no_evidence_for_it(fused: Any) -> None:
    evidence = fused("T: Hello there my friend.", "C: Yes.", logit=-4.0).evidence(1)
    assert evidence
    assert not [one for one in evidence if one.feature.startswith("network.")]


def test_evidence_of_the_words_counts_as_much_as_the_second_step_trusts_the_first(
    rules: MarkerRules, make_transcript: Any, toml: str, score: Any
) -> None:
    lines = ("T: Hello there my friend.", "C: Yes.")
    halved = toml.replace('"own" = { weight = 1.0', '"own" = { weight = 0.5')
    read = read_session(make_transcript(*lines), rules)
    half = score_session(read, read_weights(halved.encode()), rules.codebook).evidence(1)
    full = score(*lines).evidence(1)
    assert [one.feature for one in half] == [one.feature for one in full]
    for one, other in zip(half, full, strict=True):
        assert one.contribution == pytest.approx(other.contribution / 2)


def test_a_session_is_rated_with_the_networks_rating_and_a_segment_without(
    fused: Any, score: Any
) -> None:
    lines = talk(LEAST_RATED)
    both = fused(*lines, logit=-1.0)
    assert both.rating("withdrawal") == 1.5 + 2.0
    # At its mean the network moves no score, so a segment is rated as by the rules alone.
    assert both.rating("withdrawal", range(20)) == score(*lines).rating("withdrawal", range(20))


def test_weights_that_need_a_network_are_not_used_without_one(
    rules: MarkerRules, make_transcript: Any, toml: str
) -> None:
    read = read_session(make_transcript("T: a", "C: b"), rules)
    with pytest.raises(CodebookError, match="fitted with a network, and there is none"):
        score_session(read, read_weights(hearing(toml)), rules.codebook)
