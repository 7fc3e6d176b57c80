"""Trains one network with Lightning, and predicts with it."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.compute import device, has_bfloat16, limit_threads, outputs, placed
from ml_assets.modalities import Encoder
from ml_assets.tasks import Predicted, Task
from ml_assets.training.architectures import Architecture
from ml_assets.training.journal import put_aside

OnEpoch = Callable[[int, Mapping[str, float]], None]
VALIDATIONS = 12
"""Minimum number of validations in a long training; a short one is validated after each epoch."""
CHECKPOINT_SECONDS = 5.0
"""Minimum time between checkpoints: a crash loses at most this much work and the current epoch."""


@dataclass(frozen=True)
class Examples:
    """Inputs of a network with their targets.

    Args:
        inputs: `(n, …)`, as returned by `Architecture.inputs`; embeddings are `(n, d) float32`.
        values: `n` values of the label task.
        items: The `n` items, if the task's metrics need them; else empty.
        groups: The group of each of the `n` samples (a speaker, a document), or a name of its own; empty without groups.
    """

    inputs: NDArray[Any]
    values: Sequence[str]
    items: Sequence[Any] = ()
    groups: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: NDArray[Any]) -> "Examples":
        """The examples at these positions."""
        items, groups = ([each[i] for i in index if each] for each in (self.items, self.groups))
        return Examples(self.inputs[index], [self.values[i] for i in index], items, groups)


def fit(
    architecture: Architecture,
    encoder: Encoder,
    train: Examples,
    classes: Sequence[str],
    task: Task,
    seed: int,
    validation: Examples | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoint: Path | None = None,
    until: float = math.inf,
) -> Any:
    """Train a network and return it (a `torch.nn.Module` on the CPU, in evaluation mode).

    An error that `on_epoch` raises ends the training and comes out here.

    Args:
        architecture: The network and how it is optimised.
        encoder: The encoder of its inputs.
        train: The samples to learn from.
        classes: The classes to predict.
        task: The label task, which defines targets and loss.
        seed: Seed of initialisation, batches and dropout; derived anew per epoch, so that a continued training is the same.
        validation: Validation samples.
        on_epoch: Gets the epoch and `train_loss`, `learning_rate` and, after each look at the validation samples, `val_loss`
            and, by the name of the task's `trial_metric`, such as `val_accuracy`.
        checkpoint: File that stores the state of the training, from which it continues after a crash.
        until: Value of `time.monotonic()` at which it stops, wherever it is.
    """
    import logging
    import warnings

    import lightning
    import torch
    from torch.utils.data import DataLoader, Dataset, DistributedSampler

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*(num_workers|does not have many workers|LeafSpec|no `val_dataloader`).*")
    limit_threads()
    where = device()
    lightning.seed_everything(seed, verbose=False)
    module = _module(architecture, encoder, classes, task, seed, on_epoch, checkpoint, until)

    class Rows(Dataset[Any]):  # type: ignore[misc]
        """A dataset of inputs and targets that returns a whole batch at once instead of row by row."""

        def __init__(self, *columns: torch.Tensor) -> None:
            self.columns = columns

        def __len__(self) -> int:
            return len(self.columns[0])

        def __getitems__(self, index: list[int]) -> list[torch.Tensor]:
            return [column[index] for column in self.columns]

    def loader(examples: Examples, shuffle: bool) -> Any:
        targets = architecture.targets(examples.values, examples.inputs, classes, task)
        data = Rows(torch.from_numpy(examples.inputs), torch.from_numpy(targets))
        # with one replica a plain shuffle, whose order follows from seed and epoch alone
        sampler = DistributedSampler(data, num_replicas=1, rank=0, seed=seed) if shuffle else None
        return DataLoader(data, batch_size=architecture.batch_size, sampler=sampler, collate_fn=lambda batch: batch)

    trainer = lightning.Trainer(
        min_epochs=0,
        max_epochs=architecture.epochs,
        accelerator=where.type,
        devices=1 if where.type == "cpu" else [where.index],
        deterministic=None if where.type == "cpu" else "warn",  # otherwise sums on a GPU differ between runs
        precision="bf16-mixed" if architecture.mixed_precision and has_bfloat16(where) else "32-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=validation_epochs(architecture.epochs),
        use_distributed_sampler=False,
    )
    known = checkpoint if checkpoint is not None and _is_whole(checkpoint) else None
    trainer.fit(
        module,
        loader(train, True),
        None if validation is None else loader(validation, False),
        ckpt_path=known,
        weights_only=True,
    )
    if checkpoint is not None:
        for file in (checkpoint, checkpoint.with_suffix(".part")):  # .part: left by a killed process
            file.unlink(missing_ok=True)
    return module.network.cpu().eval()


def _is_whole(checkpoint: Path) -> bool:
    """Whether there is a checkpoint to continue from; a damaged one is renamed and logged."""
    import pickle

    import torch

    if not checkpoint.exists():
        return False
    try:
        found = torch.load(checkpoint, map_location="cpu", weights_only=True)
        missing = {"epoch", "global_step", "loops", "state_dict", "optimizer_states", "lr_schedulers"} - set(found)
        why = f"it lacks {', '.join(sorted(missing))}" if missing else ""
    except (OSError, EOFError, LookupError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        why = f"it cannot be read ({(str(error).splitlines() or [type(error).__name__])[0][:120]})"
    if why:
        put_aside(checkpoint, f"{why}, so the training starts anew")
    return not why


def predict(architecture: Architecture, network: Any, inputs: NDArray[Any], classes: Sequence[str], task: Task) -> Predicted:
    """Predict `n` inputs, in their order."""
    if not len(inputs):
        return Predicted([], np.zeros(0, np.float32), np.zeros((0, len(classes)), np.float32))
    found = logits(network, inputs, architecture.predict_batch, architecture.lengths(inputs))
    return architecture.predicted(found, inputs, classes, task)


def logits(network: Any, inputs: NDArray[Any], batch: int = 4096, lengths: NDArray[Any] | None = None) -> NDArray[Any]:
    """`(n, …) float32` logits of at least one input, in batches sorted by `lengths` if these are given."""
    order = np.arange(len(inputs)) if lengths is None else np.argsort(lengths, kind="stable")
    sorted_ = outputs(network, lambda index: inputs[index], order, batch)
    found = np.empty_like(sorted_)
    found[order] = sorted_
    return found


def validation_epochs(epochs: int) -> int:
    """Number of epochs between validations."""
    return max(1, epochs // VALIDATIONS)


def _module(
    architecture: Architecture,
    encoder: Encoder,
    classes: Sequence[str],
    task: Task,
    seed: int,
    on_epoch: OnEpoch | None,
    checkpoint: Path | None,
    until: float,
) -> Any:
    """Create the LightningModule; inside of a function so that importing this file does not import torch."""
    import lightning
    import torch

    plain = architecture.model_copy(update={"label_smoothing": 0.0})

    class Classifier(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = architecture.network(encoder, len(classes))
            self.losses: list[torch.Tensor] = []
            self.kept = time.monotonic()

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            with placed(self.device):
                inputs, targets = architecture.augment(*batch)
                loss = architecture.loss(self.network(inputs), targets, task)
            self.losses.append(loss.detach())
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            inputs, targets = batch
            with placed(self.device):
                found = self.network(inputs)
                loss, score = plain.loss(found, targets, task), architecture.score(found, targets, task).mean()
            self.log("val_loss", loss, batch_size=len(targets))
            self.log(f"val_{task.trial_metric}", score, batch_size=len(targets))

        def on_train_batch_start(self, _: Any, index: int) -> None:
            if index == 0:  # the hook of the epoch's start is not called in the first epoch after a continuation
                torch.manual_seed(seed + 1_000_003 * (self.current_epoch + 1))

        def on_train_batch_end(self, *_: Any) -> None:
            if time.monotonic() >= until:
                self.trainer.should_stop = True

        def on_train_epoch_end(self) -> None:
            if on_epoch is not None:
                # between two looks at the validation samples Lightning would repeat the last one
                looked = (self.current_epoch + 1) % validation_epochs(architecture.epochs) == 0
                found = self.trainer.callback_metrics if looked else {}
                values = {name: float(value) for name, value in found.items() if name.startswith("val_")}
                values["train_loss"] = float(torch.stack(self.losses).mean())
                values["learning_rate"] = self.trainer.optimizers[0].param_groups[0]["lr"]
                on_epoch(self.current_epoch, values)
            self.losses.clear()
            if checkpoint is not None and time.monotonic() - self.kept > CHECKPOINT_SECONDS:
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                part = checkpoint.with_suffix(".part")
                self.trainer.save_checkpoint(part)
                os.replace(part, checkpoint)
                self.kept = time.monotonic()

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(
                architecture.parameters(self.network), lr=architecture.learning_rate, weight_decay=architecture.weight_decay
            )
            steps = max(1, int(self.trainer.estimated_stepping_batches))
            rise = architecture.warmup * steps

            def share(step: int) -> float:
                if step < rise:
                    return (step + 1) / (rise + 1)
                return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / (steps - rise))))

            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
            return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    return Classifier()
