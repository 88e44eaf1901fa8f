import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from detector.signs import MOST_SURE, differences, load_signs, probability, read_signs
from training import roles
from training.corpus import load_synthetic
from training.roles import BEGIN, END, FitConfig, Judged, Talk

SIGNS = load_signs()
QUICK = replace(FitConfig(), n_windows=1, strained_turns=(), n_folds=3)


@pytest.fixture(scope="module")
def talks() -> list[Talk]:
    """Every eighth invented session: all the batches in turn."""
    return roles.read_talks(load_synthetic()[::8], SIGNS)


def test_invented_sessions_are_grouped_by_the_batch_they_were_written_in(talks: list[Talk]) -> None:
    assert [talk.group for talk in talks] == [talk.session_id[:2] for talk in talks]


def test_talk_read_without_question_marks_has_no_question_turns(talks: list[Talk]) -> None:
    place = SIGNS.places["question_turn"]
    assert sum(counts.counts[place] for _, counts in talks[0].turns) > 0
    assert sum(counts.counts[place] for _, counts in talks[0].unmarked) == 0


def test_a_fit_from_nothing_finds_that_therapists_say_you_and_clients_say_i(
    talks: list[Talk],
) -> None:
    blank = replace(SIGNS, signs=tuple(replace(sign, weight=0.0) for sign in SIGNS.signs))
    fitted = roles.fit_signs(talks, blank, QUICK)
    weights = {sign.id: sign.weight for sign in fitted.signs}
    assert weights["second_person"] > 0 > weights["first_person"]
    assert weights["question_turn"] > 0


def test_the_same_fit_twice_gives_the_same_file(talks: list[Talk]) -> None:
    one, two = (roles.as_toml(roles.fit_signs(talks, SIGNS, QUICK), {}) for _ in range(2))
    assert one == two


def test_unseen_sessions_are_told_better_than_by_chance_and_each_group_once(
    talks: list[Talk],
) -> None:
    whole = [j for j in roles.cross_validate(talks, SIGNS, QUICK) if j.what == "whole"]
    assert sorted(j.session_id for j in whole) == sorted(talk.session_id for talk in talks)
    assert sum(j.is_right for j in whole) > 0.8 * len(whole)


def test_excerpts_are_only_made_of_longer_sessions(talks: list[Talk]) -> None:
    short = replace(talks[0], turns=talks[0].turns[:12], unmarked=talks[0].unmarked[:12])
    kinds = {answer.what for answer in roles.judge(short, SIGNS, QUICK)}
    assert "first 10 turns" in kinds
    assert not {"first 20 turns", "middle 20 turns"} & kinds


def test_the_most_strained_excerpt_is_the_one_with_most_confrontations(talks: list[Talk]) -> None:
    strained = tuple(place in (30, 31, 5) for place in range(len(talks[0].turns)))
    talk = replace(talks[0], strained=strained)
    found = roles.most_strained(talk, talk.turns, 4)
    assert found in [talk.turns[start : start + 4] for start in (28, 29, 30)]
    assert roles.most_strained(replace(talk, strained=(False,) * 99), talk.turns, 4) == ()


def test_weights_written_can_be_read_again(talks: list[Talk]) -> None:
    fitted = roles.fit_signs(talks, SIGNS, QUICK)
    again = read_signs(tomllib.loads(roles.as_toml(fitted, {"data": "a few"})))
    assert again == fitted


def test_the_shipped_weights_say_where_they_come_from() -> None:
    path = Path(roles.__file__).parents[1] / "detector" / "weights" / "roles.toml"
    source = tomllib.loads(path.read_text("utf-8"))["source"]
    assert {"command", "date", "data", "config"} <= set(source)


def test_the_shipped_weights_tell_every_invented_session(talks: list[Talk]) -> None:
    found = [roles.therapist_minus_client(talk.turns, SIGNS) for talk in talks]
    assert all(0.5 < probability(one, SIGNS) <= MOST_SURE for one in found)


def test_the_therapist_minus_the_client_is_what_the_detector_measures(talks: list[Talk]) -> None:
    turns = talks[0].turns[:2]
    (is_therapist, one), (_, other) = turns
    therapist, client = (one, other) if is_therapist else (other, one)
    expected = differences(therapist, client, is_therapist, SIGNS)
    assert roles.therapist_minus_client(turns, SIGNS) == expected


@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),
    [(0, 0, 0.0, 1.0), (10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)],
)
def test_wilsons_interval_is_that_of_the_books(
    n_right: int, n: int, low: float, high: float
) -> None:
    assert roles.wilson(n_right, n) == pytest.approx((low, high), abs=1e-4)


def test_the_table_counts_only_answers_that_the_detector_would_use() -> None:
    judged = [
        Judged("annomi", "whole", "1", 0.99, 20),
        Judged("annomi", "whole", "2", 0.02, 20),
        Judged("annomi", "whole", "3", 0.60, 20),
        Judged("annomi", "whole", "4", 0.99, 4),
    ]
    row = list(roles.as_markdown(judged, {"annomi": "AnnoMI"}))[-1]
    assert "| 4 | 75.0% | 2 (50.0%) | 1 (50.0%) |" in row


def test_calibration_leaves_out_empty_bins() -> None:
    judged = [Judged("annomi", "whole", "1", 0.97, 20), Judged("annomi", "whole", "2", 0.03, 20)]
    rows = list(roles.calibration(judged))[2:]
    assert rows == ["| 0.95 – 1.00 | 2 | 0.970 | 0.500 |"]


def test_only_the_measured_part_of_a_page_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert roles.place_between(page, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert roles.place_between("no marks", "new\n") == "new\n"
