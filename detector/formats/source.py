"""The bytes of one file, opened once, and the shape of what a reader makes of them."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from detector.errors import MalformedTranscript, TranscriptTooLarge
from detector.transcript import Cue, DroppedCue, Role

MAX_CUES = 200_000
"""Most cues accepted in one file, dropped ones too: a day of speech at two a second."""

MAX_UNZIPPED = 200 * 1024 * 1024
"""Most bytes an office file may unpack to, all members together (a guard against zip bombs)."""

MAX_JSON_VALUES = 5_000_000
"""Most commas and opening brackets in a JSON file. Each may become an object of 60 bytes or more,
so that 50 MB of empty lists would take gigabytes; 10 MB of word times hold below a million."""

MAX_SECONDS = 1e9
"""No time is accepted from here on (31 years): it is another unit, or damage."""

ROLE_WORDS = {
    "therapist": Role.THERAPIST,
    "psychotherapist": Role.THERAPIST,
    "counselor": Role.THERAPIST,
    "counsellor": Role.THERAPIST,
    "clinician": Role.THERAPIST,
    "client": Role.CLIENT,
    "patient": Role.CLIENT,
}
"""Words that label a role. Interviewer, agent, host or participant do not: who fills them in a
therapy session differs from place to place."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file, decoded as far as its kind allows.

    `text` is None where the bytes are not text. `document` is the parsed JSON, or None where
    the text is not JSON. `members` are the names inside a zip file. `complaint` says, without
    quoting, why nothing may recognise it. `notes` say how the text was decoded.
    """

    data: bytes = field(repr=False)
    filename: str | None
    text: str | None = field(repr=False)
    document: object = field(repr=False)
    members: frozenset[str]
    complaint: str
    notes: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """The text split at line ends (LF, CRLF, CR); no other character ends a line."""
        return (self.text or "").replace("\r\n", "\n").replace("\r", "\n").split("\n")


@dataclass(slots=True)
class Reading:
    """What a reader found. `n_found` is counted apart from the parsing: it is the check.

    `n_understood` counts cues of the file that gave speech; a cue with two voices counts once
    and gives two `cues`. `speech_ends` is False where cue ends are not the speaker's.
    """

    n_found: int = 0
    n_understood: int = 0
    cues: list[Cue] = field(default_factory=list)
    dropped: list[DroppedCue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    speech_ends: bool = True
    early: list[str] = field(default_factory=list)
    backward: list[str] = field(default_factory=list)

    def add(self, cue: Cue) -> None:
        """Takes one cue of the file as understood. Raises: TranscriptTooLarge."""
        self._check_size()
        self.n_understood += 1
        self.cues.append(cue)

    def drop(self, where: str, reason: str) -> None:
        """Leaves one cue of the file out, for a reason that quotes nothing from it.

        Raises: TranscriptTooLarge.
        """
        self._check_size()
        self.dropped.append(DroppedCue(where, reason))

    def _check_size(self) -> None:
        """Stops while reading: millions of empty cues must not be gone through to be refused."""
        if len(self.cues) + len(self.dropped) >= MAX_CUES:
            raise TranscriptTooLarge(MAX_CUES + 1, MAX_CUES, "cues")

    def span(
        self, start: float | None, end: float | None, where: object
    ) -> tuple[float | None, float | None]:
        """A start and end in seconds that a `Cue` accepts; what had to be mended is noted.

        A negative start becomes 0 (Teams writes them when transcription began late). An end
        before its start, or without one, is left out: no time is better than a wrong one.
        """
        if start is not None and start < 0:
            self.early.append(str(where))
            start, end = 0.0, None if end is None else max(end, 0.0)
        if end is not None and (start is None or end < start):
            self.backward.append(str(where))
            end = None
        return start, end

    @property
    def mended(self) -> list[str]:
        """Notes on the times that `span` had to mend."""
        notes = []
        if self.early:
            notes.append(f"{len(self.early)} starts below 0 set to 0 (first: {self.early[0]}).")
        if self.backward:
            notes.append(
                f"{len(self.backward)} ends before their start left out "
                f"(first: {self.backward[0]})."
            )
        return notes


@dataclass(frozen=True, slots=True)
class Reader:
    """One format. `example` shows its shape in one line, for `rupture formats`."""

    name: str
    title: str
    recognises: Callable[[Source], bool]
    read: Callable[[Source], Reading]
    example: str = ""


def open_source(data: bytes, *, filename: str | None = None) -> Source:
    """Decodes text, parses JSON and lists zip members; decides nothing about the format."""
    members, complaint = _zip_members(data)
    text, notes = (None, ()) if members else _decode(data)
    document, json_complaint = parse_json(text) if text is not None else (None, "")
    if not complaint:
        complaint = json_complaint or ("" if text is not None or members else "binary content")
    if not data.strip():
        complaint = "the file is empty"
    if any(name.startswith("word/document") for name in members):
        complaint = (
            "a Word document that is not laid out as a Teams or Meet transcript; "
            "save a typed transcript as plain text"
        )
    return Source(data, filename, text, document, members, complaint, notes)


def _zip_members(data: bytes) -> tuple[frozenset[str], str]:
    if not data.startswith(b"PK\x03\x04"):
        return frozenset(), ""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(info.file_size for info in archive.infolist())
            names = frozenset(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return frozenset(), "a damaged zip or office file"
    if size > MAX_UNZIPPED:
        return frozenset(), f"a zip file that unpacks to more than {MAX_UNZIPPED:,} bytes"
    return names, ""


def _decode(data: bytes) -> tuple[str | None, tuple[str, ...]]:
    """Text of the bytes, or None where they are not text."""
    for bom, encoding in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
    ):
        if data.startswith(bom):
            try:
                text = data[len(bom) :].decode(encoding)
            except UnicodeDecodeError:
                return None, ()
            named = encoding.upper()
            return text, () if encoding == "utf-8" else (
                f"Decoded as {named} by its byte order mark.",
            )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if _is_binary(data):
            return None, ()
        if error.reason == "unexpected end of data" and not data[: error.start].isascii():
            return data[: error.start].decode("utf-8"), (
                "The file breaks off inside its last character.",
            )
        return data.decode("cp1252", errors="replace"), (
            "The bytes are not UTF-8; read as Windows-1252. Check accented letters.",
        )
    return (None, ()) if _is_binary(data) else (text, ())


def _is_binary(data: bytes) -> bool:
    """Control bytes other than white space and CHAT's bullet (0x15) do not stand in text."""
    allowed = {0x09, 0x0A, 0x0C, 0x0D, 0x15, 0x1B}
    head = data[:65536]
    odd = sum(byte < 0x20 and byte not in allowed for byte in head)
    return b"\x00" in head or odd > len(head) // 100


