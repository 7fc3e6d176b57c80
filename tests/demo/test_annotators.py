"""Demo annotators at work in a real Label Studio."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_assets.demo import annotators
from ml_assets.labeling import accounts
from ml_assets.labeling.label_studio import LabelStudio
from ml_assets.labeling.pull import pull
from ml_assets.labeling.queue import push_queue
from ml_assets.labeling.settings import LabelingSettings, QueueSettings
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import SingleChoice

AT = datetime(2026, 1, 31, tzinfo=UTC)
TASK = SingleChoice(classes=("positive", "negative"))
FIRST, SECOND, THIRD = annotators.EMAILS


def test_each_answers_what_he_knows_and_nothing_twice(
    label_studio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    store, owner = ProjectStore("opinions"), LabelStudio(label_studio.url, label_studio.token)
    samples = [
        {"id": f"{i:032x}", "text": f"text {i}", "source": "s", "origin": str(i), "split": "train", "split_by": "hash",
         "group": None, "columns": None, "collected_at": AT}
        for i in range(4)
    ]  # fmt: skip
    store.table("samples").upsert(rows("samples", samples))
    options = LabelingSettings(task=TASK, annotators=3, queue=QueueSettings(size=4, strategy="random"))
    project = push_queue(store, owner, options, Text(), lambda ids: np.zeros((len(ids), 1), np.float32), AT).ls_project
    ids = [sample["id"] for sample in samples]
    answers = {
        FIRST: dict.fromkeys(ids, "positive"),
        SECOND: dict.fromkeys(ids[:3], "negative"),
        THIRD: {ids[0]: "negative", "f" * 32: "positive"},  # the last is no task
    }

    seen: list[tuple[int, int]] = []
    assert annotators.label("opinions", TASK, answers, lambda done, total: seen.append((done, total))) == 8
    assert seen[-1] == (8, 8)
    assert owner.waiting(project, annotators=3) == 3

    pull(store, owner, project, TASK, accounts.programs())
    assert set(store.table("annotations").read(["labeler_kind"])["labeler_kind"].to_pylist()) == {"program"}
    found = store.table("annotations").read(["sample_id", "labeler", "value"]).to_pylist()
    expected = {(i, who, value) for who, known in answers.items() for i, value in known.items() if i in ids}
    assert {(row["sample_id"], row["labeler"], row["value"]) for row in found} == expected
    assert annotators.label("opinions", TASK, answers, lambda done, total: None) == 0
    owner.close()
