"""What the documentation's build makes of the code: two pages, and links that leave the folder.

MkDocs calls the two functions (`hooks` in mkdocs.yml). The codebook's page comes from its TOML and
the model card's from the checkpoint in use, so neither can say what the code does not.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

from detector.codebook import KINDS, Codebook, Marker, load_codebook

ROOT = Path(__file__).parent.parent
CARD = ROOT / "models" / "checkpoints" / "default" / "MODEL_CARD.md"

KIND_SAID = {
    "withdrawal": "Withdrawal: the client moves away",
    "confrontation": "Confrontation: the client moves against",
    "repair": "Repair by the client",
    "resolution": "Resolution: the therapist's ways to mend",
    "contribution": "Contribution: the therapist's part in the strain",
    "strength": "Strengths of the alliance",
    "move": "What a therapist's turn invites",
    "technical": "Trouble with the connection, never a sign of the alliance",
}

MADE = {
    "detector/codebook/codebook.toml": "codebook.md",
    "models/checkpoints/default/MODEL_CARD.md": "model-card.md",
}
"""Files that have a page made from them: in the repository a link leads to the file."""

OUTWARD = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#]+)(?:#[^)]*)?\)")
"""A link to a file that is not in `docs/`. On the site there is no such file."""


def codebook_page(book: Codebook) -> str:
    """Every marker with its definition, what it is not, and how many patterns look for it."""
    lines = [
        "# The codebook",
        "",
        f"Version {book.version}: {len(book.markers)} markers, {len(book.patterns)} patterns. "
        "Our own operational rules, after the Rupture Resolution Rating System (3RS: Eubanks, "
        "Muran & Safran 2015, revised 2022) and Bordin (1979), narrowed to what a timed "
        "transcript can show. They are not the 3RS, and nobody is certified by them.",
        "",
        "Written from `detector/codebook/` when this site is built. `rupture markers` prints it; "
        "[the patterns' page](patterns.md) says how often each hits and how often it is right.",
    ]
    for kind in KINDS:
        lines += ["", f"## {KIND_SAID[kind]}"]
        for marker in book.markers.values():
            if marker.kind == kind:
                lines += _entry(book, marker)
    return "\n".join(lines) + "\n"


def _entry(book: Codebook, marker: Marker) -> list[str]:
    patterns = [one for one in book.patterns.values() if one.marker == marker.id]
    example = next((one.examples[0] for one in patterns if one.examples), "")
    said = [f"`{marker.id}`", f"whose: {marker.role}", f"patterns: {len(patterns)}"]
    if marker.pillar:
        said.insert(2, f"strains: {marker.pillar}")
    lines = ["", f"### {marker.title}", "", " · ".join(said), "", marker.definition]
    if marker.not_when:
        lines += ["", f"**Not:** {marker.not_when}"]
    if example:
        last = example.strip().splitlines()[-1]
        shown = re.sub(r"^[TC]: ", "", last).replace("<hit>", "**").replace("</hit>", "**")
        lines += ["", f"> {shown}"]
    return lines


def card_page(card: str) -> str:
    """The checkpoint's model card as it stands in its folder."""
    about = "As `rupture publish` wrote it into the folder of the checkpoint `default`."
    return card.replace("# Model card\n", f"# Model card\n\n{about}\n", 1)


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that stand in no file."""
    pages = {
        "codebook.md": codebook_page(load_codebook()),
        "model-card.md": card_page(CARD.read_text("utf-8")),
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """A link to a file of the repository becomes its page, or else that file's name."""
    here = PurePosixPath("docs", page.file.src_uri).parent

    def named(link: re.Match[str]) -> str:
        path = _plain(here / link[2])
        if path in MADE:
            return f"[{link[1]}]({'../' * (len(here.parts) - 1)}{MADE[path]})"
        said = link[1].strip("`")
        return f"`{path}`" if said in (path, PurePosixPath(path).name) else f"{link[1]} (`{path}`)"

    return OUTWARD.sub(named, markdown)


def _plain(path: PurePosixPath) -> str:
    """A path without `..`."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
