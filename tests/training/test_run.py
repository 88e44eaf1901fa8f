"""A run's folder holds whole phases or none."""

from pathlib import Path

import pytest

from training.config import ConfigError, TrainConfig, read_config
from training.run import Run, hold_same


def put(text: str) -> object:
    return lambda folder: (folder / "weights").write_text(text)


def test_a_new_folder_is_made_with_its_configuration(tmp_path: Path) -> None:
    run = Run.open(tmp_path / "a" / "run", TrainConfig(seed=4), resume=False)
    assert read_config(run.folder / "config.toml").seed == 4


def test_to_resume_a_run_that_is_not_there_is_to_start_it(tmp_path: Path) -> None:
    Run.open(tmp_path, TrainConfig(), resume=True)
    assert (tmp_path / "config.toml").is_file()


def test_a_run_that_was_refused_before_it_began_leaves_the_folder_free(tmp_path: Path) -> None:
    Run.open(tmp_path, TrainConfig(), resume=False)
    Run.open(tmp_path, TrainConfig(seed=1), resume=False)
    assert read_config(tmp_path / "config.toml").seed == 1


def test_a_second_run_in_one_folder_is_refused(tmp_path: Path) -> None:
    Run.open(tmp_path, TrainConfig(), resume=False).work("final").mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds a run"):
        Run.open(tmp_path, TrainConfig(), resume=False)


def test_another_configuration_is_refused_and_its_key_named(tmp_path: Path) -> None:
    Run.open(tmp_path, TrainConfig(), resume=False).work("final").mkdir(parents=True)
    with pytest.raises(ConfigError) as error:
        Run.open(tmp_path, TrainConfig(seed=1), resume=True)
    assert error.value.key == "seed"


def test_a_phase_is_there_once_it_is_whole(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        run.store("fold-0", fail)
    assert not run.is_done("fold-0")
    run.store("fold-0", put("whole"))  # type: ignore[arg-type]
    assert run.is_done("fold-0")
    assert [path.name for path in (tmp_path / "fold-0").iterdir()] == ["weights"]


def test_what_a_phase_worked_with_goes_when_it_is_done(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.work("fold-0").mkdir(parents=True)
    run.store("fold-0", put("whole"))  # type: ignore[arg-type]
    assert not run.work("fold-0").exists()


def test_a_later_process_of_many_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    run = Run.open(tmp_path / "run", TrainConfig(), resume=False)
    run.store("fold-0", put("whole"))  # type: ignore[arg-type]
    assert not run.folder.exists()


def test_a_value_that_is_missing_is_as_wrong_as_another() -> None:
    hold_same({"a": 1, "b": 2}, {"a": 1}, "there")
    with pytest.raises(ConfigError, match="b: is 2 here and None in there"):
        hold_same({"a": 1}, {"a": 1, "b": 2}, "there")
