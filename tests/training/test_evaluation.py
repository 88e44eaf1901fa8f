import json
from collections.abc import Callable
from typing import Any

import pytest

from detector.report import RATINGS
from detector.scoring import FITTED
from training.evaluation import BANDS, LABELS_FROM, SCHEMA, Scorer, evaluate, plain
from training.figures import Difference, Figure
from training.pairs import rupture_truth
from training.rules import Example

MakeScorer = Callable[..., Scorer]


def test_the_record_says_whose_labels_these_are_and_what_was_measured_on(
    record: dict[str, Any],
) -> None:
    assert record["schema"] == SCHEMA
    assert record["labels_from"] == LABELS_FROM
    assert "not clinicians" in LABELS_FROM
    assert record["how"]["n_sessions"] == 7
    assert record["how"]["n_invented"] == 2
    assert [one["id"] for one in record["scorers"]] == ["floor", "best"]


def test_the_record_is_json_without_nan(record: dict[str, Any]) -> None:
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_every_label_has_its_turns_counted_and_every_figure(
    record: dict[str, Any], examples: list[Example]
) -> None:
    for label in FITTED:
        found = record["turns"]["best"][label]
        assert found["n"] == sum(len(ex.mine(label)) for ex in examples[:7])
        assert found["n_true"] == sum(ex.targets[label].sum() for ex in examples[:7])
        assert set(found) == {
            "n",
            "n_true",
            "average_precision",
            "auroc",
            "balanced_accuracy",
            "brier",
            "calibration_slope",
            "calibration_intercept",
            "calibration_error",
            "reliability",
        }
        assert found["auroc"]["value"] == 1.0
        assert 0.95 < found["balanced_accuracy"]["value"] <= 1.0


def test_dev_is_the_same_predictions_on_the_sessions_of_its_split(
    record: dict[str, Any], examples: list[Example]
) -> None:
    assert record["how"]["n_dev_sessions"] == 4
    n_dev = sum(len(ex.mine("withdrawal")) for ex in examples[3:7])
    assert record["dev"]["best"]["withdrawal"]["n"] == n_dev


def test_the_dev_split_is_left_out_where_there_is_none(
    examples: list[Example], make_scorer: MakeScorer
) -> None:
    real = examples[:5]
    found = evaluate(real, [make_scorer("best", real, 1.0, whole=False)], [], [], {})
    assert found["how"]["n_dev_sessions"] == 0
    assert found["dev"] == {}


def test_segments_are_of_one_and_of_five_minutes(record: dict[str, Any]) -> None:
    found = record["segments"]["best"]["withdrawal"]
    assert list(found) == ["60", "300"]
    assert found["60"]["n"] > found["300"]["n"]


def test_only_a_scorer_of_whole_sessions_has_ratings_moments_and_subgroups(
    record: dict[str, Any],
) -> None:
    assert list(record["ratings"]) == ["best"]
    assert list(record["moments"]) == ["best"]
    assert all(list(row["scorers"]) == ["best"] for row in record["subgroups"])
    assert set(record["ratings"]["best"]) == set(RATINGS)
    assert set(record["ratings"]["best"]["withdrawal"]) == {
        "n",
        "spearman",
        "icc_agreement",
        "icc_consistency",
    }


def test_the_bands_hold_the_labelled_turns_of_their_sessions(
    record: dict[str, Any], examples: list[Example]
) -> None:
    counts = [int(rupture_truth(ex).sum()) for ex in examples[:7]]
    found = record["moments"]["best"]
    assert [(band["least"], band["most"]) for band in found["by_ruptures"]] == list(BANDS)
    for band in found["by_ruptures"]:
        most = max(counts) if band["most"] is None else band["most"]
        own = [n for n in counts if band["least"] <= n <= most]
        assert (band["n_sessions"], band["n_labelled"]) == (len(own), sum(own))
        assert band["n_found"] <= min(band["n_labelled"], band["n_flagged"])
    assert sum(band["n_flagged"] for band in found["by_ruptures"]) == found["n_flagged"] > 0
    assert found["n_labelled"] == sum(counts)
    assert found["n_right"] <= found["n_moments"]


def test_a_difference_is_asked_only_of_scorers_that_are_there(record: dict[str, Any]) -> None:
    found = record["differences"]
    assert {(row["one"], row["other"]) for row in found} == {("best", "floor")}
    assert len(found) == 2 * len(FITTED)
    first = found[0]
    values = [
        record["turns"][i][first["label"]][first["metric"]]["value"] for i in ("best", "floor")
    ]
    assert first["value"] == pytest.approx(values[0] - values[1])
    assert 0.0 <= first["above_zero"] <= 1.0


def test_a_marker_is_listed_with_the_turns_that_carry_it(
    record: dict[str, Any], examples: list[Example]
) -> None:
    assert record["markers"]
    for row in record["markers"]:
        carried = [
            row["marker"] in ex.session.markers_of(turn)
            for ex in examples[:7]
            for turn in ex.read.turns
        ]
        assert row["n_true"] == sum(carried) > 0
        assert list(row["scorers"]) == ["best"]
        assert row["scorers"]["best"]["auroc"]["value"] == 0.5


def test_without_a_scorer_that_names_markers_there_is_no_table_of_them(
    examples: list[Example], make_scorer: MakeScorer
) -> None:
    real = examples[:5]
    found = evaluate(real, [make_scorer("best", real, 1.0, whole=False)], [], [], {})
    assert found["markers"] == []


def test_what_is_not_defined_is_null() -> None:
    nan = float("nan")
    assert plain(Figure(0.5, nan, nan)) == {"value": 0.5, "low": None, "high": None}
    assert plain(Difference(0.1, 0.0, 0.2, nan)) == {
        "value": 0.1,
        "low": 0.0,
        "high": 0.2,
        "above_zero": None,
    }
