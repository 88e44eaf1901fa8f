"""Which checkpoints there are, which is in use, and whether a folder is what was published.

A checkpoint is a folder with `files.json`, the sha256 of every other file in it, and a registry
holds the sha256 of that list: one number stands for the whole. Checkpoints live beside this file
and, where the setting RUPTURE_CHECKPOINTS names a folder of your own, there first. Nothing here
reaches another machine, and nothing is ever unpickled.
"""

import functools
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import RegistryError, UnknownCheckpoint
from models.sealing import seal as seal
from models.sealing import verify, write_whole
from models.spec import ModelSpec, read_spec

if TYPE_CHECKING:
    from models.runtime import Network

SETTING = "RUPTURE_CHECKPOINTS"
"""Environment variable with a folder of your own; its `registry.toml` is the one that is written
then. `rupture models` and `rupture publish` need it where the package cannot be written."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEAD = (
    "# Which checkpoints there are, and which is in use. "
    "`rupture publish` and `rupture models` write it.\n"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A checkpoint that a registry lists. `sha256` is of its `files.json`."""

    name: str
    folder: Path
    sha256: str
    published: str
    is_current: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose every file was found to be the one that was published.

    `sha256` is of `files.json`, and so of all; `scoring` the bytes of `scoring.toml`. `network`
    is opened when it is first asked for; models.runtime.open_network says what it may raise.
    """

    name: str
    folder: Path
    sha256: str
    spec: ModelSpec = field(repr=False)
    scoring: bytes = field(repr=False)
    backend: str = "cpu"
    threads: int | None = None

    @functools.cached_property
    def network(self) -> "Network":
        """The checkpoint's graphs, ready to run."""
        from models.runtime import open_network

        return open_network(self.folder, backend=self.backend, threads=self.threads)


def load_checkpoint(
    name: str | None = None, *, backend: str = "cpu", threads: int | None = None
) -> Checkpoint:
    """A checkpoint, checked file by file.

    Args:
        name: as a registry lists it, or a folder's path; None for the one in use.
        backend: one of models.runtime.BACKENDS.
        threads: that one run may use; None leaves it to the backend.

    Raises:
        UnknownCheckpoint: no such name or folder; or none is in use.
        CorruptCheckpoint: a file is missing, changed, of a pickle, or not in the list.
        RegistryError: a registry cannot be read, or lists a folder that is gone.
    """
    entries = list_checkpoints()
    known = tuple(entry.name for entry in entries)
    chosen = next((e for e in entries if e.name == name or (name is None and e.is_current)), None)
    if chosen is not None:
        folder, sha256 = chosen.folder, _verified(chosen)
    elif name is not None and Path(name).is_dir():
        folder, sha256 = Path(name), verify(Path(name))
    else:
        raise UnknownCheckpoint(name, known)
    return Checkpoint(
        name=chosen.name if chosen else folder.resolve().name,
        folder=folder,
        sha256=sha256,
        spec=read_spec(
            (folder / "spec.json").read_text("utf-8", "replace"), file=f"{folder.name}/spec.json"
        ),
        scoring=(folder / "scoring.toml").read_bytes(),
        backend=backend,
        threads=threads,
    )


def list_checkpoints() -> tuple[Entry, ...]:
    """The checkpoints of all registries, by name; of two with one name, that of your own folder.

    Raises: RegistryError: a registry cannot be read.
    """
    found: dict[str, Entry] = {}
    registries = [_Registry.read(root) for root in _roots()]
    for registry in registries:
        for entry in registry.entries:
            found.setdefault(entry.name, entry)
    current = next((registry.current for registry in registries if registry.current), "")
    listed = (replace(entry, is_current=name == current) for name, entry in found.items())
    return tuple(sorted(listed, key=lambda entry: entry.name))


def current_name() -> str | None:
    """The name of the checkpoint in use, None where there is none.

    Raises: RegistryError: a registry cannot be read.
    """
    return next((entry.name for entry in list_checkpoints() if entry.is_current), None)


