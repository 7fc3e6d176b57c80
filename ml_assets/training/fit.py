"""Fits one network with Lightning."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.compute import limit_threads
from ml_assets.training.architectures import Architecture

OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Examples:
    """Vectors with their targets.

    Args:
        vectors: `(n, d) float32`.
        targets: `(n,) int64`, indices of classes.
    """

    vectors: NDArray[np.float32]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, index: NDArray[Any]) -> "Examples":
        """The examples at these positions."""
        return Examples(self.vectors[index], self.targets[index])


def fit(
    architecture: Architecture,
    train: Examples,
    classes: int,
    seed: int,
    validation: Examples | None = None,
    on_epoch: OnEpoch | None = None,
) -> Any:
    """The fitted network (`torch.nn.Module`, in evaluation mode).

    `on_epoch` gets the epoch and `train_loss`, `learning_rate` and, with validation samples, `val_loss` and `val_accuracy`.
    """
    import logging
    import warnings

    import lightning
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*(num_workers|does not have many workers|LeafSpec|no `val_dataloader`).*")
    limit_threads()
    lightning.seed_everything(seed, verbose=False)
    module = _module(architecture, train.vectors.shape[1], classes, on_epoch)

    def loader(examples: Examples, shuffle: bool) -> Any:
        data = TensorDataset(torch.from_numpy(examples.vectors), torch.from_numpy(examples.targets))
        generator = torch.Generator().manual_seed(seed)
        return DataLoader(data, batch_size=architecture.batch_size, shuffle=shuffle, generator=generator)

    trainer = lightning.Trainer(
        max_epochs=architecture.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=5,
    )
    trainer.fit(module, loader(train, True), None if validation is None else loader(validation, False))
    return module.network.eval()


def probabilities(network: Any, vectors: NDArray[np.float32], batch: int = 4096) -> NDArray[np.float32]:
    """`(n, classes) float32` softmax of the network's logits."""
    import torch

    with torch.inference_mode():
        parts = [network(torch.from_numpy(vectors[i : i + batch])).softmax(1).numpy() for i in range(0, len(vectors), batch)]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def _module(architecture: Architecture, inputs: int, classes: int, on_epoch: OnEpoch | None) -> Any:
    """The LightningModule; made here so that importing this file does not import torch."""
    import lightning
    import torch
    from torch.nn.functional import cross_entropy

    class Classifier(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = architecture.network(inputs, classes)
            self.losses: list[torch.Tensor] = []
            self.seen: dict[str, float] = {}

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            vectors, targets = batch
            loss = cross_entropy(self.network(vectors), targets, label_smoothing=architecture.label_smoothing)
            self.losses.append(loss.detach())
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            vectors, targets = batch
            logits = self.network(vectors)
            self.log("val_loss", cross_entropy(logits, targets), batch_size=len(targets))
            self.log("val_accuracy", (logits.argmax(1) == targets).float().mean(), batch_size=len(targets))

        def on_train_epoch_end(self) -> None:
            if on_epoch is not None:
                values = {
                    name: float(value) for name, value in self.trainer.callback_metrics.items() if name.startswith("val_")
                }
                values["train_loss"] = float(torch.stack(self.losses).mean())
                values["learning_rate"] = self.trainer.optimizers[0].param_groups[0]["lr"]
                on_epoch(self.current_epoch, values)
            self.losses.clear()

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(
                self.parameters(), lr=architecture.learning_rate, weight_decay=architecture.weight_decay
            )
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=architecture.epochs)
            return [optimizer], [schedule]

    return Classifier()
