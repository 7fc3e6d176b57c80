"""What the examples reach, over seeds: each as its project's YAML has it, with the labels that its demo annotators give.

The samples are collected as the project collects them. Per seed, as many training samples as the queue asks about in all are
drawn at random and labelled with the consensus of the demo annotators; samples on which these conflict are passed over. The
first architecture of the YAML is fitted with the values of the YAML, nothing is tuned, and tested on the test samples, whose
labels come with the data. Where the YAML has several feature sets, each has a model of its own, and the first one's lead over
each other one is told with its paired interval. A peer in the same run, where a value is one class: logistic regression on the
frozen embeddings. Other tasks have none.

`newsgroups` and `sentiment` have benchmarks of their own and are left out unless they are named.

    python benchmarks/examples.py [--examples digits languages …] [--seeds 3] [--home FOLDER]
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sentiment import regression

from ml_assets import settings
from ml_assets.collection.collect import collect
from ml_assets.demo import EXAMPLES
from ml_assets.features.embeddings import embed_new, table_of, vectors_of
from ml_assets.modalities import Encoder, Modality
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.tasks import SingleLabelTask, Task
from ml_assets.training.architectures import Architecture
from ml_assets.training.candidates import name_of
from ml_assets.training.data import inputs_of, items_of
from ml_assets.training.fit import Examples, fit, predict

ELSEWHERE = ("newsgroups", "sentiment")
PEER = "logistic regression on embeddings"


@dataclass(frozen=True)
class Collected:
    """An example's samples, with what is learnt of each.

    Args:
        train: What the demo annotators say of training samples, by sample id.
        test: What the data say of test samples, by sample id.
        encoders: One per feature set, by its name.
        inputs: `(n, …)` what the network reads of the test samples, per feature set.
        items: The test samples themselves, where the task's metrics need them.
    """

    store: ProjectStore
    modality: Modality
    task: Task
    architecture: Architecture
    encoders: dict[str, Encoder]
    classes: tuple[str, ...]
    train: dict[str, str]
    test: dict[str, str]
    inputs: dict[str, Any]
    items: Sequence[Any]

    def metrics(self, predicted: Sequence[str], seed: int) -> dict[str, float]:
        """Every figure of the task on the test samples."""
        found = self.task.metrics(list(self.test.values()), predicted, self.classes, seed, self.items)
        return {name: metric.value for name, metric in found.items()}


@dataclass(frozen=True)
class Result:
    """What one fit reached, and the CPU time of fitting and predicting."""

    name: str
    seed: int
    metrics: dict[str, float]
    seconds: float


def main() -> None:
    """Print a table per example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", nargs="+", choices=EXAMPLES, default=[name for name in EXAMPLES if name not in ELSEWHERE])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--home", type=Path, help="where data and tables are kept; by default they are gone afterwards")
    options = parser.parse_args()
    os.environ.pop("ML_ASSETS_STORE", None)  # no tables but its own
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ML_ASSETS_HOME"] = str((options.home or Path(scratch)).absolute())
        for name in options.examples:
            measure(name, options.seeds)


def measure(example: str, seeds: int) -> None:
    """Print what the example's architecture and its peer reach."""
    project, data, results = settings.load(example), collected(example), list[Result]()
    size = min(project.labeling.queue.total or len(data.train), len(data.train))
    print(f"{example}: {size} of {len(data.train)} training samples, {len(data.test)} test samples", flush=True)
    for seed in range(seeds):
        train = {sample: data.train[sample] for sample in random.Random(seed).sample(sorted(data.train), size)}
        guesses = {}
        for name in data.encoders:
            result, guesses[name] = by_architecture(data, train, name, seed)
            results.append(said(result))
        first, *others = guesses
        for name in others:
            lead = data.task.difference(list(data.test.values()), guesses[first], guesses[name], data.classes, seed, data.items)
            figures = f"{lead.value:+.4f} ({lead.low:+.4f} to {lead.high:+.4f})"
            print(f"  {first} is ahead of {name} in {data.task.primary_metric} by {figures}", flush=True)
        if isinstance(data.task, SingleLabelTask):
            results.append(said(by_regression(data, train, seed)))
    peer = "" if isinstance(data.task, SingleLabelTask) else ", no peer"
    title = f"{example}: {size} labels, {len(data.test)} test samples{peer}"
    Console(width=160).print(as_table(title, results, project.training.minimum))


