"""One stretch of training: a model, the sessions it goes through, and HF Trainer.

The Trainer is given its parts (optimizer, schedule, loss, collator, callbacks); nothing of it is
replaced. Everything drawn hangs on seed and epoch, so that a run that was killed goes on to the
same weights that it would have had.
"""

import csv
import datetime
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback

from models.network import HEADS, RuptureModel
from training.batches import Collator, Draw, SessionPool
from training.config import ConfigError, TrainConfig
from training.corpus import TrainingDataError
from training.encoders import layers_of
from training.losses import SessionLoss

LOG_COLUMNS = ("time", "phase", "epoch", "step", "loss", "gradient_norm", "rate")

N_MEASURED = 80
"""Sessions on which centre and spread of turn vectors are measured; some 5,000 turns fix both to
two digits. A judgement."""

LORA_SCALE = 2.0
"""By how much low-rank updates count (alpha over rank), the usual choice (Hu et al. 2022)."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Which sessions are gone through, how often, and where it is written.

    `work` holds the Trainer's checkpoints while the phase lasts; `log` is the run's CSV file.
    """

    name: str
    pool: SessionPool
    epochs: int
    seed: int
    work: Path
    log: Path


def fit(model: RuptureModel, phase: Phase, collator: Collator, config: TrainConfig) -> RuptureModel:
    """Trains the model, from the phase's last checkpoint where there is one.

    Returns: the model, low-rank updates merged.

    Raises: ConfigError: the encoder has fewer layers than are to be frozen, or a library that
        the configuration names is not installed. TrainingDataError: the loss is not finite.
    """
    _prepare_encoder(model, config)
    if config.encoder.gradient_checkpointing:
        # The library is renaming it: the new name where there is one.
        by_old_name = getattr(model, "gradient_checkpointing_enable", None)
        enable: Any = getattr(model, "activation_checkpointing_enable", by_old_name)
        enable({"use_reentrant": False})
    arguments = _arguments(phase, config)
    with _bar(phase) as bar:
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=phase.pool,
            data_collator=collator,
            compute_loss_func=SessionLoss(config.loss),
            callbacks=[
                _Epochs(phase.pool),
                _Log(phase),
                _Watch(phase, bar),
                *_events(phase, config),
            ],
            optimizers=_optimizer(model, phase, arguments, config),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=last_checkpoint(phase.work))
    trained: RuptureModel = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    if config.encoder.lora_rank:
        trained.encoder.base = trained.encoder.base.merge_and_unload()  # type: ignore[operator]
    return trained


def last_checkpoint(work: Path) -> str | None:
    """The newest checkpoint that was written to its end; None where there is none.

    The Trainer writes its state last: a folder without it was cut off by a kill.
    """
    found = []
    for state in work.glob("checkpoint-*/trainer_state.json"):
        try:
            found.append((json.loads(state.read_text("utf-8"))["global_step"], str(state.parent)))
        except (ValueError, KeyError):
            continue
    return max(found, default=(0, None))[1]


def measure_vectors(
    model: RuptureModel, collator: Collator, places: Sequence[int], seed: int
) -> None:
    """Sets the model's centre and spread of turn vectors, on a sample of sessions it may see."""
    rng = np.random.default_rng([seed, len(places)])
    drawn = rng.choice(np.unique(places), min(N_MEASURED, len(set(places))), replace=False)
    model.train(False)
    with torch.inference_mode():
        vectors = [_vectors(model, collator, int(place)) for place in sorted(drawn)]
    model.standardise.measure(torch.cat(vectors))


def _vectors(model: RuptureModel, collator: Collator, place: int) -> torch.Tensor:
    """A whole session's turn vectors: as known, else as the model reads them now."""
    session = collator.sessions[place]
    if session.vectors is not None:
        return torch.from_numpy(session.vectors)
    whole = Collator(collator.sessions, collator.spec, most_turns=None)([Draw(place, ())])
    return model.read_turns(_moved(whole["batches"], model.device), len(session))


def predict(
    model: RuptureModel, collator: Collator, place: int
) -> dict[str, npt.NDArray[np.float32]]:
    """Logits of one whole session: (n_turns, n_columns) by head, (n_ratings,) for `ratings`."""
    whole = Collator(collator.sessions, collator.spec, most_turns=None)
    batch = _moved(whole([Draw(place, ())]), model.device)
    batch.pop("labels")
    model.train(False)
    with torch.inference_mode():
        found = model(**batch)
    kept = [*(head for head in HEADS if head not in ("talk", "behaviour")), "ratings"]
    return {head: found[head][0].float().cpu().numpy() for head in kept if head in found}


def _moved(value: Any, device: torch.device) -> Any:
    """The same lists and mappings, tensors on the device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _moved(one, device) for name, one in value.items()}
    return [_moved(one, device) for one in value]


def _arguments(phase: Phase, config: TrainConfig) -> TrainingArguments:
    schedule = config.schedule
    try:
        return TrainingArguments(
            output_dir=str(phase.work),
            per_device_train_batch_size=schedule.sessions_per_batch,
            num_train_epochs=phase.epochs,
            max_grad_norm=schedule.max_norm,
            bf16=schedule.bf16,
            use_cpu=not torch.cuda.is_available(),
            logging_steps=schedule.log_steps,
            logging_nan_inf_filter=False,
            save_strategy="epoch",
            save_total_limit=1,
            report_to=[],
            disable_tqdm=True,
            seed=phase.seed,
            data_seed=phase.seed,
            remove_unused_columns=False,
            label_names=["labels"],
            dataloader_pin_memory=False,
            ddp_find_unused_parameters=False,
        )
    except ValueError as error:
        raise ConfigError("schedule.bf16", f"not on this machine ({error})") from error


def _events(phase: Phase, config: TrainConfig) -> list[TrainerCallback]:
    """What writes a phase's events for TensorBoard, beside the log: its work folder goes."""
    if not config.schedule.tensorboard:
        return []
    try:
        made = TensorBoardCallback()
    except (ImportError, RuntimeError) as error:
        raise ConfigError("schedule.tensorboard", "tensorboard is not installed") from error
    made.logging_dir = str(phase.log.parent / "tensorboard" / phase.name)
    return [made]


