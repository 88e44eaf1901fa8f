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


DIALOGUE = (
    "T: How have you been feeling about the work we do here?",
    "C: Fine, I guess.",
    "T: Tell me more about what fine means for you.",
    "C: I don't know. I don't think this is helping me, to be honest.",
    "T: You should have told me that weeks ago, and you need to do the exercises.",
    "C: You're not listening to me. You never listen.",
    "T: I'm glad you said that. I think I pushed you too hard, and I am sorry about it.",
    "C: Okay. I felt hurt when you said it, and it is a relief to tell you.",
    "T: What would be more useful to you in the time that we have left today?",
    "C: I would like to talk about my sister, because that is what keeps me awake at night.",
    "T: So we work on the sleep first, and the aim is that you get through the week.",
    "C: Yes, that is what I want, and I can try to write down when I wake up.",
)
"""An invented session of twelve turns, with a strain of both kinds and a repair."""


@pytest.fixture(scope="session")
def dialogue() -> tuple[str, ...]:
    """Lines of an invented session with strain and repair."""
    return DIALOGUE


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
