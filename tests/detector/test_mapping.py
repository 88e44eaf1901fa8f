import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detector.mapping import COLUMNS, SessionMap

datasets = pytest.importorskip("datasets", reason="NOT TESTED: datasets is not installed")


@pytest.fixture
def found(dialogue: tuple[str, ...]) -> list[dict[str, Any]]:
    """Three rows, of which the first is no session."""
    turns = [{"speaker": line[0], "text": line[3:]} for line in dialogue]
    row = {"turns": turns, "therapist": "T"}
    rows = [row | {"turns": []}, row, row]
    return [{**one, "name": name} for one, name in zip(rows, "abc", strict=True)]


def test_a_row_is_answered_with_the_figures_of_its_report(found: list[dict[str, Any]]) -> None:
    answer = SessionMap("rules")(found[1])
    assert tuple(answer) == COLUMNS
    assert answer["rupture_problem"] is None
    assert answer["rupture_n_turns"] == len(answer["rupture_scores"]) == 12
    assert answer["rupture_n_moments"] == len(answer["rupture_moments"]) > 0


def test_a_row_that_is_no_session_says_why(found: list[dict[str, Any]]) -> None:
    answer = SessionMap("rules")(found[0])
    assert answer["rupture_problem"] == "empty"
    assert {value for name, value in answer.items() if name != "rupture_problem"} == {None}


def test_a_batch_gives_what_its_rows_give(found: list[dict[str, Any]]) -> None:
    mapped = SessionMap("rules")
    columns = {name: [row.get(name) for row in found] for name in ("turns", "therapist")}
    batch = mapped.batch(columns)
    assert [dict(zip(batch, one, strict=True)) for one in zip(*batch.values(), strict=True)] == [
        mapped(row) for row in found
    ]


def test_it_travels_to_another_process_and_shows_nothing() -> None:
    mapped = SessionMap("rules")
    assert pickle.loads(pickle.dumps(mapped)) == mapped  # noqa: S301 - what datasets does


@pytest.mark.parametrize("batched", [False, True])
def test_a_dataset_is_mapped_in_two_processes(
    found: list[dict[str, Any]], tmp_path: Path, batched: bool
) -> None:
    table = datasets.Dataset.from_list(found * 2)
    mapped = SessionMap("rules")
    work: Callable[..., Any] = mapped.batch if batched else mapped
    scored = table.map(
        work,
        batched=batched,
        num_proc=2,
        features=mapped.features(table.features),
        cache_file_name=str(tmp_path / "cache.arrow"),
    )
    assert scored["rupture_problem"] == ["empty", None, None] * 2
    assert scored[0]["rupture_withdrawal"] is None
    assert scored[1]["rupture_withdrawal"] == mapped(found[1])["rupture_withdrawal"]
    assert scored[1]["rupture_scores"] == mapped(found[1])["rupture_scores"]
    assert scored["name"][:3] == ["a", "b", "c"]
