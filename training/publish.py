"""From a finished run to a checkpoint that serves: `rupture publish`.

Nothing is half published. Everything is written beside its place, sealed and renamed into it; a
run whose evaluation is missing, is of other predictions or has not passed is refused first. The
encoder is stored in the fastest precision that costs no more than MOST_LOST of average precision
on the held-out sessions of every fold.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

import models
from detector.codebook import load_codebook
from detector.network import check
from detector.scoring import FITTED
from models import registry
from models.errors import ModelError
from models.spec import ModelSpec, read_spec
from training import card
from training.corpus import TrainingDataError, told
from training.evaluate import read_sessions
from training.fuse import fuse
from training.precision import MOST_LOST, Cost, choose_precision, write_graphs
from training.predictions import FILE, read_predictions
from training.rules import Example

MOST_MISCALIBRATED = 0.03
"""Expected calibration error of the fused scores, cross-validated, that may be published. The
aim is .02; turns of 103 sessions let the figure wander by a third of that."""


MOST_WORSE = 0.02
"""Average precision by which the fused scorer may lie below the rules' on a label, where the
paired interval reaches 0: what two runs that differ in their seed alone may differ by. Settled
before the runs that it was applied to."""


class NotPublished(TrainingDataError):
    """The run may not be published. Carries every reason."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("not published: " + "; ".join(reasons))


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fused_id(record: Mapping[str, Any], sha256: str) -> str | None:
    """The scorer in an evaluation's record that fuses these predictions; None: there is none."""
    runs = [one.get("predictions_sha256") for one in record["how"]["runs"]]
    if sha256 not in runs:
        return None
    return "fused" if len(runs) == 1 else f"fused_{runs.index(sha256) + 1}"


def objections(record: Mapping[str, Any], sha256: str) -> list[str]:
    """Why an evaluation does not allow these predictions to be published; empty: it does.

    The rule: the record is of these very predictions; over all labels the fused scorer's mean
    average precision is above the rules scorer's on the same folds; on no label is it below by
    more than MOST_WORSE, nor by less where the paired bootstrap says that it is worse; and its
    calibration error is MOST_MISCALIBRATED or less.

    Args:
        record: of training.evaluation, schema "rupture-evaluation/1".
        sha256: of the run's predictions.
    """
    try:
        fused = fused_id(record, sha256)
        if fused is None:
            return ["the evaluation is not of this run's predictions: `rupture evaluate` it again"]
        return list(_objections(record, fused))
    except (KeyError, TypeError, AttributeError):
        return ["the evaluation lacks a figure that is needed: `rupture evaluate` the run again"]


def _objections(record: Mapping[str, Any], id_: str) -> Iterator[str]:
    fused, rules = record["turns"][id_], record["turns"]["rules"]
    highest = {
        one["label"]: one["high"]
        for one in record["differences"]
        if (one["one"], one["other"], one["metric"]) == (id_, "rules", "average_precision")
    }
    gained = 0.0
    for label in FITTED:
        ours, theirs = (one[label]["average_precision"]["value"] for one in (fused, rules))
        if ours is None or theirs is None or highest[label] is None:
            yield f"{label}: average precision is not defined"
        else:
            gained += ours - theirs
            if ours < theirs and (theirs - ours > MOST_WORSE or highest[label] < 0):
                yield f"{label}: average precision {ours:.3f} is below the rules' {theirs:.3f}"
        error = fused[label]["calibration_error"]["value"]
        if error is None or error > MOST_MISCALIBRATED:
            yield f"{label}: calibration error {_said(error)} is above {MOST_MISCALIBRATED}"
    if gained <= 0:
        yield "over all labels average precision is not above the rules'"


def _said(value: float | None) -> str:
    return "(not defined)" if value is None else f"{value:.3f}"


def read_evaluation(path: Path, run: Path) -> dict[str, Any]:
    """An evaluation that allows the run to be published.

    Raises: NotPublished: it is missing, broken, of other predictions, or has not passed.
    """
    predictions = run / FILE
    if not predictions.is_file():
        raise NotPublished([f"{predictions} is missing: `rupture train` writes it"])
    if not path.is_file():
        asked = f"`rupture evaluate --run {run} --json {path}`"
        raise NotPublished([f"{path} is missing: {asked} writes it"])
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError:
        raise NotPublished([f"{path} is not JSON"]) from None
    if reasons := objections(record, sha256_of(predictions)):
        raise NotPublished(reasons)
    return record


def write_checkpoint(
    run: Path, folder: Path, record: Mapping[str, Any], scoring: str, serving: Mapping[str, Any]
) -> None:
    """Everything of a checkpoint but its cards and its seal.

    Args:
        run: the training run's folder; `RUN/final` is what is published.
        folder: an empty folder; the part of its name that stands before a dot is no matter.
        record: the evaluation.
        scoring: `scoring.toml`.
        serving: precision and its cost, the checkpoint's name, and the predictions' sha256.
    """
    import torch

    from models.network import RuptureModel

    final = run / "final"
    spec = dataclasses.replace(_spec_of(final), name=serving["name"])
    (folder / "spec.json").write_text(spec.to_json(), "utf-8")
    shutil.copy(final / "tokenizer.json", folder / "tokenizer.json")
    write_graphs(final, folder, serving["precision"])
    RuptureModel.from_pretrained(final).to(torch.float16).save_pretrained(folder)
    (folder / "scoring.toml").write_text(scoring, "utf-8")
    whole = {**record, "serving": dict(serving)}
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / "evaluation.json").write_text(text, "utf-8")


