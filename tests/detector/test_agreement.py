"""Every coefficient against a library that others trust, and what cannot be computed."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from detector import agreement as ours
from detector.agreement import COEFFICIENTS, Estimate, Ratings, agree

NAN = np.nan
FIXTURES = Path(__file__).parents[1] / "fixtures" / "agreement"


def of(*rows: list[float], each: int = 2) -> Ratings:
    """Units × coders as written, so many units a session."""
    return Ratings(np.array(rows, dtype=float), np.arange(len(rows)) // each)


SETS = {
    # None is a rating not given. Invented by a random generator; ten sessions each.
    name: Ratings(np.array(rows, dtype=float), np.arange(len(rows)) % 10)
    for name, rows in json.loads((FIXTURES / "ratings.json").read_text("utf-8")).items()
}
WHOLE = ("two_coders", "four_coders", "rare_code")


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_is_what_krippendorff_says(name: str, level: Any) -> None:
    theirs = krippendorff.alpha(SETS[name].values.T, level_of_measurement=level)
    assert ours.krippendorff_alpha(SETS[name], level).value == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("name", ["two_coders", "rare_code"])
def test_kappa_of_two_coders_is_what_scikit_learn_says(name: str) -> None:
    theirs = cohen_kappa_score(*SETS[name].values.T)
    assert ours.cohen_kappa(SETS[name]).value == pytest.approx(theirs, abs=1e-6)


def test_kappa_of_many_coders_is_the_mean_over_the_pairs_on_units_both_rated() -> None:
    values = SETS["rare_code_with_missing"].values
    found = []
    for one, other in ((0, 1), (0, 2), (1, 2)):
        both = values[~np.isnan(values[:, [one, other]]).any(axis=1)]
        found.append(cohen_kappa_score(both[:, one], both[:, other]))
    kappa = ours.cohen_kappa(SETS["rare_code_with_missing"])
    assert kappa.value == pytest.approx(np.mean(found), abs=1e-6)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.filterwarnings("ignore")  # of the library's own making
def test_both_icc_are_what_pingouin_says(name: str) -> None:
    import pingouin

    table = pd.DataFrame(SETS[name].values).melt(ignore_index=False).reset_index()
    theirs = pingouin.intraclass_corr(table, "index", "variable", "value").set_index("Type")["ICC"]
    assert ours.icc_single(SETS[name]).value == pytest.approx(theirs["ICC(A,1)"], abs=1e-6)
    assert ours.icc_mean(SETS[name]).value == pytest.approx(theirs["ICC(A,k)"], abs=1e-6)


_R = """
suppressMessages(library(psych))
options(digits = 12)
ratings <- as.matrix(read.csv(file("stdin"), header = FALSE))
found <- ICC(ratings, lmer = FALSE)$results
kappa <- cohen.kappa(ratings[, 1:2])$kappa
cat(found["Single_random_raters", "ICC"], found["Average_random_raters", "ICC"], kappa)
"""


@pytest.mark.skipif(
    # Where it is asked for, as in CI, the test fails for want of it.
    shutil.which("Rscript") is None and not os.environ.get("RUPTURE_NEEDS_R"),
    reason="NOT HELD AGAINST R: no Rscript (apt-get install r-base-core r-cran-psych)",
)
@pytest.mark.parametrize("name", ["two_coders", "rare_code"])
def test_kappa_and_both_icc_are_what_r_says(name: str) -> None:
    rows = "\n".join(",".join(str(v) for v in row) for row in SETS[name].values)
    asked = ["Rscript", "-e", _R]
    done = subprocess.run(asked, input=rows, capture_output=True, text=True, check=True)
    single, mean, kappa = map(float, done.stdout.split())
    found = agree(SETS[name])
    assert found.icc_single.value == pytest.approx(single, abs=1e-6)
    assert found.icc_mean.value == pytest.approx(mean, abs=1e-6)
    assert found.kappa.value == pytest.approx(kappa, abs=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_ac1_percent_and_alpha_are_what_irrcac_said(name: str) -> None:
    """`irrcac.py` beside the figures wrote them: the library wants another scipy than we have."""
    theirs = json.loads((FIXTURES / "irrcac.json").read_text("utf-8"))[name]
    found = agree(SETS[name])
    assert found.ac1.value == pytest.approx(theirs["ac1"], abs=1e-6)
    assert found.percent.value == pytest.approx(theirs["percent"], abs=1e-6)
    assert found.alpha.value == pytest.approx(theirs["alpha"], abs=1e-6)


def test_icc_is_of_the_units_that_every_coder_rated() -> None:
    values = SETS["four_with_missing"].values
    whole = values[~np.isnan(values).any(axis=1)]
    only = Ratings(whole, np.arange(len(whole)) % 10)
    found = ours.icc_single(SETS["four_with_missing"])
    assert found.value == pytest.approx(ours.icc_single(only).value, abs=1e-12)


@pytest.mark.parametrize("name", ["four_with_missing", "rare_code"])
@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_the_interval_is_that_of_resampled_sessions_measured_one_by_one(
    name: str, level: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "N_DRAWS", 20)
    ours._draws.cache_clear()
    ratings, whole = SETS[name], agree(SETS[name], level)
    drawn: dict[str, list[float]] = {one: [] for one in COEFFICIENTS}
    for counts in ours._draws(10).astype(int):
        places = np.repeat(np.arange(len(ratings.values)), counts[ratings.sessions])
        again = Ratings(ratings.values[places], np.zeros(len(places)))
        for one in COEFFICIENTS:
            drawn[one].append(getattr(agree(again, level), one).value)
    ours._draws.cache_clear()
    for one in COEFFICIENTS:
        found, asked = getattr(whole, one), np.percentile(drawn[one], [2.5, 97.5])
        assert (found.low, found.high) == pytest.approx(tuple(asked))


def test_a_rating_that_was_not_given_is_not_a_code_that_is_not_there() -> None:
    seen = of([1, 1], [0, 0], [1, 0], [0, 0])
    with_gaps = of([1, 1], [0, 0], [1, NAN], [0, NAN])
    assert ours.percent_agreement(seen).value == 0.75
    assert ours.percent_agreement(with_gaps).value == 1.0
    assert ours.prevalence(with_gaps).value == pytest.approx(3 / 6)
    assert agree(with_gaps).n_shared == 2


@pytest.mark.parametrize(
    ("ratings", "reason"),
    [
        (of([0, 0], [0, 0], [0, 0]), ours.NOBODY_USED),
        (of([1, 1], [1, 1], [1, 1]), ours.ONE_CLASS),
        (of([1, NAN], [NAN, 0], [1, NAN]), ours.NO_OVERLAP),
        (of([1, NAN], [0, NAN]), ours.ONE_CODER),
        (of([1], [0]), ours.ONE_CODER),
    ],
)
def test_what_cannot_be_told_from_chance_says_why(ratings: Ratings, reason: str) -> None:
    found = agree(ratings)
    for one in (found.kappa, found.ac1, found.alpha, found.icc_single, found.icc_mean):
        assert one == Estimate(reason=reason)
        assert str(one) == f"not estimable ({reason})"


def test_agreement_on_one_class_is_still_counted() -> None:
    found = agree(of([0, 0], [0, 0], [0, 0]))
    assert found.percent.value == 1.0
    assert found.prevalence.value == 0.0


def test_icc_without_two_units_of_all_coders_says_so() -> None:
    assert ours.icc_single(of([1, 2], [2, NAN], [3, NAN])).reason == ours.FEW_UNITS


def test_a_pair_of_coders_that_saw_one_class_leaves_no_kappa() -> None:
    ratings = of([0, 0, NAN], [0, 0, NAN], [NAN, 1, 1], [NAN, 0, 1])
    assert ours.cohen_kappa(ratings).reason == ours.NO_SPREAD


def test_one_session_gives_a_figure_without_an_interval() -> None:
    found = ours.cohen_kappa(of([1, 1], [0, 0], [1, 0], each=9))
    assert found.value is not None
    assert (found.low, found.high, found.reason) == (None, None, ours.ONE_SESSION)


def test_a_code_too_rare_for_an_interval_has_none() -> None:
    found = ours.cohen_kappa(of([1, 1], *[[0, 0]] * 19))
    assert found.value == 1.0
    assert found.low is None
    assert found.reason == ours.UNSTABLE
    assert found.n_undefined > 50


def test_values_too_many_to_be_equal_are_measured_by_distance_alone() -> None:
    rows = [[float(n), n + 0.5] for n in range(40)]
    found = agree(of(*rows), "interval")
    assert found.kappa.reason == found.ac1.reason == ours.TOO_FINE
    assert found.alpha.value is not None
    assert found.alpha.value > 0.99


def test_the_same_ratings_give_the_same_interval() -> None:
    ours._draws.cache_clear()
    one = agree(SETS["rare_code"])
    ours._draws.cache_clear()
    assert agree(SETS["rare_code"]) == one


@pytest.mark.parametrize(
    ("values", "sessions"),
    [(np.zeros(3), np.zeros(3)), (np.zeros((3, 2)), np.zeros(2)), (np.full((1, 2), np.inf), [0])],
)
def test_ratings_that_do_not_fit_are_refused(values: Any, sessions: Any) -> None:
    with pytest.raises(ValueError, match="rating"):
        Ratings(values, np.asarray(sessions))


@given(
    st.lists(
        st.lists(st.sampled_from([NAN, 0.0, 1.0, 2.0]), min_size=3, max_size=3),
        min_size=1,
        max_size=12,
    )
)
def test_no_figure_is_ever_a_nan_and_every_gap_has_its_reason(rows: list[list[float]]) -> None:
    for level in ("nominal", "ordinal", "interval"):
        found = agree(of(*rows), level)  # type: ignore[arg-type]
        for one in (getattr(found, name) for name in COEFFICIENTS):
            numbers = [one.value, one.low, one.high]
            assert all(n is None or np.isfinite(n) for n in numbers)
            assert (None in numbers) == bool(one.reason)
