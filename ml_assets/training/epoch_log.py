"""Reports the progress of a training: each epoch to the progress bar, some to the log."""

from collections.abc import Callable, Mapping

from ml_assets.state.progress import report


class EpochLog:
    """Reports each epoch of a training to the progress bar, and writes about ten lines of it to the log.

    Args:
        what: Prefix of the log lines.
        epochs: Number of epochs.
        log: Writes a line.
    """

    def __init__(self, what: str, epochs: int, log: Callable[[str], None]):
        self.what, self.epochs, self.log, self.every = what, epochs, log, max(1, epochs // 10)

    def of_trial(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """Report one epoch of a study's trial."""
        self._epoch(f"{self.what}{trial + 1}, ", epoch, values)

    def of_model(self, epoch: int, values: Mapping[str, float]) -> None:
        """Report one epoch of the training of a model."""
        self._epoch(self.what, epoch, values)

    def _epoch(self, what: str, epoch: int, values: Mapping[str, float]) -> None:
        report("epochs", epoch + 1, self.epochs)
        if (epoch + 1) % self.every == 0:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            self.log(f"{what}epoch {epoch + 1} of {self.epochs}: {figures}")
