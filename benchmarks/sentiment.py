"""Every architecture on movie reviews that people rated, over seeds, and how the drift monitors take other domains.

Accuracy: `--labels` of the 4,000 snippets that may be labelled, a random choice per seed; each label is the consensus of three
replayed raters. Tested on 2,500 snippets that are held back, against the sign of the mean of all raters. Nothing is tuned: each
architecture has the values that it has by default. Peers, in the same run: logistic regression on the frozen embeddings and on
TF-IDF of words and pairs of words.

Drift: the predictions of the first architecture that is named, trained on the first seed's choice, are the reference on the
held-back snippets, and its predictions on 300 texts of each domain are the traffic, another choice per seed. Where nothing
changed, the monitors should keep quiet.

    python benchmarks/sentiment.py [--labels 2000] [--seeds 5] [--architectures fine_tune mlp …] [--drift-seeds 20]
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ml_assets import settings
from ml_assets.demo import sentiment
from ml_assets.modalities import Encoder, Text
from ml_assets.monitoring.monitors import MONITORS
from ml_assets.monitoring.profiles import profile, read
from ml_assets.monitoring.traffic import reference_columns
from ml_assets.tasks import Task
from ml_assets.training.architectures import ARCHITECTURES, Architecture
from ml_assets.training.fit import Examples, fit, predict

TRAFFIC = 300
TEXT = Text()


@dataclass(frozen=True)
class Labelled:
    """Texts with the indices of their classes."""

    texts: list[str]
    targets: NDArray[np.int64]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--drift-seeds", type=int, default=20)
    parser.add_argument("--architectures", nargs="*", default=["fine_tune", "mlp", "text_cnn", "bilstm"])
    options = parser.parse_args()
    sentiment.fetch()
    project = settings.load("sentiment")
    task, encoder = project.labeling.task, TEXT.encoder(project.features.encoder or TEXT.default_encoder)
    architectures = [parsed(name) for name in options.architectures]
    network = accuracy(architectures, encoder, task, options.labels, options.seeds)
    if options.drift_seeds:
        drift(architectures[0], encoder, network, task, options.drift_seeds)


def parsed(option: str) -> Architecture:
    """An architecture by name, or with options as JSON: `{"type": "mlp", "epochs": 3}`."""
    return ARCHITECTURES.parse(json.loads(option) if option.startswith("{") else option)


def accuracy(architectures: Sequence[Architecture], encoder: Encoder, task: Task, labels: int, seeds: int) -> Any:
    """Print the table of accuracies on the held-back snippets; return the first architecture's network of seed 0."""
    test, table = held_back(task), Table("", "mean", "lowest", "seeds", "CPU seconds", title=f"accuracy, {labels} labels")
    vectors = encoder.encode(test.texts)
    found: dict[str, list[tuple[float, float]]] = {}
    first = None
    for seed in range(seeds):
        train = labelled(task, labels, seed)
        for architecture in architectures:
            began = time.process_time()
            examples = Examples(architecture.inputs(train.texts, encoder), [task.classes[t] for t in train.targets])
            network = fit(architecture, encoder, examples, task.classes, task, seed)
            first = first or network
            guesses = scores(architecture, encoder, network, test.texts, task).argmax(1)
            note(found, architecture.type, guesses == test.targets, began)
        began = time.process_time()
        guesses = regression(encoder.encode(train.texts), train.targets, vectors, strength=10)
        note(found, "logistic regression on embeddings", guesses == test.targets, began)
        began = time.process_time()
        guesses = regression(*tf_idf(train.texts, test.texts, train.targets), strength=5)
        note(found, "logistic regression on TF-IDF", guesses == test.targets, began)
    for name, values in found.items():
        rates, seconds = zip(*values, strict=True)
        each = " ".join(f"{rate:.4f}" for rate in rates)
        table.add_row(name, f"{np.mean(rates):.4f}", f"{min(rates):.4f}", each, f"{np.mean(seconds):.0f}")
    Console(width=160).print(table)
    return first


