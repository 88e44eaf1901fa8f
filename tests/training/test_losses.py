"""What counts in the loss, and what does not."""

import math

import pytest
import torch
from torch import Tensor

from training.config import LossConfig
from training.losses import SessionLoss

N_TURNS = 4
"""Client, therapist, client, padding."""


def outputs() -> dict[str, Tensor]:
    sizes = {"labels": 5, "markers": 3, "strategies": 2, "intensity": 1}
    more = {"pillars": 3, "talk": 3, "behaviour": 4}
    found = {name: torch.zeros(1, N_TURNS, size) for name, size in (sizes | more).items()}
    return {**found, "ratings": torch.ones(1, 4)}


def members(*each: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}


def targets() -> dict[str, Tensor]:
    client, therapist = [1.0, 1, 0, 0, 1], [0.0, 0, 1, 1, 0]
    none = torch.full((1, N_TURNS), -1)
    return {
        "own": torch.tensor([[client, therapist, client, [0.0] * 5]]),
        "labels": torch.zeros(1, N_TURNS, 5),
        "markers": torch.zeros(1, N_TURNS, 3),
        "strategies": torch.zeros(1, N_TURNS, 2),
        "intensity": torch.zeros(1, N_TURNS),
        "sure": torch.ones(1, N_TURNS),
        "is_real": torch.ones(1, N_TURNS),
        "pillars": none,
        "talk": none,
        "behaviour": none,
        "ratings": torch.full((1, 4), math.nan),
    }


def parts(config: LossConfig, o: dict[str, Tensor], t: dict[str, Tensor]) -> dict[str, float]:
    return {head: float(value) for head, value in SessionLoss(config).by_head(o, t).items()}


def test_at_even_odds_a_label_costs_one_bit_and_a_column_each_its_own() -> None:
    found = parts(LossConfig(), outputs(), targets())
    bit = math.log(2)
    assert found["labels"] == pytest.approx(bit)
    assert found["markers"] == pytest.approx(3 * bit)
    assert found["strategies"] == pytest.approx(2 * bit)


def test_heads_without_a_target_cost_nothing() -> None:
    found = parts(LossConfig(), outputs(), targets())
    assert [found[head] for head in ("pillars", "talk", "behaviour", "ratings")] == [0, 0, 0, 0]


def test_a_head_without_a_target_still_has_a_gradient() -> None:
    given = {name: value.requires_grad_() for name, value in outputs().items()}
    SessionLoss(LossConfig())(members(given), targets()).backward()
    assert all(value.grad is not None for value in given.values())


@pytest.mark.parametrize("turn", [1, 3])
def test_a_label_counts_only_where_the_speaker_can_carry_it(turn: int) -> None:
    before = parts(LossConfig(), outputs(), targets())
    given = outputs()
    given["labels"][0, turn, 0] = 9.0  # withdrawal is the client's
    given["markers"][0, turn] = 9.0
    assert parts(LossConfig(), given, targets()) == before


def test_padding_changes_no_head() -> None:
    given = {name: value.clone() for name, value in outputs().items()}
    for name in given:
        if name != "ratings":
            given[name][0, 3] = 7.0
    assert parts(LossConfig(), given, targets()) == parts(LossConfig(), outputs(), targets())


def test_an_unsure_turn_counts_less() -> None:
    wrong, unsure = outputs(), targets()
    wrong["labels"][0, 0] = 9.0
    unsure["sure"][0, 0] = 0.0
    trusting = parts(LossConfig(unsure=1.0), wrong, unsure)["labels"]
    assert parts(LossConfig(unsure=0.5), wrong, unsure)["labels"] < trusting
    assert trusting == parts(LossConfig(), wrong, targets())["labels"]


def test_an_invented_session_counts_less_beside_a_real_one() -> None:
    config = LossConfig(invented=0.5)
    both = {name: torch.cat([value, value]) for name, value in targets().items()}
    both["is_real"][1] = 0.0
    wrong = {name: torch.cat([value, value]) for name, value in outputs().items()}
    wrong["labels"][1] = 9.0
    less = parts(config, wrong, both)["labels"]
    assert less < parts(LossConfig(invented=1.0), wrong, both)["labels"]


def test_a_missed_positive_costs_more_where_positives_are_rare() -> None:
    given = targets()
    given["labels"][0, 0, 0] = 1.0
    plain = parts(LossConfig(), outputs(), given)["labels"]
    assert parts(LossConfig(positive=4.0), outputs(), given)["labels"] > plain


def test_only_known_ratings_count() -> None:
    given = targets()
    given["ratings"][0, 1] = 4.0
    assert parts(LossConfig(), outputs(), given)["ratings"] == pytest.approx(9.0)


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    config = LossConfig(labels=3.0, markers=0.0, strategies=0.5)
    found = parts(config, outputs(), targets())
    whole = float(SessionLoss(config)(members(outputs()), targets()))
    assert whole == pytest.approx(sum(getattr(config, head) * v for head, v in found.items()))


def test_each_member_is_held_to_the_targets_by_itself() -> None:
    """Two members that err to either side are wrong, though their mean would be right."""
    config, high, low = LossConfig(), outputs(), outputs()
    high["intensity"], low["intensity"] = high["intensity"] + 1, low["intensity"] - 1
    apart = float(SessionLoss(config)(members(high, low), targets()))
    alone = [float(SessionLoss(config)(members(one), targets())) for one in (high, low)]
    assert apart == pytest.approx(sum(alone) / 2)
    assert apart > float(SessionLoss(config)(members(outputs()), targets()))
