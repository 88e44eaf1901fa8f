import importlib
import subprocess
import sys
from pathlib import Path

import models

HEAVY = ("torch", "transformers", "onnxruntime", "onnx", "tokenizers", "openvino", "numpy", "typer")
NEVER = ("torch", "transformers", "safetensors", "onnx", "sklearn", "datasets")


def fresh(code: str, *arguments: str) -> str:
    """What this code prints in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.check_output(command, text=True).strip()


def test_importing_models_loads_nothing_heavy() -> None:
    code = f"import sys, models; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    assert fresh(code) == "[]"


def test_loading_a_checkpoint_opens_no_library_until_its_network_is_asked_for(
    tiny_checkpoint: Path,
) -> None:
    code = (
        "import sys, models; checkpoint = models.load_checkpoint(sys.argv[1]); "
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    assert fresh(code, str(tiny_checkpoint)) == "[]"


def test_running_a_network_needs_nothing_of_training(tiny_checkpoint: Path) -> None:
    code = (
        "import sys, models, numpy; network = models.load_checkpoint(sys.argv[1]).network; "
        "n = len(network.spec.features); "
        "network.predict(['you'], ['client'], numpy.zeros((1, n))); "
        f"print(sorted(set({NEVER!r}) & set(sys.modules)))"
    )
    assert fresh(code, str(tiny_checkpoint)) == "[]"


def test_all_of_models_is_sorted_and_there() -> None:
    assert list(models.__all__) == sorted(models.__all__)
    assert all(hasattr(models, name) for name in models.__all__)


def test_every_error_is_importable_from_the_room() -> None:
    errors = importlib.import_module("models.errors")
    kinds = {name for name, one in vars(errors).items() if isinstance(one, type)}
    assert kinds <= set(models.__all__)
    assert all(issubclass(getattr(errors, name), models.ModelError) for name in kinds)
