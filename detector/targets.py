"""Which files are read, and where each report goes."""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

STDIN = "-"


def expand(files: Iterable[str]) -> Iterator[str]:
    """Globs spelled out in order of name; a name that is no glob stays, found or not."""
    for name in files:
        if name != STDIN and not Path(name).exists() and glob.has_magic(name):
            yield from sorted(glob.glob(name, recursive=True))
        else:
            yield name


def targets_of(
    names: Sequence[str], out: Path | None, ending: str
) -> list[tuple[str, Path | None]]:
    """Each file with the path to write: DIR/a.json for a.vtt; None for standard output.

    Where two files would meet in one path, or a report in a file that is to be read, each keeps
    its own ending: DIR/a.vtt.json. Paths that differ only in case meet on some systems.
    """
    if out is None:
        return [(name, None) for name in names]
    stems = ["stdin" if name == STDIN else Path(name).stem for name in names]
    whole = ["stdin" if name == STDIN else Path(name).name for name in names]
    shared = Counter(stem.casefold() for stem in stems)
    taken = {_place(Path(name)) for name in names if name != STDIN}
    targets: list[tuple[str, Path | None]] = []
    for name, stem, full in zip(names, stems, whole, strict=True):
        tries = itertools.chain(
            [stem] if shared[stem.casefold()] == 1 else [],
            [full],
            (f"{full}-{number}" for number in itertools.count(2)),
        )
        paths = (out / f"{one}.{ending}" for one in tries)
        path = next(path for path in paths if _place(path) not in taken)
        taken.add(_place(path))
        targets.append((name, path))
    return targets


def _place(path: Path) -> str:
    """Where a path leads, the same for all names that some system takes for one."""
    return os.path.realpath(path).casefold()
