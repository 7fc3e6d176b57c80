"""A drift monitor of the model's predictions."""

from typing import ClassVar

from ml_assets.monitoring.monitors.base import Finding, Monitor
from ml_assets.monitoring.profiles import Profile

COLUMNS = ("label", "confidence", "entropy", "margin")
"""The columns of a profile that come from the model and not from the input."""


class PredictionDrift(Monitor):
    """Compares how often each class is predicted and how sure the model is; inputs of a new kind make it less sure."""

    name_in_yaml: ClassVar[str] = "prediction_drift"

    def measure(self, reference: Profile, traffic: Profile) -> list[Finding]:
        """Findings for `label`, `confidence` and `entropy`; `margin` is left out because it correlates with the confidence."""
        return self.compare(reference, traffic, [c for c in COLUMNS if c != "margin"])
