"""Whether a checkpoint's folder is what was published: a sha256 of every file, and no pickle.

`files.json` lists the sha256 of every other file; its own sha256 stands for the whole folder.
Nothing is ever unpickled: unpickling can run whatever code the file's author liked.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.errors import CorruptCheckpoint, UnknownCheckpoint

NEEDED = ("spec.json", "tokenizer.json", "encoder.onnx", "session.onnx", "scoring.toml")
"""Files without which a checkpoint cannot score; the others are for people and for training."""

_PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def seal(folder: Path) -> str:
    """Writes `files.json`, the sha256 of every other file; returns the sha256 of it.

    Raises: CorruptCheckpoint: a file is missing, or one is a pickle.
    """
    names = sorted(path.name for path in _files(folder) if path.name != "files.json")
    for name in names:
        # The library writes safetensors for their owner alone: nobody else could check them.
        (folder / name).chmod(0o644)
    listed = {name: _sha256(folder / name) for name in names}
    write_whole(folder / "files.json", json.dumps(listed, indent=1) + "\n")
    return verify(folder)


def verify(folder: Path, *, sha256: str | None = None) -> str:
    """Holds a folder to its list of files, and the list to its sha256. Returns that.

    Args:
        folder: of a checkpoint.
        sha256: that `files.json` must have; None where nobody knows.

    Raises:
        UnknownCheckpoint: no such folder.
        CorruptCheckpoint: a file is missing, changed, of a pickle, or not in the list.
    """
    if not folder.is_dir():
        raise UnknownCheckpoint(str(folder))
    listed, found = _listed(folder)
    if sha256 not in (None, found):
        raise _broken(folder, "files.json", "it is not the one that was published")
    there = {path.name for path in _files(folder)} - {"files.json"}
    if missing := sorted({*NEEDED, *listed} - there):
        raise _broken(folder, missing[0], "it is missing")
    if unlisted := sorted(there - set(listed)):
        raise _broken(folder, unlisted[0], "files.json does not list it")
    for name, expected in listed.items():
        if _sha256(folder / name) != expected:
            raise _broken(folder, name, "its sha256 is not the one in files.json")
    return found


def _listed(folder: Path) -> tuple[dict[str, str], str]:
    """The list of files, and its sha256."""
    try:
        content = (folder / "files.json").read_bytes()
        listed: Any = json.loads(content)
    except OSError as error:
        raise _broken(folder, "files.json", "it is missing or cannot be read") from error
    except ValueError as error:
        raise _broken(folder, "files.json", "it is not JSON") from error
    if not isinstance(listed, dict) or not all(
        isinstance(value, str) and _SHA256.fullmatch(value) for value in listed.values()
    ):
        raise _broken(folder, "files.json", "it does not give a sha256 for each file")
    return listed, hashlib.sha256(content).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """The folder's files, none of them a pickle; hidden ones are the system's, not ours."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if not path.is_file():
            raise _broken(folder, path.name, "it is not a file")
        if not os.access(path, os.R_OK):
            raise _broken(folder, path.name, "you may not read it")
        if path.suffix.lower() in _PICKLES:
            raise _broken(folder, path.name, "pickled weights can run code and are refused")
        if path.suffix == ".safetensors" and not _is_safetensors(path):
            raise _broken(folder, path.name, "it is no safetensors file, whatever its name says")
        yield path


def _broken(folder: Path, name: str, reason: str) -> CorruptCheckpoint:
    """The error, with the checkpoint's folder: whoever took the one in use named none."""
    return CorruptCheckpoint(f"{folder.name}/{name}", reason)


def _is_safetensors(path: Path) -> bool:
    """Whether it begins with the length of a JSON header and that header; a pickle does not."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return 2 <= length <= path.stat().st_size - 8 and file.read(1) == b"{"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Writes a text file beside its place, then moves it there in one step.

    Raises: OSError: it cannot be written; what was there before is untouched.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:  # also when interrupted: no half file stays behind
        os.unlink(name)
        raise
