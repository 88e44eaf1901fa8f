"""What can go wrong with a whole corpus; a bad session is no error, it goes to the side list.

    DetectorError
    └── CorpusError               the corpus cannot be scored or counted as asked
        ├── NothingToRead         no file matches, or what is there is no corpus
        ├── NotReports            a Parquet file that `rupture corpus score` did not write
        ├── OutputInUse           another run writes to the same file
        ├── OutputFull            a part or the result could not be written
        ├── ClusterAbsent         no scheduler answers at that address, or it went away
        ├── WorkerFailed          a worker has another version, or cannot open the checkpoint
        └── NotConvokit           a folder that is no ConvoKit corpus, or a file in it is broken

Arguments are paths, counts and names of columns, never what somebody said.
"""

from detector.errors import DetectorError


class CorpusError(DetectorError):
    """Base of what a corpus's commands say in one line."""


class NothingToRead(CorpusError):
    """There is nothing to score."""

    def __init__(self, name: str = "") -> None:
        super().__init__(f"{name}: no file matches" if name else "no session in what was given")


class NotReports(CorpusError):
    """A file that is no table of reports, or that was not written whole."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class OutputInUse(CorpusError):
    """Two runs on one output would undo each other's work."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: another run writes to it; wait for its end, or name another")


class OutputFull(CorpusError):
    """The disk took no more. What was written before stays, and is not done again."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}; make room and run the same command: it goes on")


class ClusterAbsent(CorpusError):
    """The Dask scheduler is not there, or was lost."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address}: {reason}")


class WorkerFailed(CorpusError):
    """A worker can score no session at all. Takes one sentence, so that it can travel."""


class NotConvokit(CorpusError):
    """A folder that is no ConvoKit corpus as this version reads it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
