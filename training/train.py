"""Trains the network: `rupture train config.toml --out RUN`.

Read top to bottom: the run's folder, the data, the encoder, then three steps. The invented
sessions alone come first (once, shared by all folds); then each fold goes on from there with the
real sessions it may see and a fresh sample of invented ones each epoch, and scores the sessions
it may not see; at last one network sees all real sessions.

A run that was killed goes on with `--resume`: what is finished is kept, and inside a phase the
last epoch's checkpoint is taken up. On several GPUs: `accelerate launch --no_python rupture
train …`, or `accelerate launch -m training.train …`.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from detector.codebook import PILLARS, load_codebook
from detector.report import RATINGS
from models.sealing import write_whole
from models.spec import ModelSpec
from training.config import ConfigError, TrainConfig, read_config
from training.corpus import told
from training.examples import (
    BEHAVIOUR,
    LABELS,
    TALK,
    marker_columns,
    strategy_columns,
)
from training.run import Run, hold_same, is_main
from training.sets import Data, hold_labels, read_data

if TYPE_CHECKING:
    from models.network import RuptureModel
    from training.batches import Collator, PreparedSession, SessionPool
    from training.encoders import Base, Start

PREDICTIONS = "predictions.safetensors"
PRETRAINED = "pretrained"


def make_spec(
    config: TrainConfig,
    data: Data,
    base: "Base",
    seen: Sequence[int],
    start: "Start | None" = None,
) -> ModelSpec:
    """The contract of a network.

    Features are measured on the sessions that it sees, real and invented; on the invented ones
    alone where a network pre-trained on them is shared by all folds. A network that goes on from
    a checkpoint keeps that one's contract, scales and all.
    """
    from training.batches import scaling

    if start is not None:
        return replace(start.spec, name=config.name)

    measured = {*data.invented} if config.schedule.pretrain_epochs else {*seen, *data.invented}
    means, scales = scaling(data.table(sorted(measured), "features"))
    return ModelSpec(
        name=config.name,
        codebook=load_codebook().version,
        labels=LABELS,
        markers=marker_columns(),
        strategies=strategy_columns(),
        pillars=PILLARS,
        ratings=RATINGS,
        features=data.features,
        feature_means=means,
        feature_scales=scales,
        max_tokens=config.encoder.max_tokens,
        context_tokens=config.encoder.context_tokens,
        cls_id=base.cls_id,
        sep_id=base.sep_id,
        pad_id=base.pad_id,
        tokenizer_sha256=hashlib.sha256(base.tokenizer_json).hexdigest(),
    )


@dataclass(frozen=True)
class Trainee:
    """Everything that the phases of a run share."""

    config: TrainConfig
    run: Run
    data: Data = field(repr=False)
    base: "Base" = field(repr=False)
    start: "Start | None" = None
    vectors: list[Any] = field(default_factory=list, repr=False)
    """Of every session, once an encoder that is not trained has read them."""

    def phase(
        self, name: str, seen: Sequence[int], pool: "SessionPool", epochs: int, seed: int
    ) -> tuple["RuptureModel", "Collator"]:
        """Trains one phase, from the pre-trained network where there is one."""
        from training.batches import Collator
        from training.phases import Phase, fit, measure_vectors

        spec = make_spec(self.config, self.data, self.base, seen, self.start)
        model = self._model(spec, seed)
        sessions = self._read_once(model, spec)
        collator = Collator(sessions, spec, self.config.schedule.most_turns)
        if not self.run.is_done(PRETRAINED) and self.start is None:
            measure_vectors(model, collator, [*seen, *self.data.invented], seed)
        work = self.run.work(name)
        phase = Phase(name, pool, epochs, seed, work, self.run.folder / "log.csv")
        return fit(model, phase, collator, self.config), collator

    def _read_once(self, model: "RuptureModel", spec: ModelSpec) -> list["PreparedSession"]:
        """All sessions, encoded; with their vectors where no phase changes the encoder."""
        from training.batches import prepare
        from training.encoders import is_fixed, open_reader

        sessions = prepare(self.data.rows, spec, self.base.tokenizer())
        if not is_fixed(self.config, model):
            return sessions
        if not self.vectors:
            read = open_reader(model, spec, self.config.encoder.precision)
            shown = track(sessions, "Encoding", console=Console(stderr=True))
            self.vectors.extend(read(session.encoded) for session in shown)
        return [
            replace(session, vectors=vectors)
            for session, vectors in zip(sessions, self.vectors, strict=True)
        ]

    def _model(self, spec: ModelSpec, seed: int) -> "RuptureModel":
        """The network to begin with: pre-trained, published, or fresh over the base encoder."""
        import torch

        from models.network import RuptureConfig, RuptureModel, from_base

        torch.manual_seed(seed)
        if self.run.is_done(PRETRAINED):
            folder = self.run.folder / PRETRAINED
            model: RuptureModel = RuptureModel.from_pretrained(folder, local_files_only=True)
            return model
        if self.start is not None:
            return self.start.model()
        heads: dict[str, Any] = {
            name: list(getattr(spec, name))
            for name in ("labels", "markers", "strategies", "pillars", "ratings")
        }
        config = RuptureConfig(
            **heads,
            talk=TALK,
            behaviour=BEHAVIOUR,
            n_features=len(spec.features),
            sees_session=self.config.network.sees_session,
            n_members=self.config.network.n_members,
            session_size=self.config.network.session_size,
            feature_size=self.config.network.feature_size,
            dropout=self.config.network.dropout,
        )
        return from_base(config, self.base.model)

    def write(self, folder: Path, model: "RuptureModel", spec: ModelSpec) -> None:
        """Weights, configuration, tokenizer and contract: what fine-tuning and publishing need."""
        model.save_pretrained(folder)
        (folder / "tokenizer.json").write_bytes(self.base.tokenizer_json)
        (folder / "spec.json").write_text(spec.to_json(), encoding="utf-8")


def pretrain(trainee: Trainee) -> None:
    """The invented sessions alone; nothing where no epochs are asked for."""
    from training.batches import SessionPool

    config, data = trainee.config, trainee.data
    if not config.schedule.pretrain_epochs or trainee.run.is_done(PRETRAINED):
        return
    if not data.invented:
        raise ConfigError("schedule.pretrain_epochs", "no invented sessions: 0, or see [data]")
    pool = SessionPool(
        data.invented, seed=config.seed, copies=data.copies, share=config.augment.share
    )
    model, collator = trainee.phase(
        PRETRAINED, data.invented, pool, config.schedule.pretrain_epochs, config.seed
    )
    trainee.run.store(PRETRAINED, lambda to: trainee.write(to, model, collator.spec))


def train_fold(trainee: Trainee, fold: int | None) -> None:
    """A fold's network, with its logits of the sessions it did not see; or the final one (None)."""
    from training.batches import SessionPool

    config, data = trainee.config, trainee.data
    name = "final" if fold is None else f"fold-{fold}"
    if trainee.run.is_done(name):
        return
    seen = data.seen(fold)
    seed = config.seed + (config.n_folds if fold is None else fold)
    pool = SessionPool(
        seen,
        data.invented,
        config.schedule.invented_per_epoch,
        seed=seed,
        copies=data.copies,
        share=config.augment.share,
    )
    model, collator = trainee.phase(name, seen, pool, config.schedule.epochs, seed)

    def write(folder: Path) -> None:
        trainee.write(folder, model, collator.spec)
        if fold is not None:
            _write_logits(folder / PREDICTIONS, model, collator, data.held(fold), {})

    trainee.run.store(name, write)


