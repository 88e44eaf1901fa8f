"""The notebook of one's own labels runs from its first cell to its last, on a copy."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "own_labels.ipynb"


@pytest.fixture(scope="module")
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def printed(cell: Any) -> str:
    """What a cell wrote and what its last line is."""
    parts = [
        one.get("text", "") or one.get("data", {}).get("text/plain", "") for one in cell.outputs
    ]
    return "".join(parts)


def test_nothing_that_a_run_printed_is_kept_in_it(notebook: Any) -> None:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.timeout(600)
def test_it_runs_to_the_comparison_and_to_publishing(
    notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(NOTEBOOK, tmp_path)
    # `rupture` in a cell is the one of this environment, wherever the tests were started from.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for name in ("RUPTURE_CHECKPOINTS", "RUPTURE_CHECKPOINT", "RUPTURE_BASE"):
        monkeypatch.delenv(name, raising=False)
    made = nbformat.from_dict(notebook)
    NotebookClient(made, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [cell for cell in made.cells if cell.cell_type == "code"]
    by_start = {cell.source.splitlines()[0]: printed(cell) for cell in cells}
    assert "12 invented sessions" in by_start["!rupture own-example --out own.jsonl --sessions 12"]
    compared = by_start['found = json.loads(Path("run/evaluation.json").read_text("utf-8"))']
    assert [line.split(":")[0] for line in compared.splitlines()] == [
        "withdrawal",
        "confrontation",
        "resolution",
        "contribution",
    ]
    # Twelve sessions and one epoch must not pass for a checkpoint.
    assert "not published" in by_start["!rupture publish run --name mine"]
    assert not (tmp_path / "own-labels" / "checkpoints").exists()
