"""A configuration is read whole, or the key at fault is named."""

import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from training.config import ConfigError, TrainConfig, as_toml, flat, read_config


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, "")) == TrainConfig()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, 'seed = 3\n[data]\nexports = ["ä.jsonl"]\n'))
    assert read_config(written(tmp_path, as_toml(config))) == config
    assert config.data.exports == ("ä.jsonl",)


def test_the_shipped_file_spells_out_every_key_and_no_other() -> None:
    shipped = Path(str(files("training") / "configs" / "default.toml"))
    content = tomllib.loads(shipped.read_text("utf-8"))
    tables = {name for name, value in content.items() if isinstance(value, dict)}
    keys = {name for name in content if name not in tables}
    keys |= {f"{table}.{name}" for table in tables for name in content[table]}
    assert keys == set(flat(read_config(shipped)))


def test_a_key_can_be_replaced_from_outside(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, "seed = 3"), seed=4).seed == 4


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sede = 1", "sede"),
        ("[loss]\nlabel = 1", "loss.label"),
        ("seed = true", "seed"),
        ('seed = "1"', "seed"),
        ("loss = 3", "loss"),
        ("[schedule]\nepochs = 0", "schedule.epochs"),
        ("[schedule]\nepochs = 1.5", "schedule.epochs"),
        ("[schedule]\nbf16 = 1", "schedule.bf16"),
        ("[schedule]\nencoder_rate = -1", "schedule.encoder_rate"),
        ("[schedule]\nencoder_rate = nan", "schedule.encoder_rate"),
        ("[loss]\nsoft = 1.5", "loss.soft"),
        ("[data]\nexports = [1]", "data.exports"),
        ("n_folds = 1", "n_folds"),
        ("seed =", "config.toml"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_config(written(tmp_path, text))
    assert error.value.key == key


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        read_config(tmp_path / "absent.toml")


def test_reading_a_configuration_loads_nothing_heavy() -> None:
    code = (
        "import sys, training.config; print({'torch', 'transformers', 'sklearn'} & {*sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
