"""What can be wrong with a checkpoint.

    ModelError
    ├── UnknownCheckpoint        no checkpoint of this name, or no such folder
    ├── CorruptCheckpoint        a file is missing, or is not the one that was published
    ├── IncompatibleCheckpoint   labels, features, codebook or tokenizer differ from the code's
    ├── MissingBackend           a library that this way of running needs is not installed
    └── RegistryError            the list of checkpoints cannot be read, changed or turned back

A message names files, fields and what to do; never what somebody said.
"""


class ModelError(Exception):
    """A checkpoint cannot be used as it is."""


class UnknownCheckpoint(ModelError):
    """No checkpoint of this name, or None in use. Carries the name and those there are."""

    def __init__(self, name: str | None, known: tuple[str, ...] = ()) -> None:
        self.name, self.known = name, known
        there = ", ".join(known) if known else "none"
        what = "no checkpoint is in use" if name is None else f"no checkpoint {name!r}"
        super().__init__(f"{what}; there are: {there} (`rupture models list`)")


class CorruptCheckpoint(ModelError):
    """A file is missing, broken, or not the one that was published. Carries file and reason."""

    def __init__(self, file: str, reason: str) -> None:
        self.file, self.reason = file, reason
        super().__init__(f"{file}: {reason}; publish the checkpoint again, or use another")


class IncompatibleCheckpoint(ModelError):
    """A checkpoint made for something else. Carries the field, what it has and what is needed.

    `file` is the one that says so, where that is known.
    """

    def __init__(self, field: str, found: object, needed: object, *, file: str = "") -> None:
        self.field, self.found, self.needed = field, found, needed
        where = f"{file}: " if file else ""
        super().__init__(
            f"{where}the checkpoint's {field} is {found}, this code needs {needed}: "
            "train and publish one with this code, or use the code it was made with"
        )


class MissingBackend(ModelError):
    """A library is not installed. Carries its name and the extra that brings it, "" for none."""

    def __init__(self, library: str, extra: str) -> None:
        self.library, self.extra = library, extra
        what = f"'.[{extra}]'" if extra else "."
        super().__init__(f"{library} is not installed: pip install -e {what}")


class RegistryError(ModelError):
    """The registry cannot be read, changed or turned back. Carries file and reason."""

    def __init__(self, file: str, reason: str) -> None:
        self.file, self.reason = file, reason
        super().__init__(f"{file}: {reason}")
