"""Trains models on all labelled training samples and registers them in MLflow."""

import json
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ml_assets.errors import Failed, Missing
from ml_assets.features.feature_set import FeatureSet
from ml_assets.modalities import Modality
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import Task
from ml_assets.training.architectures import ARCHITECTURES, Architecture
from ml_assets.training.candidates import Candidate, required_candidates
from ml_assets.training.data import SplitData, items_of, split_data
from ml_assets.training.epoch_log import EpochLog
from ml_assets.training.fit import fit
from ml_assets.training.journal import checkpoint as checkpoint_of
from ml_assets.training.provenance import code_version
from ml_assets.training.seal import digests, of_model, record_model
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker
from ml_assets.training.trained_model import TrainedModel
from ml_assets.training.tuning import describe

EXAMPLES = 8


class TrainedCandidate(NamedTuple):
    """A candidate with its model.

    Args:
        candidate: The feature set and architecture.
        score: Primary metric on the validation samples, of the best trial of its study.
        row: Row of table `models`.
    """

    candidate: Candidate
    score: float
    row: dict[str, Any]

    @property
    def samples(self) -> int:
        """Number of samples that the model was trained on."""
        return sum(split == "train" for split in self.candidate.feature_set.rows["split"].to_pylist())


def train_models(
    store: ProjectStore,
    modality: Modality,
    task: Task,
    settings: TrainingSettings,
    tracker: Tracker,
    folder: Path,
    log: Callable[[str], None],
    clock: Callable[[], datetime],
) -> list[TrainedCandidate]:
    """Train the model of each candidate with the best trial of its study. The caller must hold the project's lock.

    Arguments as those of `studies.run_studies`. Raises `Missing` without a feature set or a study.
    """
    made = []
    for candidate in required_candidates(store, settings):
        chosen = candidate.feature_set
        found = store.table("studies").take([candidate.study]).to_pylist()
        if not found:
            raise Missing(f"there is no study of {candidate.name} on {chosen.id} yet: run the asset study")
        best = ARCHITECTURES.parse(json.loads(found[0]["best"]))
        data = split_data(store, chosen, modality, task, best, "train")
        row = train_model(
            store, chosen, data, best, modality, task, settings.seed, candidate.study, code_version(), tracker, clock(),
            EpochLog(f"{candidate.name}: ", best.epochs, log).of_model, checkpoint_of(folder, candidate.study, "model"),
        )  # fmt: skip
        made.append(TrainedCandidate(candidate, found[0]["score"], row))
    return made


def train_model(
    store: ProjectStore,
    chosen: FeatureSet,
    data: SplitData,
    architecture: Architecture,
    modality: Modality,
    task: Task,
    seed: int,
    study: str,
    code: str,
    tracker: Tracker,
    at: datetime,
    on_epoch: Callable[[int, Mapping[str, float]], None],
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Train a model, register it in MLflow, and return its row of table `models`. The caller must hold the project's lock.

    Training again on the same feature set with the same settings returns the existing model; an interrupted training continues
    from `checkpoint`.
    """
    modality = modality.only(chosen.inputs)
    encoder = modality.encoder(chosen.encoder)
    known = [r for r in store.table("models").read().to_pylist() if r["study"] == study and r["code"] == code and
             json.loads(r["architecture"]) == describe(architecture) and r["feature_set"] == chosen.id]  # fmt: skip
    if known:
        return max(known, key=lambda r: r["at"])
    tags = {"dataset": chosen.dataset, "feature_set": chosen.id, "study": study, "code": code}
    with tracker.run("model", {**describe(architecture), "seed": seed, "samples": len(data.ids)}, tags) as run:

        def both(epoch: int, values: Mapping[str, float]) -> None:
            run.curve(epoch, values)
            on_epoch(epoch, values)

        network = fit(architecture, encoder, data.examples, chosen.classes, task, seed, on_epoch=both, checkpoint=checkpoint)
        version = f"{store.project}-{tracker.next_version()}"
        model = TrainedModel(
            {
                "project": store.project,
                "version": version,
                "modality": {"type": modality.type, **modality.model_dump(mode="json")},
                "task": {"type": task.type, **task.model_dump(mode="json")},
                "encoder": {"name": encoder.name, "dimensions": encoder.dimensions},
                "architecture": describe(architecture),
                "classes": list(chosen.classes),
                "dataset": chosen.dataset,
                "feature_set": chosen.id,
                "run_id": run.id,
                "trained_at": at.isoformat(),
                "code": code,
                "examples": [],
            },
            network,
        )
        model.description["examples"] = _examples(store, data, model)
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "model")
            weights = content_id((Path(folder) / "model" / "model.safetensors").read_bytes())
            files = digests(Path(folder) / "model")  # before the upload to MLflow, where others may write
            number = tracker.register(run, Path(folder) / "model")
        if f"{store.project}-{number}" != version:
            raise Failed(
                f"MLflow registered {store.project} {number} where {version} was expected: somebody else registers there"
            )
    row = {
        "id": version,
        "run_id": run.id,
        "uri": f"models:/{store.project}/{number}",
        "study": study,
        "dataset": chosen.dataset,
        "feature_set": chosen.id,
        "encoder": encoder.name,
        "architecture": json.dumps(describe(architecture)),
        "classes": json.dumps(chosen.classes),
        "weights": weights,
        "code": code,
        "at": at,
        "files": json.dumps(files),
        "examples": json.dumps(model.description["examples"]),
    }
    store.table("models").upsert(rows("models", [row]))
    return row


def registered(store: ProjectStore, tracker: Tracker, version: str, folder: Path) -> tuple[Path, TrainedModel]:
    """Download a registered model below `folder` and load it; it must match the project's own tables. Raises `Tampered`."""
    seal = of_model(store, version)
    found = tracker.download(version, folder, seal)
    model = TrainedModel.load(found, seal)
    if seal.files is None:
        model.check_examples()
        record_model(store, version, found)
    return found, model


def _examples(store: ProjectStore, data: SplitData, model: TrainedModel) -> list[dict[str, Any]]:
    """A few training samples with the model's scores, by which a server checks that it loaded the model correctly."""
    step = max(1, len(data.ids) // EXAMPLES)
    items = items_of(store, model.modality, data.ids[::step][:EXAMPLES])
    scores = model.predict(items).scores
    return [
        {"content": model.modality.to_json(item), "scores": [round(float(p), 6) for p in row]}
        for item, row in zip(items, scores, strict=True)
    ]
