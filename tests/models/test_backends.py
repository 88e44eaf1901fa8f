import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.backends import open_graph
from models.errors import CorruptCheckpoint, MissingBackend
from models.runtime import open_network

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="NOT TESTED: no openvino"
)


def test_a_graph_takes_and_gives_arrays_by_name(tiny_checkpoint: Path) -> None:
    ones = np.ones((2, 3), dtype=np.int64)
    run = open_graph(tiny_checkpoint / "encoder.onnx", threads=1)
    found = run({"ids": ones, "mask": ones, "own": ones})
    assert found["vectors"].shape == (2, 64)
    assert found["vectors"].dtype == np.float32


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorruptCheckpoint, match=r"encoder\.onnx: it is missing"):
        open_graph(tmp_path / "encoder.onnx")


def test_an_unknown_backend_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="cpu, cuda, openvino"):
        open_graph(tiny_checkpoint / "encoder.onnx", backend="abacus")


def test_what_is_wrong_with_a_graph_is_raised_and_not_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"no graph")
    with pytest.raises(CorruptCheckpoint, match="no graph that can be run"):
        open_graph(tmp_path / "encoder.onnx")
    assert capfd.readouterr() == ("", "")


@needs_openvino
def test_openvino_reports_to_nobody(tiny_checkpoint: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from models.runtime import open_network; "
        "open_network(Path(sys.argv[1]), backend='openvino'); "
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])"
    )
    command = [sys.executable, "-c", code, str(tiny_checkpoint)]
    assert subprocess.check_output(command, text=True).strip() == "[]"


@pytest.mark.parametrize(("library", "backend"), [("onnxruntime", "cpu"), ("openvino", "openvino")])
def test_a_backend_whose_library_is_missing_says_what_to_install(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, library: str, backend: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingBackend, match=f"{library} is not installed: pip install"):
        open_network(tiny_checkpoint, backend=backend)


def test_cuda_without_its_provider_says_what_to_install(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MissingBackend, match=r"onnxruntime-gpu is not installed.*\[cuda\]"):
        open_network(tiny_checkpoint, backend="cuda")