def collected(example: str) -> Collected:
    """Fetch the example's data and collect them as its project does. Files that cannot be read end it."""
    EXAMPLES[example].fetch()
    project, store = settings.load(example), ProjectStore(example)
    modality, task, architecture = project.collection.modality, project.labeling.task, project.training.architecture
    if problems := collect(store, project.collection, task, now(), lambda said: None).problems:
        raise SystemExit("\n".join(problems))
    sets = project.features.each()
    learnt = next(iter(sets.values())).targets(task.classes)
    encoders = {
        name: modality.only(options.inputs).encoder(options.encoder or modality.default_encoder)
        for name, options in sets.items()
        if options.targets(task.classes) == learnt
    }
    for encoder in encoders.values():
        if architecture.embedded:
            embed_new(store, modality, encoder, lambda done, total: None)
    people = [pair for known in EXAMPLES[example].answers().values() for pair in known.items()]
    published = [(row["sample_id"], row["value"]) for row in store.table("given_labels").read().to_pylist()]
    train, test = (
        joint(task, learnt, [(sample, value) for sample, value in answers if sample in ids])
        for answers, ids in ((people, store.table("samples").ids("split = 'train'")),
                             (published, store.table("samples").ids("split = 'test'")))
    )  # fmt: skip
    inputs = {name: inputs_of(store, architecture, modality, encoder, list(test)) for name, encoder in encoders.items()}
    items = items_of(store, modality, list(test)) if task.reads_items else ()
    classes = tuple(dict.fromkeys(learnt.values()))
    return Collected(store, modality, task, architecture, encoders, classes, train, test, inputs, items)


def joint(task: Task, learnt: Mapping[str, str], answers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What is learnt of each sample, by ascending id: the consensus of its answers, where there is one, under its new name."""
    listed: dict[str, list[str]] = {}
    for sample, value in answers:
        listed.setdefault(sample, []).append(value)
    values = {sample: task.consensus(listed[sample]).value for sample in sorted(listed)}
    mapped = {sample: task.relabel(value, learnt) for sample, value in values.items() if value is not None}
    return {sample: value for sample, value in mapped.items() if value is not None}


def by_architecture(data: Collected, train: Mapping[str, str], name: str, seed: int) -> tuple[Result, list[str]]:
    """The network of the YAML on a feature set, and what it says of the test samples."""
    began, encoder = time.process_time(), data.encoders[name]
    inputs = inputs_of(data.store, data.architecture, data.modality, encoder, list(train))
    examples = Examples(inputs, list(train.values()))
    network = fit(data.architecture, encoder, examples, data.classes, data.task, seed)
    predicted = predict(data.architecture, network, data.inputs[name], data.classes, data.task).labels
    seconds = time.process_time() - began
    return Result(name_of(name, data.architecture.type), seed, data.metrics(predicted, seed), seconds), predicted


def by_regression(data: Collected, train: Mapping[str, str], seed: int) -> Result:
    """Its peer. Embeddings are not counted: they are made once."""
    encoder = next(iter(data.encoders.values()))
    embed_new(data.store, data.modality, encoder, lambda done, total: None)
    learnt, asked = (vectors_of(table_of(data.store, encoder), list(ids)) for ids in (train, data.test))
    began = time.process_time()
    guesses = regression(learnt, np.array([data.classes.index(value) for value in train.values()]), asked, strength=10)
    seconds = time.process_time() - began
    return Result(PEER, seed, data.metrics([data.classes[i] for i in guesses], seed), seconds)


def said(result: Result) -> Result:
    """Say a result at once: the whole table takes long."""
    figures = ", ".join(f"{name} {value:.4f}" for name, value in result.metrics.items())
    print(f"{result.name}, seed {result.seed}: {figures} in {result.seconds:.0f} CPU seconds", flush=True)
    return result


def as_table(title: str, results: Sequence[Result], minimum: Mapping[str, float]) -> Table:
    """A row per metric of each of what was fitted."""
    table = Table("", "metric", "mean", "lowest", "seeds", "minimum in the YAML", "CPU seconds", title=title)
    for name in dict.fromkeys(result.name for result in results):
        own = [result for result in results if result.name == name]
        seconds = np.mean([result.seconds for result in own])
        for metric in own[0].metrics:
            values = [result.metrics[metric] for result in own]
            each, least = " ".join(f"{value:.4f}" for value in values), str(minimum.get(metric, ""))
            table.add_row(name, metric, f"{np.mean(values):.4f}", f"{min(values):.4f}", each, least, f"{seconds:.0f}")
    return table


if __name__ == "__main__":
    main()
