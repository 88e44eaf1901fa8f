"""What the house promises of its rooms: who imports whom, how dear an import is, how it reads."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import detector

ROOT = Path(__file__).parent.parent
ROOMS = ("detector", "models", "service", "training")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MOST_LINES = 400


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked() -> list[Path]:
    """Every file under version control; without git, every file of the rooms and the tests."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    else:
        tops = [ROOT / name for name in (*ROOMS, "tests", "docs", "examples")]
        paths = [path for top in tops for path in top.rglob("*")] + list(ROOT.glob("*.*"))
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


def fresh(code: str, **environment: str) -> str:
    """What this code prints in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout


# Beside this Python first: a venv that is not activated is not on the path.
LINT_IMPORTS = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which(
    "lint-imports"
)


@pytest.mark.skipif(LINT_IMPORTS is None, reason="NOT TESTED: no import-linter")
def test_the_rooms_keep_their_import_contracts() -> None:
    result = subprocess.run(
        [str(LINT_IMPORTS), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-2000:]


def test_all_of_the_detector_is_sorted_and_there() -> None:
    assert list(detector.__all__) == sorted(detector.__all__)
    for name in detector.__all__:
        assert getattr(detector, name).__name__ == name


def test_all_of_the_detector_is_complete() -> None:
    public = {
        name
        for name, value in vars(detector).items()
        if callable(value) and not name.startswith("_") and value.__module__.startswith("detector")
    }
    assert public
    assert public <= set(detector.__all__)


def test_every_error_is_importable_from_the_room() -> None:
    errors = importlib.import_module("detector.errors")
    kinds = {name for name, one in vars(errors).items() if isinstance(one, type)}
    kinds = {name for name in kinds if getattr(errors, name).__module__ == "detector.errors"}
    assert kinds <= set(detector.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        detector.Nonsense  # noqa: B018


HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "sklearn",
    "onnxruntime",
    "tokenizers",
    "spacy",
    "numpy",
    "typer",
    "rich",
    "jinja2",
)


def test_importing_the_detector_loads_nothing_heavy() -> None:
    code = f"import sys, detector; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    assert fresh(code).strip() == "[]"


def test_reading_a_transcript_loads_nothing_heavy() -> None:
    code = (
        "import sys; from detector import read_transcript; "
        "read_transcript(b'T: How are you today?\\nC: Fine, I guess.\\n'); "
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    assert fresh(code).strip() == "[]"


def test_scoring_works_where_torch_cannot_be_imported_and_never_asks_for_training(
    tmp_path: Path,
) -> None:
    for name in ("torch", "transformers", "sklearn", "datasets"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not in the base install')")
    code = (
        "import sys; from detector import Detector, read_transcript; "
        "t = read_transcript(b'T: How are you today?\\nC: Fine, I guess.\\n'); "
        "print(len(Detector.load().analyze(t).turns)); "
        "print([n for n in ('torch', 'transformers', 'sklearn', 'training') if n in sys.modules])"
    )
    paths = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    assert fresh(code, PYTHONPATH=paths).split("\n")[:2] == ["2", "[]"]


def test_a_command_of_the_detector_loads_no_other_room() -> None:
    code = (
        "import sys; sys.argv = ['rupture', 'formats']\n"
        "from detector.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([n for n in ('training', 'service', 'models', 'sklearn') if n in sys.modules])"
    )
    assert fresh(code).strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_no_file_is_longer_than_a_reader_bears(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES


def test_no_room_has_a_drawer_for_odds_and_ends() -> None:
    odd = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core"}
    assert [named(path) for path in MODULES if path.stem in odd] == []


def test_no_package_under_tests_hides_a_room() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def public_things(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes, and the public methods of public classes."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (
                    inner
                    for inner in node.body
                    if isinstance(inner, kinds) and not inner.name.startswith("_")
                )


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_every_public_name_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "the file says nothing of itself"
    silent = [node.name for node in public_things(tree) if not ast.get_docstring(node)]
    assert silent == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_every_argument_has_a_type(path: Path) -> None:
    untyped = [
        (node.name, argument.arg)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if argument.annotation is None and argument.arg not in ("self", "cls")
    ]
    assert untyped == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_nobody_catches_everything_without_saying_why(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    caught = [
        node.lineno
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
        and ":  # " not in lines[node.lineno - 1]
    ]
    assert caught == []


# Spelled in two parts, so that this file is not found by its own search.
REGISTRIES = ["py" + "pi.org", "python" + "hosted", "npm" + "js", "registry." + "yarnpkg"]
MACHINE = ["/" + folder + "/" for folder in ("work", "root", "mnt", "Users")]
FORBIDDEN = re.compile(
    "|".join(map(re.escape, REGISTRIES))
    + "|"
    + "|".join(rf"(?<![\w.~/-]){re.escape(folder)}" for folder in MACHINE)
)


def test_no_file_names_a_registry_or_a_folder_of_some_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{named(path)}:{number}"
            for number, line in enumerate(text.splitlines(), start=1)
            if FORBIDDEN.search(line)
        ]
    assert found == []


def test_what_a_test_needs_is_tracked_and_not_from_elsewhere() -> None:
    names = {named(path) for path in tracked()}
    assert "tests/test_architecture.py" in names
    assert {named(path) for path in MODULES} <= names