def _write_logits(
    path: Path,
    model: "RuptureModel",
    collator: "Collator",
    places: Sequence[int],
    about: Mapping[str, str],
) -> None:
    from safetensors.numpy import save_file

    from training.phases import predict

    found = {
        f"{collator.sessions[place].session_id}/{head}": np.ascontiguousarray(logits)
        for place in places
        for head, logits in predict(model, collator, place).items()
    }
    save_file(found, path, metadata=dict(about))


def gather_predictions(run: Run, config: TrainConfig) -> None:
    """All folds' logits in one file, with what tells the run apart."""
    from safetensors.numpy import load_file, save_file

    if not config.n_folds or not is_main():
        return
    found: dict[str, Any] = {}
    for fold in range(config.n_folds):
        found |= load_file(run.folder / f"fold-{fold}" / PREDICTIONS)
    about = {
        "seed": str(config.seed),
        "n_folds": str(config.n_folds),
        "fold_seed": str(config.fold_seed),
        "config_sha256": hashlib.sha256((run.folder / "config.toml").read_bytes()).hexdigest(),
    }
    part = run.folder / f"{PREDICTIONS}.part"
    save_file(found, part, metadata=about)
    os.replace(part, run.folder / PREDICTIONS)


def train(
    config: TrainConfig,
    out: Path,
    *,
    base: str | None = None,
    resume: bool = False,
    allow_download: bool = False,
) -> None:
    """The whole run.

    Args:
        config: what to train.
        out: the run's folder.
        base: folder of the encoder, where it is not to be looked for by its name.
        resume: go on with the run in `out`; without one, start it.
        allow_download: whether the encoder may be fetched from the hub.

    Raises: TrainingDataError: see the steps.
    """
    from training.encoders import load_base, open_start

    run = Run.open(out, config, resume=resume)
    start = open_start(config.encoder.start) if config.encoder.start else None
    encoder = (
        load_base(base or config.encoder.base, config, allow_download=allow_download)
        if start is None
        else start.base()
    )
    data = read_data(config, start.spec.features if start else None)
    hold_labels(data, config)
    _note_environment(run, encoder, data)
    trainee = Trainee(config, run, data, encoder, start)
    pretrain(trainee)
    for fold in range(config.n_folds):
        train_fold(trainee, fold)
    gather_predictions(run, config)
    if config.final:
        train_fold(trainee, None)
    if is_main():
        shutil.rmtree(run.folder / ".work", ignore_errors=True)


