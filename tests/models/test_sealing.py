import hashlib
import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from models.errors import CorruptCheckpoint, UnknownCheckpoint
from models.registry import load_checkpoint
from models.sealing import NEEDED, seal, verify, write_whole


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint, to be changed."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


@pytest.mark.parametrize("file", [*NEEDED, "model.safetensors", "config.json", "evaluation.json"])
def test_a_missing_file_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    with pytest.raises(CorruptCheckpoint, match=f"{file}: it is missing"):
        load_checkpoint(str(copy))


@pytest.mark.parametrize("file", [*NEEDED, "model.safetensors", "config.json", "evaluation.json"])
def test_a_file_with_one_byte_changed_is_named(copy: Path, file: str) -> None:
    content = bytearray((copy / file).read_bytes())
    content[-1] ^= 1
    (copy / file).write_bytes(content)
    with pytest.raises(CorruptCheckpoint, match=f"{file}: its sha256 is not"):
        load_checkpoint(str(copy))


@pytest.mark.parametrize("file", NEEDED)
def test_a_folder_without_a_file_it_needs_is_not_sealed(copy: Path, file: str) -> None:
    (copy / file).unlink()
    with pytest.raises(CorruptCheckpoint, match=f"{file}: it is missing"):
        seal(copy)


def test_a_file_that_nobody_listed_is_named(copy: Path) -> None:
    (copy / "more.json").write_text("{}")
    with pytest.raises(CorruptCheckpoint, match=r"more\.json: files\.json does not list it"):
        load_checkpoint(str(copy))


def test_a_folder_in_a_checkpoint_is_refused(copy: Path) -> None:
    (copy / "more").mkdir()
    with pytest.raises(CorruptCheckpoint, match="more: it is not a file"):
        load_checkpoint(str(copy))


def test_a_hidden_file_of_the_system_does_not_matter(copy: Path) -> None:
    (copy / ".DS_Store").write_text("")
    assert load_checkpoint(str(copy)).name == "copy"


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "model.PTH", "state.pkl", "a.ckpt", "b.joblib"]
)
def test_pickled_weights_are_refused_also_when_they_are_listed(copy: Path, name: str) -> None:
    (copy / name).write_bytes(pickle.dumps({"weight": 1}))
    listed = json.loads((copy / "files.json").read_text("utf-8"))
    listed[name] = hashlib.sha256((copy / name).read_bytes()).hexdigest()
    (copy / "files.json").write_text(json.dumps(listed))
    with pytest.raises(CorruptCheckpoint, match=f"{name}: pickled weights"):
        load_checkpoint(str(copy))


def zipped() -> bytes:
    """What `torch.save` makes: a zip with a pickle in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": 1}))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [pickle.dumps({"weight": [1.0] * 99}), zipped(), b"", b"\x02\0\0\0\0\0\0\0", b"\xff" * 99],
    ids=["pickle", "zip", "empty", "cut", "noise"],
)
def test_a_pickle_named_safetensors_is_refused(copy: Path, content: bytes) -> None:
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(CorruptCheckpoint, match=r"model\.safetensors: it is no safetensors"):
        seal(copy)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it is not JSON"),
        ("[]", "a sha256 for each file"),
        ('{"spec.json": 3}', "a sha256 for each file"),
        ('{"spec.json": "abc"}', "a sha256 for each file"),
    ],
)
def test_a_broken_list_of_files_is_said(copy: Path, content: str, reason: str) -> None:
    (copy / "files.json").write_text(content)
    with pytest.raises(CorruptCheckpoint, match=rf"files\.json.*{reason}"):
        load_checkpoint(str(copy))


def test_a_folder_without_a_list_of_files_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CorruptCheckpoint, match=r"files\.json: it is missing"):
        load_checkpoint(str(tmp_path))


def test_a_list_that_names_a_file_elsewhere_is_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "else.json").write_text("{}")
    listed = json.loads((copy / "files.json").read_text("utf-8"))
    listed["../else.json"] = hashlib.sha256(b"{}").hexdigest()
    (copy / "files.json").write_text(json.dumps(listed))
    with pytest.raises(CorruptCheckpoint, match=r"else\.json: it is missing"):
        load_checkpoint(str(copy))


def test_sealing_twice_gives_the_same(make_checkpoint: Callable[..., Path]) -> None:
    folder = make_checkpoint("twice")
    assert seal(folder) == seal(folder) == verify(folder)


def test_a_sha256_stands_for_the_whole_folder(copy: Path) -> None:
    before = verify(copy)
    assert verify(copy, sha256=before) == before
    (copy / "evaluation.json").write_text('{"new": 1}')
    assert seal(copy) != before
    with pytest.raises(CorruptCheckpoint, match=r"files\.json: it is not the one"):
        verify(copy, sha256=before)


def test_no_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UnknownCheckpoint):
        verify(tmp_path / "nothing")


def test_a_file_is_written_whole_and_can_be_read_by_others(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    write_whole(tmp_path / "file", "grün\n")
    assert (tmp_path / "file").read_bytes() == "grün\n".encode()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert len(list(tmp_path.iterdir())) == 1


def test_a_sealed_file_can_be_read_by_others(copy: Path) -> None:
    (copy / "model.safetensors").chmod(0o600)
    seal(copy)
    assert {path.stat().st_mode & 0o777 for path in copy.iterdir()} == {0o644}


def test_a_file_that_may_not_be_read_is_named_with_its_folder(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "encoder.onnx")
    with pytest.raises(CorruptCheckpoint, match=r"copy/encoder\.onnx: you may not read it"):
        load_checkpoint(str(copy))
