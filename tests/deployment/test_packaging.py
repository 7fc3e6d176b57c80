"""Only the chosen model is packaged, and only once its evaluation lets it serve; what is missing is said in one sentence."""

from pathlib import Path
from typing import Any

import pytest

from ml_assets.deployment.batch import live_model
from ml_assets.deployment.packaging import newest_bento, passed_model
from ml_assets.errors import Missing
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows


@pytest.fixture
def empty(tmp_path: Path) -> ProjectStore:
    """Tables of a project without a model."""
    return ProjectStore("letters", tmp_path / "store")


def evaluated(store: ProjectStore, **found: Any) -> None:
    """Write how the chosen model did."""
    store.table("models").upsert(rows("models", [{"id": "letters-1", "at": now()}]))
    chosen = {"id": "mlp", "model": "letters-1", "score": 1.0, "chosen": True, "at": now()}
    store.table("candidates").upsert(rows("candidates", [chosen]))
    if found:
        row = {"id": "letters-1", "model": "letters-1", "metrics": "{}", "samples": 1, "at": now()}
        store.table("evaluations").upsert(rows("evaluations", [row | found]))


def test_what_is_missing_is_said(empty: ProjectStore) -> None:
    with pytest.raises(Missing, match=r"^there is no model yet: run the asset model$"):
        passed_model(empty)
    evaluated(empty)
    with pytest.raises(Missing, match=r"^letters-1 has not been evaluated: run the asset evaluation$"):
        passed_model(empty)
    with pytest.raises(Missing, match=r"^there is no Bento of letters-1 yet: run the asset bento$"):
        newest_bento(empty, "letters-1")
    with pytest.raises(Missing, match=r"^nothing serves yet: run the asset deployment$"):
        live_model(empty)


def test_a_model_that_did_not_pass_may_not_serve(empty: ProjectStore) -> None:
    evaluated(empty, passed=False, reason="accuracy is 0.5000, below the minimum 0.9")
    with pytest.raises(Missing, match=r"^letters-1 may not serve: accuracy is 0\.5000, below the minimum 0\.9$"):
        passed_model(empty)
    evaluated(empty, passed=True)
    assert passed_model(empty) == "letters-1"