def parse_json(text: str) -> tuple[object, str]:
    """The JSON object or list that the text is, and else None with a complaint; never raises."""
    if not text.lstrip().startswith(("{", "[")):
        return None, ""
    if sum(text.count(mark) for mark in ",[{") > MAX_JSON_VALUES:
        return None, f"JSON with more than {MAX_JSON_VALUES:,} values"
    try:
        return _without_lone_surrogates(json.loads(text), text), ""
    except json.JSONDecodeError as error:
        return None, f"JSON that breaks off or is malformed at line {error.lineno}"
    except RecursionError:
        return None, "JSON nested too deeply"
    except ValueError:
        # Python refuses to read an integer of more than 4,300 digits.
        return None, "JSON with a number that is too long"


def _without_lone_surrogates(document: object, text: str) -> object:
    """The document with half an emoji (one escaped surrogate alone) replaced by U+FFFD.

    JSON may escape one, but no UTF-8 report could ever be written from it.
    """
    if "\\ud" not in text.lower():
        return document
    whole = json.dumps(document, ensure_ascii=False).encode("utf-16", "surrogatepass")
    return cast(object, json.loads(whole.decode("utf-16", "replace")))


def number(value: object, element: object, *, per_second: float = 1.0) -> float:
    """A finite time in seconds from JSON's number or numeric string.

    Args:
        value: as the file has it.
        element: its path, or whatever prints as it; printed only in an error.
        per_second: how many of the file's units make a second, 1,000 for milliseconds.

    Raises: MalformedTranscript naming the element, never the value.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise MalformedTranscript("a number is expected", element=str(element))
    result = _float(value)
    if result is None:
        # Raised here, where no error of Python's, which quotes the value, is its context.
        raise MalformedTranscript("a number is expected", element=str(element))
    result /= per_second
    if not abs(result) < MAX_SECONDS:
        raise MalformedTranscript("a time must be a finite number of seconds", element=str(element))
    return result


def _float(value: float | str) -> float | None:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def labelled_role(label: str | None) -> Role:
    """The role that a speaker's label is, such as `Therapist` or `patient_2`, else UNKNOWN.

    The label must be nothing else: `patient's mother` is not the patient.
    """
    match = re.fullmatch(r"([a-z]+)[ _#-]{0,2}[0-9a-z]?", (label or "").casefold())
    return ROLE_WORDS.get(match[1], Role.UNKNOWN) if match else Role.UNKNOWN
