"""A model card's sections as values, and their two views: Markdown and XML."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the card. `element` is its name in the XML.

    `lines` are paragraphs, or items where `is_list`; `table` has its header in the first row.
    """

    element: str
    title: str
    lines: tuple[str, ...] = ()
    is_list: bool = False
    table: tuple[tuple[str, ...], ...] = ()
    parts: "tuple[Section, ...]" = ()


def as_markdown(sections: Sequence[Section]) -> str:
    """The card for readers, one title a section."""
    return "\n".join(["# Model card", "", *_markdown(sections, 2)]).rstrip() + "\n"


def _markdown(sections: Sequence[Section], depth: int) -> Iterator[str]:
    for section in sections:
        yield from (f"{'#' * depth} {section.title}", "")
        for line in section.lines:
            yield f"- {line}" if section.is_list else f"{line}\n"
        if section.is_list:
            yield ""
        if section.table:
            head, *rows = section.table
            for row in (head, ("---",) * len(head), *rows):
                yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
            yield ""
        yield from _markdown(section.parts, depth + 1)


def as_xml(sections: Sequence[Section]) -> bytes:
    """The card as XML, UTF-8, with a comment that says what it follows."""
    from lxml import etree

    root = etree.Element("AppliedModelCard")
    root.append(etree.Comment(" After CHAI's Applied Model Card; not held to its schema. "))
    for section in sections:
        root.append(_element(section))
    text: bytes = etree.tostring(root, pretty_print=True, xml_declaration=True, encoding="UTF-8")
    return text


def _element(section: Section) -> Any:
    from lxml import etree

    made = etree.Element(section.element, title=section.title)
    for line in section.lines:
        etree.SubElement(made, "Item" if section.is_list else "Text").text = line
    if section.table:
        head, *rows = section.table
        for row in rows:
            entry = etree.SubElement(made, "Entry")
            for name, cell in zip(head, row, strict=True):
                etree.SubElement(entry, "Value", name=name).text = cell
    made.extend(_element(part) for part in section.parts)
    return made
