"""`rupture label`: how far coders agree, labels from and to other tools, and what to code next."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from detector.annotation import STAGES, Labels, check
from detector.errors import AnnotationError, TranscriptError, UnknownRole
from detector.transcript import Transcript
from training import learning_curves, next_label
from training.agreement_page import as_html
from training.agreement_record import LABELS_FROM, measure
from training.agreement_text import as_markdown, as_table, disagreements_csv
from training.coding import lay_out
from training.corpus import TrainingDataError, load_annomi, told
from training.labels import FORMATS, Transcripts, annomi, label_studio, told_format
from training.labels.voices import joined

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Labels: how far coders agree; import and export; what to code next.",
)
app.command("next")(next_label.command)
app.command("simulate")(learning_curves.command)

Out = Annotated[Path | None, typer.Option(help="Where it is written.")]
Texts = Annotated[
    list[str] | None,
    typer.Option(
        "--transcripts",
        help="Sessions, folders or globs; a file's name is its session's id. Or a ConvoKit corpus.",
    ),
]


@contextmanager
def _told() -> Iterator[None]:
    """A label that cannot be used is one line on standard error and exit code 3."""
    with told():
        try:
            yield
        except (AnnotationError, TranscriptError) as error:
            raise TrainingDataError(str(error)) from None
        except OSError as error:
            named = Path(str(error.filename)).name
            raise TrainingDataError(f"{named}: {error.strerror}") from None


@app.command("agree")
def agree_command(
    labels: Annotated[list[Path] | None, typer.Argument(help="Files of labels.")] = None,
    shipped: Annotated[
        bool, typer.Option("--annomi", help="The two raw codings of AnnoMI that we ship.")
    ] = False,
    transcripts: Texts = None,
    stage: Annotated[str, typer.Option("--pass", help="Which pass is compared.")] = "blind",
    source: Annotated[str | None, typer.Option("--from", help="Their format.")] = None,
    out: Annotated[Path | None, typer.Option(help="Markdown, with how to read it.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="The whole record.")] = None,
    html: Annotated[Path | None, typer.Option(help="A page with plots.")] = None,
    disagreements: Annotated[
        Path | None, typer.Option(help="CSV for adjudication, the widest gap first.")
    ] = None,
) -> None:
    """How far coders agree, by code and unit, with intervals clustered by session."""
    if stage not in STAGES:
        raise typer.BadParameter(f"--pass is one of {', '.join(STAGES)}")
    if bool(labels) == shipped:
        raise typer.BadParameter("name files of labels, or --annomi")
    with _told():
        given, texts, labels_from = _given(labels or [], transcripts, source)
        check(given, texts or None)
        codings = lay_out(given, texts or None, stage=stage)
        record = measure(given, codings, stage=stage, labels_from=labels_from)
        example = "rupture label agree --annomi" if shipped else "rupture label agree"
        written = (
            (out, as_markdown(record, example)),
            (json_out, _as_json(record)),
            (html, as_html(record)),
            (disagreements, disagreements_csv(record)),
        )
        for path, content in written:
            if path is not None:
                path.write_text(content, encoding="utf-8", newline="\n")
        if not any(path for path, _ in written):
            typer.echo(as_table(record))


def _as_json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _given(
    paths: Sequence[Path], transcripts: Sequence[str] | None, source: str | None
) -> tuple[Labels, Transcripts, str]:
    """The labels, the transcripts they are about, and who the coders are where we know it."""
    if paths and not all(annomi.is_coding(path) for path in paths):
        return _read_all(paths, source), _read_texts(transcripts or ()), ""
    sessions = load_annomi()
    folder = files("training") / "data" / "annomi"
    shipped = [Path(str(folder / f"coder_{number}.csv")) for number in (1, 2)]
    labels = annomi.read_codings(paths or shipped, sessions)
    return labels, annomi.transcripts_of(sessions), LABELS_FROM["annomi"]


def _read_all(paths: Sequence[Path], source: str | None) -> Labels:
    """The labels of all files as one set."""
    if source is not None and source not in FORMATS:
        raise typer.BadParameter(f"--from is one of {', '.join(FORMATS)}")
    found = []
    for path in paths:
        if not path.exists():
            raise AnnotationError("no such file or folder", where=path.name)
        found.append((FORMATS[source] if source else told_format(path)).read(path))
    return joined(found)


def _read_texts(patterns: Sequence[str]) -> dict[str, Transcript]:
    """Transcripts by the names of their files; a folder stands for what is in it."""
    from detector.formats import read_transcript
    from detector.roles import assign_roles

    texts: dict[str, Transcript] = {}
    for session_id, name, data in _named(patterns):
        if session_id in texts:
            raise AnnotationError("two transcripts have this name", where=session_id)
        try:
            text = read_transcript(data)
            texts[session_id] = assign_roles(text, is_noted=False).transcript
        except UnknownRole:
            texts[session_id] = text
        except TranscriptError as error:
            raise AnnotationError(str(error), where=name) from None
    return texts


def _named(patterns: Sequence[str]) -> Iterator[tuple[str, str, Path | bytes]]:
    """Each transcript's session, its name for an error, and the file or its content."""
    from detector.targets import expand

    for one in patterns:
        if (Path(one) / "utterances.jsonl").is_file():
            yield from _conversations(Path(one))
            continue
        for name in expand([f"{one.rstrip('/')}/*" if Path(one).is_dir() else one]):
            yield Path(name).stem, Path(name).name, Path(name)


