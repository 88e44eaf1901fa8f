"""Opening one ONNX graph with one of the libraries that can run it.

The libraries are imported when a graph is opened: scoring by rules alone needs none of them.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import CorruptCheckpoint, MissingBackend

BACKENDS = ("cpu", "cuda", "openvino")
"""ONNX Runtime on the processor; the same on a GPU of Nvidia's; OpenVINO on the processor."""

Arrays = Mapping[str, npt.NDArray[Any]]
Graph = Callable[[Arrays], dict[str, npt.NDArray[np.float32]]]
"""Named inputs to named outputs."""


def open_graph(path: Path, *, backend: str = "cpu", threads: int | None = None) -> Graph:
    """A graph, ready to run.

    Args:
        path: of the `.onnx` file.
        backend: one of BACKENDS.
        threads: that one run may use; None leaves it to the library (all cores).

    Raises:
        ValueError: no such backend.
        MissingBackend: its library, or its device, is not there.
        CorruptCheckpoint: the file is missing or is no graph.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is one of {', '.join(BACKENDS)}")
    if not path.is_file():
        raise CorruptCheckpoint(path.name, "it is missing or cannot be read")
    return (_openvino if backend == "openvino" else _onnxruntime)(path, backend, threads)


def _onnxruntime(path: Path, backend: str, threads: int | None) -> Graph:
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as raised
    except ImportError as error:
        raise MissingBackend("onnxruntime", "cuda" if backend == "cuda" else "") from error
    providers: list[Any] = ["CPUExecutionProvider"]
    if backend == "cuda":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise MissingBackend("onnxruntime-gpu", "cuda")
        # TF32 would round the GPU's fp32 to ten bits, beyond our tolerance.
        providers.insert(0, ("CUDAExecutionProvider", {"use_tf32": 0}))
    onnxruntime.disable_telemetry_events()  # its builds for Windows would report to their makers
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised; the log would say it twice
    options.use_deterministic_compute = True
    # Batches differ in shape: a plan of the memory for each would only pile up.
    options.enable_mem_pattern = False
    broken = (
        raised.Fail,
        raised.InvalidArgument,
        raised.InvalidGraph,
        raised.InvalidProtobuf,
        raised.NotImplemented,
        raised.RuntimeException,
    )
    try:
        opened = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except broken as error:
        raise CorruptCheckpoint(path.name, "it is no graph that can be run") from error
    names = [output.name for output in opened.get_outputs()]
    return lambda given: dict(zip(names, opened.run(names, dict(given)), strict=True))


def _silent_openvino() -> Any:
    """The library, without its telemetry: importing it would report that to its makers.

    Where the package that reports cannot be imported, the library goes on with a stub.
    """
    reporter = "openvino_telemetry"
    known = sys.modules.get(reporter)
    sys.modules[reporter] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise MissingBackend("openvino", "openvino") from error
    finally:
        del sys.modules[reporter]
        if known is not None:
            sys.modules[reporter] = known
    return openvino


def _openvino(path: Path, backend: str, threads: int | None) -> Graph:
    openvino = _silent_openvino()
    # By itself it takes bf16 where the processor has it, beyond our tolerance.
    hints: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        hints["INFERENCE_NUM_THREADS"] = threads
    try:
        compiled = openvino.Core().compile_model(str(path), "CPU", hints)
    except RuntimeError as error:
        raise CorruptCheckpoint(path.name, "it is no graph that can be run") from error
    names = [output.get_any_name() for output in compiled.outputs]

    def run(given: Arrays) -> dict[str, npt.NDArray[np.float32]]:
        found = compiled(dict(given))
        return {name: np.array(found[name], dtype=np.float32) for name in names}

    return run
