"""WebVTT, and who writes it: Zoom, Teams, Daily and everybody else.

All are read alike. `<v Name>` opens a voice, and one cue may hold several; where a file has no
voices at all, a recurring `Name:` at the start of a cue is its speaker, and a cue without one
goes on with the last (Zoom leaves the name out of continuations).

Sources: W3C WebVTT; research/product.md §2.1 for what the platforms really write.
"""

import html
import re
from collections.abc import Iterable, Sequence

from detector.errors import MalformedTranscript
from detector.formats.captions import Voice, add_captions, scan
from detector.formats.clock import ARROW
from detector.formats.source import Reader, Reading, Source, parse_json
from detector.formats.speakers import find_labels, split_by_prefix

NO_HEADER = "The WEBVTT line at the top is missing; read as WebVTT by its voices."

_SIGNATURE = re.compile(r"\s*WEBVTT(?=[ \t\n\r]|$)")
_TAG = re.compile(r"<([^<>]*)>")
_IS_TAG = re.compile(r"/|[A-Za-z]|[0-9:.]+$|$", re.ASCII)
_VOICE = re.compile(r"[vV](?![A-Za-z0-9])(?:\.[^\s]*)?", re.ASCII)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_HEAD = 20_000
"""Characters that are looked at to tell who wrote a WebVTT file."""

_HAS_VOICE = re.compile(r"<[vV][\s.>]")
_DAILY = re.compile(r"<v>[^<>\n]{1,80}:</v>")
_TEAMS_ID = re.compile(r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:/[0-9-]+)?\s*$", re.M)
_TEAMS_TIMES = re.compile(r"^-?[0-9]:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?[ \t]*-->", re.M)
_ZOOM_CUE = re.compile(r"^1\s*\n[^\n]*-->[^\n]*\n", re.M)


def read(source: Source) -> Reading:
    """Reads every cue, one or several voices from each."""
    lines = _without_signature(source)
    reading = Reading(n_found=sum(ARROW in line for line in lines))
    captions = list(scan(lines, _opens_comment))
    has_voices = any(_HAS_VOICE.search(line) for caption in captions for line in caption.lines)
    if has_voices:
        voices = [split_voices("\n".join(caption.lines)) for caption in captions]
    else:
        voices = split_names([[plain_text(line) for line in cue.lines] for cue in captions])
    add_captions(reading, captions, voices, inherit=not has_voices)
    if not _SIGNATURE.match(source.text or ""):
        reading.notes.append(NO_HEADER)
    return reading


def read_metadata(source: Source) -> Reading:
    """Reads Teams `metadataContent`: WebVTT whose cue text is a JSON object.

    The cue's own times are taken. `startDateTime` and `endDateTime` are not: they count from
    another zero, and an end before its start was seen among them.
    """
    lines = _without_signature(source)
    reading = Reading(n_found=sum(ARROW in line for line in lines))
    captions = list(scan(lines, _opens_comment))
    voices = [
        [] if caption.is_comment else _read_metadata_cue("\n".join(caption.lines), caption.line)
        for caption in captions
    ]
    add_captions(reading, captions, voices, inherit=False)
    return reading


def _read_metadata_cue(payload: str, line: int) -> list[Voice]:
    if not payload:
        return []
    document, _ = parse_json(payload)
    if not isinstance(document, dict):
        raise MalformedTranscript("a cue whose text is not a JSON object", line=line)
    text, speaker = document.get("spokenText", ""), document.get("speakerName")
    if not isinstance(text, str) or not isinstance(speaker, str | None):
        raise MalformedTranscript("spokenText and speakerName must be texts", line=line)
    return [((speaker or "").strip() or None, " ".join(text.split()))]


def split_voices(payload: str) -> list[Voice]:
    """What each voice of a cue said, without tags and entities, in order.

    Text outside a voice has the speaker None. Daily closes the voice right after the name,
    `<v>Name:</v> text`; there the name is what the voice holds.
    """
    voices: list[tuple[str | None, list[str]]] = [(None, [])]
    in_nameless = False
    pieces = _TAG.split(payload)
    for place, piece in enumerate(pieces):
        if place % 2 == 0:
            voices[-1][1].append(piece)
            continue
        opened = _VOICE.match(piece)
        if opened:
            name = _unescape(piece[opened.end() :]).removesuffix(":") or None
            in_nameless = name is None
            voices.append((name, []))
        elif piece in ("/v", "/V"):
            inner = _unescape("".join(voices[-1][1]))
            if in_nameless and inner.endswith(":"):
                voices[-1] = (inner[:-1].strip() or None, [])
            else:
                voices.append((None, []))
            in_nameless = False
        elif not _IS_TAG.match(piece):
            voices[-1][1].append(f"<{piece}>")
    return [(speaker, _unescape("".join(parts))) for speaker, parts in voices]