def _conversations(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """A ConvoKit corpus's conversations, as `rupture corpus score` reads them."""
    from detector.corpus.convokit import read_folder

    for session, _ in read_folder(folder):
        where = f"{folder.name}, conversation {session.line}"
        if session.problem is not None:
            raise AnnotationError(session.problem.reason, where=where)
        yield session.session_id, where, session.data


@app.command("export")
def export_command(
    labels: Annotated[list[Path], typer.Argument(help="Files of labels, of any format we read.")],
    to: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")],
    out: Annotated[Path, typer.Option(help="File, or folder where it is a file a session.")],
    transcripts: Texts = None,
    source: Annotated[str | None, typer.Option("--from", help="Their format.")] = None,
) -> None:
    """Labels as another tool keeps them; says what it does not carry."""
    with _told():
        _convert(_read_all(labels, source), to, out, _read_texts(transcripts or ()))


@app.command("import")
def import_command(
    labels: Annotated[list[Path], typer.Argument(help="Files of labels, of any format we read.")],
    out: Annotated[Path, typer.Option(help="Our JSON lines.")],
    transcripts: Texts = None,
    source: Annotated[str | None, typer.Option("--from", help="Their format.")] = None,
) -> None:
    """Labels from another tool as our JSON lines, checked against codebook and transcripts."""
    with _told():
        _convert(_read_all(labels, source), "jsonl", out, _read_texts(transcripts or ()))


@app.command("tasks")
def tasks_command(
    transcripts: Annotated[list[str], typer.Argument(help="Sessions, folders or globs.")],
    out: Annotated[Path, typer.Option(help="File, or folder where it is a file a session.")],
    to: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")] = "label-studio",
    config: Annotated[
        Path | None, typer.Option(help="Writes Label Studio's labelling interface.")
    ] = None,
    checkpoint: Annotated[str | None, typer.Option(help="As for score; rules: no network.")] = None,
) -> None:
    """Sessions to label in another tool, with the detector's own marks as predictions."""
    from models import ModelError
    from training.labels.predicted import predictions

    with _told():
        texts = _read_texts(transcripts)
        try:
            marks = predictions(texts, checkpoint)
        except ModelError as error:
            raise TrainingDataError(str(error)) from None
        _convert(marks, to, out, texts)
        if config is not None:
            config.write_text(label_studio.config(), encoding="utf-8")


def _convert(labels: Labels, to: str, out: Path, texts: Transcripts) -> None:
    """Checks the labels and writes them, with what is not carried on standard error."""
    if to not in FORMATS:
        raise typer.BadParameter(f"--to is one of {', '.join(FORMATS)}")
    check(labels, texts or None)
    lost = FORMATS[to].write(labels, out, texts)
    for note in labels.notes:
        typer.echo(note, err=True)
    for what in lost:
        typer.echo(f"not carried by {to}: {what}", err=True)
    typer.echo(f"{len(labels.annotations)} annotations of {len(labels.sessions)} sessions: {out}")