def note(found: dict[str, list[tuple[float, float]]], name: str, right: NDArray[np.bool_], began: float) -> None:
    """Keep a result, and say it at once: the whole table takes long."""
    score, seconds = float(right.mean()), time.process_time() - began
    found.setdefault(name, []).append((score, seconds))
    print(f"{name}, seed {len(found[name]) - 1}: {score:.4f} in {seconds:.0f} CPU seconds", flush=True)


def held_back(task: Task) -> Labelled:
    """The test file, by the sign of the mean of all raters."""
    index = {name: i for i, name in enumerate(task.classes)}
    rows = sentiment.read("movies_test.csv")
    return Labelled([s.text for s in rows], np.array([index[s.sentiment] for s in rows], np.int64))


def labelled(task: Task, labels: int, seed: int) -> Labelled:
    """A random choice of the training file, with the consensus of the three demo annotators."""
    index, answers = {name: i for i, name in enumerate(task.classes)}, sentiment.answers()
    texts, targets = list[str](), list[int]()
    for snippet in random.Random(seed).sample(sentiment.read("movies_train.csv"), sentiment.TRAIN):
        key = TEXT.sample_id(snippet.text)
        value = task.consensus([known[key] for known in answers.values() if key in known]).value
        if value is not None and len(texts) < labels:
            texts.append(snippet.text)
            targets.append(index[value])
    return Labelled(texts, np.array(targets, np.int64))


def scores(architecture: Architecture, encoder: Encoder, network: Any, texts: Sequence[str], task: Task) -> NDArray[np.float32]:
    """`(n, 2) float32` probabilities of the network."""
    return predict(architecture, network, architecture.inputs(texts, encoder), task.classes, task).scores


def regression(train: Any, targets: NDArray[np.int64], test: Any, strength: float) -> NDArray[np.int64]:
    """`(n,)` classes by logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return np.asarray(LogisticRegression(C=strength, max_iter=2000).fit(train, targets).predict(test))


def tf_idf(train: Sequence[str], test: Sequence[str], targets: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64], Any]:
    """Sparse vectors of words and pairs of words, as `regression` takes them."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(train)
    return words.transform(train), targets, words.transform(test)


def drift(architecture: Architecture, encoder: Encoder, network: Any, task: Task, seeds: int) -> None:
    """Print the table of warnings per domain."""

    def columns(texts: Sequence[str]) -> Any:
        values = scores(architecture, encoder, network, texts, task)
        written = [json.dumps(dict(zip(task.classes, map(float, row), strict=True))) for row in values]
        labels = [task.classes[i] for i in values.argmax(1)]
        return reference_columns(texts, labels, values.max(1).astype(float).tolist(), written, TEXT)

    reference = read(profile(columns(held_back(task).texts)))
    monitors = [MONITORS.parse(name) for name in MONITORS]
    table = Table("traffic", "accuracy", "warned", "by monitor", "by column")
    table.title = f"{TRAFFIC} texts of each, {architecture.type}, {seeds} seeds"
    for name in ("movies_later", "products", "tweets", "editorials"):
        snippets = sentiment.read(f"{name}.csv")
        found = columns([s.text for s in snippets])
        right = np.mean([label == s.sentiment for label, s in zip(found["label"].to_pylist(), snippets, strict=True)])
        warned, by_monitor, by_column = 0, dict.fromkeys(MONITORS, 0), dict[str, int]()
        for seed in range(seeds):
            chosen = np.random.default_rng(seed).choice(len(snippets), TRAFFIC, replace=False)
            traffic = read(profile(found.take(chosen)))
            drifted = {m.type: [f.column for f in m.measure(reference, traffic) if f.drifted] for m in monitors}
            warned += any(drifted.values())
            for monitor, its in drifted.items():
                by_monitor[monitor] += bool(its)
                for column in its:
                    by_column[column] = by_column.get(column, 0) + 1
        table.add_row(name, f"{right:.3f}", f"{warned} of {seeds}", json.dumps(by_monitor), json.dumps(by_column))
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
