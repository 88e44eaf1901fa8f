"""Reading and writing of labels: one small file a format.

`FORMATS` lists them with what each carries. What a format cannot carry is refused, or named in
what `write` gives back: nothing is dropped in silence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from detector.annotation import Labels
from detector.errors import AnnotationError
from detector.transcript import Transcript
from training.labels import chat, convokit, elan, label_studio, long, spans, wide

Transcripts = Mapping[str, Transcript]


@dataclass(frozen=True, slots=True)
class Format:
    """One way of keeping labels.

    Args:
        name, title: on the command line, and for people.
        suffix: of its file; empty where it is a folder.
        read: from a path. Raises: AnnotationError.
        write: labels to a path, and what of them is not carried. Raises: AnnotationError: they
            cannot be written so.
        needs_transcripts: whether writing needs what was said.
    """

    name: str
    title: str
    suffix: str
    read: Callable[[Path], Labels]
    write: Callable[[Labels, Path, Transcripts], tuple[str, ...]]
    needs_transcripts: bool = False


def _alone(
    write: Callable[[Labels, Path], tuple[str, ...]],
) -> Callable[[Labels, Path, Transcripts], tuple[str, ...]]:
    return lambda labels, path, _: write(labels, path)


FORMATS = {
    one.name: one
    for one in (
        Format("jsonl", "our JSON lines", ".jsonl", long.read_jsonl, _alone(long.write_jsonl)),
        Format("csv", "long table", ".csv", long.read_csv, _alone(long.write_csv)),
        Format("parquet", "long table", ".parquet", long.read_parquet, _alone(long.write_parquet)),
        Format("wide", "matrices, one file a code", "", wide.read_wide, wide.write_wide),
        Format(
            "label-studio",
            "Label Studio tasks and export (JSON)",
            ".json",
            label_studio.read_tasks,
            label_studio.write_tasks,
            needs_transcripts=True,
        ),
        Format(
            "doccano",
            "doccano (JSON lines)",
            ".jsonl",
            spans.read_doccano,
            spans.write_doccano,
            True,
        ),
        Format(
            "prodigy",
            "Prodigy (JSON lines)",
            ".jsonl",
            spans.read_prodigy,
            spans.write_prodigy,
            True,
        ),
        Format("elan", "ELAN tiers, one file a session", "", elan.read_elan, elan.write_elan, True),
        Format(
            "chat",
            "CHAT %xrup tiers, one file a session",
            "",
            chat.read_chat,
            chat.write_chat,
            True,
        ),
        Format(
            "convokit",
            "ConvoKit corpus, a folder",
            "",
            convokit.read_convokit,
            convokit.write_convokit,
            True,
        ),
    )
}


def told_format(path: Path) -> Format:
    """The format of a file or folder, by its name and its first line.

    Raises: AnnotationError: it cannot be told.
    """
    if path.is_dir():
        if (path / "utterances.jsonl").is_file():
            return FORMATS["convokit"]
        kinds = {one.suffix.lower() for one in path.iterdir()}
        name = "elan" if ".eaf" in kinds else "chat" if ".cha" in kinds else "wide"
        return FORMATS[name]
    by_suffix = {".csv": "csv", ".parquet": "parquet", ".json": "label-studio"}
    by_suffix |= {".eaf": "elan", ".cha": "chat"}
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        first = next(iter(long.text_of(path).split("\n")), "")
        keys = long.json_object(first, f"{path.name}, line 1")
        return FORMATS["prodigy" if "spans" in keys else "doccano" if "label" in keys else "jsonl"]
    if suffix not in by_suffix:
        raise AnnotationError(f"say the format by --from: {', '.join(FORMATS)}", where=path.name)
    return FORMATS[by_suffix[suffix]]