def split_names(cues: Sequence[Sequence[str]]) -> list[list[Voice]]:
    """What each speaker said in each cue, by the `Name:` prefixes that are speakers.

    Args:
        cues: the lines of every cue.
    """
    labels = find_labels([lines[0] for lines in cues if lines])
    return [split_by_prefix(lines, labels) for lines in cues]


def plain_text(line: str) -> str:
    """The line without tags, its entities unescaped; `<3` is no tag and stays."""
    return _unescape(_TAG.sub(lambda tag: "" if _IS_TAG.match(tag[1]) else tag[0], line))


def _unescape(text: str) -> str:
    """Entities that end in a semicolon as characters; "AT&T" stays as it is."""
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return " ".join(text.split())


def _opens_comment(line: str) -> bool:
    line = line.rstrip()
    return line in ("STYLE", "REGION", "NOTE") or line.startswith(("NOTE ", "NOTE\t"))


def _without_signature(source: Source) -> list[str]:
    """The lines with the signature blanked out, so that line numbers stay true."""
    lines = source.lines
    place = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if _SIGNATURE.match(lines[place]):
        lines[place] = ""
    return lines


def _head(source: Source) -> str:
    return (source.text or "")[:_HEAD].replace("\r\n", "\n").replace("\r", "\n")


def recognises(source: Source) -> bool:
    """The signature, or a first cue with a voice in a file that lost its signature."""
    head = _head(source)
    return bool(_SIGNATURE.match(head)) or (ARROW in head.split("\n\n")[0] and "<v" in head)


def recognises_metadata(source: Source) -> bool:
    """WebVTT with the key of the spoken text under the first times."""
    return recognises(source) and bool(re.search(r'-->[^\n]*\n\s*\{[^\n]*"spoken', _head(source)))


def recognises_daily(source: Source) -> bool:
    """WebVTT whose voices hold nothing but a name."""
    return recognises(source) and bool(_DAILY.search(_head(source)))


def recognises_teams(source: Source) -> bool:
    """WebVTT with voices, and Teams' identifiers or its unpadded times."""
    head = _head(source)
    written = _TEAMS_ID.search(head) or _TEAMS_TIMES.search(head)
    return recognises(source) and "<v " in head and written is not None


def recognises_zoom(source: Source) -> bool:
    """WebVTT without voices, cues counted from 1, and names in front of the speech."""
    head = _head(source)
    if not recognises(source) or "<v" in head or not _ZOOM_CUE.search(head):
        return False
    return bool(find_labels(list(_first_lines(head.split("\n")))))


def _first_lines(lines: Sequence[str]) -> Iterable[str]:
    """The line below every line of times."""
    return (lines[i + 1] for i, line in enumerate(lines[:-1]) if ARROW in line)


READERS = (
    Reader(
        name="teams_metadata",
        title="Teams metadataContent (WebVTT with JSON cues)",
        recognises=recognises_metadata,
        read=read_metadata,
        example='00:00:01.000 --> 00:00:02.500 / {"speakerName": "A", "spokenText": "…"}',
    ),
    Reader(
        name="daily_vtt",
        title="Daily WebVTT",
        recognises=recognises_daily,
        read=read,
        example="00:00:01.000 --> 00:00:02.500 / <v>Name:</v> …",
    ),
    Reader(
        name="teams_vtt",
        title="Teams WebVTT (Graph content, or downloaded)",
        recognises=recognises_teams,
        read=read,
        example="0:0:1.0 --> 0:0:2.5 / <v Name>…</v>",
    ),
    Reader(
        name="zoom_vtt",
        title="Zoom cloud recording transcript (WebVTT)",
        recognises=recognises_zoom,
        read=read,
        example="1 / 00:00:01.000 --> 00:00:02.500 / Name: …",
    ),
    Reader(
        name="webvtt",
        title="WebVTT",
        recognises=recognises,
        read=read,
        example="00:01.000 --> 00:02.500 / <v Name>…",
    ),
)