def use(name: str) -> None:
    """Makes a listed checkpoint the one in use, after checking its files.

    Raises:
        UnknownCheckpoint: no registry lists it.
        CorruptCheckpoint: its files are not those that were published.
        RegistryError: the registry cannot be read or written.
    """
    entries = list_checkpoints()
    entry = next((entry for entry in entries if entry.name == name), None)
    if entry is None:
        raise UnknownCheckpoint(name, tuple(entry.name for entry in entries))
    _verified(entry)
    before = next((entry.name for entry in entries if entry.is_current), "")
    registry = _Registry.read(_roots()[0])
    if before != name:
        registry = replace(registry, previous=before)
    replace(registry, current=name).write()


def rollback() -> str:
    """Takes the checkpoint that was in use before; doing it twice comes back. Returns its name.

    Raises:
        UnknownCheckpoint: the one before is no longer listed.
        CorruptCheckpoint: its files are not those that were published.
        RegistryError: there was none before, or the registry cannot be read or written.
    """
    registry = _Registry.read(_roots()[0])
    if not registry.previous:
        raise RegistryError(registry.file, "no checkpoint was in use before this one")
    use(registry.previous)
    return registry.previous


def register(name: str, *, published: date, root: Path | None = None) -> Entry:
    """Lists the sealed folder `root/name` in that root's registry; it is not in use by that.

    Args:
        name: letters, digits, dots, dashes; the folder's name.
        published: the day.
        root: the folder of checkpoints; None for the one that `use` writes to.

    Raises:
        CorruptCheckpoint: a file is missing, changed, of a pickle, or not in the list.
        RegistryError: a name that is none, or the registry cannot be read or written.
    """
    registry = _Registry.read(root or _roots()[0])
    if not _NAME.fullmatch(name):
        raise RegistryError(registry.file, f"{name!r} is no name: letters, digits, dots, dashes")
    folder = registry.root / name
    entry = Entry(name, folder, verify(folder), published.isoformat())
    others = tuple(one for one in registry.entries if one.name != name)
    replace(registry, entries=(*others, entry)).write()
    return entry


def _verified(entry: Entry) -> str:
    """Holds a listed checkpoint to the sha256 it is listed with. Returns that."""
    if not entry.folder.is_dir():
        reason = f"it lists {entry.name}, whose folder is gone: publish it again, or use another"
        raise RegistryError(str(entry.folder.parent / "registry.toml"), reason)
    return verify(entry.folder, sha256=entry.sha256)


def _roots() -> tuple[Path, ...]:
    """Folders of checkpoints, yours first; the first is the one whose registry is written."""
    own = os.environ.get(SETTING)
    ours = Path(__file__).parent / "checkpoints"
    return (Path(own), ours) if own else (ours,)


@dataclass(frozen=True, slots=True)
class _Registry:
    """A `registry.toml` as values. `current` and `previous` are names, "" for none."""

    root: Path
    current: str = ""
    previous: str = ""
    entries: tuple[Entry, ...] = ()

    @property
    def file(self) -> str:
        return str(self.root / "registry.toml")

    @classmethod
    def read(cls, root: Path) -> "_Registry":
        """The registry of a folder; an empty one where it has none."""
        path = root / "registry.toml"
        try:
            content = tomllib.loads(path.read_text("utf-8"))
            tables: Mapping[str, Any] = content.get("checkpoints", {})
            entries = tuple(
                Entry(name, root / table["folder"], table["sha256"], str(table["published"]))
                for name, table in tables.items()
            )
            return cls(root, str(content["current"]), str(content["previous"]), entries)
        except FileNotFoundError:
            return cls(root)
        except OSError as error:
            raise RegistryError(str(path), "it cannot be read") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RegistryError(str(path), "it is broken: mend it, or take the last one") from error

    def write(self) -> None:
        """Puts the file in place whole: who reads it meanwhile sees the old or the new one."""
        lines = [f'{_HEAD}current = "{self.current}"\nprevious = "{self.previous}"\n']
        for entry in sorted(self.entries, key=lambda one: one.name):
            lines.append(
                f'\n[checkpoints."{entry.name}"]\nfolder = "{entry.folder.name}"\n'
                f'sha256 = "{entry.sha256}"\npublished = {entry.published}\n'
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            write_whole(self.root / "registry.toml", "".join(lines))
        except OSError as error:
            reason = f"it cannot be written: name a folder of your own in {SETTING}"
            raise RegistryError(self.file, reason) from error
