"""The paragraphs of a Word document, none of them lost and nothing else loaded.

We read `word/document.xml` ourselves: the usual `document.paragraphs` passes over tables,
content controls and tracked insertions without a word, and opening a whole package fails on
damaged styles that no transcript needs.
"""

import io
import re
import zipfile
import zlib
from dataclasses import dataclass, field

from lxml import etree

from detector.errors import MalformedTranscript
from detector.formats.source import Source

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT_WORD = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
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
    """
    root = _parse(_main_part(source))
    paragraphs = []
    places = (element for element in root.iter() if element.tag in _tags("p"))
    for place, element in enumerate(places, start=1):
        text = _paragraph_text(element)
        if text:
            paragraphs.append(Paragraph(place, text))
    return paragraphs


def _main_part(source: Source) -> bytes:
    name = min(name for name in source.members if _MAIN_PART.fullmatch(name))
    try:
        with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
            return archive.read(name)
    except _UNREADABLE as error:
        raise MalformedTranscript("the Word document is damaged", element=name) from error


def _parse(content: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MalformedTranscript("the Word document is not well-formed XML") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise MalformedTranscript("the Word document declares a DOCTYPE")
    return root


def _paragraph_text(paragraph: etree._Element) -> str:
    """The paragraph's own text; a paragraph inside it (a text box) speaks for itself."""
    pieces: list[str] = []
    stack = [paragraph]
    while stack:
        element = stack.pop()
        if element.tag in _tags("t"):
            pieces.append(element.text or "")
        elif element.tag in _tags("br", "cr"):
            pieces.append("\n")
        elif element.tag in _tags("tab"):
            pieces.append("\t")
        stack.extend(child for child in reversed(element) if child.tag not in _tags("p"))
    return "".join(pieces).replace("\xa0", " ").strip()


def _tags(*names: str) -> tuple[str, ...]:
    return tuple(space + name for name in names for space in (_WORD, _STRICT_WORD))
