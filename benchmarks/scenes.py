"""How well the network of the example `scenes` finds digits on kinds of ground that it never saw, over seeds.

The scenes and the network's options are the project's own; only people and servers are left out: the boxes are given directly.

    python benchmarks/scenes.py [--seeds 3]
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from ml_assets import settings
from ml_assets.demo.scenes import Scenes, folder
from ml_assets.demo.tables import read
from ml_assets.training.fit import Examples, fit, predict


def main() -> None:
    """Print the table of seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    Scenes().fetch()
    project = settings.load("scenes")
    task, modality, architecture = project.labeling.task, project.collection.modality, project.training.architecture
    encoder = modality.encoder(project.features.encoder)
    data = {}
    for name in ("train", "test"):
        samples = read(folder() / f"{name}.parquet")
        data[name] = Examples(architecture.inputs([s.content for s in samples], encoder), [s.label for s in samples])
    table = Table(
        "seed", "mAP@50", "mAP@50:95", "CPU seconds", title=f"{len(data['train'])} scenes learnt, {len(data['test'])} tested"
    )
    found = []
    for seed in range(seeds):
        began = time.process_time()
        network = fit(architecture, encoder, data["train"], task.classes, task, seed)
        spent = time.process_time() - began
        guesses = predict(architecture, network, data["test"].inputs, task.classes, task).labels
        metrics = task.metrics(data["test"].values, guesses, task.classes, 0)
        found.append([metrics["map_50"].value, metrics["map_50_95"].value, spent])
        table.add_row(str(seed), *_row(found[-1]))
        print(f"seed {seed}: {' '.join(_row(found[-1]))}", flush=True)
    table.add_section()
    table.add_row("mean", *_row(np.mean(found, axis=0).tolist()))
    table.add_row("lowest", *_row(np.min(found, axis=0).tolist()[:2]))
    Console().print(table)


def _row(figures: Sequence[float]) -> list[str]:
    return [f"{value:.4f}" if value <= 1 else f"{value:.0f}" for value in figures]


if __name__ == "__main__":
    main()
