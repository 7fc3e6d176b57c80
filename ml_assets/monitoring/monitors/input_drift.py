"""A drift monitor of the model's inputs."""

from typing import ClassVar

from ml_assets.monitoring.monitors.base import Finding, Monitor
from ml_assets.monitoring.monitors.prediction_drift import COLUMNS as PREDICTION
from ml_assets.monitoring.profiles import Profile


class InputDrift(Monitor):
    """Compares the distributions of the inputs' properties (of a text: length, words, script and so on)."""

    name_in_yaml: ClassVar[str] = "input_drift"

    def measure(self, reference: Profile, traffic: Profile) -> list[Finding]:
        """One finding per column that describes the input."""
        return self.compare(reference, traffic, [c for c in reference.columns if c not in PREDICTION])
