"""The registry of drift monitors: a new one is a file in this folder and its name in the list."""

from ml_assets.monitoring.monitors.base import Finding, Monitor
from ml_assets.monitoring.monitors.input_drift import InputDrift
from ml_assets.monitoring.monitors.prediction_drift import PredictionDrift
from ml_assets.registry import Registry

MONITORS: Registry[Monitor] = Registry("monitor", InputDrift, PredictionDrift)
MonitorField = MONITORS.field(Monitor)

__all__ = ["MONITORS", "Finding", "InputDrift", "Monitor", "MonitorField", "PredictionDrift"]