def _spec_of(final: Path) -> ModelSpec:
    path = final / "spec.json"
    if not path.is_file():
        raise NotPublished([f"{final} is missing: train with `final = true`"])
    spec = read_spec(path.read_text("utf-8"), file=str(path))
    check(spec, load_codebook())
    return spec


def place(part: Path, folder: Path, *, replaces: bool) -> None:
    """Renames a sealed folder into its place and lists it, or leaves everything as it was.

    Raises: NotPublished: there is a checkpoint of this name. ModelError: it is not whole.
    """
    old = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        if not replaces:
            raise NotPublished([f"{folder} is there: take another name, or --replace it"])
        os.replace(folder, old)
    try:
        os.replace(part, folder)
        registry.register(folder.name, published=date.today(), root=folder.parent)
    except BaseException:  # also when interrupted: the one before comes back
        shutil.rmtree(folder, ignore_errors=True)
        if old.exists():
            os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def home() -> Path:
    """The folder of checkpoints that is written to: the setting's, else the package's own."""
    own = os.environ.get(registry.SETTING)
    return Path(own) if own else Path(models.__file__).parent / "checkpoints"


Sessions = tuple[Sequence[Example], Sequence[Example]]
"""The real sessions, in the order of `load_annomi`, and the invented ones."""


def publish(
    run: Path,
    name: str,
    evaluation: Path,
    *,
    replaces: bool = False,
    into: Path | None = None,
    sessions: Callable[[], Sessions] | None = None,
) -> tuple[Path, list[Cost]]:
    """Publishes a run; see the command.

    Args:
        run: the training run's folder.
        name: the checkpoint's.
        evaluation: the record's file.
        replaces: whether a checkpoint of this name may be replaced.
        into: the folder of checkpoints; None for `home`.
        sessions: reads the real and the invented sessions; asked when all else is in order.

    Returns: the checkpoint's folder, and what each precision that was tried costs.
    Raises: NotPublished; TrainingDataError; ModelError.
    """
    root = into or home()
    if (root / name).exists() and not replaces:
        raise NotPublished([f"{root / name} is there: take another name, or --replace it"])
    record = read_evaluation(evaluation, run)
    _spec_of(run / "final")
    examples, invented = sessions() if sessions else read_sessions(run)
    precision, tried = choose_precision(run, examples)
    sha256 = sha256_of(run / FILE)
    serving = {
        "name": name,
        "published": date.today().isoformat(),
        "predictions_sha256": sha256,
        "scorer": fused_id(record, sha256),
        "precision": precision,
        "cost": [{**dataclasses.asdict(one), "worst": one.worst} for one in tried],
    }
    root.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=root, prefix=f".{name}."))
    try:
        scoring = _scoring(run, name, examples, invented)
        write_checkpoint(run, part, record, scoring, serving)
        card.write_cards(part, run, invented)
        registry.seal(part)
        part.chmod(0o755)
        place(part, root / name, replaces=replaces)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return root / name, tried


def _scoring(run: Path, name: str, examples: Sequence[Example], invented: Sequence[Example]) -> str:
    """`scoring.toml`: the run's own where it was fitted on these predictions, else a new one."""
    found, path = read_predictions(run, examples), run / "scoring.toml"
    if path.is_file() and sha256_of(run / FILE) in (text := path.read_text("utf-8")):
        return text
    return fuse(examples, invented, found, name=name)


@told()
def command(
    run: Annotated[Path, typer.Argument(help="A training run's folder.")],
    name: Annotated[str, typer.Option(help="The checkpoint's name.")],
    evaluation: Annotated[
        Path | None, typer.Option(help="Of `rupture evaluate`; default: RUN/evaluation.json.")
    ] = None,
    replace: Annotated[bool, typer.Option(help="Replace a checkpoint of this name.")] = False,
    use: Annotated[bool, typer.Option(help="Take it into use at once.")] = False,
) -> None:
    """Publish a run as a checkpoint; refuses when its evaluation has not passed."""
    try:
        folder, tried = publish(run, name, evaluation or run / "evaluation.json", replaces=replace)
        if use:
            registry.use(name)
    except ModelError as error:
        raise TrainingDataError(str(error)) from None
    for one in tried:
        verdict = "taken" if one.worst <= MOST_LOST else f"more than {MOST_LOST}, not taken"
        typer.echo(f"{one.precision}: costs {one.worst:+.4f} average precision at most; {verdict}")
    if all(one.worst > MOST_LOST for one in tried):
        typer.echo("The encoder is stored in fp32.")
    size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    typer.echo(f"{folder}: {size:.0f} MiB" + ("" if use else f"; `rupture models use {name}`"))


if __name__ == "__main__":
    typer.run(command)
