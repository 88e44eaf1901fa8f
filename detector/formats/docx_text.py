"""The paragraphs of a Word document, none of them lost and nothing else loaded.

We read `word/document.xml` ourselves: the usual `document.paragraphs` passes over tables,
content controls and tracked insertions without a word, and opening a whole package fails on
damaged styles that no transcript needs.
"""

import contextlib
import io
import re
import zipfile
import zlib
from dataclasses import dataclass, field

from lxml import etree

from detector.errors import MalformedTranscript, TranscriptTooLarge
from detector.formats.source import Source

MAX_PART = 50 * 1024 * 1024
"""Largest main part accepted, unpacked: parsed, it takes some twenty times as much memory. Two
hours of talk need about 1 MB."""

_NAMESPACES = (
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
)
_BREAKS = {"br": "\n", "cr": "\n", "tab": "\t"}
_TAGS = [f"{{{space}}}{name}" for space in _NAMESPACES for name in ("p", "t", *_BREAKS)]
_MAIN_PART = re.compile(r"word/document[0-9]*\.xml")
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,  # a member that the directory names and the file lacks
    NotImplementedError,  # an unknown compression
    RuntimeError,  # a member under a password
    EOFError,
    OSError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph with text. `place` is its 1-based place among all; breaks are line ends."""

    place: int
    text: str = field(repr=False)

    @property
    def where(self) -> str:
        """The place to name in a note."""
        return f"paragraph {self.place}"


def is_docx(source: Source) -> bool:
    """Whether the file is a zip with a Word document's main part."""
    return any(_MAIN_PART.fullmatch(name) for name in source.members)


def read_paragraphs(source: Source) -> list[Paragraph]:
    """The document's paragraphs in order, empty ones left out.

    Deleted text of tracked changes is not read; inserted text is.

    Raises: MalformedTranscript: the document cannot be unpacked or parsed, or declares
        entities, which no Word file does and which could unfold without end.
        TranscriptTooLarge: its main part is larger than `MAX_PART`.
    """
    root = _parse(_main_part(source))
    texts: list[str] = []
    # A paragraph can hold another one, in a text box: what is said belongs to the innermost.
    open_paragraphs: list[tuple[int, list[str]]] = []
    for event, element in etree.iterwalk(root, events=("start", "end"), tag=_TAGS):
        name = element.tag.rpartition("}")[2]
        if name == "p" and event == "start":
            open_paragraphs.append((len(texts), []))
            texts.append("")
        elif name == "p":
            place, pieces = open_paragraphs.pop()
            texts[place] = "".join(pieces).replace("\xa0", " ").strip()
        elif event == "start" and open_paragraphs:
            open_paragraphs[-1][1].append(_BREAKS.get(name) or element.text or "")
    return [Paragraph(place, text) for place, text in enumerate(texts, start=1) if text]


_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What Word packs with. Others, such as bzip2, unpack a block at a time whatever is asked for."""


def _main_part(source: Source) -> bytes:
    name = min(name for name in source.members if _MAIN_PART.fullmatch(name))
    try:
        with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
            member = archive.getinfo(name)
            if member.compress_type not in _METHODS:
                raise MalformedTranscript("the Word document is packed as none is", element=name)
            # The size that an archive states may be false: no more than the limit is unpacked.
            with archive.open(member) as file:
                content = file.read(MAX_PART + 1)
    except _UNREADABLE as error:
        raise MalformedTranscript("the Word document is damaged", element=name) from error
    if (size := max(len(content), member.file_size)) > MAX_PART:
        raise TranscriptTooLarge(size, MAX_PART, "bytes")
    return content


def _parse(content: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    root = None
    with contextlib.suppress(etree.XMLSyntaxError, ValueError):
        root = etree.fromstring(content, parser)
    if root is None:
        # Raised here, out of the context of the parser's error, which quotes the document.
        raise MalformedTranscript("the Word document is not well-formed XML")
    if root.getroottree().docinfo.internalDTD is not None:
        raise MalformedTranscript("the Word document declares a DOCTYPE")
    return root
