"""Bootstrap intervals from what each sample counts for, and how alike answers are."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ml_assets.tasks.base import Metric, interval

DRAWS = 1000
PART = 100

Draws = dict[str, NDArray[np.float64]]
"""Figures by name, `(1 + draws,)`: of all samples, then of each bootstrap draw."""


def bootstrap(
    tallies: Sequence[tuple[NDArray[np.float64], ...]], figures: Callable[..., Mapping[str, NDArray[np.float64]]], seed: int
) -> list[Draws]:
    """Figures of each model, which are resampled together.

    Args:
        tallies: Of each model, what its `n` samples count for: arrays `(n, k)`.
        figures: Figures `(d,)` by name of the tallies' sums over samples `(d, k)`.
        seed: Of the draws.
    """
    found: list[list[Mapping[str, NDArray[np.float64]]]] = [[] for _ in tallies]
    for weights in resampled(len(tallies[0][0]), seed):
        for parts, counted in zip(found, tallies, strict=True):
            parts.append(figures(*(np.asarray(weights @ each, float) for each in counted)))
    return [{name: np.concatenate([part[name] for part in parts]) for name in parts[0]} for parts in found]


def resampled(n: int, seed: int, draws: int = DRAWS) -> Iterator[NDArray[np.float64]]:
    """How often each of `n` samples counts, `(d, n)`: once each, then in `draws` draws.

    Draws are made in parts, so that many samples do not fill the memory.
    """
    rng = np.random.default_rng(seed)
    yield np.ones((1, n))
    for _ in range(draws // PART):
        yield rng.multinomial(n, np.full(n, 1 / n), size=PART).astype(float)


def as_metrics(found: Draws, samples: int | None = None) -> dict[str, Metric]:
    """Each figure with the interval of its draws.

    Where all samples are right, or none, so are they in every draw. What of so few samples follows for others is then what
    Wilson's interval (1927) says of a share, if it is told how many they are.
    """
    metrics = {name: _with_interval(float(values[0]), values[1:]) for name, values in found.items()}
    if samples is None:
        return metrics
    least = samples / (samples + NormalDist().inv_cdf(0.975) ** 2)
    return {
        name: Metric(m.value, min(m.low, least), m.high) if m.value >= 1
        else Metric(m.value, m.low, max(m.high, 1 - least)) if m.value <= 0
        else m
        for name, m in metrics.items()
    }  # fmt: skip


def paired(first: Draws, second: Draws, name: str) -> Metric:
    """The figure of `first` minus that of `second`, draw by draw."""
    a, b = first[name], second[name]
    return _with_interval(float(a[0] - b[0]), a[1:] - b[1:])


def _with_interval(value: float, draws: NDArray[np.float64]) -> Metric:
    """The figure with the interval of its draws, which holds the figure itself: of few samples no draw may be as good."""
    low, high = interval(draws)
    return Metric(value, min(low, value), max(high, value))


def micro_f1(hits: NDArray[np.float64], support: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(d,)` F1 of the hits of all classes together; 1 where nothing was to be found and nothing was.

    Args:
        hits: `(d, k)` true positives.
        support: `(d, k)` how often each class stands among targets and predictions, added up.
    """
    found, all_of_them = 2 * hits.sum(1), support.sum(1)
    return np.asarray(np.divide(found, all_of_them, out=np.ones(len(hits)), where=all_of_them > 0))


def macro_f1(hits: NDArray[np.float64], support: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(d,)` mean F1 over the classes that stand among the targets or the predictions, as scikit-learn has it."""
    f1 = np.divide(2 * hits, support, out=np.full(hits.shape, np.nan), where=support > 0)
    return np.asarray(np.nanmean(f1, axis=1))


def agreement(values: Sequence[str], alike: Callable[[str, str], float]) -> float:
    """How alike two answers are on average, when both are drawn from the given ones with replacement.

    An answer also meets itself, so that as many voices again for the same opinions change nothing, and that two who share
    nothing agree by one half, as they do on a single choice.

    Args:
        values: At least one answer.
        alike: From 0 to 1, symmetric, 1 for the same answer.
    """
    counts = sorted(Counter(values).items())
    pairs = (m * n * (1.0 if a == b else alike(a, b)) for a, m in counts for b, n in counts)
    return math.fsum(pairs) / len(values) ** 2
