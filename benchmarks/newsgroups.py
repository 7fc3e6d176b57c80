"""How good the served model gets from 400 labels of 20 Newsgroups, over seeds, beside its peers.

Everything is the project's own code but for the people: the published answers are given directly. Peers, in the same run:
logistic regression on the same embeddings, once with the labels that the queue chose and once with a random choice of 400.

    python benchmarks/newsgroups.py [--seeds 5]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from ml_assets import settings
from ml_assets.collection.collect import collect
from ml_assets.demo import newsgroups
from ml_assets.features.embeddings import embed_new, table_of, vectors_of
from ml_assets.labeling.queue import choose
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.training.fit import Examples, fit, predict
from ml_assets.training.tracking import Tracker
from ml_assets.training.tuning import tune

LABELS = 400


def main() -> None:
    """Print the table of seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    newsgroups.fetch()
    project = settings.load("newsgroups")
    task, modality = project.labeling.task, project.collection.modality
    encoder = modality.encoder(project.features.encoder or modality.default_encoder)
    with tempfile.TemporaryDirectory() as scratch:
        store = ProjectStore("newsgroups", scratch)
        collect(store, project.collection, task, now(), lambda line: None)
        began = time.monotonic()
        count = embed_new(
            store, modality, encoder, lambda done, total: print(f"embedded {done} of {total}", end="\r", flush=True)
        )
        print(f"embedded {count} texts, {count / (time.monotonic() - began):.0f} texts/s")
        published = store.table("given_labels").read(["sample_id", "value"]).to_pylist()
        answers = newsgroups.published_answers() | {r["sample_id"]: r["value"] for r in published}
        rows = [r for r in store.table("samples").read(["id", "split"]).sort_by("id").to_pylist() if r["id"] in answers]
        ids = {split: [r["id"] for r in rows if r["split"] == split] for split in ("train", "test")}
        vectors = {split: vectors_of(table_of(store, encoder), ids[split]) for split in ids}
        index = {name: i for i, name in enumerate(task.classes)}
        targets = {split: np.array([index[answers[i]] for i in ids[split]], np.int64) for split in ids}

        table = Table("seed", "ml_assets", "LR, same labels", "LR, random labels", title="macro F1 on the official test file")
        found = []
        for seed in range(seeds):
            picked = choose(ids["train"], vectors["train"], vectors["train"][:0], LABELS, "diverse", seed)
            place = {sample: i for i, sample in enumerate(ids["train"])}
            chosen = np.array(sorted(place[sample] for sample, _, _ in picked))
            drawn = np.sort(np.random.default_rng(seed).choice(len(ids["train"]), LABELS, replace=False))
            train = Examples(vectors["train"][chosen], [task.classes[t] for t in targets["train"][chosen]])
            options = project.training.model_copy(update={"seed": seed})
            tracker = Tracker("newsgroups", uri=f"sqlite:///{scratch}/mlflow.db")
            folder = Path(scratch) / "optuna"
            study = tune(f"seed-{seed}", train, encoder, task.classes, task, options.architecture, options, tracker, {}, folder)
            network = fit(study.best, encoder, train, task.classes, task, seed)
            guesses = predict(study.best, network, vectors["test"], task.classes, task).scores.argmax(1)
            row = [
                macro_f1(targets["test"], guesses),
                regression(vectors, targets, chosen),
                regression(vectors, targets, drawn),
            ]
            found.append(row)
            table.add_row(str(seed), *(f"{value:.4f}" for value in row))
        table.add_section()
        for name, figure in (("mean", np.mean), ("lowest", np.min)):
            table.add_row(name, *(f"{figure(column):.4f}" for column in zip(*found, strict=True)))
    Console().print(table)


def macro_f1(targets: NDArray[np.int64], guesses: NDArray[np.int64]) -> float:
    """scikit-learn's, so that the figure does not depend on our own."""
    return float(f1_score(targets, guesses, average="macro"))


def regression(
    vectors: dict[str, NDArray[np.float32]], targets: dict[str, NDArray[np.int64]], rows: NDArray[np.int64]
) -> float:
    """Macro F1 of logistic regression trained on these rows of the training split."""
    model = LogisticRegression(C=10, max_iter=2000).fit(vectors["train"][rows], targets["train"][rows])
    return macro_f1(targets["test"], model.predict(vectors["test"]))


if __name__ == "__main__":
    main()
