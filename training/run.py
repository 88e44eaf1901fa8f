"""A training run's folder: what is in it is whole, or is not there.

Every phase is written beside its place and renamed into it, so that a kill at any moment leaves
finished phases alone and unfinished ones to be taken up.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.sealing import write_whole
from training.config import ConfigError, TrainConfig, as_toml, flat, read_config


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder. What is in it under its own name is whole; parts lie in `.work`."""

    folder: Path

    @classmethod
    def open(cls, folder: Path, config: TrainConfig, *, resume: bool) -> "Run":
        """The folder of a new run, or of one that goes on.

        A run that was refused before it trained anything leaves only its files: the mended
        configuration takes their place.

        Raises: ConfigError: there is a run already, or one with another configuration.
        """
        written = folder / "config.toml"
        if is_main():
            folder.mkdir(parents=True, exist_ok=True)
            has_begun = written.exists() and any(path.is_dir() for path in folder.iterdir())
            if not has_begun:
                (folder / "environment.json").unlink(missing_ok=True)
                write_whole(written, as_toml(config))
            elif not resume:
                raise ConfigError(str(folder), "holds a run: --resume it, or name another folder")
            hold_same(flat(read_config(written)), flat(config), "the run in this folder")
        return cls(folder)

    def work(self, phase: str) -> Path:
        """Where a phase keeps what it needs to go on."""
        return self.folder / ".work" / phase

    def is_done(self, phase: str) -> bool:
        """Whether the phase's checkpoint is there."""
        return (self.folder / phase).is_dir()

    def store(self, phase: str, write: Callable[[Path], None]) -> None:
        """Writes the phase's folder whole or not at all, then drops its working files."""
        if is_main():
            part = self.work(f"{phase}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            write(part)
            os.replace(part, self.folder / phase)
            shutil.rmtree(self.work(phase), ignore_errors=True)
        wait_for_all()


def is_main() -> bool:
    """Whether this is the first, or only, process of the run."""
    return os.environ.get("RANK", "0") == "0"


def wait_for_all() -> None:
    """Holds until every process of a distributed run is here."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def hold_same(found: Mapping[str, Any], needed: Mapping[str, Any], whose: str) -> None:
    """Holds what is found to what is needed, key by key. Raises: ConfigError: one differs."""
    for key, value in needed.items():
        if found.get(key) != value:
            raise ConfigError(key, f"is {value!r} here and {found.get(key)!r} in {whose}")
