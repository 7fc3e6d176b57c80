"""Are the model's answers still like those that it gave when it was tested?"""

from typing import ClassVar

from ml_assets.monitoring.monitors.base import Finding, Monitor
from ml_assets.monitoring.profiles import Profile

COLUMNS = ("label", "confidence", "entropy", "margin")
"""The columns of a profile that come from the model and not from the input."""


class PredictionDrift(Monitor):
    """Compares how often each class is predicted and how sure the model is. Inputs of a kind it never saw make it unsure."""

    name_in_yaml: ClassVar[str] = "prediction_drift"

    def measure(self, reference: Profile, traffic: Profile) -> list[Finding]:
        """Findings of `label`, `confidence` and `entropy`; the margin says what the confidence says."""
        return self.compare(reference, traffic, [c for c in COLUMNS if c != "margin"])
