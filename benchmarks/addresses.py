"""How well the parts of addresses are told, over seeds of the training: the project's architecture, or others as JSON.

Without `--validate` it trains on all addresses that may be labelled and is tested on those that are held back. With it the
held-back ones stay unseen: it trains on four fifths of the others and looks at the last one, another fifth per seed. Options
are chosen so.

    python benchmarks/addresses.py [--seeds 3] [--first 0] [--validate] [--architectures '{"type": "token_classifier"}' …]
"""

import argparse
import json
import time
from collections.abc import Sequence

import numpy as np

from ml_assets import settings
from ml_assets.demo.addresses import Address, Addresses, read
from ml_assets.modalities import Encoder, Text
from ml_assets.tasks import Task
from ml_assets.training.architectures import ARCHITECTURES, Architecture
from ml_assets.training.fit import Examples, fit, predict

FIFTHS = 5


def main() -> None:
    """Print a line per training, and the mean of each architecture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--architectures", nargs="*", default=[])
    options = parser.parse_args()
    Addresses().fetch()
    project, encoder = settings.load("addresses"), Text().encoder("minilm")
    for architecture in [ARCHITECTURES.parse(json.loads(o)) for o in options.architectures] or [project.training.architecture]:
        found = []
        for seed in range(options.first, options.first + options.seeds):
            train, test = parts(seed) if options.validate else (read("train.csv"), read("test.csv"))
            found.append(figures(architecture, encoder, project.labeling.task, train, test, seed))
            tokens, entities, seconds = found[-1]
            print(f"seed {seed}: tokens {tokens:.4f}, entity F1 {entities:.4f}, {seconds:.0f} CPU seconds", flush=True)
        tokens, entities, seconds = np.mean(found, 0)
        print(f"{architecture.type}: mean tokens {tokens:.4f}, entity F1 {entities:.4f}, {seconds:.0f} CPU seconds", flush=True)


def parts(seed: int) -> tuple[list[Address], list[Address]]:
    """The addresses that may be labelled, without every fifth one, and these."""
    rows = read("train.csv")
    kept = [row for i, row in enumerate(rows) if i % FIFTHS != seed % FIFTHS]
    return kept, rows[seed % FIFTHS :: FIFTHS]


def figures(
    architecture: Architecture, encoder: Encoder, task: Task, train: Sequence[Address], test: Sequence[Address], seed: int
) -> tuple[float, float, float]:
    """Token accuracy and entity F1 on `test` after a training on `train`, and its CPU seconds."""
    began = time.process_time()
    inputs = architecture.inputs([address.text for address in train], encoder)
    answers = [task.check(address.label) for address in train]
    network = fit(architecture, encoder, Examples(inputs, answers), task.classes, task, seed)
    seconds = time.process_time() - began
    texts = [address.text for address in test]
    told = predict(architecture, network, architecture.inputs(texts, encoder), task.classes, task)
    metrics = task.metrics([task.check(address.label) for address in test], told.labels, task.classes, 0, texts)
    return metrics["token_accuracy"].value, metrics["entity_f1"].value, seconds


if __name__ == "__main__":
    main()