def _note_environment(run: Run, base: "Base", data: Data) -> None:
    """Writes what the run began with; one that goes on is held to the same encoder and sessions.

    Else some folds would have learned from other sessions than the rest, and figures over all
    of them would mean nothing.
    """
    import torch
    import transformers

    if not is_main():
        return
    path = run.folder / "environment.json"
    now = {"base_sha256": base.sha256, "data_sha256": data.sha256}
    if path.exists():
        # Runs that were begun before this was noted go on as they are.
        found = {**now, **json.loads(path.read_text("utf-8"))}
        if found["data_sha256"] != now["data_sha256"]:
            reason = "was begun on other sessions, labels or rules: name another folder"
            raise ConfigError(str(run.folder), reason)
        hold_same(found, now, "the run in this folder")
        return
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    about = {**now, **versions, "python": platform.python_version()}
    write_whole(path, json.dumps(about, indent=1) + "\n")


@told()
def command(
    config: Annotated[Path, typer.Argument(help="What to train, TOML.", exists=True)],
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    base: Annotated[
        str | None, typer.Option(envvar="RUPTURE_BASE", help="Folder of the base encoder.")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Other than in the file; 0: none.")] = None,
    seed: Annotated[int | None, typer.Option(help="Other than in the file.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run.")] = False,
    allow_download: Annotated[
        bool, typer.Option("--allow-download", help="Fetch the encoder from the hub.")
    ] = False,
) -> None:
    """Train the network: pre-training, every fold, and the final one."""
    changed = {"n_folds": folds, "seed": seed}
    read = read_config(config, **{k: v for k, v in changed.items() if v is not None})
    # Several GPUs are for `accelerate launch`; alone, the Trainer would split batches by rows.
    if "LOCAL_RANK" not in os.environ:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not allow_download:
        # Asked for local files only, the library still asks the hub who is calling.
        os.environ["HF_HUB_OFFLINE"] = "1"
    train(read, out, base=base, resume=resume, allow_download=allow_download)
    typer.echo(str(out))


if __name__ == "__main__":
    typer.run(command)
