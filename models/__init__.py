"""The network: encoder, session network, checkpoints and their registry.

Light to import: torch is in models.network alone, and the libraries that run a checkpoint are
loaded when one is opened.
"""

from models.errors import (
    CorruptCheckpoint,
    IncompatibleCheckpoint,
    MissingBackend,
    ModelError,
    RegistryError,
    UnknownCheckpoint,
)
from models.registry import Checkpoint, Entry, list_checkpoints, load_checkpoint
from models.spec import ModelSpec, read_spec

__all__ = [
    "Checkpoint",
    "CorruptCheckpoint",
    "Entry",
    "IncompatibleCheckpoint",
    "MissingBackend",
    "ModelError",
    "ModelSpec",
    "RegistryError",
    "UnknownCheckpoint",
    "list_checkpoints",
    "load_checkpoint",
    "read_spec",
]