def _optimizer(
    model: RuptureModel, phase: Phase, arguments: TrainingArguments, config: TrainConfig
) -> tuple[torch.optim.Optimizer, Any]:
    """AdamW with a rate for the encoder and one for the session networks, on one cycle."""
    schedule = config.schedule
    parts = [(model.encoder, schedule.encoder_rate), (model.members, schedule.session_rate)]
    groups = [
        {"params": trained, "lr": rate}
        for part, rate in parts
        if (trained := [p for p in part.parameters() if p.requires_grad])
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=schedule.weight_decay)
    batches = math.ceil(len(phase.pool) / schedule.sessions_per_batch)
    steps = math.ceil(batches / arguments.world_size) * phase.epochs
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=steps + 1, pct_start=schedule.warmup
    )
    return optimizer, cycle


def _prepare_encoder(model: RuptureModel, config: TrainConfig) -> None:
    """Freezes the lower layers, or puts low-rank updates beside the others.

    A frozen layer stays in the graph, but as nothing below it needs a gradient, torch keeps no
    activations of it.
    """
    n_frozen, rank = config.encoder.frozen_layers, config.encoder.lora_rank
    base = model.encoder.base
    name, layers = layers_of(base)
    if n_frozen > len(layers):
        raise ConfigError("encoder.frozen_layers", f"the encoder has {len(layers)} layers")
    if rank:
        model.encoder.base = _with_updates(base, f"{name}.", n_frozen, rank)
        return
    if n_frozen == len(layers):
        base.requires_grad_(False)  # what stands above the layers too, such as a last norm
    elif n_frozen:
        for parameter_name, parameter in base.named_parameters():
            if "embed" in parameter_name:
                parameter.requires_grad = False
        for layer in list(layers)[:n_frozen]:
            layer.requires_grad_(False)


def _with_updates(base: nn.Module, stack: str, n_frozen: int, rank: int) -> Any:
    """The encoder with low-rank updates on the linear maps of its unfrozen layers."""
    try:
        from peft import LoraConfig, get_peft_model
    except ModuleNotFoundError as error:
        raise ConfigError("encoder.lora_rank", "peft is not installed") from error
    linear = [
        name
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear)
        and name.startswith(stack)
        and int(name.removeprefix(stack).split(".")[0]) >= n_frozen
    ]
    updates = LoraConfig(r=rank, lora_alpha=int(LORA_SCALE * rank), target_modules=linear)
    return get_peft_model(base, updates)


class _Epochs(TrainerCallback):
    """Tells the pool which epoch it is, so that it draws anew."""

    def __init__(self, pool: SessionPool) -> None:
        self.pool = pool

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.pool.set_epoch(round(state.epoch or 0))


class _Log(TrainerCallback):
    """Writes what the Trainer logs into the run's CSV file, and stops at a broken loss.

    After a kill the steps that were done twice are there twice.
    """

    def __init__(self, phase: Phase) -> None:
        self.phase = phase

    def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
        control.should_log = True  # or a phase of few steps would leave no line
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise TrainingDataError(
                f"{self.phase.name}, step {state.global_step}: the loss is not finite; lower "
                "schedule.encoder_rate and schedule.session_rate, or turn schedule.bf16 off"
            )
        if not state.is_world_process_zero:
            return
        with self.phase.log.open("a", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            if file.tell() == 0:
                rows.writerow(LOG_COLUMNS)
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            values = (logs["loss"], logs.get("grad_norm", math.nan), logs["learning_rate"])
            numbers = [f"{float(value):.6g}" for value in values]
            rows.writerow([now, self.phase.name, f"{state.epoch:.3f}", state.global_step, *numbers])


class _Watch(TrainerCallback):
    """Moves the bar; where nobody watches a terminal, says a line an epoch instead."""

    def __init__(self, phase: Phase, bar: tuple[Progress, TaskID]) -> None:
        self.phase, (self.progress, self.task) = phase, bar

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.progress.update(self.task, completed=state.global_step, total=state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        is_told = state.is_world_process_zero and self.progress.disable and "loss" in logs
        if is_told and float(state.epoch).is_integer():
            epoch = f"epoch {round(state.epoch)} of {self.phase.epochs}"
            typer.echo(f"{self.phase.name}: {epoch}, loss {logs['loss']:.3f}", err=True)


@contextmanager
def _bar(phase: Phase) -> Iterator[tuple[Progress, TaskID]]:
    console = Console(stderr=True)
    is_watched = console.is_terminal and os.environ.get("RANK", "0") == "0"
    with Progress(console=console, disable=not is_watched) as progress:
        yield progress, progress.add_task(phase.name, total=None)
