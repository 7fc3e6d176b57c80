"""The project of the how-to page on extending goes through its stages without servers, in a package that has its plug-ins.

    python through_stages.py FOLDER

Prints what came of it as JSON. MLflow is real, its store lies in the folder.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from ml_assets import settings
from ml_assets.collection.collect import collect
from ml_assets.definitions import defs
from ml_assets.features import feature_set as sets
from ml_assets.features.embeddings import embed_new
from ml_assets.labeling import dataset as datasets
from ml_assets.labeling.annotations import from_given
from ml_assets.labeling.consensus import consolidate
from ml_assets.labeling.media import shown
from ml_assets.monitoring.monitors import MONITORS
from ml_assets.monitoring.profiles import profile, read
from ml_assets.monitoring.traffic import reference_columns
from ml_assets.store import ProjectStore
from ml_assets.training.data import split_data
from ml_assets.training.evaluation import evaluate, log
from ml_assets.training.registration import train_model
from ml_assets.training.tracking import Tracker
from ml_assets.training.trained_model import TrainedModel
from ml_assets.training.tuning import tune

PROJECT = "curves"
AT = datetime(2026, 3, 9, tzinfo=UTC)


def main(folder: Path) -> dict[str, Any]:
    """From the table of curves to an evaluated model, and to the monitors."""
    loaded = defs()
    dg.Definitions.validate_loadable(loaded)
    project, store = settings.load(PROJECT), ProjectStore(PROJECT)
    modality, task, training = project.collection.modality, project.labeling.task, project.training
    encoder = modality.encoder(modality.default_encoder)
    collected = collect(store, project.collection, task, AT, lambda said: None)
    embedded = embed_new(store, modality, encoder, lambda done, total: None)

    annotations = from_given(store.table("given_labels").read())
    dataset, tag = datasets.build(consolidate(annotations, task), store.table("samples").read())
    store.table("dataset").replace(dataset, tag)
    chosen, recipe = sets.choose(dataset, tag, project.features, task, encoder.name)
    sets.save(store, [(chosen, recipe)], AT)

    tracker = Tracker(PROJECT, f"sqlite:///{folder}/mlflow.db")
    tracker.client.create_experiment(PROJECT, artifact_location=str(folder / "artifacts"))
    data = split_data(store, chosen, modality, task, training.architecture, "train")
    study = tune("st-1", data.examples, encoder, chosen.classes, task, training.architecture, training, tracker, {}, folder)
    row = train_model(
        store, chosen, data, study.best, modality, task, training.seed, study.id, "1", tracker, AT, lambda *_: None
    )
    done = evaluate(store, row["id"], chosen, modality, task, training, tracker)
    log(done, chosen, task, tracker, store)

    model = TrainedModel.load(tracker.download(row["id"], folder / "model"))
    model.check_examples()
    wave = np.sin(np.linspace(0, 6, 40))
    noise = 0.8 * np.random.default_rng(1).normal(size=40)
    smooth, rough = (modality.decode(" ".join(map(str, values))) for values in (wave, wave + noise))
    answers = model.predict([smooth, rough])

    def columns(split: str) -> Any:
        items = store.table("samples").read(where=f"split = '{split}'")[modality.column].to_pylist()
        found = model.predict(items)
        scores = [json.dumps(dict(zip(model.classes, map(float, row), strict=True))) for row in found.scores]
        return reference_columns(items, found.labels, found.confidence.tolist(), scores, modality)

    reference, traffic = (read(profile(columns(split))) for split in ("train", "test"))
    findings = [f for name in MONITORS for f in MONITORS.parse(name).measure(reference, traffic)]
    return {
        "assets": [spec.key.path[-1] for spec in loaded.resolve_all_asset_specs() if spec.group_name == PROJECT],
        "received": collected.received,
        "accepted": collected.accepted,
        "embedded": embedded,
        "trials": [trial.architecture.type for trial in study.trials],
        "metrics": {name: metric.value for name, metric in done.metrics.items()},
        "reasons": done.reasons,
        "answers": answers.labels,
        "watched": sorted({f.column for f in findings}),
        "drifted": sorted({f.column for f in findings if f.drifted}),
        "in_label_studio": shown(PROJECT, {"one": smooth}, modality)["one"],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
