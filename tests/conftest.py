"""What the tests of every room share: hand-made transcripts, the rules, and no network."""

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from detector.markers import MarkerRules
from detector.transcript import Cue, Role, Transcript

if TYPE_CHECKING:
    from detector import Detector

MakeTranscript = Callable[..., Transcript]

ROLES = {"T": Role.THERAPIST, "C": Role.CLIENT, "O": Role.OTHER}


def build(
    *lines: str,
    times: Sequence[tuple[float | None, float | None]] = (),
    every_s: float | None = None,
    **more: Any,
) -> Transcript:
    """A transcript of `T: …`, `C: …` lines, one cue each; other letters have no role.

    `times` gives a start and an end for each line; `every_s` gives only starts, that far apart.
    """
    if every_s is not None:
        times = [(every_s * place, None) for place in range(len(lines))]
    cues = []
    for place, line in enumerate(lines):
        who, text = line.split(": ", 1)
        start, end = times[place] if times else (None, None)
        role = ROLES.get(who, Role.UNKNOWN)
        cues.append(Cue(str(place + 1), who, text, start, end, role=role))
    return Transcript("test", tuple(cues), **more)


@pytest.fixture(scope="session")
def make_transcript() -> MakeTranscript:
    """Builds a transcript from `T: …` and `C: …` lines."""
    return build


@pytest.fixture(scope="session")
def rules() -> MarkerRules:
    """The codebook's patterns, compiled once."""
    return MarkerRules()


@pytest.fixture(scope="session")
def detector() -> "Detector":
    """The detector that ships, loaded once."""
    from detector import Detector

    return Detector.load()


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """No test reaches another machine: only loopback and local sockets connect."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if self.family != socket.AF_UNIX and host not in ("127.0.0.1", "::1", "localhost"):
            raise OSError("a test tried to reach the network")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield
