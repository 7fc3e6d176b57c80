"""How well long texts are told apart when they are read in windows, over seeds, beside TF-IDF with logistic regression.

Two sets of long texts from 20 Newsgroups, six classes each. `posts`: posts of 300 to 1,500 words, which are of their
class as a whole. `passages`: three passages of 40 to 80 words each from posts of the class, at chance places in 200 to
1,500 words of posts from other newsgroups. Half of each set is learnt from, the other half is the test, another choice
per seed. The project's own classifier is `mlp` as it is by default, not tuned, on the embeddings of `minilm`, which
reads the beginning, and of `minilm*8`, which reads eight windows. The peer reads all words and pairs of words.

    python benchmarks/long_texts.py [--seeds 3] [--texts 300]
"""

import argparse
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ml_assets.demo import newsgroups
from ml_assets.modalities import Text
from ml_assets.tasks import SingleChoice
from ml_assets.training.architectures import MLP
from ml_assets.training.fit import Examples, fit, predict

TASK = SingleChoice(classes=newsgroups.CLASSES)
ENCODERS = ("minilm", "minilm*8")
PEER = "TF-IDF and logistic regression"
PASSAGES = 3
Long = tuple[list[str], list[str]]
"""Texts, and the class of each."""


def posts(size: int) -> Long:
    """Distinct posts of 300 to 1,500 words, as many of each class."""
    found: list[tuple[str, str]] = []
    for name, texts in _by_class(300, 1500).items():
        found += [(text, name) for text in texts[: size // len(TASK.classes)]]
    return [text for text, _ in found], [name for _, name in found]


def passages(size: int) -> Long:
    """Texts of other newsgroups with passages of one class, as many of each class."""
    rng, found = random.Random(0), list[tuple[str, str]]()
    others = [words for _, text in newsgroups.read("unseen.csv") if 40 <= len(words := text.split()) <= 400]
    rng.shuffle(others)
    around = iter(others * 10)
    for name, texts in _by_class(80, 400).items():
        sources = iter(texts)
        for _ in range(size // len(TASK.classes)):
            length, words = rng.randint(200, 1500), list[str]()
            while len(words) < length:
                words += next(around)
            cuts = sorted(rng.randint(0, length) for _ in range(PASSAGES))
            parts = [words[a:b] for a, b in zip([0, *cuts], [*cuts, length], strict=True)]
            made = parts[0]
            for part in parts[1:]:
                own = next(sources).split()
                start, count = rng.randrange(len(own) - 79), rng.randint(40, 80)
                made = made + own[start : start + count] + part
            found.append((" ".join(made), name))
    return [text for text, _ in found], [name for _, name in found]


def _by_class(shortest: int, longest: int) -> dict[str, list[str]]:
    """The distinct posts of so many words, of each class in a chance order."""
    rows = dict.fromkeys(row for file in ("train.csv", "test.csv") for row in map(tuple, newsgroups.read(file)))
    found: dict[str, list[str]] = {name: [] for name in TASK.classes}
    for name, text in rows:
        if shortest <= len(text.split()) <= longest:
            found[name].append(text)
    for texts in found.values():
        random.Random(0).shuffle(texts)
    return found


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=300)
    options = parser.parse_args()
    newsgroups.fetch()
    for name, (texts, values) in {"posts": posts(options.texts), "passages": passages(options.texts)}.items():
        vectors = {encoder: Text().encoder(encoder).encode(texts) for encoder in ENCODERS}
        unread = {encoder: float(Text().encoder(encoder).unread(texts).mean()) for encoder in ENCODERS}
        found: dict[str, list[float]] = {encoder: [] for encoder in (*ENCODERS, PEER)}
        for seed in range(options.seeds):
            order = np.random.default_rng(seed).permutation(len(texts))
            train, test = order[: len(texts) // 2], order[len(texts) // 2 :]
            for encoder in ENCODERS:
                found[encoder].append(ours(encoder, vectors[encoder], values, train, test, seed))
            found[PEER].append(peer(texts, values, train, test))
        words = [len(text.split()) for text in texts]
        title = f"{name}: {len(texts)} texts of {min(words)} to {max(words)} words, accuracy"
        table = Table("", "not read", "mean", "lowest", "ratio to TF-IDF", "seeds", title=title)
        for who, scores in found.items():
            ratio = np.mean(scores) / np.mean(found[PEER])
            each = " ".join(f"{score:.3f}" for score in scores)
            share = f"{unread.get(who, 0):.0%}"
            table.add_row(who, share, f"{np.mean(scores):.3f}", f"{min(scores):.3f}", f"{ratio:.3f}", each)
        Console().print(table)


def ours(
    name: str,
    vectors: NDArray[np.float32],
    values: Sequence[str],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    seed: int,
) -> float:
    """Accuracy of the project's classifier on the embeddings."""
    data, mlp = Examples(vectors, values), MLP()
    network = fit(mlp, Text().encoder(name), data.take(train), TASK.classes, TASK, seed)
    return accuracy(predict(mlp, network, vectors[test], TASK.classes, TASK).labels, values, test)


def peer(texts: Sequence[str], values: Sequence[str], train: NDArray[np.int64], test: NDArray[np.int64]) -> float:
    """Accuracy of logistic regression on all words and pairs of words."""
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=2000)
    )  # fmt: skip
    model.fit([texts[i] for i in train], [values[i] for i in train])
    return accuracy(model.predict([texts[i] for i in test]), values, test)


def accuracy(found: Sequence[str], values: Sequence[str], test: NDArray[np.int64]) -> float:
    """Share of the test texts whose class is right."""
    return float(np.mean([label == values[i] for label, i in zip(found, test, strict=True)]))


if __name__ == "__main__":
    main()
