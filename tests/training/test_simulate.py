"""The simulation: all ways begin alike, nothing held out is seen, and a figure says what it is."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from training import learning_curves as curves
from training import simulate
from training.corpus import TrainingDataError
from training.rules import Example
from training.simulate import WAYS, Turns, Unit, client_turns, on_grid, run

SESSION, TURN = Unit("session", True, 2, 1), Unit("turn", False, 60, 60)


@pytest.fixture(scope="module")
def turns(examples: list[Example]) -> Turns:
    return client_turns(examples, None)


def test_the_clients_turns_are_those_that_can_be_labelled(
    examples: list[Example], turns: Turns
) -> None:
    assert len(turns.truth) == sum(len(ex.mine("withdrawal")) for ex in examples)
    assert turns.truth.sum() > 0
    assert not {"session_id", "text"} & {field.name for field in dataclasses.fields(Turns)}


@pytest.mark.parametrize("unit", [SESSION, TURN], ids=lambda unit: unit.name)
def test_all_ways_begin_with_the_same_draw_and_end_with_the_pool(
    examples: list[Example], turns: Turns, unit: Unit
) -> None:
    found = run(examples, turns, unit, seed=3)
    assert set(found) == set(WAYS)
    for fold in range(simulate.N_FOLDS):
        steps = [found[way][fold] for way in WAYS]
        # A held-out fold may have no turn of a kind: its precision is NaN there.
        assert all(np.array_equal(one[0], steps[0][0], equal_nan=True) for one in steps)
        assert all((np.diff(one[:, 0]) > 0).all() for one in steps)
        assert len({one[-1, 0] for one in steps}) == 1


def test_the_same_seed_gives_the_same_curve(examples: list[Example], turns: Turns) -> None:
    one, other = (run(examples, turns, SESSION, seed=5)["together"] for _ in range(2))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


def test_held_out_labels_have_no_part_in_what_is_picked(
    examples: list[Example], turns: Turns
) -> None:
    """With all labels of a fold turned round, the pool's course is the same."""
    folds = np.array(simulate.fold_of(examples, simulate.N_FOLDS, 1005))[turns.owner]
    turned = dataclasses.replace(
        turns, truth=np.where((folds == 0)[:, None], 1 - turns.truth, turns.truth)
    )
    one, other = (run(examples, t, SESSION, seed=5)["together"][0] for t in (turns, turned))
    assert (one[:, 0] == other[:, 0]).all()
    assert (one[:, 1:] != other[:, 1:]).any()


def test_a_curve_is_straight_between_rounds_and_leaves_out_what_is_not_defined() -> None:
    steps = [np.array([[10, 0.2, np.nan], [30, 0.4, np.nan]])]
    assert on_grid(steps, np.array([10.0, 20.0, 30.0])) == pytest.approx([0.2, 0.3, 0.4])
    with pytest.raises(TrainingDataError, match="nothing can be measured"):
        on_grid([np.full((2, 3), np.nan)], np.array([10.0]))


def some(gained: float, n_seeds: int = 10) -> curves.Curves:
    """Curves that rise to .4 by lot; together is so much higher."""
    rng = np.random.default_rng(1)
    lot = np.linspace(0.1, 0.4, len(curves.GRID)) + rng.normal(0, 0.01, (n_seeds, 1))
    by_way = {way: lot + (gained if way == "together" else 0.0) for way in WAYS}
    by_way["together"] = by_way["together"] + rng.normal(0, 0.005, (n_seeds, 1))
    return curves.Curves("turn", "invented", by_way)


@pytest.mark.parametrize(
    ("gained", "said"),
    [(0.05, "is above 0"), (-0.05, "worse than lot"), (0.0, "no saving is shown")],
)
def test_the_page_says_whether_labels_are_saved(gained: float, said: str) -> None:
    text = curves.as_markdown([some(gained)], 83)
    assert said in text
    assert "not clinicians" in text
    assert "nan" not in text


def test_the_plot_is_drawn_for_every_way() -> None:
    svg = curves.as_svg([some(0.05), some(0.0)])
    assert svg.count("<polyline") == 2 * len(WAYS)
    assert all(f">{way}</text>" in svg for way in WAYS)


def test_the_measured_part_alone_of_a_page_is_written_anew() -> None:
    page = "before\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nafter\n"
    assert curves.into_page(page, "new") == page.replace("old", "new")
    with pytest.raises(TrainingDataError, match="needs one"):
        curves.into_page("nothing", "new")


def test_the_command_writes_page_and_plot(
    examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import typer

    monkeypatch.setattr(curves, "load_annomi", lambda split: [split])
    monkeypatch.setattr(curves, "read_examples", lambda sessions, rules: examples)
    monkeypatch.setattr(curves, "UNITS", (SESSION,))
    page, plot = tmp_path / "page.md", tmp_path / "plot.svg"
    page.write_text("<!-- measured: begin -->\n<!-- measured: end -->\n")
    app = typer.Typer()
    app.command()(curves.command)
    given = ["--seeds", "2", "--out", str(page), "--plot", str(plot)]
    done = CliRunner().invoke(app, given, env={"RUPTURE_BASE": ""})
    assert done.exit_code == 0, done.output
    assert "| together |" in page.read_text()
    assert plot.read_text().startswith("<svg")
