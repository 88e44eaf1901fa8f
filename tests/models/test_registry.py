import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from models import registry
from models.errors import (
    CorruptCheckpoint,
    IncompatibleCheckpoint,
    RegistryError,
    UnknownCheckpoint,
)
from models.registry import SETTING, list_checkpoints, load_checkpoint
from models.sealing import seal, verify
from models.spec import read_spec

TODAY = date(2026, 11, 25)


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint, to be changed."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


@pytest.fixture
def root(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of checkpoints of our own, with "one" and "two" listed and none in use."""
    root = tmp_path / "checkpoints"
    monkeypatch.setenv(SETTING, str(root))
    # What the package ships is listed too; here it ships nothing.
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "package" / "registry.py"))
    for name in ("one", "two"):
        shutil.copytree(tiny_checkpoint, root / name)
        registry.register(name, published=TODAY)
    return root


def names() -> list[str]:
    return [entry.name for entry in list_checkpoints()]


def test_a_folder_is_loaded_with_its_spec_scoring_and_sha256(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    listed = (tiny_checkpoint / "files.json").read_bytes()
    assert checkpoint.name == tiny_checkpoint.name
    assert checkpoint.sha256 == hashlib.sha256(listed).hexdigest()
    assert checkpoint.spec.labels[0] == "withdrawal"
    assert checkpoint.scoring == (tiny_checkpoint / "scoring.toml").read_bytes()


def test_a_name_is_loaded_from_its_registry(root: Path) -> None:
    assert load_checkpoint("two").folder == root / "two"


def test_the_network_is_opened_once_and_only_when_asked_for(copy: Path) -> None:
    (copy / "encoder.onnx").write_bytes(b"no graph")
    seal(copy)
    checkpoint = load_checkpoint(str(copy))
    with pytest.raises(CorruptCheckpoint, match=r"encoder\.onnx"):
        _ = checkpoint.network


def test_the_network_of_a_checkpoint_is_kept(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(str(tiny_checkpoint), backend="cpu", threads=1)
    assert checkpoint.network is checkpoint.network
    assert checkpoint.network.spec == checkpoint.spec


def test_no_checkpoint_in_use_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_roots", lambda: (tmp_path,))
    assert registry.current_name() is None
    with pytest.raises(UnknownCheckpoint, match="no checkpoint is in use; there are: none"):
        load_checkpoint()


def test_an_unknown_name_is_refused_with_those_there_are(root: Path) -> None:
    with pytest.raises(UnknownCheckpoint, match=r"no checkpoint 'three'.*one, two"):
        load_checkpoint("three")


@pytest.mark.usefixtures("root")
def test_the_checkpoint_in_use_is_loaded_without_a_name() -> None:
    registry.use("one")
    assert load_checkpoint().name == "one"
    registry.use("two")
    assert load_checkpoint().name == registry.current_name() == "two"


@pytest.mark.usefixtures("root")
def test_a_rollback_takes_the_one_before_and_the_next_comes_back() -> None:
    registry.use("one")
    registry.use("two")
    assert registry.rollback() == "one"
    assert registry.current_name() == "one"
    assert registry.rollback() == "two"
    assert registry.current_name() == "two"


@pytest.mark.usefixtures("root")
def test_using_the_same_again_forgets_not_what_was_before() -> None:
    registry.use("one")
    registry.use("two")
    registry.use("two")
    assert registry.rollback() == "one"


def test_without_one_before_there_is_no_rollback(root: Path) -> None:
    with pytest.raises(RegistryError, match="before this one"):
        registry.rollback()
    assert registry.current_name() is None


def test_a_broken_checkpoint_is_not_taken_into_use(root: Path) -> None:
    registry.use("one")
    before = (root / "registry.toml").read_bytes()
    (root / "two" / "scoring.toml").write_text("changed")
    with pytest.raises(CorruptCheckpoint, match=r"scoring\.toml: its sha256"):
        registry.use("two")
    assert (root / "registry.toml").read_bytes() == before


def test_a_checkpoint_that_was_sealed_again_is_not_the_one_that_was_listed(root: Path) -> None:
    (root / "two" / "scoring.toml").write_text("changed")
    seal(root / "two")
    with pytest.raises(CorruptCheckpoint, match=r"files\.json: it is not the one"):
        load_checkpoint("two")


def test_an_unknown_checkpoint_is_not_taken_into_use(root: Path) -> None:
    with pytest.raises(UnknownCheckpoint, match="one, two"):
        registry.use("three")


def test_a_registry_comes_back_as_it_was_written(root: Path) -> None:
    registry.use("one")
    entries = list_checkpoints()
    assert [entry.published for entry in entries] == ["2026-11-25"] * 2
    assert [entry.is_current for entry in entries] == [True, False]
    assert [entry.sha256 for entry in entries] == [verify(root / "one"), verify(root / "two")]


def test_nothing_half_written_stays_beside_a_registry(root: Path) -> None:
    registry.use("one")
    assert sorted(path.name for path in root.iterdir()) == ["one", "registry.toml", "two"]


def test_a_registry_that_cannot_be_replaced_is_left_whole(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (root / "registry.toml").read_bytes()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "not yours")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(RegistryError, match=f"cannot be written: name a folder.*{SETTING}"):
        registry.use("one")
    monkeypatch.undo()
    assert (root / "registry.toml").read_bytes() == before
    assert not [path for path in root.iterdir() if path.name.startswith(".")]


def test_a_registered_checkpoint_takes_the_place_of_its_namesake(root: Path) -> None:
    (root / "one" / "evaluation.json").write_text('{"new": 1}')
    sha256 = seal(root / "one")
    registry.register("one", published=date(2027, 1, 1))
    first = list_checkpoints()[0]
    assert (first.name, first.sha256, first.published) == ("one", sha256, "2027-01-01")
    assert names() == ["one", "two"]


@pytest.mark.parametrize("name", ["", "../one", "a/b", 'a"b', ".one", "a b", "a\nb"])
def test_a_name_that_could_leave_the_folder_is_refused(root: Path, name: str) -> None:
    with pytest.raises(RegistryError, match="is no name"):
        registry.register(name, published=TODAY)


def test_what_is_no_checkpoint_is_not_registered(root: Path) -> None:
    with pytest.raises(UnknownCheckpoint):
        registry.register("three", published=TODAY)
    assert names() == ["one", "two"]


def test_your_own_folder_comes_before_the_one_that_is_installed(
    tiny_checkpoint: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "installed"
    for name in ("one", "three"):
        shutil.copytree(tiny_checkpoint, installed / name)
        registry.register(name, published=TODAY, root=installed)
    monkeypatch.setattr(registry, "_roots", lambda: (root, installed))
    assert names() == ["one", "three", "two"]
    assert load_checkpoint("one").folder == root / "one"
    registry.use("three")
    assert load_checkpoint().folder == installed / "three"
    assert 'current = ""' in (installed / "registry.toml").read_text("utf-8")


def test_the_installed_one_stays_in_use_until_yours_says_otherwise(
    tiny_checkpoint: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "installed"
    shutil.copytree(tiny_checkpoint, installed / "three")
    registry.register("three", published=TODAY, root=installed)
    text = (installed / "registry.toml").read_text("utf-8")
    (installed / "registry.toml").write_text(text.replace('current = ""', 'current = "three"'))
    monkeypatch.setattr(registry, "_roots", lambda: (root, installed))
    assert registry.current_name() == "three"
    registry.use("one")
    assert registry.rollback() == "three"


def test_a_folder_of_your_own_may_not_be_there_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = names()
    monkeypatch.setenv(SETTING, str(tmp_path / "later"))
    assert names() == installed


@pytest.mark.parametrize(
    "content",
    [
        "current = ",
        'current = "one"',
        'current = ""\nprevious = ""\ncheckpoints = 3',
        'current = ""\nprevious = ""\n[checkpoints.one]\nfolder = "one"',
        'current = ""\nprevious = ""\n[checkpoints.one]\nfolder=1\nsha256=""\npublished=2026-11-25',
    ],
)
def test_a_broken_registry_is_named(root: Path, content: str) -> None:
    (root / "registry.toml").write_text(content)
    with pytest.raises(RegistryError, match=r"registry\.toml: it is broken"):
        list_checkpoints()


def test_a_registry_that_is_no_text_is_named(root: Path) -> None:
    (root / "registry.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RegistryError, match="it is broken"):
        list_checkpoints()


def test_the_registry_that_ships_can_be_read_and_what_it_lists_is_whole() -> None:
    shipped = registry._Registry.read(Path(registry.__file__).parent / "checkpoints")
    for entry in shipped.entries:
        assert verify(entry.folder, sha256=entry.sha256) == entry.sha256
    assert shipped.current in {"", *(entry.name for entry in shipped.entries)}


def test_a_spec_that_is_not_json_is_named_though_its_hash_is_right(copy: Path) -> None:
    (copy / "spec.json").write_text("{")
    seal(copy)
    with pytest.raises(CorruptCheckpoint, match=r"spec\.json: it is not JSON"):
        load_checkpoint(str(copy))


@pytest.mark.parametrize(
    ("field", "value"), [("codebook", "0.9"), ("labels", ("joy",)), ("markers", ("smiles",))]
)
def test_a_checkpoint_of_another_codebook_is_told_by_its_spec(
    copy: Path, field: str, value: object
) -> None:
    ours = read_spec((copy / "spec.json").read_text("utf-8"))
    (copy / "spec.json").write_text(replace(ours, **{field: value}).to_json(), "utf-8")
    seal(copy)
    with pytest.raises(IncompatibleCheckpoint, match=field):
        load_checkpoint(str(copy)).spec.check(**{field: getattr(ours, field)})


def test_a_listed_checkpoint_whose_folder_is_gone_is_said(root: Path) -> None:
    registry.use("one")
    shutil.rmtree(root / "one")
    for load in (load_checkpoint, lambda: load_checkpoint("one"), lambda: registry.use("one")):
        with pytest.raises(RegistryError, match=r"registry\.toml: it lists one, whose folder is"):
            load()
