"""How often the drift monitors warn, when they should and when they should not.

A logistic regression learns six of the twenty newsgroups from 400 training texts. Its predictions on one half of the test
texts are the reference; traffic is drawn from the other half (nothing has changed), or half of it from the fourteen
newsgroups that the model never saw. Beside the monitors stands whylogs' own drift report with its own thresholds (any
column with p < 0.05). Prints one line per size of traffic and kind of it.

    python benchmarks/drift.py [--resamples 200] [--vectors FILE]

The texts are those of the example. Vectors are computed (a few minutes) and kept in FILE if one is named.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.demo import newsgroups
from ml_assets.modalities import Text
from ml_assets.monitoring.monitors import MONITORS
from ml_assets.monitoring.profiles import Profile, profile, read
from ml_assets.monitoring.traffic import reference_columns

UNSEEN = 1500
SIZES = (100, 200, 300, 1000)


def texts(seed: int) -> pd.DataFrame:
    """Columns `text`, `label`, `part`: train, test (both of the six classes) and unseen (a sample of the others, test file)."""
    newsgroups.fetch()
    parts = []
    for part in ("test", "unseen", "train"):
        frame = pd.DataFrame(newsgroups.read(f"{part}.csv"), columns=["label", "text"]).assign(part=part)
        parts.append(frame.sample(UNSEEN, random_state=seed) if part == "unseen" else frame)
    both = pd.concat(parts)
    both["text"] = both.text.str.strip()
    return both[both.text != ""].drop_duplicates("text").reset_index(drop=True)


def embedded(data: pd.DataFrame, file: Path | None) -> NDArray[np.float32]:
    """`(n, 384) float32` MiniLM vectors, from the file if they are there."""
    if file is not None and file.exists():
        vectors = np.load(file)
        if len(vectors) == len(data):
            return np.asarray(vectors, np.float32)
    vectors = Text().encoder("minilm").encode(data.text.tolist())
    if file is not None:
        np.save(file, vectors)
    return vectors


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--vectors", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    columns, part = predictions(options.vectors, options.seed)

    random = np.random.default_rng(options.seed)
    test, unseen = random.permutation(np.flatnonzero(part == "test")), np.flatnonzero(part == "unseen")
    monitors = [MONITORS.parse(name) for name in MONITORS]
    for size in SIZES:
        warned: dict[str, list[set[str]]] = {"same": [], "half unseen": []}
        peer: dict[str, list[bool]] = {"same": [], "half unseen": []}
        for _ in range(options.resamples):
            shuffled = random.permutation(test)
            known, other = shuffled[: len(test) // 2], shuffled[len(test) // 2 :]
            reference = read(profile(columns.take(known)))
            drawn = random.choice(other, size, replace=False)
            strange = np.concatenate([drawn[: size - size // 2], random.choice(unseen, size // 2, replace=False)])
            for name, chosen in (("same", drawn), ("half unseen", strange)):
                traffic = read(profile(columns.take(chosen)))
                findings = [f for monitor in monitors for f in monitor.measure(reference, traffic)]
                warned[name].append({f.column for f in findings if f.drifted})
                peer[name].append(whylogs_warns(traffic, reference))
        for name, found in warned.items():
            by_column = {c: round(float(np.mean([c in w for w in found])), 3) for c in columns.column_names}
            named = {c: share for c, share in by_column.items() if share}
            own, its = np.mean([bool(w) for w in found]), np.mean(peer[name])
            share = f"monitors warn in {own:.3f}, whylogs in {its:.3f} of {len(found)}"
            print(f"{size:5} rows, {name:11}: {share}  {json.dumps(named)}", flush=True)


def whylogs_warns(traffic: Profile, reference: Profile) -> bool:
    """Whether whylogs' drift report calls any column drifted."""
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

    scores = calculate_drift_scores(target_view=traffic.view, reference_view=reference.view, with_thresholds=True)
    return any(score is not None and score["drift_category"] == "DRIFT" for score in scores.values())


def predictions(vectors: Path | None, seed: int) -> tuple[pa.Table, NDArray[np.str_]]:
    """The profiled columns of all texts under a model of 400 training texts, and which part each text is of."""
    from sklearn.linear_model import LogisticRegression

    data = texts(seed)
    inputs, part = embedded(data, vectors), data.part.to_numpy(dtype=str)
    chosen = np.random.default_rng(seed).choice(np.flatnonzero(part == "train"), 400, replace=False)
    model = LogisticRegression(C=10, max_iter=2000).fit(inputs[chosen], data.label.to_numpy()[chosen])
    scores, classes = model.predict_proba(inputs), list(model.classes_)
    test = part == "test"
    accuracy = np.mean(np.asarray(classes)[scores[test].argmax(1)] == data.label.to_numpy()[test])
    print(f"accuracy on {test.sum()} test texts: {accuracy:.3f}", flush=True)
    written = [json.dumps(dict(zip(classes, map(float, row), strict=True))) for row in scores]
    labels = [classes[i] for i in scores.argmax(1)]
    return reference_columns(data.text.tolist(), labels, scores.max(1).tolist(), written, Text()), part


if __name__ == "__main__":
    main()
