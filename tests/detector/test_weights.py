import math

import numpy as np
import pytest

from detector.errors import CodebookError
from detector.markers import MarkerRules
from detector.scoring import FITTED
from detector.weights import LinearModel, load_weights, read_weights

MODEL_TABLE = """
[{step}.{label}]
intercept = 1.5
[{step}.{label}.features]
"said.few_words" = {{ weight = 2.0, mean = 0.5 }}
"""

HEAD = """
name = "tiny"
codebook = "1"
[source]
data = "made by hand"
[thresholds]
flag = 0.5
repair = 0.4
[pattern_precision]
"denial.b" = 0.75
[pillar_shares.withdrawal]
task = 1.0
[pillar_shares.confrontation]
bond = 1.0
"""

TOML = HEAD + "".join(
    MODEL_TABLE.format(step=step, label=label)
    for step in ("own", "context", "ratings")
    for label in FITTED
)

MODEL = LinearModel(-1.0, ("a", "b"), np.array([2.0, 0.5]), np.array([1.0, 0.0]))


def test_a_linear_model_adds_each_features_distance_from_its_mean() -> None:
    assert MODEL.value([{"a": 3.0, "b": 4.0}, {"a": 1.0}]).tolist() == [5.0, -1.0]
    assert MODEL.pulls([{"a": 3.0, "b": 4.0}]).tolist() == [[4.0, 2.0]]


def test_an_absent_feature_is_zero_and_an_unknown_one_pulls_nowhere() -> None:
    assert MODEL.value([{}]).tolist() == [-3.0]
    assert MODEL.value([{"a": math.nan, "b": math.nan}]).tolist() == [-1.0]


def test_a_linear_model_of_no_rows_gives_no_values() -> None:
    assert MODEL.value([]).shape == (0,)


def test_weights_are_read_with_their_hash_and_source() -> None:
    weights = read_weights(TOML.encode())
    assert (weights.name, weights.flag_threshold, weights.repair_threshold) == ("tiny", 0.5, 0.4)
    assert set(weights.own) == set(weights.context) == set(weights.ratings) == set(FITTED)
    assert weights.source == {"data": "made by hand"}
    assert weights.sha256 != read_weights(TOML.replace("0.75", "0.74").encode()).sha256


@pytest.mark.parametrize(
    "change",
    [
        ("[thresholds]", "[limits]"),
        ("flag = 0.5", ""),
        ('name = "tiny"', ""),
        ("weight = 2.0,", ""),
        ("weight = 2.0, mean = 0.5", 'weight = "two", mean = 0.5'),
        ("intercept = 1.5", 'intercept = "high"'),
        ("[source]", "[source"),
        ("[ratings.", "[rankings."),
    ],
)
def test_a_broken_weight_file_is_our_own_error(change: tuple[str, str]) -> None:
    assert change[0] in TOML
    with pytest.raises(CodebookError, match="missing or malformed"):
        read_weights(TOML.replace(*change).encode())


def test_weights_that_are_no_text_are_our_own_error() -> None:
    with pytest.raises(CodebookError, match="missing or malformed"):
        read_weights(b"\xff\xfe\x00")


def test_the_shipped_weights_fit_the_shipped_codebook(rules: MarkerRules) -> None:
    weights = load_weights()
    assert weights.codebook == rules.codebook.version
    assert set(weights.own) == set(weights.context) == set(weights.ratings) == set(FITTED)
    assert 0.0 < weights.flag_threshold < 1.0
    for model in (*weights.own.values(), *weights.context.values(), *weights.ratings.values()):
        assert np.isfinite(model.weights).all()
        assert np.isfinite(model.means).all()


def test_one_feature_of_a_linear_model_can_be_asked_for() -> None:
    assert (MODEL.weight_of("a"), MODEL.weight_of("c")) == (2.0, 0.0)
    assert MODEL.pull_of("a", 3.0) == MODEL.pulls([{"a": 3.0}])[0, 0] == 4.0
    assert MODEL.pull_of("a", math.nan) == MODEL.pull_of("c", 3.0) == 0.0


def test_weights_of_the_rules_need_no_network() -> None:
    weights = read_weights(TOML.encode())
    assert not weights.needs_network
    assert weights.session_ratings == {}
    assert not load_weights().needs_network


def test_weights_that_hear_a_network_say_so() -> None:
    second_step = MODEL_TABLE.format(step="context", label="withdrawal")
    hears = second_step.replace('"said.few_words"', '"network"')
    assert read_weights(TOML.replace(second_step, hears).encode()).needs_network


def test_ratings_that_hear_a_network_are_read_beside_the_others() -> None:
    more = "".join(MODEL_TABLE.format(step="session_ratings", label=label) for label in FITTED)
    weights = read_weights((TOML + more).encode())
    assert set(weights.session_ratings) == set(weights.ratings) == set(FITTED)


def test_a_broken_scoring_file_of_a_checkpoint_is_named() -> None:
    with pytest.raises(CodebookError, match=r"default/scoring\.toml"):
        read_weights(b"", file="default/scoring.toml")
