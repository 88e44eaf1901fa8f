"""What to code next: signs that are right, ranks that compare, and picks that differ."""

import numpy as np
import pytest

from training.picking import SIGNS, Pool, apart, entropy, nearest, pick, ranks


def pool(n_units: int = 4, *, coded: int = 0) -> Pool:
    """Two turns a unit; unit 1 is doubtful, unit 2 is contested, unit 3 is far from all."""
    owner = np.repeat(np.arange(n_units), 2)
    chances = np.full((len(owner), 2), 0.01)
    others = chances.copy()
    chances[owner == 1] = others[owner == 1] = 0.5
    others[owner == 2] = 0.9
    rows = np.where(owner[:, None] == 3, 9.0, owner[:, None] / 10) * np.ones((1, 3))
    return Pool(owner, chances, others, rows, np.zeros((coded, 3)))


def test_doubt_is_highest_at_even_chances_and_counts_in_bits() -> None:
    found = entropy(np.array([[0.5, 0.5], [0.0, 1.0], [0.1, 0.1]]))
    assert found[0] == pytest.approx(2.0)
    assert found[1] == pytest.approx(0.0, abs=1e-9)
    assert 0 < found[2] < 2


def test_two_readers_that_say_the_same_are_not_apart() -> None:
    one = np.array([[0.2, 0.8], [0.2, 0.8]])
    assert apart(one, np.array([[0.2, 0.8], [0.4, 0.6]])) == pytest.approx([0.0, 0.2])


def test_the_nearest_coded_turn_is_found_whatever_the_number_of_turns() -> None:
    rng = np.random.default_rng(0)
    rows, coded = rng.normal(size=(1300, 4)), rng.normal(size=(7, 4))
    every = np.linalg.norm(rows[:, None] - coded[None], axis=2).min(axis=1)
    assert nearest(rows, coded) == pytest.approx(every)
    assert np.isinf(nearest(rows, coded[:0])).all()


def test_ranks_go_from_the_lowest_to_the_highest_and_equals_share() -> None:
    assert ranks(np.array([5.0, 1.0, 3.0])) == pytest.approx([1.0, 0.0, 0.5])
    assert ranks(np.array([2.0, 2.0, 7.0])) == pytest.approx([0.25, 0.25, 1.0])
    assert ranks(np.array([4.0])) == pytest.approx([1.0])


@pytest.mark.parametrize(("sign", "unit"), [*zip(SIGNS, (1, 2, 3), strict=True)])
def test_each_sign_alone_picks_the_unit_that_has_it(sign: str, unit: int) -> None:
    [found] = pick(pool(coded=3), 1, (sign,))
    assert (found.unit, found.why, found.rank) == (unit, sign, 1.0)


def test_a_unit_is_picked_once_and_no_more_than_there_are() -> None:
    assert sorted(one.unit for one in pick(pool(), 9)) == [0, 1, 2, 3]


def test_a_long_unit_is_not_picked_for_its_length() -> None:
    short = pool(2)
    owner = np.array([0] * 20 + [1])
    chances = np.where(owner[:, None] == 1, 0.3, 0.2) * np.ones((1, 2))
    long = Pool(owner, chances, chances, np.zeros((21, 3)), short.coded)
    assert pick(long, 1, ("uncertainty",))[0].unit == 1


def test_what_was_picked_makes_its_like_less_new() -> None:
    """Units 0 and 1 are alike and far off, unit 2 is a little off: 1 is not picked after 0."""
    rows = np.array([[9.0, 0.0], [9.0, 0.1], [2.0, 2.0]])
    nothing = np.full((3, 2), 0.1)
    found = pick(Pool(np.arange(3), nothing, nothing, rows, np.zeros((1, 2))), 2, ("novelty",))
    assert [one.unit for one in found] == [1, 2]
