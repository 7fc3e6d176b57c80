"""Average precision of boxes as COCO defines it (Lin et al. 2014, arXiv:1405.0312; `pycocotools.cocoeval`).

In each picture, boxes of a class are taken by descending confidence; each gets the free target of its class that it overlaps
most, if the overlap reaches the threshold. Precision is interpolated at 101 recalls and averaged over the classes that have
targets. COCO limits each picture to 100 boxes; here all count, because the length of values is limited already.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = 101


@dataclass(frozen=True)
class Matched:
    """The target and predicted boxes of one sample, by class.

    Args:
        targets: Number of target boxes of each class.
        predicted: For each predicted box, by descending confidence: the confidence, and `(10,)` whether it is a hit at each
            threshold.
    """

    targets: dict[str, int]
    predicted: dict[str, list[tuple[float, NDArray[np.bool_]]]]


@dataclass(frozen=True)
class ClassMatches:
    """The `m` predicted boxes of one class in `n` samples, by descending confidence.

    Args:
        sample: `(m,)` index of each box's sample.
        hit: `(m, 10)` whether each box is a hit at each threshold.
        targets: `(n,)` number of target boxes in each sample.
    """

    sample: NDArray[np.int64]
    hit: NDArray[np.bool_]
    targets: NDArray[np.int64]


def matched(target: str, predicted: str) -> Matched:
    """Match the predicted boxes of one sample with its targets. A box without a confidence counts as 1."""
    true, given = _by_class(target), _by_class(predicted)
    found: dict[str, list[tuple[float, NDArray[np.bool_]]]] = {}
    for name, boxes in given.items():
        boxes = sorted(boxes, key=lambda box: -box.get("confidence", 1.0))
        hits = _hits(overlap(boxes, true.get(name, [])))
        found[name] = [(box.get("confidence", 1.0), hit) for box, hit in zip(boxes, hits, strict=True)]
    return Matched({name: len(boxes) for name, boxes in true.items()}, found)


def by_class(samples: Sequence[Matched], classes: Sequence[str]) -> list[ClassMatches]:
    """The matched boxes of `n` samples, collected for each class."""
    found: dict[str, list[tuple[float, int, NDArray[np.bool_]]]] = {name: [] for name in classes}
    counts = {name: np.zeros(len(samples), np.int64) for name in classes}
    for i, sample in enumerate(samples):
        for name, count in sample.targets.items():
            counts[name][i] = count
        for name, boxes in sample.predicted.items():
            found[name] += [(confidence, i, hit) for confidence, hit in boxes]
    listed = []
    for name in classes:
        rows = sorted(found[name], key=lambda row: -row[0])
        hit = np.array([row[2] for row in rows]).reshape(-1, len(THRESHOLDS))
        listed.append(ClassMatches(np.array([row[1] for row in rows], np.int64), hit, counts[name]))
    return listed


def average_precision(found: Sequence[ClassMatches], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(d, 10)` mean average precision at each threshold for `d` bootstrap draws with sample counts `weights` `(d, n)`.

    A draw without targets has 1 if nothing is predicted in it, else 0.
    """
    total, classes = np.zeros((len(weights), len(THRESHOLDS))), np.zeros(len(weights))
    predicted = np.zeros(len(weights))
    whole = weights.astype(np.int64)
    for one in found:
        targets = whole @ one.targets
        own = whole[:, one.sample]
        predicted += own.sum(1)
        classes += targets > 0
        if not len(one.sample) or not targets.any():
            continue
        taken = own.cumsum(1)
        for t in range(len(THRESHOLDS)):
            hits = (own * one.hit[:, t]).cumsum(1)
            precision = np.divide(hits, taken, out=np.zeros(hits.shape), where=taken > 0)
            best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            # number of the recalls 0, 0.01, …, 1 that are first reached at each box
            reached = (RECALLS - 1) * hits // np.maximum(targets, 1)[:, None] + 1
            first = np.diff(reached, axis=1, prepend=0)
            total[:, t] += np.where(targets > 0, (first * best).sum(1) / RECALLS, 0.0)
    nothing = np.where(predicted > 0, 0.0, 1.0)[:, None]
    return np.asarray(np.where(classes[:, None] > 0, total / np.maximum(classes, 1)[:, None], nothing))


def overlap(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """`(a, b)` intersection over union of each pair of boxes."""
    a, b = (np.array([[x["x"], x["y"], x["width"], x["height"]] for x in each]).reshape(-1, 4) for each in (first, second))
    return overlaps(a, b)


def overlaps(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """`(a, b)` intersection over union of each pair of `(a, 4)` and `(b, 4)` boxes: left, top, width, height."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    shared = (high - low).clip(0).prod(2)
    return np.asarray(shared / (first[:, None, 2:].prod(2) + second[None, :, 2:].prod(2) - shared))


def _hits(found: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`(m, 10)` whether each box, in the given order, is a hit at each threshold, from overlaps `(m, targets)`."""
    hits = np.zeros((len(found), len(THRESHOLDS)), bool)
    if not found.size or found.max() < THRESHOLDS[0]:
        return hits
    for t, threshold in enumerate(THRESHOLDS):
        free = np.where(found >= threshold - 1e-9, found, -1.0)
        for row in range(len(free)):
            best = int(free[row].argmax())
            if free[row, best] >= 0:
                hits[row, t] = True
                free[:, best] = -1.0
    return hits


def _by_class(value: str) -> dict[str, list[dict[str, Any]]]:
    boxes: dict[str, list[dict[str, Any]]] = {}
    for box in json.loads(value):
        boxes.setdefault(box["label"], []).append(box)
    return boxes
