"""Figures that say little are told, and are no pass."""

import json

import dagster as dg
import pytest

from ml_assets.modalities import Text
from ml_assets.orchestration.resources import Workspace
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.training.candidates import candidates
from ml_assets.training.checks import training_checks
from ml_assets.training.settings import TrainingSettings

from .topics import AT, CLASSES, QUICK, fill

SETTINGS = TrainingSettings(architecture=QUICK)


def check(name: str, store: ProjectStore, monkeypatch: pytest.MonkeyPatch) -> dg.AssetCheckResult:
    monkeypatch.setattr(Workspace, "store", lambda self, project: store)
    [made] = (c for c in training_checks(store.project, SETTINGS, Text()) if c.check_key.name == name)
    found = made(workspace=Workspace())
    assert isinstance(found, dg.AssetCheckResult)
    return found


@pytest.mark.parametrize(
    ("ended", "passed"), [(["stopped"], False), (["pruned", "stopped"], False), (["finished", "stopped"], True)]
)
def test_a_study_that_was_cut_off_is_no_pass(
    store: ProjectStore, monkeypatch: pytest.MonkeyPatch, ended: list[str], passed: bool
) -> None:
    fill(store)
    [candidate] = candidates(store, SETTINGS)
    trials = [{"number": n, "score": 0.0, "ended": how} for n, how in enumerate(ended)]
    study = {"id": candidate.study, "best": "{}", "score": 0.0, "trials": json.dumps(trials), "at": AT}
    store.table("studies").insert(rows("studies", [study]))
    found = check("trials_finished", store, monkeypatch)
    assert found.passed is passed
    assert passed or (found.description or "").startswith("mlp: no trial came to its end within `training.minutes`")


@pytest.mark.parametrize(("samples", "passed"), [(7, False), (99, False), (100, True)])
def test_a_few_test_samples_are_no_pass(
    store: ProjectStore, monkeypatch: pytest.MonkeyPatch, samples: int, passed: bool
) -> None:
    fill(store)
    store.table("models").insert(rows("models", [{"id": "topics-1", "classes": json.dumps(CLASSES), "at": AT}]))
    chosen = {"id": "mlp", "model": "topics-1", "chosen": True, "at": AT}
    store.table("candidates").insert(rows("candidates", [chosen]))
    evaluation = {"id": "topics-1", "model": "topics-1", "samples": samples, "passed": True, "at": AT}
    store.table("evaluations").insert(rows("evaluations", [evaluation]))
    found = check("enough_tested", store, monkeypatch)
    assert found.passed is passed
    assert passed or (found.description or "").startswith(f"too few: {samples} of 100 test samples")
